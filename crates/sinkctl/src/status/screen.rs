//! A status as one screen of 80 columns.

use std::fmt::Display;

use anstyle::AnsiColor;
use serde_json::{Value, json};

use super::{
    Activity, AlarmStatus, FunctionStatus, MappingStatus, QuarantineDepth, Status,
    judge::{Problem, Verdict, waiting},
    record_counts,
};
use crate::{
    text::{age, counted, counts, styled, time_of_day},
    visible::Visible,
};

/// The columns that a line has at most, words that are longer aside.
const WIDTH: usize = 80;

/// So many problems have room on a screen with all that is said of them.
const DETAILED_PROBLEMS: usize = 2;

impl Status {
    /// It as JSON, with what is wrong.
    pub fn with_problems(&self) -> serde_json::Result<Value> {
        let mut json = serde_json::to_value(self)?;
        json["problems"] = json!(self.problems());
        json["isIncomplete"] = self.is_incomplete().into();
        Ok(json)
    }

    pub fn screen(&self) -> String {
        let mut text = head(self) + "\n\n";
        for function in &self.functions {
            text += &of_function(function, self.minutes);
            text += "\n";
        }
        text += &row("quarantine", &self.quarantine, quarantine);
        if let Some(alarms) = self.alarms.as_ref().map(Option::as_ref).transpose() {
            text += &row("alarms", &alarms, |it| alarm_counts(&self.name_prefix, it));
        }
        text + "\n" + &end(&self.problems(), self.verdict())
    }
}

fn head(status: &Status) -> String {
    let (verdict, colour) = match status.verdict() {
        Verdict::Well => ("all is well", AnsiColor::Green),
        Verdict::Wrong => ("SOMETHING IS WRONG", AnsiColor::Red),
        Verdict::Unknown => ("not everything could be read", AnsiColor::Yellow),
    };
    let verdict = styled(verdict, colour.on_default());
    let stage = Visible(status.name_prefix.trim_end_matches('-'));
    let place = Visible(&status.place);
    format!("{stage}, {place}, {} UTC: {verdict}", time_of_day(status.time))
}

fn of_function(function: &FunctionStatus, minutes: u64) -> String {
    let mut text = format!("{}\n", Visible(&function.binary));
    match &function.mappings {
        Ok(mappings) if !mappings.is_empty() => {
            text.extend(mappings.iter().map(|it| line("mapping", &mapping(it))));
        }
        none => text += &row("mapping", none, |_| "none".to_owned()),
    }
    text += &row("lag", &function.activity, lag);
    text += &row("calls", &function.activity, |it| calls(it, minutes));
    text += &row("records", &function.activity, records);
    text + &row("epoch", &function.epoch, Clone::clone)
}

/// A row, or why there is none.
fn row<T, E: Display>(name: &str, part: &Result<T, E>, text: impl FnOnce(&T) -> String) -> String {
    match part {
        Ok(value) => line(name, &text(value)),
        Err(why) => {
            let text = line(name, &format!("not read: {why}"));
            styled(text.trim_end(), AnsiColor::Yellow.on_default()) + "\n"
        }
    }
}

fn end(problems: &[Problem], verdict: Verdict) -> String {
    let mut text = String::new();
    for Problem { what, advice } in problems {
        let head = wrapped(&format!("WRONG: {what}"), 0, 0);
        text += &styled(head.trim_end(), AnsiColor::Red.on_default());
        text += "\n";
        if problems.len() <= DETAILED_PROBLEMS {
            text += &wrapped(advice, 2, 2);
        }
    }
    if problems.len() > DETAILED_PROBLEMS {
        text +=
            "What to do: OPERATIONS.md \"Troubleshooting\", --json, `sinkctl quarantine list`.\n";
    }
    if problems.is_empty() {
        text += match verdict {
            Verdict::Unknown => "Nothing is wrong as far as it could be read.\n",
            Verdict::Well | Verdict::Wrong => "Nothing is wrong.\n",
        };
    }
    text
}

fn line(name: &str, text: &str) -> String {
    wrapped(&format!("  {name:<10} {text}"), 0, 13)
}

