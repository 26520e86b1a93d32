//! One line of a log, made readable.

use anstyle::{AnsiColor, Style};
use serde_json::{Map, Value};

use crate::{
    status::record_counts,
    text::{age, counted, counts, styled, time_of_day},
    visible::Visible,
};

/// The members of a line that have a place of their own, or say nothing to people.
const PLACED: [&str; 9] =
    ["timestamp", "level", "message", "target", "span", "topic", "partition", "offset", "reason"];

/// The line to show instead of `raw`; `None` if it says nothing to people.
///
/// What is no JSON object is shown as it is, but for what a terminal would obey.
pub fn line(raw: &str) -> Option<String> {
    let Some((prefix, members)) = object(raw) else { return Some(Visible(raw).to_string()) };
    let line = Line { prefix, members: &members };
    if members.contains_key("_aws") {
        Some(batch(&line))
    } else if let Some(kind) = line.text("type").filter(|it| it.starts_with("platform.")) {
        platform(&line, kind)
    } else if members.contains_key("level") {
        Some(message(&line))
    } else {
        Some(Visible(raw).to_string())
    }
}

fn batch(line: &Line<'_>) -> String {
    let time = line.members["_aws"]["Timestamp"].as_u64();
    let time = time.map_or_else(|| "--:--:--".to_owned(), time_of_day);
    let mut outcomes = format!("{} received", line.number("received"));
    let others = counts(record_counts().skip(1).map(|name| (name, line.number(name))));
    if !others.is_empty() {
        outcomes = format!("{outcomes}, {others}");
    }
    let mut costs = vec![format!("{} ms", line.number("batchDuration"))];
    let looked = line.number("looked");
    if looked > 0 {
        costs.push(format!("{looked} looked"));
    }
    for (name, noun) in [("requests", "request"), ("retries", "retry"), ("throttles", "throttle")] {
        let number = line.number(name);
        if number > 0 {
            costs.push(counted(number, noun));
        }
    }
    let oldest = line.number("oldestRecordAge");
    if oldest >= 1000 {
        costs.push(format!("oldest {}", age(oldest)));
    }
    let text = format!("{time} {}batch   {}; {}", line.name(), outcomes, costs.join(", "));
    let style = if line.number("failed") > 0 {
        RED
    } else if line.number("quarantined") + line.number("regression") > 0 {
        YELLOW
    } else {
        Style::new()
    };
    in_style(&text, style)
}

/// A line that the code wrote by itself: of a record, if it has coordinates.
fn message(line: &Line<'_>) -> String {
    let level = line.text("level").unwrap_or_default();
    let mut text = format!("{} {}{level:<7}", line.time("timestamp"), line.name());
    if let (Some(topic), Some(partition), Some(offset)) =
        (line.text("topic"), line.members.get("partition"), line.members.get("offset"))
    {
        text = format!("{text} {topic}-{partition} offset {offset}");
    }
    if let Some(message) = line.text("message") {
        text = format!("{text} {message}");
    }
    if let Some(reason) = line.text("reason") {
        text = format!("{text} ({reason})");
    }
    for (name, value) in line.members {
        if !PLACED.contains(&name.as_str()) {
            let value = value.as_str().map_or_else(|| value.to_string(), str::to_owned);
            text = format!("{text} {name}={value}");
        }
    }
    let style = match level {
        "ERROR" => RED,
        "WARN" => YELLOW,
        "DEBUG" | "TRACE" => DIM,
        _ => Style::new(),
    };
    in_style(&text, style)
}

