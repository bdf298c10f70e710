//! The frames of the live face as bytes. One function per kind; what they mean is in docs/reference/live.md.

use super::delta::Delta;
use super::session::RequestId;
use crate::changes::change::Revision;
use crate::error::Error;
use crate::json;
use bytes::Bytes;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    Hello,
    Rows,
    Delta,
    Unchanged,
    At,
    Resync,
    Changes,
    Key,
    Message,
    Presence,
    Error,
    Result,
}

impl Kind {
    pub fn name(self) -> &'static str {
        match self {
            Self::Hello => "hello",
            Self::Rows => "rows",
            Self::Delta => "delta",
            Self::Unchanged => "unchanged",
            Self::At => "at",
            Self::Resync => "resync",
            Self::Changes => "changes",
            Self::Key => "key",
            Self::Message => "message",
            Self::Presence => "presence",
            Self::Error => "error",
            Self::Result => "result",
        }
    }
}

/// A frame ready to be sent: JSON text, shared between sockets where it can be.
#[derive(Clone, Debug)]
pub struct Frame {
    pub text: Bytes,
    pub kind: Kind,
    /// The revision at which the socket stands after it; 0 if it does not say.
    pub revision: Revision,
}

/// Builds one JSON object.
struct Object(Vec<u8>);

impl Object {
    fn of(id: Option<&RequestId>, kind: Kind, capacity: usize) -> Self {
        let mut out = Vec::with_capacity(capacity + 64);
        out.push(b'{');
        if let Some(id) = id {
            out.extend_from_slice(b"\"id\":");
            out.extend_from_slice(id.as_bytes());
            out.push(b',');
        }
        out.extend_from_slice(b"\"type\":\"");
        out.extend_from_slice(kind.name().as_bytes());
        out.push(b'"');
        Self(out)
    }

    fn raw(mut self, name: &str, json: &[u8]) -> Self {
        self.0.extend_from_slice(b",\"");
        self.0.extend_from_slice(name.as_bytes());
        self.0.extend_from_slice(b"\":");
        self.0.extend_from_slice(json);
        self
    }

    fn integer(mut self, name: &str, value: i64) -> Self {
        self = self.raw(name, b"");
        json::write_integer(&mut self.0, value);
        self
    }

    fn text(mut self, name: &str, value: &str) -> Self {
        self = self.raw(name, b"");
        json::write_str(&mut self.0, value);
        self
    }

    /// The rest of what was begun: ids, and what closes their list.
    fn ids(mut self, ids: &[RequestId], close: &[u8]) -> Self {
        for (index, id) in ids.iter().enumerate() {
            if index > 0 {
                self.0.push(b',');
            }
            self.0.extend_from_slice(id.as_bytes());
        }
        self.0.extend_from_slice(close);
        self
    }

    fn end(mut self, kind: Kind, revision: Revision) -> Frame {
        self.0.push(b'}');
        Frame { text: Bytes::from(self.0), kind, revision }
    }
}

pub fn hello(history: &str, revision: Revision) -> Frame {
    Object::of(None, Kind::Hello, 96)
        .integer("protocol", 1)
        .text("history", history)
        .integer("revision", revision)
        .end(Kind::Hello, revision)
}

/// What every chunk of first rows repeats.
#[derive(Clone, Copy, Debug)]
pub struct RowsHead<'a> {
    pub revision: Revision,
    pub tag: &'a str,
    /// A JSON array of names.
    pub columns: &'a [u8],
    pub is_ordered: bool,
    /// In the first chunk, if there is one.
    pub base: Option<&'a [u8]>,
}

/// `rows` is the inside of the array.
pub fn rows(id: &RequestId, head: RowsHead<'_>, rows: &[u8], is_done: bool) -> Frame {
    let mut object = Object::of(Some(id), Kind::Rows, rows.len() + head.columns.len() + 128)
        .integer("revision", head.revision)
        .text("tag", head.tag)
        .raw("columns", head.columns)
        .raw("ordered", if head.is_ordered { b"true" } else { b"false" });
    if let Some(base) = head.base {
        object = object.raw("base", base);
    }
    object = object.raw("rows", b"[");
    object.0.extend_from_slice(rows);
    object.0.push(b']');
    object.raw("done", if is_done { b"true" } else { b"false" }).end(Kind::Rows, head.revision)
}

