//! The real state machine against the table, one request at a time: each step is taken once and remembered.

use std::{
    collections::{BTreeMap, HashMap, HashSet},
    hash::Hash,
    rc::Rc,
};

use dynamo_sink::{
    chain::{Candidate, Chain, Decided, Fate},
    write::{Answer, Expected, Landed, Request, Seen, Shown},
};

use super::{
    faults::{Fault, Planted},
    model::{Ask, Log, Record, Store, Transport},
};

/// What is explored.
#[derive(Clone, Debug)]
pub(super) struct World {
    pub(super) log: Log,
    /// How many invocations overlap at most. How many follow one another is not bounded.
    pub(super) invocations: usize,
    /// Whether states are told apart by the records that were delivered, to look at the table when all were.
    pub(super) counts_deliveries: bool,
    /// Whether invocations may look first, and states are told apart by what looks can show.
    pub(super) looks: bool,
    pub(super) fault: Option<Fault>,
    pub(super) turn: Option<Turn>,
}

/// Something outside of the promise that happens once.
#[derive(Clone, Copy, Debug)]
pub(super) struct Turn {
    /// Whether it happens only while no invocation runs.
    pub(super) is_drained: bool,
    /// Whether it is the end of the tombstone's time to live.
    pub(super) expires_tombstone: bool,
    /// Whether a record, given by its index in the log, is delivered before the turn or, with `true`, after it.
    pub(super) admits: fn(bool, usize) -> bool,
}

/// What must never be.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Violation {
    /// Readers see an older state than before, or an absence that no delete explains.
    WentBack,
    /// A write changed nothing.
    ChangedNothing,
    /// The item's attributes are not those of its record.
    LeftBehind,
    /// A record counts as delivered, but an older state stands and no newer delete is on its way.
    Lost,
    /// The same, but it was reported as a regression.
    Regressed,
    /// A record's fate is not what happened.
    Untruthful,
    /// A write was beaten too often.
    GaveUp,
}

/// A number for what the table holds.
pub(super) type StoreId = u16;
/// A number for an invocation's progress.
pub(super) type SlotId = u16;

/// The limits that the search's packed states set.
const MAX_RECORDS: usize = 8;
const MAX_STORES: StoreId = 1 << 10;
const MAX_SLOTS: SlotId = 1 << 14;

/// No invocation.
pub(super) const IDLE: SlotId = 0;

/// Something that an invocation can do next, and what it means for readers.
#[derive(Clone, Debug)]
pub(super) struct Move {
    /// The invocation afterwards.
    pub(super) slot: SlotId,
    /// The table afterwards.
    pub(super) store: StoreId,
    /// The rank of the state that readers see from here on; 0 if they see no change.
    pub(super) shown: u16,
    /// A bit for each record that counts as delivered from here on.
    pub(super) delivered: u16,
    /// The highest rank that readers must have reached with this; 0 for none.
    pub(super) reached: u16,
    /// What it is if they have not.
    pub(super) loss: Violation,
    /// What is wrong with it whatever was seen before.
    pub(super) violation: Option<Violation>,
    pub(super) label: String,
}

impl Move {
    /// The invocation is over and leaves the table as it is.
    fn idle(store: StoreId, label: String) -> Self {
        Self {
            slot: IDLE,
            store,
            shown: 0,
            delivered: 0,
            reached: 0,
            loss: Violation::Lost,
            violation: None,
            label,
        }
    }

    /// All but the label.
    fn effect(&self) -> impl PartialEq {
        let reached = (self.delivered, self.reached, self.loss);
        (self.slot, self.store, self.shown, reached, self.violation)
    }
}

/// All steps that were taken so far.
#[derive(Debug)]
pub(super) struct Machine<'a> {
    world: &'a World,
    stores: Interned<Store>,
    slots: Interned<Option<Slot>>,
    /// What can be delivered before the turn, and after it.
    starts: [Vec<Slot>; 2],
    /// By slot, then by store: a hash map here would take most of the search's time.
    moves: Vec<Vec<Option<Rc<[Move]>>>>,
    /// The fates that records met.
    pub(super) fates: HashSet<Fate>,
}

