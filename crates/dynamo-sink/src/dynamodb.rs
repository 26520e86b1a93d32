//! The edge to DynamoDB: sends one request and says what the answer means.

use std::{collections::HashMap, error::Error, time::Duration};

use aws_sdk_dynamodb::{
    Client,
    config::http::HttpRequest,
    error::{ProvideErrorMetadata, SdkError},
    operation::{
        delete_item::DeleteItemError, put_item::PutItemError,
        transact_write_items::TransactWriteItemsError, update_item::UpdateItemError,
    },
    types::{
        AttributeValue, BatchStatementErrorCodeEnum, BatchStatementResponse, CancellationReason,
    },
};
use aws_smithy_types::body::SdkBody;

use crate::{
    stored::Foreign,
    wire::{Call, Operation},
};

/// An item as an answer brings it.
pub(crate) type Found = HashMap<String, AttributeValue>;

/// What DynamoDB answered to a request.
#[derive(Debug)]
pub(crate) enum Reply {
    /// A single-item call or a whole transaction was done.
    Applied,
    /// The condition of a single-item call was false for this item, or for none.
    Refused(Option<Found>),
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
    Refused(Option<Found>),
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

/// Sends `call` once. The SDK's own retries are off: retrying is for the one who knows the deadline and counts.
pub(crate) async fn send(client: Client, call: Call, timeout: Duration) -> Result<Reply, Trouble> {
    match tokio::time::timeout(timeout, dispatch(client, call)).await {
        Ok(result) => result,
        Err(_) => Err(Trouble::Transient(format!(
            "no answer from DynamoDB within {} ms",
            timeout.as_millis()
        ))),
    }
}

async fn dispatch(client: Client, call: Call) -> Result<Reply, Trouble> {
    let Call { operation, table, body } = call;
    let body = SdkBody::from(body);
    let set_body = move |request: &mut HttpRequest| {
        let length = body.content_length().unwrap_or_default();
        if let Some(body) = body.try_clone() {
            *request.body_mut() = body;
        }
        request.headers_mut().insert("content-length", length.to_string());
    };
    match operation {
        Operation::BatchExecuteStatement => {
            let sent =
                client.batch_execute_statement().customize().mutate_request(set_body).send().await;
            let answer = sent.map_err(trouble)?;
            Ok(Reply::Statements(
                answer.responses.unwrap_or_default().into_iter().map(statement_reply).collect(),
            ))
        }
        Operation::TransactWriteItems => {
            match client.transact_write_items().customize().mutate_request(set_body).send().await {
                Ok(_) => Ok(Reply::Applied),
                Err(error) => match error.as_service_error() {
                    Some(TransactWriteItemsError::TransactionCanceledException(cancelled)) => {
                        Ok(Reply::Cancelled(
                            cancelled.cancellation_reasons().iter().map(reason).collect(),
                        ))
                    }
                    _ => Err(trouble(error)),
                },
            }
        }
        Operation::PutItem => {
            let put = client.put_item().table_name(table);
            conditional(
                put.customize().mutate_request(set_body).send().await,
                |error| match error {
                    PutItemError::ConditionalCheckFailedException(refused) => {
                        Some(refused.item.clone())
                    }
                    _ => None,
                },
            )
        }
        Operation::DeleteItem => {
            let delete = client.delete_item().table_name(table);
            conditional(delete.customize().mutate_request(set_body).send().await, |error| {
                match error {
                    DeleteItemError::ConditionalCheckFailedException(refused) => {
                        Some(refused.item.clone())
                    }
                    _ => None,
                }
            })
        }
        Operation::UpdateItem => {
            let update = client.update_item().table_name(table);
            conditional(update.customize().mutate_request(set_body).send().await, |error| {
                match error {
                    UpdateItemError::ConditionalCheckFailedException(refused) => {
                        Some(refused.item.clone())
                    }
                    _ => None,
                }
            })
        }
    }
}

/// The answer to a single-item call. `refused` says what stood there if the condition was false.
fn conditional<T, E>(
    sent: Result<T, SdkError<E>>,
    refused: impl FnOnce(&E) -> Option<Option<Found>>,
) -> Result<Reply, Trouble>
where
    E: ProvideErrorMetadata + Error + Send + Sync + 'static,
{
    let Err(error) = sent else { return Ok(Reply::Applied) };
    match error.as_service_error().and_then(refused) {
        Some(found) => Ok(Reply::Refused(found)),
        None => Err(trouble(error)),
    }
}

fn statement_reply(response: BatchStatementResponse) -> PartReply {
    use BatchStatementErrorCodeEnum as Code;
    let Some(error) = response.error else { return PartReply::Applied };
    let message = error.message.as_deref().unwrap_or_default();
    match error.code {
        Some(Code::ConditionalCheckFailed) => PartReply::Refused(error.item),
        Some(Code::DuplicateItem) => PartReply::Exists,
        Some(code) => PartReply::Trouble(part_trouble(code.as_str(), message)),
        None => {
            PartReply::Trouble(Trouble::Transient("a statement failed without a code".to_owned()))
        }
    }
}

fn reason(reason: &CancellationReason) -> PartReply {
    match reason.code().unwrap_or("None") {
        "None" => PartReply::Applied,
        "ConditionalCheckFailed" => PartReply::Refused(reason.item.clone()),
        code => PartReply::Trouble(part_trouble(code, reason.message().unwrap_or_default())),
    }
}

/// What a request's failure means.
fn trouble<E>(error: SdkError<E>) -> Trouble
where
    E: ProvideErrorMetadata + Error + Send + Sync + 'static,
{
    match &error {
        SdkError::ServiceError(service) => {
            let status = service.raw().status().as_u16();
            let code = service.err().code().unwrap_or_default();
            let message = service.err().message().unwrap_or_default();
            if service.raw().status().is_success() {
                return Trouble::Unreadable;
            }
            match part_trouble(code, message) {
                Trouble::Fault { .. } if status >= 500 || code.is_empty() => {
                    Trouble::Transient(format!("DynamoDB answered with status {status}"))
                }
                trouble => trouble,
            }
        }
        SdkError::TimeoutError(_) | SdkError::DispatchFailure(_) | SdkError::ResponseError(_) => {
            Trouble::Transient(format!("no usable answer from DynamoDB: {}", chain(&error)))
        }
        _ => Trouble::Fault {
            message: "the request to DynamoDB could not be made".to_owned(),
            source: Some(Box::new(error)),
        },
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
