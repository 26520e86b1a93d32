//! The workspace's integration tests: the real code and the real binaries against a real endpoint.

/// The embedded DynamoDB with the template's tables, handlers on it, and the events that tests send.
mod support;

/// What each kind of record does to each state of the tables, by both transports.
mod landing;
