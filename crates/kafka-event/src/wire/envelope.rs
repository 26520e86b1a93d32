//! What is around the records of an event.

use std::borrow::Cow;

use serde::{
    Deserialize,
    de::{Deserializer, IgnoredAny, MapAccess, SeqAccess},
};

use super::tolerant::{Member, Tolerant, Tolerated, read};
use crate::error::{EventError, JsonType};

/// A payload, with records of type `R`.
pub(crate) enum Envelope<'a, R> {
    /// The object of an event source mapping, or any other object.
    Mapping { source: Member<Cow<'a, str>>, records: Records<R>, holds_capital_records: bool },
    /// The array of an `EventBridge` pipe, or any other array.
    Pipe(Vec<R>),
    /// Anything else.
    Neither(JsonType),
}

/// The `records` of an event source mapping, in the order of the text.
pub(crate) enum Records<R> {
    Absent,
    Read(Vec<R>),
    NotAnObject(JsonType),
    PartitionNotAnArray(JsonType),
}

/// The records of one member of `records`.
enum Partition<R> {
    Read(Vec<R>),
    NotAnArray(JsonType),
}

impl<R> Records<R> {
    pub(crate) fn into_list(self) -> Result<Vec<R>, EventError> {
        match self {
            Self::Absent => Err(EventError::NoRecords),
            Self::Read(records) => Ok(records),
            Self::NotAnObject(found) => Err(EventError::RecordsNotAnObject { found }),
            Self::PartitionNotAnArray(found) => Err(EventError::PartitionNotAnArray { found }),
        }
    }

    /// Nothing is lost of an event that has `records` twice.
    fn join(self, other: Self) -> Self {
        match (self, other) {
            (Self::Absent, other) => other,
            (Self::Read(mut records), Self::Read(others)) => {
                records.extend(others);
                Self::Read(records)
            }
            (Self::Read(_), wrong @ (Self::NotAnObject(_) | Self::PartitionNotAnArray(_))) => wrong,
            (this, _) => this,
        }
    }
}

#[derive(Clone, Copy, Deserialize)]
#[serde(field_identifier)]
enum EnvelopeName {
    #[serde(rename = "eventSource")]
    EventSource,
    #[serde(rename = "records")]
    Records,
    #[serde(rename = "Records")]
    CapitalRecords,
    #[serde(other)]
    Other,
}

impl<'de, R: Deserialize<'de>> Deserialize<'de> for Envelope<'de, R> {
    fn deserialize<D: Deserializer<'de>>(value: D) -> Result<Self, D::Error> {
        read(value)
    }
}

impl<'de, R: Deserialize<'de>> Tolerant<'de> for Envelope<'de, R> {
    fn wrong(found: JsonType) -> Self {
        Self::Neither(found)
    }

    fn array<A: SeqAccess<'de>>(elements: A) -> Result<Self, A::Error> {
        collect(elements).map(Self::Pipe)
    }

    fn object<A: MapAccess<'de>>(mut members: A) -> Result<Self, A::Error> {
        let mut source = Member::Absent;
        let mut records = Records::Absent;
        let mut holds_capital_records = false;
        while let Some(name) = members.next_key()? {
            match name {
                EnvelopeName::EventSource => source = members.next_value::<Tolerated<_>>()?.0,
                EnvelopeName::Records => {
                    records = records.join(members.next_value::<Tolerated<_>>()?.0);
                }
                EnvelopeName::CapitalRecords => {
                    holds_capital_records = true;
                    members.next_value::<IgnoredAny>()?;
                }
                EnvelopeName::Other => {
                    members.next_value::<IgnoredAny>()?;
                }
            }
        }
        Ok(Self::Mapping { source, records, holds_capital_records })
    }
}

impl<'de, R: Deserialize<'de>> Tolerant<'de> for Records<R> {
    fn wrong(found: JsonType) -> Self {
        Self::NotAnObject(found)
    }

    fn null() -> Self {
        Self::Absent
    }

    fn object<A: MapAccess<'de>>(mut members: A) -> Result<Self, A::Error> {
        let mut records = Self::Read(Vec::new());
        while let Some((IgnoredAny, Tolerated(partition))) = members.next_entry()? {
            records = records.join(match partition {
                Partition::Read(list) => Self::Read(list),
                Partition::NotAnArray(found) => Self::PartitionNotAnArray(found),
            });
        }
        Ok(records)
    }
}

impl<'de, R: Deserialize<'de>> Tolerant<'de> for Partition<R> {
    fn wrong(found: JsonType) -> Self {
        Self::NotAnArray(found)
    }

    fn array<A: SeqAccess<'de>>(elements: A) -> Result<Self, A::Error> {
        collect(elements).map(Self::Read)
    }
}

fn collect<'de, R: Deserialize<'de>, A: SeqAccess<'de>>(
    mut elements: A,
) -> Result<Vec<R>, A::Error> {
    let mut list = Vec::new();
    while let Some(element) = elements.next_element()? {
        list.push(element);
    }
    Ok(list)
}
