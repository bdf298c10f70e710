//! The process that writes: this program again, so that it can be killed.

use super::content::{MAKE, WRITE};
use super::ledger::{Ledger, now_ms};
use crate::random::Random;
use anyhow::{Context as _, Result};
use std::io::{BufRead as _, BufReader, Write as _};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitCode, Stdio};
use std::sync::mpsc::{Receiver, RecvTimeoutError, channel};
use std::time::{Duration, Instant};
use tidebase_engine::backups::folder_of;
use tidebase_engine::{Engine, Limits, Options, Params, SqlRequest, Value};

#[derive(Debug, clap::Args)]
pub struct WriterArguments {
    path: PathBuf,
    #[arg(long)]
    rate: u64,
    #[arg(long)]
    seed: u64,
}

/// Writes until its standard input ends.
pub fn write(arguments: &WriterArguments) -> Result<ExitCode> {
    let limits = Limits { wal_checkpoint_bytes: 1 << 20, ..Limits::default() };
    let backups = Some(folder_of(&arguments.path));
    let engine = Engine::open(Options { limits, backups, ..Options::new(&arguments.path) })?;
    let (stop, stopped) = channel();
    std::thread::spawn(move || {
        let _ = std::io::stdin().lines().count();
        let _ = stop.send(());
    });
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    runtime.block_on(async {
        for sql in MAKE {
            engine.query(SqlRequest::query(sql, Params::None)).await?;
        }
        let mut random = Random::new(arguments.seed, 1);
        let last =
            engine.query(SqlRequest::query("SELECT coalesce(max(seq), 0) AS n FROM entries", Params::None)).await?;
        let last: serde_json::Value = serde_json::from_slice(&last.body)?;
        let mut number = last[0]["n"].as_i64().context("no number")?;
        while stopped.try_recv().is_err() {
            number += 1;
            let sent = now_ms();
            let params = Params::Positional(vec![Value::Integer(number)]);
            engine.query(SqlRequest::query(WRITE, params)).await?;
            let mut out = std::io::stdout().lock();
            writeln!(out, "{number} {sent} {}", now_ms())?;
            out.flush()?;
            drop(out);
            if random.below(20_000) == 0 {
                engine.query(SqlRequest::query("VACUUM", Params::None)).await?;
            }
            let pause = random.below(usize::try_from(2_000_000 / arguments.rate.max(1))?);
            tokio::time::sleep(Duration::from_micros(pause as u64)).await;
        }
        anyhow::Ok(())
    })?;
    engine.close();
    Ok(ExitCode::SUCCESS)
}

/// It, as its parent has it.
pub struct Writer {
    child: Child,
    lines: Receiver<String>,
}

impl Writer {
    pub fn start(path: &Path, rate: u64, seed: u64) -> Result<Self> {
        let mut child = Command::new(std::env::current_exe()?)
            .arg("restores-writer")
            .arg(path)
            .args(["--rate", &rate.to_string(), "--seed", &seed.to_string()])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()?;
        let out = BufReader::new(child.stdout.take().context("no output")?);
        let (send, lines) = channel();
        std::thread::spawn(move || out.lines().map_while(Result::ok).try_for_each(|line| send.send(line)));
        Ok(Self { child, lines })
    }

    /// Hears of writes for so long.
    pub fn listen(&self, time: Duration, ledger: &mut Ledger) -> Result<()> {
        let until = Instant::now() + time;
        while let Some(rest) = until.checked_duration_since(Instant::now()) {
            match self.lines.recv_timeout(rest) {
                Ok(line) => ledger.note(&line)?,
                Err(RecvTimeoutError::Timeout) => break,
                Err(RecvTimeoutError::Disconnected) => anyhow::bail!("the writing process has ended by itself"),
            }
        }
        Ok(())
    }

    pub fn kill(mut self, ledger: &mut Ledger) -> Result<()> {
        self.child.kill()?;
        self.end(ledger)
    }

    pub fn stop(mut self, ledger: &mut Ledger) -> Result<()> {
        drop(self.child.stdin.take());
        self.end(ledger)
    }

    fn end(&mut self, ledger: &mut Ledger) -> Result<()> {
        self.child.wait()?;
        self.lines.iter().try_for_each(|line| ledger.note(&line))
    }
}

impl Drop for Writer {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
