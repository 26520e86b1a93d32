//! One write of one key as a pure state machine: answers in, requests out, no clock and no SDK.

use super::version::{Comparison, Order, Stamp, Verdict, compare};

/// How often one write may be beaten by others before it gives up and fails, to be retried with its batch.
const MAX_ROUNDS: u8 = 20;

/// What a key's item or tombstone held when a condition on it was false.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Seen {
    /// An item without `_sink`: an earlier writer put it there.
    Unstamped,
    /// An item with this stamp and shape in `_sink`.
    Stamped(Sink),
}

/// An item's `_sink` attribute.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Sink {
    /// Where the item's state stands in the order.
    pub stamp: Stamp,
    /// The fingerprint of the item's attribute names.
    pub shape: String,
}

/// What a write is expected to find. It decides which request goes first, and nothing else: a wrong guess costs a
/// request.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Expected {
    /// An older item, so that a put replaces it.
    Item,
    /// No item, so that a put inserts one.
    Nothing,
    /// The write's own state or a newer one, so that a look is cheaper than a refused condition.
    NothingToDo,
}

/// What to ask of DynamoDB next. The body of a put and its shape are the caller's, who knows them.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Request {
    /// Show the stamps of the item and, in a sink with deletes, of the tombstone, without saying how old they are.
    Look,
    /// Replace the item if it is older, in a keyed sink of the same lineage and, where only a statement is sent,
    /// of the same shape.
    ReplaceIfOlder,
    /// Put the item if there is none. In a sink with deletes this is one transaction, which also checks the tombstone.
    Insert(TombstoneCheck),
    /// Replace exactly the item that was seen.
    ReplaceSeen(Seen),
    /// Store the delete's tombstone if none stands.
    InsertTombstone,
    /// Replace the standing tombstone if it is older and of the same lineage.
    ReplaceTombstoneIfOlder,
    /// Replace exactly the tombstone that was seen.
    ReplaceTombstoneSeen(Stamp),
    /// Remove the item if it is older and of the same lineage; no item is a success.
    RemoveIfOlder,
    /// Remove exactly the item that was seen.
    RemoveSeen(Seen),
}

/// What an insert demands of the key's tombstone, in the same transaction.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum TombstoneCheck {
    /// The sink has no deletes.
    None,
    /// No tombstone stands, or an older one of the same lineage.
    AbsentOrOlder,
    /// Exactly this tombstone stands, which was found to be older.
    Exactly(Stamp),
}

/// DynamoDB's answer to a [`Request`]. Answers that were lost, throttles and the like are not for this machine: the
/// same request is sent again.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Answer {
    /// It was done.
    Applied,
    /// The condition on the item was false; it holds what was seen, or there is none.
    Refused(Option<Seen>),
    /// An insert found an item, or a tombstone, and does not say which.
    Exists,
    /// The condition on the tombstone was false; this one stands, or none.
    TombstoneRefused(Option<Stamp>),
    /// What a look showed; none if it did not come about.
    Looked(Option<Shown>),
}

/// What stood at some time.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Shown {
    /// The item, if there was one.
    pub item: Option<Seen>,
    /// The tombstone, if there was one.
    pub tombstone: Option<Stamp>,
}

/// How a write ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Landed {
    /// The item was put.
    Written,
    /// The item was removed, or there was none, under a new tombstone.
    Deleted,
    /// The record had been applied before, and nothing was done; or it was a delete whose tombstone stood already, and
    /// what a killed invocation had left of it was done, which DynamoDB's answer does not tell apart.
    Duplicate,
    /// Nothing was done: a newer state stands.
    Stale,
    /// Nothing was done: see [`Verdict::Regression`].
    Regression,
}

/// The progress of one write.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Step {
    /// Send this.
    Ask(Request),
    /// Nothing more to do.
    Done(Landed),
    /// Others won too often; the write is to be tried again later.
    Beaten,
}

/// The state machine of one write.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Write {
    order: Order,
    kind: Kind,
    stamp: Stamp,
    step: Step,
    rounds: u8,
    conflict: bool,
    /// An equal tombstone stood already: the delete was begun before, maybe not ended.
    tombstone_stood: bool,
}

