//! A local Lambda Runtime API, as one execution environment sees it.

use std::{
    io,
    net::{Ipv4Addr, SocketAddr},
    sync::{
        Arc, Mutex,
        atomic::{AtomicU64, Ordering},
    },
    time::{Duration, SystemTime, UNIX_EPOCH},
};

use axum::{
    Router,
    body::Bytes,
    extract::{DefaultBodyLimit, Path, State, rejection::BytesRejection},
    http::{HeaderMap, StatusCode, header::CONTENT_TYPE},
    response::{IntoResponse, Response},
    routing::{get, post},
};
use serde::Deserialize;
use tokio::{
    net::TcpListener,
    sync::{Notify, oneshot, watch},
    task::JoinHandle,
    time::timeout,
};

use crate::lock::lock;

/// The most bytes that a function may answer with.
pub const MAX_RESPONSE_BYTES: usize = 6_291_556;

/// The Runtime API of one environment; it stops when it is dropped.
#[derive(Debug)]
pub struct RuntimeApi {
    address: SocketAddr,
    slot: Arc<Slot>,
    server: JoinHandle<()>,
}

/// How long an invocation may take, and how long the function is told it may.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// The time for a new environment to ask for its first invocation.
    pub init: Duration,
    /// The time from the delivery of the invocation to its answer.
    pub timeout: Duration,
    /// What the function is told.
    pub deadline: Deadline,
}

/// The deadline that a function is told.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Deadline {
    /// The time at which the invocation is ended.
    Real,
    /// Another one, in milliseconds since 1970.
    At(u64),
}

/// How an invocation ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Answer {
    /// The function answered.
    Success(Bytes),
    /// The function reported an error; the environment lives on.
    FunctionError(FunctionError),
    /// The environment reported that it cannot start.
    InitError(FunctionError),
    /// The environment's process ended before it answered; how it ended, in words.
    EnvironmentGone(String),
    /// The environment did not answer in time.
    TimedOut,
}

/// An error as a function reports it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FunctionError {
    /// The error's type; empty where the report names none.
    pub error_type: String,
    /// What went wrong; empty where the report does not say.
    pub error_message: String,
    /// The report as it came.
    pub body: Bytes,
}

impl RuntimeApi {
    /// Starts the API for an environment of the function of that name, on a free port of this machine only.
    pub async fn start(function_name: &str) -> io::Result<Self> {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await?;
        let address = listener.local_addr()?;
        let function_arn =
            format!("arn:aws:lambda:us-east-1:000000000000:function:{function_name}");
        let slot = Arc::new(Slot {
            function_arn,
            state: Mutex::default(),
            offered: Notify::new(),
            asked: watch::Sender::new(0),
        });
        let router = router(Arc::clone(&slot));
        let server = tokio::spawn(async move {
            // It serves until it is aborted.
            let _: io::Result<()> = axum::serve(listener, router).await;
        });
        Ok(Self { address, slot, server })
    }

    /// Where the environment finds it: the value of `AWS_LAMBDA_RUNTIME_API`.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Waits until the environment has asked for an invocation so many times.
    pub async fn asked(&self, times: u64) {
        // The sender lives as long as this.
        let _ = self.slot.asked.subscribe().wait_for(|&asked| asked >= times).await;
    }

    /// Hands the environment an invocation as soon as it asks for one, and waits for the answer.
    ///
    /// One invocation at a time: a second one would take the first one's place.
    pub async fn invoke(&self, payload: Bytes, limits: Limits) -> Answer {
        static INVOCATIONS: AtomicU64 = AtomicU64::new(0);
        let number = INVOCATIONS.fetch_add(1, Ordering::Relaxed) + 1;
        let (delivered_sender, delivered) = oneshot::channel();
        let (answer_sender, mut answer) = oneshot::channel();
        *lock(&self.slot.state) = SlotState::Offered(Offer {
            number,
            payload,
            limits,
            delivered: delivered_sender,
            answer: answer_sender,
        });
        self.slot.offered.notify_one();

        // An error of `delivered` means that there will be no delivery, but an answer: the environment cannot start.
        let time_to_delivery = limits.init + limits.timeout;
        if timeout(time_to_delivery, delivered).await.is_err() {
            return Answer::TimedOut;
        }
        match timeout(limits.timeout, &mut answer).await {
            Ok(Ok(answer)) => answer,
            Ok(Err(_)) => Answer::EnvironmentGone("another invocation took its place".to_owned()),
            Err(_) => Answer::TimedOut,
        }
    }
}

