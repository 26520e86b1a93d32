//! What a function's log says of an invocation's records.

use std::collections::{BTreeMap, HashMap};

use dynamo_sink::outcome::Outcome;
use serde_json::Value;

use super::entry::Head;

/// What was read from a log, which may be cut off or not be there at all.
#[derive(Default)]
pub struct Log {
    /// How many records ended how, those that were applied or need not be.
    pub outcomes: BTreeMap<&'static str, u64>,
    /// What was wrong, by topic, partition and offset.
    remarks: HashMap<(String, i32, i64), Remark>,
}

/// What a line says of a record that was not applied.
pub struct Remark {
    /// Whether it was taken for the sign of a topic that was created again.
    pub is_regression: bool,
    /// What is wrong: for a rejected record a code, then words.
    pub words: String,
}

impl Log {
    pub fn read(lines: &[String]) -> Self {
        let mut log = Self::default();
        // What is no JSON was not written by a sink, or its beginning is cut off.
        for line in lines.iter().filter_map(|line| serde_json::from_str::<Value>(line).ok()) {
            if line["message"] == "batch" {
                for outcome in Outcome::ALL.iter().filter(|it| it.is_accepted()) {
                    let count = line[outcome.name()].as_u64().unwrap_or_default();
                    if count > 0 {
                        *log.outcomes.entry(outcome.name()).or_default() += count;
                    }
                }
            } else if let Some((coordinates, remark)) = remark(&line) {
                log.remarks.insert(coordinates, remark);
            }
        }
        log
    }

    pub fn remark(&self, head: &Head) -> Option<&Remark> {
        self.remarks.get(&(head.topic.clone(), head.partition, head.offset))
    }
}

fn remark(line: &Value) -> Option<((String, i32, i64), Remark)> {
    let text = |name: &str| line[name].as_str().map(str::to_owned);
    let partition = line["partition"].as_i64()?.try_into().ok()?;
    let (reason, message) = (text("reason")?, text("message")?);
    let remark = Remark {
        is_regression: message == "record not applied",
        words: match message.strip_prefix("record quarantined: ") {
            Some(words) => format!("{reason}: {words}"),
            None => reason,
        },
    };
    Some(((text("topic")?, partition, line["offset"].as_i64()?), remark))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_log_is_read_as_far_as_it_goes() {
        #[track_caller]
        fn check(log: &[&str], outcomes: &[(&str, u64)], expected: Option<(bool, &str)>) {
            let log: Vec<_> = log.iter().map(|&line| line.to_owned()).collect();
            let log = Log::read(&log);
            assert_eq!(log.outcomes, outcomes.iter().copied().collect());
            let found = log.remark(&Head::example());
            assert_eq!(found.map(|it| (it.is_regression, it.words.as_str())), expected);
        }

        let rejected = r#"{"level":"WARN","message":"record quarantined: no JSON","topic":"a-b","partition":3,"offset":7,"reason":"INVALID_JSON"}"#;
        let batch = r#"{"message":"batch","received":4,"written":2,"stale":1,"quarantined":1,"partitions":{}}"#;
        let rejection = Some((false, "INVALID_JSON: no JSON"));
        let place = r#""topic":"a-b","partition":3,"offset":7"#;
        let line = |message: &str| format!(r#"{{"message":"{message}",{place},"reason":"it is"}}"#);
        check(&[&line("record failed")], &[], Some((false, "it is")));
        check(&[&line("record not applied")], &[], Some((true, "it is")));
        check(&[], &[], None);
        check(&["START", "", "{"], &[], None);
        check(&[rejected, batch], &[("stale", 1), ("written", 2)], rejection);
        check(&[&rejected[9..], batch], &[("stale", 1), ("written", 2)], None);
        check(&[&rejected.replace(":7", ":8")], &[], None);
        check(&[r#"{"topic":"a-b","partition":3,"offset":7,"message":"m"}"#], &[], None);
    }
}
