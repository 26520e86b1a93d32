//! Whether a sink's keys are mostly new to its table, learnt from DynamoDB's answers.

use crate::write::{Answer, Expected, Request};

/// What is learnt, and when it is acted on.
#[derive(Clone, Copy, Debug)]
struct Rule {
    /// What one more observation weighs against those before it.
    weight: f64,
    /// The share of new keys from which on inserting first is the cheaper order.
    least_share: f64,
}

/// Where each insert is refused by itself, a wrong guess costs a request either way. The share is above a half since a
/// refused insert is charged by the size of the item that stands there, a refused replacement of nothing one unit.
const BY_STATEMENTS: Rule = Rule { weight: 1.0 / 64.0, least_share: 0.6 };

/// Where inserts share transactions, one key that is not new cancels its whole transaction, which is charged and sent
/// again.
const BY_TRANSACTIONS: Rule = Rule { weight: 1.0 / 128.0, least_share: 0.996 };

/// What an environment has learnt of its keys.
#[derive(Debug)]
pub(crate) struct Novelty {
    rule: Rule,
    /// The share of new keys, of which recent ones weigh more.
    share: f64,
}

impl Novelty {
    /// What an environment takes its keys for at its start: known, as they are in normal operation.
    pub(crate) fn new(inserts_by_transactions: bool) -> Self {
        let rule = if inserts_by_transactions { BY_TRANSACTIONS } else { BY_STATEMENTS };
        Self { rule, share: 0.0 }
    }

    /// What the next key is expected to be.
    pub(crate) fn expected(&self) -> Expected {
        if self.share >= self.rule.least_share { Expected::Nothing } else { Expected::Item }
    }

    /// Takes what an answer says of the key.
    pub(crate) fn observe(&mut self, request: &Request, answer: &Answer) {
        let is_new = match (request, answer) {
            (Request::ReplaceIfOlder, Answer::Refused(None))
            | (Request::Insert(_), Answer::Applied | Answer::TombstoneRefused(_)) => true,
            (Request::ReplaceIfOlder, Answer::Applied | Answer::Refused(Some(_)))
            | (Request::Insert(_), Answer::Exists | Answer::Refused(Some(_))) => false,
            _ => return,
        };
        self.share += self.rule.weight * (f64::from(u8::from(is_new)) - self.share);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::write::TombstoneCheck;

    const INSERT: Request = Request::Insert(TombstoneCheck::None);

    /// Observes so many new and known keys in turn, and says what is expected then.
    #[track_caller]
    fn check(in_transactions: bool, keys: &[(usize, bool)], expected: Expected) {
        let mut novelty = Novelty::new(in_transactions);
        for &(count, is_new) in keys {
            let answer = if is_new { Answer::Applied } else { Answer::Exists };
            for _ in 0..count {
                novelty.observe(&INSERT, &answer);
            }
        }
        assert_eq!(novelty.expected(), expected, "{keys:?} {}", novelty.share);
    }

    #[test]
    fn what_most_keys_were_is_expected_of_the_next() {
        check(false, &[], Expected::Item);
        check(false, &[(50, true)], Expected::Item);
        check(false, &[(75, true)], Expected::Nothing);
        check(false, &[(2000, true), (25, false)], Expected::Nothing);
        check(false, &[(2000, true), (50, false)], Expected::Item);
        check(true, &[(300, true)], Expected::Item);
        check(true, &[(2000, true)], Expected::Nothing);
        check(true, &[(2000, true), (1, false)], Expected::Item);
        check(true, &[(2000, true), (1, false), (400, true)], Expected::Nothing);
    }

    #[test]
    fn each_answer_says_whether_the_key_was_new() {
        #[track_caller]
        fn check(request: &Request, answer: &Answer, is_new: Option<bool>) {
            let mut novelty = Novelty { rule: BY_STATEMENTS, share: 0.5 };
            novelty.observe(request, answer);
            let is_changed = (novelty.share - 0.5).abs() > 0.0;
            assert_eq!(is_changed.then_some(novelty.share > 0.5), is_new, "{request:?} {answer:?}");
        }
        let seen = || Answer::Refused(Some(crate::write::Seen::Unstamped));
        check(&Request::ReplaceIfOlder, &Answer::Applied, Some(false));
        check(&Request::ReplaceIfOlder, &seen(), Some(false));
        check(&Request::ReplaceIfOlder, &Answer::Refused(None), Some(true));
        check(&INSERT, &Answer::Applied, Some(true));
        check(&INSERT, &Answer::TombstoneRefused(None), Some(true));
        check(&INSERT, &Answer::Exists, Some(false));
        check(&INSERT, &seen(), Some(false));
        check(&Request::InsertTombstone, &Answer::Applied, None);
        check(&Request::RemoveIfOlder, &Answer::Refused(None), None);
    }
}
