//! Records that cannot be written, one of each kind, with the reason that the quarantine is to give.

use crate::record::Source;

#[derive(Clone, Debug)]
pub(crate) struct Poison {
    pub(crate) key: Option<Vec<u8>>,
    pub(crate) value: Option<Vec<u8>>,
    pub(crate) reason: &'static str,
}

/// All kinds that a topic can hold; what only an event can be wrong about is not among them.
pub(crate) fn all(source: Source) -> Vec<Poison> {
    match source {
        Source::Appian => appian(),
        Source::Seatool => seatool(),
    }
}

fn appian() -> Vec<Poison> {
    let value = |value: Option<String>, reason| Poison {
        key: None,
        value: value.map(String::into_bytes),
        reason,
    };
    let payload =
        |payload: &str, reason| value(Some(format!(r#"{{"payload":{payload}}}"#)), reason);
    let mut poisons = vec![
        value(None, "NULL_VALUE"),
        value(Some(String::new()), "NULL_VALUE"),
        value(Some("null".to_owned()), "NULL_VALUE"),
        payload("null", "NULL_VALUE"),
        value(Some(r#"{"PCKG_ID":1}"#.to_owned()), "INVALID_PAYLOAD"),
        payload("[1]", "INVALID_PAYLOAD"),
        payload("{}", "MISSING_PACKAGE_ID"),
        payload(r#"{"PCKG_ID":true}"#, "INVALID_PACKAGE_ID"),
        payload(r#"{"PCKG_ID":1.5}"#, "INVALID_PACKAGE_ID"),
        payload(r#"{"PCKG_ID":1,"REPLICA_TIMESTAMP":"today"}"#, "INVALID_SOURCE_TIME"),
        payload(r#"{"PCKG_ID":""}"#, "EMPTY_KEY"),
        payload(&format!(r#"{{"PCKG_ID":"{}"}}"#, "1".repeat(1025)), "KEY_TOO_LONG"),
    ];
    let any = any_value(r#""payload":{"PCKG_ID":1,"REPLICA_TIMESTAMP":1}"#);
    poisons.extend(any.into_iter().map(|(text, reason)| Poison {
        key: None,
        value: Some(text),
        reason,
    }));
    poisons
}

fn seatool() -> Vec<Poison> {
    let key = |key: Option<&[u8]>, reason| Poison {
        key: key.map(<[u8]>::to_vec),
        value: Some(br#"{"a":1}"#.to_vec()),
        reason,
    };
    let long_key = format!("\"{}\"", "k".repeat(1025));
    let mut poisons = vec![
        key(None, "MISSING_KEY"),
        key(Some(b""), "INVALID_KEY"),
        key(Some(b"MD-22-0001"), "INVALID_KEY"),
        key(Some(b"\"\xe9\""), "INVALID_KEY"),
        key(Some(b"\"\""), "EMPTY_KEY"),
        key(Some(long_key.as_bytes()), "KEY_TOO_LONG"),
        key(Some(b"\0\0\0\0\x10\x02\x14MD-22-0001"), "SCHEMA_ENCODED_KEY"),
    ];
    let any = any_value(r#""STATE_PLAN":{"ID_NUMBER":"MD-22-0001"}"#);
    poisons.extend(any.into_iter().enumerate().map(|(number, (text, reason))| Poison {
        // Keys of good records too: a rejected state must leave the one before it as it is.
        key: Some(format!("\"MD-{:02}-{:05}\"", number % 30, number).into_bytes()),
        value: Some(text),
        reason,
    }));
    poisons
}

/// What no sink accepts, beside `members` that are right.
fn any_value(members: &str) -> Vec<(Vec<u8>, &'static str)> {
    let with = |more: &str| format!("{{{members},{more}}}").into_bytes();
    let nested = format!(r#""a":{}{}"#, "[".repeat(33), "]".repeat(33));
    vec![
        (b"{".to_vec(), "INVALID_JSON"),
        (with(r#""a":NaN"#), "INVALID_JSON"),
        (b"[{}]".to_vec(), "NOT_AN_OBJECT"),
        (b"{\"a\":\"\xff\"}".to_vec(), "INVALID_UTF8"),
        (with(r#""a":"\ud83d.""#), "LONE_SURROGATE"),
        (with(r#""a":1,"\u0061":2"#), "DUPLICATE_MEMBER"),
        (with(r#""":1"#), "EMPTY_MEMBER_NAME"),
        (with(r#""PK":"x""#), "RESERVED_MEMBER"),
        (with(r#""SK":null"#), "RESERVED_MEMBER"),
        (with(r#""_sink":{}"#), "RESERVED_MEMBER"),
        (with(&nested), "NESTED_TOO_DEEP"),
        (with(&format!(r#""a":{}"#, "1".repeat(39))), "NUMBER_TOO_PRECISE"),
        (with(r#""a":1E126"#), "NUMBER_OUT_OF_RANGE"),
        (with(&format!(r#""a":"{}""#, "x".repeat(409_600))), "ITEM_TOO_LARGE"),
        (b"\0\0\0\0\x10\x02\x14plan".to_vec(), "SCHEMA_ENCODED_VALUE"),
    ]
}