/// What a write writes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
enum Kind {
    Put,
    /// In a sink with deletes: an insert checks the tombstone.
    CheckedPut,
    Delete,
}

impl Kind {
    /// What a write asks first where nothing is known.
    fn usual_first(self) -> Request {
        match self {
            Self::Put | Self::CheckedPut => Request::ReplaceIfOlder,
            Self::Delete => Request::InsertTombstone,
        }
    }

    /// The first insert of a put.
    fn insert(self) -> Request {
        Request::Insert(match self {
            Self::Put => TombstoneCheck::None,
            Self::CheckedPut | Self::Delete => TombstoneCheck::AbsentOrOlder,
        })
    }
}

impl Write {
    /// A put, in a sink that has deletes or not.
    pub fn put(order: Order, deletes: bool, stamp: Stamp) -> Self {
        Self::start(order, if deletes { Kind::CheckedPut } else { Kind::Put }, stamp)
    }

    /// A delete.
    pub fn delete(order: Order, stamp: Stamp) -> Self {
        Self::start(order, Kind::Delete, stamp)
    }

    fn start(order: Order, kind: Kind, stamp: Stamp) -> Self {
        Self {
            order,
            kind,
            stamp,
            step: Step::Ask(kind.usual_first()),
            rounds: 0,
            conflict: false,
            tombstone_stood: false,
        }
    }

    /// Sets what the write asks first, as long as nothing of it was asked.
    pub fn expect(&mut self, expected: Expected) {
        if self.rounds > 0 {
            return;
        }
        if let Step::Ask(first) = &mut self.step {
            *first = match (expected, self.kind) {
                (Expected::NothingToDo, _) => Request::Look,
                (Expected::Nothing, Kind::Put | Kind::CheckedPut) => self.kind.insert(),
                (Expected::Item | Expected::Nothing, kind) => kind.usual_first(),
            };
        }
    }

    /// What the write writes.
    pub fn stamp(&self) -> &Stamp {
        &self.stamp
    }

    /// Where the write stands.
    pub fn step(&self) -> &Step {
        &self.step
    }

    /// Whether a state of another lineage of a keyed sink was met.
    pub fn conflict(&self) -> bool {
        self.conflict
    }

    /// Takes the answer to the request that [`Self::step`] asks; an answer when nothing was asked changes nothing.
    pub fn answer(&mut self, answer: Answer) {
        let Step::Ask(request) = &self.step else { return };
        let is_last_round = self.rounds == MAX_ROUNDS;
        let next = match (request, answer) {
            (Request::Look, answer) => self.after_look(answer),
            (Request::ReplaceIfOlder | Request::Insert(_) | Request::ReplaceSeen(_), answer) => {
                self.after_put(answer)
            }
            (Request::RemoveIfOlder | Request::RemoveSeen(_), answer) => self.after_remove(answer),
            (
                Request::InsertTombstone
                | Request::ReplaceTombstoneIfOlder
                | Request::ReplaceTombstoneSeen(_),
                answer,
            ) => self.after_tombstone(answer),
        };
        self.rounds += 1;
        self.step = match next {
            Step::Ask(_) if is_last_round => Step::Beaten,
            next => next,
        };
    }

    /// States only move forward, so what stood at some time stands or something newer does: that may make the write
    /// needless, and says nothing else. Which request goes next is a guess again.
    fn after_look(&self, answer: Answer) -> Step {
        let Answer::Looked(Some(Shown { item, tombstone })) = answer else {
            return Step::Ask(self.kind.usual_first());
        };
        let needless = match (&item, &tombstone) {
            // A delete meets the tombstone first, and what would be counted there has to be told from what stands now.
            (_, Some(tombstone)) if self.is_counted_after(tombstone) => None,
            (Some(Seen::Stamped(sink)), _) => self.needless_after(&sink.stamp),
            // The delete of an equal tombstone may have been killed before it removed the item.
            (None, Some(tombstone)) => {
                self.needless_after(tombstone).filter(|landed| *landed == Landed::Stale)
            }
            (Some(Seen::Unstamped), _) | (None, None) => None,
        };
        if let Some(landed) = needless {
            return Step::Done(landed);
        }
        Step::Ask(match self.kind {
            Kind::Delete if tombstone.is_some() => Request::ReplaceTombstoneIfOlder,
            Kind::Put | Kind::CheckedPut if item.is_none() => self.kind.insert(),
            kind => kind.usual_first(),
        })
    }

