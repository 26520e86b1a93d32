//! What the quarantine must hold: an entry for each record that the mapping rejects, for the same reason.

use std::{collections::HashMap, time::Duration};

use dynamo_sink::sink::Rejection;
use kafka_event::Record;

use super::report::{Coordinates, Finding, Kind, QuarantinedRecord, Report, Why};
use crate::quarantine::store::Listed;

/// The reason of records that only DynamoDB found to be unwritable: the mapping accepts them.
const REFUSED_BY_DYNAMODB: &str = "REFUSED_BY_DYNAMODB";

/// A partition's entries. They are all of the memory that grows with records, and only with rejected ones.
#[derive(Debug)]
pub struct Entries {
    epoch: u64,
    /// By offset and timestamp, which distinguish a record from that of a topic of the same name that was deleted.
    by_record: HashMap<(i64, i64), Listed>,
}

impl Entries {
    /// Those that count in the audited epoch, of entries that are sorted by theirs: for one record the last.
    pub fn new(epoch: u64, found: Vec<Listed>) -> Self {
        let found = found.into_iter().filter(|it| it.head.epoch <= epoch);
        let by_record = found.map(|it| ((it.head.offset, it.head.timestamp), it)).collect();
        Self { epoch, by_record }
    }

    fn entry(&self, record: &Record<'_>) -> Option<&Listed> {
        self.by_record.get(&(record.offset, record.timestamp))
    }

    pub fn judge_rejected(
        &self,
        record: &Record<'_>,
        rejection: &Rejection,
        may_have_expired: bool,
        report: &mut Report,
    ) {
        report.rejected += 1;
        let found = self.entry(record);
        let is_whole = found.is_none_or(|entry| entry.is_whole);
        match found {
            Some(entry) if entry.head.reason == rejection.code && is_whole => {
                report.quarantined += 1;
                return;
            }
            None if may_have_expired => {
                report.notes.may_have_expired += 1;
                return;
            }
            _ => {}
        }
        let is_another = is_whole && found.is_some();
        report.add(Finding {
            kind: if is_another { Kind::OtherReason } else { Kind::NotQuarantined },
            why: (!is_whole).then_some(Why::Parts),
            expected: Some(Coordinates {
                topic: record.topic.to_string(),
                partition: record.partition,
                offset: record.offset,
                timestamp: record.timestamp,
                epoch: self.epoch,
            }),
            expected_reason: Some(rejection.code.to_owned()),
            found_reason: found.map(|entry| entry.head.reason.clone()),
            ..Finding::default()
        });
    }

    /// Looks at a record that the mapping accepts, and says whether it counts for its key's state: not if DynamoDB
    /// refused it, for then the next older record's state must stand.
    pub fn judge_accepted(&self, record: &Record<'_>, report: &mut Report) -> bool {
        let Some(entry) = self.entry(record) else { return true };
        let reason = &entry.head.reason;
        if reason == REFUSED_BY_DYNAMODB {
            report.quarantined += 1;
            return false;
        }
        report.add_redrivable(QuarantinedRecord {
            partition: record.partition,
            offset: record.offset,
            reason: reason.clone(),
        });
        true
    }
}

