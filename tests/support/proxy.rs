//! A proxy in front of a test's DynamoDB: it keeps every request that it sees and breaks those that a rule picks.

use std::{
    fmt, io,
    net::{Ipv4Addr, SocketAddr},
    sync::{Arc, Mutex},
    time::{Duration, SystemTime},
};

use aws_sdk_dynamodb::primitives::{DateTime, DateTimeFormat};
use serde_json::{Value, json};
use tokio::{
    io::{AsyncBufRead, AsyncBufReadExt as _, AsyncReadExt as _, AsyncWriteExt as _, BufReader},
    net::{TcpListener, TcpStream},
    sync::{Notify, oneshot},
    task::{JoinHandle, JoinSet},
};

use super::TestDynamoDb;

/// A running proxy; it stops when it is dropped, and with it whatever it holds back.
pub(crate) struct Proxy {
    address: SocketAddr,
    shared: Arc<Shared>,
    server: JoinHandle<()>,
}

/// What the proxy does with a request.
#[derive(Debug)]
pub(crate) enum Act {
    /// Passes it on, and the answer back.
    Pass,
    /// Waits this long, then does that.
    After(Duration, Box<Self>),
    /// Waits for a word (the sender's end is as good as one), then does that.
    Await(oneshot::Receiver<()>, Box<Self>),
    /// Passes it on at once, and the answer back after this time.
    Hold(Duration),
    /// Does that by a clock that is so many seconds ahead: the answer tells its time.
    Dated(i64, Box<Self>),
    /// Answers with this error: `DynamoDB` never sees it.
    Refuse(Refusal),
    /// Answers with this status and a web page, as what stands before `DynamoDB` does.
    Status(u16),
    /// Answers these statements of a batch, by their position, with an error; only the others are passed on.
    RefuseStatements(Vec<(usize, Refusal)>),
    /// Cancels a transaction because of these actions, by their position: `DynamoDB` never sees it.
    Cancel(Vec<(usize, Refusal)>),
    /// Passes it on, and answers that all is well in a form that cannot be read.
    Garble,
    /// Passes it on, and the answer back without the last statement's answer or the last action's reason.
    Shorten,
    /// Passes it on, and the answer back without any item in it.
    Mute,
    /// Passes a look on, and the answer back without every second item, as if `DynamoDB` had not come to these keys.
    LeaveOut,
    /// Closes the connection, before the request was passed on or after.
    Close(Applied),
    /// Keeps the connection open and never answers.
    Silence(Applied),
}

/// Whether `DynamoDB` got a request whose answer is lost.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Applied {
    Yes,
    No,
}

/// An error of `DynamoDB`: its code as it stands on a request, or on a part of one, and its message.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Refusal {
    pub(crate) code: &'static str,
    pub(crate) message: &'static str,
}

/// A request that came.
#[derive(Clone, Debug)]
pub(crate) struct Request {
    /// How many came before it.
    pub(crate) number: usize,
    /// Such as `PutItem`.
    pub(crate) operation: String,
    pub(crate) body: Value,
    /// The body's length.
    pub(crate) bytes: usize,
    /// How many requests were not yet answered when it came, itself among them.
    pub(crate) in_flight: usize,
    /// How many connections there were before its own.
    pub(crate) connection: usize,
    head: Head,
}

impl Proxy {
    /// A proxy that lets everything pass and only counts.
    pub(crate) async fn counting(dynamodb: &TestDynamoDb) -> Self {
        Self::start(dynamodb, |_| Act::Pass).await
    }

    /// A proxy that does with each request what `rule` says, which is asked in the order of arrival.
    pub(crate) async fn start(
        dynamodb: &TestDynamoDb,
        rule: impl FnMut(&Request) -> Act + Send + 'static,
    ) -> Self {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
        let address = listener.local_addr().unwrap();
        let target = dynamodb.endpoint().strip_prefix("http://").unwrap().to_owned();
        let shared = Arc::new(Shared {
            target,
            rule: Mutex::new(Box::new(rule)),
            log: Mutex::default(),
            silence: Notify::new(),
        });
        let server = tokio::spawn(accept(listener, Arc::clone(&shared)));
        Self { address, shared, server }
    }

    /// Where clients find it.
    pub(crate) fn endpoint(&self) -> String {
        format!("http://{}", self.address)
    }

    /// All requests that came, in their order.
    pub(crate) fn requests(&self) -> Vec<Arc<Request>> {
        self.shared.log.lock().unwrap().requests.clone()
    }

