//! What the documents say of the settings, and where their links lead.

use std::{
    collections::{BTreeMap, BTreeSet},
    fs,
    path::Path,
};

use dynamo_sink::{
    settings::{Settings, SettingsError},
    sink::Sink,
};
use local::SINKS;

use crate::support::{contract::contract, function::root, settings, try_settings};

#[test]
fn each_setting_is_named_with_its_default() {
    let source = include_str!("../crates/dynamo-sink/src/settings.rs");
    let constants = source.lines().filter_map(|line| {
        let (name, value) = line.strip_prefix("pub const ")?.split_once(": &str = ")?;
        assert_eq!(value, format!("\"{name}\";"));
        Some(name)
    });
    let constants: Vec<_> = constants.collect();
    let rows = settings_table();
    let names: Vec<_> = rows.iter().map(|(name, _)| name.as_str()).collect();
    assert_eq!(names, constants);

    for (name, default) in &rows {
        for sink in &SINKS {
            check(sink, name, default);
        }
    }
}

/// Checks that a variable has the default that its row names.
#[track_caller]
fn check(sink: &Sink, name: &str, default: &str) {
    let text = match default {
        "required" => return assert_eq!(missing_without(sink, name), Some(name)),
        "required by `sinkSeatoolData`" => {
            let expected = sink.deletes.then_some(name);
            return assert_eq!(missing_without(sink, name), expected);
        }
        "the sink's topic" => sink.topic,
        "the sink's name" => sink.name,
        quoted => quoted.strip_prefix('`').and_then(|it| it.strip_suffix('`')).unwrap(),
    };
    assert_eq!(settings(sink, &[]), settings(sink, &[(name, text)]), "`{name}` is not `{text}`");
    // Another value is another setting, so the comparison says something; but not to a sink that does not read it.
    let is_read = name.starts_with("AWS_") || contract().variables_of(sink.name).contains(name);
    let is_another =
        |value| try_settings(sink, &[(name, value)]).is_ok_and(|it| it != settings(sink, &[]));
    assert_eq!(VALUES.into_iter().any(is_another), is_read, "{name}");
}

/// Each variable takes one of them that is not its default.
const VALUES: [&str; 5] = ["1", "partial", "true", "unlimited", "WARN"];

/// The variable that a function misses whose `name` is empty.
fn missing_without(sink: &Sink, name: &str) -> Option<&'static str> {
    match try_settings(sink, &[(name, "")]) {
        Err(SettingsError::Missing { variable, .. }) => Some(variable),
        Err(other) => panic!("{other}"),
        Ok(Settings { .. }) => None,
    }
}

/// The variables and defaults that the document names, in its order.
fn settings_table() -> Vec<(String, String)> {
    let readme = fs::read_to_string(root().join("crates/dynamo-sink/README.md")).unwrap();
    let (_, section) = readme.split_once("\n## Settings\n").unwrap();
    let lines = section.lines().take_while(|line| !line.starts_with("## "));
    let rows = lines.filter_map(|line| {
        let mut cells = line.strip_prefix("| `")?.split(" | ");
        let name = cells.next()?.trim_end_matches('`').to_owned();
        Some((name, cells.next()?.to_owned()))
    });
    let rows: Vec<_> = rows.collect();
    let distinct: BTreeMap<_, _> = rows.iter().cloned().collect();
    assert_eq!(distinct.len(), rows.len());
    rows
}

const DOCUMENTS: [&str; 8] = [
    "README.md",
    "crates/bench/README.md",
    "crates/dynamo-sink/README.md",
    "crates/sinkctl/README.md",
    "crates/sinkctl/OPERATIONS.md",
    "tests/README.md",
    "tests/third-sink/README.md",
    ".github/CONTRIBUTING.md",
];

#[test]
fn links_lead_somewhere() {
    let mut links = 0;
    for name in DOCUMENTS {
        let path = root().join(name);
        for link in fs::read_to_string(&path).unwrap().split("](").skip(1) {
            let (link, _) = link.split_once(')').unwrap();
            if link.starts_with("https://") {
                continue;
            }
            let (file, anchor) =
                link.split_once('#').map_or((link, None), |(it, to)| (it, Some(to)));
            let target =
                if file.is_empty() { path.clone() } else { path.parent().unwrap().join(file) };
            assert!(target.exists(), "{name}: {link}");
            if let Some(anchor) = anchor {
                assert!(anchors(&target).contains(anchor), "{name}: {link}");
            }
            links += 1;
        }
    }
    assert!(links > 50, "{links}");
}

/// The names that GitHub gives to a document's headings.
fn anchors(document: &Path) -> BTreeSet<String> {
    let text = fs::read_to_string(document).unwrap();
    let headings = text.lines().filter(|line| line.starts_with('#'));
    headings
        .map(|line| {
            let words = line.trim_start_matches('#').trim().to_lowercase();
            let kept = words.chars().filter(|it| it.is_alphanumeric() || " -_".contains(*it));
            kept.collect::<String>().replace(' ', "-")
        })
        .collect()
}
