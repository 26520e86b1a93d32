//! The mapping of `sinkProfileData`: the profile of the user whom the record's key names.

use dynamo_sink::{
    item::{Outline, encode},
    settings::Settings,
    sink::{Mapped, Rejection, Sink},
    version::Order,
};
use kafka_event::Record;

/// The sink. Offsets order its records, and one without a value deletes its item.
pub const SINK: Sink = Sink {
    name: "sinkProfileData",
    topic: "users.profiles",
    order: Order::Offset,
    deletes: true,
    has_connect_schema: false,
    map,
};

fn map(record: &Record<'_>, _settings: &Settings) -> Result<Mapped, Rejection> {
    let key = record.key.clone().and_then(|key| String::from_utf8(key).ok());
    let key = key.ok_or_else(|| Rejection::new("INVALID_KEY", "the key is no UTF-8 text"))?;
    let Some(json) = record.json_value()? else { return Ok(Mapped::Delete { key }) };
    let item = encode(json, &Outline::default())?.item;
    Ok(Mapped::Put { key, item, source_time: 0 })
}
