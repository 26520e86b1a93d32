//! The search: every interleaving of what the invocations can do, each state visited once.

use std::collections::{BTreeMap, HashSet};

use dynamo_sink::chain::Fate;

use super::{
    machine::{IDLE, Machine, Move, SlotId, StoreId, Violation, World},
    model::Store,
};

/// What an exploration found.
#[derive(Debug)]
pub(super) struct Explored {
    pub(super) states: usize,
    /// Each kind of violation with the moves of a shortest way to it. What would follow it is not explored.
    pub(super) violations: BTreeMap<Violation, Vec<String>>,
    pub(super) fates: HashSet<Fate>,
}

/// Visits all states, breadth first, from an empty table and from an earlier writer's item.
pub(super) fn explore(world: &World) -> Explored {
    let mut machine = Machine::new(world);
    let mut visited = Visited::default();
    let mut violations = BTreeMap::new();
    for store in [Store::default(), Store::unstamped()] {
        let store = machine.store_id(store);
        let slots = [IDLE; MOST_INVOCATIONS];
        visited.insert(State { store, position: 0, delivered: 0, slots }, START);
    }
    let mut cursor = 0;
    while let Some(state) = visited.state(cursor) {
        let is_drained = state.slots == [IDLE; MOST_INVOCATIONS];
        if let Some(store) = machine.turned(state.store, is_drained) {
            visited.insert(State { store, ..state }, cursor);
        }
        for invocation in 0..world.invocations {
            // Invocations are alike: of those that stand at the same point one moves.
            if invocation > 0 && state.slots[invocation] == state.slots[invocation - 1] {
                continue;
            }
            for next in machine.moves(state.slots[invocation], state.store).iter() {
                match state.after(world, &machine, invocation, next) {
                    Ok(state) => visited.insert(state, cursor),
                    Err(violation) => {
                        violations
                            .entry(violation)
                            .or_insert_with(|| trace(world, &mut machine, &visited, cursor, next));
                    }
                }
            }
        }
        cursor += 1;
    }
    Explored { states: visited.states.len(), violations, fates: machine.fates }
}

/// The most invocations that overlap.
const MOST_INVOCATIONS: usize = 3;

/// Where everything stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct State {
    store: StoreId,
    /// The rank of the state that readers saw last; where there is no item, of the delete that they take it for.
    position: u16,
    /// A bit for each record that was delivered; 0 where that is not counted.
    delivered: u16,
    /// In order, since invocations are alike; the idle ones stand last.
    slots: [SlotId; MOST_INVOCATIONS],
}

impl State {
    /// The state after a move of one invocation, unless the move must never be.
    fn after(
        self,
        world: &World,
        machine: &Machine<'_>,
        invocation: usize,
        next: &Move,
    ) -> Result<Self, Violation> {
        let mut position = self.position;
        if next.shown > position {
            position = next.shown;
        } else if next.shown > 0 {
            return Err(next.violation.unwrap_or(Violation::WentBack));
        }
        if next.reached > position {
            // Where there is nothing, readers take it for the oldest delete that it can be.
            let delete = world.log.delete_from(next.reached);
            position = delete.filter(|_| machine.is_absent(next.store)).ok_or(next.loss)?;
        }
        if let Some(violation) = next.violation {
            return Err(violation);
        }
        let mut delivered = self.delivered;
        if world.counts_deliveries {
            delivered |= next.delivered;
            if world.log.is_all(delivered) && !machine.is_last_state(next.store) {
                return Err(Violation::Lost);
            }
        }
        let mut slots = self.slots;
        slots[invocation] = next.slot;
        // Three of them need no more to be in order, and it is the search's innermost loop.
        if slots[0] < slots[1] {
            slots.swap(0, 1);
        }
        if slots[1] < slots[2] {
            slots.swap(1, 2);
        }
        if slots[0] < slots[1] {
            slots.swap(0, 1);
        }
        Ok(Self { store: next.store, position, delivered, slots })
    }

    /// The state in 64 bits: millions of them are kept and compared.
    fn packed(self) -> u64 {
        let [a, b, c] = self.slots;
        let head = u64::from(self.store) << 12 | u64::from(self.position) << 8;
        let head = head | u64::from(self.delivered);
        head << 42 | u64::from(a) << 28 | u64::from(b) << 14 | u64::from(c)
    }

    fn unpacked(bits: u64) -> Self {
        let field = |shift: u32, width: u32| {
            u16::try_from(bits >> shift & ((1 << width) - 1)).unwrap_or_default()
        };
        Self {
            store: field(54, 10),
            position: field(50, 4),
            delivered: field(42, 8),
            slots: [field(28, 14), field(14, 14), field(0, 14)],
        }
    }
}

/// The moves that lead to a state, and then one more.
fn trace(
    world: &World,
    machine: &mut Machine<'_>,
    visited: &Visited,
    end: usize,
    last: &Move,
) -> Vec<String> {
    let mut labels = vec![last.label.clone()];
    let mut to = end;
    while let Some(&from) = visited.parents.get(to).filter(|&&parent| parent != START) {
        let (Some(before), Some(after)) = (visited.state(from), visited.state(to)) else { break };
        let mut label = "the turn".to_owned();
        for (invocation, &slot) in before.slots.iter().enumerate() {
            for next in machine.moves(slot, before.store).iter() {
                if before.after(world, machine, invocation, next) == Ok(after) {
                    label.clone_from(&next.label);
                }
            }
        }
        labels.push(label);
        to = from;
    }
    labels.reverse();
    labels
}

/// The parent of where the search starts.
const START: usize = usize::MAX;

/// What no state is when it is packed: invocations are in order.
const NOTHING: u64 = 1;

/// The states in the order in which they were found, which is also the queue, and an open-addressed index of them.
#[derive(Debug)]
struct Visited {
    states: Vec<u64>,
    parents: Vec<usize>,
    /// The same states by their hash; [`NOTHING`] between them. The length is a power of two.
    index: Vec<u64>,
}

impl Default for Visited {
    fn default() -> Self {
        Self { states: Vec::new(), parents: Vec::new(), index: vec![NOTHING; 1 << 10] }
    }
}

impl Visited {
    fn state(&self, place: usize) -> Option<State> {
        self.states.get(place).copied().map(State::unpacked)
    }

    fn insert(&mut self, state: State, parent: usize) {
        let state = state.packed();
        let place = self.place(state);
        if self.index[place] == state {
            return;
        }
        self.index[place] = state;
        self.states.push(state);
        self.parents.push(parent);
        if 2 * self.states.len() > self.index.len() {
            self.index = vec![NOTHING; 2 * self.index.len()];
            for number in 0..self.states.len() {
                let state = self.states[number];
                let place = self.place(state);
                self.index[place] = state;
            }
        }
    }

    /// Where the state is in the index, or where it would be.
    fn place(&self, state: u64) -> usize {
        let mask = self.index.len() - 1;
        // The uppermost bits of a product with the golden ratio's depend on all bits of the state.
        let hash = state.wrapping_mul(0x9E37_79B9_7F4A_7C15) >> (64 - mask.count_ones());
        let mut place = usize::try_from(hash).unwrap_or_default() & mask;
        while self.index[place] != state && self.index[place] != NOTHING {
            place = (place + 1) & mask;
        }
        place
    }
}
