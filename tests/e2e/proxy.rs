//! A proxy in front of DynamoDB Local that answers as DynamoDB does when it is in trouble, or not at all.

use std::{
    net::SocketAddr,
    ops::Range,
    sync::{
        Arc,
        atomic::{AtomicU8, AtomicU64, Ordering},
    },
    time::{Duration, SystemTime},
};

use aws_sdk_dynamodb::primitives::{DateTime, DateTimeFormat};
use http_body_util::{BodyExt as _, Full};
use hyper::{
    HeaderMap, Request, Response,
    body::{Bytes, Incoming},
    client::conn::http1::SendRequest,
    server,
    service::service_fn,
};
use hyper_util::rt::TokioIo;
use serde_json::{Value, json};
use tokio::{
    net::{TcpListener, TcpStream},
    sync::Mutex,
    task::JoinHandle,
};

/// What the proxy does to the requests that come.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub(crate) enum Mode {
    /// Nothing.
    Pass,
    /// It passes each request on after [`DELAY`].
    Slow,
    /// It throttles every third request, by turns the request or each of its statements.
    Throttle,
    /// It answers every third request with an internal error.
    Fail,
    /// It passes every third request on and closes the connection instead of answering.
    LoseAnswers,
    /// It answers nothing until the mode changes; then the connections are closed.
    Silent,
    /// Its clock is ahead by [`AHEAD`], and it refuses what is not signed by that.
    Ahead,
    /// It answers every third request that the caller's credentials have expired.
    Expire,
}

const MODES: [Mode; 8] = [
    Mode::Pass,
    Mode::Slow,
    Mode::Throttle,
    Mode::Fail,
    Mode::LoseAnswers,
    Mode::Silent,
    Mode::Ahead,
    Mode::Expire,
];

/// How many seconds the proxy's clock is ahead in [`Mode::Ahead`], and how many DynamoDB's may differ.
const AHEAD: i64 = 600;
const TOLERANCE: i64 = 300;

const DELAY: Duration = Duration::from_millis(50);

/// One request in so many meets its fault.
const ONE_IN: u64 = 3;

#[derive(Debug)]
pub(crate) struct Proxy {
    address: SocketAddr,
    shared: Arc<Shared>,
    server: JoinHandle<()>,
}

#[derive(Debug)]
struct Shared {
    target: SocketAddr,
    mode: AtomicU8,
    requests: AtomicU64,
    faults: AtomicU64,
}

impl Proxy {
    pub(crate) async fn start(target: SocketAddr) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let shared = Arc::new(Shared {
            target,
            mode: AtomicU8::new(Mode::Pass as u8),
            requests: AtomicU64::new(0),
            faults: AtomicU64::new(0),
        });
        let server = tokio::spawn(accept(listener, Arc::clone(&shared)));
        Self { address, shared, server }
    }

    pub(crate) fn endpoint(&self) -> String {
        format!("http://{}", self.address)
    }

    pub(crate) fn set(&self, mode: Mode) {
        self.shared.mode.store(mode as u8, Ordering::SeqCst);
    }

    /// The requests that came, and the faults that they met.
    pub(crate) fn counts(&self) -> (u64, u64) {
        let count = |it: &AtomicU64| it.load(Ordering::SeqCst);
        (count(&self.shared.requests), count(&self.shared.faults))
    }
}

impl Drop for Proxy {
    fn drop(&mut self) {
        self.server.abort();
    }
}

type Answer = Response<http_body_util::Either<Incoming, Full<Bytes>>>;

/// The connection is closed without an answer.
#[derive(Debug)]
struct Closed;

impl std::fmt::Display for Closed {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("closed without an answer")
    }
}

impl std::error::Error for Closed {}

async fn accept(listener: TcpListener, shared: Arc<Shared>) {
    loop {
        let Ok((stream, _)) = listener.accept().await else { return };
        // Both ends exchange small messages by turns.
        let _ = stream.set_nodelay(true);
        let shared = Arc::clone(&shared);
        tokio::spawn(async move {
            let upstream = Mutex::new(None);
            let service = service_fn(|request| shared.answer(request, &upstream));
            // It fails where the proxy closed the connection on purpose, or the client did.
            let _ = server::conn::http1::Builder::new()
                .serve_connection(TokioIo::new(stream), service)
                .await;
        });
    }
}

type Upstream = Mutex<Option<SendRequest<Full<Bytes>>>>;

