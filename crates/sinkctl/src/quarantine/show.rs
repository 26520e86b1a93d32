//! One entry: what is known of its record, and on demand what the record holds.

use std::{
    io::{self, Write},
    path::Path,
    process::ExitCode,
};

use base64::{Engine as _, engine::general_purpose::STANDARD as BASE64};
use clap::Args;
use kafka_event::Event;
use serde::{Serialize, de::IgnoredAny};
use serde_json::value::{RawValue, to_raw_value};

use super::{
    Place,
    filter::Selection,
    none_found,
    record::{event, redelivered},
    store::{Entry, Listed},
    summary::Why,
};
use crate::{
    text::{self, counted},
    visible::{Visible, visible_json, write_json},
};

pub const EXAMPLES: &str = "\
Examples:
  sinkctl quarantine show aws.ksqldb.seatool.agg.State_Plan-4 1234 --stage master
  sinkctl quarantine show --reason INVALID_JSON --decoded --stage master
  sinkctl quarantine show --topic my-topic --offset 7..9 --raw --json --stage master | jq .record

Keys, values and headers are data: without --decoded or --raw only their sizes and the headers' names are shown.
Exit status: 0 when it is done, 1 when there is no such record, 2 when it could not be done.";

#[derive(Args, Clone, Debug)]
pub struct Show {
    /// Show keys, values and headers, as JSON or text where they are.
    #[arg(long, conflicts_with = "raw")]
    decoded: bool,
    /// Show the records' JSON as Lambda delivered it.
    #[arg(long)]
    raw: bool,
    /// How many records are shown.
    #[arg(long, value_name = "N", default_value_t = 20)]
    limit: usize,
    /// Print a line of JSON for each record.
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    chosen: Selection,
    #[command(flatten)]
    place: Place,
}

impl Show {
    pub async fn run(self, template: &Path) -> anyhow::Result<ExitCode> {
        let (_, store) = self.place.open(template).await?;
        let now = text::now().cast_signed();
        let found = store.find(&self.chosen.filter(), now).await?;
        if found.entries.is_empty() {
            return none_found(&store);
        }
        let more = found.entries.len().saturating_sub(self.limit);
        let mut out = io::stdout();
        for listed in found.entries.into_iter().take(self.limit) {
            // What was removed meanwhile is not shown.
            let Some(entry) = store.read(&listed.head.key).await? else { continue };
            let shown = Shown::new(&entry, self.decoded, self.raw);
            if self.json {
                write_json(&shown, &mut out)?;
            } else {
                shown.write(now, &mut out)?;
                writeln!(out)?;
            }
        }
        if more > 0 {
            writeln!(io::stderr(), "and {more} more: `--limit` shows them, filters choose")?;
        }
        Ok(ExitCode::SUCCESS)
    }
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Shown {
    #[serde(flatten)]
    entry: Listed,
    /// The length of the record's text; none if a part of it is missing.
    record_bytes: Option<usize>,
    /// How many items hold it beside the head.
    parts: u64,
    /// What the record says, or why it cannot be decoded.
    #[serde(flatten)]
    content: Content,
    #[serde(skip_serializing_if = "Option::is_none")]
    record: Option<Box<RawValue>>,
}

#[derive(Debug, Serialize)]
#[serde(untagged)]
enum Content {
    Decoded { key: Option<Bytes>, value: Option<Bytes>, headers: Vec<Header> },
    Undecoded { undecoded: String },
}

#[derive(Debug, Serialize)]
struct Header {
    name: String,
    value: Option<Bytes>,
}

/// Bytes of which maybe only the number is known.
#[derive(Debug, Serialize)]
struct Bytes {
    bytes: usize,
    #[serde(flatten)]
    meaning: Option<Meaning>,
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "lowercase")]
enum Meaning {
    Json(Box<RawValue>),
    Text(String),
    Base64(String),
}

