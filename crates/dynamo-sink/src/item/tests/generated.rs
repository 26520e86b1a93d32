//! Generated texts, whose encoding the generator knows by building it a second time, value by value.

use proptest::prelude::*;

use crate::item::{Item, ItemError, Outline, encode};

/// A value in both forms.
#[derive(Clone, Debug)]
struct Value {
    json: String,
    typed: String,
    size: usize,
}

/// Text as it stands between quotes: as it may come, with the fewest escapes, and the bytes that it stands for.
#[derive(Clone, Debug)]
struct Text {
    spelled: String,
    canonical: String,
    size: usize,
}

fn text() -> impl Strategy<Value = Text> {
    let character = prop_oneof![4 => proptest::char::range('a', 'z'), 1 => any::<char>()];
    let spelled_character = (character, 0..4_u8).prop_map(|(character, spelling)| {
        let canonical = match character {
            '"' | '\\' => format!("\\{character}"),
            '\0'..' ' => format!("\\u{:04x}", u32::from(character)),
            _ => character.to_string(),
        };
        let spelled = match spelling {
            0 => escape_units(character),
            1 if character == '/' => "\\/".to_owned(),
            _ => canonical.clone(),
        };
        Text { spelled, canonical, size: character.len_utf8() }
    });
    proptest::collection::vec(spelled_character, 0..40).prop_map(|characters| Text {
        spelled: characters.iter().map(|character| &*character.spelled).collect(),
        canonical: characters.iter().map(|character| &*character.canonical).collect(),
        size: characters.iter().map(|character| character.size).sum(),
    })
}

/// The escapes of a character's UTF-16 units.
fn escape_units(character: char) -> String {
    let mut units = [0; 2];
    let escape = |unit: &mut u16| format!("\\u{unit:04X}");
    character.encode_utf16(&mut units).iter_mut().map(escape).collect::<Vec<_>>().concat()
}

