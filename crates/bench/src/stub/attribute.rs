//! Attribute values as they stand in requests: their shape, their size in DynamoDB's measure, and what conditions need.

use std::{borrow::Cow, cmp::Ordering, collections::HashMap, fmt};

use serde::{
    Deserialize, Deserializer,
    de::{Error, MapAccess, Visitor},
};
use serde_json::value::RawValue;

/// What a list or map costs beside its elements.
const COMPOSITE_OVERHEAD: usize = 3;

/// The size of a value: reading it checks that the value has the shape of an attribute.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Size(pub(super) usize);

/// What a condition can compare.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Scalar {
    Text(String),
    Number(f64),
    /// Anything else, by its JSON.
    Other(String),
}

impl Scalar {
    /// Reads a value of a request or of an item.
    pub(super) fn read(json: &RawValue) -> Self {
        #[derive(Deserialize)]
        enum Known<'a> {
            S(#[serde(borrow)] Cow<'a, str>),
            N(#[serde(borrow)] Cow<'a, str>),
        }

        let other = || Self::Other(json.get().to_owned());
        match serde_json::from_str(json.get()) {
            Ok(Known::S(text)) => Self::Text(text.into_owned()),
            Ok(Known::N(number)) => number.parse().map_or_else(|_| other(), Self::Number),
            Err(_) => other(),
        }
    }

    /// How two values compare; not at all if their types differ.
    pub(super) fn compare(&self, other: &Self) -> Option<Ordering> {
        match (self, other) {
            (Self::Text(left), Self::Text(right)) => Some(left.cmp(right)),
            (Self::Number(left), Self::Number(right)) => left.partial_cmp(right),
            (Self::Other(left), Self::Other(right)) if left == right => Some(Ordering::Equal),
            _ => None,
        }
    }
}

/// The member of that name, if the value is a map that has it.
pub(super) fn member(json: &RawValue, name: &str) -> Option<Box<RawValue>> {
    #[derive(Deserialize)]
    struct Map<'a> {
        #[serde(borrow, rename = "M")]
        members: HashMap<Cow<'a, str>, &'a RawValue>,
    }

    let map: Map<'_> = serde_json::from_str(json.get()).ok()?;
    map.members.get(name).map(|value| (*value).to_owned())
}

impl<'de> Deserialize<'de> for Size {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_map(AttributeVisitor)
    }
}

struct AttributeVisitor;

impl<'de> Visitor<'de> for AttributeVisitor {
    type Value = Size;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an attribute value such as `{\"S\":\"text\"}`")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Size, A::Error> {
        let tag: Text<'_> = map.next_key()?.ok_or_else(|| A::Error::custom("no type"))?;
        let size = match tag.0.as_ref() {
            "S" => map.next_value::<Text<'_>>()?.0.len(),
            "N" => number_size(&map.next_value::<Text<'_>>()?.0)
                .ok_or_else(|| A::Error::custom("a number is malformed"))?,
            "B" => map.next_value::<Text<'_>>()?.0.len() / 4 * 3,
            "BOOL" => map.next_value::<bool>().map(|_| 1)?,
            "NULL" if map.next_value::<bool>()? => 1,
            "M" => map.next_value::<Members>()?.0,
            "L" => {
                let elements: Vec<Size> = map.next_value()?;
                COMPOSITE_OVERHEAD + elements.iter().map(|Size(size)| size + 1).sum::<usize>()
            }
            "SS" | "NS" | "BS" => {
                let elements: Vec<Text<'_>> = map.next_value()?;
                elements.iter().map(|Text(text)| text.len()).sum()
            }
            _ => return Err(A::Error::custom("a type is unknown")),
        };
        if map.next_key::<Text<'_>>()?.is_some() {
            return Err(A::Error::custom("a value has two types"));
        }
        Ok(Size(size))
    }
}

/// A string, borrowed where it has no escapes.
#[derive(Deserialize)]
struct Text<'a>(#[serde(borrow)] Cow<'a, str>);

/// The size of a map's members.
struct Members(usize);

impl<'de> Deserialize<'de> for Members {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct MembersVisitor;

        impl<'de> Visitor<'de> for MembersVisitor {
            type Value = Members;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a map of attribute values")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Members, A::Error> {
                let mut size = COMPOSITE_OVERHEAD;
                while let Some((name, Size(value))) = map.next_entry::<Text<'_>, Size>()? {
                    size += name.0.len() + value + 1;
                }
                Ok(Members(size))
            }
        }

        deserializer.deserialize_map(MembersVisitor)
    }
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
            let read = |json| Scalar::read(serde_json::from_str(json).unwrap());
            assert_eq!(read(left).compare(&read(right)), expected);
        }

        check(r#"{"S":"a"}"#, r#"{"S":"b"}"#, Some(Ordering::Less));
        check(r#"{"N":"10"}"#, r#"{"N":"9"}"#, Some(Ordering::Greater));
        check(r#"{"N":"10"}"#, r#"{"N":"10.0"}"#, Some(Ordering::Equal));
        check(r#"{"N":"10"}"#, r#"{"S":"10"}"#, None);
        check(r#"{"M":{}}"#, r#"{"M":{}}"#, Some(Ordering::Equal));
        check(r#"{"M":{}}"#, r#"{"L":[]}"#, None);
    }
}
