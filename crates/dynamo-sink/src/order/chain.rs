//! The writes of one key in a batch: of those that supersede each other only the newest is sent.

use std::{
    collections::{HashMap, VecDeque},
    mem,
};

use super::{
    version::{Comparison, Order, Stamp, Verdict, compare},
    write::{Answer, Expected, Landed, Request, Step, Write},
};

/// A record that was mapped to a write.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Candidate {
    /// The record's index in the batch.
    pub record: usize,
    /// What the write writes.
    pub stamp: Stamp,
    /// Whether it is a delete.
    pub is_delete: bool,
}

/// What became of a record whose write was decided.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Fate {
    /// The write ended like this.
    Landed(Landed),
    /// A newer write of the batch took its place, and landed.
    Superseded,
    /// DynamoDB cannot store it: it belongs into the quarantine.
    Unwritable,
    /// It was not written, or what superseded it was not.
    Failed,
}

/// A record with its fate.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Decided {
    /// The record's index in the batch.
    pub record: usize,
    /// What became of it.
    pub fate: Fate,
    /// Whether its write met a state of another lineage.
    pub conflict: bool,
}

/// The writes of one key, of which one at a time is in flight.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Chain {
    order: Order,
    deletes: bool,
    /// The records that are still to be decided: a list for each group whose records supersede each other, newest
    /// first.
    groups: VecDeque<VecDeque<Candidate>>,
    write: Option<Write>,
}

impl Chain {
    /// Puts the writes of one key in the order in which they are sent.
    ///
    /// In a keyed sink only offsets of one lineage can be compared, so each lineage is a group of its own and the
    /// groups follow one another, by the timestamps of their newest records. A regression behind the newest record is
    /// not superseded by it, which would hide it: it is a group of its own too.
    pub fn new(order: Order, deletes: bool, candidates: Vec<Candidate>) -> Self {
        let mut chain = Self { order, deletes, groups: groups(order, candidates), write: None };
        chain.start_next();
        chain
    }

    /// Sets what the write in turn asks first, as long as nothing of it was asked; until then it expects an item.
    pub fn expect(&mut self, expected: Expected) {
        if let Some(write) = &mut self.write {
            write.expect(expected);
        }
    }

    /// The request to send now, and the record that it is for; none when every record is decided.
    pub fn request(&self) -> Option<(&Candidate, &Request)> {
        let candidate = self.groups.front()?.front()?;
        match self.write.as_ref()?.step() {
            Step::Ask(request) => Some((candidate, request)),
            Step::Done(_) | Step::Beaten => None,
        }
    }

    /// Takes the answer to [`Self::request`] and returns what it decided.
    pub fn answer(&mut self, answer: Answer) -> Vec<Decided> {
        let Some(write) = &mut self.write else { return Vec::new() };
        write.answer(answer);
        match *write.step() {
            Step::Ask(_) => Vec::new(),
            Step::Done(landed) => self.end_group(Fate::Landed(landed), Fate::Superseded),
            Step::Beaten => self.fail(),
        }
    }

    /// The write in flight cannot be stored, whatever is tried: the next older record takes its place.
    pub fn unwritable(&mut self) -> Option<Decided> {
        let conflict = self.write.as_ref().is_some_and(Write::conflict);
        let candidate = self.groups.front_mut()?.pop_front()?;
        // What a higher epoch superseded may be of several lineages, which don't supersede each other.
        let left = mem::take(&mut self.groups).into_iter().flatten().collect();
        self.groups = groups(self.order, left);
        self.start_next();
        Some(Decided { record: candidate.record, fate: Fate::Unwritable, conflict })
    }

    /// The write in flight failed, and with it what it superseded.
    pub fn fail(&mut self) -> Vec<Decided> {
        self.end_group(Fate::Failed, Fate::Failed)
    }

    fn end_group(&mut self, newest: Fate, superseded: Fate) -> Vec<Decided> {
        let conflict = self.write.as_ref().is_some_and(Write::conflict);
        let group = self.groups.pop_front().unwrap_or_default();
        self.start_next();
        let decide = |(position, candidate): (usize, Candidate)| match position {
            0 => Decided { record: candidate.record, fate: newest, conflict },
            _ => Decided { record: candidate.record, fate: superseded, conflict: false },
        };
        group.into_iter().enumerate().map(decide).collect()
    }

