use std::collections::BTreeMap;

use anstream::adapter::strip_str;

use super::*;

fn function(binary: &str) -> FunctionStatus {
    let records = [("received", 12_000), ("written", 11_950), ("stale", 50), ("failed", 0)];
    FunctionStatus {
        binary: binary.to_owned(),
        name: format!("a-prefix-val-{binary}"),
        epoch: Ok("0".to_owned()),
        mappings: Ok(vec![MappingStatus {
            id: "1f0e1b2c-93a4-4f4c-8a57-0d6f1b2c93a4".to_owned(),
            state: "Enabled".to_owned(),
            state_transition_reason: Some("USER_INITIATED".to_owned()),
            last_processing_result: Some("OK".to_owned()),
        }]),
        activity: Ok(Activity {
            lag: Some(3),
            lag_by_partition: BTreeMap::new(),
            invocations: Some(150),
            errors: Some(0),
            throttles: Some(0),
            records: records.map(|(name, number)| (name.to_owned(), number)).into(),
            given_up: None,
            oldest_record_age: Some(12_345),
        }),
    }
}

fn status() -> Status {
    let alarm = |name: &str| AlarmStatus {
        name: format!("a-prefix-val-{name}"),
        state: "OK".to_owned(),
        description:
            "It is slow: make it faster, which is done by many means that are all told of here."
                .to_owned(),
        reason: "3 of 3 periods were above 0".to_owned(),
    };
    Status {
        stage: "val".to_owned(),
        name_prefix: "a-prefix-val-".to_owned(),
        place: "AWS us-east-1".to_owned(),
        time: 1_700_000_000_000,
        minutes: 15,
        functions: vec![function("sinkAppianData"), function("sinkSeatoolData")],
        quarantine: Ok(QuarantineDepth::default()),
        alarms: Ok(Some(vec![alarm("sinkAppianData-lag"), alarm("sinkAppianData-errors")])),
    }
}

/// Checks that the lines are on the screen, and that all of its lines fit it.
#[track_caller]
fn check(status: &Status, expected: &str) {
    let screen = strip_str(&status.screen()).to_string();
    assert!(screen.lines().all(|line| line.chars().count() <= WIDTH), "{screen}");
    assert!(screen.contains(&format!("{expected}\n")), "{screen}");
}

#[test]
fn a_status_is_one_screen() {
    let function = |name: &str| {
        format!(
            "{name}
  mapping    Enabled, last result: OK 1f0e1b2c-93a4-4f4c-8a57-0d6f1b2c93a4
  lag        3 records behind the topic; oldest record 12 s
  calls      150 invocations, 0 errors in 15 min
  records    12000 received: 11950 written, 50 stale
  epoch      0
"
        )
    };
    let expected = format!(
        "a-prefix-val, AWS us-east-1, 22:13:20 UTC: all is well

{}
{}
  quarantine empty
  alarms     2 of 2 quiet

Nothing is wrong.",
        function("sinkAppianData"),
        function("sinkSeatoolData")
    );
    check(&status(), &expected);
}