impl Shown {
    /// What is shown of an entry: what its key, value and headers hold and its record only on demand.
    pub fn new(entry: &Entry, decoded: bool, raw: bool) -> Self {
        let text = entry.record.as_deref().filter(|_| raw);
        let text = text.map(|text| String::from_utf8_lossy(text).into_owned());
        let head = entry.head.clone();
        Self {
            record_bytes: entry.record.as_ref().map(Vec::len),
            parts: head.parts,
            entry: Listed { is_whole: entry.record.is_some(), head },
            content: Content::of(entry, decoded)
                .unwrap_or_else(|undecoded| Content::Undecoded { undecoded }),
            record: text.and_then(|text| {
                // What no sink wrote may be no JSON, and is shown as a JSON text then.
                RawValue::from_string(text.clone()).or_else(|_| to_raw_value(&text)).ok()
            }),
        }
    }

    /// Writes it for people, `now` being in milliseconds since 1970.
    pub fn write(&self, now: i64, out: &mut dyn Write) -> io::Result<()> {
        self.entry.write(now, out)?;
        let mut line = |name: &str, text: &str| writeln!(out, "  {name:<10} {text}");
        let items = if self.parts == 0 { 1 } else { self.parts };
        match self.record_bytes {
            Some(bytes) => {
                line(
                    "record",
                    &format!("{} in {}", counted(bytes, "byte"), counted(items, "item")),
                )?;
            }
            None => line("record", "incomplete: a part of it is missing")?,
        }
        match &self.content {
            Content::Decoded { key, value, headers } => {
                line("key", &Bytes::words(key.as_ref()))?;
                line("value", &Bytes::words(value.as_ref()))?;
                for Header { name, value } in headers {
                    let value = Bytes::words(value.as_ref());
                    line("header", &format!("{}: {value}", Visible(name)))?;
                }
            }
            Content::Undecoded { undecoded } => {
                line("content", &format!("cannot be decoded: {}", Visible(undecoded)))?;
            }
        }
        if let Some(record) = &self.record {
            line("as sent", &visible_json(record.get()))?;
        }
        Ok(())
    }
}

impl Content {
    /// The content of an entry's record, or in words why it cannot be decoded.
    fn of(entry: &Entry, with_data: bool) -> Result<Self, String> {
        let no_record = || "it is no record of this entry".to_owned();
        let text = redelivered(entry).map_err(|why| match why {
            Why::Incomplete => "a part of it is missing".to_owned(),
            _ => no_record(),
        })?;
        let event = event(&[(&entry.head, &text)]);
        let event = Event::read(event.as_bytes()).map_err(|_| no_record())?;
        let record = event.records.first().ok_or_else(no_record)?;
        let record = record.decode().map_err(|error| error.kind.to_string())?;
        let bytes = |bytes: Option<Vec<u8>>| bytes.map(|it| Bytes::new(&it, with_data));
        let header =
            |it: kafka_event::Header<'_>| Header { name: it.name.into(), value: bytes(it.value) };
        Ok(Self::Decoded {
            key: bytes(record.key),
            value: bytes(record.value),
            headers: record.headers.into_iter().map(header).collect(),
        })
    }
}

impl Bytes {
    fn new(bytes: &[u8], with_data: bool) -> Self {
        let meaning = with_data.then(|| match str::from_utf8(bytes) {
            Ok(text) if serde_json::from_str::<IgnoredAny>(text).is_ok() => {
                // What was just read as JSON is JSON, but for the depth that a value may have.
                RawValue::from_string(text.to_owned())
                    .map_or_else(|_| Meaning::Text(text.to_owned()), Meaning::Json)
            }
            Ok(text) => Meaning::Text(text.to_owned()),
            Err(_) => Meaning::Base64(BASE64.encode(bytes)),
        });
        Self { bytes: bytes.len(), meaning }
    }

