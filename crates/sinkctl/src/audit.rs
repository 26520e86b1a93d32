//! Whether a table holds what its topic says: every record folded through the sink's own mapping, then compared.

mod expected;
mod fingerprint;
mod judge;
mod quarantine;
mod report;
#[cfg(test)]
mod tests;
mod topic;

use std::{
    collections::HashMap,
    io::{self, Write},
    path::Path,
    process::ExitCode,
};

use anyhow::{Context as _, bail};
use aws_sdk_dynamodb::Client;
use clap::Args;
use dynamo_sink::{settings::Settings, sink::Sink, stored::Attributes};
use local::{SINKS, samconfig};

use crate::{
    arguments::{STAGE, url},
    kafka::{Source, Span},
    quarantine::{filter::Filter, store::Store},
    tables::{self, cannot_be},
    text::{self, counted},
    visible::write_json,
};

use expected::Expected;
use fingerprint::Members;
use judge::{Case, Judgement};
use quarantine::{Entries, may_have_expired};
use report::{Coordinates, Finding, Kind, Report};
use topic::{KafkaTopic, Topic};

/// Items that differ and are looked at attribute by attribute, for which their records are read again one by one.
const LOOKED_INTO: usize = 100;

pub const EXAMPLES: &str = "\
Examples:
  sinkctl audit sinkSeatoolData --dynamodb-endpoint http://127.0.0.1:8000
  sinkctl audit sinkAppianData --json --dynamodb-endpoint http://127.0.0.1:8000
  sinkctl audit sinkSeatoolData --stage val \\
      --bootstrap-servers b-1.example:9096 -X security.protocol=sasl_ssl -X sasl.mechanism=SCRAM-SHA-512 ...

Exit status: 0 without a difference, 1 with differences, 2 when it could not be done.
The topic is read from its beginning without a consumer group, and nothing is written anywhere.";

#[derive(Args, Clone, Debug)]
pub struct Audit {
    /// The function's binary, such as `sinkAppianData`.
    function: String,
    #[arg(long, value_name = "NAME", help = STAGE)]
    stage: Option<String>,
    #[command(flatten)]
    source: Source,
    /// A local DynamoDB, such as `http://127.0.0.1:8000` [default: what the AWS SDK finds by itself].
    #[arg(long, value_name = "URL", value_parser = url)]
    dynamodb_endpoint: Option<String>,
    /// Print the result as one line of JSON, with the differences, at most 10,000 of a kind.
    #[arg(long)]
    json: bool,
    /// Name the keys of items and the attributes that differ: they are data.
    #[arg(long)]
    show_keys: bool,
}

/// Reads the topic and the tables, compares them, and writes the report.
pub async fn run(audit: &Audit, template: &Path) -> anyhow::Result<ExitCode> {
    let (sink, settings) = function(audit, template)?;
    let topic = KafkaTopic::new(&settings.topic, &audit.source)?;
    let client = tables::client(audit.dynamodb_endpoint.as_deref()).await;
    let (now, show_keys) = (text::now().cast_signed(), audit.show_keys);
    let compared = Compared { sink, settings, topic, client, now, show_keys };
    let report = compare(&compared, &mut io::stderr()).await?;
    if audit.json {
        write_json(&report, &mut io::stdout())?;
    } else {
        report.write_table(&mut io::stdout())?;
    }
    Ok(ExitCode::from(u8::from(report.differences > 0)))
}

/// The sink that is asked for, with the settings that the template gives it.
fn function(audit: &Audit, template: &Path) -> anyhow::Result<(Sink, Settings)> {
    let name = &audit.function;
    let template = samconfig::template(template, audit.stage.as_deref(), &audit.source.parameters)?;
    let sink = SINKS.into_iter().find(|sink| sink.name == *name);
    let declared = template.functions.into_iter().find(|function| function.binary == *name);
    let (Some(sink), Some(declared)) = (sink, declared) else {
        let accepted = SINKS.map(|sink| format!("`{}`", sink.name)).join(" or ");
        bail!("there is no function `{name}`: expected {accepted}");
    };
    let settings = Settings::read(&sink, |variable| Ok(declared.variables.get(variable).cloned()))
        .with_context(|| format!("the template's variables of `{name}` cannot be used"))?;
    Ok((sink, settings))
}

/// What is compared with what.
struct Compared<T> {
    sink: Sink,
    settings: Settings,
    topic: T,
    client: Client,
    /// Milliseconds since 1970.
    now: i64,
    show_keys: bool,
}

