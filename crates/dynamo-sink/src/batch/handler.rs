//! One invocation: an event in, an answer out.

use std::{
    cell::OnceCell,
    collections::{BTreeSet, HashMap},
    mem,
    time::{Duration, Instant, SystemTime, UNIX_EPOCH},
};

use kafka_event::{Coordinates, EncodedRecord, Event, EventError};
use lambda_runtime::Diagnostic;
use serde::Serialize;
use serde_json::Value;

use super::{
    experience::Experience,
    land::{Batch, Context, Report, land},
    log::BatchLog,
    outcome::{Outcome, Summary},
    quarantine::Quarantine,
};
use crate::{
    edge::{connection::Connection, trouble::with_causes},
    item::Item,
    mutation::Mutation,
    order::chain::{Candidate, chains},
    settings::{ResponseMode, Settings},
    sink::{Rejection, Sink},
    wire::Wire,
};

/// How long a batch may take where Lambda's deadline is not known.
const TIME_WITHOUT_DEADLINE: Duration = Duration::from_mins(1);

/// A sink at work: what one environment keeps between invocations.
#[derive(Debug)]
pub struct Handler {
    sink: Sink,
    settings: Settings,
    connection: Connection,
    wire: Wire,
    experience: Experience,
}

/// What [`Handler::land`] did.
#[derive(Debug)]
pub struct Handled {
    /// What became of the records.
    pub summary: Summary,
    /// What Lambda is answered.
    pub answer: Result<Response, InvocationError>,
}

/// What Lambda is answered when an invocation succeeds.
///
/// The records named here are retried, if the mapping has `FunctionResponseTypes: [ReportBatchItemFailures]`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Response {
    /// The failed records and all later ones of their partitions.
    pub batch_item_failures: Vec<BatchItemFailure>,
}

/// A record that is to be retried.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct BatchItemFailure {
    /// Which record it is.
    pub item_identifier: ItemIdentifier,
}

/// A record's place, as Lambda expects it in an answer.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct ItemIdentifier {
    /// `<topic>-<partition>`.
    pub partition: String,
    /// The record's offset.
    pub offset: i64,
}

/// Why an invocation failed, so that Lambda retries its batch.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum InvocationError {
    /// Occurs when the payload is no Kafka event.
    #[error("the payload cannot be read as a Kafka event")]
    InvalidEvent(#[source] EventError),
    /// Occurs when the mapping delivers another topic than the sink's.
    #[error(
        "the event has records of topic `{found}`, but this function is set up for `{expected}`"
    )]
    WrongTopic {
        /// The topic that came.
        found: String,
        /// The sink's topic.
        expected: String,
    },
    /// Occurs when no record can be written, whatever it holds: access denied, a missing table and the like.
    #[error(
        "{failed} of {received} records failed, because something around the function is wrong"
    )]
    SystemFault {
        /// How many records failed.
        failed: usize,
        /// How many records came.
        received: usize,
        /// What is wrong.
        source: Box<dyn std::error::Error + Send + Sync>,
    },
    /// Occurs when single records failed, and the answer cannot name them.
    #[error("{failed} of {received} records failed; the first at {first}: {reason}")]
    RecordsFailed {
        /// How many records failed.
        failed: usize,
        /// How many records came.
        received: usize,
        /// The first failed record.
        first: Coordinates<'static>,
        /// Why it failed.
        reason: String,
    },
    /// Occurs when the code panics. The log says where; the message is nowhere, since it may quote a record.
    #[error("the function panicked: its log says where")]
    Panicked,
}

impl From<InvocationError> for Diagnostic {
    fn from(error: InvocationError) -> Self {
        let error_type = match error {
            InvocationError::InvalidEvent(_) => "InvalidEvent",
            InvocationError::WrongTopic { .. } => "WrongTopic",
            InvocationError::SystemFault { .. } => "SystemFault",
            InvocationError::RecordsFailed { .. } => "RecordsFailed",
            InvocationError::Panicked => "Panicked",
        };
        // The runtime's own conversions report an error's first line only.
        Self { error_type: error_type.to_owned(), error_message: with_causes(&error) }
    }
}

