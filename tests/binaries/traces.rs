//! What X-Ray's daemon is told of a batch, and that it is told nothing unless it is asked for.

use std::{io::ErrorKind, net::UdpSocket, time::Duration};

use dynamo_sink::sink::Sink;
use serde_json::{Value, json};
use sinkctl::function::Invocation;

use crate::support::{
    Act, Event, Proxy, Record, Refusal, SEATOOL, TOMBSTONES, dynamodb,
    function::{SHORT, batch_lines, function, function_error, function_within, no_failures},
};

const SINK: Sink = sink_seatool_data::SINK;

/// A put, a delete, and a record without a key.
fn event() -> Event {
    let put = Record::seatool("SECRET-A", 0, 1, 1, Some(&json!({"SECRET_NAME": "SECRET"})));
    let delete = Record { offset: 2, ..Record::seatool("SECRET-B", 0, 2, 1, None) };
    let rejected = Record { offset: 3, key: None, ..put.clone() };
    Event::new([put, delete, rejected])
}

/// A daemon that keeps what it is sent.
fn daemon() -> UdpSocket {
    let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
    // So that a datagram that never comes fails the test instead of hanging it.
    socket.set_read_timeout(Some(Duration::from_secs(30))).unwrap();
    socket
}

fn variables(daemon: &UdpSocket, is_on: &'static str) -> [(&'static str, String); 2] {
    let address = daemon.local_addr().unwrap().to_string();
    [("TRACE_BATCHES", is_on.to_owned()), ("AWS_XRAY_DAEMON_ADDRESS", address)]
}

/// The next document that was sent.
#[track_caller]
fn document(daemon: &UdpSocket) -> Value {
    let mut datagram = vec![0; 65_536];
    let length = daemon.recv(&mut datagram).unwrap();
    let text = str::from_utf8(&datagram[..length]).unwrap();
    assert!(!text.contains("SECRET"), "{text}");
    let (header, document) = text.split_once('\n').unwrap();
    assert_eq!(
        serde_json::from_str::<Value>(header).unwrap(),
        json!({"format": "json", "version": 1})
    );
    serde_json::from_str(document).unwrap()
}

/// How many UDP sockets an environment's process has; none where the system does not say.
fn n_udp_sockets(invocation: &Invocation) -> Option<usize> {
    let process = format!("/proc/{}", invocation.process);
    let udp = std::fs::read_to_string(format!("{process}/net/udp")).ok()?;
    let inodes: Vec<_> = udp.lines().filter_map(|line| line.split_whitespace().nth(9)).collect();
    let files = std::fs::read_dir(format!("{process}/fd")).ok()?;
    let links = files.filter_map(|file| std::fs::read_link(file.ok()?.path()).ok());
    let is_udp = |link: &std::path::PathBuf| {
        let inode = link.to_str()?.strip_prefix("socket:[")?.strip_suffix(']')?;
        inodes.contains(&inode).then_some(())
    };
    Some(links.filter_map(|link| is_udp(&link)).count())
}

#[tokio::test]
async fn a_batch_is_a_span_with_its_requests() {
    let dynamodb = dynamodb().await;
    let daemon = daemon();
    let variables = variables(&daemon, "true");
    let variables = variables.each_ref().map(|(name, value)| (*name, value.as_str()));
    let function = function(&SINK, &dynamodb.endpoint(), &variables);
    let invocation = function.invoke(event().json()).await.unwrap();
    assert_eq!(invocation.answer, no_failures());

    let document = document(&daemon);
    assert_eq!([&document["name"], &document["type"]], ["batch", "subsegment"]);
    assert_eq!(document["fault"], false);
    assert!(document["trace_id"].as_str().unwrap().starts_with("1-"));
    assert_eq!(document["parent_id"].as_str().unwrap().len(), 16);
    let (start, end) = times(&document);
    assert!(start <= end);
    let line = &batch_lines(&invocation)[0];
    for (name, count) in document["annotations"].as_object().unwrap() {
        assert_eq!(count, &line[name], "{name}");
    }
    assert_eq!(document["annotations"]["written"], 1);

    let requests = document["subsegments"].as_array().unwrap();
    assert_eq!(requests.len() as u64, line["requests"].as_u64().unwrap());
    let mut operations = Vec::new();
    for request in requests {
        assert_eq!([&request["name"], &request["namespace"]], ["DynamoDB", "aws"]);
        let (begin, finish) = times(request);
        assert!(start <= begin && begin <= finish && finish <= end);
        assert_ne!(request["id"], document["id"]);
        operations.push(request["aws"]["operation"].as_str().unwrap());
    }
    operations.sort_unstable();
    operations.dedup();
    let expected = ["BatchExecuteStatement", "TransactWriteItems", "UpdateItem"];
    assert_eq!(operations, expected);
    let insert = requests.iter().find(|it| it["aws"]["operation"] == "TransactWriteItems");
    assert_eq!(insert.unwrap()["aws"]["table_names"], json!([SEATOOL, TOMBSTONES]));
    assert!(n_udp_sockets(&invocation).is_none_or(|n_sockets| n_sockets == 1));
}

#[tokio::test]
async fn what_fails_is_shown_as_failed() {
    let dynamodb = dynamodb().await;
    let refusal = Refusal { code: "AccessDeniedException", message: "not authorized" };
    let proxy = Proxy::start(&dynamodb, move |request| match request.operation.as_str() {
        "DescribeTable" => Act::Pass,
        _ => Act::Refuse(refusal),
    })
    .await;
    let daemon = daemon();
    let variables = variables(&daemon, "true");
    let variables = variables.each_ref().map(|(name, value)| (*name, value.as_str()));
    let function = function_within(SHORT, &SINK, &proxy.endpoint(), &variables);
    let invocation = function.invoke(event().json()).await.unwrap();
    assert_eq!(function_error(&invocation.answer).0, "SystemFault");
    let failed = document(&daemon);
    assert_eq!([&failed["fault"], &failed["annotations"]["failed"]], [&json!(true), &json!(3)]);
    assert!(failed["subsegments"].as_array().unwrap().iter().all(|it| it["error"] == true));

    // Nothing is known of what is no event.
    function.invoke("{}").await.unwrap();
    let refused = document(&daemon);
    assert_eq!([&refused["fault"], &refused["annotations"]], [&json!(true), &Value::Null]);
}

#[tokio::test]
async fn nothing_is_sent_unless_it_is_asked_for() {
    let dynamodb = dynamodb().await;
    let daemon = daemon();
    let variables = variables(&daemon, "false");
    let variables = variables.each_ref().map(|(name, value)| (*name, value.as_str()));
    let function = function(&SINK, &dynamodb.endpoint(), &variables);
    let invocation = function.invoke(event().json()).await.unwrap();
    assert_eq!(invocation.answer, no_failures());
    assert!(n_udp_sockets(&invocation).is_none_or(|n_sockets| n_sockets == 0));
    // The trace would have been sent before the answer.
    daemon.set_nonblocking(true).unwrap();
    assert_eq!(daemon.recv(&mut [0; 1]).unwrap_err().kind(), ErrorKind::WouldBlock);
}

fn times(document: &Value) -> (f64, f64) {
    (document["start_time"].as_f64().unwrap(), document["end_time"].as_f64().unwrap())
}