/// An invocation on its way.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
struct Slot {
    chain: Chain,
    /// Whether a planted fault has done the first part of what it does.
    is_halfway: bool,
    /// Whether the write in flight met a state of another lineage.
    met_conflict: bool,
}

impl Slot {
    fn new(chain: Chain) -> Self {
        Self { chain, is_halfway: false, met_conflict: false }
    }
}

impl<'a> Machine<'a> {
    pub(super) fn new(world: &'a World) -> Self {
        assert!(world.log.records.len() <= MAX_RECORDS);
        let mut slots = Interned::new(MAX_SLOTS);
        assert_eq!(slots.id(None), IDLE);
        Self {
            world,
            stores: Interned::new(MAX_STORES),
            slots,
            starts: [false, true].map(|is_turned| starts(world, is_turned)),
            moves: Vec::new(),
            fates: HashSet::new(),
        }
    }

    pub(super) fn store_id(&mut self, mut store: Store) -> StoreId {
        if self.world.looks {
            self.world.log.note(&mut store);
        }
        self.stores.id(store)
    }

    pub(super) fn is_absent(&self, store: StoreId) -> bool {
        self.stores.value(store).item.is_none()
    }

    /// Whether the item is that of the newest record that can be written, or absent if that one is a delete.
    pub(super) fn is_last_state(&self, store: StoreId) -> bool {
        let writable = self.world.log.records.iter().filter(|record| !record.is_unwritable);
        let last = writable.max_by_key(|record| record.rank);
        let expected = last.and_then(|record| record.attributes.as_ref());
        self.stores.value(store).item.as_ref().map(|item| &item.attributes) == expected
    }

    /// The table after the turn, if that is still to come and can come now.
    pub(super) fn turned(&mut self, store: StoreId, is_drained: bool) -> Option<StoreId> {
        let turn = self.world.turn.filter(|turn| is_drained || !turn.is_drained)?;
        let mut store = self.stores.value(store).clone();
        if store.is_turned {
            return None;
        }
        store.is_turned = true;
        if turn.expires_tombstone {
            store.tombstone = None;
        }
        Some(self.store_id(store))
    }

    /// All that an invocation can do next; an idle one stands for those that are delivered next.
    pub(super) fn moves(&mut self, slot: SlotId, store: StoreId) -> Rc<[Move]> {
        let (slot_place, store_place) = (usize::from(slot), usize::from(store));
        let known = self.moves.get(slot_place).and_then(|of_slot| of_slot.get(store_place));
        if let Some(Some(known)) = known {
            return Rc::clone(known);
        }
        let mut moves: Vec<Move> = Vec::new();
        if let Some(running) = self.slots.value(slot).clone() {
            moves.push(Move::idle(store, "the invocation is killed".to_owned()));
            self.step(&running, store, &mut moves);
        } else {
            // A delivery and its first request are one move, since nothing that lies between touches the table.
            let is_turned = self.stores.value(store).is_turned;
            for start in self.starts[usize::from(is_turned)].clone() {
                self.step(&start, store, &mut moves);
            }
        }
        let moves: Rc<[Move]> = moves.into();
        self.moves.resize_with(self.moves.len().max(slot_place + 1), Vec::new);
        let of_slot = &mut self.moves[slot_place];
        of_slot.resize(of_slot.len().max(store_place + 1), None);
        of_slot[store_place] = Some(Rc::clone(&moves));
        moves
    }

    /// Appends what can become of the next request: either transport does it, and the answer arrives or is lost.
    fn step(&mut self, slot: &Slot, store: StoreId, moves: &mut Vec<Move>) {
        let Some((_, request)) = slot.chain.request() else { return };
        let mut nexts = Vec::new();
        if *request == Request::Look {
            let looks = self.world.log.looks(self.stores.value(store).stood);
            nexts.extend(looks.into_iter().filter_map(|answer| self.look(slot, store, answer)));
        } else {
            for &transport in Transport::of(request) {
                for is_answered in [true, false] {
                    nexts.extend(self.request(slot, store, transport, is_answered));
                }
            }
        }
        for next in nexts {
            if !moves.iter().any(|known| known.effect() == next.effect()) {
                moves.push(next);
            }
        }
    }

