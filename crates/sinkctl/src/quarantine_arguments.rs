//! The arguments of `sinkctl quarantine`.

use std::{
    collections::BTreeSet,
    error::Error,
    io::{self, IsTerminal as _, Write as _},
    ops::RangeInclusive,
    path::PathBuf,
    process::ExitCode,
    time::Duration,
};

use clap::{Args, Subcommand};
use indicatif::{ProgressBar, ProgressStyle};
use local::stop::{stop, stop_twice};
use sinkctl::quarantine::{
    Place, drop,
    filter::{self, Filter},
    list::Listing,
    now,
    redrive::{self, Pace},
    show::{Detail, Shown},
    store::{Found, Store},
    summary::EndedBy,
    target::Functions,
};
use sinkctl::text::{counted, duration};

use sinkctl::arguments::{at_least_one, programs};

use crate::NOT_DONE;

pub(crate) const EXAMPLES: &str = "\
Examples:
  sinkctl quarantine list --stage master
  sinkctl quarantine show aws.ksqldb.seatool.agg.State_Plan-4 1234 --stage master
  sinkctl quarantine redrive --reason ITEM_TOO_LARGE --stage master --dry-run
  sinkctl quarantine drop --older-than 30d --stage master
  sinkctl quarantine list --dynamodb-endpoint http://127.0.0.1:8000    the local stage

Exit status: 0 when it is done, 1 when records came back or were left, or there is none as the options say, 2 when it
could not be done.";

const LIST_EXAMPLES: &str = "\
Examples:
  sinkctl quarantine list --stage master
  sinkctl quarantine list --stage master --reason INVALID_JSON --newer-than 2h --limit 100
  sinkctl quarantine list --stage master --json | jq .byReason

Exit status: 0 when it is done, 2 when it could not be done.";

const SHOW_EXAMPLES: &str = "\
Examples:
  sinkctl quarantine show aws.ksqldb.seatool.agg.State_Plan-4 1234 --stage master
  sinkctl quarantine show --reason INVALID_JSON --decoded --stage master
  sinkctl quarantine show --topic my-topic --offset 7..9 --raw --json --stage master | jq .record

Keys, values and headers are data: without --decoded or --raw only their sizes and the headers' names are shown.
Exit status: 0 when it is done, 1 when there is no such record, 2 when it could not be done.";

const REDRIVE_EXAMPLES: &str = "\
Examples:
  sinkctl quarantine redrive --stage master --dry-run
  sinkctl quarantine redrive --stage master --reason ITEM_TOO_LARGE --rate 5
  sinkctl quarantine redrive --dynamodb-endpoint http://127.0.0.1:8000    builds and runs the functions here

A record is removed once the function accepted it, which it does too when a newer state stands. One that is rejected
again stays. It may be stopped or fail anywhere, and be started again: what was accepted changes nothing when it comes a
second time. Ctrl-C stops it after the invocation in flight. On AWS it needs the permissions dynamodb:Scan, Query and
DeleteItem on the quarantine's table, kms:Decrypt on its key, lambda:InvokeFunction and lambda:GetFunctionConfiguration.

Exit status: 0 when all records were accepted, 1 when some came back or were left, or there is none as the options say,
2 when it could not be done.";

const DROP_EXAMPLES: &str = "\
Examples:
  sinkctl quarantine drop aws.ksqldb.seatool.agg.State_Plan-4 1234 --stage master
  sinkctl quarantine drop --reason NULL_VALUE --older-than 30d --copy dropped.jsonl --yes --stage master

Each line of the copy is an item of the table in DynamoDB's JSON, as PutItem takes it; put back in their order, they
are what they were.

Exit status: 0 when all were dropped, 1 when some were left or nothing was dropped, 2 when it could not be done.";

/// The exit status when something was left.
const LEFT: u8 = 1;

#[derive(Args)]
pub(crate) struct QuarantineArguments {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Counts the records by reason, topic and age, and lists them.
    #[command(after_help = LIST_EXAMPLES)]
    List(ListArguments),
    /// Shows single records: what is wrong with them, and on demand what they hold.
    #[command(after_help = SHOW_EXAMPLES)]
    Show(ShowArguments),
    /// Delivers records to their functions again, and removes those that are accepted.
    #[command(after_help = REDRIVE_EXAMPLES)]
    Redrive(RedriveArguments),
    /// Removes records for good, and keeps a copy in a file.
    #[command(after_help = DROP_EXAMPLES)]
    Drop(DropArguments),
}

#[derive(Args)]
struct ListArguments {
    #[command(flatten)]
    chosen: FilterArguments,
    #[command(flatten)]
    place: PlaceArguments,
    /// How many records are listed.
    #[arg(long, value_name = "N", default_value_t = 20)]
    limit: usize,
    /// Print one line of JSON.
    #[arg(long)]
    json: bool,
}

