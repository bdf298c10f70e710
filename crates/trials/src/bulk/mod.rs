//! Much data on its way out: of one revision, in little memory, and nobody who writes waits for it.
//!
//! ```text
//! tidebase-trials bulk --gigabytes 10
//! ```
//!
//! A database of any size is made ([`content`]) and served by the real program, backups and all. While one client writes at a steady pace
//! ([`writes`]), everything goes out in every form there is ([`download`]), and is read to its end and not kept. An export must hold every
//! row as it should be, and just the writes of one revision that it may be of. The memory of the server ([`memory`]) is bounded whatever
//! the size, and so is the time that a write waits. That what went out comes back is a test of the server's.

mod content;
mod download;
mod memory;
mod writes;

use crate::crash::client::Client;
use crate::crash::server::{Program, Server, beside_us};
use anyhow::{Context as _, Result, ensure};
use content::{Form, judge, judge_file};
use download::Download;
use memory::Memory;
use serde_json::{Value, json};
use std::fs::File;
use std::io::{BufReader, copy};
use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode, Stdio};
use std::sync::Arc;
use std::time::{Duration, Instant};
use writes::{Writes, fits};

/// For lines.
const BUFFER_BYTES: usize = 1 << 20;
/// Room that is left on the disk for others.
const DISK_LEFT_MIN: u64 = 8 << 30;
const LOOK_EVERY: Duration = Duration::from_millis(20);
const DUMP_TIME_MAX: Duration = Duration::from_hours(1);

#[derive(Debug, clap::Args)]
pub struct Arguments {
    /// Of the database.
    #[arg(long, default_value_t = 300)]
    megabytes: u64,
    /// The same for large ones.
    #[arg(long, conflicts_with = "megabytes")]
    gigabytes: Option<u64>,
    /// Writes in a second meanwhile.
    #[arg(long, default_value_t = 100)]
    rate: u32,
    /// Of the server, in megabytes that are resident.
    #[arg(long, default_value_t = 256)]
    memory_max: u64,
    /// Of `tidebase export`, in megabytes that are resident.
    #[arg(long, default_value_t = 50)]
    export_memory_max: u64,
    /// That a write waits, in milliseconds.
    #[arg(long, default_value_t = 2000)]
    wait_max: u64,
    /// The server [default: `tidebase` beside this program]
    #[arg(long, value_name = "PATH")]
    server: Option<PathBuf>,
}

pub fn bulk(arguments: &Arguments) -> Result<ExitCode> {
    let server = match &arguments.server {
        Some(server) => server.canonicalize().with_context(|| format!("there is no server {}", server.display()))?,
        None => beside_us()?,
    };
    let home = tempfile::Builder::new().prefix("tidebase-bulk-").tempdir()?;
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build()?;
    match runtime.block_on(trial(arguments, &server, home.path())) {
        Ok(()) => Ok(ExitCode::SUCCESS),
        Err(error) => {
            println!("FAILED: {error:#}");
            println!("{}", std::fs::read_to_string(home.path().join("server.log")).unwrap_or_default());
            Ok(ExitCode::FAILURE)
        }
    }
}

async fn trial(arguments: &Arguments, program: &Path, home: &Path) -> Result<()> {
    let bytes = arguments.gigabytes.map_or(arguments.megabytes * 1_000_000, |gigabytes| gigabytes * 1_000_000_000);
    let program = Program { server: program.into(), home: home.into(), limits: Vec::new() };
    let (rows, database) = (content::rows_of(bytes), program.database());
    let began = Instant::now();
    content::make(&database, rows)?;
    let bytes = std::fs::metadata(&database)?.len();
    println!("bulk: {rows} rows, {} made in {:.1} s", megabytes(bytes), began.elapsed().as_secs_f64());
    let mut server = program.start().await?;
    let writes = Arc::<Writes>::default();
    let (its, address, rate) = (Arc::clone(&writes), server.address, arguments.rate);
    let writing = tokio::spawn(async move { its.run(address, rate).await });
    let memory = Memory::watch(server.id());
    let trial = Trial { arguments, rows, bytes, program: &program, server: &server, writes: &writes, memory };
    let done = trial.all().await;
    writes.end();
    done.and(writing.await?)?;
    backups_are_well(&server).await?;
    server.terminate()?;
    let status = server.ended().await?;
    ensure!(status.success(), "the server ended with {status}");
    Ok(())
}

