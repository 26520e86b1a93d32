//! Reading a JSON value without knowing its type beforehand.

use std::{borrow::Cow, fmt, marker::PhantomData};

use serde::{
    Deserialize,
    de::{Deserializer, IgnoredAny, MapAccess, SeqAccess, Visitor},
};

use crate::error::JsonType;

/// A type that can be read from any JSON value: it accepts some types, and remembers or forgives
/// the others.
pub(crate) trait Tolerant<'de>: Sized {
    fn wrong(found: JsonType) -> Self;

    fn null() -> Self {
        Self::wrong(JsonType::Null)
    }

    fn integer(_value: i128) -> Self {
        Self::wrong(JsonType::Number)
    }

    fn float(_value: f64) -> Self {
        Self::wrong(JsonType::Number)
    }

    fn text(_value: Cow<'de, str>) -> Self {
        Self::wrong(JsonType::String)
    }

    fn array<A: SeqAccess<'de>>(mut elements: A) -> Result<Self, A::Error> {
        while elements.next_element::<IgnoredAny>()?.is_some() {}
        Ok(Self::wrong(JsonType::Array))
    }

    fn object<A: MapAccess<'de>>(mut members: A) -> Result<Self, A::Error> {
        while members.next_entry::<IgnoredAny, IgnoredAny>()?.is_some() {}
        Ok(Self::wrong(JsonType::Object))
    }
}

pub(crate) fn read<'de, T: Tolerant<'de>, D: Deserializer<'de>>(value: D) -> Result<T, D::Error> {
    value.deserialize_any(TolerantVisitor(PhantomData))
}

/// Gives [`Tolerant`] types to the methods of serde that want a [`Deserialize`].
pub(crate) struct Tolerated<T>(pub(crate) T);

impl<'de, T: Tolerant<'de>> Deserialize<'de> for Tolerated<T> {
    fn deserialize<D: Deserializer<'de>>(value: D) -> Result<Self, D::Error> {
        read(value).map(Self)
    }
}

struct TolerantVisitor<T>(PhantomData<T>);

impl<'de, T: Tolerant<'de>> Visitor<'de> for TolerantVisitor<T> {
    type Value = T;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("any JSON value")
    }

    fn visit_unit<E>(self) -> Result<T, E> {
        Ok(T::null())
    }

    fn visit_bool<E>(self, _value: bool) -> Result<T, E> {
        Ok(T::wrong(JsonType::Boolean))
    }

    fn visit_u64<E>(self, value: u64) -> Result<T, E> {
        Ok(T::integer(value.into()))
    }

    fn visit_i64<E>(self, value: i64) -> Result<T, E> {
        Ok(T::integer(value.into()))
    }

    fn visit_f64<E>(self, value: f64) -> Result<T, E> {
        Ok(T::float(value))
    }

    fn visit_borrowed_str<E>(self, value: &'de str) -> Result<T, E> {
        Ok(T::text(Cow::Borrowed(value)))
    }

    /// Only a string with escapes comes this way.
    fn visit_str<E>(self, value: &str) -> Result<T, E> {
        Ok(T::text(Cow::Owned(value.to_owned())))
    }

    fn visit_bytes<E>(self, _value: &[u8]) -> Result<T, E> {
        Ok(T::wrong(JsonType::Unreadable))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, elements: A) -> Result<T, A::Error> {
        T::array(elements)
    }

    fn visit_map<A: MapAccess<'de>>(self, members: A) -> Result<T, A::Error> {
        T::object(members)
    }
}

/// A member that is absent or null, or of the expected type, or of another one.
#[derive(Default)]
pub(crate) enum Member<T> {
    #[default]
    Absent,
    Present(T),
    Wrong(JsonType),
}

impl<T> Member<T> {
    pub(crate) fn present(self) -> Option<T> {
        match self {
            Self::Present(value) => Some(value),
            Self::Absent | Self::Wrong(_) => None,
        }
    }
}

impl<'de> Tolerant<'de> for Member<Cow<'de, str>> {
    fn wrong(found: JsonType) -> Self {
        Self::Wrong(found)
    }

    fn null() -> Self {
        Self::Absent
    }

    fn text(value: Cow<'de, str>) -> Self {
        Self::Present(value)
    }
}

impl Tolerant<'_> for Member<u64> {
    fn wrong(found: JsonType) -> Self {
        Self::Wrong(found)
    }

    fn null() -> Self {
        Self::Absent
    }

    fn integer(value: i128) -> Self {
        u64::try_from(value).map_or(Self::Wrong(JsonType::Number), Self::Present)
    }
}
