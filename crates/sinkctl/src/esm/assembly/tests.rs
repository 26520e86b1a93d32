use super::*;
use crate::esm::event::tests::message;

const SECOND: Duration = Duration::from_secs(1);

fn envelope() -> Envelope {
    Envelope::new("t", "")
}

/// Batches of three records, or after a second, of the partitions 0 to 2.
fn assembly() -> Assembly {
    let mut assembly = Assembly::new(envelope(), 3, SECOND);
    for partition in 0..3 {
        assembly.assign(partition);
    }
    assembly
}

fn record(partition: i32, offset: i64, bytes: usize) -> Record {
    envelope().record(&message(partition, offset, 0, Some(&vec![0; bytes]))).unwrap()
}

/// A step and its time in milliseconds.
#[derive(Clone, Copy, Debug)]
enum Step {
    Push(u64, i32, i64),
    /// A record of so many bytes.
    PushLarge(u64, i32, i64, usize),
    /// The batch that is there; empty for none.
    Take(u64, &'static str),
    /// Ends the batch of that number, and what can be committed then.
    Done(usize, &'static [(i32, i64)]),
    Abandon(usize),
    Lost(usize, bool),
    /// The time of the next batch, if nothing arrives.
    Due(Option<u64>),
    Revoke(i32),
    Assign(i32),
    Flow(&'static [Flow]),
}

use Step::{Abandon, Assign, Done, Due, Lost, Push, PushLarge, Revoke, Take};

#[track_caller]
fn check(steps: &[Step]) {
    let mut assembly = assembly();
    let mut batches = Vec::new();
    for step in steps {
        match *step {
            Push(time, partition, offset) => {
                assembly.push(record(partition, offset, 0), Duration::from_millis(time));
            }
            PushLarge(time, partition, offset, bytes) => {
                assembly.push(record(partition, offset, bytes), Duration::from_millis(time));
            }
            Take(time, expected) => {
                let batch = assembly.take(Duration::from_millis(time));
                let shown = batch.as_ref().map(|batch| {
                    let is_too_large = batch.records.iter().any(|it| it.is_too_large);
                    let kind = if is_too_large { " too large" } else { "" };
                    assert!(
                        envelope().event(&batch.records).len() <= MAX_EVENT_BYTES || is_too_large
                    );
                    format!("{:?}{kind}", batch.records)
                });
                assert_eq!(shown.unwrap_or_default(), expected, "{step:?}");
                batches.extend(batch);
            }
            Done(number, expected) => {
                let committed: Vec<_> = assembly.done(&batches[number]).into_iter().collect();
                assert_eq!(committed, expected, "{step:?}");
            }
            Lost(number, expected) => {
                assert_eq!(assembly.is_lost(&batches[number]), expected, "{step:?}");
            }
            Abandon(number) => assembly.abandon(&batches[number]),
            Due(expected) => {
                assert_eq!(assembly.due(), expected.map(Duration::from_millis), "{step:?}");
            }
            Revoke(partition) => assembly.revoke(partition),
            Assign(partition) => assembly.assign(partition),
            Step::Flow(expected) => assert_eq!(assembly.flow(), expected, "{step:?}"),
        }
    }
}

#[test]
fn a_batch_closes_by_count() {
    check(&[
        Take(0, ""),
        Push(0, 0, 1),
        Push(0, 0, 2),
        Take(0, ""),
        Push(1, 0, 3),
        Push(1, 0, 4),
        Take(1, "[0@1, 0@2, 0@3]"),
        Done(0, &[(0, 4)]),
        Take(1, ""),
        Take(1001, "[0@4]"),
        Done(1, &[(0, 5)]),
    ]);
}

#[test]
fn a_batch_closes_by_the_window_of_its_first_record() {
    check(&[
        Due(None),
        Push(5, 0, 1),
        Push(900, 1, 7),
        Due(Some(1005)),
        Take(1004, ""),
        Take(1005, "[0@1, 1@7]"),
        Due(None),
        Push(1006, 2, 0),
        Due(Some(2006)),
        Done(0, &[(0, 2), (1, 8)]),
    ]);
}

#[test]
fn a_batch_closes_before_it_is_too_large_to_send() {
    let two_thirds = MAX_EVENT_BYTES / 4 * 3 / 3 * 2;
    check(&[
        PushLarge(0, 0, 1, two_thirds),
        Take(0, ""),
        PushLarge(0, 1, 1, two_thirds),
        Take(0, "[0@1]"),
        Take(0, ""),
        PushLarge(0, 1, 2, two_thirds),
        Take(0, "[1@1]"),
        Done(1, &[(1, 2)]),
        Take(1000, "[1@2]"),
    ]);
}

#[test]
fn a_record_that_no_event_holds_is_a_batch_of_its_own() {
    let too_large = MAX_EVENT_BYTES / 4 * 3 + 1;
    check(&[
        Push(0, 0, 1),
        PushLarge(0, 0, 2, too_large),
        Push(0, 0, 3),
        Take(0, "[0@1]"),
        Take(0, ""),
        Done(0, &[(0, 2)]),
        Take(0, "[0@2] too large"),
        Take(5000, ""),
        Done(1, &[(0, 3)]),
        Take(1000, "[0@3]"),
    ]);
    // Another partition goes on.
    check(&[
        PushLarge(0, 0, 2, too_large),
        Push(1, 1, 1),
        Push(1, 1, 2),
        Push(1, 1, 3),
        Take(1, "[0@2] too large"),
        Take(1, "[1@1, 1@2, 1@3]"),
    ]);
}

#[test]
fn a_partition_has_one_batch_in_flight() {
    check(&[
        Push(0, 0, 1),
        Push(0, 0, 2),
        Push(0, 0, 3),
        Push(0, 0, 4),
        Take(0, "[0@1, 0@2, 0@3]"),
        Push(0, 0, 5),
        Push(0, 0, 6),
        Take(9000, ""),
        Due(None),
        Push(9000, 1, 1),
        Push(9000, 2, 1),
        Take(10_000, "[1@1, 2@1]"),
        Done(0, &[(0, 4)]),
        Take(10_000, "[0@4, 0@5, 0@6]"),
        Done(2, &[(0, 7)]),
        Done(1, &[(1, 2), (2, 2)]),
    ]);
}

#[test]
fn a_full_batch_begins_with_what_waited_longest() {
    check(&[
        Push(2, 0, 1),
        Push(1, 1, 1),
        Push(3, 1, 2),
        Push(4, 2, 1),
        Take(4, "[1@1, 1@2, 0@1]"),
        Take(1003, ""),
        Take(1004, "[2@1]"),
    ]);
}

#[test]
fn what_a_revoked_partition_did_is_not_committed() {
    check(&[
        Push(0, 0, 1),
        Push(0, 1, 1),
        Take(1000, "[0@1, 1@1]"),
        Push(1000, 0, 2),
        Lost(0, false),
        Revoke(0),
        Lost(0, false),
        Done(0, &[(1, 2)]),
        Take(9000, ""),
    ]);
    // Assigned again it starts again, after the old batch.
    check(&[
        Push(0, 0, 1),
        Take(1000, "[0@1]"),
        Lost(0, false),
        Revoke(0),
        Lost(0, true),
        Assign(0),
        Lost(0, true),
        Push(1000, 0, 1),
        Take(9000, ""),
        Done(0, &[]),
        Take(9000, "[0@1]"),
        Done(1, &[(0, 2)]),
    ]);
    // A record on its way is not taken.
    check(&[Revoke(0), Push(0, 0, 1), Take(9000, "")]);
    check(&[Push(0, 0, 1), Take(1000, "[0@1]"), Abandon(0), Take(9000, "")]);
}

#[test]
fn a_topic_that_was_created_again_goes_on_from_its_start() {
    check(&[Push(0, 0, 100), Push(0, 0, 0), Take(1000, "[0@100, 0@0]"), Done(0, &[(0, 1)])]);
}

#[test]
fn a_partition_pauses_while_too_much_waits() {
    let large = MAX_EVENT_BYTES / 4 * 3 / 2;
    let mut steps: Vec<_> = (0..8).map(|offset| PushLarge(0, 1, offset, large)).collect();
    steps.push(Step::Flow(&[Flow::Pause(1)]));
    steps.push(Step::Flow(&[]));
    steps.extend([Take(0, "[1@0]"), Done(0, &[(1, 1)]), Step::Flow(&[])]);
    steps.extend([Take(0, "[1@1]"), Done(1, &[(1, 2)]), Take(0, "[1@2]"), Done(2, &[(1, 3)])]);
    steps.extend([Take(0, "[1@3]"), Done(3, &[(1, 4)]), Step::Flow(&[])]);
    steps.extend([Take(0, "[1@4]"), Step::Flow(&[Flow::Resume(1)])]);
    check(&steps);
}
