//! What a batch is while it lands: jobs, the lanes in which they wait, and the requests in flight for them.

use std::{
    collections::VecDeque,
    time::{Duration, Instant},
};

use super::table::{Route, Table};
use crate::{
    edge::{dynamodb::Reply, trouble::Trouble},
    item::Item,
    order::chain::Chain,
    sink::Rejection,
    wire::{KeyRequest, Operation, Transport},
};

/// How long a request that is not full waits for answers which may bring it more.
const COMPANY_TIME: Duration = Duration::from_millis(200);

/// Jobs that are ready to be sent one way.
#[derive(Default)]
pub(super) struct Lane {
    /// Those that share requests.
    pub(super) groups: VecDeque<JobId>,
    /// Those that go by themselves.
    pub(super) singles: VecDeque<JobId>,
    pub(super) groups_in_flight: usize,
    /// When the last of those set off.
    pub(super) group_sent_at: Option<Instant>,
}

impl Lane {
    pub(super) fn is_empty(&self) -> bool {
        self.groups.is_empty() && self.singles.is_empty()
    }

    /// Those that go like this.
    pub(super) fn queue(&mut self, transport: Transport) -> &mut VecDeque<JobId> {
        match transport {
            Transport::Single => &mut self.singles,
            Transport::Look | Transport::Statement | Transport::Transaction => &mut self.groups,
        }
    }

    /// Until when an answer in flight is waited for that may bring more jobs.
    pub(super) fn company_until(&self) -> Option<Instant> {
        let sent_at = self.group_sent_at.filter(|_| self.groups_in_flight > 0)?;
        Some(sent_at + COMPANY_TIME)
    }
}

pub(super) type JobId = usize;

/// A key's writes, or a record on its way into the quarantine; one request of it is in flight at most.
pub(super) struct Job {
    pub(super) work: Work,
    /// How its present request goes; none where it has nothing more to ask.
    pub(super) way: Option<Way>,
    /// How often the present request was sent without success, and why and where the last time.
    pub(super) attempts: u32,
    pub(super) last_trouble: Option<(Table, Trouble)>,
    /// Whether its requests go by themselves, since something was wrong with one that it shared.
    pub(super) is_alone: bool,
    /// The call in company by which its present request was refused as invalid, if one was.
    pub(super) refused_by: Option<Operation>,
    /// Since when its present request is refused, alone, in words that don't say whose fault it is.
    pub(super) doubted_since: Option<Instant>,
    /// Whether the last answer was that something stands there, without what it is.
    pub(super) found_one: bool,
    pub(super) progress: Progress,
}

/// How a request goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Way {
    pub(super) route: Route,
    pub(super) transport: Transport,
}

/// How far a job is with its first request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Progress {
    Fresh,
    Sent,
    Answered,
}

impl Job {
    /// Its present request about its key, with what of the batch belongs to it.
    pub(super) fn request<'a>(
        &'a self,
        items: &'a [Option<Item>],
        tombstone_expires_at: Option<u64>,
    ) -> Option<KeyRequest<'a>> {
        let Work::Write { key, chain } = &self.work else { return None };
        let (candidate, request) = chain.request()?;
        let item = items.get(candidate.record).and_then(Option::as_ref);
        Some(KeyRequest { request, key, stamp: &candidate.stamp, item, tombstone_expires_at })
    }

    /// The present request was answered, or another one takes its place.
    pub(super) fn start_over(&mut self) {
        self.attempts = 0;
        self.last_trouble = None;
        self.refused_by = None;
        self.doubted_since = None;
    }
}

pub(super) enum Work {
    Write {
        key: String,
        chain: Chain,
    },
    Quarantine {
        record: usize,
        rejection: Rejection,
        position: usize,
        requests: usize,
        /// Whether an entry stands that is about to expire.
        renews: bool,
    },
}

/// A job whose request was refused as invalid in words that don't say whose fault it is.
pub(super) struct Doubt {
    pub(super) job: JobId,
    pub(super) at: Table,
    pub(super) operation: Operation,
    pub(super) message: String,
}

/// A request that was answered, with the jobs that it was for.
pub(super) struct Flight {
    pub(super) jobs: Vec<JobId>,
    pub(super) way: Way,
    pub(super) operation: Operation,
    pub(super) took: Duration,
    pub(super) result: Result<Reply, Trouble>,
}

#[cfg(test)]
mod tests;
