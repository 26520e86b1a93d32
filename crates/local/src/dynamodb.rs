//! The embedded `DynamoDB`: the template's tables in memory or in a file, served over HTTP.

use std::{
    fmt, io,
    net::{Ipv4Addr, SocketAddr},
    path::{Path, PathBuf},
};

use dynoxide::{
    Database, DynoxideError,
    actions::{
        create_table::{CreateTableRequest, StreamSpecification},
        describe_table::DescribeTableRequest,
        describe_time_to_live::DescribeTimeToLiveRequest,
        scan::ScanRequest,
        update_time_to_live::{TimeToLiveSpecification, UpdateTimeToLiveRequest},
    },
    server, types,
};
use serde_json::Value;
use tokio::{net::TcpListener, task::JoinHandle};

use crate::template::{AttributeType, KeyType, Table};

/// The port that `cargo lambda watch` and other clients find the tables at.
pub const DEFAULT_PORT: u16 = 8000;

/// A `DynamoDB` in this process; it stops when it is dropped.
pub struct LocalDynamoDb {
    database: Database,
    address: SocketAddr,
    server: JoinHandle<()>,
}

/// Where the items are kept.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Storage<'a> {
    /// In memory, until the process ends.
    Memory,
    /// In a file, which is created when it does not exist.
    File(&'a Path),
}

/// Why the embedded `DynamoDB` could not do what it was asked.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum DynamoDbError {
    /// Occurs when memory or the file cannot be used as a database.
    #[error("cannot open the database{}", path.as_ref().map(|path| format!(" `{}`", path.display())).unwrap_or_default())]
    Open {
        /// The file, if it is one.
        path: Option<PathBuf>,
        /// What the database said.
        source: DynoxideError,
    },
    /// Occurs when another program listens on the port.
    #[error(
        "port {port} is taken by another program: stop it or choose another port with `--port`"
    )]
    PortTaken {
        /// The port.
        port: u16,
    },
    /// Occurs when the system does not let us listen.
    #[error("cannot listen on port {port}")]
    Listen {
        /// The port.
        port: u16,
        /// What the system said.
        source: io::Error,
    },
    /// Occurs when a request for a table is refused.
    #[error("table `{table}`: cannot {action}")]
    Table {
        /// The table's name.
        table: String,
        /// What was to be done.
        action: &'static str,
        /// What the database said.
        source: DynoxideError,
    },
    /// Occurs when the file holds a table of the same name that cannot take the template's items.
    #[error("table `{table}` exists with another key than the template declares: use another file")]
    OtherKey {
        /// The table's name.
        table: String,
    },
    /// Occurs when an item cannot be written as JSON.
    #[error("table `{table}`: an item cannot be shown")]
    Item {
        /// The table's name.
        table: String,
        /// What is wrong with it.
        source: serde_json::Error,
    },
}

/// The tables as the commands create them: without streams, which nobody reads here.
///
/// The embedded `DynamoDB` counts a stream's records at each write, so that 10,000 of them take most of a minute; a
/// real stream costs the writer nothing.
pub fn without_streams(tables: &[Table]) -> Vec<Table> {
    tables.iter().map(|table| Table { stream_view_type: None, ..table.clone() }).collect()
}

impl LocalDynamoDb {
    /// Opens the database, creates the tables that it lacks and serves it on `port` of this machine only; port 0 takes
    /// a free one.
    pub async fn start(
        storage: Storage<'_>,
        port: u16,
        tables: &[Table],
    ) -> Result<Self, DynamoDbError> {
        let listener = listen(port).await?;
        let address =
            listener.local_addr().map_err(|source| DynamoDbError::Listen { port, source })?;
        let database = open(storage)?;
        for table in tables {
            create_table(&database, table)?;
        }
        let server = tokio::spawn(server::serve_on(listener, database.clone()));
        Ok(Self { database, address, server })
    }

    /// Where clients find it.
    pub fn endpoint(&self) -> String {
        format!("http://{}", self.address)
    }

    /// The database itself, for whatever needs no HTTP.
    pub fn database(&self) -> &Database {
        &self.database
    }

    /// All items of a table in `DynamoDB`'s JSON, sorted by their keys.
    pub fn items(&self, table: &str) -> Result<Vec<Value>, DynamoDbError> {
        let refused = |source| DynamoDbError::Table {
            table: table.to_owned(),
            action: "read its items",
            source,
        };
        let request = DescribeTableRequest { table_name: table.to_owned() };
        let key_schema = self.database.describe_table(request).map_err(refused)?.table.key_schema;
        let mut items = Vec::new();
        let mut start = None;
        loop {
            let request = ScanRequest {
                table_name: table.to_owned(),
                exclusive_start_key: start,
                ..ScanRequest::default()
            };
            let page = self.database.scan(request).map_err(refused)?;
            for item in page.items.unwrap_or_default() {
                let item = serde_json::to_value(item)
                    .map_err(|source| DynamoDbError::Item { table: table.to_owned(), source })?;
                items.push(item);
            }
            start = page.last_evaluated_key;
            if start.is_none() {
                break;
            }
        }
        items.sort_by_cached_key(|item| {
            let key = key_schema.iter().map(|element| item[&element.attribute_name].to_string());
            key.collect::<Vec<_>>()
        });
        Ok(items)
    }
}

