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
    Json, Router,
    body::Bytes,
    extract::{DefaultBodyLimit, Path, State, rejection::BytesRejection},
    http::{HeaderMap, StatusCode},
    response::IntoResponse,
    routing::{get, post},
};
use serde::Deserialize;
use serde_json::{Value, json};
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
    /// The deadline that the function is told, in milliseconds since 1970, instead of the time at which the invocation
    /// is ended.
    pub deadline: Option<u64>,
}

/// How an invocation ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Answer {
    Success(Bytes),
    /// The function reported an error; the environment lives on.
    FunctionError(FunctionError),
    /// The environment reported that it cannot start.
    InitError(FunctionError),
    /// The environment's process ended before it answered; how it ended, in words.
    EnvironmentGone(String),
    TimedOut,
}

/// An error as a function reports it.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{error_type}: {error_message}")]
pub struct FunctionError {
    /// Empty where the report names none.
    pub error_type: String,
    /// Empty where the report does not say.
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
        let (delivered, delivery) = oneshot::channel();
        let (answer, mut answered) = oneshot::channel();
        let offer = Offer { number, payload, limits, delivered, answer };
        *lock(&self.slot.state) = SlotState::Offered(offer);
        self.slot.offered.notify_one();

        // An error of `delivery` means that there will be no delivery, but an answer: the environment cannot start.
        let time_to_delivery = limits.init + limits.timeout;
        if timeout(time_to_delivery, delivery).await.is_err() {
            return Answer::TimedOut;
        }
        match timeout(limits.timeout, &mut answered).await {
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
    async fn next(&self) -> Result<(u64, Bytes, Limits), Said> {
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
                        return Err(refusal(StatusCode::FORBIDDEN, "InvalidStateTransition"));
                    }
                }
            }
            self.offered.notified().await;
        }
    }

    /// Passes on the answer to the invocation of that request id.
    fn answer(&self, request: &str, outcome: Answer) -> Result<Said, Said> {
        let mut state = lock(&self.state);
        match std::mem::take(&mut *state) {
            SlotState::Running { number, answer } if request_id(number) == request => {
                // Nobody waits any more if the invocation timed out meanwhile.
                let _: Result<(), Answer> = answer.send(outcome);
                Ok(accepted())
            }
            other => {
                *state = other;
                Err(refusal(StatusCode::BAD_REQUEST, "InvalidRequestID"))
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

async fn next(State(slot): State<Arc<Slot>>) -> Result<impl IntoResponse, Said> {
    let (number, payload, limits) = slot.next().await?;
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    let end = (now + limits.timeout).as_millis();
    // As of an invocation that Lambda samples for X-Ray.
    let trace =
        format!("Root=1-{:08x}-{number:024x};Parent={number:016x};Sampled=1", now.as_secs());
    let headers = [
        ("Content-Type", "application/json".to_owned()),
        ("Lambda-Runtime-Aws-Request-Id", request_id(number)),
        ("Lambda-Runtime-Deadline-Ms", limits.deadline.map_or(end, u128::from).to_string()),
        ("Lambda-Runtime-Invoked-Function-Arn", slot.function_arn.clone()),
        ("Lambda-Runtime-Trace-Id", trace),
    ];
    Ok((headers, payload))
}

async fn response(
    State(slot): State<Arc<Slot>>,
    Path(request): Path<String>,
    body: Result<Bytes, BytesRejection>,
) -> Result<Said, Said> {
    let Ok(body) = body else {
        let error = FunctionError {
            error_type: "Function.ResponseSizeTooLarge".to_owned(),
            error_message: format!("the response has more than {MAX_RESPONSE_BYTES} bytes"),
            body: Bytes::new(),
        };
        let _: Said = slot.answer(&request, Answer::FunctionError(error))?;
        return Err(refusal(StatusCode::PAYLOAD_TOO_LARGE, "RequestEntityTooLarge"));
    };
    slot.answer(&request, Answer::Success(body))
}

async fn error(
    State(slot): State<Arc<Slot>>,
    Path(request): Path<String>,
    headers: HeaderMap,
    body: Bytes,
) -> Result<Said, Said> {
    slot.answer(&request, Answer::FunctionError(FunctionError::read(&headers, body)))
}

async fn init_error(State(slot): State<Arc<Slot>>, headers: HeaderMap, body: Bytes) -> Said {
    slot.init_error(FunctionError::read(&headers, body));
    accepted()
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
        let header = headers.get("Lambda-Runtime-Function-Error-Type");
        if error_type.is_empty() {
            let header = header.and_then(|header| header.to_str().ok());
            header.unwrap_or_default().clone_into(&mut error_type);
        }
        Self { error_type, error_message, body }
    }
}

/// What the API says to a runtime.
type Said = (StatusCode, Json<Value>);

fn accepted() -> Said {
    (StatusCode::ACCEPTED, Json(json!({"status": "OK"})))
}

/// To a runtime that does something wrong.
fn refusal(status: StatusCode, error_type: &str) -> Said {
    (status, Json(json!({"errorMessage": error_type, "errorType": error_type})))
}

/// A request id in the usual form, which tells invocations apart.
fn request_id(number: u64) -> String {
    format!("00000000-0000-4000-8000-{number:012x}")
}

#[cfg(test)]
mod tests;
