//! One run: the services and programs that all scenarios share, and what each scenario does with them.

use std::{
    collections::BTreeMap,
    fs, io,
    path::{Path, PathBuf},
    process::{Command, Stdio},
    time::{Duration, Instant, SystemTime, UNIX_EPOCH},
};

use aws_sdk_dynamodb::Client;
use local::template::Template;
use serde_json::Value;

use crate::{
    arguments::Arguments,
    compare::{self, Differences},
    fold::{self, Expected},
    process::{self, Esm},
    proxy::Proxy,
    reader::Reader,
    record::{Produced, QUARANTINE, Record, Source},
    report::Row,
    services::{self, dynamodb_local::DynamoDbLocal, kafka::Kafka, maven},
    tables,
    topics::Topics,
    workload::Workload,
};

/// The records of a scenario at scale 1, of both sources together.
const RECORDS: f64 = 200_000.0;
/// The keys of a scenario at scale 1, of both sources together.
const KEYS: f64 = 20_000.0;

pub(crate) const PARTITIONS: i32 = 6;

/// How long a group may take to come to the end; the whole counts take their time.
const DRAIN: Duration = Duration::from_hours(1);

#[derive(Debug)]
pub(crate) struct Run {
    pub(crate) seed: u64,
    pub(crate) kafka: Kafka,
    pub(crate) topics: Topics,
    pub(crate) proxy: Proxy,
    pub(crate) root: PathBuf,
    /// For logs and data.
    pub(crate) directory: PathBuf,
    pub(crate) dynamodb_jars: PathBuf,
    pub(crate) dynamodb: DynamoDbLocal,
    pub(crate) client: Client,
    template: Template,
    scale: f64,
    pub(crate) sinkctl: PathBuf,
    pub(crate) build_directory: PathBuf,
}

impl Run {
    /// Fetches and builds what is missing, and starts the services.
    pub(crate) async fn start(arguments: &Arguments) -> Self {
        let root = Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap().to_owned();
        let target = root.join("target").join("e2e");
        let template = tables::template(&root);
        let jars = [("kafka", &services::KAFKA[..]), ("dynamodb-local", &services::DYNAMODB_LOCAL)];
        let [kafka_jars, dynamodb_jars] =
            jars.map(|(name, artifacts)| maven::fetch(&target.join(name), artifacts));
        let programs = build(&root, arguments.release, &template);
        let build_directory = target.join("programs");
        for function in &template.functions {
            let directory = build_directory.join(&function.logical_id);
            fs::create_dir_all(&directory).unwrap();
            let link = directory.join("bootstrap");
            match fs::remove_file(&link) {
                Err(error) if error.kind() != io::ErrorKind::NotFound => panic!("{error}"),
                _ => std::os::unix::fs::symlink(&programs[&function.binary], link).unwrap(),
            }
        }
        let directory = target.join("run");
        let kafka = Kafka::start(&kafka_jars, &directory).await;
        let dynamodb =
            DynamoDbLocal::start(&dynamodb_jars, &directory.join("dynamodb-local.log")).await;
        Self {
            seed: arguments.seed,
            topics: Topics::new(kafka.bootstrap_servers()),
            kafka,
            proxy: Proxy::start(dynamodb.address()).await,
            client: tables::client(&dynamodb.endpoint()).await,
            dynamodb,
            dynamodb_jars,
            template,
            scale: arguments.scale,
            root,
            directory,
            sinkctl: programs["sinkctl"].clone(),
            build_directory,
        }
    }

    /// So much of a whole scenario's records and keys for each source, without poison.
    pub(crate) fn workload(&self, share: f64) -> Workload {
        #[expect(
            clippy::cast_possible_truncation,
            clippy::cast_sign_loss,
            reason = "small and positive"
        )]
        let of = |whole: f64| ((whole / 2.0 * share * self.scale) as usize).max(40);
        Workload {
            seed: self.seed,
            records: of(RECORDS),
            keys: of(KEYS),
            partitions: PARTITIONS,
            first_timestamp: now(),
            poison_one_in: 0,
            covers_keys: false,
        }
    }
}

/// A scenario's topics, tables and group.
#[derive(Debug)]
pub(crate) struct Stage {
    pub(crate) name: &'static str,
    pub(crate) row: Row,
    /// What was produced to each source's topic.
    pub(crate) produced: BTreeMap<Source, Vec<Produced>>,
    begin: Instant,
    processes: usize,
    group: String,
    /// Whether both mappings have the group, and not each its own.
    shares_group: bool,
    epoch: u64,
}