/// A number of up to 38 digits, with its point moved by an exponent.
fn number() -> impl Strategy<Value = Value> {
    let digits = prop_oneof![Just(0), 0..1_000_u128, 0..10_u128.pow(19), 0..10_u128.pow(38)];
    (any::<bool>(), digits, 0..38_usize, -40..40_i32).prop_map(
        |(is_negative, digits, n_fraction, exponent)| {
            let sign = if is_negative { "-" } else { "" };
            let written = format!("{digits:0>width$}", width = n_fraction + 1);
            let (integer, fraction) = written.split_at(written.len() - n_fraction);
            let json = match (n_fraction, exponent) {
                (0, 0) => format!("{sign}{integer}"),
                (0, _) => format!("{sign}{integer}e{exponent}"),
                (_, 0) => format!("{sign}{integer}.{fraction}"),
                _ => format!("{sign}{integer}.{fraction}E{exponent:+04}"),
            };

            // Long enough a row of digits around the point to move it anywhere.
            let row = format!("{:0>100}{integer}{fraction}{:0>100}", "", "");
            let point = 100 + integer.len().cast_signed() + isize::try_from(exponent).unwrap();
            let (before, after) = row.split_at(point.unsigned_abs());
            let (before, after) = (before.trim_start_matches('0'), after.trim_end_matches('0'));
            let significant = format!("{before}{after}");
            let significant = significant.trim_matches('0');
            let text = if significant.is_empty() {
                "0".to_owned()
            } else if before.len() > 38 || after.len() > 38 {
                let (first, others) = significant.split_at(1);
                let others = if others.is_empty() { String::new() } else { format!(".{others}") };
                let zeros = after.len() - after.trim_start_matches('0').len();
                let power = if before.is_empty() {
                    -(zeros.cast_signed() + 1)
                } else {
                    before.len().cast_signed() - 1
                };
                format!("{sign}{first}{others}E{power}")
            } else {
                let before = if before.is_empty() { "0" } else { before };
                let point = if after.is_empty() { "" } else { "." };
                format!("{sign}{before}{point}{after}")
            };

            // Zeros count only between significant digits.
            let (before, after) = match (before.is_empty(), after.is_empty()) {
                (false, false) => (before, after),
                (_, true) => (before.trim_end_matches('0'), after),
                (true, _) => (before, after.trim_start_matches('0')),
            };
            let sign_size = usize::from(is_negative && text != "0");
            let size = 1 + sign_size + before.len().div_ceil(2) + after.len().div_ceil(2);
            Value { json, typed: format!(r#"{{"N":"{text}"}}"#), size }
        },
    )
}

fn space() -> impl Strategy<Value = &'static str> {
    prop_oneof![6 => Just(""), 1 => Just(" "), 1 => Just("\r\n\t")]
}

fn value() -> impl Strategy<Value = Value> {
    let constant =
        |json: &str, typed: &str| Value { json: json.to_owned(), typed: typed.to_owned(), size: 1 };
    let string = |text: Text| Value {
        json: format!("\"{}\"", text.spelled),
        typed: format!(r#"{{"S":"{}"}}"#, text.spelled),
        size: text.size,
    };
    let scalar = prop_oneof![
        Just(constant("null", r#"{"NULL":true}"#)),
        Just(constant("true", r#"{"BOOL":true}"#)),
        Just(constant("false", r#"{"BOOL":false}"#)),
        text().prop_map(string),
        number(),
    ];
    scalar.prop_recursive(4, 40, 6, |inner| {
        let list = (proptest::collection::vec(inner.clone(), 0..6), space()).prop_map(
            |(elements, space)| {
                let json: Vec<&str> = elements.iter().map(|element| &*element.json).collect();
                let typed: Vec<&str> = elements.iter().map(|element| &*element.typed).collect();
                Value {
                    json: format!("[{space}{}{space}]", json.join(&format!("{space},{space}"))),
                    typed: format!(r#"{{"L":[{}]}}"#, typed.join(",")),
                    size: 3 + elements.iter().map(|element| element.size + 1).sum::<usize>(),
                }
            },
        );
        let map = (members(inner), space()).prop_map(|(members, space)| Value {
            json: object_json(&members, space),
            typed: format!(r#"{{"M":{{{}}}}}"#, typed_members(&members)),
            size: 3 + members.iter().map(|(name, value)| name.size + value.size + 1).sum::<usize>(),
        });
        prop_oneof![list, map]
    })
}

/// Members of different names.
fn members(value: impl Strategy<Value = Value>) -> impl Strategy<Value = Vec<(Text, Value)>> {
    proptest::collection::vec((text(), value), 0..6).prop_map(|mut members| {
        for (n, (name, _)) in members.iter_mut().enumerate() {
            // What stands in front makes them different, and no reserved names.
            name.spelled.insert_str(0, &n.to_string());
            name.canonical.insert_str(0, &n.to_string());
            name.size += 1;
        }
        members
    })
}

fn object_json(members: &[(Text, Value)], space: &str) -> String {
    let member = |(name, value): &(Text, Value)| {
        format!("\"{}\"{space}:{space}{}", name.spelled, value.json)
    };
    let members: Vec<String> = members.iter().map(member).collect();
    format!("{{{space}{}{space}}}", members.join(&format!("{space},{space}")))
}

fn typed_members(members: &[(Text, Value)]) -> String {
    let member = |(name, value): &(Text, Value)| format!("\"{}\":{}", name.canonical, value.typed);
    members.iter().map(member).collect::<Vec<_>>().join(",")
}

fn encode_plain(json: &[u8]) -> Result<Item, ItemError> {
    encode(json, &Outline::default()).map(|encoded| encoded.item)
}

/// Texts that are nearly JSON.
fn nearly_json() -> impl Strategy<Value = Vec<u8>> {
    let token = prop_oneof![
        8 => proptest::sample::select(vec![
            "{", "}", "[", "]", ",", ":", "\"a\"", "\"b\"", "\"\"", "1", "-0", "1.5", "1e5", "01", "-", ".", "null", "true",
            "false", "tru", " ", "\n", "\"\\u0041\"", "\"\\ud800\"", "\"\\x\"", "\"", "\\", "\u{feff}", "é", "\0",
        ]).prop_map(|token| token.as_bytes().to_vec()),
        1 => any::<u8>().prop_map(|byte| vec![byte]),
    ];
    let tokens = proptest::collection::vec(token, 0..12).prop_map(|tokens| tokens.concat());
    let broken = (members(value()), any::<proptest::sample::Index>(), any::<u8>()).prop_map(
        |(members, at, byte)| {
            let mut json = object_json(&members, "").into_bytes();
            let at = at.index(json.len());
            json[at] = byte;
            json
        },
    );
    prop_oneof![
        tokens.clone(),
        tokens.prop_map(|tokens| [b"{\"a\":", &*tokens, b"}"].concat()),
        broken
    ]
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn generated_objects_are_encoded_exactly(members in members(value()), space in space()) {
        let json = object_json(&members, space);
        let item = encode_plain(json.as_bytes()).unwrap();
        prop_assert_eq!(item.json(), typed_members(&members));
        prop_assert_eq!(item.size(), members.iter().map(|(name, value)| name.size + value.size).sum::<usize>());

        // The digits in front of the names keep them in order.
        let expected: Vec<_> = members.iter().map(|(name, value)| (&*name.canonical, &*value.typed)).collect();
        let found: Vec<_> = item.members().map(|member| (member.name_json, member.value_json)).collect();
        prop_assert_eq!(found, expected);
    }

    #[test]
    fn arbitrary_bytes_are_encoded_or_refused(bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
        let _ = encode_plain(&bytes);
        let _ = super::decode_json_string(&bytes);
    }

    /// `serde_json` reads what is encoded, and refuses what is refused as no JSON.
    #[test]
    fn only_json_is_encoded(json in nearly_json()) {
        let read: Result<serde_json::Value, _> = serde_json::from_slice(&json);
        // It has no numbers beyond the range of a float, which are JSON all the same.
        prop_assume!(!read.as_ref().is_err_and(|error| error.to_string().starts_with("number out of range")));

        let result = encode_plain(&json);
        match &result {
            Ok(_) | Err(ItemError::NotAnObject) => prop_assert!(read.is_ok()),
            Err(ItemError::InvalidUtf8 { .. } | ItemError::InvalidJson { .. } | ItemError::LoneSurrogate { .. }) => {
                prop_assert!(read.is_err());
            }
            // What the store cannot hold may be refused before the end of the text is seen.
            Err(_) => {}
        }
        let is_string = read.is_ok_and(|value| value.is_string());
        prop_assert_eq!(super::decode_json_string(&json).is_ok(), is_string);
    }
}
