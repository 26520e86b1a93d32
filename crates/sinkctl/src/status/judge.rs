//! What is wrong with a stage, and what to do about it: the alarms that are raised, and what no alarm watches.
//! Of a local mapping, which has no alarms, it is any record that nobody should lose sight of.

use serde::Serialize;

use super::{AlarmStatus, FunctionStatus, MappingStatus, Status};
use crate::text::counted;

/// The counts that should be zero, and the alarm of a deployed stage whose row in the guide says what to do.
const COUNTS_OF_TROUBLE: [(&str, &str); 3] = [
    ("quarantineFailed", "-quarantine-failed"),
    ("tombstoneFailed", "-tombstone-failed"),
    ("regression", "-regressions"),
];

#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Problem {
    pub what: String,
    /// What it means, and what to do about it.
    pub advice: String,
}

/// Which verdict a status gets, as the command's exit status says it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// All was read, and nothing is wrong.
    Well,
    /// Something is wrong, whether all was read or not.
    Wrong,
    /// Nothing is known to be wrong, but not everything could be read.
    Unknown,
}

impl Status {
    pub fn problems(&self) -> Vec<Problem> {
        let mut problems = Vec::new();
        let mut add = |what: String, advice: String| problems.push(Problem { what, advice });
        for FunctionStatus { binary, mappings, activity, .. } in &self.functions {
            if mappings.as_ref().is_ok_and(Vec::is_empty) {
                add(
                    format!("{binary} has no event source mapping"),
                    "No record of its topic comes. If `AppianEnabled` or `SeatoolEnabled` is `absent`, deploying it as \
                     `true` creates the mapping; locally `sinkctl esm` runs it."
                        .to_owned(),
                );
            }
            for mapping in mappings.iter().flatten() {
                let MappingStatus { id, state, state_transition_reason, .. } = mapping;
                // What begins or changes is not wrong yet.
                if ["Disabled", "Disabling", "Deleting"].contains(&state.as_str()) {
                    let reason = state_transition_reason.as_deref().unwrap_or("no reason is given");
                    add(
                        format!("{binary}: the mapping is {state} ({reason})"),
                        format!(
                            "No record comes. If nobody wants that: `aws lambda update-event-source-mapping --enabled \
                             --uuid {id}`; OPERATIONS.md, \"Troubleshooting\"."
                        ),
                    );
                }
                let result = mapping.last_processing_result.as_deref().unwrap_or_default();
                if !["", "OK", "No records processed"].contains(&result) {
                    add(
                        format!("{binary}: {result}"),
                        "It is the mapping's last result, and it tries on. The function's log says why it fails: \
                         `sinkctl tail`, level ERROR; OPERATIONS.md, \"Troubleshooting\"."
                            .to_owned(),
                    );
                }
            }
            let (Ok(None), Ok(activity)) = (&self.alarms, activity) else { continue };
            for (name, alarm) in COUNTS_OF_TROUBLE {
                let number = activity.records.get(name).copied().unwrap_or_default();
                if number > 0 {
                    add(
                        format!("{binary}: {number} {name} in {} min", self.minutes),
                        format!("OPERATIONS.md, \"Troubleshooting\": alarm `{alarm}`."),
                    );
                }
            }
            if let Some(given_up @ 1..) = activity.given_up {
                let records = counted(given_up, "record");
                add(
                    format!("{binary}: {records} given up in {} min", self.minutes),
                    "They are in the folder of `--on-failure`; without one they are lost, and the offsets must be set \
                     back to read them again; OPERATIONS.md, \"Troubleshooting\": alarm `-dropped`."
                        .to_owned(),
                );
            }
        }
        let records =
            self.quarantine.as_ref().map_or(0, |depth| depth.by_function.values().sum::<u64>());
        if records > 0 {
            add(
                format!("{} in the quarantine", waiting(records)),
                "`sinkctl quarantine list` says why. Fix their producer or the mapping, then `sinkctl quarantine \
                 redrive` delivers them again, before they expire; OPERATIONS.md, \"Troubleshooting\": `-quarantined`."
                    .to_owned(),
            );
        }
        let alarms = self.alarms.iter().flatten().flatten();
        for alarm in alarms.filter(|alarm| alarm.state == "ALARM") {
            let name = alarm.short_name(&self.name_prefix);
            // The guide's rows are the same for each function.
            let row = match name.split_once('-') {
                Some((function, row)) if function.starts_with("sink") => row,
                _ => name,
            };
            add(
                format!("alarm {name}: {}", alarm.reason),
                format!(
                    "{} OPERATIONS.md, \"Troubleshooting\": alarm `-{row}`.",
                    alarm.description.trim()
                ),
            );
        }
        problems
    }

