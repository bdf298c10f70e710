//! `tidebase import`

use super::{Format, bar, cannot, format, given_up, given_up_by_ctrl_c};
use crate::admin::Remote;
use crate::cli::{ImportArgs, RemoteArgs};
use crate::config;
use serde_json::Value as Json;
use std::collections::HashMap;
use std::fs::File;
use std::io;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;
use tidebase_engine::export::Form;
use tidebase_engine::import::{self, Import, Rows, Source, What};
use tidebase_engine::sqlite::budget::Cancel;
use tidebase_engine::{Engine, Error, Result};

/// Told one by one.
const FAILURES_MAX: usize = 20;

pub fn import(args: &ImportArgs) -> Result<()> {
    let is_stdin = args.from.as_os_str() == "-";
    let format = format(args.format.as_deref(), (!is_stdin).then_some(&*args.from), args.table.as_deref())?;
    let file = if is_stdin {
        spooled()?
    } else {
        File::open(&args.from).map_err(|error| cannot("read", &args.from, error))?
    };
    let cancel = given_up_by_ctrl_c()?;
    match &args.place.remote() {
        Some(remote) => into_server(args, remote, format, file, &cancel),
        None => into_file(args, format, file, &cancel),
    }
}

/// Standard input as a file, which can be read again.
fn spooled() -> Result<File> {
    let mut file = tempfile::tempfile().map_err(|error| cannot("kept", Path::new("Standard input"), error))?;
    io::copy(&mut io::stdin(), &mut file).map_err(|error| cannot("read", Path::new("Standard input"), error))?;
    Ok(file)
}

fn what(args: &ImportArgs, format: Format) -> Result<What> {
    let (Format::Records(form), Some(table)) = (format, &args.table) else { return Ok(What::Dump) };
    let mapping = args.mapping.iter().map(|pair| match pair.split_once('=') {
        Some((name, column)) => Ok((name.to_owned(), column.to_owned())),
        None => Err(Error::invalid(format!("--map {pair:?} is like Name=column."))),
    });
    let mapping: HashMap<String, String> = mapping.collect::<Result<_>>()?;
    let is_tsv = args.format.as_deref() == Some("tsv") || is_tsv(&args.from);
    let delimiter = match args.delimiter.as_deref().map(str::as_bytes) {
        None if is_tsv => b'\t',
        None => b',',
        Some(b"tab") => b'\t',
        Some([byte]) if !matches!(byte, b'"' | b'\r' | b'\n') => *byte,
        Some(_) => return Err(Error::invalid("--delimiter is one character, or tab.")),
    };
    let form = match form {
        Form::Csv => import::Form::Csv,
        Form::Json => import::Form::Json,
        Form::NdJson => import::Form::NdJson,
    };
    Ok(What::Rows(Rows { table: table.clone(), form, mapping, create: args.create, delimiter }))
}

/// The name is read as `format` reads it: squeezed or not, in small letters or not.
fn is_tsv(file: &Path) -> bool {
    let name = file.file_name().and_then(|name| name.to_str()).unwrap_or_default();
    let name = name.strip_suffix(".gz").or_else(|| name.strip_suffix(".zst")).unwrap_or(name);
    name.rsplit_once('.').is_some_and(|(_, extension)| extension.eq_ignore_ascii_case("tsv"))
}

fn into_file(args: &ImportArgs, format: Format, file: File, cancel: &Cancel) -> Result<()> {
    let what = what(args, format)?;
    let mut source = Source(Arc::new(file));
    if matches!(what, What::Dump) {
        source = import::as_script(source, &std::env::temp_dir(), u64::MAX, cancel)?;
    }
    let path = config::database(args.place.db.as_ref())?;
    if let Some(folder) = path.parent() {
        std::fs::create_dir_all(folder).map_err(|error| cannot("made", folder, error))?;
    }
    let engine = Engine::open(config::opening(path)?)?;
    let before = engine.revision();
    let mut import = Import::new(what, source, "command line")?;
    (import.partial, import.dry_run) = (args.partial, args.dry_run);
    let progress = Arc::clone(&import.progress);
    let bar = bar("{spinner} {pos} so far  {per_sec}");
    let done = crate::runtime()?.block_on(async {
        let importing = engine.import(import);
        tokio::pin!(importing);
        loop {
            tokio::select! {
                done = &mut importing => return done,
                // With the future that waits for it the import ends.
                () = given_up(cancel) => return Err(Error::unavailable("Interrupted. Nothing of the import was kept.")),
                () = tokio::time::sleep(Duration::from_millis(100)) => bar.set_position(progress.load(Ordering::Relaxed)),
            }
        }
    });
    bar.finish_and_clear();
    engine.close();
    if cancel.is_cancelled() && done.is_err() && engine.revision() != before {
        return Err(Error::unavailable("Interrupted, but too late: all of the import was kept."));
    }
    let report: Json =
        serde_json::from_slice(&done?.body).map_err(|error| Error::internal("no report").caused_by(error))?;
    let (done, failed) = (&report["done"], report["failed"].as_u64().unwrap_or(0));
    let noun = if format == Format::Sql { "statements" } else { "records" };
    let dry = if args.dry_run { "Dry run, nothing was kept. " } else { "" };
    crate::print_lines(&format!("{dry}{done} {noun} imported, {failed} failed."));
    let passed_over = report["passed_over"].as_u64().unwrap_or(0);
    if passed_over > 0 {
        crate::print_lines(&format!("{passed_over} statements about Tidebase's own tables were passed over."));
    }
    let failures = report["failures"].as_array().map(Vec::as_slice).unwrap_or_default();
    tell(failures.iter().map(|failure| (&failure["at"], &failure["error"])), failed)
}

