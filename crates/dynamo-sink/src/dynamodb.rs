//! The edge to DynamoDB: sends one request and says what the answer means.

mod answer;

use std::{error::Error, time::Duration};

use self::answer::{ErrorAnswer, PartError};
use crate::{
    connection::{Answer, Connection},
    stored::{Attributes, Foreign},
    wire::{Call, Operation},
};

/// What DynamoDB answered to a request.
#[derive(Debug)]
pub(crate) enum Reply {
    /// A single-item call or a whole transaction was done.
    Applied,
    /// The condition of a single-item call was false for this item, or for none.
    Refused(Option<Attributes>),
    /// The statements' answers, in their order.
    Statements(Vec<PartReply>),
    /// A transaction was cancelled: its actions' reasons, in their order; [`PartReply::Applied`] where the action was
    /// not the reason.
    Cancelled(Vec<PartReply>),
}

/// The answer to one statement, or the reason of one action.
#[derive(Debug)]
pub(crate) enum PartReply {
    Applied,
    Refused(Option<Attributes>),
    /// An insert found an item.
    Exists,
    Trouble(Trouble),
}

/// Why a request, or a part of it, was not answered.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Trouble {
    /// DynamoDB asks to slow down.
    #[error("throttled by DynamoDB")]
    Throttled,
    /// It may go through later: a conflict, a service error, a lost connection or answer.
    #[error("{0}")]
    Transient(String),
    /// The answer says that all is well, but can't be read. What it was about may have been done.
    #[error("DynamoDB's answer can't be read")]
    Unreadable,
    /// DynamoDB finds the request itself wrong; `0` says what without any of its data.
    #[error("DynamoDB refused the request: {message}")]
    Invalid { message: String, is_records_fault: bool },
    /// What stands in the table can't be compared with, so that nothing may be done to its key.
    #[error(transparent)]
    Foreign(#[from] Foreign),
    /// The system around the sink is wrong, and no record can be written.
    #[error("{message}")]
    Fault { message: String, source: Option<Box<dyn Error + Send + Sync>> },
}

/// Sends `call` once: retrying is for the one who knows the deadline and counts.
pub(crate) async fn send(
    connection: Connection,
    call: Call,
    timeout: Duration,
) -> Result<Reply, Trouble> {
    let operation = call.operation;
    match tokio::time::timeout(timeout, connection.call(operation.name(), call.body)).await {
        Ok(answer) => reply(operation, &answer?),
        Err(_) => Err(Trouble::Transient(format!(
            "no answer from DynamoDB within {} ms",
            timeout.as_millis()
        ))),
    }
}

/// What an answer to a request means.
fn reply(operation: Operation, answer: &Answer) -> Result<Reply, Trouble> {
    if !(200..300).contains(&answer.status) {
        return refusal(answer);
    }
    match operation {
        Operation::BatchExecuteStatement => {
            let answers = answer::statements(&answer.body).ok_or(Trouble::Unreadable)?;
            Ok(Reply::Statements(answers.into_iter().map(statement_reply).collect()))
        }
        Operation::TransactWriteItems
        | Operation::PutItem
        | Operation::DeleteItem
        | Operation::UpdateItem => {
            answer::is_object(&answer.body).then_some(Reply::Applied).ok_or(Trouble::Unreadable)
        }
    }
}

/// What a request's failure means.
fn refusal(answer: &Answer) -> Result<Reply, Trouble> {
    let ErrorAnswer { code, message, item, cancellation_reasons } = answer::error(&answer.body);
    match code.as_str() {
        "ConditionalCheckFailedException" => Ok(Reply::Refused(item)),
        "TransactionCanceledException" => {
            Ok(Reply::Cancelled(cancellation_reasons.into_iter().map(reason).collect()))
        }
        code => Err(match part_trouble(code, &message) {
            Trouble::Fault { .. } if answer.status >= 500 || code.is_empty() => {
                Trouble::Transient(format!("DynamoDB answered with status {}", answer.status))
            }
            trouble => trouble,
        }),
    }
}

fn statement_reply(error: Option<PartError>) -> PartReply {
    let Some(error) = error else { return PartReply::Applied };
    match error.code.as_str() {
        "ConditionalCheckFailed" => PartReply::Refused(error.item),
        "DuplicateItem" => PartReply::Exists,
        "" => {
            PartReply::Trouble(Trouble::Transient("a statement failed without a code".to_owned()))
        }
        code => PartReply::Trouble(part_trouble(code, &error.message)),
    }
}

