//! One spelling for equal items, whoever wrote them down: numbers by their value, sets and maps in no order.

use std::collections::BTreeSet;

use aws_sdk_dynamodb::{primitives::Blob, types::AttributeValue};
use dynamo_sink::{item::Item, stored::Attributes};
use serde_json::Value;
use sha2::{Digest, Sha256};

/// What stands for an item's contents: half of a SHA-256, so that a million keys take little memory.
pub(super) type Fingerprint = [u8; FINGERPRINT_BYTES];

const FINGERPRINT_BYTES: usize = 16;

/// The attributes that the sink itself gives to an item.
const OWN_NAMES: [&str; 3] = ["PK", "SK", "_sink"];

/// The fingerprint of an item's members and of the shape that its `_sink` names.
pub(super) fn fingerprint(attributes: &Attributes, shape: &str) -> Fingerprint {
    let mut text = Vec::new();
    write_bytes(shape.as_bytes(), &mut text);
    write_members(members(attributes), &mut text);
    let digest = Sha256::digest(&text);
    let mut fingerprint = Fingerprint::default();
    fingerprint.iter_mut().zip(digest).for_each(|(to, from)| *to = from);
    fingerprint
}

/// The attributes that a mapped item is stored as, without its key and `_sink`; none if it cannot be read, which would
/// be a defect of its encoding.
pub(super) fn attributes_of(item: &Item) -> Option<Attributes> {
    let members: serde_json::Map<String, Value> =
        serde_json::from_str(&format!("{{{}}}", item.json())).ok()?;
    members.iter().map(|(name, value)| Some((name.clone(), attribute(value)?))).collect()
}

/// The names of the members in which two items differ, sorted.
pub(super) fn differing_names(one: &Attributes, other: &Attributes) -> Vec<String> {
    let names: BTreeSet<&String> =
        members(one).chain(members(other)).map(|(name, _)| name).collect();
    let spelling = |attributes: &Attributes, name: &str| {
        attributes.get(name).map(|value| {
            let mut text = Vec::new();
            write_value(value, &mut text);
            text
        })
    };
    let differs = |name: &&String| spelling(one, name) != spelling(other, name);
    names.into_iter().filter(differs).cloned().collect()
}

fn members(attributes: &Attributes) -> impl Iterator<Item = (&String, &AttributeValue)> {
    attributes.iter().filter(|(name, _)| !OWN_NAMES.contains(&name.as_str()))
}

/// Reads the kinds of values that JSON has from DynamoDB's JSON.
fn attribute(json: &Value) -> Option<AttributeValue> {
    let (kind, value) = json.as_object()?.iter().next()?;
    Some(match kind.as_str() {
        "S" => AttributeValue::S(value.as_str()?.to_owned()),
        "N" => AttributeValue::N(value.as_str()?.to_owned()),
        "BOOL" => AttributeValue::Bool(value.as_bool()?),
        "NULL" => AttributeValue::Null(true),
        "L" => {
            AttributeValue::L(value.as_array()?.iter().map(attribute).collect::<Option<Vec<_>>>()?)
        }
        "M" => {
            let members = value.as_object()?.iter();
            let members = members.map(|(name, value)| Some((name.clone(), attribute(value)?)));
            AttributeValue::M(members.collect::<Option<_>>()?)
        }
        _ => return None,
    })
}

