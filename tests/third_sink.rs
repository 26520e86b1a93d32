//! The recipe of a third sink: what its text says, done to a copy of the workspace, and that its crate works.

use std::{
    fs,
    path::{Path, PathBuf},
};

use base64::{Engine as _, engine::general_purpose::STANDARD};
use local::{
    SINKS,
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

const ITEMS: &str = "compare-connector-local-profile";
const TOMBSTONES: &str = "compare-connector-local-profile-tombstones";
const QUARANTINE: &str = "compare-connector-local-quarantine";

#[tokio::test]
async fn it_lands_its_records() {
    if is_followed() {
        return;
    }
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

/// What the recipe says makes a workspace that knows the sink. CI goes on with it.
#[test]
fn the_recipe_adds_it() {
    let _ = fs::remove_dir_all(copy());
    if is_followed() {
        return;
    }
    let template = template();
    let tables: Vec<_> = template.tables.iter().map(|table| table.name.as_str()).collect();
    assert!([ITEMS, TOMBSTONES, QUARANTINE].iter().all(|table| tables.contains(table)));
    let mapping = template.mappings.iter().find(|it| it.logical_id == "ProfileMapping").unwrap();
    assert_eq!(mapping.topic, "users.profiles");
    assert_eq!([template.functions.len(), template.mappings.len()], [3, 3]);

    let copy = copy();
    let example = root().join("tests/third-sink");
    copy_all(&root(), &copy);
    // Here the example is in the workspace already.
    edit(&copy.join("Cargo.toml"), |text| text.replace(", \"tests/third-sink\"]", "]"));

    let its_crate = copy.join("crates/sink-profile-data");
    copy_all(&example.join("src"), &its_crate.join("src"));
    fs::copy(example.join("Cargo.toml"), its_crate.join("Cargo.toml")).unwrap();
    fs::copy(example.join("profile.json"), copy.join("events/profile.json")).unwrap();
    edit(&copy.join("template.yaml"), |text| with_entries(&text));
    edit(&copy.join("crates/sinkctl/OPERATIONS.md"), |text| with_rows(&text));
    let recipe = fs::read_to_string(example.join("README.md")).unwrap();
    let (_, diff) = recipe.split_once("```diff\n").unwrap();
    let (diff, _) = diff.split_once("```").unwrap();
    let mut changes = 0;
    for file in diff.split("--- ").skip(1) {
        let (path, hunks) = file.split_once('\n').unwrap();
        edit(&copy.join(path), |mut text| {
            for hunk in hunks.split("@@\n").skip(1) {
                let [before, after] = [side(hunk, '-'), side(hunk, '+')];
                assert_eq!(text.matches(&before).count(), 1, "{path}: {before}");
                text = text.replace(&before, &after);
                changes += 1;
            }
            text
        });
    }
    assert!(changes > 10, "{changes}");
}

/// Whether this workspace has followed the recipe itself: it is written for one with two sinks.
fn is_followed() -> bool {
    SINKS.len() > 2
}

/// Where the recipe is applied.
fn copy() -> PathBuf {
    root().join("target/third-sink")
}

/// Copies a folder without what was built, and keeps the times, so that cargo builds nothing that it has built here.
fn copy_all(from: &Path, to: &Path) {
    fs::create_dir_all(to).unwrap();
    for entry in fs::read_dir(from).unwrap() {
        let entry = entry.unwrap();
        let (from, to) = (entry.path(), to.join(entry.file_name()));
        if from.is_dir() {
            if ![".aws-sam", ".git", ".pytest_cache", "__pycache__", "target"]
                .iter()
                .any(|it| from.ends_with(it))
            {
                copy_all(&from, &to);
            }
            continue;
        }
        fs::copy(&from, &to).unwrap();
        let modified = entry.metadata().unwrap().modified().unwrap();
        fs::File::options().write(true).open(&to).unwrap().set_modified(modified).unwrap();
    }
}

fn edit(path: &Path, change: impl FnOnce(String) -> String) {
    let text = fs::read_to_string(path).unwrap();
    fs::write(path, change(text)).unwrap();
}

/// The lines that a hunk has before or after its change: those that stay, and those with `sign`.
fn side(hunk: &str, sign: char) -> String {
    let lines = hunk.split_inclusive('\n');
    lines.filter_map(|line| line.strip_prefix([' ', sign])).collect()
}

/// The template of the local stage, as the recipe makes it.
fn template() -> Template {
    let text = fs::read_to_string(root().join("template.yaml")).unwrap();
    Template::parse(&with_entries(&text), &[("Stage", LOCAL_STAGE)]).unwrap()
}

/// The template with a copy behind each entry that is named after Seatool. An entry's name stands two spaces deep.
fn with_entries(text: &str) -> String {
    let mut lines = text.split_inclusive('\n').peekable();
    let mut found = String::new();
    while let Some(name) = lines.next() {
        let mut entry = name.to_owned();
        while let Some(line) = lines.next_if(|line| line.starts_with("    ")) {
            entry += line;
        }
        found += &entry;
        let is_entry = name.starts_with("  ") && !name.starts_with("   ");
        let (name, _) = name.split_once(':').unwrap_or_default();
        if is_entry && name.contains("Seatool") {
            if lines.peek() == Some(&"\n") {
                found.push('\n');
            }
            found += &renamed(&entry);
        }
    }
    found
}

/// The guide with a copy of each row of a parameter of Seatool's.
fn with_rows(text: &str) -> String {
    let lines = text.split_inclusive('\n');
    let with_row = |line: &str| {
        let row = line.starts_with("| `Seatool").then(|| renamed(line));
        line.to_owned() + &row.unwrap_or_default()
    };
    lines.map(with_row).collect()
}

fn renamed(text: &str) -> String {
    let text = text.replace(sink_seatool_data::SINK.topic, "users.profiles");
    text.replace("Seatool", "Profile").replace("seatool", "profile")
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
