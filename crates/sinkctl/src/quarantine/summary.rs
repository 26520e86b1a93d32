//! What came of a redrive.

use std::{
    collections::BTreeMap,
    io::{self, Write},
};

use serde::Serialize;

use crate::{
    text::{counted, counts, write_rest},
    visible::Visible,
};

/// How many entries that stay are shown of each cause.
const SHOWN: usize = 20;

#[derive(Debug, Default, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Summary {
    pub entries: usize,
    pub accepted: usize,
    /// How the functions' logs say that these ended, as far as the logs are known.
    pub outcomes: BTreeMap<&'static str, u64>,
    /// How many somebody else removed meanwhile.
    pub were_gone: usize,
    /// Those that were tried or looked at, and stay.
    pub left: Vec<Left>,
    /// How many still stand that nothing was decided on.
    pub remaining: usize,
    pub ended_by: Option<EndedBy>,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Left {
    pub topic: String,
    pub partition: i32,
    pub offset: i64,
    pub epoch: u64,
    /// Why it had been rejected.
    pub reason: String,
    pub why: Why,
    /// What the function's log says of it.
    pub message: Option<String>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "camelCase")]
pub enum Why {
    RejectedAgain,
    /// The function did not decide on it, or failed to store what it decided.
    Failed,
    /// The function took it for the sign of a topic that was created again.
    NotApplied,
    Incomplete,
    Unreadable,
    TooLarge,
    /// It should be gone already, and with it may be what would keep its record from overwriting a newer state.
    Expired,
    NoFunction,
    OtherTopic,
    LowerEpoch,
    /// The record came with an epoch that could not be used, so that its entry's is a guess.
    OddEpoch,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub enum EndedBy {
    Stop,
    /// This, which is not the records' fault.
    Fault(String),
}

impl Why {
    pub fn words(self) -> &'static str {
        match self {
            Self::RejectedAgain => "rejected again",
            Self::Failed => "failed, try again",
            Self::NotApplied => "not applied: was its topic created again without a new epoch?",
            Self::Incomplete => "a part of its record is missing: read it from the topic",
            Self::Unreadable => "it is not what a sink wrote: look at it with `show`",
            Self::TooLarge => "too large for an invocation: read it from the topic",
            Self::Expired => "it has expired: read it from the topic",
            Self::NoFunction => "the template has no such function",
            Self::OtherTopic => "its function is set up for another topic",
            Self::LowerEpoch => "its function's epoch is lower than the entry's",
            Self::OddEpoch => {
                "it came with an epoch of its own that is wrong: deliver it with the right one"
            }
        }
    }
}

impl Summary {
    pub fn write(&self, out: &mut dyn Write) -> io::Result<()> {
        write!(
            out,
            "{} of {} accepted and removed",
            self.accepted,
            counted(self.entries, "record")
        )?;
        let outcomes = counts(self.outcomes.clone());
        if !outcomes.is_empty() {
            write!(out, " (by the functions' logs {outcomes})")?;
        }
        writeln!(out)?;
        if self.were_gone > 0 {
            writeln!(out, "{} already gone", self.were_gone)?;
        }
        let mut by_cause: BTreeMap<Why, Vec<&Left>> = BTreeMap::new();
        for left in &self.left {
            by_cause.entry(left.why).or_default().push(left);
        }
        for (why, left) in by_cause {
            writeln!(out, "{} left, {}", counted(left.len(), "record"), why.words())?;
            for it in left.iter().take(SHOWN) {
                let Left { topic, partition, offset, epoch, reason, message, .. } = it;
                let message = message.as_ref().map(|it| format!("; now {it}")).unwrap_or_default();
                let line = format!(
                    "{topic}-{partition} offset {offset} epoch {epoch}: was {reason}{message}"
                );
                writeln!(out, "  {}", Visible(&line))?;
            }
            write_rest(left.len(), SHOWN, ": `--json` names them", out)?;
        }
        match &self.ended_by {
            Some(EndedBy::Stop) => write!(out, "stopped")?,
            Some(EndedBy::Fault(cause)) => write!(out, "ended early: {}", Visible(cause))?,
            None => return Ok(()),
        }
        let remaining = counted(self.remaining, "record");
        writeln!(out, "\n{remaining} not decided on; the same command goes on with what is left")
    }
}

#[cfg(test)]
mod tests {
    use expect_test::{Expect, expect};

    use super::*;
    use crate::visible::write_json;

    fn left(offset: i64, why: Why, message: Option<&str>) -> Left {
        Left {
            topic: "a-b".to_owned(),
            partition: 3,
            offset,
            epoch: 0,
            reason: "INVALID_JSON".to_owned(),
            why,
            message: message.map(str::to_owned),
        }
    }