#[derive(Args)]
struct ShowArguments {
    #[command(flatten)]
    chosen: SelectionArguments,
    #[command(flatten)]
    place: PlaceArguments,
    /// Show keys, values and headers, as JSON or text where they are.
    #[arg(long, conflicts_with = "raw")]
    decoded: bool,
    /// Show the records' JSON as Lambda delivered it.
    #[arg(long)]
    raw: bool,
    /// How many records are shown.
    #[arg(long, value_name = "N", default_value_t = 20)]
    limit: usize,
    /// Print a line of JSON for each record.
    #[arg(long)]
    json: bool,
}

#[derive(Args)]
struct RedriveArguments {
    #[command(flatten)]
    chosen: SelectionArguments,
    #[command(flatten)]
    place: PlaceArguments,
    /// The most records of a second.
    #[arg(long, value_name = "N", default_value_t = 20, value_parser = clap::value_parser!(u32).range(1..))]
    rate: u32,
    /// The most records of an invocation.
    #[arg(long, value_name = "N", default_value_t = 10, value_parser = at_least_one)]
    batch_size: usize,
    /// Only say what would be delivered to which function.
    #[arg(long)]
    dry_run: bool,
    /// Print what came of it as one line of JSON.
    #[arg(long)]
    json: bool,
    /// With a local DynamoDB, invoke the functions at this Lambda Invoke API instead of running their binaries.
    #[arg(long, value_name = "URL", requires = "dynamodb_endpoint", conflicts_with_all = ["build_dir", "release"], help_heading = "Functions")]
    invoke_address: Option<String>,
    /// With a local DynamoDB, run what `sam build` left in this directory, usually `.aws-sam/build`, instead of building.
    #[arg(
        long,
        value_name = "DIR",
        requires = "dynamodb_endpoint",
        conflicts_with = "release",
        help_heading = "Functions"
    )]
    build_dir: Option<PathBuf>,
    /// With a local DynamoDB, build the functions as they are deployed.
    #[arg(long, requires = "dynamodb_endpoint", help_heading = "Functions")]
    release: bool,
}

#[derive(Args)]
struct DropArguments {
    #[command(flatten)]
    chosen: SelectionArguments,
    #[command(flatten)]
    place: PlaceArguments,
    /// Drop everything.
    #[arg(long)]
    all: bool,
    /// The new file for the copy [default: `quarantine-STAGE-TIME.jsonl` here].
    #[arg(long, value_name = "FILE")]
    copy: Option<PathBuf>,
    /// Don't ask.
    #[arg(long)]
    yes: bool,
}

/// Where the quarantine is.
#[derive(Args)]
struct PlaceArguments {
    #[arg(
        long,
        value_name = "NAME",
        help = sinkctl::arguments::STAGE,
        required_unless_present = "dynamodb_endpoint",
        help_heading = "Where"
    )]
    stage: Option<String>,
    /// A local DynamoDB, such as `http://127.0.0.1:8000`, with the stage `local` unless another is named.
    #[arg(long, value_name = "URL", value_parser = sinkctl::arguments::url, help_heading = "Where")]
    dynamodb_endpoint: Option<String>,
    #[arg(long = "parameter", value_name = "NAME=VALUE", help = sinkctl::arguments::PARAMETER, value_parser = sinkctl::arguments::name_and_value, help_heading = "Where")]
    parameters: Vec<(String, String)>,
}

/// Which records are meant.
#[derive(Args)]
struct SelectionArguments {
    /// One record's topic and partition, such as `my-topic-3`.
    #[arg(value_name = "TOPIC-PARTITION", value_parser = filter::topic_partition, requires = "place_offset", conflicts_with_all = ["topic", "partition", "offset"])]
    place: Option<(String, i32)>,
    /// Its offset.
    #[arg(value_name = "OFFSET", id = "place_offset")]
    place_offset: Option<i64>,
    #[command(flatten)]
    filter: FilterArguments,
}

#[derive(Args)]
struct FilterArguments {
    /// The function's binary: `sinkAppianData` or `sinkSeatoolData`.
    #[arg(long, value_name = "NAME", help_heading = "Which records")]
    sink: Option<String>,
    /// The topic.
    #[arg(long, value_name = "NAME", help_heading = "Which records")]
    topic: Option<String>,
    /// The partition.
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(i32).range(0..), help_heading = "Which records")]
    partition: Option<i32>,
    /// The offset, or a first and a last one: `7`, `7..9`, `7..`, `..9`.
    #[arg(long, value_name = "RANGE", value_parser = filter::offsets, help_heading = "Which records")]
    offset: Option<RangeInclusive<i64>>,
    /// What is wrong, such as `INVALID_JSON`; may be repeated.
    #[arg(long = "reason", value_name = "CODE", help_heading = "Which records")]
    reasons: Vec<String>,
    /// First rejected so long ago or longer, such as `90m`, `12h` or `7d`.
    #[arg(long, value_name = "TIME", value_parser = duration, help_heading = "Which records")]
    older_than: Option<Duration>,
    /// First rejected so long ago or less.
    #[arg(long, value_name = "TIME", value_parser = duration, help_heading = "Which records")]
    newer_than: Option<Duration>,
}