impl Handler {
    /// A handler that writes through `connection`.
    pub fn new(sink: Sink, settings: Settings, connection: Connection) -> Self {
        let wire = Wire::new(
            sink.order,
            settings.table.clone(),
            settings.tombstone_table.clone(),
            settings.may_use_statements(),
        );
        let may_look = settings.may_use_statements();
        let experience = Experience::new(sink.deletes, may_look, settings.max_concurrency);
        Self { sink, settings, connection, wire, experience }
    }

    /// The time, by DynamoDB's clock where the system's is far from it.
    pub(crate) fn now(&self) -> SystemTime {
        self.connection.now()
    }

    /// Answers one invocation. `time_left` is the time until Lambda ends it, where it is known.
    pub async fn handle(
        &mut self,
        payload: &[u8],
        time_left: Option<Duration>,
    ) -> Result<Response, InvocationError> {
        self.land(payload, time_left).await?.answer
    }

    /// Lands one event's records, and says what became of each beside what Lambda is answered. An error means that none
    /// was looked at.
    pub async fn land(
        &mut self,
        payload: &[u8],
        time_left: Option<Duration>,
    ) -> Result<Handled, InvocationError> {
        let start = Instant::now();
        let deadline = start + time_left.unwrap_or(TIME_WITHOUT_DEADLINE);
        let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();

        let event = Event::read(payload).map_err(InvocationError::InvalidEvent)?;
        let records = event.records.as_slice();
        self.check_topic(records)?;

        let Batched { items, writes, rejections } = self.map(records);
        let quarantine = Quarantine {
            settings: &self.settings,
            sink: self.sink.name,
            now: now.as_millis().try_into().unwrap_or(u64::MAX),
            payload,
            records,
            texts: OnceCell::new(),
        };
        let offsets = records.iter().map(|record| (record.partition(), record.offset()));
        let is_redelivered = self.experience.learnt.is_redelivered(offsets);
        let context = Context {
            settings: &self.settings,
            connection: &self.connection,
            wire: &mut self.wire,
            experience: &mut self.experience,
            quarantine: &quarantine,
            deadline,
        };
        let retention = self.settings.tombstone_retention;
        let batch = Batch {
            items: &items,
            chains: chains(self.sink.order, self.sink.deletes, writes),
            rejections,
            tombstone_expires_at: retention.map(|it| now.as_secs() + it.as_secs()),
            is_redelivered,
        };
        let mut report = land(batch, context).await;

        let summary = Summary {
            outcomes: outcomes(records.len(), &report),
            conflicts: report.decided.iter().filter(|decided| decided.conflict).count(),
            duration: start.elapsed(),
            oldest_record_age: oldest_age(records, now),
            ..mem::take(&mut report.summary)
        };
        let batch_log = BatchLog {
            settings: &self.settings,
            order: self.sink.order,
            records,
            summary: &summary,
            report: &report,
            learnt: tracing::enabled!(tracing::Level::DEBUG).then(|| self.describe_learnt()),
            now,
        };
        batch_log.write();
        let answer = self.respond(&event, &summary.outcomes, report);
        Ok(Handled { summary, answer })
    }

    fn describe_learnt(&self) -> Value {
        let Settings { table, tombstone_table, quarantine_table, .. } = &self.settings;
        self.experience.describe([
            table,
            tombstone_table.as_deref().unwrap_or("none"),
            quarantine_table,
        ])
    }

