//! Lands a batch: groups what the keys' state machines ask for into requests, sends them, retries inside the deadline.

mod answers;

use std::{
    cmp::Reverse,
    collections::{BTreeSet, BinaryHeap, VecDeque},
    time::{Duration, Instant},
};

use tokio::task::JoinSet;

use crate::{
    backoff::Concurrency,
    chain::{Candidate, Chain, Decided},
    connection::Connection,
    dynamodb::{self, Reply, Trouble, chain as chain_of_causes},
    item::Item,
    novelty::Novelty,
    quarantine::Quarantine,
    sink::Rejection,
    trace::RequestSpan,
    version::Stamp,
    wire::{Call, LIST_END, Op, Operation, STATEMENTS_START, TRANSACTION_START, Transport, Wire},
    write::Request,
};

/// DynamoDB's limit on one request.
const MAX_REQUEST_BYTES: usize = 4 * 1024 * 1024;

/// What a statement, or an insert of a transaction, takes beside the item: this much or a little less, most times.
pub(crate) const PART_ROOM: usize = 1280;

/// Inserts in one transaction: each takes two of the hundred actions that DynamoDB allows.
const INSERTS_PER_TRANSACTION: usize = 50;

/// Nothing is started with less time left than this: the answer to Lambda must still get out.
const LEAST_TIME: Duration = Duration::from_millis(500);

/// Part of the time left that is kept for the answer to Lambda when a request is started.
const ANSWER_TIME: Duration = Duration::from_millis(200);

/// What is to be written.
#[derive(Debug)]
pub(crate) struct Batch<'a> {
    /// The item of each record whose write is a put.
    pub(crate) items: &'a [Option<Item>],
    /// The writes, by key.
    pub(crate) chains: Vec<(String, Chain)>,
    /// Records that were rejected before.
    pub(crate) rejections: Vec<(usize, Rejection)>,
}

/// What a batch needs of the function around it.
#[derive(Debug)]
pub(crate) struct Context<'a> {
    pub(crate) connection: &'a Connection,
    pub(crate) wire: &'a mut Wire,
    pub(crate) novelty: &'a mut Novelty,
    pub(crate) statements_per_request: usize,
    pub(crate) max_concurrency: usize,
    pub(crate) quarantine: &'a Quarantine<'a>,
    /// When a tombstone that is written now expires, in seconds since 1970.
    pub(crate) tombstone_expires_at: Option<u64>,
    pub(crate) deadline: Instant,
    /// Whether the report is to tell of each request.
    pub(crate) is_traced: bool,
}

/// What became of a batch.
#[derive(Debug, Default)]
pub(crate) struct Report {
    /// Each decided record's fate. A record of which nothing is said has failed.
    pub(crate) decided: Vec<Decided>,
    /// The records that are in the quarantine now, and why.
    pub(crate) quarantined: Vec<(usize, Rejection)>,
    /// Why records failed.
    pub(crate) failures: Vec<(usize, String)>,
    /// Failed records that the quarantine did not take, see [`crate::outcome::Summary::quarantine_failed`].
    pub(crate) quarantine_failed: usize,
    /// Records that failed by a tombstone, see [`crate::outcome::Summary::tombstone_failed`].
    pub(crate) tombstone_failed: usize,
    /// What is wrong with the system around the sink, if anything is.
    pub(crate) fault: Option<Trouble>,
    /// Requests that were sent.
    pub(crate) requests: u64,
    /// Requests and parts of requests that were sent again.
    pub(crate) retries: u64,
    /// Requests and parts of requests that DynamoDB throttled.
    pub(crate) throttles: u64,
    /// The requests that were answered, where batches are traced.
    pub(crate) spans: Vec<RequestSpan>,
}

/// Sends everything that `batch` needs until all is decided, the deadline is near, or the system is found at fault.
pub(crate) async fn land<'a>(batch: Batch<'a>, context: Context<'a>) -> Report {
    let mut landing = Landing {
        concurrency: Concurrency::new(context.max_concurrency),
        context,
        items: batch.items,
        jobs: Vec::new(),
        statements: VecDeque::new(),
        inserts: VecDeque::new(),
        singles: VecDeque::new(),
        waiting: BinaryHeap::new(),
        flights: JoinSet::new(),
        statements_in_flight: 0,
        inserts_in_flight: 0,
        jitter: 0.0,
        answered_at: Instant::now(),
        fault_at: None,
        report: Report::default(),
    };
    for (record, rejection) in batch.rejections {
        landing.quarantine(record, rejection);
    }
    for (key, chain) in batch.chains {
        landing.add(Work::Write { key, chain });
    }
    landing.run().await;
    landing.report
}