#[test]
fn what_is_wrong_is_said_with_what_to_do() {
    let mut status = status();
    if let Ok(Some(alarms)) = &mut status.alarms {
        alarms[0].state = "ALARM".to_owned();
        alarms[1].state = "INSUFFICIENT_DATA".to_owned();
    }
    if let Ok(mappings) = &mut status.functions[1].mappings {
        mappings[0].state = "Disabled".to_owned();
        mappings[0].last_processing_result =
            Some("PROBLEM: \u{1b}[2JFunction call failed".to_owned());
    }
    check(
        &status,
        "sinkSeatoolData
  mapping    Disabled (USER_INITIATED), last result: PROBLEM: \\u{1b}[2JFunction
             call failed 1f0e1b2c-93a4-4f4c-8a57-0d6f1b2c93a4",
    );
    // Of three there is room for what is wrong only.
    check(
        &status,
        "  quarantine empty
  alarms     0 of 2 quiet; raised: sinkAppianData-lag; without enough data:
             sinkAppianData-errors

WRONG: sinkSeatoolData: the mapping is Disabled (USER_INITIATED)
WRONG: sinkSeatoolData: PROBLEM: \\u{1b}[2JFunction call failed
WRONG: alarm sinkAppianData-lag: 3 of 3 periods were above 0
What to do: OPERATIONS.md \"Troubleshooting\", --json, `sinkctl quarantine list`.",
    );
    status.functions.truncate(1);
    check(
        &status,
        "WRONG: alarm sinkAppianData-lag: 3 of 3 periods were above 0
  It is slow: make it faster, which is done by many means that are all told of
  here. OPERATIONS.md, \"Troubleshooting\": alarm `-lag`.",
    );
}

#[test]
fn what_could_not_be_read_says_why() {
    let mut status = status();
    status.functions.truncate(1);
    status.functions[0].activity = Err("access denied".to_owned());
    status.alarms = Err(
        "access denied: allow cloudwatch:DescribeAlarms to whoever asks for it here".to_owned(),
    );
    check(
        &status,
        "  mapping    Enabled, last result: OK 1f0e1b2c-93a4-4f4c-8a57-0d6f1b2c93a4
  lag        not read: access denied
  calls      not read: access denied
  records    not read: access denied
  epoch      0

  quarantine empty
  alarms     not read: access denied: allow cloudwatch:DescribeAlarms to whoever
             asks for it here

Nothing is wrong as far as it could be read.",
    );
}

#[test]
fn a_row_says_what_counts() {
    #[track_caller]
    fn check(
        change: impl FnOnce(&mut Activity),
        row: impl FnOnce(&Activity) -> String,
        expected: &str,
    ) {
        let mut activity = Activity::default();
        change(&mut activity);
        assert_eq!(row(&activity), expected);
    }

    check(|_| {}, lag, "not counted yet");
    check(|it| it.lag = Some(1), lag, "1 record behind the topic");
    check(
        |it| {
            it.lag = Some(7);
            it.lag_by_partition = BTreeMap::from([(0, 0), (1, 5), (2, 2)]);
            it.oldest_record_age = Some(7_200_000);
        },
        lag,
        "7 records behind the topic (partition 1: 5, 2: 2); oldest record 2 h",
    );
    let minutes = |it: &Activity| calls(it, 15);
    check(|_| {}, minutes, "none in 15 min");
    check(|it| it.invocations = Some(0), minutes, "none in 15 min");
    check(
        |it| {
            it.invocations = Some(3000);
            it.errors = Some(1);
            it.throttles = Some(2);
        },
        minutes,
        "3000 invocations, 1 error (0.1 %), 2 throttles in 15 min",
    );
    check(|_| {}, records, "0 received");
}

#[test]
fn a_local_mapping_has_no_row_of_alarms() {
    let mut status = status();
    status.alarms = Ok(None);
    check(&status, "  quarantine empty\n\nNothing is wrong.");
}

#[test]
fn a_stage_without_monitoring_has_no_alarms() {
    let mut status = status();
    status.alarms = Ok(Some(Vec::new()));
    check(&status, "  alarms     the stage has no alarms: Monitoring=none\n\nNothing is wrong.");
}

#[test]
fn colours_are_around_what_counts() {
    let screen = status().screen();
    assert!(screen.contains(": \u{1b}[32mall is well\u{1b}[0m\n"), "{screen}");
    assert_eq!(screen.matches('\u{1b}').count(), 2);
}

#[test]
fn json_has_the_problems() {
    let mut status = status();
    status.quarantine = Err("no".to_owned());
    let json = status.with_problems().unwrap();
    assert_eq!(json["problems"], json!([]));
    assert_eq!(json["isIncomplete"], true);
    assert_eq!(json["quarantine"], json!({"unread": "no"}));
    assert_eq!(json["functions"][0]["mappings"][0]["state"], "Enabled");
    assert_eq!(json["alarms"][0]["state"], "OK");
}
