//! A function's log in `CloudWatch`.

use std::{
    collections::{BTreeMap, BTreeSet},
    io::Write as _,
    path::Path,
    time::Duration,
};

use anyhow::{anyhow, bail};
use aws_sdk_cloudwatchlogs::{Client, types::FilteredLogEvent};
use local::samconfig;

use super::{TailArguments, format};
use crate::{aws_error::explained, status::aws, text};

/// How often it is asked for more.
const POLL_TIME: Duration = Duration::from_secs(2);

/// How far back it is asked for what came late, in milliseconds.
const LATE: i64 = 30_000;

/// Writes the lines of a function's log as they come.
pub async fn follow(arguments: &TailArguments, stage: &str, template: &Path) -> anyhow::Result<()> {
    let functions = samconfig::template(template, Some(stage), &arguments.parameters)?.functions;
    let Some(function) = functions.iter().find(|it| it.binary == arguments.source) else {
        let known: Vec<_> = functions.iter().map(|it| format!("`{}`", it.binary)).collect();
        bail!("the template has no function `{}`, but {}", arguments.source, known.join(", "));
    };
    let log_group = &function.log_group;
    let client = Client::new(&aws::config().await?);
    let out = &mut anstream::stdout();
    let begin = u128::from(text::now()).saturating_sub(arguments.since.as_millis());
    let mut seen = Seen { begin: i64::try_from(begin).unwrap_or(i64::MAX), ids: BTreeMap::new() };
    loop {
        let mut pages = client
            .filter_log_events()
            .log_group_name(log_group)
            .start_time(seen.begin)
            .into_paginator()
            .send();
        let mut events = Vec::new();
        while let Some(page) = pages.next().await {
            let page = page.map_err(|error| {
                let reason = explained(&error, "logs:FilterLogEvents", log_group);
                anyhow!("the log `{log_group}` cannot be read: {reason}")
            })?;
            events.extend(page.events.unwrap_or_default());
        }
        for message in seen.unseen(events) {
            if let Some(line) = format::line(message.trim_end()) {
                writeln!(out, "{line}")?;
            }
        }
        out.flush()?;
        if arguments.no_follow {
            return Ok(());
        }
        tokio::time::sleep(POLL_TIME).await;
    }
}

/// Which events were shown already. Those of several streams come in late and in no order, so that the last ones are
/// asked for again and again.
struct Seen {
    begin: i64,
    ids: BTreeMap<i64, BTreeSet<String>>,
}

impl Seen {
    fn unseen(&mut self, mut events: Vec<FilteredLogEvent>) -> Vec<String> {
        events.sort_by_key(|it| it.timestamp);
        let mut messages = Vec::new();
        for event in events {
            let time = event.timestamp.unwrap_or_default();
            let id = event.event_id.unwrap_or_default();
            if self.ids.entry(time).or_default().insert(id) {
                messages.extend(event.message);
            }
        }
        if let Some((&last, _)) = self.ids.last_key_value() {
            self.begin = self.begin.max(last.saturating_sub(LATE));
        }
        self.ids = self.ids.split_off(&self.begin);
        messages
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_event_is_shown_once_by_its_time() {
        #[track_caller]
        fn check(seen: &mut Seen, events: &[(i64, &str)], messages: &[&str], begin: i64) {
            let event = |&(time, id): &(i64, &str)| {
                let event = FilteredLogEvent::builder().timestamp(time).event_id(id);
                event.message(format!("m{id}")).build()
            };
            assert_eq!(seen.unseen(events.iter().map(event).collect()), messages);
            assert_eq!(seen.begin, begin);
        }

        let mut seen = Seen { begin: 0, ids: BTreeMap::new() };
        check(&mut seen, &[(20, "b"), (10, "a")], &["ma", "mb"], 0);
        check(&mut seen, &[(10, "a"), (20, "b")], &[], 0);
        // One of the same time, and one that came late.
        check(&mut seen, &[(20, "c"), (15, "d"), (20, "b")], &["md", "mc"], 0);
        check(&mut seen, &[(LATE + 20, "e")], &["me"], 20);
        check(&mut seen, &[(20, "b"), (20, "c"), (LATE + 20, "e")], &[], 20);
        check(&mut seen, &[], &[], 20);
        assert_eq!(seen.ids.len(), 2);
    }
}
