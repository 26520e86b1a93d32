//! One key's item and tombstone as DynamoDB holds them, and the log of the records that write it.

use std::{collections::BTreeSet, iter};

use dynamo_sink::{
    version::{Order, Stamp},
    write::{Answer, Request, Seen, Shown, Sink, TombstoneCheck},
};
use kafka_event::Coordinates;

/// The records of one key.
#[derive(Clone, Debug)]
pub(super) struct Log {
    pub(super) order: Order,
    pub(super) deletes: bool,
    /// Each partition's records stand here in the order in which they were produced.
    pub(super) records: Vec<Record>,
}

/// A record with the state that it makes of the key.
#[derive(Clone, Debug)]
pub(super) struct Record {
    pub(super) stamp: Stamp,
    /// The names of the item's attributes; none for a delete.
    pub(super) attributes: Option<Attributes>,
    /// Where the state stands in the true order of all states, from 1. It is given, not computed by the code under
    /// test.
    pub(super) rank: u16,
    /// Whether DynamoDB refuses to store the item.
    pub(super) is_unwritable: bool,
}

/// Attribute names of one letter each.
pub(super) type Attributes = BTreeSet<char>;

/// Where a record stands in Kafka.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Place {
    pub(super) epoch: u64,
    pub(super) source_time: i64,
    pub(super) partition: i32,
    pub(super) offset: i64,
    pub(super) timestamp: i64,
}

impl Log {
    /// A keyed log in one partition. Each letter of `states` is a put with that one attribute, each `-` a delete.
    pub(super) fn keyed(states: &str) -> Self {
        let place = |time: i64| Place { offset: time, timestamp: 10 * time, ..Place::default() };
        let places: Vec<Place> = (1..).take(states.len()).map(place).collect();
        Self::at(states, &places)
    }

    /// A keyed log that moves to a partition with lower offsets after so many records; timestamps never fall.
    pub(super) fn moved(before: i64, states: &str) -> Self {
        let place = |time: i64| {
            let (partition, offset) =
                if time <= before { (0, 10 + time) } else { (1, time - before) };
            Place { partition, offset, timestamp: 10 * time, ..Place::default() }
        };
        let places: Vec<Place> = (1..).take(states.len()).map(place).collect();
        Self::at(states, &places)
    }

    /// A keyed log with its records at these places, listed in their true order.
    pub(super) fn at(states: &str, places: &[Place]) -> Self {
        Self::new(Order::Offset, true, states, places)
    }

    /// A log whose true order is that of the source's clock, then of Kafka's timestamp, partition and offset.
    pub(super) fn clocked(states: &str, places: &[Place]) -> Self {
        let mut log = Self::new(Order::SourceClock, false, states, places);
        let clock =
            |place: &Place| (place.source_time, place.timestamp, place.partition, place.offset);
        for (record, place) in log.records.iter_mut().zip(places) {
            let rank = places.iter().filter(|other| clock(other) <= clock(place)).count();
            record.rank = small(rank);
        }
        log
    }

    fn new(order: Order, deletes: bool, states: &str, places: &[Place]) -> Self {
        assert_eq!(states.len(), places.len());
        let coordinates = |place: &Place| Coordinates {
            topic: "topic".into(),
            partition: place.partition,
            offset: place.offset,
        };
        let record = |(index, (state, place)): (usize, (char, &Place))| Record {
            stamp: Stamp::new(
                order,
                place.epoch,
                place.source_time,
                coordinates(place),
                place.timestamp,
            ),
            attributes: (state != '-').then(|| BTreeSet::from([state])),
            rank: small(index + 1),
            is_unwritable: false,
        };
        Self {
            order,
            deletes,
            records: states.chars().zip(places).enumerate().map(record).collect(),
        }
    }

    /// The record that has this stamp, if any has.
    pub(super) fn find(&self, stamp: &Stamp) -> Option<&Record> {
        self.records.iter().find(|record| record.stamp == *stamp)
    }

    /// Adds the present states of the item and the tombstone to those that stood.
    pub(super) fn note(&self, store: &mut Store) {
        let bit = |stamp: &Stamp| {
            let index = self.records.iter().position(|record| record.stamp == *stamp);
            index.map_or(0, |index| 2 << index)
        };
        let item =
            store.item.as_ref().map_or(0, |item| item.sink.as_ref().map_or(1, |it| bit(&it.stamp)));
        store.stood.items |= item;
        store.stood.tombstones |= store.tombstone.as_ref().map_or(0, bit);
    }