    /// How the write ends if this stands or something newer. Where lineages meet, or an offset was passed, "newer" has
    /// to be told from what stands now.
    fn needless_after(&self, shown: &Stamp) -> Option<Landed> {
        match compare(self.order, shown, &self.stamp) {
            Comparison { verdict: Verdict::Duplicate, conflict: false } => Some(Landed::Duplicate),
            Comparison { verdict: Verdict::Stale, conflict: false } => Some(Landed::Stale),
            _ => None,
        }
    }

    fn is_counted_after(&self, shown: &Stamp) -> bool {
        let Comparison { verdict, conflict } = compare(self.order, shown, &self.stamp);
        conflict || verdict == Verdict::Regression
    }

    fn after_put(&mut self, answer: Answer) -> Step {
        match answer {
            Answer::Applied => Step::Done(Landed::Written),
            Answer::Refused(None) => Step::Ask(self.kind.insert()),
            // The statement is the cheapest way to learn what stands there.
            Answer::Exists | Answer::Looked(_) => Step::Ask(Request::ReplaceIfOlder),
            Answer::Refused(Some(seen)) => self.judge_item(seen, Request::ReplaceSeen),
            Answer::TombstoneRefused(None) => {
                Step::Ask(Request::Insert(TombstoneCheck::AbsentOrOlder))
            }
            Answer::TombstoneRefused(Some(tombstone)) => {
                let verdict = self.verdict(&tombstone);
                next_step(verdict, || Request::Insert(TombstoneCheck::Exactly(tombstone)))
            }
        }
    }

    fn after_tombstone(&mut self, answer: Answer) -> Step {
        match answer {
            Answer::Applied => Step::Ask(Request::RemoveIfOlder),
            Answer::Exists => Step::Ask(Request::ReplaceTombstoneIfOlder),
            // Its time to live ended in between.
            Answer::Refused(_) | Answer::TombstoneRefused(None) | Answer::Looked(_) => {
                Step::Ask(Request::InsertTombstone)
            }
            Answer::TombstoneRefused(Some(tombstone)) => {
                let verdict = self.verdict(&tombstone);
                if verdict == Verdict::Duplicate {
                    // An invocation that was killed after the tombstone left the item: go on.
                    self.tombstone_stood = true;
                    return Step::Ask(Request::RemoveIfOlder);
                }
                next_step(verdict, || Request::ReplaceTombstoneSeen(tombstone))
            }
        }
    }

    fn after_remove(&mut self, answer: Answer) -> Step {
        match answer {
            Answer::Applied
            | Answer::Refused(None)
            | Answer::Exists
            | Answer::TombstoneRefused(_) => {
                Step::Done(if self.tombstone_stood { Landed::Duplicate } else { Landed::Deleted })
            }
            Answer::Refused(Some(seen)) => self.judge_item(seen, Request::RemoveSeen),
            Answer::Looked(_) => Step::Ask(Request::RemoveIfOlder),
        }
    }

    fn judge_item(&mut self, seen: Seen, compare_and_set: fn(Seen) -> Request) -> Step {
        let verdict = match &seen {
            Seen::Unstamped => Verdict::Next,
            Seen::Stamped(sink) => self.verdict(&sink.stamp),
        };
        next_step(verdict, || compare_and_set(seen))
    }

    fn verdict(&mut self, stored: &Stamp) -> Verdict {
        let Comparison { verdict, conflict } = compare(self.order, stored, &self.stamp);
        self.conflict |= conflict;
        verdict
    }
}

fn next_step(verdict: Verdict, compare_and_set: impl FnOnce() -> Request) -> Step {
    match verdict {
        Verdict::Next => Step::Ask(compare_and_set()),
        Verdict::Duplicate => Step::Done(Landed::Duplicate),
        Verdict::Stale => Step::Done(Landed::Stale),
        Verdict::Regression => Step::Done(Landed::Regression),
    }
}
