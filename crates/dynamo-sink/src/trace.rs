//! A batch as X-Ray shows it: a span with the counts of its outcomes and the requests to DynamoDB below it.
//!
//! Lambda makes the segment of an invocation and runs X-Ray's daemon beside the function. What is added to the segment
//! goes to the daemon as one datagram, which costs no call of AWS's interfaces. The documents are described at
//! <https://docs.aws.amazon.com/xray/latest/devguide/xray-api-segmentdocuments.html>.

use std::{
    cmp::Reverse,
    collections::BTreeSet,
    io,
    net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, UdpSocket},
    time::{Duration, Instant, SystemTime, UNIX_EPOCH},
};

use serde_json::{Map, Value, json};

use crate::{
    dynamodb::{Reply, Trouble},
    handler::{Handled, InvocationError},
    outcome::Outcome,
};

/// The most requests that a batch's span shows, the longest ones.
const MAX_REQUESTS: usize = 100;

/// X-Ray takes 64 KB a document.
const MAX_DOCUMENT_BYTES: usize = 60 * 1024;

/// What stands before each document.
const DATAGRAM_HEADER: &str = "{\"format\":\"json\",\"version\":1}\n";

/// The way to X-Ray's daemon.
#[derive(Debug)]
pub(crate) struct Tracer {
    socket: UdpSocket,
}

/// A batch whose trace is sampled, from its beginning on.
#[derive(Debug)]
pub(crate) struct BatchSpan<'a> {
    tracer: &'a Tracer,
    parent: Parent,
    begin: Instant,
    /// The same, since 1970.
    began_at: Duration,
}

/// The segment that a span belongs to.
#[derive(Debug, PartialEq, Eq)]
struct Parent {
    trace_id: String,
    segment_id: String,
}

/// A request to DynamoDB.
#[derive(Debug)]
pub(crate) struct RequestSpan {
    operation: &'static str,
    tables: BTreeSet<String>,
    /// How many keys' writes it carries.
    writes: usize,
    retries: u32,
    begin: Instant,
    end: Instant,
    trouble: Option<Flag>,
}

/// How X-Ray tells what went wrong.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Flag {
    /// The request was refused.
    Error,
    /// It came too early.
    Throttle,
    /// There was no answer, or none that is of use.
    Fault,
}

impl Tracer {
    pub(crate) fn connect(daemon: SocketAddr) -> io::Result<Self> {
        let any: IpAddr = match daemon {
            SocketAddr::V4(_) => Ipv4Addr::UNSPECIFIED.into(),
            SocketAddr::V6(_) => Ipv6Addr::UNSPECIFIED.into(),
        };
        let socket = UdpSocket::bind((any, 0))?;
        socket.connect(daemon)?;
        // A batch waits for no daemon.
        socket.set_nonblocking(true)?;
        Ok(Self { socket })
    }

    /// Begins the span of a batch whose invocation came with this header; none where it is not sampled.
    pub(crate) fn begin(&self, header: Option<&str>) -> Option<BatchSpan<'_>> {
        let began_at = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        let parent = Parent::sampled(header?)?;
        Some(BatchSpan { tracer: self, parent, begin: Instant::now(), began_at })
    }
}

