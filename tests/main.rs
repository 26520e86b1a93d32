//! The workspace's integration tests: the real code and the real binaries against a real endpoint.

#![expect(clippy::unwrap_used, clippy::panic, reason = "tests end on what they don't expect")]

/// The embedded DynamoDB with the template's tables, handlers on it, and the events that tests send.
mod support;

/// The writer's state machine against a table in memory: every interleaving, planted faults, and the promise's borders.
mod exhaustive;

/// What each kind of record does to each state of the tables, by both transports.
mod landing;

/// What can't be written, and what only just can be.
mod rejections;

/// What becomes of each sample event.
mod samples;

/// What a batch costs.
mod requests;

/// What Lambda is answered.
mod answers;

/// What faults of DynamoDB, and of the way to it, do to a batch.
mod faults;

/// The promise of idempotence, held to generated logs and deliveries.
mod property;

/// The functions' real binaries behind Lambda's Runtime API: start, answers, metrics, panics and kills.
mod binaries;

/// What the functions write to their logs: never a record's data.
mod logs;

/// Events as large as they get, in time and memory.
mod large;

/// What the template declares for the functions.
mod declared;

/// What the README says of the settings.
mod readme;
