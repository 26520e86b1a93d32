//! The edge to DynamoDB: sends one request and says what the answer means.

mod answer;

use std::{
    collections::{HashMap, HashSet},
    error::Error,
    time::Duration,
};

use serde_json::{Value, json};

use self::answer::{ErrorAnswer, PartError};
use crate::{
    connection::{Answer, Connection},
    stored::Attributes,
    wire::{Call, Operation},
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
    Statements(Vec<PartReply>),
    /// A transaction was cancelled: its actions' reasons, in their order; [`PartReply::Applied`] where the action was
    /// not the reason.
    Cancelled(Vec<PartReply>),
}

/// What a look found in the tables.
#[derive(Debug, Default)]
pub(crate) struct Found {
    /// By name.
    tables: HashMap<String, FoundIn>,
    pub(crate) read_units: f64,
}

/// A look did not come to a key.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Unprocessed;

/// What a look found in one table, by key.
#[derive(Debug, Default)]
struct FoundIn {
    items: HashMap<String, Attributes>,
    /// The keys to which DynamoDB did not come.
    unprocessed: HashSet<String>,
}

impl Found {
    /// What stands under a key.
    pub(crate) fn of(&self, table: &str, key: &str) -> Result<Option<&Attributes>, Unprocessed> {
        let table = self.tables.get(table).ok_or(Unprocessed)?;
        match table.items.get(key) {
            None if table.unprocessed.contains(key) => Err(Unprocessed),
            item => Ok(item),
        }
    }
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
    #[error("throttled by DynamoDB{0}")]
    Throttled(String),
    /// It may go through later: a conflict, a service error, a lost connection or answer.
    #[error("{0}")]
    Transient(String),
    /// The answer says that all is well, but can't be read. What it was about may have been done.
    #[error("DynamoDB's answer can't be read: {0}")]
    Unreadable(String),
    /// DynamoDB finds the request itself wrong; the message says what without any of its data.
    #[error("DynamoDB refused the request: {message}")]
    Invalid { message: String, is_records_fault: bool },
    /// The system around the sink is wrong, and no record can be written.
    #[error("{message}")]
    Fault { message: String, source: Option<Box<dyn Error + Send + Sync>> },
}