    pub fn is_incomplete(&self) -> bool {
        self.quarantine.is_err()
            || self.alarms.is_err()
            || self
                .functions
                .iter()
                .any(|it| it.epoch.is_err() || it.mappings.is_err() || it.activity.is_err())
    }

    pub fn verdict(&self) -> Verdict {
        match (self.problems().is_empty(), self.is_incomplete()) {
            (false, _) => Verdict::Wrong,
            (true, true) => Verdict::Unknown,
            (true, false) => Verdict::Well,
        }
    }
}

impl AlarmStatus {
    /// The name without what all names of the stage have in front.
    pub fn short_name(&self, name_prefix: &str) -> &str {
        self.name.strip_prefix(name_prefix).unwrap_or(&self.name)
    }
}

pub fn waiting(records: u64) -> String {
    format!("{} wait{}", counted(records, "record"), if records == 1 { "s" } else { "" })
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;
    use crate::status::{Activity, QuarantineDepth};

    fn status() -> Status {
        let mapping = MappingStatus {
            id: "uuid".to_owned(),
            state: "Enabled".to_owned(),
            state_transition_reason: Some("USER_INITIATED".to_owned()),
            last_processing_result: Some("OK".to_owned()),
        };
        Status {
            stage: "val".to_owned(),
            name_prefix: "a-prefix-val-".to_owned(),
            place: "us-east-1".to_owned(),
            time: 0,
            minutes: 15,
            functions: vec![FunctionStatus {
                binary: "sinkAppianData".to_owned(),
                name: "a-prefix-val-sinkAppianData".to_owned(),
                epoch: Ok("0".to_owned()),
                mappings: Ok(vec![mapping]),
                activity: Ok(Activity::default()),
            }],
            quarantine: Ok(QuarantineDepth::default()),
            alarms: Ok(Some(Vec::new())),
        }
    }

    fn alarm(name: &str, state: &str) -> AlarmStatus {
        AlarmStatus {
            name: format!("a-prefix-val-{name}"),
            state: state.to_owned(),
            description: "It is slow.".to_owned(),
            reason: "1 > 0".to_owned(),
        }
    }

    #[track_caller]
    fn check(change: impl FnOnce(&mut Status), verdict: Verdict, problems: &[&str]) {
        let mut status = status();
        change(&mut status);
        let found = status.problems();
        let found: Vec<_> = found.iter().map(|it| it.what.as_str()).collect();
        assert_eq!((status.verdict(), found.as_slice()), (verdict, problems));
    }

    fn check_mapping(change: impl FnOnce(&mut MappingStatus), problems: &[&str]) {
        let verdict = if problems.is_empty() { Verdict::Well } else { Verdict::Wrong };
        let change = |status: &mut Status| {
            if let Ok(mappings) = &mut status.functions[0].mappings {
                change(&mut mappings[0]);
            }
        };
        check(change, verdict, problems);
    }

    #[test]
    fn a_mapping_must_poll_and_succeed() {
        check(|_| {}, Verdict::Well, &[]);
        check_mapping(|it| it.state = "Updating".to_owned(), &[]);
        check_mapping(|it| it.last_processing_result = None, &[]);
        check_mapping(
            |it| it.last_processing_result = Some("No records processed".to_owned()),
            &[],
        );
        check_mapping(
            |it| it.last_processing_result = Some("PROBLEM: Function call failed".to_owned()),
            &["sinkAppianData: PROBLEM: Function call failed"],
        );
        check_mapping(
            |it| it.state = "Disabled".to_owned(),
            &["sinkAppianData: the mapping is Disabled (USER_INITIATED)"],
        );
        check(
            |it| it.functions[0].mappings = Ok(Vec::new()),
            Verdict::Wrong,
            &["sinkAppianData has no event source mapping"],
        );
    }

    #[test]
    fn alarms_and_records_that_wait_are_problems() {
        let depth = |records| QuarantineDepth {
            by_function: BTreeMap::from([("sinkAppianData".to_owned(), records)]),
            is_incomplete: false,
        };
        check(|it| it.quarantine = Ok(depth(0)), Verdict::Well, &[]);
        check(
            |it| it.quarantine = Ok(depth(1)),
            Verdict::Wrong,
            &["1 record waits in the quarantine"],
        );
        check(
            |it| it.quarantine = Ok(depth(2)),
            Verdict::Wrong,
            &["2 records wait in the quarantine"],
        );
        let alarms = || {
            let names = [
                ("sinkAppianData-errors", "OK"),
                ("sinkAppianData-lag", "ALARM"),
                ("sinkAppianData-silent", "INSUFFICIENT_DATA"),
                ("failures-bucket", "ALARM"),
            ];
            names.map(|(name, state)| alarm(name, state)).to_vec()
        };
        check(
            |it| it.alarms = Ok(Some(alarms())),
            Verdict::Wrong,
            &["alarm sinkAppianData-lag: 1 > 0", "alarm failures-bucket: 1 > 0"],
        );
        let mut status = status();
        status.alarms = Ok(Some(alarms()));
        let advice: Vec<_> = status.problems().into_iter().map(|it| it.advice).collect();
        assert_eq!(
            advice,
            [
                "It is slow. OPERATIONS.md, \"Troubleshooting\": alarm `-lag`.",
                "It is slow. OPERATIONS.md, \"Troubleshooting\": alarm `-failures-bucket`."
            ]
        );
    }

    #[test]
    fn without_alarms_some_counts_must_be_zero() {
        #[track_caller]
        fn check_counts(has_alarms: bool, activity: Activity, problems: &[&str]) {
            let verdict = if problems.is_empty() { Verdict::Well } else { Verdict::Wrong };
            let change = |status: &mut Status| {
                status.alarms = Ok(has_alarms.then(Vec::new));
                status.functions[0].activity = Ok(activity);
            };
            check(change, verdict, problems);
        }

        let counted = |names: &[&str]| Activity {
            records: names.iter().map(|&name| (name.to_owned(), 2)).collect(),
            ..Activity::default()
        };
        let troubles = ["tombstoneFailed", "regression", "quarantineFailed"];
        check_counts(false, Activity::default(), &[]);
        check_counts(false, counted(&["received", "written", "stale", "quarantined"]), &[]);
        check_counts(
            false,
            counted(&troubles),
            &[
                "sinkAppianData: 2 quarantineFailed in 15 min",
                "sinkAppianData: 2 tombstoneFailed in 15 min",
                "sinkAppianData: 2 regression in 15 min",
            ],
        );
        check_counts(true, counted(&troubles), &[]);
        let given_up = |number| Activity { given_up: Some(number), ..Activity::default() };
        check_counts(false, given_up(0), &[]);
        check_counts(false, given_up(1), &["sinkAppianData: 1 record given up in 15 min"]);
        check_counts(true, given_up(1), &[]);
    }

    #[test]
    fn what_is_wrong_counts_more_than_what_is_not_known() {
        check(|it| it.alarms = Err("no".to_owned()), Verdict::Unknown, &[]);
        check(|it| it.quarantine = Err("no".to_owned()), Verdict::Unknown, &[]);
        check(|it| it.functions[0].epoch = Err("no".to_owned()), Verdict::Unknown, &[]);
        check(|it| it.functions[0].mappings = Err("no".to_owned()), Verdict::Unknown, &[]);
        check(|it| it.functions[0].activity = Err("no".to_owned()), Verdict::Unknown, &[]);
        check(
            |it| {
                it.quarantine = Err("no".to_owned());
                it.alarms = Ok(Some(vec![alarm("failures-bucket", "ALARM")]));
            },
            Verdict::Wrong,
            &["alarm failures-bucket: 1 > 0"],
        );
    }
}
