//! What the run reports: a row a scenario, and a last line that can be counted on.

use std::fmt;

use serde_json::Value;

use crate::process::{Counts, Ended};

/// What a scenario came to.
#[derive(Debug, Default)]
pub(crate) struct Row {
    pub(crate) name: &'static str,
    pub(crate) records: u64,
    pub(crate) kills: u64,
    pub(crate) faults: u64,
    pub(crate) retries: u64,
    pub(crate) timeouts: u64,
    pub(crate) counts: Counts,
    pub(crate) lost: u64,
    pub(crate) resurrected: u64,
    pub(crate) observations: u64,
    pub(crate) seconds: u64,
    /// What is to be known of it beside the counts.
    pub(crate) notes: Vec<String>,
    /// Why it failed, if it did.
    pub(crate) failures: Vec<String>,
}

impl Row {
    pub(crate) fn new(name: &'static str) -> Self {
        Self { name, ..Self::default() }
    }

    /// Adds what a `sinkctl esm` did.
    pub(crate) fn add(&mut self, ended: &Ended) {
        for (name, count) in &ended.counts {
            *self.counts.entry(name.clone()).or_default() += count;
        }
        if !ended.status.success() {
            self.failures.push(format!("sinkctl esm ended with {}", ended.status));
        }
        match &ended.summary {
            Some(summary) => {
                self.retries += sum(summary, "retries");
                self.timeouts += sum(summary, "timeouts");
                let given_up = sum(summary, "givenUp") + sum(summary, "tooLarge");
                self.expect(given_up == 0, || format!("{given_up} records given up"));
            }
            None => self.failures.push("sinkctl esm wrote no summary".to_owned()),
        }
    }

    pub(crate) fn count(&self, name: &str) -> u64 {
        self.counts.get(name).copied().unwrap_or_default()
    }

    /// Fails the scenario unless it holds.
    pub(crate) fn expect(&mut self, holds: bool, failure: impl FnOnce() -> String) {
        if !holds {
            self.failures.push(failure());
        }
    }

    fn columns(&self) -> [String; COLUMNS.len()] {
        [
            self.name.to_owned(),
            self.records.to_string(),
            self.kills.to_string(),
            self.faults.to_string(),
            self.retries.to_string(),
            self.timeouts.to_string(),
            self.count("duplicate").to_string(),
            self.count("stale").to_string(),
            self.count("conflict").to_string(),
            self.count("regression").to_string(),
            self.count("quarantined").to_string(),
            self.observations.to_string(),
            self.lost.to_string(),
            self.resurrected.to_string(),
            self.seconds.to_string(),
            if self.failures.is_empty() { "passed" } else { "FAILED" }.to_owned(),
        ]
    }
}

const COLUMNS: [&str; 16] = [
    "scenario",
    "records",
    "kills",
    "faults",
    "retries",
    "timeouts",
    "duplicate",
    "stale",
    "conflict",
    "regression",
    "quarantined",
    "observed",
    "lost",
    "resurrected",
    "seconds",
    "result",
];

/// The sum of a count over all functions of a summary, however deep it stands.
fn sum(summary: &Value, name: &str) -> u64 {
    match summary {
        Value::Object(members) => {
            let count = |(member, value): (&String, &Value)| {
                if member == name { value.as_u64().unwrap_or_default() } else { sum(value, name) }
            };
            members.iter().map(count).sum()
        }
        Value::Array(values) => values.iter().map(|value| sum(value, name)).sum(),
        _ => 0,
    }
}

impl fmt::Display for Row {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let columns = COLUMNS.iter().zip(self.columns());
        let columns: Vec<_> = columns.map(|(name, value)| format!("{name} {value}")).collect();
        f.write_str(&columns[1..].join(", "))?;
        for note in &self.notes {
            write!(f, "\n  {note}")?;
        }
        for failure in &self.failures {
            write!(f, "\n  FAILED: {failure}")?;
        }
        Ok(())
    }
}

/// What all scenarios came to.
#[derive(Debug, Default)]
pub(crate) struct Report(Vec<Row>);

impl Report {
    pub(crate) fn add(&mut self, row: Row) {
        self.0.push(row);
    }

    pub(crate) fn failed(&self) -> usize {
        self.0.iter().filter(|row| !row.failures.is_empty()).count()
    }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "\n| {} |", COLUMNS.join(" | "))?;
        writeln!(f, "|{}", "---|".repeat(COLUMNS.len()))?;
        for row in &self.0 {
            writeln!(f, "| {} |", row.columns().join(" | "))?;
        }
        let failed = self.failed();
        writeln!(f, "\n{} passed, {failed} failed, 0 skipped", self.0.len() - failed)
    }
}
