//! Writes of documents: each with what must be so before it, several of them as one.

use super::desk::{self, Desk, Document};
use super::fields::{self, Field};
use super::path::DocumentPath;
use crate::changes::change::Revision;
use crate::error::{Code, Error, Result};
use crate::json;
use crate::limits::Limits;
use crate::sqlite::exclude::quoted;
use crate::value::Value;
use serde_json::{Map, Value as Json};
use std::ops::ControlFlow;

/// Writes of one batch, and documents that it says it has read.
pub const BATCH_MAX: usize = 500;

/// All of it happens, or nothing.
#[derive(Clone, Debug)]
pub struct Batch {
    /// Documents as they were read: at another revision by now, nothing is written. 0 is one that was not there.
    pub reads: Vec<(DocumentPath, Revision)>,
    pub writes: Vec<DocumentWrite>,
    /// One write, whose answer stands alone.
    pub is_single: bool,
}

#[derive(Clone, Debug)]
pub struct DocumentWrite {
    pub path: DocumentPath,
    pub change: Change,
    /// Only if the document stands at this revision; 0 means that it must not exist.
    pub if_revision: Option<Revision>,
    /// Only if it exists, or only if it does not.
    pub exists: Option<bool>,
}

#[derive(Clone, Debug)]
pub enum Change {
    /// In the place of whatever is there.
    Set(Map<String, Json>),
    /// Some fields, of an empty document if there is none.
    Merge(Vec<(Field, Json)>),
    Delete,
}

impl Batch {
    /// Does it on the writer's connection, in its transaction; gives the JSON of the answer. `revision` is the one this request will
    /// have if it changes something, `now` what [`super::timestamp`] gave.
    ///
    /// # Errors
    /// `conflict` where a precondition does not hold, `forbidden` in the same words for whatever policies refuse, and for a hidden
    /// document that is in the way.
    pub fn run(&self, desk: &mut Desk<'_>, limits: &Limits, revision: Revision, now: &str) -> Result<Vec<u8>> {
        for (path, wanted) in &self.reads {
            let known = desk.look(path)?;
            compare(path, known.as_ref(), *wanted).map_err(|error| error.of_document(path.to_string()))?;
        }
        let mut out = Vec::with_capacity(128);
        if !self.is_single {
            out.extend_from_slice(b"{\"results\":[");
        }
        for (index, write) in self.writes.iter().enumerate() {
            if index > 0 {
                out.push(b',');
            }
            // What is done to documents is no step of SQLite's.
            desk.sqlite.look()?;
            let done = desk.write(write, limits, revision, now, &mut out);
            done.map_err(|error| if self.is_single { error } else { error.at_statement(index) })?;
        }
        if !self.is_single {
            out.extend_from_slice(b"]}");
        }
        Ok(out)
    }

    /// What the writer may have to run for a caller: views for it are made before the transaction begins.
    pub fn statements(&self) -> impl Iterator<Item = String> {
        let reads = self.reads.iter().map(|(path, _)| desk::read_sql(&path.collection));
        reads.chain(self.writes.iter().flat_map(|write| {
            let change = match write.change {
                Change::Delete => vec![delete_sql(&write.path)],
                Change::Set(_) | Change::Merge(_) => vec![insert_sql(&write.path), update_sql(&write.path)],
            };
            change.into_iter().chain([desk::read_sql(&write.path.collection)])
        }))
    }

    /// The tables of its collections.
    pub fn tables(&self) -> impl Iterator<Item = &str> {
        let reads = self.reads.iter().map(|(path, _)| path);
        reads.chain(self.writes.iter().map(|write| &write.path)).map(|path| &*path.collection.table)
    }
}

fn insert_sql(path: &DocumentPath) -> String {
    let table = quoted(&path.collection.table);
    match path.collection.parent {
        Some(_) => format!("INSERT INTO {table} (parent, id, data) VALUES (?1, ?2, ?3)"),
        None => format!("INSERT INTO {table} (id, data) VALUES (?1, ?2)"),
    }
}

fn update_sql(path: &DocumentPath) -> String {
    let place = desk::place(&path.collection);
    let data = if path.collection.parent.is_some() { "?3" } else { "?2" };
    format!("UPDATE {} SET data = {data} WHERE {place}", quoted(&path.collection.table))
}

fn delete_sql(path: &DocumentPath) -> String {
    format!("DELETE FROM {} WHERE {}", quoted(&path.collection.table), desk::place(&path.collection))
}

