//! What an environment learns from DynamoDB's answers and keeps between invocations. A wrong guess costs a request.

use std::{
    collections::HashMap,
    time::{Duration, Instant},
};

use serde_json::{Value, json};

use super::{
    chain::{Decided, Fate},
    write::{Answer, Expected, Landed, Request, Shown},
};

/// The share of new keys from which on inserting first is the cheaper order, where each insert is refused by itself. A
/// wrong guess costs a request either way; it is above a half since a refused insert is charged by the size of the item
/// that stands there, a refused replacement of nothing one unit.
const NEW_BY_STATEMENTS: f64 = 0.6;

/// The same where inserts share transactions: one key that is not new cancels its whole transaction, which is charged
/// and sent again.
const NEW_BY_TRANSACTIONS: f64 = 0.996;

/// How many write units one read unit costs, see <https://aws.amazon.com/dynamodb/pricing/>.
const READ_UNIT: f64 = 0.2;

/// As many as a request brings.
const LEAST_OBSERVED: f64 = 25.0;

/// How much more a look must save than it costs: it takes a request and its time, too. Not so much that one request of
/// duplicates does not tell of the rest, where an item has 1 KB and a tombstone.
const LEAST_GAIN: f64 = 1.5;

/// How long there are no looks after one that did not come about.
const BLIND_TIME: Duration = Duration::from_mins(1);

/// What an environment has learnt.
#[derive(Debug)]
pub(crate) struct Learnt {
    has_deletes: bool,
    may_look: bool,
    /// Until when there are no looks, since one did not come about.
    blind_until: Option<Instant>,
    /// The share of keys that are new to the table.
    new: Share,
    /// The share of records that change nothing, as a look can tell: lately, and over as many as a large batch has. The
    /// higher one counts, so that looking is soon begun and slowly given up: the records of a batch that change nothing
    /// end before the others.
    needless: [Share; 2],
    /// The newest offset that came, by partition.
    newest: HashMap<i32, i64>,
}

impl Learnt {
    /// What an environment takes its records for at its start: new states of known keys, as in normal operation.
    pub(crate) fn new(has_deletes: bool, may_look: bool) -> Self {
        Self {
            has_deletes,
            may_look,
            blind_until: None,
            new: Share::new(if has_deletes { 128.0 } else { 64.0 }),
            needless: [Share::new(64.0), Share::new(256.0)],
            newest: HashMap::new(),
        }
    }

    /// Takes the offsets of a batch, and says whether some of them came before, as in a replay or a retried batch.
    pub(crate) fn is_redelivered(&mut self, offsets: impl Iterator<Item = (i32, i64)>) -> bool {
        let mut is_any = false;
        for (partition, offset) in offsets {
            let newest = self.newest.entry(partition).or_insert(i64::MIN);
            is_any |= offset <= *newest;
            *newest = offset.max(*newest);
        }
        is_any
    }

    /// What the next put is expected to find, where its item has so many bytes. There are no looks for deletes: by the
    /// equal tombstone of one that comes again a look decides nothing.
    pub(crate) fn expected(&self, item_size: usize, now: Instant) -> Expected {
        let least_new = if self.has_deletes { NEW_BY_TRANSACTIONS } else { NEW_BY_STATEMENTS };
        let is_blind = !self.may_look || self.blind_until.is_some_and(|until| now < until);
        let saved = self.needless() * refusal(item_size);
        if !is_blind && saved > LEAST_GAIN * self.look(item_size) {
            Expected::NothingToDo
        } else if self.new.get() >= least_new {
            Expected::Nothing
        } else {
            Expected::Item
        }
    }

    /// What a look costs in write units: half a read unit for each 4 KB of the item, and one half for the tombstone.
    fn look(&self, item_size: usize) -> f64 {
        let reads = units(item_size, 4096) + f64::from(u8::from(self.has_deletes));
        reads / 2.0 * READ_UNIT
    }

    fn needless(&self) -> f64 {
        self.needless.iter().map(Share::get).fold(0.0, f64::max)
    }

