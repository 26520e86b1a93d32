//! TLS, as in front of the real service: what it costs is part of what a function costs.

use std::{
    fs, io,
    net::SocketAddr,
    path::PathBuf,
    sync::Arc,
    time::{Duration, Instant},
};

use rcgen::CertifiedKey;
use rustls::{ServerConfig, crypto::aws_lc_rs::default_provider, pki_types::PrivateKeyDer};
use tokio::{
    net::{TcpListener, TcpStream},
    task::JoinSet,
};
use tokio_rustls::{TlsAcceptor, server::TlsStream};

/// A certificate of its own, and a file by which programs come to trust it.
pub(super) struct Identity {
    pub(super) config: Arc<ServerConfig>,
    pub(super) trust: PathBuf,
}

impl Identity {
    /// A new identity for `localhost`, whose file has the port in its name.
    pub(super) fn create(port: u16) -> io::Result<Self> {
        let CertifiedKey { cert, signing_key } =
            rcgen::generate_simple_self_signed(["localhost".to_owned()])
                .map_err(io::Error::other)?;
        let key = PrivateKeyDer::try_from(signing_key.serialize_der()).map_err(io::Error::other)?;
        let config = ServerConfig::builder_with_provider(Arc::new(default_provider()))
            .with_safe_default_protocol_versions()
            .map_err(io::Error::other)?
            .with_no_client_auth()
            .with_single_cert(vec![cert.der().clone()], key)
            .map_err(io::Error::other)?;
        let trust = std::env::temp_dir().join(format!("bench-{}-{port}.pem", std::process::id()));
        fs::write(&trust, cert.pem())?;
        Ok(Self { config: Arc::new(config), trust })
    }
}

impl Drop for Identity {
    fn drop(&mut self) {
        // A file that is gone already is as good.
        let _: io::Result<()> = fs::remove_file(&self.trust);
    }
}

/// Accepts connections, several handshakes at a time.
pub(super) struct TlsListener<F> {
    pub(super) listener: TcpListener,
    pub(super) acceptor: TlsAcceptor,
    pub(super) handshakes: JoinSet<Option<(TlsStream<TcpStream>, SocketAddr, Duration)>>,
    /// Is told what each handshake took.
    pub(super) connected: F,
}

impl<F: FnMut(Duration) + Send + 'static> axum::serve::Listener for TlsListener<F> {
    type Io = TlsStream<TcpStream>;
    type Addr = SocketAddr;

    async fn accept(&mut self) -> (Self::Io, Self::Addr) {
        loop {
            tokio::select! {
                accepted = self.listener.accept() => {
                    let Ok((stream, address)) = accepted else { continue };
                    let acceptor = self.acceptor.clone();
                    self.handshakes.spawn(async move {
                        let begin = Instant::now();
                        // Without it answers would wait for more of them.
                        stream.set_nodelay(true).ok()?;
                        let stream = acceptor.accept(stream).await.ok()?;
                        Some((stream, address, begin.elapsed()))
                    });
                }
                Some(Ok(Some((stream, address, took)))) = self.handshakes.join_next() => {
                    (self.connected)(took);
                    return (stream, address);
                }
            }
        }
    }

    fn local_addr(&self) -> io::Result<SocketAddr> {
        self.listener.local_addr()
    }
}
