//! The recipe of a third sink: its text is the crate in `third-sink`, and that crate works.

use std::{
    fmt::Write as _,
    fs,
    path::{Path, PathBuf},
};

use base64::{Engine as _, engine::general_purpose::STANDARD};
use local::{
    build::{Profile, Programs},
    dynamodb::without_streams,
    function::{FunctionSettings, LocalFunction},
    template::{LOCAL_STAGE, Template},
};
use serde_json::{Value, json};

use crate::support::{
    TestDynamoDb,
    function::{counts, no_failures, root},
};

const FILES: [&str; 3] = ["Cargo.toml", "src/lib.rs", "src/main.rs"];

const ITEMS: &str = "compare-connector-local-profile";
const TOMBSTONES: &str = "compare-connector-local-profile-tombstones";
const QUARANTINE: &str = "compare-connector-local-quarantine";

#[test]
fn the_recipe_is_the_crate() {
    let section = recipe();
    let mut blocks = section.split("\n```toml\n").nth(1).unwrap().split("\n```rust\n");
    let mut next_block = || blocks.next().unwrap().split_once("```").unwrap().0;
    let mut n_lines = 0;
    for file in FILES {
        let text = fs::read_to_string(directory().join(file)).unwrap();
        assert_eq!(next_block(), text, "`{file}`");
        n_lines += text.lines().count();
    }
    assert!(n_lines < 60, "{n_lines} lines");
}

#[tokio::test]
async fn it_lands_its_records() {
    let template = template();
    let dynamodb = TestDynamoDb::start(&without_streams(&template.tables)).await;
    let function = template.functions.iter().find(|it| it.binary == "sinkProfileData").unwrap();
    let programs = Programs::Cargo(Profile::Dev).find(&root(), std::slice::from_ref(function));
    let program = programs.unwrap()[&function.binary].clone();
    let settings = FunctionSettings::local(function, program, &dynamodb.endpoint());
    let function = LocalFunction::new(settings);

    let event = event(&[
        (Some("ada"), Some(r#"{"name": "Ada", "born": 1815}"#)),
        (Some("bob"), Some(r#"{"name": "Bob"}"#)),
        (Some("bob"), None),
        (None, Some("{}")),
        (Some("eve"), Some(r#"{"PK": "ada"}"#)),
    ]);
    for expected in [
        "received 5, written 1, deleted 1, superseded 1, quarantined 2",
        "received 5, superseded 1, duplicate 2, quarantined 2",
    ] {
        let invocation = function.invoke(event.clone()).await.unwrap();
        assert_eq!(invocation.answer, no_failures());
        assert_eq!(counts(&invocation), expected);
    }

    let [item] = dynamodb.items(ITEMS).try_into().unwrap();
    assert_eq!((&item["PK"], &item["SK"]), (&json!({"S": "ada"}), &json!({"S": "ada"})));
    assert_eq!((&item["name"], &item["born"]), (&json!({"S": "Ada"}), &json!({"N": "1815"})));
    let [tombstone] = dynamodb.items(TOMBSTONES).try_into().unwrap();
    assert_eq!(tombstone["PK"], json!({"S": "bob"}));
    let reasons: Vec<_> =
        dynamodb.items(QUARANTINE).iter().map(|entry| entry["reason"]["S"].clone()).collect();
    assert_eq!(reasons, ["INVALID_KEY", "RESERVED_MEMBER"]);
}

/// What the recipe says to do with the template gives the sink its function, tables and mapping.
#[test]
fn the_template_declares_it() {
    let template = template();
    let tables: Vec<_> = template.tables.iter().map(|table| table.name.as_str()).collect();
    assert!([ITEMS, TOMBSTONES, QUARANTINE].iter().all(|table| tables.contains(table)));
    let mapping = template.mappings.iter().find(|it| it.logical_id == "ProfileMapping").unwrap();
    assert_eq!(mapping.topic, "users.profiles");
    assert_eq!([template.functions.len(), template.mappings.len()], [3, 3]);
}

/// The recipe's text.
fn recipe() -> String {
    fs::read_to_string(directory().join("README.md")).unwrap()
}

/// The crate that the recipe's files stand in.
fn directory() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("third-sink")
}

/// The template after the recipe's step: a copy of each entry that is named after Seatool.
fn template() -> Template {
    let text = fs::read_to_string(root().join("template.yaml")).unwrap();
    let mut with_copies = String::new();
    for section in text.split_inclusive("\n\n") {
        let mut copies = String::new();
        let mut is_copied = false;
        for line in section.lines() {
            // An entry's name stands two spaces deep.
            if let Some(name) = line.strip_prefix("  ")
                && name.starts_with(|it: char| it.is_ascii_uppercase())
            {
                is_copied = name.split(':').next().unwrap().contains("Seatool");
            }
            if is_copied {
                writeln!(copies, "{}", renamed(line)).unwrap();
            }
        }
        writeln!(with_copies, "{}\n{copies}", section.trim_end()).unwrap();
    }
    Template::parse(&with_copies, &[("Stage", LOCAL_STAGE)]).unwrap()
}

fn renamed(line: &str) -> String {
    let line = line.replace(sink_seatool_data::SINK.topic, "users.profiles");
    line.replace("Seatool", "Profile").replace("seatool", "profile")
}

/// An event of one partition with these keys and values.
fn event(records: &[(Option<&str>, Option<&str>)]) -> String {
    let encoded = |text: Option<&str>| text.map(|text| STANDARD.encode(text));
    let record = |(offset, (key, value)): (usize, &(_, _))| {
        json!({
            "topic": "users.profiles",
            "partition": 0,
            "offset": offset,
            "timestamp": 1_763_700_000_000_u64,
            "timestampType": "CREATE_TIME",
            "key": encoded(*key),
            "value": encoded(*value),
            "headers": [],
        })
    };
    let records: Vec<Value> = records.iter().enumerate().map(record).collect();
    let event =
        json!({"eventSource": "SelfManagedKafka", "records": {"users.profiles-0": records}});
    event.to_string()
}
