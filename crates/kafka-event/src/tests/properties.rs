//! What holds for every event, and for bytes that are hardly one.

use proptest::{
    collection::vec,
    prelude::*,
    sample::{Index, select},
};

use super::generated::{decoded, mapping_event, pipe_event, records, sorted};
use crate::{Event, EventSource, raw_records};

proptest! {
    #[test]
    fn mapping_events_read_back_exactly(records in records()) {
        let payload = mapping_event(&records).to_string();
        let event = Event::read(payload.as_bytes()).unwrap();
        prop_assert_eq!((event.source, event.is_from_pipe), (EventSource::SelfManagedKafka, false));
        prop_assert_eq!(event.records.len(), records.len());
        prop_assert_eq!(sorted(&decoded(&event)), sorted(&records));
    }

    #[test]
    fn pipe_events_read_back_exactly(records in records()) {
        let payload = pipe_event(&records).to_string();
        let Ok(event) = Event::read(payload.as_bytes()) else {
            prop_assert!(records.is_empty());
            return Ok(());
        };
        prop_assert_eq!((event.source, event.is_from_pipe), (EventSource::AmazonMsk, true));
        prop_assert_eq!(decoded(&event), records);
    }

    /// A value that the JSON parser itself refuses costs its own record only.
    #[test]
    fn an_unreadable_member_spares_the_other_records(
        records in records(),
        place: Index,
        unreadable in select(vec!["1e999", r#""\ud800""#, r#"[{"\udfff": [1]}]"#, r#"{"a": -1e400}"#]),
        member in select(vec!["key", "value", "headers"]),
    ) {
        let mut texts: Vec<String> = pipe_event(&records).as_array().unwrap().iter().map(ToString::to_string).collect();
        let poison = format!(r#"{{"eventSource": "aws:kafka", "topic": "poison", "partition": 7, "offset": 7, "{member}": {unreadable}}}"#);
        texts.insert(place.index(records.len() + 1), poison);
        let payload = format!("[{}]", texts.join(","));

        let mut event = Event::read(payload.as_bytes()).unwrap();
        let place = event.records.iter().position(|it| it.topic() == "poison").unwrap();
        let error = event.records.remove(place).decode().unwrap_err();
        prop_assert_eq!(error.coordinates.to_string(), "poison-7 offset 7");
        prop_assert_eq!(decoded(&event), records);
    }

    #[test]
    fn broken_events_do_no_harm(records in records(), pipe: bool, edits in vec((any::<Index>(), token()), 0..6)) {
        let event = if pipe { pipe_event(&records) } else { mapping_event(&records) };
        let mut payload = event.to_string().into_bytes();
        for (place, token) in edits {
            let place = place.index(payload.len());
            let end = payload.len().min(place + token.len() % 3);
            payload.splice(place..end, token);
        }
        read_everything(&payload);
    }

    #[test]
    fn tokens_in_any_order_do_no_harm(tokens in vec(token(), 0..40)) {
        read_everything(&tokens.concat());
    }
}

/// Pieces of events, and bytes that are none.
fn token() -> impl Strategy<Value = Vec<u8>> {
    let pieces = [
        "{",
        "}",
        "[",
        "]",
        ",",
        ":",
        "\"",
        "\\",
        "null",
        "true",
        "0",
        "-1",
        "1e999",
        "1.5",
        "\"\\ud800\"",
        "\"\\u0041\"",
        "\"\"",
        "\"eventSource\":\"aws:kafka\",",
        "\"records\":",
        "\"topic\":\"t\",",
        "\"partition\":0,",
        "\"offset\":1,",
        "\"key\":",
        "\"value\":\"e30=\",",
        "\"headers\":[{\"h\":[1]}],",
        "{\"eventSource\":\"aws:kafka\",\"records\":{\"t-0\":[",
        "{\"topic\":\"t\",\"partition\":0,\"offset\":1,\"x\":0},",
    ];
    prop_oneof![
        4 => select(pieces.map(|piece| piece.as_bytes().to_vec()).to_vec()),
        1 => vec(any::<u8>(), 0..4),
    ]
}

/// Reads and decodes as far as it goes; what was read must be what stands in the payload.
fn read_everything(payload: &[u8]) {
    let Ok(event) = Event::read(payload) else {
        return;
    };
    let raw = raw_records(payload).unwrap();
    assert_eq!(raw.len(), event.records.len());
    for (record, raw) in event.records.iter().zip(raw) {
        // The raw text of a record says what the record says.
        let alone = format!(r#"{{"eventSource": "aws:kafka", "records": {{"": [{raw}]}}}}"#);
        let alone = Event::read(alone.as_bytes()).unwrap();
        let again = &alone.records[0];
        assert_eq!(
            (again.topic(), again.partition(), again.offset()),
            (record.topic(), record.partition(), record.offset())
        );
        assert_eq!(again.decode(), record.decode());

        if let Ok(record) = record.decode() {
            let _ = (record.json_key(), record.json_value());
        }
    }
}
