//! `tidebase export` and `tidebase import`: data out and in, of a local file or a running server.
//!
//! A local file is read by this program itself, for an export also while a server has it open; a server is asked at `/export/…` and
//! `/import/…`, by the same rules as anybody.

mod export;
mod import;

pub use export::export;
pub use import::import;

use crate::interrupt::Interrupt;
use indicatif::{ProgressBar, ProgressStyle};
use std::io;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;
use tidebase_engine::export::Form;
use tidebase_engine::sqlite::budget::Cancel;
use tidebase_engine::{Error, Result};

/// What a file holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Format {
    Sql,
    Records(Form),
}

/// As `--format` says, or else the name of the file; SQL if neither does.
fn format(said: Option<&str>, file: Option<&Path>, table: Option<&str>) -> Result<Format> {
    let of_file = file.and_then(Path::file_name).and_then(|name| name.to_str()).and_then(|name| {
        let name = name.strip_suffix(".gz").or_else(|| name.strip_suffix(".zst")).unwrap_or(name);
        name.rsplit_once('.').map(|(_, extension)| extension.to_ascii_lowercase())
    });
    let format = match said.or(of_file.as_deref()) {
        Some("json") => Format::Records(Form::Json),
        Some("ndjson" | "jsonl") => Format::Records(Form::NdJson),
        Some("csv" | "tsv") => Format::Records(Form::Csv),
        Some("sql" | "dump") => Format::Sql,
        Some(other) if said.is_some() => {
            return Err(Error::invalid(format!("--format {other} is not known: sql, json, ndjson and csv are.")));
        }
        _ if table.is_some() && said.is_none() => Format::Records(Form::Json),
        _ => Format::Sql,
    };
    match (format, table) {
        (Format::Records(_), None) => Err(Error::invalid("JSON and CSV are of one table: name it with --table.")),
        (Format::Sql, Some(_)) => {
            Err(Error::invalid("SQL is of the whole database: --table goes with json, ndjson or csv."))
        }
        _ => Ok(format),
    }
}

/// Ctrl-C: what is under way is given up and leaves nothing behind. A second one ends the program as it stands.
fn given_up_by_ctrl_c() -> Result<Cancel> {
    let cancel = Cancel::default();
    let also = cancel.clone();
    Arc::<Interrupt>::default().listen(move || {
        if also.is_cancelled() {
            std::process::exit(130);
        }
        also.cancel();
    })?;
    Ok(cancel)
}

async fn given_up(cancel: &Cancel) {
    while !cancel.is_cancelled() {
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

/// Drawn on a terminal only.
fn bar(template: &str) -> ProgressBar {
    let bar = ProgressBar::no_length();
    bar.set_style(ProgressStyle::with_template(template).unwrap_or_else(|_| ProgressStyle::default_spinner()));
    bar.enable_steady_tick(Duration::from_millis(100));
    bar
}

fn cannot(what: &str, path: &Path, error: io::Error) -> Error {
    Error::unavailable(format!("{} cannot be {what}: {error}.", path.display())).caused_by(error)
}
