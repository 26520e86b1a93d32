//! Faults that are planted between the machine and the table, each of which the exploration must find.

use std::collections::BTreeMap;

use dynamo_sink::{
    chain::Candidate,
    version::{Order, Stamp},
    write::{Answer, Request, Seen, Shown, Sink, TombstoneCheck},
};

use super::{
    explore::explore,
    machine::{
        Violation::{self, ChangedNothing, LeftBehind, Lost, Untruthful, WentBack},
        World,
    },
    model::{Ask, Log, Place, Record, Store},
};

/// A defect that the writer could have.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Fault {
    VersionDropped,
    VersionLessOrEqual,
    LineageDroppedFromReplace,
    LineageDroppedFromInsert,
    LineageDroppedFromTombstone,
    LineageDroppedFromRemove,
    ShapeDropped,
    CompareAndSetDropped,
    CompareAndSetOnExistence,
    CompareAndSetOnVersion,
    NoSinkAlsoWithoutItem,
    TombstoneCheckDropped,
    ExactTombstoneCheckDropped,
    LookBeforeInsert,
    LookAfterInsert,
    ClaimBeforeInsert,
    ItemRemovedBeforeTombstone,
    EqualTombstoneTakenAsDone,
    UnconditionalTombstone,
    TombstoneCompareAndSetDropped,
    UnconditionalDelete,
    DeleteCompareAndSetDropped,
    CoalescedAcrossLineages,
    EqualTombstoneShownDecides,
    NoItemShownEndsDelete,
    OlderItemShownDecides,
}

/// What a fault makes of a request.
#[derive(Debug)]
pub(super) enum Planted {
    /// Nothing: the request is done as it should be.
    Honest,
    /// This is answered instead; none: the record cannot be stored.
    Answered(Option<Answer>),
    /// A part was done, and the rest follows in a step of its own.
    Halfway,
}

impl From<Answer> for Planted {
    fn from(answer: Answer) -> Self {
        Self::Answered(Some(answer))
    }
}

impl Fault {
    /// Spoils one request. `is_halfway` is the invocation's own memory of what the fault did before.
    pub(super) fn spoil(self, is_halfway: &mut bool, store: &mut Store, ask: Ask<'_>) -> Planted {
        match (self, ask.request) {
            (Self::VersionDropped, Request::ReplaceIfOlder) => {
                let is_met = store
                    .sink()
                    .is_some_and(|sink| ask.is_of_lineage(&sink.stamp) && ask.is_of_shape(sink));
                store.put_if(is_met, ask).into()
            }
            (Self::VersionLessOrEqual, Request::ReplaceIfOlder) => {
                let is_met = store
                    .sink()
                    .is_some_and(|sink| is_no_newer(&sink.stamp, ask) && ask.is_of_shape(sink));
                store.put_if(is_met, ask).into()
            }
            (Self::VersionLessOrEqual, Request::ReplaceTombstoneIfOlder) => {
                let is_met = store.tombstone.as_ref().is_some_and(|it| is_no_newer(it, ask));
                store.bury_if(is_met, ask).into()
            }
            (Self::LineageDroppedFromReplace, Request::ReplaceIfOlder)
            | (Self::LineageDroppedFromInsert, Request::Insert(TombstoneCheck::AbsentOrOlder))
            | (Self::LineageDroppedFromTombstone, Request::ReplaceTombstoneIfOlder)
            | (Self::LineageDroppedFromRemove, Request::RemoveIfOlder) => {
                // The other order's conditions are the same without the lineage.
                store.take(Ask { order: Order::SourceClock, ..ask }).into()
            }
            (Self::ShapeDropped, Request::ReplaceIfOlder) => {
                let is_met = store.sink().is_some_and(|sink| ask.is_older(&sink.stamp));
                store.put_if(is_met, ask).into()
            }
            (Self::CompareAndSetDropped, Request::ReplaceSeen(_)) => store.put_if(true, ask).into(),
            (Self::CompareAndSetOnExistence, Request::ReplaceSeen(_)) => {
                store.put_if(store.item.is_some(), ask).into()
            }
            (Self::CompareAndSetOnVersion, Request::ReplaceSeen(Seen::Stamped(seen))) => {
                let is_met =
                    store.sink().is_some_and(|sink| sink.stamp.version == seen.stamp.version);
                store.put_if(is_met, ask).into()
            }
            (Self::NoSinkAlsoWithoutItem, Request::ReplaceSeen(Seen::Unstamped)) => {
                store.put_if(store.sink().is_none(), ask).into()
            }
            (Self::TombstoneCheckDropped, Request::Insert(_))
            | (Self::ExactTombstoneCheckDropped, Request::Insert(TombstoneCheck::Exactly(_))) => {
                store.insert_if(true, ask).into()
            }
            (Self::LookBeforeInsert, Request::Insert(check)) => {
                look_then_insert(check, is_halfway, store, ask)
            }
            (Self::LookAfterInsert, Request::Insert(check)) => {
                insert_then_look(check, is_halfway, store, ask)
            }
            (Self::ClaimBeforeInsert, Request::Insert(check)) => {
                claim_then_insert(check, is_halfway, store, ask)
            }
            (Self::ItemRemovedBeforeTombstone, _) => remove_first(is_halfway, store, ask),
            (Self::EqualTombstoneTakenAsDone, _) => stop_at_equal(is_halfway, store, ask),
            (
                Self::UnconditionalTombstone,
                Request::InsertTombstone | Request::ReplaceTombstoneIfOlder,
            )
            | (Self::TombstoneCompareAndSetDropped, Request::ReplaceTombstoneSeen(_)) => {
                store.bury_if(true, ask).into()
            }
            (Self::UnconditionalDelete, Request::RemoveIfOlder)
            | (Self::DeleteCompareAndSetDropped, Request::RemoveSeen(_)) => {
                store.remove_if(true).into()
            }
            _ => Planted::Honest,
        }
    }