    fn words(bytes: Option<&Self>) -> String {
        let Some(Self { bytes, meaning }) = bytes else { return "none".to_owned() };
        let size = counted(*bytes, "byte");
        match meaning {
            None => size,
            Some(Meaning::Json(json)) => format!("{size}, JSON: {}", visible_json(json.get())),
            Some(Meaning::Text(text)) => format!("{size}, text: {}", Visible(text)),
            Some(Meaning::Base64(text)) => format!("{size}, in base64: {text}"),
        }
    }
}

#[cfg(test)]
mod tests {
    use expect_test::{Expect, expect};

    use super::*;
    use crate::quarantine::entry::Head;

    const RECORD: &str = concat!(
        r#"{"topic":"a-b","partition":3,"offset":7,"timestamp":-1,"key":"IkEi","value":"eyJuIjoxMjM0NTY3ODkwMTIzNDU2Nzg5MC4xMCwicyI6IsKbIn0=","#,
        r#""headers":[{"\u001b[2J":[104,105]},{"raw":[-1]},{"none":null}]}"#
    );

    fn shown(text: Option<&str>, option: &str) -> Shown {
        let record = text.map(|text| text.as_bytes().to_vec());
        let entry = Entry { head: Head::example(), record, items: Vec::new() };
        Shown::new(&entry, option == "--decoded", option == "--raw")
    }

    #[track_caller]
    fn check(text: Option<&str>, option: &str, expected: &Expect) {
        let mut out = Vec::new();
        shown(text, option).write(61_000, &mut out).unwrap();
        expected.assert_eq(&String::from_utf8(out).unwrap());
    }