impl Stage {
    /// Empties the tables and creates the topics.
    pub(crate) async fn prepare(name: &'static str, run: &Run, partitions: i32) -> Self {
        let stage = Self {
            name,
            row: Row::new(name),
            produced: BTreeMap::new(),
            begin: Instant::now(),
            processes: 0,
            group: name.to_owned(),
            shares_group: false,
            epoch: 0,
        };
        tables::create_anew(&run.client, &run.template.tables).await;
        for source in Source::BOTH {
            run.topics.delete_if_there(&stage.topic(source)).await;
            run.topics.create(&stage.topic(source), partitions).await;
        }
        stage
    }

    pub(crate) fn topic(&self, source: Source) -> String {
        format!("{}.{}", self.name, source.topic())
    }

    pub(crate) fn group(&self, source: Source) -> String {
        if self.shares_group {
            return self.group.clone();
        }
        format!("{}-{}", self.group, source.function())
    }

    /// Raises the sinks' epoch; what is produced from now on is delivered in it, and so is what was if `replays`.
    pub(crate) fn raise_epoch(&mut self, replays: bool) {
        self.epoch += 1;
        if replays {
            self.group = format!("{}-{}", self.name, self.epoch);
            for it in self.produced.values_mut().flatten() {
                it.epoch = self.epoch;
            }
        }
    }

    /// Takes another group, which begins at the beginning.
    pub(crate) fn new_group(&mut self, name: &str) {
        self.group = format!("{}-{name}", self.name);
    }

    /// Takes one group for both mappings.
    pub(crate) fn share_group(&mut self, name: &str) {
        name.clone_into(&mut self.group);
        self.shares_group = true;
    }

    /// Produces both sources' records side by side, at once or over some time.
    pub(crate) fn produce(&self, run: &Run, workload: &Workload, over: Duration) -> Production {
        let tasks = Source::BOTH.map(|source| {
            let (topics, topic) = (run.topics.clone(), self.topic(source));
            let records = workload.generate(source);
            let hundreds = u32::try_from(records.len() / 100 + 1).unwrap();
            let task = move || (source, topics.produce(&topic, records, over / hundreds));
            tokio::task::spawn_blocking(task)
        });
        Production { tasks: tasks.into(), epoch: self.epoch }
    }

    /// Produces one source's records.
    pub(crate) async fn produce_records(
        &mut self,
        run: &Run,
        source: Source,
        records: Vec<Record>,
    ) {
        let (topics, topic, epoch) = (run.topics.clone(), self.topic(source), self.epoch);
        let task = move || topics.produce(&topic, records, Duration::ZERO);
        let mut produced = tokio::task::spawn_blocking(task).await.unwrap();
        for it in &mut produced {
            it.epoch = epoch;
        }
        self.row.records += produced.len() as u64;
        self.produced.entry(source).or_default().extend(produced);
    }

    /// Waits until all is produced.
    pub(crate) async fn finish(&mut self, production: Production) {
        for task in production.tasks {
            let (source, mut produced) = task.await.unwrap();
            for it in &mut produced {
                it.epoch = production.epoch;
            }
            self.row.records += produced.len() as u64;
            self.produced.entry(source).or_default().extend(produced);
        }
    }

    /// Starts a `sinkctl esm` of both functions.
    pub(crate) fn esm(&mut self, run: &Run, more: &[&str]) -> Esm {
        let mut arguments: Vec<String> = vec![
            "--bootstrap-servers".to_owned(),
            run.kafka.bootstrap_servers(),
            "--dynamodb-endpoint".to_owned(),
            run.proxy.endpoint(),
            "--build-dir".to_owned(),
            run.build_directory.display().to_string(),
            "--verbose".to_owned(),
            "--json".to_owned(),
        ];
        arguments.extend(self.parameters());
        for source in Source::BOTH {
            let group = format!("{}={}", source.parameter("ConsumerGroupId"), self.group(source));
            let position = format!("{}=TRIM_HORIZON", source.parameter("StartingPosition"));
            arguments.extend(["--parameter".to_owned(), group, "--parameter".to_owned(), position]);
        }
        arguments.extend(more.iter().map(|it| (*it).to_owned()));
        self.processes += 1;
        let log = run.directory.join(format!("{}-esm-{}.log", self.name, self.processes));
        Esm::start(&run.sinkctl, &run.root, &arguments, &log)
    }

