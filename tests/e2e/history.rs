//! What a strongly consistent reader may see of a key: never an older state after a newer one.

use std::collections::BTreeMap;

/// Where a state stands, as its item says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Seen {
    pub(crate) version: String,
    pub(crate) partition: i32,
    pub(crate) offset: i64,
    pub(crate) timestamp: i64,
}

/// Where a delete of a key stands.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Delete {
    pub(crate) version: String,
    pub(crate) partition: i32,
    pub(crate) timestamp: i64,
}

/// What was seen of each key, in the order in which it was seen; only changes are kept.
#[derive(Debug, Default)]
pub(crate) struct History {
    states: BTreeMap<String, Vec<Option<Seen>>>,
    pub(crate) observations: u64,
}

/// How often a reader saw what may not be.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Faults {
    /// A state that is older than one seen before.
    pub(crate) backwards: u64,
    /// A state that is older than a delete which was seen done.
    pub(crate) resurrected: u64,
    /// No item where one was seen, and no delete that could have removed it.
    pub(crate) vanished: u64,
}

impl Faults {
    pub(crate) fn sum(self) -> u64 {
        self.backwards + self.resurrected + self.vanished
    }
}

impl History {
    /// Takes what a read gave.
    pub(crate) fn see(&mut self, key: &str, seen: Option<Seen>) {
        self.observations += 1;
        match self.states.get_mut(key) {
            Some(states) if states.last() == Some(&seen) => {}
            Some(states) => states.push(seen),
            None => {
                self.states.insert(key.to_owned(), vec![seen]);
            }
        }
    }

    /// How many times a key was seen to change.
    pub(crate) fn changes(&self) -> usize {
        self.states.values().map(|states| states.len() - 1).sum()
    }

    /// Judges it all, once the deletes of each key are known.
    pub(crate) fn judge(&self, deletes: &BTreeMap<String, Vec<Delete>>) -> Faults {
        let mut faults = Faults::default();
        for (key, states) in &self.states {
            let deletes = deletes.get(key).map_or(&[][..], Vec::as_slice);
            judge(states, deletes, &mut faults);
        }
        faults
    }
}

fn judge(states: &[Option<Seen>], deletes: &[Delete], faults: &mut Faults) {
    // The newest state seen, and the oldest delete that can have removed it, once it was seen to be gone.
    let mut newest: Option<&Seen> = None;
    let mut removed_by: Option<&Delete> = None;
    for state in states {
        match (state, newest) {
            (None, None) => {}
            (None, Some(before)) => {
                let later = deletes.iter().filter(|it| is_after(delete_place(it), place(before)));
                let first = later.min_by_key(|it| (it.version[..10].to_owned(), it.timestamp));
                match first {
                    Some(first) => removed_by = Some(first),
                    None => faults.vanished += 1,
                }
            }
            (Some(now), before) => {
                if removed_by.is_some_and(|it| !is_after(place(now), delete_place(it))) {
                    faults.resurrected += 1;
                } else if before.is_some_and(|before| !is_after(place(now), place(before))) {
                    // The same state once more, after no item was seen, is counted above if a delete is known.
                    faults.backwards += 1;
                }
                newest = Some(now);
                removed_by = None;
            }
        }
    }
}

/// Version, partition and timestamp.
type Place<'a> = (&'a str, i32, i64);

fn place(seen: &Seen) -> Place<'_> {
    (&seen.version, seen.partition, seen.timestamp)
}

fn delete_place(delete: &Delete) -> Place<'_> {
    (&delete.version, delete.partition, delete.timestamp)
}

/// Whether `a` is a later state than `b`. A version of 10 and 20 digits holds an offset, which says nothing of another
/// partition's.
fn is_after(a: Place<'_>, b: Place<'_>) -> bool {
    let is_by_offset = a.0.len() == 30;
    if is_by_offset && a.1 != b.1 && a.0[..10] == b.0[..10] {
        (a.2, a.1) > (b.2, b.1)
    } else {
        a.0 > b.0
    }
}

/// Self-tests of the reader's judgement, which run before the scenarios: a judge that sees nothing would pass them all.
pub(crate) fn self_test() {
    #[track_caller]
    fn check(
        states: &[Option<u64>],
        deletes: &[u64],
        backwards: u64,
        resurrected: u64,
        vanished: u64,
    ) {
        let version = |offset: u64| format!("{:010}{offset:020}", 0);
        let mut history = History::default();
        for state in states {
            let seen = state.map(|offset| Seen {
                version: version(offset),
                partition: 0,
                offset: offset.cast_signed(),
                timestamp: offset.cast_signed(),
            });
            history.see("key", seen);
        }
        let deletes = deletes.iter().map(|offset| Delete {
            version: version(*offset),
            partition: 0,
            timestamp: offset.cast_signed(),
        });
        let faults = history.judge(&[("key".to_owned(), deletes.collect())].into());
        assert_eq!(faults, Faults { backwards, resurrected, vanished }, "{states:?}");
    }

    check(&[None, Some(1), Some(1), Some(5)], &[], 0, 0, 0);
    check(&[Some(5), Some(1)], &[], 1, 0, 0);
    check(&[Some(1), None], &[], 0, 0, 1);
    check(&[Some(3), None], &[2], 0, 0, 1);
    check(&[Some(1), None, Some(3)], &[2], 0, 0, 0);
    check(&[Some(1), None, Some(1)], &[2], 0, 1, 0);
    check(&[Some(1), None, Some(2)], &[3], 0, 1, 0);
}
