use std::{
    collections::VecDeque,
    io::{self, BufRead as _, BufReader, Read as _, Write as _},
    net::{TcpListener, TcpStream},
    thread,
};

use aws_config::{BehaviorVersion, Region};
use aws_credential_types::provider::future;
use aws_types::{origin::Origin, sdk_config, service_config::LoadServiceConfig};
use sha2::{Digest as _, Sha256};

use super::*;

const BODY: &str = r#"{"TableName":"plans"}"#;

/// Time enough for an answer on a machine that does much else.
const TIMEOUT: Duration = Duration::from_mins(1);

/// A request as it came.
#[derive(Clone, Debug)]
struct Received {
    /// How many HTTP connections there were before its own.
    connection: usize,
    head: Vec<String>,
    body: String,
}

impl Received {
    fn header(&self, name: &str) -> &str {
        let mut lines = self.head.iter().filter_map(|line| line.split_once(": "));
        let found = lines.find(|(found, _)| found.eq_ignore_ascii_case(name));
        found.map(|(_, value)| value).unwrap_or_default()
    }

    /// The access key that it is signed with.
    fn access_key(&self) -> &str {
        let (_, credential) = self.header("authorization").split_once("Credential=").unwrap();
        credential.split('/').next().unwrap()
    }

    /// When it was signed, as seconds from now.
    fn signed_after(&self) -> i64 {
        let text = self.header("x-amz-date");
        let (date, time) = (&text[..8], &text[9..15]);
        let text = format!(
            "{}-{}-{}T{}:{}:{}Z",
            &date[..4],
            &date[4..6],
            &date[6..],
            &time[..2],
            &time[2..4],
            &time[4..]
        );
        let time = DateTime::from_str(&text, DateTimeFormat::DateTime).unwrap();
        time.secs() - DateTime::from(SystemTime::now()).secs()
    }
}

/// What is done with a request.
#[derive(Clone, Debug)]
enum Act {
    /// This status with these headers.
    Answer(u16, String),
    /// The same after this many milliseconds.
    Late(u64),
    /// The HTTP connection is closed.
    Close,
    /// No answer while the test lasts.
    Silence,
}

const OK: Act = Act::Answer(200, String::new());

/// A server that does with the requests what it is told, in their order; those after the last are accepted.
#[derive(Clone, Debug)]
struct Server {
    address: String,
    acts: Arc<Mutex<VecDeque<Act>>>,
    received: Arc<Mutex<Vec<Received>>>,
}

impl Server {
    fn start(acts: impl IntoIterator<Item = Act>) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let server = Self {
            address: listener.local_addr().unwrap().to_string(),
            acts: Arc::new(Mutex::new(acts.into_iter().collect())),
            received: Arc::default(),
        };
        let shared = server.clone();
        thread::spawn(move || {
            for (number, stream) in listener.incoming().enumerate() {
                let shared = shared.clone();
                thread::spawn(move || shared.serve(number, stream.unwrap()));
            }
        });
        server
    }

    fn serve(&self, connection: usize, mut stream: TcpStream) -> io::Result<()> {
        let mut reader = BufReader::new(stream.try_clone()?);
        loop {
            let lines = reader.by_ref().lines().map_while(Result::ok);
            let head: Vec<_> = lines.take_while(|line| !line.is_empty()).collect();
            let mut received = Received { connection, head, body: String::new() };
            let Ok(length) = received.header("content-length").parse() else { return Ok(()) };
            reader.by_ref().take(length).read_to_string(&mut received.body)?;
            self.received.lock().unwrap().push(received);
            let act = self.acts.lock().unwrap().pop_front().unwrap_or(OK);
            let (status, headers) = match act {
                Act::Answer(status, headers) => (status, headers),
                Act::Late(milliseconds) => {
                    thread::sleep(Duration::from_millis(milliseconds));
                    (200, String::new())
                }
                Act::Close => return Ok(()),
                Act::Silence => {
                    thread::park();
                    return Ok(());
                }
            };
            write!(stream, "HTTP/1.1 {status} .\r\n{headers}content-length: 2\r\n\r\n{{}}")?;
        }
    }

    fn received(&self) -> Vec<Received> {
        self.received.lock().unwrap().clone()
    }

    /// The HTTP connection of each request.
    fn connections(&self) -> Vec<usize> {
        self.received().iter().map(|request| request.connection).collect()
    }

    async fn connection(&self, provider: impl ProvideCredentials + 'static) -> Connection {
        let config = aws_config::defaults(BehaviorVersion::latest())
            .endpoint_url(format!("http://{}", self.address))
            .region(Region::new("eu-west-1"))
            .credentials_provider(provider);
        Connection::new(config).await.unwrap()
    }
}

