//! Two invocations at one time on one partition, as when a poller lost its partition while its invocation was still
//! running: every order in which their requests can reach DynamoDB is tried, also those in which one of them is as slow
//! as can be.

use dynamo_sink::{handler::Handler, outcome::Outcome, sink::Sink};
use serde_json::{Value, json};
use tokio::sync::{mpsc, oneshot};

use crate::{
    faults::{TRANSPORTS, batch::seatool},
    support::{
        APPIAN, Act, Event, Proxy, Record, SEATOOL, TIME, TOMBSTONES, TestDynamoDb, dynamodb,
        handler, land,
    },
};

/// The states of one key, in their order; a delete where there is none.
const STATES: [Option<&str>; 4] =
    [Some(r#"{"a":1}"#), Some(r#"{"a":2,"b":2}"#), None, Some(r#"{"a":4}"#)];

/// What stands before the two begin.
#[derive(Clone, Copy, Debug)]
enum Start {
    Nothing,
    /// An item of an earlier writer.
    Unstamped,
    /// The log's first state.
    First,
}

/// The states that each of the two is sent, by their position in the log.
type Slices = [&'static [usize]; 2];

#[tokio::test]
async fn overlapping_invocations_of_a_keyed_sink_only_move_items_forward() {
    let record = |key: &str, state: usize| {
        let value = STATES[state].map(|json| serde_json::from_str::<Value>(json).unwrap());
        seatool(key, 0, state.try_into().unwrap(), value.as_ref())
    };
    let slices: [Slices; 5] =
        [[&[0], &[0, 1]], [&[0, 1], &[1, 2]], [&[1, 2], &[2]], [&[1, 2], &[2, 3]], [&[3], &[1, 2]]];
    for start in [Start::Nothing, Start::Unstamped, Start::First] {
        check(sink_seatool_data::SINK, start, &slices, record).await;
    }
}

#[tokio::test]
async fn overlapping_invocations_of_a_clocked_sink_only_move_items_forward() {
    let record = |key: &str, state: usize| {
        // A row never goes: the log has no delete, and the states lie on two partitions.
        let json = STATES[state].unwrap_or(r#"{"c":3}"#);
        let number = i64::try_from(state).unwrap();
        let payload: Value = serde_json::from_str(json).unwrap();
        let mut record =
            Record::appian(0, number, (state % 2).try_into().unwrap(), number, payload);
        let value = String::from_utf8(record.value.unwrap()).unwrap();
        let value = value.replace("\"PCKG_ID\":0", &format!("\"PCKG_ID\":\"{key}\""));
        record.value = Some(value.into_bytes());
        record
    };
    let slices: [Slices; 3] = [[&[0], &[0, 1]], [&[1, 2], &[2]], [&[1, 2], &[2, 3]]];
    for start in [Start::Nothing, Start::Unstamped, Start::First] {
        check(sink_appian_data::SINK, start, &slices, record).await;
    }
}

async fn check(
    sink: Sink,
    start: Start,
    slices: &[Slices],
    record: impl Fn(&str, usize) -> Record,
) {
    for statements in TRANSPORTS {
        let dynamodb = dynamodb().await;
        let mut pair = Pair::start(&dynamodb, sink, statements).await;
        for slices in slices {
            let mut schedule = Some(Vec::new());
            let mut schedules = 0;
            while let Some(choices) = schedule {
                let key = format!("KEY {slices:?} {schedules}");
                let event =
                    |states: &[usize]| Event::new(states.iter().map(|state| record(&key, *state)));
                pair.prepare(start, &key, &event(&[0])).await;
                let made = pair.run(&key, slices.map(event), &choices).await;

                let last = slices.iter().flat_map(|it| it.iter()).max().unwrap();
                let found = pair.seen(&key);
                let offset = found.item.as_ref().map(|item| &item["_sink"]["M"]["offset"]["N"]);
                let is_there = !sink.deletes || STATES[*last].is_some();
                let expected = is_there.then(|| json!(last.to_string()));
                assert_eq!(offset, expected.as_ref(), "{key} {start:?} {made:?}");
                schedule = next(&made);
                schedules += 1;
            }
            assert!(schedules > 1, "{slices:?} {schedules}");
        }
    }
}

/// Two proxies for a handler each, with one request at a time, which waits until it is let through.
struct Pair<'a> {
    dynamodb: &'a TestDynamoDb,
    sink: Sink,
    changes: [(&'a str, &'a str); 2],
    /// Sends without waiting for anything.
    free: Handler,
    words: mpsc::UnboundedReceiver<Word>,
    sender: mpsc::UnboundedSender<Word>,
    proxies: [Proxy; 2],
}

/// What is heard of the two.
enum Word {
    /// A request of this one waits until the sender says go.
    Asks(usize, oneshot::Sender<()>),
    /// This one has ended.
    Done(usize),
}

/// A choice between the requests that wait, and how many there were.
type Choice = (usize, usize);

/// A key's item and tombstone.
struct Seen {
    item: Option<Value>,
    tombstone: Option<Value>,
}

impl<'a> Pair<'a> {
    async fn start(dynamodb: &'a TestDynamoDb, sink: Sink, statements: &'a str) -> Self {
        let (sender, words) = mpsc::unbounded_channel();
        let proxy = async |index| {
            let sender = sender.clone();
            Proxy::start(dynamodb, move |_| {
                let (go, gone) = oneshot::channel();
                sender.send(Word::Asks(index, go)).unwrap();
                Act::Await(gone, Box::new(Act::Pass))
            })
            .await
        };
        let changes =
            [("DYNAMODB_STATEMENTS_PER_REQUEST", statements), ("DYNAMODB_MAX_CONCURRENCY", "1")];
        let proxies = [proxy(0).await, proxy(1).await];
        let free = handler(&dynamodb.endpoint(), sink, &changes).await;
        Self { dynamodb, sink, changes, free, words, sender, proxies }
    }

    async fn prepare(&mut self, start: Start, key: &str, first: &Event) {
        match start {
            Start::Nothing => {}
            Start::Unstamped => {
                let item = json!({"PK": {"S": key}, "SK": {"S": key}, "left": {"S": "VALUE"}});
                self.dynamodb.put(self.table(), &item);
            }
            Start::First => {
                land(&mut self.free, first).await.answer.unwrap();
            }
        }
    }

    /// Lands both events, choosing as said which request goes next, the first that waits once nothing is said; returns
    /// the choices made. What is seen between any two requests must not be older than what was seen before.
    async fn run(&mut self, key: &str, events: [Event; 2], choices: &[usize]) -> Vec<Choice> {
        let mut made = Vec::new();
        let mut newest = self.seen(key).version();
        let [first_event, second_event] = events.map(|event| event.json());
        // New ones each time: what they learn would change what they ask.
        let [first, second] = &self.proxies;
        let first = &mut handler(&first.endpoint(), self.sink, &self.changes).await;
        let second = &mut handler(&second.endpoint(), self.sink, &self.changes).await;
        let Self { words, sender, dynamodb, sink, .. } = self;
        let land = async |index: usize, handler: &mut Handler, event: &str| {
            let landed = handler.land(event.as_bytes(), Some(TIME)).await.unwrap();
            landed.answer.unwrap();
            assert_eq!(landed.summary.count(Outcome::Failed), 0);
            sender.send(Word::Done(index)).unwrap();
        };
        let choose = async {
            let mut waiting: [Option<oneshot::Sender<()>>; 2] = [None, None];
            let mut is_done = [false; 2];
            loop {
                while (0..2).any(|index| waiting[index].is_none() && !is_done[index]) {
                    match words.recv().await.unwrap() {
                        Word::Asks(index, go) => waiting[index] = Some(go),
                        Word::Done(index) => is_done[index] = true,
                    }
                }
                let version = seen(dynamodb, *sink, key).version();
                assert!(newest <= version, "{key}: {newest} became {version} after {made:?}");
                newest = version;

                let ready: Vec<usize> = (0..2).filter(|index| waiting[*index].is_some()).collect();
                if ready.is_empty() {
                    break;
                }
                let choice = choices.get(made.len()).copied().unwrap_or(0);
                made.push((choice, ready.len()));
                if let Some(go) = waiting[ready[choice]].take() {
                    go.send(()).unwrap();
                }
            }
        };
        tokio::join!(land(0, first, &first_event), land(1, second, &second_event), choose);
        made
    }

    fn table(&self) -> &'static str {
        table(self.sink)
    }

    fn seen(&self, key: &str) -> Seen {
        seen(self.dynamodb, self.sink, key)
    }
}

/// The next schedule in the order of the tree of choices.
fn next(made: &[Choice]) -> Option<Vec<usize>> {
    let at = made.iter().rposition(|(choice, ready)| choice + 1 < *ready)?;
    let mut choices: Vec<usize> = made[..=at].iter().map(|(choice, _)| *choice).collect();
    choices[at] += 1;
    Some(choices)
}

fn table(sink: Sink) -> &'static str {
    if sink.deletes { SEATOOL } else { APPIAN }
}

fn seen(dynamodb: &TestDynamoDb, sink: Sink, key: &str) -> Seen {
    Seen { item: dynamodb.item(table(sink), key), tombstone: dynamodb.item(TOMBSTONES, key) }
}

impl Seen {
    /// The version of the state that a reader sees. Where there is no item the tombstone's delete is the state; an item
    /// of an earlier writer is older than all.
    fn version(&self) -> String {
        let version = match (&self.item, &self.tombstone) {
            (Some(item), _) => &item["_sink"]["M"]["version"]["S"],
            (None, Some(tombstone)) => &tombstone["version"]["S"],
            (None, None) => &Value::Null,
        };
        version.as_str().unwrap_or_default().to_owned()
    }
}
