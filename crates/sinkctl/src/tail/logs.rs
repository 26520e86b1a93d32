//! A function's log in `CloudWatch`.

use std::{
    collections::{BTreeMap, BTreeSet},
    io::Write,
    time::Duration,
};

use aws_sdk_cloudwatchlogs::{Client, types::FilteredLogEvent};

use super::format;
use crate::{status::aws::told, text};

/// How often it is asked for more.
const POLL_TIME: Duration = Duration::from_secs(2);

/// How far back it is asked for what came late, in milliseconds.
const LATE: i64 = 30_000;

/// What to follow.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Follow {
    /// The log group.
    pub log_group: String,
    /// How far back to begin.
    pub since: Duration,
    /// Whether to go on with what comes.
    pub follows: bool,
}

/// Why a log can't be followed.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum FollowError {
    /// Occurs when `CloudWatch` does not give the log.
    #[error("the log `{log_group}` can't be read: {reason}")]
    Read {
        /// The log group.
        log_group: String,
        /// Why.
        reason: String,
    },
    /// Occurs when nothing can be written.
    #[error("cannot write the lines")]
    Write(#[from] std::io::Error),
}

/// Writes the log's lines as they come, until nobody reads them any more.
pub async fn run(follow: &Follow, client: &Client, out: &mut dyn Write) -> Result<(), FollowError> {
    let begin = u128::from(text::now()).saturating_sub(follow.since.as_millis());
    let mut seen = Seen { begin: i64::try_from(begin).unwrap_or(i64::MAX), ids: BTreeMap::new() };
    loop {
        let mut pages = client
            .filter_log_events()
            .log_group_name(&follow.log_group)
            .start_time(seen.begin)
            .into_paginator()
            .send();
        let mut events = Vec::new();
        while let Some(page) = pages.next().await {
            let page = page.map_err(|error| FollowError::Read {
                log_group: follow.log_group.clone(),
                reason: told(&error, "logs:FilterLogEvents", &follow.log_group),
            })?;
            events.extend(page.events.unwrap_or_default());
        }
        for message in seen.unseen(events) {
            if let Some(line) = format::line(message.trim_end())
                && !super::write(&line, out)?
            {
                return Ok(());
            }
        }
        if !follow.follows {
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
    /// The messages that are new, by their time.
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
