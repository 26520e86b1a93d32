//! The scenarios, each a story of what can go wrong with the whole.

mod conformance;
mod faults;
mod kills;
mod load;
mod oncall;
mod overlap;
mod partitions;
mod poison;
mod recreated;
mod takeover;

use crate::{report::Row, run::Run};

pub(crate) const NAMES: [&str; 10] = [
    "load",
    "kills",
    "overlap",
    "faults",
    "poison",
    "recreated",
    "partitions",
    "takeover",
    "oncall",
    "conformance",
];

/// Runs the scenario of this name.
pub(crate) async fn run(name: &'static str, run: &mut Run) -> Row {
    match name {
        "load" => load::run(run).await,
        "kills" => kills::run(run).await,
        "overlap" => overlap::run(run).await,
        "faults" => faults::run(run).await,
        "poison" => poison::run(run).await,
        "recreated" => recreated::run(run).await,
        "partitions" => partitions::run(run).await,
        "takeover" => takeover::run(run).await,
        "oncall" => oncall::run(run).await,
        "conformance" => conformance::run(run).await,
        other => panic!("no scenario `{other}`"),
    }
}
