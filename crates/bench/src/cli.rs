//! The command line: what to measure, against which binaries, how long.

use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context, Result, bail};
use clap::{Parser, Subcommand};
use tempfile::TempDir;

/// Measures Tidebase: CPU per operation, latency, memory, time to start.
///
/// Every measurement starts the real server on a free loopback port with a database of its own, and ends it. The load
/// generator shares the machine with the server, so the server's CPU time per operation is the figure to trust.
#[derive(Debug, Parser)]
#[command(name = "tidebase-bench", version)]
pub struct Cli {
    #[command(subcommand)]
    pub measure: Measure,
    #[command(flatten)]
    pub options: Options,
}

#[derive(Debug, Clone, PartialEq, Eq, Subcommand)]
pub enum Measure {
    /// Point reads over HTTP, 32 connections
    Read,
    /// Durable inserts over HTTP by 1, 64 and 256 clients
    Insert,
    /// Results of 1000 rows as JSON
    Json,
    /// From an insert to a subscriber's delta
    Delta,
    /// Inserts beside 0, 100 and 1000 subscribers of one query
    FanOut,
    /// Writes beside many live queries that differ in their values
    Flat,
    /// From a write to those it matters to among up to 100,000 live queries
    Reach,
    /// 10,000 sockets with 10 live queries each lose their connections and come back
    Storm,
    /// Transfers between 100,000 accounts with every balance live
    Transfer,
    /// What row-level policies cost: reads, and writes beside 1000 different people
    Policies,
    /// Export, import and restore beside SQLite's shell and Litestream, and what backups cost a write (sqlite3, --litestream, --size-mb)
    Data,
    /// Memory of idle WebSockets with one subscription each
    Idle,
    /// Start on a large file: after a clean stop, and after kill -9
    Start,
    /// The same loads against PocketBase (needs --pocketbase)
    Pocketbase,
    /// One message to 1000 listeners of a topic, beside Redis and NATS (--redis, --nats)
    Broker,
    /// fdatasync of the disk the databases stand on
    Disk,
    /// Flat, reach, storm, transfer and broker in one run
    Scale {
        /// Also write the results as a Markdown page, with a plot beside it
        #[arg(long, value_name = "FILE")]
        out: Option<PathBuf>,
    },
    /// Everything else, in one run
    All {
        /// Also write the results as a Markdown page
        #[arg(long, value_name = "FILE")]
        out: Option<PathBuf>,
    },
}

#[derive(Debug, Clone, clap::Args)]
pub struct Options {
    /// The server's binary [default: `tidebase` beside this program]
    #[arg(long, global = true, value_name = "PATH")]
    server: Option<PathBuf>,
    /// One more argument for the server; may be repeated
    #[arg(long = "server-arg", global = true, value_name = "ARG", allow_hyphen_values = true)]
    server_args: Vec<String>,
    /// PocketBase's binary
    #[arg(long, global = true, value_name = "PATH")]
    pocketbase: Option<PathBuf>,
    /// The binaries of Redis and NATS
    #[arg(long, global = true, value_name = "PATH")]
    redis: Option<PathBuf>,
    #[arg(long, global = true, value_name = "PATH")]
    nats: Option<PathBuf>,
    /// Litestream's binary
    #[arg(long, global = true, value_name = "PATH")]
    litestream: Option<PathBuf>,
    /// Folder for the temporary databases; choose one on a real disk [default: the system's]
    #[arg(long, global = true, value_name = "DIR")]
    work_dir: Option<PathBuf>,
    /// Seconds of each load, after one of warm-up
    #[arg(long, global = true, default_value_t = 5, value_parser = clap::value_parser!(u64).range(1..=120))]
    seconds: u64,
    /// Rows of the table that is read
    #[arg(long, global = true, default_value_t = 100_000, value_parser = clap::value_parser!(u64).range(2_000..=5_000_000))]
    rows: u64,
    /// Times the fan-out is run through, its numbers of subscribers taking turns
    #[arg(long, global = true, default_value_t = 2, value_parser = clap::value_parser!(u64).range(1..=20))]
    rounds: u64,
    /// Idle sockets to open
    #[arg(long, global = true, default_value_t = 5000, value_parser = clap::value_parser!(u64).range(1..=20_000))]
    sockets: u64,
    /// Size of the file to start on, or of the data that goes out and in, in MB
    #[arg(long, global = true, default_value_t = 1000, value_parser = clap::value_parser!(u64).range(1..=20_000))]
    size_mb: u64,
    /// Numbers of live queries to measure beside; the first is what the others are compared with
    #[arg(long, global = true, value_delimiter = ',', default_values_t = [0, 1_000, 10_000, 100_000],
        value_parser = clap::value_parser!(u64).range(0..=2_000_000))]
    queries: Vec<u64>,
    /// Print JSON instead of tables
    #[arg(long, global = true)]
    pub json: bool,
}