    /// All that a look can be answered: any item that stood with any tombstone that stood, each or neither absent, and
    /// nothing at all.
    pub(super) fn looks(&self, stood: Stood) -> Vec<Answer> {
        let records = |bits: u16| {
            let records = self.records.iter().enumerate();
            records.filter(move |(index, _)| bits & 2 << index != 0).map(|(_, record)| record)
        };
        let unstamped = (stood.items & 1 != 0).then_some(Seen::Unstamped);
        let stamped = records(stood.items)
            .map(|it| Seen::Stamped(Sink { stamp: it.stamp.clone(), shape: it.shape() }));
        let items: Vec<Option<Seen>> =
            iter::once(None).chain(unstamped.into_iter().chain(stamped).map(Some)).collect();
        let tombstones = records(stood.tombstones).map(|it| Some(it.stamp.clone()));
        let shown = iter::once(None).chain(tombstones).flat_map(|tombstone| {
            let with = move |item: &Option<Seen>| Shown {
                item: item.clone(),
                tombstone: tombstone.clone(),
            };
            items.iter().map(with)
        });
        iter::once(None).chain(shown.map(Some)).map(Answer::Looked).collect()
    }

    /// The rank of the oldest delete that is no older than this rank.
    pub(super) fn delete_from(&self, rank: u16) -> Option<u16> {
        let deletes = self.records.iter().filter(|record| record.attributes.is_none());
        deletes.map(|record| record.rank).filter(|&delete| delete >= rank).min()
    }

    /// Whether these bits, one for each record, say that all records were delivered that can be written.
    pub(super) fn is_all(&self, delivered: u16) -> bool {
        let mut records = self.records.iter().enumerate();
        records.all(|(index, record)| record.is_unwritable || delivered & 1 << index != 0)
    }

    /// What makes a regression, read from the records themselves.
    pub(super) fn regresses(&self, stored: &Record, incoming: &Record) -> bool {
        let (stored, incoming) = (&stored.stamp, &incoming.stamp);
        self.order == Order::Offset
            && is_same_epoch(stored, incoming)
            && is_same_lineage(stored, incoming)
            && stored.offset >= incoming.offset
            && stored.timestamp < incoming.timestamp
    }

    /// What makes a conflict.
    pub(super) fn conflicts(&self, stored: &Record, incoming: &Record) -> bool {
        let (stored, incoming) = (&stored.stamp, &incoming.stamp);
        self.order == Order::Offset
            && is_same_epoch(stored, incoming)
            && !is_same_lineage(stored, incoming)
    }
}

fn is_same_epoch(a: &Stamp, b: &Stamp) -> bool {
    a.version.get(..10) == b.version.get(..10)
}

fn is_same_lineage(a: &Stamp, b: &Stamp) -> bool {
    (&a.topic, a.partition) == (&b.topic, b.partition)
}

/// A count of records, of which there are a few.
fn small(count: usize) -> u16 {
    u16::try_from(count).unwrap_or(u16::MAX)
}

impl Record {
    pub(super) fn shape(&self) -> String {
        self.attributes.iter().flatten().collect()
    }
}

/// What DynamoDB holds of the key.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub(super) struct Store {
    pub(super) item: Option<Item>,
    pub(super) tombstone: Option<Stamp>,
    /// Whether the turn has come, of which [`super::machine::Turn`] says more.
    pub(super) is_turned: bool,
    /// What stood so far, where looks are explored.
    pub(super) stood: Stood,
}

/// The states that the item and the tombstone have had, as bits: 0 is an earlier writer's item, those from 1 on are the
/// log's records. Once there was nothing, so absence needs no bit.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub(super) struct Stood {
    items: u16,
    tombstones: u16,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(super) struct Item {
    /// None: an earlier writer put the item there.
    pub(super) sink: Option<Sink>,
    pub(super) attributes: Attributes,
}

/// How a request is sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Transport {
    /// As a statement, which sets attributes and leaves those that it does not name.
    Statement,
    /// As a single-item call or a transaction, which puts whole items.
    Single,
}

impl Transport {
    /// The ways that a request can take. Each time any of them is, since items that a statement cannot say go singly.
    pub(super) fn of(request: &Request) -> &'static [Self] {
        match request {
            Request::ReplaceIfOlder
            | Request::Insert(TombstoneCheck::None)
            | Request::InsertTombstone
            | Request::ReplaceTombstoneIfOlder
            | Request::RemoveIfOlder => &[Self::Statement, Self::Single],
            Request::Look
            | Request::Insert(TombstoneCheck::AbsentOrOlder | TombstoneCheck::Exactly(_))
            | Request::ReplaceSeen(_)
            | Request::ReplaceTombstoneSeen(_)
            | Request::RemoveSeen(_) => &[Self::Single],
        }
    }
}

/// A request with what its sender adds.
#[derive(Clone, Copy, Debug)]
pub(super) struct Ask<'a> {
    pub(super) order: Order,
    pub(super) request: &'a Request,
    pub(super) record: &'a Record,
    pub(super) transport: Transport,
}

