//! Events from a seed: the same seed gives the same bytes.

use std::{collections::BTreeMap, fmt};

use base64::{Engine as _, engine::general_purpose::STANDARD};
use fastrand::Rng;
use local::invoke::MAX_EVENT_BYTES;
use serde::{Deserialize, Serialize};

use super::record;

/// The partitions that a topic's records come from.
const PARTITIONS: usize = 3;
/// The time of the first records, in milliseconds since 1970.
const EPOCH_MILLIS: u64 = 1_772_442_000_000;
/// How much later the same record comes again in the next event, in milliseconds.
const GENERATION_MILLIS: u64 = 3_600_000;

/// In a load the item of one key in so many stands already.
const LOAD_STANDING: usize = 10;

/// What records look like.
#[derive(
    Clone,
    Copy,
    Debug,
    PartialEq,
    Eq,
    PartialOrd,
    Ord,
    Hash,
    clap::ValueEnum,
    Serialize,
    Deserialize,
)]
#[serde(rename_all = "lowercase")]
pub enum Kind {
    /// Rows of 50 columns, about 1.6 KB of JSON, without a key.
    Appian,
    /// Nested objects of about 4 KB with a key.
    Seatool,
    /// Rows of 8 columns, about 0.2 KB, so that 10,000 of them fit an event.
    Small,
}

/// What stands in the table before an event, and before those that a process had until then.
#[derive(
    Clone,
    Copy,
    Debug,
    PartialEq,
    Eq,
    PartialOrd,
    Ord,
    Hash,
    clap::ValueEnum,
    Serialize,
    Deserialize,
)]
#[serde(rename_all = "lowercase")]
pub enum State {
    /// An older state of each item, with the same attribute names.
    Existing,
    /// No item.
    New,
    /// What the event's records say: it comes once more, as a batch that is retried. Until then the states were older.
    Duplicate,
    /// What the event's records say, in each event from the process's first on, as when a topic is replayed.
    Replayed,
    /// What its records say for a half of the keys, which change by turns; an older state for the others.
    Mixed,
    /// An older state for each tenth key, no item for the others, as in a load of a table that is not empty.
    Load,
}

/// What the records of a run have in common.
#[derive(clap::Args, Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Mix {
    /// What all random choices depend on.
    #[arg(long, value_name = "N", default_value_t = 1)]
    pub seed: u64,
    /// Give the values Kafka Connect's schema.
    #[arg(long)]
    pub schema: bool,
    /// The share of records whose key an earlier one of the event has.
    #[arg(long, value_name = "SHARE", default_value_t = 0.0, value_parser = crate::share)]
    pub repeated: f64,
    /// The share of records that the event before had already.
    #[arg(long, value_name = "SHARE", default_value_t = 0.0, value_parser = crate::share)]
    pub duplicates: f64,
    /// The share of Seatool records that delete their item.
    #[arg(long, value_name = "SHARE", default_value_t = 0.0, value_parser = crate::share)]
    pub deletes: f64,
}

/// A sequence of events.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Workload {
    pub kind: Kind,
    pub state: State,
    /// How many an event has, unless they don't fit.
    pub records: usize,
    pub mix: Mix,
}

/// One event of a workload.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BenchEvent {
    pub payload: Vec<u8>,
    pub records: usize,
    /// How many different keys they have.
    pub keys: usize,
    /// For how many of the keys no item stands before.
    pub new_keys: usize,
    /// For how many of the keys an older state stands before.
    pub older_keys: usize,
}

impl Kind {
    /// The binary of the function that reads these records.
    pub fn binary(self) -> &'static str {
        match self {
            Self::Appian | Self::Small => "sinkAppianData",
            Self::Seatool => "sinkSeatoolData",
        }
    }

    fn topic(self) -> &'static str {
        match self {
            Self::Appian | Self::Small => "aws.appian.cmcs.MCP_SPA_PCKG",
            Self::Seatool => "aws.ksqldb.seatool.agg.State_Plan",
        }
    }
}

impl fmt::Display for Kind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.serialize(f)
    }
}

impl fmt::Display for State {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.serialize(f)
    }
}

