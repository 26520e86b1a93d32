//! What one record does to its key, whatever stands in the tables: the mapping, the place in the order, and the limits.

use kafka_event::Record;

use crate::{
    item::{Item, MAX_ITEM_SIZE, map_size, number_size, string_size},
    order::version::Stamp,
    settings::Settings,
    sink::{Mapped, Rejection, Sink},
};

/// The most bytes of a sort key; the key is partition key and sort key in one, and the former may have 2048.
const MAX_KEY_BYTES: usize = 1024;

/// What a record writes, and where that stands in the order of its key.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Mutation {
    /// The item's `PK` and `SK`.
    pub key: String,
    /// The state's place in the order.
    pub stamp: Stamp,
    /// When the source changed the row, see [`Mapped::Put`]; 0 for a delete.
    pub source_time: i64,
    /// The item to put; none for a delete.
    pub item: Option<Item>,
}

impl Sink {
    /// Maps a record, and holds it to all limits of DynamoDB that can be known before it is sent.
    ///
    /// It is pure: whoever folds a topic's records in the order of [`crate::version::compare`] gets the states that the
    /// table must come to.
    pub fn mutation(
        &self,
        record: &Record<'_>,
        settings: &Settings,
    ) -> Result<Mutation, Rejection> {
        let (key, item, source_time) = match (self.map)(record, settings)? {
            Mapped::Put { key, item, source_time } => (key, Some(item), source_time),
            Mapped::Delete { key } if self.deletes => (key, None, 0),
            Mapped::Delete { .. } => {
                let message = "the mapping makes it a delete, but this sink has no deletes";
                return Err(Rejection::new("UNEXPECTED_DELETE", message));
            }
        };
        let epoch = record.epoch.unwrap_or(settings.epoch);
        if epoch > settings.epoch {
            let message = "the record's epoch is higher than the function's: it would outrank all records that follow";
            return Err(Rejection::new("INVALID_EPOCH", message));
        }
        let coordinates = record.coordinates();
        let stamp = Stamp::new(self.order, epoch, source_time, coordinates, record.timestamp);
        check_limits(&key, &stamp, item.as_ref())?;
        Ok(Mutation { key, stamp, source_time, item })
    }
}

/// The limits of DynamoDB that only show when key, item and `_sink` are together.
fn check_limits(key: &str, stamp: &Stamp, item: Option<&Item>) -> Result<(), Rejection> {
    if key.is_empty() {
        return Err(Rejection::new(
            "EMPTY_KEY",
            "the item's key is empty, which DynamoDB does not store",
        ));
    }
    if key.len() > MAX_KEY_BYTES {
        let message =
            format!("the item's key has {} bytes: a sort key may have {MAX_KEY_BYTES}", key.len());
        return Err(Rejection::new("KEY_TOO_LONG", message));
    }
    let Some(item) = item else { return Ok(()) };
    let size = item.size() + 2 * ("PK".len() + string_size(key)) + sink_size(stamp, item);
    if size > MAX_ITEM_SIZE {
        let message = format!("the item has {size} bytes: DynamoDB stores at most {MAX_ITEM_SIZE}");
        return Err(Rejection::new("ITEM_TOO_LARGE", message));
    }
    Ok(())
}

fn sink_size(stamp: &Stamp, item: &Item) -> usize {
    let members = [
        ("version", string_size(&stamp.version)),
        ("topic", string_size(&stamp.topic)),
        ("partition", number_size(stamp.partition.into())),
        ("offset", number_size(stamp.offset)),
        ("timestamp", number_size(stamp.timestamp)),
        ("shape", string_size(item.shape().as_str())),
    ];
    "_sink".len() + map_size(&members)
}
