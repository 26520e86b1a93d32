//! The quarantine: a table in which rejected records wait, byte for byte, until someone fixes their cause.

use std::cell::OnceCell;

use base64::{Engine as _, engine::general_purpose::STANDARD};
use kafka_event::EncodedRecord;

use crate::{
    item::{fingerprint, json_string},
    settings::Settings,
    sink::Rejection,
    wire::{Call, Operation, number_value, string_value},
};

/// The most bytes of a record that one item of the table holds: an item may have 400 KB in all.
const PART_BYTES: usize = 350 * 1024;

/// An entry that expires within so many seconds is renewed when its record comes again, rather than lost.
const RENEWED_BEFORE_EXPIRY: u64 = 60 * 60;

/// By how many seconds the parts of a record outlive its head, which may be written later than they.
const PARTS_OUTLIVE_HEAD: i64 = 24 * 60 * 60;

/// A batch's way into the quarantine.
#[derive(Debug)]
pub(crate) struct Quarantine<'a> {
    pub(crate) settings: &'a Settings,
    /// The sink's name.
    pub(crate) sink: &'a str,
    /// Milliseconds since 1970.
    pub(crate) now: u64,
    pub(crate) payload: &'a [u8],
    /// The batch's records, as they stand in the event.
    pub(crate) records: &'a [EncodedRecord<'a>],
    /// The records' JSON texts, found when the first one is needed.
    pub(crate) texts: OnceCell<Vec<Text<'a>>>,
}

/// A record's JSON text as Lambda delivered it.
#[derive(Debug)]
pub(crate) struct Text<'a> {
    json: &'a str,
    hash: OnceCell<String>,
}

impl Text<'_> {
    fn hash(&self) -> &str {
        self.hash.get_or_init(|| fingerprint(self.json.as_bytes()))
    }
}

impl<'a> Quarantine<'a> {
    /// The entry of a rejected record.
    pub(crate) fn entry<'e>(&'e self, record: usize, rejection: &'e Rejection) -> Entry<'e, 'a> {
        // The event was read before, so that its records' texts are found.
        let texts = self.texts.get_or_init(|| {
            let texts = kafka_event::raw_records(self.payload).unwrap_or_default();
            texts.into_iter().map(|json| Text { json, hash: OnceCell::new() }).collect()
        });
        Entry { quarantine: self, record: &self.records[record], text: &texts[record], rejection }
    }
}

/// A rejected record with its place in the quarantine.
///
/// Its head's key is the partition and its place in it. A record too large for one item is split over parts whose sort
/// keys begin with the head's; the head is written last, and only the head counts. One record may come in several
/// texts, such as with an epoch when it is redriven: parts and head carry the hash of theirs, so that they are never
/// mixed.
#[derive(Debug)]
pub(crate) struct Entry<'e, 'a> {
    quarantine: &'e Quarantine<'a>,
    record: &'a EncodedRecord<'a>,
    text: &'e Text<'a>,
    rejection: &'e Rejection,
}

impl Entry<'_, '_> {
    /// How many requests it takes: one for each part, and one for the head.
    pub(crate) fn requests(&self) -> usize {
        self.parts() + 1
    }

    /// The request at `position`, the head's last. It is refused where an entry stands that is about to expire; then
    /// all of them are sent again with `renews`.
    pub(crate) fn call(&self, position: usize, renews: bool) -> Call {
        if position < self.parts() { self.part(position, renews) } else { self.head(renews) }
    }

    fn parts(&self) -> usize {
        if self.text.json.len() <= PART_BYTES {
            0
        } else {
            self.text.json.len().div_ceil(PART_BYTES)
        }
    }

    fn part(&self, position: usize, renews: bool) -> Call {
        let start = position * PART_BYTES;
        let end = (start + PART_BYTES).min(self.text.json.len());
        let mut update = Update::default();
        update.set("record", |out| binary_value(&self.text.json.as_bytes()[start..end], out));
        if let Some(expires_at) = self.expires_at() {
            update.set("expiresAt", |out| number_value(expires_at + PARTS_OUTLIVE_HEAD, out));
        }
        let sort_key = format!("{}#{}#{position:04}", self.sort_key(), self.text.hash());
        self.update(&sort_key, &update, renews)
    }

    fn head(&self, renews: bool) -> Call {
        let mut update = Update { counts_attempts: true, ..Update::default() };
        update.set("reason", |out| string_value(self.rejection.code, out));
        update.set("message", |out| string_value(&self.rejection.message, out));
        update.set("sink", |out| string_value(self.quarantine.sink, out));
        update.set("topic", |out| string_value(self.record.topic(), out));
        update.set("partition", |out| number_value(self.record.partition().into(), out));
        update.set("offset", |out| number_value(self.record.offset(), out));
        update.set("timestamp", |out| number_value(self.record.timestamp(), out));
        update.set("firstSeen", |out| number_value(saturate(self.quarantine.now), out));
        update.set("epoch", |out| number_value(saturate(self.epoch()), out));
        update.set("parts", |out| number_value(saturate(self.parts() as u64), out));
        if let Some(expires_at) = self.expires_at() {
            update.set("expiresAt", |out| number_value(expires_at, out));
        }
        if self.parts() > 0 {
            update.set("hash", |out| string_value(self.text.hash(), out));
        } else {
            update.set("record", |out| binary_value(self.text.json.as_bytes(), out));
            self.decoded(&mut update);
        }
        self.update(&self.sort_key(), &update, renews)
    }