fn credentials(access_key: &str, expires_in: Option<i64>) -> Credentials {
    let expires_at = expires_in.map(|seconds| shifted(SystemTime::now(), seconds));
    let token = Some("session/token=".to_owned());
    Credentials::new(access_key, "secret", token, expires_at, "tests")
}

fn shifted(time: SystemTime, seconds: i64) -> SystemTime {
    let difference = Duration::from_secs(seconds.unsigned_abs());
    if seconds < 0 { time - difference } else { time + difference }
}

async fn call(connection: &Connection) -> HttpResponse {
    connection.call("PutItem", BODY.into(), TIMEOUT).await.unwrap()
}

#[tokio::test]
async fn a_request_has_the_signature_that_dynamodb_computes() {
    let server = Server::start([Act::Answer(400, "x-amzn-requestid: ABC\r\n".to_owned())]);
    let connection = server.connection(credentials("AKID", None)).await;
    let answer = call(&connection).await;
    assert_eq!((answer.status, answer.body.as_slice()), (400, b"{}".as_slice()));
    assert_eq!(answer.request_id.as_deref(), Some("ABC"));

    let [request] = server.received().try_into().unwrap();
    assert_eq!(request.head[0], "POST / HTTP/1.1");
    assert_eq!(request.body, BODY);
    let (time, expected_target) = (request.header("x-amz-date"), "DynamoDB_20120810.PutItem");
    assert_eq!(request.header("x-amz-target"), expected_target);
    assert_eq!(request.header("user-agent"), USER_AGENT);

    // As the documentation of AWS tells it, step by step.
    let names = "content-type;host;x-amz-date;x-amz-security-token;x-amz-target";
    let canonical = format!(
        "POST\n/\n\ncontent-type:application/x-amz-json-1.0\nhost:{}\nx-amz-date:{time}\n\
         x-amz-security-token:session/token=\nx-amz-target:{expected_target}\n\n{names}\n{}",
        server.address,
        hex(&Sha256::digest(BODY))
    );
    let day = &time[..8];
    let scope = format!("{day}/eu-west-1/dynamodb/aws4_request");
    let canonical = hex(&Sha256::digest(canonical));
    let to_sign = format!("AWS4-HMAC-SHA256\n{time}\n{scope}\n{canonical}");
    let key = [day, "eu-west-1", "dynamodb", "aws4_request"]
        .iter()
        .fold(b"AWS4secret".to_vec(), |key, text| hmac(&key, text));
    let signature = hex(&hmac(&key, &to_sign));
    assert_eq!(
        request.header("authorization"),
        format!(
            "AWS4-HMAC-SHA256 Credential=AKID/{scope}, SignedHeaders={names}, Signature={signature}"
        )
    );
}

fn hmac(key: &[u8], text: &str) -> Vec<u8> {
    let padded = |pad: u8| {
        let mut block = [pad; 64];
        block.iter_mut().zip(key).for_each(|(byte, key)| *byte ^= key);
        block
    };
    let inner = Sha256::new().chain_update(padded(0x36)).chain_update(text).finalize();
    Sha256::new().chain_update(padded(0x5c)).chain_update(inner).finalize().to_vec()
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().fold(String::new(), |text, byte| text + &format!("{byte:02x}"))
}

