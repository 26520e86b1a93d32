//! An event's requests without what sends them, for benchmarks: the same steps as in an invocation, up to the bodies.

use kafka_event::Event;

use crate::{
    item::Item,
    mutation::Mutation,
    order::chain::{Candidate, chains},
    settings::Settings,
    sink::Sink,
    wire::{ELEMENT_ROOM, KeyRequest, Transport, Wire, list::RequestList},
};

/// Renders the first requests for events whose items all stand in the table.
#[derive(Debug)]
pub struct Bodies {
    sink: Sink,
    settings: Settings,
    wire: Wire,
}

impl Bodies {
    /// The statements that a sink with these settings sends.
    pub fn new(sink: Sink, settings: Settings) -> Self {
        let wire = Wire::new(
            sink.order,
            settings.table.clone(),
            settings.tombstone_table.clone(),
            settings.statements_per_request > 1,
        );
        Self { sink, settings, wire }
    }

    /// Hands `take` the body of each `BatchExecuteStatement` for an event; false if a record cannot be written by one.
    pub fn write(&mut self, payload: &[u8], mut take: impl FnMut(&[u8])) -> bool {
        let Ok(event) = Event::read(payload) else { return false };
        let mut items: Vec<Option<Item>> = Vec::new();
        let mut writes = Vec::new();
        for (record, encoded) in event.records.iter().enumerate() {
            let Ok(decoded) = encoded.decode() else { return false };
            let Ok(mutation) = self.sink.mutation(&decoded, &self.settings) else { return false };
            let Mutation { key, stamp, item, .. } = mutation;
            writes.push((key, Candidate { record, stamp, is_delete: item.is_none() }));
            items.push(item);
        }
        let chains = chains(self.sink.order, self.sink.deletes, writes);
        for chains in chains.chunks(self.settings.statements_per_request) {
            let room = |item: &Option<Item>| item.as_ref().map_or(0, |item| item.json().len());
            let room: usize = items.iter().take(chains.len()).map(room).sum();
            let room = room + chains.len() * ELEMENT_ROOM;
            let Some(mut list) = RequestList::new(Transport::Statement, || room) else {
                return false;
            };
            for (key, chain) in chains {
                let Some((candidate, request)) = chain.request() else { return false };
                let item = items.get(candidate.record).and_then(Option::as_ref);
                let stamp = &candidate.stamp;
                let keyed = KeyRequest { request, key, stamp, item, tombstone_expires_at: None };
                if !list.push(&mut self.wire, keyed) {
                    return false;
                }
            }
            take(&list.end().body);
        }
        true
    }
}
