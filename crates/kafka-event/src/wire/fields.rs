//! The members of a record.

use std::borrow::Cow;

use serde::{
    Deserialize,
    de::{DeserializeSeed, Deserializer, IgnoredAny, MapAccess, value::BytesDeserializer},
};
use serde_json::value::RawValue;

use super::{
    headers::Headers,
    tolerant::{Member, Tolerant, Tolerated, read},
};
use crate::{error::JsonType, record::SchemaMetadata};

/// The members of one record.
#[derive(Default)]
pub(crate) struct Fields<'a> {
    pub(crate) not_an_object: Option<JsonType>,
    /// Only a pipe says it in each record.
    pub(crate) source: Member<Cow<'a, str>>,
    pub(crate) topic: Member<Cow<'a, str>>,
    pub(crate) partition: Member<u64>,
    pub(crate) offset: Member<u64>,
    pub(crate) timestamp: Timestamp,
    pub(crate) timestamp_type: Member<Cow<'a, str>>,
    pub(crate) key: Member<Cow<'a, str>>,
    pub(crate) value: Member<Cow<'a, str>>,
    pub(crate) headers: Headers<'a>,
    pub(crate) key_schema: Schema<'a>,
    pub(crate) value_schema: Schema<'a>,
    pub(crate) epoch: Member<u64>,
}

/// Kafka's timestamp in milliseconds; whatever is none becomes Kafka's own "no timestamp".
pub(crate) struct Timestamp(pub(crate) i64);

/// Schema metadata; whatever is none counts as absent.
#[derive(Default)]
pub(crate) struct Schema<'a>(pub(crate) Option<SchemaMetadata<'a>>);

/// Reads each member by itself, so that one which cannot be held leaves the others whole.
impl<'a> From<&'a RawValue> for Fields<'a> {
    fn from(record: &'a RawValue) -> Self {
        if let Ok(fields) = serde_json::from_str(record.get()) {
            return fields;
        }
        let Ok(Tolerated(RawMembers(members))) = serde_json::from_str(record.get()) else {
            return Self::wrong(JsonType::Unreadable);
        };
        let mut fields = Self::default();
        for (name, value) in members {
            let name = serde_json::from_str(name.get()).unwrap_or(FieldName::Other);
            let mut text = serde_json::Deserializer::from_str(value.get());
            if (FieldSeed { fields: &mut fields, name }).deserialize(&mut text).is_err() {
                // Nothing in JSON is bytes, so they stand for what cannot be read, and are wrong
                // for every field.
                let unreadable = BytesDeserializer::<serde_json::Error>::new(&[]);
                let read = FieldSeed { fields: &mut fields, name }.deserialize(unreadable);
                debug_assert!(read.is_ok(), "bytes are read by every field");
            }
        }
        fields
    }
}

#[derive(Clone, Copy, Deserialize)]
#[serde(field_identifier, rename_all = "camelCase")]
enum FieldName {
    EventSource,
    Topic,
    Partition,
    Offset,
    Timestamp,
    TimestampType,
    Key,
    Value,
    Headers,
    KeySchemaMetadata,
    ValueSchemaMetadata,
    Epoch,
    #[serde(other)]
    Other,
}

/// Reads the value of one member into its field; the last of several wins.
struct FieldSeed<'f, 'a> {
    fields: &'f mut Fields<'a>,
    name: FieldName,
}

/// The members of a record as they are spelled.
struct RawMembers<'a>(Vec<(&'a RawValue, &'a RawValue)>);

impl<'de> Deserialize<'de> for Fields<'de> {
    fn deserialize<D: Deserializer<'de>>(value: D) -> Result<Self, D::Error> {
        read(value)
    }
}