impl Drop for RuntimeApi {
    fn drop(&mut self) {
        self.server.abort();
    }
}

/// What the environment has to do.
#[derive(Debug)]
struct Slot {
    function_arn: String,
    state: Mutex<SlotState>,
    offered: Notify,
    /// How often the environment asked for an invocation.
    asked: watch::Sender<u64>,
}

#[derive(Debug, Default)]
enum SlotState {
    #[default]
    Idle,
    Offered(Offer),
    Running {
        number: u64,
        answer: oneshot::Sender<Answer>,
    },
}

#[derive(Debug)]
struct Offer {
    number: u64,
    payload: Bytes,
    limits: Limits,
    delivered: oneshot::Sender<()>,
    answer: oneshot::Sender<Answer>,
}

impl Slot {
    /// Waits for an invocation and marks it as delivered; an error while the environment still has one to answer.
    ///
    /// Nothing is taken before the last await, so an environment that hangs up while it waits loses nothing.
    async fn next(&self) -> Result<(u64, Bytes, Limits), Refusal> {
        self.asked.send_modify(|asked| *asked += 1);
        loop {
            {
                let mut state = lock(&self.state);
                match std::mem::take(&mut *state) {
                    SlotState::Offered(Offer { number, payload, limits, delivered, answer }) => {
                        *state = SlotState::Running { number, answer };
                        // Nobody waits any more if the invocation was given up meanwhile.
                        let _: Result<(), ()> = delivered.send(());
                        return Ok((number, payload, limits));
                    }
                    SlotState::Idle => {}
                    running @ SlotState::Running { .. } => {
                        *state = running;
                        return Err(Refusal::InvalidState);
                    }
                }
            }
            self.offered.notified().await;
        }
    }

    /// Passes on the answer to the invocation of that request id.
    fn answer(&self, request: &str, outcome: Answer) -> Result<(), Refusal> {
        let mut state = lock(&self.state);
        match std::mem::take(&mut *state) {
            SlotState::Running { number, answer } if request_id(number) == request => {
                // Nobody waits any more if the invocation timed out meanwhile.
                let _: Result<(), Answer> = answer.send(outcome);
                Ok(())
            }
            other => {
                *state = other;
                Err(Refusal::InvalidRequestId)
            }
        }
    }

    /// Answers whatever waits for the environment: it cannot start.
    fn init_error(&self, error: FunctionError) {
        match std::mem::take(&mut *lock(&self.state)) {
            SlotState::Idle => {}
            SlotState::Offered(Offer { answer, .. }) | SlotState::Running { answer, .. } => {
                let _: Result<(), Answer> = answer.send(Answer::InitError(error));
            }
        }
    }
}

fn router(slot: Arc<Slot>) -> Router {
    let runtime = "/2018-06-01/runtime";
    Router::new()
        .route(&format!("{runtime}/invocation/next"), get(next))
        .route(&format!("{runtime}/invocation/{{request}}/response"), post(response))
        .route(&format!("{runtime}/invocation/{{request}}/error"), post(error))
        .route(&format!("{runtime}/init/error"), post(init_error))
        .layer(DefaultBodyLimit::max(MAX_RESPONSE_BYTES))
        .with_state(slot)
}

