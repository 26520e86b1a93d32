//! Why a JSON text is no item.

use super::{MAX_ITEM_SIZE, MAX_LEVELS, MAX_NAME_SIZE};

/// Why a JSON text cannot be stored. Positions are byte offsets in the text; names and values are never shown.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum ItemError {
    /// The text is not UTF-8.
    #[error("invalid UTF-8 at byte {at}")]
    InvalidUtf8 {
        /// Where the first invalid byte stands.
        at: usize,
    },
    /// The text is not JSON.
    #[error("invalid JSON at byte {at}: {problem}")]
    InvalidJson {
        /// Where the text stops being JSON.
        at: usize,
        /// What is wrong there.
        problem: &'static str,
    },
    /// A string has half of a surrogate pair, which stands for no character.
    #[error("lone surrogate in a string at byte {at}")]
    LoneSurrogate {
        /// Where its escape stands.
        at: usize,
    },
    /// The text is JSON, but no object.
    #[error("the JSON text is not an object")]
    NotAnObject,
    /// The text is JSON, but no string.
    #[error("the JSON text is not a string")]
    NotAString,
    /// Two members of one object have the same name, so that it is open which one counts.
    #[error("second member of the same name at byte {at}")]
    DuplicateMember {
        /// Where the second name stands.
        at: usize,
    },
    /// A member has an empty name.
    #[error("empty member name at byte {at}")]
    EmptyMemberName {
        /// Where the name stands.
        at: usize,
    },
    /// A member's name is longer than DynamoDB allows.
    #[error("member name of more than {MAX_NAME_SIZE} bytes at byte {at}")]
    NameTooLong {
        /// Where the name stands.
        at: usize,
    },
    /// A top-level member has a name that the sink gives to an attribute of its own.
    #[error("top-level member with the reserved name `{name}`")]
    ReservedMember {
        /// The name, which is one of three and so no data.
        name: &'static str,
    },
    /// A number has more significant digits than DynamoDB stores.
    #[error("number of more than 38 significant digits at byte {at}")]
    NumberTooPrecise {
        /// Where the number stands.
        at: usize,
    },
    /// A number is too large or too close to zero for DynamoDB.
    #[error("number outside the range of 1E-130 to below 1E+126 at byte {at}")]
    NumberOutOfRange {
        /// Where the number stands.
        at: usize,
    },
    /// A value stands deeper than DynamoDB stores, or, in a member that is left out, than is read.
    #[error("value nested deeper than {limit} levels at byte {at}")]
    NestedTooDeep {
        /// Where the value stands.
        at: usize,
        /// The deepest level that is allowed: [`MAX_LEVELS`], or more in a member that is left out.
        limit: usize,
    },
    /// The members alone are larger than an item may be.
    #[error("item of more than {MAX_ITEM_SIZE} bytes")]
    TooLarge,
}

impl ItemError {
    /// A stable name for the kind of defect.
    pub fn code(&self) -> &'static str {
        match self {
            Self::InvalidUtf8 { .. } => "INVALID_UTF8",
            Self::InvalidJson { .. } => "INVALID_JSON",
            Self::LoneSurrogate { .. } => "LONE_SURROGATE",
            Self::NotAnObject => "NOT_AN_OBJECT",
            Self::NotAString => "NOT_A_STRING",
            Self::DuplicateMember { .. } => "DUPLICATE_MEMBER",
            Self::EmptyMemberName { .. } => "EMPTY_MEMBER_NAME",
            Self::NameTooLong { .. } => "NAME_TOO_LONG",
            Self::ReservedMember { .. } => "RESERVED_MEMBER",
            Self::NumberTooPrecise { .. } => "NUMBER_TOO_PRECISE",
            Self::NumberOutOfRange { .. } => "NUMBER_OUT_OF_RANGE",
            Self::NestedTooDeep { .. } => "NESTED_TOO_DEEP",
            Self::TooLarge => "ITEM_TOO_LARGE",
        }
    }

    pub(super) fn nested_too_deep(at: usize) -> Self {
        Self::NestedTooDeep { at, limit: MAX_LEVELS }
    }
}