    fn update(&self, sort_key: &str, update: &Update, renews: bool) -> Call {
        let mut body = b"{\"TableName\":".to_vec();
        json_string(&self.quarantine.settings.quarantine_table, &mut body);
        body.extend_from_slice(b",\"Key\":{\"PK\":");
        string_value(&self.partition_key(), &mut body);
        body.extend_from_slice(b",\"SK\":");
        string_value(sort_key, &mut body);
        body.extend_from_slice(b"},");
        let soon = self.quarantine.now / 1000 + RENEWED_BEFORE_EXPIRY;
        update.write((!renews).then_some(soon), &mut body);
        body.push(b'}');
        Call { operation: Operation::UpdateItem, body }
    }

    /// Key, value and headers as bytes, for whoever looks at the table, where they can be decoded and there is room.
    fn decoded(&self, update: &mut Update) {
        let Ok(record) = self.record.decode() else { return };
        let header_bytes = |header: &kafka_event::Header<'_>| {
            header.name.len() + header.value.as_ref().map_or(1, Vec::len) + 16
        };
        let size = record.key.as_ref().map_or(0, Vec::len)
            + record.value.as_ref().map_or(0, Vec::len)
            + record.headers.iter().map(header_bytes).sum::<usize>();
        if self.text.json.len() + size > PART_BYTES {
            return;
        }
        if let Some(key) = &record.key {
            update.set("key", |out| binary_value(key, out));
        }
        if let Some(value) = &record.value {
            update.set("value", |out| binary_value(value, out));
        }
        update.set("headers", |out| {
            out.extend_from_slice(b"{\"L\":[");
            for (position, header) in record.headers.iter().enumerate() {
                if position > 0 {
                    out.push(b',');
                }
                out.extend_from_slice(b"{\"M\":{\"name\":");
                string_value(&header.name, out);
                out.extend_from_slice(b",\"value\":");
                match &header.value {
                    Some(value) => binary_value(value, out),
                    None => out.extend_from_slice(b"{\"NULL\":true}"),
                }
                out.extend_from_slice(b"}}");
            }
            out.extend_from_slice(b"]}");
        });
    }

    fn partition_key(&self) -> String {
        format!("{}-{}", self.record.topic(), self.record.partition())
    }

    /// The epoch and the timestamp are part of it, since a topic that is created again uses its offsets again.
    fn sort_key(&self) -> String {
        format!(
            "{:010}-{:020}-{:020}",
            self.epoch(),
            self.record.offset(),
            self.record.timestamp().max(0)
        )
    }

    /// A redriven record keeps the epoch of its entry; one beyond the function's cannot be such.
    fn epoch(&self) -> u64 {
        let epoch = self.quarantine.settings.epoch;
        self.record.epoch().unwrap_or(epoch).min(epoch)
    }

    fn expires_at(&self) -> Option<i64> {
        let retention = self.quarantine.settings.quarantine_retention?;
        Some(saturate(self.quarantine.now / 1000 + retention.as_secs()))
    }
}

/// The expression that sets attributes which are not there yet, so that a record which comes again keeps its first
/// entry.
#[derive(Default)]
struct Update {
    attributes: Vec<(&'static str, Vec<u8>)>,
    counts_attempts: bool,
}

impl Update {
    fn set(&mut self, name: &'static str, write: impl FnOnce(&mut Vec<u8>)) {
        let mut value = Vec::new();
        write(&mut value);
        self.attributes.push((name, value));
    }

    /// Writes it on condition that what stands does not expire before `unless_expires_before`; without that it renews
    /// the expiry, and the text with it, whose parts were renewed before.
    fn write(&self, unless_expires_before: Option<u64>, out: &mut Vec<u8>) {
        const EXPIRES_AT: &str = "expiresAt";
        /// Those whose text is renewed are the ones that last.
        const RENEWED: [&str; 4] = [EXPIRES_AT, "parts", "hash", "record"];
        let (mut assignments, mut values) = (Vec::new(), Vec::new());
        let mut names = vec![format!("\"#{EXPIRES_AT}\":\"{EXPIRES_AT}\"")];
        for (name, value) in &self.attributes {
            if RENEWED.contains(name) && unless_expires_before.is_none() {
                assignments.push(format!("#{name} = :{name}"));
            } else {
                assignments.push(format!("#{name} = if_not_exists(#{name}, :{name})"));
            }
            if *name != EXPIRES_AT {
                names.push(format!("\"#{name}\":\"{name}\""));
            }
            values.push([format!("\":{name}\":").as_bytes(), value].concat());
        }
        let mut expression = format!("SET {}", assignments.join(", "));
        if self.counts_attempts {
            expression += " ADD #attempts :one";
            names.push("\"#attempts\":\"attempts\"".to_owned());
            values.push(b"\":one\":{\"N\":\"1\"}".to_vec());
        }
        if let Some(limit) = unless_expires_before {
            values.push(format!("\":limit\":{{\"N\":\"{limit}\"}}").into_bytes());
            out.extend_from_slice(
                b"\"ConditionExpression\":\"attribute_not_exists(#expiresAt) OR #expiresAt > :limit\",",
            );
        } else if !self.attributes.iter().any(|(name, _)| *name == EXPIRES_AT) {
            expression += " REMOVE #expiresAt";
        }

        out.extend_from_slice(b"\"UpdateExpression\":");
        json_string(&expression, out);
        out.extend_from_slice(b",\"ExpressionAttributeNames\":{");
        out.extend_from_slice(names.join(",").as_bytes());
        out.extend_from_slice(b"},\"ExpressionAttributeValues\":{");
        out.extend_from_slice(&values.join(&b","[..]));
        out.push(b'}');
    }
}

fn binary_value(bytes: &[u8], out: &mut Vec<u8>) {
    out.extend_from_slice(b"{\"B\":\"");
    out.extend_from_slice(STANDARD.encode(bytes).as_bytes());
    out.extend_from_slice(b"\"}");
}

fn saturate(number: u64) -> i64 {
    number.try_into().unwrap_or(i64::MAX)
}
