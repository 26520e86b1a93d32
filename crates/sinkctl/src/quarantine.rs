//! Works on the quarantine: what waits there and why, once more to the function, or away.
//!
//! What is decided is pure: which entries are meant ([`filter`]), what a record is delivered as ([`record`]), and what
//! an answer means for its entry ([`redrive`]). The table ([`store`]) and the functions ([`target`]) stand at the edge.

pub mod entry;
pub mod filter;
pub mod store;

pub mod list;
pub mod record;
pub mod show;

mod log;
pub mod redrive;
pub mod summary;
pub mod target;

pub mod drop;

use std::{
    collections::BTreeSet,
    io::{self, Write as _},
    path::Path,
    process::ExitCode,
};

use anyhow::bail;
use clap::{Args, Subcommand};
use dynamo_sink::settings::QUARANTINE_TABLE_NAME;
use local::{samconfig, stop::stop_twice, template::Template};

use crate::{
    arguments::{PARAMETER, STAGE, name_and_value, url},
    tables,
};
use store::Store;

pub const EXAMPLES: &str = "\
Examples:
  sinkctl quarantine list --stage master
  sinkctl quarantine show aws.ksqldb.seatool.agg.State_Plan-4 1234 --stage master
  sinkctl quarantine redrive --reason ITEM_TOO_LARGE --stage master --dry-run
  sinkctl quarantine drop --older-than 30d --stage master
  sinkctl quarantine list --dynamodb-endpoint http://127.0.0.1:8000    the local stage

Exit status: 0 when it is done, 1 when records came back or were left, or there is none as the options say, 2 when it
could not be done.";

const LEFT: u8 = 1;
const NOT_DONE: u8 = 2;

/// How many records are listed that are about to be delivered or dropped.
const DRY_RUN_LIMIT: usize = 20;

#[derive(Subcommand, Clone, Debug)]
pub enum Quarantine {
    /// Counts the records by reason, topic and age, and lists them.
    #[command(after_help = list::EXAMPLES)]
    List(list::List),
    /// Shows single records: what is wrong with them, and on demand what they hold.
    #[command(after_help = show::EXAMPLES)]
    Show(show::Show),
    /// Delivers records to their functions again, and removes those that are accepted.
    #[command(after_help = redrive::EXAMPLES)]
    Redrive(Box<redrive::Redrive>),
    /// Removes records for good, and keeps a copy in a file.
    #[command(after_help = drop::EXAMPLES)]
    Drop(drop::Drop),
}

pub async fn run(quarantine: Quarantine, template: &Path) -> anyhow::Result<ExitCode> {
    match quarantine {
        Quarantine::List(list) => list.run(template).await,
        Quarantine::Show(show) => show.run(template).await,
        Quarantine::Redrive(redrive) => tokio::select! {
            result = redrive.run(template) => result,
            () = stop_twice() => bail!(
                "ended before the invocation in flight was: what it delivered may still stand, and changes nothing \
                 when it comes again"
            ),
        },
        Quarantine::Drop(drop) => drop.run(template).await,
    }
}

#[derive(Args, Clone, Debug)]
#[command(next_help_heading = "Where")]
pub struct Place {
    #[arg(
        long,
        value_name = "NAME",
        help = STAGE,
        required_unless_present = "dynamodb_endpoint"
    )]
    pub stage: Option<String>,
    /// A local DynamoDB, such as `http://127.0.0.1:8000`, with the stage `local` unless another is named.
    #[arg(long, value_name = "URL", value_parser = url)]
    pub dynamodb_endpoint: Option<String>,
    #[arg(long = "parameter", value_name = "NAME=VALUE", help = PARAMETER, value_parser = name_and_value)]
    pub parameters: Vec<(String, String)>,
}

impl Place {
    /// Reads the template, and says where the quarantine is.
    pub async fn open(&self, template: &Path) -> anyhow::Result<(Template, Store)> {
        let template = samconfig::template(template, self.stage.as_deref(), &self.parameters)?;
        let variables = template.functions.iter().map(|function| &function.variables);
        let tables: BTreeSet<_> =
            variables.filter_map(|variables| variables.get(QUARANTINE_TABLE_NAME)).collect();
        let (Some(&table), 1) = (tables.first(), tables.len()) else {
            bail!(
                "the template's functions name {} quarantine tables in `{QUARANTINE_TABLE_NAME}`: expected one",
                tables.len()
            );
        };
        let client = tables::client(self.dynamodb_endpoint.as_deref()).await;
        let store = Store { client, table: table.clone() };
        Ok((template, store))
    }
}

fn none_found(store: &Store) -> anyhow::Result<ExitCode> {
    let table = &store.table;
    writeln!(
        io::stderr(),
        "{table} has no such record: `sinkctl quarantine list` shows what it has"
    )?;
    Ok(ExitCode::from(LEFT))
}
