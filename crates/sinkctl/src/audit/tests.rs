//! Whole audits of what the sinks' handlers wrote to an embedded DynamoDB, from a topic in memory.

use std::{collections::BTreeMap, path::Path};

use aws_sdk_dynamodb::types::AttributeValue;
use base64::{Engine as _, engine::general_purpose::STANDARD};
use dynamo_sink::{connection::Connection, handler::Handler};
use kafka_event::Record;
use local::{
    dynamodb::{LocalDynamoDb, Storage, without_streams},
    template::{LOCAL_STAGE, Template},
};
use serde_json::{Value, json};

use super::{report::Notes, *};
use crate::kafka::Spans;

const SEATOOL: &str = "compare-connector-local-seatool";
const TOMBSTONES: &str = "compare-connector-local-seatool-tombstones";
const QUARANTINE: &str = "compare-connector-local-quarantine";

/// Records by partition.
#[derive(Clone, Default)]
struct MemoryTopic {
    partitions: BTreeMap<i32, Vec<Record<'static>>>,
}

impl MemoryTopic {
    fn new(records: impl IntoIterator<Item = Record<'static>>) -> Self {
        let mut topic = Self::default();
        for record in records {
            topic.partitions.entry(record.partition).or_default().push(record);
        }
        topic
    }

    /// An event with all records, as Lambda sends it.
    fn event(&self) -> String {
        let mut partitions = serde_json::Map::new();
        for record in self.partitions.values().flatten() {
            let mut json = json!({
                "topic": record.topic,
                "partition": record.partition,
                "offset": record.offset,
                "timestamp": record.timestamp,
                "timestampType": "CREATE_TIME",
                "headers": [],
            });
            for (name, bytes) in [("key", &record.key), ("value", &record.value)] {
                if let Some(bytes) = bytes {
                    json[name] = STANDARD.encode(bytes).into();
                }
            }
            let name = format!("{}-{}", record.topic, record.partition);
            let records = partitions.entry(name).or_insert_with(|| json!([]));
            records.as_array_mut().unwrap().push(json);
        }
        json!({"eventSource": "SelfManagedKafka", "records": partitions}).to_string()
    }
}

impl Topic for MemoryTopic {
    async fn spans(&self) -> anyhow::Result<Spans> {
        let span = |(&partition, records): (&i32, &Vec<Record<'static>>)| {
            let first = records.first().map_or(0, |record| record.offset);
            let end = records.last().map_or(0, |record| record.offset + 1);
            (partition, Span { first, end })
        };
        Ok(self.partitions.iter().map(span).collect())
    }

    async fn read(
        &self,
        partition: i32,
        span: Span,
        take: &mut dyn FnMut(&Record<'_>),
    ) -> anyhow::Result<()> {
        let is_within = |record: &&Record<'_>| (span.first..span.end).contains(&record.offset);
        self.partitions[&partition].iter().filter(is_within).for_each(take);
        Ok(())
    }
}

/// A record that came lately, so that nothing stored for it has expired.
fn record(
    sink: &Sink,
    partition: i32,
    offset: i64,
    key: Option<&str>,
    value: Option<&str>,
) -> Record<'static> {
    Record {
        topic: sink.topic.into(),
        partition,
        offset,
        timestamp: NOW - 1000 + offset,
        timestamp_type: None,
        key: key.map(|key| key.as_bytes().to_vec()),
        value: value.map(|value| value.as_bytes().to_vec()),
        headers: Vec::new(),
        key_schema: None,
        value_schema: None,
        epoch: None,
    }
}

const NOW: i64 = 1_800_000_000_000;

/// An embedded DynamoDB to which a function landed a topic's records.
struct Landed {
    /// Keeps it running.
    dynamodb: LocalDynamoDb,
    compared: Compared<MemoryTopic>,
}

impl Landed {
    async fn new(sink: Sink, parameters: &[(&str, &str)], topic: MemoryTopic) -> Self {
        let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../template.yaml");
        let template = Template::read(&path, &[("Stage", LOCAL_STAGE)]).unwrap();
        let tables = without_streams(&template.tables);
        let dynamodb = LocalDynamoDb::start(Storage::Memory, 0, &tables).await.unwrap();
        let client = tables::client(Some(&dynamodb.endpoint())).await;

        let mut landed = Self {
            dynamodb,
            compared: Compared {
                sink,
                settings: settings(&path, sink, parameters),
                topic,
                client,
                now: NOW,
                show_keys: false,
            },
        };
        landed.land().await;
        landed
    }