struct Landing<'a> {
    context: Context<'a>,
    items: &'a [Option<Item>],
    jobs: Vec<Job>,
    /// Jobs that are ready to be sent as a statement, as an insert of a transaction, by themselves.
    statements: VecDeque<JobId>,
    inserts: VecDeque<JobId>,
    singles: VecDeque<JobId>,
    /// Jobs that wait for their retry.
    waiting: BinaryHeap<Reverse<(Instant, JobId)>>,
    flights: JoinSet<Flight>,
    statements_in_flight: usize,
    inserts_in_flight: usize,
    concurrency: Concurrency,
    /// Drawn and taken for each answer, so that the jobs which shared a request share their next one too.
    jitter: f64,
    answered_at: Instant,
    /// Where the report's fault showed.
    fault_at: Option<Table>,
    report: Report,
}

type JobId = usize;

/// A key's writes, or a record on its way into the quarantine; one request of it is in flight at most.
struct Job {
    work: Work,
    /// How often the present request was sent in vain, and why and where the last time.
    attempts: u32,
    last_trouble: Option<(Table, Trouble)>,
    /// Whether its requests go by themselves, since something was wrong with one that it shared.
    is_alone: bool,
    /// Whether nothing of it was sent yet.
    is_fresh: bool,
}

impl Job {
    /// The present request was answered, or another one takes its place.
    fn begin_anew(&mut self) {
        self.attempts = 0;
        self.last_trouble = None;
    }
}

enum Work {
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

/// One of the sink's tables.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Table {
    Items,
    Tombstones,
    Quarantine,
}

/// A request that was answered, with the jobs that it was for.
struct Flight {
    jobs: Vec<JobId>,
    transport: Transport,
    result: Result<Reply, Trouble>,
    span: Option<RequestSpan>,
}

