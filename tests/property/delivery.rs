//! Batches on their way through overlapping invocations.

use std::{
    cell::RefCell,
    collections::{BTreeMap, BTreeSet, VecDeque},
    future::{Future, poll_fn},
    iter,
    ops::Range,
    pin::{Pin, pin},
    rc::Rc,
    task::Poll,
    time::Duration,
};

use dynamo_sink::{
    handler::{Handled, Handler, InvocationError, ItemIdentifier, Response},
    outcome::Outcome,
    settings::Settings,
};
use proptest::{prelude::*, test_runner::TestRng};
use serde_json::{Map, Value, json};
use tokio::task::{spawn_local, yield_now};

use super::{
    World,
    log::{Log, PARTITIONS},
};
use crate::support::{Act, Applied, TIME, settings};

/// A record: the index of its partition in the log and its own in that.
pub(super) type Place = (usize, usize);

/// A batch with what happens to the invocations that it is delivered in.
#[derive(Clone, Debug)]
pub(super) struct Delivery {
    batch: Vec<Place>,
    kind: EventKind,
    /// What happens to one invocation after the other; the next one has nothing in its way.
    mishaps: VecDeque<Mishap>,
    /// Turns of the event loop that the invocation stands still before each of its steps, over and over: others
    /// overtake it meanwhile.
    pace: Vec<u8>,
}

/// What a network does to one request after the other, over and over.
pub(super) type Network = Vec<Passage>;

#[derive(Clone, Copy, Debug)]
pub(super) enum Passage {
    Smooth,
    /// It arrives after so many milliseconds, also if its sender was killed meanwhile.
    Late(u64),
    /// The connection breaks, before the request arrived or after.
    Lost(Applied),
}

impl Passage {
    pub(super) fn act(self) -> Act {
        match self {
            Self::Smooth => Act::Pass,
            Self::Late(millis) => Act::After(Duration::from_millis(millis), Box::new(Act::Pass)),
            Self::Lost(applied) => Act::Close(applied),
        }
    }
}

#[derive(Clone, Copy, Debug)]
enum EventKind {
    SelfManaged,
    Msk,
    Pipe,
}

#[derive(Clone, Copy, Debug)]
enum Mishap {
    /// The environment is killed after so many of its steps, and after so many turns of the event loop in which
    /// requests that are on their way may still arrive.
    Killed { steps: usize, turns: u8 },
    /// The time left, in milliseconds, does for few requests or none.
    ShortOfTime { millis: u64 },
}

/// The settings of the environments that overlap.
const ENVIRONMENTS: [[(&str, &str); 3]; 3] = [
    environment("25", "8", "batch"),
    environment("1", "4", "partial"),
    environment("3", "2", "partial"),
];

const fn environment(
    statements: &'static str,
    concurrency: &'static str,
    response_mode: &'static str,
) -> [(&'static str, &'static str); 3] {
    [
        ("DYNAMODB_STATEMENTS_PER_REQUEST", statements),
        ("DYNAMODB_MAX_CONCURRENCY", concurrency),
        ("RESPONSE_MODE", response_mode),
    ]
}

/// Draws a network, in which most requests pass smoothly.
pub(super) fn draw_network(rng: &mut TestRng) -> Network {
    let passages = (0..100).map(|_| match rng.random_range(0..50) {
        0..5 => Passage::Late(rng.random_range(1..=20)),
        5 => Passage::Lost(Applied::Yes),
        6 => Passage::Lost(Applied::No),
        _ => Passage::Smooth,
    });
    passages.collect()
}

