//! What an item or a tombstone that stands in a table is, seen from the state that its key must have.

use dynamo_sink::{
    stored::{Attributes, Foreign, item_state, tombstone_stamp},
    version::{Stamp, Verdict, compare},
    write::Seen,
};

use super::{
    expected::{Expected, State},
    fingerprint::Members,
    report::{Coordinates, Finding, Kind, Why},
};
use crate::kafka::Spans;

#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Judgement {
    Right,
    /// The right record's state, which was written before the epoch was raised.
    RightOfEarlierEpoch,
    /// It was written by a record that the topic no longer holds, so that nothing can be said of it.
    BeforeTopic,
    Wrong(Finding),
    /// A difference, unless its record came after the audit began, see [`is_behind`].
    Late(Finding),
}

/// Judges an item, and remembers for its key that one was found.
pub fn judge_item(expected: &mut Expected, spans: &Spans, item: &Attributes) -> Judgement {
    // An item under two different texts is none that a sink writes.
    let key = key(item).filter(|_| item.get("SK") == item.get("PK"));
    let state = key.and_then(|key| expected.states.get_mut(key.as_str())).map(|state| {
        state.item_was_found = true;
        *state
    });
    let case = Case { expected, state: state.as_ref(), found: None };
    let is_unwanted = state.is_none_or(|state| state.is_delete());
    let sink = match item_state(item) {
        Ok(Seen::Stamped(sink)) => sink,
        Ok(Seen::Unstamped) => {
            let kind = if is_unwanted { Kind::Extra } else { Kind::Older };
            return case.wrong(kind, Some(Why::EarlierWriter));
        }
        Err(Foreign { .. }) => {
            let kind = if is_unwanted { Kind::Extra } else { Kind::Different };
            return case.wrong(kind, Some(Why::Foreign));
        }
    };
    let stamp = &sink.stamp;
    let case = Case { found: Some(stamp), ..case };
    let found_epoch = epoch(stamp);
    if found_epoch > expected.epoch {
        return case.wrong(Kind::Newer, Some(Why::Epoch));
    }
    let Some(state) = &state else { return case.without_record(spans, stamp, Kind::Extra) };
    let right = expected.stamp(state, found_epoch);
    if is_same_record(stamp, &right) {
        let contents = || Members::stored(item).fingerprint(&sink.shape);
        return if state.is_delete() {
            case.wrong(Kind::Extra, Some(Why::Deleted))
        } else if Some(contents()) != state.contents || stamp.version != right.version {
            case.wrong(Kind::Different, None)
        } else if found_epoch < expected.epoch {
            Judgement::RightOfEarlierEpoch
        } else {
            Judgement::Right
        };
    }
    let right = expected.stamp(state, expected.epoch);
    match compare(expected.order, stamp, &right).verdict {
        Verdict::Next | Verdict::Regression if state.is_delete() => {
            case.wrong(Kind::Extra, Some(Why::Deleted))
        }
        Verdict::Next => case.wrong(Kind::Older, None),
        Verdict::Regression => case.wrong(Kind::Older, Some(Why::Regression)),
        Verdict::Duplicate | Verdict::Stale => case.without_record(spans, stamp, Kind::Newer),
    }
}

/// Judges a tombstone, and remembers for its key that one stands which is new enough.
///
/// A tombstone of a key that was put again, or of one without records, is of no matter: no rule says how long it stays.
pub fn judge_tombstone(expected: &mut Expected, tombstone: &Attributes) -> Judgement {
    let state = key(tombstone).and_then(|key| expected.states.get_mut(key.as_str()));
    let Some(state) = state.filter(|state| state.is_delete()) else { return Judgement::Right };
    state.tombstone_was_found = true;
    let state = *state;
    let case = Case { expected, state: Some(&state), found: None };
    let Ok(stamp) = tombstone_stamp(tombstone) else {
        return case.wrong(Kind::TombstoneMissing, Some(Why::Foreign));
    };
    let delete = expected.stamp(&state, expected.epoch);
    if is_same_record(&stamp, &delete) {
        let is_earlier = epoch(&stamp) < expected.epoch;
        return if is_earlier { Judgement::RightOfEarlierEpoch } else { Judgement::Right };
    }
    match compare(expected.order, &stamp, &delete).verdict {
        // A newer one keeps older records away as well.
        Verdict::Duplicate | Verdict::Stale => Judgement::Right,
        Verdict::Next | Verdict::Regression => {
            Case { found: Some(&stamp), ..case }.wrong(Kind::TombstoneMissing, Some(Why::Older))
        }
    }
}

/// Whether the topic's end is beyond a finding's record by now, so that it came while the audit was at work.
pub fn is_behind(finding: &Finding, spans: &Spans) -> bool {
    let found = finding.found.as_ref();
    found.is_some_and(|found| {
        spans.get(&found.partition).is_some_and(|span| found.offset < span.end)
    })
}

fn is_same_record(one: &Stamp, other: &Stamp) -> bool {
    one.same_lineage(other) && one.offset == other.offset && one.timestamp == other.timestamp
}

/// What is no number stands above all epochs, as no sink of this one wrote it.
fn epoch(stamp: &Stamp) -> u64 {
    stamp.epoch().parse().unwrap_or(u64::MAX)
}

fn key(item: &Attributes) -> Option<&String> {
    item.get("PK")?.as_s().ok()
}

/// The state that a key must have, if it must have one, and the one that was found, if one was.
#[derive(Clone, Copy)]
pub struct Case<'a> {
    pub expected: &'a Expected,
    pub state: Option<&'a State>,
    pub found: Option<&'a Stamp>,
}

impl Case<'_> {
    fn wrong(self, kind: Kind, why: Option<Why>) -> Judgement {
        Judgement::Wrong(self.finding(kind, why))
    }

    /// It was written by a record that is not among those that were read.
    fn without_record(self, spans: &Spans, stamp: &Stamp, kind: Kind) -> Judgement {
        let finding = self.finding(kind, Some(Why::NoRecord));
        match spans.get(&stamp.partition).filter(|_| stamp.topic == self.expected.topic) {
            Some(span) if stamp.offset < span.first => Judgement::BeforeTopic,
            Some(span) if stamp.offset >= span.end => Judgement::Late(finding),
            // It should have been read, or is nowhere in this topic.
            _ => Judgement::Wrong(finding),
        }
    }

    pub fn finding(self, kind: Kind, why: Option<Why>) -> Finding {
        let coordinates = |stamp: &Stamp| Coordinates {
            topic: stamp.topic.clone(),
            partition: stamp.partition,
            offset: stamp.offset,
            timestamp: stamp.timestamp,
            epoch: epoch(stamp),
        };
        let right = self.state.map(|state| self.expected.stamp(state, self.expected.epoch));
        Finding {
            kind,
            why,
            expected: right.as_ref().map(coordinates),
            found: self.found.map(coordinates),
            ..Finding::default()
        }
    }
}

#[cfg(test)]
mod tests;