async fn next(State(slot): State<Arc<Slot>>) -> Result<impl IntoResponse, Refusal> {
    let (number, payload, limits) = slot.next().await?;
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    let deadline = match limits.deadline {
        Deadline::Real => (now + limits.timeout).as_millis().to_string(),
        Deadline::At(milliseconds) => milliseconds.to_string(),
    };
    // As of an invocation that Lambda samples for X-Ray.
    let trace =
        format!("Root=1-{:08x}-{number:024x};Parent={number:016x};Sampled=1", now.as_secs());
    let headers = [
        ("Content-Type", "application/json".to_owned()),
        ("Lambda-Runtime-Aws-Request-Id", request_id(number)),
        ("Lambda-Runtime-Deadline-Ms", deadline),
        ("Lambda-Runtime-Invoked-Function-Arn", slot.function_arn.clone()),
        ("Lambda-Runtime-Trace-Id", trace),
    ];
    Ok((headers, payload))
}

async fn response(
    State(slot): State<Arc<Slot>>,
    Path(request): Path<String>,
    body: Result<Bytes, BytesRejection>,
) -> Result<Accepted, Refusal> {
    let Ok(body) = body else {
        let error = FunctionError {
            error_type: "Function.ResponseSizeTooLarge".to_owned(),
            error_message: format!("the response has more than {MAX_RESPONSE_BYTES} bytes"),
            body: Bytes::new(),
        };
        slot.answer(&request, Answer::FunctionError(error))?;
        return Err(Refusal::TooLarge);
    };
    slot.answer(&request, Answer::Success(body))?;
    Ok(Accepted)
}

async fn error(
    State(slot): State<Arc<Slot>>,
    Path(request): Path<String>,
    headers: HeaderMap,
    body: Bytes,
) -> Result<Accepted, Refusal> {
    let error = FunctionError::read(&headers, body);
    slot.answer(&request, Answer::FunctionError(error))?;
    Ok(Accepted)
}

async fn init_error(
    State(slot): State<Arc<Slot>>,
    headers: HeaderMap,
    body: Bytes,
) -> Result<Accepted, Refusal> {
    slot.init_error(FunctionError::read(&headers, body));
    Ok(Accepted)
}

impl FunctionError {
    fn read(headers: &HeaderMap, body: Bytes) -> Self {
        #[derive(Default, Deserialize)]
        #[serde(rename_all = "camelCase", default)]
        struct Report {
            error_type: String,
            error_message: String,
        }

        let Report { mut error_type, error_message } =
            serde_json::from_slice(&body).unwrap_or_default();
        let header = headers
            .get("Lambda-Runtime-Function-Error-Type")
            .and_then(|header| header.to_str().ok());
        if error_type.is_empty() {
            header.unwrap_or_default().clone_into(&mut error_type);
        }
        Self { error_type, error_message, body }
    }
}

/// What the API says to a runtime that it understood.
struct Accepted;

impl IntoResponse for Accepted {
    fn into_response(self) -> Response {
        (StatusCode::ACCEPTED, [(CONTENT_TYPE, "application/json")], r#"{"status":"OK"}"#)
            .into_response()
    }
}

/// What the API says to a runtime that does something wrong.
enum Refusal {
    InvalidRequestId,
    InvalidState,
    TooLarge,
}

impl IntoResponse for Refusal {
    fn into_response(self) -> Response {
        let (status, error_type) = match self {
            Self::InvalidRequestId => (StatusCode::BAD_REQUEST, "InvalidRequestID"),
            Self::InvalidState => (StatusCode::FORBIDDEN, "InvalidStateTransition"),
            Self::TooLarge => (StatusCode::PAYLOAD_TOO_LARGE, "RequestEntityTooLarge"),
        };
        let body = format!(r#"{{"errorMessage":"{error_type}","errorType":"{error_type}"}}"#);
        (status, [(CONTENT_TYPE, "application/json")], body).into_response()
    }
}

/// A request id in the usual form, which tells invocations apart.
fn request_id(number: u64) -> String {
    format!("00000000-0000-4000-8000-{number:012x}")
}

#[cfg(test)]
mod tests;