impl Landing<'_> {
    async fn run(&mut self) {
        loop {
            self.wake();
            while self.concurrency.admits(self.flights.len())
                && self.time_left() > LEAST_TIME
                && let Some(transport) = self.start_one()
            {
                // It goes out while the next large one is rendered. Small ones share their wake-ups.
                if transport != Transport::Single {
                    tokio::task::yield_now().await;
                }
            }

            let next_retry = self.waiting.peek().map(|Reverse((at, _))| *at);
            let last_start =
                self.context.deadline.checked_sub(LEAST_TIME).unwrap_or(self.context.deadline);
            if self.flights.is_empty() {
                match next_retry {
                    Some(at) if at < last_start && self.report.fault.is_none() => {
                        tokio::time::sleep_until(at.into()).await;
                        continue;
                    }
                    _ => break,
                }
            }
            let until_retry = async {
                match next_retry {
                    Some(at) => tokio::time::sleep_until(at.into()).await,
                    None => std::future::pending().await,
                }
            };
            tokio::select! {
                Some(flight) = self.flights.join_next() => match flight {
                    Ok(flight) => self.take(flight),
                    // The error would quote the panic's message, and that might quote the record.
                    Err(_) => self.blame(
                        None,
                        Trouble::Fault {
                            message: "sending a request panicked: the log says where".to_owned(),
                            source: None,
                        },
                    ),
                },
                () = until_retry => {}
            }
        }
        self.give_up();
    }

    fn time_left(&self) -> Duration {
        self.context.deadline.saturating_duration_since(Instant::now())
    }

    /// Makes the jobs ready whose wait is over.
    fn wake(&mut self) {
        let now = Instant::now();
        while let Some(&Reverse((at, job))) = self.waiting.peek() {
            if at > now {
                break;
            }
            self.waiting.pop();
            self.ready(job);
        }
    }

    fn add(&mut self, work: Work) {
        self.jobs.push(Job {
            work,
            attempts: 0,
            last_trouble: None,
            is_alone: false,
            is_fresh: true,
        });
        self.ready(self.jobs.len() - 1);
    }

    fn quarantine(&mut self, record: usize, rejection: Rejection) {
        let requests = self.context.quarantine.entry(record, &rejection).requests();
        self.add(Work::Quarantine { record, rejection, position: 0, requests, renews: false });
    }

    /// Puts a job in the queue of its transport, unless it has nothing more to ask.
    fn ready(&mut self, id: JobId) {
        let job = &self.jobs[id];
        let is_alone = job.is_alone;
        match &job.work {
            Work::Quarantine { position, requests, .. } => {
                if position < requests {
                    self.singles.push_back(id);
                }
            }
            Work::Write { key, chain } => {
                let Some((candidate, request)) = chain.request() else { return };
                let op = op(self.items, key, candidate, request, self.context.tombstone_expires_at);
                match self.context.wire.transport(op) {
                    Transport::Statement if !is_alone => self.statements.push_back(id),
                    Transport::Transaction
                        if !is_alone && self.context.statements_per_request > 1 =>
                    {
                        self.inserts.push_back(id);
                    }
                    _ => self.singles.push_back(id),
                }
            }
        }
    }

    /// Starts one request and says how it goes; `None` where there is none to start now.
    ///
    /// A request that is not full waits for the answers in flight that may bring it more, unless some of its jobs were
    /// never sent: those have waited for nothing.
    fn start_one(&mut self) -> Option<Transport> {
        if self.report.fault.is_some() {
            return None;
        }
        if let Some(job) = self.singles.pop_front() {
            self.start_single(job);
            return Some(Transport::Single);
        }
        let is_fresh = self.statements.front().is_some_and(|&job| self.jobs[job].is_fresh);
        let is_full = self.statements.len() >= self.context.statements_per_request;
        if is_full || is_fresh || (!self.statements.is_empty() && self.statements_in_flight == 0) {
            self.start_statements();
            return Some(Transport::Statement);
        }
        let may_bring_more = self.statements_in_flight + self.inserts_in_flight > 0;
        if self.inserts.len() >= INSERTS_PER_TRANSACTION
            || (!self.inserts.is_empty() && !may_bring_more)
        {
            self.start_inserts();
            return Some(Transport::Transaction);
        }
        None
    }

    fn start_single(&mut self, id: JobId) {
        self.expect(id);
        let call = match &self.jobs[id].work {
            Work::Quarantine { record, rejection, position, renews, .. } => {
                Some(self.context.quarantine.entry(*record, rejection).call(*position, *renews))
            }
            Work::Write { key, chain } => chain.request().map(|(candidate, request)| {
                let op = op(self.items, key, candidate, request, self.context.tombstone_expires_at);
                self.context.wire.single(op)
            }),
        };
        if let Some(call) = call {
            self.fly(vec![id], Transport::Single, call);
        }
    }

    fn start_statements(&mut self) {
        let n_jobs = self.context.statements_per_request.min(self.statements.len());
        let mut body = self.body(STATEMENTS_START, self.statements.iter().take(n_jobs));
        let mut jobs = Vec::with_capacity(n_jobs);
        while jobs.len() < self.context.statements_per_request {
            let Some(&id) = self.statements.front() else { break };
            if self.moves_on(id, Transport::Statement) {
                self.statements.pop_front();
                self.ready(id);
                continue;
            }
            let Work::Write { key, chain } = &self.jobs[id].work else { break };
            let Some((candidate, request)) = chain.request() else { break };
            let op = op(self.items, key, candidate, request, self.context.tombstone_expires_at);
            if !append(&mut body, jobs.is_empty(), |body| self.context.wire.statement(op, body)) {
                break;
            }
            self.statements.pop_front();
            jobs.push(id);
        }
        body.extend_from_slice(LIST_END);
        let call = Call { operation: Operation::BatchExecuteStatement, body };
        self.fly(jobs, Transport::Statement, call);
    }

    fn start_inserts(&mut self) {
        let n_jobs = INSERTS_PER_TRANSACTION.min(self.inserts.len());
        let mut body = self.body(TRANSACTION_START, self.inserts.iter().take(n_jobs));
        let mut jobs = Vec::with_capacity(n_jobs);
        while jobs.len() < INSERTS_PER_TRANSACTION {
            let Some(&id) = self.inserts.front() else { break };
            if self.moves_on(id, Transport::Transaction) {
                self.inserts.pop_front();
                self.ready(id);
                continue;
            }
            let Work::Write { key, chain } = &self.jobs[id].work else { break };
            let Some((candidate, request)) = chain.request() else { break };
            let op = op(self.items, key, candidate, request, self.context.tombstone_expires_at);
            if !append(&mut body, jobs.is_empty(), |body| {
                self.context.wire.insert_actions(op, body);
            }) {
                break;
            }
            self.inserts.pop_front();
            jobs.push(id);
        }
        body.extend_from_slice(LIST_END);
        let call = Call { operation: Operation::TransactWriteItems, body };
        self.fly(jobs, Transport::Transaction, call);
    }

    /// Tells a job of which nothing was sent what was learnt so far, so that its first request is the one that promises
    /// most.
    fn expect(&mut self, id: JobId) {
        let job = &mut self.jobs[id];
        if let (Work::Write { chain, .. }, true) = (&mut job.work, job.is_fresh) {
            chain.expect(self.context.novelty.expected());
        }
    }

    /// See [`Self::expect`]; says whether the job's request now goes another way than `transport`.
    fn moves_on(&mut self, id: JobId, transport: Transport) -> bool {
        self.expect(id);
        let Work::Write { key, chain } = &self.jobs[id].work else { return false };
        let Some((candidate, request)) = chain.request() else { return false };
        let op = op(self.items, key, candidate, request, self.context.tombstone_expires_at);
        self.context.wire.transport(op) != transport
    }

    /// The start of a body, with room for what most such jobs add.
    fn body<'j>(&self, start: &[u8], jobs: impl Iterator<Item = &'j JobId>) -> Vec<u8> {
        let room = |&id: &JobId| {
            let candidate = match &self.jobs[id].work {
                Work::Write { chain, .. } => chain.request().map(|(candidate, _)| candidate),
                Work::Quarantine { .. } => None,
            };
            let item = candidate.and_then(|it| self.items.get(it.record)?.as_ref());
            PART_ROOM + item.map_or(0, |item| item.json().len())
        };
        let mut body = Vec::with_capacity(jobs.map(room).sum::<usize>().min(MAX_REQUEST_BYTES));
        body.extend_from_slice(start);
        body
    }

    fn fly(&mut self, jobs: Vec<JobId>, transport: Transport, call: Call) {
        // All of them have moved on to another queue.
        if jobs.is_empty() {
            return;
        }
        match transport {
            Transport::Statement => self.statements_in_flight += 1,
            Transport::Transaction => self.inserts_in_flight += 1,
            Transport::Single => {}
        }
        for &id in &jobs {
            self.jobs[id].is_fresh = false;
        }
        self.report.requests += 1;
        let connection = self.context.connection.clone();
        let attempts = jobs.iter().map(|&id| self.jobs[id].attempts).max().unwrap_or(0);
        let timeout = dynamodb::timeout(attempts).min(self.time_left().saturating_sub(ANSWER_TIME));
        let span = self.context.is_traced.then(|| self.span(&jobs, transport, call.operation));
        self.flights.spawn(async move {
            let result = dynamodb::send(connection, call, timeout).await;
            let span = span.map(|span| span.ended(&result));
            Flight { jobs, transport, result, span }
        });
    }

    fn span(&self, jobs: &[JobId], transport: Transport, operation: Operation) -> RequestSpan {
        let mut tables: BTreeSet<Table> = jobs.iter().map(|&id| self.asked_table(id)).collect();
        if transport == Transport::Transaction {
            tables.insert(Table::Tombstones);
        }
        let name = |table| match table {
            Table::Items => self.context.wire.table(),
            Table::Tombstones => self.context.wire.tombstone_table(),
            Table::Quarantine => self.context.quarantine.table,
        };
        let tables = tables.into_iter().map(|table| name(table).to_owned()).collect();
        let retries = jobs.iter().map(|&id| self.jobs[id].attempts).max().unwrap_or(0);
        RequestSpan::begin(operation.name(), tables, jobs.len(), retries)
    }

    /// Only the first fault that is found is told.
    fn blame(&mut self, at: Option<Table>, fault: Trouble) {
        if self.report.fault.is_none() {
            (self.fault_at, self.report.fault) = (at, Some(fault));
        }
    }

    /// Whatever is still undecided has failed.
    fn give_up(&mut self) {
        let fault = self.report.fault.as_ref().map(|fault| chain_of_causes(fault));
        for id in 0..self.jobs.len() {
            let Job { attempts, last_trouble, .. } = &self.jobs[id];
            let why = match (&fault, last_trouble) {
                (Some(fault), _) => fault.clone(),
                (None, Some((_, trouble))) => {
                    format!("the time left did not do; attempt {attempts} ended with: {trouble}")
                }
                (None, None) => "the time left did not do".to_owned(),
            };
            let is_open = |job: &Job| match &job.work {
                Work::Write { chain, .. } => chain.request().is_some(),
                Work::Quarantine { position, requests, .. } => position < requests,
            };
            while is_open(&self.jobs[id]) {
                let last_trouble_at = self.jobs[id].last_trouble.as_ref().map(|(table, _)| *table);
                let asked = self.asked_table(id);
                let at = last_trouble_at.or(self.fault_at.filter(|&table| table == asked));
                self.fail(id, at, &why);
            }
        }
    }
}

fn op<'a>(
    items: &'a [Option<Item>],
    key: &'a str,
    candidate: &'a Candidate,
    request: &'a Request,
    tombstone_expires_at: Option<u64>,
) -> Op<'a> {
    let item = items.get(candidate.record).and_then(Option::as_ref);
    let stamp: &Stamp = &candidate.stamp;
    Op { request, key, stamp, item, tombstone_expires_at }
}

/// Appends an element to a list in a body, unless it would make the body larger than DynamoDB allows.
fn append(body: &mut Vec<u8>, is_first: bool, write: impl FnOnce(&mut Vec<u8>)) -> bool {
    let end = body.len();
    if !is_first {
        body.push(b',');
    }
    write(body);
    let is_allowed = is_first || body.len() + LIST_END.len() <= MAX_REQUEST_BYTES;
    if !is_allowed {
        body.truncate(end);
    }
    is_allowed
}