    /// A look is answered. If the answer is lost, it is as if nobody had looked yet.
    fn look(&mut self, slot: &Slot, store: StoreId, answer: Answer) -> Option<Move> {
        let (candidate, _) = slot.chain.request()?;
        let record = &self.world.log.records[candidate.record];
        let mut next = Move::idle(store, format!("record {} looks: {answer:?}", candidate.record));
        let met = met(&self.world.log, record, &answer);
        let answer = match self.world.fault {
            Some(fault) => fault.spoil_look(answer, record),
            None => answer,
        };
        self.take(&mut next, slot.clone(), &met, Some(answer));
        Some(next)
    }

    fn request(
        &mut self,
        slot: &Slot,
        store_id: StoreId,
        transport: Transport,
        is_answered: bool,
    ) -> Option<Move> {
        let log = &self.world.log;
        let (candidate, request) = slot.chain.request()?;
        let record = &log.records[candidate.record];
        let before = self.stores.value(store_id);
        let (mut after, mut store) = (slot.clone(), before.clone());

        let ask = Ask { order: log.order, request, record, transport };
        let planted = match self.world.fault {
            _ if record.is_unwritable && is_put(request) => Planted::Answered(None),
            Some(fault) => fault.spoil(&mut after.is_halfway, &mut store, ask),
            None => Planted::Honest,
        };
        let answer = match planted {
            Planted::Honest => Some(store.take(ask)),
            Planted::Answered(answer) => answer,
            Planted::Halfway => None,
        };
        let is_halfway = after.is_halfway && !slot.is_halfway && answer.is_none();

        // A removal of what is not there is none: DynamoDB's streams say nothing of it.
        let is_write = !matches!(request, Request::RemoveIfOlder | Request::RemoveSeen(_));
        let is_whole_write = is_write && !slot.is_halfway;
        let violation = if is_whole_write && answer == Some(Answer::Applied) && *before == store {
            Some(Violation::ChangedNothing)
        } else {
            (!is_whole(log, &store)).then_some(Violation::LeftBehind)
        };
        // A put that takes itself back, as by a planted fault, does it for the tombstone's delete.
        let is_taken_back = record.attributes.is_some() && store.item.is_none();
        let delete = store.tombstone.as_ref().filter(|_| is_taken_back).and_then(|it| log.find(it));
        let shown = if before.item == store.item { 0 } else { delete.unwrap_or(record).rank };
        let label = format!("record {} asks {request:?} by {transport:?}", candidate.record);
        let mut next = Move { shown, violation, ..Move::idle(self.store_id(store), label) };

        if !is_answered {
            // The same is asked again. What was refused and not heard of is as if it had not been asked.
            next.slot = self.slots.id(Some(slot.clone()));
            next.label += ": done, but the answer is lost";
            return (next.store != store_id).then_some(next);
        }
        if is_halfway {
            next.slot = self.slots.id(Some(after));
            next.label += ": done in part";
            return Some(next);
        }
        let answered = answer.as_ref().map(|answer| format!("{answer:?}"));
        next.label += ": ";
        next.label += answered.as_deref().unwrap_or("the item cannot be stored");
        let met = answer.iter().flat_map(|answer| met(log, record, answer)).collect::<Vec<_>>();
        self.take(&mut next, after, &met, answer);
        Some(next)
    }

