//! The mapping of `sinkAppianData`: rows that Kafka Connect's JDBC source read from Appian's package table.

use dynamo_sink::{
    item::{Encoded, Outline, Scalar, encode},
    settings::Settings,
    sink::{Mapped, Rejection, Sink},
    version::Order,
};
use kafka_event::Record;

/// The sink. Its records have no key, so rows of one package may lie on any partition: the source's clock orders them.
/// A row is never deleted; `DLTD_FLAG` in the payload is data.
pub const SINK: Sink = Sink {
    name: "sinkAppianData",
    topic: "aws.appian.cmcs.MCP_SPA_PCKG",
    order: Order::SourceClock,
    deletes: false,
    has_connect_schema: true,
    map,
};

const PACKAGE_ID: &[&str] = &["payload", "PCKG_ID"];
const REPLICA_TIMESTAMP: &[&str] = &["payload", "REPLICA_TIMESTAMP"];
const UPDATE_TIMESTAMP: &[&str] = &["payload", "UPDT_TS"];

/// `schema` is Connect's description of the payload's types and holds no data.
const CONNECT_SCHEMA: &[&str] = &["schema"];

fn map(record: &Record<'_>, settings: &Settings) -> Result<Mapped, Rejection> {
    let value = record.json_value()?;
    let json = value.ok_or_else(|| {
        Rejection::new("NULL_VALUE", "the value is null, and this sink deletes nothing")
    })?;
    let outline = Outline {
        omit: if settings.keep_connect_schema { &[] } else { CONNECT_SCHEMA },
        pick: &[&["payload"], PACKAGE_ID, REPLICA_TIMESTAMP, UPDATE_TIMESTAMP],
    };
    let Encoded { item, picked } = encode(json, &outline)?;
    let [payload, package_id, replica_timestamp, update_timestamp] = picked.as_slice() else {
        return Err(Rejection::new("INVALID_PAYLOAD", "the payload can't be read"));
    };
    if !matches!(payload, Some(Scalar::Object)) {
        return Err(Rejection::new("INVALID_PAYLOAD", "the value's `payload` is not an object"));
    }
    let source_time = match source_time(replica_timestamp.as_ref())? {
        Some(time) => Some(time),
        None => source_time(update_timestamp.as_ref())?,
    };
    let source_time = source_time.unwrap_or(0);
    Ok(Mapped::Put { key: key(package_id.as_ref())?, item, source_time })
}

fn key(package_id: Option<&Scalar>) -> Result<String, Rejection> {
    match package_id {
        Some(Scalar::String(id)) => Ok(id.clone()),
        Some(Scalar::Number(id)) => id.integer().map(str::to_owned).ok_or_else(|| {
            Rejection::new(
                "INVALID_PACKAGE_ID",
                "`payload.PCKG_ID` is a number, but not a whole one",
            )
        }),
        None | Some(Scalar::Null) => {
            Err(Rejection::new("MISSING_PACKAGE_ID", "`payload.PCKG_ID` is missing or null"))
        }
        Some(_) => Err(Rejection::new(
            "INVALID_PACKAGE_ID",
            "`payload.PCKG_ID` is neither a number nor a string",
        )),
    }
}

/// A time of the source, which decides between two states of a row: anything but a whole number can't. Negative times
/// count as 0.
fn source_time(scalar: Option<&Scalar>) -> Result<Option<u64>, Rejection> {
    let time = match scalar {
        None | Some(Scalar::Null) => return Ok(None),
        Some(Scalar::Number(number)) => number.as_i64(),
        Some(_) => None,
    };
    let time = time.ok_or_else(|| {
        Rejection::new(
            "INVALID_SOURCE_TIME",
            "`payload.REPLICA_TIMESTAMP`, or in its absence `payload.UPDT_TS`, is not a whole number of 64 bits",
        )
    })?;
    Ok(Some(u64::try_from(time).unwrap_or(0)))
}
