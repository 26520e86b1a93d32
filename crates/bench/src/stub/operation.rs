//! The operations: what their requests must look like, and what they are answered.

use std::{
    collections::{BTreeSet, HashMap},
    sync::Arc,
};

use fastrand::Rng;
use local::template;
use serde_json::json;

use super::{
    attribute::Scalar,
    condition::{Condition, Operand, projection},
    request::{
        Action, Attributes, Batch, BatchGet, BatchWrite, Call, Describe, StatementRequest,
        Transaction, WriteRequest, read,
    },
    statement::{Statement, Verb},
    tables::{Change, Counts, Item, Tables, Write},
};

/// The most statements of a batch.
const MAX_STATEMENTS: usize = 25;
/// The most actions of a transaction.
const MAX_ACTIONS: usize = 100;
/// The most keys that are read at once.
const MAX_READ_KEYS: usize = 100;
/// The most characters of a statement.
const MAX_STATEMENT_CHARS: usize = 8192;

/// The shares of requests, and of statements in them, that don't go through.
#[derive(clap::Args, Clone, Copy, Debug, Default, PartialEq)]
pub struct Faults {
    /// The share of requests, and of statements in them, that fail without a reason.
    #[arg(long = "refuse", value_name = "SHARE", default_value_t = 0.0, value_parser = crate::share)]
    pub refused: f64,
    /// The share of requests, and of statements in them, that are throttled.
    #[arg(long = "throttle", value_name = "SHARE", default_value_t = 0.0, value_parser = crate::share)]
    pub throttled: f64,
}

/// What the stub knows.
#[derive(Debug)]
pub(super) struct Operations {
    tables: Tables,
    described: Vec<template::Table>,
    /// By their JSON.
    statements: HashMap<String, Arc<Statement>>,
    faults: Faults,
    rng: Rng,
}

/// An answer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Answer {
    pub(super) status: u16,
    pub(super) body: String,
}

impl Answer {
    fn done(body: String) -> Self {
        Self { status: 200, body }
    }

    fn error(status: u16, code: &str, message: &str) -> Self {
        let kind = format!("com.amazonaws.dynamodb.v20120810#{code}");
        Self { status, body: json!({"__type": kind, "message": message}).to_string() }
    }

    /// What a malformed request is answered.
    pub(super) fn invalid(message: &str) -> Self {
        Self::error(400, "ValidationException", message)
    }
}

#[derive(Clone, Copy)]
enum Fault {
    Refused,
    Throttled,
}

impl Operations {
    pub(super) fn new(tables: &[template::Table], faults: Faults, seed: u64) -> Self {
        Self {
            tables: Tables::new(tables),
            described: tables.to_vec(),
            statements: HashMap::new(),
            faults,
            rng: Rng::with_seed(seed),
        }
    }

    /// What was done since the last call.
    pub(super) fn take_counts(&mut self) -> Counts {
        std::mem::take(&mut self.tables.counts)
    }