impl BatchSpan<'_> {
    /// Sends what became of the batch. A trace that is lost harms nothing.
    pub(crate) fn end(self, handled: &Result<Handled, InvocationError>) {
        let datagram = DATAGRAM_HEADER.to_owned() + &self.document(handled, Instant::now());
        if let Err(error) = self.tracer.socket.send(datagram.as_bytes()) {
            tracing::debug!(%error, "trace not sent");
        }
    }

    /// The batch's document, with as many of its requests as there is room for.
    fn document(&self, handled: &Result<Handled, InvocationError>, end: Instant) -> String {
        let is_fault = !handled.as_ref().is_ok_and(|handled| handled.answer.is_ok());
        let mut document = json!({
            "name": "batch",
            "id": id(),
            "trace_id": self.parent.trace_id,
            "parent_id": self.parent.segment_id,
            "type": "subsegment",
            "start_time": self.seconds(self.begin),
            "end_time": self.seconds(end),
            "fault": is_fault,
        });
        let Ok(handled) = handled else { return document.to_string() };
        document["annotations"] = annotations(handled);

        let mut spans: Vec<&RequestSpan> = handled.spans.iter().collect();
        spans.sort_by_key(|span| Reverse(span.end.duration_since(span.begin)));
        let mut n_shown = spans.len().min(MAX_REQUESTS);
        loop {
            let shown = spans.iter().take(n_shown).map(|span| self.subsegment(span));
            document["subsegments"] = shown.collect();
            let text = document.to_string();
            if text.len() <= MAX_DOCUMENT_BYTES || n_shown == 0 {
                return text;
            }
            n_shown /= 2;
        }
    }

    fn subsegment(&self, span: &RequestSpan) -> Value {
        let mut aws = json!({"operation": span.operation, "retries": span.retries});
        match span.tables.first() {
            Some(table) if span.tables.len() == 1 => aws["table_name"] = table.as_str().into(),
            _ => aws["table_names"] = span.tables.iter().map(String::as_str).collect(),
        }
        let mut document = json!({
            "name": "DynamoDB",
            "id": id(),
            "namespace": "aws",
            "start_time": self.seconds(span.begin),
            "end_time": self.seconds(span.end),
            "aws": aws,
            "annotations": {"writes": span.writes},
        });
        match span.trouble {
            Some(Flag::Error) => document["error"] = true.into(),
            // To X-Ray a throttle is an error as well.
            Some(Flag::Throttle) => {
                document["error"] = true.into();
                document["throttle"] = true.into();
            }
            Some(Flag::Fault) => document["fault"] = true.into(),
            None => {}
        }
        document
    }

    /// A moment in seconds since 1970.
    fn seconds(&self, at: Instant) -> f64 {
        (self.began_at + at.saturating_duration_since(self.begin)).as_secs_f64()
    }
}

impl Parent {
    /// Reads `Root=1-<time>-<number>;Parent=<number>;Sampled=1`; none where it is not sampled or malformed.
    fn sampled(header: &str) -> Option<Self> {
        let find = |name: &str| {
            let mut fields = header.split(';').filter_map(|field| field.trim().split_once('='));
            fields.find(|(found, _)| *found == name).map(|(_, value)| value)
        };
        let is_id = |text: &&str| text.bytes().all(|it| it.is_ascii_hexdigit() || it == b'-');
        let trace_id = find("Root").filter(is_id)?.to_owned();
        let segment_id = find("Parent").filter(is_id)?.to_owned();
        (find("Sampled") == Some("1")).then_some(Self { trace_id, segment_id })
    }
}

impl RequestSpan {
    /// Begins the span of a request with so many writes, sent so often before.
    pub(crate) fn begin(
        operation: &'static str,
        tables: BTreeSet<String>,
        writes: usize,
        retries: u32,
    ) -> Self {
        let begin = Instant::now();
        Self { operation, tables, writes, retries, begin, end: begin, trouble: None }
    }

    /// The span after its answer.
    pub(crate) fn ended(self, result: &Result<Reply, Trouble>) -> Self {
        let trouble = match result {
            // A condition that is false is an answer like another.
            Ok(_) => None,
            Err(Trouble::Throttled(_)) => Some(Flag::Throttle),
            Err(Trouble::Transient(_) | Trouble::Unreadable(_)) => Some(Flag::Fault),
            Err(Trouble::Invalid { .. } | Trouble::Fault { .. }) => Some(Flag::Error),
        };
        Self { end: Instant::now(), trouble, ..self }
    }
}

/// What traces can be searched by: the counts of the batch's line in the log.
fn annotations(handled: &Handled) -> Value {
    let summary = &handled.summary;
    let outcomes = Outcome::ALL.map(|outcome| (outcome.name(), summary.count(outcome) as u64));
    let others = [
        ("received", summary.outcomes.len() as u64),
        ("conflict", summary.conflicts as u64),
        ("requests", summary.requests),
        ("retries", summary.retries),
        ("throttles", summary.throttles),
    ];
    let counts = outcomes.into_iter().chain(others);
    counts.map(|(name, count)| (name.to_owned(), count.into())).collect::<Map<_, _>>().into()
}

