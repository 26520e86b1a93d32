//! The real services: fetched by Maven, started on free ports, ended by their process ids.

pub(crate) mod dynamodb_local;
pub(crate) mod kafka;
pub(crate) mod maven;

use std::process::Command;

use maven::Artifact;

/// 4.4 needs artifacts that cannot be had; the last one writes its log.
pub(crate) const KAFKA: [Artifact; 3] = [
    ("org.apache.kafka", "kafka_2.13", "4.3.0"),
    ("org.apache.kafka", "kafka-tools", "4.3.0"),
    ("org.apache.logging.log4j", "log4j-slf4j-impl", "2.25.4"),
];

pub(crate) const DYNAMODB_LOCAL: [Artifact; 1] =
    [("software.amazon.dynamodb", "DynamoDBLocal", "3.1.0")];

/// Sends a signal to a process that this run started.
pub(crate) fn signal(process: u32, name: &str) {
    // It fails where the process has just ended by itself.
    let _ = Command::new("kill").args([&format!("-{name}"), &process.to_string()]).status();
}
