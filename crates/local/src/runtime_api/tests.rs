use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
};

use super::*;

const LIMITS: Limits =
    Limits { init: Duration::from_mins(1), timeout: Duration::from_mins(1), deadline: None };

/// A reply of the API.
struct Reply {
    status: u16,
    head: String,
    body: Vec<u8>,
}

impl Reply {
    #[track_caller]
    fn header(&self, name: &str) -> &str {
        let prefix = format!("{}: ", name.to_lowercase());
        self.head.lines().find_map(|line| line.strip_prefix(&prefix)).unwrap()
    }

    /// The path on which this invocation is answered.
    #[track_caller]
    fn path(&self, kind: &str) -> String {
        format!("invocation/{}/{kind}", self.header("Lambda-Runtime-Aws-Request-Id"))
    }

    fn text(&self) -> &str {
        str::from_utf8(&self.body).unwrap()
    }
}

/// An environment's side of one request; a connection each, as nothing here is about connections.
async fn send(api: &RuntimeApi, method: &str, path: &str, headers: &str, body: &[u8]) -> Reply {
    let mut stream = TcpStream::connect(api.address()).await.unwrap();
    let head = format!(
        "{method} /2018-06-01/runtime/{path} HTTP/1.1\r\nHost: local\r\nConnection: close\r\n\
         Content-Length: {}\r\n{headers}\r\n",
        body.len()
    );
    stream.write_all(head.as_bytes()).await.unwrap();
    // A server that refuses a body closes the connection early; what it said before may be lost then.
    let _: io::Result<()> = stream.write_all(body).await;
    let mut reply = Vec::new();
    let _: io::Result<usize> = stream.read_to_end(&mut reply).await;
    let Some(end) = reply.windows(4).position(|window| window == b"\r\n\r\n") else {
        return Reply { status: 0, head: String::new(), body: Vec::new() };
    };
    let head = String::from_utf8(reply[..end].to_vec()).unwrap();
    Reply { status: head[9..12].parse().unwrap(), head, body: reply[end + 4..].to_vec() }
}

async fn next(api: &RuntimeApi) -> Reply {
    send(api, "GET", "invocation/next", "", b"").await
}

async fn post(api: &RuntimeApi, path: &str, body: &[u8]) -> Reply {
    send(api, "POST", path, "", body).await
}

