//! A connection to DynamoDB for requests whose bodies are complete: it signs and sends them, and brings the answers.
//!
//! The SDK's configuration, credentials, endpoints, signatures and HTTP client do the work. What is left out is its
//! orchestration of single calls: serializing, retries, interceptors. Put to the same use, with this serializer and no
//! retries, it adds 158,000 instructions to a request (2.70 millions for 2.54; callgrind, 40 KB, dependencies at level
//! 1). Of a function's processor time for an Appian record that is 4 and 14 % where it exists and 20 and 24 % where it
//! is new, at 8 and at 32 requests in flight (two runs of 4 processes, by turns on a busy machine): new ones would cost
//! more than 9 % of what the usual way costs.
//!
//! Of the SDK's tasks this module has those that matter to the writer: it signs by DynamoDB's clock, asks for
//! credentials again when they expire or are refused, and drops HTTP connections that may be dead.

use std::{
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicI64, Ordering},
    },
    time::{Duration, SystemTime},
};

use aws_config::{ConfigLoader, SdkConfig};
use aws_credential_types::{
    Credentials,
    provider::{ProvideCredentials, SharedCredentialsProvider, error::CredentialsError},
};
use aws_sdk_dynamodb::{
    Client,
    config::{
        endpoint::{DefaultResolver, Params, ResolveEndpoint},
        http::HttpRequest,
    },
    primitives::{DateTime, DateTimeFormat},
};
use aws_sigv4::{
    http_request::{SignableBody, SignableRequest, SigningSettings, sign},
    sign::v4::SigningParams,
};
use aws_smithy_http_client::{
    Connector,
    tls::{Provider, rustls_provider::CryptoMode},
};
use aws_smithy_runtime_api::client::{
    connection::CaptureSmithyConnection,
    http::{HttpConnector as _, HttpConnectorSettings, SharedHttpConnector, http_client_fn},
    identity::Identity,
};
use aws_smithy_types::{body::SdkBody, byte_stream::ByteStream};
use aws_types::service_config::ServiceConfigKey;

use super::trouble::{Trouble, with_causes};

/// The longest time for a connection to be made, as in the SDK.
const CONNECT_TIMEOUT: Duration = Duration::from_millis(3100);

/// The longest time for an HTTP connection to wait for its next request: what stands between may forget it silently.
const IDLE_TIMEOUT: Duration = Duration::from_secs(20);

/// After this time without an answer no HTTP connection is used again. It is measured by the system's clock, since the
/// one behind [`IDLE_TIMEOUT`] stands still while Lambda freezes the environment.
const FREEZE: Duration = Duration::from_mins(1);

/// Credentials are asked for again when they expire within this time.
const EXPIRY_MARGIN: Duration = Duration::from_mins(1);

/// The system's clock is trusted up to this difference from DynamoDB's, which allows signatures five minutes.
const CLOCK_TOLERANCE: Duration = Duration::from_mins(4);

/// Whose requests these are, for AWS's own logs.
const USER_AGENT: &str = concat!("compare-connector/", env!("CARGO_PKG_VERSION"));

/// Where DynamoDB is and who calls it; its clones share their HTTP connections.
#[derive(Clone, Debug)]
pub struct Connection(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    config: SdkConfig,
    endpoint: String,
    region: String,
    provider: SharedCredentialsProvider,
    /// Who was provided last. Locked while it is asked for, so that one request asks for all.
    caller: tokio::sync::Mutex<Option<Identity>>,
    pool: Mutex<Pool>,
    /// By how many milliseconds DynamoDB's clock is ahead of the system's; 0 within [`CLOCK_TOLERANCE`].
    clock_ahead: AtomicI64,
}

/// HTTP connections that are used again.
#[derive(Clone, Debug)]
struct Pool {
    connector: SharedHttpConnector,
    /// How many pools there were before this one.
    number: u64,
    answered_at: SystemTime,
}

/// Why there is no connection.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ConnectionError {
    /// Occurs when neither the environment nor a profile names the region.
    #[error("no AWS region is set")]
    MissingRegion,
    /// Occurs when there is nothing to take credentials from.
    #[error("no provider of AWS credentials is set")]
    MissingCredentials,
    /// Occurs when the region has no endpoint.
    #[error("DynamoDB's endpoint cannot be determined")]
    Endpoint(#[source] Box<dyn std::error::Error + Send + Sync>),
}

/// An answer, whatever it says.
#[derive(Debug)]
pub(crate) struct HttpResponse {
    pub(crate) status: u16,
    pub(crate) body: Vec<u8>,
    /// DynamoDB's name for the request.
    pub(crate) request_id: Option<String>,
    /// Who had signed the request.
    pub(crate) caller: Identity,
}

