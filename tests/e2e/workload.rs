//! The seeded workload: the same seed gives the same records.

use fastrand::Rng;
use serde_json::{Value, json};

use crate::{
    poison,
    record::{Meaning, Record, Source},
};

/// How much of what is produced.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Workload {
    pub(crate) seed: u64,
    pub(crate) records: usize,
    pub(crate) keys: usize,
    pub(crate) partitions: i32,
    /// Kafka's timestamp of the first record, in milliseconds since 1970; each next one is a millisecond younger.
    pub(crate) first_timestamp: i64,
    /// One record in so many is poison; none if it is 0.
    pub(crate) poison_one_in: usize,
    /// Whether each key has a record before any has a second one.
    pub(crate) covers_keys: bool,
}

/// In a hundred records of a source with deletes.
const DELETES: u32 = 8;
/// In a hundred rows of Appian: those that were changed earlier than one that was produced before.
const LATE: u32 = 10;
/// Every second change is to one of so few keys.
const HOT_SHARE: usize = 20;

impl Workload {
    pub(crate) fn generate(&self, source: Source) -> Vec<Record> {
        let mut rng = Rng::with_seed(self.seed ^ (source as u64) << 32);
        let mut poisons = poison::all(source).into_iter().cycle();
        (0..self.records)
            .map(|index| {
                let is_poison = self.poison_one_in > 0 && rng.usize(..self.poison_one_in) == 0;
                let timestamp = self.first_timestamp + i64::try_from(index).unwrap();
                match poisons.next_if_asked(is_poison) {
                    Some(poison) => {
                        let partition = match source {
                            // A record without a key that its sink accepts would go anywhere too.
                            Source::Seatool if poison.key.is_some() => None,
                            _ => Some(rng.i32(0..self.partitions)),
                        };
                        Record {
                            partition,
                            key: poison.key,
                            value: poison.value,
                            headers: headers(&mut rng, true),
                            timestamp,
                            meaning: Meaning::Poison { reason: poison.reason },
                        }
                    }
                    None => self.good(source, index, timestamp, &mut rng),
                }
            })
            .collect()
    }

    fn good(&self, source: Source, index: usize, timestamp: i64, rng: &mut Rng) -> Record {
        let hot_keys = (self.keys / HOT_SHARE).max(1);
        let key = if self.covers_keys && index < self.keys {
            index
        } else if rng.bool() {
            rng.usize(..hot_keys)
        } else {
            rng.usize(..self.keys.max(1))
        };
        match source {
            Source::Appian => self.row(key, index, timestamp, rng),
            Source::Seatool => state(key, index, timestamp, rng),
        }
    }

    /// A row that Connect read: no key, any partition, in about the order in which rows were changed.
    fn row(&self, package: usize, index: usize, timestamp: i64, rng: &mut Rng) -> Record {
        let late = if rng.u32(..100) < LATE { rng.i64(1..5000) } else { 0 };
        // Some rows are read twice, so that their times are equal and Kafka's decide.
        let source_time = (timestamp - late) / 3 * 3;
        let mut payload = json!({
            "PCKG_ID": package,
            "SPA_ID": format!("MD-{:02}-{package:05}", package % 30),
            "UPDT_TS": source_time - 17,
            "DLTD_FLAG": rng.u8(..2),
            "INVALIDATION_DATE": null,
            "REVISION": index,
            "SUMMARY": text(rng),
        });
        match rng.u8(..20) {
            // Without the replica's time the row's own counts.
            0 => payload["UPDT_TS"] = json!(source_time),
            1 => {
                payload["REPLICA_TIMESTAMP"] = Value::Null;
                payload["UPDT_TS"] = json!(source_time);
            }
            _ => payload["REPLICA_TIMESTAMP"] = json!(source_time),
        }
        let mut value = json!({"payload": payload});
        if rng.u8(..4) == 0 {
            value["schema"] =
                json!({"type": "struct", "fields": [{"field": "PCKG_ID", "type": "int64"}]});
        }
        Record {
            partition: Some(rng.i32(0..self.partitions)),
            key: None,
            value: Some(spelled(&value, index, rng)),
            headers: headers(rng, false),
            timestamp,
            meaning: Meaning::Put {
                key: package.to_string(),
                source_time: u64::try_from(source_time).unwrap(),
            },
        }
    }
}

