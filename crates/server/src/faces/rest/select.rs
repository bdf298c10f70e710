//! `select=id,title,writer:author(name),comment(id,body)`: columns, and rows of tables that foreign keys tie to this one.
//!
//! A parent is embedded as an object (or null), children as an array. Where more than one foreign key leads there, the
//! column says which: `author!editor_id(name)`, or for a parent the column alone, `editor_id(name)`.

use super::filter::{no_column, seen};
use std::sync::Arc;
use tidebase_engine::tables::{Open, Table, Tables};
use tidebase_engine::{Error, Result};

/// Each is a statement of its own.
const EMBEDS_MAX: usize = 16;
/// Far more than a table has.
const ITEMS_MAX: usize = 4000;

/// What one row is shown as, in this order.
#[derive(Clone, Debug)]
pub struct Selection(pub Vec<Shown>);

#[derive(Clone, Debug)]
pub struct Shown {
    pub label: String,
    pub what: What,
}

#[derive(Clone, Debug)]
pub enum What {
    Column(usize),
    Embed(Embed),
}

/// Rows of another table.
#[derive(Clone, Debug)]
pub struct Embed {
    pub table: Arc<Table>,
    /// Its columns and their labels.
    pub columns: Vec<(String, usize)>,
    /// Equal columns: of this table and of the other.
    pub links: Vec<(usize, usize)>,
    pub is_parent: bool,
}

impl Selection {
    /// Every column that may be read.
    pub fn all(table: &Table) -> Self {
        let shown = |column: usize| Shown { label: table.columns[column].name.to_string(), what: What::Column(column) };
        Self(table.columns_open(Open::READ).into_iter().map(shown).collect())
    }

    pub fn embeds(&self) -> impl Iterator<Item = &Embed> {
        self.0.iter().filter_map(|shown| match &shown.what {
            What::Embed(embed) => Some(embed),
            What::Column(_) => None,
        })
    }
}

/// # Errors
/// `invalid` for what cannot be read, is not there or not open, and for a name that comes twice.
pub fn parse(text: &str, tables: &Tables, table: &Arc<Table>) -> Result<Selection> {
    let items = Parser { rest: text }.whole()?;
    let mut shown: Vec<Shown> = Vec::new();
    for item in items {
        if item.is_all() {
            shown.extend(Selection::all(table).0);
            continue;
        }
        let label = item.alias.clone().unwrap_or_else(|| item.name.clone());
        let what = match &item.within {
            None => What::Column(column(table, &item)?),
            Some(within) => What::Embed(embed(tables, table, &item, within)?),
        };
        let label = match &what {
            What::Column(column) if item.alias.is_none() => table.columns[*column].name.to_string(),
            _ => label,
        };
        shown.push(Shown { label, what });
    }
    unique(shown.iter().map(|shown| shown.label.as_str()))?;
    if shown.iter().filter(|shown| matches!(shown.what, What::Embed(_))).count() > EMBEDS_MAX {
        return Err(Error::too_large(format!("One request may embed {EMBEDS_MAX} tables.")));
    }
    Ok(Selection(shown))
}

fn unique<'a>(labels: impl Iterator<Item = &'a str>) -> Result<()> {
    let mut known = std::collections::HashSet::new();
    for label in labels {
        if !known.insert(label) {
            return Err(Error::invalid(format!(
                "\"select\" has two things called {label:?}; other:{label} would give one another name."
            )));
        }
    }
    Ok(())
}

fn column(table: &Table, item: &Item) -> Result<usize> {
    seen(table, &item.name).filter(|_| item.hint.is_none()).ok_or_else(|| no_column(table, &item.name))
}

