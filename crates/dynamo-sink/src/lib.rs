//! Lands Kafka records in DynamoDB so that none is lost, applied twice, or able to block the ones behind it.

pub mod settings;
pub mod sink;

pub mod item;
pub mod mutation;
pub mod stored;

pub mod chain;
pub mod version;
pub mod write;

mod backoff;
pub mod bodies;
pub mod connection;
mod dynamodb;
mod land;
mod learnt;
mod quarantine;
mod wire;

pub mod handler;
mod log;
pub mod outcome;
mod run;

pub use run::{StartError, run};