/// A state that ksqlDB aggregated: keyed by a JSON string, whose hash says which partition.
fn state(plan: usize, index: usize, timestamp: i64, rng: &mut Rng) -> Record {
    let key = if plan % 50 == 7 {
        format!("É \"{plan}\" 🦀")
    } else {
        format!("MD-{:02}-{plan:05}", plan % 30)
    };
    let record = |value, headers, meaning| Record {
        partition: None,
        key: Some(json!(key).to_string().into_bytes()),
        value,
        headers,
        timestamp,
        meaning,
    };
    if rng.u32(..100) < DELETES {
        let value = rng.choice([None, Some(b"".to_vec()), Some(b"null".to_vec())]).flatten();
        return record(value, headers(rng, false), Meaning::Delete { key: key.clone() });
    }
    let mut value = json!({
        "STATE_PLAN": {
            "ID_NUMBER": key,
            "SUBMISSION_DATE": timestamp - 1000,
            "REVISION": index,
            "SUMMARY_MEMO": text(rng),
        },
    });
    // Several shapes, among them one whose names no statement can hold.
    if rng.bool() {
        value["ACTIONTYPES"] = json!([{"ACTION_ID": 85, "ACTION_NAME": "Amend"}, null, true]);
    }
    match rng.u16(..1000) {
        0..50 => value["dotted.name"] = json!({"#": [1]}),
        50..100 => value["LEAD_ANALYST"] = json!([]),
        // DynamoDB Local 3.1 shows it wrongly when it refuses a statement.
        100..150 => value["LEAD_ANALYST"] = json!([{}]),
        _ => {}
    }
    let value = spelled(&value, index, rng);
    record(Some(value), headers(rng, false), Meaning::Put { key: key.clone(), source_time: 0 })
}

/// The value's text, in some records with numbers that no float can hold.
fn spelled(value: &Value, index: usize, rng: &mut Rng) -> Vec<u8> {
    const NUMBERS: [&str; 6] = [
        "12345678901234567890123456789012345678",
        "-0.10",
        "1.5e3",
        "1E-130",
        "9007199254740993",
        "-9.9999999999999999999999999999999999999E+125",
    ];
    let mut text = value.to_string();
    if rng.u8(..4) == 0 {
        let number = NUMBERS[index % NUMBERS.len()];
        text.insert_str(1, &format!("\"AMOUNT\" : {number}, "));
    }
    text.into_bytes()
}

fn text(rng: &mut Rng) -> String {
    const WORDS: [&str; 8] =
        ["Medicaid", "waiver", "renewal", "“quoted”", "line\nbreak", "\\", "Zürich", "🦀"];
    let words = rng.usize(..30);
    (0..words).filter_map(|_| rng.choice(WORDS)).collect::<Vec<_>>().join(" ")
}

/// Names that come twice, no value, and all that a signed byte can be.
fn headers(rng: &mut Rng, always: bool) -> Vec<(String, Option<Vec<u8>>)> {
    if !always && rng.u8(..10) > 0 {
        return Vec::new();
    }
    let name = || "trace".to_owned();
    vec![
        (name(), Some(vec![0, 127, 128, 255, rng.u8(..)])),
        (name(), Some(Vec::new())),
        ("é".to_owned(), Some("zoë".as_bytes().to_vec())),
    ]
}

/// An iterator that goes on only when it is asked to.
trait NextIfAsked: Iterator {
    fn next_if_asked(&mut self, asked: bool) -> Option<Self::Item> {
        if asked { self.next() } else { None }
    }
}

impl<I: Iterator> NextIfAsked for I {}
