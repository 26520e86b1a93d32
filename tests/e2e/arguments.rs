//! What the run is asked for.

use crate::scenarios::NAMES;

pub(crate) const USAGE: &str = "\
Usage: cargo test --workspace --features sinkctl/kafka,tests/e2e --test e2e -- [OPTIONS] [SCENARIO...]

Runs all scenarios, or those named: load, kills, overlap, faults, poison, recreated, partitions, takeover, oncall, which
shows what a person on call types and sees, and conformance, which runs the integration tests against DynamoDB Local

  --scale F   so many of the whole run's records, 1.0 is 200,000 a scenario [default: 0.02]
  --seed N    the seed of records, kills and faults [default: 1]
  --release   the functions and sinkctl as they are deployed
  --help      this text

It needs Java 17 and Maven: without them all scenarios are skipped, and the exit status is 3.
Logs stay in target/e2e/run.";

#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Arguments {
    pub(crate) scenarios: Vec<&'static str>,
    pub(crate) scale: f64,
    pub(crate) seed: u64,
    pub(crate) release: bool,
}

impl Arguments {
    /// Reads them; nothing is asked for but the usage where there is none.
    pub(crate) fn read(
        mut arguments: impl Iterator<Item = String>,
    ) -> Result<Option<Self>, String> {
        let mut read = Self { scenarios: Vec::new(), scale: 0.02, seed: 1, release: false };
        while let Some(argument) = arguments.next() {
            let mut value = || arguments.next().ok_or(format!("`{argument}` needs a value"));
            match argument.as_str() {
                "--help" => return Ok(None),
                "--release" => read.release = true,
                "--scale" => {
                    read.scale = value()?.parse().map_err(|_| "`--scale` needs a number")?;
                    if !(read.scale > 0.0 && read.scale <= 100.0) {
                        return Err("`--scale` needs a number above 0, at most 100".to_owned());
                    }
                }
                "--seed" => {
                    read.seed = value()?.parse().map_err(|_| "`--seed` needs a whole number")?;
                }
                name => match NAMES.iter().find(|it| **it == name) {
                    Some(name) => read.scenarios.push(name),
                    None => return Err(format!("there is no scenario `{name}`\n\n{USAGE}")),
                },
            }
        }
        if read.scenarios.is_empty() {
            read.scenarios = NAMES.to_vec();
        }
        Ok(Some(read))
    }
}
