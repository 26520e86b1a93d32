//! A deployed function.

use std::collections::HashMap;

use anyhow::Context as _;
use aws_sdk_lambda::{Client, primitives::Blob, types::LogType};
use base64::{Engine as _, engine::general_purpose::STANDARD as BASE64};

use super::{Outcome, Reply, error_report};
use crate::chain::chain;

#[derive(Clone, Debug)]
pub struct LambdaFunction {
    client: Client,
    name: String,
}

impl LambdaFunction {
    pub fn new(client: Client, name: impl Into<String>) -> Self {
        Self { client, name: name.into() }
    }

    /// The environment variables that it is deployed with.
    pub async fn variables(&self) -> anyhow::Result<HashMap<String, String>> {
        let name = &self.name;
        let sent = self.client.get_function_configuration().function_name(name).send().await;
        let output = sent.with_context(|| {
            format!(
                "the settings of function `{name}` cannot be read: is the stage deployed in this region?"
            )
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

#[cfg(test)]
mod tests {
    use aws_sdk_lambda::config::{BehaviorVersion, Credentials, Region};
    use axum::{
        Router,
        http::{HeaderMap, StatusCode},
        response::IntoResponse as _,
        routing::{get, post},
    };
    use tokio::net::TcpListener;

    use super::*;

    /// A Lambda API whose functions answer what they are sent, and one that lacks a permission.
    async fn function(name: &str) -> LambdaFunction {
        let configuration = || async {
            r#"{"FunctionName":"f","Environment":{"Variables":{"EPOCH":"3"}}}"#.into_response()
        };
        let invocation = |headers: HeaderMap, body: String| async move {
            assert_eq!(headers["x-amz-log-type"], "Tail");
            let log = [("x-amz-log-result", BASE64.encode("one\ntwo\n"))];
            if body == "null" {
                return (log, body).into_response();
            }
            let error = [("x-amz-function-error", "Unhandled")];
            (error, log, r#"{"errorType":"E","errorMessage":"m"}"#).into_response()
        };
        let denied = || async {
            let kind = [("x-amzn-errortype", "AccessDeniedException")];
            (StatusCode::FORBIDDEN, kind, r#"{"Message":"no"}"#).into_response()
        };
        let router = Router::new()
            .route("/2015-03-31/functions/f/configuration", get(configuration))
            .route("/2015-03-31/functions/f/invocations", post(invocation))
            .route("/2015-03-31/functions/denied/configuration", get(denied))
            .route("/2015-03-31/functions/denied/invocations", post(denied));
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let endpoint = format!("http://{}", listener.local_addr().unwrap());
        tokio::spawn(async move { axum::serve(listener, router).await.unwrap() });
        let config = aws_sdk_lambda::Config::builder()
            .behavior_version(BehaviorVersion::latest())
            .endpoint_url(endpoint)
            .region(Region::from_static("us-east-1"))
            .credentials_provider(Credentials::new("local", "local", None, None, "tests"));
        LambdaFunction::new(Client::from_conf(config.build()), name)
    }

    #[tokio::test]
    async fn a_deployed_function_is_asked_and_invoked() {
        let deployed = function("f").await;
        let variables = deployed.variables().await.unwrap();
        assert_eq!(variables, HashMap::from([("EPOCH".to_owned(), "3".to_owned())]));
        let log = vec!["one".to_owned(), "two".to_owned()];
        let answered = Outcome::Answered(b"null".to_vec());
        let reply = deployed.invoke("null".to_owned()).await;
        assert_eq!(reply, Reply { outcome: answered, log: log.clone() });
        let failed = Outcome::FunctionError("E: m".to_owned());
        let reply = deployed.invoke("{}".to_owned()).await;
        assert_eq!(reply, Reply { outcome: failed, log });
    }

    #[tokio::test]
    async fn a_missing_permission_is_named() {
        let deployed = function("denied").await;
        let error = format!("{:#}", deployed.variables().await.unwrap_err());
        assert!(error.contains("`denied`") && error.contains("AccessDenied"), "{error}");
        let reply = deployed.invoke("null".to_owned()).await;
        match reply.outcome {
            Outcome::NotReached(reason) => assert!(reason.contains("AccessDenied"), "{reason}"),
            other => panic!("{other:?}"),
        }
    }
}
