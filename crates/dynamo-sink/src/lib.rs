//! Lands Kafka records in DynamoDB so that none is lost, applied twice, or able to block the ones behind it.
//!
//! The modules stand in the order in which data meets them. Neither a folder nor its files import from a folder below
//! it; `settings` and `sink`, which say what a sink is, know each other.

pub mod item;

/// What stands before what: pure, with no clock and no I/O.
mod order {
    pub mod version;

    pub mod write;

    pub mod chain;
    pub(crate) mod learnt;
    pub mod stored;
}

pub mod settings;
pub mod sink;

pub mod mutation;

mod wire;

/// All that reaches out to DynamoDB.
mod edge {
    pub(crate) mod trouble;

    pub mod connection;

    mod answer;
    pub(crate) mod backoff;
    pub(crate) mod dynamodb;
}

/// A batch from the event to the answer.
mod batch {
    pub mod handler;

    pub(crate) mod land;

    pub(crate) mod experience;
    pub(crate) mod quarantine;

    pub(crate) mod log;
    pub mod outcome;

    pub mod bodies;
}

mod run;

pub use self::{
    batch::{bodies, handler, outcome},
    edge::connection,
    order::{chain, stored, version, write},
    run::{StartError, run},
};
