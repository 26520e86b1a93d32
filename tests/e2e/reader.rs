//! A strongly consistent reader that keeps looking while the sinks write.

use std::{
    collections::BTreeMap,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use aws_sdk_dynamodb::{Client, types::AttributeValue};
use fastrand::Rng;
use tokio::task::JoinHandle;

use crate::{
    compare::{self, Item},
    fold::{self, Expected},
    history::{Delete, Faults, History, Seen},
    record::{Produced, Source},
    tables,
};

/// A reader of one source's table.
#[derive(Debug)]
pub(crate) struct Reader {
    source: Source,
    stop: Arc<AtomicBool>,
    task: JoinHandle<History>,
}

/// So many keys are asked for at once, most of them among those that change most.
const KEYS: usize = 50;
/// Reads take a share of what DynamoDB Local can do, and are to leave the most of it to the writers.
const PAUSE: Duration = Duration::from_millis(150);
/// Between two looks at the whole table.
const ROUNDS_BETWEEN_SCANS: usize = 100;

impl Reader {
    /// `keys` begin with those that change most.
    pub(crate) fn start(client: Client, source: Source, keys: Vec<String>, seed: u64) -> Self {
        let stop = Arc::<AtomicBool>::default();
        let stopped = Arc::clone(&stop);
        let task = tokio::spawn(async move {
            let mut rng = Rng::with_seed(seed);
            let mut history = History::default();
            let mut round = 0;
            while !stopped.load(Ordering::Relaxed) {
                let hot = (keys.len() / 20).max(1);
                let mut wanted: Vec<&str> = (0..KEYS)
                    .map(|at| if at % 4 == 0 { rng.usize(..keys.len()) } else { rng.usize(..hot) })
                    .map(|at| keys[at].as_str())
                    .collect();
                wanted.sort_unstable();
                wanted.dedup();
                let mut found = tables::get(&client, source.table(), &wanted).await;
                for key in wanted {
                    history.see(key, found.remove(key).map(|item| seen(&item)));
                }
                round += 1;
                if round % ROUNDS_BETWEEN_SCANS == 0 {
                    for item in tables::scan(&client, source.table()).await {
                        history.see(compare::text(&item, "PK"), Some(seen(&item)));
                    }
                }
                tokio::time::sleep(PAUSE).await;
            }
            history
        });
        Self { source, stop, task }
    }

    /// Stops reading and judges what was seen.
    pub(crate) async fn judge(
        self,
        produced: &[Produced],
        expected: &Expected,
    ) -> (Faults, History) {
        self.stop.store(true, Ordering::Relaxed);
        let history = self.task.await.unwrap();
        let delete = |at: &usize| Delete {
            version: fold::version(self.source, &produced[*at]),
            partition: produced[*at].partition,
            timestamp: produced[*at].record.timestamp,
        };
        let deletes: BTreeMap<String, Vec<Delete>> = expected
            .deletes
            .iter()
            .map(|(key, deletes)| (key.clone(), deletes.iter().map(delete).collect()))
            .collect();
        (history.judge(&deletes), history)
    }
}

/// Where an item says that it comes from.
fn seen(item: &Item) -> Seen {
    let Some(sink) = item.get("_sink") else {
        // An earlier writer's item is older than all of ours: the first record that comes for it overwrites it.
        return Seen { version: "0".repeat(10), partition: -1, offset: -1, timestamp: -1 };
    };
    let sink = sink.as_m().unwrap();
    let number = |name: &str| match &sink[name] {
        AttributeValue::N(text) => text.parse::<i64>().unwrap(),
        other => panic!("`{name}` is no number: {other:?}"),
    };
    Seen {
        version: compare::text(sink, "version").to_owned(),
        partition: i32::try_from(number("partition")).unwrap(),
        offset: number("offset"),
        timestamp: number("timestamp"),
    }
}
