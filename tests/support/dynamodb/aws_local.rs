//! A database of its own in AWS's DynamoDB Local, which keeps the tables of each access key apart.

use std::{
    collections::VecDeque,
    fmt,
    io::{self, BufRead as _, BufReader, Read as _, Write as _},
    net::TcpStream,
    sync::{Mutex, PoisonError},
};

use local::template::Table;
use serde_json::{Value, json};

use super::{Change, front::Front};

/// A database of its own.
pub(crate) struct AwsLocal {
    front: Front,
    caller: Caller,
    tables: Vec<Table>,
}

/// The access keys whose databases no test uses any more, the longest unused first.
///
/// DynamoDB Local never gives up a database, which takes 1.5 MB and four threads, so they are used again; but not those
/// that had streams, whose records stay for a day and slow down every write.
static UNUSED: Mutex<AccessKeys> = Mutex::new(AccessKeys { unused: VecDeque::new(), created: 0 });

struct AccessKeys {
    unused: VecDeque<String>,
    created: usize,
}

/// So many databases rest before the first of them is used again: what a killed invocation still had on its way to one
/// of them has arrived by then.
const RESTING: usize = 24;

impl AwsLocal {
    /// Takes a database, empties it and creates these tables.
    pub(super) async fn start(address: &str, tables: &[Table]) -> Self {
        let access_key = AccessKeys::take();
        let front = Front::start(address, &access_key).await;
        let caller = Caller::new(address, access_key);
        let found = caller.call("ListTables", &json!({}));
        for table in found["TableNames"].as_array().unwrap() {
            caller.call("DeleteTable", &json!({"TableName": table}));
        }
        for table in tables {
            caller.call("CreateTable", &create_table(table));
        }
        Self { front, caller, tables: tables.to_vec() }
    }

    pub(super) fn endpoint(&self) -> String {
        self.front.endpoint()
    }

    pub(super) fn items(&self, table: &str) -> Vec<Value> {
        let mut items = Vec::new();
        let mut request = json!({"TableName": table, "ConsistentRead": true});
        loop {
            let mut page = self.caller.call("Scan", &request);
            items.extend(page["Items"].as_array_mut().unwrap().drain(..).map(with_plain_numbers));
            if page["LastEvaluatedKey"].is_null() {
                break;
            }
            request["ExclusiveStartKey"] = page["LastEvaluatedKey"].take();
        }
        let table = self.tables.iter().find(|it| it.name == table).unwrap();
        items.sort_by_cached_key(|item| {
            let key = table.key_schema.iter().map(|key| item[&key.attribute_name].to_string());
            key.collect::<Vec<_>>()
        });
        items
    }

    pub(super) fn item(&self, table: &str, key: &Value) -> Option<Value> {
        let request = json!({"TableName": table, "Key": key, "ConsistentRead": true});
        self.caller
            .call("GetItem", &request)
            .get_mut("Item")
            .map(|item| with_plain_numbers(item.take()))
    }

    pub(super) fn put(&self, table: &str, item: &Value) {
        self.caller.call("PutItem", &json!({"TableName": table, "Item": item}));
    }

    pub(super) fn changes(&self, table: &str) -> Vec<Change> {
        let table = self.caller.call("DescribeTable", &json!({"TableName": table}));
        let stream = &table["Table"]["LatestStreamArn"];
        let description = self.caller.call("DescribeStream", &json!({"StreamArn": stream}));
        let mut changes = Vec::new();
        for shard in description["StreamDescription"]["Shards"].as_array().unwrap() {
            let request = json!({
                "StreamArn": stream,
                "ShardId": shard["ShardId"],
                "ShardIteratorType": "TRIM_HORIZON",
            });
            let mut iterator =
                self.caller.call("GetShardIterator", &request)["ShardIterator"].take();
            while !iterator.is_null() {
                let mut page = self.caller.call("GetRecords", &json!({"ShardIterator": iterator}));
                let records = page["Records"].as_array_mut().unwrap();
                if records.is_empty() {
                    break;
                }
                let image = |record: &mut Value, name: &str| {
                    let image = record["dynamodb"].get_mut(name).map(Value::take);
                    image.map(with_empty_maps).map(with_plain_numbers)
                };
                changes.extend(records.iter_mut().map(|record| Change {
                    old: image(record, "OldImage"),
                    new: image(record, "NewImage"),
                }));
                iterator = page["NextShardIterator"].take();
            }
        }
        changes
    }
}

impl fmt::Debug for AwsLocal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("AwsLocal").field("front", &self.front).finish_non_exhaustive()
    }
}

impl Drop for AwsLocal {
    fn drop(&mut self) {
        if self.tables.iter().all(|table| table.stream_view_type.is_none()) {
            AccessKeys::put_back(self.caller.access_key.clone());
        }
    }
}

impl AccessKeys {
    fn take() -> String {
        let mut keys = UNUSED.lock().unwrap_or_else(PoisonError::into_inner);
        if keys.unused.len() > RESTING
            && let Some(access_key) = keys.unused.pop_front()
        {
            return access_key;
        }
        keys.created += 1;
        // Another run against the same server has another process id.
        format!("TEST{}N{}", std::process::id(), keys.created)
    }

    fn put_back(access_key: String) {
        UNUSED.lock().unwrap_or_else(PoisonError::into_inner).unused.push_back(access_key);
    }
}

/// The time to live is not set: DynamoDB Local removes what has expired within seconds, DynamoDB within days, and the
/// tests say what becomes of items that have expired and still stand.
fn create_table(table: &Table) -> Value {
    let mut request = json!({
        "TableName": table.name,
        "KeySchema": table.key_schema,
        "AttributeDefinitions": table.attribute_definitions,
        "BillingMode": table.billing_mode,
    });
    if let Some(view) = &table.stream_view_type {
        request["StreamSpecification"] = json!({"StreamEnabled": true, "StreamViewType": view});
    }
    request
}

