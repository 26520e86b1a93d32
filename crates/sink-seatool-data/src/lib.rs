//! The mapping of `sinkSeatoolData`: states that a ksqlDB aggregate keeps for each state plan.

use dynamo_sink::{
    item::{Outline, decode_json_string, encode, is_null},
    settings::Settings,
    sink::{Mapped, Rejection, Sink},
    version::Order,
};
use kafka_event::Record;

/// The sink. Its records are keyed, so offsets order them, and a record without a value deletes its item.
pub const SINK: Sink = Sink {
    name: "sinkSeatoolData",
    topic: "aws.ksqldb.seatool.agg.State_Plan",
    order: Order::Offset,
    deletes: true,
    has_connect_schema: false,
    map,
};

fn map(record: &Record<'_>, _settings: &Settings) -> Result<Mapped, Rejection> {
    let key = key(record)?;
    match record.json_value()? {
        Some(json) if !is_null(json) => {
            let encoded = encode(json, &Outline { omit: &[], pick: &[] })?;
            Ok(Mapped::Put { key, item: encoded.item, source_time: 0 })
        }
        _ => Ok(Mapped::Delete { key }),
    }
}

/// The key is a JSON string: its quotes are part of the record's bytes, but not of the item's key.
fn key(record: &Record<'_>) -> Result<String, Rejection> {
    let json =
        record.json_key()?.ok_or_else(|| Rejection::new("MISSING_KEY", "the record has no key"))?;
    decode_json_string(json).map_err(|error| {
        Rejection::new("INVALID_KEY", format!("the key is no JSON string: {error}"))
    })
}