impl Ask<'_> {
    /// The condition that the first attempts put on a stored state: older, and in a keyed sink of the same lineage.
    pub(super) fn is_older(&self, stored: &Stamp) -> bool {
        stored.version < self.record.stamp.version && self.is_of_lineage(stored)
    }

    pub(super) fn is_of_lineage(&self, stored: &Stamp) -> bool {
        self.order == Order::SourceClock || is_same_lineage(stored, &self.record.stamp)
    }

    /// The condition that only a statement needs, since it leaves the attributes that it does not name.
    pub(super) fn is_of_shape(&self, stored: &Sink) -> bool {
        self.transport == Transport::Single || stored.shape == self.record.shape()
    }
}

impl Store {
    /// An earlier writer's item.
    pub(super) fn unstamped() -> Self {
        let item = Item { sink: None, attributes: BTreeSet::from(['u']) };
        Self { item: Some(item), ..Self::default() }
    }

    /// Does what is asked if its condition holds, and answers.
    pub(super) fn take(&mut self, ask: Ask<'_>) -> Answer {
        match ask.request {
            Request::Look => Answer::Looked(Some(self.shown())),
            Request::ReplaceIfOlder => {
                let is_met = self
                    .sink()
                    .is_some_and(|sink| ask.is_older(&sink.stamp) && ask.is_of_shape(sink));
                self.put_if(is_met, ask)
            }
            Request::Insert(check) => self.insert_if(self.admits_insert(check, ask), ask),
            Request::ReplaceSeen(seen) => self.put_if(self.seen().as_ref() == Some(seen), ask),
            Request::InsertTombstone => match (&self.tombstone, ask.transport) {
                (Some(_), Transport::Statement) => Answer::Exists,
                (tombstone, _) => self.bury_if(tombstone.is_none(), ask),
            },
            Request::ReplaceTombstoneIfOlder => {
                let is_met = self.tombstone.as_ref().is_some_and(|standing| ask.is_older(standing));
                self.bury_if(is_met, ask)
            }
            Request::ReplaceTombstoneSeen(seen) => {
                self.bury_if(self.tombstone.as_ref() == Some(seen), ask)
            }
            Request::RemoveIfOlder => {
                let is_older = self.sink().is_some_and(|sink| ask.is_older(&sink.stamp));
                self.remove_if(self.item.is_none() || is_older)
            }
            Request::RemoveSeen(seen) => self.remove_if(self.seen().as_ref() == Some(seen)),
        }
    }

    /// Whether the tombstone lets an insert through.
    pub(super) fn admits_insert(&self, check: &TombstoneCheck, ask: Ask<'_>) -> bool {
        match (check, &self.tombstone) {
            (TombstoneCheck::None, _) | (TombstoneCheck::AbsentOrOlder, None) => true,
            (TombstoneCheck::AbsentOrOlder, Some(standing)) => ask.is_older(standing),
            (TombstoneCheck::Exactly(seen), standing) => standing.as_ref() == Some(seen),
        }
    }

    pub(super) fn put_if(&mut self, is_met: bool, ask: Ask<'_>) -> Answer {
        if !is_met {
            return Answer::Refused(self.seen());
        }
        let record = ask.record;
        let mut attributes = record.attributes.clone().unwrap_or_default();
        if ask.transport == Transport::Statement {
            attributes.extend(self.item.iter().flat_map(|item| &item.attributes));
        }
        let sink = Some(Sink { stamp: record.stamp.clone(), shape: record.shape() });
        self.item = Some(Item { sink, attributes });
        Answer::Applied
    }

    /// A transaction of the put and the tombstone's check, or a statement where there is nothing to check.
    pub(super) fn insert_if(&mut self, is_admitted: bool, ask: Ask<'_>) -> Answer {
        if self.item.is_some() && ask.transport == Transport::Statement {
            return Answer::Exists;
        }
        if self.item.is_none() && !is_admitted {
            return Answer::TombstoneRefused(self.tombstone.clone());
        }
        self.put_if(self.item.is_none(), ask)
    }

    pub(super) fn bury_if(&mut self, is_met: bool, ask: Ask<'_>) -> Answer {
        if !is_met {
            return Answer::TombstoneRefused(self.tombstone.clone());
        }
        self.tombstone = Some(ask.record.stamp.clone());
        Answer::Applied
    }

    pub(super) fn remove_if(&mut self, is_met: bool) -> Answer {
        if !is_met {
            return Answer::Refused(self.seen());
        }
        self.item = None;
        Answer::Applied
    }

    /// What a look shows that is not late.
    pub(super) fn shown(&self) -> Shown {
        Shown { item: self.seen(), tombstone: self.tombstone.clone() }
    }

    /// What a refusal brings of the item.
    pub(super) fn seen(&self) -> Option<Seen> {
        let item = self.item.as_ref()?;
        Some(item.sink.clone().map_or(Seen::Unstamped, Seen::Stamped))
    }

    pub(super) fn sink(&self) -> Option<&Sink> {
        self.item.as_ref()?.sink.as_ref()
    }
}
