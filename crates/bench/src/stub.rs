//! A stand-in for DynamoDB with a fixed latency: it keeps items and counts, and does nothing that costs time.

mod attribute;
mod condition;
mod operation;
mod request;
mod statement;
mod tables;
mod tls;

use std::{
    collections::BTreeMap,
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
use tokio::{net::TcpListener, sync::oneshot, task::JoinSet};

pub use operation::Faults;
pub use tables::Counts;

use super::Bench;
use local::{function::local_variables, lock::lock, template};
use operation::{Answer, Operations};
use tls::{Identity, TlsListener};

/// The largest request that DynamoDB takes.
const MAX_REQUEST_BYTES: usize = 16 * 1024 * 1024;
/// What the operation's name follows in its header.
const TARGET_PREFIX: &str = "DynamoDB_20120810.";

/// A running stub; it stops when it is dropped.
#[derive(Debug)]
pub struct Stub {
    address: SocketAddr,
    shared: Arc<Shared>,
    /// None where it speaks HTTP without TLS.
    identity: Option<Identity>,
    stop: Option<oneshot::Sender<()>>,
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
    /// How many connections were set up, where that takes a handshake.
    pub connections: u64,
    /// The time that this took in sum.
    pub connecting: Duration,
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
    pub(super) fn start(
        bench: &Bench,
        tables: &[template::Table],
        latency: Duration,
    ) -> io::Result<Self> {
        let listener = std::net::TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?;
        listener.set_nonblocking(true)?;
        let address = listener.local_addr()?;
        let (delays, waiting) = mpsc::channel();
        let known = Known {
            operations: Operations::new(tables, bench.faults, bench.mix.seed),
            problem: None,
            punctuality: Punctuality::default(),
        };
        let shared = Arc::new(Shared { latency, known: Mutex::new(known), delays });
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
        let (stop, stopped) = oneshot::channel();
        let identity = if bench.plain { None } else { Some(Identity::create()?) };
        let acceptor = identity.as_ref().map(Identity::acceptor);
        let router = Router::new().fallback(answer).with_state(Arc::clone(&shared));
        let observer = Arc::clone(&shared);
        thread::Builder::new().name("stub".to_owned()).spawn(move || {
            let serve = async move {
                let listener = TcpListener::from_std(listener)?;
                let Some(acceptor) = acceptor else {
                    let listener = listener.tap_io(|stream| {
                        let _: io::Result<()> = stream.set_nodelay(true);
                    });
                    return axum::serve(listener, router).await;
                };
                let connected = move |took| {
                    let punctuality = &mut lock(&observer.known).punctuality;
                    punctuality.connections += 1;
                    punctuality.connecting += took;
                };
                let handshakes = JoinSet::new();
                let listener = TlsListener { listener, acceptor, handshakes, connected };
                axum::serve(listener, router).await
            };
            runtime.block_on(async move {
                tokio::select! {
                    _ = serve => {}
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
        Ok(Self { address, shared, identity, stop: Some(stop) })
    }

    /// The variables by which programs find and trust it.
    pub(super) fn variables(&self) -> BTreeMap<String, String> {
        let Some(identity) = &self.identity else {
            return local_variables(&format!("http://{}", self.address));
        };
        let mut variables = local_variables(&format!("https://localhost:{}", self.address.port()));
        let trust = identity.trust().display().to_string();
        // The system's libraries, the SDKs of Python and others, and Node.
        for name in ["SSL_CERT_FILE", "AWS_CA_BUNDLE", "NODE_EXTRA_CA_CERTS"] {
            variables.insert(name.to_owned(), trust.clone());
        }
        variables
    }

    /// What was done to the tables since the last call, or what was wrong with the first request that was not as it
    /// should be.
    pub(super) fn take_counts(&self) -> Result<Counts, String> {
        let mut known = lock(&self.shared.known);
        known.problem.clone().map_or_else(|| Ok(known.operations.take_counts()), Err)
    }

    /// How it did so far.
    pub(super) fn punctuality(&self) -> Punctuality {
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
        let answer = match operation(headers) {
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
fn operation(headers: &HeaderMap) -> Result<&str, String> {
    let text = |name: &str| headers.get(name).and_then(|value| value.to_str().ok());
    let target = text("x-amz-target").and_then(|target| target.strip_prefix(TARGET_PREFIX));
    let operation = target.ok_or("a request has no `X-Amz-Target` of this API")?;
    if text("content-type") != Some("application/x-amz-json-1.0") {
        return Err(format!("a `{operation}` has another `Content-Type`"));
    }
    if !text("authorization").is_some_and(|text| text.starts_with("AWS4-HMAC-SHA256 ")) {
        return Err(format!("a `{operation}` is not signed"));
    }
    Ok(operation)
}
