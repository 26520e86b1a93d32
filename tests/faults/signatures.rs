//! Requests that DynamoDB takes for no caller's: its clock is another, a signature broke, credentials expired.

use std::{
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use aws_config::{BehaviorVersion, Region};
use aws_credential_types::{
    Credentials,
    provider::{ProvideCredentials, future},
};
use dynamo_sink::{
    connection::Connection,
    handler::Handler,
    outcome::Outcome::{Failed, Written},
};

use crate::{
    faults::{TRANSPORTS, batch::Batch, check_unharmed, contents, failure, run},
    support::{Act, Proxy, Refusal, Request, TIME, settings},
};

/// What is wrong with a signature, or seems to be.
const SIGNATURE_CODES: [&str; 6] = [
    "InvalidSignatureException",
    "SignatureDoesNotMatch",
    "IncompleteSignatureException",
    "RequestExpired",
    "RequestTimeTooSkewed",
    "RequestInTheFuture",
];

/// What is wrong with credentials.
const CREDENTIALS_CODES: [&str; 3] =
    ["ExpiredTokenException", "UnrecognizedClientException", "InvalidClientTokenId"];

/// Such a message quotes the request's headers, and with them the session's token.
const MESSAGE: &str = "The Canonical String for this request should have been 'VALUE'";

#[tokio::test]
async fn a_clock_that_is_wrong_costs_one_round() {
    for ahead in [600, -600] {
        for batch in [Batch::seatool(), Batch::appian()] {
            for statements in TRANSPORTS {
                let is_late = move |request: &Request| (request.signed_after() - ahead).abs() > 300;
                let rule = move |request: &Request| {
                    let refusal =
                        Refusal { code: "InvalidSignatureException", message: "Signature expired" };
                    let act = if is_late(request) { Act::Refuse(refusal) } else { Act::Pass };
                    Act::Dated(ahead, Box::new(act))
                };
                let run = check_unharmed(&batch, statements, false, rule).await;

                let requests = run.proxy.requests();
                let late = requests.iter().filter(|request| is_late(request)).count();
                let first_right = requests.iter().position(|request| !is_late(request)).unwrap();
                assert!(late > 0 && run.landed.summary.retries > 0);
                // Those in flight at first; one more may have been signed while their answers came.
                assert!(late <= first_right + 8, "{late} of {}", requests.len());
            }
        }
    }
}

#[tokio::test]
async fn a_signature_or_a_caller_that_is_refused_once_is_sent_again() {
    for code in SIGNATURE_CODES.into_iter().chain(CREDENTIALS_CODES) {
        for statements in TRANSPORTS {
            let refusal = Refusal { code, message: MESSAGE };
            let rule = move |request: &Request| {
                if request.number == 0 { Act::Refuse(refusal) } else { Act::Pass }
            };
            let batch = Batch::replacements(3);
            let run = check_unharmed(&batch, statements, false, rule).await;
            assert_eq!(run.landed.summary.retries, if statements == "1" { 1 } else { 3 });
        }
    }
}

#[tokio::test]
async fn a_signature_or_a_caller_that_is_refused_for_ever_is_named_in_time() {
    for code in SIGNATURE_CODES.into_iter().chain(CREDENTIALS_CODES) {
        for mode in ["batch", "partial"] {
            let is_signature = SIGNATURE_CODES.contains(&code);
            let message = if is_signature { MESSAGE } else { "the token is invalid" };
            let refusal = Refusal { code, message };
            let rule = move |_: &Request| Act::Refuse(refusal);
            let time = Duration::from_secs(1);
            let changes = [("RESPONSE_MODE", mode)];
            let run = run(&Batch::replacements(30), &changes, Some(time), rule).await;

            assert_eq!(run.landed.summary.count(Failed), 30);
            assert!(run.proxy.requests().len() > 2);
            if mode == "partial" {
                assert_eq!(run.landed.answer.unwrap().batch_item_failures.len(), 30);
            } else {
                let text = failure(&run.landed);
                assert!(text.contains(code), "{text}");
                assert_eq!(text.contains(message), !is_signature, "{text}");
            }
        }
    }
}

/// A provider that gives other credentials each time: `KEY0`, `KEY1` and so on.
#[derive(Clone, Debug, Default)]
struct NewEachTime(Arc<AtomicUsize>);

impl ProvideCredentials for NewEachTime {
    fn provide_credentials<'a>(&'a self) -> future::ProvideCredentials<'a>
    where
        Self: 'a,
    {
        let number = self.0.fetch_add(1, Ordering::Relaxed);
        let credentials = Credentials::new(format!("KEY{number}"), "secret", None, None, "tests");
        future::ProvideCredentials::ready(Ok(credentials))
    }
}

#[tokio::test]
async fn credentials_that_expire_in_the_middle_of_a_batch_are_asked_for_again() {
    for code in CREDENTIALS_CODES {
        let batch = Batch::replacements(600);
        let dynamodb = batch.tables().await;
        let mut requests = 0;
        let rule = move |request: &Request| {
            requests += 1;
            let refusal = Refusal { code, message: "the token is invalid" };
            let has_expired = requests > 3 && request.access_key() == "KEY0";
            if has_expired { Act::Refuse(refusal) } else { Act::Pass }
        };
        let proxy = Proxy::start(&dynamodb, rule).await;
        let provider = NewEachTime::default();
        let config = aws_config::defaults(BehaviorVersion::latest())
            .endpoint_url(proxy.endpoint())
            .region(Region::new("us-east-1"))
            .credentials_provider(provider.clone());
        let connection = Connection::new(config).await.unwrap();
        let mut handler = Handler::new(batch.sink, settings(&batch.sink, &[]), connection);
        let landed = handler.land(batch.event.json().as_bytes(), Some(TIME)).await.unwrap();

        landed.answer.unwrap();
        assert_eq!(landed.summary.count(Written), 600);
        assert_eq!(contents(&dynamodb), batch.contents_without_faults("25").await);
        // Asked for once more, although up to eight requests were refused at one time.
        assert_eq!(provider.0.load(Ordering::Relaxed), 2);
        let refused = proxy.requests().len() - 600 / 25;
        assert!((1..=8).contains(&refused), "{refused}");
    }
}
