//! Where a record stands in the order of its key: stamps, and the one function that compares them.

use kafka_event::Coordinates;

/// What orders the records of one key.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Order {
    /// Keyed topics: the offset, within the key's topic and partition (its *lineage*).
    Offset,
    /// Topics without keys: the clock of the source, then Kafka's timestamp, partition and offset.
    SourceClock,
}

/// The highest epoch that fits a version's ten digits.
pub const MAX_EPOCH: u64 = 9_999_999_999;

const EPOCH_DIGITS: usize = 10;
/// The digits of the largest number of 64 bits.
const NUMBER_DIGITS: usize = 20;
/// What is added to a negative source time: more than the magnitude of any, and the first number of 20 digits.
const NEGATIVE_TIME_BASE: u64 = 10_u64.pow(19);

/// A state's place in the order, as it is stored in an item's `_sink` and in a tombstone.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Stamp {
    /// A string whose byte order is the record order: the epoch in 10 digits, then 20 digits each of the offset
    /// ([`Order::Offset`]), or of source time, Kafka timestamp, partition and offset ([`Order::SourceClock`]). A
    /// negative source time `t` is `-`, which sorts before all digits, and the 19 digits of 10^19 + `t`; the other
    /// fields count as 0 where they are negative.
    pub version: String,
    /// The record's topic.
    pub topic: String,
    /// The record's partition.
    pub partition: i32,
    /// The record's offset.
    pub offset: i64,
    /// Kafka's timestamp in milliseconds since 1970; -1 where the record had none.
    pub timestamp: i64,
}

impl Stamp {
    /// The stamp of a record with these coordinates; `source_time` counts only where the source's clock orders.
    pub fn new(
        order: Order,
        epoch: u64,
        source_time: i64,
        coordinates: Coordinates<'_>,
        timestamp: i64,
    ) -> Self {
        let Coordinates { topic, partition, offset } = coordinates;
        let mut version = String::with_capacity(EPOCH_DIGITS + 4 * NUMBER_DIGITS);
        push_digits(epoch, EPOCH_DIGITS, &mut version);
        let positive = |number: i64| number.max(0).unsigned_abs();
        if order == Order::SourceClock {
            push_source_time(source_time, &mut version);
            for number in [timestamp, partition.into()] {
                push_digits(positive(number), NUMBER_DIGITS, &mut version);
            }
        }
        push_digits(positive(offset), NUMBER_DIGITS, &mut version);
        Self { version, topic: topic.into_owned(), partition, offset, timestamp }
    }

    /// The version's epoch, as its ten digits.
    pub fn epoch(&self) -> &str {
        self.version.get(..EPOCH_DIGITS).unwrap_or(&self.version)
    }

    /// Whether both come from one topic and partition.
    pub fn same_lineage(&self, other: &Self) -> bool {
        self.partition == other.partition && self.topic == other.topic
    }
}

fn push_source_time(time: i64, out: &mut String) {
    if time < 0 {
        out.push('-');
        push_digits(NEGATIVE_TIME_BASE - time.unsigned_abs(), NUMBER_DIGITS - 1, out);
    } else {
        push_digits(time.unsigned_abs(), NUMBER_DIGITS, out);
    }
}

/// Appends a number in so many digits. A format string does the same at several times the cost.
fn push_digits(number: u64, width: usize, out: &mut String) {
    const ZEROS: &str = "00000000000000000000";
    let digits = number.to_string();
    out.push_str(&ZEROS[..width.saturating_sub(digits.len())]);
    out.push_str(&digits);
}

/// What an incoming state is, seen from the stored one.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Comparison {
    /// What to do with it.
    pub verdict: Verdict,
    /// Whether the two come from different lineages of a keyed sink: the sign of more partitions or a moved key.
    pub conflict: bool,
}

/// The result of [`compare`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Verdict {
    /// The next state: it replaces the stored one.
    Next,
    /// The same record again.
    Duplicate,
    /// An older state.
    Stale,
    /// An offset that was passed before, with a newer timestamp: the sign of a topic that was created again
    /// without a new epoch.
    Regression,
}