impl Desk<'_> {
    /// The document, if it is seen; of a collection that is closed, none.
    fn look(&mut self, path: &DocumentPath) -> Result<Option<Document>> {
        match self.get(path) {
            Err(error) if error.code == Code::Forbidden => Ok(None),
            found => found,
        }
    }

    fn write(
        &mut self,
        write: &DocumentWrite,
        limits: &Limits,
        revision: Revision,
        now: &str,
        out: &mut Vec<u8>,
    ) -> Result<()> {
        let path = &write.path;
        let known = self.look(path)?;
        if let Some(wanted) = write.if_revision {
            compare(path, known.as_ref(), wanted)?;
        }
        match (write.exists, &known) {
            (Some(true), None) => return Err(Error::not_found(format!("There is no document {path}."))),
            (Some(false), Some(_)) => return Err(Error::conflict(format!("The document {path} exists."))),
            _ => {}
        }
        let data = match &write.change {
            Change::Delete => {
                let deleted = known.is_some() && self.change(path, &delete_sql(path), desk::ids(path))? > 0;
                if known.is_some() && !deleted {
                    return Err(refused(path));
                }
                told_deleted(path, deleted, revision, out);
                return Ok(());
            }
            Change::Set(data) => fields::whole(data.clone(), now)?,
            Change::Merge(fields) => {
                let mut data = match &known {
                    Some(document) => serde_json::from_str(&document.data)
                        .map_err(|_| Error::conflict(format!("What is stored at {path} is no JSON object.")))?,
                    None => Map::new(),
                };
                fields::merge(&mut data, fields, now, || self.sqlite.look())?;
                data
            }
        };
        let data = Json::Object(data).to_string();
        if data.len() > limits.document_bytes_max {
            return Err(Error::too_large(format!("A document may have {} bytes of JSON.", limits.document_bytes_max)));
        }
        let sql = if known.is_some() { update_sql(path) } else { insert_sql(path) };
        let mut values = desk::ids(path);
        values.push(Value::text(&data));
        if self.change(path, &sql, values)? == 0 {
            return Err(refused(path));
        }
        Document { path: path.to_string(), id: path.id.to_string(), data, revision: Some(revision) }.write(out);
        Ok(())
    }

    /// How many rows were changed.
    fn change(&mut self, path: &DocumentPath, sql: &str, values: Vec<Value>) -> Result<u64> {
        let is_bound = self.role.is_some();
        self.run(sql, values, &mut |_| ControlFlow::Continue(())).map_err(|error| match error.code {
            Code::Forbidden | Code::Unsupported if is_bound => refused(path),
            // It is there and hidden: not to be told from one that may not be written.
            Code::Conflict if is_bound && error.message.starts_with("UNIQUE constraint failed") => refused(path),
            // SQLite's JSON has a bound of its own on nesting.
            Code::Conflict if error.message.contains("json_valid") => {
                Error::invalid("The document cannot be stored as JSON; is it nested too deeply?")
            }
            _ => error,
        })
    }
}

fn refused(path: &DocumentPath) -> Error {
    Error::forbidden(format!("No policy lets you write {path} like this."))
}

/// Of a document that is not there, or that is as if it were not, the revision is 0.
fn compare(path: &DocumentPath, known: Option<&Document>, wanted: Revision) -> Result<()> {
    let stands_at = match known {
        None => 0,
        Some(document) => document.revision.ok_or_else(|| {
            Error::forbidden(
                "No policy shows you at which revision this document stands, so if_revision cannot be asked.",
            )
        })?,
    };
    if stands_at == wanted {
        return Ok(());
    }
    Err(Error::conflict(match stands_at {
        0 => format!("{path} does not exist, and revision {wanted} is asked for."),
        _ => format!("{path} stands at revision {stands_at}, and {wanted} is asked for."),
    }))
}

fn told_deleted(path: &DocumentPath, deleted: bool, revision: Revision, out: &mut Vec<u8>) {
    out.extend_from_slice(b"{\"id\":");
    json::write_str(out, &path.id);
    out.extend_from_slice(b",\"path\":");
    json::write_str(out, &path.to_string());
    out.extend_from_slice(if deleted {
        b",\"deleted\":true,\"revision\":"
    } else {
        b",\"deleted\":false,\"revision\":"
    });
    if deleted {
        json::write_integer(out, revision);
    } else {
        out.extend_from_slice(b"null");
    }
    out.push(b'}');
}