/// The text in lines of the screen's width, with so many spaces in front of the first and the others.
fn wrapped(text: &str, first: usize, others: usize) -> String {
    let text = Visible(text).to_string();
    let mut words = text.split(' ');
    let mut lines = String::new();
    let mut line = " ".repeat(first) + words.next().unwrap_or_default();
    for word in words {
        if line.chars().count() + 1 + word.chars().count() > WIDTH {
            lines = lines + line.trim_end() + "\n";
            line = " ".repeat(others) + word;
        } else {
            line = line + " " + word;
        }
    }
    lines + line.trim_end() + "\n"
}

fn mapping(mapping: &MappingStatus) -> String {
    let MappingStatus { id, state, state_transition_reason, last_processing_result } = mapping;
    let mut text = state.clone();
    // That someone switched it on is no news.
    if state != "Enabled"
        && let Some(reason) = state_transition_reason
    {
        text = format!("{text} ({reason})");
    }
    let result = last_processing_result.as_deref().filter(|it| !it.is_empty());
    text + ", last result: " + result.unwrap_or("none") + " " + id
}

fn lag(activity: &Activity) -> String {
    let mut text = match activity.lag {
        Some(lag) => counted(lag, "record") + " behind the topic",
        None => "not counted yet".to_owned(),
    };
    let behind: Vec<_> = activity
        .lag_by_partition
        .iter()
        .filter(|(_, lag)| **lag > 0)
        .map(|(partition, lag)| format!("{partition}: {lag}"))
        .collect();
    if !behind.is_empty() {
        text = format!("{text} (partition {})", behind.join(", "));
    }
    if let Some(oldest) = activity.oldest_record_age {
        text = format!("{text}; oldest record {}", age(oldest));
    }
    text
}

fn calls(activity: &Activity, minutes: u64) -> String {
    let Activity { invocations, errors, throttles, .. } = *activity;
    let Some(invocations) = invocations.filter(|number| *number > 0) else {
        return format!("none in {minutes} min");
    };
    let mut text = counted(invocations, "invocation");
    let errors = errors.unwrap_or_default();
    text = format!("{text}, {}", counted(errors, "error"));
    if errors > 0 {
        text = format!("{text} ({} %)", percent(errors, invocations));
    }
    if let Some(throttles) = throttles.filter(|number| *number > 0) {
        text = format!("{text}, {}", counted(throttles, "throttle"));
    }
    format!("{text} in {minutes} min")
}

/// In tenths, and never 0 for what is more.
fn percent(part: u64, whole: u64) -> String {
    let tenths = (part.saturating_mul(1000) / whole.max(1)).max(u64::from(part > 0));
    format!("{}.{}", tenths / 10, tenths % 10)
}

fn records(activity: &Activity) -> String {
    let number = |name| activity.records.get(name).copied().unwrap_or_default();
    let others = counts(record_counts().skip(1).map(|name| (name, number(name))));
    let colon = if others.is_empty() { "" } else { ": " };
    format!("{} received{colon}{others}", number("received"))
}

fn quarantine(depth: &QuarantineDepth) -> String {
    let records: u64 = depth.by_function.values().sum();
    if records == 0 && !depth.is_incomplete {
        return "empty".to_owned();
    }
    let functions =
        counts(depth.by_function.iter().map(|(it, count)| (format!("of {it}"), *count)));
    let mut text = waiting(records);
    if !functions.is_empty() {
        text = format!("{text}: {functions}");
    }
    if depth.is_incomplete {
        text += "; the table holds more than was read";
    }
    text
}

fn alarm_counts(name_prefix: &str, alarms: &[AlarmStatus]) -> String {
    // Those that only could not be found are an error of reading.
    if alarms.is_empty() {
        return "the stage has no alarms: Monitoring=none".to_owned();
    }
    let names = |state| {
        let of_state = alarms.iter().filter(move |it| it.state == state);
        of_state.map(|it| it.short_name(name_prefix)).collect::<Vec<_>>()
    };
    let well = names("OK").len();
    let mut text = format!("{well} of {} quiet", alarms.len());
    for (state, words) in [("ALARM", "raised"), ("INSUFFICIENT_DATA", "without enough data")] {
        let names = names(state);
        if !names.is_empty() {
            text = format!("{text}; {words}: {}", names.join(", "));
        }
    }
    text
}

#[cfg(test)]
mod tests;
