//! Why AWS refused something, and what to do about it.

use std::error::Error;

use aws_sdk_dynamodb::error::{ProvideErrorMetadata, SdkError};
use local::chain::chain;

/// Why a call failed, and what to do next.
pub fn explained<E, R>(error: &SdkError<E, R>, action: &str, target: &str) -> String
where
    E: ProvideErrorMetadata + Error + 'static,
    R: std::fmt::Debug + 'static,
{
    let code = error.code().unwrap_or_default();
    match code {
        "AccessDenied" | "AccessDeniedException" | "UnauthorizedOperation" => {
            format!("access denied: allow {action} to whom these credentials are of")
        }
        "ResourceNotFoundException" | "ResourceNotFound" => {
            format!(
                "there is no `{target}` in this account and region: is the stage deployed there?"
            )
        }
        "ExpiredToken"
        | "ExpiredTokenException"
        | "UnrecognizedClientException"
        | "InvalidClientTokenId"
        | "InvalidSignatureException" => {
            format!("the credentials are not valid ({code}): log in again")
        }
        "ThrottledException"
        | "Throttling"
        | "ThrottlingException"
        | "TooManyRequestsException" => {
            format!("{action} is throttled: try again")
        }
        "" => match error {
            SdkError::DispatchFailure(failure) => {
                let source = failure.as_connector_error().map_or_else(String::new, |it| chain(it));
                format!("no way to {action}: {source}")
            }
            SdkError::TimeoutError(_) => format!("no answer to {action} in time: try again"),
            other => format!("{action} failed: {}", chain(other)),
        },
        code => {
            let message = error.message().unwrap_or("no reason is given");
            format!("{action} failed: {code}: {message}")
        }
    }
}
