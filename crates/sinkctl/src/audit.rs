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
    path::PathBuf,
};

use aws_sdk_dynamodb::Client;
use dynamo_sink::{
    settings::{Settings, SettingsError},
    sink::Sink,
    stored::Attributes,
};
use local::samconfig::{self, SamConfigError};

use crate::{
    tables::{self, TableError},
    text::{self, counted},
};

use expected::Expected;
use fingerprint::{attributes_of, differing_names};
use judge::{Judgement, Spans};
use quarantine::Expiry;
use topic::{KafkaTopic, Topic};

pub use report::{Coordinates, Finding, Findings, Kind, Notes, QuarantinedRecord, Report, Why};
pub use topic::TopicError;

/// The sinks that can be audited.
pub const SINKS: [Sink; 2] = [sink_appian_data::SINK, sink_seatool_data::SINK];

/// Items that differ and are looked at attribute by attribute, for which their records are read again one by one.
const LOOKED_INTO: usize = 100;

/// What to audit.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Audit {
    /// The template that declares the functions.
    pub template: PathBuf,
    /// The function's binary, such as `sinkSeatoolData`.
    pub function: String,
    /// The deployed stage; `None` is the local one.
    pub stage: Option<String>,
    /// The template's parameters that are not what the stage is deployed with.
    pub parameters: Vec<(String, String)>,
    /// The Kafka cluster.
    pub bootstrap_servers: String,
    /// Properties of the Kafka client.
    pub properties: Vec<(String, String)>,
    /// A local DynamoDB; `None` is what the AWS SDK finds by itself.
    pub dynamodb_endpoint: Option<String>,
    /// Whether the report may name keys and attributes, which are data.
    pub show_keys: bool,
}

/// Why an audit could not be done.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum AuditError {
    /// Occurs when the template can't be read.
    #[error(transparent)]
    Template(#[from] SamConfigError),
    /// Occurs when there is no such function.
    #[error("there is no function `{found}`: expected {}", accepted.join(" or "))]
    UnknownFunction {
        /// What was asked for.
        found: String,
        /// The functions that can be audited.
        accepted: Vec<String>,
    },
    /// Occurs when the template's variables are not those of the function.
    #[error("the template's variables of `{function}` can't be used")]
    Settings {
        /// The function.
        function: String,
        /// What is wrong.
        source: SettingsError,
    },
    /// Occurs when the topic can't be read.
    #[error(transparent)]
    Topic(#[from] TopicError),
    /// Occurs when a table can't be read.
    #[error(transparent)]
    Table(#[from] TableError),
    /// Occurs when progress or the report can't be written.
    #[error("cannot write the report")]
    Write(#[from] io::Error),
}

/// Reads the topic and the tables, and compares them. `progress` gets a line for each step.
pub async fn run(audit: &Audit, progress: &mut dyn Write) -> Result<Report, AuditError> {
    let (sink, settings) = function(audit)?;
    let topic = KafkaTopic::new(&settings.topic, &audit.bootstrap_servers, &audit.properties)?;
    let client = tables::client(audit.dynamodb_endpoint.as_deref()).await;
    let now = text::now().cast_signed();
    compare(&Compared { sink, settings, topic, client, now, show_keys: audit.show_keys }, progress)
        .await
}

/// The sink that is asked for, with the settings that the template gives it.
fn function(audit: &Audit) -> Result<(Sink, Settings), AuditError> {
    let template = samconfig::template(&audit.template, audit.stage.as_deref(), &audit.parameters)?;
    let sink = SINKS.into_iter().find(|sink| sink.name == audit.function);
    let declared =
        template.functions.into_iter().find(|function| function.binary == audit.function);
    let (Some(sink), Some(declared)) = (sink, declared) else {
        return Err(AuditError::UnknownFunction {
            found: audit.function.clone(),
            accepted: SINKS.map(|sink| format!("`{}`", sink.name)).to_vec(),
        });
    };
    let settings = Settings::read(&sink, |variable| Ok(declared.variables.get(variable).cloned()))
        .map_err(|source| AuditError::Settings { function: audit.function.clone(), source })?;
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
) -> Result<Report, AuditError> {
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
) -> Result<(), AuditError> {
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
) -> Result<(), AuditError> {
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
        let finding = judge::finding(expected, kind, None, Some(state), None);
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
) -> Result<(), AuditError> {
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