    fn is_of_looks(self) -> bool {
        matches!(
            self,
            Self::EqualTombstoneShownDecides
                | Self::NoItemShownEndsDelete
                | Self::OlderItemShownDecides
        )
    }

    /// Spoils what a look shows.
    pub(super) fn spoil_look(self, answer: Answer, record: &Record) -> Answer {
        let Answer::Looked(Some(Shown { item, tombstone })) = &answer else { return answer };
        let is_delete = record.attributes.is_none();
        let is_believed = match self {
            Self::EqualTombstoneShownDecides => tombstone.as_ref() == Some(&record.stamp),
            Self::NoItemShownEndsDelete => is_delete && item.is_none(),
            Self::OlderItemShownDecides => match item {
                Some(Seen::Stamped(sink)) => sink.stamp.version < record.stamp.version,
                Some(Seen::Unstamped) | None => false,
            },
            _ => false,
        };
        if !is_believed {
            return answer;
        }
        // Nothing makes the machine stop more surely than its own state.
        let own = Sink { stamp: record.stamp.clone(), shape: record.shape() };
        Answer::Looked(Some(Shown { item: Some(Seen::Stamped(own)), tombstone: None }))
    }

    /// Spoils what a batch sends.
    pub(super) fn spoil_batch(self, candidates: &mut [Candidate]) {
        let newest = candidates.iter().max_by_key(|candidate| &candidate.stamp.version).cloned();
        let Some(newest) = newest.filter(|_| self == Self::CoalescedAcrossLineages) else { return };
        for candidate in candidates {
            // As if the batch were of one lineage, so that the versions alone decide.
            candidate.stamp.partition = newest.stamp.partition;
            candidate.stamp.timestamp = newest.stamp.timestamp;
        }
    }
}

fn is_no_newer(stored: &Stamp, ask: Ask<'_>) -> bool {
    stored.version <= ask.record.stamp.version && ask.is_of_lineage(stored)
}

/// The tombstone is looked at first, and the item put in a second request.
fn look_then_insert(
    check: &TombstoneCheck,
    is_halfway: &mut bool,
    store: &mut Store,
    ask: Ask<'_>,
) -> Planted {
    if *is_halfway {
        *is_halfway = false;
        return store.insert_if(true, ask).into();
    }
    *is_halfway = store.admits_insert(check, ask);
    if *is_halfway {
        return Planted::Halfway;
    }
    Answer::TombstoneRefused(store.tombstone.clone()).into()
}