    /// Adds to a move what its answer means for the invocation; none: the record cannot be stored.
    fn take(&mut self, next: &mut Move, mut after: Slot, met: &[&Record], answer: Option<Answer>) {
        let log = &self.world.log;
        let Some((candidate, _)) = after.chain.request() else { return };
        let record = &log.records[candidate.record];
        let met_conflict = after.met_conflict || met.iter().any(|it| log.conflicts(it, record));
        let decided = match answer {
            Some(answer) => after.chain.answer(answer),
            None => after.chain.unwritable().into_iter().collect(),
        };
        after.met_conflict = met_conflict && decided.is_empty();
        if after.chain.request().is_some() {
            next.slot = self.slots.id(Some(after));
        }
        for decided in &decided {
            self.fates.insert(decided.fate);
            judge(next, log, self.stores.value(next.store), met, met_conflict, decided);
        }
    }
}

/// What can be delivered, with whatever the invocation expects of the key, rightly or not.
fn starts(world: &World, is_turned: bool) -> Vec<Slot> {
    let looks = world.looks.then_some(Expected::NothingToDo);
    let expectations = [Expected::Item, Expected::Nothing].into_iter().chain(looks);
    let mut starts: Vec<Slot> = Vec::new();
    for batch in batches(world, is_turned) {
        for expected in expectations.clone() {
            let mut chain = chain(world, &batch);
            chain.expect(expected);
            let start = Slot::new(chain);
            if !starts.contains(&start) {
                starts.push(start);
            }
        }
    }
    starts
}

/// The batches that can be delivered: each has one contiguous slice of each partition's log.
pub(super) fn batches(world: &World, is_turned: bool) -> Vec<Vec<usize>> {
    let log = &world.log;
    let admits = |record: &usize| world.turn.is_none_or(|turn| (turn.admits)(is_turned, *record));
    let mut partitions: BTreeMap<i32, Vec<usize>> = BTreeMap::new();
    for record in (0..log.records.len()).filter(admits) {
        partitions.entry(log.records[record].stamp.partition).or_default().push(record);
    }
    let mut batches: Vec<Vec<usize>> = vec![Vec::new()];
    for records in partitions.values() {
        let slices = contiguous(records);
        let with_slice = |batch: &Vec<usize>| -> Vec<Vec<usize>> {
            slices.iter().map(|slice| [batch.as_slice(), slice].concat()).collect()
        };
        batches = batches.iter().flat_map(with_slice).collect();
    }
    batches.retain(|batch| !batch.is_empty());
    batches
}

/// All contiguous slices, the empty one once.
fn contiguous(records: &[usize]) -> Vec<Vec<usize>> {
    let from =
        |start: usize| (start + 1..=records.len()).map(move |end| records[start..end].to_vec());
    std::iter::once(Vec::new()).chain((0..records.len()).flat_map(from)).collect()
}

pub(super) fn chain(world: &World, batch: &[usize]) -> Chain {
    let log = &world.log;
    let candidate = |&record: &usize| Candidate {
        record,
        stamp: log.records[record].stamp.clone(),
        is_delete: log.records[record].attributes.is_none(),
    };
    let mut candidates: Vec<Candidate> = batch.iter().map(candidate).collect();
    if let Some(fault) = world.fault {
        fault.spoil_batch(&mut candidates);
    }
    Chain::new(log.order, log.deletes, candidates)
}

fn is_put(request: &Request) -> bool {
    matches!(request, Request::ReplaceIfOlder | Request::Insert(_) | Request::ReplaceSeen(_))
}

/// Whether the item is exactly what its record says.
fn is_whole(log: &Log, store: &Store) -> bool {
    let Some(item) = &store.item else { return true };
    let Some(sink) = &item.sink else { return store.item == Store::unstamped().item };
    log.find(&sink.stamp).is_some_and(|record| {
        record.attributes.as_ref() == Some(&item.attributes) && record.shape() == sink.shape
    })
}

/// The rank that readers must have reached when a record counts as delivered.
///
/// A newer tombstone that stands excuses an older item: its delete is on its way, and is delivered again until it is
/// done.
fn reached(log: &Log, store: &Store, record: &Record) -> u16 {
    let tombstone = store.tombstone.as_ref().and_then(|stamp| log.find(stamp));
    let is_excused = tombstone.is_some_and(|tombstone| tombstone.rank > record.rank);
    if is_excused { 0 } else { record.rank }
}