/// One query's part of a delta frame. `since` is there when it starts from an older revision than the frame's `from`.
pub struct DeltaPart<'a> {
    pub id: &'a RequestId,
    pub since: Option<Revision>,
    pub delta: &'a Delta,
}

pub fn delta(from: Revision, to: Revision, parts: &[DeltaPart<'_>]) -> Frame {
    let size: usize = parts.iter().map(|part| part.delta.encoded().len() + 48).sum();
    let mut object =
        Object::of(None, Kind::Delta, size + 64).integer("from", from).integer("to", to).raw("queries", b"[");
    for (index, part) in parts.iter().enumerate() {
        if index > 0 {
            object.0.push(b',');
        }
        object.0.extend_from_slice(b"{\"id\":");
        object.0.extend_from_slice(part.id.as_bytes());
        if let Some(since) = part.since {
            object = object.integer("since", since);
        }
        object.0.extend_from_slice(part.delta.encoded());
        object.0.push(b'}');
    }
    object.0.push(b']');
    object.end(Kind::Delta, to)
}

pub fn at(revision: Revision) -> Frame {
    Object::of(None, Kind::At, 32).integer("revision", revision).end(Kind::At, revision)
}

pub fn unchanged(id: &RequestId, revision: Revision) -> Frame {
    Object::of(Some(id), Kind::Unchanged, 32).integer("revision", revision).end(Kind::Unchanged, revision)
}

/// The same of several, by their ids.
pub fn all_unchanged(ids: &[RequestId], revision: Revision) -> Frame {
    Object::of(None, Kind::Unchanged, ids.len() * 8)
        .integer("revision", revision)
        .raw("ids", b"[")
        .ids(ids, b"]")
        .end(Kind::Unchanged, revision)
}

pub fn resync(id: &RequestId, revision: Option<Revision>) -> Frame {
    let object = Object::of(Some(id), Kind::Resync, 32);
    match revision {
        Some(revision) => object.integer("revision", revision).end(Kind::Resync, revision),
        None => object.end(Kind::Resync, 0),
    }
}

/// `changes` is the inside of the array.
pub fn changes(id: &RequestId, revision: Revision, changes: &[u8], is_last: bool) -> Frame {
    let mut object =
        Object::of(Some(id), Kind::Changes, changes.len() + 64).integer("revision", revision).raw("changes", b"[");
    object.0.extend_from_slice(changes);
    object.0.push(b']');
    object.raw("last", if is_last { b"true" } else { b"false" }).end(Kind::Changes, revision)
}

/// The value of a key; `None` when it is not set, or no longer.
pub fn key(id: Option<&RequestId>, key: &str, value: Option<&[u8]>, revision: Revision) -> Frame {
    let object = Object::of(id, Kind::Key, key.len() + value.map_or(4, <[u8]>::len) + 64).text("key", key);
    let object = object.raw("value", value.unwrap_or(b"null")).integer("revision", revision);
    let object = if value.is_none() { object.raw("deleted", b"true") } else { object };
    object.end(Kind::Key, revision)
}

/// `result` is JSON. `revision` is left out where there is none.
pub fn result(id: &RequestId, result: &[u8], revision: Option<Revision>) -> Frame {
    let object = Object::of(Some(id), Kind::Result, result.len() + 32).raw("result", result);
    match revision {
        Some(revision) => object.integer("revision", revision).end(Kind::Result, 0),
        None => object.end(Kind::Result, 0),
    }
}

/// The answer to whoever comes back with tags: those that say nothing here.
pub fn resumed(id: &RequestId, unknown: &[RequestId]) -> Frame {
    let object = Object::of(Some(id), Kind::Result, unknown.len() * 8 + 32).raw("result", b"{\"unknown\":[");
    object.ids(unknown, b"]}").end(Kind::Result, 0)
}

pub fn error(id: Option<&RequestId>, error: &Error) -> Frame {
    let object = Object::of(id, Kind::Error, error.message.len() + 48)
        .text("error", &error.message)
        .text("code", error.code.name());
    let object = match error.statement {
        Some(statement) => object.integer("statement", statement as i64),
        None => object,
    };
    let object = match error.column() {
        Some(column) => object.text("column", column),
        None => object,
    };
    let object = match error.pointer() {
        Some(pointer) => object.text("pointer", pointer),
        None => object,
    };
    object.end(Kind::Error, 0)
}