impl fmt::Debug for LocalDynamoDb {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("LocalDynamoDb").field("address", &self.address).finish_non_exhaustive()
    }
}

impl Drop for LocalDynamoDb {
    fn drop(&mut self) {
        self.server.abort();
    }
}

async fn listen(port: u16) -> Result<TcpListener, DynamoDbError> {
    TcpListener::bind((Ipv4Addr::LOCALHOST, port)).await.map_err(|source| match source.kind() {
        io::ErrorKind::AddrInUse => DynamoDbError::PortTaken { port },
        _ => DynamoDbError::Listen { port, source },
    })
}

fn open(storage: Storage<'_>) -> Result<Database, DynamoDbError> {
    match storage {
        Storage::Memory => {
            Database::memory().map_err(|source| DynamoDbError::Open { path: None, source })
        }
        Storage::File(path) => Database::new(&path.to_string_lossy())
            .map_err(|source| DynamoDbError::Open { path: Some(path.to_owned()), source }),
    }
}

fn create_table(database: &Database, table: &Table) -> Result<(), DynamoDbError> {
    let refused =
        |action| move |source| DynamoDbError::Table { table: table.name.clone(), action, source };
    let key_schema = key_schema(table);
    let attribute_definitions = attribute_definitions(table);
    if exists(database, table)? {
        let request = DescribeTableRequest { table_name: table.name.clone() };
        let found = database.describe_table(request).map_err(refused("describe it"))?.table;
        if found.key_schema != key_schema || found.attribute_definitions != attribute_definitions {
            return Err(DynamoDbError::OtherKey { table: table.name.clone() });
        }
    } else {
        let stream_specification = table
            .stream_view_type
            .clone()
            .map(|view| StreamSpecification { stream_enabled: true, stream_view_type: Some(view) });
        let request = CreateTableRequest {
            table_name: table.name.clone(),
            key_schema,
            attribute_definitions,
            billing_mode: table.billing_mode.clone(),
            stream_specification,
            ..CreateTableRequest::default()
        };
        database.create_table(request).map_err(refused("create it"))?;
    }
    if let Some(attribute_name) = &table.ttl_attribute {
        let request = DescribeTimeToLiveRequest { table_name: table.name.clone() };
        let found = database
            .describe_time_to_live(request)
            .map_err(refused("describe its time to live"))?;
        if found.time_to_live_description.attribute_name.as_ref() != Some(attribute_name) {
            let request = UpdateTimeToLiveRequest {
                table_name: table.name.clone(),
                time_to_live_specification: TimeToLiveSpecification {
                    attribute_name: attribute_name.clone(),
                    enabled: true,
                },
            };
            database.update_time_to_live(request).map_err(refused("set its time to live"))?;
        }
    }
    Ok(())
}

fn exists(database: &Database, table: &Table) -> Result<bool, DynamoDbError> {
    match database.get_table_metadata(&table.name) {
        Ok(metadata) => Ok(metadata.is_some()),
        Err(source) => {
            Err(DynamoDbError::Table { table: table.name.clone(), action: "look for it", source })
        }
    }
}

fn key_schema(table: &Table) -> Vec<types::KeySchemaElement> {
    let elements = table.key_schema.iter().map(|element| types::KeySchemaElement {
        attribute_name: element.attribute_name.clone(),
        key_type: match element.key_type {
            KeyType::Hash => types::KeyType::HASH,
            KeyType::Range => types::KeyType::RANGE,
        },
    });
    elements.collect()
}

fn attribute_definitions(table: &Table) -> Vec<types::AttributeDefinition> {
    let definitions =
        table.attribute_definitions.iter().map(|definition| types::AttributeDefinition {
            attribute_name: definition.attribute_name.clone(),
            attribute_type: match definition.attribute_type {
                AttributeType::S => types::ScalarAttributeType::S,
                AttributeType::N => types::ScalarAttributeType::N,
                AttributeType::B => types::ScalarAttributeType::B,
            },
        });
    definitions.collect()
}

#[cfg(test)]
mod tests {
    use std::{error::Error as _, fs};

    use dynoxide::{
        actions::{list_tables::ListTablesRequest, put_item::PutItemRequest},
        types::AttributeValue,
    };
    use serde_json::json;

    use super::*;
    use crate::template::{LOCAL_STAGE, Template};

    fn tables() -> Vec<Table> {
        let text = include_str!("../../../template.yaml");
        Template::parse(text, &[("Stage", LOCAL_STAGE)]).unwrap().tables
    }