/// The item is put first, then the tombstone looked at, and the item removed again if it should not be there.
fn insert_then_look(
    check: &TombstoneCheck,
    is_halfway: &mut bool,
    store: &mut Store,
    ask: Ask<'_>,
) -> Planted {
    if !*is_halfway {
        let answer = store.put_if(store.item.is_none(), ask);
        *is_halfway = answer == Answer::Applied;
        return if *is_halfway { Planted::Halfway } else { answer.into() };
    }
    *is_halfway = false;
    if store.sink().is_none_or(|sink| sink.stamp != ask.record.stamp) {
        return Answer::Refused(store.seen()).into();
    }
    if store.admits_insert(check, ask) {
        return Answer::Applied.into();
    }
    store.remove_if(true);
    Answer::TombstoneRefused(store.tombstone.clone()).into()
}

/// The put's own stamp is stored among the tombstones first, as a delete's is, and the item put in a second request.
fn claim_then_insert(
    check: &TombstoneCheck,
    is_halfway: &mut bool,
    store: &mut Store,
    ask: Ask<'_>,
) -> Planted {
    if *is_halfway {
        *is_halfway = false;
        return store.insert_if(true, ask).into();
    }
    let is_claimed = store.tombstone.as_ref() == Some(&ask.record.stamp);
    match store.bury_if(is_claimed || store.admits_insert(check, ask), ask) {
        Answer::Applied => {
            *is_halfway = true;
            Planted::Halfway
        }
        answer => answer.into(),
    }
}

/// A delete removes the item, then stores its tombstone; the removal that should follow is left out.
fn remove_first(is_halfway: &mut bool, store: &mut Store, ask: Ask<'_>) -> Planted {
    let is_older = store.sink().is_none_or(|sink| ask.is_older(&sink.stamp));
    match ask.request {
        Request::InsertTombstone if !*is_halfway => {
            *is_halfway = true;
            store.remove_if(is_older);
            Planted::Halfway
        }
        Request::RemoveIfOlder if is_older => Answer::Applied.into(),
        _ => Planted::Honest,
    }
}

/// A delete that meets its own tombstone leaves the item alone.
fn stop_at_equal(is_halfway: &mut bool, store: &mut Store, ask: Ask<'_>) -> Planted {
    match ask.request {
        Request::InsertTombstone | Request::ReplaceTombstoneIfOlder => {
            *is_halfway |= store.tombstone.as_ref() == Some(&ask.record.stamp);
            Planted::Honest
        }
        Request::RemoveIfOlder if *is_halfway => Answer::Applied.into(),
        _ => Planted::Honest,
    }
}

/// Finds these kinds of violation with the fault, and none without it. Two invocations that overlap are enough.
#[track_caller]
fn check(fault: Fault, log: Log, violations: &[Violation]) {
    let honest = World { looks: fault.is_of_looks(), ..World::looking(log) };
    assert_eq!(explore(&honest).violations, BTreeMap::new());

    let faulty = explore(&World { fault: Some(fault), ..honest });
    let found: Vec<Violation> = faulty.violations.keys().copied().collect();
    assert_eq!(found, violations, "{:#?}", faulty.violations);
}

/// Three records, of which the first and the last have the same offset in two partitions.
fn equal_versions(states: &str) -> Log {
    let place =
        |partition, offset, timestamp| Place { partition, offset, timestamp, ..Place::default() };
    Log::at(states, &[place(0, 1, 1), place(0, 2, 2), place(1, 1, 3)])
}

