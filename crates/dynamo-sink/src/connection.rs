//! A connection to DynamoDB for requests whose bodies are complete: it signs and sends them, and brings the answers.
//!
//! The SDK's configuration, credentials, endpoints, signatures and HTTP client do the work. What is left out is its
//! orchestration of single calls, which costs more than the rest of a request: serializing, retries, interceptors.

use std::{
    sync::{Arc, Mutex, PoisonError},
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
    http::{HttpConnector as _, HttpConnectorSettings, SharedHttpConnector, http_client_fn},
    identity::Identity,
};
use aws_smithy_types::{body::SdkBody, byte_stream::ByteStream};
use aws_types::service_config::ServiceConfigKey;

use crate::dynamodb::{Trouble, chain};

/// The longest time for a connection to be made, as in the SDK.
const CONNECT_TIMEOUT: Duration = Duration::from_millis(3100);

/// Credentials are asked for again when they expire within this time.
const EXPIRY_MARGIN: Duration = Duration::from_mins(1);

/// Whose requests these are, for AWS's own logs.
const USER_AGENT: &str = concat!("compare-connector/", env!("CARGO_PKG_VERSION"));

/// Where DynamoDB is and who calls it; its clones share their HTTP connections.
#[derive(Clone, Debug)]
pub struct Connection(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    config: SdkConfig,
    connector: SharedHttpConnector,
    endpoint: String,
    region: String,
    provider: SharedCredentialsProvider,
    /// The credentials that were provided last.
    caller: Mutex<Option<Caller>>,
}

#[derive(Clone, Debug)]
struct Caller {
    identity: Identity,
    expires_at: Option<SystemTime>,
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
    #[error("the endpoint of DynamoDB can't be told")]
    Endpoint(#[source] Box<dyn std::error::Error + Send + Sync>),
}

/// An answer, whatever it says.
#[derive(Debug)]
pub(crate) struct Answer {
    pub(crate) status: u16,
    pub(crate) body: Vec<u8>,
}

impl Connection {
    /// Loads the configuration that `loader` describes; nothing is sent yet.
    pub async fn new(loader: ConfigLoader) -> Result<Self, ConnectionError> {
        let settings = HttpConnectorSettings::builder().connect_timeout(CONNECT_TIMEOUT).build();
        let connector = Connector::builder()
            .connector_settings(settings)
            .tls_provider(Provider::Rustls(CryptoMode::AwsLc))
            .build();
        let connector = SharedHttpConnector::new(connector);
        let shared = connector.clone();
        let loader = loader.http_client(http_client_fn(move |_, _| shared.clone()));
        // Boxed, since loading has a future of many kilobytes.
        let config = Box::pin(loader.load()).await;
        let region = config.region().ok_or(ConnectionError::MissingRegion)?.to_string();
        let provider = config.credentials_provider().ok_or(ConnectionError::MissingCredentials)?;
        let endpoint = endpoint(&config, &region).await?;
        let caller = Mutex::new(None);
        Ok(Self(Arc::new(Inner { config, connector, endpoint, region, provider, caller })))
    }

    /// A client of the same configuration and HTTP connections, for other requests than the writer's.
    pub fn client(&self) -> Client {
        Client::new(&self.0.config)
    }

    /// Sends one request, without retries.
    pub(crate) async fn call(&self, operation: &str, body: Vec<u8>) -> Result<Answer, Trouble> {
        let identity = self.identity().await.map_err(|error| fault(Box::new(error)))?;
        let request = self.signed(operation, body, &identity).map_err(fault)?;
        let answer = self.0.connector.call(request).await.map_err(|error| unusable(&error))?;
        let status = answer.status().as_u16();
        let body = ByteStream::new(answer.into_body()).collect().await;
        let body = body.map_err(|error| unusable(&error))?.into_bytes().into();
        Ok(Answer { status, body })
    }

    async fn identity(&self) -> Result<Identity, CredentialsError> {
        let known = self.0.caller.lock().unwrap_or_else(PoisonError::into_inner).clone();
        let soon = SystemTime::now() + EXPIRY_MARGIN;
        if let Some(caller) = known
            && caller.expires_at.is_none_or(|expires_at| expires_at > soon)
        {
            return Ok(caller.identity);
        }
        let credentials: Credentials = self.0.provider.provide_credentials().await?;
        let expires_at = credentials.expiry();
        let identity = Identity::from(credentials);
        let caller = Caller { identity: identity.clone(), expires_at };
        *self.0.caller.lock().unwrap_or_else(PoisonError::into_inner) = Some(caller);
        Ok(identity)
    }

