//! `tidebase export`

use super::{Format, bar, cannot, format, given_up, given_up_by_ctrl_c};
use crate::admin::Remote;
use crate::cli::{ExportArgs, RemoteArgs};
use crate::config;
use indicatif::ProgressBar;
use std::fs::File;
use std::io::{self, BufWriter, ErrorKind, Write};
use std::path::{Path, PathBuf};
use std::time::Instant;
use tempfile::TempPath;
use tidebase_engine::export::{Dump, Export, Rows, Squeeze};
use tidebase_engine::sqlite::budget::Cancel;
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

/// A file that gets its name when it is whole, or standard output. Until then its name is nobody else's, so that two exports do not mix;
/// dropped, it goes.
#[derive(Debug)]
enum Target {
    Out,
    File { to: PathBuf, partial: TempPath, out: BufWriter<File> },
}

impl Target {
    fn open(to: Option<&Path>) -> Result<Self> {
        let Some(to) = to else { return Ok(Self::Out) };
        if is_there(to) {
            return Err(taken(to));
        }
        let (out, partial) = partial(to).map_err(|error| cannot("written", to, error))?;
        Ok(Self::File { to: to.to_owned(), partial, out: BufWriter::with_capacity(1 << 20, out) })
    }

    /// To be named in errors.
    fn path(&self) -> &Path {
        match self {
            Self::Out => Path::new("The export"),
            Self::File { to, .. } => to,
        }
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
        let rows = written?;
        let file = out.into_inner().map_err(|error| cannot("written", &to, error.into_error()))?;
        file.sync_all().map_err(|error| cannot("written", &to, error))?;
        put(partial, &to).map_err(|error| match error.kind() {
            ErrorKind::AlreadyExists => taken(&to),
            _ => cannot("written", &to, error),
        })?;
        let bytes = file.metadata().map_or(0, |about| about.len());
        let rows = if rows > 0 { format!("{rows} rows, ") } else { String::new() };
        let seconds = started.elapsed().as_secs_f64();
        eprintln!("{}  {rows}{:.1} MB in {seconds:.1} s", config::display(&to), bytes as f64 / 1e6);
        Ok(())
    }
}

/// Also a link that leads nowhere, which would be in the way at the end.
fn is_there(path: &Path) -> bool {
    path.symlink_metadata().is_ok()
}

fn taken(to: &Path) -> Error {
    Error::conflict(format!("{} exists already; an export never overwrites a file.", to.display()))
}

/// A new file beside what it is to become; its owner's alone, as the database is.
fn partial(to: &Path) -> io::Result<(File, TempPath)> {
    let beginning = beside(to, "-partial-");
    let folder = beginning.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
    let name = beginning.file_name().unwrap_or_default();
    Ok(tempfile::Builder::new().prefix(name).tempfile_in(folder)?.into_parts())
}

/// Gives a file its name unless somebody took it meanwhile. The other name goes when `partial` is dropped.
fn put(partial: TempPath, to: &Path) -> io::Result<()> {
    match std::fs::hard_link(&partial, to) {
        // Some file systems know no links. There, two exports at a time would not be told apart.
        Err(error) if matches!(error.kind(), ErrorKind::Unsupported | ErrorKind::PermissionDenied) => {
            if is_there(to) {
                return Err(ErrorKind::AlreadyExists.into());
            }
            Ok(partial.persist(to)?)
        }
        linked => linked,
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
    let (squeeze, to) = (target.squeeze(), target.path().to_owned());
    let mut out = squeeze.onto(&mut *target).map_err(|error| cannot("squeezed", &to, error))?;
    let rows = what.write(&connection, &mut out, &mut |rows| {
        bar.set_position(rows);
        if cancel.is_cancelled() { Err(Error::unavailable("It was given up.")) } else { Ok(()) }
    })?;
    out.finish().and_then(Write::flush).map_err(|error| cannot("written", &to, error))?;
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
        target.write_all(&piece).map_err(|error| cannot("written", target.path(), error))?;
        bar.inc(piece.len() as u64);
    }
    target.flush().map_err(|error| cannot("written", target.path(), error))
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::PermissionsExt as _;

    fn names(folder: &Path) -> Vec<String> {
        let names = std::fs::read_dir(folder).unwrap();
        names.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect()
    }

    #[test]
    fn two_exports_to_one_name_do_not_mix_and_the_first_that_is_whole_has_it() {
        let folder = tempfile::tempdir().unwrap();
        let to = folder.path().join("out.csv");
        let [mut first, mut second] = [(); 2].map(|()| Target::open(Some(&to)).unwrap());
        second.write_all(b"second").unwrap();
        second.flush().unwrap();
        first.write_all(b"first").unwrap();
        first.end(Ok(1), Instant::now()).unwrap();
        let late = second.end(Ok(1), Instant::now()).unwrap_err();
        let early = Target::open(Some(&to)).unwrap_err();
        assert_eq!((late.code, &late.message), (early.code, &early.message));
        assert_eq!(std::fs::read(&to).unwrap(), b"first");
        assert_eq!(names(folder.path()), ["out.csv"]);
        assert_eq!(to.metadata().unwrap().permissions().mode() & 0o777, 0o600);
    }

    #[test]
    fn an_export_that_fails_leaves_nothing() {
        let folder = tempfile::tempdir().unwrap();
        let target = Target::open(Some(&folder.path().join("out.csv"))).unwrap();
        target.end(Err(Error::unavailable("It was given up.")), Instant::now()).unwrap_err();
        assert!(names(folder.path()).is_empty());
    }
}