/// Whether what was stored for so long when a record came, or for ever, may be gone by now. When it came is not known,
/// but hardly before its own timestamp.
pub fn may_have_expired(timestamp: i64, retention: Option<Duration>, now: i64) -> bool {
    let Some(retention) = retention else { return false };
    let retention = i64::try_from(retention.as_millis()).unwrap_or(i64::MAX);
    timestamp.saturating_add(retention) < now
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::quarantine::{
        entry::{Head, Item},
        filter::Filter,
        store::Gathered,
    };

    fn record(offset: i64, timestamp: i64) -> Record<'static> {
        Record {
            topic: "t".into(),
            partition: 3,
            offset,
            timestamp,
            timestamp_type: None,
            key: None,
            value: None,
            headers: Vec::new(),
            key_schema: None,
            value_schema: None,
            epoch: None,
        }
    }

    fn entry(offset: i64, timestamp: i64, epoch: u64, reason: &str) -> Item {
        Item::Head(Head { offset, timestamp, epoch, reason: reason.to_owned(), ..Head::example() })
    }

    fn entries(items: &[Item]) -> Entries {
        let mut gathered = Gathered::default();
        for item in items {
            gathered.add(Some(item.clone()));
        }
        Entries::new(2, gathered.finish(&Filter::default(), 0).entries)
    }

    const DAY: i64 = 24 * 60 * 60 * 1000;

    #[test]
    fn a_rejected_record_has_an_entry_for_the_same_reason() {
        #[track_caller]
        fn check(items: &[Item], timestamp: i64, expected: Option<(Kind, Option<&str>)>) {
            let has_expired =
                may_have_expired(timestamp, Some(Duration::from_hours(24)), 100 * DAY);
            let mut report = Report::default();
            let rejection = Rejection::new("BAD", "bad");
            entries(items).judge_rejected(
                &record(7, timestamp),
                &rejection,
                has_expired,
                &mut report,
            );

            assert_eq!(report.rejected, 1);
            let found = report.findings.values().flatten().next();
            assert_eq!(found.map(|found| (found.kind, found.found_reason.as_deref())), expected);
            let is_quarantined = expected.is_none() && report.notes.may_have_expired == 0;
            assert_eq!(report.quarantined, u64::from(is_quarantined));
        }

        let now = 100 * DAY;
        check(&[entry(7, now, 2, "BAD")], now, None);
        check(&[], now, Some((Kind::NotQuarantined, None)));
        check(&[entry(7, now, 2, "WORSE")], now, Some((Kind::OtherReason, Some("WORSE"))));
        // Another record, or that of a topic which was deleted.
        check(&[entry(8, now, 2, "BAD")], now, Some((Kind::NotQuarantined, None)));
        check(&[entry(7, now - 1, 2, "BAD")], now, Some((Kind::NotQuarantined, None)));
        // The epoch was raised and nothing delivered again; or it will be.
        check(&[entry(7, now, 1, "BAD")], now, None);
        check(&[entry(7, now, 3, "BAD")], now, Some((Kind::NotQuarantined, None)));
        check(&[entry(7, now, 1, "WORSE"), entry(7, now, 2, "BAD")], now, None);
        check(&[entry(7, now, 2, "BAD"), entry(7, now, 1, "WORSE")], now, None);
        // A part of a large record, which is no entry.
        let key = Head::example().key;
        let part_of =
            |hash: &str, number| Item::Part { head: key.clone(), hash: hash.to_owned(), number };
        let part = |number| part_of("ab", number);
        check(&[part(0)], now, Some((Kind::NotQuarantined, None)));
        // A large record, all of whose parts must stand.
        let large = Head { offset: 7, timestamp: now, reason: "BAD".to_owned(), ..Head::example() };
        let large = Item::Head(Head { parts: 2, hash: Some("ab".to_owned()), ..large });
        let parts = [part(0), part(1)];
        check(&[large.clone(), parts[0].clone(), parts[1].clone()], now, None);
        check(&[parts[1].clone(), parts[0].clone(), large.clone()], now, None);
        check(&[large.clone(), parts[1].clone()], now, Some((Kind::NotQuarantined, Some("BAD"))));
        let other = [large.clone(), parts[1].clone(), part_of("cd", 0)];
        check(&other, now, Some((Kind::NotQuarantined, Some("BAD"))));
        check(&[large], now, Some((Kind::NotQuarantined, Some("BAD"))));
        // Its entry may have expired, if it had one.
        check(&[], now - DAY - 1, None);
        check(&[], now - DAY, Some((Kind::NotQuarantined, None)));
        check(&[entry(7, 0, 2, "WORSE")], 0, Some((Kind::OtherReason, Some("WORSE"))));
    }

    #[test]
    fn an_accepted_record_may_be_quarantined_all_the_same() {
        #[track_caller]
        fn check(items: &[Item], counts: bool, quarantined: u64, redrivable: u64) {
            let mut report = Report::default();
            assert_eq!(entries(items).judge_accepted(&record(7, 9), &mut report), counts);
            assert_eq!(
                (report.quarantined, report.notes.redrivable, report.differences),
                (quarantined, redrivable, 0)
            );
        }

        check(&[], true, 0, 0);
        check(&[entry(7, 9, 2, "BAD")], true, 0, 1);
        check(&[entry(7, 9, 0, "BAD")], true, 0, 1);
        check(&[entry(7, 9, 2, REFUSED_BY_DYNAMODB)], false, 1, 0);
        check(&[entry(7, 8, 2, REFUSED_BY_DYNAMODB)], true, 0, 0);
    }
}
