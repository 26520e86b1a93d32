//! Lands a batch: groups what the keys' state machines ask for into requests, sends them, retries inside the deadline.

mod answers;
mod job;
mod table;

use std::{
    cmp::Reverse,
    collections::BinaryHeap,
    mem,
    time::{Duration, Instant},
};

use tokio::task::JoinSet;

use self::{
    job::{Doubt, Flight, Job, JobId, Lane, Progress, Way, Work},
    table::{Fault, Health, Route, Table},
};
use super::{experience::Experience, outcome::Summary, quarantine::Quarantine};
use crate::{
    edge::{backoff::FIRST_WIDTH, connection::Connection, dynamodb},
    item::Item,
    order::{
        chain::{Chain, Decided},
        write::Expected,
    },
    settings::Settings,
    sink::Rejection,
    wire::{Call, ELEMENT_ROOM, Transport, Wire, list::RequestList},
};

/// Inserts in one transaction: each takes two of the hundred actions that DynamoDB allows.
const INSERTS_PER_TRANSACTION: usize = 50;

/// What is kept of the time left for the answer to Lambda, and what more for each record: if all fail, each of them is
/// logged, and named in the answer.
const ANSWER_TIME: Duration = Duration::from_millis(200);
const ANSWER_TIME_PER_RECORD: Duration = Duration::from_micros(100);

/// The time for a look: nothing depends on it, so it is not waited for longer than the write that it may save takes.
const LOOK_TIMEOUT: Duration = Duration::from_millis(500);

/// The least time for a request.
const LEAST_REQUEST_TIME: Duration = Duration::from_millis(300);

/// What is to be written.
#[derive(Debug)]
pub(crate) struct Batch<'a> {
    /// The item of each record whose write is a put.
    pub(crate) items: &'a [Option<Item>],
    /// The writes, by key.
    pub(crate) chains: Vec<(String, Chain)>,
    /// Records that were rejected before.
    pub(crate) rejections: Vec<(usize, Rejection)>,
    /// When a tombstone that is written now expires, in seconds since 1970.
    pub(crate) tombstone_expires_at: Option<u64>,
    /// Whether some of the records came before.
    pub(crate) is_redelivered: bool,
}

/// What a batch needs of the function around it.
#[derive(Debug)]
pub(crate) struct Context<'a> {
    pub(crate) settings: &'a Settings,
    pub(crate) connection: &'a Connection,
    pub(crate) wire: &'a mut Wire,
    pub(crate) experience: &'a mut Experience,
    pub(crate) quarantine: &'a Quarantine<'a>,
    pub(crate) deadline: Instant,
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
    /// What is wrong with the system around the sink, if that made records fail.
    pub(crate) fault: Option<String>,
    /// What was counted while it landed.
    pub(crate) summary: Summary,
}

/// Sends everything that `batch` needs until all is decided or the deadline is near.
///
/// A fault of the system is asked about until then: it may pass, and records of other tables go on meanwhile.
pub(crate) async fn land<'a>(batch: Batch<'a>, context: Context<'a>) -> Report {
    let mut landing = Landing {
        is_probing: batch.is_redelivered
            && context.experience.learnt.expected(0, Instant::now()) != Expected::NothingToDo,
        health: Table::ALL
            .map(|it| Health::new(it, context.experience.concurrency[it as usize].clone())),
        context,
        items: batch.items,
        tombstone_expires_at: batch.tombstone_expires_at,
        jobs: Vec::with_capacity(batch.chains.len() + batch.rejections.len()),
        lanes: Route::ALL.map(|_| Lane::default()),
        doubts: Vec::new(),
        waiting: BinaryHeap::new(),
        flights: JoinSet::new(),
        answer_time: answer_time(batch.items.len()),
        jitter: 0.0,
        answered_at: Instant::now(),
        report: Report::default(),
    };
    for (record, rejection) in batch.rejections {
        landing.quarantine(record, rejection);
    }
    for (key, chain) in batch.chains {
        landing.add(Work::Write { key, chain });
    }
    landing.run().await;
    landing.context.experience.concurrency = landing.health.map(|health| health.concurrency);
    landing.report
}

