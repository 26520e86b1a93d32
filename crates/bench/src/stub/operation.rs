//! The operations: what their requests must look like, and what they are answered.

use std::{
    collections::{BTreeMap, BTreeSet, HashMap},
    sync::Arc,
};

use fastrand::Rng;
use local::template;
use serde::{Deserialize, Serialize};
use serde_json::{
    Value, json,
    value::{RawValue, to_raw_value},
};

use super::{
    attribute::Attributes,
    condition::{Condition, condition, projection},
    request::{Action, Batch, BatchGet, BatchWrite, Describe, StatementRequest, Transaction},
    statement::{Statement, Verb},
    tables::{Change, Counts, Item, Tables, Write},
};
use crate::{Faults, report::count};

/// The most statements of a batch.
const MAX_STATEMENTS: usize = 25;
/// The most actions of a transaction.
const MAX_ACTIONS: usize = 100;
/// The most keys that are read at once.
const MAX_READ_KEYS: usize = 100;
/// The most characters of a statement.
const MAX_STATEMENT_CHARS: usize = 8192;

const CONDITION_FAILED: &str = "ConditionalCheckFailed";
const CONDITION_FAILED_MESSAGE: &str = "The conditional request failed";

/// What the stub knows.
pub(super) struct Operations {
    tables: Tables,
    /// By their text.
    statements: HashMap<String, Arc<Statement>>,
    faults: Faults,
    rng: Rng,
}

pub(super) struct Answer {
    pub(super) status: u16,
    pub(super) body: String,
}

impl Answer {
    fn done(body: &impl Serialize) -> Result<Self, String> {
        let body = serde_json::to_string(body).map_err(|error| error.to_string())?;
        Ok(Self { status: 200, body })
    }

    /// An error with what is said beside its message.
    fn error(status: u16, code: &str, message: &str, more: Option<(&str, Value)>) -> Self {
        let kind = format!("com.amazonaws.dynamodb.v20120810#{code}");
        let mut body = json!({"__type": kind, "message": message});
        if let Some((name, value)) = more {
            body[name] = value;
        }
        Self { status, body: body.to_string() }
    }

    /// What a malformed request is answered.
    pub(super) fn invalid(message: &str) -> Self {
        Self::error(400, "ValidationException", message, None)
    }
}

/// Why a part of a request was not done.
#[derive(Default, Serialize)]
#[serde(rename_all = "PascalCase")]
struct Failure {
    code: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    message: Option<&'static str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    item: Option<Box<RawValue>>,
}

#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
struct StatementResponse {
    #[serde(skip_serializing_if = "Option::is_none")]
    error: Option<Failure>,
    table_name: String,
}

#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
struct ReadResponse<R> {
    responses: R,
    unprocessed_keys: Attributes,
    #[serde(skip_serializing_if = "Option::is_none")]
    consumed_capacity: Option<Vec<Value>>,
}

#[derive(Clone, Copy)]
enum Fault {
    Refused,
    Throttled,
}

