//! The sinks take over from an earlier writer under load: its offsets are copied to their groups by Kafka's own tool,
//! and later both mappings take its group itself.

use std::{
    collections::BTreeMap,
    fs,
    time::{Duration, Instant},
};

use serde_json::Value;

use crate::{
    compare::{self, Item},
    earlier_writer::{EarlierWriter, GROUP, Log, Written},
    fold::{self, Expected},
    record::{Produced, Source},
    report::Row,
    run::{PARTITIONS, Run, Stage, now},
    streams::{self, Change},
    tables,
    workload::Workload,
};

/// As the template has it: only a copied offset makes a mapping begin earlier.
const POSITION: [&str; 2] = ["--starting-position", "LATEST"];

/// By source and partition the offset at which the sinks begin.
type Starts = BTreeMap<Source, BTreeMap<i32, i64>>;

pub(super) async fn run(run: &mut Run) -> Row {
    let mut stage = Stage::prepare("takeover", run, PARTITIONS).await;
    let of_scale = run.workload(1.0);
    let workload = Workload { keys: of_scale.keys * 4, poison_one_in: 100, ..of_scale };

    // Records come all the time, before, during and after the change.
    let production = stage.produce(run, &workload, Duration::from_secs(30));
    let writer = EarlierWriter::start(run, &stage);
    tokio::time::sleep(Duration::from_secs(5)).await;
    let refusal = export(run).await;
    stage.row.expect(refusal.contains("only be reset if the group"), || {
        format!("with the earlier writer in the group the tool says {refusal:?}")
    });
    let change = Instant::now();
    let logs = writer.stop().await;
    let stream = tables::start_stream(&run.client, Source::Appian.table()).await;
    let readers = Stage::readers(run, &workload);

    let starts = copy_offsets(&mut stage, run).await;
    let mut esm = stage.esm(run, &POSITION);
    let seconds = change.elapsed().as_secs_f32();
    stage.row.notes.push(format!("from the earlier writer to the mappings in {seconds:.1} s"));
    stage.row.expect(!production.is_finished(), || "no more records came".to_owned());
    stage.finish(production).await;
    stage.drain(run, &mut esm).await;
    stage.stop(esm).await;
    stage.judge(readers).await;

    let changes = streams::read(&run.dynamodb.endpoint(), &stream).await;
    let items = tables::scan(&run.client, Source::Appian.table()).await;
    let (log, begin) = (&logs[&Source::Appian], &starts[&Source::Appian]);
    explain(&mut stage, &changes, &items, log, begin);
    for source in Source::BOTH {
        set_aside(&mut stage, run, source, &logs[&source], &starts[&source]).await;
    }
    let differences = stage.compare(run).await;
    stage.row.expect(differences.is_empty(), || format!("with copied offsets: {differences}"));

    // The other way: both mappings in the earlier writer's group, at the offsets that it left. What the sinks have
    // written since then comes once more, which changes nothing, and more behind it.
    stage.share_group(GROUP);
    let more = Workload {
        seed: workload.seed + 1,
        records: workload.records / 4,
        first_timestamp: now(),
        ..workload
    };
    let readers = Stage::readers(run, &more);
    let production = stage.produce(run, &more, Duration::from_secs(4));
    let mut esm = stage.esm(run, &POSITION);
    stage.finish(production).await;
    stage.drain(run, &mut esm).await;
    stage.stop(esm).await;
    let changes = streams::read(&run.dynamodb.endpoint(), &stream).await.split_off(changes.len());
    let nothing = changes.iter().filter(|it| content(&it.before) == content(&it.after)).count();
    stage.row.expect(nothing == 0, || format!("{nothing} changes of `_sink` alone in its group"));
    stage.check(run, readers).await
}

/// Exports what the earlier writer's group has committed, of all topics: of a single one the tool would also give
/// partitions without a commit, with their end.
async fn export(run: &Run) -> String {
    let export = ["--all-topics", "--reset-offsets", "--to-current", "--dry-run", "--export"];
    run.kafka.consumer_groups(&[&["--group", GROUP], &export[..]].concat()).await
}

