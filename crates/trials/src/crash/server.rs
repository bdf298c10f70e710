//! The real server as a child process, which nobody outlives: whoever drops it, kills it.

use super::client::{Client, TOKEN};
use anyhow::{Context as _, Result, bail};
use rustix::process::{Pid, Signal, kill_process};
use std::fs::{File, OpenOptions};
use std::net::{Ipv4Addr, SocketAddr, TcpListener};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::time::{Duration, Instant};

/// For a start and for a stop, on a machine that does other things as well.
const PATIENCE: Duration = Duration::from_secs(30);

/// Between two looks at whether it has started, or stopped.
const LOOK_EVERY: Duration = Duration::from_millis(1);

/// Somebody else may take the port that was free a moment ago.
const PORTS_TRIED: usize = 5;

/// What to run, on what.
#[derive(Clone, Debug)]
pub struct Program {
    pub server: PathBuf,
    pub home: PathBuf,
    pub limits: Vec<String>,
}

impl Program {
    pub fn database(&self) -> PathBuf {
        self.home.join("trial.db")
    }

    fn log(&self) -> PathBuf {
        self.home.join("server.log")
    }

    /// Starts a server and does not wait for it.
    pub fn spawn(&self) -> Result<Server> {
        let address = TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?.local_addr()?;
        let log = OpenOptions::new().create(true).append(true).open(self.log())?;
        let mut command = Command::new(&self.server);
        for (name, _) in std::env::vars_os() {
            if name.as_encoded_bytes().starts_with(b"TIDEBASE_") || name == "PORT" {
                command.env_remove(name);
            }
        }
        command.current_dir(&self.home).env("TIDEBASE_ADMIN_TOKEN", TOKEN).args(["serve", "--log", "warn", "--db"]);
        command.arg(self.database()).args(["--listen", &address.to_string()]);
        for limit in &self.limits {
            command.args(["--limit", limit]);
        }
        command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(log);
        let process = command.spawn().with_context(|| format!("starting {}", self.server.display()))?;
        Ok(Server { process, address })
    }

    /// Starts a server and waits until it answers.
    pub async fn start(&self) -> Result<Server> {
        for _ in 0..PORTS_TRIED {
            // The log is looked at for this start only.
            drop(File::create(self.log())?);
            let mut server = self.spawn()?;
            if server.is_up().await? {
                return Ok(server);
            }
            let log = std::fs::read_to_string(self.log()).unwrap_or_default();
            if !log.contains("Cannot listen") {
                bail!("the server ended at its start: {log}");
            }
        }
        bail!("no port was free")
    }
}

pub struct Server {
    process: Child,
    pub address: SocketAddr,
}

impl Server {
    /// False if it has ended.
    async fn is_up(&mut self) -> Result<bool> {
        let started = Instant::now();
        while started.elapsed() < PATIENCE {
            if self.process.try_wait()?.is_some() {
                return Ok(false);
            }
            if let Ok(mut client) = Client::open(self.address).await
                && let Ok(answer) = client.exchange("GET", "/health", None, "").await
                && answer.status == 200
            {
                return Ok(true);
            }
            tokio::time::sleep(LOOK_EVERY).await;
        }
        bail!("the server did not answer within {PATIENCE:?}")
    }

    pub fn id(&self) -> u32 {
        self.process.id()
    }

    /// SIGKILL.
    pub fn kill(&mut self) -> Result<()> {
        self.process.kill()?;
        self.process.wait()?;
        Ok(())
    }

    /// SIGTERM, and no waiting.
    pub fn terminate(&self) -> Result<()> {
        let pid = i32::try_from(self.process.id()).ok().and_then(Pid::from_raw).context("a process id out of range")?;
        Ok(kill_process(pid, Signal::TERM)?)
    }

    /// After [`Server::terminate`]: how it ended.
    pub async fn ended(&mut self) -> Result<ExitStatus> {
        let asked = Instant::now();
        while asked.elapsed() < PATIENCE {
            if let Some(status) = self.process.try_wait()? {
                return Ok(status);
            }
            tokio::time::sleep(LOOK_EVERY).await;
        }
        bail!("the server did not stop within {PATIENCE:?}")
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        if let Err(error) = self.kill() {
            eprintln!("could not end process {}: {error}", self.process.id());
        }
    }
}

/// The server beside the program that runs.
pub fn beside_us() -> Result<PathBuf> {
    let us = std::env::current_exe()?;
    let server = us.with_file_name("tidebase");
    if !server.is_file() {
        bail!(
            "there is no server {}; build it (cargo build --package tidebase) or name it with --server",
            server.display()
        );
    }
    Ok(server)
}

/// Copies a database with its journals, as they are.
pub fn copy_database(database: &Path, to: &Path) -> Result<()> {
    std::fs::create_dir_all(to)?;
    for suffix in ["", "-wal", "-shm", "-tide"] {
        let mut from = database.as_os_str().to_owned();
        from.push(suffix);
        let from = PathBuf::from(from);
        let target = to.join(from.file_name().context("a database has a name")?);
        if from.exists() {
            std::fs::copy(&from, target)?;
        } else if target.exists() {
            std::fs::remove_file(target)?;
        }
    }
    Ok(())
}
