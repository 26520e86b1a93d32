//! Attribute values as they stand in requests: their shape, their size in DynamoDB's measure, and what conditions need.
//!
//! They are kept as JSON: a tree of them would take the stub 1.6 times as long for a request.

use std::{
    borrow::Cow,
    cmp::Ordering,
    collections::{BTreeMap, HashMap},
    fmt,
};

use serde::{
    Deserialize, Deserializer,
    de::{MapAccess, Visitor},
};
use serde_json::value::RawValue;

/// What a list or map costs beside its elements.
const COMPOSITE_OVERHEAD: usize = 3;

/// A value's JSON.
pub(super) type Attribute = Box<RawValue>;

/// An item or a key.
pub(super) type Attributes = BTreeMap<String, Attribute>;

/// A value by its type.
#[derive(Deserialize)]
#[serde(rename_all = "UPPERCASE")]
enum Value<'a> {
    S(#[serde(borrow)] Cow<'a, str>),
    N(#[serde(borrow)] Cow<'a, str>),
    B(#[serde(borrow)] Cow<'a, str>),
    Bool(bool),
    Null(bool),
    Ss(Vec<String>),
    Ns(Vec<String>),
    Bs(Vec<String>),
    M(Members),
    L(Vec<Size>),
}

/// The size of a value: reading it checks that the value has the shape of an attribute.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(try_from = "Value<'_>")]
pub(super) struct Size(pub(super) usize);

impl TryFrom<Value<'_>> for Size {
    type Error = &'static str;

    fn try_from(value: Value<'_>) -> Result<Self, Self::Error> {
        Ok(Self(match value {
            Value::S(text) => text.len(),
            Value::N(number) => number_size(&number).ok_or("a number is malformed")?,
            Value::B(base64) => base64.len() / 4 * 3,
            Value::Bool(true | false) | Value::Null(true) => 1,
            Value::Null(false) => return Err("no value is `NULL` and is not"),
            Value::Ss(elements) | Value::Ns(elements) | Value::Bs(elements) => {
                elements.iter().map(String::len).sum()
            }
            Value::M(Members(size)) => size,
            Value::L(elements) => {
                COMPOSITE_OVERHEAD + elements.iter().map(|Self(size)| size + 1).sum::<usize>()
            }
        }))
    }
}

/// The size of a map.
struct Members(usize);

impl<'de> Deserialize<'de> for Members {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_map(MembersVisitor)
    }
}

struct MembersVisitor;

impl<'de> Visitor<'de> for MembersVisitor {
    type Value = Members;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a map of attribute values")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Members, A::Error> {
        /// Borrowed where it has no escapes.
        #[derive(Deserialize)]
        struct Name<'a>(#[serde(borrow)] Cow<'a, str>);

        let mut size = COMPOSITE_OVERHEAD;
        while let Some((Name(name), Size(value))) = map.next_entry()? {
            size += name.len() + value + 1;
        }
        Ok(Members(size))
    }
}

/// The text of a string.
pub(super) fn text(value: &RawValue) -> Option<Cow<'_, str>> {
    match serde_json::from_str(value.get()).ok()? {
        Value::S(text) => Some(text),
        _ => None,
    }
}

/// How two values compare; not at all if their types differ.
pub(super) fn compare(left: &RawValue, right: &RawValue) -> Option<Ordering> {
    match (serde_json::from_str(left.get()).ok()?, serde_json::from_str(right.get()).ok()?) {
        (Value::S(left), Value::S(right)) => Some(left.cmp(&right)),
        (Value::N(left), Value::N(right)) => {
            left.parse::<f64>().ok()?.partial_cmp(&right.parse().ok()?)
        }
        _ => (left.get() == right.get()).then_some(Ordering::Equal),
    }
}

/// What stands at a path.
pub(super) fn find<'a>(attributes: &'a Attributes, path: &[String]) -> Option<&'a RawValue> {
    #[derive(Deserialize)]
    struct Map<'a> {
        #[serde(borrow, rename = "M")]
        members: HashMap<Cow<'a, str>, &'a RawValue>,
    }

    let (first, rest) = path.split_first()?;
    rest.iter().try_fold(&**attributes.get(first)?, |value, name| {
        let map: Map<'_> = serde_json::from_str(value.get()).ok()?;
        map.members.get(name.as_str()).copied()
    })
}

/// The size of a number by its digits: one byte for two significant ones, and one more.
fn number_size(text: &str) -> Option<usize> {
    text.parse::<f64>().ok().filter(|number| number.is_finite())?;
    let mantissa = text.split(['e', 'E']).next().unwrap_or_default();
    let is_significant = |digit: char| matches!(digit, '1'..='9');
    let (first, last) = (mantissa.find(is_significant), mantissa.rfind(is_significant));
    let significant = first.zip(last).map_or(0, |(first, last)| {
        mantissa[first..=last].bytes().filter(u8::is_ascii_digit).count()
    });
    Some(significant.div_ceil(2) + 1 + usize::from(text.starts_with('-')))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_are_measured_or_refused() {
        #[track_caller]
        fn check(json: &str, expected: Option<usize>) {
            assert_eq!(serde_json::from_str::<Size>(json).ok(), expected.map(Size), "{json}");
        }

        check(r#"{"S":"abc"}"#, Some(3));
        check(r#"{"S":"a\n\u201c"}"#, Some(5));
        check(r#"{"N":"0"}"#, Some(1));
        check(r#"{"N":"-12.50"}"#, Some(4));
        check(r#"{"N":"1700000000000"}"#, Some(2));
        check(r#"{"B":"AAAA"}"#, Some(3));
        check(r#"{"BOOL":false}"#, Some(1));
        check(r#"{"NULL":true}"#, Some(1));
        check(r#"{"SS":["a","bc"]}"#, Some(3));
        check(r#"{"M":{}}"#, Some(3));
        check(
            r#"{"M":{"ab":{"S":"c"},"d":{"L":[{"NULL":true}]}}}"#,
            Some(3 + 2 + 1 + 1 + 1 + 5 + 1),
        );
        for malformed in [
            "{}",
            "[]",
            r#""text""#,
            r#"{"X":"a"}"#,
            r#"{"S":1}"#,
            r#"{"N":1}"#,
            r#"{"N":"one"}"#,
            r#"{"NULL":false}"#,
            r#"{"S":"a","N":"1"}"#,
            r#"{"M":{"a":"b"}}"#,
            r#"{"L":[1]}"#,
        ] {
            check(malformed, None);
        }
    }

    #[test]
    fn scalars_compare_within_their_type() {
        #[track_caller]
        fn check(left: &str, right: &str, expected: Option<Ordering>) {
            let read = |json| serde_json::from_str(json).unwrap();
            assert_eq!(compare(read(left), read(right)), expected);
        }

        check(r#"{"S":"a"}"#, r#"{"S":"b"}"#, Some(Ordering::Less));
        check(r#"{"N":"10"}"#, r#"{"N":"9"}"#, Some(Ordering::Greater));
        check(r#"{"N":"10"}"#, r#"{"N":"10.0"}"#, Some(Ordering::Equal));
        check(r#"{"N":"10"}"#, r#"{"S":"10"}"#, None);
        check(r#"{"M":{}}"#, r#"{"M":{}}"#, Some(Ordering::Equal));
        check(r#"{"M":{}}"#, r#"{"L":[]}"#, None);
    }
}
