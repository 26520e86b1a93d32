//! The mapping of `sinkAppianData`: rows that Kafka Connect's JDBC source read from Appian's package table.

use dynamo_sink::{
    item::{Encoded, Outline, Scalar, encode, is_null},
    settings::Settings,
    sink::{Mapped, Rejection, Sink},
    version::Order,
};
use kafka_event::Record;
use serde::Deserialize;

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

const PACKAGE_ID: &str = "PCKG_ID";
/// The times of the source, the first of which that a row has counts.
const SOURCE_TIMES: [&str; 2] = ["REPLICA_TIMESTAMP", "UPDT_TS"];

/// `schema` is Connect's description of the payload's types and holds no data.
const CONNECT_SCHEMA: &[&str] = &["schema"];

fn map(record: &Record<'_>, settings: &Settings) -> Result<Mapped, Rejection> {
    let json = record.json_value()?.filter(|json| !is_null(json));
    let json = json.ok_or_else(|| {
        Rejection::new(
            "NULL_VALUE",
            "the value is absent, empty or null, and this sink deletes nothing",
        )
    })?;
    let [replica, update] = SOURCE_TIMES;
    let outline = Outline {
        omit: if settings.keep_connect_schema { &[] } else { CONNECT_SCHEMA },
        pick: &[
            &["payload"],
            &["payload", PACKAGE_ID],
            &["payload", replica],
            &["payload", update],
        ],
    };
    let Encoded { item, picked } = encode(json, &outline)?;
    let [payload, package_id, times @ ..] = picked.as_slice() else {
        return Err(Rejection::new("INVALID_PAYLOAD", "the payload cannot be read"));
    };
    let invalid = |message| Err(Rejection::new("INVALID_PAYLOAD", message));
    match payload {
        Some(Scalar::Object) => {}
        Some(Scalar::Null) => {
            let message = "the value's `payload` is null, and this sink deletes nothing";
            return Err(Rejection::new("NULL_VALUE", message));
        }
        None => return invalid("the value's `payload` is missing"),
        Some(_) => return invalid("the value's `payload` is not an object"),
    }
    let source_time = source_time(times, json)?;
    Ok(Mapped::Put { key: key(package_id.as_ref(), json)?, item, source_time })
}

fn key(package_id: Option<&Scalar>, json: &[u8]) -> Result<String, Rejection> {
    let invalid = |message: String| Err(Rejection::new("INVALID_PACKAGE_ID", message));
    match package_id {
        Some(Scalar::String(id)) => match decimal(PACKAGE_ID, json) {
            None => Ok(id.clone()),
            Some(message) => invalid(message),
        },
        Some(Scalar::Number(id)) => match id.integer() {
            Some(id) => Ok(id.to_owned()),
            None if id.is_whole() => {
                invalid("`payload.PCKG_ID` has more than 38 digits".to_owned())
            }
            None => invalid("`payload.PCKG_ID` is a number, but not a whole one".to_owned()),
        },
        None | Some(Scalar::Null) => {
            Err(Rejection::new("MISSING_PACKAGE_ID", "`payload.PCKG_ID` is missing or null"))
        }
        Some(_) => invalid("`payload.PCKG_ID` is neither a number nor a string".to_owned()),
    }
}

/// When the source changed the row, which decides between two of its states: anything but a whole number cannot.
fn source_time(times: &[Option<Scalar>], json: &[u8]) -> Result<i64, Rejection> {
    let present = SOURCE_TIMES.into_iter().zip(times).find_map(|(column, time)| match time {
        None | Some(Scalar::Null) => None,
        Some(time) => Some((column, time)),
    });
    let Some((column, time)) = present else { return Ok(0) };
    if let Scalar::Number(number) = time
        && let Some(time) = number.as_i64()
    {
        return Ok(time);
    }
    let decimal = matches!(time, Scalar::String(_)).then(|| decimal(column, json)).flatten();
    let message = decimal.unwrap_or_else(|| {
        format!("`payload.{column}` is not a whole number from -2^63 to 2^63 - 1")
    });
    Err(Rejection::new("INVALID_SOURCE_TIME", message))
}

/// What is wrong with a column that is a string, if Connect's schema of the row calls it a Decimal: the string is then
/// the number's bytes in base64.
fn decimal(column: &str, json: &[u8]) -> Option<String> {
    #[derive(Deserialize)]
    struct Value {
        schema: Schema,
    }
    #[derive(Deserialize)]
    struct Schema {
        fields: Vec<Field>,
    }
    #[derive(Deserialize)]
    struct Field {
        field: Option<String>,
        name: Option<String>,
    }
    const DECIMAL: &str = "org.apache.kafka.connect.data.Decimal";

    // It is read only here, since few rows have such a string. A schema of another form describes nothing.
    let value: Value = serde_json::from_slice(json).ok()?;
    let mut fields = value.schema.fields.iter().filter(|it| it.field.as_deref() == Some(column));
    fields.any(|it| it.name.as_deref() == Some(DECIMAL)).then(|| {
        format!(
            "`payload.{column}` is a Decimal in base64, as Connect's schema says: set `numeric.mapping` to `best_fit` \
             in the JDBC source connector, or `decimal.format` to `NUMERIC` in its JSON converter"
        )
    })
}
