//! All rows of the tables, as a reader of the change stream keeps them, and as they are read from the file: the two
//! must be equal.

use super::cells;
use super::frames::{ChangeFrame, Pairs};
use rusqlite::Connection;
use std::collections::HashMap;
use std::rc::Rc;

/// A table as far as its changes go.
#[derive(Debug, PartialEq, Eq)]
pub struct Shape {
    pub name: String,
    columns: Vec<String>,
    /// Not stored, so not in `old`.
    is_virtual: Vec<bool>,
    /// Columns of the primary key; without one the rowid is the key.
    key: Vec<usize>,
    /// Reads all rows: the rowid first if it is the key.
    select: String,
}

/// The rows of one table: stored values → (how many such rows, all values).
type Rows = HashMap<String, (usize, String)>;

#[derive(Clone, Debug, Default)]
pub struct Image {
    tables: HashMap<String, (Rc<Shape>, Rows)>,
}

/// The tables whose changes are told: not the engine's, not SQLite's, none of virtual tables.
pub fn shapes(connection: &Connection) -> rusqlite::Result<Vec<Rc<Shape>>> {
    let mut list = connection.prepare(
        "SELECT name FROM pragma_table_list WHERE schema = 'main' AND type = 'table'
         AND name NOT LIKE 'sqlite\\_%' ESCAPE '\\' AND name NOT LIKE '\\_tide%' ESCAPE '\\'",
    )?;
    let names: Vec<String> = list.query_map([], |row| row.get(0))?.collect::<Result<_, _>>()?;
    names.into_iter().map(|name| shape(connection, name).map(Rc::new)).collect()
}

fn shape(connection: &Connection, name: String) -> rusqlite::Result<Shape> {
    let mut info = connection.prepare_cached("SELECT name, pk, hidden FROM pragma_table_xinfo(?1) ORDER BY cid")?;
    let rows: Vec<(String, i64, i64)> =
        info.query_map([&name], |row| Ok((row.get(0)?, row.get(1)?, row.get(2)?)))?.collect::<Result<_, _>>()?;
    let mut key: Vec<usize> = (0..rows.len()).filter(|&index| rows[index].1 > 0).collect();
    key.sort_by_key(|&index| rows[index].1);
    let rowid = if key.is_empty() {
        let free = ["rowid", "_rowid_", "oid"].into_iter().find(|name| rows.iter().all(|(column, ..)| column != name));
        format!("{}, ", free.unwrap_or("0"))
    } else {
        String::new()
    };
    let quoted: Vec<String> = rows.iter().map(|(name, ..)| format!("\"{}\"", name.replace('"', "\"\""))).collect();
    let select = format!("SELECT {rowid}{} FROM \"{}\"", quoted.join(", "), name.replace('"', "\"\""));
    let is_virtual = rows.iter().map(|(.., hidden)| *hidden == 2).collect();
    Ok(Shape { name, columns: rows.into_iter().map(|(name, ..)| name).collect(), is_virtual, key, select })
}

impl Image {
    /// Reads all tables, or those of one name.
    pub fn read(connection: &Connection, shapes: &[Rc<Shape>], only: Option<&str>) -> rusqlite::Result<Self> {
        let mut image = Self::default();
        for shape in shapes.iter().filter(|shape| only.is_none_or(|only| shape.name.eq_ignore_ascii_case(only))) {
            let mut rows = Rows::new();
            let mut statement = connection.prepare_cached(&shape.select)?;
            let mut found = statement.query([])?;
            while let Some(row) = found.next()? {
                let (mut stored, mut all) = (String::new(), String::new());
                let skip = usize::from(shape.key.is_empty());
                if skip == 1 {
                    cells::push_value(&mut stored, row.get_ref(0)?);
                }
                for (index, is_virtual) in shape.is_virtual.iter().enumerate() {
                    let value = row.get_ref(index + skip)?;
                    all.push('|');
                    cells::push_value(&mut all, value);
                    if !is_virtual {
                        stored.push('|');
                        cells::push_value(&mut stored, value);
                    }
                }
                rows.entry(stored).or_insert((0, all)).0 += 1;
            }
            image.tables.insert(shape.name.clone(), (Rc::clone(shape), rows));
        }
        Ok(image)
    }

