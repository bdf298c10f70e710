//! Where documents are: `rooms/r1` is one, `rooms/r1/messages` a collection beneath it. Names and ids take turns.
//!
//! All collections of one pattern are one table: `rooms/r1/messages` and `rooms/r2/messages` are rows of `"rooms/messages"`, told apart by
//! its column `parent` (`r1`, `r2`; deeper down `r1/m5`). So a query over all rooms is a query of that table: `rooms/*/messages`.

use crate::error::{Error, Result};
use crate::value::Params;
use std::fmt;

/// Names of collections in one path.
const DEPTH_MAX: usize = 8;
/// Bytes of a collection's own name, and of an id.
const NAME_BYTES_MAX: usize = 64;
const ID_BYTES_MAX: usize = 512;
/// In the place of an id.
pub(super) const ANY: &str = "*";

/// A collection: documents of one table beneath one document, or beneath none.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CollectionPath {
    /// `rooms`, or `rooms/messages`.
    pub table: Box<str>,
    /// The ids on the way: `r1`. Collections at the root have none.
    pub parent: Option<Box<str>>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DocumentPath {
    pub collection: CollectionPath,
    pub id: Box<str>,
}

/// What an address names.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Path {
    Collection(CollectionPath),
    Document(DocumentPath),
}

impl Path {
    /// # Errors
    /// `invalid` for what names neither.
    pub fn parse(path: &str) -> Result<Self> {
        let parts: Vec<&str> = path.split('/').collect();
        let (mut table, mut ids) = (Vec::new(), Vec::new());
        for (index, part) in parts.iter().enumerate() {
            if index % 2 == 0 {
                check_name(part)?;
                table.push(*part);
            } else {
                check_id(part)?;
                ids.push(*part);
            }
        }
        if table.len() > DEPTH_MAX {
            return Err(Error::invalid(format!("A path may have {DEPTH_MAX} collections.")));
        }
        let last = if parts.len().is_multiple_of(2) { ids.pop() } else { None };
        if last.is_some() && ids.contains(&ANY)
            || last == Some(ANY)
            || ids.contains(&ANY) && ids.iter().any(|id| *id != ANY)
        {
            return Err(Error::invalid("* stands for all ids in the path of a collection: rooms/*/messages."));
        }
        let parent = (!ids.is_empty()).then(|| ids.join("/").into());
        let collection = CollectionPath { table: table.join("/").into(), parent };
        Ok(match last {
            Some(id) => Self::Document(DocumentPath { collection, id: id.into() }),
            None => Self::Collection(collection),
        })
    }
}

impl CollectionPath {
    /// # Errors
    /// `invalid` for what is no collection.
    pub fn parse(path: &str) -> Result<Self> {
        match Path::parse(path)? {
            Path::Collection(collection) => Ok(collection),
            Path::Document(_) => Err(Error::invalid(format!("{path} names a document, not a collection."))),
        }
    }

    /// Does it stand for all collections of its name, whatever they lie beneath?
    pub fn is_group(&self) -> bool {
        self.parent.as_deref().is_some_and(|parent| parent.split('/').next() == Some(ANY))
    }

    /// # Errors
    /// `invalid` for what can be no id, and in a group.
    pub fn document(&self, id: &str) -> Result<DocumentPath> {
        check_id(id)?;
        if id == ANY || self.is_group() {
            return Err(Error::invalid("* stands for all ids in the path of a collection: rooms/*/messages."));
        }
        Ok(DocumentPath { collection: self.clone(), id: id.into() })
    }
}

impl DocumentPath {
    /// # Errors
    /// `invalid` for what is no document.
    pub fn parse(path: &str) -> Result<Self> {
        match Path::parse(path)? {
            Path::Document(document) => Ok(document),
            Path::Collection(_) => Err(Error::invalid(format!("{path} names a collection, not a document."))),
        }
    }
}

impl DocumentPath {
    /// The query that shows it: one row, or none.
    pub fn sql(&self) -> (String, Params) {
        (super::desk::read_sql(&self.collection), Params::Positional(super::desk::ids(self)))
    }

    /// The same, to be live also before there is such a collection.
    pub fn live_sql(&self) -> (String, Params) {
        let (sql, params) = self.sql();
        (super::awaited::live(&self.collection.table, &sql), params)
    }
}

