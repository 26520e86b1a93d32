//! One spelling for equal items, whoever wrote them down: numbers by their value, sets and maps in no order.

use std::collections::BTreeSet;

use dynamo_sink::{
    item::{Item, Outline, encode},
    stored::Attributes,
};
use serde_json::{Map, Value, json};
use sha2::{Digest, Sha256};

use crate::item_json;

/// What stands for an item's contents: half of a SHA-256, so that a million keys take little memory.
pub type Fingerprint = [u8; 16];

/// The attributes that the sink itself gives to an item.
const OWN_NAMES: [&str; 3] = ["PK", "SK", "_sink"];

/// What a mapping gives an item to hold, in the one spelling of DynamoDB's JSON that equal members have.
#[derive(Debug)]
pub struct Members(Map<String, Value>);

impl Members {
    /// Those of an item that stands in a table.
    pub fn stored(item: &Attributes) -> Self {
        let mut members = item_json::members(item);
        members.retain(|name, _| !OWN_NAMES.contains(&name.as_str()));
        Self::spelt(members)
    }

    /// Those of a mapped item; none if it cannot be read, which would be a defect of its encoding.
    pub fn mapped(item: &Item) -> Option<Self> {
        serde_json::from_str(&format!("{{{}}}", item.json())).ok().map(Self::spelt)
    }

    fn spelt(mut members: Map<String, Value>) -> Self {
        members.values_mut().for_each(spell);
        Self(members)
    }

    /// What stands for these members and the shape that the item's `_sink` names.
    pub fn fingerprint(&self, shape: &str) -> Fingerprint {
        let digest = Sha256::digest(json!([shape, self.0]).to_string());
        let mut fingerprint = Fingerprint::default();
        fingerprint.iter_mut().zip(digest).for_each(|(to, from)| *to = from);
        fingerprint
    }

    pub fn differing(&self, other: &Self) -> Vec<String> {
        let names: BTreeSet<_> = self.0.keys().chain(other.0.keys()).collect();
        let differs = |name: &&String| self.0.get(*name) != other.0.get(*name);
        names.into_iter().filter(differs).cloned().collect()
    }
}

/// Spells a value, which is an object of its kind alone.
fn spell(value: &mut Value) {
    let Some((kind, value)) = value.as_object_mut().and_then(|it| it.iter_mut().next()) else {
        return;
    };
    match (kind.as_str(), value) {
        ("N", Value::String(number)) => *number = canonical_number(number),
        ("L", Value::Array(values)) => values.iter_mut().for_each(spell),
        ("M", Value::Object(members)) => members.values_mut().for_each(spell),
        (kind @ ("SS" | "NS" | "BS"), Value::Array(elements)) => {
            for element in elements.iter_mut() {
                if let ("NS", Value::String(number)) = (kind, element) {
                    *number = canonical_number(number);
                }
            }
            elements.sort_by(|one, other| one.as_str().cmp(&other.as_str()));
        }
        _ => {}
    }
}

/// One text for each number: a member as the sinks write it. What is no number stays as it is.
fn canonical_number(text: &str) -> String {
    let member = encode(format!("{{\"n\":{text}}}").as_bytes(), &Outline::default());
    member.map_or_else(|_| text.to_owned(), |it| it.item.json().to_owned())
}

#[cfg(test)]
mod tests {
    use aws_sdk_dynamodb::{primitives::Blob, types::AttributeValue};

    use super::*;

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

        for other in ["1.0", "1", "1e0", "10E-1", "0.1e1", "100e-2"] {
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
            let members = |value| Members::stored(&item([("a", value)]));
            let [one, other] = [one, other].map(members);
            assert_eq!(one.fingerprint("s") == other.fingerprint("s"), is_equal);
            assert_eq!(one.differing(&other).is_empty(), is_equal);
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
        let expected = Members::mapped(&encoded).unwrap();
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
        let members = Members::stored(&stored);
        assert_eq!(expected.fingerprint("x"), members.fingerprint("x"));
        assert_ne!(expected.fingerprint("x"), members.fingerprint("y"));
        assert_eq!(expected.differing(&members), [""; 0]);

        stored.insert("n".to_owned(), number("1.51"));
        stored.remove("t");
        stored.insert("u".to_owned(), text(""));
        let members = Members::stored(&stored);
        assert_ne!(expected.fingerprint("x"), members.fingerprint("x"));
        assert_eq!(expected.differing(&members), ["n", "t", "u"]);
    }
}
