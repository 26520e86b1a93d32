//! DynamoDB request bodies, written straight from the records' items.

mod condition;
pub(crate) mod list;
pub(crate) mod look;

use std::{collections::HashMap, rc::Rc};

use condition::Condition;

use crate::{
    item::{Item, json_string},
    order::{
        version::{Order, Stamp},
        write::{Request, TombstoneCheck},
    },
};

/// The most characters that a statement's text may have.
const MAX_STATEMENT_CHARS: usize = 8192;

/// What a statement, or an insert of a transaction, takes beside the item: this much or a little less, most times.
pub(crate) const ELEMENT_ROOM: usize = 1280;

/// Statement texts kept at most, so that records with ever new attribute names don't fill the memory.
const MAX_CACHED_STATEMENTS: usize = 1000;

/// An API operation with its body.
#[derive(Clone, Debug)]
pub(crate) struct Call {
    pub(crate) operation: Operation,
    pub(crate) body: Vec<u8>,
}

/// The operations of DynamoDB's API that are asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Operation {
    BatchGetItem,
    BatchExecuteStatement,
    TransactWriteItems,
    PutItem,
    DeleteItem,
    UpdateItem,
}

impl Operation {
    /// Its name in DynamoDB's API.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::BatchGetItem => "BatchGetItem",
            Self::BatchExecuteStatement => "BatchExecuteStatement",
            Self::TransactWriteItems => "TransactWriteItems",
            Self::PutItem => "PutItem",
            Self::DeleteItem => "DeleteItem",
            Self::UpdateItem => "UpdateItem",
        }
    }
}

/// How a request can be sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Transport {
    /// As the keys of one record among those of others.
    Look,
    /// As one of several statements.
    Statement,
    /// As two actions of a transaction with several.
    Transaction,
    /// By itself.
    Single,
}

/// A request about one key, with all that its body needs.
#[derive(Clone, Copy, Debug)]
pub(crate) struct KeyRequest<'a> {
    pub(crate) request: &'a Request,
    pub(crate) key: &'a str,
    pub(crate) stamp: &'a Stamp,
    /// Present for a put.
    pub(crate) item: Option<&'a Item>,
    /// When the delete's tombstone expires, in seconds since 1970.
    pub(crate) tombstone_expires_at: Option<u64>,
}

/// Renders requests for one sink's tables.
#[derive(Debug)]
pub(crate) struct Wire {
    order: Order,
    table: String,
    /// Empty in a sink without deletes, which sends no request for it.
    tombstone_table: String,
    may_batch: bool,
    /// The statements by the shape of their items, as JSON strings; none where a statement cannot say it.
    replace_statements: HashMap<String, Option<Rc<[u8]>>>,
    insert_statements: HashMap<String, Option<Rc<[u8]>>>,
}

impl Wire {
    /// `may_batch`: whether statements may be used at all.
    pub(crate) fn new(
        order: Order,
        table: String,
        tombstone_table: Option<String>,
        may_batch: bool,
    ) -> Self {
        Self {
            order,
            table,
            tombstone_table: tombstone_table.unwrap_or_default(),
            may_batch,
            replace_statements: HashMap::new(),
            insert_statements: HashMap::new(),
        }
    }

    /// The best way to send this.
    pub(crate) fn transport(&mut self, keyed: KeyRequest<'_>) -> Transport {
        let is_statement = match keyed.request {
            Request::Look => return Transport::Look,
            Request::Insert(TombstoneCheck::AbsentOrOlder | TombstoneCheck::Exactly(_)) => {
                return Transport::Transaction;
            }
            Request::ReplaceIfOlder | Request::Insert(TombstoneCheck::None) => {
                self.may_batch
                    && keyed
                        .item
                        .is_some_and(|item| self.item_statement(keyed.request, item).is_some())
            }
            Request::InsertTombstone
            | Request::ReplaceTombstoneIfOlder
            | Request::RemoveIfOlder => self.may_batch,
            Request::ReplaceSeen(_) | Request::ReplaceTombstoneSeen(_) | Request::RemoveSeen(_) => {
                false
            }
        };
        if is_statement { Transport::Statement } else { Transport::Single }
    }

