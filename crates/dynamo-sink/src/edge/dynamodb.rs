//! Sends one request to DynamoDB and says what the answer means.

use std::time::Duration;

use serde_json::{Value, json};

use super::{
    answer::{self, ElementError, ErrorBody},
    connection::{Connection, HttpResponse},
    trouble::{Trouble, bare, is_about_caller},
};
use crate::{
    order::stored::Attributes,
    wire::{Call, Operation, look::Found},
};

/// What DynamoDB answered to a request.
#[derive(Debug)]
pub(crate) enum Reply {
    /// What a look found.
    Found(Found),
    /// A single-item call or a whole transaction was done.
    Applied,
    /// The condition of a single-item call was false for this item, or for none.
    Refused(Option<Attributes>),
    /// The statements' answers, in their order.
    Statements(Vec<ElementReply>),
    /// A transaction was cancelled: its actions' reasons, in their order; [`ElementReply::Applied`] where the action
    /// was not the reason.
    Cancelled(Vec<ElementReply>),
}

/// The answer to one statement, or the reason of one action.
#[derive(Debug)]
pub(crate) enum ElementReply {
    Applied,
    Refused(Option<Attributes>),
    /// An insert found an item.
    Exists,
    Trouble(Trouble),
}

/// How long to wait for the answer to a request that was sent so often before: one that got lost is soon sent again,
/// and one that takes long is given the time.
pub(crate) fn timeout(attempts: u32) -> Duration {
    Duration::from_secs(match attempts {
        0 => 2,
        1 => 4,
        _ => 10,
    })
}

/// Sends `call` once: retrying is for the one who knows the deadline and counts.
pub(crate) async fn send(
    connection: Connection,
    call: Call,
    timeout: Duration,
) -> Result<Reply, Trouble> {
    let Call { operation, body } = call;
    let answer = connection.call(operation.name(), body, timeout).await?;
    if answer.status == 200 {
        return reply(operation, &answer);
    }
    let error = answer::error(&answer.body);
    if is_about_caller(bare(&error.code)) {
        connection.forget(&answer.caller).await;
    }
    refusal(&answer, error)
}

/// What is known of a table.
#[derive(Debug)]
pub(crate) enum Description {
    /// Its keys, each with its type and its role.
    Keys(String),
    Missing,
    /// Nothing, for this cause.
    Unknown(String),
}

/// Asks for a table's keys.
pub(crate) async fn describe(
    connection: &Connection,
    table: &str,
    timeout: Duration,
) -> Description {
    let body = json!({"TableName": table}).to_string().into_bytes();
    let answer = match connection.call("DescribeTable", body, timeout).await {
        Ok(answer) => answer,
        Err(trouble) => return Description::Unknown(trouble.to_string()),
    };
    if answer.status == 200 {
        let keys = keys(&answer.body);
        let cause = || "the answer does not say".to_owned();
        return keys.map_or_else(|| Description::Unknown(cause()), Description::Keys);
    }
    let error = answer::error(&answer.body);
    if error.code == "ResourceNotFoundException" {
        return Description::Missing;
    }
    match refusal(&answer, error) {
        Err(trouble) => Description::Unknown(trouble.to_string()),
        Ok(_) => Description::Unknown(format!("an answer of status {}", answer.status)),
    }
}

/// The keys that a description of a table tells.
fn keys(body: &[u8]) -> Option<String> {
    let body: Value = serde_json::from_slice(body).ok()?;
    let table = &body["Table"];
    let definitions = table["AttributeDefinitions"].as_array()?;
    let key = |key: &Value| {
        let name = key["AttributeName"].as_str()?;
        let definition = definitions.iter().find(|it| it["AttributeName"] == name)?;
        Some(format!(
            "{name} ({}, {})",
            definition["AttributeType"].as_str()?,
            key["KeyType"].as_str()?
        ))
    };
    let keys: Option<Vec<String>> = table["KeySchema"].as_array()?.iter().map(key).collect();
    keys.map(|keys| keys.join(", "))
}

/// What an answer to a request means that was accepted.
fn reply(operation: Operation, answer: &HttpResponse) -> Result<Reply, Trouble> {
    let unreadable = || {
        let message = format!("status {}, and an unexpected body", answer.status);
        Trouble::Unreadable(message).of_request(answer.request_id.as_deref())
    };
    match operation {
        Operation::BatchGetItem => {
            answer::found(&answer.body).map(Reply::Found).ok_or_else(unreadable)
        }
        Operation::BatchExecuteStatement => {
            let answers = answer::statements(&answer.body).ok_or_else(unreadable)?;
            let reply = |error| statement_reply(error, answer);
            Ok(Reply::Statements(answers.into_iter().map(reply).collect()))
        }
        Operation::TransactWriteItems
        | Operation::PutItem
        | Operation::DeleteItem
        | Operation::UpdateItem => {
            answer::is_object(&answer.body).then_some(Reply::Applied).ok_or_else(unreadable)
        }
    }
}

