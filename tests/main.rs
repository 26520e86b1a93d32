//! The workspace's integration tests: the real code and the real binaries against a real endpoint.
//!
//! The endpoint is the embedded `DynamoDB`, or AWS's own `DynamoDB` Local where `COMPARE_CONNECTOR_TEST_DYNAMODB` says
//! where that listens, such as `http://127.0.0.1:8000`. The end-to-end run's scenario `conformance` fetches it, starts
//! it and runs all tests but [`exhaustive`], which has a table of its own. So two independent implementations must
//! agree on every statement, condition and transaction.
//!
//! # Differences between the two
//!
//! No test is left out with `DynamoDB` Local 3.1. The writer relies on none of these:
//!
//! | what | embedded (dynoxide 3.2) | `DynamoDB` Local 3.1 | in the tests |
//! |---|---|---|---|
//! | the message of a missing table | `Requested resource not found` | `Cannot do operations on a non-existent table` | `answers` expects either's; only the code decides |
//! | an empty list or map at level 32 | stored | refused: it counts a level inside | `rejections::limits`: written, or quarantined as `REFUSED_BY_DYNAMODB` |
//! | a statement that inserts such an item | | an error of the whole request, not of the statement | the same test: the records beside it are written |
//! | numbers in lists and maps, and those that an update sets, when read | digits only | spelled as they were sent (`1E125`) | `support` compares digits; `_sink` holds whole numbers, which have one spelling |
//! | an empty map in a list, in the item that refused a statement | `{"M": {}}` | `{}`, which the SDK cannot read | `landing::stored`: the writer reads `_sink` alone |
//! | an empty map in a stream's image | `{"M": {}}` | `{}`, without its type | `support` gives it its type |
//! | a put that changes nothing | is in the stream | is in no stream, as with AWS | `rejections::quarantine` counts the changes of both |
//! | an item that has expired | stays until something removes it | is gone within seconds where the table has a TTL | `support` sets no TTL there: tests say what becomes of items that have expired and still stand |

#![expect(clippy::unwrap_used, clippy::panic, reason = "tests end on what they don't expect")]

/// The embedded DynamoDB with the template's tables, handlers on it, and the events that tests send.
mod support;

/// The writer's state machine against a table in memory: every interleaving, planted faults, and the promise's borders.
mod exhaustive;

/// What each kind of record does to each state of the tables, by both transports.
mod landing;

/// What cannot be written, and what only just can be.
mod rejections;

/// What becomes of each sample event.
mod samples;

/// What a batch costs.
mod requests;

/// What Lambda is answered.
mod answers;

/// What faults of DynamoDB, and of the way to it, do to a batch.
mod faults;

/// What holds for any bytes, held to what the fuzzers found worth keeping.
mod fuzz;

/// The promise of idempotence, held to generated logs and deliveries.
mod property;

/// How far someone comes who means harm.
mod hostile;

/// The functions' real binaries behind Lambda's Runtime API: start, answers, metrics, panics and kills.
mod binaries;

/// What the functions write to their logs: never a record's data.
mod logs;

/// Events as large as they get, in time and memory.
mod large;

/// What the template declares for the functions.
mod declared;

/// What the documents say of the settings, and where their links lead.
mod readme;

/// The recipe of a third sink.
mod third_sink;
