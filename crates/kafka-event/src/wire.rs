//! The JSON of an event as it stands: a value of any type is read, and nothing is judged yet.

mod envelope;
mod fields;
mod headers;
mod tolerant;

pub(crate) use envelope::Envelope;
pub(crate) use fields::Fields;
pub(crate) use headers::Headers;
pub(crate) use tolerant::Member;