#[tokio::test]
async fn an_invocation_carries_the_headers_that_runtimes_read() {
    let api = RuntimeApi::start("f").await.unwrap();
    let before = SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_millis();

    let environment = async {
        let invocation = next(&api).await;
        assert_eq!((invocation.status, invocation.text()), (200, "{}"));
        assert_eq!(invocation.header("Content-Type"), "application/json");
        assert_eq!(
            invocation.header("Lambda-Runtime-Invoked-Function-Arn"),
            "arn:aws:lambda:us-east-1:000000000000:function:f"
        );
        let after = SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_millis();
        let deadline: u128 = invocation.header("Lambda-Runtime-Deadline-Ms").parse().unwrap();
        assert!((before + 60_000..=after + 60_000).contains(&deadline));
        let (prefix, number) = invocation.header("Lambda-Runtime-Aws-Request-Id").split_at(24);
        assert_eq!(prefix, "00000000-0000-4000-8000-");
        let trace = invocation.header("Lambda-Runtime-Trace-Id");
        assert!(
            trace.starts_with("Root=1-")
                && trace.ends_with(&format!(";Parent=0000{number};Sampled=1"))
        );

        let reply = post(&api, &invocation.path("response"), b"\"done\"").await;
        assert_eq!((reply.status, reply.text()), (202, r#"{"status":"OK"}"#));
        invocation.path("response")
    };
    let (answer, first) = tokio::join!(api.invoke(Bytes::from("{}"), LIMITS), environment);
    assert_eq!(answer, Answer::Success(Bytes::from("\"done\"")));

    let environment = async {
        let invocation = next(&api).await;
        assert_ne!(invocation.path("response"), first);
        post(&api, &invocation.path("response"), b"null").await
    };
    let (answer, _) = tokio::join!(api.invoke(Bytes::from("{}"), LIMITS), environment);
    assert_eq!(answer, Answer::Success(Bytes::from("null")));
}

#[tokio::test]
async fn the_deadline_can_be_any() {
    let api = RuntimeApi::start("f").await.unwrap();
    let limits = Limits { deadline: Some(600_000), ..LIMITS };
    let environment = async {
        let invocation = next(&api).await;
        assert_eq!(invocation.header("Lambda-Runtime-Deadline-Ms"), "600000");
        post(&api, &invocation.path("response"), b"null").await
    };
    let (answer, _) = tokio::join!(api.invoke(Bytes::from("{}"), limits), environment);
    assert_eq!(answer, Answer::Success(Bytes::from("null")));
}

#[tokio::test]
async fn errors_are_passed_on() {
    #[track_caller]
    fn check(answer: Answer, expected: (&str, &str)) {
        let Answer::FunctionError(error) = answer else { panic!("{answer:?}") };
        assert_eq!((error.error_type.as_str(), error.error_message.as_str()), expected);
    }

    async fn report(headers: &str, body: &str) -> Answer {
        let api = RuntimeApi::start("f").await.unwrap();
        let environment = async {
            let path = next(&api).await.path("error");
            let reply = send(&api, "POST", &path, headers, body.as_bytes()).await;
            assert_eq!(reply.status, 202);
        };
        tokio::join!(api.invoke(Bytes::from("{}"), LIMITS), environment).0
    }

    let header = "Lambda-Runtime-Function-Error-Type: Header\r\n";
    let body = r#"{"errorType":"Body","errorMessage":"it broke","stackTrace":["a"]}"#;
    check(report(header, body).await, ("Body", "it broke"));
    check(report("", body).await, ("Body", "it broke"));
    check(report(header, "no JSON").await, ("Header", ""));
    check(report("", "").await, ("", ""));
}

#[tokio::test]
async fn an_environment_that_cannot_start_answers_what_waits_for_it() {
    let api = RuntimeApi::start("f").await.unwrap();
    let body = r#"{"errorType":"Settings","errorMessage":"no table"}"#;
    let environment =
        async { assert_eq!(post(&api, "init/error", body.as_bytes()).await.status, 202) };
    let (answer, ()) = tokio::join!(api.invoke(Bytes::from("{}"), LIMITS), environment);
    let error = FunctionError {
        error_type: "Settings".to_owned(),
        error_message: "no table".to_owned(),
        body: Bytes::from(body),
    };
    assert_eq!(answer, Answer::InitError(error));
}

#[tokio::test]
async fn a_waiting_environment_that_hangs_up_loses_nothing() {
    let api = RuntimeApi::start("f").await.unwrap();
    let idle = Arc::strong_count(&api.slot);
    let mut stream = TcpStream::connect(api.address()).await.unwrap();
    stream
        .write_all(b"GET /2018-06-01/runtime/invocation/next HTTP/1.1\r\nHost: local\r\n\r\n")
        .await
        .unwrap();
    // A request holds the slot while it waits.
    while Arc::strong_count(&api.slot) <= idle {
        tokio::task::yield_now().await;
    }
    drop(stream);
    while Arc::strong_count(&api.slot) > idle {
        tokio::task::yield_now().await;
    }

    let limits = Limits { timeout: Duration::ZERO, ..LIMITS };
    let (answer, invocation) = tokio::join!(api.invoke(Bytes::from("{}"), limits), next(&api));
    assert_eq!(
        (answer, invocation.text()),
        (Answer::TimedOut, "{}"),
        "delivered, then not answered in no time"
    );
}

#[tokio::test]
async fn an_environment_that_never_asks_times_out() {
    let api = RuntimeApi::start("f").await.unwrap();
    let limits = Limits { init: Duration::ZERO, timeout: Duration::ZERO, ..LIMITS };
    assert_eq!(api.invoke(Bytes::from("{}"), limits).await, Answer::TimedOut);
}

#[tokio::test]
async fn an_invocation_that_is_not_answered_times_out() {
    let api = RuntimeApi::start("f").await.unwrap();
    let limits = Limits { timeout: Duration::ZERO, ..LIMITS };
    let (answer, invocation) = tokio::join!(api.invoke(Bytes::from("{}"), limits), next(&api));
    assert_eq!((answer, invocation.status), (Answer::TimedOut, 200));

    let reply = post(&api, &invocation.path("response"), b"null").await;
    assert_eq!(reply.status, 202, "too late, but well-formed");
}

#[tokio::test]
async fn wrong_requests_are_refused() {
    #[track_caller]
    fn check(reply: &Reply, status: u16, error_type: &str) {
        assert_eq!(reply.status, status);
        assert_eq!(
            reply.text(),
            format!(r#"{{"errorMessage":"{error_type}","errorType":"{error_type}"}}"#)
        );
    }

    let api = RuntimeApi::start("f").await.unwrap();
    check(&post(&api, "invocation/other/response", b"null").await, 400, "InvalidRequestID");

    let environment = async {
        let path = next(&api).await.path("response");
        check(&next(&api).await, 403, "InvalidStateTransition");
        check(&post(&api, "invocation/other/response", b"null").await, 400, "InvalidRequestID");
        assert_eq!(post(&api, &path, b"null").await.status, 202);
        check(&post(&api, &path, b"null").await, 400, "InvalidRequestID");
    };
    let (answer, ()) = tokio::join!(api.invoke(Bytes::from("{}"), LIMITS), environment);
    assert_eq!(answer, Answer::Success(Bytes::from("null")));
}

#[tokio::test]
async fn bodies_are_as_large_as_lambda_allows() {
    let api = RuntimeApi::start("f").await.unwrap();
    let payload = vec![b' '; 6 * 1024 * 1024];
    let environment = async {
        for extra in [0, 1] {
            let invocation = next(&api).await;
            assert_eq!(invocation.body.len(), payload.len());
            let path = format!(
                "invocation/{}/response",
                invocation.header("Lambda-Runtime-Aws-Request-Id")
            );
            post(&api, &path, &vec![b' '; MAX_RESPONSE_BYTES + extra]).await;
        }
    };
    let invoker = async {
        let answer = api.invoke(Bytes::from(payload.clone()), LIMITS).await;
        let Answer::Success(body) = answer else { panic!("{answer:?}") };
        assert_eq!(body.len(), MAX_RESPONSE_BYTES);
        let answer = api.invoke(Bytes::from(payload.clone()), LIMITS).await;
        let Answer::FunctionError(error) = answer else { panic!("{answer:?}") };
        assert_eq!(error.error_type, "Function.ResponseSizeTooLarge");
    };
    tokio::join!(invoker, environment);
}