/// Each value begins with its kind, and each text with its length, so that no two values have one spelling.
fn write_value(value: &AttributeValue, out: &mut Vec<u8>) {
    match value {
        AttributeValue::S(text) => {
            out.push(b'S');
            write_bytes(text.as_bytes(), out);
        }
        AttributeValue::N(text) => {
            out.push(b'N');
            write_bytes(canonical_number(text).as_bytes(), out);
        }
        AttributeValue::B(bytes) => {
            out.push(b'B');
            write_bytes(bytes.as_ref(), out);
        }
        AttributeValue::Bool(value) => out.extend_from_slice(if *value { b"T" } else { b"F" }),
        AttributeValue::Null(_) => out.push(b'0'),
        AttributeValue::L(values) => {
            out.push(b'L');
            write_length(values.len(), out);
            for value in values {
                write_value(value, out);
            }
        }
        AttributeValue::M(members) => {
            out.push(b'M');
            write_members(members.iter(), out);
        }
        AttributeValue::Ss(texts) => {
            write_set(b's', texts.iter().map(|text| text.as_bytes().to_vec()), out);
        }
        AttributeValue::Ns(texts) => {
            write_set(b'n', texts.iter().map(|text| canonical_number(text).into_bytes()), out);
        }
        AttributeValue::Bs(blobs) => {
            let bytes = |blob: &Blob| blob.as_ref().to_vec();
            write_set(b'b', blobs.iter().map(bytes), out);
        }
        // A kind that DynamoDB does not have yet equals nothing that a sink writes.
        _ => out.push(b'?'),
    }
}

fn write_members<'a>(
    members: impl Iterator<Item = (&'a String, &'a AttributeValue)>,
    out: &mut Vec<u8>,
) {
    let mut members: Vec<_> = members.collect();
    members.sort_by_key(|(name, _)| name.as_str());
    write_length(members.len(), out);
    for (name, value) in members {
        write_bytes(name.as_bytes(), out);
        write_value(value, out);
    }
}

fn write_set(kind: u8, elements: impl Iterator<Item = Vec<u8>>, out: &mut Vec<u8>) {
    let elements: BTreeSet<Vec<u8>> = elements.collect();
    out.push(kind);
    write_length(elements.len(), out);
    for element in &elements {
        write_bytes(element, out);
    }
}

fn write_bytes(bytes: &[u8], out: &mut Vec<u8>) {
    write_length(bytes.len(), out);
    out.extend_from_slice(bytes);
}

fn write_length(length: usize, out: &mut Vec<u8>) {
    out.extend_from_slice(length.to_string().as_bytes());
    out.push(b':');
}

/// One text for each number: its sign, its significant digits, and the power of ten of the last one. What is no number
/// stays as it is.
fn canonical_number(text: &str) -> String {
    number_parts(text).unwrap_or_else(|| text.to_owned())
}