/// An item as DynamoDB gives it, whose numbers are in digits only. DynamoDB Local spells only those so that are no part
/// of a list or map and were not set by an update; the others come back as they were sent.
fn with_plain_numbers(mut item: Value) -> Value {
    change_attributes(&mut item, &mut |attribute| {
        if let Some(Value::String(number)) = attribute.get_mut("N") {
            *number = plain(number);
        }
    });
    item
}

/// An item of a stream as DynamoDB gives it: in those of DynamoDB Local an empty map has no type.
fn with_empty_maps(mut item: Value) -> Value {
    change_attributes(&mut item, &mut |attribute| {
        if *attribute == json!({}) {
            *attribute = json!({"M": {}});
        }
    });
    item
}

fn change_attributes(members: &mut Value, change: &mut dyn FnMut(&mut Value)) {
    let attributes: Vec<&mut Value> = match members {
        Value::Array(elements) => elements.iter_mut().collect(),
        Value::Object(members) => members.values_mut().collect(),
        other => panic!("no attributes: {other}"),
    };
    for attribute in attributes {
        change(attribute);
        for kind in ["L", "M"] {
            if let Some(members) = attribute.get_mut(kind) {
                change_attributes(members, change);
            }
        }
    }
}

/// A number without an exponent and without zeros that say nothing.
fn plain(number: &str) -> String {
    let (sign, unsigned) = match number.strip_prefix('-') {
        Some(unsigned) => ("-", unsigned),
        None => ("", number),
    };
    let (mantissa, exponent) = unsigned.split_once(['e', 'E']).unwrap_or((unsigned, "0"));
    let (whole, fraction) = mantissa.split_once('.').unwrap_or((mantissa, ""));
    let exponent: isize = exponent.parse().unwrap();
    let point = isize::try_from(whole.len()).unwrap() + exponent;
    let zeros_before = "0".repeat(usize::try_from(-point).unwrap_or(0));
    let digits = format!("{zeros_before}{whole}{fraction}");
    let point = usize::try_from(point).unwrap_or(0);
    let zeros_behind = "0".repeat(point.saturating_sub(digits.len()));
    let digits = format!("{digits}{zeros_behind}");
    let (whole, fraction) = digits.split_at(point);
    let (whole, fraction) = (whole.trim_start_matches('0'), fraction.trim_end_matches('0'));
    match (whole, fraction) {
        ("", "") => "0".to_owned(),
        (whole, "") => format!("{sign}{whole}"),
        ("", fraction) => format!("{sign}0.{fraction}"),
        (whole, fraction) => format!("{sign}{whole}.{fraction}"),
    }
}

/// Calls DynamoDB Local and waits, as the embedded DynamoDB is called; not through the front, which would have to wait
/// for the test that waits for it.
struct Caller {
    address: String,
    access_key: String,
    connection: Mutex<Option<BufReader<TcpStream>>>,
}

impl Caller {
    fn new(address: &str, access_key: String) -> Self {
        Self { address: address.to_owned(), access_key, connection: Mutex::default() }
    }

    /// The answer, which must be a success.
    #[track_caller]
    fn call(&self, operation: &str, request: &Value) -> Value {
        let mut connection = self.connection.lock().unwrap_or_else(PoisonError::into_inner);
        let stream = connection.get_or_insert_with(|| {
            let stream = TcpStream::connect(&self.address).unwrap_or_else(|error| {
                panic!("no DynamoDB Local listens on `{}`: {error}", self.address)
            });
            stream.set_nodelay(true).unwrap();
            BufReader::new(stream)
        });
        match self.exchange(stream, operation, &request.to_string()) {
            Ok((200, answer)) => serde_json::from_slice(&answer).unwrap(),
            Ok((status, answer)) => {
                panic!("{operation}: {status}: {}", String::from_utf8_lossy(&answer))
            }
            Err(error) => panic!("{operation}: {error}"),
        }
    }

    fn exchange(
        &self,
        stream: &mut BufReader<TcpStream>,
        operation: &str,
        request: &str,
    ) -> io::Result<(u16, Vec<u8>)> {
        let Self { address, access_key, .. } = self;
        let api = match operation {
            "DescribeStream" | "GetShardIterator" | "GetRecords" => "DynamoDBStreams_20120810",
            _ => "DynamoDB_20120810",
        };
        // The signature is not checked.
        let message = format!(
            "POST / HTTP/1.1\r\n\
             host: {address}\r\n\
             content-type: application/x-amz-json-1.0\r\n\
             content-length: {}\r\n\
             x-amz-target: {api}.{operation}\r\n\
             x-amz-date: 20260101T000000Z\r\n\
             authorization: AWS4-HMAC-SHA256 Credential={access_key}/20260101/us-east-1/dynamodb/aws4_request, \
             SignedHeaders=host, Signature=0\r\n\
             \r\n\
             {request}",
            request.len(),
        );
        stream.get_mut().write_all(message.as_bytes())?;

        let mut line = String::new();
        stream.read_line(&mut line)?;
        let status = line.split(' ').nth(1).and_then(|status| status.parse().ok());
        let status = status.ok_or_else(|| io::Error::other("no status in the answer"))?;
        let mut length = 0;
        loop {
            line.clear();
            stream.read_line(&mut line)?;
            match line.trim_end().split_once(':') {
                Some((name, value)) if name.eq_ignore_ascii_case("content-length") => {
                    length = value.trim().parse().map_err(io::Error::other)?;
                }
                Some(_) => {}
                None => break,
            }
        }
        let mut answer = vec![0; length];
        stream.read_exact(&mut answer)?;
        Ok((status, answer))
    }
}
