//! The sink's tables as a batch meets them: the ways to them, and how each one takes its requests.

use std::time::{Duration, Instant};

use crate::{
    edge::backoff::Concurrency,
    order::write::{Request, TombstoneCheck},
    wire::Transport,
};

/// One of the sink's tables.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Table {
    Items,
    Tombstones,
    Quarantine,
}

impl Table {
    pub(super) const ALL: [Self; 3] = [Self::Items, Self::Tombstones, Self::Quarantine];
}

/// A way that requests go; those of different ways don't wait for each other.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Route {
    /// Inserts that check a tombstone too.
    Inserts,
    Items,
    /// What reads, and changes nothing.
    Looks,
    Tombstones,
    Quarantine,
}

impl Route {
    /// All of them, in the order in which they are served: what tells of other records first, and looks when all are
    /// known that are looked at.
    pub(super) const ALL: [Self; 5] =
        [Self::Inserts, Self::Items, Self::Looks, Self::Tombstones, Self::Quarantine];

    pub(super) fn of(request: &Request) -> Self {
        match request {
            Request::Look => Self::Looks,
            Request::Insert(TombstoneCheck::AbsentOrOlder | TombstoneCheck::Exactly(_)) => {
                Self::Inserts
            }
            Request::ReplaceIfOlder
            | Request::Insert(TombstoneCheck::None)
            | Request::ReplaceSeen(_)
            | Request::RemoveIfOlder
            | Request::RemoveSeen(_) => Self::Items,
            Request::InsertTombstone
            | Request::ReplaceTombstoneIfOlder
            | Request::ReplaceTombstoneSeen(_) => Self::Tombstones,
        }
    }

    /// How those go here that share requests.
    pub(super) fn shared_transport(self) -> Transport {
        match self {
            Self::Looks => Transport::Look,
            Self::Inserts => Transport::Transaction,
            Self::Items | Self::Tombstones | Self::Quarantine => Transport::Statement,
        }
    }

    /// The tables that it asks for something, the one that it writes first. A look's other table, the tombstones', has
    /// no part in how wide it goes.
    pub(super) fn tables(self) -> &'static [Table] {
        match self {
            Self::Looks | Self::Items => &[Table::Items],
            Self::Inserts => &[Table::Items, Table::Tombstones],
            Self::Tombstones => &[Table::Tombstones],
            Self::Quarantine => &[Table::Quarantine],
        }
    }
}

/// How a table takes its requests.
#[derive(Debug)]
pub(super) struct Health {
    table: Table,
    pub(super) in_flight: usize,
    pub(super) concurrency: Concurrency,
    fault: Option<Fault>,
}

/// A fault that stands until the table takes a request.
#[derive(Clone, Debug)]
pub(super) struct Fault {
    pub(super) table: Table,
    /// The first that showed.
    pub(super) cause: String,
    pub(super) since: Instant,
    /// When it showed the last time.
    shown_at: Instant,
    questions: u32,
    ask_at: Instant,
}

impl Health {
    pub(super) fn new(table: Table, concurrency: Concurrency) -> Self {
        Self { table, in_flight: 0, concurrency, fault: None }
    }

    /// Whether a request may start now. A fault is asked about by one request at a time.
    pub(super) fn admits(&self, now: Instant) -> bool {
        match &self.fault {
            None => self.concurrency.admits(self.in_flight),
            Some(fault) => self.in_flight == 0 && fault.ask_at <= now,
        }
    }

    /// The fault that stands.
    pub(super) fn fault(&self) -> Option<&Fault> {
        self.fault.as_ref()
    }

    /// When the fault that stands is asked about again.
    pub(super) fn ask_at(&self) -> Option<Instant> {
        self.fault.as_ref().map(|fault| fault.ask_at)
    }

    /// An answer at `now` said what `cause` says, of the whole request or of a part of it.
    /// `ask_at` says when it is asked about again, by the number of times that it showed.
    pub(super) fn blame(
        &mut self,
        now: Instant,
        ask_at: impl FnOnce(u32) -> Instant,
        cause: impl FnOnce() -> String,
    ) {
        let fault = self.fault.get_or_insert_with(|| Fault {
            table: self.table,
            cause: cause(),
            since: now,
            shown_at: now,
            questions: 0,
            ask_at: now,
        });
        fault.shown_at = now;
        // Those that were on their way before count once.
        if fault.ask_at <= now {
            fault.questions += 1;
            fault.ask_at = ask_at(fault.questions);
        }
    }

    /// A request came back after this time, and was taken or not.
    pub(super) fn ended(&mut self, took: Duration, is_taken: bool) {
        if is_taken {
            self.concurrency.succeeded(self.in_flight, took);
        }
        self.in_flight -= 1;
    }

    /// An answer at `now` was taken: if it blamed nothing, a fault is over.
    pub(super) fn answered(&mut self, now: Instant) {
        if self.fault.as_ref().is_some_and(|fault| fault.shown_at != now) {
            self.fault = None;
        }
    }

    pub(super) fn throttled(&mut self, now: Instant) {
        self.concurrency.throttled(now);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_fault_is_asked_about_by_one_request_at_a_time() {
        let start = Instant::now();
        let after = |millis| start + Duration::from_millis(millis);
        let mut health = Health::new(Table::Items, Concurrency::new(8));
        let blame = |health: &mut Health, millis: u64, cause: &str| {
            let ask_at = |question| after(millis + 50 * u64::from(question));
            health.blame(after(millis), ask_at, || cause.to_owned());
        };
        let fault = |health: &Health| health.fault().map(|it| (it.since, it.cause.clone()));
        let first = Some((start, "first".to_owned()));
        blame(&mut health, 0, "first");
        // Others that were on their way, and other parts of their answers.
        blame(&mut health, 0, "second");
        blame(&mut health, 10, "third");
        assert_eq!(fault(&health), first);
        assert!(!health.admits(after(49)) && health.admits(after(50)));
        assert_eq!(health.ask_at(), Some(after(50)));
        health.in_flight = 1;
        assert!(!health.admits(after(50)));
        health.in_flight = 0;

        blame(&mut health, 60, "fourth");
        assert!(!health.admits(after(159)) && health.admits(after(160)));
        // The same answer said that a part was done.
        health.answered(after(60));
        assert_eq!(fault(&health), first);
        health.answered(after(170));
        assert_eq!((fault(&health), health.ask_at()), (None, None));
        health.in_flight = 2;
        assert!(health.admits(after(170)));
    }
}
