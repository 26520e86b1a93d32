//! Where a record stands in Kafka.

use std::{borrow::Cow, fmt};

/// What finds a record: no two of a cluster have the same, unless a topic was created again.
///
/// ```
/// use kafka_event::Coordinates;
///
/// let coordinates = Coordinates { topic: "plans".into(), partition: 3, offset: 17 };
/// assert_eq!(coordinates.to_string(), "plans-3 offset 17");
/// ```
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Coordinates<'a> {
    /// The topic that the record came from.
    pub topic: Cow<'a, str>,
    /// The partition of the topic.
    pub partition: i32,
    /// The record's offset in its partition.
    pub offset: i64,
}

impl Coordinates<'_> {
    /// The same, borrowed from nothing.
    pub fn into_owned(self) -> Coordinates<'static> {
        let Self { topic, partition, offset } = self;
        Coordinates { topic: topic.into_owned().into(), partition, offset }
    }
}

impl fmt::Display for Coordinates<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}-{} offset {}", self.topic, self.partition, self.offset)
    }
}
