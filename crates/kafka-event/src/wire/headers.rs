//! The headers of a record.

use serde::de::{MapAccess, SeqAccess};

use super::tolerant::{Member, Tolerant, Tolerated};
use crate::{error::JsonType, record::Header};

/// The headers of a record.
pub(crate) enum Headers<'a> {
    Read(Vec<Header<'a>>),
    NotAnArray(JsonType),
    Malformed { index: usize },
}

impl Default for Headers<'_> {
    fn default() -> Self {
        Self::Read(Vec::new())
    }
}

impl<'de> Tolerant<'de> for Headers<'de> {
    fn wrong(found: JsonType) -> Self {
        Self::NotAnArray(found)
    }

    fn null() -> Self {
        Self::default()
    }

    fn array<A: SeqAccess<'de>>(mut elements: A) -> Result<Self, A::Error> {
        let mut headers = Vec::new();
        let mut malformed = None;
        let mut index = 0;
        while let Some(Tolerated(header)) = elements.next_element()? {
            match header {
                HeaderObject::Read(members) => headers.extend(members),
                HeaderObject::Malformed => malformed = malformed.or(Some(index)),
            }
            index += 1;
        }
        Ok(match malformed {
            None => Self::Read(headers),
            Some(index) => Self::Malformed { index },
        })
    }
}

/// An element of the headers: by Kafka's rules one member, but several are kept in their order.
enum HeaderObject<'a> {
    Read(Vec<Header<'a>>),
    Malformed,
}

impl<'de> Tolerant<'de> for HeaderObject<'de> {
    fn wrong(_found: JsonType) -> Self {
        Self::Malformed
    }

    fn object<A: MapAccess<'de>>(mut members: A) -> Result<Self, A::Error> {
        let mut headers = Vec::new();
        let mut is_malformed = false;
        while let Some((Tolerated(name), Tolerated(value))) = members.next_entry()? {
            match (name, value) {
                (Member::Present(name), Member::Present(HeaderBytes(value))) => {
                    headers.push(Header { name, value: Some(value) });
                }
                (Member::Present(name), Member::Absent) => {
                    headers.push(Header { name, value: None });
                }
                _ => is_malformed = true,
            }
        }
        Ok(if is_malformed { Self::Malformed } else { Self::Read(headers) })
    }
}

struct HeaderBytes(Vec<u8>);

impl<'de> Tolerant<'de> for Member<HeaderBytes> {
    fn wrong(found: JsonType) -> Self {
        Self::Wrong(found)
    }

    fn null() -> Self {
        Self::Absent
    }

    fn array<A: SeqAccess<'de>>(mut elements: A) -> Result<Self, A::Error> {
        let mut bytes = Vec::new();
        let mut is_wrong = false;
        while let Some(Tolerated(HeaderByte(byte))) = elements.next_element()? {
            match byte {
                Some(byte) => bytes.push(byte),
                None => is_wrong = true,
            }
        }
        Ok(if is_wrong { Self::Wrong(JsonType::Array) } else { Self::Present(HeaderBytes(bytes)) })
    }
}

struct HeaderByte(Option<u8>);

impl Tolerant<'_> for HeaderByte {
    fn wrong(_found: JsonType) -> Self {
        Self(None)
    }

    /// Lambda sends signed bytes; other tools send the same bytes unsigned.
    fn integer(value: i128) -> Self {
        Self(i8::try_from(value).map(i8::cast_unsigned).or_else(|_| u8::try_from(value)).ok())
    }
}