/// The records whose states an answer brings. Of what a look shows, another lineage and a regression say nothing.
fn met<'a>(log: &'a Log, record: &Record, answer: &Answer) -> Vec<&'a Record> {
    match answer {
        Answer::Refused(Some(Seen::Stamped(sink))) => log.find(&sink.stamp).into_iter().collect(),
        Answer::TombstoneRefused(Some(tombstone)) => log.find(tombstone).into_iter().collect(),
        Answer::Looked(Some(Shown { item, tombstone })) => {
            let item = match item {
                Some(Seen::Stamped(sink)) => Some(&sink.stamp),
                Some(Seen::Unstamped) | None => None,
            };
            let shown = item.into_iter().chain(tombstone).filter_map(|stamp| log.find(stamp));
            let says_nothing = |it: &Record| log.conflicts(it, record) || log.regresses(it, record);
            shown.filter(|it| !says_nothing(it)).collect()
        }
        _ => Vec::new(),
    }
}

/// Adds to a move what it decides of a record: what that promises of the table, and whether it is true.
fn judge(
    next: &mut Move,
    log: &Log,
    store: &Store,
    met: &[&Record],
    met_conflict: bool,
    decided: &Decided,
) {
    if matches!(decided.fate, Fate::Landed(_) | Fate::Superseded) {
        next.delivered |= 1 << decided.record;
        next.reached = next.reached.max(reached(log, store, &log.records[decided.record]));
    }
    if decided.fate == Fate::Landed(Landed::Regression) {
        next.loss = Violation::Regressed;
    }
    // What was superseded has met nothing.
    let must_conflict = met_conflict && decided.fate != Fate::Superseded;
    let violation = if decided.fate == Fate::Failed {
        Some(Violation::GaveUp)
    } else if is_true(log, store, met, decided) && decided.conflict == must_conflict {
        None
    } else {
        Some(Violation::Untruthful)
    };
    next.violation = next.violation.or(violation);
}

/// Whether a fate is what happened, in view of the table and of what the last answer brought.
fn is_true(log: &Log, store: &Store, met: &[&Record], decided: &Decided) -> bool {
    let record = &log.records[decided.record];
    let is_delete = record.attributes.is_none();
    match decided.fate {
        Fate::Landed(Landed::Written) => {
            store.sink().is_some_and(|sink| sink.stamp == record.stamp)
        }
        Fate::Landed(Landed::Deleted) => store.item.is_none(),
        Fate::Landed(Landed::Duplicate) if is_delete => store.item.is_none(),
        Fate::Landed(Landed::Duplicate) => met.iter().any(|it| it.stamp == record.stamp),
        Fate::Landed(Landed::Stale) => {
            met.iter().any(|it| it.rank > record.rank && !log.regresses(it, record))
        }
        Fate::Landed(Landed::Regression) => met.iter().any(|it| log.regresses(it, record)),
        Fate::Unwritable => record.is_unwritable,
        // What superseded it is judged itself, and newer.
        Fate::Superseded | Fate::Failed => true,
    }
}

/// Gives each distinct value a number, in the order in which they come.
#[derive(Debug)]
struct Interned<T> {
    limit: u16,
    ids: HashMap<T, u16>,
    values: Vec<T>,
}

impl<T: Clone + Eq + Hash> Interned<T> {
    fn new(limit: u16) -> Self {
        Self { limit, ids: HashMap::new(), values: Vec::new() }
    }

    fn id(&mut self, value: T) -> u16 {
        if let Some(&known) = self.ids.get(&value) {
            return known;
        }
        let id = u16::try_from(self.values.len()).unwrap_or(u16::MAX);
        assert!(id < self.limit, "there are more distinct values than numbers");
        self.values.push(value.clone());
        self.ids.insert(value, id);
        id
    }

    fn value(&self, id: u16) -> &T {
        &self.values[usize::from(id)]
    }
}