fn embed(tables: &Tables, table: &Arc<Table>, item: &Item, within: &[Item]) -> Result<Embed> {
    let mut ways = ways(tables, table, item);
    if ways.len() > 1 {
        return Err(Error::invalid(format!(
            "{:?} can be reached from {} in several ways: {}.",
            item.name,
            table.name,
            ways.iter().map(|way| way.spoken.as_str()).collect::<Vec<_>>().join(", ")
        )));
    }
    let Some(way) = ways.pop() else {
        return Err(Error::invalid(format!(
            "{} has no foreign key to or from {:?} that can be followed.",
            table.name, item.name
        )));
    };
    let mut columns: Vec<(String, usize)> = Vec::new();
    for item in within {
        if item.is_all() {
            let all = way.table.columns_open(Open::READ);
            columns.extend(all.into_iter().map(|column| (way.table.columns[column].name.to_string(), column)));
        } else if item.within.is_some() {
            return Err(Error::invalid("\"select\" embeds one level deep: ask for the next by a request of its own."));
        } else {
            let column = column(&way.table, item)?;
            columns.push((item.alias.clone().unwrap_or_else(|| way.table.columns[column].name.to_string()), column));
        }
    }
    unique(columns.iter().map(|(label, _)| label.as_str()))?;
    Ok(Embed { table: way.table, columns, links: way.links, is_parent: way.is_parent })
}

/// One foreign key that leads from the table to another.
struct Way {
    table: Arc<Table>,
    links: Vec<(usize, usize)>,
    is_parent: bool,
    /// How it is said so that it is the only one.
    spoken: String,
}

/// All that can be meant, of those whose columns may all be read.
fn ways(tables: &Tables, table: &Arc<Table>, item: &Item) -> Vec<Way> {
    let is = |name: &str, other: &str| name.eq_ignore_ascii_case(other);
    let is_hinted =
        |columns: &[&str]| item.hint.as_ref().is_none_or(|hint| columns.iter().any(|column| is(column, hint)));
    let mut ways = Vec::new();
    for reference in &table.references {
        let names: Vec<&str> = reference.columns.iter().map(|&column| &*table.columns[column].name).collect();
        let by_column = item.hint.is_none() && names.iter().any(|name| is(name, &item.name));
        // Of a table that refers to itself `t!column` means its children.
        let is_own = is(&reference.parent, &table.name);
        let by_table = is(&reference.parent, &item.name) && is_hinted(&names) && !(is_own && item.hint.is_some());
        let (true, Some(parent)) = (by_column || by_table, tables.get(&reference.parent)) else { continue };
        let theirs = reference.parent_columns.iter().map(|name| seen(parent, name));
        if let Some(links) = links(table, reference.columns.iter().copied().zip(theirs)) {
            let spoken = format!("{}(…)", names[0]);
            ways.push(Way { table: Arc::clone(parent), links, is_parent: true, spoken });
        }
    }
    let Some(child) = tables.get(&item.name) else { return ways };
    for reference in child.references.iter().filter(|reference| is(&reference.parent, &table.name)) {
        let names: Vec<&str> = reference.columns.iter().map(|&column| &*child.columns[column].name).collect();
        let are_open = reference.columns.iter().all(|&column| child.columns[column].open.has(Open::READ));
        if !is_hinted(&names) || !are_open {
            continue;
        }
        let ours: Option<Vec<usize>> = reference.parent_columns.iter().map(|name| seen(table, name)).collect();
        let Some(ours) = ours else { continue };
        let links = ours.into_iter().zip(reference.columns.iter().copied()).collect();
        let spoken = format!("{}!{}(…)", child.name, names[0]);
        ways.push(Way { table: Arc::clone(child), links, is_parent: false, spoken });
    }
    ways
}

fn links(table: &Table, pairs: impl Iterator<Item = (usize, Option<usize>)>) -> Option<Vec<(usize, usize)>> {
    pairs.map(|(ours, theirs)| table.columns[ours].open.has(Open::READ).then_some((ours, theirs?))).collect()
}

/// `alias:name!hint(within)`
#[derive(Clone, Debug, PartialEq)]
struct Item {
    alias: Option<String>,
    name: String,
    hint: Option<String>,
    within: Option<Vec<Item>>,
    is_quoted: bool,
}

impl Item {
    /// `*`
    fn is_all(&self) -> bool {
        self.name == "*" && !self.is_quoted && self.alias.is_none() && self.within.is_none()
    }
}

struct Parser<'a> {
    rest: &'a str,
}