    /// How many requests of this operation came.
    pub(crate) fn count(&self, operation: &str) -> usize {
        self.requests().iter().filter(|request| request.operation == operation).count()
    }

    /// Waits until the proxy has begun to be silent about a request ([`Act::Silence`]).
    pub(crate) async fn silence(&self) {
        self.shared.silence.notified().await;
    }
}

impl Drop for Proxy {
    fn drop(&mut self) {
        self.server.abort();
    }
}

impl fmt::Debug for Proxy {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Proxy").field("address", &self.address).finish_non_exhaustive()
    }
}

impl Request {
    /// The statements of a batch or the actions of a transaction; none of a single-item call.
    pub(crate) fn parts(&self) -> &[Value] {
        let parts = self.body.get("Statements").or_else(|| self.body.get("TransactItems"));
        parts.and_then(Value::as_array).map_or(&[], Vec::as_slice)
    }

    /// The positions of the parts in which `text` occurs.
    pub(crate) fn parts_with(&self, text: &str) -> Vec<usize> {
        let parts = self.parts().iter().enumerate();
        parts.filter(|(_, part)| part.to_string().contains(text)).map(|(at, _)| at).collect()
    }

    /// The access key that it is signed with.
    pub(crate) fn access_key(&self) -> &str {
        let authorization = header(&self.head, "authorization").unwrap();
        let (_, credential) = authorization.split_once("Credential=").unwrap();
        credential.split('/').next().unwrap()
    }

    /// When it was signed, in seconds after the present.
    pub(crate) fn signed_after(&self) -> i64 {
        let time = header(&self.head, "x-amz-date").unwrap();
        let p = |range: std::ops::Range<usize>| &time[range];
        let (date, hour) = (format!("{}-{}-{}", p(0..4), p(4..6), p(6..8)), p(9..11));
        let time = format!("{date}T{hour}:{}:{}Z", p(11..13), p(13..15));
        let time = DateTime::from_str(&time, DateTimeFormat::DateTime).unwrap();
        time.secs() - DateTime::from(SystemTime::now()).secs()
    }

    /// Whether `text` occurs in it.
    pub(crate) fn has(&self, text: &str) -> bool {
        self.body.to_string().contains(text)
    }
}

type Rule = Box<dyn FnMut(&Request) -> Act + Send>;

struct Shared {
    target: String,
    rule: Mutex<Rule>,
    log: Mutex<Log>,
    silence: Notify,
}

#[derive(Default)]
struct Log {
    requests: Vec<Arc<Request>>,
    in_flight: usize,
    connections: usize,
}

/// A request's head, line by line, without the length of the body.
pub(super) type Head = Vec<String>;

struct Answer {
    status: u16,
    body: Vec<u8>,
    /// How many seconds the clock that it is dated by is ahead.
    ahead: Option<i64>,
}

async fn accept(listener: TcpListener, shared: Arc<Shared>) {
    // Owned by this task, so that the connections end with it.
    let mut connections = JoinSet::new();
    while let Ok((stream, _)) = listener.accept().await {
        connections.spawn(serve(stream, Arc::clone(&shared)));
        while connections.try_join_next().is_some() {}
    }
}

async fn serve(stream: TcpStream, shared: Arc<Shared>) -> io::Result<()> {
    let mut stream = BufReader::new(stream);
    let connection = {
        let mut log = shared.log.lock().unwrap();
        log.connections += 1;
        log.connections - 1
    };
    while let Some((head, body)) = read_request(&mut stream).await? {
        let Some(answer) = shared.answer(connection, &head, body).await? else { break };
        let date = answer.ahead.map_or_else(String::new, |ahead| {
            let now = DateTime::from(SystemTime::now()).secs();
            let date = DateTime::from_secs(now + ahead).fmt(DateTimeFormat::HttpDate).unwrap();
            format!("date: {date}\r\n")
        });
        let head = format!(
            "HTTP/1.1 {} .\r\n{date}content-type: application/x-amz-json-1.0\r\ncontent-length: {}\r\n\r\n",
            answer.status,
            answer.body.len()
        );
        stream.write_all(&[head.as_bytes(), &answer.body].concat()).await?;
    }
    Ok(())
}