impl Workload {
    /// The event of that number; number 0 comes first and makes what stands in the table before the others.
    ///
    /// It ends before the record that would make it larger than Lambda allows.
    pub fn event(&self, number: usize) -> BenchEvent {
        let topic = self.kind.topic();
        let mut partitions = [const { Vec::new() }; PARTITIONS];
        let mut keys = BTreeMap::new();
        let mut size = 256 + PARTITIONS * (topic.len() + 16);
        for position in 0..self.records {
            let (key, generation, record) = self.record(number, position);
            size += record.len() + 1;
            if size > MAX_EVENT_BYTES {
                break;
            }
            partitions[key % PARTITIONS].push(record);
            keys.insert(key, generation);
        }
        // The keys of the first event are the lowest.
        let is_new = |key: usize| number == 0 || key >= self.records;
        let is_older = |(&key, &generation)| !is_new(key) && generation == number;
        let lists = partitions.iter().enumerate().filter(|(_, list)| !list.is_empty());
        let list = |(partition, list): (_, &Vec<_>)| {
            format!(r#""{topic}-{partition}":[{}]"#, list.join(","))
        };
        let lists: Vec<_> = lists.map(list).collect();
        let payload = format!(
            r#"{{"eventSource":"SelfManagedKafka","bootstrapServers":"b-1.kafka.example.com:9094","records":{{{}}}}}"#,
            lists.join(",")
        );
        BenchEvent {
            payload: payload.into_bytes(),
            records: partitions.iter().map(Vec::len).sum(),
            keys: keys.len(),
            new_keys: keys.keys().filter(|key| is_new(**key)).count(),
            older_keys: keys.iter().filter(|entry| is_older(*entry)).count(),
        }
    }

    /// The number of a record's key, that of the event that brought the record first, and the record as it stands in an
    /// event.
    fn record(&self, number: usize, position: usize) -> (usize, usize, String) {
        let Mix { seed, duplicates, deletes, .. } = self.mix;
        let place = self.place(position);
        let generation = match self.state {
            State::Replayed => 0,
            // What is changed by one event comes once more in the next.
            State::Mixed if (place + number).is_multiple_of(2) => number.saturating_sub(1),
            _ => number,
        };
        let mut choices = Rng::with_seed(mixed(seed, generation, position));
        let is_duplicate = generation > 0 && choices.f64() < duplicates;
        let generation = if is_duplicate { generation - 1 } else { generation };
        let mut choices = Rng::with_seed(mixed(seed, generation, position) ^ 2);
        let is_delete = self.kind == Kind::Seatool && choices.f64() < deletes;

        let is_new = match self.state {
            State::New => true,
            State::Load => !place.is_multiple_of(LOAD_STANDING),
            _ => false,
        };
        let key = if is_new { generation * self.records + place } else { place };
        let offset = generation * self.records + position;
        let time = EPOCH_MILLIS + generation as u64 * GENERATION_MILLIS + position as u64;
        let row = record::Row { key, version: generation, time, schema: self.mix.schema };
        let mut values = Rng::with_seed(mixed(seed, 1, key));
        let (key_json, value) = record::key_and_value(self.kind, &row, &mut values);
        let member = |name, json: Option<String>| {
            let member = |json| format!(r#""{name}":"{}","#, STANDARD.encode(json));
            json.map(member).unwrap_or_default()
        };
        let members = member("key", key_json) + &member("value", (!is_delete).then_some(value));
        let record = format!(
            r#"{{"topic":"{}","partition":{},"offset":{offset},"timestamp":{time},"timestampType":"CREATE_TIME",{members}"headers":[]}}"#,
            self.kind.topic(),
            key % PARTITIONS,
        );
        (key, generation, record)
    }

    /// The first record of an event that has the key of the one at `position`. It is the same in each event, so that
    /// all of them have the same keys.
    fn place(&self, mut position: usize) -> usize {
        loop {
            let mut choices = Rng::with_seed(mixed(self.mix.seed, 0, position) ^ 1);
            if position == 0 || choices.f64() >= self.mix.repeated {
                return position;
            }
            position = choices.usize(0..position);
        }
    }
}

/// A seed for each place, far from those of its neighbours.
fn mixed(seed: u64, first: usize, second: usize) -> u64 {
    let place = (first as u64) << 40 | second as u64;
    (seed ^ place.wrapping_mul(0x9E37_79B9_7F4A_7C15)).wrapping_mul(0xD134_2543_DE82_EF95)
}

#[cfg(test)]
mod tests {
    use std::ops::Range;

    use serde_json::Value;

    use super::*;

    const MIX: Mix = Mix { seed: 1, schema: false, repeated: 0.0, duplicates: 0.0, deletes: 0.0 };

    fn workload(kind: Kind, records: usize, mix: Mix) -> Workload {
        Workload { kind, state: State::Existing, records, mix }
    }

    fn records(event: &BenchEvent) -> Vec<Value> {
        let event: Value = serde_json::from_slice(&event.payload).unwrap();
        let partitions = event["records"].as_object().unwrap().values();
        partitions.flat_map(|list| list.as_array().unwrap().clone()).collect()
    }

    fn value(record: &Value) -> Option<Vec<u8>> {
        Some(STANDARD.decode(record.get("value")?.as_str()?).unwrap())
    }

    #[test]
    fn values_have_their_size_and_are_json() {
        #[track_caller]
        fn check(kind: Kind, schema: bool, members: usize, sizes: Range<usize>) {
            let event = workload(kind, 60, Mix { schema, ..MIX }).event(3);
            assert_eq!((event.records, event.keys), (60, 60));
            for record in records(&event) {
                let value = value(&record).unwrap();
                assert!(sizes.contains(&value.len()), "{kind}: {}", value.len());
                let value: Value = serde_json::from_slice(&value).unwrap();
                let object = value.get("payload").unwrap_or(&value).as_object().unwrap();
                assert_eq!(object.len(), members);
                assert_eq!(value.get("schema").is_some(), schema);
                assert_eq!(record.get("key").is_some(), kind == Kind::Seatool);
            }
        }

        check(Kind::Appian, false, 50, 1500..1750);
        check(Kind::Appian, true, 50, 5000..7000);
        check(Kind::Seatool, false, 9, 3700..4300);
        check(Kind::Small, false, 8, 180..260);
    }

    #[test]
    fn the_same_seed_gives_the_same_bytes() {
        #[track_caller]
        fn check(kind: Kind, state: State, first: (u64, usize), second: (u64, usize), same: bool) {
            let event = |(seed, number)| {
                let mix = Mix { seed, ..MIX };
                Workload { kind, state, records: 20, mix }.event(number).payload
            };
            assert_eq!(event(first) == event(second), same);
        }

        for kind in [Kind::Appian, Kind::Seatool, Kind::Small] {
            for state in [State::Existing, State::New] {
                check(kind, state, (1, 2), (1, 2), true);
                check(kind, state, (1, 2), (2, 2), false);
                check(kind, state, (1, 2), (1, 3), false);
            }
            check(kind, State::Replayed, (1, 0), (1, 3), true);
        }
    }

    #[test]
    fn events_know_what_stands_before_them() {
        #[track_caller]
        fn check(state: State, number: usize, repeated: f64, (new, older): (usize, usize)) {
            let mix = Mix { repeated, ..MIX };
            let workload = |kind| Workload { kind, state, records: 40, mix };
            // What the table holds is what was read from the events before.
            let mut standing = BTreeMap::new();
            let state_of = |record: &Value| (record["key"].to_string(), record["offset"].as_u64());
            for before in 0..number {
                let event = workload(Kind::Seatool).event(before);
                standing.extend(records(&event).iter().map(state_of));
            }
            let event = workload(Kind::Seatool).event(number);
            let states: BTreeMap<_, _> = records(&event).iter().map(state_of).collect();
            let stands = |(key, _): &(&String, &Option<u64>)| standing.contains_key(*key);
            let found_new = states.iter().filter(|state| !stands(state)).count();
            let found_older =
                states.iter().filter(|(key, offset)| standing.get(*key) < Some(*offset)).count();
            assert_eq!(
                (event.keys, event.new_keys, event.older_keys),
                (states.len(), found_new, found_older - found_new)
            );
            assert_eq!((event.new_keys, event.older_keys), (new, older));
        }

        for state in [State::Existing, State::Replayed, State::Mixed, State::Load] {
            check(state, 0, 0.0, (40, 0));
        }
        for number in [1, 2, 3] {
            check(State::Existing, number, 0.0, (0, 40));
            check(State::Duplicate, number, 0.0, (0, 40));
            check(State::New, number, 0.0, (40, 0));
            check(State::Replayed, number, 0.0, (0, 0));
            check(State::Mixed, number, 0.0, (0, 20));
            check(State::Load, number, 0.0, (36, 4));
        }
        check(State::Mixed, 3, 0.3, (0, 12));
    }

    #[test]
    fn shares_are_about_what_was_asked() {
        #[track_caller]
        fn check(mix: Mix, share: impl Fn(&BenchEvent) -> usize, expected: Range<usize>) {
            let event = workload(Kind::Seatool, 1000, mix).event(4);
            assert!(expected.contains(&share(&event)), "{}", share(&event));
        }

        let deleted = |event: &BenchEvent| {
            records(event).iter().filter(|record| record.get("value").is_none()).count()
        };
        let of_the_event_before = |event: &BenchEvent| {
            records(event).iter().filter(|record| record["offset"].as_u64().unwrap() < 4000).count()
        };
        check(MIX, |event| event.keys, 1000..1001);
        check(MIX, deleted, 0..1);
        check(MIX, of_the_event_before, 0..1);
        check(Mix { repeated: 0.3, ..MIX }, |event| event.keys, 650..750);
        check(Mix { deletes: 0.1, ..MIX }, deleted, 70..130);
        check(Mix { duplicates: 0.2, ..MIX }, of_the_event_before, 160..240);
    }

    #[test]
    fn an_event_is_never_larger_than_lambda_allows() {
        #[track_caller]
        fn check(kind: Kind, records: usize, expected: Range<usize>) {
            let event = workload(kind, records, MIX).event(1);
            assert!(event.payload.len() <= MAX_EVENT_BYTES);
            assert!(expected.contains(&event.records), "{}", event.records);
        }

        check(Kind::Small, 10_000, 10_000..10_001);
        check(Kind::Appian, 10_000, 2_300..2_900);
        check(Kind::Seatool, 10_000, 900..1_300);
    }

    #[test]
    fn new_events_share_no_keys_and_existing_ones_all() {
        #[track_caller]
        fn check(state: State, expected: usize) {
            let workload = Workload { kind: Kind::Seatool, state, records: 10, mix: MIX };
            let mut keys: Vec<_> =
                (0..3).flat_map(|number| records(&workload.event(number))).collect();
            keys.sort_by_key(|record| record["key"].to_string());
            keys.dedup_by_key(|record| record["key"].to_string());
            assert_eq!(keys.len(), expected);
        }

        check(State::New, 30);
        check(State::Existing, 10);
        check(State::Replayed, 10);
        check(State::Load, 28);
    }
}
