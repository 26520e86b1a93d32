//! Any text on its way into an item: what DynamoDB would be sent holds what the text says, within DynamoDB's limits.

use dynamo_sink::item::{
    Encoded, Item, ItemError, MAX_ITEM_SIZE, MAX_LEVELS, MAX_NAME_SIZE, Outline,
    decode_json_string, encode,
};
use serde_json::{Map, Value};

/// Panics where something does not hold.
pub(crate) fn check(text: &[u8]) {
    let value = serde_json::from_slice::<Value>(text).ok();
    match encode(text, &Outline::default()) {
        Ok(Encoded { item, .. }) => {
            let Some(Value::Object(members)) = &value else { panic!("another reader refuses it") };
            check_item(&item, members);
        }
        Err(error) => check_refusal(&error, value.as_ref()),
    }

    // What is left out and picked changes nothing of the rest.
    let pick: &[&[&str]] = &[&["payload", "PCKG_ID"], &["payload"], &["schema"]];
    let outline = Outline { omit: &["schema"], pick };
    if let Ok(Encoded { item, picked }) = encode(text, &outline) {
        assert_eq!(picked.len(), pick.len());
        assert!(picked[2].is_none());
        // Deeper than the other reader goes is only what was left out.
        if let Some(Value::Object(mut members)) = value.clone() {
            members.remove("schema");
            assert_eq!(picked[1].is_some(), members.contains_key("payload"));
            check_item(&item, &members);
        }
    }

    let string = serde_json::from_slice::<String>(text).ok();
    assert_eq!(decode_json_string(text).ok(), string);
}

fn check_refusal(error: &ItemError, value: Option<&Value>) {
    assert!(!error.code().is_empty());
    match error {
        ItemError::InvalidUtf8 { .. }
        | ItemError::InvalidJson { .. }
        | ItemError::LoneSurrogate { .. } => assert!(value.is_none(), "{error}"),
        ItemError::NotAnObject => assert!(!value.is_some_and(Value::is_object)),
        ItemError::ReservedMember { name } => {
            assert!(value.is_none_or(|value| value.get(*name).is_some()));
        }
        _ => {}
    }
}

fn check_item(item: &Item, members: &Map<String, Value>) {
    let json: Value = serde_json::from_str(&format!("{{{}}}", item.json())).unwrap();
    let attributes = json.as_object().unwrap();
    check_names(attributes.keys());
    check_same_names(attributes, members);
    let mut size = 0;
    for (name, attribute) in attributes {
        assert!(!["PK", "SK", "_sink"].contains(&name.as_str()));
        size += name.len() + check_value(attribute, &members[name], 1);
    }
    assert_eq!(item.size(), size);
    assert!(size <= MAX_ITEM_SIZE);

    let names = item.members().map(|member| {
        let name: String = serde_json::from_str(&format!("\"{}\"", member.name_json)).unwrap();
        let value: Value = serde_json::from_str(member.value_json).unwrap();
        assert_eq!(value, attributes[&name]);
        name
    });
    let names: Vec<_> = names.collect();
    assert!(names.is_sorted_by(|one, other| one < other));
    assert_eq!(names.len(), attributes.len());
    let is_word = |name: &String| {
        !name.starts_with(|it: char| it.is_ascii_digit())
            && name.chars().all(|it| it.is_ascii_alphanumeric() || it == '_')
    };
    assert_eq!(item.fits_statement(), names.len() <= 100 && names.iter().all(is_word));
    // The fingerprint is of the names alone, whatever their order and values.
    let nulls: Vec<_> =
        names.iter().rev().map(|name| format!("{}:null", Value::from(name.as_str()))).collect();
    let nulls = encode(format!("{{{}}}", nulls.join(",")).as_bytes(), &Outline::default());
    assert_eq!(nulls.unwrap().item.shape(), item.shape());
}