    /// Appends the request as an element of `BatchExecuteStatement`'s `Statements`.
    ///
    /// Call it only for what [`Self::transport`] sends as a statement.
    pub(crate) fn statement(&mut self, keyed: KeyRequest<'_>, out: &mut Vec<u8>) {
        out.extend_from_slice(b"{\"Statement\":");
        match keyed.request {
            Request::InsertTombstone => json_string(&self.insert_tombstone_statement(keyed), out),
            Request::ReplaceTombstoneIfOlder => {
                json_string(&self.replace_tombstone_statement(keyed), out);
            }
            Request::RemoveIfOlder => json_string(&self.remove_statement(), out),
            request => {
                let literal = keyed.item.and_then(|item| self.item_statement(request, item));
                out.extend_from_slice(&literal.unwrap_or_default());
            }
        }
        out.extend_from_slice(b",\"Parameters\":[");
        self.parameters(keyed, out);
        out.extend_from_slice(b"],\"ReturnValuesOnConditionCheckFailure\":\"ALL_OLD\"}");
    }

    /// Appends an insert as two elements of `TransactWriteItems`'s `TransactItems`: the put, then the tombstone's
    /// check.
    pub(crate) fn insert_actions(&self, keyed: KeyRequest<'_>, out: &mut Vec<u8>) {
        out.extend_from_slice(b"{\"Put\":");
        self.put_item(keyed, &Condition::absent(), out);
        out.extend_from_slice(b"},{\"ConditionCheck\":{\"TableName\":");
        json_string(&self.tombstone_table, out);
        out.extend_from_slice(b",\"Key\":{");
        key_attributes(keyed.key, out);
        out.push(b'}');
        match keyed.request {
            Request::Insert(TombstoneCheck::Exactly(seen)) => {
                Condition::tombstone_is(seen).write(out);
            }
            _ => self.older_condition(Place::Tombstone, keyed.stamp).or_absent().write(out),
        }
        out.extend_from_slice(b"}}");
    }

    /// The request as a call of its own; for an insert with a tombstone's check, a transaction of one.
    pub(crate) fn single(&self, keyed: KeyRequest<'_>) -> Call {
        let mut body = Vec::with_capacity(1024 + keyed.item.map_or(0, |item| item.json().len()));
        let operation = match keyed.request {
            Request::Look => return self.look(std::iter::once(keyed.key)),
            Request::ReplaceIfOlder => {
                let mut condition = self.older_condition(Place::Item, keyed.stamp);
                // A statement compares the shape, and so refuses an item whose `_sink` has none.
                condition.expression.push_str(" AND attribute_exists(#sink.#shape)");
                condition.name("#shape", "shape");
                self.put_item(keyed, &condition, &mut body);
                Operation::PutItem
            }
            Request::Insert(TombstoneCheck::None) => {
                self.put_item(keyed, &Condition::absent(), &mut body);
                Operation::PutItem
            }
            Request::ReplaceSeen(seen) => {
                self.put_item(keyed, &Condition::item_is(seen), &mut body);
                Operation::PutItem
            }
            Request::Insert(_) => {
                body.extend_from_slice(TRANSACTION_START);
                self.insert_actions(keyed, &mut body);
                body.extend_from_slice(LIST_END);
                Operation::TransactWriteItems
            }
            Request::InsertTombstone => {
                self.put_tombstone(keyed, &Condition::absent(), &mut body);
                Operation::PutItem
            }
            Request::ReplaceTombstoneIfOlder => {
                self.put_tombstone(
                    keyed,
                    &self.older_condition(Place::Tombstone, keyed.stamp),
                    &mut body,
                );
                Operation::PutItem
            }
            Request::ReplaceTombstoneSeen(seen) => {
                self.put_tombstone(keyed, &Condition::tombstone_is(seen), &mut body);
                Operation::PutItem
            }
            Request::RemoveIfOlder => {
                self.delete_item(
                    keyed,
                    &self.older_condition(Place::Item, keyed.stamp).or_absent(),
                    &mut body,
                );
                Operation::DeleteItem
            }
            Request::RemoveSeen(seen) => {
                self.delete_item(keyed, &Condition::item_is(seen), &mut body);
                Operation::DeleteItem
            }
        };
        Call { operation, body }
    }

