//! A whole event: where it came from, and its records.

use std::{borrow::Cow, mem};

use serde_json::value::RawValue;

use crate::{
    encoded_record::EncodedRecord,
    error::{EventError, FoundSource},
    wire::{Envelope, Fields, Member},
};

/// One invocation's records, still encoded and borrowed from the payload.
#[derive(Debug)]
pub struct Event<'a> {
    /// The kind of cluster that the records came from.
    pub source: EventSource,
    /// Whether an `EventBridge` pipe sent it, which heeds no partial answer.
    pub is_from_pipe: bool,
    /// The records in the order of the payload; those of one partition stand as they came.
    pub records: Vec<EncodedRecord<'a>>,
}

/// The kind of cluster that an event came from, directly or through an `EventBridge` pipe.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum EventSource {
    /// A cluster that is known to Lambda by its bootstrap servers.
    SelfManagedKafka,
    /// A cluster of Amazon MSK, known by its ARN.
    AmazonMsk,
}

impl<'a> Event<'a> {
    /// Reads an event from an invocation's payload.
    ///
    /// A payload that is no Kafka event is an error, and so is a record without usable coordinates;
    /// no other record is judged yet.
    pub fn read(payload: &'a [u8]) -> Result<Self, EventError> {
        let payload = text(payload)?;
        if let Ok(envelope) = serde_json::from_str::<Envelope<'a, Fields<'a>>>(payload) {
            return Self::new(envelope);
        }
        // The text is no JSON, or a record holds a value that serde_json cannot hold (the number
        // `1e999`, half a surrogate pair). Taking the records apart member by member confines the
        // latter to its field.
        Self::new(read_raw(payload)?)
    }

    fn new<R: Into<Fields<'a>>>(envelope: Envelope<'a, R>) -> Result<Self, EventError> {
        // A mapping names its source once, a pipe in each record: there the first one's is
        // everyone's.
        let (mut source, fields) = match envelope {
            Envelope::Mapping { source, records, holds_capital_records } => {
                let source = EventSource::named_by(&source)
                    .map_err(|found| EventError::UnknownSource { found, holds_capital_records })?;
                (Some(source), records.into_list()?)
            }
            Envelope::Pipe(fields) => (None, fields),
            Envelope::Neither(found) => return Err(EventError::NotAnEvent { found }),
        };
        let is_pipe = source.is_none();

        let mut records = Vec::with_capacity(fields.len());
        for (index, fields) in fields.into_iter().enumerate() {
            let mut fields: Fields<'a> = fields.into();
            let named = mem::take(&mut fields.source);
            records.push(EncodedRecord::new(index, fields)?);
            if is_pipe {
                let named = EventSource::named_by(&named)
                    .map_err(|found| EventError::UnknownRecordSource { index, found })?;
                if *source.get_or_insert(named) != named {
                    return Err(EventError::MixedSources { index });
                }
            }
        }
        let source = source.ok_or(EventError::EmptyArray)?;

        Ok(Self { source, is_from_pipe: is_pipe, records })
    }
}

/// Takes out the exact JSON text of each record of an event that [`Event::read`] accepts, in the
/// order of [`Event::records`].
///
/// This reads the whole payload a second time. It is meant for the rare record that has to be kept
/// as it came.
pub fn raw_records(payload: &[u8]) -> Result<Vec<&str>, EventError> {
    let records = match read_raw(text(payload)?)? {
        Envelope::Mapping { records, .. } => records.into_list()?,
        Envelope::Pipe(records) => records,
        Envelope::Neither(found) => return Err(EventError::NotAnEvent { found }),
    };
    Ok(records.into_iter().map(RawValue::get).collect())
}

/// Checked for the whole payload: a skipped string would hide what only the raw records show.
fn text(payload: &[u8]) -> Result<&str, EventError> {
    // The standard library's check is slower, but says what is wrong.
    simdutf8::basic::from_utf8(payload)
        .or_else(|_| str::from_utf8(payload))
        .map_err(EventError::NotUtf8)
}

fn read_raw(payload: &str) -> Result<Envelope<'_, &RawValue>, EventError> {
    serde_json::from_str(payload).map_err(EventError::NotJson)
}

impl EventSource {
    fn named_by(member: &Member<Cow<'_, str>>) -> Result<Self, FoundSource> {
        match member {
            // The second spelling stands in test events of some tools; Lambda itself never sent it.
            Member::Present(name)
                if name == "SelfManagedKafka" || name == "aws:SelfManagedKafka" =>
            {
                Ok(Self::SelfManagedKafka)
            }
            Member::Present(name) if name == "aws:kafka" => Ok(Self::AmazonMsk),
            Member::Present(name) => Err(FoundSource::named(name)),
            Member::Wrong(found) => Err(FoundSource::OtherType(*found)),
            Member::Absent => Err(FoundSource::Absent),
        }
    }
}