/// An identifier that no other span of the trace has.
fn id() -> String {
    format!("{:016x}", fastrand::u64(..))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{handler::Response, outcome::Summary};

    #[test]
    fn only_sampled_headers_are_followed() {
        #[track_caller]
        fn check(header: &str, expected: Option<(&str, &str)>) {
            let found = Parent::sampled(header);
            let found = found.as_ref().map(|it| (it.trace_id.as_str(), it.segment_id.as_str()));
            assert_eq!(found, expected, "{header}");
        }

        let (root, parent) = ("1-5759e988-bd862e3fe1be46a994272793", "53995c3f42cd8ad8");
        let header = |sampled: &str| format!("Root={root};Parent={parent};Sampled={sampled}");
        check(&header("1"), Some((root, parent)));
        check(&format!("{};Lineage=a87bd80c:0", header("1")), Some((root, parent)));
        check(&format!("Sampled=1; Parent={parent}; Root={root}"), Some((root, parent)));
        check(&header("0"), None);
        check(&header("?"), None);
        check(&format!("Root={root};Parent={parent}"), None);
        check(&format!("Root={root};Sampled=1"), None);
        check("", None);
        check(&header("1").replace("53", "\"}"), None);
    }

    fn span(tables: &[&str], milliseconds: u64, result: &Result<Reply, Trouble>) -> RequestSpan {
        let tables = tables.iter().map(|&table| table.to_owned()).collect();
        let span = RequestSpan::begin("BatchExecuteStatement", tables, 25, 1).ended(result);
        RequestSpan { end: span.begin + Duration::from_millis(milliseconds), ..span }
    }

    fn document(
        spans: impl FnOnce() -> Vec<RequestSpan>,
        answer: Result<Response, InvocationError>,
    ) -> Value {
        let tracer = Tracer::connect(SocketAddr::from((Ipv4Addr::LOCALHOST, 9))).unwrap();
        let batch = tracer.begin(Some("Root=1-2-3;Parent=4;Sampled=1")).unwrap();
        let spans = spans();
        let summary = Summary {
            outcomes: vec![Outcome::Written, Outcome::Written, Outcome::Stale],
            conflicts: 0,
            quarantine_failed: 0,
            tombstone_failed: 0,
            requests: spans.len() as u64,
            retries: 1,
            throttles: 0,
        };
        let handled = Ok(Handled { summary, answer, spans });
        let text = batch.document(&handled, Instant::now());
        assert!(text.len() <= MAX_DOCUMENT_BYTES);
        serde_json::from_str(&text).unwrap()
    }

    #[test]
    fn a_batch_shows_its_counts_and_requests() {
        let spans = || {
            let applied = span(&["items"], 1, &Ok(Reply::Applied));
            let throttled =
                span(&["items", "tombstones"], 2, &Err(Trouble::Throttled(String::new())));
            let lost = span(&["items"], 3, &Err(Trouble::Transient(String::new())));
            vec![applied, throttled, lost]
        };
        let document = document(spans, Ok(Response::default()));
        assert_eq!(
            [&document["trace_id"], &document["parent_id"], &document["type"]],
            ["1-2-3", "4", "subsegment"]
        );
        let annotations = &document["annotations"];
        assert_eq!([&annotations["written"], &annotations["stale"]], [2, 1]);
        assert_eq!([&document["fault"], &annotations["failed"]], [&json!(false), &json!(0)]);

        let [lost, throttled, applied] = document["subsegments"].as_array().unwrap().as_slice()
        else {
            panic!("{document}")
        };
        assert_eq!(lost["fault"], true);
        assert_eq!([&throttled["error"], &throttled["throttle"]], [true, true]);
        assert_eq!(throttled["aws"]["table_names"], json!(["items", "tombstones"]));
        assert_eq!(applied["aws"]["table_name"], "items");
        assert_eq!([&applied["fault"], &applied["error"]], [&Value::Null, &Value::Null]);
        let took = applied["end_time"].as_f64().unwrap() - applied["start_time"].as_f64().unwrap();
        assert!((took - 0.001).abs() < 0.0001);
    }

    #[test]
    fn a_batch_shows_no_more_than_x_ray_takes() {
        let spans =
            |table: &str| (0..500).map(|n| span(&[table], n, &Ok(Reply::Applied))).collect();
        let few = document(|| spans("items"), Err(InvocationError::Panicked));
        assert_eq!(few["fault"], true);
        let shown = few["subsegments"].as_array().unwrap();
        assert_eq!(shown.len(), MAX_REQUESTS);
        let large = document(|| spans(&"n".repeat(3000)), Ok(Response::default()));
        assert_eq!(large["subsegments"].as_array().unwrap().len(), 12);
    }
}