pub(crate) async fn run(
    QuarantineArguments { command }: QuarantineArguments,
    template: PathBuf,
) -> Result<ExitCode, Box<dyn Error>> {
    match command {
        Command::List(arguments) => list(arguments, template).await,
        Command::Show(arguments) => show(arguments, template).await,
        Command::Redrive(arguments) => {
            tokio::select! {
                result = redrive(arguments, template) => result,
                () = stop_twice() => Err("ended before the invocation in flight was: what it delivered may still stand, \
                                          and changes nothing when it comes again".into()),
            }
        }
        Command::Drop(arguments) => drop(arguments, template).await,
    }
}

async fn list(arguments: ListArguments, template: PathBuf) -> Result<ExitCode, Box<dyn Error>> {
    let (_, store) = arguments.place.place(template).open().await?;
    let now = now();
    let filter = arguments.chosen.filter();
    let found = store.find(&filter, now).await?;
    if found.entries.is_empty() && !filter.is_empty() {
        writeln!(io::stderr(), "no record is as the options say: without them all are listed")?;
    }
    let listing = Listing::new(store.table(), found, arguments.limit, now);
    if arguments.json {
        listing.write_json(&mut io::stdout())?;
    } else {
        listing.write(now, &mut io::stdout())?;
    }
    Ok(ExitCode::SUCCESS)
}

async fn show(arguments: ShowArguments, template: PathBuf) -> Result<ExitCode, Box<dyn Error>> {
    let (_, store) = arguments.place.place(template).open().await?;
    let now = now();
    let found = store.find(&arguments.chosen.filter(), now).await?;
    if found.entries.is_empty() {
        return none_found(&store);
    }
    let detail = match (arguments.decoded, arguments.raw) {
        (true, _) => Detail::Decoded,
        (_, true) => Detail::Raw,
        _ => Detail::Sizes,
    };
    let more = found.entries.len().saturating_sub(arguments.limit);
    let mut out = io::stdout();
    for listed in found.entries.into_iter().take(arguments.limit) {
        // What was removed meanwhile is not shown.
        let Some(entry) = store.read(&listed.head.key).await? else { continue };
        let shown = Shown::new(&entry, detail);
        if arguments.json {
            shown.write_json(&mut out)?;
        } else {
            shown.write(now, &mut out)?;
            writeln!(out)?;
        }
    }
    if more > 0 {
        writeln!(io::stderr(), "and {more} more: `--limit` shows them, filters choose")?;
    }
    Ok(ExitCode::SUCCESS)
}

async fn redrive(
    arguments: RedriveArguments,
    template: PathBuf,
) -> Result<ExitCode, Box<dyn Error>> {
    let place = arguments.place.place(template);
    let (declared, store) = place.open().await?;
    let now = now();
    let filter = arguments.chosen.filter();
    let found = store.find(&filter, now).await?;
    if found.entries.is_empty() && filter.is_empty() {
        writeln!(io::stderr(), "{} is empty: there is nothing to redrive", store.table())?;
        return Ok(ExitCode::SUCCESS);
    }
    if found.entries.is_empty() {
        return none_found(&store);
    }
    if arguments.dry_run {
        return dry_run(&store, found, arguments.json, now);
    }
    let functions = match (place.dynamodb_endpoint.clone(), arguments.invoke_address) {
        (None, _) => Functions::Deployed,
        (Some(_), Some(address)) => Functions::Address(address),
        (Some(endpoint), None) => {
            Functions::Here { programs: programs(arguments.release, arguments.build_dir), endpoint }
        }
    };
    let sinks: BTreeSet<_> = found.entries.iter().map(|entry| entry.head.sink.clone()).collect();
    let targets = functions.targets(&place.template, &declared.functions, &sinks).await?;
    // It shows nothing unless standard error is a terminal.
    let progress = ProgressBar::new(found.entries.len() as u64);
    if let Ok(style) = ProgressStyle::with_template("{bar:30} {pos} of {len} records, {eta} left") {
        progress.set_style(style);
    }
    let speed = Pace { rate: arguments.rate, batch_size: arguments.batch_size };
    let summary =
        redrive::run(&store, found.entries, &targets, speed, now, &progress, stop()).await;
    progress.finish_and_clear();
    if arguments.json {
        summary.write_json(&mut io::stdout())?;
    } else {
        summary.write(&mut io::stdout())?;
    }
    Ok(match summary.ended_by {
        Some(EndedBy::Fault(_)) => ExitCode::from(NOT_DONE),
        _ if summary.is_complete() => ExitCode::SUCCESS,
        _ => ExitCode::from(LEFT),
    })
}