/// What Lambda says of an invocation, in its JSON format.
fn platform(line: &Line<'_>, kind: &str) -> Option<String> {
    let record = line.members.get("record")?;
    let status = record["status"].as_str().unwrap_or("success");
    if kind != "platform.report" && status == "success" {
        return None;
    }
    let time = line.time("time");
    let what = kind.trim_start_matches("platform.");
    let what = if what == "report" { "REPORT" } else { what };
    let mut text = format!("{time} {}{what:<7} {status}", line.name());
    if let Some(error) = record["errorType"].as_str() {
        text = format!("{text} ({error})");
    }
    let metric = |name: &str| record["metrics"][name].as_f64();
    if let Some(duration) = metric("durationMs") {
        text = format!("{text}, {duration:.0} ms");
    }
    if let (Some(used), Some(of)) = (metric("maxMemoryUsedMB"), metric("memorySizeMB")) {
        text = format!("{text}, {used:.0} of {of:.0} MB");
    }
    if let Some(start) = metric("initDurationMs") {
        text = format!("{text}, cold start {start:.0} ms");
    }
    let style = if status == "success" { DIM } else { RED };
    Some(in_style(&text, style))
}

fn in_style(text: &str, style: Style) -> String {
    styled(&Visible(text).to_string(), style)
}

const RED: Style = AnsiColor::Red.on_default();
const YELLOW: Style = AnsiColor::Yellow.on_default();
const DIM: Style = Style::new().dimmed();

/// A line's members, and what stood in front of them.
struct Line<'a> {
    prefix: &'a str,
    members: &'a Map<String, Value>,
}

impl Line<'_> {
    fn text(&self, name: &str) -> Option<&str> {
        self.members.get(name)?.as_str()
    }

    fn number(&self, name: &str) -> u64 {
        self.members.get(name).and_then(Value::as_u64).unwrap_or_default()
    }

    /// The function, if the line says it, with a space behind: `sinkctl esm` puts it in front.
    fn name(&self) -> String {
        let prefix = self.prefix.trim().trim_end_matches(':');
        if !prefix.is_empty() {
            return format!("{prefix} ");
        }
        let Some(function) = self.text("function") else { return String::new() };
        let before = format!("-{}-", self.text("stage").unwrap_or_default());
        format!("{} ", function.rsplit_once(&before).map_or(function, |(_, it)| it))
    }

    /// The time of day of a member like `2026-11-21T22:13:20.123456Z`.
    fn time(&self, name: &str) -> &str {
        let time = self.text(name).and_then(|it| it.split_once('T')?.1.get(..8));
        time.unwrap_or("--:--:--")
    }
}