/// What a request's failure means.
fn refusal(answer: &HttpResponse, error: ErrorBody) -> Result<Reply, Trouble> {
    let ErrorBody { code, message, item, cancellation_reasons } = error;
    let trouble = match code.as_str() {
        "ConditionalCheckFailedException" => return Ok(Reply::Refused(item)),
        "TransactionCanceledException" => {
            let reply = |error| reason(error, answer);
            return Ok(Reply::Cancelled(cancellation_reasons.into_iter().map(reply).collect()));
        }
        // What stands before DynamoDB answers so too, without a code.
        code if answer.status == 413 => Trouble::too_large(code),
        code => match Trouble::from_code(code, &message) {
            Trouble::Fault(_) if answer.status >= 500 || code.is_empty() => {
                Trouble::Transient(format!("DynamoDB answered with status {}", answer.status))
            }
            trouble => trouble,
        },
    };
    Err(trouble.of_request(answer.request_id.as_deref()))
}

fn statement_reply(error: Option<ElementError>, answer: &HttpResponse) -> ElementReply {
    let Some(error) = error else { return ElementReply::Applied };
    match error.code.as_str() {
        "ConditionalCheckFailed" => ElementReply::Refused(error.item),
        "DuplicateItem" => ElementReply::Exists,
        "" => {
            let message = "a statement failed without a code".to_owned();
            ElementReply::Trouble(
                Trouble::Transient(message).of_request(answer.request_id.as_deref()),
            )
        }
        code => ElementReply::Trouble(
            Trouble::from_code(code, &error.message).of_request(answer.request_id.as_deref()),
        ),
    }
}

fn reason(reason: ElementError, answer: &HttpResponse) -> ElementReply {
    match reason.code.as_str() {
        "None" | "" => ElementReply::Applied,
        "ConditionalCheckFailed" => ElementReply::Refused(reason.item),
        code => ElementReply::Trouble(
            Trouble::from_code(code, &reason.message).of_request(answer.request_id.as_deref()),
        ),
    }
}

#[cfg(test)]
mod tests {
    use aws_credential_types::Credentials;
    use expect_test::{Expect, expect};

    use super::*;

    #[test]
    #[expect(clippy::needless_pass_by_value, reason = "`expect!` is written in place")]
    fn a_status_decides_where_a_code_does_not() {
        #[track_caller]
        fn check(status: u16, body: &str, expected: Expect) {
            let request_id = Some("ABC".to_owned());
            let caller = Credentials::for_tests().into();
            let answer = HttpResponse { status, body: body.into(), request_id, caller };
            let trouble = refusal(&answer, answer::error(&answer.body)).unwrap_err();
            let kind = match trouble {
                Trouble::Throttled(_) => "throttled",
                Trouble::Transient(_) => "transient",
                Trouble::Invalid { is_records_fault: false, .. } => "invalid",
                Trouble::Invalid { .. } => "record's fault",
                _ => "fault",
            };
            expected.assert_eq(&format!("{kind}: {trouble}"));
        }

        let code = |code: &str| format!(r#"{{"__type":"x#{code}","message":"why"}}"#);
        let size = r#"{"__type":"x#ValidationException","message":"Item size has exceeded the maximum allowed size"}"#;
        check(
            400,
            &code("NewException"),
            expect!["fault: DynamoDB answered `NewException` (request ABC)"],
        );
        check(
            500,
            &code("NewException"),
            expect!["transient: DynamoDB answered with status 500 (request ABC)"],
        );
        check(499, "<html>", expect!["transient: DynamoDB answered with status 499 (request ABC)"]);
        check(
            400,
            &code("InternalServerError"),
            expect!["transient: InternalServerError (request ABC)"],
        );
        check(
            400,
            &code("ThrottlingException"),
            expect!["throttled: throttled by DynamoDB (request ABC)"],
        );
        check(
            400,
            &code("ValidationException"),
            expect![
                "invalid: DynamoDB refused the request: its message is not shown, since it may quote data (request ABC)"
            ],
        );
        check(
            400,
            size,
            expect![
                "record's fault: DynamoDB refused the request: Item size has exceeded the maximum allowed size"
            ],
        );
        check(
            413,
            "<html>",
            expect![
                "invalid: DynamoDB refused the request: it is too large (status 413) (request ABC)"
            ],
        );
        check(
            413,
            &code("NewException"),
            expect![
                "invalid: DynamoDB refused the request: it is too large (NewException) (request ABC)"
            ],
        );
    }

    #[test]
    fn parts_name_their_request() {
        let answer = |request_id: Option<&str>| HttpResponse {
            status: 200,
            body: Vec::new(),
            request_id: request_id.map(str::to_owned),
            caller: Credentials::for_tests().into(),
        };
        let error = |code: &str| ElementError { code: code.to_owned(), ..ElementError::default() };
        let p = |reply: ElementReply| match reply {
            ElementReply::Trouble(trouble) => trouble.to_string(),
            other => format!("{other:?}"),
        };
        let named = answer(Some("ABC"));
        assert_eq!(
            p(statement_reply(Some(error("InternalServerError")), &named)),
            "InternalServerError (request ABC)"
        );
        assert_eq!(
            p(statement_reply(Some(error("")), &named)),
            "a statement failed without a code (request ABC)"
        );
        assert_eq!(
            p(reason(error("TransactionConflict"), &named)),
            "TransactionConflict (request ABC)"
        );
        assert_eq!(p(reason(error("TransactionConflict"), &answer(None))), "TransactionConflict");
    }

    #[test]
    fn patience_grows_with_the_attempts() {
        assert_eq!(
            [0, 1, 2, 3, 99].map(|attempts| timeout(attempts).as_secs()),
            [2, 4, 10, 10, 10]
        );
    }
}
