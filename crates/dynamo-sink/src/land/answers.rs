//! What the answers to a batch's requests mean for its jobs.

use std::{cmp::Reverse, time::Instant};

use super::{Flight, JobId, Landing, Table, Work};
use crate::{
    backoff::delay,
    chain::Fate,
    dynamodb::{PartReply, Reply, Trouble, chain as chain_of_causes},
    sink::Rejection,
    stored::{self, Attributes},
    wire::Transport,
    write::{Answer, Request},
};

impl Landing<'_> {
    /// Gives each job its part of an answer.
    pub(super) fn take(&mut self, flight: Flight) {
        let Flight { jobs, transport, result, span } = flight;
        self.report.spans.extend(span);
        self.jitter = fastrand::f64();
        self.answered_at = Instant::now();
        match transport {
            Transport::Statement => self.statements_in_flight -= 1,
            Transport::Transaction => self.inserts_in_flight -= 1,
            Transport::Single => {}
        }
        match result {
            Ok(reply) => {
                self.concurrency.succeeded();
                self.take_reply(&jobs, reply);
            }
            Err(Trouble::Invalid { .. }) if jobs.len() > 1 => {
                // Which of them it was shows when each goes by itself.
                for id in jobs {
                    self.send_alone(id);
                }
            }
            Err(Trouble::Unreadable) if transport != Transport::Single => {
                // One item that is shown in a way which can't be read must not hold back the others, nor itself: the
                // answers to single-item calls say the same in another form.
                for id in jobs {
                    self.send_alone(id);
                }
            }
            Err(trouble) => {
                // The first of them gets the trouble itself, since the first fault that is found is the one to be told.
                let copies: Vec<_> = jobs.iter().skip(1).map(|_| copy(&trouble)).collect();
                for (id, trouble) in jobs.into_iter().zip(std::iter::once(trouble).chain(copies)) {
                    self.trouble(id, trouble);
                }
            }
        }
    }

    fn take_reply(&mut self, jobs: &[JobId], reply: Reply) {
        match reply {
            Reply::Applied => jobs.iter().for_each(|&id| self.answer(id, Answer::Applied)),
            Reply::Refused(found) => jobs.iter().for_each(|&id| self.refused(id, found.as_ref())),
            Reply::Statements(parts) => {
                let mut parts = parts.into_iter();
                for &id in jobs {
                    match parts.next() {
                        Some(part) => self.take_part(id, self.asked_table(id), part),
                        None => self.trouble(
                            id,
                            Trouble::Transient("a statement was not answered".to_owned()),
                        ),
                    }
                }
            }
            Reply::Cancelled(reasons)
                if reasons.iter().all(|reason| matches!(reason, PartReply::Applied)) =>
            {
                for &id in jobs {
                    self.trouble(
                        id,
                        Trouble::Transient(
                            "a transaction was cancelled without a reason".to_owned(),
                        ),
                    );
                }
            }
            Reply::Cancelled(reasons) => {
                let mut reasons = reasons.into_iter();
                for &id in jobs {
                    let (put, check) = (reasons.next(), reasons.next());
                    match (put, check) {
                        (Some(PartReply::Applied), Some(PartReply::Refused(found))) => {
                            self.tombstone_refused(id, found.as_ref());
                        }
                        (Some(PartReply::Applied), Some(PartReply::Applied)) => {
                            // Not this one's fault: it goes again at once, without those whose fault it was.
                            self.report.retries += 1;
                            self.ready(id);
                        }
                        (Some(PartReply::Applied), Some(part)) => {
                            self.take_part(id, Table::Tombstones, part);
                        }
                        (Some(part), _) => self.take_part(id, Table::Items, part),
                        (None, _) => self.trouble(
                            id,
                            Trouble::Transient("a transaction gave no reason".to_owned()),
                        ),
                    }
                }
            }
        }
    }

    fn take_part(&mut self, id: JobId, at: Table, part: PartReply) {
        match part {
            PartReply::Applied => self.answer(id, Answer::Applied),
            PartReply::Exists => self.answer(id, Answer::Exists),
            PartReply::Refused(found) => self.refused(id, found.as_ref()),
            PartReply::Trouble(Trouble::Invalid { .. }) if !self.jobs[id].is_alone => {
                self.send_alone(id);
            }
            PartReply::Trouble(trouble) => self.trouble_at(id, at, trouble),
        }
    }

    /// The condition of a job's request was false: on the item, or on the tombstone where the request was about it.
    fn refused(&mut self, id: JobId, found: Option<&Attributes>) {
        if let Work::Quarantine { position, renews, .. } = &mut self.jobs[id].work {
            (*position, *renews) = (0, true);
            self.jobs[id].begin_anew();
            return self.ready(id);
        }
        if self.asked_table(id) == Table::Tombstones {
            return self.tombstone_refused(id, found);
        }
        match found.map(stored::item_state).transpose() {
            Ok(seen) => self.answer(id, Answer::Refused(seen)),
            Err(foreign) => self.trouble(id, foreign.into()),
        }
    }

    fn tombstone_refused(&mut self, id: JobId, found: Option<&Attributes>) {
        match found.map(stored::tombstone_stamp).transpose() {
            Ok(tombstone) => self.answer(id, Answer::TombstoneRefused(tombstone)),
            Err(foreign) => self.trouble_at(id, Table::Tombstones, foreign.into()),
        }
    }

    /// The table that a job's present request is about; an insert is about the items, although it checks a tombstone.
    pub(super) fn asked_table(&self, id: JobId) -> Table {
        let Work::Write { chain, .. } = &self.jobs[id].work else { return Table::Quarantine };
        match chain.request() {
            Some((
                _,
                Request::InsertTombstone
                | Request::ReplaceTombstoneIfOlder
                | Request::ReplaceTombstoneSeen(_),
            )) => Table::Tombstones,
            _ => Table::Items,
        }
    }

    fn answer(&mut self, id: JobId, answer: Answer) {
        let job = &mut self.jobs[id];
        job.begin_anew();
        match &mut job.work {
            Work::Write { chain, .. } => {
                if let Some((_, request)) = chain.request() {
                    self.context.novelty.observe(request, &answer);
                }
                let decided = chain.answer(answer);
                job.is_alone &= decided.is_empty();
                for decided in &decided {
                    if decided.fate == Fate::Failed {
                        self.report
                            .failures
                            .push((decided.record, "other writers won each time".to_owned()));
                    }
                }
                self.report.decided.extend(decided);
            }
            Work::Quarantine { record, rejection, position, requests, .. } => {
                *position += 1;
                if position == requests {
                    self.report.quarantined.push((*record, rejection.clone()));
                }
            }
        }
        self.ready(id);
    }

    fn send_alone(&mut self, id: JobId) {
        self.report.retries += 1;
        self.jobs[id].is_alone = true;
        self.ready(id);
    }

    /// A job's request was not answered: it is sent again later, or it has failed.
    fn trouble(&mut self, id: JobId, trouble: Trouble) {
        self.trouble_at(id, self.asked_table(id), trouble);
    }

    /// See [`Self::trouble`]; `at` is the table that it is about.
    fn trouble_at(&mut self, id: JobId, at: Table, trouble: Trouble) {
        match trouble {
            Trouble::Throttled | Trouble::Transient(_) | Trouble::Unreadable => {
                if matches!(trouble, Trouble::Throttled) {
                    self.report.throttles += 1;
                    self.concurrency.throttled(self.answered_at);
                }
                self.report.retries += 1;
                let job = &mut self.jobs[id];
                job.attempts += 1;
                job.last_trouble = Some((at, trouble));
                let again_at = self.answered_at + delay(job.attempts, self.jitter);
                self.waiting.push(Reverse((again_at, id)));
            }
            Trouble::Invalid { message, is_records_fault } => {
                self.invalid(id, at, message, is_records_fault);
            }
            foreign @ Trouble::Foreign(_) => {
                self.fail(id, Some(at), &foreign.to_string());
                self.ready(id);
            }
            fault @ Trouble::Fault { .. } => {
                self.fail(id, Some(at), &chain_of_causes(&fault));
                self.blame(Some(at), fault);
            }
        }
    }

    fn invalid(&mut self, id: JobId, at: Table, message: String, is_records_fault: bool) {
        if is_records_fault
            && let Work::Write { chain, .. } = &mut self.jobs[id].work
            && let Some(decided) = chain.unwritable()
        {
            self.report.decided.push(decided);
            self.jobs[id].begin_anew();
            self.quarantine(decided.record, Rejection::new("REFUSED_BY_DYNAMODB", message));
            return self.ready(id);
        }
        self.fail(id, Some(at), &format!("DynamoDB refused the request: {message}"));
        self.ready(id);
    }

    /// A job's present write, or its way into the quarantine, has failed; `at` is the table that was in the way, if one
    /// was.
    pub(super) fn fail(&mut self, id: JobId, at: Option<Table>, why: &str) {
        let job = &mut self.jobs[id];
        job.begin_anew();
        match &mut job.work {
            Work::Write { chain, .. } => {
                let decided = chain.fail();
                if at == Some(Table::Tombstones) {
                    self.report.tombstone_failed += decided.len();
                }
                self.report
                    .failures
                    .extend(decided.iter().map(|decided| (decided.record, why.to_owned())));
                self.report.decided.extend(decided);
            }
            Work::Quarantine { record, position, requests, .. } => {
                *position = *requests;
                if at == Some(Table::Quarantine) {
                    self.report.quarantine_failed += 1;
                }
                self.report.failures.push((*record, format!("not quarantined: {why}")));
            }
        }
    }
}

/// The same trouble for another job of the request; the cause stays with one.
fn copy(trouble: &Trouble) -> Trouble {
    match trouble {
        Trouble::Throttled => Trouble::Throttled,
        Trouble::Transient(message) => Trouble::Transient(message.clone()),
        Trouble::Unreadable => Trouble::Unreadable,
        Trouble::Invalid { message, is_records_fault } => {
            Trouble::Invalid { message: message.clone(), is_records_fault: *is_records_fault }
        }
        Trouble::Foreign(foreign) => Trouble::Foreign(*foreign),
        Trouble::Fault { message, .. } => Trouble::Fault { message: message.clone(), source: None },
    }
}