/// Says what failed; that something did is also the end of the command.
fn tell<'a>(failures: impl Iterator<Item = (&'a Json, &'a Json)>, failed: u64) -> Result<()> {
    let mut told = 0;
    for (at, error) in failures.take(FAILURES_MAX) {
        crate::print_lines(&format!("  {}: {}", at.as_str().unwrap_or_default(), error.as_str().unwrap_or_default()));
        told += 1;
    }
    if told < failed {
        crate::print_lines(&format!("  and {} more", failed - told));
    }
    match failed {
        0 => Ok(()),
        failed => Err(Error::invalid(format!("{failed} could not be imported."))),
    }
}

fn into_server(args: &ImportArgs, remote: &RemoteArgs, format: Format, file: File, cancel: &Cancel) -> Result<()> {
    let remote = Remote::patient(remote)?;
    let flag = |name: &'static str, is_on: bool| is_on.then_some((name, "true"));
    let mut query: Vec<(&str, &str)> =
        [flag("partial", args.partial), flag("dry_run", args.dry_run)].into_iter().flatten().collect();
    let delimiter;
    let path = match (what(args, format)?, format) {
        (What::Rows(rows), Format::Records(form)) => {
            query.extend(flag("create", args.create));
            delimiter = if rows.delimiter == b'\t' { "tab".to_owned() } else { char::from(rows.delimiter).to_string() };
            query.push(("delimiter", &delimiter));
            vec!["import", form.name(), args.table.as_deref().unwrap_or_default()]
        }
        _ => vec!["import", "dump"],
    };
    let length = file.metadata().map_or(0, |about| about.len());
    let bar = bar("{spinner} {bytes} of {total_bytes} sent  {bytes_per_sec}");
    bar.set_length(length);
    let mapping: serde_json::Map<String, Json> = args
        .mapping
        .iter()
        .filter_map(|pair| pair.split_once('='))
        .map(|(name, column)| (name.to_owned(), column.into()))
        .collect();
    let request = remote.request(reqwest::Method::POST, &path, &query)?;
    let (status, text) = crate::runtime()?.block_on(async {
        let sent = bar.clone();
        let pieces = futures_util::stream::try_unfold(tokio::fs::File::from_std(file), move |mut file| {
            let sent = sent.clone();
            async move {
                use tokio::io::AsyncReadExt as _;
                let mut piece = bytes::BytesMut::with_capacity(64 << 10);
                let read = file.read_buf(&mut piece).await?;
                sent.inc(read as u64);
                Ok::<_, io::Error>((read > 0).then(|| (piece.freeze(), file)))
            }
        });
        let part = reqwest::multipart::Part::stream_with_length(reqwest::Body::wrap_stream(pieces), length);
        let field = if path[1] == "dump" { "sqlFile" } else { "file" };
        let form = reqwest::multipart::Form::new()
            .text("columnMapping", Json::Object(mapping).to_string())
            .part(field, part.file_name("import.sql"));
        let answered = async {
            let response = request.multipart(form).send().await.map_err(|error| remote.unreachable(&error))?;
            let status = response.status();
            Ok::<_, Error>((status, response.text().await.map_err(|error| remote.unreachable(&error))?))
        };
        tokio::select! {
            answered = answered => answered,
            () = given_up(cancel) => Err(Error::unavailable("Interrupted. The server undoes what it had not finished.")),
        }
    })?;
    bar.finish_and_clear();
    let answer = remote.answered(status, &text)?;
    crate::print_lines(answer["message"].as_str().unwrap_or("Imported."));
    let failures = answer["details"].as_array().or(answer["failedStatements"].as_array());
    let failures = failures.map(Vec::as_slice).unwrap_or_default();
    let place = if path[1] == "dump" { "at" } else { "statement" };
    tell(failures.iter().map(|failure| (&failure[place], &failure["error"])), answer["failed"].as_u64().unwrap_or(0))
}
