//! The promise of idempotence as a property: however a log is delivered, each key ends in its last state, and no state
//! that a consistent reader sees ever moves backwards.
//!
//! Each case draws a log and a way to deliver it: any contiguous parts of it in any batches, again and again, by three
//! overlapping environments with other settings each, some invocations killed or short of time. Then all of it is
//! replayed, by environments that look first and by some that never do. What must come of it is folded from the log by
//! this test's own means, see [`log`]; what a reader sees is judged in [`reader`].

/// The records of Appian's topic.
mod appian;

/// Batches on their way through overlapping invocations.
mod delivery;

/// What a topic holds and what must come of it.
mod log;

/// What may be seen in the tables.
mod reader;

/// The records of Seatool's topic.
mod seatool;

/// JSON texts with the attributes that they become.
mod value;

use std::{
    cell::{Cell, RefCell},
    collections::{BTreeMap, BTreeSet},
    rc::Rc,
    time::Duration,
};

use dynamo_sink::{connection::Connection, outcome::Outcome};
use proptest::{
    prelude::*,
    test_runner::{RngSeed, TestRunner},
};
use serde_json::Value;
use tokio::{runtime::Builder, task::LocalSet};

use self::{
    delivery::{Delivery, Environment, Network, Passage, Place},
    log::{Effect, Expected, Log, earlier_item},
    reader::{Reader, history, without_shape},
};
use crate::support::{
    APPIAN, Act, Proxy, QUARANTINE, SEATOOL, TOMBSTONES, TestDynamoDb, connection,
    dynamodb_with_streams, is_aws_local,
};

/// Logs that each sink is held to; DynamoDB Local takes some 40 times as long.
fn cases() -> u32 {
    if is_aws_local() { 4 } else { 48 }
}

#[test]
fn each_seatool_key_ends_in_its_last_state_and_never_moves_back() {
    check(seatool::logs(), &["deleted", "regression"]);
}

#[test]
fn each_appian_package_ends_in_its_last_state_and_never_moves_back() {
    check(appian::logs(), &[]);
}

/// `also`: outcomes that records of this sink must have had, beside those of every sink.
fn check(logs: impl Strategy<Value = Log>, also: &[&str]) {
    // The same logs each time; how requests interleave still differs a little from run to run, and so a failing case
    // may pass while it is made smaller.
    let config = ProptestConfig {
        cases: cases(),
        rng_seed: RngSeed::Fixed(2026),
        max_shrink_iters: 100,
        failure_persistence: None,
        ..ProptestConfig::default()
    };
    let cases = logs.prop_perturb(|log, mut rng| {
        let network = delivery::draw_network(&mut rng);
        let deliveries = delivery::draw(&log, &mut rng);
        (log, network, deliveries)
    });
    let happened: RefCell<BTreeMap<&str, usize>> = RefCell::default();
    let result = TestRunner::new(config).run(&cases, |(log, network, deliveries)| {
        let runtime = Builder::new_current_thread().enable_all().build().unwrap();
        let case = check_one(log, network, deliveries);
        for (what, times) in LocalSet::new().block_on(&runtime, case) {
            *happened.borrow_mut().entry(what).or_default() += times;
        }
        Ok(())
    });
    if let Err(error) = result {
        panic!("{error}");
    }
    if is_aws_local() {
        // Among so few logs, watched so seldom, not everything need come up.
        return;
    }
    let outcomes = ["written", "superseded", "duplicate", "stale", "quarantined", "failed"];
    let mishaps = ["killed", "failed invocation", "partial answer"];
    let happened = happened.borrow();
    for what in [&outcomes, &mishaps[..], also].concat() {
        assert!(happened.get(what).is_some_and(|&times| times > 0), "{what}: never");
    }
    // What a look shows spares writes, and many of them: what is not looked at varies a little from run to run.
    assert!(happened["look"] > 0 && !happened.contains_key("look without statements"));
    let [looked, unlooked] =
        ["write where it is looked", "write without looks"].map(|what| happened[what]);
    assert!(10 * looked < 9 * unlooked, "{happened:?}");
    // The watcher looks often enough to see most states.
    assert!(happened["change seen"] > happened["change"] / 2, "{happened:?}");
}