/// The JSON object that the line is, or ends in, and what stands in front of it.
fn object(raw: &str) -> Option<(&str, Map<String, Value>)> {
    let (prefix, json) = raw.split_at(raw.find('{')?);
    match serde_json::from_str(json) {
        Ok(Value::Object(members)) => Some((prefix, members)),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use anstream::adapter::strip_str;

    use super::*;

    #[track_caller]
    fn check(raw: &str, expected: Option<&str>) {
        let line = line(raw).map(|it| strip_str(&it).to_string());
        assert_eq!(line.as_deref(), expected);
    }

    #[track_caller]
    fn check_colour(raw: &str, expected: Option<&str>) {
        let line = line(raw).unwrap();
        let code = line.strip_prefix("\u{1b}[").map(|it| it.split_once('m').unwrap().0);
        assert_eq!(code, expected);
    }

    const BATCH: &str = r#"{"_aws":{"Timestamp":1700000000123,"CloudWatchMetrics":[]},"level":"INFO","message":"batch","function":"a-val-b-val-sinkSeatoolData","stage":"val","partitions":{"t-0":{"written":2}},"received":3,"written":2,"deleted":0,"quarantined":0,"requests":1,"retries":0,"batchDuration":46,"oldestRecordAge":999}"#;

    #[test]
    fn a_batch_is_what_became_of_its_records() {
        check(
            BATCH,
            Some("22:13:20 sinkSeatoolData batch   3 received, 2 written; 46 ms, 1 request"),
        );
        check(
            &format!("sinkOther: {}", BATCH.replace(r#""quarantined":0"#, r#""quarantined":1"#)),
            Some(
                "22:13:20 sinkOther batch   3 received, 2 written, 1 quarantined; 46 ms, 1 request",
            ),
        );
        let slow = BATCH
            .replace(r#""retries":0"#, r#""retries":2,"throttles":1"#)
            .replace("999", "61000")
            .replace(r#""stage":"val""#, r#""stage":"other""#);
        check(
            &slow,
            Some(
                "22:13:20 a-val-b-val-sinkSeatoolData batch   3 received, 2 written; 46 ms, 1 request, 2 \
                 retries, 1 throttle, oldest 61 s",
            ),
        );
        check_colour(BATCH, None);
        check_colour(&BATCH.replace(r#""quarantined":0"#, r#""quarantined":1"#), Some("33"));
        check_colour(&BATCH.replace(r#""deleted":0"#, r#""failed":1"#), Some("31"));
    }

    #[test]
    fn a_record_is_its_coordinates_and_the_reason() {
        let rejected = r#"{"timestamp":"2026-11-21T22:13:20.5Z","level":"WARN","message":"record quarantined: the value is not JSON","topic":"a.b","partition":3,"offset":17,"reason":"INVALID_JSON","target":"dynamo_sink::outcome","span":{"requestId":"r","name":"invocation"}}"#;
        check(
            rejected,
            Some(
                "22:13:20 WARN    a.b-3 offset 17 record quarantined: the value is not JSON (INVALID_JSON)",
            ),
        );
        check_colour(rejected, Some("33"));
        let regressed = r#"{"timestamp":"2026-11-21T22:13:20.5Z","level":"ERROR","message":"record not applied","topic":"t","partition":0,"offset":5,"timestamp_":1,"reason":"why"}"#;
        check(
            &format!("sinkSeatoolData: {regressed}"),
            Some(
                "22:13:20 sinkSeatoolData ERROR   t-0 offset 5 record not applied (why) timestamp_=1",
            ),
        );
        check_colour(regressed, Some("31"));
        // A topic cannot have such a name, but a log can.
        check(
            &rejected.replace("a.b", "\\u001b[2J\\u202e"),
            Some(
                r"22:13:20 WARN    \u{1b}[2J\u{202e}-3 offset 17 record quarantined: the value is not JSON (INVALID_JSON)",
            ),
        );
        check(
            r#"{"level":"INFO","message":"up","table":"t","n":3}"#,
            Some("--:--:-- INFO    up n=3 table=t"),
        );
    }

    #[test]
    fn what_lambda_says_is_one_line_an_invocation() {
        let report = r#"{"time":"2026-11-21T22:13:20.5Z","type":"platform.report","record":{"requestId":"r","metrics":{"durationMs":46.25,"billedDurationMs":217,"memorySizeMB":256,"maxMemoryUsedMB":64,"initDurationMs":170.4},"status":"success"}}"#;
        check(report, Some("22:13:20 REPORT  success, 46 ms, 64 of 256 MB, cold start 170 ms"));
        check_colour(report, Some("2"));
        let timeout = report.replace(r#""initDurationMs":170.4"#, r#""x":1"#).replace(
            r#""status":"success""#,
            r#""status":"error","errorType":"Runtime.OutOfMemory""#,
        );
        check(&timeout, Some("22:13:20 REPORT  error (Runtime.OutOfMemory), 46 ms, 64 of 256 MB"));
        check_colour(&timeout, Some("31"));
        check(
            r#"{"time":"2026-11-21T22:13:20.5Z","type":"platform.start","record":{"requestId":"r"}}"#,
            None,
        );
        check(
            r#"{"time":"2026-11-21T22:13:20.5Z","type":"platform.runtimeDone","record":{"status":"success"}}"#,
            None,
        );
        check(
            r#"{"time":"2026-11-21T22:13:20.5Z","type":"platform.runtimeDone","record":{"status":"timeout"}}"#,
            Some("22:13:20 runtimeDone timeout"),
        );
    }

    #[test]
    fn everything_else_passes() {
        check("", Some(""));
        check(
            "thread 'main' panicked at \u{1b}[31mx",
            Some(r"thread 'main' panicked at \u{1b}[31mx"),
        );
        check("{\"a\": ", Some("{\"a\": "));
        check(r#"{"a":1}"#, Some(r#"{"a":1}"#));
        check("[1]", Some("[1]"));
        check("sinkctl: no JSON {here}", Some("sinkctl: no JSON {here}"));
    }
}