    /// The statement that replaces or inserts an item with these attribute names, as a JSON string; none where a
    /// statement cannot say it.
    fn item_statement(&mut self, request: &Request, item: &Item) -> Option<Rc<[u8]>> {
        if !item.fits_statement() {
            return None;
        }
        let is_insert = matches!(request, Request::Insert(_));
        let cache =
            if is_insert { &mut self.insert_statements } else { &mut self.replace_statements };
        if let Some(known) = cache.get(item.shape().as_str()) {
            return known.clone();
        }
        // `fits_statement` admits names of letters, digits and underscores only, so quoting them is enough.
        let names = item.members().map(|member| member.name_json);
        let text = if is_insert {
            let members: String = names.flat_map(|name| [",'", name, "':?"]).collect();
            format!("INSERT INTO \"{}\" VALUE {{'PK':?,'SK':?{members},'_sink':?}}", self.table)
        } else {
            let members: String = names.flat_map(|name| ["SET \"", name, "\"=? "]).collect();
            let older = self.statement_conditions("\"_sink\".");
            let shape = "AND \"_sink\".\"shape\"=?";
            format!(
                "UPDATE \"{}\" {members}SET \"_sink\"=? WHERE \"PK\"=? AND \"SK\"=? {shape}{older}",
                self.table
            )
        };
        let literal = (text.chars().count() <= MAX_STATEMENT_CHARS).then(|| {
            let mut literal = Vec::new();
            json_string(&text, &mut literal);
            Rc::from(literal)
        });
        let cache =
            if is_insert { &mut self.insert_statements } else { &mut self.replace_statements };
        if cache.len() == MAX_CACHED_STATEMENTS {
            cache.clear();
        }
        cache.insert(item.shape().as_str().to_owned(), literal.clone());
        literal
    }

    fn remove_statement(&self) -> String {
        let older = self.statement_conditions("\"_sink\".");
        format!("DELETE FROM \"{}\" WHERE \"PK\"=? AND \"SK\"=?{older}", self.table)
    }

    fn insert_tombstone_statement(&self, keyed: KeyRequest<'_>) -> String {
        let expires_at = if keyed.tombstone_expires_at.is_some() { ",'expiresAt':?" } else { "" };
        format!(
            "INSERT INTO \"{}\" VALUE {{'PK':?,'SK':?,'version':?,'topic':?,'partition':?,'offset':?,'timestamp':?{expires_at}}}",
            self.tombstone_table
        )
    }

    fn replace_tombstone_statement(&self, keyed: KeyRequest<'_>) -> String {
        let expires_at = match keyed.tombstone_expires_at {
            Some(_) => "SET \"expiresAt\"=?",
            None => "REMOVE \"expiresAt\"",
        };
        let older = self.statement_conditions("");
        format!(
            "UPDATE \"{}\" SET \"version\"=? SET \"topic\"=? SET \"partition\"=? SET \"offset\"=? SET \"timestamp\"=? {expires_at} \
             WHERE \"PK\"=? AND \"SK\"=?{older}",
            self.tombstone_table
        )
    }

    fn statement_conditions(&self, path: &str) -> String {
        match self.order {
            Order::Offset => {
                format!(
                    " AND {path}\"version\" < ? AND {path}\"topic\"=? AND {path}\"partition\"=?"
                )
            }
            Order::SourceClock => format!(" AND {path}\"version\" < ?"),
        }
    }