    #[test]
    fn data_is_shown_on_demand_only() {
        check(
            Some(RECORD),
            "",
            &expect![[r"
            a-b-3 offset 7
              reason     INVALID_JSON
              message    no JSON
              sink       sinkSeatoolData
              epoch      1
              timestamp  none
              rejected   2 times, first at 1970-01-01T00:00:01Z, 60 s ago
              expires    1970-01-01T00:01:30Z
              record     194 bytes in 1 item
              key        3 bytes
              value      38 bytes
              header     \u{1b}[2J: 2 bytes
              header     raw: 1 byte
              header     none: none
        "]],
        );
        check(
            Some(RECORD),
            "--decoded",
            &expect![[r#"
            a-b-3 offset 7
              reason     INVALID_JSON
              message    no JSON
              sink       sinkSeatoolData
              epoch      1
              timestamp  none
              rejected   2 times, first at 1970-01-01T00:00:01Z, 60 s ago
              expires    1970-01-01T00:01:30Z
              record     194 bytes in 1 item
              key        3 bytes, JSON: "A"
              value      38 bytes, JSON: {"n":12345678901234567890.10,"s":"\u009b"}
              header     \u{1b}[2J: 2 bytes, text: hi
              header     raw: 1 byte, in base64: /w==
              header     none: none
        "#]],
        );
        check(
            Some(RECORD),
            "--raw",
            &expect![[r#"
            a-b-3 offset 7
              reason     INVALID_JSON
              message    no JSON
              sink       sinkSeatoolData
              epoch      1
              timestamp  none
              rejected   2 times, first at 1970-01-01T00:00:01Z, 60 s ago
              expires    1970-01-01T00:01:30Z
              record     194 bytes in 1 item
              key        3 bytes
              value      38 bytes
              header     \u{1b}[2J: 2 bytes
              header     raw: 1 byte
              header     none: none
              as sent    {"topic":"a-b","partition":3,"offset":7,"timestamp":-1,"key":"IkEi","value":"eyJuIjoxMjM0NTY3ODkwMTIzNDU2Nzg5MC4xMCwicyI6IsKbIn0=","headers":[{"\u001b[2J":[104,105]},{"raw":[-1]},{"none":null}]}
        "#]],
        );
    }

    #[test]
    fn what_cannot_be_decoded_is_told() {
        check(
            Some("\u{1b}"),
            "--raw",
            &expect![[r#"
            a-b-3 offset 7
              reason     INVALID_JSON
              message    no JSON
              sink       sinkSeatoolData
              epoch      1
              timestamp  none
              rejected   2 times, first at 1970-01-01T00:00:01Z, 60 s ago
              expires    1970-01-01T00:01:30Z
              record     1 byte in 1 item
              content    cannot be decoded: it is no record of this entry
              as sent    "\u001b"
        "#]],
        );
        check(
            None,
            "--decoded",
            &expect![[r"
            a-b-3 offset 7
              reason     INVALID_JSON
              message    no JSON
              sink       sinkSeatoolData
              epoch      1
              timestamp  none
              rejected   2 times, first at 1970-01-01T00:00:01Z, 60 s ago
              expires    1970-01-01T00:01:30Z
              record     incomplete: a part of it is missing
              content    cannot be decoded: a part of it is missing
        "]],
        );
        check(
            Some(&RECORD.replace("IkEi", "?")),
            "--decoded",
            &expect![[r"
            a-b-3 offset 7
              reason     INVALID_JSON
              message    no JSON
              sink       sinkSeatoolData
              epoch      1
              timestamp  none
              rejected   2 times, first at 1970-01-01T00:00:01Z, 60 s ago
              expires    1970-01-01T00:01:30Z
              record     191 bytes in 1 item
              content    cannot be decoded: `key` is not valid base64 at byte 0 of its text
        "]],
        );
    }

    #[test]
    fn json_keeps_every_digit() {
        #[track_caller]
        fn check(option: &str, expected: &Expect) {
            let mut out = Vec::new();
            write_json(&shown(Some(RECORD), option), &mut out).unwrap();
            expected.assert_eq(&String::from_utf8(out).unwrap());
        }

        check(
            "",
            &expect![[r#"
            {"topic":"a-b","partition":3,"offset":7,"timestamp":-1,"epoch":1,"sink":"sinkSeatoolData","reason":"INVALID_JSON","message":"no JSON","firstSeen":1000,"attempts":2,"expiresAt":90,"isWhole":true,"recordBytes":194,"parts":0,"key":{"bytes":3},"value":{"bytes":38},"headers":[{"name":"\u001b[2J","value":{"bytes":2}},{"name":"raw","value":{"bytes":1}},{"name":"none","value":null}]}
        "#]],
        );
        check(
            "--decoded",
            &expect![[r#"
            {"topic":"a-b","partition":3,"offset":7,"timestamp":-1,"epoch":1,"sink":"sinkSeatoolData","reason":"INVALID_JSON","message":"no JSON","firstSeen":1000,"attempts":2,"expiresAt":90,"isWhole":true,"recordBytes":194,"parts":0,"key":{"bytes":3,"json":"A"},"value":{"bytes":38,"json":{"n":12345678901234567890.10,"s":"\u009b"}},"headers":[{"name":"\u001b[2J","value":{"bytes":2,"text":"hi"}},{"name":"raw","value":{"bytes":1,"base64":"/w=="}},{"name":"none","value":null}]}
        "#]],
        );
        check(
            "--raw",
            &expect![[r#"
            {"topic":"a-b","partition":3,"offset":7,"timestamp":-1,"epoch":1,"sink":"sinkSeatoolData","reason":"INVALID_JSON","message":"no JSON","firstSeen":1000,"attempts":2,"expiresAt":90,"isWhole":true,"recordBytes":194,"parts":0,"key":{"bytes":3},"value":{"bytes":38},"headers":[{"name":"\u001b[2J","value":{"bytes":2}},{"name":"raw","value":{"bytes":1}},{"name":"none","value":null}],"record":{"topic":"a-b","partition":3,"offset":7,"timestamp":-1,"key":"IkEi","value":"eyJuIjoxMjM0NTY3ODkwMTIzNDU2Nzg5MC4xMCwicyI6IsKbIn0=","headers":[{"\u001b[2J":[104,105]},{"raw":[-1]},{"none":null}]}}
        "#]],
        );
    }
}