/// Copies each topic's offsets from the earlier writer's group to the group of the topic's mapping.
async fn copy_offsets(stage: &mut Stage, run: &Run) -> Starts {
    let exported = export(run).await;
    println!("e2e:   the earlier writer's offsets: {}", exported.trim().replace('\n', " "));
    let mut starts = Starts::new();
    for source in Source::BOTH {
        let (topic, group) = (stage.topic(source), stage.group(source));
        // The tool puts long names in quotation marks.
        let lines: Vec<&str> = exported.lines().filter(|line| line.contains(&topic)).collect();
        let file = run.directory.join(format!("{}-offsets.csv", source.function()));
        fs::write(&file, lines.join("\n")).unwrap();
        let file = file.display().to_string();
        let import = ["--group", &group, "--reset-offsets", "--from-file", &file, "--execute"];
        let said = run.kafka.consumer_groups(&import).await;
        println!("e2e:   {}", said.trim().replace('\n', "\ne2e:   "));

        let offset = |line: &&str| {
            let mut fields = line.rsplit(',');
            let offset = fields.next()?.parse().ok()?;
            Some((fields.next()?.parse().ok()?, offset))
        };
        let offsets: BTreeMap<i32, i64> = lines.iter().filter_map(offset).collect();
        let ends = run.topics.ends(&topic).await;
        let is_within = ends.iter().all(|(partition, end)| {
            offsets.get(partition).is_some_and(|offset| (1..*end).contains(offset))
        });
        stage.row.expect(is_within, || {
            format!("the earlier writer's offsets are {offsets:?}, the ends of {topic} {ends:?}")
        });
        let lag = run.topics.lag(&topic, &group, &offsets).await;
        stage.row.expect(lag == Some(0), || format!("the copied offsets of {topic} lag {lag:?}"));
        starts.insert(source, offsets);
    }
    starts
}

/// What the earlier writer wrote last of each key.
fn last_written(log: &Log) -> BTreeMap<&str, &Written> {
    log.written.iter().map(|it| (it.key.as_str(), it)).collect()
}

/// Explains each change of an Appian item since the earlier writer's end; a reader of the stream starts a workflow for
/// each of them.
fn explain(
    stage: &mut Stage,
    changes: &[Change],
    items: &[Item],
    log: &Log,
    starts: &BTreeMap<i32, i64>,
) {
    let (source, topic) = (Source::Appian, stage.topic(Source::Appian));
    let place = |partition: i32, offset: i64| (partition.to_string(), offset.to_string());
    let records = stage.records(source).iter().map(|it| (place(it.partition, it.offset), it));
    let records: BTreeMap<(String, String), &Produced> = records.collect();
    let left = last_written(log);
    let is_repeated = |it: &Written| starts[&it.partition] <= it.offset;
    let repeated = left.values().filter(|it| is_repeated(it)).count();
    // From the items that were left to those that are there now: no change is missing.
    let mut stands: BTreeMap<&str, Value> =
        left.iter().map(|(key, it)| (*key, canonical_item(it.item.as_ref()))).collect();

    let (mut new, mut first, mut only_sink, mut back, mut again) = (0, 0, 0, 0, 0);
    let mut failures = Vec::new();
    for Change { before, after } in changes {
        let number = |name: &str| after["_sink"]["M"][name]["N"].as_str().unwrap_or_default();
        let record = records.get(&(number("partition").to_owned(), number("offset").to_owned()));
        let (Some(record), Some(key)) = (record, after["PK"]["S"].as_str()) else {
            failures.push("a change by no record of the topic".to_owned());
            continue;
        };
        let mut expect = |holds: bool, what: &str| {
            if !holds {
                failures.push(format!("{} {}: {what}", record.partition, record.offset));
            }
        };
        let stood = stands.insert(key, canonical(after)).unwrap_or_default();
        expect(stood == canonical(before), "a change before it is missing");
        let is_same = content(before) == content(after);
        if before.is_null() {
            new += 1;
        } else if before.get("_sink").is_some() {
            expect(!is_same, "it changed `_sink` alone though there was one");
        } else {
            first += 1;
            only_sink += usize::from(is_same);
        }
        let Some(left) = left.get(key) else { continue };
        // What the change must have been, by what was produced and what the earlier writer wrote.
        let comes = fold::item(source, &topic, key, record);
        let comes_again = content(&comes) == content(&canonical_item(left.item.as_ref()));
        if before.get("_sink").is_some() {
            again += usize::from(comes_again);
        } else {
            expect(is_same == comes_again, "it changed `_sink` alone, or should have");
            expect(!is_same || is_repeated(left), "its record was committed before");
            let left_record = records[&place(left.partition, left.offset)];
            back += usize::from(fold::rank(source, record) < fold::rank(source, left_record));
        }
    }
    let found: BTreeMap<&str, Value> =
        items.iter().map(|item| (compare::text(item, "PK"), canonical_item(Some(item)))).collect();
    stage.row.failures.extend(failures.into_iter().take(5));
    stage.row.expect(found == stands, || "the last changes are missing in the stream".to_owned());
    stage.row.expect(only_sink > 0, || "no first overwrite changed `_sink` alone".to_owned());
    stage.row.notes.push(format!(
        "the stream of {}: {} changes, of which {new} new items and {first} first overwrites of the earlier writer's \
         items; {only_sink} of these changed `_sink` alone (it had written {repeated} items behind its last commit), \
         {back} went back to an older row, and {again} times the row that it had left came again later",
        source.function(),
        changes.len(),
    ));
}