    /// The template's parameters of this scenario.
    pub(crate) fn parameters(&self) -> Vec<String> {
        let mut parameters = vec![format!("TopicNamespace={}.", self.name)];
        for source in Source::BOTH {
            parameters.push(format!("{}={}", source.parameter("Epoch"), self.epoch));
        }
        parameters.into_iter().flat_map(|it| ["--parameter".to_owned(), it]).collect()
    }

    /// Waits until the group has committed all that is in the topics now.
    pub(crate) async fn drain(&mut self, run: &Run, esm: &mut Esm) {
        let deadline = Instant::now() + DRAIN;
        let mut ends = BTreeMap::new();
        for source in Source::BOTH {
            ends.insert(source, run.topics.ends(&self.topic(source)).await);
        }
        let mut told = Instant::now();
        loop {
            let mut lag = 0;
            for source in Source::BOTH {
                let (topic, group) = (self.topic(source), self.group(source));
                lag += run.topics.lag(&topic, &group, &ends[&source]).await.unwrap_or(1);
            }
            if lag == 0 {
                return;
            }
            if !esm.is_running() {
                return self.row.failures.push(format!("sinkctl esm ended at a lag of {lag}"));
            }
            if Instant::now() > deadline {
                return self.row.failures.push(format!("a lag of {lag} is left"));
            }
            if told.elapsed() > Duration::from_secs(15) {
                println!("e2e:   {} s, a lag of {lag}", self.begin.elapsed().as_secs());
                told = Instant::now();
            }
            tokio::time::sleep(Duration::from_millis(500)).await;
        }
    }

    /// Ends a `sinkctl esm` and takes what it counted.
    pub(crate) async fn stop(&mut self, esm: Esm) {
        let ended = esm.stop().await;
        self.row.add(&ended);
    }

    /// Sets both groups back to this share of their topics.
    pub(crate) async fn set_back(&self, run: &Run, share: f64) {
        for source in Source::BOTH {
            run.topics.set_back(&self.topic(source), &self.group(source), share).await;
        }
    }

    /// Starts a reader of each table, which looks most at the keys that change most.
    pub(crate) fn readers(run: &Run, workload: &Workload) -> Vec<Reader> {
        let reader = |source: Source| {
            let mut changes: BTreeMap<String, usize> = BTreeMap::new();
            for record in workload.generate(source) {
                if let Some(key) = record.meaning.key() {
                    *changes.entry(key.to_owned()).or_default() += 1;
                }
            }
            let mut keys: Vec<_> = changes.into_iter().collect();
            keys.sort_by_key(|(_, changes)| std::cmp::Reverse(*changes));
            let keys = keys.into_iter().map(|(key, _)| key).collect();
            Reader::start(run.client.clone(), source, keys, run.seed)
        };
        Source::BOTH.map(reader).into()
    }

    /// What the fold says that a source's tables hold.
    pub(crate) fn expected(&self, source: Source) -> Expected {
        fold::fold(source, &self.topic(source), self.records(source))
    }

    pub(crate) fn records(&self, source: Source) -> &[Produced] {
        self.produced.get(&source).map_or(&[], Vec::as_slice)
    }

    /// Compares the tables with the fold, and counts what is lost and what is back.
    pub(crate) async fn compare(&mut self, run: &Run) -> Differences {
        let mut differences = Differences::default();
        for source in Source::BOTH {
            let expected = self.expected(source);
            differences.merge(self.compare_with(run, source, &expected).await);
        }
        self.row.lost += differences.lost();
        self.row.resurrected += differences.resurrected();
        differences
    }

    /// Compares a source's tables with `expected`.
    pub(crate) async fn compare_with(
        &self,
        run: &Run,
        source: Source,
        expected: &Expected,
    ) -> Differences {
        let (topic, produced) = (self.topic(source), self.records(source));
        let items = tables::scan(&run.client, source.table()).await;
        let mut differences = compare::items(source, &topic, produced, expected, &items);
        if let Some(table) = source.tombstone_table() {
            let items = tables::scan(&run.client, table).await;
            differences.merge(compare::tombstones(source, &topic, produced, expected, &items));
        }
        let items = tables::scan(&run.client, QUARANTINE).await;
        differences.merge(compare::quarantine(source, &topic, produced, expected, &items));
        differences
    }