impl Shared {
    /// Does what the rule says; nothing where the connection is to be closed.
    async fn answer(
        &self,
        connection: usize,
        head: &Head,
        body: Vec<u8>,
    ) -> io::Result<Option<Answer>> {
        let request = self.arrive(connection, head, &body);
        let _in_flight = InFlight(self);
        let mut act = (self.rule.lock().unwrap())(&request);
        let mut ahead = None;
        loop {
            act = match act {
                Act::After(time, next) => {
                    tokio::time::sleep(time).await;
                    *next
                }
                Act::Await(word, next) => {
                    let _ = word.await;
                    *next
                }
                Act::Dated(seconds, next) => {
                    ahead = Some(seconds);
                    *next
                }
                act => {
                    let answer = self.act(act, head, &request, &body).await?;
                    return Ok(answer.map(|answer| Answer { ahead, ..answer }));
                }
            }
        }
    }

    async fn act(
        &self,
        act: Act,
        head: &Head,
        request: &Request,
        body: &[u8],
    ) -> io::Result<Option<Answer>> {
        match act {
            Act::Pass | Act::After(..) | Act::Await(..) | Act::Dated(..) => {
                self.forward(head, body).await.map(Some)
            }
            Act::Hold(time) => {
                let answer = self.forward(head, body).await?;
                tokio::time::sleep(time).await;
                Ok(Some(answer))
            }
            Act::Refuse(refusal) => Ok(Some(refusal.answer())),
            Act::Status(status) => Ok(Some(Answer::new(status, &json!("<html>")))),
            Act::RefuseStatements(refusals) => {
                self.refuse_statements(head, request, &refusals).await.map(Some)
            }
            Act::Cancel(refusals) => Ok(Some(cancellation(request.parts().len(), &refusals))),
            Act::Garble => {
                self.forward(head, body).await?;
                Ok(Some(Answer::new(200, &json!("nothing that answers the request"))))
            }
            Act::Shorten => {
                self.forward_changed(head, body, |answer| {
                    for name in ["Responses", "CancellationReasons"] {
                        if let Some(parts) = answer[name].as_array_mut() {
                            parts.pop();
                        }
                    }
                })
                .await
            }
            Act::Mute => {
                self.forward_changed(head, body, |answer| {
                    for name in ["Responses", "CancellationReasons"] {
                        for part in answer[name].as_array_mut().into_iter().flatten() {
                            if let Some(error) = part["Error"].as_object_mut() {
                                error.remove("Item");
                            }
                            part.as_object_mut().unwrap().remove("Item");
                        }
                    }
                })
                .await
            }
            Act::LeaveOut => {
                self.forward_changed(head, body, |answer| {
                    let mut left_out = serde_json::Map::new();
                    for (table, items) in answer["Responses"].as_object_mut().into_iter().flatten()
                    {
                        let mut keys = Vec::new();
                        let mut is_kept = false;
                        items.as_array_mut().unwrap().retain(|item| {
                            is_kept = !is_kept;
                            if !is_kept {
                                keys.push(json!({"PK": item["PK"], "SK": item["SK"]}));
                            }
                            is_kept
                        });
                        left_out.insert(table.clone(), json!({"Keys": keys}));
                    }
                    answer["UnprocessedKeys"] = left_out.into();
                })
                .await
            }
            Act::Close(applied) => {
                if applied == Applied::Yes {
                    self.forward(head, body).await?;
                }
                Ok(None)
            }
            Act::Silence(applied) => {
                if applied == Applied::Yes {
                    self.forward(head, body).await?;
                }
                self.silence.notify_one();
                std::future::pending().await
            }
        }
    }

    fn arrive(&self, connection: usize, head: &Head, body: &[u8]) -> Arc<Request> {
        let target = header(head, "x-amz-target").unwrap_or_default();
        let operation = target.rsplit('.').next().unwrap_or_default().to_owned();
        let mut log = self.log.lock().unwrap();
        log.in_flight += 1;
        let request = Arc::new(Request {
            number: log.requests.len(),
            operation,
            body: serde_json::from_slice(body).unwrap_or_default(),
            bytes: body.len(),
            in_flight: log.in_flight,
            connection,
            head: head.clone(),
        });
        log.requests.push(Arc::clone(&request));
        request
    }

    async fn forward(&self, head: &Head, body: &[u8]) -> io::Result<Answer> {
        let mut stream = TcpStream::connect(&self.target).await?;
        let head = head.join("\r\n");
        let length = body.len();
        let head = format!("{head}\r\ncontent-length: {length}\r\nconnection: close\r\n\r\n");
        // In one piece: the end of a body on its own would wait for the receipt of its start.
        stream.write_all(&[head.as_bytes(), body].concat()).await?;
        let mut answer = Vec::new();
        stream.read_to_end(&mut answer).await?;
        Answer::parse(&answer).ok_or_else(|| io::Error::other("no answer"))
    }