    /// Applies changes of one transaction.
    pub fn apply_all(&mut self, changes: &[ChangeFrame<'_>]) -> Result<(), String> {
        changes.iter().try_for_each(|change| self.apply(change))
    }

    /// Applies one change; the row it takes away must be there.
    fn apply(&mut self, change: &ChangeFrame<'_>) -> Result<(), String> {
        let wrong = |what: &str| format!("{what}: {change:?}");
        let expected = match (&change.old, &change.new) {
            (None, Some(_)) => "INSERT",
            (Some(_), None) => "DELETE",
            (Some(_), Some(_)) => "UPDATE",
            // A virtual table: only that it changed can be told, and its rows are in no image.
            (None, None) if !self.tables.contains_key(&*change.table) => return Ok(()),
            (None, None) => return Err(wrong("a change of nothing")),
        };
        if change.op != expected {
            return Err(wrong("a change under a wrong name"));
        }
        let Some((shape, rows)) = self.tables.get_mut(&*change.table) else {
            return Err(wrong("a change of a table that is not there"));
        };
        let old = change.old.as_ref().map(|old| shape.stored(change, old, false)).transpose().map_err(|e| wrong(&e))?;
        let new = change.new.as_ref().map(|new| shape.stored(change, new, true)).transpose().map_err(|e| wrong(&e))?;
        if old == new {
            return Err(wrong("a change that changes nothing"));
        }
        if let Some(old) = old {
            match rows.get_mut(&old) {
                None => {
                    let known: Vec<&str> = rows.keys().map(String::as_str).collect();
                    return Err(format!(
                        "{}\nknown are {}",
                        wrong("the old row was not there"),
                        known.join("\n          ")
                    ));
                }
                Some((1, _)) => drop(rows.remove(&old)),
                Some((count, _)) => *count -= 1,
            }
        }
        if let (Some(stored), Some(new)) = (new, &change.new) {
            let all = all_of(new).map_err(|error| wrong(&error))?;
            rows.entry(stored).or_insert((0, all)).0 += 1;
        }
        Ok(())
    }

    /// The rows that only one of the two has, in words; `None` if they are equal.
    pub fn difference(&self, expected: &Self) -> Option<(Vec<String>, Vec<String>)> {
        let (mut missing, mut surplus) = (Vec::new(), Vec::new());
        let nothing = Rows::new();
        let rows = |image: &'_ Self, name: &str| image.tables.get(name).map(|(_, rows)| rows.clone());
        for name in self.tables.keys().chain(expected.tables.keys()) {
            let pair = (self.tables.get(name), expected.tables.get(name));
            if let (Some((_, got)), Some((_, wanted))) = pair
                && got == wanted
            {
                continue;
            }
            let (got, wanted) = (rows(self, name).unwrap_or_default(), rows(expected, name).unwrap_or_default());
            let only = |one: &Rows, other: &Rows| -> Vec<String> {
                let lacks = |(stored, row): &(&String, &(usize, String))| other.get(*stored) != Some(row);
                one.iter()
                    .filter(lacks)
                    .map(|(stored, (count, all))| format!("{name}: {stored} ({count}×, {all})"))
                    .collect()
            };
            missing.extend(only(&wanted, &got));
            surplus.extend(only(&got, &wanted));
            if got == nothing && wanted == nothing {
                missing.push(format!("{name}: not there on one side"));
            }
        }
        (!missing.is_empty() || !surplus.is_empty()).then_some((missing, surplus))
    }
}

impl Shape {
    /// The stored values of an image in the stream, as [`Image::read`] writes them.
    fn stored(&self, change: &ChangeFrame<'_>, image: &Pairs<'_>, is_new: bool) -> Result<String, String> {
        let mut stored = String::new();
        if self.key.is_empty() {
            let rowid = change.key.get("rowid").ok_or("a row without a rowid")?;
            cells::push_json(&mut stored, rowid.get())?;
        }
        let mut given = image.0.iter();
        for (column, is_virtual) in self.columns.iter().zip(&self.is_virtual) {
            if *is_virtual && !is_new {
                continue;
            }
            let (name, value) = given.next().ok_or("a column is missing")?;
            if name != column {
                return Err(format!("the column {column} is missing"));
            }
            if !is_virtual {
                stored.push('|');
                cells::push_json(&mut stored, value.get())?;
            }
        }
        if given.next().is_some() {
            return Err("more columns than the table has".into());
        }
        // The key is told as the row has it, after the change.
        if is_new || change.new.is_none() {
            for (&index, (name, value)) in self.key.iter().zip(&change.key.0) {
                if *name != self.columns[index] || image.get(name).is_none_or(|own| own.get() != value.get()) {
                    return Err("the key is not the row's".into());
                }
            }
        }
        Ok(stored)
    }
}

fn all_of(image: &Pairs<'_>) -> Result<String, String> {
    let mut all = String::new();
    for (_, value) in &image.0 {
        all.push('|');
        cells::push_json(&mut all, value.get())?;
    }
    Ok(all)
}