impl<'de> Tolerant<'de> for Fields<'de> {
    fn wrong(found: JsonType) -> Self {
        Self { not_an_object: Some(found), ..Self::default() }
    }

    fn object<A: MapAccess<'de>>(mut members: A) -> Result<Self, A::Error> {
        let mut fields = Self::default();
        while let Some(name) = members.next_key()? {
            members.next_value_seed(FieldSeed { fields: &mut fields, name })?;
        }
        Ok(fields)
    }
}

impl<'de> DeserializeSeed<'de> for FieldSeed<'_, 'de> {
    type Value = ();

    fn deserialize<D: Deserializer<'de>>(self, value: D) -> Result<(), D::Error> {
        let Self { fields, name } = self;
        match name {
            FieldName::EventSource => fields.source = read(value)?,
            FieldName::Topic => fields.topic = read(value)?,
            FieldName::Partition => fields.partition = read(value)?,
            FieldName::Offset => fields.offset = read(value)?,
            FieldName::Timestamp => fields.timestamp = read(value)?,
            FieldName::TimestampType => fields.timestamp_type = read(value)?,
            FieldName::Key => fields.key = read(value)?,
            FieldName::Value => fields.value = read(value)?,
            FieldName::Headers => fields.headers = read(value)?,
            FieldName::KeySchemaMetadata => fields.key_schema = read(value)?,
            FieldName::ValueSchemaMetadata => fields.value_schema = read(value)?,
            FieldName::Epoch => fields.epoch = read(value)?,
            FieldName::Other => {
                IgnoredAny::deserialize(value)?;
            }
        }
        Ok(())
    }
}

impl<'de> Tolerant<'de> for RawMembers<'de> {
    fn wrong(_found: JsonType) -> Self {
        Self(Vec::new())
    }

    fn object<A: MapAccess<'de>>(mut members: A) -> Result<Self, A::Error> {
        let mut list = Vec::new();
        while let Some(member) = members.next_entry()? {
            list.push(member);
        }
        Ok(Self(list))
    }
}

impl Default for Timestamp {
    fn default() -> Self {
        Self(NO_TIMESTAMP)
    }
}

/// What Kafka itself says where a record has no timestamp.
const NO_TIMESTAMP: i64 = -1;

impl<'de> Tolerant<'de> for Timestamp {
    fn wrong(_found: JsonType) -> Self {
        Self::default()
    }

    fn integer(value: i128) -> Self {
        Self(i64::try_from(value).unwrap_or(NO_TIMESTAMP))
    }

    #[expect(
        clippy::cast_possible_truncation,
        reason = "the fraction is to go, and the bounds are checked"
    )]
    fn float(value: f64) -> Self {
        // 2^63, the first float above the range; its negative is the first one inside.
        const BOUND: f64 = 9_223_372_036_854_775_808.0;
        if (-BOUND..BOUND).contains(&value) { Self(value as i64) } else { Self::default() }
    }

    fn text(value: Cow<'de, str>) -> Self {
        Self(value.parse().unwrap_or(NO_TIMESTAMP))
    }
}

#[derive(Clone, Copy, Deserialize)]
#[serde(field_identifier, rename_all = "camelCase")]
enum SchemaName {
    SchemaId,
    DataFormat,
    #[serde(other)]
    Other,
}

impl<'de> Tolerant<'de> for Schema<'de> {
    fn wrong(_found: JsonType) -> Self {
        Self(None)
    }

    fn object<A: MapAccess<'de>>(mut members: A) -> Result<Self, A::Error> {
        let mut metadata = SchemaMetadata::default();
        while let Some(name) = members.next_key()? {
            match name {
                SchemaName::SchemaId => {
                    metadata.schema_id = members.next_value::<Tolerated<Member<_>>>()?.0.present();
                }
                SchemaName::DataFormat => {
                    metadata.data_format =
                        members.next_value::<Tolerated<Member<_>>>()?.0.present();
                }
                SchemaName::Other => {
                    members.next_value::<IgnoredAny>()?;
                }
            }
        }
        Ok(Self(Some(metadata)))
    }
}