struct Trial<'a> {
    arguments: &'a Arguments,
    rows: i64,
    bytes: u64,
    program: &'a Program,
    server: &'a Server,
    writes: &'a Arc<Writes>,
    memory: Memory,
}

/// What came out, and how many writes were in it.
#[derive(Debug)]
struct Out {
    bytes: u64,
    writes: i64,
}

impl Trial<'_> {
    async fn all(&self) -> Result<()> {
        // So that each export has something to mix up.
        while self.writes.acknowledged() < 20 {
            ensure!(self.writes.sent() >= 0, "a write before the first");
            tokio::time::sleep(LOOK_EVERY).await;
        }
        self.told("before", None)?;
        self.downloaded(&[("/export/dump", Form::Sql)]).await?;
        self.downloaded(&[("/export/ndjson/big", Form::NdJson), ("/export/csv/big", Form::Csv)]).await?;
        // The server makes a copy on its disk, and we another one, to ask it.
        if self.has_room("/export/db", self.bytes * 2)? {
            self.copied().await?;
        }
        if self.has_room("POST /export/dump", self.bytes * 11 / 10)? {
            self.dumped().await?;
        }
        self.exported().await
    }

    /// At one time.
    async fn downloaded(&self, exports: &[(&'static str, Form)]) -> Result<()> {
        let (began, mut running, mut all) = (Instant::now(), Vec::new(), Vec::new());
        for &(path, form) in exports {
            let (address, writes, rows) = (self.server.address, Arc::clone(self.writes), self.rows);
            running.push(tokio::task::spawn_blocking(move || {
                let before = writes.acknowledged();
                let mut lines = BufReader::with_capacity(BUFFER_BYTES, Download::begin(address, path)?);
                let after = writes.sent();
                let writes = judge(&mut lines, form, rows).with_context(|| path.to_owned())?;
                fits(writes, before, after).with_context(|| path.to_owned())?;
                anyhow::Ok(Out { bytes: lines.get_ref().bytes, writes })
            }));
        }
        for one in running {
            all.push(one.await??);
        }
        let names: Vec<&str> = exports.iter().map(|(path, _)| *path).collect();
        self.told(&names.join(" and "), Some((&all, began.elapsed())))
    }

    async fn copied(&self) -> Result<()> {
        let (address, writes, rows) = (self.server.address, Arc::clone(self.writes), self.rows);
        let to = self.program.home.join("copy.db");
        let began = Instant::now();
        let copied = tokio::task::spawn_blocking(move || {
            let before = writes.acknowledged();
            let mut download = Download::begin(address, "/export/db")?;
            // It is copied before it is sent.
            let after = writes.sent();
            let bytes = copy(&mut download, &mut File::create(&to)?)?;
            let took = began.elapsed();
            let writes = judge_file(&to, rows).context("/export/db")?;
            std::fs::remove_file(to)?;
            fits(writes, before, after).context("/export/db")?;
            anyhow::Ok((Out { bytes, writes }, took))
        });
        let (out, took) = copied.await??;
        self.told("/export/db", Some((&[out], took)))
    }

    /// In the background, into the folder beside the database.
    async fn dumped(&self) -> Result<()> {
        let (began, before) = (Instant::now(), self.writes.acknowledged());
        let mut client = Client::open(self.server.address).await?;
        let accepted = client.ask("POST", "/export/dump", &json!({ "format": "sql" })).await?;
        let key = accepted["progressKey"].as_str().context("a dump without a key")?.to_owned();
        let mut after = None;
        loop {
            let status = client.ask("GET", &format!("/export/dump/status/{key}"), &Value::Null).await?;
            if status["progress"]["processedRows"].as_i64() > Some(0) {
                after.get_or_insert(self.writes.sent());
            }
            match status["status"].as_str() {
                Some("completed") => break,
                Some("waiting" | "processing") if began.elapsed() < DUMP_TIME_MAX => {}
                _ => anyhow::bail!("a dump in the background: {status}"),
            }
            tokio::time::sleep(LOOK_EVERY).await;
        }
        let took = began.elapsed();
        let path = self.program.home.join("trial.db-dumps").join(format!("{key}.sql"));
        let bytes = std::fs::metadata(&path)?.len();
        let writes = judge(&mut BufReader::with_capacity(BUFFER_BYTES, File::open(&path)?), Form::Sql, self.rows)?;
        fits(writes, before, after.unwrap_or_else(|| self.writes.sent())).context("a dump in the background")?;
        client.ask("DELETE", &format!("/export/dump/{key}"), &Value::Null).await?;
        self.told("POST /export/dump", Some((&[Out { bytes, writes }], took)))
    }

    /// By the command, which reads the file beside the server.
    async fn exported(&self) -> Result<()> {
        let (began, before) = (Instant::now(), self.writes.acknowledged());
        let mut command = Command::new(&self.program.server);
        command.arg("export").arg("--db").arg(self.program.database()).stdout(Stdio::piped());
        let mut child = command.spawn()?;
        let (out, rows) = (child.stdout.take().context("no output")?, self.rows);
        let judged = tokio::task::spawn_blocking(move || {
            judge(&mut BufReader::with_capacity(BUFFER_BYTES, out), Form::Sql, rows).context("tidebase export")
        });
        let mut most = 0;
        while !judged.is_finished() {
            // One that has ended tells it no more.
            most = memory::resident_most(child.id()).unwrap_or(most);
            tokio::time::sleep(LOOK_EVERY).await;
        }
        let writes = judged.await??;
        ensure!(child.wait()?.success(), "tidebase export has failed");
        fits(writes, before, self.writes.sent()).context("tidebase export")?;
        println!("{:<44} {} resident at the most", "tidebase export", megabytes(most));
        let bound = self.arguments.export_memory_max;
        ensure!(most <= bound * 1_000_000, "tidebase export takes more than {bound} MB");
        self.told("tidebase export", Some((&[Out { bytes: self.bytes, writes }], began.elapsed())))
    }

    /// One line, and what is bounded is looked at.
    fn told(&self, what: &str, out: Option<(&[Out], Duration)>) -> Result<()> {
        let (most, waited) = (self.memory.take()?, self.writes.take());
        let out = out.map_or_else(String::new, |(all, took)| {
            let (bytes, seconds) = (all.iter().map(|out| out.bytes).sum::<u64>(), took.as_secs_f64());
            let writes: Vec<String> = all.iter().map(|out| out.writes.to_string()).collect();
            let rate = bytes as f64 / 1e6 / seconds;
            format!(
                "{:>9} in {seconds:>5.1} s, {rate:>4.0} MB/s, after {} writes;",
                megabytes(bytes),
                writes.join(" and ")
            )
        });
        println!(
            "{what:<44} {out} server {} resident at the most, {} its own; {} writes waited {:.1} ms, {:.1} ms at the most",
            megabytes(most.resident),
            megabytes(most.own),
            waited.writes,
            waited.median.as_secs_f64() * 1e3,
            waited.slowest.as_secs_f64() * 1e3,
        );
        let Arguments { memory_max, wait_max, .. } = *self.arguments;
        ensure!(most.resident <= memory_max * 1_000_000, "the server takes more than {memory_max} MB");
        ensure!(waited.slowest <= Duration::from_millis(wait_max), "a write has waited for more than {wait_max} ms");
        Ok(())
    }

    fn has_room(&self, what: &str, bytes: u64) -> Result<bool> {
        let disk = rustix::fs::statvfs(&self.program.home)?;
        let has_room = disk.f_bavail * disk.f_frsize >= bytes + DISK_LEFT_MIN.min(bytes);
        if !has_room {
            println!("{what:<44} left out: the disk has no room for {}", megabytes(bytes));
        }
        Ok(has_room)
    }
}

/// All of this went by without a word from the backups.
async fn backups_are_well(server: &Server) -> Result<()> {
    let report = Client::open(server.address).await?.ask("GET", "/backups", &Value::Null).await?;
    ensure!(report["result"]["ok"] == true, "backups: {report}");
    Ok(())
}

fn megabytes(bytes: u64) -> String {
    format!("{:.1} MB", bytes as f64 / 1e6)
}
