//! Metrics by the minute, as far as a local event source mapping keeps them.

use std::{collections::BTreeMap, ops::RangeInclusive};

use serde::{Deserialize, Serialize};

/// How many minutes are kept.
pub const KEPT_MINUTES: u64 = 24 * 60;

/// Metrics by namespace and name.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Metrics {
    by_namespace: BTreeMap<String, BTreeMap<String, Series>>,
}

impl Metrics {
    /// Adds a value.
    pub fn add(&mut self, namespace: &str, name: &str, minute: u64, value: f64) {
        let names = self.by_namespace.entry(namespace.to_owned()).or_default();
        names.entry(name.to_owned()).or_default().add(minute, value);
    }

    /// A metric, if it was ever counted.
    pub fn get(&self, namespace: &str, name: &str) -> Option<&Series> {
        self.by_namespace.get(namespace)?.get(name)
    }
}

/// A metric by the minute since 1970.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Series {
    points: BTreeMap<u64, Point>,
}

/// What the values of some time come to.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Point {
    /// All of them together.
    pub sum: f64,
    /// The highest of them.
    pub maximum: f64,
}

impl Point {
    fn of(value: f64) -> Self {
        Self { sum: value, maximum: value }
    }

    fn and(self, other: Self) -> Self {
        Self { sum: self.sum + other.sum, maximum: self.maximum.max(other.maximum) }
    }
}

impl Series {
    fn add(&mut self, minute: u64, value: f64) {
        let point = Point::of(value);
        self.points.entry(minute).and_modify(|it| *it = it.and(point)).or_insert(point);
        let first = minute.saturating_sub(KEPT_MINUTES);
        while self.points.first_key_value().is_some_and(|(&oldest, _)| oldest < first) {
            self.points.pop_first();
        }
    }

    /// What the values of these minutes come to, if there are any.
    pub fn within(&self, minutes: RangeInclusive<u64>) -> Option<Point> {
        self.points.range(minutes).map(|(_, &point)| point).reduce(Point::and)
    }
}

/// A count, or milliseconds, which come as floating point numbers.
#[expect(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "they are whole numbers, and far from the limits"
)]
pub(super) fn whole(number: f64) -> u64 {
    number.round() as u64
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_are_added_up_by_the_minute() {
        let mut metrics = Metrics::default();
        for (minute, value) in [(100, 1.0), (100, 4.0), (102, 2.0)] {
            metrics.add("n", "m", minute, value);
        }
        let series = metrics.get("n", "m").unwrap();
        assert_eq!(metrics.get("n", "o"), None);
        assert_eq!(series.within(100..=100), Some(Point { sum: 5.0, maximum: 4.0 }));
        assert_eq!(series.within(100..=102), Some(Point { sum: 7.0, maximum: 4.0 }));
        assert_eq!(series.within(101..=101), None);

        let json = serde_json::to_string(&metrics).unwrap();
        assert_eq!(serde_json::from_str::<Metrics>(&json).unwrap(), metrics);

        metrics.add("n", "m", 101 + KEPT_MINUTES, 1.0);
        assert_eq!(metrics.get("n", "m").unwrap().within(0..=100), None);
        let kept = metrics.get("n", "m").unwrap().within(0..=102);
        assert_eq!(kept, Some(Point { sum: 2.0, maximum: 2.0 }));
    }
}