impl Parser<'_> {
    fn whole(mut self) -> Result<Vec<Item>> {
        let items = self.items(0)?;
        if self.rest.is_empty() { Ok(items) } else { Err(self.unexpected()) }
    }

    fn unexpected(&self) -> Error {
        let found = self.rest.chars().next().map_or("its end".to_owned(), |char| format!("{char:?}"));
        Error::invalid(format!(
            "\"select\" has {found} where it should go on otherwise; an odd name stands in double quotes, \"like this\"."
        ))
    }

    fn items(&mut self, depth: usize) -> Result<Vec<Item>> {
        let mut items = Vec::new();
        loop {
            if items.len() >= ITEMS_MAX {
                return Err(Error::too_large("\"select\" names too many columns."));
            }
            items.push(self.item(depth)?);
            if !self.take(',') {
                return Ok(items);
            }
        }
    }

    fn item(&mut self, depth: usize) -> Result<Item> {
        let (mut name, mut is_quoted) = self.name()?;
        let mut alias = None;
        if self.take(':') {
            alias = Some(name);
            (name, is_quoted) = self.name()?;
        }
        let hint = if self.take('!') { Some(self.name()?.0) } else { None };
        let within = if self.take('(') {
            // Deeper is refused with a reason when it is looked up; this keeps the stack short.
            if depth > 2 {
                return Err(Error::invalid("\"select\" embeds one level deep."));
            }
            let within = self.items(depth + 1)?;
            if !self.take(')') {
                return Err(self.unexpected());
            }
            Some(within)
        } else {
            None
        };
        Ok(Item { alias, name, hint, within, is_quoted })
    }

    fn take(&mut self, char: char) -> bool {
        self.rest = self.rest.trim_start();
        let found = self.rest.strip_prefix(char);
        self.rest = found.unwrap_or(self.rest);
        found.is_some()
    }

    fn name(&mut self) -> Result<(String, bool)> {
        self.rest = self.rest.trim_start();
        if let Some(mut rest) = self.rest.strip_prefix('"') {
            let mut name = String::new();
            while let Some(end) = rest.find('"') {
                name.push_str(&rest[..end]);
                rest = &rest[end + 1..];
                let Some(more) = rest.strip_prefix('"') else {
                    self.rest = rest;
                    return Ok((name, true));
                };
                name.push('"');
                rest = more;
            }
            return Err(Error::invalid("\"select\" opens a quote and does not close it."));
        }
        let end = self.rest.find([',', '(', ')', ':', '!', '"']).unwrap_or(self.rest.len());
        let name = self.rest[..end].trim_end().to_owned();
        if name.is_empty() {
            return Err(self.unexpected());
        }
        self.rest = &self.rest[end..];
        Ok((name, false))
    }
}

/// Names with commas between them, as in `sort_by` and `on_conflict`; odd ones in double quotes.
pub fn names(text: &str) -> Result<Vec<String>> {
    let items = Parser { rest: text }.whole()?;
    let name = |item: Item| {
        let is_plain = item.alias.is_none() && item.hint.is_none() && item.within.is_none();
        if is_plain {
            Ok(item.name)
        } else {
            Err(Error::invalid("Here stand names of columns, with commas between them."))
        }
    };
    items.into_iter().map(name).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_selection_is_read_with_its_quotes_and_refused_when_it_is_broken() {
        let items = Parser { rest: r#"id, w:author!writer_id(name, "a""(b,") , "*" "# }.whole().unwrap();
        let names: Vec<&str> = items.iter().map(|item| item.name.as_str()).collect();
        assert_eq!(names, ["id", "author", "*"]);
        assert_eq!((items[1].alias.as_deref(), items[1].hint.as_deref()), (Some("w"), Some("writer_id")));
        assert_eq!(items[1].within.as_ref().unwrap()[1].name, "a\"(b,");
        assert!(!items[2].is_all());
        for broken in ["", ",", "a,", "a(", "a()", "a)", "a(b", "\"a", "a:b:c", "a!b!c", "a\"b\"", "(a)", "a((b))"] {
            assert!(Parser { rest: broken }.whole().is_err(), "{broken}");
        }
        assert!(Parser { rest: &"a(".repeat(100_000) }.whole().is_err());
    }
}