impl Connection {
    /// Loads the configuration that `loader` describes; nothing is sent yet.
    pub async fn new(loader: ConfigLoader) -> Result<Self, ConnectionError> {
        let pool = Pool { connector: connector(), number: 0, answered_at: SystemTime::now() };
        let shared = pool.connector.clone();
        let loader = loader.http_client(http_client_fn(move |_, _| shared.clone()));
        // Boxed, since loading has a future of many kilobytes.
        let config = Box::pin(loader.load()).await;
        let region = config.region().ok_or(ConnectionError::MissingRegion)?.to_string();
        let provider = config.credentials_provider().ok_or(ConnectionError::MissingCredentials)?;
        let endpoint = endpoint(&config, &region).await?;
        Ok(Self(Arc::new(Inner {
            config,
            endpoint,
            region,
            provider,
            caller: tokio::sync::Mutex::default(),
            pool: Mutex::new(pool),
            clock_ahead: AtomicI64::new(0),
        })))
    }

    /// A client of the same configuration and HTTP connections, for other requests than the writer's.
    pub fn client(&self) -> Client {
        Client::new(&self.0.config)
    }

    /// The time: by DynamoDB's clock where the system's clock is far from it.
    pub(crate) fn now(&self) -> SystemTime {
        let ahead = self.0.clock_ahead.load(Ordering::Relaxed);
        let difference = Duration::from_millis(ahead.unsigned_abs());
        let now = SystemTime::now();
        if ahead < 0 { now - difference } else { now + difference }
    }

    /// Sends one request, without retries.
    pub(crate) async fn call(
        &self,
        operation: &str,
        body: Vec<u8>,
        timeout: Duration,
    ) -> Result<HttpResponse, Trouble> {
        let Pool { connector, number, .. } = self.pool();
        let late = |whose: &str| Trouble::Transient(format!("no answer from {whose} in time"));
        let caller = tokio::time::timeout(timeout, self.caller()).await;
        let caller = caller.map_err(|_| late("the provider of AWS credentials"))?;
        let caller = caller.map_err(|error| fault(&error))?;
        let answer = self.exchange(&connector, operation, body, caller);
        let answer = tokio::time::timeout(timeout, answer).await;
        let answer = answer.unwrap_or_else(|_| Err(late("DynamoDB")));
        if let Err(Trouble::Transient(_)) = answer {
            // Whatever broke this HTTP connection may have broken those that wait beside it.
            self.renew_pool(number);
        }
        answer
    }

    /// Credentials that DynamoDB refused are asked for again.
    pub(crate) async fn forget(&self, caller: &Identity) {
        let credentials = |identity: &Identity| identity.data::<Credentials>().cloned();
        let mut known = self.0.caller.lock().await;
        // Others may have asked in the meantime.
        known.take_if(|known| credentials(known) == credentials(caller));
    }

    /// The HTTP connections to use now.
    fn pool(&self) -> Pool {
        let pool = self.0.pool.lock().unwrap_or_else(PoisonError::into_inner).clone();
        let silence = SystemTime::now().duration_since(pool.answered_at);
        if silence.is_ok_and(|silence| silence > FREEZE) {
            self.renew_pool(pool.number)
        } else {
            pool
        }
    }

    /// Drops the idle connections of a pool, unless that was done already.
    fn renew_pool(&self, number: u64) -> Pool {
        let mut pool = self.0.pool.lock().unwrap_or_else(PoisonError::into_inner);
        if pool.number == number {
            let answered_at = SystemTime::now();
            *pool = Pool { connector: connector(), number: pool.number + 1, answered_at };
        }
        pool.clone()
    }

    async fn exchange(
        &self,
        connector: &SharedHttpConnector,
        operation: &str,
        body: Vec<u8>,
        caller: Identity,
    ) -> Result<HttpResponse, Trouble> {
        let mut request =
            self.signed(operation, body, &caller).map_err(|error| fault(error.as_ref()))?;
        let connection = CaptureSmithyConnection::new();
        request.add_extension(connection.clone());
        let answer = connector.call(request).await.map_err(|error| unusable(&error))?;
        let header = |name: &str| answer.headers().get(name).map(str::to_owned);
        self.answered(header("date").as_deref());
        let status = answer.status().as_u16();
        if status >= 500
            && let Some(connection) = connection.get()
        {
            // The server behind it may be the one that is broken.
            connection.poison();
        }
        let request_id = header("x-amzn-requestid");
        let body = ByteStream::new(answer.into_body()).collect().await;
        let body = body.map_err(|error| unusable(&error))?.into_bytes().into();
        Ok(HttpResponse { status, body, request_id, caller })
    }

