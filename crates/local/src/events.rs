//! The sample events, and which function each is for.

use std::{
    fs, io,
    path::{Path, PathBuf},
};

use serde_json::Value;

use crate::template::Function;

/// A sample event.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SampleEvent {
    /// The file's name.
    pub file: String,
    /// The binary of the function that it is for.
    pub binary: String,
    /// The event as a function gets it.
    pub payload: Vec<u8>,
}

/// Why the samples could not be read.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum EventsError {
    /// Occurs when the directory or a file cannot be read.
    #[error("cannot read `{}`", path.display())]
    Read {
        /// The directory or file.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// Occurs when the directory has no sample.
    #[error("no `*.json` in `{}`: name a folder of sample events with `--events`", directory.display())]
    Empty {
        /// The directory.
        directory: PathBuf,
    },
    /// Occurs when a file's name names no function.
    #[error("`{file}` is for no function of the template: names begin with {accepted}")]
    NoFunction {
        /// The file's name.
        file: String,
        /// The beginnings that name a function.
        accepted: String,
    },
}

/// Reads the samples of a directory in the order of their names.
///
/// A name's first word says the function: `appian.json` and `appian-pipe.json` are for `sinkAppianData`.
pub fn read(directory: &Path, functions: &[Function]) -> Result<Vec<SampleEvent>, EventsError> {
    let refused = |path: &Path| {
        let path = path.to_owned();
        move |source| EventsError::Read { path, source }
    };
    let mut paths = Vec::new();
    for entry in fs::read_dir(directory).map_err(refused(directory))? {
        let path = entry.map_err(refused(directory))?.path();
        if path.extension().is_some_and(|extension| extension == "json") {
            paths.push(path);
        }
    }
    if paths.is_empty() {
        return Err(EventsError::Empty { directory: directory.to_owned() });
    }
    paths.sort();
    let events = paths.iter().map(|path| {
        let file = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
        let binary = function_of(&file, functions)?.binary.clone();
        let payload = fs::read(path).map_err(refused(path))?;
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

fn function_of<'a>(file: &str, functions: &'a [Function]) -> Result<&'a Function, EventsError> {
    let first_word = file.split(['-', '.']).next().unwrap_or_default();
    let found = functions.iter().find(|function| word(function) == first_word);
    found.ok_or_else(|| {
        let accepted: Vec<_> =
            functions.iter().map(|function| format!("`{}`", word(function))).collect();
        EventsError::NoFunction { file: file.to_owned(), accepted: accepted.join(" or ") }
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
        Template::parse(include_str!("../../../template.yaml"), &[]).unwrap().functions
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
