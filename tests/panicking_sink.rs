//! A third sink, as small as one can be, whose mapping panics on a value and quotes it.

use dynamo_sink::{
    item::{Outline, encode},
    settings::Settings,
    sink::{Mapped, Rejection, Sink},
    version::Order,
};
use kafka_event::Record;

const SINK: Sink = Sink {
    name: "panickingSink",
    topic: "panicking",
    order: Order::Offset,
    deletes: false,
    has_connect_schema: false,
    map,
};

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), lambda_runtime::Error> {
    dynamo_sink::run(SINK).await
}

fn map(record: &Record<'_>, _settings: &Settings) -> Result<Mapped, Rejection> {
    let json = record.json_value()?.unwrap_or_default();
    assert!(json.starts_with(b"{\"good\":"), "bad value {}", String::from_utf8_lossy(json));
    let encoded = encode(json, &Outline::default())?;
    Ok(Mapped::Put { key: record.offset.to_string(), item: encoded.item, source_time: 0 })
}
