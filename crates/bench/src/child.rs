//! A server under measurement as a child process that cannot outlive its measurement: whoever drops it, on success, on
//! an error or on Ctrl-C, ends it by its process id (SIGTERM, patience, SIGKILL).

use std::fs::File;
use std::net::{Ipv4Addr, SocketAddr, TcpListener};
use std::path::{Path, PathBuf};
use std::process::{Command, ExitStatus, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use rustix::process::{Pid, Signal, kill_process};

use crate::http::Connection;

/// How long a server may take over a polite end before it is killed.
const STOP_PATIENCE: Duration = Duration::from_mins(1);

pub struct Child {
    process: std::process::Child,
    spawned: Instant,
    log: PathBuf,
}

impl Child {
    /// Runs `command` with its output going to `log`, which is quoted when the server does not come up.
    pub fn spawn(command: &mut Command, log: PathBuf) -> Result<Self> {
        let output = File::create(&log).with_context(|| format!("creating {}", log.display()))?;
        command.stdin(Stdio::null()).stdout(output.try_clone()?).stderr(output);
        let spawned = Instant::now();
        let process = command.spawn().with_context(|| format!("starting {}", command.get_program().display()))?;
        Ok(Self { process, spawned, log })
    }

    pub fn pid(&self) -> u32 {
        self.process.id()
    }

    /// Sends `request` until it succeeds, over a new connection each time; returns the time since the process was
    /// spawned. Only "not listening yet" and 503 are waited out: any other refusal is an error.
    pub async fn first_answer(&mut self, address: SocketAddr, request: &[u8], patience: Duration) -> Result<Duration> {
        while self.spawned.elapsed() < patience {
            if let Some(status) = self.process.try_wait()? {
                bail!("the server ended at its start ({status}); its last words:\n{}", self.last_words());
            }
            if let Ok(mut connection) = Connection::open(address).await {
                let answer = connection.exchange(request).await;
                if let Ok(answer) = answer
                    && answer.status != 503
                {
                    answer.checked()?;
                    return Ok(self.spawned.elapsed());
                }
            }
            // The runtime's timer ticks in milliseconds, too coarse for a start of a few; nothing else runs meanwhile.
            std::thread::sleep(Duration::from_micros(200));
        }
        bail!("the server did not answer within {patience:?}; its last words:\n{}", self.last_words());
    }

    /// SIGTERM and wait: how the server ends when asked to.
    pub fn stop(mut self) -> Result<ExitStatus> {
        self.terminate()?.context("the server did not end within its patience and was killed")
    }

    /// SIGKILL and wait: the crash.
    pub fn crash(mut self) -> Result<()> {
        self.process.kill()?;
        self.process.wait()?;
        Ok(())
    }

    /// `None` when the server had to be killed.
    fn terminate(&mut self) -> Result<Option<ExitStatus>> {
        if let Some(status) = self.process.try_wait()? {
            return Ok(Some(status));
        }
        let pid = i32::try_from(self.pid()).ok().and_then(Pid::from_raw).context("a process id out of range")?;
        kill_process(pid, Signal::TERM)?;
        let asked = Instant::now();
        while asked.elapsed() < STOP_PATIENCE {
            if let Some(status) = self.process.try_wait()? {
                return Ok(Some(status));
            }
            std::thread::sleep(Duration::from_millis(5));
        }
        self.process.kill()?;
        self.process.wait()?;
        Ok(None)
    }

    fn last_words(&self) -> String {
        let text = std::fs::read_to_string(&self.log).unwrap_or_default();
        let lines: Vec<&str> = text.lines().collect();
        lines[lines.len().saturating_sub(10)..].join("\n")
    }
}

impl Drop for Child {
    fn drop(&mut self) {
        if let Err(error) = self.terminate() {
            eprintln!("could not end process {}: {error}", self.pid());
        }
    }
}

/// A loopback port that was free a moment ago.
pub fn free_address() -> Result<SocketAddr> {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).context("finding a free port")?;
    Ok(listener.local_addr()?)
}

/// A command that sees neither the caller's settings nor a settings file of the current folder.
pub fn clean_command(program: &Path, home: &Path) -> Command {
    let mut command = Command::new(program);
    command.current_dir(home).env_remove("PORT");
    for (name, _) in std::env::vars_os() {
        if name.as_encoded_bytes().starts_with(b"TIDEBASE_") {
            command.env_remove(name);
        }
    }
    command
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shell(script: &str) -> (tempfile::TempDir, Child) {
        let home = tempfile::tempdir().unwrap();
        let mut command = clean_command(Path::new("/bin/sh"), home.path());
        let child = Child::spawn(command.arg("-c").arg(script), home.path().join("log")).unwrap();
        (home, child)
    }

    #[test]
    fn a_dropped_child_is_gone() {
        let (_home, child) = shell("exec sleep 100");
        let pid = child.pid();
        assert!(crate::procfs::cpu(pid).is_ok());
        drop(child);
        assert!(crate::procfs::cpu(pid).is_err());
    }

    #[tokio::test]
    async fn a_server_that_ends_at_its_start_is_quoted() {
        let (_home, mut child) = shell("echo no such flag; exit 3");
        let error = child.first_answer(free_address().unwrap(), b"", Duration::from_secs(5)).await.unwrap_err();
        assert!(error.to_string().contains("no such flag"), "{error}");
    }
}