    fn start_next(&mut self) {
        while self.groups.front().is_some_and(VecDeque::is_empty) {
            self.groups.pop_front();
        }
        let newest = self.groups.front().and_then(VecDeque::front);
        self.write = newest.map(|candidate| {
            let stamp = candidate.stamp.clone();
            if candidate.is_delete {
                Write::delete(self.order, stamp)
            } else {
                Write::put(self.order, self.deletes, stamp)
            }
        });
    }
}

/// Those that supersede each other are a group.
fn groups(order: Order, mut candidates: Vec<Candidate>) -> VecDeque<VecDeque<Candidate>> {
    // Of records with one offset the first that came is the state, as if each had come in a batch of its own.
    candidates.sort_by(|a, b| b.stamp.version.cmp(&a.stamp.version).then(a.record.cmp(&b.record)));
    let mut groups: Vec<VecDeque<Candidate>> = Vec::new();
    for candidate in candidates {
        match groups.iter_mut().find(|group| is_superseded(order, group.front(), &candidate)) {
            Some(group) => group.push_back(candidate),
            None => groups.push(VecDeque::from([candidate])),
        }
    }
    groups.sort_by_key(|group| group.front().map(|newest| newest.stamp.timestamp));
    groups.into()
}

fn is_superseded(order: Order, newest: Option<&Candidate>, candidate: &Candidate) -> bool {
    let Some(newest) = newest else { return false };
    let Comparison { verdict, conflict } = compare(order, &newest.stamp, &candidate.stamp);
    // Timestamps that a producer set may fall within a partition: only an offset that is passed again regresses.
    let is_regression = verdict == Verdict::Regression && candidate.record > newest.record;
    !conflict && !is_regression
}

/// Groups a batch's writes by key, in the order in which the keys come.
pub fn chains(
    order: Order,
    deletes: bool,
    writes: impl IntoIterator<Item = (String, Candidate)>,
) -> Vec<(String, Chain)> {
    let writes = writes.into_iter();
    let (n_keys, _) = writes.size_hint();
    let mut positions: HashMap<String, usize> = HashMap::with_capacity(n_keys);
    let mut by_key: Vec<(String, Vec<Candidate>)> = Vec::with_capacity(n_keys);
    for (key, candidate) in writes {
        if let Some(&position) = positions.get(&key) {
            by_key[position].1.push(candidate);
        } else {
            positions.insert(key.clone(), by_key.len());
            by_key.push((key, vec![candidate]));
        }
    }
    let chain = |(key, candidates)| (key, Chain::new(order, deletes, candidates));
    by_key.into_iter().map(chain).collect()
}

#[cfg(test)]
mod tests {
    use kafka_event::Coordinates;

    use super::*;

