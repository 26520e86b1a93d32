//! What can be wrong with a request to DynamoDB, and what of it can be told.

use std::error::Error;

/// Why a request, or a part of it, was not answered.
#[derive(Clone, Debug, thiserror::Error)]
pub(crate) enum Trouble {
    /// DynamoDB asks to slow down.
    #[error("throttled by DynamoDB{0}")]
    Throttled(String),
    /// It may go through later: a conflict, a service error, a lost connection or answer.
    #[error("{0}")]
    Transient(String),
    /// The answer says that all is well, but cannot be read. What it was about may have been done.
    #[error("DynamoDB's answer cannot be read: {0}")]
    Unreadable(String),
    /// DynamoDB finds the request itself wrong; the message says what without any of its data.
    #[error("DynamoDB refused the request: {message}")]
    Invalid { message: String, is_records_fault: bool },
    /// The system around the sink is wrong, and no record can be written.
    #[error("{0}")]
    Fault(String),
}

impl Trouble {
    /// What an error code means, of a request or of a part of one.
    pub(super) fn from_code(code: &str, message: &str) -> Self {
        match bare(code) {
            "ProvisionedThroughputExceeded"
            | "Throttling"
            | "ThrottlingError"
            | "RequestLimitExceeded" => Self::Throttled(String::new()),
            "InternalServerError"
            | "InternalServer"
            | "ServiceUnavailable"
            | "TransactionConflict"
            | "TransactionInProgress"
            | "ReplicatedWriteConflict"
            // The clock is corrected by the answer. Their messages are left out, since they can quote the session's
            // token.
            | "InvalidSignature"
            | "SignatureDoesNotMatch"
            | "IncompleteSignature"
            | "RequestExpired"
            | "RequestTimeTooSkewed"
            | "RequestInTheFuture" => Self::Transient(code.to_owned()),
            bare if is_about_caller(bare) => {
                Self::Transient(format!("DynamoDB answered `{code}`: {message}"))
            }
            "Validation" | "ValidationError" | "ItemCollectionSizeLimitExceeded" | "Serialization" => {
                let (message, is_records_fault) = invalidity(message);
                Self::Invalid { message: message.to_owned(), is_records_fault }
            }
            // These name the caller, the action and the table, which is what there is to fix.
            "AccessDenied" | "ResourceNotFound" => {
                Self::Fault(format!("DynamoDB answered `{code}`: {message}"))
            }
            bare if bare.contains("TooLarge") => Self::too_large(code),
            // Whether other messages quote the record's data is not known.
            _ => Self::Fault(format!("DynamoDB answered `{code}`")),
        }
    }

    /// A request that must become smaller. What it was about goes by itself.
    pub(super) fn too_large(code: &str) -> Self {
        let code = if code.is_empty() { "status 413" } else { code };
        let message = format!("it is too large ({code})");
        Self::Invalid { message, is_records_fault: false }
    }

    /// Names the request, so that AWS can be asked about it. The record's own fault is told without it: it's told in
    /// the quarantine, and the same each time.
    pub(super) fn of_request(self, id: Option<&str>) -> Self {
        let Some(id) = id else { return self };
        let name = |message| format!("{message}{REQUEST}{id})");
        match self {
            Self::Throttled(message) => Self::Throttled(name(message)),
            Self::Transient(message) => Self::Transient(name(message)),
            Self::Unreadable(message) => Self::Unreadable(name(message)),
            Self::Invalid { message, is_records_fault: false } => {
                Self::Invalid { message: name(message), is_records_fault: false }
            }
            Self::Fault(message) => Self::Fault(name(message)),
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
pub(super) fn bare(code: &str) -> &str {
    code.strip_suffix("Exception").unwrap_or(code)
}

/// Whether the caller's credentials are what is wrong: they have expired, or those that replace them are not yet known.
pub(super) fn is_about_caller(bare: &str) -> bool {
    bare.starts_with("ExpiredToken")
        || bare.starts_with("UnrecognizedClient")
        || bare == "InvalidClientTokenId"
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
        (None, None) => ("its message is not shown, since it may quote data", false),
    }
}

/// An error with all its causes, in one line.
pub(crate) fn with_causes(error: &dyn Error) -> String {
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
        let p = |code: &str, message: &str| Trouble::from_code(code, message).to_string();
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
            let trouble = Trouble::from_code(code, "the token is invalid");
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
        check("secret", "its message is not shown, since it may quote data", false);
    }
}