struct Landing<'a> {
    context: Context<'a>,
    items: &'a [Option<Item>],
    tombstone_expires_at: Option<u64>,
    jobs: Vec<Job>,
    /// What is ready to be sent, by [`Route`].
    lanes: [Lane; Route::ALL.len()],
    /// How the tables take it, by [`Table`].
    health: [Health; Table::ALL.len()],
    /// Jobs that were refused as invalid, it may be by their own fault.
    doubts: Vec<Doubt>,
    /// Jobs that wait for their retry.
    waiting: BinaryHeap<Reverse<(Instant, JobId)>>,
    flights: JoinSet<Flight>,
    /// What is kept of the time left for the answer to Lambda.
    answer_time: Duration,
    /// Drawn and taken for each answer, so that the jobs which shared a request share their next one too.
    jitter: f64,
    /// Whether what becomes of the first records is awaited: of records that came before it says most of the others.
    is_probing: bool,
    answered_at: Instant,
    report: Report,
}

impl Landing<'_> {
    async fn run(&mut self) {
        loop {
            let now = Instant::now();
            self.wake();
            while self.has_time()
                && let Some(transport) = self.start_one()
            {
                // It goes out while the next large one is rendered. Small ones share their wake-ups.
                if transport != Transport::Single {
                    tokio::task::yield_now().await;
                }
            }

            let next_start = self.next_start(now);
            if self.flights.is_empty() {
                match next_start {
                    Some(at) if self.has_time() && at < self.last_start() => {
                        tokio::time::sleep_until(at.into()).await;
                        continue;
                    }
                    _ if self.settle_doubts() => continue,
                    _ => break,
                }
            }
            let until_start = async {
                match next_start {
                    Some(at) => tokio::time::sleep_until(at.into()).await,
                    None => std::future::pending().await,
                }
            };
            tokio::select! {
                Some(flight) = self.flights.join_next() => {
                    if let Ok(flight) = flight {
                        self.take(flight);
                    } else {
                        // The error would quote the panic's message, and that might quote the record.
                        let cause = "sending a request panicked: the log says where";
                        self.report.fault = Some(cause.to_owned());
                    }
                }
                () = until_start => {}
            }
        }
        self.give_up();
    }

    fn time_left(&self) -> Duration {
        self.context.deadline.saturating_duration_since(Instant::now())
    }

    fn last_start(&self) -> Instant {
        let least_time = self.answer_time + LEAST_REQUEST_TIME;
        self.context.deadline.checked_sub(least_time).unwrap_or(self.context.deadline)
    }

    fn has_time(&self) -> bool {
        self.time_left() > self.answer_time + LEAST_REQUEST_TIME
    }

    /// When something may start without an answer before it, later than `now`.
    fn next_start(&self, now: Instant) -> Option<Instant> {
        if self.report.fault.is_some() {
            return None;
        }
        let retry = self.waiting.peek().map(|Reverse((at, _))| *at);
        let questions = Route::ALL.into_iter().filter_map(|route| {
            let is_waiting = !self.lanes[route as usize].is_empty();
            self.ask_at(route).filter(|_| is_waiting)
        });
        let companies = Route::ALL.into_iter().filter_map(|route| {
            let is_waiting = !self.lanes[route as usize].groups.is_empty();
            self.company_until(route).filter(|_| is_waiting)
        });
        retry.into_iter().chain(questions).chain(companies).filter(|at| *at > now).min()
    }

    /// When a fault that stands in this way is asked about again.
    fn ask_at(&self, route: Route) -> Option<Instant> {
        route.tables().iter().filter_map(|&table| self.health[table as usize].ask_at()).max()
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
            way: None,
            attempts: 0,
            last_trouble: None,
            is_alone: false,
            refused_by: None,
            doubted_since: None,
            found_one: false,
            progress: Progress::Fresh,
        });
        self.ready(self.jobs.len() - 1);
    }

    fn quarantine(&mut self, record: usize, rejection: Rejection) {
        let requests = self.context.quarantine.entry(record, &rejection).requests();
        self.add(Work::Quarantine { record, rejection, position: 0, requests, renews: false });
    }

    /// Puts a job in the queue of its way, unless it has nothing more to ask. What was begun is ended first, since its
    /// end tells what to expect of the others.
    fn ready(&mut self, id: JobId) {
        self.find_way(id);
        let Some(Way { route, transport }) = self.jobs[id].way else { return };
        let lane = &mut self.lanes[route as usize];
        match transport {
            Transport::Single => lane.singles.push_back(id),
            _ if self.jobs[id].progress != Progress::Fresh => lane.groups.push_front(id),
            Transport::Look | Transport::Statement | Transport::Transaction => {
                lane.groups.push_back(id);
            }
        }
    }

    /// Finds the way of a job's present request, after it has changed.
    fn find_way(&mut self, id: JobId) {
        let job = &self.jobs[id];
        let way = match &job.work {
            Work::Quarantine { position, requests, .. } => {
                let way = Way { route: Route::Quarantine, transport: Transport::Single };
                (position < requests).then_some(way)
            }
            Work::Write { .. } => job.request(self.items, self.tombstone_expires_at).map(|keyed| {
                let transport = match self.context.wire.transport(keyed) {
                    _ if job.is_alone => Transport::Single,
                    Transport::Transaction if self.context.settings.statements_per_request == 1 => {
                        Transport::Single
                    }
                    transport => transport,
                };
                Way { route: Route::of(keyed.request), transport }
            }),
        };
        self.jobs[id].way = way;
    }

    /// Starts one request and says how it goes; `None` where there is none to start now.
    fn start_one(&mut self) -> Option<Transport> {
        let waits = self.is_probing && self.flights.len() >= FIRST_WIDTH;
        if waits || self.report.fault.is_some() {
            return None;
        }
        let now = Instant::now();
        for route in Route::ALL {
            let is_admitted =
                route.tables().iter().all(|&table| self.health[table as usize].admits(now));
            if !is_admitted || (route == Route::Quarantine && self.has_good_records()) {
                continue;
            }
            let transport = if !self.lanes[route as usize].singles.is_empty() {
                Transport::Single
            } else if self.is_group_due(route, now) {
                route.shared_transport()
            } else {
                continue;
            };
            self.start(Way { route, transport });
            return Some(transport);
        }
        None
    }

    /// Whether there are records to be written that wait for no table's recovery.
    fn has_good_records(&self) -> bool {
        [Route::Looks, Route::Items, Route::Inserts, Route::Tombstones]
            .into_iter()
            .any(|route| !self.lanes[route as usize].is_empty() && self.ask_at(route).is_none())
    }

    /// A request that is not full waits for the answers in flight that may bring it more, unless some of its jobs were
    /// never sent: those have waited for nothing.
    fn is_group_due(&self, route: Route, now: Instant) -> bool {
        let lane = &self.lanes[route as usize];
        let Some(&last) = lane.groups.back() else { return false };
        let is_fresh = route != Route::Inserts && self.jobs[last].progress == Progress::Fresh;
        is_fresh
            || lane.groups.len() >= self.group_size(route)
            || self.company_until(route).is_none_or(|until| until <= now)
    }

    /// Until when a request that is not full waits. What is found missing brings inserts, and a look brings anything.
    fn company_until(&self, route: Route) -> Option<Instant> {
        let sources: &[Route] = match route {
            Route::Looks | Route::Quarantine => &[],
            Route::Items => &[Route::Looks, Route::Items],
            Route::Inserts => &[Route::Looks, Route::Items, Route::Inserts],
            Route::Tombstones => &[Route::Looks, Route::Tombstones],
        };
        sources.iter().filter_map(|&route| self.lanes[route as usize].company_until()).max()
    }

    fn group_size(&self, route: Route) -> usize {
        match route {
            Route::Looks => self.context.wire.keys_per_look(),
            Route::Inserts => INSERTS_PER_TRANSACTION,
            _ => self.context.settings.statements_per_request,
        }
    }

    /// Starts one request for those that wait to go this way, for as many as it takes.
    fn start(&mut self, way: Way) {
        let Way { route, transport } = way;
        let most = if transport == Transport::Single { 1 } else { self.group_size(route) };
        let mut list = RequestList::new(transport, || self.room(route, most));
        let mut jobs = Vec::new();
        while jobs.len() < most
            && let Some(&id) = self.lanes[route as usize].queue(transport).front()
        {
            // Something may have been learnt since it was put here, or a look have failed.
            self.expect(id);
            let job = &self.jobs[id];
            let is_due = job.way == Some(way);
            if is_due
                && let Some(list) = &mut list
                && let Some(keyed) = job.request(self.items, self.tombstone_expires_at)
                && !list.push(self.context.wire, keyed)
            {
                break;
            }
            self.lanes[route as usize].queue(transport).pop_front();
            if is_due {
                jobs.push(id);
                continue;
            }
            self.ready(id);
            if transport == Transport::Single {
                break;
            }
        }
        let call = match list {
            Some(list) => Some(list.end()),
            None if transport == Transport::Look => Some(self.look(&jobs)),
            None => jobs.first().and_then(|&id| self.single(id)),
        };
        if let Some(call) = call.filter(|_| !jobs.is_empty()) {
            self.fly(jobs, way, call);
        }
    }

    /// How long the body of a list becomes with the first jobs that wait to go this way, most times.
    fn room(&self, route: Route, most: usize) -> usize {
        let room = |&id: &JobId| {
            let keyed = self.jobs[id].request(self.items, self.tombstone_expires_at);
            ELEMENT_ROOM + keyed.and_then(|it| it.item).map_or(0, |item| item.json().len())
        };
        self.lanes[route as usize].groups.iter().take(most).map(room).sum()
    }

    fn look(&self, jobs: &[JobId]) -> Call {
        let keys = jobs.iter().filter_map(|&id| match &self.jobs[id].work {
            Work::Write { key, .. } => Some(key.as_str()),
            Work::Quarantine { .. } => None,
        });
        self.context.wire.look(keys)
    }

    fn single(&self, id: JobId) -> Option<Call> {
        let job = &self.jobs[id];
        if let Work::Quarantine { record, rejection, position, renews, .. } = &job.work {
            let entry = self.context.quarantine.entry(*record, rejection);
            return Some(entry.call(*position, *renews));
        }
        let keyed = job.request(self.items, self.tombstone_expires_at)?;
        Some(self.context.wire.single(keyed))
    }

    /// Tells a job of which nothing was sent what was learnt so far, so that its first request is the one that promises
    /// most.
    fn expect(&mut self, id: JobId) {
        let is_probing = self.is_probing;
        let job = &mut self.jobs[id];
        if job.progress != Progress::Fresh {
            return;
        }
        let Some(keyed) = job.request(self.items, self.tombstone_expires_at) else {
            return;
        };
        let Some(item) = keyed.item else { return };
        let before = mem::discriminant(keyed.request);
        let expected = match self.context.experience.learnt.expected(item.size(), Instant::now()) {
            // What came before is known.
            Expected::Nothing if is_probing => Expected::Item,
            expected => expected,
        };
        if let Work::Write { chain, .. } = &mut job.work {
            chain.expect(expected);
            if chain.request().map(|(_, request)| mem::discriminant(request)) != Some(before) {
                self.find_way(id);
            }
        }
    }

    fn fly(&mut self, jobs: Vec<JobId>, way: Way, call: Call) {
        let Way { route, transport } = way;
        if transport != Transport::Single {
            let lane = &mut self.lanes[route as usize];
            lane.groups_in_flight += 1;
            lane.group_sent_at = Some(Instant::now());
        }
        for &table in route.tables() {
            self.health[table as usize].in_flight += 1;
        }
        for &id in &jobs {
            let progress = &mut self.jobs[id].progress;
            if *progress == Progress::Fresh {
                *progress = Progress::Sent;
            }
        }
        self.report.summary.requests += 1;
        let connection = self.context.connection.clone();
        let longest = match transport {
            Transport::Look => LOOK_TIMEOUT,
            _ => dynamodb::timeout(self.attempts(&jobs)),
        };
        let timeout = longest.min(self.time_left().saturating_sub(self.answer_time));
        let operation = call.operation;
        self.flights.spawn(async move {
            let start = Instant::now();
            let result = dynamodb::send(connection, call, timeout).await;
            let took = start.elapsed();
            Flight { jobs, way, operation, took, result }
        });
    }

    fn attempts(&self, jobs: &[JobId]) -> u32 {
        jobs.iter().map(|&id| self.jobs[id].attempts).max().unwrap_or(0)
    }

    /// Whatever is still undecided has failed: by the fault that stands at its table, or for lack of time.
    fn give_up(&mut self) {
        let panicked = self.report.fault.take();
        let mut first_fault: Option<Fault> = None;
        for id in 0..self.jobs.len() {
            while let Some(Way { route, .. }) = self.jobs[id].way {
                let faults =
                    route.tables().iter().filter_map(|&it| self.health[it as usize].fault());
                let fault = faults.min_by_key(|fault| fault.since).cloned();
                let last_trouble = self.jobs[id].last_trouble.as_ref();
                let at = last_trouble.map(|(table, _)| *table);
                let at = at.or(fault.as_ref().map(|fault| fault.table));
                let why = if let Some(cause) = &panicked {
                    cause.clone()
                } else if let Some(fault) = &fault {
                    fault.cause.clone()
                } else if let Some((_, trouble)) = last_trouble {
                    format!("no time was left; the last attempt ended with: {trouble}")
                } else {
                    "no time was left".to_owned()
                };
                self.fail(id, at, &why);
                self.find_way(id);
                first_fault = first_fault.into_iter().chain(fault).min_by_key(|fault| fault.since);
            }
        }
        self.report.fault = panicked.or(first_fault.map(|fault| fault.cause));
    }
}

/// The time that is kept for the answer to a batch of so many records.
fn answer_time(records: usize) -> Duration {
    ANSWER_TIME + ANSWER_TIME_PER_RECORD * u32::try_from(records).unwrap_or(u32::MAX)
}