    /// Takes what the first answer about a record says of its key.
    pub(crate) fn observe(&mut self, request: &Request, answer: &Answer) {
        let is_new = match (request, answer) {
            (Request::ReplaceIfOlder, Answer::Refused(None))
            | (Request::Insert(_), Answer::Applied | Answer::TombstoneRefused(_))
            | (Request::Look, Answer::Looked(Some(Shown { item: None, .. }))) => true,
            (Request::ReplaceIfOlder, Answer::Applied | Answer::Refused(Some(_)))
            | (Request::Insert(_), Answer::Exists | Answer::Refused(Some(_)))
            | (Request::Look, Answer::Looked(Some(Shown { item: Some(_), .. }))) => false,
            _ => return,
        };
        self.new.observe(is_new);
    }

    /// Takes how a put ended.
    pub(crate) fn observe_end(&mut self, decided: &Decided) {
        let is_needless = match decided.fate {
            Fate::Landed(Landed::Duplicate) => true,
            // By a state of another lineage a look decides nothing.
            Fate::Landed(Landed::Stale) => !decided.conflict,
            Fate::Landed(_) => false,
            Fate::Superseded | Fate::Unwritable | Fate::Failed => return,
        };
        for share in &mut self.needless {
            share.observe(is_needless);
        }
    }

    /// A look did not come about. There are none for a while then, or never again where what is wrong lasts, as without
    /// the permission; says whether that is news.
    pub(crate) fn look_failed(&mut self, is_lasting: bool, now: Instant) -> bool {
        self.blind_until = Some(now + BLIND_TIME);
        let is_news = self.may_look && is_lasting;
        self.may_look &= !is_lasting;
        is_news
    }

    /// All of it but the offsets, as it is logged.
    pub(crate) fn describe(&self) -> Value {
        json!({
            "newKeys": percent(self.new.of_one),
            "needless": percent(self.needless()),
            "mayLook": self.may_look,
        })
    }
}

/// What a refused write is charged for an item of so many bytes, in write units.
fn refusal(item_size: usize) -> f64 {
    units(item_size, 1024)
}

/// How many units of so many bytes each are charged for an item; one for none.
fn units(item_size: usize, unit: usize) -> f64 {
    u32::try_from(item_size.div_ceil(unit)).map_or(f64::MAX, f64::from).max(1.0)
}

fn percent(share: f64) -> f64 {
    (share * 100.0).round()
}

/// A share of what was observed, of which the recent weighs more.
#[derive(Debug)]
struct Share {
    of_one: f64,
    observed: f64,
    /// How many observations count in the long run.
    memory: f64,
}

impl Share {
    fn new(memory: f64) -> Self {
        Self { of_one: 0.0, observed: 0.0, memory }
    }

    /// Few observations say nothing.
    fn get(&self) -> f64 {
        if self.observed < LEAST_OBSERVED { 0.0 } else { self.of_one }
    }