impl fmt::Display for CollectionPath {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut ids = self.parent.as_deref().into_iter().flat_map(|parent| parent.split('/'));
        for (index, name) in self.table.split('/').enumerate() {
            if index > 0 {
                write!(f, "/{}/", ids.next().unwrap_or_default())?;
            }
            f.write_str(name)?;
        }
        Ok(())
    }
}

impl fmt::Display for DocumentPath {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.collection, self.id)
    }
}

/// The table of all collections of one pattern: `rooms`, `rooms/messages`.
///
/// # Errors
/// `invalid` for what is no name.
pub fn pattern(names: &str) -> Result<&str> {
    names.split('/').try_for_each(check_name)?;
    if names.split('/').count() > DEPTH_MAX {
        return Err(Error::invalid(format!("A path may have {DEPTH_MAX} collections.")));
    }
    Ok(names)
}

/// It becomes the name of a table.
fn check_name(name: &str) -> Result<()> {
    let is_plain = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'_' || byte == b'-';
    let begins = name.as_bytes().first().is_some_and(|first| first.is_ascii_alphabetic() || *first == b'_');
    if !begins || !name.bytes().all(is_plain) || name.len() > NAME_BYTES_MAX {
        return Err(Error::invalid(format!(
            "{name:?} is no name of a collection: letters, digits, _ and -, beginning with a letter, at most {NAME_BYTES_MAX}."
        )));
    }
    let lower = name.to_ascii_lowercase();
    if lower.starts_with("_tide") || lower.starts_with("sqlite_") {
        return Err(Error::forbidden("Names that begin with _tide or sqlite_ are reserved."));
    }
    Ok(())
}

pub(super) fn check_id(id: &str) -> Result<()> {
    if id.is_empty()
        || id.len() > ID_BYTES_MAX
        || id.chars().any(|letter| letter.is_control() || letter == '/')
        || [".", ".."].contains(&id)
    {
        return Err(Error::invalid(format!(
            "{id:?} is no id of a document: 1 to {ID_BYTES_MAX} bytes without slashes and control characters."
        )));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_and_ids_take_turns() {
        let rooms = CollectionPath { table: "rooms".into(), parent: None };
        let messages = CollectionPath { table: "rooms/messages".into(), parent: Some("r1".into()) };
        let likes = CollectionPath { table: "rooms/messages/likes".into(), parent: Some("r1/m5".into()) };
        for (path, expected) in [
            ("rooms", Path::Collection(rooms.clone())),
            ("rooms/r 1.é", Path::Document(DocumentPath { collection: rooms, id: "r 1.é".into() })),
            ("rooms/r1/messages", Path::Collection(messages.clone())),
            ("rooms/r1/messages/m5", Path::Document(DocumentPath { collection: messages, id: "m5".into() })),
            ("rooms/r1/messages/m5/likes", Path::Collection(likes)),
        ] {
            let parsed = Path::parse(path).unwrap();
            assert_eq!(parsed, expected);
            let written = match parsed {
                Path::Collection(collection) => collection.to_string(),
                Path::Document(document) => document.to_string(),
            };
            assert_eq!(written, path);
        }
    }

    #[test]
    fn what_names_nothing_is_refused() {
        let deep = ["a/1"; 9].join("/");
        for path in [
            "",
            "/",
            "rooms/",
            "/rooms",
            "rooms//m",
            "1rooms",
            "ro oms",
            "rooms/..",
            "rooms/a\nb",
            "_tide_meta",
            "Sqlite_x/1",
            &deep,
        ] {
            assert!(Path::parse(path).is_err(), "{path}");
        }
        for path in ["rooms/*", "rooms/*/messages/m1", "rooms/*/messages/m1/likes"] {
            assert!(Path::parse(path).is_err(), "{path}");
        }
        assert!(CollectionPath::parse("rooms/*/messages/*/likes").unwrap().is_group());
        assert!(!CollectionPath::parse("rooms/*x/messages").unwrap().is_group());
        assert!(CollectionPath::parse("rooms/r1").is_err());
        assert!(DocumentPath::parse("rooms").is_err());
    }
}