    /// Lands all records, with the present settings.
    async fn land(&mut self) {
        let Compared { sink, settings, topic, .. } = &self.compared;
        let config = tables::config(Some(&self.dynamodb.endpoint()));
        let connection = Connection::new(config).await.unwrap();
        let mut handler = Handler::new(*sink, settings.clone(), connection);
        let answer = handler.handle(topic.event().as_bytes(), None).await.unwrap();
        assert_eq!(answer.batch_item_failures, []);
    }

    async fn audit(&self) -> Report {
        compare(&self.compared, &mut io::sink()).await.unwrap()
    }

    /// Reads an item, changes it, and puts it back.
    async fn change(&self, table: &str, key: [&str; 2], change: impl FnOnce(&mut Attributes)) {
        let client = &self.compared.client;
        let get = client.get_item().table_name(table).set_key(Some(keys(key)));
        let mut item = get.send().await.unwrap().item.unwrap();
        change(&mut item);
        self.put(table, item).await;
    }

    async fn put(&self, table: &str, item: Attributes) {
        let put = self.compared.client.put_item().table_name(table).set_item(Some(item));
        put.send().await.unwrap();
    }

    async fn remove(&self, table: &str, key: [&str; 2]) {
        let delete = self.compared.client.delete_item().table_name(table);
        delete.set_key(Some(keys(key))).send().await.unwrap();
    }
}

fn audit(function: &str, parameters: &[(&str, &str)]) -> Audit {
    let parameters = parameters.iter().map(|&(name, value)| (name.to_owned(), value.to_owned()));
    Audit {
        function: function.to_owned(),
        stage: None,
        source: Source {
            bootstrap_servers: String::new(),
            properties: Vec::new(),
            parameters: parameters.collect(),
        },
        dynamodb_endpoint: None,
        json: false,
        show_keys: false,
    }
}

fn settings(template: &Path, sink: Sink, parameters: &[(&str, &str)]) -> Settings {
    function(&audit(sink.name, parameters), template).unwrap().1
}

fn keys([partition, sort]: [&str; 2]) -> Attributes {
    [("PK", partition), ("SK", sort)]
        .map(|(name, key)| (name.to_owned(), AttributeValue::S(key.to_owned())))
        .into()
}

/// The members of an item's `_sink`.
fn sink_of(item: &mut Attributes) -> &mut Attributes {
    let Some(AttributeValue::M(sink)) = item.get_mut("_sink") else { panic!("no `_sink`") };
    sink
}

/// The place of an entry in the quarantine.
fn entry_of(record: &Record<'_>) -> [String; 2] {
    [
        format!("{}-{}", record.topic, record.partition),
        format!("{:010}-{:020}-{:020}", 0, record.offset, record.timestamp),
    ]
}

fn seatool(partition: i32, offset: i64, key: &str, value: Option<&str>) -> Record<'static> {
    let key = format!("\"{key}\"");
    record(&sink_seatool_data::SINK, partition, offset, Some(&key), value)
}