#[tokio::test]
async fn a_clock_that_is_far_from_dynamodbs_is_corrected() {
    #[track_caller]
    fn assert_about(found: i64, expected: i64) {
        assert!((found - expected).abs() <= 5, "{found} s, expected {expected}");
    }

    // Answers that are dated so many seconds from now, or in some other way; then by how many the next request is.
    let check = async |dates: &[Result<i64, &str>], expected: i64| {
        let acts = dates.iter().map(|date| {
            let text = match date {
                Ok(seconds) => DateTime::from(shifted(SystemTime::now(), *seconds))
                    .fmt(DateTimeFormat::HttpDate)
                    .unwrap(),
                Err(text) => (*text).to_owned(),
            };
            Act::Answer(400, format!("date: {text}\r\n"))
        });
        let server = Server::start(acts);
        let connection = server.connection(credentials("AKID", None)).await;
        for _ in 0..=dates.len() {
            call(&connection).await;
        }
        let received = server.received();
        assert_about(received[0].signed_after(), 0);
        assert_about(received[dates.len()].signed_after(), expected);
        let now = DateTime::from(connection.now()).secs();
        assert_about(now - DateTime::from(SystemTime::now()).secs(), expected);
    };
    check(&[Ok(600)], 600).await;
    check(&[Ok(-600)], -600).await;
    check(&[Ok(260)], 260).await;
    check(&[Ok(-260)], -260).await;
    check(&[Ok(220)], 0).await;
    check(&[Ok(-220)], 0).await;
    check(&[Ok(600), Ok(-600)], -600).await;
    check(&[Ok(600), Ok(0)], 0).await;
    check(&[Ok(600), Err("yesterday")], 600).await;
    check(&[Err("yesterday")], 0).await;
}

/// A provider with these to give, the last one again and again; `None` is a failure.
#[derive(Clone, Debug)]
struct TestProvider {
    left: Arc<Mutex<VecDeque<Option<Credentials>>>>,
    asked: Arc<Mutex<usize>>,
}

impl TestProvider {
    fn new(credentials: impl IntoIterator<Item = Option<Credentials>>) -> Self {
        let left = Arc::new(Mutex::new(credentials.into_iter().collect()));
        Self { left, asked: Arc::default() }
    }

    fn asked(&self) -> usize {
        *self.asked.lock().unwrap()
    }
}

impl ProvideCredentials for TestProvider {
    fn provide_credentials<'a>(&'a self) -> future::ProvideCredentials<'a>
    where
        Self: 'a,
    {
        future::ProvideCredentials::new(async {
            *self.asked.lock().unwrap() += 1;
            tokio::time::sleep(Duration::from_millis(20)).await;
            let mut left = self.left.lock().unwrap();
            let first = left[0].clone();
            if left.len() > 1 {
                left.pop_front();
            }
            first.ok_or_else(|| CredentialsError::provider_error("out of order"))
        })
    }
}

