//! What cannot be written waits in the quarantine, byte for byte, and what only just can be is written.

mod appian;
mod indexes;
mod limits;
mod quarantine;
mod seatool;

use std::collections::BTreeMap;

use base64::{Engine as _, engine::general_purpose::STANDARD};
use dynamo_sink::{
    handler::Response,
    outcome::Outcome,
    sink::{Mapped, Sink},
};
use serde_json::{Value, json};
use sink_appian_data::SINK as APPIAN_SINK;

use crate::support::{APPIAN, QUARANTINE, TIME, dynamodb, handler};

/// A record that is rejected, and why.
#[derive(Clone, Debug)]
struct Case {
    key: Field,
    value: Field,
    /// More members of the record's JSON text.
    rest: &'static str,
    code: &'static str,
    message: String,
    /// Whether key and value can be told, to be kept beside the record's text.
    is_decodable: bool,
}

/// A record's key or value.
#[derive(Clone, Debug)]
enum Field {
    Absent,
    /// What the producer wrote.
    Bytes(Vec<u8>),
    /// What stands in the event in place of its base64.
    Json(&'static str),
}

impl From<&str> for Field {
    fn from(text: &str) -> Self {
        Self::Bytes(text.as_bytes().to_vec())
    }
}

impl From<String> for Field {
    fn from(text: String) -> Self {
        Self::Bytes(text.into_bytes())
    }
}

impl From<&[u8]> for Field {
    fn from(bytes: &[u8]) -> Self {
        Self::Bytes(bytes.to_vec())
    }
}

impl Field {
    fn json(&self) -> String {
        match self {
            Self::Absent => "null".to_owned(),
            Self::Bytes(bytes) => format!("\"{}\"", STANDARD.encode(bytes)),
            Self::Json(json) => (*json).to_owned(),
        }
    }