    /// Takes note of an answer's time.
    fn answered(&self, date: Option<&str>) {
        let now = SystemTime::now();
        self.0.pool.lock().unwrap_or_else(PoisonError::into_inner).answered_at = now;
        let date = date.and_then(|date| DateTime::from_str(date, DateTimeFormat::HttpDate).ok());
        let Some(date) = date.and_then(|date| SystemTime::try_from(date).ok()) else { return };
        let (difference, sign) = match date.duration_since(now) {
            Ok(ahead) => (ahead, 1),
            Err(behind) => (behind.duration(), -1),
        };
        let difference = if difference > CLOCK_TOLERANCE { difference } else { Duration::ZERO };
        let milliseconds = i64::try_from(difference.as_millis()).unwrap_or_default();
        self.0.clock_ahead.store(sign * milliseconds, Ordering::Relaxed);
    }

    async fn caller(&self) -> Result<Identity, CredentialsError> {
        let mut known = self.0.caller.lock().await;
        let now = self.now();
        let lasts =
            |caller: &Identity, time| caller.expiration().is_none_or(|end| end > now + time);
        if let Some(caller) = known.as_ref().filter(|caller| lasts(caller, EXPIRY_MARGIN)) {
            return Ok(caller.clone());
        }
        match self.0.provider.provide_credentials().await {
            Ok(credentials) => Ok(known.insert(credentials.into()).clone()),
            // Those that are known do as long as they last.
            Err(error) => known.clone().filter(|caller| lasts(caller, Duration::ZERO)).ok_or(error),
        }
    }

    fn signed(
        &self,
        operation: &str,
        body: Vec<u8>,
        caller: &Identity,
    ) -> Result<HttpRequest, Box<dyn std::error::Error + Send + Sync>> {
        let target = format!("DynamoDB_20120810.{operation}");
        let headers =
            [("content-type", "application/x-amz-json-1.0"), ("x-amz-target", target.as_str())];
        let params = SigningParams::builder()
            .identity(caller)
            .region(&self.0.region)
            .name("dynamodb")
            .time(self.now())
            .settings(SigningSettings::default())
            .build()?
            .into();
        let endpoint = &self.0.endpoint;
        let signable = SignableRequest::new(
            "POST",
            endpoint,
            headers.into_iter(),
            SignableBody::Bytes(&body),
        )?;
        let (signature, _) = sign(signable, &params)?.into_parts();

        let mut request = HttpRequest::new(SdkBody::from(body));
        request.set_method("POST")?;
        request.set_uri(endpoint.as_str())?;
        for (name, value) in headers {
            request.headers_mut().insert(name, value.to_owned());
        }
        request.headers_mut().insert("user-agent", USER_AGENT);
        let (signature_headers, _) = signature.into_parts();
        for header in signature_headers {
            request.headers_mut().insert(header.name(), header.value().to_owned());
        }
        Ok(request)
    }
}

fn connector() -> SharedHttpConnector {
    let settings = HttpConnectorSettings::builder().connect_timeout(CONNECT_TIMEOUT).build();
    let connector = Connector::builder()
        .connector_settings(settings)
        .pool_idle_timeout(IDLE_TIMEOUT)
        .tls_provider(Provider::Rustls(CryptoMode::AwsLc))
        .build();
    SharedHttpConnector::new(connector)
}

/// The endpoint that the settings name for DynamoDB or for all services, or the region's.
async fn endpoint(config: &SdkConfig, region: &str) -> Result<String, ConnectionError> {
    let key = ServiceConfigKey::builder()
        .service_id("DynamoDB")
        .env("AWS_ENDPOINT_URL")
        .profile("endpoint_url")
        .build()
        .map_err(|error| ConnectionError::Endpoint(Box::new(error)))?;
    let own = config.service_config().and_then(|settings| settings.load_config(key));
    // One that the code sets comes before all settings.
    let is_in_code = config.get_origin("endpoint_url").is_client_config();
    let named = config.endpoint_url().map(str::to_owned);
    let named = if is_in_code { named } else { own.or(named) };

    let params = Params::builder()
        .region(region.to_owned())
        .set_endpoint(named)
        .set_use_fips(config.use_fips())
        .set_use_dual_stack(config.use_dual_stack())
        .build()
        .map_err(|error| ConnectionError::Endpoint(Box::new(error)))?;
    let regions = DefaultResolver::new();
    let resolved = ResolveEndpoint::resolve_endpoint(&regions, &params).await;
    let url = resolved.map_err(ConnectionError::Endpoint)?.url().to_owned();
    Ok(if url.ends_with('/') { url } else { url + "/" })
}

fn fault(error: &(dyn std::error::Error + 'static)) -> Trouble {
    let cause = with_causes(error);
    Trouble::Fault(format!("the request to DynamoDB could not be made: {cause}"))
}

fn unusable(error: &(dyn std::error::Error + 'static)) -> Trouble {
    Trouble::Transient(format!("no usable answer from DynamoDB: {}", with_causes(error)))
}

#[cfg(test)]
mod tests;
