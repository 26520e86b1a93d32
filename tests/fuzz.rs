//! What holds for any bytes, held to the fuzzers' corpus.
//!
//! [`event`], [`record`] and [`item`] are the targets of `cargo fuzz`, which makes up bytes by the thousand a second;
//! the README beside it has the command. What it found worth keeping stands in `fuzz/corpus` and is checked here
//! with every run.

use std::{fs, path::Path};

/// An event's bytes.
mod event;

/// A record's JSON text.
mod record;

/// A value's JSON text on its way into an item.
mod item;

#[test]
fn events_hold() {
    check("event", event::check);
}

#[test]
fn records_hold() {
    check("record", record::check);
}

#[test]
fn items_hold() {
    check("item", item::check);
}

/// Checks each file of a target's corpus, and the sample events beside them.
fn check(target: &str, check: fn(&[u8])) {
    let tests = Path::new(env!("CARGO_MANIFEST_DIR"));
    let mut n_inputs = 0;
    for directory in [tests.join("fuzz/corpus").join(target), tests.join("../events")] {
        for entry in fs::read_dir(directory).unwrap() {
            let path = entry.unwrap().path();
            // A panic tells which file it was by this line, which only shows then.
            #[expect(clippy::print_stdout, reason = "shown where the test fails")]
            {
                println!("{}", path.display());
            }
            check(&fs::read(path).unwrap());
            n_inputs += 1;
        }
    }
    assert!(n_inputs > 20, "only {n_inputs} inputs");
}