    /// The attribute that holds it in the quarantine.
    fn attribute(&self) -> Value {
        match self {
            Self::Bytes(bytes) => json!({"B": STANDARD.encode(bytes)}),
            Self::Absent | Self::Json(_) => Value::Null,
        }
    }
}

impl Case {
    fn new(
        key: impl Into<Field>,
        value: impl Into<Field>,
        code: &'static str,
        message: impl Into<String>,
    ) -> Self {
        Self {
            key: key.into(),
            value: value.into(),
            rest: "",
            code,
            message: message.into(),
            is_decodable: !UNDECODABLE.contains(&code),
        }
    }
}

/// Why a record cannot be decoded at all.
const UNDECODABLE: [&str; 6] = [
    "KEY_NOT_A_STRING",
    "VALUE_NOT_A_STRING",
    "INVALID_BASE64_KEY",
    "INVALID_BASE64_VALUE",
    "MALFORMED_HEADERS",
    "INVALID_EPOCH",
];

const PARTITION: i32 = 4;
const TIMESTAMP: i64 = 1_763_700_000_000;

/// A sink that says it has no deletes, and whose mapping makes one all the same, deletes nothing.
#[tokio::test]
async fn a_delete_where_there_are_none_is_rejected() {
    let sink = Sink { map: |_, _| Ok(Mapped::Delete { key: "A".to_owned() }), ..APPIAN_SINK };
    let dynamodb = dynamodb().await;
    let item = json!({"PK": {"S": "A"}, "SK": {"S": "A"}});
    dynamodb.put(APPIAN, &item);
    let mut handler = handler(&dynamodb.endpoint(), sink, &[]).await;
    let record = text(&sink, 1, &Field::Absent, &"{}".into(), "");
    let landed = handler.land(event(&[record]).as_bytes(), Some(TIME)).await.unwrap();
    assert_eq!(landed.summary.outcomes, [Outcome::Quarantined]);
    assert_eq!(dynamodb.items(QUARANTINE)[0]["reason"]["S"], "UNEXPECTED_DELETE");
    assert_eq!(dynamodb.items(APPIAN), [item]);
}

/// A record's JSON text, spaced as no serializer would.
fn text(sink: &Sink, offset: usize, key: &Field, value: &Field, rest: &str) -> String {
    let (topic, key, value) = (sink.topic, key.json(), value.json());
    format!(
        r#"{{"topic":"{topic}", "partition" :{PARTITION},"offset":{offset},  "timestamp":{TIMESTAMP},"key":{key} ,"value":{value}{rest}}}"#
    )
}

/// An event of these records, all of one partition.
fn event(records: &[String]) -> String {
    format!(r#"{{"eventSource":"aws:kafka","records":{{"p":[{}]}}}}"#, records.join(" ,\n"))
}

/// Sends the cases in one event, between records that are written; the latter come from `good`, which makes key and
/// value of a number.
async fn check(sink: Sink, cases: &[Case], good: fn(usize) -> (Field, Field)) {
    let dynamodb = dynamodb().await;
    let mut handler = handler(&dynamodb.endpoint(), sink, &[("EPOCH", "3")]).await;
    let mut texts = Vec::new();
    let mut expected = Vec::new();
    for (number, case) in cases.iter().enumerate() {
        let (key, value) = good(number);
        texts.push(text(&sink, 2 * number, &key, &value, ""));
        texts.push(text(&sink, 2 * number + 1, &case.key, &case.value, case.rest));
        expected.extend([Outcome::Written, Outcome::Quarantined]);
    }
    let landed = handler.land(event(&texts).as_bytes(), Some(TIME)).await.unwrap();
    assert_eq!(landed.answer.unwrap(), Response::default());
    let entries: BTreeMap<String, Value> = dynamodb
        .items(QUARANTINE)
        .into_iter()
        .map(|entry| (entry["SK"]["S"].as_str().unwrap().to_owned(), entry))
        .collect();
    for (number, (case, outcomes)) in
        cases.iter().zip(landed.summary.outcomes.chunks(2)).enumerate()
    {
        let offset = 2 * number + 1;
        let sort_key = format!("0000000003-{offset:020}-{TIMESTAMP:020}");
        let Some(entry) = entries.get(&sort_key) else {
            assert_eq!(outcomes, [Outcome::Written, Outcome::Quarantined], "{case:?}");
            continue;
        };
        assert_eq!(entry["PK"]["S"], format!("{}-{PARTITION}", sink.topic));
        let found = [&entry["reason"], &entry["message"]].map(|it| it["S"].as_str().unwrap());
        assert_eq!(found, [case.code, &case.message]);
        assert_eq!(outcomes, [Outcome::Written, Outcome::Quarantined], "{}", case.message);
        let numbers = ["offset", "partition", "timestamp", "epoch", "attempts"]
            .map(|name| entry[name]["N"].as_str().unwrap().parse::<i64>().unwrap());
        let offset_number = i64::try_from(offset).unwrap();
        assert_eq!(numbers, [offset_number, PARTITION.into(), TIMESTAMP, 3, 1]);
        let texts_of = ["sink", "topic"].map(|name| entry[name]["S"].as_str().unwrap());
        assert_eq!(texts_of, [sink.name, sink.topic]);

        // A large record is split; its parts follow the head.
        let is_part = |(key, _): &(&String, &Value)| key.starts_with(&format!("{sort_key}#"));
        let parts = entries.iter().filter(is_part).map(|(_, part)| part);
        let pieces: Vec<u8> = parts
            .chain([entry])
            .filter_map(|part| part["record"]["B"].as_str())
            .flat_map(|piece| STANDARD.decode(piece).unwrap())
            .collect();
        assert!(pieces == texts[offset].as_bytes(), "the text of {}", case.message);

        let is_decoded = case.is_decodable && entry["parts"]["N"] == "0";
        let [key, value] = [&case.key, &case.value]
            .map(|field| if is_decoded { field.attribute() } else { Value::Null });
        assert_eq!([&entry["key"], &entry["value"]], [&key, &value], "{}", case.message);
    }
    assert_eq!(landed.summary.outcomes, expected);
}
