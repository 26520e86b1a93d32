//! A record as it stands in the event: coordinates known, key and value not decoded yet.

use std::{borrow::Cow, fmt, sync::LazyLock};

use base64::{
    DecodeError,
    engine::{Engine as _, Simd, general_purpose::PAD_INDIFFERENT},
};

use crate::{
    coordinates::Coordinates,
    error::{EventError, PayloadField, RecordError, RecordErrorKind},
    record::{Header, Record, SchemaMetadata},
    wire::{Fields, Headers, Member},
};

/// One record of an event, borrowed from the payload and still encoded.
pub struct EncodedRecord<'a> {
    coordinates: Coordinates<'a>,
    timestamp: i64,
    timestamp_type: Option<Cow<'a, str>>,
    key: Member<Cow<'a, str>>,
    value: Member<Cow<'a, str>>,
    headers: Headers<'a>,
    key_schema: Option<SchemaMetadata<'a>>,
    value_schema: Option<SchemaMetadata<'a>>,
    epoch: Member<u64>,
}

impl<'a> EncodedRecord<'a> {
    /// Where the record stands.
    pub fn coordinates(&self) -> &Coordinates<'a> {
        &self.coordinates
    }

    /// The topic that the record came from.
    pub fn topic(&self) -> &str {
        &self.coordinates.topic
    }

    /// The partition of the topic.
    pub fn partition(&self) -> i32 {
        self.coordinates.partition
    }

    /// The record's offset in its partition.
    pub fn offset(&self) -> i64 {
        self.coordinates.offset
    }

    /// Kafka's timestamp in milliseconds since 1970, or -1, which means none in Kafka, if it is
    /// absent or unusable.
    pub fn timestamp(&self) -> i64 {
        self.timestamp
    }

    /// The epoch of a record that was redriven from a quarantine; Lambda never sends one.
    pub fn epoch(&self) -> Option<u64> {
        match self.epoch {
            Member::Present(epoch) => Some(epoch),
            Member::Absent | Member::Wrong(_) => None,
        }
    }

    /// Decodes the record.
    ///
    /// Base64 is the standard alphabet; padding may be missing, and unused bits of the last
    /// character may be set, as in AWS's own sample event. White space is not allowed.
    pub fn decode(&self) -> Result<Record<'a>, RecordError> {
        let decoded = self.decode_fields();
        decoded.map_err(|kind| RecordError {
            coordinates: self.coordinates.clone().into_owned(),
            kind,
        })
    }

    pub(crate) fn new(index: usize, fields: Fields<'a>) -> Result<Self, EventError> {
        if let Some(found) = fields.not_an_object {
            return Err(EventError::RecordNotAnObject { index, found });
        }
        let unusable = |field, accepted| EventError::UnusableCoordinate { index, field, accepted };

        let topic = match fields.topic {
            Member::Present(topic) if !topic.is_empty() => topic,
            _ => return Err(unusable("topic", "a string that is not empty")),
        };
        let partition = match fields.partition {
            Member::Present(number) => i32::try_from(number).ok(),
            Member::Absent | Member::Wrong(_) => None,
        };
        let partition =
            partition.ok_or_else(|| unusable("partition", "an integer from 0 to 2147483647"))?;
        let offset = match fields.offset {
            Member::Present(number) => i64::try_from(number).ok(),
            Member::Absent | Member::Wrong(_) => None,
        };
        let offset =
            offset.ok_or_else(|| unusable("offset", "an integer from 0 to 9223372036854775807"))?;

        Ok(Self {
            coordinates: Coordinates { topic, partition, offset },
            timestamp: fields.timestamp.0,
            timestamp_type: fields.timestamp_type.present(),
            key: fields.key,
            value: fields.value,
            headers: fields.headers,
            key_schema: fields.key_schema.0,
            value_schema: fields.value_schema.0,
            epoch: fields.epoch,
        })
    }

    fn decode_fields(&self) -> Result<Record<'a>, RecordErrorKind> {
        let epoch = match self.epoch {
            Member::Absent => None,
            Member::Present(epoch) => Some(epoch),
            // Without its epoch an old record could outrank what a newer one wrote since.
            Member::Wrong(found) => return Err(RecordErrorKind::InvalidEpoch { found }),
        };
        Ok(Record {
            topic: self.coordinates.topic.clone(),
            partition: self.coordinates.partition,
            offset: self.coordinates.offset,
            timestamp: self.timestamp,
            timestamp_type: self.timestamp_type.clone(),
            key: decode_base64(PayloadField::Key, &self.key)?,
            value: decode_base64(PayloadField::Value, &self.value)?,
            headers: self.decode_headers()?,
            key_schema: self.key_schema.clone(),
            value_schema: self.value_schema.clone(),
            epoch,
        })
    }

    fn decode_headers(&self) -> Result<Vec<Header<'a>>, RecordErrorKind> {
        match &self.headers {
            Headers::Read(headers) => Ok(headers.clone()),
            Headers::NotAnArray(found) => Err(RecordErrorKind::HeadersNotAnArray { found: *found }),
            Headers::Malformed { index } => Err(RecordErrorKind::MalformedHeader { index: *index }),
        }
    }
}

/// Shows the coordinates only: keys and values must not reach a log.
impl fmt::Debug for EncodedRecord<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("EncodedRecord")
            .field("coordinates", &self.coordinates)
            .finish_non_exhaustive()
    }
}

/// Vectorised on both of Lambda's architectures, chosen when first used.
static BASE64: LazyLock<Simd> =
    LazyLock::new(|| Simd::standard(PAD_INDIFFERENT.with_decode_allow_trailing_bits(true)));

fn decode_base64(
    field: PayloadField,
    member: &Member<Cow<'_, str>>,
) -> Result<Option<Vec<u8>>, RecordErrorKind> {
    let text = match member {
        Member::Absent => return Ok(None),
        Member::Present(text) => text,
        Member::Wrong(found) => return Err(RecordErrorKind::NotAString { field, found: *found }),
    };
    match BASE64.decode(text.as_bytes()) {
        Ok(bytes) => Ok(Some(bytes)),
        Err(error) => Err(RecordErrorKind::InvalidBase64 {
            field,
            position: match error {
                DecodeError::InvalidByte(position, _)
                | DecodeError::InvalidLastSymbol { offset: position, .. } => position,
                DecodeError::InvalidLength(_) | DecodeError::InvalidPadding => text.len(),
            },
        }),
    }
}
