//! A stand-in for DynamoDB with a fixed latency: it keeps items and counts, and does nothing that costs time.

mod attribute;
mod condition;
mod operation;
mod statement;
mod tables;

use std::{
    io,
    net::{Ipv4Addr, SocketAddr},
    sync::{Arc, Mutex, mpsc},
    thread,
    time::{Duration, Instant},
};

use axum::{
    Router,
    body::{Body, to_bytes},
    extract::{Request, State},
    http::{HeaderMap, StatusCode, header},
    response::{IntoResponse, Response},
    serve::ListenerExt as _,
};
use tokio::{net::TcpListener, sync::oneshot};

pub use operation::Faults;
pub use tables::Counts;

use operation::{Answer, Operations};

use crate::{lock::lock, template};

/// The largest request that DynamoDB takes.
const MAX_REQUEST_BYTES: usize = 16 * 1024 * 1024;
/// What the operation's name follows in its header.
const TARGET_PREFIX: &str = "DynamoDB_20120810.";

/// A running stub; it stops when it is dropped.
#[derive(Debug)]
pub struct Stub {
    address: SocketAddr,
    shared: Arc<Shared>,
    stop: Option<oneshot::Sender<()>>,
}

/// What a stub is.
#[derive(Clone, Debug)]
pub struct StubSettings {
    /// Its tables.
    pub tables: Vec<template::Table>,
    /// The time from a request's arrival to its answer.
    pub latency: Duration,
    /// What does not go through.
    pub faults: Faults,
    /// What is drawn depends on it.
    pub seed: u64,
}

/// How the stub itself did.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Punctuality {
    /// How many requests were answered.
    pub requests: u64,
    /// The time that it spent on them.
    pub busy: Duration,
    /// How much later than the latency asks for they were answered, in sum.
    pub late: Duration,
}

#[derive(Debug)]
struct Shared {
    latency: Duration,
    known: Mutex<Known>,
    delays: mpsc::Sender<Delay>,
}

/// Whoever waits until then.
type Delay = (Instant, oneshot::Sender<()>);

/// All that one request after the other changes.
#[derive(Debug)]
struct Known {
    operations: Operations,
    problem: Option<String>,
    punctuality: Punctuality,
}

impl Stub {
    /// Starts a stub on a free port of this machine only, on threads of its own.
    pub fn start(settings: StubSettings) -> io::Result<Self> {
        let StubSettings { tables, latency, faults, seed } = settings;
        let listener = std::net::TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?;
        listener.set_nonblocking(true)?;
        let address = listener.local_addr()?;
        let (delays, waiting) = mpsc::channel();
        let known = Known {
            operations: Operations::new(&tables, faults, seed),
            problem: None,
            punctuality: Punctuality::default(),
        };
        let shared = Arc::new(Shared { latency, known: Mutex::new(known), delays });
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
        let (stop, stopped) = oneshot::channel();
        let router = Router::new().fallback(answer).with_state(Arc::clone(&shared));
        thread::Builder::new().name("stub".to_owned()).spawn(move || {
            runtime.block_on(async move {
                let Ok(listener) = TcpListener::from_std(listener) else { return };
                let listener = listener.tap_io(|stream| {
                    // Without it answers would wait for more of them.
                    let _: io::Result<()> = stream.set_nodelay(true);
                });
                tokio::select! {
                    _ = axum::serve(listener, router) => {}
                    _ = stopped => {}
                }
            });
        })?;
        // A thread that sleeps is far more exact than the runtime's timer, which counts whole milliseconds. As all wait
        // equally long, they are due in the order in which they came.
        thread::Builder::new().name("latency".to_owned()).spawn(move || {
            for (due, waiter) in waiting {
                thread::sleep(due.saturating_duration_since(Instant::now()));
                let _: Result<(), ()> = waiter.send(());
            }
        })?;
        Ok(Self { address, shared, stop: Some(stop) })
    }

    /// Where it is: the value of `AWS_ENDPOINT_URL_DYNAMODB`.
    pub fn endpoint(&self) -> String {
        format!("http://{}", self.address)
    }

    /// What was done to the tables since the last call.
    pub fn take_counts(&self) -> Counts {
        lock(&self.shared.known).operations.take_counts()
    }

    /// What was wrong with the first request that was not as it should be.
    pub fn problem(&self) -> Option<String> {
        lock(&self.shared.known).problem.clone()
    }

    /// How it did so far.
    pub fn punctuality(&self) -> Punctuality {
        lock(&self.shared.known).punctuality
    }
}

impl Drop for Stub {
    fn drop(&mut self) {
        if let Some(stop) = self.stop.take() {
            let _: Result<(), ()> = stop.send(());
        }
    }
}

async fn answer(State(shared): State<Arc<Shared>>, request: Request) -> Response {
    let due = Instant::now() + shared.latency;
    let (parts, body) = request.into_parts();
    let answer = match to_bytes(body, MAX_REQUEST_BYTES).await {
        Ok(body) => shared.answer(&parts.headers, &body),
        Err(_) => shared.refuse("a request's body is too large or was not sent".to_owned()),
    };
    let (sender, waiter) = oneshot::channel();
    if shared.delays.send((due, sender)).is_ok() {
        // The thread ends with the stub only.
        let _: Result<(), oneshot::error::RecvError> = waiter.await;
    }
    lock(&shared.known).punctuality.late += due.elapsed();
    let status = StatusCode::from_u16(answer.status).unwrap_or(StatusCode::BAD_REQUEST);
    let headers = [(header::CONTENT_TYPE, "application/x-amz-json-1.0")];
    (status, headers, Body::from(answer.body)).into_response()
}

impl Shared {
    fn answer(&self, headers: &HeaderMap, body: &[u8]) -> Answer {
        let begin = Instant::now();
        let answer = match operation(headers, body) {
            Ok(operation) => lock(&self.known).operations.answer(operation, body),
            Err(problem) => Err(problem),
        };
        let answer = answer.unwrap_or_else(|problem| self.refuse(problem));
        let punctuality = &mut lock(&self.known).punctuality;
        punctuality.requests += 1;
        punctuality.busy += begin.elapsed();
        answer
    }

    fn refuse(&self, problem: String) -> Answer {
        let answer = Answer::invalid(&problem);
        lock(&self.known).problem.get_or_insert(problem);
        answer
    }
}

/// The operation that the headers name, if they are as they should be.
fn operation<'a>(headers: &'a HeaderMap, body: &[u8]) -> Result<&'a str, String> {
    let text = |name: &str| headers.get(name).and_then(|value| value.to_str().ok());
    let target = text("x-amz-target").and_then(|target| target.strip_prefix(TARGET_PREFIX));
    let operation = target.ok_or("a request has no `X-Amz-Target` of this API")?;
    if text("content-type") != Some("application/x-amz-json-1.0") {
        return Err(format!("a `{operation}` has another `Content-Type`"));
    }
    if !text("authorization").is_some_and(|text| text.starts_with("AWS4-HMAC-SHA256 ")) {
        return Err(format!("a `{operation}` is not signed"));
    }
    let length = text("content-length").and_then(|length| length.parse::<usize>().ok());
    if length.is_some_and(|length| length != body.len()) {
        return Err(format!("a `{operation}` has another length than it says"));
    }
    Ok(operation)
}
