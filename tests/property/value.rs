//! JSON texts with the attributes that they become.

use std::collections::BTreeMap;

use proptest::{collection::vec, prelude::*, sample::select};
use serde_json::{Map, Value, json};

/// A value as its producer spelled it, and as DynamoDB must hold it.
#[derive(Clone, Debug)]
pub(super) struct Spelled {
    pub(super) json: String,
    pub(super) attribute: Value,
}

/// A member's name and value.
pub(super) type Member = (String, Spelled);

/// An object of these members, whose names must differ.
pub(super) fn object(members: &[Member]) -> Spelled {
    let json: Vec<String> =
        members.iter().map(|(name, value)| format!("{}: {}", json!(name), value.json)).collect();
    Spelled {
        json: format!("{{{}}}", json.join(", ")),
        attribute: json!({"M": attributes(members)}),
    }
}

/// The members as attributes.
pub(super) fn attributes(members: &[Member]) -> Map<String, Value> {
    members.iter().map(|(name, value)| (name.clone(), value.attribute.clone())).collect()
}

/// Null.
pub(super) fn null() -> Spelled {
    Spelled { json: "null".to_owned(), attribute: json!({"NULL": true}) }
}

/// An integer.
pub(super) fn integer(number: i64) -> Spelled {
    Spelled { json: number.to_string(), attribute: json!({"N": number.to_string()}) }
}

/// Any value that an item can hold.
pub(super) fn values() -> impl Strategy<Value = Spelled> {
    let scalar = prop_oneof![
        4 => numbers(),
        4 => strings(),
        1 => any::<bool>().prop_map(|it| Spelled { json: it.to_string(), attribute: json!({"BOOL": it}) }),
        1 => Just(null()),
    ];
    scalar.prop_recursive(3, 8, 3, |value| {
        let list = vec(value.clone(), 0..3).prop_map(|values| {
            let json: Vec<String> = values.iter().map(|value| value.json.clone()).collect();
            let attributes: Vec<Value> = values.into_iter().map(|value| value.attribute).collect();
            Spelled { json: format!("[{}]", json.join(",")), attribute: json!({"L": attributes}) }
        });
        let map = vec((names(), value), 0..3).prop_map(|members| object(&distinct(members)));
        prop_oneof![list, map]
    })
}

/// Members that differ in their names.
fn distinct(members: Vec<Member>) -> Vec<Member> {
    let members: BTreeMap<String, Spelled> = members.into_iter().collect();
    members.into_iter().collect()
}

fn names() -> impl Strategy<Value = String> {
    prop_oneof!["[a-c]{1,2}", "[\"\\\\#:.é ]{1,2}"]
}

fn strings() -> impl Strategy<Value = Spelled> {
    ("[a-zé\u{1F600}\"\\\\\n/ ]{0,12}", any::<bool>()).prop_map(|(text, is_escaped)| Spelled {
        json: if is_escaped { escaped(&text) } else { json!(text).to_string() },
        attribute: json!({"S": text}),
    })
}

/// A JSON string in which every character is an escape.
pub(super) fn escaped(text: &str) -> String {
    let units: Vec<String> = text.encode_utf16().map(|unit| format!("\\u{unit:04x}")).collect();
    format!("\"{}\"", units.concat())
}

/// Numbers of up to 38 digits in several spellings. DynamoDB must give back every digit.
fn numbers() -> impl Strategy<Value = Spelled> {
    let zeros = select(vec!["0", "-0", "0.000", "0e7", "-0.0E-200"])
        .prop_map(|json| Spelled { json: json.to_owned(), attribute: json!({"N": "0"}) });
    let others = ("-?", "[1-9]([0-9]{0,36}[1-9])?", -38..=38_i64, 0..4_u8).prop_map(
        |(sign, digits, exponent, spelling)| {
            let exponent = exponent.min(38 - i64::try_from(digits.len()).unwrap());
            let plain = format!("{sign}{}", plain(&digits, exponent));
            let json = match spelling {
                0 => plain.clone(),
                1 => format!("{sign}{digits}e{exponent}"),
                2 => {
                    let exponent = exponent + i64::try_from(digits.len()).unwrap();
                    format!("{sign}0.{digits}00E{exponent:+04}")
                }
                _ if plain.contains('.') => format!("{plain}00"),
                _ => format!("{plain}.0"),
            };
            Spelled { json, attribute: json!({"N": plain}) }
        },
    );
    prop_oneof![1 => zeros, 9 => others]
}

/// `digits` times ten to the power of `exponent`, written without an exponent.
fn plain(digits: &str, exponent: i64) -> String {
    let Ok(fraction_digits) = usize::try_from(-exponent) else {
        return format!("{digits}{}", "0".repeat(usize::try_from(exponent).unwrap()));
    };
    if fraction_digits == 0 {
        return digits.to_owned();
    }
    let padded = format!("{digits:0>width$}", width = fraction_digits + 1);
    let (integer, fraction) = padded.split_at(padded.len() - fraction_digits);
    format!("{integer}.{fraction}")
}
