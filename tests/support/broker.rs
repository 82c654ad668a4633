//! A real broker: Apache Kafka 4.3.1 in `KRaft` mode, alone, on free loopback ports, with its data in
//! a temporary folder. It can be killed and started again on the same ports and data.

use std::fs::{self, File};
use std::net::TcpListener;
use std::path::Path;
use std::process::{Child, ChildStdin, Command, Stdio};
use std::sync::atomic::{AtomicU16, Ordering};
use std::time::Duration;

use tempfile::TempDir;

use super::{eventually, java, kcat};

/// Runs `$2 …` until standard input closes, then kills it and, if there is a file `$1/shared`,
/// removes the folder `$1`.
const UNDER_A_LEASH: &str = r#"folder=$1; shift
"$@" </dev/null & read -r _; kill -9 $!; wait
if [ -e "$folder/shared" ]; then rm -rf "$folder"; fi"#;

/// How long a broker may take to answer on a busy machine.
const READY_MAX: Duration = Duration::from_secs(90);

/// A broker of the test's own.
pub struct Broker {
    /// `None` while killed.
    process: Option<Process>,
    port: u16,
    folder: TempDir,
}

/// A broker's process under a shell that kills it as soon as its own standard input closes: the
/// broker never outlives the test, however the test ends.
struct Process {
    shell: Child,
    leash: Option<ChildStdin>,
}

impl Broker {
    /// Starts one and waits until it answers.
    pub fn start() -> Self {
        let [port, controller] = [free_port(), free_port()];
        let folder = TempDir::new().unwrap();
        let path = folder.path();
        let properties = path.join("server.properties");
        fs::write(&properties, configuration(port, controller, &path.join("data"))).unwrap();
        java::tool(
            "kafka.tools.StorageTool",
            &["format", "-t", "MkU3OEVBNTcwNTJENDM2Qg", "-c", properties.to_str().unwrap()],
        );
        let mut broker = Self { process: None, port, folder };
        broker.restart();
        broker
    }

    /// `host:port`.
    pub fn bootstrap(&self) -> String {
        format!("127.0.0.1:{}", self.port)
    }

    /// Ends the broker as a power failure would.
    pub fn kill(&mut self) {
        self.process = None;
    }

    /// Starts it again on the same port and data, and waits until it answers.
    pub fn restart(&mut self) {
        self.restart_without_waiting();
        let log = self.folder.path().join("kafka.log");
        let bootstrap = self.bootstrap();
        eventually(READY_MAX, || {
            kcat::answers(&bootstrap).map_err(|error| {
                format!("{error}\n{}", fs::read_to_string(&log).unwrap_or_default())
            })
        });
    }

    /// Starts it again, as [`Self::restart`] does, but returns at once.
    pub fn restart_without_waiting(&mut self) {
        self.kill();
        let log = File::create(self.folder.path().join("kafka.log")).unwrap();
        let mut shell = Command::new("sh");
        shell
            .args(["-c", UNDER_A_LEASH, "sh"])
            .arg(self.folder.path())
            .arg("java")
            .args(["-XX:+UseSerialGC", "-XX:TieredStopAtLevel=1", "-Xms128m", "-Xmx384m"])
            .args(["-cp", &java::class_path(), "kafka.Kafka"])
            .arg(self.folder.path().join("server.properties"))
            .stdin(Stdio::piped())
            .stdout(log.try_clone().unwrap())
            .stderr(log);
        let mut shell = shell.spawn().unwrap();
        let leash = shell.stdin.take();
        self.process = Some(Process { shell, leash });
    }

    /// Leaves it running until the test binary ends, for all tests in it; returns its address.
    pub fn share(mut self) -> String {
        let bootstrap = self.bootstrap();
        let process = self.process.take().unwrap();
        // The end of this process closes the shell's input, and the shell does the rest.
        File::create(self.folder.path().join("shared")).unwrap();
        std::mem::forget(process);
        std::mem::forget(self);
        bootstrap
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        drop(self.leash.take());
        // The shell ends when the broker is dead.
        let ended = self.shell.wait();
        assert!(ended.is_ok() || std::thread::panicking(), "the broker's shell: {ended:?}");
    }
}

/// A port that is free now. It lies below the range from which the system takes ports for outgoing
/// connections: a client that knocks while the broker is down would otherwise take the port itself.
pub fn free_port() -> u16 {
    static NEXT: AtomicU16 = AtomicU16::new(0);
    let start = u16::try_from(std::process::id() % 10_000).unwrap();
    loop {
        let step = NEXT.fetch_add(7, Ordering::SeqCst);
        let port = 20_000 + (start + step) % 12_000;
        if TcpListener::bind(("127.0.0.1", port)).is_ok() {
            return port;
        }
    }
}

fn configuration(port: u16, controller: u16, data: &Path) -> String {
    format!(
        "process.roles=broker,controller
node.id=1
controller.quorum.voters=1@127.0.0.1:{controller}
listeners=PLAINTEXT://127.0.0.1:{port},CONTROLLER://127.0.0.1:{controller}
advertised.listeners=PLAINTEXT://127.0.0.1:{port}
controller.listener.names=CONTROLLER
listener.security.protocol.map=PLAINTEXT:PLAINTEXT,CONTROLLER:PLAINTEXT
log.dirs={data}
offsets.topic.replication.factor=1
offsets.topic.num.partitions=4
transaction.state.log.replication.factor=1
transaction.state.log.min.isr=1
transaction.state.log.num.partitions=4
group.initial.rebalance.delay.ms=0
group.coordinator.rebalance.protocols=classic,consumer
auto.create.topics.enable=false
num.partitions=4
broker.session.timeout.ms=2000
broker.heartbeat.interval.ms=500
log.retention.check.interval.ms=1000
log.cleaner.backoff.ms=500
transaction.abort.timed.out.transaction.cleanup.interval.ms=1000
",
        data = data.display()
    )
}
