//! The DynamoDB that tests run against: the embedded one, or AWS's DynamoDB Local where a variable says where it
//! listens.

/// A database of its own in AWS's DynamoDB Local.
mod aws_local;

/// The embedded DynamoDB.
mod embedded;

/// A proxy that gives requests another access key.
mod front;

use std::sync::LazyLock;

use local::{
    dynamodb::{LocalDynamoDb, Storage, without_streams},
    template::Table,
};
use serde_json::{Value, json};

use self::aws_local::AwsLocal;
use super::template;

/// Where AWS's DynamoDB Local listens: `COMPARE_CONNECTOR_TEST_DYNAMODB`, such as `http://127.0.0.1:8000`. It must run
/// without `-sharedDb`, so that each access key has tables of its own.
static AWS_LOCAL: LazyLock<Option<String>> = LazyLock::new(|| {
    #[expect(clippy::disallowed_methods, reason = "a setting of the tests, not of the functions")]
    let endpoint = std::env::var("COMPARE_CONNECTOR_TEST_DYNAMODB").ok()?;
    let address = endpoint.strip_prefix("http://").map(|address| address.trim_end_matches('/'));
    let is_local = |address: &&str| {
        let port = address.strip_prefix("127.0.0.1:").or(address.strip_prefix("localhost:"));
        port.is_some_and(|port| port.parse::<u16>().is_ok())
    };
    let Some(address) = address.filter(is_local) else {
        panic!(
            "`COMPARE_CONNECTOR_TEST_DYNAMODB` is `{endpoint}`: expected `http://127.0.0.1:PORT`"
        )
    };
    Some(address.to_owned())
});

/// A DynamoDB that no other test sees; it is gone when it is dropped.
#[derive(Debug)]
pub(crate) enum TestDynamoDb {
    Embedded(LocalDynamoDb),
    AwsLocal(AwsLocal),
}

/// A write that was done, in DynamoDB's JSON.
///
/// A put that changes nothing is in no stream of DynamoDB Local's, as in no real one; the embedded DynamoDB tells of it
/// too. A delete where there is no item is in neither.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Change {
    pub(crate) old: Option<Value>,
    pub(crate) new: Option<Value>,
}

/// A DynamoDB with the template's tables, as `local` creates them.
pub(crate) async fn dynamodb() -> TestDynamoDb {
    TestDynamoDb::start(&without_streams(&template().tables)).await
}

/// A DynamoDB with the template's tables, each of which has a stream, so that [`TestDynamoDb::changes`] can be asked
/// for.
pub(crate) async fn dynamodb_with_streams() -> TestDynamoDb {
    let mut tables = template().tables;
    for table in &mut tables {
        table.stream_view_type = Some("NEW_AND_OLD_IMAGES".to_owned());
    }
    TestDynamoDb::start(&tables).await
}

/// Whether the tests run against AWS's DynamoDB Local.
pub(crate) fn is_aws_local() -> bool {
    AWS_LOCAL.is_some()
}

impl TestDynamoDb {
    /// Starts one with these tables.
    pub(crate) async fn start(tables: &[Table]) -> Self {
        match AWS_LOCAL.as_deref() {
            Some(address) => Self::AwsLocal(AwsLocal::start(address, tables).await),
            None => Self::Embedded(LocalDynamoDb::start(Storage::Memory, 0, tables).await.unwrap()),
        }
    }

    /// Where clients find it, whatever their credentials.
    pub(crate) fn endpoint(&self) -> String {
        match self {
            Self::Embedded(dynamodb) => dynamodb.endpoint(),
            Self::AwsLocal(dynamodb) => dynamodb.endpoint(),
        }
    }

    /// All items of a table in DynamoDB's JSON, sorted by their keys.
    pub(crate) fn items(&self, table: &str) -> Vec<Value> {
        match self {
            Self::Embedded(dynamodb) => dynamodb.items(table).unwrap(),
            Self::AwsLocal(dynamodb) => dynamodb.items(table),
        }
    }

    /// A strongly consistent read of the item with this partition and sort key.
    pub(crate) fn item(&self, table: &str, key: &str) -> Option<Value> {
        let key = json!({"PK": {"S": key}, "SK": {"S": key}});
        match self {
            Self::Embedded(dynamodb) => embedded::item(dynamodb, table, key),
            Self::AwsLocal(dynamodb) => dynamodb.item(table, &key),
        }
    }

    /// Puts an item in DynamoDB's JSON, as another writer would.
    pub(crate) fn put(&self, table: &str, item: &Value) {
        match self {
            Self::Embedded(dynamodb) => embedded::put(dynamodb, table, item),
            Self::AwsLocal(dynamodb) => dynamodb.put(table, item),
        }
    }

    /// All writes to a table, in their order, `put`s included.
    pub(crate) fn changes(&self, table: &str) -> Vec<Change> {
        match self {
            Self::Embedded(dynamodb) => embedded::changes(dynamodb, table),
            Self::AwsLocal(dynamodb) => dynamodb.changes(table),
        }
    }
}
