//! Which records make the next batch, as a state machine without a clock.

use std::{
    collections::{BTreeMap, BTreeSet, VecDeque},
    sync::Arc,
    time::Duration,
};

use local::invoke::MAX_EVENT_BYTES;

use super::event::{Envelope, Record};

/// The most bytes of records that wait, unless each partition's share would be less than an event.
const MAX_WAITING_BYTES: usize = 64 * 1024 * 1024;

/// The records of a mapping's partitions that wait for a batch.
///
/// A partition's records stay in order, and it has no more than one batch in flight. A batch may have records of
/// several partitions, and batches of different partitions may be in flight at once.
#[derive(Clone, Debug)]
pub struct Assembly {
    envelope: Envelope,
    batch_size: usize,
    /// How long a batch's first record waits for more.
    window: Duration,
    partitions: BTreeMap<i32, Partition>,
    in_flight: BTreeSet<i32>,
    generations: u64,
}

/// A partition as long as it is assigned.
#[derive(Clone, Debug, Default)]
struct Partition {
    /// Tells this assignment from an earlier one of the same partition.
    generation: u64,
    waiting: VecDeque<Waiting>,
    bytes: usize,
    too_large: usize,
    is_paused: bool,
}

#[derive(Clone, Debug)]
struct Waiting {
    record: Arc<Record>,
    arrived: Duration,
}

/// Records to be handled together.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Batch {
    /// The records, each partition's in order.
    pub records: Vec<Arc<Record>>,
    /// Its partitions' assignments.
    generations: BTreeMap<i32, u64>,
}

/// What the flow of a partition's records needs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Flow {
    /// Too many wait.
    Pause(i32),
    /// There is room again.
    Resume(i32),
}

impl Assembly {
    pub fn new(envelope: Envelope, batch_size: usize, window: Duration) -> Self {
        Self {
            envelope,
            batch_size: batch_size.max(1),
            window,
            partitions: BTreeMap::new(),
            in_flight: BTreeSet::new(),
            generations: 0,
        }
    }

    /// Takes a partition's records from now on.
    pub fn assign(&mut self, partition: i32) {
        self.generations += 1;
        let assigned = Partition { generation: self.generations, ..Partition::default() };
        self.partitions.insert(partition, assigned);
    }

    /// Forgets a partition's waiting records; its batch in flight may end, but is not to be committed.
    pub fn revoke(&mut self, partition: i32) {
        self.partitions.remove(&partition);
    }

    /// Whether the partition is assigned, and nothing of it waits or is in flight; `None` if it is not assigned.
    pub fn is_idle(&self, partition: i32) -> Option<bool> {
        let assigned = self.partitions.get(&partition)?;
        Some(assigned.waiting.is_empty() && !self.in_flight.contains(&partition))
    }

    pub fn assigned(&self) -> impl Iterator<Item = i32> {
        self.partitions.keys().copied()
    }

    /// Takes a record that arrived, unless its partition is not assigned.
    ///
    /// Its offset may be lower than the last one's: the topic may have been created again.
    pub fn push(&mut self, record: Record, now: Duration) {
        let Some(partition) = self.partitions.get_mut(&record.partition) else { return };
        partition.bytes += record.length();
        partition.too_large += usize::from(record.is_too_large);
        partition.waiting.push_back(Waiting { record: Arc::new(record), arrived: now });
    }

