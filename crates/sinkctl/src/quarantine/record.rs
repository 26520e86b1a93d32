//! An entry's record as the function is to get it again.

use std::{collections::BTreeMap, slice};

use kafka_event::Event;
use serde_json::Value;

use super::{entry::Head, store::Entry, summary::Why};

/// The record of an entry as Lambda delivered it, and with the epoch of its entry; or why it cannot be delivered.
pub fn redelivered(entry: &Entry) -> Result<String, Why> {
    let text = entry.record.as_deref().ok_or(Why::Incomplete)?;
    let text = str::from_utf8(text).map_err(|_| Why::Unreadable)?;
    // Of a member that stands twice the last one counts, so the rest stays as it came.
    let members = text.trim_end().strip_suffix('}').ok_or(Why::Unreadable)?;
    let redelivered = format!("{members},\"epoch\":{}}}", entry.head.epoch);
    let event = event(slice::from_ref(&(&entry.head, &redelivered)));
    let is_of_entry = Event::read(event.as_bytes()).is_ok_and(|event| match &event.records[..] {
        [record] => {
            let Head { topic, partition, offset, epoch, .. } = &entry.head;
            (record.topic(), record.partition(), record.offset(), record.epoch())
                == (topic, *partition, *offset, Some(*epoch))
        }
        _ => false,
    });
    if is_of_entry { Ok(redelivered) } else { Err(Why::Unreadable) }
}

/// The event of these records, each partition's in their order.
pub fn event(records: &[(&Head, &String)]) -> String {
    let mut partitions = BTreeMap::<_, Vec<&str>>::new();
    for (head, record) in records {
        let name = Value::from(format!("{}-{}", head.topic, head.partition));
        partitions.entry(name.to_string()).or_default().push(record);
    }
    let partitions = partitions.iter();
    let partitions = partitions.map(|(name, records)| format!("{name}:[{}]", records.join(",")));
    let partitions = partitions.collect::<Vec<_>>().join(",");
    format!(r#"{{"eventSource":"SelfManagedKafka","records":{{{partitions}}}}}"#)
}

#[cfg(test)]
mod tests {
    use super::*;

    const RECORD: &str = r#"{"topic":"a-b","partition":3,"offset":7,"key":"IkEi"}"#;

    #[test]
    fn a_record_gets_the_epoch_of_its_entry() {
        #[track_caller]
        fn check(text: Option<&str>, expected: Result<&str, Why>) {
            let record = text.map(|text| text.as_bytes().to_vec());
            let entry = Entry { head: Head::example(), record, items: Vec::new() };
            assert_eq!(redelivered(&entry), expected.map(str::to_owned));
        }

        let unreadable = Err(Why::Unreadable);
        let with_epoch = r#"{"topic":"a-b","partition":3,"offset":7,"key":"IkEi","epoch":1}"#;
        check(Some(RECORD), Ok(with_epoch));
        check(Some(&format!("{RECORD}\n")), Ok(with_epoch));
        check(None, Err(Why::Incomplete));
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
            let text = |Head { partition, offset, .. }: &Head| {
                format!(r#"{{"topic":"a-b","partition":{partition},"offset":{offset}}}"#)
            };
            let texts: Vec<_> = heads.iter().map(text).collect();
            let records: Vec<_> = heads.iter().zip(&texts).collect();
            let event = event(&records);
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
}