fn canonical_item(item: Option<&Item>) -> Value {
    item.map(compare::dynamo_json).unwrap_or_default()
}

/// What stands in an item beside `_sink`, with canonical numbers.
fn content(item: &Value) -> Value {
    let mut item = canonical(item);
    if let Value::Object(attributes) = &mut item {
        attributes.remove("_sink");
    }
    item
}

fn canonical(attribute: &Value) -> Value {
    match attribute {
        Value::Object(members) => match members.get("N") {
            Some(Value::String(number)) => fold::number(number),
            _ => members.iter().map(|(name, value)| (name.clone(), canonical(value))).collect(),
        },
        Value::Array(values) => values.iter().map(canonical).collect(),
        other => other.clone(),
    }
}

/// Sets aside what the sinks got no record of, in the topic as retention does, and compares what stays in the table.
async fn set_aside(
    stage: &mut Stage,
    run: &Run,
    source: Source,
    log: &Log,
    starts: &BTreeMap<i32, i64>,
) {
    let newest_of_all = newest(stage, source);
    let records = stage.produced.get_mut(&source).unwrap();
    let all = records.len();
    records.retain(|it| starts[&it.partition] <= it.offset);
    let committed = all - records.len();
    run.topics.delete_records(&stage.topic(source), starts).await;

    // Offsets only grow, but by the source's clock the newest row may lie before the change and a late one behind it,
    // and the first that comes for an item without `_sink` overwrites it.
    let delivered = newest(stage, source);
    let older = delivered.iter().filter(|(key, place)| newest_of_all[*key] != **place).count();
    stage.row.expect(older == 0 || source == Source::Appian, || format!("{older} keys are older"));

    let items = tables::scan(&run.client, source.table()).await;
    let found: BTreeMap<&str, &Item> =
        items.iter().map(|item| (compare::text(item, "PK"), item)).collect();
    let mut left = 0;
    for (key, written) in last_written(log) {
        if delivered.contains_key(key) {
            continue;
        }
        let stands = canonical_item(found.get(key).copied());
        stage.row.expect(stands == canonical_item(written.item.as_ref()), || {
            format!("the item of {} {} is not as it was left", written.partition, written.offset)
        });
        if written.item.is_some() {
            left += 1;
            tables::delete(&run.client, source.table(), key).await;
        }
    }
    stage.row.notes.push(format!(
        "{}: the earlier writer committed {committed} records, and dropped {} of all that it read; {left} of its items got \
         no record more, and {older} whose newest row it had written got older ones",
        source.function(),
        log.dropped,
    ));
}

/// Where each key's newest state lies.
fn newest(stage: &Stage, source: Source) -> BTreeMap<String, (i32, i64)> {
    let records = stage.records(source);
    let Expected { items, deleted, .. } = stage.expected(source);
    let place = |(key, at): (String, usize)| (key, (records[at].partition, records[at].offset));
    items.into_iter().chain(deleted).map(place).collect()
}
