//! The shape of the tables as capture and live queries need it: columns, keys, and how to read one row back.

use super::exclude::quoted;
use super::tokens::{Token, tokens};
use crate::error::Result;
use rusqlite::Connection;
use std::collections::{HashMap, HashSet};
use std::sync::Arc;

#[derive(Clone, Debug)]
pub struct Column {
    pub name: Box<str>,
    /// A VIRTUAL generated column: not stored, so not in the images SQLite hands to the hook.
    pub is_virtual: bool,
    pub affinity: Affinity,
    /// The plainest declared type of its affinity.
    pub kind: &'static str,
    /// How its texts are compared; none if by a collation that is not SQLite's own.
    pub collation: Option<Collation>,
}

/// What a value is converted to before it is compared with the column's: sqlite.org/datatype3.html, section 3.1.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Affinity {
    /// INTEGER, REAL and NUMERIC, which compare alike.
    Numeric,
    Text,
    /// BLOB, or none: nothing is converted.
    Blob,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Collation {
    Binary,
    Nocase,
    Rtrim,
}

impl Affinity {
    /// Also gives the plainest declared type that has it.
    fn of(declared: &str, is_strict: bool) -> (Self, &'static str) {
        let declared = declared.to_ascii_uppercase();
        let has = |parts: &[&str]| parts.iter().any(|part| declared.contains(part));
        if has(&["INT"]) {
            (Self::Numeric, "INTEGER")
        } else if has(&["CHAR", "CLOB", "TEXT"]) {
            (Self::Text, "TEXT")
        } else if has(&["BLOB"]) || declared.is_empty() || is_strict && declared == "ANY" {
            (Self::Blob, "BLOB")
        } else if has(&["REAL", "FLOA", "DOUB"]) {
            (Self::Numeric, "REAL")
        } else {
            (Self::Numeric, "NUMERIC")
        }
    }
}

impl Collation {
    pub fn name(self) -> &'static str {
        match self {
            Self::Binary => "BINARY",
            Self::Nocase => "NOCASE",
            Self::Rtrim => "RTRIM",
        }
    }

    fn named(name: &str) -> Option<Self> {
        [Self::Binary, Self::Nocase, Self::Rtrim].into_iter().find(|known| name.eq_ignore_ascii_case(known.name()))
    }
}

/// How one row is found again.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Address {
    /// By rowid, under this name (an INTEGER PRIMARY KEY's own, or `rowid` and its like).
    Rowid(Box<str>),
    /// WITHOUT ROWID: by its primary key's columns.
    Key,
    /// All three names of the rowid are taken by columns: rows cannot be told one by one.
    None,
}

/// An ordinary table.
#[derive(Clone, Debug)]
pub struct Table {
    pub name: Box<str>,
    pub columns: Vec<Column>,
    /// Indexes of the declared primary key's columns, in key order; empty if there is none.
    pub key: Vec<usize>,
    pub address: Address,
    /// By which the key's index compares, column by column; none where rows have a rowid.
    pub key_collations: Vec<Box<str>>,
    /// Names of its triggers.
    pub triggers: Vec<Box<str>>,
    /// A trigger may keep REPLACE from deleting a row, which SQLite then overwrites without a word.
    pub may_overwrite: bool,
    /// What is true of the row whose address is `?1`, `?2`, ….
    pub condition: Box<str>,
    /// SELECT of all columns where that is so.
    pub read_back: Box<str>,
}

/// What a name in a query may stand for.
#[derive(Clone, Debug)]
pub enum Relation {
    Table(Arc<Table>),
    /// A virtual table and its module.
    Virtual(Box<str>),
    /// A table in which a virtual table keeps its data: a change of it is a change of that one.
    Shadow(Box<str>),
    View,
}

/// All relations of the main schema by lower-case name.
#[derive(Clone, Debug, Default)]
pub struct Schema {
    relations: HashMap<Box<str>, Relation>,
    /// Virtual tables that exist without being made: `json_each`, `pragma_table_info` and their like.
    modules: HashSet<Box<str>>,
    /// Lower-case tables with an index that has a WHERE.
    partially_indexed: HashSet<Box<str>>,
    is_utf16: bool,
}

impl Schema {
    pub fn get(&self, name: &str) -> Option<&Relation> {
        if name.bytes().any(|byte| byte.is_ascii_uppercase()) {
            self.relations.get(name.to_ascii_lowercase().as_str())
        } else {
            self.relations.get(name)
        }
    }

    /// Ordinary tables, in no order.
    pub fn tables(&self) -> impl Iterator<Item = &Arc<Table>> {
        self.relations.values().filter_map(|relation| match relation {
            Relation::Table(table) => Some(table),
            _ => None,
        })
    }

    /// Is it the name of a table, or of a column of one?
    pub fn names(&self, name: &str) -> bool {
        let has = |relation: &Relation| match relation {
            Relation::Table(table) => table.columns.iter().any(|column| column.name.eq_ignore_ascii_case(name)),
            _ => false,
        };
        self.get(name).is_some() || self.relations.values().any(has)
    }