/// Cuts a log into parts, repeats some, and mixes them into batches.
pub(super) fn draw(log: &Log, rng: &mut TestRng) -> Vec<Delivery> {
    let longest = [2, 12, 12][rng.random_range(0..3_usize)];
    let mut parts: Vec<(usize, Range<usize>)> = Vec::new();
    for (partition, entries) in log.partitions.iter().enumerate() {
        let mut start = 0;
        while start < entries.len() {
            let end = entries.len().min(start + rng.random_range(1..=longest));
            parts.push((partition, start..end));
            start = end;
        }
    }
    for _ in 0..2 * parts.len() {
        let (partition, _) = parts[rng.random_range(0..parts.len())];
        let len = log.partitions[partition].len();
        let start = rng.random_range(0..len);
        let end = len.min(start + rng.random_range(1..=longest));
        parts.push((partition, start..end));
    }
    // Anything from nearly in order to no order at all.
    let disorder = [1, 10, 1000][rng.random_range(0..3_usize)];
    parts.sort_by_cached_key(|(_, part)| part.start + rng.random_range(0..disorder));

    let mut deliveries = Vec::new();
    let mut parts = parts.into_iter();
    while let Some(first) = parts.next() {
        let others = parts.by_ref().take(rng.random_range(0..4));
        let places =
            |(partition, part): (usize, Range<usize>)| part.map(move |index| (partition, index));
        let mut batch: Vec<Place> = iter::once(first).chain(others).flat_map(places).collect();
        // As an event groups them.
        batch.sort_by_key(|&(partition, _)| PARTITIONS[partition].to_string());
        let kinds = [EventKind::SelfManaged, EventKind::Msk, EventKind::Pipe];
        deliveries.push(Delivery {
            batch,
            kind: kinds[rng.random_range(0..kinds.len())],
            mishaps: draw_mishaps(rng),
            pace: (0..rng.random_range(1..=4)).map(|_| rng.random_range(0..=20)).collect(),
        });
    }
    deliveries
}

fn draw_mishaps(rng: &mut TestRng) -> VecDeque<Mishap> {
    let mishaps = (0..[0, 0, 1, 1, 2][rng.random_range(0..5_usize)]).map(|_| {
        if rng.random_bool(0.7) {
            Mishap::Killed { steps: rng.random_range(1..=6), turns: rng.random_range(0..=30) }
        } else {
            Mishap::ShortOfTime { millis: rng.random_range(500..=530) }
        }
    });
    mishaps.collect()
}

/// Delivers everything by three environments at once, and what failed or was killed again, until each batch was in an
/// invocation that ended normally.
pub(super) async fn deliver(world: &Rc<World>, deliveries: Vec<Delivery>) {
    let queue = Rc::new(RefCell::new(VecDeque::from(deliveries)));
    let environments = ENVIRONMENTS.map(|settings| {
        let (world, queue) = (Rc::clone(world), Rc::clone(&queue));
        spawn_local(async move {
            let mut environment = Environment::new(&world, &settings);
            loop {
                let Some(delivery) = queue.borrow_mut().pop_front() else { break };
                if let Some(rest) = environment.attempt(delivery).await {
                    queue.borrow_mut().push_back(rest);
                }
            }
        })
    });
    for environment in environments {
        environment.await.unwrap();
    }
}

/// A function's environment.
pub(super) struct Environment<'a> {
    world: &'a World,
    settings: Settings,
    handler: Handler,
}

impl<'a> Environment<'a> {
    pub(super) fn new(world: &'a World, changes: &[(&str, &str)]) -> Self {
        let settings = settings(&world.log.sink, changes);
        let handler = Handler::new(world.log.sink, settings.clone(), world.connection.clone());
        Self { world, settings, handler }
    }

    /// Delivers a batch in its order.
    pub(super) async fn invoke(&mut self, batch: &[Place]) -> Handled {
        let payload = pipe_event(&self.world.log, batch);
        self.handler.land(payload.as_bytes(), Some(TIME)).await.unwrap()
    }