/// How long to wait for the answer to a request that was sent so often before: one that got lost is soon sent again, and
/// one that takes long is given the time.
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
        Err(trouble) => return Description::Unknown(chain(&trouble)),
    };
    if answer.status == 200 {
        let keys = keys(&answer.body);
        let cause = || "the answer does not tell it".to_owned();
        return keys.map_or_else(|| Description::Unknown(cause()), Description::Keys);
    }
    let error = answer::error(&answer.body);
    if error.code == "ResourceNotFoundException" {
        return Description::Missing;
    }
    match refusal(&answer, error) {
        Err(trouble) => Description::Unknown(chain(&trouble)),
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
fn reply(operation: Operation, answer: &Answer) -> Result<Reply, Trouble> {
    let unreadable = || {
        let message = format!("status {}, and a body of another form", answer.status);
        Trouble::Unreadable(message).in_answer(answer)
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
fn refusal(answer: &Answer, error: ErrorAnswer) -> Result<Reply, Trouble> {
    let ErrorAnswer { code, message, item, cancellation_reasons } = error;
    let trouble = match code.as_str() {
        "ConditionalCheckFailedException" => return Ok(Reply::Refused(item)),
        "TransactionCanceledException" => {
            let reply = |error| reason(error, answer);
            return Ok(Reply::Cancelled(cancellation_reasons.into_iter().map(reply).collect()));
        }
        // What stands before DynamoDB answers so too, without a code.
        code if answer.status == 413 => too_large(code),
        code => match part_trouble(code, &message) {
            Trouble::Fault { .. } if answer.status >= 500 || code.is_empty() => {
                Trouble::Transient(format!("DynamoDB answered with status {}", answer.status))
            }
            trouble => trouble,
        },
    };
    Err(trouble.in_answer(answer))
}

fn statement_reply(error: Option<PartError>, answer: &Answer) -> PartReply {
    let Some(error) = error else { return PartReply::Applied };
    match error.code.as_str() {
        "ConditionalCheckFailed" => PartReply::Refused(error.item),
        "DuplicateItem" => PartReply::Exists,
        "" => {
            let message = "a statement failed without a code".to_owned();
            PartReply::Trouble(Trouble::Transient(message).in_answer(answer))
        }
        code => PartReply::Trouble(part_trouble(code, &error.message).in_answer(answer)),
    }
}

fn reason(reason: PartError, answer: &Answer) -> PartReply {
    match reason.code.as_str() {
        "None" | "" => PartReply::Applied,
        "ConditionalCheckFailed" => PartReply::Refused(reason.item),
        code => PartReply::Trouble(part_trouble(code, &reason.message).in_answer(answer)),
    }
}

impl Trouble {
    /// Names the request, so that AWS can be asked about it. The record's own fault is told without it: it's told in
    /// the quarantine, and the same each time.
    fn in_answer(self, answer: &Answer) -> Self {
        let Some(id) = &answer.request_id else { return self };
        let name = |message| format!("{message}{REQUEST}{id})");
        match self {
            Self::Throttled(message) => Self::Throttled(name(message)),
            Self::Transient(message) => Self::Transient(name(message)),
            Self::Unreadable(message) => Self::Unreadable(name(message)),
            Self::Invalid { message, is_records_fault: false } => {
                Self::Invalid { message: name(message), is_records_fault: false }
            }
            Self::Fault { message, source } => Self::Fault { message: name(message), source },
            Self::Invalid { .. } => self,
        }
    }
}

/// What stands before a request's name in a cause.
const REQUEST: &str = " (request ";

/// A cause as it is the same for all that it is the cause of, without the request that it was found by.
pub(crate) fn common_cause(cause: &str) -> &str {
    cause.split_once(REQUEST).map_or(cause, |(common, _)| common)
}

/// A code as requests and their parts have it in common: those of parts have no `Exception` at their end.
fn bare(code: &str) -> &str {
    code.strip_suffix("Exception").unwrap_or(code)
}

/// What an error code means, of a request or of a part of one.
fn part_trouble(code: &str, message: &str) -> Trouble {
    match bare(code) {
        "ProvisionedThroughputExceeded"
        | "Throttling"
        | "ThrottlingError"
        | "RequestLimitExceeded" => Trouble::Throttled(String::new()),
        "InternalServerError"
        | "InternalServer"
        | "ServiceUnavailable"
        | "TransactionConflict"
        | "TransactionInProgress"
        | "ReplicatedWriteConflict"
        // The clock is corrected by the answer. Their messages are left out, since they can quote the session's token.
        | "InvalidSignature"
        | "SignatureDoesNotMatch"
        | "IncompleteSignature"
        | "RequestExpired"
        | "RequestTimeTooSkewed"
        | "RequestInTheFuture" => Trouble::Transient(code.to_owned()),
        bare if is_about_caller(bare) => {
            Trouble::Transient(format!("DynamoDB answered `{code}`: {message}"))
        }
        "Validation" | "ValidationError" | "ItemCollectionSizeLimitExceeded" | "Serialization" => {
            let (message, is_records_fault) = invalidity(message);
            Trouble::Invalid { message: message.to_owned(), is_records_fault }
        }
        // These name the caller, the action and the table, which is what there is to mend.
        "AccessDenied" | "ResourceNotFound" => Trouble::Fault {
            message: format!("DynamoDB answered `{code}`: {message}"),
            source: None,
        },
        bare if bare.contains("TooLarge") => too_large(code),
        // Whether other messages quote the record's data is not known.
        _ => Trouble::Fault { message: format!("DynamoDB answered `{code}`"), source: None },
    }
}

/// Whether the caller's credentials are what is wrong: they have expired, or those that replace them are not yet known.
fn is_about_caller(bare: &str) -> bool {
    bare.starts_with("ExpiredToken")
        || bare.starts_with("UnrecognizedClient")
        || bare == "InvalidClientTokenId"
}

/// A request that must become smaller. What it was about goes by itself.
fn too_large(code: &str) -> Trouble {
    let code = if code.is_empty() { "status 413" } else { code };
    let message = format!("it is too large ({code})");
    Trouble::Invalid { message, is_records_fault: false }
}

/// What of a refusal's message can be told, and whether it can only be due to the record's own data.
///
/// A message may quote that data, so that only what is known is told. It is looked for anywhere, since DynamoDB wraps
/// messages, such as in `1 validation error detected: …`. When in doubt it is not the record: a fault of the system
/// must not empty a topic into the quarantine.
fn invalidity(message: &str) -> (&'static str, bool) {
    const OF_THE_RECORD: [&str; 21] = [
        "Item size has exceeded the maximum allowed size",
        "Item size to update has exceeded the maximum allowed size",
        "Item size",
        "Nesting Levels have exceeded supported limits",
        "Nesting Levels",
        "Number overflow",
        "Number underflow",
        "Attempting to store more than 38 significant digits",
        "The parameter cannot be converted to a numeric value",
        "A value provided cannot be converted into a number",
        "Attribute name is too large",
        "Member must have length less than or equal to 65535",
        // Of an index, on a table that was brought along: the sink's own keys are strings within their limits.
        "Type mismatch for Index Key",
        "Type mismatch for attribute to update",
        "A value specified for a secondary index key is not supported",
        "Invalid attribute value type",
        "secondary index key",
        "An operand in the update expression has an incorrect data type",
        "Size of hashkey has exceeded the maximum size limit",
        "Aggregated size of all range keys has exceeded the size limit",
        "Size limit exceeded",
    ];
    const IN_DOUBT: [&str; 5] = [
        "The provided key element does not match the schema",
        "Type mismatch for key",
        "Provided list of item keys contains duplicates",
        "One or more parameter values were invalid",
        "One or more parameter values are not valid",
    ];
    let find = |known: &[&'static str]| known.iter().copied().find(|it| message.contains(it));
    match (find(&OF_THE_RECORD), find(&IN_DOUBT)) {
        (Some(told), _) => (told, true),
        (None, Some(told)) => (told, false),
        (None, None) => ("in words that are not known and may quote data", false),
    }
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
    use aws_credential_types::Credentials;
    use expect_test::{Expect, expect};

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
        for code in [
            "InternalServerError",
            "InternalServerException",
            "ServiceUnavailable",
            "TransactionConflict",
            "TransactionInProgressException",
            "ReplicatedWriteConflictException",
        ] {
            assert_eq!(p(code, ""), code);
        }
        for code in [
            "InvalidSignatureException",
            "SignatureDoesNotMatch",
            "IncompleteSignatureException",
            "IncompleteSignature",
            "RequestExpired",
            "RequestTimeTooSkewed",
            "RequestInTheFuture",
        ] {
            assert_eq!(p(code, "token"), code);
        }
        for code in [
            "ExpiredTokenException",
            "ExpiredToken",
            "UnrecognizedClientException",
            "InvalidClientTokenId",
        ] {
            let trouble = part_trouble(code, "the token is invalid");
            assert!(matches!(trouble, Trouble::Transient(_)), "{code}");
            assert_eq!(
                trouble.to_string(),
                format!("DynamoDB answered `{code}`: the token is invalid")
            );
        }
        assert_eq!(
            p("RequestEntityTooLargeException", "secret"),
            "DynamoDB refused the request: it is too large (RequestEntityTooLargeException)"
        );
        assert_eq!(p("AccessDenied", "no"), "DynamoDB answered `AccessDenied`: no");
        assert_eq!(
            p("ResourceNotFoundException", "no"),
            "DynamoDB answered `ResourceNotFoundException`: no"
        );
        assert_eq!(p("NewException", "secret"), "DynamoDB answered `NewException`");
        // The data that a message quotes is left out.
        for code in [
            "ValidationException",
            "ValidationError",
            "ItemCollectionSizeLimitExceededException",
            "SerializationException",
        ] {
            assert_eq!(
                p(code, "Number overflow: secret"),
                "DynamoDB refused the request: Number overflow"
            );
        }
    }

    #[test]
    #[expect(clippy::needless_pass_by_value, reason = "`expect!` is written in place")]
    fn a_status_decides_where_a_code_does_not() {
        #[track_caller]
        fn check(status: u16, body: &str, expected: Expect) {
            let request_id = Some("ABC".to_owned());
            let caller = Credentials::for_tests().into();
            let answer = Answer { status, body: body.into(), request_id, caller };
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
                "invalid: DynamoDB refused the request: in words that are not known and may quote data (request ABC)"
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
        let answer = |request_id: Option<&str>| Answer {
            status: 200,
            body: Vec::new(),
            request_id: request_id.map(str::to_owned),
            caller: Credentials::for_tests().into(),
        };
        let error = |code: &str| PartError { code: code.to_owned(), ..PartError::default() };
        let p = |reply: PartReply| match reply {
            PartReply::Trouble(trouble) => trouble.to_string(),
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

    #[test]
    fn what_is_known_of_a_refusal_is_told_and_nothing_else() {
        #[track_caller]
        fn check(message: &str, told: &str, is_records_fault: bool) {
            assert_eq!(invalidity(message), (told, is_records_fault));
        }
        let size = "Item size has exceeded the maximum allowed size";
        check(size, size, true);
        let size = "Item size to update has exceeded the maximum allowed size";
        check(size, size, true);
        let wrapped = "1 validation error detected: Number overflow. Attempting to store a number with magnitude";
        check(wrapped, "Number overflow", true);
        check(
            "1 validation error detected: Value '{secret=1}' at 'item' failed to satisfy constraint: Map keys must \
             satisfy constraint: [Member must have length less than or equal to 65535]",
            "Member must have length less than or equal to 65535",
            true,
        );
        check(
            "Attribute name is too large, must be less than 65536 bytes",
            "Attribute name is too large",
            true,
        );
        let invalid = "One or more parameter values were invalid";
        check(
            &format!("{invalid}: Type mismatch for Index Key secret Expected: S Actual: N"),
            "Type mismatch for Index Key",
            true,
        );
        check(
            &format!("{invalid}: Size limit exceeded for Index Key"),
            "Size limit exceeded",
            true,
        );
        check(
            "One or more parameter values are not valid. A value specified for a secondary index key is not \
             supported. The AttributeValue for a key attribute cannot contain an empty string value. IndexName: i",
            "A value specified for a secondary index key is not supported",
            true,
        );

        for told in [
            "Item size",
            "Nesting Levels have exceeded supported limits",
            "Nesting Levels",
            "Number underflow",
            "Attempting to store more than 38 significant digits",
            "The parameter cannot be converted to a numeric value",
            "A value provided cannot be converted into a number",
            "Type mismatch for attribute to update",
            "Invalid attribute value type",
            "An operand in the update expression has an incorrect data type",
            "Size of hashkey has exceeded the maximum size limit",
            "Aggregated size of all range keys has exceeded the size limit",
        ] {
            check(&format!("{told}: secret"), told, true);
        }
        for how in [
            "a secondary index key to a value that is not supported",
            "the secondary index key to unsupported type",
        ] {
            let message = format!("The update expression attempted to update {how}");
            check(&message, "secondary index key", true);
        }

        for told in [
            "The provided key element does not match the schema",
            "Provided list of item keys contains duplicates",
            "One or more parameter values are not valid",
        ] {
            check(&format!("{told}: secret"), told, false);
        }
        // Of the table's own keys, which are the same for all records.
        check(
            &format!("{invalid}: Type mismatch for key PK expected: N actual: S"),
            "Type mismatch for key",
            false,
        );
        check(&format!("{invalid}: secret"), invalid, false);
        check("secret", "in words that are not known and may quote data", false);
    }
}