async fn compare<T: Topic>(
    compared: &Compared<T>,
    progress: &mut dyn Write,
) -> anyhow::Result<Report> {
    let Compared { sink, settings, topic, client, now, .. } = compared;
    let spans = topic.spans().await?;
    let mut report = Report {
        function: sink.name.to_owned(),
        topic: settings.topic.clone(),
        epoch: settings.epoch,
        partitions: spans.len(),
        ..Report::default()
    };

    let mut expected = Expected {
        order: sink.order,
        topic: settings.topic.clone(),
        epoch: settings.epoch,
        states: HashMap::new(),
    };
    let store = Store { client: client.clone(), table: settings.quarantine_table.clone() };
    for (&partition, &span) in &spans {
        let filter = Filter {
            topic: Some(settings.topic.clone()),
            partition: Some(partition),
            ..Filter::default()
        };
        let entries = Entries::new(settings.epoch, store.find(&filter, *now).await?.entries);
        let records_before = report.records;
        let mut take = |record: &kafka_event::Record<'_>| {
            report.records += 1;
            match sink.mutation(record, settings) {
                Ok(mutation) => {
                    if entries.judge_accepted(record, &mut report) {
                        expected.fold(mutation);
                    }
                }
                Err(rejection) => {
                    let retention = settings.quarantine_retention;
                    let has_expired = may_have_expired(record.timestamp, retention, *now);
                    entries.judge_rejected(record, &rejection, has_expired, &mut report);
                }
            }
        };
        topic.read(partition, span, &mut take).await?;
        let records = counted(report.records - records_before, "record");
        writeln!(progress, "partition {partition}: {records}")?;
    }
    let states = || expected.states.values();
    report.keys = states().len();
    report.deleted_keys = states().filter(|state| state.is_delete()).count();
    report.moved_keys = states().filter(|state| state.has_moved).count();

    let judge = |item: &Attributes| judge::judge_item(&mut expected, &spans, item);
    report.items = compare_table(compared, &settings.table, judge, &mut report).await?;
    writeln!(progress, "{}: {}", settings.table, counted(report.items, "item"))?;
    if let Some(table) = &settings.tombstone_table {
        let judge = |tombstone: &Attributes| judge::judge_tombstone(&mut expected, tombstone);
        compare_table(compared, table, judge, &mut report).await?;
    }
    add_missing(compared, &expected, &mut report);
    report.finish();
    Ok(report)
}

/// Reports what is wrong with the items of a table, and returns how many there are.
async fn compare_table<T: Topic>(
    compared: &Compared<T>,
    table: &str,
    mut judge: impl FnMut(&Attributes) -> Judgement,
    report: &mut Report,
) -> anyhow::Result<u64> {
    let mut count = 0;
    let mut late = Vec::new();
    let scan = compared.client.scan().table_name(table).consistent_read(true);
    let mut items = scan.into_paginator().items().send();
    while let Some(item) = items.next().await {
        let item = item.map_err(|error| cannot_be(table, "read", error))?;
        count += 1;
        let key = item.get("PK").and_then(|key| key.as_s().ok());
        let key = key.filter(|_| compared.show_keys).cloned();
        match judge(&item) {
            Judgement::Right => {}
            Judgement::RightOfEarlierEpoch => report.notes.of_earlier_epochs += 1,
            Judgement::BeforeTopic => report.notes.before_topic += 1,
            Judgement::Late(finding) => late.push(Finding { key, ..finding }),
            Judgement::Wrong(finding) => {
                let mut finding = Finding { key, ..finding };
                if finding.kind == Kind::Different && report.count(Kind::Different) < LOOKED_INTO {
                    look_into(compared, &mut finding, &item).await?;
                }
                report.add(finding);
            }
        }
    }
    if !late.is_empty() {
        let spans = compared.topic.spans().await?;
        for finding in late {
            if judge::is_behind(&finding, &spans) {
                report.notes.during_audit += 1;
            } else {
                report.add(finding);
            }
        }
    }
    Ok(count)
}

/// Adds what was found for no key.
fn add_missing<T>(compared: &Compared<T>, expected: &Expected, report: &mut Report) {
    let retention = compared.settings.tombstone_retention;
    for (key, state) in &expected.states {
        let kind = match state.is_delete() {
            true if state.tombstone_was_found => continue,
            true if may_have_expired(state.timestamp, retention, compared.now) => {
                report.notes.may_have_expired += 1;
                continue;
            }
            true => Kind::TombstoneMissing,
            false if state.item_was_found => continue,
            false => Kind::Missing,
        };
        let finding = Case { expected, state: Some(state), found: None }.finding(kind, None);
        let key = compared.show_keys.then(|| key.to_string());
        report.add(Finding { key, ..finding });
    }
}

/// Says in which attributes an item differs, by reading the record that it should hold once more.
async fn look_into<T: Topic>(
    compared: &Compared<T>,
    finding: &mut Finding,
    item: &Attributes,
) -> anyhow::Result<()> {
    let Some(Coordinates { partition, offset, .. }) = finding.expected else { return Ok(()) };
    let mut right = None;
    let mut take = |record: &kafka_event::Record<'_>| {
        let mutation = compared.sink.mutation(record, &compared.settings);
        right = mutation.ok().and_then(|mutation| Members::mapped(&mutation.item?));
    };
    let span = Span { first: offset, end: offset + 1 };
    compared.topic.read(partition, span, &mut take).await?;
    let Some(right) = right else { return Ok(()) };
    let mut names = right.differing(&Members::stored(item));
    if names.is_empty() {
        // Then it is the version or the shape.
        names.push("_sink".to_owned());
    }
    finding.differing_attributes = Some(names.len());
    finding.attributes = compared.show_keys.then_some(names);
    Ok(())
}