    /// Texts in other encodings are kept, and compared, otherwise.
    pub fn is_utf8(&self) -> bool {
        !self.is_utf16
    }

    pub fn has_partial_index(&self, table: &str) -> bool {
        !self.partially_indexed.is_empty() && self.partially_indexed.contains(table.to_ascii_lowercase().as_str())
    }

    /// Is there a table-valued function of this (lower-case) name?
    pub fn has_module(&self, name: &str) -> bool {
        name.starts_with("pragma_") || self.modules.contains(name)
    }

    pub fn load(connection: &Connection) -> Result<Self> {
        let mut list = connection.prepare(
            "SELECT l.name, l.type, l.wr, coalesce(s.sql, ''), l.strict FROM pragma_table_list AS l
             LEFT JOIN main.sqlite_schema AS s ON s.type IN ('table', 'view') AND s.name = l.name
             WHERE l.schema = 'main'",
        )?;
        let rows: Vec<Listed> = list
            .query_map([], |row| Ok((row.get(0)?, row.get(1)?, row.get(2)?, row.get(3)?, row.get(4)?)))?
            .collect::<Result<_, _>>()?;
        let mut relations = HashMap::with_capacity(rows.len());
        for (name, kind, without_rowid, sql, is_strict) in &rows {
            let relation = match kind.as_str() {
                "view" => Relation::View,
                "virtual" => Relation::Virtual(module(sql)),
                "shadow" => Relation::Shadow(owner(name, &rows)),
                _ => Relation::Table(Arc::new(Table::load(connection, name, *without_rowid, *is_strict)?)),
            };
            relations.insert(name.to_ascii_lowercase().into(), relation);
        }
        let mut list = connection.prepare("SELECT name FROM pragma_module_list")?;
        let modules = list
            .query_map([], |row| Ok(row.get::<_, String>(0)?.to_ascii_lowercase().into()))?
            .collect::<Result<_, _>>()?;
        let mut list = connection.prepare(
            "SELECT DISTINCT s.tbl_name FROM main.sqlite_schema AS s, pragma_index_list(s.tbl_name) AS l
             WHERE s.type = 'index' AND l.partial",
        )?;
        let partially_indexed = list
            .query_map([], |row| Ok(row.get::<_, String>(0)?.to_ascii_lowercase().into()))?
            .collect::<Result<_, _>>()?;
        let encoding: String = connection.query_row("PRAGMA encoding", [], |row| row.get(0))?;
        Ok(Self { relations, modules, partially_indexed, is_utf16: encoding != "UTF-8" })
    }
}

/// Name, type, WITHOUT ROWID, SQL, STRICT.
type Listed = (String, String, bool, String, bool);

/// The module of `CREATE VIRTUAL TABLE … USING module(…)`, in lower case.
fn module(sql: &str) -> Box<str> {
    let mut tokens = tokens(sql).skip_while(|token| !token.is("using"));
    tokens.next();
    tokens.next().map(|token| token.text.to_ascii_lowercase()).unwrap_or_default().into()
}

/// The virtual table whose name, followed by `_`, begins the shadow table's: the longest one.
fn owner(shadow: &str, rows: &[Listed]) -> Box<str> {
    rows.iter()
        .filter(|(name, kind, ..)| {
            kind == "virtual"
                && shadow.len() > name.len()
                && shadow.as_bytes()[name.len()] == b'_'
                && shadow.as_bytes()[..name.len()].eq_ignore_ascii_case(name.as_bytes())
        })
        .max_by_key(|(name, ..)| name.len())
        .map_or_else(|| shadow.to_ascii_lowercase(), |(name, ..)| name.to_ascii_lowercase())
        .into()
}

impl Table {
    fn load(connection: &Connection, name: &str, without_rowid: bool, is_strict: bool) -> Result<Self> {
        let mut info = connection.prepare_cached(
            "SELECT name, type, pk, hidden FROM pragma_table_xinfo(?1) WHERE hidden <> 1 ORDER BY cid",
        )?;
        let rows: Vec<(String, String, i64, i64)> = info
            .query_map([name], |row| Ok((row.get(0)?, row.get(1)?, row.get(2)?, row.get(3)?)))?
            .collect::<Result<_, _>>()?;
        let mut columns = Vec::with_capacity(rows.len());
        for (column, declared, _, hidden) in &rows {
            let (affinity, kind) = Affinity::of(declared, is_strict);
            columns.push(Column {
                name: column.as_str().into(),
                is_virtual: *hidden == 2,
                affinity,
                kind,
                collation: Collation::named(&collation(connection, name, column)?),
            });
        }
        let mut key: Vec<usize> = (0..rows.len()).filter(|&index| rows[index].2 > 0).collect();
        key.sort_by_key(|&index| rows[index].2);
        let address = if without_rowid {
            Address::Key
        } else {
            rowid_name(connection, name, &rows)?.map_or(Address::None, Address::Rowid)
        };
        let list = columns.iter().map(|column| quoted(&column.name)).collect::<Vec<_>>().join(", ");
        let key_collations = match &address {
            Address::Key => key_collations(connection, name, &key, &columns)?,
            Address::Rowid(_) | Address::None => Vec::new(),
        };
        let condition = match &address {
            Address::Rowid(rowid) => format!("{} = ?1", quoted_rowid(rowid)),
            Address::Key => key_condition(&key, &key_collations, &columns),
            Address::None => "0".into(),
        };
        let triggers = triggers(connection, name)?;
        let read_back = format!("SELECT {list} FROM main.{} WHERE {condition}", quoted(name)).into();
        Ok(Self {
            name: name.into(),
            columns,
            key,
            address,
            key_collations,
            may_overwrite: triggers.iter().any(|(_, sql)| may_ignore(sql)),
            triggers: triggers.into_iter().map(|(name, _)| name).collect(),
            condition: condition.into(),
            read_back,
        })
    }
}

