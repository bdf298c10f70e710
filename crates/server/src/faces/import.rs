//! `/import/…`: a file on its way in, for the administrator. It is written to the disk of the database first, without a name, so that
//! the import itself waits for nobody's network; then it is one write among others.
//!
//! A file comes as the body, or in a form (`sqlFile`, `file`), or for records as StarbaseDB's JSON. It may be squeezed by gzip or zstd; an
//! SQLite file is read as the dump that it would give, and never becomes the database itself.

use super::export::Asked;
use super::{Admin, Shared};
use crate::answer::{self, Reply};
use axum::body::Body;
use axum::extract::{FromRequest as _, Multipart, Path, RawQuery, Request, State};
use axum::http::{StatusCode, header};
use bytes::Bytes;
use futures_util::StreamExt as _;
use serde::Deserialize;
use serde_json::{Value as Json, json};
use std::collections::HashMap;
use std::fs::File;
use std::io::{Read as _, Seek as _, Write as _};
use std::path::PathBuf;
use std::sync::Arc;
use tidebase_engine::import::{Form, Import, Rows, Source, What, as_script};
use tidebase_engine::sqlite::budget::{Cancel, CancelOnDrop};
use tidebase_engine::{Answer, Error, Result};

/// `POST /import/dump?partial&dry_run`
pub async fn dump(State(app): State<Shared>, admin: Admin, RawQuery(query): RawQuery, request: Request) -> Reply {
    let asked = Asked::read(query.as_deref(), &["partial", "dry_run"])?;
    let sent = Sent::take(&app, request, Expected::Dump).await?;
    let folder = app.engine.path().parent().map(PathBuf::from).unwrap_or_default();
    let bytes_max = app.limits.import_bytes_max as u64;
    let cancel = Cancel::default();
    // Whoever waits for it may go away.
    let _waiting = CancelOnDrop(cancel.clone());
    let source = tokio::task::spawn_blocking(move || as_script(sent.source(), &folder, bytes_max, &cancel));
    let source = source.await.map_err(|error| Error::internal("a file could not be looked at").caused_by(error))??;
    let Done { report, is_dry, answer } = run(&app, &admin, What::Dump, source, &asked).await?;
    let details: Vec<Json> = told(&report).map(|(at, failure)| {
        json!({ "statement": failure["statement"], "success": false, "error": failure["error"], "at": at })
    }).collect();
    let (done, failed) = (&report["done"], &report["failed"]);
    let dry = if is_dry { "Dry run, nothing was kept. " } else { "" };
    let message = format!("{dry}SQL dump import completed. {done} statements succeeded, {failed} failed.");
    let passed_over = &report["passed_over"];
    let result = json!({
        "message": message, "done": done, "failed": failed, "passed_over": passed_over, "details": details
    });
    Ok(answer::about(status(&report), result, &answer))
}

/// `POST /import/{form}/{table}?partial&dry_run&create&delimiter`
pub async fn rows(
    State(app): State<Shared>,
    admin: Admin,
    Path((form, table)): Path<(String, String)>,
    RawQuery(query): RawQuery,
    request: Request,
) -> Reply {
    let asked = Asked::read(query.as_deref(), &["partial", "dry_run", "create", "delimiter"])?;
    let form = match form.as_str() {
        "csv" => Form::Csv,
        "json" => Form::Json,
        "ndjson" => Form::NdJson,
        other => {
            return Err(Error::not_found(format!(
                "There is no import of {other:?}: dump, json, ndjson and csv are there."
            ))
            .into());
        }
    };
    let delimiter = match asked.get("delimiter").map(str::as_bytes) {
        None => b',',
        Some([byte]) if !matches!(byte, b'"' | b'\r' | b'\n') => *byte,
        Some(b"tab") => b'\t',
        Some(_) => return Err(Error::invalid("delimiter is one character, or tab.").into()),
    };
    let sent = Sent::take(&app, request, if form == Form::Csv { Expected::Csv } else { Expected::Json }).await?;
    let create = asked.flag("create")?.unwrap_or(false);
    let form = if form == Form::Json && sent.is_by_line { Form::NdJson } else { form };
    let rows = Rows { table, form, mapping: sent.mapping.clone(), create, delimiter };
    let Done { report, is_dry, answer } = run(&app, &admin, What::Rows(rows), sent.source(), &asked).await?;
    let failed: Vec<Json> =
        told(&report).map(|(at, failure)| json!({ "statement": at, "error": failure["error"] })).collect();
    let (done, failures) = (report["done"].as_u64().unwrap_or(0), report["failed"].as_u64().unwrap_or(0));
    let dry = if is_dry { "Dry run, nothing was kept. " } else { "" };
    let all = done + failures;
    let message = format!("{dry}Imported {done} out of {all} records successfully. {failures} records failed.");
    let result = json!({ "message": message, "done": done, "failed": failures, "failedStatements": failed });
    Ok(answer::about(status(&report), result, &answer))
}

/// An import that is over.
struct Done {
    report: Json,
    is_dry: bool,
    answer: Answer,
}

async fn run(app: &Shared, admin: &Admin, what: What, source: Source, asked: &Asked) -> Result<Done> {
    let is_dry = asked.flag("dry_run")?.unwrap_or(false);
    let mut import = Import::new(what, source, admin.who.clone())?;
    (import.partial, import.dry_run) = (asked.flag("partial")?.unwrap_or(false), is_dry);
    let answer = app.engine.import(import).await?;
    let report = serde_json::from_slice(&answer.body).map_err(|error| Error::internal("no report").caused_by(error))?;
    Ok(Done { report, is_dry, answer })
}