    /// A record of another topic is a fault of the mapping: rejecting it would empty that topic into the quarantine.
    fn check_topic(&self, records: &[EncodedRecord<'_>]) -> Result<(), InvocationError> {
        match records.iter().find(|record| record.topic() != self.settings.topic) {
            Some(record) => Err(InvocationError::WrongTopic {
                found: record.topic().to_owned(),
                expected: self.settings.topic.clone(),
            }),
            None => Ok(()),
        }
    }

    fn map(&self, records: &[EncodedRecord<'_>]) -> Batched {
        let mut batched = Batched::default();
        batched.items.resize_with(records.len(), || None);
        batched.writes.reserve_exact(records.len());
        for (index, record) in records.iter().enumerate() {
            match self.map_one(index, record) {
                Ok((key, candidate, item)) => {
                    batched.items[index] = item;
                    batched.writes.push((key, candidate));
                }
                Err(rejection) => batched.rejections.push((index, rejection)),
            }
        }
        batched
    }

    fn map_one(
        &self,
        index: usize,
        encoded: &EncodedRecord<'_>,
    ) -> Result<(String, Candidate, Option<Item>), Rejection> {
        let Mutation { key, stamp, item, .. } =
            self.sink.mutation(&encoded.decode()?, &self.settings)?;
        let is_delete = item.is_none();
        Ok((key, Candidate { record: index, stamp, is_delete }, item))
    }

    fn respond(
        &self,
        event: &Event<'_>,
        outcomes: &[Outcome],
        report: Report,
    ) -> Result<Response, InvocationError> {
        let records = event.records.as_slice();
        let failed = outcomes.iter().filter(|&&outcome| outcome == Outcome::Failed).count();
        let Some(first) = outcomes.iter().position(|&outcome| outcome == Outcome::Failed) else {
            return Ok(Response::default());
        };
        if let Some(fault) = report.fault {
            let received = records.len();
            return Err(InvocationError::SystemFault { failed, received, source: fault.into() });
        }
        // A pipe ignores answers, whatever the mapping's settings are.
        if self.settings.response_mode == ResponseMode::Partial && !event.is_from_pipe {
            return Ok(Response { batch_item_failures: failures(records, outcomes) });
        }
        let reason = report.failures.iter().find(|(record, _)| *record == first);
        Err(InvocationError::RecordsFailed {
            failed,
            received: records.len(),
            first: records[first].coordinates().clone().into_owned(),
            reason: reason.map_or_else(|| "not decided".to_owned(), |(_, reason)| reason.clone()),
        })
    }
}

/// A batch after its records were mapped.
#[derive(Default)]
struct Batched {
    items: Vec<Option<Item>>,
    writes: Vec<(String, Candidate)>,
    rejections: Vec<(usize, Rejection)>,
}

/// Each record's outcome.
fn outcomes(received: usize, report: &Report) -> Vec<Outcome> {
    // What nobody decided has failed: nothing is ever dropped silently.
    let mut outcomes = vec![Outcome::Failed; received];
    for decided in &report.decided {
        outcomes[decided.record] = Outcome::of(decided.fate);
    }
    for (record, _) in &report.quarantined {
        outcomes[*record] = Outcome::Quarantined;
    }
    outcomes
}

/// How long before `now`, both since 1970, the oldest record came to its topic.
fn oldest_age(records: &[EncodedRecord<'_>], now: Duration) -> Duration {
    let times = records.iter().filter_map(|record| u64::try_from(record.timestamp()).ok());
    let oldest = times.min().map(Duration::from_millis);
    oldest.map_or(Duration::ZERO, |oldest| now.saturating_sub(oldest))
}

/// Every failed record and every later one of its partition: if Lambda retried only the failed one, it would come after
/// those that it precedes.
fn failures(records: &[EncodedRecord<'_>], outcomes: &[Outcome]) -> Vec<BatchItemFailure> {
    let mut first_failed: HashMap<(&str, i32), i64> = HashMap::new();
    for (record, _) in
        records.iter().zip(outcomes).filter(|(_, outcome)| **outcome == Outcome::Failed)
    {
        let first =
            first_failed.entry((record.topic(), record.partition())).or_insert(record.offset());
        *first = record.offset().min(*first);
    }
    // A set, since a record can be in a batch twice.
    let identifiers: BTreeSet<&Coordinates<'_>> = records
        .iter()
        .filter(|record| {
            let first = first_failed.get(&(record.topic(), record.partition()));
            first.is_some_and(|&first| first <= record.offset())
        })
        .map(EncodedRecord::coordinates)
        .collect();
    let failure = |Coordinates { topic, partition, offset }: &Coordinates<'_>| BatchItemFailure {
        item_identifier: ItemIdentifier {
            partition: format!("{topic}-{partition}"),
            offset: *offset,
        },
    };
    identifiers.into_iter().map(failure).collect()
}