fn number_parts(text: &str) -> Option<String> {
    let (sign, magnitude) = match text.strip_prefix('-') {
        Some(magnitude) => ("-", magnitude),
        None => ("", text.strip_prefix('+').unwrap_or(text)),
    };
    let (mantissa, exponent) = magnitude.split_once(['e', 'E']).unwrap_or((magnitude, "0"));
    let (integer, fraction) = mantissa.split_once('.').unwrap_or((mantissa, ""));
    let written = [integer, fraction].concat();
    if written.is_empty() || !written.bytes().all(|byte| byte.is_ascii_digit()) {
        return None;
    }
    let from_first = written.trim_start_matches('0');
    let digits = from_first.trim_end_matches('0');
    if digits.is_empty() {
        return Some("0".to_owned());
    }
    let zeros = i64::try_from(from_first.len() - digits.len()).ok()?;
    let behind_point = i64::try_from(fraction.len()).ok()?;
    let exponent = exponent.parse::<i64>().ok()?.checked_add(zeros)?.checked_sub(behind_point)?;
    Some(format!("{sign}{digits}e{exponent}"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use dynamo_sink::item::{Outline, encode};

    fn text(text: &str) -> AttributeValue {
        AttributeValue::S(text.to_owned())
    }

    fn number(text: &str) -> AttributeValue {
        AttributeValue::N(text.to_owned())
    }

    fn item(members: impl IntoIterator<Item = (&'static str, AttributeValue)>) -> Attributes {
        members.into_iter().map(|(name, value)| (name.to_owned(), value)).collect()
    }

    #[test]
    fn numbers_are_compared_by_value() {
        #[track_caller]
        fn check(one: &str, other: &str, is_equal: bool) {
            assert_eq!(canonical_number(one) == canonical_number(other), is_equal);
        }

        for other in ["1.0", "1", "+1", "01", "1e0", "10E-1", "0.1e1", "100e-2"] {
            check("1", other, true);
        }
        check("0", "-0.00e7", true);
        check("1700000000000", "1.7E12", true);
        check("0.00000000000000000000000000000000000001", "1E-38", true);
        check("1", "-1", false);
        check("1", "10", false);
        check("1", "0.1", false);
        check("12", "1.2", false);
        check("0.10000000000000000000000000000000000001", "0.1", false);
        check("NaN", "NaN", true);
        check("", "0", false);
    }

    #[test]
    fn equal_items_have_one_fingerprint() {
        #[track_caller]
        fn check(one: AttributeValue, other: AttributeValue, is_equal: bool) {
            let [one, other] = [one, other].map(|value| item([("a", value)]));
            assert_eq!(fingerprint(&one, "s") == fingerprint(&other, "s"), is_equal);
            assert_eq!(differing_names(&one, &other).is_empty(), is_equal);
        }
        let list = |values: &[AttributeValue]| AttributeValue::L(values.to_vec());
        let set = |texts: &[&str]| {
            AttributeValue::Ss(texts.iter().map(|&text| text.to_owned()).collect())
        };
        let numbers = |texts: &[&str]| {
            AttributeValue::Ns(texts.iter().map(|&text| text.to_owned()).collect())
        };

        check(text("x"), text("x"), true);
        check(text("x"), text("y"), false);
        check(text("1"), number("1"), false);
        check(number("1.50"), number("1.5"), true);
        check(set(&["a", "b"]), set(&["b", "a"]), true);
        check(set(&["a", "b"]), set(&["ab"]), false);
        check(numbers(&["1", "2.0"]), numbers(&["2", "1.0"]), true);
        check(list(&[text("a"), text("b")]), list(&[text("b"), text("a")]), false);
        check(list(&[list(&[]), text("")]), list(&[list(&[text("")])]), false);
        check(AttributeValue::M(item([])), list(&[]), false);
        check(AttributeValue::Null(true), AttributeValue::Bool(false), false);
        check(AttributeValue::B(Blob::new("x")), text("x"), false);
    }

    #[test]
    fn a_mapped_item_equals_what_is_stored_of_it() {
        let json = br#"{"s":"\u00e9\n","n":1.50,"e":1e2,"t":true,"z":null,"l":[{},[1]],"m":{"b":"2","a":[]}}"#;
        let encoded = encode(json, &Outline::default()).unwrap().item;
        let expected = attributes_of(&encoded).unwrap();
        let mut stored = item([
            ("PK", text("k")),
            ("SK", text("k")),
            ("_sink", text("anything")),
            ("s", text("é\n")),
            ("n", number("1.5")),
            ("e", number("1E+2")),
            ("t", AttributeValue::Bool(true)),
            ("z", AttributeValue::Null(true)),
            (
                "l",
                AttributeValue::L(vec![
                    AttributeValue::M(item([])),
                    AttributeValue::L(vec![number("1")]),
                ]),
            ),
            ("m", AttributeValue::M(item([("a", AttributeValue::L(vec![])), ("b", text("2"))]))),
        ]);
        assert_eq!(fingerprint(&expected, "x"), fingerprint(&stored, "x"));
        assert_ne!(fingerprint(&expected, "x"), fingerprint(&stored, "y"));
        assert_eq!(differing_names(&expected, &stored), [""; 0]);

        stored.insert("n".to_owned(), number("1.51"));
        stored.remove("t");
        stored.insert("u".to_owned(), text(""));
        assert_ne!(fingerprint(&expected, "x"), fingerprint(&stored, "x"));
        assert_eq!(differing_names(&expected, &stored), ["n", "t", "u"]);
    }
}
