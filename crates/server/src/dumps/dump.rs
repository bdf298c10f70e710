//! One dump as `_tide_dumps` has it: what was asked for, and what has come of it. Times are in milliseconds since 1970.

use super::calendar::written;
use crate::auth::row::{number, or_null, text};
use serde::Deserialize;
use serde_json::{Value as Json, json};
use tidebase_engine::export::{Dump as Script, Export, Tables};
use tidebase_engine::storage::system::SystemStatement;
use tidebase_engine::{Error, Result, Value};

pub const ALL: &str = "SELECT key, file, format, has_schema, chunk_rows, status, restarts, upload, rows, bytes, error, made_at,
    began_at, ended_at, url, callback, callback_status, callback_tries, callback_at, callback_error FROM _tide_dumps ORDER BY made_at, key";
pub const ONE: &str = "SELECT key, file, format, has_schema, chunk_rows, status, restarts, upload, rows, bytes, error, made_at,
    began_at, ended_at, url, callback, callback_status, callback_tries, callback_at, callback_error FROM _tide_dumps WHERE key = ?1";
const INSERT: &str =
    "INSERT INTO _tide_dumps (key, file, format, has_schema, chunk_rows, status, made_at, url, callback, callback_status)
    VALUES (?1, ?2, ?3, ?4, ?5, 'waiting', ?6, ?7, ?8, iif(?8 IS NULL, NULL, 'waiting'))";

#[derive(Clone, Copy, Debug, Deserialize, PartialEq, Eq)]
#[serde(rename_all = "lowercase")]
pub enum Format {
    Sql,
    Json,
    Csv,
}

impl Format {
    pub const fn name(self) -> &'static str {
        match self {
            Self::Sql => "sql",
            Self::Json => "json",
            Self::Csv => "csv",
        }
    }

    /// CSV files, one for each table, come in a zip.
    pub const fn extension(self) -> &'static str {
        match self {
            Self::Sql => "sql",
            Self::Json => "json",
            Self::Csv => "zip",
        }
    }

    pub const fn media_type(self) -> &'static str {
        match self {
            Self::Sql => "application/sql",
            Self::Json => "application/json",
            Self::Csv => "application/zip",
        }
    }

    fn named(name: &str) -> Option<Self> {
        [Self::Sql, Self::Json, Self::Csv].into_iter().find(|format| format.name() == name)
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Status {
    /// In line.
    Waiting,
    Processing,
    Completed,
    Failed,
}

impl Status {
    pub const fn name(self) -> &'static str {
        match self {
            Self::Waiting => "waiting",
            Self::Processing => "processing",
            Self::Completed => "completed",
            Self::Failed => "failed",
        }
    }

    pub const fn is_over(self) -> bool {
        matches!(self, Self::Completed | Self::Failed)
    }

    fn named(name: &str) -> Option<Self> {
        [Self::Waiting, Self::Processing, Self::Completed, Self::Failed]
            .into_iter()
            .find(|status| status.name() == name)
    }
}

#[derive(Clone, Debug)]
pub struct Dump {
    pub key: String,
    /// Its name in the store.
    pub file: String,
    pub format: Format,
    pub has_schema: bool,
    pub chunk_rows: u64,
    pub status: Status,
    /// How often it was begun again because the server had ended meanwhile.
    pub restarts: u32,
    /// The upload that is under way, so that what is left of it can be removed.
    pub upload: Option<String>,
    pub rows: Option<u64>,
    pub bytes: Option<u64>,
    pub error: Option<String>,
    pub made_at: i64,
    pub began_at: Option<i64>,
    pub ended_at: Option<i64>,
    /// Where it can be had.
    pub url: String,
    pub callback: Option<Callback>,
}

#[derive(Clone, Debug)]
pub struct Callback {
    pub url: String,
    /// `waiting`, `delivered` or `failed`.
    pub status: String,
    pub tries: u32,
    /// When it is tried again.
    pub due_at: Option<i64>,
    pub error: Option<String>,
}

impl Dump {
    pub fn read(row: &[Value]) -> Result<Self> {
        Self::of(row).ok_or_else(|| Error::internal("a row of _tide_dumps cannot be read"))
    }

    fn of(row: &[Value]) -> Option<Self> {
        let count = |value: &Value| number(value).map(i64::unsigned_abs);
        let callback = match text(&row[15]) {
            None => None,
            Some(url) => Some(Callback {
                url,
                status: text(&row[16])?,
                tries: count(&row[17])? as u32,
                due_at: number(&row[18]),
                error: text(&row[19]),
            }),
        };
        Some(Self {
            key: text(&row[0])?,
            file: text(&row[1])?,
            format: Format::named(&text(&row[2])?)?,
            has_schema: number(&row[3])? != 0,
            chunk_rows: count(&row[4])?,
            status: Status::named(&text(&row[5])?)?,
            restarts: count(&row[6])? as u32,
            upload: text(&row[7]),
            rows: count(&row[8]),
            bytes: count(&row[9]),
            error: text(&row[10]),
            made_at: number(&row[11])?,
            began_at: number(&row[12]),
            ended_at: number(&row[13]),
            url: text(&row[14])?,
            callback,
        })
    }

    pub fn insertion(&self) -> SystemStatement {
        let values = vec![
            Value::text(&self.key),
            Value::text(&self.file),
            Value::text(self.format.name()),
            Value::Integer(self.has_schema.into()),
            Value::Integer(self.chunk_rows as i64),
            Value::Integer(self.made_at),
            Value::text(&self.url),
            or_null(self.callback.as_ref().map(|callback| callback.url.as_str())),
        ];
        SystemStatement { sql: INSERT, values }
    }

    pub fn export(&self) -> Export {
        match self.format {
            Format::Sql => Export::Dump(Script { schema: self.has_schema, system: false }),
            Format::Json => Export::Tables(Tables::Json { schema: self.has_schema }),
            Format::Csv => Export::Tables(Tables::Csv { schema: self.has_schema }),
        }
    }

    /// What the callback says, once it is over. StarbaseDB's words for one that is completed.
    pub fn news(&self) -> Json {
        let ended_at = written(self.ended_at.unwrap_or_default());
        if self.status == Status::Completed {
            return json!({
                "status": "completed", "dumpId": self.key, "downloadUrl": self.url, "format": self.format.name(),
                "size": self.bytes, "completedAt": ended_at,
            });
        }
        json!({
            "status": "failed", "dumpId": self.key, "format": self.format.name(), "error": self.error, "failedAt": ended_at,
        })
    }
}
