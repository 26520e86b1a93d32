//! AWS's own DynamoDB Local, in memory, on a free port of this machine.

use std::{
    fs,
    net::{SocketAddr, TcpListener},
    path::Path,
    process::Stdio,
    time::{Duration, Instant},
};

use tokio::{
    net::TcpStream,
    process::{Child, Command},
};

/// It ends when it is dropped.
#[derive(Debug)]
pub(crate) struct DynamoDbLocal {
    address: SocketAddr,
    _process: Child,
}

/// It takes some three seconds on a machine with nothing else to do.
const START: Duration = Duration::from_mins(2);

impl DynamoDbLocal {
    pub(crate) async fn start(jars: &Path, log: &Path) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        drop(listener);
        let output = fs::File::create(log).unwrap();
        let mut process = Command::new("java")
            .arg(format!("-Djava.library.path={}", jars.display()))
            // The second compiler and threads that collect garbage would take the tests' processor.
            .args(["-Xmx1g", "-XX:+UseSerialGC", "-XX:TieredStopAtLevel=1", "-cp"])
            .arg(jars.join("*"))
            .arg("software.amazon.dynamodb.services.local.main.ServerRunner")
            // With telemetry it would call AWS, and leave a file where it runs.
            .args(["-inMemory", "-disableTelemetry", "-port", &address.port().to_string()])
            .current_dir(log.parent().unwrap())
            .stdin(Stdio::null())
            .stdout(output.try_clone().unwrap())
            .stderr(output)
            .kill_on_drop(true)
            .spawn()
            .unwrap();
        let deadline = Instant::now() + START;
        while TcpStream::connect(address).await.is_err() {
            if let Some(status) = process.try_wait().unwrap() {
                panic!("DynamoDB Local ended with {status}: see {}", log.display());
            }
            assert!(Instant::now() < deadline, "it does not start: see {}", log.display());
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
        Self { address, _process: process }
    }

    pub(crate) fn address(&self) -> SocketAddr {
        self.address
    }

    pub(crate) fn endpoint(&self) -> String {
        format!("http://{}", self.address)
    }
}