    async fn forward_changed(
        &self,
        head: &Head,
        body: &[u8],
        change: impl FnOnce(&mut Value),
    ) -> io::Result<Option<Answer>> {
        let answer = self.forward(head, body).await?;
        let mut body = serde_json::from_slice(&answer.body)?;
        change(&mut body);
        Ok(Some(Answer::new(answer.status, &body)))
    }

    async fn refuse_statements(
        &self,
        head: &Head,
        request: &Request,
        refusals: &[(usize, Refusal)],
    ) -> io::Result<Answer> {
        let refusal_at =
            |at: usize| refusals.iter().find(|(position, _)| *position == at).map(|(_, it)| it);
        let parts = request.parts().iter().enumerate();
        let passed: Vec<&Value> =
            parts.filter(|(at, _)| refusal_at(*at).is_none()).map(|(_, part)| part).collect();
        let mut answers = if passed.is_empty() {
            Vec::new()
        } else {
            let body = json!({"Statements": passed}).to_string();
            let answer = self.forward(head, body.as_bytes()).await?;
            let mut answer: Value = serde_json::from_slice(&answer.body)?;
            match answer["Responses"].take() {
                Value::Array(answers) => answers,
                _ => return Err(io::Error::other("no statement was answered")),
            }
        }
        .into_iter();
        let responses: Vec<Value> = (0..request.parts().len())
            .map(|at| match refusal_at(at) {
                Some(Refusal { code, message }) => {
                    json!({"Error": {"Code": code, "Message": message}})
                }
                None => answers.next().unwrap_or_default(),
            })
            .collect();
        Ok(Answer::new(200, &json!({"Responses": responses})))
    }
}

/// A request that is not yet answered; also one that is dropped ends.
struct InFlight<'a>(&'a Shared);

impl Drop for InFlight<'_> {
    fn drop(&mut self) {
        self.0.log.lock().unwrap().in_flight -= 1;
    }
}

impl Refusal {
    fn answer(self) -> Answer {
        let status = if self.code == "InternalServerError" { 500 } else { 400 };
        let kind = format!("com.amazonaws.dynamodb.v20120810#{}", self.code);
        Answer::new(status, &json!({"__type": kind, "message": self.message}))
    }
}

impl Answer {
    fn new(status: u16, body: &Value) -> Self {
        Self { status, body: body.to_string().into_bytes(), ahead: None }
    }

    fn parse(bytes: &[u8]) -> Option<Self> {
        let end = bytes.windows(4).position(|it| it == b"\r\n\r\n")?;
        let head = std::str::from_utf8(&bytes[..end]).ok()?;
        let status = head.split(' ').nth(1)?.parse().ok()?;
        Some(Self { status, body: bytes[end + 4..].to_vec(), ahead: None })
    }
}

fn cancellation(actions: usize, refusals: &[(usize, Refusal)]) -> Answer {
    let mut reasons = vec![json!({"Code": "None"}); actions];
    for (at, Refusal { code, message }) in refusals {
        reasons[*at] = json!({"Code": code, "Message": message});
    }
    let kind = "com.amazonaws.dynamodb.v20120810#TransactionCanceledException";
    let message = "Transaction cancelled, please refer cancellation reasons for specific reasons";
    Answer::new(400, &json!({"__type": kind, "Message": message, "CancellationReasons": reasons}))
}

/// A request's head and body; none when the client closed the connection.
pub(super) async fn read_request(
    stream: &mut (impl AsyncBufRead + Unpin),
) -> io::Result<Option<(Head, Vec<u8>)>> {
    let mut head = Head::new();
    loop {
        let mut line = String::new();
        if stream.read_line(&mut line).await? == 0 {
            return Ok(None);
        }
        let line = line.trim_end();
        if line.is_empty() {
            break;
        }
        head.push(line.to_owned());
    }
    let length = header(&head, "content-length").and_then(|length| length.parse().ok());
    let mut body = vec![0; length.unwrap_or(0)];
    stream.read_exact(&mut body).await?;
    head.retain(|line| !is_header(line, "content-length"));
    Ok(Some((head, body)))
}

fn header<'a>(head: &'a Head, name: &str) -> Option<&'a str> {
    let line = head.iter().find(|line| is_header(line, name))?;
    line.split_once(':').map(|(_, value)| value.trim())
}

pub(super) fn is_header(line: &str, name: &str) -> bool {
    line.split_once(':').is_some_and(|(found, _)| found.eq_ignore_ascii_case(name))
}