    /// The parameters of [`Self::statement`], in the order of the question marks in its text.
    fn parameters(&self, keyed: KeyRequest<'_>, out: &mut Vec<u8>) {
        let mut list = List::new(out);
        match keyed.request {
            Request::InsertTombstone => {
                list.push(|out| string_value(keyed.key, out));
                list.push(|out| string_value(keyed.key, out));
                tombstone_parameters(keyed, &mut list);
            }
            Request::ReplaceTombstoneIfOlder => {
                tombstone_parameters(keyed, &mut list);
                self.condition_parameters(keyed, None, &mut list);
            }
            Request::RemoveIfOlder => self.condition_parameters(keyed, None, &mut list),
            Request::Insert(_) => {
                list.push(|out| string_value(keyed.key, out));
                list.push(|out| string_value(keyed.key, out));
                item_parameters(keyed, &mut list);
            }
            _ => {
                item_parameters(keyed, &mut list);
                self.condition_parameters(
                    keyed,
                    keyed.item.map(|item| item.shape().as_str()),
                    &mut list,
                );
            }
        }
    }

    fn condition_parameters(
        &self,
        keyed: KeyRequest<'_>,
        shape: Option<&str>,
        list: &mut List<'_>,
    ) {
        list.push(|out| string_value(keyed.key, out));
        list.push(|out| string_value(keyed.key, out));
        if let Some(shape) = shape {
            list.push(|out| string_value(shape, out));
        }
        list.push(|out| string_value(&keyed.stamp.version, out));
        if self.order == Order::Offset {
            list.push(|out| string_value(&keyed.stamp.topic, out));
            list.push(|out| number_value(keyed.stamp.partition.into(), out));
        }
    }

    fn put_item(&self, keyed: KeyRequest<'_>, condition: &Condition, out: &mut Vec<u8>) {
        put(&self.table, keyed.key, condition, out, |out| {
            let Some(item) = keyed.item else { return };
            if !item.json().is_empty() {
                out.push(b',');
                out.extend_from_slice(item.json().as_bytes());
            }
            out.extend_from_slice(b",\"_sink\":");
            sink_value(keyed.stamp, item.shape().as_str(), out);
        });
    }

    fn put_tombstone(&self, keyed: KeyRequest<'_>, condition: &Condition, out: &mut Vec<u8>) {
        put(&self.tombstone_table, keyed.key, condition, out, |out| {
            out.push(b',');
            stamp_attributes(keyed.stamp, out);
            if let Some(expires_at) = keyed.tombstone_expires_at {
                out.extend_from_slice(
                    format!(",\"expiresAt\":{{\"N\":\"{expires_at}\"}}").as_bytes(),
                );
            }
        });
    }

    fn delete_item(&self, keyed: KeyRequest<'_>, condition: &Condition, out: &mut Vec<u8>) {
        out.extend_from_slice(b"{\"TableName\":");
        json_string(&self.table, out);
        out.extend_from_slice(b",\"Key\":{");
        key_attributes(keyed.key, out);
        out.push(b'}');
        condition.write(out);
        out.push(b'}');
    }

    fn older_condition(&self, place: Place, stamp: &Stamp) -> Condition {
        let path = match place {
            Place::Item => "#sink.",
            Place::Tombstone => "",
        };
        let mut condition = Condition::default();
        if place == Place::Item {
            condition.name("#sink", "_sink");
        }
        condition.name("#version", "version");
        condition.value(":version", |out| string_value(&stamp.version, out));
        condition.expression = format!("{path}#version < :version");
        if self.order == Order::Offset {
            let lineage = format!(" AND {path}#topic = :topic AND {path}#partition = :partition");
            condition.expression.push_str(&lineage);
            condition.name("#topic", "topic");
            condition.name("#partition", "partition");
            condition.value(":topic", |out| string_value(&stamp.topic, out));
            condition.value(":partition", |out| number_value(stamp.partition.into(), out));
        }
        condition
    }
}

