//! A record's JSON text in DynamoDB's wire form, in one pass and without a tree of values.
//!
//! [`encode`] reads the text strictly (RFC 8259, valid UTF-8) and writes the members of the top-level object as
//! DynamoDB JSON. An object becomes `M`, an array `L`, a string `S`, a number `N`, a boolean `BOOL`, null `NULL`. On
//! the way it takes the item's size, the fingerprint of its names and the members that a mapping asks for, and holds
//! the text to what DynamoDB can store:
//!
//! - Numbers go from text to text, with at most 38 significant digits and a magnitude from 1E-130 to below 1E+126.
//!   What is written is described at [`Number`].
//! - An attribute's value is level 1, and level 32 ([`MAX_LEVELS`]) is the last one that may hold anything, so that a
//!   value may stand in at most 31 lists and maps.
//! - Names have 1 to 65,535 bytes ([`MAX_NAME_SIZE`]), and no two of one object are equal, whatever their escapes. The
//!   names that the sink itself gives to attributes, `PK`, `SK` and `_sink`, are refused at the top.
//! - The members alone are no larger than an item may be ([`MAX_ITEM_SIZE`]). Whether they still fit with the key and
//!   `_sink` is the caller's to add up.
//!
//! **Sizes** are DynamoDB's: a string has its bytes of UTF-8; a number one byte, one for each two significant digits
//! before the point and for each two after it (each rounded up), and one for a minus sign; a boolean or null one byte;
//! a list or map three bytes, and for each element one byte more than its name and value. An item is the sum of its
//! names and values. The developer guide gives the outlines; the exact rules for numbers are what others measured at
//! the limit of 400 KB of the real service.

use std::{fmt, ops::Range};

pub(crate) use self::shape::fingerprint;
pub use self::{
    error::ItemError,
    number::{Number, number_size},
    reader::{decode_json_string, json_string},
    shape::Shape,
};

mod encoder;
mod error;
mod number;
mod reader;
mod shape;
#[cfg(test)]
mod tests;

/// The largest item that DynamoDB stores, names included.
pub const MAX_ITEM_SIZE: usize = 400 * 1024;
/// The deepest level at which a value may stand, when that of an attribute is level 1.
pub const MAX_LEVELS: usize = 32;
/// The longest attribute name, in bytes.
pub const MAX_NAME_SIZE: usize = 65_535;
/// The most members that an item may have to be written by a statement.
pub const MAX_STATEMENT_MEMBERS: usize = 100;

/// Encodes a JSON object; see the [module](self).
pub fn encode(json: &[u8], outline: &Outline<'_>) -> Result<Encoded, ItemError> {
    encoder::encode(json, outline)
}

/// Whether a value's bytes mean what no value means: there are none, or they are the JSON text `null`.
pub fn is_null(json: &[u8]) -> bool {
    // Of Rust's white space JSON has all but the form feed.
    json.is_empty() || json.trim_ascii() == b"null" && !json.contains(&b'\x0c')
}

/// What to leave out of an item, and what to report on the way.
#[derive(Clone, Copy, Debug, Default)]
pub struct Outline<'a> {
    /// Top-level members that are left out. They must be JSON, but DynamoDB's limits don't matter for them.
    pub omit: &'a [&'a str],
    /// Paths of member names, from the top through objects, of the members to report.
    pub pick: &'a [&'a [&'a str]],
}

/// What [`encode`] found.
#[derive(Debug)]
pub struct Encoded {
    /// The item.
    pub item: Item,
    /// What stands at each path of [`Outline::pick`]; none where the member is absent or left out.
    pub picked: Vec<Option<Scalar>>,
}

/// The value of a picked member. `Debug` shows its kind only, since values must not be logged.
#[derive(Clone, PartialEq, Eq)]
pub enum Scalar {
    /// Null.
    Null,
    /// True or false.
    Bool(bool),
    /// A number.
    Number(Number),
    /// A string, decoded.
    String(String),
    /// An object, which is no scalar.
    Object,
    /// An array, which is none either.
    Array,
}

impl fmt::Debug for Scalar {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Null => "Null",
            Self::Bool(_) => "Bool(..)",
            Self::Number(_) => "Number(..)",
            Self::String(_) => "String(..)",
            Self::Object => "Object",
            Self::Array => "Array",
        })
    }
}

/// An item without its key and `_sink`. `Debug` shows no data, since names and values must not be logged.
#[derive(Clone, PartialEq, Eq)]
pub struct Item {
    json: String,
    /// In the order of the decoded names.
    members: Vec<MemberSpans>,
    size: usize,
    shape: Shape,
    fits_statement: bool,
}

impl Item {
    /// The size of the members' names and values in DynamoDB's measure.
    pub fn size(&self) -> usize {
        self.size
    }

    /// The members in the byte order of their names.
    pub fn members(&self) -> impl ExactSizeIterator<Item = Member<'_>> {
        let member = |spans: &MemberSpans| Member {
            name_json: &self.json[spans.name.clone()],
            value_json: &self.json[spans.value.clone()],
        };
        self.members.iter().map(member)
    }

    /// The members as they stand in a request, comma-separated and without braces: `"a":{"S":"x"},"b":{"M":{}}`.
    pub fn json(&self) -> &str {
        &self.json
    }

    /// The fingerprint of the members' names.
    pub fn shape(&self) -> &Shape {
        &self.shape
    }

    /// Whether a statement can spell out the members: there are at most 100 ([`MAX_STATEMENT_MEMBERS`]), and their
    /// names consist of ASCII letters, digits and underscores and don't begin with a digit.
    pub fn fits_statement(&self) -> bool {
        self.fits_statement
    }
}

impl fmt::Debug for Item {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Item")
            .field("members", &self.members.len())
            .field("size", &self.size)
            .finish_non_exhaustive()
    }
}

/// Where a member stands in an item's JSON.
#[derive(Clone, PartialEq, Eq)]
struct MemberSpans {
    /// The name without its quotes.
    name: Range<usize>,
    value: Range<usize>,
}

/// A member of an item.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct Member<'a> {
    /// The name as it stands between the quotes of a JSON string. It has no more escapes than it needs, so that a name
    /// that fits a statement stands here as it is.
    pub name_json: &'a str,
    /// The value as DynamoDB JSON, such as `{"M":{}}`.
    pub value_json: &'a str,
}

impl fmt::Debug for Member<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Member").finish_non_exhaustive()
    }
}

/// The size of a string as a value, in DynamoDB's measure.
pub fn string_size(text: &str) -> usize {
    text.len()
}

/// The size of a map as a value, in DynamoDB's measure, from the names and the sizes of its values.
pub fn map_size(members: &[(&str, usize)]) -> usize {
    let member_size =
        |(name, value_size): &(&str, usize)| name.len() + value_size + ELEMENT_OVERHEAD;
    COMPOSITE_OVERHEAD + members.iter().map(member_size).sum::<usize>()
}

/// What a list or map costs beside its elements.
const COMPOSITE_OVERHEAD: usize = 3;
/// What an element of a list or map costs beside its name and value.
const ELEMENT_OVERHEAD: usize = 1;
