//! The commands of `sinkctl`.

#![expect(missing_docs, reason = "what a program's parts say to each other is no library")]

pub mod arguments;

#[cfg(feature = "kafka")]
pub mod esm;
#[cfg(feature = "kafka")]
mod kafka;

pub mod demo;
pub mod serve;

pub mod entry;
pub mod tables;

#[cfg(feature = "kafka")]
pub mod audit;
pub mod quarantine;
pub mod status;
pub mod tail;

mod aws_error;
pub mod text;
pub mod visible;
