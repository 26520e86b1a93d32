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
    kafka::{Source, Spans},
    tables,
    text::{self, counted},
};

use expected::Expected;
use fingerprint::{attributes_of, differing_names};
use judge::{Case, Judgement};
use quarantine::Expiry;
use report::{Finding, Kind, Report};
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

/// The exit status of an audit that found differences.
const DIFFERENCES: u8 = 1;

#[derive(Args, Clone, Debug)]
pub struct Audit {
    /// The function's binary: `sinkAppianData` or `sinkSeatoolData`.
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
        report.write_json(&mut io::stdout())?;
    } else {
        report.write_table(&mut io::stdout())?;
    }
    Ok(if report.differences == 0 { ExitCode::SUCCESS } else { ExitCode::from(DIFFERENCES) })
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

    let mut expected = Expected::new(sink.order, &settings.topic, settings.epoch);
    let expiry = Expiry { now: *now, retention: settings.quarantine_retention };
    for (&partition, &span) in &spans {
        let (table, name) = (&settings.quarantine_table, &settings.topic);
        let entries = quarantine::entries(client, table, name, partition, settings.epoch).await?;
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
                    entries.judge_rejected(record, &rejection, &expiry, &mut report);
                }
            }
        };
        topic.read(partition, span, &mut take).await?;
        let records = counted(report.records - records_before, "record");
        writeln!(progress, "partition {partition}: {records}")?;
    }
    report.keys = expected.len();
    report.deleted_keys = expected.deleted();
    report.moved_keys = expected.moved();

    compare_items(compared, &spans, &mut expected, &mut report).await?;
    writeln!(progress, "{}: {}", settings.table, counted(report.items, "item"))?;
    if let Some(table) = &settings.tombstone_table {
        compare_tombstones(compared, table, &mut expected, &mut report).await?;
    }
    add_missing(compared, &expected, &mut report);
    report.sort();
    Ok(report)
}

async fn compare_items<T: Topic>(
    compared: &Compared<T>,
    spans: &Spans,
    expected: &mut Expected,
    report: &mut Report,
) -> anyhow::Result<()> {
    let mut late = Vec::new();
    let mut start = None;
    loop {
        let page = tables::page(&compared.client, &compared.settings.table, start).await?;
        for item in &page.items {
            report.items += 1;
            match judge::judge_item(expected, spans, item) {
                Judgement::Right => {}
                Judgement::RightOfEarlierEpoch => report.notes.of_earlier_epochs += 1,
                Judgement::BeforeTopic => report.notes.before_topic += 1,
                Judgement::Late(finding) => late.push(with_key(compared, finding, item)),
                Judgement::Wrong(finding) => {
                    let mut finding = with_key(compared, finding, item);
                    if finding.kind == Kind::Different
                        && report.count(Kind::Different) < LOOKED_INTO
                    {
                        look_into(compared, &mut finding, item).await?;
                    }
                    report.add(finding);
                }
            }
        }
        start = page.next;
        if start.is_none() {
            break;
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
    Ok(())
}

async fn compare_tombstones<T: Topic>(
    compared: &Compared<T>,
    table: &str,
    expected: &mut Expected,
    report: &mut Report,
) -> anyhow::Result<()> {
    let mut start = None;
    loop {
        let page = tables::page(&compared.client, table, start).await?;
        for tombstone in &page.items {
            match judge::judge_tombstone(expected, tombstone) {
                Judgement::Right | Judgement::BeforeTopic => {}
                Judgement::RightOfEarlierEpoch => report.notes.of_earlier_epochs += 1,
                Judgement::Wrong(finding) | Judgement::Late(finding) => {
                    report.add(with_key(compared, finding, tombstone));
                }
            }
        }
        start = page.next;
        if start.is_none() {
            return Ok(());
        }
    }
}

/// Adds what was found for no key.
fn add_missing<T>(compared: &Compared<T>, expected: &Expected, report: &mut Report) {
    let expiry = Expiry { now: compared.now, retention: compared.settings.tombstone_retention };
    for (key, state) in expected.states() {
        let kind = match (state.is_delete(), state.item_was_found, state.tombstone_was_found) {
            (false, false, _) => Kind::Missing,
            (true, _, false) => Kind::TombstoneMissing,
            (false, true, _) | (true, _, true) => continue,
        };
        let case = Case { expected, state: Some(state), found: None };
        let finding = case.finding(kind, None);
        let stored_at = finding.expected.as_ref().map_or(i64::MAX, |expected| expected.timestamp);
        if kind == Kind::TombstoneMissing && expiry.may_have_passed(stored_at) {
            report.notes.may_have_expired += 1;
            continue;
        }
        let key = compared.show_keys.then(|| key.to_owned());
        report.add(Finding { key, ..finding });
    }
}

/// Says in which attributes an item differs, by reading the record that it should hold once more.
async fn look_into<T: Topic>(
    compared: &Compared<T>,
    finding: &mut Finding,
    item: &Attributes,
) -> anyhow::Result<()> {
    let Some(right) = &finding.expected else { return Ok(()) };
    let Some(record) = compared.topic.read_one(right.partition, right.offset).await? else {
        return Ok(());
    };
    let mutation = compared.sink.mutation(&record, &compared.settings);
    let right = mutation.ok().and_then(|mutation| attributes_of(&mutation.item?));
    let Some(right) = right else { return Ok(()) };
    let mut names = differing_names(&right, item);
    if names.is_empty() {
        // Then it is the version or the shape.
        names.push("_sink".to_owned());
    }
    finding.differing_attributes = Some(names.len());
    finding.attributes = compared.show_keys.then_some(names);
    Ok(())
}

fn with_key<T>(compared: &Compared<T>, finding: Finding, item: &Attributes) -> Finding {
    let key = item.get("PK").and_then(|key| key.as_s().ok());
    Finding { key: key.filter(|_| compared.show_keys).cloned(), ..finding }
}
