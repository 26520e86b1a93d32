//! What runs compare-connector without AWS: the template, an embedded `DynamoDB`, and Lambda's Runtime API.

pub mod template;

pub mod build;
pub mod dynamodb;
pub mod events;
pub mod runtime_api;

pub mod function;

#[cfg(feature = "kafka")]
pub mod esm;

pub mod bench;
pub mod demo;
pub mod serve;

#[cfg(feature = "kafka")]
pub mod audit;
pub mod chain;

mod lock;
