//! A deployed function.

use std::collections::HashMap;

use aws_sdk_lambda::{Client, primitives::Blob, types::LogType};
use base64::{Engine as _, engine::general_purpose::STANDARD as BASE64};

use super::{Outcome, Reply, error_report};
use crate::chain::chain;

/// A function that Lambda runs.
#[derive(Clone, Debug)]
pub struct LambdaFunction {
    client: Client,
    name: String,
}

/// Occurs when the settings of a deployed function can't be read.
#[derive(Debug, thiserror::Error)]
#[error(
    "the settings of function `{function}` can't be read: is the stage deployed in this region?"
)]
pub struct SettingsError {
    /// The function's name.
    pub function: String,
    /// Why.
    pub source: Box<dyn std::error::Error + Send + Sync>,
}

impl LambdaFunction {
    /// The function of this name.
    pub fn new(client: Client, name: impl Into<String>) -> Self {
        Self { client, name: name.into() }
    }

    /// The environment variables that it is deployed with.
    pub async fn variables(&self) -> Result<HashMap<String, String>, SettingsError> {
        let sent = self.client.get_function_configuration().function_name(&self.name).send().await;
        let output = sent.map_err(|source| SettingsError {
            function: self.name.clone(),
            source: Box::new(source),
        })?;
        let variables = output.environment.and_then(|environment| environment.variables);
        Ok(variables.unwrap_or_default())
    }

    /// Invokes the function, and waits for its answer and the end of its log.
    pub async fn invoke(&self, event: String) -> Reply {
        let invoke = self.client.invoke().function_name(&self.name).log_type(LogType::Tail);
        let output = match invoke.payload(Blob::new(event)).send().await {
            Ok(output) => output,
            Err(error) => {
                return Reply { outcome: Outcome::NotReached(chain(&error)), log: Vec::new() };
            }
        };
        let body = output.payload.map(Blob::into_inner).unwrap_or_default();
        let outcome = match output.function_error {
            None => Outcome::Answered(body),
            Some(kind) => Outcome::FunctionError(error_report(&body).unwrap_or(kind)),
        };
        let log = output.log_result.and_then(|log| BASE64.decode(log).ok()).unwrap_or_default();
        let log = String::from_utf8_lossy(&log).lines().map(str::to_owned).collect();
        Reply { outcome, log }
    }
}