    /// Answers one request; an error says what is wrong with it.
    pub(super) fn answer(&mut self, operation: &str, body: &[u8]) -> Result<Answer, String> {
        if operation == "DescribeTable" {
            return self.describe(&read::<Describe>(body)?.table_name);
        }
        self.tables.counts.requests += 1;
        match self.fault() {
            Some(Fault::Refused) => {
                return Ok(Answer::error(500, "InternalServerError", "asked to fail"));
            }
            Some(Fault::Throttled) => {
                let code = "ProvisionedThroughputExceededException";
                return Ok(Answer::error(400, code, "asked to throttle"));
            }
            None => {}
        }
        match operation {
            "BatchExecuteStatement" => self.batch(&read::<Batch<'_>>(body)?.statements),
            "TransactWriteItems" => {
                self.transaction(&read::<Transaction<'_>>(body)?.transact_items)
            }
            "PutItem" => self.put(&read(body)?),
            "DeleteItem" => self.delete(&read(body)?),
            "BatchWriteItem" => self.batch_write(&read(body)?),
            "BatchGetItem" => self.batch_get(&read(body)?),
            other => {
                Err(format!("the stub doesn't know the operation `{other}`: try a real endpoint"))
            }
        }
    }

    fn fault(&mut self) -> Option<Fault> {
        let Faults { refused, throttled } = self.faults;
        let drawn = self.rng.f64();
        let (fault, count) = if drawn < refused {
            (Fault::Refused, &mut self.tables.counts.failed)
        } else if drawn < refused + throttled {
            (Fault::Throttled, &mut self.tables.counts.throttled)
        } else {
            return None;
        };
        *count += 1;
        Some(fault)
    }

    fn describe(&self, name: &str) -> Result<Answer, String> {
        let Some(table) = self.described.iter().find(|table| table.name == name) else {
            let code = "ResourceNotFoundException";
            return Ok(Answer::error(400, code, "Requested resource not found"));
        };
        let keys: Vec<_> = table
            .key_schema
            .iter()
            .enumerate()
            .map(|(position, key)| {
                let kind = if position == 0 { "HASH" } else { "RANGE" };
                json!({"AttributeName": key.attribute_name, "KeyType": kind})
            })
            .collect();
        let types: Vec<_> = self
            .tables
            .keys(name)?
            .iter()
            .map(|name| json!({"AttributeName": name, "AttributeType": "S"}))
            .collect();
        let table = json!({
            "TableName": name, "TableStatus": "ACTIVE", "KeySchema": keys, "AttributeDefinitions": types,
            "ItemCount": 0, "TableSizeBytes": 0, "CreationDateTime": 1_700_000_000,
        });
        Ok(Answer::done(json!({ "Table": table }).to_string()))
    }

    fn batch(&mut self, requests: &[StatementRequest<'_>]) -> Result<Answer, String> {
        if requests.is_empty() || requests.len() > MAX_STATEMENTS {
            return Err(format!("a batch has {} statements", requests.len()));
        }
        let mut keys = BTreeSet::new();
        let mut answers = String::from("{\"Responses\":[");
        for (position, request) in requests.iter().enumerate() {
            if position > 0 {
                answers.push(',');
            }
            let statement = self.statement(request)?;
            let key = self.tables.key(&statement.table, |name| {
                request.parameters.get(statement.key(name)?).copied()
            })?;
            if !keys.insert((statement.table.clone(), key.clone())) {
                return Err("a batch has two statements for one key".to_owned());
            }
            match self.fault() {
                Some(Fault::Refused) => part_error("InternalServerError", None, &mut answers),
                Some(Fault::Throttled) => part_error("ThrottlingError", None, &mut answers),
                None => self.execute(request, &statement, key, &mut answers)?,
            }
            answers.push_str("\"TableName\":\"");
            answers.push_str(&statement.table);
            answers.push_str("\"}");
        }
        answers.push_str("]}");
        Ok(Answer::done(answers))
    }

    fn statement(&mut self, request: &StatementRequest<'_>) -> Result<Arc<Statement>, String> {
        let json = request.statement.get();
        let statement = if let Some(known) = self.statements.get(json) {
            Arc::clone(known)
        } else {
            let text: String =
                serde_json::from_str(json).map_err(|_| "a statement is no string".to_owned())?;
            if text.chars().count() > MAX_STATEMENT_CHARS {
                return Err("a statement is too long".to_owned());
            }
            let statement = Arc::new(Statement::read(&text)?);
            self.statements.insert(json.to_owned(), Arc::clone(&statement));
            statement
        };
        if statement.parameters == request.parameters.len() {
            return Ok(statement);
        }
        let (expected, found) = (statement.parameters, request.parameters.len());
        Err(format!("a statement has {expected} question marks and {found} parameters"))
    }

    /// Executes a statement and writes the start of its answer.
    fn execute(
        &mut self,
        request: &StatementRequest<'_>,
        statement: &Statement,
        key: String,
        answers: &mut String,
    ) -> Result<(), String> {
        let StatementRequest { parameters, return_values_on_condition_check_failure, .. } = request;
        let table = &statement.table;
        let stored = self.tables.find(table, &key);
        let item = |members: &[(Arc<str>, usize)]| {
            let mut item = Item::default();
            for (name, parameter) in members {
                item.push(Arc::clone(name), parameters[*parameter])?;
            }
            Ok::<_, String>(item)
        };
        let (change, condition) = match &statement.verb {
            Verb::Insert { members } => {
                if stored.is_some() {
                    self.tables.refuse(table, &key, false);
                    part_error("DuplicateItem", None, answers);
                    return Ok(());
                }
                (Change::Put(item(members)?), None)
            }
            Verb::Update { set, remove, condition } => {
                let change = Change::Update { set: item(set)?, remove: remove.clone() };
                (change, Some(condition))
            }
            Verb::Delete { .. } if stored.is_none() => (Change::Delete, None),
            Verb::Delete { condition } => (Change::Delete, Some(condition)),
        };
        let holds = condition.is_none_or(|condition| {
            let operand = |operand: &Operand| match operand {
                Operand::Parameter(position) => {
                    parameters.get(*position).copied().map(Scalar::read)
                }
                Operand::Placeholder(_) => None,
            };
            stored.is_some_and(|item| condition.holds(&|path| item.scalar(path), &operand))
        });
        if !holds {
            let echo = stored.filter(|_| return_values_on_condition_check_failure == "ALL_OLD");
            part_error("ConditionalCheckFailed", echo, answers);
            self.tables.refuse(table, &key, false);
            return Ok(());
        }
        answers.push('{');
        self.tables.apply(Write { table: table.clone(), key, change, is_transactional: false })
    }

    fn transaction(&mut self, actions: &[Action<'_>]) -> Result<Answer, String> {
        if actions.is_empty() || actions.len() > MAX_ACTIONS {
            return Err(format!("a transaction has {} actions", actions.len()));
        }
        let mut keys = BTreeSet::new();
        let mut writes = Vec::new();
        let mut reasons = Vec::new();
        for action in actions {
            let (call, write) = match action {
                Action::Put(call) => (call, self.put_of(call)?),
                Action::Delete(call) => (call, self.at_key(call, Change::Delete)?),
                Action::ConditionCheck(call) => (call, self.at_key(call, Change::Check)?),
            };
            let write = Write { is_transactional: true, ..write };
            if !keys.insert((write.table.clone(), write.key.clone())) {
                return Err("a transaction has two actions for one key".to_owned());
            }
            let holds = self.holds(call, &write)?;
            reasons.push((holds, call));
            writes.push(write);
        }
        if reasons.iter().all(|(holds, _)| *holds) {
            for write in writes {
                self.tables.apply(write)?;
            }
            return Ok(Answer::done("{}".to_owned()));
        }
        let mut list = Vec::new();
        for ((holds, call), write) in reasons.into_iter().zip(writes) {
            if holds {
                list.push("{\"Code\":\"None\"}".to_owned());
                self.tables.cancel(&write);
                continue;
            }
            let mut reason = "{\"Code\":\"ConditionalCheckFailed\",\"Message\":\"The conditional request failed\"".to_owned();
            if let Some(item) = self.echo(call, &write) {
                reason.push_str(",\"Item\":");
                item.write(&mut reason);
            }
            reason.push('}');
            list.push(reason);
            self.tables.refuse(&write.table, &write.key, true);
        }
        let body = format!(
            "{{\"__type\":\"com.amazonaws.dynamodb.v20120810#TransactionCanceledException\",\"Message\":\"Transaction cancelled\",\"CancellationReasons\":[{}]}}",
            list.join(",")
        );
        Ok(Answer { status: 400, body })
    }

    fn put(&mut self, call: &Call<'_>) -> Result<Answer, String> {
        let write = self.put_of(call)?;
        self.single(call, write)
    }

    fn delete(&mut self, call: &Call<'_>) -> Result<Answer, String> {
        let write = self.at_key(call, Change::Delete)?;
        self.single(call, write)
    }

    fn single(&mut self, call: &Call<'_>, write: Write) -> Result<Answer, String> {
        if self.holds(call, &write)? {
            self.tables.apply(write)?;
            return Ok(Answer::done("{}".to_owned()));
        }
        let mut body = "{\"__type\":\"com.amazonaws.dynamodb.v20120810#ConditionalCheckFailedException\",\"message\":\"The conditional request failed\"".to_owned();
        if let Some(item) = self.echo(call, &write) {
            body.push_str(",\"Item\":");
            item.write(&mut body);
        }
        body.push('}');
        self.tables.refuse(&write.table, &write.key, false);
        Ok(Answer { status: 400, body })
    }

    fn batch_write(&mut self, batch: &BatchWrite<'_>) -> Result<Answer, String> {
        let requests: usize = batch.tables.values().map(Vec::len).sum();
        if requests == 0 || requests > MAX_STATEMENTS {
            return Err(format!("a batch has {requests} writes"));
        }
        for (table, requests) in &batch.tables {
            for request in requests {
                let (attributes, change) = match request {
                    WriteRequest::Put { item } => (item, Change::Put(item_of(item)?)),
                    WriteRequest::Delete { key } => (key, Change::Delete),
                };
                let key = self.tables.key(table, |name| attributes.get(name).copied())?;
                let table = table.clone().into_owned();
                self.tables.apply(Write { table, key, change, is_transactional: false })?;
            }
        }
        Ok(Answer::done("{\"UnprocessedItems\":{}}".to_owned()))
    }

    fn batch_get(&mut self, batch: &BatchGet<'_>) -> Result<Answer, String> {
        let keys: usize = batch.tables.values().map(|request| request.keys.len()).sum();
        let is_empty = batch.tables.values().any(|request| request.keys.is_empty());
        if is_empty || !(1..=MAX_READ_KEYS).contains(&keys) {
            return Err(format!("a batch reads {keys} keys of {} tables", batch.tables.len()));
        }
        let mut tables = Vec::new();
        let mut consumed = Vec::new();
        for (table, request) in &batch.tables {
            let paid_before = self.tables.counts.half_read_units;
            let expression = request.projection_expression.as_deref();
            let names = expression
                .map(|text| projection(text, &request.expression_attribute_names))
                .transpose()?;
            let is_wanted =
                |name: &str| names.as_ref().is_none_or(|names| names.iter().any(|it| it == name));
            let mut seen = BTreeSet::new();
            let mut items = Vec::new();
            for attributes in &request.keys {
                let key = self.key_of(table, attributes)?;
                if let Some(item) = self.tables.read(table, &key, request.consistent_read) {
                    let mut text = String::new();
                    item.write_some(is_wanted, &mut text);
                    items.push(text);
                }
                if !seen.insert(key) {
                    return Err("a batch reads one key twice".to_owned());
                }
            }
            tables.push(format!("\"{table}\":[{}]", items.join(",")));
            let halves = self.tables.counts.half_read_units - paid_before;
            let (whole, tenths) = (halves / 2, halves % 2 * 5);
            consumed
                .push(format!("{{\"TableName\":\"{table}\",\"CapacityUnits\":{whole}.{tenths}}}"));
        }
        let consumed = match batch.return_consumed_capacity.as_str() {
            "TOTAL" => format!(",\"ConsumedCapacity\":[{}]", consumed.join(",")),
            _ => String::new(),
        };
        let responses = tables.join(",");
        Ok(Answer::done(format!(
            "{{\"Responses\":{{{responses}}},\"UnprocessedKeys\":{{}}{consumed}}}"
        )))
    }

    fn put_of(&self, call: &Call<'_>) -> Result<Write, String> {
        let item = call.item.as_ref().ok_or("a put has no `Item`")?;
        let key = self.tables.key(&call.table_name, |name| item.get(name).copied())?;
        let table = call.table_name.clone().into_owned();
        Ok(Write { table, key, change: Change::Put(item_of(item)?), is_transactional: false })
    }

    fn at_key(&self, call: &Call<'_>, change: Change) -> Result<Write, String> {
        let attributes = call.key.as_ref().ok_or("a call has no `Key`")?;
        let key = self.key_of(&call.table_name, attributes)?;
        let table = call.table_name.clone().into_owned();
        Ok(Write { table, key, change, is_transactional: false })
    }

    /// The key that consists of these attributes and no other.
    fn key_of(&self, table: &str, attributes: &Attributes<'_>) -> Result<String, String> {
        if attributes.len() != self.tables.keys(table)?.len() {
            return Err("a `Key` has other attributes than the table's key".to_owned());
        }
        self.tables.key(table, |name| attributes.get(name).copied())
    }

    /// Whether a call's condition holds.
    fn holds(&self, call: &Call<'_>, write: &Write) -> Result<bool, String> {
        let Some(expression) = &call.condition_expression else { return Ok(true) };
        let condition = Condition::of_expression(expression, &call.expression_attribute_names)?;
        let stored = self.tables.find(&write.table, &write.key);
        let operand = |operand: &Operand| match operand {
            Operand::Placeholder(name) => {
                let value = call.expression_attribute_values.get(name.as_str());
                value.copied().map(Scalar::read)
            }
            Operand::Parameter(_) => None,
        };
        Ok(condition.holds(&|path| stored?.scalar(path), &operand))
    }

    fn echo(&self, call: &Call<'_>, write: &Write) -> Option<&Item> {
        let is_asked = call.return_values_on_condition_check_failure == "ALL_OLD";
        is_asked.then(|| self.tables.find(&write.table, &write.key)).flatten()
    }
}

fn item_of(attributes: &Attributes<'_>) -> Result<Item, String> {
    let mut item = Item::default();
    for (name, value) in attributes {
        item.push(name.as_ref().into(), value)?;
    }
    Ok(item)
}

/// Writes the start of an answer to a statement that was not executed.
fn part_error(code: &str, item: Option<&Item>, answers: &mut String) {
    answers.push_str("{\"Error\":{\"Code\":\"");
    answers.push_str(code);
    answers.push_str("\",\"Message\":\"not executed\"");
    if let Some(item) = item {
        answers.push_str(",\"Item\":");
        item.write(answers);
    }
    answers.push_str("},");
}

#[cfg(test)]
mod tests;
