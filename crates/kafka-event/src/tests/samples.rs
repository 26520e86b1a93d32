//! The sample events of the workspace.

use std::{collections::BTreeSet, fmt::Write as _, fs, path::Path};

use expect_test::expect;

use crate::{Event, Record, RecordError};

/// Every sample is an event, no two records share a place, and only the poison is rejected: here
/// for what a sink never sees, and by the sinks for the rest.
#[test]
fn samples_are_read() {
    let directory = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../events");
    let mut paths: Vec<_> = fs::read_dir(directory).unwrap().map(|it| it.unwrap().path()).collect();
    paths.sort();

    let mut places = BTreeSet::new();
    let mut found = String::new();
    for path in paths {
        let payload = fs::read(&path).unwrap();
        let event = Event::read(&payload).unwrap();
        let (source, origin) = (event.source, if event.is_from_pipe { " by a pipe" } else { "" });
        let name = path.file_name().unwrap().to_str().unwrap();
        writeln!(found, "{name}: {} records from {source:?}{origin}", event.records.len()).unwrap();

        for record in &event.records {
            let place = (record.topic().to_owned(), record.partition(), record.offset());
            assert!(places.insert(place), "{name} repeats offset {}", record.offset());
            if let Err(error) = record.decode().and_then(|record| read_json(&record)) {
                writeln!(found, "  {}: {}", error.coordinates.offset, error.code()).unwrap();
            }
        }
    }
    expect![[r#"
        appian-out-of-order.json: 6 records from SelfManagedKafka
        appian-pipe.json: 3 records from AmazonMsk by a pipe
        appian-poison.json: 45 records from SelfManagedKafka
          41007: INVALID_BASE64_VALUE
          41008: INVALID_BASE64_KEY
          41009: VALUE_NOT_A_STRING
          41010: KEY_NOT_A_STRING
          41011: MALFORMED_HEADERS
          41012: INVALID_EPOCH
          41013: SCHEMA_ENCODED_VALUE
          41014: SCHEMA_ENCODED_VALUE
        appian.json: 9 records from SelfManagedKafka
        seatool-headers.json: 4 records from SelfManagedKafka
        seatool-legacy.json: 10 records from SelfManagedKafka
        seatool-msk.json: 6 records from AmazonMsk
        seatool-pipe.json: 4 records from SelfManagedKafka by a pipe
        seatool-poison.json: 45 records from SelfManagedKafka
          8002: INVALID_BASE64_KEY
          8003: INVALID_BASE64_VALUE
          8004: INVALID_BASE64_VALUE
          8005: KEY_NOT_A_STRING
          8006: VALUE_NOT_A_STRING
          8008: MALFORMED_HEADERS
          8009: MALFORMED_HEADERS
          8010: MALFORMED_HEADERS
          8011: INVALID_EPOCH
          8012: SCHEMA_ENCODED_KEY
          8013: SCHEMA_ENCODED_VALUE
          8014: SCHEMA_ENCODED_VALUE
        seatool.json: 14 records from SelfManagedKafka
    "#]]
    .assert_eq(&found);
}

fn read_json(record: &Record<'_>) -> Result<(), RecordError> {
    record.json_key()?;
    record.json_value()?;
    Ok(())
}
