//! A local event source mapping: what Lambda does between a Kafka topic and a function.
//!
//! What it decides is pure: which records make a batch ([`assembly`]), what the event looks like ([`event`]), and what
//! follows an invocation ([`attempt`]). The Kafka client, the functions and the time stand at the edge.

pub mod settings;

pub mod event;

pub mod assembly;

pub mod attempt;
pub mod failure;

pub mod summary;

mod consumer;
mod ends;
mod live;
mod poll;
mod report;
mod status;
mod tally;

use std::{
    collections::BTreeMap,
    io::{self, Write},
    net::SocketAddr,
    path::{Path, PathBuf},
    sync::Arc,
    time::Duration,
};

use local::{
    build::{BuildError, Programs},
    function::{FunctionSettings, LocalFunction},
    invoke::{AddressError, Invoker, RemoteFunction},
    template::{self, Function, LOCAL_STAGE, StartingPosition, Template, TemplateError},
};
use rdkafka::error::KafkaError;
use tokio::{
    sync::watch,
    task::{JoinError, JoinSet},
};

use crate::{
    kafka,
    text::{self, counted},
};
use event::Envelope;
use report::Report;
use settings::{MappingSettings, Overrides, SettingsError};
use status::{Observed, Status};
use summary::{Counts, Summary};

/// How long an invocation elsewhere may take unless something is said: as long as Lambda lets one behind Kafka. It may
/// have to be built first.
const REMOTE_TIMEOUT: Duration = Duration::from_mins(14);

/// What to run.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Esm {
    /// The template that declares the mappings and functions.
    pub template: PathBuf,
    /// Values of the template's parameters.
    pub parameters: Vec<(String, String)>,
    /// The binaries of the functions whose mappings run; all that are enabled if there are none.
    pub functions: Vec<String>,
    /// The brokers, as they stand in the events.
    pub bootstrap_servers: String,
    /// Properties of the Kafka client.
    pub properties: Vec<(String, String)>,
    /// What runs the functions.
    pub runner: Runner,
    /// Where the functions find `DynamoDB`, if they run here.
    pub dynamodb_endpoint: String,
    /// What differs from the template.
    pub overrides: Overrides,
    /// The folder that what is given up goes to.
    pub on_failure: Option<PathBuf>,
    /// How many batches of a function may be in flight at once.
    pub environments: usize,
    /// How long an invocation may take; `None` is what the template says.
    pub timeout: Option<Duration>,
    /// Whether to end once all is committed that the topics held at the start.
    pub until_end: bool,
    /// Whether the summary is one line of JSON.
    pub json: bool,
    /// Whether all lines of the functions' logs are shown.
    pub verbose: bool,
    /// Where to tell the status.
    pub status_address: Option<SocketAddr>,
}

/// What runs the functions.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Runner {
    /// This program, from these.
    Here(Programs),
    /// Whatever answers at this address.
    Address(String),
}

