//! What runs compare-connector without AWS: the template, an embedded `DynamoDB`, and Lambda's Runtime API.

pub mod template;

pub mod dynamodb;
pub mod runtime_api;

pub mod function;

mod lock;
