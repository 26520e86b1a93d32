//! What an environment keeps between invocations of how DynamoDB answers.

use std::{collections::HashSet, mem::Discriminant};

use serde_json::{Value, json};

use crate::{
    edge::backoff::Concurrency,
    order::{learnt::Learnt, write::Request},
    wire::Operation,
};

/// All of it.
#[derive(Debug)]
pub(crate) struct Experience {
    /// Of the keys and the records.
    pub(crate) learnt: Learnt,
    /// What DynamoDB has taken of some record. What it then refuses of another is that record's fault.
    pub(crate) accepted: HashSet<(RequestKind, Operation)>,
    /// How many requests each table takes at once.
    pub(crate) concurrency: [Concurrency; 3],
}

/// The kind of a request, and with it the table.
pub(crate) type RequestKind = Discriminant<Request>;

impl Experience {
    /// That of an environment at its start.
    pub(crate) fn new(has_deletes: bool, may_look: bool, max_concurrency: usize) -> Self {
        Self {
            learnt: Learnt::new(has_deletes, may_look),
            accepted: HashSet::new(),
            concurrency: [(); 3].map(|()| Concurrency::new(max_concurrency)),
        }
    }

    /// What is logged of it; `tables` are the tables' names in the order of their widths.
    pub(crate) fn describe(&self, tables: [&str; 3]) -> Value {
        let width = |(table, concurrency): (&&str, &Concurrency)| json!({"table": table, "concurrency": concurrency.width()});
        let mut description = self.learnt.describe();
        description["tables"] = tables.iter().zip(&self.concurrency).map(width).collect();
        description
    }
}
