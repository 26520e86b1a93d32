//! The commands of `sinkctl`.

pub mod demo;
pub mod serve;

pub mod entry;
pub mod tables;

pub mod quarantine;
pub mod status;
pub mod tail;

#[cfg(feature = "kafka")]
pub mod audit;
#[cfg(feature = "kafka")]
pub mod esm;
#[cfg(feature = "kafka")]
mod kafka;

pub mod terminal;
pub mod visible;
