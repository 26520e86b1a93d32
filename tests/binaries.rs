//! The functions' real binaries behind Lambda's Runtime API: start, answers, deadlines, metrics, panics and kills.

/// What a function says that cannot start.
mod start;

/// What Lambda is answered: samples, errors, deadlines.
mod answers;

/// The line of each batch, which is its metrics too.
mod metrics;

/// What makes a line one that metrics are taken from.
mod embedded_metrics;

/// Environments that end in the middle of a batch.
mod kills;
