//! A local event source mapping: what Lambda does between a Kafka topic and a function.

pub mod settings;

pub mod event;

pub mod assembly;

pub mod attempt;
pub mod failure;
pub mod response;
