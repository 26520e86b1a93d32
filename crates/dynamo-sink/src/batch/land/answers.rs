//! What the answers to a batch's requests mean for its jobs: which are done, and which are asked again, and when.

use std::{
    cmp::Reverse,
    mem,
    time::{Duration, Instant},
};

use super::{
    Landing,
    job::{Doubt, Flight, JobId, Progress, Way, Work},
    table::{Route, Table},
};
use crate::{
    batch::experience::RequestKind,
    edge::{
        backoff::delay,
        dynamodb::{ElementReply, Reply},
        trouble::Trouble,
    },
    order::{
        chain::Fate,
        stored::{self, Attributes, Foreign},
        write::{Answer, Request},
    },
    sink::Rejection,
    wire::{Operation, Transport, look::Found},
};

/// How long a record is asked about again which is refused alone in words that don't say whose fault it is, or for half
/// of the time left: what refuses all of them may pass.
const DOUBT_TIME: Duration = Duration::from_secs(5);

/// A request that failed after so long shows that there is more to do than gets done.
const TOO_LATE: Duration = Duration::from_secs(1);

/// How long before nothing more is started a fault is asked about for the last time.
const LAST_CALL: Duration = Duration::from_millis(50);

impl Landing<'_> {
    /// Gives each job what an answer says of it.
    pub(super) fn take(&mut self, flight: Flight) {
        let Flight { jobs, way: Way { route, transport }, operation, took, result } = flight;
        self.jitter = fastrand::f64();
        self.answered_at = Instant::now();
        if transport != Transport::Single {
            self.lanes[route as usize].groups_in_flight -= 1;
        }
        for &table in route.tables() {
            self.health[table as usize].ended(took, result.is_ok());
            if result.is_err() && took > TOO_LATE && route != Route::Looks {
                self.health[table as usize].throttled(self.answered_at);
            }
        }
        match result {
            result if route == Route::Looks => self.take_look(&jobs, result),
            Ok(reply) => {
                self.take_reply(&jobs, operation, reply);
                for &table in route.tables() {
                    self.health[table as usize].answered(self.answered_at);
                }
            }
            // Which of them it was shows when each goes by itself, by a call that may take what this one does not.
            Err(Trouble::Invalid { .. }) if transport != Transport::Single => {
                if let [id] = jobs[..] {
                    self.jobs[id].refused_by = Some(operation);
                }
                self.send_alone(&jobs);
            }
            // One item that is shown in a way which cannot be read must not hold back the others, nor itself: the
            // answers to single-item calls say the same in another form.
            Err(Trouble::Unreadable(_)) if transport != Transport::Single => self.send_alone(&jobs),
            Err(trouble) => {
                if let Trouble::Fault(_) = &trouble {
                    // Which of them it is about cannot be known.
                    for &table in route.tables() {
                        self.blame(table, &trouble);
                    }
                }
                for id in jobs {
                    self.trouble(id, operation, trouble.clone());
                }
            }
        }
    }

    /// Whatever a look does not show goes the usual way, so that none ever holds up a write.
    fn take_look(&mut self, jobs: &[JobId], result: Result<Reply, Trouble>) {
        let found = match result {
            Ok(Reply::Found(found)) => found,
            Ok(_) => Found::default(),
            Err(trouble) => {
                let is_lasting = matches!(trouble, Trouble::Fault(_) | Trouble::Invalid { .. });
                if self.context.experience.learnt.look_failed(is_lasting, self.answered_at) {
                    let cause = trouble.to_string();
                    tracing::warn!(
                        cause,
                        "replayed records are no longer looked up before they are written"
                    );
                }
                self.report.summary.retries += 1;
                self.report.summary.throttles +=
                    u64::from(matches!(trouble, Trouble::Throttled(_)));
                Found::default()
            }
        };
        self.report.summary.read_units += found.read_units;
        for &id in jobs {
            let Work::Write { key, .. } = &self.jobs[id].work else { continue };
            let shown = self.context.wire.shown(&found, key);
            self.report.summary.looked += usize::from(shown.is_some());
            self.answer(id, Answer::Looked(shown));
        }
    }

    fn take_reply(&mut self, jobs: &[JobId], operation: Operation, reply: Reply) {
        match reply {
            Reply::Applied => {
                for &id in jobs {
                    self.accepted(id, operation);
                    self.answer(id, Answer::Applied);
                }
            }
            Reply::Refused(found) => {
                for &id in jobs {
                    self.accepted(id, operation);
                    self.refused(id, found.as_ref());
                }
            }
            // It is none to what was asked.
            Reply::Found(_) => self.send_alone(jobs),
            // Which answer is whose cannot be known.
            Reply::Statements(replies) if replies.len() != jobs.len() => self.send_alone(jobs),
            Reply::Cancelled(reasons) if reasons.len() != 2 * jobs.len() => {
                if let [id] = jobs[..] {
                    let message = "the reasons are too few or too many".to_owned();
                    return self.trouble(id, operation, Trouble::Unreadable(message));
                }
                self.send_alone(jobs);
            }
            Reply::Statements(replies) => {
                for (&id, reply) in jobs.iter().zip(replies) {
                    self.take_element(id, self.asked_table(id), operation, reply);
                }
            }
            Reply::Cancelled(reasons)
                if reasons.iter().all(|reason| matches!(reason, ElementReply::Applied)) =>
            {
                for &id in jobs {
                    let message = "a transaction was cancelled without a reason".to_owned();
                    self.trouble(id, operation, Trouble::Transient(message));
                }
            }
            Reply::Cancelled(reasons) => {
                let mut reasons = reasons.into_iter();
                for &id in jobs {
                    let (put, check) = (reasons.next(), reasons.next());
                    match (put, check) {
                        (Some(ElementReply::Applied), Some(ElementReply::Refused(found))) => {
                            self.tombstone_refused(id, found.as_ref());
                        }
                        (Some(ElementReply::Applied), Some(ElementReply::Applied)) => {
                            // Not this one's fault: it goes again at once, without those whose fault it was.
                            self.report.summary.retries += 1;
                            self.ready(id);
                        }
                        (Some(ElementReply::Applied), Some(reply)) => {
                            self.take_element(id, Table::Tombstones, operation, reply);
                        }
                        (Some(reply), _) => self.take_element(id, Table::Items, operation, reply),
                        (None, _) => {}
                    }
                }
            }
        }
    }

    fn take_element(&mut self, id: JobId, at: Table, operation: Operation, reply: ElementReply) {
        if !matches!(reply, ElementReply::Trouble(_)) {
            self.accepted(id, operation);
        }
        match reply {
            ElementReply::Applied => self.answer(id, Answer::Applied),
            ElementReply::Exists => self.answer(id, Answer::Exists),
            ElementReply::Refused(found) => self.refused(id, found.as_ref()),
            ElementReply::Trouble(Trouble::Invalid { .. }) if !self.jobs[id].is_alone => {
                self.jobs[id].refused_by = Some(operation);
                self.send_alone(&[id]);
            }
            ElementReply::Trouble(trouble) => self.trouble_at(id, at, operation, trouble),
        }
    }

    /// Remembers that DynamoDB took a job's present request, whatever its condition came to.
    fn accepted(&mut self, id: JobId, operation: Operation) {
        if let Some(request) = self.asked(id) {
            self.context.experience.accepted.insert((request, operation));
        }
    }

    fn asked(&self, id: JobId) -> Option<RequestKind> {
        let Work::Write { chain, .. } = &self.jobs[id].work else { return None };
        chain.request().map(|(_, request)| mem::discriminant(request))
    }

    /// The condition of a job's request was false: on the item, or on the tombstone where the request was about it.
    fn refused(&mut self, id: JobId, found: Option<&Attributes>) {
        if let Work::Quarantine { position, renews, .. } = &mut self.jobs[id].work {
            (*position, *renews) = (0, true);
            self.jobs[id].start_over();
            return self.ready(id);
        }
        if self.asked_table(id) == Table::Tombstones {
            return self.tombstone_refused(id, found);
        }
        // A statement that removes what is not there is no failure: what stands there is not shown.
        let removes = Some(mem::discriminant(&Request::RemoveIfOlder));
        if found.is_none() && self.asked(id) == removes && !self.jobs[id].is_alone {
            return self.send_alone(&[id]);
        }
        match found.map(stored::item_state).transpose() {
            Ok(seen) => self.answer(id, Answer::Refused(seen)),
            Err(foreign) => self.foreign(id, Table::Items, foreign),
        }
    }

    fn tombstone_refused(&mut self, id: JobId, found: Option<&Attributes>) {
        match found.map(stored::tombstone_stamp).transpose() {
            Ok(tombstone) => self.answer(id, Answer::TombstoneRefused(tombstone)),
            Err(foreign) => self.foreign(id, Table::Tombstones, foreign),
        }
    }

    fn foreign(&mut self, id: JobId, at: Table, foreign: Foreign) {
        self.fail(id, Some(at), &foreign.to_string());
        self.ready(id);
    }

    /// The table that a job's present request is about; an insert is about the items, although it checks a tombstone.
    fn asked_table(&self, id: JobId) -> Table {
        self.jobs[id].way.map_or(Table::Items, |way| way.route.tables()[0])
    }

    fn answer(&mut self, id: JobId, answer: Answer) {
        let job = &mut self.jobs[id];
        job.start_over();
        match &mut job.work {
            Work::Write { chain, .. } => {
                let mut is_delete = false;
                if let Some((candidate, request)) = chain.request() {
                    is_delete = candidate.is_delete;
                    if mem::replace(&mut job.progress, Progress::Answered) != Progress::Answered {
                        self.context.experience.learnt.observe(request, &answer);
                    }
                    let shows_nothing =
                        matches!(answer, Answer::Refused(None) | Answer::TombstoneRefused(None));
                    let is_insert =
                        matches!(request, Request::Insert(_) | Request::InsertTombstone);
                    // Something stands there and is not shown, as if the answer had been cut short. That of a call of
                    // its own is short enough.
                    job.is_alone |= shows_nothing && job.found_one;
                    job.found_one = answer == Answer::Exists || (is_insert && shows_nothing);
                }
                let decided = chain.answer(answer);
                job.is_alone &= decided.is_empty();
                self.is_probing &= decided.is_empty();
                for decided in &decided {
                    if !is_delete {
                        self.context.experience.learnt.observe_end(decided);
                    }
                    if decided.fate == Fate::Failed {
                        self.report
                            .failures
                            .push((decided.record, "other writers won each time".to_owned()));
                    }
                }
                self.report.decided.extend(decided);
            }
            Work::Quarantine { record, rejection, position, requests, .. } => {
                self.is_probing = false;
                *position += 1;
                if position == requests {
                    self.report.quarantined.push((*record, rejection.clone()));
                }
            }
        }
        self.ready(id);
    }

    fn send_alone(&mut self, jobs: &[JobId]) {
        for &id in jobs {
            self.report.summary.retries += 1;
            self.jobs[id].is_alone = true;
            self.ready(id);
        }
    }

    /// A job's request was not answered: it is sent again later, or it has failed.
    fn trouble(&mut self, id: JobId, operation: Operation, trouble: Trouble) {
        self.trouble_at(id, self.asked_table(id), operation, trouble);
    }

    /// See [`Self::trouble`]; `at` is the table that it is about.
    fn trouble_at(&mut self, id: JobId, at: Table, operation: Operation, trouble: Trouble) {
        let delay = delay(self.jobs[id].attempts + 1, self.jitter);
        match trouble {
            Trouble::Throttled(_) | Trouble::Transient(_) | Trouble::Unreadable(_) => {
                if matches!(trouble, Trouble::Throttled(_)) {
                    self.report.summary.throttles += 1;
                    self.health[at as usize].throttled(self.answered_at);
                }
                self.retry(id, at, trouble, in_time(self.answered_at, delay, self.last_start()));
            }
            Trouble::Invalid { message, is_records_fault: true } => {
                self.invalid(id, at, message, true);
            }
            Trouble::Invalid { message, is_records_fault: false } => {
                let answered_at = self.answered_at;
                let since = *self.jobs[id].doubted_since.get_or_insert(answered_at);
                let until = since + DOUBT_TIME.min(self.last_start().duration_since(since) / 2);
                if answered_at < until {
                    let trouble = Trouble::Invalid { message, is_records_fault: false };
                    self.retry(id, at, trouble, in_time(answered_at, delay, until));
                } else if self.is_taken_of_others(id, operation) {
                    self.invalid(id, at, message, true);
                } else {
                    self.doubts.push(Doubt { job: id, at, operation, message });
                }
            }
            fault @ Trouble::Fault(_) => {
                self.blame(at, &fault);
                // The others of its request go without it, should the fault be this one's only.
                let again_at = in_time(self.answered_at, 2 * delay, self.last_start());
                self.retry(id, at, fault, again_at);
            }
        }
    }

    fn retry(&mut self, id: JobId, at: Table, trouble: Trouble, again_at: Instant) {
        self.report.summary.retries += 1;
        let job = &mut self.jobs[id];
        job.attempts += 1;
        job.last_trouble = Some((at, trouble));
        self.waiting.push(Reverse((again_at, id)));
    }

    /// A table was found at fault. Only the first cause is kept to be told.
    fn blame(&mut self, at: Table, fault: &Trouble) {
        let (answered_at, jitter, last_start) = (self.answered_at, self.jitter, self.last_start());
        let ask_at = |question| in_time(answered_at, delay(question, jitter), last_start);
        self.health[at as usize].blame(answered_at, ask_at, || fault.to_string());
    }

    /// Decides whose fault the refusals in doubt are, once there is nothing else to learn from; says whether there were
    /// any.
    pub(super) fn settle_doubts(&mut self) -> bool {
        let doubts = mem::take(&mut self.doubts);
        let is_any = !doubts.is_empty();
        for Doubt { job, at, operation, message } in doubts {
            let is_records_fault = self.is_taken_of_others(job, operation);
            self.invalid(job, at, message, is_records_fault);
        }
        is_any
    }

    /// Whether DynamoDB took of another record what it refuses of this one, in company or alone.
    fn is_taken_of_others(&self, id: JobId, operation: Operation) -> bool {
        let Some(asked) = self.asked(id) else { return false };
        let operations = [Some(operation), self.jobs[id].refused_by];
        operations
            .iter()
            .flatten()
            .any(|it| self.context.experience.accepted.contains(&(asked, *it)))
    }

    fn invalid(&mut self, id: JobId, at: Table, message: String, is_records_fault: bool) {
        if is_records_fault
            && let Work::Write { chain, .. } = &mut self.jobs[id].work
            && let Some(decided) = chain.unwritable()
        {
            self.report.decided.push(decided);
            self.jobs[id].start_over();
            self.quarantine(decided.record, Rejection::new("REFUSED_BY_DYNAMODB", message));
            return self.ready(id);
        }
        self.fail(id, Some(at), &format!("DynamoDB refused the request: {message}"));
        self.ready(id);
    }

    /// A job's present write, or its way into the quarantine, has failed; `at` is the table that was in the way, if one
    /// was.
    pub(super) fn fail(&mut self, id: JobId, at: Option<Table>, why: &str) {
        self.is_probing = false;
        let job = &mut self.jobs[id];
        job.start_over();
        match &mut job.work {
            Work::Write { chain, .. } => {
                let decided = chain.fail();
                if at == Some(Table::Tombstones) {
                    self.report.summary.tombstone_failed += decided.len();
                }
                self.report
                    .failures
                    .extend(decided.iter().map(|decided| (decided.record, why.to_owned())));
                self.report.decided.extend(decided);
            }
            Work::Quarantine { record, position, requests, .. } => {
                *position = *requests;
                if at == Some(Table::Quarantine) {
                    self.report.summary.quarantine_failed += 1;
                }
                self.report.failures.push((*record, format!("not quarantined: {why}")));
            }
        }
    }
}

/// So long after an answer, but early enough to be asked once more: the time is used before a fault is told.
fn in_time(answered_at: Instant, delay: Duration, last_start: Instant) -> Instant {
    let at = answered_at + delay;
    match last_start.checked_sub(LAST_CALL) {
        Some(last_call) if last_call > answered_at => at.min(last_call),
        _ => at,
    }
}

#[cfg(test)]
mod tests;