    fn at(partition: i32, offset: i64) -> Coordinates<'static> {
        Coordinates { topic: "t".into(), partition, offset }
    }

    fn put(record: usize, partition: i32, offset: i64, timestamp: i64) -> Candidate {
        let stamp = Stamp::new(Order::Offset, 0, 0, at(partition, offset), timestamp);
        Candidate { record, stamp, is_delete: false }
    }

    /// Sends every write and answers it as `answer` says; returns the records in the order in which they were sent.
    fn run(
        chain: &mut Chain,
        mut answer: impl FnMut(usize) -> Option<Answer>,
    ) -> (Vec<usize>, Vec<(usize, Fate)>) {
        let (mut sent, mut decided) = (Vec::new(), Vec::new());
        while let Some((candidate, _)) = chain.request() {
            let record = candidate.record;
            sent.push(record);
            match answer(record) {
                Some(answer) => decided.extend(chain.answer(answer)),
                None => decided.extend(chain.unwritable()),
            }
        }
        decided.sort_by_key(|decided| decided.record);
        (sent, decided.into_iter().map(|decided| (decided.record, decided.fate)).collect())
    }

    const WRITTEN: Fate = Fate::Landed(Landed::Written);

    #[track_caller]
    fn check(
        order: Order,
        candidates: Vec<Candidate>,
        unwritable: &[usize],
        sent: &[usize],
        fates: &[Fate],
    ) {
        let mut chain = Chain::new(order, false, candidates);
        let answer = |record| (!unwritable.contains(&record)).then_some(Answer::Applied);
        let (was_sent, was_decided) = run(&mut chain, answer);
        assert_eq!(was_sent, sent);
        assert_eq!(was_decided, fates.iter().copied().enumerate().collect::<Vec<_>>());
    }

    #[test]
    fn only_the_newest_of_a_lineage_is_sent() {
        let superseded = Fate::Superseded;
        check(
            Order::Offset,
            vec![put(0, 0, 1, 1), put(1, 0, 2, 2)],
            &[],
            &[1],
            &[superseded, WRITTEN],
        );
        check(
            Order::Offset,
            vec![put(0, 0, 2, 2), put(1, 0, 1, 1)],
            &[],
            &[0],
            &[WRITTEN, superseded],
        );
        // A record that comes twice is written once.
        check(
            Order::Offset,
            vec![put(0, 0, 2, 2), put(1, 0, 2, 2)],
            &[],
            &[0],
            &[WRITTEN, superseded],
        );
        // An offset twice with another timestamp is no repetition: the second regresses.
        check(
            Order::Offset,
            vec![put(0, 0, 2, 2), put(1, 0, 2, 3)],
            &[],
            &[0, 1],
            &[WRITTEN, WRITTEN],
        );
        // Lineages of one key follow one another, also when they come interleaved.
        check(
            Order::Offset,
            vec![put(0, 1, 9, 5), put(1, 0, 3, 4), put(2, 1, 10, 6), put(3, 0, 4, 5)],
            &[],
            &[3, 2],
            &[superseded, superseded, WRITTEN, WRITTEN],
        );
        // An offset that comes again with a newer timestamp is sent after, so that the regression is seen.
        check(
            Order::Offset,
            vec![put(0, 0, 9, 5), put(1, 0, 3, 6)],
            &[],
            &[0, 1],
            &[WRITTEN, WRITTEN],
        );
        check(
            Order::Offset,
            vec![put(0, 0, 3, 6), put(1, 0, 9, 5)],
            &[],
            &[1],
            &[superseded, WRITTEN],
        );
        // By the source's clock all partitions are one order.
        let clocked = |record, time, partition| Candidate {
            record,
            stamp: Stamp::new(Order::SourceClock, 0, time, at(partition, 1), 1),
            is_delete: false,
        };
        check(
            Order::SourceClock,
            vec![clocked(0, 2, 0), clocked(1, 1, 1)],
            &[],
            &[0],
            &[WRITTEN, superseded],
        );
    }

    #[test]
    fn the_next_older_takes_the_place_of_an_unwritable_one() {
        let (superseded, unwritable) = (Fate::Superseded, Fate::Unwritable);
        let three = || vec![put(0, 0, 1, 1), put(1, 0, 2, 2), put(2, 0, 3, 3)];
        check(Order::Offset, three(), &[2], &[2, 1], &[superseded, WRITTEN, unwritable]);
        check(Order::Offset, three(), &[2, 1], &[2, 1, 0], &[WRITTEN, unwritable, unwritable]);
        check(
            Order::Offset,
            three(),
            &[0, 1, 2],
            &[2, 1, 0],
            &[unwritable, unwritable, unwritable],
        );
        check(
            Order::Offset,
            vec![put(0, 0, 1, 1), put(1, 1, 1, 2)],
            &[0],
            &[0, 1],
            &[unwritable, WRITTEN],
        );
    }

    #[test]
    fn lineages_that_a_higher_epoch_superseded_are_told_apart_without_it() {
        let in_epoch = |record, epoch, partition, offset, timestamp| {
            let stamp = Stamp::new(Order::Offset, epoch, 0, at(partition, offset), timestamp);
            Candidate { record, stamp, is_delete: false }
        };
        let candidates = vec![
            in_epoch(0, 0, 0, 8, 7),
            in_epoch(1, 0, 1, 3, 5),
            in_epoch(2, 0, 0, 9, 8),
            in_epoch(3, 1, 0, 1, 9),
        ];
        let superseded = Fate::Superseded;
        let fates = [superseded, superseded, superseded, WRITTEN];
        check(Order::Offset, candidates.clone(), &[], &[3], &fates);
        let fates = [superseded, WRITTEN, WRITTEN, Fate::Unwritable];
        check(Order::Offset, candidates, &[3], &[3, 1, 2], &fates);
    }

    #[test]
    fn what_was_superseded_shares_the_fate_of_a_failure() {
        let mut chain = Chain::new(
            Order::Offset,
            false,
            vec![put(0, 0, 1, 1), put(1, 0, 2, 2), put(2, 1, 7, 9)],
        );
        let fates = |decided: Vec<Decided>| {
            decided.into_iter().map(|it| (it.record, it.fate)).collect::<Vec<_>>()
        };
        assert_eq!(fates(chain.fail()), [(1, Fate::Failed), (0, Fate::Failed)]);
        assert_eq!(fates(chain.answer(Answer::Applied)), [(2, WRITTEN)]);
        assert_eq!(chain.request(), None);
    }
}
