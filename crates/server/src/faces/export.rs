//! `/export/…`: data on its way out, for the administrator, as a file that is made while it is sent.
//!
//! Each export has a connection and a thread of its own, and one snapshot, which keeps the WAL from shrinking: so they are few, and one
//! whose reader takes nothing for a while is ended. What goes wrong on the way cuts the connection: half a file never looks whole.

use super::{Admin, Shared, query_string};
use crate::answer::{Reply, told};
use axum::body::Body;
use axum::extract::{Path, RawQuery, State};
use axum::http::{HeaderValue, Response, header};
use bytes::Bytes;
use std::io::{self, Write};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};
use tidebase_engine::export::{Dump, Export, Form, Rows, Squeeze};
use tidebase_engine::import::PREFIX;
use tidebase_engine::sqlite::budget::Cancel;
use tidebase_engine::{Error, Result};
use tokio::sync::mpsc::{self, error::TrySendError};

/// Pieces of 64 KiB that wait for the network.
const PIECES_MAX: usize = 16;
/// Between two looks whether there is room again.
const LOOK_AGAIN: Duration = Duration::from_millis(2);

/// `GET /export/dump?compress&system&schema`
pub async fn dump(State(app): State<Shared>, _: Admin, RawQuery(query): RawQuery) -> Reply {
    let asked = Asked::read(query.as_deref(), &["compress", "system", "schema"])?;
    let dump = Dump { schema: asked.flag("schema")?.unwrap_or(true), system: asked.flag("system")?.unwrap_or(false) };
    Ok(send(&app, Export::Dump(dump), asked.squeeze()?, "database_dump.sql", "application/sql").await?)
}

/// `GET /export/{form}/{table}?compress`
pub async fn rows(
    State(app): State<Shared>,
    _: Admin,
    Path((form, table)): Path<(String, String)>,
    RawQuery(query): RawQuery,
) -> Reply {
    let asked = Asked::read(query.as_deref(), &["compress"])?;
    let known = || Error::not_found(format!("There is no export as {form:?}: json, ndjson and csv are there."));
    let form = Form::named(&form).ok_or_else(known)?;
    let kind = match form {
        Form::Json => "application/json",
        Form::NdJson => "application/x-ndjson",
        Form::Csv => "text/csv; charset=utf-8",
    };
    let name = format!("{table}_export.{}", form.name());
    Ok(send(&app, Export::Rows(Rows { table, form }), asked.squeeze()?, &name, kind).await?)
}

/// `GET /export/db`: the file itself, as of one moment.
pub async fn database(State(app): State<Shared>, _: Admin) -> Reply {
    let permit = permit(&app)?;
    let path = app.engine.path().to_owned();
    let copied = tokio::task::spawn_blocking(move || -> Result<std::fs::File> {
        let cannot =
            |error: io::Error| Error::unavailable(format!("There is no room for a copy: {error}.")).caused_by(error);
        let folder =
            tempfile::Builder::new().prefix(PREFIX).tempdir_in(path.parent().unwrap_or(&path)).map_err(cannot)?;
        let copy = folder.path().join("copy.db");
        tidebase_engine::storage::backup::backup(&path, &copy, |_, _| {})?;
        // Its name goes with the folder; what is open stays until it is sent.
        std::fs::File::open(copy).map_err(cannot)
    });
    let file = copied.await.map_err(|error| Error::internal("a copy panicked").caused_by(error))??;
    let length = file.metadata().map_or(0, |about| about.len());
    let (mut pipe, pieces) = pipe(app.engine.limits().export_wait_max);
    run(move || {
        let _permit = permit;
        let copied = io::copy(&mut io::BufReader::with_capacity(64 << 10, file), &mut pipe);
        pipe.end(copied.map(|_| ()).map_err(|error| Error::unavailable(error.to_string())));
    })?;
    let mut response = attachment(pieces, "tidebase.db", "application/vnd.sqlite3");
    response.headers_mut().insert(header::CONTENT_LENGTH, HeaderValue::from(length));
    Ok(response)
}

async fn send(app: &Shared, what: Export, squeeze: Squeeze, name: &str, kind: &'static str) -> Result<Response<Body>> {
    let permit = permit(app)?;
    let (mut pipe, pieces) = pipe(app.engine.limits().export_wait_max);
    let (begun, has_begun) = tokio::sync::oneshot::channel();
    let (engine, cancel) = (Arc::clone(&app.engine), pieces.cancel.clone());
    run(move || {
        let _permit = permit;
        let opened = engine.open_export().and_then(|sqlite| {
            sqlite.own.execute_batch("BEGIN")?;
            what.check(&sqlite.own).map(|()| sqlite)
        });
        let mut sqlite = match opened {
            Ok(sqlite) => sqlite,
            Err(error) => return drop(begun.send(Err(error))),
        };
        if begun.send(Ok(())).is_err() {
            return;
        }
        let cannot = |error: io::Error| Error::unavailable(error.to_string()).caused_by(error);
        let written = squeeze.onto(&mut pipe).map_err(cannot).and_then(|mut out| {
            engine.run_export(&mut sqlite, &what, &mut out, &cancel)?;
            out.finish().map_err(cannot).map(|_| ())
        });
        pipe.end(written);
    })?;
    has_begun.await.map_err(|_| Error::internal("an export did not begin"))??;
    let kind = match squeeze {
        Squeeze::None => kind,
        Squeeze::Gzip => "application/gzip",
        Squeeze::Zstd => "application/zstd",
    };
    Ok(attachment(pieces, &format!("{name}{}", squeeze.extension()), kind))
}