/// Puts, overwrites, deletes, one key put again, and three records that are rejected.
fn seatool_topic() -> MemoryTopic {
    let sink = &sink_seatool_data::SINK;
    let mut records = vec![
        seatool(0, 10, "overwritten", Some(r#"{"n": 1}"#)),
        seatool(0, 12, "overwritten", Some(r#"{"n": 2.50, "o": {"l": [1, "x", null]}}"#)),
        seatool(0, 13, "deleted", Some(r#"{"n": 1}"#)),
        seatool(0, 14, "deleted", None),
        seatool(0, 15, "again", None),
        seatool(0, 16, "again", Some(r#"{"n": 1e2}"#)),
        record(sink, 1, 0, None, Some("{}")),
        seatool(1, 1, "bad", Some("[1]")),
        seatool(1, 2, "bad", Some("{")),
    ];
    for number in 0..6 {
        let key = format!("plain-{number}");
        records.push(seatool(1, 3 + number, &key, Some(&format!(r#"{{"n": {number}}}"#))));
    }
    MemoryTopic::new(records)
}

#[tokio::test]
async fn what_a_function_wrote_has_no_difference() {
    let landed = Landed::new(sink_seatool_data::SINK, &[], seatool_topic()).await;
    let report = landed.audit().await;
    assert_eq!(report.notes, Notes::default());
    let Report { partitions, records, keys, deleted_keys, items, .. } = report;
    assert_eq!((partitions, records, keys, deleted_keys, items), (2, 15, 9, 1, 8));
    assert_eq!((report.rejected, report.quarantined, report.differences), (3, 3, 0));

    let sink = sink_appian_data::SINK;
    let row = |partition, offset, value: &str| record(&sink, partition, offset, None, Some(value));
    let topic = MemoryTopic::new([
        row(0, 5, r#"{"payload": {"PCKG_ID": 1, "REPLICA_TIMESTAMP": 7, "x": 1.0}}"#),
        row(0, 6, r#"{"payload": {"PCKG_ID": 2, "UPDT_TS": 1}, "schema": {}}"#),
        row(0, 7, r#"{"payload": {}}"#),
        row(1, 0, r#"{"payload": {"PCKG_ID": 1, "REPLICA_TIMESTAMP": 6, "x": 2}}"#),
        record(&sink, 1, 1, None, None),
    ]);
    let landed = Landed::new(sink, &[], topic).await;
    let report = landed.audit().await;
    assert_eq!(report.differences, 0);
    assert_eq!((report.keys, report.items, report.rejected, report.quarantined), (2, 2, 2, 2));
    assert_eq!(report.moved_keys, 0);
}

/// All differences at once, each planted by hand.
async fn with_differences(show_keys: bool) -> Landed {
    let mut landed = Landed::new(sink_seatool_data::SINK, &[], seatool_topic()).await;
    landed.compared.show_keys = show_keys;
    let text = |text: &str| AttributeValue::S(text.to_owned());
    let number = |number: i64| AttributeValue::N(number.to_string());

    landed.remove(SEATOOL, ["plain-0"; 2]).await;
    landed
        .change(SEATOOL, ["overwritten"; 2], |item| {
            item.insert("n".to_owned(), AttributeValue::N("2.51".to_owned()));
            item.insert("more".to_owned(), text("secret"));
        })
        .await;
    landed
        .change(SEATOOL, ["plain-1"; 2], |item| {
            let sink = sink_of(item);
            sink.insert("version".to_owned(), text("000000000000000000000000000003"));
            sink.insert("offset".to_owned(), number(3));
            sink.insert("timestamp".to_owned(), number(NOW - 1000));
        })
        .await;
    landed
        .change(SEATOOL, ["plain-2"; 2], |item| {
            sink_of(item).insert("version".to_owned(), text("000000000100000000000000000005"));
        })
        .await;
    // What looks the same is the same.
    landed
        .change(SEATOOL, ["again"; 2], |item| {
            item.insert("n".to_owned(), AttributeValue::N("100.0".to_owned()));
        })
        .await;
    landed
        .change(SEATOOL, ["plain-3"; 2], |item| {
            item.remove("_sink");
        })
        .await;
    // Items of keys that have no records, and of a deleted one.
    landed.put(SEATOOL, keys(["unknown"; 2])).await;
    landed.change(SEATOOL, ["plain-4"; 2], |item| item.extend(keys(["copied"; 2]))).await;
    landed
        .change(SEATOOL, ["plain-4"; 2], |item| {
            item.extend(keys(["deleted"; 2]));
            let sink = sink_of(item);
            sink.insert("version".to_owned(), text("000000000000000000000000000013"));
            sink.insert("partition".to_owned(), number(0));
            sink.insert("offset".to_owned(), number(13));
            sink.insert("timestamp".to_owned(), number(NOW - 987));
        })
        .await;
    landed.remove(TOMBSTONES, ["deleted"; 2]).await;

    let records = &landed.compared.topic.partitions[&1];
    let [missing, changed] = [&records[0], &records[1]].map(entry_of);
    landed.remove(QUARANTINE, [&missing[0], &missing[1]]).await;
    landed
        .change(QUARANTINE, [&changed[0], &changed[1]], |entry| {
            entry.insert("reason".to_owned(), text("OTHER"));
        })
        .await;
    // An entry of a record that is accepted, and one of a record that is not in the topic.
    let accepted = entry_of(&records[3]);
    for offset in [3, 1000] {
        landed
            .change(QUARANTINE, [&changed[0], &changed[1]], |entry| {
                let sort = if offset == 3 { accepted[1].as_str() } else { "0000000000-x" };
                entry.extend(keys([&accepted[0], sort]));
                entry.insert("offset".to_owned(), number(offset));
                entry.insert("timestamp".to_owned(), number(NOW - 1000 + offset));
            })
            .await;
    }
    landed
}

#[tokio::test]
async fn every_kind_of_difference_is_found() {
    let report = with_differences(false).await.audit().await;
    let mut table = Vec::new();
    report.write_table(&mut table).unwrap();
    let expected = "\
sinkSeatoolData: aws.ksqldb.seatool.agg.State_Plan in epoch 0
  records                     15  on 2 partitions, 3 rejected
  keys                         9  1 deleted
  items                       10
  quarantined                  1
  missing                      1
              partition 1 offset 3
  extra                        3
              of an earlier writer
              found partition 1 offset 7, no such record of its key
              partition 0 offset 14, found partition 0 offset 13, deleted
  older                        2
              partition 1 offset 4, found partition 1 offset 3
              partition 1 offset 6, of an earlier writer
  newer                        1
              partition 1 offset 5, found partition 1 offset 5, found in epoch 1, higher epoch
  different                    1
              partition 0 offset 12, in 2 attributes
  tombstone missing            1
              partition 0 offset 14
  not quarantined              1
              partition 1 offset 0, MISSING_KEY
  other reason                 1
              partition 1 offset 1, NOT_AN_OBJECT, found OTHER
  note                         1  quarantined records that are accepted by now and can be redriven
11 differences
";
    assert_eq!(String::from_utf8(table).unwrap(), expected);
}

#[tokio::test]
async fn the_json_shows_data_only_if_it_is_asked_to() {
    let json = |report: &Report| {
        let mut json = Vec::new();
        write_json(report, &mut json).unwrap();
        serde_json::from_slice::<Value>(&json).unwrap()
    };
    let report = json(&with_differences(false).await.audit().await);
    assert_eq!(
        report["different"],
        json!([{
            "expected": {
                "topic": "aws.ksqldb.seatool.agg.State_Plan",
                "partition": 0,
                "offset": 12,
                "timestamp": NOW - 988,
                "epoch": 0,
            },
            "found": {
                "topic": "aws.ksqldb.seatool.agg.State_Plan",
                "partition": 0,
                "offset": 12,
                "timestamp": NOW - 988,
                "epoch": 0,
            },
            "differingAttributes": 2,
        }])
    );
    for data in ["overwritten", "plain", "copied", "unknown", "more", "secret"] {
        assert!(!report.to_string().contains(data), "{data}");
    }
    assert_eq!(report["differences"], 11);
    assert_eq!(
        report["counts"],
        json!({
            "missing": 1, "extra": 3, "older": 2, "newer": 1, "different": 1, "tombstoneMissing": 1,
            "notQuarantined": 1, "otherReason": 1,
        })
    );
    assert_eq!(
        report["notes"]["redrivableRecords"],
        json!([{"partition": 1, "offset": 3, "reason": "OTHER"}])
    );

    let report = json(&with_differences(true).await.audit().await);
    assert_eq!(report["different"][0]["attributes"], json!(["more", "n"]));
    assert_eq!(report["different"][0]["key"], "overwritten");
    assert_eq!(report["missing"][0]["key"], "plain-0");
}

#[tokio::test]
async fn an_epoch_may_be_raised_without_a_replay() {
    let mut landed = Landed::new(sink_seatool_data::SINK, &[], seatool_topic()).await;
    landed.compared.settings.epoch = 1;
    let report = landed.audit().await;
    assert_eq!((report.differences, report.quarantined), (0, 3));
    // Eight items and a tombstone.
    assert_eq!(report.notes, Notes { of_earlier_epochs: 9, ..Notes::default() });

    landed.land().await;
    let report = landed.audit().await;
    assert_eq!((report.differences, report.notes), (0, Notes::default()));

    landed.compared.settings.epoch = 0;
    let report = landed.audit().await;
    assert_eq!((report.count(Kind::Newer), report.differences), (8, 8));
}

#[tokio::test]
async fn what_may_have_expired_is_no_difference() {
    let mut landed = Landed::new(sink_seatool_data::SINK, &[], seatool_topic()).await;
    landed.remove(TOMBSTONES, ["deleted"; 2]).await;
    let entry = entry_of(&landed.compared.topic.partitions[&1][0]);
    landed.remove(QUARANTINE, [&entry[0], &entry[1]]).await;
    assert_eq!(landed.audit().await.differences, 2);

    landed.compared.now += 400 * 24 * 60 * 60 * 1000;
    let report = landed.audit().await;
    assert_eq!((report.differences, report.notes.may_have_expired), (0, 2));
}

#[test]
fn an_unknown_function_is_named() {
    let template = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../template.yaml");
    let audit = audit("sinkOther", &[]);
    let error = function(&audit, &template).unwrap_err().to_string();
    let expected =
        "there is no function `sinkOther`: expected `sinkAppianData` or `sinkSeatoolData`";
    assert!(error.starts_with(expected), "{error}");
}