/// Checks an attribute's value against what the text says, and returns its size by DynamoDB's rules.
fn check_value(attribute: &Value, value: &Value, level: usize) -> usize {
    assert!(level <= MAX_LEVELS);
    let attribute = attribute.as_object().unwrap();
    assert_eq!(attribute.len(), 1);
    let (kind, content) = attribute.iter().next().unwrap();
    match (kind.as_str(), value) {
        ("NULL", Value::Null) => {
            assert_eq!(content, &Value::Bool(true));
            1
        }
        ("BOOL", Value::Bool(_)) => {
            assert_eq!(content, value);
            1
        }
        ("S", Value::String(text)) => {
            assert_eq!(content, value);
            text.len()
        }
        ("N", Value::Number(number)) => {
            let text = content.as_str().unwrap();
            check_number(text, number.as_f64().unwrap());
            number_size(text)
        }
        ("L", Value::Array(elements)) => {
            let content = content.as_array().unwrap();
            assert_eq!(content.len(), elements.len());
            let size = |(content, element)| 1 + check_value(content, element, level + 1);
            3 + content.iter().zip(elements).map(size).sum::<usize>()
        }
        ("M", Value::Object(members)) => {
            let content = content.as_object().unwrap();
            check_names(content.keys());
            check_same_names(content, members);
            let size = |(name, content): (&String, _)| {
                1 + name.len() + check_value(content, &members[name], level + 1)
            };
            3 + content.iter().map(size).sum::<usize>()
        }
        _ => panic!("`{kind}` for another type"),
    }
}

fn check_names<'a>(mut names: impl Iterator<Item = &'a String>) {
    assert!(names.all(|name| (1..=MAX_NAME_SIZE).contains(&name.len())));
}

fn check_same_names(one: &Map<String, Value>, other: &Map<String, Value>) {
    assert_eq!(one.len(), other.len());
    assert!(one.keys().all(|name| other.contains_key(name)));
}

/// At most 38 digits in DynamoDB's range, and as near to the other reader's number as that is exact.
fn check_number(text: &str, expected: f64) {
    let (n_digits, first, last) = significant_digits(text);
    assert!(n_digits <= 38);
    assert!(n_digits == 0 || (-130..126).contains(&first) && last > -200);
    let number: f64 = text.parse().unwrap();
    assert!((number - expected).abs() <= expected.abs() * 1e-12, "{number} is no {expected}");
    // There is one text of each number.
    let again = encode(format!(r#"{{"a":{text}}}"#).as_bytes(), &Outline::default()).unwrap();
    assert_eq!(again.item.json(), format!(r#""a":{{"N":"{text}"}}"#));
}

/// One byte, one for each two digits on either side of the point, and one for a minus sign.
fn number_size(text: &str) -> usize {
    let (n_digits, first, _) = significant_digits(text);
    let before = usize::try_from(first + 1).unwrap_or(0).min(n_digits);
    let after = n_digits - before;
    1 + before.div_ceil(2) + after.div_ceil(2) + usize::from(text.starts_with('-'))
}

/// How many digits a number has from its first to its last one that is not zero, and the powers of ten at which those
/// two stand.
fn significant_digits(text: &str) -> (usize, i64, i64) {
    let (mantissa, exponent) = text.split_once('E').unwrap_or((text, "0"));
    let exponent: i64 = exponent.parse().unwrap();
    let mantissa = mantissa.trim_start_matches('-');
    let n_before = mantissa.find('.').unwrap_or(mantissa.len());
    let digits: Vec<u8> = mantissa.bytes().filter(u8::is_ascii_digit).collect();
    let power = |place: usize| {
        i64::try_from(n_before).unwrap() - 1 - i64::try_from(place).unwrap() + exponent
    };
    let is_significant = |digit: &u8| *digit != b'0';
    match (digits.iter().position(is_significant), digits.iter().rposition(is_significant)) {
        (Some(first), Some(last)) => (last - first + 1, power(first), power(last)),
        _ => (0, 0, 0),
    }
}