#[tokio::test]
async fn credentials_are_asked_for_when_they_are_about_to_expire() {
    // What is provided, how DynamoDB's clock differs, and the keys of two requests, one after the other.
    let check = async |lifetimes: &[Option<Option<i64>>], ahead: i64, expected: [&str; 2]| {
        let numbered = lifetimes.iter().enumerate().map(|(number, expires_in)| {
            expires_in.map(|expires_in| credentials(&format!("KEY{number}"), expires_in))
        });
        let provider = TestProvider::new(numbered);
        let date = DateTime::from(shifted(SystemTime::now(), ahead));
        let date = date.fmt(DateTimeFormat::HttpDate).unwrap();
        let server = Server::start([Act::Answer(200, format!("date: {date}\r\n"))]);
        let connection = server.connection(provider.clone()).await;
        for _ in 0..2 {
            let _ = connection.call("PutItem", BODY.into(), TIMEOUT).await;
        }
        let received = server.received();
        let keys: Vec<_> = received.iter().map(Received::access_key).collect();
        assert_eq!(keys, expected.into_iter().filter(|key| !key.is_empty()).collect::<Vec<_>>());
        provider.asked()
    };
    let lasting = Some(None);
    let in_time = |seconds| Some(Some(seconds));
    assert_eq!(check(&[lasting, lasting], 0, ["KEY0", "KEY0"]).await, 1);
    assert_eq!(check(&[in_time(90), lasting], 0, ["KEY0", "KEY0"]).await, 1);
    assert_eq!(check(&[in_time(30), lasting], 0, ["KEY0", "KEY1"]).await, 2);
    assert_eq!(check(&[in_time(-1), lasting], 0, ["KEY0", "KEY1"]).await, 2);
    // By DynamoDB's clock.
    assert_eq!(check(&[in_time(630), lasting], 600, ["KEY0", "KEY1"]).await, 2);
    assert_eq!(check(&[in_time(30), lasting], -600, ["KEY0", "KEY0"]).await, 1);
    // Those that are known do while there are no others, but not longer than they last.
    assert_eq!(check(&[in_time(30), None], 0, ["KEY0", "KEY0"]).await, 2);
    assert_eq!(check(&[in_time(-1), None], 0, ["KEY0", ""]).await, 2);
    assert_eq!(check(&[None, lasting], 0, ["KEY1", ""]).await, 2);
}

#[tokio::test]
async fn without_credentials_the_provider_is_what_is_wrong() {
    let server = Server::start([]);
    let connection = server.connection(TestProvider::new([None])).await;
    let trouble = connection.call("PutItem", BODY.into(), TIMEOUT).await.unwrap_err();
    let text = trouble.to_string();
    assert!(matches!(trouble, Trouble::Fault(_)), "{text}");
    assert!(text.ends_with("out of order"), "{text}");
}

#[tokio::test]
async fn one_request_asks_for_the_credentials_of_all() {
    let provider = TestProvider::new([Some(credentials("AKID", None))]);
    let server = Server::start([]);
    let connection = server.connection(provider.clone()).await;
    tokio::join!(call(&connection), call(&connection), call(&connection));
    assert_eq!((server.received().len(), provider.asked()), (3, 1));
}

#[tokio::test]
async fn credentials_that_dynamodb_refused_are_asked_for_again() {
    let keys = ["KEY0", "KEY1", "KEY2"];
    let provider = TestProvider::new(keys.map(|key| Some(credentials(key, None))));
    let server = Server::start([]);
    let connection = server.connection(provider.clone()).await;
    let first = call(&connection).await;
    let second = call(&connection).await;
    connection.forget(&first.caller).await;
    call(&connection).await;
    // The same news again.
    connection.forget(&second.caller).await;
    call(&connection).await;
    let received = server.received();
    let keys: Vec<_> = received.iter().map(Received::access_key).collect();
    assert_eq!(keys, ["KEY0", "KEY0", "KEY1", "KEY1"]);
    assert_eq!(provider.asked(), 2);
}

#[tokio::test]
async fn http_connections_are_used_again_unless_the_server_is_broken() {
    let check = async |status: u16, expected: &[usize]| {
        let server = Server::start([Act::Answer(status, String::new())]);
        let connection = server.connection(credentials("AKID", None)).await;
        for _ in 0..3 {
            call(&connection).await;
        }
        assert_eq!(server.connections(), expected, "after {status}");
    };
    check(200, &[0, 0, 0]).await;
    check(400, &[0, 0, 0]).await;
    check(499, &[0, 0, 0]).await;
    check(500, &[0, 1, 1]).await;
    check(503, &[0, 1, 1]).await;
}

#[tokio::test]
async fn the_client_shares_the_http_connections() {
    let server = Server::start([]);
    let connection = server.connection(credentials("AKID", None)).await;
    connection.client().describe_table().table_name("plans").send().await.unwrap();
    call(&connection).await;
    assert_eq!(server.connections(), [0, 0]);
}

