//! What runs compare-connector without AWS: the template, an embedded `DynamoDB`, and Lambda's Runtime API.

pub mod template;

#[cfg(any(feature = "aws", feature = "kafka"))]
pub mod samconfig;

pub mod build;
pub mod dynamodb;
pub mod events;
pub mod runtime_api;

pub mod function;
#[cfg(any(feature = "aws", feature = "kafka"))]
pub mod invoke;

#[cfg(feature = "kafka")]
pub mod esm;
#[cfg(feature = "kafka")]
mod kafka;

pub mod bench;
pub mod demo;
pub mod serve;

#[cfg(any(feature = "aws", feature = "kafka"))]
pub mod entry;
#[cfg(any(feature = "aws", feature = "kafka"))]
pub mod tables;

#[cfg(feature = "kafka")]
pub mod audit;
#[cfg(feature = "aws")]
pub mod quarantine;
pub mod status;
pub mod tail;

pub mod chain;
pub mod terminal;
pub mod visible;

mod lock;
