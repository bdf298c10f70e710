//! Tidebase as the measurements see it: a child process, an address, an admin token, and how its calls are written.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use serde_json::{Value, json};
use tempfile::TempDir;

use crate::child::{Child, clean_command, free_address};
use crate::cli::Settings;
use crate::http::{Caller, Connection};

pub const NAME: &str = "Tidebase";

/// Starting after a crash replays the log; anything longer than this is a hang.
const START_PATIENCE: Duration = Duration::from_mins(2);

pub struct Tidebase {
    // The child comes first: fields are dropped in order, and the files must outlive the process.
    child: Child,
    pub address: SocketAddr,
    pub token: String,
    pub caller: Caller,
    database: PathBuf,
    home: Option<TempDir>,
}

impl Tidebase {
    /// A server on an empty database of its own, gone with it.
    pub async fn fresh(settings: &Settings) -> Result<Self> {
        Self::fresh_with(settings, &[]).await
    }

    /// The same, with more arguments.
    pub async fn fresh_with(settings: &Settings, arguments: &[&str]) -> Result<Self> {
        let home = settings.temporary()?;
        let (mut server, _) = Self::start_with(settings, home.path(), None, arguments).await?;
        server.home = Some(home);
        Ok(server)
    }

    /// A server on the database in `home`, and the time from its spawn to its first answer: to `probe`, an SQL query,
    /// or to `GET /health`.
    pub async fn start(settings: &Settings, home: &Path, probe: Option<&str>) -> Result<(Self, Duration)> {
        Self::start_with(settings, home, probe, &[]).await
    }

    async fn start_with(
        settings: &Settings,
        home: &Path,
        probe: Option<&str>,
        arguments: &[&str],
    ) -> Result<(Self, Duration)> {
        let address = free_address()?;
        let token = settings.token.clone();
        let database = home.join("bench.db");
        let mut command = clean_command(settings.server()?, home);
        command.arg("serve").arg("--db").arg(&database).arg("--listen").arg(address.to_string());
        command.args(arguments).args(&settings.server_args).env("TIDEBASE_ADMIN_TOKEN", &token);
        let mut child = Child::spawn(&mut command, home.join("server.log"))?;
        let caller = Caller::new(address, Some(&format!("Bearer {token}")));
        let mut request = Vec::new();
        match probe {
            Some(sql) => caller.post(&mut request, "/query", &json!({ "sql": sql }).to_string()),
            None => caller.get(&mut request, "/health"),
        }
        let answered = child.first_answer(address, &request, START_PATIENCE).await?;
        Ok((Self { child, address, token, caller, database, home: None }, answered))
    }

    pub fn pid(&self) -> u32 {
        self.child.pid()
    }

    /// One statement as admin; the rows, and the revision the answer named.
    pub async fn sql(&self, sql: &str, params: Value) -> Result<(Value, Option<u64>)> {
        let mut request = Vec::new();
        self.caller.post(&mut request, "/query", &json!({ "sql": sql, "params": params }).to_string());
        let mut connection = Connection::open(self.address).await?;
        let answer = connection.exchange(&request).await?.checked().with_context(|| sql.to_owned())?;
        let revision = answer.revision;
        Ok((answer.json()?["result"].take(), revision))
    }

    /// The single number a query answers.
    pub async fn number(&self, sql: &str) -> Result<u64> {
        let (rows, _) = self.sql(sql, json!([])).await?;
        let first = rows.get(0).and_then(Value::as_object).and_then(|row| row.values().next());
        first.and_then(Value::as_u64).with_context(|| format!("no number came back from {sql}"))
    }

    /// Table `t` with `rows` rows of six columns, the one every reading load uses.
    pub async fn fill_t(&self, rows: u64) -> Result<()> {
        let table = "CREATE TABLE t(id INTEGER PRIMARY KEY, name TEXT NOT NULL, owner TEXT NOT NULL, n INTEGER, x REAL, created TEXT)";
        self.sql(table, json!([])).await?;
        // In steps, so that neither one transaction nor one statement grows past what a server may allow.
        let insert = "INSERT INTO t(id, name, owner, n, x, created) \
             WITH RECURSIVE c(i) AS (SELECT ?1 UNION ALL SELECT i + 1 FROM c WHERE i < ?2) \
             SELECT i, 'name of row ' || i, 'owner' || (i % 1000), i * 7, i / 3.0, '2026-01-01 00:00:00' FROM c";
        let mut first = 1;
        while first <= rows {
            let last = (first + 9_999).min(rows);
            self.sql(insert, json!([first, last])).await?;
            first = last + 1;
        }
        Ok(())
    }

    /// Ends the server politely; anything but its success is an error.
    pub fn stop(self) -> Result<()> {
        let status = self.child.stop()?;
        ensure!(status.success(), "the server ended with {status} after SIGTERM");
        Ok(())
    }

    pub fn crash(self) -> Result<()> {
        self.child.crash()
    }

    /// Bytes of the database file and of its write-ahead log; zero for one that is not there.
    pub fn file_bytes(&self) -> (u64, u64) {
        file_bytes(&self.database)
    }
}

/// As [`Tidebase::file_bytes`], for a server that has ended.
pub fn file_bytes(database: &Path) -> (u64, u64) {
    let size = |path: &Path| std::fs::metadata(path).map_or(0, |meta| meta.len());
    let mut log = database.as_os_str().to_owned();
    log.push("-wal");
    (size(database), size(Path::new(&log)))
}
