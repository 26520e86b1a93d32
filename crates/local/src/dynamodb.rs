//! The embedded `DynamoDB`: the template's tables in memory or in a file, served over HTTP.

use std::{
    fmt, io,
    net::{Ipv4Addr, SocketAddr},
    path::Path,
};

use anyhow::{Context as _, anyhow, ensure};
use dynoxide::{
    Database,
    actions::{
        create_table::{CreateTableRequest, StreamSpecification},
        describe_table::DescribeTableRequest,
        describe_time_to_live::DescribeTimeToLiveRequest,
        scan::ScanRequest,
        update_time_to_live::{TimeToLiveSpecification, UpdateTimeToLiveRequest},
    },
    server,
};
use serde_json::Value;
use tokio::{net::TcpListener, task::JoinHandle};

use crate::template::Table;

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
    /// Until the process ends.
    Memory,
    /// In a file, which is created when it does not exist.
    File(&'a Path),
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
    pub async fn start(storage: Storage<'_>, port: u16, tables: &[Table]) -> anyhow::Result<Self> {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, port)).await;
        let listener = listener.map_err(|error| match error.kind() {
            io::ErrorKind::AddrInUse => anyhow!(
                "port {port} is taken by another program: stop it or choose another port with `--port`"
            ),
            _ => anyhow!(error).context(format!("cannot listen on port {port}")),
        })?;
        let address = listener.local_addr()?;
        let database = match storage {
            Storage::Memory => Database::memory().context("cannot open the database")?,
            Storage::File(path) => Database::new(&path.to_string_lossy())
                .with_context(|| format!("cannot open the database `{}`", path.display()))?,
        };
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
    pub fn items(&self, table: &str) -> anyhow::Result<Vec<Value>> {
        let refused = || format!("table `{table}`: cannot read its items");
        let request = DescribeTableRequest { table_name: table.to_owned() };
        let described = self.database.describe_table(request).with_context(refused)?;
        let mut items = Vec::new();
        let mut start = None;
        loop {
            let request = ScanRequest {
                table_name: table.to_owned(),
                exclusive_start_key: start,
                ..ScanRequest::default()
            };
            let page = self.database.scan(request).with_context(refused)?;
            for item in page.items.unwrap_or_default() {
                items.push(serde_json::to_value(item).with_context(refused)?);
            }
            start = page.last_evaluated_key;
            if start.is_none() {
                break;
            }
        }
        items.sort_by_cached_key(|item| {
            let key = described.table.key_schema.iter();
            key.map(|element| item[&element.attribute_name].to_string()).collect::<Vec<_>>()
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

fn create_table(database: &Database, table: &Table) -> anyhow::Result<()> {
    let table_name = table.name.clone();
    let refused = |action| move || format!("table `{}`: cannot {action}", table.name);
    let found = database.get_table_metadata(&table_name).with_context(refused("look for it"))?;
    if found.is_some() {
        let request = DescribeTableRequest { table_name };
        let found = database.describe_table(request).with_context(refused("describe it"))?.table;
        ensure!(
            found.key_schema == table.key_schema
                && found.attribute_definitions == table.attribute_definitions,
            "table `{}` exists with another key than the template declares: use another file",
            table.name
        );
    } else {
        let stream_view_type = table.stream_view_type.clone();
        let request = CreateTableRequest {
            table_name,
            key_schema: table.key_schema.clone(),
            attribute_definitions: table.attribute_definitions.clone(),
            billing_mode: table.billing_mode.clone(),
            stream_specification: stream_view_type.map(|view| StreamSpecification {
                stream_enabled: true,
                stream_view_type: Some(view),
            }),
            ..CreateTableRequest::default()
        };
        database.create_table(request).with_context(refused("create it"))?;
    }
    if let Some(attribute_name) = table.ttl_attribute.clone() {
        let request = DescribeTimeToLiveRequest { table_name: table.name.clone() };
        let found = database.describe_time_to_live(request);
        let found = found.with_context(refused("describe its time to live"))?;
        if found.time_to_live_description.attribute_name.as_ref() != Some(&attribute_name) {
            let request = UpdateTimeToLiveRequest {
                table_name: table.name.clone(),
                time_to_live_specification: TimeToLiveSpecification {
                    attribute_name,
                    enabled: true,
                },
            };
            let updated = database.update_time_to_live(request);
            updated.with_context(refused("set its time to live"))?;
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use std::fs;

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
        let mut expected: Vec<_> = tables().into_iter().map(|table| table.name).collect();
        expected.sort();
        assert_eq!(names, expected);
        for table in tables() {
            let request = DescribeTableRequest { table_name: table.name.clone() };
            let found = dynamodb.database().describe_table(request).unwrap().table;
            assert_eq!(found.table_status, "ACTIVE");
            assert_eq!(found.key_schema, table.key_schema);
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
