//! The sample events, and which function each is for.

use std::{
    fs::{self, DirEntry},
    io,
    path::Path,
};

use anyhow::{Context as _, ensure};
use serde_json::Value;

use crate::template::Function;

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SampleEvent {
    pub file: String,
    /// The binary of the function that it is for.
    pub binary: String,
    /// The event as a function gets it.
    pub payload: Vec<u8>,
}

/// Reads the samples of a directory in the order of their names.
///
/// A name's first word says the function: `appian.json` and `appian-pipe.json` are for `sinkAppianData`.
pub fn read(directory: &Path, functions: &[Function]) -> anyhow::Result<Vec<SampleEvent>> {
    let cannot_read = |path: &Path| format!("cannot read `{}`", path.display());
    let entries = fs::read_dir(directory).and_then(Iterator::collect::<io::Result<Vec<_>>>);
    let entries = entries.with_context(|| cannot_read(directory))?;
    let mut paths: Vec<_> = entries.iter().map(DirEntry::path).collect();
    paths.retain(|path| path.extension().is_some_and(|extension| extension == "json"));
    ensure!(
        !paths.is_empty(),
        "no `*.json` in `{}`: name a folder of sample events with `--events`",
        directory.display()
    );
    paths.sort();
    let events = paths.iter().map(|path| {
        let file = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
        let binary = function_of(&file, functions)?.binary.clone();
        let payload = fs::read(path).with_context(|| cannot_read(path))?;
        Ok(SampleEvent { file, binary, payload })
    });
    events.collect()
}

impl SampleEvent {
    /// The number of its records, in whatever of the known shapes it is; `None` if it is none of them.
    pub fn records(&self) -> Option<usize> {
        match serde_json::from_slice(&self.payload).ok()? {
            Value::Array(records) => Some(records.len()),
            event => {
                let partitions = event.get("records")?.as_object()?.values();
                partitions.map(|records| records.as_array().map(Vec::len)).sum()
            }
        }
    }
}

fn function_of<'a>(file: &str, functions: &'a [Function]) -> anyhow::Result<&'a Function> {
    let first_word = file.split(['-', '.']).next().unwrap_or_default();
    functions.iter().find(|function| word(function) == first_word).with_context(|| {
        let words: Vec<_> = functions.iter().map(|it| format!("`{}`", word(it))).collect();
        let accepted = words.join(" or ");
        format!("`{file}` is for no function of the template: names begin with {accepted}")
    })
}

/// The word by which files name a function: `appian` for `sinkAppianData`.
fn word(function: &Function) -> String {
    let binary = function.binary.as_str();
    let word =
        binary.strip_prefix("sink").and_then(|rest| rest.strip_suffix("Data")).unwrap_or(binary);
    word.to_lowercase()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::template::Template;

    fn functions() -> Vec<Function> {
        let template = include_str!("../../../template.yaml");
        let mut functions = Template::parse(template, &[]).unwrap().functions;
        functions.retain(|it| ["sinkAppianData", "sinkSeatoolData"].contains(&it.binary.as_str()));
        functions
    }

    #[test]
    fn a_files_first_word_names_its_function() {
        #[track_caller]
        fn check(file: &str, expected: &str) {
            let functions = functions();
            let found = function_of(file, &functions);
            assert_eq!(
                found.map_or_else(|error| error.to_string(), |function| function.binary.clone()),
                expected
            );
        }

        check("appian.json", "sinkAppianData");
        check("appian-out-of-order.json", "sinkAppianData");
        check("seatool.json", "sinkSeatoolData");
        check(
            "other.json",
            "`other.json` is for no function of the template: names begin with `appian` or `seatool`",
        );
        check(
            "appianic.json",
            "`appianic.json` is for no function of the template: names begin with `appian` or `seatool`",
        );
    }

    #[test]
    fn records_of_all_shapes_are_counted() {
        #[track_caller]
        fn check(payload: &str, expected: Option<usize>) {
            let (file, binary) = ("appian.json".to_owned(), "sinkAppianData".to_owned());
            let event = SampleEvent { file, binary, payload: payload.as_bytes().to_vec() };
            assert_eq!(event.records(), expected);
        }

        check(
            r#"{"eventSource":"SelfManagedKafka","records":{"a-0":[{},{}],"a-1":[{}]}}"#,
            Some(3),
        );
        check(r#"{"records":{}}"#, Some(0));
        check("[{},{}]", Some(2));
        check(r#"{"Records":[{}]}"#, None);
        check(r#"{"records":{"a-0":null}}"#, None);
        check("no JSON", None);
    }

    #[test]
    fn a_directory_without_samples_is_an_error() {
        #[track_caller]
        fn check(directory: &str, expected: &str) {
            let directory = Path::new(env!("CARGO_MANIFEST_DIR")).join(directory);
            let error = read(&directory, &functions()).unwrap_err();
            assert_eq!(error.to_string().replace(env!("CARGO_MANIFEST_DIR"), "."), expected);
        }

        check("src", "no `*.json` in `./src`: name a folder of sample events with `--events`");
        check("missing", "cannot read `./missing`");
    }
}