/// The name of a column's collating sequence.
fn collation(connection: &Connection, table: &str, column: &str) -> Result<String> {
    let (_, name, ..) = connection.column_metadata(Some("main"), table, column)?;
    Ok(name.map(|name| name.to_string_lossy().into_owned()).unwrap_or_default())
}

/// Finds the very row: with the collations of the key, so that its index serves, and byte for byte, since a column may
/// have a collation of its own under which other rows are equal.
fn key_condition(key: &[usize], collations: &[Box<str>], columns: &[Column]) -> String {
    let mut conditions = Vec::new();
    for (number, (&index, collation)) in (1..).zip(key.iter().zip(collations)) {
        conditions.push(same_key(&quoted(&columns[index].name), &format!("?{number}"), collation));
    }
    conditions.join(" AND ")
}

/// One column of a key, compared so that its index serves and that only what is the same to the byte is the same.
pub fn same_key(column: &str, value: &str, collation: &str) -> String {
    let same = format!("{column} = {value} COLLATE {}", quoted(collation));
    if collation.eq_ignore_ascii_case("binary") {
        same
    } else {
        format!("{same} AND {column} = {value} COLLATE BINARY")
    }
}

fn key_collations(connection: &Connection, table: &str, key: &[usize], columns: &[Column]) -> Result<Vec<Box<str>>> {
    let mut collations = connection.prepare_cached(
        "SELECT x.coll FROM pragma_index_list(?1) AS l, pragma_index_xinfo(l.name) AS x
         WHERE l.origin = 'pk' AND x.name = ?2 AND x.key",
    )?;
    let collation = |&index: &usize| {
        let collation: String = collations.query_row([table, &columns[index].name], |row| row.get(0))?;
        Ok(collation.into())
    };
    key.iter().map(collation).collect()
}

/// Name and SQL of each.
fn triggers(connection: &Connection, table: &str) -> Result<Vec<(Box<str>, String)>> {
    let mut triggers = connection.prepare_cached(
        "SELECT name, sql FROM main.sqlite_schema WHERE type = 'trigger' AND tbl_name = ?1 COLLATE NOCASE",
    )?;
    let rows = triggers.query_map([table], |row| Ok((row.get(0)?, row.get(1)?)))?;
    Ok(rows.collect::<Result<_, _>>()?)
}

/// Is there a RAISE(IGNORE) in the trigger?
fn may_ignore(sql: &str) -> bool {
    let words: Vec<Token<'_>> = tokens(sql).collect();
    words.windows(3).any(|three| three[0].is("raise") && three[2].is("ignore"))
}

/// Quoted, `rowid` would be a column's name or, worse, a string.
fn quoted_rowid(name: &str) -> String {
    if ["rowid", "_rowid_", "oid"].contains(&name) { name.to_owned() } else { quoted(name) }
}

/// An INTEGER PRIMARY KEY is the rowid under its own name; whether a column of that type really is one (a DESC key in
/// the column's definition is not) shows in that SQLite made no index for it.
fn rowid_name(connection: &Connection, table: &str, rows: &[(String, String, i64, i64)]) -> Result<Option<Box<str>>> {
    let mut keys = rows.iter().filter(|(_, _, pk, _)| *pk > 0);
    if let (Some((name, kind, ..)), None) = (keys.next(), keys.next())
        && kind.eq_ignore_ascii_case("integer")
    {
        let mut indexes =
            connection.prepare_cached("SELECT count(*) FROM pragma_index_list(?1) WHERE origin = 'pk'")?;
        if indexes.query_row([table], |row| row.get::<_, i64>(0))? == 0 {
            return Ok(Some(name.as_str().into()));
        }
    }
    let free = |name: &&&str| !rows.iter().any(|(column, ..)| column.eq_ignore_ascii_case(name));
    Ok(["rowid", "_rowid_", "oid"].iter().find(free).map(|name| (*name).into()))
}
