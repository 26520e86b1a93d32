//! A proxy in front of DynamoDB Local: it gives every request another access key, and with it another database.

use std::{
    fmt, io,
    net::{Ipv4Addr, SocketAddr},
    sync::Arc,
};

use tokio::{
    io::{AsyncWriteExt as _, BufReader},
    net::{
        TcpListener, TcpStream,
        tcp::{OwnedReadHalf, OwnedWriteHalf},
    },
    task::{JoinHandle, JoinSet},
};

use crate::support::proxy::{is_header, read_request};

/// A running front; it stops when it is dropped.
pub(super) struct Front {
    address: SocketAddr,
    server: JoinHandle<()>,
}

/// What it passes requests on with.
#[derive(Debug)]
struct Target {
    address: String,
    access_key: String,
}

impl Front {
    pub(super) async fn start(address: &str, access_key: &str) -> Self {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
        let target = Target { address: address.to_owned(), access_key: access_key.to_owned() };
        let address = listener.local_addr().unwrap();
        let server = tokio::spawn(accept(listener, Arc::new(target)));
        Self { address, server }
    }

    pub(super) fn endpoint(&self) -> String {
        format!("http://{}", self.address)
    }
}

impl Drop for Front {
    fn drop(&mut self) {
        self.server.abort();
    }
}

impl fmt::Debug for Front {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Front").field("address", &self.address).finish_non_exhaustive()
    }
}

async fn accept(listener: TcpListener, target: Arc<Target>) {
    // Owned by this task, so that the connections end with it.
    let mut connections = JoinSet::new();
    while let Ok((client, _)) = listener.accept().await {
        connections.spawn(serve(client, Arc::clone(&target)));
        while connections.try_join_next().is_some() {}
    }
}

/// One connection to DynamoDB Local for each of a client's; either side ends both.
async fn serve(client: TcpStream, target: Arc<Target>) -> io::Result<()> {
    let server = TcpStream::connect(&target.address).await?;
    client.set_nodelay(true)?;
    server.set_nodelay(true)?;
    let (from_client, mut to_client) = client.into_split();
    let (mut from_server, to_server) = server.into_split();
    tokio::select! {
        ended = pass_requests(from_client, to_server, &target.access_key) => ended,
        ended = tokio::io::copy(&mut from_server, &mut to_client) => ended.map(|_| ()),
    }
}

async fn pass_requests(
    client: OwnedReadHalf,
    mut server: OwnedWriteHalf,
    access_key: &str,
) -> io::Result<()> {
    let mut client = BufReader::new(client);
    while let Some((mut head, body)) = read_request(&mut client).await? {
        for line in head.iter_mut().filter(|line| is_header(line, "authorization")) {
            *line = with_access_key(line, access_key);
        }
        let (head, length) = (head.join("\r\n"), body.len());
        let head = format!("{head}\r\ncontent-length: {length}\r\n\r\n");
        server.write_all(&[head.as_bytes(), &body].concat()).await?;
    }
    Ok(())
}

/// The header with another access key: the first part of what it calls the credential.
fn with_access_key(header: &str, access_key: &str) -> String {
    let Some((before, credential)) = header.split_once("Credential=") else {
        return header.to_owned();
    };
    let (_, scope) = credential.split_once('/').unwrap_or_default();
    format!("{before}Credential={access_key}/{scope}")
}