#[test]
fn each_planted_fault_is_found() {
    let keyed = Log::keyed;
    check(Fault::VersionDropped, keyed("aa"), &[WentBack, ChangedNothing]);
    check(Fault::VersionLessOrEqual, keyed("a"), &[ChangedNothing]);
    check(Fault::VersionLessOrEqual, keyed("-"), &[ChangedNothing]);
    check(Fault::LineageDroppedFromReplace, Log::moved(1, "aa"), &[WentBack]);
    check(Fault::LineageDroppedFromInsert, Log::moved(1, "a-"), &[WentBack]);
    check(Fault::LineageDroppedFromTombstone, Log::moved(2, "-a-"), &[WentBack]);
    check(Fault::LineageDroppedFromRemove, Log::moved(1, "-a"), &[WentBack]);
    check(Fault::ShapeDropped, keyed("ab"), &[LeftBehind]);
    check(Fault::CompareAndSetDropped, keyed("aba"), &[WentBack, ChangedNothing]);
    check(Fault::CompareAndSetOnExistence, keyed("aba"), &[WentBack, ChangedNothing]);
    check(Fault::CompareAndSetOnVersion, equal_versions("aba"), &[WentBack, ChangedNothing]);
    check(Fault::NoSinkAlsoWithoutItem, keyed("a-"), &[WentBack]);
    check(Fault::TombstoneCheckDropped, keyed("a-"), &[WentBack]);
    check(Fault::ExactTombstoneCheckDropped, Log::moved(1, "-a-"), &[WentBack]);
    check(Fault::LookBeforeInsert, keyed("a-"), &[WentBack]);
    check(Fault::LookAfterInsert, keyed("a-"), &[WentBack]);
    check(Fault::ClaimBeforeInsert, keyed("a-"), &[WentBack]);
    check(Fault::ItemRemovedBeforeTombstone, keyed("a-"), &[WentBack, Lost]);
    check(Fault::EqualTombstoneTakenAsDone, keyed("a-"), &[Lost]);
    check(Fault::UnconditionalTombstone, keyed("-a-"), &[WentBack, ChangedNothing]);
    let both = &[WentBack, ChangedNothing];
    check(Fault::TombstoneCompareAndSetDropped, Log::moved(1, "--a-"), both);
    check(Fault::UnconditionalDelete, keyed("-a"), &[WentBack]);
    check(Fault::DeleteCompareAndSetDropped, keyed("-a"), &[WentBack]);
    check(Fault::CoalescedAcrossLineages, Log::moved(1, "aa"), &[Lost]);
    check(Fault::EqualTombstoneShownDecides, keyed("a-"), &[Lost]);
    check(Fault::NoItemShownEndsDelete, keyed("a-"), &[WentBack, Lost]);
    check(Fault::OlderItemShownDecides, keyed("aa"), &[Lost, Untruthful]);
}

/// Fails in this way, which is a shortest one.
#[track_caller]
fn check_overtaken(fault: Fault, moves: &[&str]) {
    let world = World { invocations: 2, fault: Some(fault), ..World::new(Log::keyed("a-")) };
    assert_eq!(explore(&world).violations[&WentBack], moves);
}

/// Why a new key of a sink with deletes takes a transaction: what checks the tombstone in a request of its own can be
/// overtaken by a whole delete between its two requests. The late insert asks only that there is no item, and there is
/// none: the delete has left no item whose condition could stop it. What it left is a tombstone in another table, and
/// only a transaction puts an item on the condition of another.
#[test]
fn a_new_key_cannot_be_inserted_in_two_requests() {
    let begun = "record 0 asks Insert(AbsentOrOlder) by Single: done in part";
    let ended = "record 0 asks Insert(AbsentOrOlder) by Single: Applied";
    let buried = "record 1 asks InsertTombstone by Statement: Applied";
    let removed = "record 1 asks RemoveIfOlder by Statement: Applied";

    check_overtaken(Fault::LookBeforeInsert, &[begun, buried, removed, ended]);
    // Readers see the item until it is removed again.
    check_overtaken(Fault::LookAfterInsert, &[buried, removed, begun]);
    // The delete finds the claim and, being newer, replaces it.
    let exists = "record 1 asks InsertTombstone by Statement: Exists";
    let replaced = "record 1 asks ReplaceTombstoneIfOlder by Statement: Applied";
    check_overtaken(Fault::ClaimBeforeInsert, &[begun, exists, replaced, removed, ended]);
}
