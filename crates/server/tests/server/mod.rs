//! The real binary as a child process, on a free port and a database of its own, and clients over real sockets.
//!
//! A [`Home`] is a folder with a database file; a [`Server`] is one run of the binary on it. Both end with the value
//! that holds them, so a test that panics leaves nothing behind. Waits are bounded by [`PATIENCE`] and on a condition.

pub mod events;
pub mod http;
pub mod socket;

use http::{Answer, Request};
use serde_json::{Value as Json, json};
use socket::Socket;
use std::io::Read;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::watch;

pub const TOKEN: &str = "the-token-of-these-tests";

/// Generous: a condition that is not met by then never will be.
pub const PATIENCE: Duration = Duration::from_secs(30);

pub async fn within<T>(what: &str, waited_for: impl Future<Output = T>) -> T {
    let waited = tokio::time::timeout(PATIENCE, waited_for).await;
    waited.unwrap_or_else(|_| panic!("waited {PATIENCE:?} for {what}"))
}

/// A folder with a database file, kept over restarts.
pub struct Home {
    pub folder: tempfile::TempDir,
    pub db: PathBuf,
}

impl Home {
    pub fn new() -> Arc<Self> {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let db = folder.path().join("test.db");
        Self::at(folder, db)
    }

    pub fn at(folder: tempfile::TempDir, db: PathBuf) -> Arc<Self> {
        Arc::new(Self { folder, db })
    }

    /// `tidebase serve` on this home's database, with nothing of the caller's environment.
    pub fn command(&self) -> Command {
        let mut command = self.command_without_token();
        command.env("TIDEBASE_ADMIN_TOKEN", TOKEN);
        command
    }

    pub fn command_without_token(&self) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_tidebase"));
        command.args(["serve", "--listen", "127.0.0.1:0", "--db"]).arg(&self.db);
        command.env_clear().current_dir(self.folder.path());
        command
    }

    /// Another program's connection to the same file.
    pub fn outside(&self) -> rusqlite::Connection {
        let connection = rusqlite::Connection::open(&self.db).expect("the file can be opened from outside");
        connection.busy_timeout(PATIENCE).expect("a busy timeout can be set");
        connection
    }

    pub async fn start(self: &Arc<Self>) -> Server {
        self.start_with(&[]).await
    }

    /// With limits, each `name=value`.
    pub async fn start_with(self: &Arc<Self>, limits: &[&str]) -> Server {
        let mut command = self.command();
        for limit in limits {
            command.args(["--limit", limit]);
        }
        Server::run(self, command).await
    }
}

/// What a process has printed.
#[derive(Clone, Debug, Default)]
pub struct Output {
    pub out: String,
    pub err: String,
    ended: u8,
}

/// A child process whose output is collected as it comes.
pub struct Process {
    child: Child,
    output: watch::Receiver<Output>,
}

impl Drop for Process {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

impl Process {
    pub fn run(mut command: Command) -> Self {
        command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut child = command.spawn().expect("the program can be started");
        let (sender, output) = watch::channel(Output::default());
        let sender = Arc::new(sender);
        collect(child.stdout.take().expect("piped"), Arc::clone(&sender), |output| &mut output.out);
        collect(child.stderr.take().expect("piped"), sender, |output| &mut output.err);
        Self { child, output }
    }

    /// Waits until the output is as wanted, or the process has ended.
    pub async fn output_with(&mut self, what: &str, wanted: impl Fn(&Output) -> bool) -> Output {
        let seen = within(what, self.output.wait_for(|output| output.ended == 2 || wanted(output))).await;
        seen.map(|output| output.clone()).unwrap_or_default()
    }

