//! A real Apache Kafka: one `KRaft` node on free ports of this machine.

use std::{
    fs,
    net::TcpListener,
    path::{Path, PathBuf},
    process::Stdio,
    time::{Duration, Instant},
};

use rdkafka::{
    ClientConfig,
    consumer::{BaseConsumer, Consumer as _},
};
use tokio::process::{Child, Command};

use super::signal;

/// A node whose data outlive its process.
#[derive(Debug)]
pub(crate) struct Kafka {
    jars: PathBuf,
    directory: PathBuf,
    port: u16,
    process: Option<Child>,
}

/// It takes some four seconds on a machine with nothing else to do.
const START: Duration = Duration::from_mins(2);

impl Kafka {
    /// Formats a new node in `directory`, which is emptied, and starts it.
    pub(crate) async fn start(jars: &Path, directory: &Path) -> Self {
        if directory.exists() {
            fs::remove_dir_all(directory).unwrap();
        }
        fs::create_dir_all(directory).unwrap();
        let (port, controller) = free_ports();
        let mut kafka =
            Self { jars: jars.to_owned(), directory: directory.to_owned(), port, process: None };
        fs::write(kafka.properties(), properties(port, controller, &directory.join("data")))
            .unwrap();
        kafka.storage_tool().await;
        kafka.run().await;
        kafka
    }

    pub(crate) fn bootstrap_servers(&self) -> String {
        format!("127.0.0.1:{}", self.port)
    }

    /// Starts it again on the data that it had.
    pub(crate) async fn run(&mut self) {
        let log = fs::File::create(self.directory.join("kafka.log")).unwrap();
        let process = self
            .java()
            .args(["-Xmx768m", "-XX:+UseSerialGC", "-XX:TieredStopAtLevel=1", "-cp"])
            .arg(self.jars.join("*"))
            .arg("kafka.Kafka")
            .arg(self.properties())
            .stdout(log.try_clone().unwrap())
            .stderr(log)
            .spawn()
            .unwrap();
        self.process = Some(process);
        self.wait().await;
    }

    /// Stops it as an operator does.
    pub(crate) async fn stop(&mut self) {
        if let Some(mut process) = self.process.take() {
            signal(process.id().unwrap(), "TERM");
            process.wait().await.unwrap();
        }
    }

    /// Stops it as a power cut does.
    pub(crate) async fn kill(&mut self) {
        if let Some(mut process) = self.process.take() {
            process.kill().await.unwrap();
        }
    }

    /// Runs Kafka's own tool for consumer groups and returns what it says. Its exit status says nothing: it is 0 also
    /// where the tool refused.
    pub(crate) async fn consumer_groups(&self, arguments: &[&str]) -> String {
        let output = self
            .java()
            .args(["-XX:+UseSerialGC", "-XX:TieredStopAtLevel=1", "-cp"])
            .arg(self.jars.join("*"))
            .arg("org.apache.kafka.tools.consumer.group.ConsumerGroupCommand")
            .args(["--bootstrap-server", &self.bootstrap_servers()])
            .args(arguments)
            .output()
            .await
            .unwrap();
        String::from_utf8(output.stdout).unwrap()
    }

    async fn wait(&mut self) {
        let deadline = Instant::now() + START;
        let servers = self.bootstrap_servers();
        while !is_up(&servers).await {
            let process = self.process.as_mut().unwrap();
            let log = self.directory.join("kafka.log");
            if let Some(status) = process.try_wait().unwrap() {
                panic!("Kafka ended with {status}: see {}", log.display());
            }
            assert!(Instant::now() < deadline, "Kafka does not start: see {}", log.display());
            tokio::time::sleep(Duration::from_millis(200)).await;
        }
    }

    async fn storage_tool(&self) {
        let output = self
            .java()
            .arg("-cp")
            .arg(self.jars.join("*"))
            .args(["kafka.tools.StorageTool", "format", "--cluster-id", CLUSTER, "--config"])
            .arg(self.properties())
            .output()
            .await
            .unwrap();
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    }

    fn java(&self) -> Command {
        let mut java = Command::new("java");
        java.current_dir(&self.directory).stdin(Stdio::null()).kill_on_drop(true);
        java
    }

    fn properties(&self) -> PathBuf {
        self.directory.join("server.properties")
    }
}

/// Any 16 bytes in base64 name a cluster.
const CLUSTER: &str = "ZTJlLWUyZS1lMmUtZTJlLQ";

/// The ports are chosen by the system, and free again a moment before they are taken.
fn free_ports() -> (u16, u16) {
    let listeners = [(); 2].map(|()| TcpListener::bind("127.0.0.1:0").unwrap());
    let [port, controller] = listeners.map(|it| it.local_addr().unwrap().port());
    (port, controller)
}

fn properties(port: u16, controller: u16, data: &Path) -> String {
    format!(
        "process.roles=broker,controller
node.id=1
controller.quorum.voters=1@127.0.0.1:{controller}
listeners=PLAINTEXT://127.0.0.1:{port},CONTROLLER://127.0.0.1:{controller}
advertised.listeners=PLAINTEXT://127.0.0.1:{port}
controller.listener.names=CONTROLLER
inter.broker.listener.name=PLAINTEXT
log.dirs={}
num.network.threads=2
num.io.threads=4
offsets.topic.replication.factor=1
offsets.topic.num.partitions=3
transaction.state.log.replication.factor=1
transaction.state.log.min.isr=1
group.initial.rebalance.delay.ms=0
group.min.session.timeout.ms=1000
auto.create.topics.enable=false
",
        data.display()
    )
}

async fn is_up(servers: &str) -> bool {
    let consumer: BaseConsumer =
        ClientConfig::new().set("bootstrap.servers", servers).create().unwrap();
    let ask = move || consumer.fetch_metadata(None, Duration::from_secs(2)).is_ok();
    tokio::task::spawn_blocking(ask).await.unwrap()
}