    /// The first observations are a plain mean, so that the first requests of a replay or a load are enough.
    fn observe(&mut self, is_so: bool) {
        self.observed = (self.observed + 1.0).min(self.memory);
        self.of_one += (f64::from(u8::from(is_so)) - self.of_one) / self.observed;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::order::write::{Seen, TombstoneCheck};

    const INSERT: Request = Request::Insert(TombstoneCheck::None);

    fn learnt(has_deletes: bool) -> Learnt {
        Learnt::new(has_deletes, true)
    }

    #[test]
    fn what_most_keys_were_is_expected_of_the_next() {
        /// Observes so many new and known keys in turn, and says what is expected then.
        #[track_caller]
        fn check(has_deletes: bool, keys: &[(usize, bool)], expected: Expected) {
            let mut learnt = learnt(has_deletes);
            for &(count, is_new) in keys {
                let answer = if is_new { Answer::Applied } else { Answer::Exists };
                for _ in 0..count {
                    learnt.observe(&INSERT, &answer);
                }
            }
            assert_eq!(learnt.expected(0, Instant::now()), expected, "{keys:?} {learnt:?}");
        }

        check(false, &[], Expected::Item);
        check(false, &[(24, true)], Expected::Item);
        check(false, &[(25, true)], Expected::Nothing);
        check(false, &[(25, true), (25, false)], Expected::Item);
        check(false, &[(25, false), (25, true)], Expected::Item);
        check(false, &[(25, false), (60, true)], Expected::Nothing);
        check(false, &[(2000, true), (25, false)], Expected::Nothing);
        check(false, &[(2000, true), (50, false)], Expected::Item);
        check(true, &[(25, true)], Expected::Nothing);
        check(true, &[(74, true), (1, false)], Expected::Item);
        check(true, &[(2000, true), (1, false)], Expected::Item);
        check(true, &[(2000, true), (1, false), (400, true)], Expected::Nothing);
    }

    #[test]
    fn it_is_looked_where_that_costs_less_than_it_saves() {
        /// After so many records of a hundred that change nothing.
        #[track_caller]
        fn check(has_deletes: bool, needless: usize, item_size: usize, is_looked: bool) {
            let mut learnt = learnt(has_deletes);
            for record in 0..100 {
                let fate = if record < needless { Landed::Duplicate } else { Landed::Written };
                learnt.observe_end(&decided(Fate::Landed(fate), false));
                learnt.observe(&Request::ReplaceIfOlder, &Answer::Applied);
            }
            let expected = if is_looked { Expected::NothingToDo } else { Expected::Item };
            assert_eq!(
                learnt.expected(item_size, Instant::now()),
                expected,
                "{needless} {item_size} {learnt:?}"
            );
        }

        check(false, 0, 4096, false);
        check(false, 2, 4096, false);
        check(false, 60, 1024, true);
        check(false, 60, 0, true);
        check(true, 60, 0, true);
        check(true, 10, 0, false);
        check(true, 100, 400 * 1024, true);

        let mut unable = Learnt::new(false, false);
        for _ in 0..100 {
            unable.observe_end(&decided(Fate::Landed(Landed::Duplicate), false));
        }
        assert_eq!(unable.expected(1024, Instant::now()), Expected::Item);
    }

    #[test]
    fn one_request_of_duplicates_is_enough_to_look() {
        for has_deletes in [false, true] {
            let mut learnt = learnt(has_deletes);
            for record in 0..1025 {
                let fate = if record < 1000 { Landed::Written } else { Landed::Duplicate };
                learnt.observe_end(&decided(Fate::Landed(fate), false));
            }
            assert_eq!(learnt.expected(1024, Instant::now()), Expected::NothingToDo);
        }
    }

    #[test]
    fn the_price_of_a_look_is_by_reads_and_of_a_refusal_by_writes() {
        #[track_caller]
        fn check(has_deletes: bool, item_size: usize, look: f64, refused: f64) {
            let prices = [learnt(has_deletes).look(item_size), refusal(item_size)];
            let close = |(found, expected): (f64, f64)| (found - expected).abs() < 1e-9;
            assert!(prices.into_iter().zip([look, refused]).all(close), "{prices:?}");
        }

        check(false, 0, 0.1, 1.0);
        check(false, 1024, 0.1, 1.0);
        check(false, 1025, 0.1, 2.0);
        check(false, 4097, 0.2, 5.0);
        check(true, 1024, 0.2, 1.0);
        check(true, 400 * 1024, 10.1, 400.0);
    }

    #[test]
    fn looking_is_soon_begun_and_slowly_given_up() {
        let mut learnt = learnt(false);
        let mut land = |records: usize, fate: Landed| {
            for _ in 0..records {
                learnt.observe_end(&decided(Fate::Landed(fate), false));
            }
            learnt.expected(2048, Instant::now()) == Expected::NothingToDo
        };
        assert!(!land(5000, Landed::Written));
        assert!(land(25, Landed::Duplicate));
        assert!(land(500, Landed::Duplicate) && land(500, Landed::Written));
        assert!(!land(1000, Landed::Written));
    }

    #[test]
    fn offsets_that_come_again_are_noticed() {
        let mut learnt = learnt(false);
        let mut come = |offsets: &[(i32, i64)]| learnt.is_redelivered(offsets.iter().copied());
        assert!(!come(&[(0, 5), (1, 0), (0, 6)]));
        assert!(!come(&[(0, 7), (2, -1)]));
        assert!(come(&[(0, 8), (1, 0)]));
        assert!(come(&[(0, 7)]));
        assert!(!come(&[(0, 9), (1, 1)]));
    }

    #[test]
    fn after_a_look_that_fails_there_is_none_for_a_while_or_never() {
        let now = Instant::now();
        let mut learnt = learnt(false);
        for _ in 0..100 {
            learnt.observe_end(&decided(Fate::Landed(Landed::Duplicate), false));
        }
        let expected =
            |learnt: &Learnt, seconds| learnt.expected(1024, now + Duration::from_secs(seconds));
        assert_eq!(expected(&learnt, 0), Expected::NothingToDo);
        assert!(!learnt.look_failed(false, now));
        assert_eq!(expected(&learnt, 59), Expected::Item);
        assert_eq!(expected(&learnt, 60), Expected::NothingToDo);
        assert_eq!([true, true].map(|it| learnt.look_failed(it, now)), [true, false]);
        assert_eq!(expected(&learnt, 60), Expected::Item);
    }

    fn decided(fate: Fate, conflict: bool) -> Decided {
        Decided { record: 0, fate, conflict }
    }

    #[test]
    fn each_end_says_whether_a_look_would_have_saved_it() {
        #[track_caller]
        fn check(fate: Fate, conflict: bool, is_needless: Option<bool>) {
            let mut learnt = learnt(true);
            learnt.needless[0] = Share { of_one: 0.5, observed: 9.0, memory: 64.0 };
            learnt.observe_end(&decided(fate, conflict));
            assert_eq!(moved(&learnt.needless[0]), is_needless, "{fate:?} {conflict}");
        }

        check(Fate::Landed(Landed::Duplicate), false, Some(true));
        check(Fate::Landed(Landed::Stale), false, Some(true));
        check(Fate::Landed(Landed::Stale), true, Some(false));
        check(Fate::Landed(Landed::Regression), false, Some(false));
        check(Fate::Landed(Landed::Written), false, Some(false));
        check(Fate::Superseded, false, None);
        check(Fate::Failed, false, None);
        check(Fate::Unwritable, false, None);
    }

    #[test]
    fn each_answer_says_whether_the_key_was_new() {
        #[track_caller]
        fn check(request: &Request, answer: &Answer, is_new: Option<bool>) {
            let mut learnt = learnt(false);
            learnt.new = Share { of_one: 0.5, observed: 9.0, memory: 64.0 };
            learnt.observe(request, answer);
            assert_eq!(moved(&learnt.new), is_new, "{request:?} {answer:?}");
        }

        let shown = |item| Answer::Looked(Some(Shown { item, tombstone: None }));
        let seen = || Answer::Refused(Some(Seen::Unstamped));
        check(&Request::ReplaceIfOlder, &Answer::Applied, Some(false));
        check(&Request::ReplaceIfOlder, &seen(), Some(false));
        check(&Request::ReplaceIfOlder, &Answer::Refused(None), Some(true));
        check(&INSERT, &Answer::Applied, Some(true));
        check(&INSERT, &Answer::TombstoneRefused(None), Some(true));
        check(&INSERT, &Answer::Exists, Some(false));
        check(&INSERT, &seen(), Some(false));
        check(&Request::InsertTombstone, &Answer::Applied, None);
        check(&Request::RemoveIfOlder, &Answer::Refused(None), None);
        check(&Request::Look, &shown(Some(Seen::Unstamped)), Some(false));
        check(&Request::Look, &shown(None), Some(true));
        check(&Request::Look, &Answer::Looked(None), None);
    }

    /// Whether a share of a half has become more; none if it is still one.
    fn moved(share: &Share) -> Option<bool> {
        ((share.of_one - 0.5).abs() > 0.0).then_some(share.of_one > 0.5)
    }
}