    /// Waits for the end.
    pub async fn ended(&mut self) -> (ExitStatus, Output) {
        let output = self.output_with("the program's end", |_| false).await;
        // Its pipes are closed, so it is as good as gone.
        (self.child.wait().expect("a child can be waited for"), output)
    }

    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    pub fn signal(&self, name: &str) {
        let kill = Command::new("sh").args(["-c", &format!("kill -{name} {}", self.pid())]).status();
        assert!(kill.is_ok_and(|status| status.success()), "the signal {name} could not be sent");
    }
}

fn collect(mut pipe: impl Read + Send + 'static, to: Arc<watch::Sender<Output>>, part: fn(&mut Output) -> &mut String) {
    std::thread::spawn(move || {
        let mut piece = [0; 4096];
        while let Ok(read @ 1..) = pipe.read(&mut piece) {
            to.send_modify(|output| part(output).push_str(&String::from_utf8_lossy(&piece[..read])));
        }
        to.send_modify(|output| output.ended += 1);
    });
}

/// One run of the server.
pub struct Server {
    pub process: Process,
    pub address: SocketAddr,
    pub home: Arc<Home>,
}

impl Server {
    /// On a new database.
    pub async fn start() -> Self {
        Home::new().start().await
    }

    pub async fn start_with(limits: &[&str]) -> Self {
        Home::new().start_with(limits).await
    }

    /// Runs the command and reads from its first line where it listens.
    pub async fn run(home: &Arc<Home>, command: Command) -> Self {
        let mut process = Process::run(command);
        let output = process.output_with("the server's first line", |output| output.out.contains('\n')).await;
        let first = output.out.lines().next().unwrap_or_default();
        let address = first.split_whitespace().find_map(|word| word.strip_prefix("http://")?.parse().ok());
        let address = address.unwrap_or_else(|| panic!("no address in the first line: {output:?}"));
        Self { process, address, home: Arc::clone(home) }
    }

    pub async fn send(&self, request: Request) -> Answer {
        within("an answer", request.send(self.address)).await
    }

    pub async fn query(&self, body: Json) -> Answer {
        self.send(Request::post("/query", body)).await
    }

    pub async fn raw(&self, body: Json) -> Answer {
        self.send(Request::post("/query/raw", body)).await
    }

    /// Runs SQL that must succeed, and gives its rows.
    pub async fn sql(&self, sql: &str) -> Json {
        let answer = self.query(json!({ "sql": sql })).await;
        assert_eq!(answer.status, 200, "{sql}: {}", answer.text());
        answer.json()["result"].take()
    }

    /// Runs a write that must succeed, and gives its revision.
    pub async fn write(&self, sql: &str) -> i64 {
        let answer = self.query(json!({ "sql": sql })).await;
        assert_eq!(answer.status, 200, "{sql}: {}", answer.text());
        answer.revision()
    }

    /// A socket on `/ws` that has had its `hello`.
    pub async fn live(&self) -> Socket {
        let mut socket = Socket::open(self.address, "/ws").await;
        let hello = socket.next().await;
        assert_eq!(hello["type"], "hello", "{hello}");
        socket.hello = hello;
        socket
    }

    /// Asks it to stop, and waits until it has.
    pub async fn stop(mut self) -> (ExitStatus, Output) {
        self.process.signal("TERM");
        self.process.ended().await
    }

    /// Stops it in good order and starts it again.
    pub async fn restart(self) -> Self {
        let home = Arc::clone(&self.home);
        let (status, output) = self.stop().await;
        assert!(status.success(), "{status}: {output:?}");
        home.start().await
    }

    /// Ends it as a power cut would, and starts it again.
    pub async fn crash_and_restart(mut self) -> Self {
        self.process.signal("KILL");
        self.process.ended().await;
        self.home.start().await
    }

    /// Resident memory now, in bytes.
    #[cfg(target_os = "linux")]
    pub fn memory(&self) -> u64 {
        let status =
            std::fs::read_to_string(format!("/proc/{}/status", self.process.pid())).expect("the process lives");
        let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).expect("the kernel tells it");
        line.trim().trim_end_matches(" kB").parse::<u64>().expect("a number") * 1024
    }
}