/// Delivers a log, then replays all of it, with looks and without; returns what happened on the way, and how often.
async fn check_one(
    log: Log,
    network: Network,
    deliveries: Vec<Delivery>,
) -> BTreeMap<&'static str, usize> {
    let world = World::new(log, network).await;

    let watcher = tokio::task::spawn_local(watch(Rc::clone(&world)));
    delivery::deliver(&world, deliveries).await;
    world.is_delivered.set(true);
    watcher.await.unwrap();

    let first = world.check_tables();
    world.count("change", first.history);
    let mut replays = Vec::new();
    for (statements, looks, writes) in [
        ("25", "look", "write where it is looked"),
        ("1", "look without statements", "write without looks"),
    ] {
        let mut environment =
            Environment::new(&world, &[("DYNAMODB_STATEMENTS_PER_REQUEST", statements)]);
        let mut n_before = 0;
        for _ in 0..4 {
            n_before = world.proxy.requests().len();
            replays.push(world.replay(&mut environment).await);
            let again = world.check_tables();
            assert_eq!(first.items, again.items);
            assert_eq!(first.quarantine, again.quarantine);
            assert_eq!(
                first.history, again.history,
                "a write changed nothing, or something that was final"
            );
        }
        // The first replays were there to learn from.
        for request in world.proxy.requests().split_off(n_before) {
            if request.operation == "BatchGetItem" {
                world.count(looks, 1);
            } else if request.body["TableName"] != QUARANTINE {
                world.count(writes, request.parts().len().max(1));
            }
        }
    }
    assert!(replays.windows(2).all(|pair| pair[0] == pair[1]), "{replays:?}");
    world.happened.take()
}

/// The tables of one case, and what is known of them.
struct World {
    log: Log,
    expected: Expected,
    dynamodb: TestDynamoDb,
    proxy: Proxy,
    connection: Connection,
    table: &'static str,
    /// The rank of each key's newest state that an invocation reported as applied.
    landed: RefCell<BTreeMap<String, usize>>,
    is_delivered: Cell<bool>,
    happened: RefCell<BTreeMap<&'static str, usize>>,
}

/// What the tables hold.
struct Contents {
    items: Vec<Value>,
    /// The quarantine without what another attempt or another kind of event changes.
    quarantine: Vec<Value>,
    /// How many states items had in turn.
    history: usize,
}

impl World {
    async fn new(log: Log, network: Network) -> Rc<Self> {
        let table = if log.sink.deletes { SEATOOL } else { APPIAN };
        // Only streams show every state that ever stood.
        let dynamodb = dynamodb_with_streams().await;
        for key in &log.earlier {
            dynamodb.put(table, &earlier_item(key));
        }
        let expected = Expected::of(&log);
        let mut passages = network.into_iter().cycle();
        let proxy =
            Proxy::start(&dynamodb, move |_| passages.next().map_or(Act::Pass, Passage::act)).await;
        let connection = connection(&proxy.endpoint()).await;
        Rc::new(Self {
            log,
            expected,
            dynamodb,
            proxy,
            connection,
            table,
            landed: RefCell::default(),
            is_delivered: Cell::new(false),
            happened: RefCell::default(),
        })
    }

    fn count(&self, what: &'static str, times: usize) {
        *self.happened.borrow_mut().entry(what).or_default() += times;
    }

    /// Remembers that a record's state stands, or a newer one.
    fn landed(&self, place: Place) {
        if let Some((key, rank)) = self.expected.rank_of(self.log.entry(place)) {
            let mut landed = self.landed.borrow_mut();
            let newest = landed.entry(key.to_owned()).or_default();
            *newest = rank.max(*newest);
        }
    }

    /// A record that was superseded has failed where what superseded it has.
    fn check_superseded(&self, batch: &[Place], outcomes: &[Outcome]) {
        if self.log.timestamps_fall {
            // A record that looks like a regression is sent for itself, and so a key can end in several ways.
            return;
        }
        let mut by_key: BTreeMap<&str, Vec<(usize, Outcome)>> = BTreeMap::new();
        for (&place, &outcome) in batch.iter().zip(outcomes) {
            if let Some((key, rank)) = self.expected.rank_of(self.log.entry(place)) {
                by_key.entry(key).or_default().push((rank, outcome));
            }
        }
        for ends in by_key.values() {
            let (newest, _) = ends.iter().max().unwrap();
            let has_failed = ends.contains(&(*newest, Outcome::Failed));
            let is_superseded = ends.iter().any(|(_, outcome)| *outcome == Outcome::Superseded);
            assert!(!(has_failed && is_superseded), "{ends:?}");
        }
    }