fn told(report: &Json) -> impl Iterator<Item = (&str, &Json)> {
    let failures = report["failures"].as_array().map(Vec::as_slice).unwrap_or_default();
    failures.iter().map(|failure| (failure["at"].as_str().unwrap_or_default(), failure))
}

fn status(report: &Json) -> StatusCode {
    if report["failed"] == 0 { StatusCode::OK } else { StatusCode::MULTI_STATUS }
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Expected {
    Dump,
    Csv,
    Json,
}

/// A file that was sent, whole.
struct Sent {
    file: File,
    mapping: HashMap<String, String>,
    /// Said to be an object a line.
    is_by_line: bool,
}

/// StarbaseDB's body for CSV.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct CsvBody {
    data: String,
    #[serde(default)]
    column_mapping: Option<HashMap<String, String>>,
}

impl Sent {
    fn source(self) -> Source {
        Source(Arc::new(self.file))
    }

    async fn take(app: &Shared, request: Request, expected: Expected) -> Result<Self> {
        let kind = request.headers().get(header::CONTENT_TYPE).and_then(|kind| kind.to_str().ok());
        let kind = kind.unwrap_or_default().to_ascii_lowercase();
        let mut spool = Spool::new(app)?;
        let mut mapping = HashMap::new();
        if kind.starts_with("multipart/form-data") {
            mapping = spool.form(app, request, expected).await?;
        } else {
            spool.body(request.into_body()).await?;
        }
        let mut file = spool.file;
        if spool.length == 0 {
            return Err(Error::invalid("Request body is empty."));
        }
        if expected == Expected::Csv && kind.starts_with("application/json") {
            (file, mapping) = unwrapped(app, file)?;
        }
        let is_by_line = ["ndjson", "jsonl", "json-lines"].iter().any(|name| kind.contains(name));
        Ok(Self { file, mapping, is_by_line })
    }
}

/// The CSV that stands in JSON.
fn unwrapped(app: &Shared, mut file: File) -> Result<(File, HashMap<String, String>)> {
    let bound = app.limits.body_bytes_max as u64;
    let mut text = Vec::new();
    file.rewind().and_then(|()| (&file).take(bound + 1).read_to_end(&mut text)).map_err(cannot_keep)?;
    if text.len() as u64 > bound {
        return Err(Error::too_large(format!(
            "CSV in JSON may have {bound} bytes; sent as text/csv it may be longer."
        )));
    }
    let body: CsvBody = serde_json::from_slice(&text).map_err(|error| {
        Error::invalid(format!("Invalid JSON format. {{\"data\", \"columnMapping\"?}} is expected: {error}."))
    })?;
    let mut spool = Spool::new(app)?;
    spool.write(body.data.as_bytes())?;
    Ok((spool.file, body.column_mapping.unwrap_or_default()))
}

/// A file beside the database that grows as it comes.
struct Spool {
    file: File,
    length: u64,
    bytes_max: u64,
}

impl Spool {
    fn new(app: &Shared) -> Result<Self> {
        let path = app.engine.path();
        let folder: PathBuf = path.parent().map(Into::into).unwrap_or_default();
        let file = tempfile::tempfile_in(folder).map_err(cannot_keep)?;
        Ok(Self { file, length: 0, bytes_max: app.limits.import_bytes_max as u64 })
    }

    fn write(&mut self, bytes: &[u8]) -> Result<()> {
        self.length += bytes.len() as u64;
        if self.length > self.bytes_max {
            return Err(Error::too_large(format!("A file may have {} bytes.", self.bytes_max)));
        }
        self.file.write_all(bytes).map_err(cannot_keep)
    }

    async fn body(&mut self, body: Body) -> Result<()> {
        let mut pieces = body.into_data_stream();
        while let Some(piece) = pieces.next().await {
            let piece: Bytes =
                piece.map_err(|error| Error::invalid(format!("The body could not be read: {error}.")))?;
            // To memory as a rule: the system writes it to the disk when it likes.
            tokio::task::block_in_place(|| self.write(&piece))?;
        }
        Ok(())
    }

    /// The file of a form, and the mapping beside it.
    async fn form(&mut self, app: &Shared, request: Request, expected: Expected) -> Result<HashMap<String, String>> {
        let unreadable =
            |error: &dyn std::fmt::Display| Error::invalid(format!("The form could not be read: {error}."));
        let mut form = Multipart::from_request(request, app).await.map_err(|error| unreadable(&error.body_text()))?;
        let (mut mapping, mut has_file) = (HashMap::new(), false);
        while let Some(mut field) = form.next_field().await.map_err(|error| unreadable(&error.body_text()))? {
            match field.name().unwrap_or_default() {
                "columnMapping" => {
                    let text = field.text().await.map_err(|error| unreadable(&error.body_text()))?;
                    mapping = serde_json::from_str(&text).map_err(|error| {
                        Error::invalid(format!("columnMapping is a JSON object of names: {error}."))
                    })?;
                }
                "sqlFile" | "file" if !has_file => {
                    has_file = true;
                    while let Some(piece) = field.chunk().await.map_err(|error| unreadable(&error.body_text()))? {
                        tokio::task::block_in_place(|| self.write(&piece))?;
                    }
                }
                _ => {}
            }
        }
        // StarbaseDB's words.
        let missing = if expected == Expected::Dump {
            "No SQL file uploaded: the form has none as sqlFile."
        } else {
            "No file uploaded: the form has none as file."
        };
        if has_file { Ok(mapping) } else { Err(Error::invalid(missing)) }
    }
}

fn cannot_keep(error: std::io::Error) -> Error {
    Error::unavailable(format!("The file cannot be kept until it is imported: {error}.")).caused_by(error)
}