    /// The next batch, if one is full or its first record has waited long enough.
    pub fn take(&mut self, now: Duration) -> Option<Batch> {
        // The longest waiting first, so that none starves.
        let mut free: Vec<_> =
            self.free().map(|(number, first, _)| (first.arrived, number)).collect();
        free.sort_unstable();
        let is_due = free.first().is_some_and(|(arrived, _)| *arrived + self.window <= now);
        if !is_due && !self.is_full() {
            return None;
        }

        let mut batch = Batch { records: Vec::new(), generations: BTreeMap::new() };
        let mut size = self.envelope.size();
        'partitions: for (_, number) in free {
            let Some(partition) = self.partitions.get_mut(&number) else { continue };
            while let Some(Waiting { record, .. }) = partition.waiting.front() {
                let first = batch.records.first();
                // A record that no event can hold goes alone.
                if batch.records.len() == self.batch_size || first.is_some_and(|it| it.is_too_large)
                {
                    break 'partitions;
                }
                if record.is_too_large && first.is_some() {
                    continue 'partitions;
                }
                if !record.is_too_large && size.with(number, record.length()) > MAX_EVENT_BYTES {
                    break 'partitions;
                }
                size.add(number, record.length());
                partition.bytes -= record.length();
                partition.too_large -= usize::from(record.is_too_large);
                batch.records.extend(partition.waiting.pop_front().map(|waiting| waiting.record));
                batch.generations.insert(number, partition.generation);
            }
        }
        self.in_flight.extend(batch.generations.keys());
        Some(batch)
    }

    /// When the next batch is due, at the latest, if no more records arrive.
    pub fn due(&self) -> Option<Duration> {
        self.free().map(|(_, first, _)| first.arrived + self.window).min()
    }

    /// Ends a batch whose records are all done, and returns what can be committed: each partition's next offset.
    pub fn done(&mut self, batch: &Batch) -> BTreeMap<i32, i64> {
        self.abandon(batch);
        let next = batch.records.iter().map(|record| (record.partition, record.offset + 1));
        next.filter(|(partition, _)| self.is_current(batch, *partition)).collect()
    }

    /// Whether nothing of the batch could be committed any more.
    pub fn is_lost(&self, batch: &Batch) -> bool {
        !batch.generations.keys().any(|&partition| self.is_current(batch, partition))
    }

    fn is_current(&self, batch: &Batch, partition: i32) -> bool {
        let generation = self.partitions.get(&partition).map(|it| it.generation);
        generation == batch.generations.get(&partition).copied()
    }

    /// Ends a batch whose records are not all done.
    pub fn abandon(&mut self, batch: &Batch) {
        for partition in batch.generations.keys() {
            self.in_flight.remove(partition);
        }
    }

    /// The changes of flow that are due since the last call.
    pub fn flow(&mut self) -> Vec<Flow> {
        let share = MAX_WAITING_BYTES / self.partitions.len().max(1);
        let max_bytes = share.max(MAX_EVENT_BYTES);
        let max_records = (4 * self.batch_size).max(5000);
        let mut changes = Vec::new();
        for (&number, partition) in &mut self.partitions {
            let (records, bytes) = (partition.waiting.len(), partition.bytes);
            if !partition.is_paused && (records >= max_records || bytes >= max_bytes) {
                partition.is_paused = true;
                changes.push(Flow::Pause(number));
            } else if partition.is_paused && records < max_records / 2 && bytes < max_bytes / 2 {
                partition.is_paused = false;
                changes.push(Flow::Resume(number));
            }
        }
        changes
    }

    /// The partitions with waiting records that have no batch in flight, with the first record.
    fn free(&self) -> impl Iterator<Item = (i32, &Waiting, &Partition)> {
        let free = self.partitions.iter().filter(|(number, _)| !self.in_flight.contains(number));
        free.filter_map(|(&number, partition)| {
            Some((number, partition.waiting.front()?, partition))
        })
    }

    /// Whether the waiting records of the free partitions close a batch, whatever comes.
    fn is_full(&self) -> bool {
        let mut records = 0;
        let mut bytes = 0;
        for (_, _, partition) in self.free() {
            if partition.too_large > 0 {
                return true;
            }
            records += partition.waiting.len();
            // A comma between two records, or what surrounds a partition's: no more than is written in the end.
            bytes += partition.bytes + partition.waiting.len();
        }
        records >= self.batch_size || self.envelope.size().bytes + bytes > MAX_EVENT_BYTES
    }
}

#[cfg(test)]
mod tests;
