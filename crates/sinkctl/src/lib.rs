//! The commands of `sinkctl`.

#![expect(missing_docs, reason = "what a program's parts say to each other is no library")]

pub mod arguments;

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

#[cfg(feature = "aws")]
mod aws_error;
pub mod text;
pub mod visible;