#[tokio::test]
async fn after_a_long_silence_no_http_connection_is_used_again() {
    let check = async |silence: i64, expected: &[usize]| {
        let server = Server::start([]);
        let connection = server.connection(credentials("AKID", None)).await;
        call(&connection).await;
        let silent_since = shifted(SystemTime::now(), -silence);
        connection.0.pool.lock().unwrap().answered_at = silent_since;
        call(&connection).await;
        call(&connection).await;
        assert_eq!(server.connections(), expected, "after {silence} s");
        let answered_at = connection.0.pool.lock().unwrap().answered_at;
        assert!(answered_at.elapsed().unwrap() < FREEZE);
    };
    check(0, &[0, 0, 0]).await;
    check(50, &[0, 0, 0]).await;
    check(70, &[0, 1, 1]).await;
    // A clock that was set back says nothing.
    check(-3600, &[0, 0, 0]).await;

    // Requests that go together start over together.
    let server = Server::start([]);
    let connection = server.connection(credentials("AKID", None)).await;
    connection.0.pool.lock().unwrap().answered_at = shifted(SystemTime::now(), -70);
    tokio::join!(call(&connection), call(&connection));
    assert_eq!(connection.pool().number, 1);
}

#[tokio::test]
async fn one_dead_http_connection_stands_for_all_that_are_idle() {
    for (act, expected) in [
        (Act::Silence, "no answer from DynamoDB in time"),
        (Act::Close, "no usable answer from DynamoDB: "),
    ] {
        // Three at once have three connections, of which two then are as dead as the first.
        let late = Act::Late(200);
        let server = Server::start([late.clone(), late.clone(), late, act.clone(), act]);
        let connection = server.connection(credentials("AKID", None)).await;
        tokio::join!(call(&connection), call(&connection), call(&connection));
        // The connections are put back after the answers.
        tokio::time::sleep(Duration::from_millis(50)).await;

        let timeout = Duration::from_millis(300);
        let lost = || connection.call("PutItem", BODY.into(), timeout);
        let (one, other) = tokio::join!(lost(), lost());
        for lost in [one, other] {
            let text = lost.unwrap_err().to_string();
            assert!(text.starts_with(expected), "{text}");
        }
        assert_eq!(connection.pool().number, 1);

        call(&connection).await;
        let used = server.connections();
        assert!(used[3] < 3 && used[4] < 3 && used[3] != used[4], "{used:?}");
        assert_eq!(used[5], 3);
    }
}

/// The settings that name an endpoint for DynamoDB alone.
#[derive(Debug)]
struct OwnEndpoint;

impl LoadServiceConfig for OwnEndpoint {
    fn load_config(&self, key: ServiceConfigKey<'_>) -> Option<String> {
        let names = (key.service_id(), key.env(), key.profile());
        (names == ("DynamoDB", "AWS_ENDPOINT_URL", "endpoint_url"))
            .then(|| "http://own/".to_owned())
    }
}

#[tokio::test]
async fn the_endpoint_is_the_one_that_is_named_or_the_regions() {
    let check = async |config: sdk_config::Builder, expected: &str| {
        assert_eq!(endpoint(&config.build(), "eu-west-1").await.unwrap(), expected);
    };
    let named_by = |origin| {
        let mut config = SdkConfig::builder().endpoint_url("http://all");
        config.insert_origin("endpoint_url", origin);
        config
    };
    let (environment, code) = (Origin::shared_environment_variable(), Origin::shared_config());
    let regions = SdkConfig::builder;
    check(regions(), "https://dynamodb.eu-west-1.amazonaws.com/").await;
    check(regions().use_fips(true), "https://dynamodb-fips.eu-west-1.amazonaws.com/").await;
    check(regions().use_dual_stack(true), "https://dynamodb.eu-west-1.api.aws/").await;
    check(regions().service_config(OwnEndpoint), "http://own/").await;
    check(named_by(environment), "http://all/").await;
    check(named_by(environment).service_config(OwnEndpoint), "http://own/").await;
    check(named_by(code).service_config(OwnEndpoint), "http://all/").await;
}