/// The options, checked.
#[derive(Debug)]
pub struct Settings {
    server: PathBuf,
    pub server_args: Vec<String>,
    pub pocketbase: Option<PathBuf>,
    pub redis: Option<PathBuf>,
    pub nats: Option<PathBuf>,
    pub litestream: Option<PathBuf>,
    work_dir: PathBuf,
    pub window: Duration,
    pub rows: u64,
    pub rounds: u64,
    pub sockets: usize,
    pub size_bytes: u64,
    pub queries: Vec<u64>,
    /// The admin token of every server of this run.
    pub token: String,
}

impl Options {
    pub fn checked(self) -> Result<Settings> {
        let beside = || Ok::<_, std::io::Error>(std::env::current_exe()?.with_file_name("tidebase"));
        // Absolute, because the servers run in their own folders.
        let absolute = |path: PathBuf| std::path::absolute(path).context("reading a path");
        let pocketbase = self.pocketbase.map(absolute).transpose()?;
        if let Some(path) = pocketbase.as_deref().filter(|path| !path.is_file()) {
            bail!("there is no PocketBase at {}", path.display());
        }
        let work_dir = absolute(self.work_dir.unwrap_or_else(std::env::temp_dir))?;
        if !work_dir.is_dir() {
            bail!("there is no folder {}", work_dir.display());
        }
        Ok(Settings {
            server: absolute(self.server.map_or_else(beside, Ok)?)?,
            server_args: self.server_args,
            pocketbase,
            redis: self.redis.map(absolute).transpose()?,
            nats: self.nats.map(absolute).transpose()?,
            litestream: self.litestream.map(absolute).transpose()?,
            work_dir,
            window: Duration::from_secs(self.seconds),
            rows: self.rows,
            rounds: self.rounds,
            sockets: self.sockets as usize,
            size_bytes: self.size_mb * 1_000_000,
            queries: self.queries,
            token: random_token()?,
        })
    }
}

impl Settings {
    /// Asked only by what needs it: PocketBase can be measured without Tidebase.
    pub fn server(&self) -> Result<&Path> {
        if !self.server.is_file() {
            bail!(
                "there is no server at {}: build it (cargo build --release) or name it with --server",
                self.server.display()
            );
        }
        Ok(&self.server)
    }

    pub fn work_dir(&self) -> &Path {
        &self.work_dir
    }

    pub fn temporary(&self) -> Result<TempDir> {
        tempfile::Builder::new()
            .prefix("tidebase-bench-")
            .tempdir_in(&self.work_dir)
            .context("making a temporary folder")
    }
}

/// New for each run: the port is open to every user of this machine.
fn random_token() -> Result<String> {
    use std::io::Read;
    let mut bytes = [0_u8; 16];
    std::fs::File::open("/dev/urandom")?.read_exact(&mut bytes).context("making a token")?;
    Ok(format!("{:032x}", u128::from_le_bytes(bytes)))
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory;

    use super::*;

    #[test]
    fn the_command_line_is_consistent() {
        Cli::command().debug_assert();
    }

    #[test]
    fn options_may_stand_behind_the_measure() {
        let cli = Cli::try_parse_from(["x", "read", "--rows", "5000", "--server-arg", "--no-log"]).unwrap();
        let settings = cli.options.checked().unwrap();
        assert_eq!((settings.rows, settings.server_args), (5000, vec!["--no-log".to_owned()]));
    }

    #[test]
    fn a_missing_server_is_said_in_words() {
        let cli = Cli::try_parse_from(["x", "read", "--server", "/nowhere/tidebase"]).unwrap();
        let error = cli.options.checked().unwrap().server().unwrap_err().to_string();
        assert!(error.contains("/nowhere/tidebase") && error.contains("--server"), "{error}");
    }
}