/// Why there is no mapping at work.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum EsmError {
    /// Occurs when the template cannot be read.
    #[error(transparent)]
    Template(#[from] TemplateError),
    /// Occurs when a function is named that the template has no mapping for.
    #[error("the template has no mapping for a function `{function}`, but for {}", known.join(", "))]
    UnknownFunction {
        /// What was named.
        function: String,
        /// The functions that have one.
        known: Vec<String>,
    },
    /// Occurs when a function is named whose mapping the parameters leave out.
    #[error(
        "the mapping of `{function}` is absent: give its parameter `AppianEnabled` or `SeatoolEnabled` the value `true`"
    )]
    AbsentMapping {
        /// The function.
        function: String,
    },
    /// Occurs when no mapping is enabled.
    #[error(
        "the template has no mapping that is enabled: `--parameter AppianEnabled=true`, say, enables one"
    )]
    NoMapping,
    /// Occurs when one group is given for several mappings.
    #[error("`--group {group}` is for the mapping of one function: name it")]
    SharedGroup {
        /// The group.
        group: String,
    },
    /// Occurs when Lambda would not accept a mapping.
    #[error(transparent)]
    Settings(#[from] SettingsError),
    /// Occurs when the address of the functions is none.
    #[error(transparent)]
    Address(#[from] AddressError),
    /// Occurs when there are no binaries.
    #[error(transparent)]
    Build(#[from] BuildError),
    /// Occurs when the Kafka client cannot work.
    #[error("`{mapping}`: the Kafka client cannot work")]
    Kafka {
        /// The mapping's logical id.
        mapping: String,
        /// What it says.
        source: KafkaError,
    },
    /// Occurs when records are to be taken from a time on that has not come, which Lambda refuses.
    #[error(
        "`{mapping}`: {seconds} s since 1970 is in the future, so no record would come: are these milliseconds?"
    )]
    FutureTimestamp {
        /// The mapping's logical id.
        mapping: String,
        /// The time.
        seconds: u64,
    },
    /// Occurs when a time is given, and the position is not that of a time.
    #[error("a timestamp is for the starting position AT_TIMESTAMP only")]
    NeedlessTimestamp,
    /// Occurs when someone ended what was to go on to the topics' end.
    #[error("stopped before the end: what is left comes with the next start")]
    NotAtEnd,
    /// Occurs when a property is given without which offsets would not be committed after success.
    #[error(
        "the property `{property}` can't be given: it is set as the mapping needs it; leave it out"
    )]
    ReservedProperty {
        /// The property's name.
        property: String,
    },
    /// Occurs when no broker answers at the start.
    #[error(
        "no broker of `{bootstrap_servers}` answers: start Kafka there, or name the brokers with `--bootstrap-servers`"
    )]
    NoBroker {
        /// The brokers.
        bootstrap_servers: String,
        /// What the client says.
        source: KafkaError,
    },
    /// Occurs when a topic can't be asked for, though a broker answers.
    #[error(
        "topic `{topic}` can't be read: see what the broker says, and whether `-X` logs in as who may read it"
    )]
    Topic {
        /// The topic.
        topic: String,
        /// What the broker says.
        source: KafkaError,
    },
    /// Occurs when a record can't be delivered as Lambda would.
    #[error(
        "`{mapping}`: a header's name is no UTF-8 in partition {partition} at offset {offset}: the Kafka client can't read it"
    )]
    HeaderName {
        /// The mapping's logical id.
        mapping: String,
        /// The record's partition.
        partition: i32,
        /// The record's offset.
        offset: i64,
    },
    /// Occurs when the end of a topic is wanted that does not exist.
    #[error(
        "there is no topic `{topic}`: create it, or name another with `--parameter`, such as `TopicNamespace=…`"
    )]
    NoTopic {
        /// The topic.
        topic: String,
    },
    /// Occurs when the status can't be told where it was to be.
    #[error("cannot tell the status at `{address}`: name another port, or 0 for a free one")]
    StatusAddress {
        /// The address.
        address: SocketAddr,
        /// What the system said.
        source: io::Error,
    },
    /// Occurs when a failure record cannot be written.
    #[error("cannot write to `{}` what was given up", directory.display())]
    Destination {
        /// The folder.
        directory: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// Occurs when someone did not wait for the invocations in flight.
    #[error("ended before the invocations in flight were finished: their records come again")]
    Interrupted,
    /// Occurs when a task of this program was ended.
    #[error("a mapping was not finished")]
    Task(#[from] JoinError),
    /// Occurs when the summary cannot be written.
    #[error("cannot write the summary")]
    Write(#[from] io::Error),
}

/// Runs the mappings until `stop` is ready, or the end is reached that was asked for, and writes the summary to `out`.
pub async fn run(
    esm: &Esm,
    stop: impl Future<Output = ()>,
    out: &mut dyn Write,
) -> Result<Summary, EsmError> {
    let mut parameters = vec![("Stage", LOCAL_STAGE)];
    parameters.extend(esm.parameters.iter().map(|(name, value)| (name.as_str(), value.as_str())));
    let template = Template::read(&esm.template, &parameters)?;
    let chosen = choose(&template, &esm.functions)?;
    if let (Some(group), [_, _, ..]) = (&esm.overrides.group, chosen.as_slice()) {
        return Err(EsmError::SharedGroup { group: group.clone() });
    }
    let mut settings = Vec::new();
    for (mapping, _) in &chosen {
        settings.push(MappingSettings::new(mapping, &esm.overrides)?);
    }
    let now = text::now() / 1000;
    for (settings, (mapping, _)) in settings.iter().zip(&chosen) {
        if let StartingPosition::AtTimestamp(seconds) = settings.starting_position
            && seconds > now
        {
            return Err(EsmError::FutureTimestamp { mapping: mapping.logical_id.clone(), seconds });
        }
    }
    // The group is the mapping's, or the flag's.
    if let Some(property) = kafka::reserved_property(&esm.properties, &["group.id"]) {
        return Err(EsmError::ReservedProperty { property: property.to_owned() });
    }
    let report = Arc::new(Report::new(esm.verbose));
    let functions: Vec<_> = chosen.iter().map(|(_, function)| (*function).clone()).collect();
    let executables = match &esm.runner {
        Runner::Here(programs) => {
            report.line("Building or finding the functions");
            programs.find(esm.template.parent().unwrap_or(Path::new(".")), &functions)?
        }
        Runner::Address(_) => BTreeMap::new(),
    };

    let status = match esm.status_address {
        Some(address) => Some(Status::bind(address, &report).await?),
        None => None,
    };
    let (stopper, stop_sign) = watch::channel(false);
    let mut counts = Vec::new();
    let mut observed = Vec::new();
    let mut tasks = JoinSet::new();
    for ((mapping, function), settings) in chosen.into_iter().zip(settings) {
        let counts_of_mapping = Arc::new(Counts::default());
        counts.push((function.binary.clone(), Arc::clone(&counts_of_mapping)));
        let consumer = consumer::consumer(
            &function.binary,
            &settings,
            &esm.bootstrap_servers,
            &esm.properties,
            &report,
        )
        .map_err(|source| EsmError::Kafka { mapping: mapping.logical_id.clone(), source })?;
        let consumer = Arc::new(consumer);
        let ends = ends::ends(esm, &settings.topic, &consumer, &report).await?;
        introduce(esm, mapping, function, &settings, &report);
        if ends.is_none() {
            report.line(&format!(
                "{}: waiting for the topic `{}`: there is none so far",
                function.binary, settings.topic
            ));
        }
        let at_work = poll::Mapping {
            name: function.binary.clone(),
            function: function.name.clone(),
            logical_id: mapping.logical_id.clone(),
            envelope: Envelope::new(&settings.topic, &esm.bootstrap_servers),
            bootstrap_servers: esm.bootstrap_servers.clone(),
            invoker: invoker(esm, function, &executables)?,
            environments: esm.environments.max(1),
            on_failure: esm.on_failure.clone(),
            counts: counts_of_mapping,
            tally: Arc::default(),
            report: Arc::clone(&report),
            settings,
        };
        let at_work = Arc::new(at_work);
        observed.push((Observed::new(Arc::clone(&at_work), function), Arc::clone(&consumer)));
        let ends = ends.filter(|_| esm.until_end);
        tasks.spawn(poll::run(at_work, consumer, ends, stop_sign.clone()));
    }

    let progress = tokio::spawn(Arc::clone(&report).progress(counts.clone()));
    // As long as it is kept, the status is told.
    let told = status.map(|status| status.start(esm, observed));
    let (result, was_stopped) = finish(tasks, &stopper, stop, &report).await;
    drop(told);
    progress.abort();
    report.end();
    let functions = counts.into_iter().map(|(name, counts)| (name, counts.summary())).collect();
    let summary = Summary { functions };
    if esm.json {
        serde_json::to_writer(&mut *out, &summary).map_err(io::Error::from)?;
        writeln!(out)?;
    } else {
        for (name, summary) in &summary.functions {
            writeln!(out, "{name}: {summary}")?;
        }
    }
    out.flush()?;
    result?;
    if was_stopped && esm.until_end { Err(EsmError::NotAtEnd) } else { Ok(summary) }
}

/// The mappings of these functions, or all that are enabled.
fn choose<'t>(
    template: &'t Template,
    binaries: &[String],
) -> Result<Vec<(&'t template::Mapping, &'t Function)>, EsmError> {
    let all: Vec<_> = template
        .mappings
        .iter()
        .filter_map(|mapping| {
            let mut functions = template.functions.iter();
            Some((mapping, functions.find(|it| it.logical_id == mapping.function)?))
        })
        .collect();
    let has_mapping =
        |binary: &&String| all.iter().any(|(_, function)| function.binary == **binary);
    if let Some(function) = binaries.iter().find(|binary| !has_mapping(binary)) {
        let function = function.clone();
        if template.functions.iter().any(|it| it.binary == function) {
            return Err(EsmError::AbsentMapping { function });
        }
        let known = all.iter().map(|(_, function)| format!("`{}`", function.binary)).collect();
        return Err(EsmError::UnknownFunction { function, known });
    }
    let is_chosen = |(mapping, function): &(&template::Mapping, &Function)| {
        mapping.is_enabled && (binaries.is_empty() || binaries.contains(&function.binary))
    };
    let chosen: Vec<_> = all.into_iter().filter(is_chosen).collect();
    if chosen.is_empty() { Err(EsmError::NoMapping) } else { Ok(chosen) }
}

fn introduce(
    esm: &Esm,
    mapping: &template::Mapping,
    function: &Function,
    settings: &MappingSettings,
    report: &Report,
) {
    let name = &function.binary;
    let MappingSettings { topic, group, batch_size, batching_window, policy, .. } = settings;
    report.line(&format!(
        "{name}: topic `{topic}`, group `{group}`, batches of {} or {} s",
        counted(*batch_size, "record"),
        batching_window.as_secs_f64()
    ));
    if mapping.has_destination && esm.on_failure.is_none() {
        let retries = match policy.maximum_retry_attempts {
            Some(retries) => format!("batches are lost after {}", counted(retries, "retry")),
            None => "retries have no end".to_owned(),
        };
        report.line(&format!(
            "{name}: the template's on-failure destination is not used here; without `--on-failure DIR` {retries}"
        ));
    }
    let answers_partially =
        function.variables.get("RESPONSE_MODE").is_some_and(|mode| mode == "partial");
    if answers_partially && !policy.reports_batch_item_failures {
        report.line(&format!(
            "{name}: WARNING: the function names records that failed, and the mapping does not read it: they are lost"
        ));
    }
}

fn invoker(
    esm: &Esm,
    function: &Function,
    executables: &BTreeMap<String, PathBuf>,
) -> Result<Invoker, EsmError> {
    match &esm.runner {
        Runner::Here(_) => {
            let executable = executables.get(&function.binary).cloned().unwrap_or_default();
            let settings = FunctionSettings::local(function, executable, &esm.dynamodb_endpoint);
            Ok(Invoker::Local(Box::new(LocalFunction::new(FunctionSettings {
                timeout: esm.timeout.unwrap_or(settings.timeout),
                max_environments: esm.environments.max(1),
                ..settings
            }))))
        }
        Runner::Address(address) => {
            let timeout = esm.timeout.unwrap_or(REMOTE_TIMEOUT);
            Ok(Invoker::Remote(Box::new(RemoteFunction::new(address, &function.binary, timeout)?)))
        }
    }
}

/// Waits until the mappings end, by themselves or because someone stops them, and says which; one that fails stops the
/// others.
async fn finish(
    mut tasks: JoinSet<Result<(), EsmError>>,
    stopper: &watch::Sender<bool>,
    stop: impl Future<Output = ()>,
    report: &Report,
) -> (Result<(), EsmError>, bool) {
    let mut stop = std::pin::pin!(stop);
    let mut result = Ok(());
    let mut was_stopped = false;
    loop {
        let is_stopping = *stopper.borrow();
        tokio::select! {
            ended = tasks.join_next() => match ended {
                None => return (result, was_stopped),
                Some(ended) => {
                    if let Err(error) = ended.map_err(EsmError::from).flatten() {
                        stopper.send_replace(true);
                        result = result.and(Err(error));
                    }
                }
            },
            () = &mut stop, if !is_stopping => {
                was_stopped = true;
                report.line("Ending: the invocations that run now are finished; once more ends at once");
                stopper.send_replace(true);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const WORKSPACE_TEMPLATE: &str = include_str!("../../../template.yaml");

    #[test]
    fn mappings_run_as_they_are_enabled() {
        #[track_caller]
        fn check(parameters: &[(&str, &str)], binaries: &[&str], expected: Result<&[&str], &str>) {
            let template = Template::parse(WORKSPACE_TEMPLATE, parameters).unwrap();
            let binaries: Vec<_> = binaries.iter().map(|&it| it.to_owned()).collect();
            let chosen = choose(&template, &binaries);
            let chosen =
                chosen.map(|all| all.iter().map(|(it, _)| it.logical_id.as_str()).collect());
            let chosen: Result<Vec<_>, _> = chosen.map_err(|error| error.to_string());
            assert_eq!(chosen.as_deref().map_err(String::as_str), expected);
        }

        let both = ["AppianMapping", "SeatoolMapping"];
        check(&[], &[], Ok(&both));
        check(&[], &["sinkSeatoolData"], Ok(&both[1..]));
        for value in ["false", "absent"] {
            check(&[("AppianEnabled", value)], &[], Ok(&both[1..]));
            check(&[("AppianEnabled", value)], &["sinkSeatoolData"], Ok(&both[1..]));
            check(
                &[("AppianEnabled", value), ("SeatoolEnabled", "absent")],
                &[],
                Err(
                    "the template has no mapping that is enabled: `--parameter AppianEnabled=true`, say, enables one",
                ),
            );
        }
        check(
            &[("AppianEnabled", "absent")],
            &["sinkAppianData"],
            Err(
                "the mapping of `sinkAppianData` is absent: give its parameter `AppianEnabled` or `SeatoolEnabled` the \
                 value `true`",
            ),
        );
        check(
            &[("AppianEnabled", "absent")],
            &["sinkOther"],
            Err(
                "the template has no mapping for a function `sinkOther`, but for `sinkSeatoolData`",
            ),
        );
    }
}
