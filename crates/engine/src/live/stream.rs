//! Change streams: every change of one table, or of all, whole transactions in revision order.
//!
//! They cannot be merged like results: each change is told once, or the client is told to read again. A socket that
//! does not read is caught up from the log when it does.

use super::frame;
use super::session::{RequestId, Session};
use crate::changes::change::{Change, ChangeSet, Extent, Revision, Rows, Shape};
use crate::json;
use crate::value::Value;
use bytes::Bytes;
use std::collections::HashMap;

/// Changes of one transaction are cut into frames of about this size.
const FRAME_BYTES: usize = 64 << 10;

#[derive(Debug)]
pub struct Stream {
    /// Lower case; `None` for all tables.
    pub table: Option<Box<str>>,
    /// Everything up to here has been told.
    pub at: Revision,
    /// Not served from the steps but from the log.
    pub is_behind: bool,
}

/// What a change set means to a stream.
#[derive(Clone, Debug)]
enum Told {
    Nothing,
    Changes(Vec<Bytes>),
    Resync,
}

/// Encodes each change set once per table asked for.
#[derive(Default)]
pub struct Encoder {
    told: HashMap<(Revision, Option<Box<str>>), Told>,
}

impl Encoder {
    /// Tells one change set; the stream then stands at its revision.
    pub fn tell(&mut self, session: &Session, id: &RequestId, stream: &mut Stream, set: &ChangeSet) {
        if set.revision <= stream.at {
            return;
        }
        stream.at = set.revision;
        let told = self
            .told
            .entry((set.revision, stream.table.clone()))
            .or_insert_with(|| encode(set, stream.table.as_deref()));
        match told {
            Told::Nothing => {}
            Told::Resync => session.push(frame::resync(id, Some(set.revision))),
            Told::Changes(pieces) => {
                for (index, piece) in pieces.iter().enumerate() {
                    session.push(frame::changes(id, set.revision, piece, index + 1 == pieces.len()));
                }
            }
        }
    }
}

fn encode(set: &ChangeSet, table: Option<&str>) -> Told {
    let Extent::Rows(rows) = &set.extent else { return Told::Resync };
    if table.is_some_and(|table| rows.opaque.iter().any(|opaque| **opaque == *table)) {
        return Told::Resync;
    }
    let wanted: Vec<bool> = rows.shapes.iter().map(|shape| is_wanted(shape, table)).collect();
    let mut pieces = Vec::new();
    let mut piece = Vec::new();
    for change in rows.changes.iter().filter(|change| wanted[change.shape]) {
        if piece.len() >= FRAME_BYTES {
            pieces.push(Bytes::from(std::mem::take(&mut piece)));
        }
        if !piece.is_empty() {
            piece.push(b',');
        }
        write_change(&mut piece, rows, change);
    }
    if table.is_none() {
        // Rows of a virtual table cannot be told; that it changed can.
        for opaque in rows.opaque.iter().filter(|table| !table.starts_with("sqlite_")) {
            if !piece.is_empty() {
                piece.push(b',');
            }
            piece.extend_from_slice(b"{\"table\":");
            json::write_str(&mut piece, opaque);
            piece.extend_from_slice(b",\"op\":\"UPDATE\",\"key\":{}}");
        }
    }
    if !piece.is_empty() {
        pieces.push(Bytes::from(piece));
    }
    if pieces.is_empty() { Told::Nothing } else { Told::Changes(pieces) }
}

fn is_wanted(shape: &Shape, table: Option<&str>) -> bool {
    match table {
        Some(table) => shape.table.eq_ignore_ascii_case(table),
        None => !shape.table.starts_with("sqlite_"),
    }
}

/// `{"table","op","key","old"?,"new"?}`
fn write_change(out: &mut Vec<u8>, rows: &Rows, change: &Change) {
    let shape = &rows.shapes[change.shape];
    out.extend_from_slice(b"{\"table\":");
    json::write_str(out, &shape.table);
    out.extend_from_slice(b",\"op\":\"");
    out.extend_from_slice(change.operation().as_bytes());
    out.extend_from_slice(b"\",\"key\":{");
    if let (false, Some(image)) = (shape.key.is_empty(), change.new.as_ref().or(change.old.as_ref())) {
        write_columns(out, shape, image, shape.key.iter().copied());
    } else {
        out.extend_from_slice(b"\"rowid\":");
        json::write_integer(out, change.rowid);
    }
    out.push(b'}');
    if let Some(old) = &change.old {
        out.extend_from_slice(b",\"old\":{");
        // Computed columns are not stored, so their old value is not known.
        write_columns(out, shape, old, (0..shape.columns.len()).filter(|&column| !shape.is_virtual[column]));
        out.push(b'}');
    }
    if let Some(new) = &change.new {
        out.extend_from_slice(b",\"new\":{");
        write_columns(out, shape, new, 0..shape.columns.len());
        out.push(b'}');
    }
    out.push(b'}');
}

fn write_columns(out: &mut Vec<u8>, shape: &Shape, image: &[Value], columns: impl Iterator<Item = usize>) {
    for (index, column) in columns.enumerate() {
        if index > 0 {
            out.push(b',');
        }
        json::write_str(out, &shape.columns[column]);
        out.push(b':');
        json::write_value(out, image[column].as_ref());
    }
}
