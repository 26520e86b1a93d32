//! What stands in for AWS on a developer's machine: on it stand the tests, the benchmark and `sinkctl`.
//!
//! The template says what there is, and [`build`] makes its functions' programs; [`function`] runs them behind a
//! [`runtime_api`], beside an embedded [`dynamodb`]. [`invoke`] hands events also to functions that run elsewhere.

#![expect(missing_docs, reason = "only this workspace's programs and tests stand on it")]

use dynamo_sink::sink::Sink;

/// Each sink of the workspace: the template declares a function for it.
pub const SINKS: [Sink; 2] = [sink_appian_data::SINK, sink_seatool_data::SINK];

pub mod samconfig;
pub mod template;

pub mod build;
pub mod events;

pub mod function;
pub mod invoke;
pub mod runtime_api;

pub mod dynamodb;

pub mod chain;
pub mod lock;
pub mod stop;