fn permit(app: &Shared) -> Result<tokio::sync::OwnedSemaphorePermit> {
    let exports = Arc::clone(&app.exports);
    exports.try_acquire_owned().map_err(|_| {
        let running = app.engine.limits().exports_max;
        Error::too_many(format!("{running} exports are running. Try again when one is done.")).retry_after(10)
    })
}

fn run(work: impl FnOnce() + Send + 'static) -> Result<()> {
    let thread = std::thread::Builder::new().name("export".into()).spawn(work);
    thread.map(|_| ()).map_err(|error| Error::unavailable("There is no thread for an export.").caused_by(error))
}

fn attachment(pieces: Pieces, name: &str, kind: &'static str) -> Response<Body> {
    let pieces = futures_util::stream::unfold(Some(pieces), async |pieces| {
        let mut pieces = pieces?;
        match pieces.receiver.recv().await {
            Some(piece) => Some((Ok(piece), Some(pieces))),
            None if pieces.is_whole.load(Ordering::Acquire) => None,
            // The connection is cut.
            None => Some((Err(io::Error::other("the export has failed")), None)),
        }
    });
    let mut response = Response::new(Body::from_stream(Box::pin(pieces)));
    let headers = response.headers_mut();
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static(kind));
    headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
    headers.insert(header::X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
    // RFC 6266: a plain name for all, and the real one for who knows how to read it.
    let plain: String = name
        .chars()
        .map(|char| if char.is_ascii_alphanumeric() || "._-".contains(char) { char } else { '_' })
        .collect();
    let mut full = String::new();
    for byte in name.bytes() {
        if byte.is_ascii_alphanumeric() || b"._-".contains(&byte) {
            full.push(char::from(byte));
        } else {
            full.push_str(&format!("%{byte:02X}"));
        }
    }
    let disposition = if plain == name {
        format!("attachment; filename=\"{plain}\"")
    } else {
        format!("attachment; filename=\"{plain}\"; filename*=UTF-8''{full}")
    };
    if let Ok(disposition) = HeaderValue::from_str(&disposition) {
        headers.insert(header::CONTENT_DISPOSITION, disposition);
    }
    response
}

/// The way from the thread to the network.
struct Pipe {
    sender: mpsc::Sender<Bytes>,
    patience: Duration,
    is_whole: Arc<AtomicBool>,
}

struct Pieces {
    receiver: mpsc::Receiver<Bytes>,
    is_whole: Arc<AtomicBool>,
    cancel: Cancel,
}

impl Drop for Pieces {
    /// Nobody takes them any more: a query that gives no row would go on for ever.
    fn drop(&mut self) {
        self.cancel.cancel();
    }
}

fn pipe(patience: Duration) -> (Pipe, Pieces) {
    let (sender, receiver) = mpsc::channel(PIECES_MAX);
    let is_whole = Arc::<AtomicBool>::default();
    (
        Pipe { sender, patience, is_whole: Arc::clone(&is_whole) },
        Pieces { receiver, is_whole, cancel: Cancel::default() },
    )
}

impl Pipe {
    fn end(self, written: Result<()>) {
        match written {
            Ok(()) => self.is_whole.store(true, Ordering::Release),
            Err(_) if self.sender.is_closed() => {}
            Err(error) => drop(told(error)),
        }
    }
}

impl Write for Pipe {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let (mut piece, began) = (Bytes::copy_from_slice(bytes), Instant::now());
        loop {
            match self.sender.try_send(piece) {
                Ok(()) => return Ok(bytes.len()),
                Err(TrySendError::Closed(_)) => return Err(io::Error::from(io::ErrorKind::BrokenPipe)),
                Err(TrySendError::Full(_)) if began.elapsed() > self.patience => {
                    return Err(io::Error::other("nobody takes it"));
                }
                Err(TrySendError::Full(again)) => piece = again,
            }
            std::thread::sleep(LOOK_AGAIN);
        }
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// The parameters of the address, all of them known.
pub struct Asked(Vec<(String, String)>);

impl Asked {
    pub fn read(query: Option<&str>, known: &[&str]) -> Result<Self> {
        let asked = query_string::parse(query)?;
        match asked.iter().find(|(name, _)| !known.contains(&name.as_str())) {
            Some((name, _)) => {
                Err(Error::invalid(format!("There is no parameter {name:?} here; there are {}.", known.join(", "))))
            }
            None => Ok(Self(asked)),
        }
    }

    pub fn get(&self, name: &str) -> Option<&str> {
        self.0.iter().find(|(given, _)| given == name).map(|(_, value)| value.as_str())
    }

    pub fn flag(&self, name: &str) -> Result<Option<bool>> {
        match self.get(name) {
            None => Ok(None),
            Some("true" | "1" | "") => Ok(Some(true)),
            Some("false" | "0") => Ok(Some(false)),
            Some(other) => Err(Error::invalid(format!("{name} is true or false, not {other:?}."))),
        }
    }

    fn squeeze(&self) -> Result<Squeeze> {
        let Some(name) = self.get("compress") else { return Ok(Squeeze::None) };
        Squeeze::named(name).ok_or_else(|| Error::invalid(format!("compress is gzip, zstd or none, not {name:?}.")))
    }
}