/// Compares an incoming state with the stored one; "newer" and "older" mean this everywhere, for items and tombstones.
pub fn compare(order: Order, stored: &Stamp, incoming: &Stamp) -> Comparison {
    let plain = |verdict| Comparison { verdict, conflict: false };
    let next_if = |is_next| if is_next { Verdict::Next } else { Verdict::Stale };

    if stored.epoch() != incoming.epoch() {
        return plain(next_if(stored.epoch() < incoming.epoch()));
    }
    if order == Order::Offset {
        if !stored.same_lineage(incoming) {
            let rank = |stamp: &Stamp| (stamp.timestamp, stamp.topic.clone(), stamp.partition);
            return Comparison { verdict: next_if(rank(stored) < rank(incoming)), conflict: true };
        }
        if incoming.offset <= stored.offset && stored.timestamp < incoming.timestamp {
            return plain(Verdict::Regression);
        }
    }
    plain(match stored.version.cmp(&incoming.version) {
        std::cmp::Ordering::Less => Verdict::Next,
        std::cmp::Ordering::Equal => Verdict::Duplicate,
        std::cmp::Ordering::Greater => Verdict::Stale,
    })
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn keyed(epoch: u64, topic: &str, partition: i32, offset: i64, timestamp: i64) -> Stamp {
        let coordinates = Coordinates { topic: topic.into(), partition, offset };
        Stamp::new(Order::Offset, epoch, 0, coordinates, timestamp)
    }

    fn clocked(epoch: u64, source_time: i64, timestamp: i64, partition: i32, offset: i64) -> Stamp {
        let coordinates = Coordinates { topic: "t".into(), partition, offset };
        Stamp::new(Order::SourceClock, epoch, source_time, coordinates, timestamp)
    }

    #[track_caller]
    fn check(order: Order, stored: &Stamp, incoming: &Stamp, verdict: Verdict, conflict: bool) {
        assert_eq!(compare(order, stored, incoming), Comparison { verdict, conflict });
    }

    #[test]
    fn versions_are_the_same_in_every_release() {
        assert_eq!(keyed(0, "t", 3, 42, 7).version, "000000000000000000000000000042");
        assert_eq!(keyed(12, "t", 3, i64::MAX, 7).version, "000000001209223372036854775807");
        assert_eq!(
            clocked(1, 1_700_000_000_000, -1, 2, 5).version,
            "000000000100000001700000000000000000000000000000000000000000000000000200000000000000000005"
        );
        assert_eq!(keyed(MAX_EPOCH, "t", 0, 0, 0).version.len(), 30);
    }

    #[test]
    fn source_times_are_the_same_in_every_release() {
        #[track_caller]
        fn check(time: i64, field: &str) {
            let zeros = "0".repeat(3 * NUMBER_DIGITS);
            assert_eq!(clocked(0, time, -1, -1, -1).version, format!("0000000000{field}{zeros}"));
        }

        check(i64::MIN, "-0776627963145224192");
        check(-1_000_000_000_000, "-9999999000000000000");
        check(-2001, "-9999999999999997999");
        check(-2000, "-9999999999999998000");
        check(-1, "-9999999999999999999");
        check(0, "00000000000000000000");
        check(1, "00000000000000000001");
        check(1_700_000_000_000, "00000001700000000000");
        check(i64::MAX, "09223372036854775807");
    }

    /// Times of every magnitude, and those next to where the sign or the number of digits changes.
    fn times() -> impl Strategy<Value = i64> {
        let edges = vec![i64::MIN, i64::MIN + 1, -10, -9, -1, 0, 1, 9, 10, i64::MAX - 1, i64::MAX];
        prop_oneof![
            any::<i64>(),
            (any::<i64>(), 0_u32..64).prop_map(|(time, bits)| time >> bits),
            proptest::sample::select(edges),
        ]
    }

    proptest! {
        #[test]
        fn versions_order_as_the_source_times_do(one in times(), other in times()) {
            let [first, second] = [one, other].map(|time| clocked(0, time, 5, 6, 7).version);
            prop_assert_eq!(first.as_bytes().cmp(second.as_bytes()), one.cmp(&other));
            prop_assert_eq!(first.len(), EPOCH_DIGITS + 4 * NUMBER_DIGITS);
        }
    }

    #[test]
    fn keyed_states_compare_by_the_first_row_that_fits() {
        use Verdict::{Duplicate, Next, Regression, Stale};
        let stored = keyed(1, "t", 0, 10, 100);
        let p = |incoming: Stamp, verdict, conflict| {
            check(Order::Offset, &stored, &incoming, verdict, conflict);
        };

        // Another epoch decides before the lineage, the offset and the timestamp.
        p(keyed(2, "t", 0, 1, 1), Next, false);
        p(keyed(2, "u", 5, 1, 1), Next, false);
        p(keyed(0, "t", 0, 11, 101), Stale, false);
        p(keyed(0, "t", 0, 9, 101), Stale, false);
        // Another lineage: by timestamp, topic, partition.
        p(keyed(1, "t", 1, 3, 101), Next, true);
        p(keyed(1, "t", 1, 30, 99), Stale, true);
        p(keyed(1, "t", 1, 10, 100), Next, true);
        p(keyed(1, "s", 1, 10, 100), Stale, true);
        p(keyed(1, "u", 0, 10, 100), Next, true);
        // The same lineage.
        p(keyed(1, "t", 0, 9, 101), Regression, false);
        p(keyed(1, "t", 0, 10, 101), Regression, false);
        p(keyed(1, "t", 0, 10, 100), Duplicate, false);
        p(keyed(1, "t", 0, 10, 99), Duplicate, false);
        p(keyed(1, "t", 0, 9, 100), Stale, false);
        p(keyed(1, "t", 0, 11, 99), Next, false);
    }

    #[test]
    fn clocked_states_compare_by_version_across_partitions() {
        use Verdict::{Duplicate, Next, Stale};
        let stored = clocked(1, 50, 100, 1, 10);
        let p = |incoming: Stamp, verdict| {
            check(Order::SourceClock, &stored, &incoming, verdict, false);
        };

        p(clocked(2, 0, 0, 0, 0), Next);
        p(clocked(0, 99, 999, 9, 99), Stale);
        p(clocked(1, 51, 0, 0, 0), Next);
        p(clocked(1, 49, 999, 9, 99), Stale);
        p(clocked(1, 50, 101, 0, 0), Next);
        p(clocked(1, 50, 100, 2, 0), Next);
        p(clocked(1, 50, 100, 0, 99), Stale);
        p(clocked(1, 50, 100, 1, 11), Next);
        p(clocked(1, 50, 100, 1, 9), Stale);
        p(clocked(1, 50, 100, 1, 10), Duplicate);
        p(clocked(1, -1, 999, 9, 99), Stale);
        p(clocked(2, -1, 0, 0, 0), Next);
    }

    #[test]
    fn states_from_before_1970_compare_by_their_clock() {
        use Verdict::{Duplicate, Next, Stale};
        let stored = clocked(1, -2000, 100, 1, 10);
        let p = |incoming: Stamp, verdict| {
            check(Order::SourceClock, &stored, &incoming, verdict, false);
        };

        p(clocked(1, -1999, 0, 0, 0), Next);
        p(clocked(1, 0, 0, 0, 0), Next);
        p(clocked(1, 1, 0, 0, 0), Next);
        p(clocked(1, -2001, 999, 9, 99), Stale);
        p(clocked(1, i64::MIN, 999, 9, 99), Stale);
        p(clocked(1, -2000, 101, 0, 0), Next);
        p(clocked(1, -2000, 100, 1, 9), Stale);
        p(clocked(1, -2000, 100, 1, 10), Duplicate);
    }
}
