//! `tidebase export`

use super::{Format, bar, cannot, format, given_up, given_up_by_ctrl_c};
use crate::admin::Remote;
use crate::cli::{ExportArgs, RemoteArgs};
use crate::config;
use indicatif::ProgressBar;
use std::fs::File;
use std::io::{self, BufWriter, Write};
use std::path::{Path, PathBuf};
use std::time::Instant;
use tidebase_engine::export::{Dump, Export, Rows, Squeeze};
use tidebase_engine::sqlite::budget::Cancel;
use tidebase_engine::storage::private;
use tidebase_engine::storage::vouch::beside;
use tidebase_engine::{Error, Result};

pub fn export(args: &ExportArgs) -> Result<()> {
    let format = format(args.format.as_deref(), args.to.as_deref(), args.table.as_deref())?;
    let started = Instant::now();
    // Before there is a file that would be left.
    let cancel = given_up_by_ctrl_c()?;
    let mut target = Target::open(args.to.as_deref())?;
    let written = match &args.place.remote() {
        Some(remote) => of_server(args, remote, format, &mut target, &cancel),
        None => of_file(args, format, &mut target, &cancel),
    };
    let written = written.map_err(|error| if cancel.is_cancelled() { target.interrupted() } else { error });
    target.end(written, started)
}

/// A file that gets its name when it is whole, or standard output.
enum Target {
    Out,
    File { to: PathBuf, partial: PathBuf, out: BufWriter<File> },
}

impl Target {
    fn open(to: Option<&Path>) -> Result<Self> {
        let Some(to) = to else { return Ok(Self::Out) };
        if to.exists() {
            return Err(Error::conflict(format!(
                "{} exists already; an export never overwrites a file.",
                to.display()
            )));
        }
        let partial = beside(to, "-partial");
        // Its owner's alone, as the database is.
        private::make(&partial);
        let out = File::options().write(true).create(true).truncate(true).open(&partial);
        let out = out.map_err(|error| cannot("written", to, error))?;
        Ok(Self::File { to: to.to_owned(), partial, out: BufWriter::with_capacity(1 << 20, out) })
    }

    fn squeeze(&self) -> Squeeze {
        match self {
            Self::Out => Squeeze::None,
            Self::File { to, .. } => Squeeze::of_file(&to.to_string_lossy()),
        }
    }

    fn interrupted(&self) -> Error {
        let left = if matches!(self, Self::Out) { "What was written is not whole." } else { "Nothing was written." };
        Error::unavailable(format!("Interrupted. {left}"))
    }

    fn end(self, written: Result<u64>, started: Instant) -> Result<()> {
        let Self::File { to, partial, out } = self else { return written.map(|_| ()) };
        let ended = written.and_then(|rows| {
            let file = out.into_inner().map_err(|error| cannot("written", &to, error.into_error()))?;
            file.sync_all().map_err(|error| cannot("written", &to, error))?;
            std::fs::rename(&partial, &to).map_err(|error| cannot("written", &to, error))?;
            Ok((rows, file.metadata().map_or(0, |about| about.len())))
        });
        if ended.is_err() {
            let _ = std::fs::remove_file(&partial);
        }
        let (rows, bytes) = ended?;
        let rows = if rows > 0 { format!("{rows} rows, ") } else { String::new() };
        let seconds = started.elapsed().as_secs_f64();
        eprintln!("{}  {rows}{:.1} MB in {seconds:.1} s", config::display(&to), bytes as f64 / 1e6);
        Ok(())
    }
}

impl Write for Target {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        match self {
            Self::Out => io::stdout().write(bytes),
            Self::File { out, .. } => out.write(bytes),
        }
    }

    fn flush(&mut self) -> io::Result<()> {
        match self {
            Self::Out => io::stdout().flush(),
            Self::File { out, .. } => out.flush(),
        }
    }
}

fn of_file(args: &ExportArgs, format: Format, target: &mut Target, cancel: &Cancel) -> Result<u64> {
    let path = config::database(args.place.db.as_ref())?;
    if !path.exists() {
        return Err(Error::not_found(format!("There is no database {}.", config::display(&path))));
    }
    let what = match (format, &args.table) {
        (Format::Records(form), Some(table)) => Export::Rows(Rows { table: table.clone(), form }),
        _ => Export::Dump(Dump { schema: !args.no_schema, system: args.system }),
    };
    let mut connection = tidebase_engine::storage::backup::open(&path)?;
    let look = cancel.clone();
    connection.progress_handler(1000, Some(move || look.is_cancelled()))?;
    connection.execute_batch("BEGIN")?;
    what.check(&connection)?;
    let bar = bar("{spinner} {pos} rows  {per_sec}");
    let squeeze = target.squeeze();
    let mut out = squeeze.onto(&mut *target).map_err(|error| cannot("squeezed", &path, error))?;
    let rows = what.write(&connection, &mut out, &mut |rows| {
        bar.set_position(rows);
        if cancel.is_cancelled() { Err(Error::unavailable("It was given up.")) } else { Ok(()) }
    })?;
    out.finish().and_then(Write::flush).map_err(|error| cannot("written", &path, error))?;
    bar.finish_and_clear();
    Ok(rows)
}

fn of_server(
    args: &ExportArgs,
    remote: &RemoteArgs,
    format: Format,
    target: &mut Target,
    cancel: &Cancel,
) -> Result<u64> {
    let remote = Remote::patient(remote)?;
    let mut query = Vec::new();
    match target.squeeze() {
        Squeeze::None => {}
        Squeeze::Gzip => query.push(("compress", "gzip")),
        Squeeze::Zstd => query.push(("compress", "zstd")),
    }
    let path = if let (Format::Records(form), Some(table)) = (format, &args.table) {
        vec!["export", form.name(), table.as_str()]
    } else {
        query.extend(args.system.then_some(("system", "true")));
        query.extend(args.no_schema.then_some(("schema", "false")));
        vec!["export", "dump"]
    };
    let request = remote.request(reqwest::Method::GET, &path, &query)?;
    let bar = bar("{spinner} {bytes}  {bytes_per_sec}");
    crate::runtime()?.block_on(async {
        tokio::select! {
            received = receive(&remote, request, target, &bar) => received,
            () = given_up(cancel) => Err(Error::unavailable("It was given up.")),
        }
    })?;
    bar.finish_and_clear();
    Ok(0)
}

async fn receive(
    remote: &Remote,
    request: reqwest::RequestBuilder,
    target: &mut Target,
    bar: &ProgressBar,
) -> Result<()> {
    let lost = |error: reqwest::Error| {
        Error::unavailable(format!("The export was cut off: {error}. Its log says why.")).caused_by(error)
    };
    let mut response = request.send().await.map_err(|error| remote.unreachable(&error))?;
    let status = response.status();
    if !status.is_success() {
        let text = response.text().await.map_err(lost)?;
        remote.answered(status, &text)?;
        return Err(Error::unavailable(format!("The server answered {status}.")));
    }
    while let Some(piece) = response.chunk().await.map_err(lost)? {
        target.write_all(&piece).map_err(|error| cannot("written", Path::new("The export"), error))?;
        bar.inc(piece.len() as u64);
    }
    target.flush().map_err(|error| cannot("written", Path::new("The export"), error))
}