    /// Delivers everything once more: nothing is left to do. Returns the outcomes.
    async fn replay(&self, environment: &mut Environment<'_>) -> Vec<Outcome> {
        let places: Vec<Place> = self.log.places().collect();
        let mut outcomes = Vec::new();
        for batch in places.chunks(50) {
            let handled = environment.invoke(batch).await;
            assert_eq!(handled.answer.unwrap().batch_item_failures, []);
            outcomes.extend(handled.summary.outcomes);
        }
        for (&place, outcome) in places.iter().zip(&outcomes) {
            let is_rejected = matches!(self.log.entry(place).effect, Effect::Rejected(_));
            let is_expected = match outcome {
                Outcome::Quarantined => is_rejected,
                Outcome::Duplicate | Outcome::Stale | Outcome::Superseded => !is_rejected,
                // Where timestamps fall, an older record can look as if offsets had begun again.
                Outcome::Regression => !is_rejected && self.log.timestamps_fall,
                Outcome::Written | Outcome::Deleted | Outcome::Failed => false,
            };
            assert!(is_expected, "{outcome:?} when delivered again: {:?}", self.log.entry(place));
        }
        outcomes
    }

    /// Holds all tables to what must be in them when every record was delivered.
    fn check_tables(&self) -> Contents {
        let items = self.dynamodb.items(self.table);
        let key = |item: &Value| item["PK"]["S"].as_str().unwrap().to_owned();
        let by_key: BTreeMap<String, Value> =
            items.iter().map(|item| (key(item), without_shape(item))).collect();
        assert_eq!(by_key, self.expected.items());
        self.check_tombstones();
        let quarantine = self.check_quarantine();

        // The earlier writer's items were the first.
        let states = history(&self.dynamodb, self.table).split_off(self.log.earlier.len());
        let mut reader = Reader::new(&self.expected);
        for (key, item) in &states {
            reader.sees_a_change(key, item.as_ref());
        }
        Contents { items, quarantine, history: states.len() }
    }

    /// A tombstone is of one of its key's deletes, and of the last if that is the key's last state. It never moves
    /// back.
    fn check_tombstones(&self) {
        let mut ranks: BTreeMap<String, usize> = BTreeMap::new();
        for (key, tombstone) in history(&self.dynamodb, TOMBSTONES) {
            let rank = self.expected.rank_of_tombstone(&key, &tombstone.unwrap());
            if let Some(before) = ranks.insert(key, rank) {
                assert!(before < rank, "a tombstone moved from state {before} to {rank}");
            }
        }
        for (key, last) in self.expected.deleted() {
            assert_eq!(ranks.get(key), Some(&last), "the last delete has another tombstone");
        }
    }

    fn check_quarantine(&self) -> Vec<Value> {
        let mut found = self.dynamodb.items(QUARANTINE);
        let text = |entry: &Value, name: &str| {
            let value = &entry[name];
            value["S"].as_str().or(value["N"].as_str()).unwrap().to_owned()
        };
        let rejected: BTreeSet<[String; 3]> = found
            .iter()
            .map(|entry| ["partition", "offset", "reason"].map(|name| text(entry, name)))
            .collect();
        assert_eq!(rejected.len(), found.len());
        assert_eq!(rejected, self.log.rejected().collect());
        for entry in &mut found {
            for name in ["attempts", "expiresAt", "record"] {
                entry.as_object_mut().unwrap().remove(name).unwrap();
            }
        }
        found
    }
}

/// Reads all keys again and again until everything is delivered.
async fn watch(world: Rc<World>) {
    let mut reader = Reader::new(&world.expected);
    while !world.is_delivered.get() {
        let items = world.dynamodb.items(world.table);
        for key in world.expected.keys() {
            let item = items.iter().find(|item| item["PK"]["S"] == key);
            let landed = world.landed.borrow().get(key).copied().unwrap_or_default();
            reader.sees(key, item, landed);
        }
        if is_aws_local() {
            // A read takes long there, and the deliveries wait for it.
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        for _ in 0..10 {
            tokio::task::yield_now().await;
        }
    }
    world.count("observation", reader.observations);
    world.count("change seen", reader.changes);
}