fn reason(reason: PartError) -> PartReply {
    match reason.code.as_str() {
        "None" | "" => PartReply::Applied,
        "ConditionalCheckFailed" => PartReply::Refused(reason.item),
        code => PartReply::Trouble(part_trouble(code, &reason.message)),
    }
}

/// What an error code means, of a request or of a part of one. The codes of parts have no `Exception` at their end.
fn part_trouble(code: &str, message: &str) -> Trouble {
    match code.strip_suffix("Exception").unwrap_or(code) {
        "ProvisionedThroughputExceeded"
        | "Throttling"
        | "ThrottlingError"
        | "RequestLimitExceeded" => Trouble::Throttled,
        "InternalServerError"
        | "InternalServer"
        | "ServiceUnavailable"
        | "TransactionConflict"
        | "TransactionInProgress"
        | "ReplicatedWriteConflict" => Trouble::Transient(code.to_owned()),
        "Validation" | "ValidationError" | "ItemCollectionSizeLimitExceeded" | "Serialization" => {
            Trouble::Invalid {
                // What follows a colon may quote the record's data.
                message: message.split(':').next().unwrap_or_default().to_owned(),
                is_records_fault: is_records_fault(message),
            }
        }
        // These name the caller, the action and the table, which is what there is to mend.
        "AccessDenied" | "ResourceNotFound" | "UnrecognizedClient" | "ExpiredToken" => {
            Trouble::Fault {
                message: format!("DynamoDB answered `{code}`: {message}"),
                source: None,
            }
        }
        // Whether other messages quote the record's data is not known.
        _ => Trouble::Fault { message: format!("DynamoDB answered `{code}`"), source: None },
    }
}

/// Whether a refusal can only be due to the record's own data. When in doubt it is not: a fault of the system must not
/// empty a topic into the quarantine.
fn is_records_fault(message: &str) -> bool {
    const STARTS: [&str; 6] = [
        "Item size",
        "Nesting Levels",
        "Number overflow",
        "Number underflow",
        "Attempting to store more than 38 significant digits",
        "The parameter cannot be converted to a numeric value",
    ];
    STARTS.iter().any(|start| message.starts_with(start))
}

/// An error with all its causes, in one line.
pub(crate) fn chain(error: &dyn Error) -> String {
    let mut text = error.to_string();
    let mut next = error.source();
    while let Some(cause) = next {
        let cause_text = cause.to_string();
        // Some errors repeat their cause in their own message.
        if !text.ends_with(&cause_text) {
            text += ": ";
            text += &cause_text;
        }
        next = cause.source();
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_code_means_one_thing() {
        let p = |code: &str, message: &str| part_trouble(code, message).to_string();
        for code in [
            "ProvisionedThroughputExceededException",
            "ThrottlingException",
            "ThrottlingError",
            "RequestLimitExceeded",
        ] {
            assert_eq!(p(code, ""), "throttled by DynamoDB");
        }
        for code in ["InternalServerError", "TransactionConflict", "TransactionInProgressException"]
        {
            assert_eq!(p(code, ""), code);
        }
        assert_eq!(p("AccessDenied", "no"), "DynamoDB answered `AccessDenied`: no");
        assert_eq!(
            p("ResourceNotFoundException", "no"),
            "DynamoDB answered `ResourceNotFoundException`: no"
        );
        assert_eq!(p("NewException", "secret"), "DynamoDB answered `NewException`");
        // The data that a message quotes is left out.
        assert_eq!(
            p(
                "ValidationException",
                "The parameter cannot be converted to a numeric value: secret"
            ),
            "DynamoDB refused the request: The parameter cannot be converted to a numeric value"
        );
    }

    #[test]
    fn only_what_is_surely_the_records_fault_counts_as_such() {
        let p = |message: &str| is_records_fault(message);
        assert!(p("Item size has exceeded the maximum allowed size"));
        assert!(p("Item size to update has exceeded the maximum allowed size"));
        assert!(!p("The provided key element does not match the schema"));
        assert!(!p(
            "One or more parameter values were invalid: Type mismatch for key PK expected: N actual: S"
        ));
    }
}