    /// Lets the readers judge what they saw.
    pub(crate) async fn judge(&mut self, readers: Vec<Reader>) {
        for (source, reader) in Source::BOTH.into_iter().zip(readers) {
            let expected = self.expected(source);
            let (faults, history) = reader.judge(self.records(source), &expected).await;
            self.row.observations += history.observations;
            self.row.resurrected += faults.resurrected;
            self.row.notes.push(format!(
                "the reader of {} saw {} changes",
                source.function(),
                history.changes()
            ));
            self.row.expect(faults.sum() == 0, || {
                format!("the reader of {} saw {faults:?}", source.function())
            });
        }
    }

    /// Runs `sinkctl audit` for both functions and says what it found.
    pub(crate) async fn audit(&self, run: &Run) -> Vec<(Source, Result<(), String>)> {
        let mut results = Vec::new();
        for source in Source::BOTH {
            let mut arguments: Vec<String> = vec![
                source.function().to_owned(),
                "--bootstrap-servers".to_owned(),
                run.kafka.bootstrap_servers(),
                "--dynamodb-endpoint".to_owned(),
                run.dynamodb.endpoint(),
                "--json".to_owned(),
            ];
            arguments.extend(self.parameters());
            let audit = process::audit(&run.sinkctl, &run.root, &arguments).await;
            let result = match audit.code {
                Some(0) => Ok(()),
                Some(1) => Err(summary(&audit.report)),
                code => Err(format!("could not be done: {code:?} {}", audit.errors.trim())),
            };
            results.push((source, result));
        }
        results
    }

    /// All that must hold at a scenario's end: no difference by fold nor audit, and nothing wrong seen.
    pub(crate) async fn check(mut self, run: &Run, readers: Vec<Reader>) -> Row {
        self.judge(readers).await;
        let differences = self.compare(run).await;
        self.row.expect(differences.is_empty(), || format!("by the fold: {differences}"));
        for (source, result) in self.audit(run).await {
            let failure =
                |found: &String| format!("by the audit of {}: {found}", source.function());
            self.row.failures.extend(result.as_ref().err().map(failure));
        }
        self.end()
    }

    pub(crate) fn end(mut self) -> Row {
        self.row.seconds = self.begin.elapsed().as_secs();
        self.row
    }
}

/// Records on their way.
#[derive(Debug)]
pub(crate) struct Production {
    tasks: Vec<tokio::task::JoinHandle<(Source, Vec<Produced>)>>,
    epoch: u64,
}

impl Production {
    pub(crate) fn is_finished(&self) -> bool {
        self.tasks.iter().all(tokio::task::JoinHandle::is_finished)
    }
}

/// An audit's counts in one line: lists by their lengths.
fn summary(report: &Value) -> String {
    let count = |(name, value): (&String, &Value)| match value {
        Value::Array(list) if !list.is_empty() => Some(format!("{name} {}", list.len())),
        Value::Number(number) if number.as_u64() != Some(0) => Some(format!("{name} {number}")),
        _ => None,
    };
    report.as_object().into_iter().flatten().filter_map(count).collect::<Vec<_>>().join(", ")
}

/// Milliseconds since 1970.
pub(crate) fn now() -> i64 {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap();
    i64::try_from(now.as_millis()).unwrap()
}

/// Builds `sinkctl` with its Kafka client, and the functions; returns the programs by name.
fn build(root: &Path, release: bool, template: &Template) -> BTreeMap<String, PathBuf> {
    let mut command = Command::new(env!("CARGO"));
    command.args(["build", "--workspace", "--features", "sinkctl/kafka", "--bin", "sinkctl"]);
    command.args(template.functions.iter().flat_map(|it| ["--bin", it.binary.as_str()]));
    if release {
        command.arg("--release");
    }
    command.arg("--message-format=json-render-diagnostics");
    let output = command.current_dir(root).stderr(Stdio::inherit()).output().unwrap();
    assert!(output.status.success(), "the programs cannot be built");
    let lines = String::from_utf8(output.stdout).unwrap();
    let messages = lines.lines().map(|line| serde_json::from_str::<Value>(line).unwrap());
    let program = |message: Value| {
        let path = message["executable"].as_str()?;
        Some((message["target"]["name"].as_str()?.to_owned(), PathBuf::from(path)))
    };
    messages.filter_map(program).collect()
}