    #[test]
    fn what_stays_is_shown_by_its_cause() {
        #[track_caller]
        fn check(summary: &Summary, expected: &Expect) {
            let mut out = Vec::new();
            summary.write(&mut out).unwrap();
            expected.assert_eq(&String::from_utf8(out).unwrap());
        }

        let outcomes = BTreeMap::from([("written", 2), ("stale", 1)]);
        let good = || Summary { entries: 3, accepted: 3, outcomes, ..Summary::default() };
        check(
            &good(),
            &expect![[r"
            3 of 3 records accepted and removed (by the functions' logs 1 stale, 2 written)
        "]],
        );
        let gone = Summary { entries: 1, were_gone: 1, ..Summary::default() };
        check(
            &gone,
            &expect![[r"
            0 of 1 record accepted and removed
            1 already gone
        "]],
        );
        let several = Summary {
            entries: 30,
            accepted: 1,
            left: (0..22)
                .map(|offset| left(offset, Why::RejectedAgain, Some("NULL_VALUE: \u{1b}")))
                .chain([left(99, Why::Incomplete, None)])
                .collect(),
            remaining: 6,
            ended_by: Some(EndedBy::Fault("`f` failed: \u{7}".to_owned())),
            ..Summary::default()
        };
        check(
            &several,
            &expect![[r"
            1 of 30 records accepted and removed
            22 records left, rejected again
              a-b-3 offset 0 epoch 0: was INVALID_JSON; now NULL_VALUE: \u{1b}
              a-b-3 offset 1 epoch 0: was INVALID_JSON; now NULL_VALUE: \u{1b}
              a-b-3 offset 2 epoch 0: was INVALID_JSON; now NULL_VALUE: \u{1b}
              a-b-3 offset 3 epoch 0: was INVALID_JSON; now NULL_VALUE: \u{1b}
              a-b-3 offset 4 epoch 0: was INVALID_JSON; now NULL_VALUE: \u{1b}
              a-b-3 offset 5 epoch 0: was INVALID_JSON; now NULL_VALUE: \u{1b}
              a-b-3 offset 6 epoch 0: was INVALID_JSON; now NULL_VALUE: \u{1b}
              a-b-3 offset 7 epoch 0: was INVALID_JSON; now NULL_VALUE: \u{1b}
              a-b-3 offset 8 epoch 0: was INVALID_JSON; now NULL_VALUE: \u{1b}
              a-b-3 offset 9 epoch 0: was INVALID_JSON; now NULL_VALUE: \u{1b}
              a-b-3 offset 10 epoch 0: was INVALID_JSON; now NULL_VALUE: \u{1b}
              a-b-3 offset 11 epoch 0: was INVALID_JSON; now NULL_VALUE: \u{1b}
              a-b-3 offset 12 epoch 0: was INVALID_JSON; now NULL_VALUE: \u{1b}
              a-b-3 offset 13 epoch 0: was INVALID_JSON; now NULL_VALUE: \u{1b}
              a-b-3 offset 14 epoch 0: was INVALID_JSON; now NULL_VALUE: \u{1b}
              a-b-3 offset 15 epoch 0: was INVALID_JSON; now NULL_VALUE: \u{1b}
              a-b-3 offset 16 epoch 0: was INVALID_JSON; now NULL_VALUE: \u{1b}
              a-b-3 offset 17 epoch 0: was INVALID_JSON; now NULL_VALUE: \u{1b}
              a-b-3 offset 18 epoch 0: was INVALID_JSON; now NULL_VALUE: \u{1b}
              a-b-3 offset 19 epoch 0: was INVALID_JSON; now NULL_VALUE: \u{1b}
            and 2 more: `--json` names them
            1 record left, a part of its record is missing: read it from the topic
              a-b-3 offset 99 epoch 0: was INVALID_JSON
            ended early: `f` failed: \u{7}
            6 records not decided on; the same command goes on with what is left
        "]],
        );
        let stopped = Summary {
            entries: 2,
            accepted: 1,
            remaining: 1,
            ended_by: Some(EndedBy::Stop),
            ..Summary::default()
        };
        check(
            &stopped,
            &expect![[r"
            1 of 2 records accepted and removed
            stopped
            1 record not decided on; the same command goes on with what is left
        "]],
        );

        let mut out = Vec::new();
        write_json(&Summary { left: several.left[22..].to_vec(), ..several }, &mut out).unwrap();
        expect![[r#"
            {"entries":30,"accepted":1,"outcomes":{},"wereGone":0,"left":[{"topic":"a-b","partition":3,"offset":99,"epoch":0,"reason":"INVALID_JSON","why":"incomplete","message":null}],"remaining":6,"endedBy":{"fault":"`f` failed: \u0007"}}
        "#]].assert_eq(&String::from_utf8(out).unwrap());
    }
}