impl Operations {
    pub(super) fn new(tables: &[template::Table], faults: Faults, seed: u64) -> Self {
        let rng = Rng::with_seed(seed);
        Self { tables: Tables::new(tables), statements: HashMap::new(), faults, rng }
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
                return Ok(Answer::error(500, "InternalServerError", "asked to fail", None));
            }
            Some(Fault::Throttled) => {
                let code = "ProvisionedThroughputExceededException";
                return Ok(Answer::error(400, code, "asked to throttle", None));
            }
            None => {}
        }
        match operation {
            "BatchExecuteStatement" => self.batch(read::<Batch>(body)?.statements),
            "TransactWriteItems" => self.transaction(read::<Transaction>(body)?.transact_items),
            "PutItem" => self.single(Action::Put(read(body)?)),
            "DeleteItem" => self.single(Action::Delete(read(body)?)),
            "BatchWriteItem" => self.batch_write(read::<BatchWrite>(body)?.request_items),
            "BatchGetItem" => self.batch_get(&read(body)?),
            other => {
                Err(format!("the stub doesn't know the operation `{other}`: try a real endpoint"))
            }
        }
    }

    fn fault(&mut self) -> Option<Fault> {
        let Faults { refused, throttled } = self.faults;
        match self.rng.f64() {
            drawn if drawn < refused => Some(Fault::Refused),
            drawn if drawn < refused + throttled => Some(Fault::Throttled),
            _ => None,
        }
    }

    fn describe(&self, name: &str) -> Result<Answer, String> {
        let Ok(keys) = self.tables.keys(name) else {
            let code = "ResourceNotFoundException";
            return Ok(Answer::error(400, code, "Requested resource not found", None));
        };
        let schema = keys.iter().zip(["HASH", "RANGE"]);
        let schema = schema.map(|(name, kind)| json!({"AttributeName": name, "KeyType": kind}));
        let types = keys.iter().map(|name| json!({"AttributeName": name, "AttributeType": "S"}));
        Answer::done(&json!({"Table": {
            "TableName": name, "TableStatus": "ACTIVE", "KeySchema": schema.collect::<Vec<_>>(),
            "AttributeDefinitions": types.collect::<Vec<_>>(),
            "ItemCount": 0, "TableSizeBytes": 0, "CreationDateTime": 1_700_000_000,
        }}))
    }

    fn batch(&mut self, requests: Vec<StatementRequest>) -> Result<Answer, String> {
        if !(1..=MAX_STATEMENTS).contains(&requests.len()) {
            return Err(format!("a batch has {} statements", requests.len()));
        }
        let mut keys = BTreeSet::new();
        let mut responses = Vec::new();
        for request in requests {
            let statement = self.statement(&request)?;
            let table_name = statement.table.clone();
            let parameter = |name: &str| request.parameters.get(statement.key(name)?);
            let key = self.tables.key(&table_name, parameter)?;
            if !keys.insert((table_name.clone(), key.clone())) {
                return Err("a batch has two statements for one key".to_owned());
            }
            let failure = |code| Failure { code, message: Some("not executed"), item: None };
            let error = match self.fault() {
                Some(Fault::Refused) => Some(failure("InternalServerError")),
                Some(Fault::Throttled) => Some(failure("ThrottlingError")),
                None => {
                    let (write, failure) = self.plan_statement(request, &statement, key)?;
                    self.apply_if(failure.is_none(), write)?;
                    failure
                }
            };
            responses.push(StatementResponse { error, table_name });
        }
        Answer::done(&BTreeMap::from([("Responses", responses)]))
    }

    fn statement(&mut self, request: &StatementRequest) -> Result<Arc<Statement>, String> {
        let text = &request.statement;
        if !self.statements.contains_key(text) {
            if text.chars().count() > MAX_STATEMENT_CHARS {
                return Err("a statement is too long".to_owned());
            }
            self.statements.insert(text.clone(), Arc::new(Statement::read(text)?));
        }
        let statement = &self.statements[text];
        let (expected, found) = (statement.parameters, request.parameters.len());
        if expected != found {
            return Err(format!(
                "a statement has {expected} question marks and {found} parameters"
            ));
        }
        Ok(Arc::clone(statement))
    }

    /// A statement's write, and why it must not be done.
    fn plan_statement(
        &self,
        request: StatementRequest,
        statement: &Statement,
        key: String,
    ) -> Result<(Write, Option<Failure>), String> {
        let StatementRequest { parameters, return_values_on_condition_check_failure, .. } = request;
        let table = statement.table.clone();
        let stored = self.tables.find(&table, &key);
        let values: Vec<_> = parameters.iter().collect();
        let holds = |condition: &Condition| condition.holds(stored, &values);
        let (holds, code, shown) = match &statement.verb {
            Verb::Insert { .. } => (stored.is_none(), "DuplicateItem", None),
            Verb::Update { condition, .. } => (holds(condition), CONDITION_FAILED, stored),
            Verb::Delete { condition } => {
                (stored.is_none() || holds(condition), CONDITION_FAILED, stored)
            }
        };
        let failure = (!holds).then(|| {
            let item = echo(shown, &return_values_on_condition_check_failure);
            Failure { code, message: Some("not executed"), item }
        });
        let item = |names: &[String]| names.iter().cloned().zip(parameters).collect();
        let change = match &statement.verb {
            Verb::Insert { set } => Change::Put(Item::new(item(set))?),
            Verb::Update { set, remove, .. } => {
                Change::Update { set: item(set), remove: remove.clone() }
            }
            Verb::Delete { .. } => Change::Delete,
        };
        Ok((Write { table, key, change, is_transactional: false }, failure))
    }

    fn apply_if(&mut self, holds: bool, write: Write) -> Result<(), String> {
        if holds {
            return self.tables.apply(write);
        }
        self.tables.refuse(&write, false);
        Ok(())
    }

    fn transaction(&mut self, actions: Vec<Action>) -> Result<Answer, String> {
        if !(1..=MAX_ACTIONS).contains(&actions.len()) {
            return Err(format!("a transaction has {} actions", actions.len()));
        }
        let mut keys = BTreeSet::new();
        let mut planned = Vec::new();
        for action in actions {
            let (write, failure) = self.plan(action, true)?;
            if !keys.insert((write.table.clone(), write.key.clone())) {
                return Err("a transaction has two actions for one key".to_owned());
            }
            planned.push((write, failure));
        }
        if planned.iter().all(|(_, failure)| failure.is_none()) {
            for (write, _) in planned {
                self.tables.apply(write)?;
            }
            return Answer::done(&json!({}));
        }
        let mut reasons = Vec::new();
        for (write, failure) in planned {
            self.tables.refuse(&write, failure.is_none());
            reasons.push(failure.unwrap_or(Failure { code: "None", ..Failure::default() }));
        }
        let reasons = Some(("CancellationReasons", json!(reasons)));
        let code = "TransactionCanceledException";
        Ok(Answer::error(400, code, "Transaction cancelled", reasons))
    }

    fn single(&mut self, action: Action) -> Result<Answer, String> {
        let (write, failure) = self.plan(action, false)?;
        self.apply_if(failure.is_none(), write)?;
        let Some(Failure { item, .. }) = failure else { return Answer::done(&json!({})) };
        let item = item.map(|item| ("Item", json!(item)));
        let code = "ConditionalCheckFailedException";
        Ok(Answer::error(400, code, CONDITION_FAILED_MESSAGE, item))
    }

    /// An action's write, and why it must not be done.
    fn plan(
        &self,
        mut action: Action,
        is_transactional: bool,
    ) -> Result<(Write, Option<Failure>), String> {
        let (key, change) = match &mut action {
            Action::Put(call) => {
                let item = call.item.take().ok_or("a put has no `Item`")?;
                let key = self.tables.key(&call.table_name, |name| item.get(name))?;
                (key, Change::Put(Item::new(item)?))
            }
            Action::Delete(call) => {
                (self.key_of(&call.table_name, call.key.as_ref())?, Change::Delete)
            }
            Action::ConditionCheck(call) => {
                (self.key_of(&call.table_name, call.key.as_ref())?, Change::Check)
            }
        };
        let (Action::Put(call) | Action::Delete(call) | Action::ConditionCheck(call)) = action;
        let stored = self.tables.find(&call.table_name, &key);
        let values = &call.expression_attribute_values;
        let holds = match &call.condition_expression {
            None => true,
            Some(text) => condition(text, &call.expression_attribute_names, values)?
                .holds(stored, &values.values().collect::<Vec<_>>()),
        };
        let failure = (!holds).then(|| Failure {
            code: CONDITION_FAILED,
            message: Some(CONDITION_FAILED_MESSAGE),
            item: echo(stored, &call.return_values_on_condition_check_failure),
        });
        Ok((Write { table: call.table_name, key, change, is_transactional }, failure))
    }

    fn batch_write(&mut self, tables: BTreeMap<String, Vec<Action>>) -> Result<Answer, String> {
        let requests: usize = tables.values().map(Vec::len).sum();
        if !(1..=MAX_STATEMENTS).contains(&requests) {
            return Err(format!("a batch has {requests} writes"));
        }
        for (table, actions) in tables {
            for mut action in actions {
                let (Action::Put(call) | Action::Delete(call) | Action::ConditionCheck(call)) =
                    &mut action;
                call.table_name.clone_from(&table);
                let (write, _) = self.plan(action, false)?;
                self.tables.apply(write)?;
            }
        }
        Answer::done(&json!({"UnprocessedItems": {}}))
    }

    fn batch_get(&mut self, batch: &BatchGet) -> Result<Answer, String> {
        let keys: usize = batch.request_items.values().map(|request| request.keys.len()).sum();
        let is_empty = batch.request_items.values().any(|request| request.keys.is_empty());
        if is_empty || !(1..=MAX_READ_KEYS).contains(&keys) {
            return Err(format!(
                "a batch reads {keys} keys of {} tables",
                batch.request_items.len()
            ));
        }
        let mut responses = BTreeMap::new();
        let mut consumed = Vec::new();
        let mut paid = 0;
        for (table, request) in &batch.request_items {
            let expression = request.projection_expression.as_deref();
            let names = expression
                .map(|text| projection(text, &request.expression_attribute_names))
                .transpose()?;
            let is_wanted = |name: &String| names.as_ref().is_none_or(|names| names.contains(name));
            let mut seen = BTreeSet::new();
            let mut items = Vec::new();
            let mut halves = 0;
            for attributes in &request.keys {
                let key = self.key_of(table, Some(attributes))?;
                let item = self.tables.find(table, &key);
                halves += Item::half_read_units(item, request.consistent_read);
                if let Some(item) = item {
                    let wanted = item.attributes.iter().filter(|(name, _)| is_wanted(name));
                    items.push(wanted.collect::<BTreeMap<_, _>>());
                }
                if !seen.insert(key) {
                    return Err("a batch reads one key twice".to_owned());
                }
            }
            responses.insert(table, items);
            consumed.push(json!({"TableName": table, "CapacityUnits": count(halves) / 2.0}));
            paid += halves;
        }
        let is_asked = batch.return_consumed_capacity == "TOTAL";
        let answer = Answer::done(&ReadResponse {
            responses,
            unprocessed_keys: Attributes::new(),
            consumed_capacity: is_asked.then_some(consumed),
        });
        self.tables.counts.half_read_units += paid;
        answer
    }

    /// The key that consists of these attributes and no other.
    fn key_of(&self, table: &str, attributes: Option<&Attributes>) -> Result<String, String> {
        let attributes = attributes.ok_or("a call has no `Key`")?;
        if attributes.len() != self.tables.keys(table)?.len() {
            return Err("a `Key` has other attributes than the table's key".to_owned());
        }
        self.tables.key(table, |name| attributes.get(name))
    }
}

/// Reads a request's body.
fn read<'a, T: Deserialize<'a>>(body: &'a [u8]) -> Result<T, String> {
    serde_json::from_slice(body).map_err(|error| {
        // Serde's own words may quote a record.
        format!("a request's body is malformed at line {}, column {}", error.line(), error.column())
    })
}

/// The item as it stands in an answer, if the request asks for it where a condition is false.
fn echo(stored: Option<&Item>, asked: &str) -> Option<Box<RawValue>> {
    let item = stored.filter(|_| asked == "ALL_OLD")?;
    to_raw_value(&item.attributes).ok()
}

#[cfg(test)]
mod tests;