impl Shared {
    async fn answer(
        &self,
        request: Request<Incoming>,
        upstream: &Upstream,
    ) -> Result<Answer, Closed> {
        let number = self.requests.fetch_add(1, Ordering::SeqCst);
        let (head, body) = request.into_parts();
        let body = body.collect().await.map_err(|_| Closed)?.to_bytes();
        let mode = self.mode();
        if mode == Mode::Silent {
            self.faults.fetch_add(1, Ordering::SeqCst);
            while self.mode() == Mode::Silent {
                tokio::time::sleep(Duration::from_millis(50)).await;
            }
            return Err(Closed);
        }
        if mode == Mode::Ahead {
            let now = DateTime::from(SystemTime::now()).secs() + AHEAD;
            let is_signed_by_it =
                signed_at(&head.headers).is_some_and(|time| (time - now).abs() <= TOLERANCE);
            let mut answer = if is_signed_by_it {
                let request = Request::from_parts(head, body.into());
                self.forward(request, upstream).await?.map(http_body_util::Either::Left)
            } else {
                self.faults.fetch_add(1, Ordering::SeqCst);
                error(400, "InvalidSignatureException", "Signature expired")
            };
            let date = DateTime::from_secs(now).fmt(DateTimeFormat::HttpDate).unwrap();
            answer.headers_mut().insert("date", date.parse().unwrap());
            return Ok(answer);
        }
        if mode == Mode::Slow {
            tokio::time::sleep(DELAY).await;
        } else if mode != Mode::Pass && number.is_multiple_of(ONE_IN) {
            self.faults.fetch_add(1, Ordering::SeqCst);
            match mode {
                Mode::Throttle => return Ok(throttle(&body, number / ONE_IN)),
                Mode::Fail => {
                    return Ok(error(500, "InternalServerError", "an error of the test"));
                }
                Mode::Expire => {
                    return Ok(error(400, "ExpiredTokenException", "an error of the test"));
                }
                _ => {
                    // Applied it must be, so the answer is waited for.
                    let answer =
                        self.forward(Request::from_parts(head, body.into()), upstream).await?;
                    let _ = answer.into_body().collect().await;
                    return Err(Closed);
                }
            }
        }
        let answer = self.forward(Request::from_parts(head, body.into()), upstream).await?;
        Ok(answer.map(http_body_util::Either::Left))
    }

    fn mode(&self) -> Mode {
        MODES[usize::from(self.mode.load(Ordering::SeqCst))]
    }

    async fn forward(
        &self,
        request: Request<Full<Bytes>>,
        upstream: &Upstream,
    ) -> Result<Response<Incoming>, Closed> {
        let mut upstream = upstream.lock().await;
        let is_ready = match upstream.as_mut() {
            Some(sender) => sender.ready().await.is_ok(),
            None => false,
        };
        let sender = match upstream.take() {
            Some(sender) if is_ready => sender,
            _ => self.connect().await?,
        };
        let sender = upstream.insert(sender);
        sender.send_request(request).await.map_err(|_| Closed)
    }

    async fn connect(&self) -> Result<SendRequest<Full<Bytes>>, Closed> {
        let stream = TcpStream::connect(self.target).await.map_err(|_| Closed)?;
        let _ = stream.set_nodelay(true);
        let handshake = hyper::client::conn::http1::handshake(TokioIo::new(stream)).await;
        let (sender, connection) = handshake.map_err(|_| Closed)?;
        tokio::spawn(connection);
        Ok(sender)
    }
}

/// When a request was signed, in seconds since 1970.
fn signed_at(headers: &HeaderMap) -> Option<i64> {
    let time = headers.get("x-amz-date")?.to_str().ok()?;
    let part = |range: Range<usize>| time.get(range);
    let (year, month, day) = (part(0..4)?, part(4..6)?, part(6..8)?);
    let (hour, minute, second) = (part(9..11)?, part(11..13)?, part(13..15)?);
    let time = format!("{year}-{month}-{day}T{hour}:{minute}:{second}Z");
    Some(DateTime::from_str(&time, DateTimeFormat::DateTime).ok()?.secs())
}

/// A throttle of the request, or in one with statements by turns of each of them.
fn throttle(body: &[u8], turn: u64) -> Answer {
    const CODE: &str = "ProvisionedThroughputExceeded";
    const MESSAGE: &str = "The level of configured provisioned throughput was exceeded.";
    let request: Value = serde_json::from_slice(body).unwrap_or_default();
    match request["Statements"].as_array() {
        Some(statements) if turn.is_multiple_of(2) => {
            let refused = json!({"Error": {"Code": CODE, "Message": MESSAGE}});
            json_answer(200, &json!({"Responses": vec![refused; statements.len()]}))
        }
        _ => error(400, &format!("{CODE}Exception"), MESSAGE),
    }
}

fn error(status: u16, code: &str, message: &str) -> Answer {
    let kind = format!("com.amazonaws.dynamodb.v20120810#{code}");
    json_answer(status, &json!({"__type": kind, "message": message}))
}

fn json_answer(status: u16, body: &Value) -> Answer {
    let body = Full::<Bytes>::from(body.to_string());
    let answer = Response::builder()
        .status(status)
        .header("content-type", "application/x-amz-json-1.0")
        .body(http_body_util::Either::Right(body));
    answer.unwrap()
}
