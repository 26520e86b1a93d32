//! Invoking a function: its binary here, or a Lambda Invoke API elsewhere.

pub mod lambda;
pub mod response;

use std::time::Duration;

use anyhow::Context as _;
use axum::{
    body::Bytes,
    http::{HeaderMap, Request, StatusCode, Uri, header::CONTENT_TYPE},
};
use http_body_util::{BodyExt as _, Full};
use hyper_util::{
    client::legacy::{Client, connect::HttpConnector},
    rt::TokioExecutor,
};
use serde::Deserialize;
use tokio::time::timeout;

use crate::{chain::chain, function::LocalFunction, runtime_api::Answer};

/// The most bytes of an event: Lambda's quota of 6 MB for the payload of a synchronous invocation.
pub const MAX_EVENT_BYTES: usize = 6 * 1024 * 1024;

/// How a function is invoked.
#[derive(Debug)]
pub enum Invoker {
    /// Its binary runs here.
    Local(Box<LocalFunction>),
    /// Something else runs it.
    Remote(Box<RemoteFunction>),
    /// Lambda runs it.
    Lambda(Box<lambda::LambdaFunction>),
}

/// A function behind a Lambda Invoke API.
#[derive(Debug)]
pub struct RemoteFunction {
    client: Client<HttpConnector, Full<Bytes>>,
    uri: Uri,
    timeout: Duration,
}

/// What came of an invocation.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Reply {
    pub outcome: Outcome,
    /// The lines that the function logged, where they are known.
    pub log: Vec<String>,
}

/// How an invocation ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Outcome {
    Answered(Vec<u8>),
    /// The function reported this error.
    FunctionError(String),
    TimedOut,
    /// The function's process ended before it answered, in these words.
    EnvironmentGone(String),
    /// It did not come to the function, for this reason.
    NotReached(String),
}

impl Invoker {
    /// Invokes the function with an event.
    pub async fn invoke(&self, event: String) -> Reply {
        match self {
            Self::Local(function) => match function.invoke(event).await {
                Ok(invocation) => {
                    Reply { outcome: Outcome::of(invocation.answer), log: invocation.log }
                }
                Err(error) => {
                    Reply { outcome: Outcome::NotReached(format!("{error:#}")), log: Vec::new() }
                }
            },
            Self::Remote(function) => {
                Reply { outcome: function.invoke(event).await, log: Vec::new() }
            }
            Self::Lambda(function) => function.invoke(event).await,
        }
    }
}

impl RemoteFunction {
    /// The function of this name behind the API at `address`, such as `http://127.0.0.1:9000`.
    pub fn new(address: &str, name: &str, timeout: Duration) -> anyhow::Result<Self> {
        let base = address.trim_end_matches('/');
        let uri = format!("{base}/2015-03-31/functions/{name}/invocations").parse::<Uri>().ok();
        let is_address = |uri: &Uri| uri.scheme_str() == Some("http") && uri.authority().is_some();
        let uri = uri.filter(is_address).with_context(|| {
            format!(
                "`{address}` is no address of a Lambda Invoke API, such as `http://127.0.0.1:9000`"
            )
        })?;
        let client = Client::builder(TokioExecutor::new()).build_http();
        Ok(Self { client, uri, timeout })
    }

    async fn invoke(&self, event: String) -> Outcome {
        let request = Request::post(self.uri.clone()).header(CONTENT_TYPE, "application/json");
        let request = match request.body(Full::new(Bytes::from(event))) {
            Ok(request) => request,
            Err(error) => return Outcome::NotReached(chain(&error)),
        };
        let exchange = async {
            let response = self.client.request(request).await.map_err(|it| chain(&it))?;
            let (parts, body) = response.into_parts();
            let body = body.collect().await.map_err(|it| chain(&it))?.to_bytes();
            Ok(Outcome::of_response(parts.status, &parts.headers, &body))
        };
        match timeout(self.timeout, exchange).await {
            Ok(Ok(outcome)) => outcome,
            Ok(Err(reason)) => Outcome::NotReached(reason),
            Err(_) => Outcome::TimedOut,
        }
    }
}

impl Outcome {
    fn of(answer: Answer) -> Self {
        match answer {
            Answer::Success(body) => Self::Answered(body.to_vec()),
            Answer::FunctionError(error) | Answer::InitError(error) => {
                Self::FunctionError(error.to_string())
            }
            Answer::EnvironmentGone(end) => Self::EnvironmentGone(end),
            Answer::TimedOut => Self::TimedOut,
        }
    }