/// Says what would be delivered, without asking any function.
fn dry_run(store: &Store, found: Found, json: bool, now: i64) -> Result<ExitCode, Box<dyn Error>> {
    let mut by_sink = std::collections::BTreeMap::<_, usize>::new();
    let sent = found.entries.iter().filter(|entry| {
        entry.is_whole && entry.head.expires_at.is_none_or(|seconds| seconds > now / 1000)
    });
    for entry in sent {
        *by_sink.entry(entry.head.sink.clone()).or_default() += 1;
    }
    let listing = Listing::new(store.table(), found, DRY_RUN_LIMIT, now);
    if json {
        listing.write_json(&mut io::stdout())?;
        return Ok(ExitCode::SUCCESS);
    }
    let mut out = io::stdout();
    for (sink, records) in by_sink {
        let sink = sinkctl::visible::Visible(&sink);
        writeln!(out, "{} would be delivered to {sink}", counted(records, "record"))?;
    }
    writeln!(
        out,
        "what a function can't take by its settings or its limits is left, and told then"
    )?;
    listing.write(now, &mut out)?;
    Ok(ExitCode::SUCCESS)
}

/// How many records a dry run lists.
const DRY_RUN_LIMIT: usize = 20;

async fn drop(arguments: DropArguments, template: PathBuf) -> Result<ExitCode, Box<dyn Error>> {
    let filter = arguments.chosen.filter();
    if filter.is_empty() != arguments.all {
        return Err(
            "name the records to drop, by a filter or their coordinates, or drop `--all`".into()
        );
    }
    let place = arguments.place.place(template);
    let (_, store) = place.open().await?;
    let now = now();
    let found = store.find(&filter, now).await?;
    if found.entries.is_empty() {
        return none_found(&store);
    }
    let records = found.entries.len();
    if !arguments.yes {
        Listing::new(store.table(), found.clone(), DRY_RUN_LIMIT, now)
            .write(now, &mut io::stderr())?;
        if !io::stdin().is_terminal() {
            return Err(
                "nothing was dropped: there is no terminal to ask on, and no `--yes`".into()
            );
        }
        write!(io::stderr(), "\nDrop {} for good? Type yes: ", counted(records, "record"))?;
        let mut answer = String::new();
        io::stdin().read_line(&mut answer)?;
        if answer.trim() != "yes" {
            writeln!(io::stderr(), "nothing was dropped")?;
            return Ok(ExitCode::from(LEFT));
        }
    }
    let copy = arguments.copy.unwrap_or_else(|| {
        let stage = place.stage.as_deref().unwrap_or(local::template::LOCAL_STAGE);
        format!("quarantine-{stage}-{now}.jsonl").into()
    });
    let dropped = drop::run(&store, found.entries, &copy).await?;
    let mut out = io::stdout();
    let all = counted(records, "record");
    writeln!(out, "{} of {all} dropped; {} has them", dropped.dropped, copy.display())?;
    if dropped.were_gone > 0 {
        writeln!(out, "{} already gone", dropped.were_gone)?;
    }
    if dropped.left > 0 {
        writeln!(out, "{} left: they were rejected again meanwhile", dropped.left)?;
        return Ok(ExitCode::from(LEFT));
    }
    Ok(ExitCode::SUCCESS)
}

fn none_found(store: &Store) -> Result<ExitCode, Box<dyn Error>> {
    let table = store.table();
    writeln!(
        io::stderr(),
        "{table} has no such record: `sinkctl quarantine list` shows what it has"
    )?;
    Ok(ExitCode::from(LEFT))
}

impl PlaceArguments {
    fn place(self, template: PathBuf) -> Place {
        Place {
            template,
            stage: self.stage,
            parameters: self.parameters,
            dynamodb_endpoint: self.dynamodb_endpoint,
        }
    }
}

impl SelectionArguments {
    fn filter(self) -> Filter {
        let filter = self.filter.filter();
        match (self.place, self.place_offset) {
            (Some((topic, partition)), Some(offset)) => Filter {
                topic: Some(topic),
                partition: Some(partition),
                offsets: Some(offset..=offset),
                ..filter
            },
            _ => filter,
        }
    }
}

impl FilterArguments {
    fn filter(self) -> Filter {
        Filter {
            sink: self.sink,
            topic: self.topic,
            partition: self.partition,
            offsets: self.offset,
            reasons: self.reasons,
            older_than: self.older_than,
            newer_than: self.newer_than,
        }
    }
}