/// The start of a body for [`Wire::statement`]s.
pub(crate) const STATEMENTS_START: &[u8] = b"{\"Statements\":[";
/// The start of a body for [`Wire::insert_actions`].
pub(crate) const TRANSACTION_START: &[u8] = b"{\"TransactItems\":[";
/// The end of both.
pub(crate) const LIST_END: &[u8] = b"]}";

#[derive(Clone, Copy, PartialEq, Eq)]
enum Place {
    Item,
    Tombstone,
}

/// Writes elements with commas between them.
struct List<'a> {
    out: &'a mut Vec<u8>,
    is_first: bool,
}

impl<'a> List<'a> {
    fn new(out: &'a mut Vec<u8>) -> Self {
        Self { out, is_first: true }
    }

    fn push(&mut self, write: impl FnOnce(&mut Vec<u8>)) {
        if !self.is_first {
            self.out.push(b',');
        }
        self.is_first = false;
        write(self.out);
    }
}

/// Writes a `PutItem`'s body; `attributes` writes what follows the key, each with a comma before it.
fn put(
    table: &str,
    key: &str,
    condition: &Condition,
    out: &mut Vec<u8>,
    attributes: impl FnOnce(&mut Vec<u8>),
) {
    out.extend_from_slice(b"{\"TableName\":");
    json_string(table, out);
    out.extend_from_slice(b",\"Item\":{");
    key_attributes(key, out);
    attributes(out);
    out.push(b'}');
    condition.write(out);
    out.push(b'}');
}

fn item_parameters(keyed: KeyRequest<'_>, list: &mut List<'_>) {
    let Some(item) = keyed.item else { return };
    for member in item.members() {
        list.push(|out| out.extend_from_slice(member.value_json.as_bytes()));
    }
    list.push(|out| sink_value(keyed.stamp, item.shape().as_str(), out));
}

fn tombstone_parameters(keyed: KeyRequest<'_>, list: &mut List<'_>) {
    list.push(|out| string_value(&keyed.stamp.version, out));
    list.push(|out| string_value(&keyed.stamp.topic, out));
    list.push(|out| number_value(keyed.stamp.partition.into(), out));
    list.push(|out| number_value(keyed.stamp.offset, out));
    list.push(|out| number_value(keyed.stamp.timestamp, out));
    if let Some(expires_at) = keyed.tombstone_expires_at {
        list.push(|out| out.extend_from_slice(format!("{{\"N\":\"{expires_at}\"}}").as_bytes()));
    }
}

fn key_attributes(key: &str, out: &mut Vec<u8>) {
    out.extend_from_slice(b"\"PK\":");
    string_value(key, out);
    out.extend_from_slice(b",\"SK\":");
    string_value(key, out);
}

fn sink_value(stamp: &Stamp, shape: &str, out: &mut Vec<u8>) {
    out.extend_from_slice(b"{\"M\":{");
    stamp_attributes(stamp, out);
    out.extend_from_slice(b",\"shape\":");
    string_value(shape, out);
    out.extend_from_slice(b"}}");
}

fn stamp_attributes(stamp: &Stamp, out: &mut Vec<u8>) {
    out.extend_from_slice(b"\"version\":");
    string_value(&stamp.version, out);
    out.extend_from_slice(b",\"topic\":");
    string_value(&stamp.topic, out);
    out.extend_from_slice(b",\"partition\":");
    number_value(stamp.partition.into(), out);
    out.extend_from_slice(b",\"offset\":");
    number_value(stamp.offset, out);
    out.extend_from_slice(b",\"timestamp\":");
    number_value(stamp.timestamp, out);
}

pub(crate) fn string_value(text: &str, out: &mut Vec<u8>) {
    out.extend_from_slice(b"{\"S\":");
    json_string(text, out);
    out.push(b'}');
}

pub(crate) fn number_value(number: i64, out: &mut Vec<u8>) {
    out.extend_from_slice(b"{\"N\":\"");
    out.extend_from_slice(number.to_string().as_bytes());
    out.extend_from_slice(b"\"}");
}