    /// Lambda tells of a function's error by a header, `cargo lambda watch` by the status.
    fn of_response(status: StatusCode, headers: &HeaderMap, body: &[u8]) -> Self {
        match (status, headers.get("X-Amz-Function-Error"), error_report(body)) {
            (StatusCode::OK, None, _) => Self::Answered(body.to_vec()),
            (StatusCode::OK, Some(kind), report) => Self::FunctionError(
                report.unwrap_or_else(|| String::from_utf8_lossy(kind.as_bytes()).into()),
            ),
            (StatusCode::INTERNAL_SERVER_ERROR, _, Some(report)) => Self::FunctionError(report),
            _ => Self::NotReached(format!("the invocation was answered by {status}")),
        }
    }
}

/// What a function reported as its error, in words.
fn error_report(body: &[u8]) -> Option<String> {
    #[derive(Deserialize)]
    #[serde(rename_all = "camelCase")]
    struct Report {
        error_type: String,
        error_message: String,
    }

    let Report { error_type, error_message } = serde_json::from_slice(body).ok()?;
    Some(format!("{error_type}: {error_message}"))
}

#[cfg(test)]
mod tests {
    use axum::{Router, http::HeaderValue, response::IntoResponse as _, routing::post};
    use tokio::net::TcpListener;

    use super::*;

    #[test]
    fn responses_are_told_apart() {
        #[track_caller]
        fn check(status: u16, header: Option<&'static str>, body: &str, expected: &Outcome) {
            let header = header.map(|value| {
                ("x-amz-function-error".parse().unwrap(), HeaderValue::from_static(value))
            });
            let headers = HeaderMap::from_iter(header);
            let status = StatusCode::from_u16(status).unwrap();
            assert_eq!(&Outcome::of_response(status, &headers, body.as_bytes()), expected);
        }

        let report = r#"{"errorType":"E","errorMessage":"m"}"#;
        let error = || Outcome::FunctionError("E: m".to_owned());
        let lost =
            |status: &str| Outcome::NotReached(format!("the invocation was answered by {status}"));
        check(200, None, "null", &Outcome::Answered(b"null".to_vec()));
        // An answer may look like an error.
        check(200, None, report, &Outcome::Answered(report.as_bytes().to_vec()));
        check(200, Some("Unhandled"), report, &error());
        check(200, Some("Unhandled"), "", &Outcome::FunctionError("Unhandled".to_owned()));
        check(500, None, report, &error());
        check(500, None, "", &lost("500 Internal Server Error"));
        check(500, None, "proxy error", &lost("500 Internal Server Error"));
        check(429, None, report, &lost("429 Too Many Requests"));
        check(404, None, "", &lost("404 Not Found"));
        check(202, None, "", &lost("202 Accepted"));
    }

    #[test]
    fn addresses_are_checked() {
        #[track_caller]
        fn check(address: &str, expected: Option<&str>) {
            let function = RemoteFunction::new(address, "f", Duration::from_secs(1));
            assert_eq!(function.ok().map(|it| it.uri.to_string()).as_deref(), expected);
        }

        let uri = "http://127.0.0.1:9000/2015-03-31/functions/f/invocations";
        check("http://127.0.0.1:9000", Some(uri));
        check("http://127.0.0.1:9000/", Some(uri));
        check("https://127.0.0.1:9000", None);
        check("127.0.0.1:9000", None);
        check("", None);
    }

    #[tokio::test]
    async fn a_function_is_invoked_over_http() {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = format!("http://{}", listener.local_addr().unwrap());
        let path = "/2015-03-31/functions/{name}/invocations";
        let echo = |body: String| async move { body.into_response() };
        let server = tokio::spawn(async move {
            axum::serve(listener, Router::new().route(path, post(echo))).await.unwrap();
        });
        let function = RemoteFunction::new(&address, "f", Duration::from_mins(1)).unwrap();
        let invoker = Invoker::Remote(Box::new(function));
        let reply = invoker.invoke("{}".to_owned()).await;
        assert_eq!(reply.outcome, Outcome::Answered(b"{}".to_vec()));

        server.abort();
        assert!(server.await.unwrap_err().is_cancelled());
        let function = RemoteFunction::new(&address, "f", Duration::from_mins(1)).unwrap();
        let reply = Invoker::Remote(Box::new(function)).invoke("{}".to_owned()).await;
        assert!(matches!(reply.outcome, Outcome::NotReached(_)), "{reply:?}");
    }
}
