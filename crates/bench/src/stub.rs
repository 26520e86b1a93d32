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
    body::{Body, Bytes, to_bytes},
    extract::{Request, State},
    http::{HeaderMap, StatusCode, header},
    response::{IntoResponse, Response},
    serve::ListenerExt as _,
};
use tokio::{net::TcpListener, sync::oneshot, task::JoinSet};
use tokio_rustls::TlsAcceptor;

pub(super) use tables::Counts;

use super::{Bench, report::EndpointMeasurement};
use local::{function::local_variables, lock::lock, template};
use operation::{Answer, Operations};
use tls::{Identity, TlsListener};

/// The largest request that DynamoDB takes.
const MAX_REQUEST_BYTES: usize = 16 * 1024 * 1024;
/// What the operation's name follows in its header.
const TARGET_PREFIX: &str = "DynamoDB_20120810.";

/// A running stub; it stops when it is dropped.
pub(super) struct Stub {
    address: SocketAddr,
    shared: Arc<Shared>,
    /// None where it speaks HTTP without TLS.
    identity: Option<Identity>,
    /// The endpoint ends when it is dropped.
    _stop: oneshot::Sender<()>,
}

struct Shared {
    latency: Duration,
    known: Mutex<Known>,
    /// Whoever waits until then.
    delays: mpsc::Sender<(Instant, oneshot::Sender<()>)>,
}

/// All that one request after the other changes.
struct Known {
    operations: Operations,
    /// What was wrong with the first request that was not as it should be.
    problem: Option<String>,
    requests: u32,
    /// The time that was spent on them.
    busy: Duration,
    /// How much later than the latency asks for they were answered, in sum.
    late: Duration,
    /// How many connections were set up, where that takes a handshake.
    connections: u32,
    /// The time that this took in sum.
    connecting: Duration,
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
            requests: 0,
            busy: Duration::ZERO,
            late: Duration::ZERO,
            connections: 0,
            connecting: Duration::ZERO,
        };
        let shared = Arc::new(Shared { latency, known: Mutex::new(known), delays });
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
        let (stop, stopped) = oneshot::channel();
        let identity = if bench.plain { None } else { Some(Identity::create(address.port())?) };
        let acceptor = identity.as_ref().map(|it| TlsAcceptor::from(Arc::clone(&it.config)));
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
                    let mut known = lock(&observer.known);
                    known.connections += 1;
                    known.connecting += took;
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
        Ok(Self { address, shared, identity, _stop: stop })
    }

    /// The variables by which programs find and trust it.
    pub(super) fn variables(&self) -> BTreeMap<String, String> {
        let Some(identity) = &self.identity else {
            return local_variables(&format!("http://{}", self.address));
        };
        let mut variables = local_variables(&format!("https://localhost:{}", self.address.port()));
        let trust = identity.trust.display().to_string();
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

    /// How it did itself so far.
    pub(super) fn measurement(&self) -> EndpointMeasurement {
        let known = lock(&self.shared.known);
        let mean = |time: Duration, times: u32| time.as_secs_f64() / f64::from(times.max(1));
        EndpointMeasurement {
            busy_micros: 1e6 * mean(known.busy, known.requests),
            late_micros: 1e6 * mean(known.late, known.requests),
            connection_millis: 1e3 * mean(known.connecting, known.connections),
        }
    }
}

async fn answer(State(shared): State<Arc<Shared>>, request: Request) -> Response {
    let due = Instant::now() + shared.latency;
    let (parts, body) = request.into_parts();
    let body = to_bytes(body, MAX_REQUEST_BYTES).await;
    let body = body.map_err(|_| "a request's body is too large or was not sent".to_owned());
    let answer = lock(&shared.known).answer(&parts.headers, body);
    let (sender, waiter) = oneshot::channel();
    if shared.delays.send((due, sender)).is_ok() {
        // The thread ends with the stub only.
        let _: Result<(), oneshot::error::RecvError> = waiter.await;
    }
    lock(&shared.known).late += due.elapsed();
    let status = StatusCode::from_u16(answer.status).unwrap_or(StatusCode::BAD_REQUEST);
    let headers = [(header::CONTENT_TYPE, "application/x-amz-json-1.0")];
    (status, headers, Body::from(answer.body)).into_response()
}

impl Known {
    fn answer(&mut self, headers: &HeaderMap, body: Result<Bytes, String>) -> Answer {
        let begin = Instant::now();
        let answer =
            operation(headers).and_then(|operation| self.operations.answer(operation, &body?));
        self.requests += 1;
        self.busy += begin.elapsed();
        answer.unwrap_or_else(|problem| {
            let answer = Answer::invalid(&problem);
            self.problem.get_or_insert(problem);
            answer
        })
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