    fn put(dynamodb: &LocalDynamoDb, table: &str, key: &str) {
        let text = |text: &str| AttributeValue::S(text.to_owned());
        let item = [("PK", key), ("SK", key), ("v", "x")]
            .map(|(name, value)| (name.to_owned(), text(value)));
        let request = PutItemRequest {
            table_name: table.to_owned(),
            item: item.into(),
            ..PutItemRequest::default()
        };
        dynamodb.database().put_item(request).unwrap();
    }

    #[tokio::test]
    async fn the_templates_tables_are_created() {
        let dynamodb = LocalDynamoDb::start(Storage::Memory, 0, &tables()).await.unwrap();

        let names =
            dynamodb.database().list_tables(ListTablesRequest::default()).unwrap().table_names;
        assert_eq!(
            names,
            [
                "compare-connector-local-appian",
                "compare-connector-local-quarantine",
                "compare-connector-local-seatool",
                "compare-connector-local-seatool-tombstones",
            ]
        );
        for table in tables() {
            let request = DescribeTableRequest { table_name: table.name.clone() };
            let found = dynamodb.database().describe_table(request).unwrap().table;
            assert_eq!(found.table_status, "ACTIVE");
            assert_eq!(found.key_schema, key_schema(&table));
            assert_eq!(found.stream_specification.is_some(), table.stream_view_type.is_some());
            let request = DescribeTimeToLiveRequest { table_name: table.name.clone() };
            let found = dynamodb.database().describe_time_to_live(request).unwrap();
            assert_eq!(found.time_to_live_description.attribute_name, table.ttl_attribute);
        }
    }

    #[tokio::test]
    async fn items_are_sorted_by_key() {
        let dynamodb = LocalDynamoDb::start(Storage::Memory, 0, &tables()).await.unwrap();
        let table = "compare-connector-local-seatool";
        for key in ["b", "c", "a"] {
            put(&dynamodb, table, key);
        }

        let item = |key: &str| json!({"PK": {"S": key}, "SK": {"S": key}, "v": {"S": "x"}});
        assert_eq!(dynamodb.items(table).unwrap(), [item("a"), item("b"), item("c")]);

        let error = dynamodb.items("compare-connector-local-other").unwrap_err();
        assert_eq!(
            error.to_string(),
            "table `compare-connector-local-other`: cannot read its items"
        );
        assert!(error.source().is_some());
    }

    #[tokio::test]
    async fn items_are_read_to_the_last_page() {
        let dynamodb = LocalDynamoDb::start(Storage::Memory, 0, &tables()).await.unwrap();
        let table = "compare-connector-local-seatool";
        for number in 0..12 {
            let text = |text: String| AttributeValue::S(text);
            let key = format!("{number:02}");
            let item = [("PK", key.clone()), ("SK", key), ("v", "x".repeat(200_000))]
                .map(|(name, value)| (name.to_owned(), text(value)));
            let request = PutItemRequest {
                table_name: table.to_owned(),
                item: item.into(),
                ..PutItemRequest::default()
            };
            dynamodb.database().put_item(request).unwrap();
        }
        assert_eq!(dynamodb.items(table).unwrap().len(), 12);
    }

    #[tokio::test]
    async fn a_taken_port_is_named() {
        let first = LocalDynamoDb::start(Storage::Memory, 0, &[]).await.unwrap();
        let port = first.address.port();
        let error = LocalDynamoDb::start(Storage::Memory, port, &[]).await.unwrap_err();
        assert_eq!(
            error.to_string(),
            format!(
                "port {port} is taken by another program: stop it or choose another port with `--port`"
            )
        );
    }

    #[tokio::test]
    async fn a_file_keeps_its_tables() {
        let directory = std::env::temp_dir().join(format!("local-dynamodb-{}", std::process::id()));
        fs::create_dir_all(&directory).unwrap();
        let file = directory.join("data");
        let table = &tables()[1];

        let first = LocalDynamoDb::start(Storage::File(&file), 0, std::slice::from_ref(table))
            .await
            .unwrap();
        put(&first, &table.name, "kept");
        drop(first);

        let second = LocalDynamoDb::start(Storage::File(&file), 0, &tables()).await.unwrap();
        assert_eq!(second.items(&table.name).unwrap().len(), 1);
        assert_eq!(
            second.items(&tables()[3].name).unwrap(),
            Vec::<Value>::new(),
            "a missing table is created"
        );
        drop(second);

        let other = Table { key_schema: table.key_schema[..1].to_vec(), ..table.clone() };
        let error = LocalDynamoDb::start(Storage::File(&file), 0, &[other]).await.unwrap_err();
        assert_eq!(
            error.to_string(),
            "table `compare-connector-local-seatool` exists with another key than the template declares: use another file"
        );
        fs::remove_dir_all(&directory).unwrap();

        let error = LocalDynamoDb::start(Storage::File(&file), 0, &[]).await.unwrap_err();
        assert_eq!(error.to_string(), format!("cannot open the database `{}`", file.display()));
    }
}