    /// Delivers a batch once; returns what is to be delivered again.
    async fn attempt(&mut self, mut delivery: Delivery) -> Option<Delivery> {
        let log = &self.world.log;
        let payload = match delivery.kind {
            EventKind::SelfManaged => mapping_event(log, &delivery.batch, "SelfManagedKafka"),
            EventKind::Msk => mapping_event(log, &delivery.batch, "aws:kafka"),
            EventKind::Pipe => pipe_event(log, &delivery.batch),
        };
        let mishap = delivery.mishaps.pop_front();
        let time_left = match mishap {
            Some(Mishap::ShortOfTime { millis }) => Duration::from_millis(millis),
            _ => TIME,
        };
        let kill = match mishap {
            Some(Mishap::Killed { steps, turns }) => Some((steps, turns)),
            _ => None,
        };
        let landing = self.handler.land(payload.as_bytes(), Some(time_left));
        let Some(handled) = run(landing, &delivery.pace, kill).await else {
            self.world.count("killed", 1);
            // The next environment knows nothing of this one.
            self.handler =
                Handler::new(log.sink, self.settings.clone(), self.world.connection.clone());
            return Some(delivery);
        };

        let Handled { summary, answer } = handled.unwrap();
        for (&place, outcome) in delivery.batch.iter().zip(&summary.outcomes) {
            self.world.count(outcome.name(), 1);
            // Stale is also what is older than a tombstone, and its delete may have been killed before it was done.
            if matches!(outcome, Outcome::Written | Outcome::Deleted | Outcome::Duplicate) {
                self.world.landed(place);
            }
        }
        let n_failed = summary.count(Outcome::Failed);
        assert!(n_failed == 0 || matches!(mishap, Some(Mishap::ShortOfTime { .. })), "{answer:?}");
        assert!(log.timestamps_fall || summary.count(Outcome::Regression) == 0);
        assert_eq!(summary.conflicts, 0);
        self.world.check_superseded(&delivery.batch, &summary.outcomes);
        let response = match answer {
            Ok(response) => response,
            Err(InvocationError::RecordsFailed { failed, .. }) => {
                assert_eq!(failed, n_failed);
                self.world.count("failed invocation", 1);
                return Some(delivery);
            }
            Err(error) => panic!("{error}"),
        };
        let again = named(log, &response);
        assert_eq!(again.is_empty(), n_failed == 0);
        for (place, outcome) in delivery.batch.iter().zip(&summary.outcomes) {
            assert!(*outcome != Outcome::Failed || again.contains(place), "a failure is not named");
        }
        self.world.count("partial answer", usize::from(n_failed > 0));
        delivery.batch.retain(|place| again.contains(place));
        (n_failed > 0).then_some(delivery)
    }
}

/// The records that an answer names.
fn named(log: &Log, response: &Response) -> BTreeSet<Place> {
    let places: BTreeMap<(String, i64), Place> = log
        .places()
        .map(|place| {
            let entry = log.entry(place);
            ((format!("{}-{}", log.sink.topic, entry.partition), entry.offset), place)
        })
        .collect();
    let identifiers = response.batch_item_failures.iter().map(|failure| &failure.item_identifier);
    identifiers
        .map(|ItemIdentifier { partition, offset }| places[&(partition.clone(), *offset)])
        .collect()
}

/// Runs an invocation at its pace; none where it was killed.
async fn run<F: Future>(
    invocation: F,
    pace: &[u8],
    kill: Option<(usize, u8)>,
) -> Option<F::Output> {
    let mut invocation = pin!(invocation);
    for (step, &turns) in pace.iter().cycle().enumerate() {
        turn(turns).await;
        if let Some(output) = one_step(invocation.as_mut()).await {
            return Some(output);
        }
        if let Some((steps, turns)) = kill
            && step + 1 == steps
        {
            turn(turns).await;
            return None;
        }
    }
    None
}

async fn turn(turns: u8) {
    for _ in 0..turns {
        yield_now().await;
    }
}

/// Goes on until the future waits and something happens that it may have waited for.
async fn one_step<F: Future>(mut future: Pin<&mut F>) -> Option<F::Output> {
    let mut was_polled = false;
    poll_fn(|context| {
        if was_polled {
            return Poll::Ready(None);
        }
        was_polled = true;
        future.as_mut().poll(context).map(Some)
    })
    .await
}

/// An event of an event source mapping.
fn mapping_event(log: &Log, batch: &[Place], source: &str) -> String {
    let mut partitions: Map<String, Value> = Map::new();
    for &place in batch {
        let entry = log.entry(place);
        let name = format!("{}-{}", log.sink.topic, entry.partition);
        let records = partitions.entry(name).or_insert_with(|| json!([]));
        records.as_array_mut().unwrap().push(entry.members.clone().into());
    }
    json!({"eventSource": source, "records": partitions}).to_string()
}

/// An event of a pipe.
fn pipe_event(log: &Log, batch: &[Place]) -> String {
    let record = |&place: &Place| {
        let entry = log.entry(place);
        let mut record = entry.members.clone();
        record.insert("eventSource".to_owned(), "SelfManagedKafka".into());
        let name = format!("{}-{}", log.sink.topic, entry.partition);
        record.insert("eventSourceKey".to_owned(), name.into());
        Value::from(record)
    };
    batch.iter().map(record).collect::<Value>().to_string()
}
