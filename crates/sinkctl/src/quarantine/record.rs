//! An entry's record: as the function is to get it again, and decoded.

use kafka_event::{EncodedRecord, Event, Record};

use super::store::Entry;
use crate::entry::Head;

/// A record as it is delivered again: as Lambda delivered it, and with the epoch of its entry.
#[derive(Clone, PartialEq, Eq)]
pub struct Redelivered {
    text: String,
}

/// Why an entry's record cannot be delivered again.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Broken {
    /// A part of it is missing.
    Incomplete,
    /// It is not what its entry says, so that somebody else wrote it.
    Unreadable,
}

/// Shows nothing: records must not reach a log.
impl std::fmt::Debug for Redelivered {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Redelivered").finish_non_exhaustive()
    }
}

impl Redelivered {
    /// The record of an entry.
    pub fn new(entry: &Entry) -> Result<Self, Broken> {
        let text = entry.record.as_deref().ok_or(Broken::Incomplete)?;
        let text = str::from_utf8(text).map_err(|_| Broken::Unreadable)?;
        // Of a member that stands twice the last one counts, so the rest stays as it came.
        let members = text.trim_end().strip_suffix('}').ok_or(Broken::Unreadable)?;
        let redelivered = Self { text: format!("{members},\"epoch\":{}}}", entry.head.epoch) };
        let event = event(&entry.head.topic, std::slice::from_ref(&(&entry.head, &redelivered)));
        let is_of_entry = Event::read(event.as_bytes()).is_ok_and(|event| {
            let mut records = event.records.iter();
            let record = records.next().filter(|_| records.next().is_none());
            record.is_some_and(|record| {
                let Head { topic, partition, offset, epoch, .. } = &entry.head;
                (record.topic(), record.partition(), record.offset(), record.epoch())
                    == (topic, *partition, *offset, Some(*epoch))
            })
        });
        if is_of_entry { Ok(redelivered) } else { Err(Broken::Unreadable) }
    }
}

/// The event of these records of a topic, each partition's in their order.
pub fn event(topic: &str, records: &[(&Head, &Redelivered)]) -> String {
    let mut event = r#"{"eventSource":"SelfManagedKafka","records":{"#.to_owned();
    let mut partition = None;
    for (head, record) in records {
        if partition == Some(head.partition) {
            event.push(',');
        } else {
            event.push_str(if partition.is_some() { "]," } else { "" });
            partition = Some(head.partition);
            let key = serde_json::Value::from(format!("{topic}-{}", head.partition));
            event.extend([&key.to_string(), ":["]);
        }
        event.push_str(&record.text);
    }
    event.push_str(if partition.is_some() { "]}}" } else { "}}" });
    event
}

/// Decodes the record of an entry and gives it to `look`, or in words why it cannot be decoded.
pub fn decoded<T>(entry: &Entry, look: impl FnOnce(Result<&Record<'_>, &str>) -> T) -> T {
    let redelivered = match Redelivered::new(entry) {
        Ok(redelivered) => redelivered,
        Err(Broken::Incomplete) => return look(Err("a part of it is missing")),
        Err(Broken::Unreadable) => return look(Err("it is no record of this entry")),
    };
    let event = event(&entry.head.topic, &[(&entry.head, &redelivered)]);
    let event = Event::read(event.as_bytes());
    let record = event.iter().flat_map(|event| &event.records).next();
    match record.map(EncodedRecord::decode) {
        Some(Ok(record)) => look(Ok(&record)),
        Some(Err(error)) => look(Err(&error.kind.to_string())),
        None => look(Err("it is no record of this entry")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn entry(text: Option<&str>) -> Entry {
        let record = text.map(|text| text.as_bytes().to_vec());
        Entry { head: Head::example(), record, items: Vec::new() }
    }

    const RECORD: &str = r#"{"topic":"a-b","partition":3,"offset":7,"key":"IkEi"}"#;

    #[test]
    fn a_record_gets_the_epoch_of_its_entry() {
        #[track_caller]
        fn check(text: Option<&str>, expected: Result<&str, Broken>) {
            let redelivered = Redelivered::new(&entry(text));
            let text = redelivered.as_ref().map(|it| it.text.as_str());
            assert_eq!(text.map_err(|error| *error), expected);
        }

        let unreadable = Err(Broken::Unreadable);
        let with_epoch = r#"{"topic":"a-b","partition":3,"offset":7,"key":"IkEi","epoch":1}"#;
        check(Some(RECORD), Ok(with_epoch));
        check(Some(&format!("{RECORD}\n")), Ok(with_epoch));
        check(None, Err(Broken::Incomplete));
        // It was redriven before, or is what was rejected.
        let epoch = r#""epoch":1"#;
        let again = r#"{"topic":"a-b","partition":3,"offset":7,"epoch":9,"epoch":1}"#;
        check(Some(&again.replace(&format!(",{epoch}"), "")), Ok(again));
        let odd = r#"{"topic":"a-b","partition":3,"offset":7,"epoch":"x","epoch":1}"#;
        check(Some(&odd.replace(&format!(",{epoch}"), "")), Ok(odd));
        // What Lambda would fail the event for, or another record.
        for (part, other) in
            [("\"offset\":7", "\"offset\":8"), ("a-b", "b"), ("3", "4"), ("7", "x"), ("{", "")]
        {
            check(Some(&RECORD.replacen(part, other, 1)), unreadable);
        }
        check(Some(""), unreadable);
        check(Some("{}"), unreadable);
        check(Some(&format!("{RECORD},{RECORD}")), unreadable);
    }

    #[test]
    fn events_are_grouped_by_partition() {
        #[track_caller]
        fn check(places: &[(i32, i64)], expected: &[&str]) {
            let heads: Vec<_> = places
                .iter()
                .map(|&(partition, offset)| Head { partition, offset, ..Head::example() })
                .collect();
            let text = |head: &Head| Redelivered {
                text: format!(
                    r#"{{"topic":"a-b","partition":{},"offset":{}}}"#,
                    head.partition, head.offset
                ),
            };
            let texts: Vec<_> = heads.iter().map(text).collect();
            let records: Vec<_> = heads.iter().zip(&texts).collect();
            let event = event("a-b", &records);
            let event = Event::read(event.as_bytes()).unwrap();
            let found = event.records.iter();
            let found: Vec<_> =
                found.map(|it| format!("{}@{}", it.partition(), it.offset())).collect();
            assert_eq!(found, expected);
        }

        check(&[], &[]);
        check(&[(3, 7)], &["3@7"]);
        check(&[(3, 7), (3, 9), (4, 1)], &["3@7", "3@9", "4@1"]);
    }

    #[test]
    fn records_are_decoded_where_they_can_be() {
        #[track_caller]
        fn check(text: Option<&str>, expected: Result<&[u8], &str>) {
            decoded(&entry(text), |found| {
                assert_eq!(found.map(|record| record.key.as_deref().unwrap_or_default()), expected);
            });
        }

        check(Some(RECORD), Ok(b"\"A\""));
        check(None, Err("a part of it is missing"));
        check(Some("{}"), Err("it is no record of this entry"));
        check(
            Some(&RECORD.replace("IkEi", "?")),
            Err("`key` is not valid base64 at byte 0 of its text"),
        );
    }
}
