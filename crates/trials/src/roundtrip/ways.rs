//! The ways out of a database and into another one, through the real program.

use crate::crash::{Program, TOKEN};
use anyhow::{Context as _, Result, bail, ensure};
use std::fs::File;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use tidebase_engine::export::Squeeze;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Way {
    /// `tidebase export`, `tidebase import`.
    Sql,
    Gzip,
    Zstd,
    /// The SQLite file itself, imported.
    File,
    FileInGzip,
    FileInZstd,
    /// `GET /export/dump` of one server, `POST /import/dump` to another.
    Http,
    /// Our export, read by the stock `sqlite3`.
    Shell,
}

impl Way {
    pub const ALL: [Self; 8] =
        [Self::Sql, Self::Shell, Self::Http, Self::Gzip, Self::File, Self::Zstd, Self::FileInGzip, Self::FileInZstd];
}

/// One database, once there and back.
pub struct Journey<'a> {
    pub program: &'a Path,
    pub first: &'a Path,
    /// A folder of its own.
    pub place: &'a Path,
}

impl Journey<'_> {
    /// The database that has come back, without what Tidebase keeps in it for itself.
    pub fn take(&self, way: Way) -> Result<PathBuf> {
        let last = self.place.join("last.db");
        match way {
            Way::Sql => self.import(&self.export("out.sql")?, &last)?,
            Way::Gzip => self.import(&self.export("out.sql.gz")?, &last)?,
            Way::Zstd => self.import(&self.export("out.sql.zst")?, &last)?,
            Way::File => self.import(self.first, &last)?,
            Way::FileInGzip => self.import(&self.squeezed(Squeeze::Gzip)?, &last)?,
            Way::FileInZstd => self.import(&self.squeezed(Squeeze::Zstd)?, &last)?,
            Way::Http => return self.by_http(),
            Way::Shell => {
                let out = File::open(self.export("out.sql")?)?;
                let mut shell = Command::new("sqlite3");
                answered(shell.args(["-batch", "-bail", "-init", "/dev/null"]).arg(&last).stdin(out))?;
            }
        }
        strip(&last)?;
        Ok(last)
    }

    fn export(&self, name: &str) -> Result<PathBuf> {
        let out = self.place.join(name);
        answered(self.tidebase("export").arg("--db").arg(self.first).arg("--to").arg(&out))?;
        Ok(out)
    }

    fn import(&self, from: &Path, into: &Path) -> Result<()> {
        answered(self.tidebase("import").arg("--db").arg(into).arg(from)).map(|_| ())
    }

    fn squeezed(&self, squeeze: Squeeze) -> Result<PathBuf> {
        let path = self.place.join(format!("out.db{}", squeeze.extension()));
        let mut out = squeeze.onto(File::create_new(&path)?)?;
        std::io::copy(&mut File::open(self.first)?, &mut out)?;
        out.finish()?;
        Ok(path)
    }

    fn by_http(&self) -> Result<PathBuf> {
        let out = self.place.join("http.sql");
        let [from, to] = ["from", "to"].map(|name| Program {
            server: self.program.to_owned(),
            home: self.place.join(name),
            limits: Vec::new(),
        });
        for program in [&from, &to] {
            std::fs::create_dir(&program.home)?;
        }
        std::fs::copy(self.first, from.database())?;
        Self::while_served(&from, |url| answered(self.tidebase("export").args(["--url", url, "--to"]).arg(&out)))?;
        Self::while_served(&to, |url| answered(self.tidebase("import").args(["--url", url]).arg(&out)))?;
        strip(&to.database())?;
        Ok(to.database())
    }

    /// The server is told to stop, and has stopped when this returns.
    fn while_served(program: &Program, work: impl FnOnce(&str) -> Result<String>) -> Result<()> {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
        let mut server = runtime.block_on(program.start())?;
        work(&format!("http://{}", server.address))?;
        server.terminate()?;
        let ended = runtime.block_on(server.ended())?;
        ensure!(ended.success(), "the server ended with {ended}");
        Ok(())
    }

    fn tidebase(&self, command: &str) -> Command {
        let mut tidebase = Command::new(self.program);
        tidebase.arg(command).current_dir(self.place).env("TIDEBASE_ADMIN_TOKEN", TOKEN);
        tidebase
    }
}

/// What a program says on its standard output; an error with its own words if it failed.
pub fn answered(command: &mut Command) -> Result<String> {
    let command = command.stdout(Stdio::piped()).stderr(Stdio::piped());
    let output = command.output().with_context(|| format!("{command:?} could not be started"))?;
    if !output.status.success() {
        bail!("{command:?}: {}: {}", output.status, String::from_utf8_lossy(&output.stderr));
    }
    Ok(String::from_utf8_lossy(&output.stdout).into_owned())
}

/// Takes away what Tidebase keeps for itself.
fn strip(path: &Path) -> Result<()> {
    let connection = rusqlite::Connection::open(path)?;
    let ours = "SELECT 'DROP TABLE \"' || name || '\";' FROM sqlite_schema WHERE type = 'table' AND name LIKE '\\_tide%' ESCAPE '\\'";
    let drops: Vec<String> =
        connection.prepare(ours)?.query_map([], |row| row.get(0))?.collect::<rusqlite::Result<_>>()?;
    Ok(connection.execute_batch(&drops.concat())?)
}