    fn signed(
        &self,
        operation: &str,
        body: Vec<u8>,
        identity: &Identity,
    ) -> Result<HttpRequest, Box<dyn std::error::Error + Send + Sync>> {
        let target = format!("DynamoDB_20120810.{operation}");
        let headers =
            [("content-type", "application/x-amz-json-1.0"), ("x-amz-target", target.as_str())];
        let params = SigningParams::builder()
            .identity(identity)
            .region(&self.0.region)
            .name("dynamodb")
            .time(SystemTime::now())
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

        let length = body.len().to_string();
        let mut request = HttpRequest::new(SdkBody::from(body));
        request.set_method("POST")?;
        request.set_uri(endpoint.as_str())?;
        for (name, value) in headers {
            request.headers_mut().insert(name, value.to_owned());
        }
        request.headers_mut().insert("content-length", length);
        request.headers_mut().insert("user-agent", USER_AGENT);
        let (signature_headers, _) = signature.into_parts();
        for header in signature_headers {
            request.headers_mut().insert(header.name(), header.value().to_owned());
        }
        Ok(request)
    }
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

fn fault(source: Box<dyn std::error::Error + Send + Sync>) -> Trouble {
    Trouble::Fault {
        message: "the request to DynamoDB could not be made".to_owned(),
        source: Some(source),
    }
}

fn unusable(error: &(dyn std::error::Error + 'static)) -> Trouble {
    Trouble::Transient(format!("no usable answer from DynamoDB: {}", chain(error)))
}

#[cfg(test)]
mod tests {
    use std::{
        io::{Read as _, Write as _},
        net::TcpListener,
        thread,
    };

    use aws_config::{BehaviorVersion, Region};
    use sha2::{Digest as _, Sha256};

    use super::*;

    const BODY: &str = r#"{"TableName":"plans"}"#;

    #[tokio::test]
    async fn a_request_has_the_signature_that_dynamodb_computes() {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let host = listener.local_addr().unwrap().to_string();
        let request = thread::spawn(move || answer_one(&listener));

        let token = Some("session/token=".to_owned());
        let config = aws_config::defaults(BehaviorVersion::latest())
            .endpoint_url(format!("http://{host}"))
            .region(Region::new("eu-west-1"))
            .credentials_provider(Credentials::new("AKID", "secret", token, None, "tests"));
        let connection = Connection::new(config).await.unwrap();
        let answer = connection.call("PutItem", BODY.into()).await.unwrap();
        assert_eq!((answer.status, answer.body.as_slice()), (400, b"{}".as_slice()));

        let request = request.join().unwrap();
        let (head, body) = request.split_once("\r\n\r\n").unwrap();
        let header = |name: &str| {
            let mut lines = head.lines().filter_map(|line| line.split_once(": "));
            let found = lines.find(|(found, _)| found.eq_ignore_ascii_case(name));
            found.map(|(_, value)| value.to_owned()).unwrap_or_default()
        };
        assert!(head.starts_with("POST / HTTP/1.1\r\n"), "{head}");
        assert_eq!(body, BODY);
        let (time, expected_target) = (header("x-amz-date"), "DynamoDB_20120810.PutItem");
        assert_eq!(header("x-amz-target"), expected_target);

        // As the documentation of AWS tells it, step by step.
        let names = "content-type;host;x-amz-date;x-amz-security-token;x-amz-target";
        let canonical = format!(
            "POST\n/\n\ncontent-type:application/x-amz-json-1.0\nhost:{host}\nx-amz-date:{time}\n\
             x-amz-security-token:session/token=\nx-amz-target:{expected_target}\n\n{names}\n{}",
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
            header("authorization"),
            format!(
                "AWS4-HMAC-SHA256 Credential=AKID/{scope}, SignedHeaders={names}, Signature={signature}"
            )
        );
    }

    /// Reads one request, refuses it, and returns its text.
    fn answer_one(listener: &TcpListener) -> String {
        let (mut stream, _) = listener.accept().unwrap();
        let mut request = Vec::new();
        while !request.ends_with(BODY.as_bytes()) {
            let mut part = [0; 1024];
            let length = stream.read(&mut part).unwrap();
            request.extend_from_slice(&part[..length]);
        }
        stream.write_all(b"HTTP/1.1 400 Bad Request\r\ncontent-length: 2\r\n\r\n{}").unwrap();
        String::from_utf8(request).unwrap()
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
}
