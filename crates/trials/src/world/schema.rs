//! A random schema: every way in which SQLite can keep rows, with the constraints that make writes go further than
//! their statement says.
//!
//! What stands on tables (indexes, triggers, views, full-text search) is in [`super::objects`]. Foreign keys and
//! triggers lead only from a table to later ones, so that no write goes round for ever.

use super::objects;
use super::values::{self, Kind};
use crate::random::Random;
use crate::traps::{Trap, Traps};

#[derive(Clone, Debug)]
pub struct Column {
    /// As SQL text, quotes included; so are all names here.
    pub name: String,
    pub kind: Kind,
    pub is_generated: bool,
    /// The table whose key it refers to.
    pub parent: Option<usize>,
    /// NOCASE or RTRIM.
    pub has_collation: bool,
    /// The first column of an index.
    pub is_indexed: bool,
}

/// A table or a view.
#[derive(Clone, Debug)]
pub struct Relation {
    pub name: String,
    pub columns: Vec<Column>,
    /// Indexes of the primary key's columns.
    pub key: Vec<usize>,
    /// Columns with a UNIQUE constraint of their own.
    pub unique: Vec<usize>,
    pub has_rowid: bool,
    /// The key is the rowid.
    pub is_integer_key: bool,
    /// What a query that reads it steps into.
    pub traps: Traps,
}

/// Something that can be taken away and brought back while live queries look.
#[derive(Clone, Debug)]
pub struct Object {
    pub make: String,
    pub drop: String,
}

#[derive(Clone, Debug, Default)]
pub struct FullText {
    pub name: String,
    pub columns: Vec<String>,
    /// Its text stands in a table, kept in step by triggers; nobody writes to it directly.
    pub is_external: bool,
}

#[derive(Clone, Debug, Default)]
pub struct Schema {
    pub tables: Vec<Relation>,
    pub views: Vec<Relation>,
    pub full_text: Option<FullText>,
    /// CREATE TABLE of each table.
    pub made: Vec<Object>,
    pub objects: Vec<Object>,
}

impl Schema {
    pub fn random(random: &mut Random) -> Self {
        let mut schema = Self::default();
        for _ in 0..random.between(2, 5) {
            add_table(random, &mut schema);
        }
        objects::add(random, &mut schema);
        schema
    }

    /// The statements that make it, in order.
    pub fn setup(&self) -> Vec<String> {
        self.made.iter().chain(&self.objects).map(|object| object.make.clone()).collect()
    }
}

const NAMES: [&str; 8] = ["t", "\"T Two\"", "items", "\"select\"", "\"ünï\"", "[q]", "\"a\"\"b\"", "Mixed"];
const COLUMNS: [&str; 9] = ["a", "b", "\"c c\"", "\"group\"", "\"ö\"", "D", "\"limit\"", "e", "note"];
const ON_DELETE: [&str; 8] =
    ["CASCADE", "CASCADE", "CASCADE", "SET NULL", "SET NULL", "RESTRICT", "NO ACTION", "SET DEFAULT"];

fn add_table(random: &mut Random, schema: &mut Schema) {
    let number = schema.tables.len();
    let mut names = NAMES.iter().filter(|name| schema.tables.iter().all(|table| table.name != **name));
    let name =
        if number == 0 { "t" } else { names.nth(random.below(8 - number)).expect("eight names for five tables") };
    let shape = if number == 0 { random.below(2) } else { random.below(8) };
    let mut draft = Draft::new(random, schema, name);
    match shape {
        0 | 1 => draft.integer_key(),
        2 => draft.text_key(),
        3 => {}
        4 | 5 => draft.composite_key_without_rowid(),
        6 => draft.strict(),
        _ => draft.odd_key(),
    }
    let columns = draft.random.between(2, 4);
    let first = draft.random.below(COLUMNS.len() - columns + 1);
    for name in &COLUMNS[first..first + columns] {
        draft.plain_column(name);
    }
    draft.generated_columns();
    let (relation, make) = draft.finish();
    let drop = format!("DROP TABLE {}", relation.name);
    schema.tables.push(relation);
    schema.made.push(Object { make, drop });
}

/// A table that is being written.
struct Draft<'a> {
    random: &'a mut Random,
    schema: &'a Schema,
    relation: Relation,
    columns: Vec<String>,
    constraints: Vec<String>,
    options: Vec<&'static str>,
    is_strict: bool,
}

impl<'a> Draft<'a> {
    fn new(random: &'a mut Random, schema: &'a Schema, name: &str) -> Self {
        let relation = Relation {
            name: name.into(),
            columns: Vec::new(),
            key: Vec::new(),
            unique: Vec::new(),
            has_rowid: true,
            is_integer_key: false,
            traps: Traps::default(),
        };
        Self { random, schema, relation, columns: vec![], constraints: vec![], options: vec![], is_strict: false }
    }

    fn column(&mut self, name: &str, kind: Kind, declaration: &str) -> &mut Column {
        self.columns.push(format!("{name} {declaration}"));
        let has_collation = declaration.contains("NOCASE") || declaration.contains("RTRIM");
        if has_collation {
            self.relation.traps.add(Trap::Collation);
        }
        self.relation.columns.push(Column {
            name: name.into(),
            kind,
            is_generated: false,
            parent: None,
            has_collation,
            is_indexed: declaration.contains("UNIQUE") || declaration.contains("KEY"),
        });
        self.relation.columns.last_mut().expect("just pushed")
    }

    fn integer_key(&mut self) {
        let auto = if self.random.percent(10) { " AUTOINCREMENT" } else { "" };
        self.column("id", Kind::Integer, &format!("INTEGER PRIMARY KEY{auto}"));
        (self.relation.key, self.relation.is_integer_key) = (vec![0], true);
    }

    /// Such a key may be NULL, several times.
    fn text_key(&mut self) {
        let collation = *self.random.pick(&["", " COLLATE NOCASE", " COLLATE RTRIM"]);
        let not_null = *self.random.pick(&["", "", " NOT NULL"]);
        self.column("k", Kind::Text, &format!("TEXT PRIMARY KEY{collation}{not_null}"));
        self.relation.key = vec![0];
        if not_null.is_empty() {
            self.relation.traps.add(Trap::NullKey);
        }
    }

    /// The key's columns are not the first ones, and its collations may differ from its columns'.
    fn composite_key_without_rowid(&mut self) {
        let kind = *self.random.pick(&[Kind::Integer, Kind::Real, Kind::Any]);
        let type_name = match kind {
            Kind::Integer => "INTEGER",
            Kind::Real => "REAL",
            _ => "",
        };
        self.column("v", Kind::Any, "");
        let own = *self.random.pick(&["", "", " COLLATE NOCASE", " COLLATE RTRIM"]);
        self.column("k", Kind::Text, &format!("TEXT{own}"));
        self.column("j", kind, type_name);
        let of_key = *self.random.pick(&["", "", " COLLATE NOCASE", " COLLATE BINARY", " DESC"]);
        let order = if self.random.percent(50) { [1, 2] } else { [2, 1] };
        let part = |index: usize| if index == 1 { format!("k{of_key}") } else { "j".to_owned() };
        self.constraints.push(format!("PRIMARY KEY ({}, {})", part(order[0]), part(order[1])));
        self.relation.key = order.to_vec();
        self.relation.has_rowid = false;
        self.relation.traps.add(Trap::WithoutRowid);
        self.options.push("WITHOUT ROWID");
        self.relation.columns[order[0]].is_indexed = true;
    }

    fn strict(&mut self) {
        self.integer_key();
        self.is_strict = true;
        self.relation.traps.add(Trap::Strict);
        self.options.push("STRICT");
    }

    /// Keys that look like the rowid and are not, and the other way round.
    fn odd_key(&mut self) {
        match self.random.below(4) {
            0 => drop(self.column("id", Kind::Integer, "INT PRIMARY KEY")),
            1 => drop(self.column("id", Kind::Integer, "INTEGER PRIMARY KEY DESC")),
            2 => {
                self.column("rowid", Kind::Any, "");
                self.column("id", Kind::Integer, "INTEGER UNIQUE");
                return;
            }
            _ => {
                self.column("id", Kind::Integer, "INTEGER");
                self.constraints.push("PRIMARY KEY (id DESC)".into());
                self.relation.is_integer_key = true;
            }
        }
        self.relation.key = vec![0];
    }

    fn plain_column(&mut self, name: &str) {
        if self.random.percent(25) && self.reference(name) {
            return;
        }
        let types: &[(&str, Kind)] = if self.is_strict {
            &[
                ("INTEGER", Kind::Integer),
                ("REAL", Kind::Real),
                ("TEXT", Kind::Text),
                ("ANY", Kind::Any),
                ("BLOB", Kind::Blob),
            ]
        } else {
            &[
                ("", Kind::Any),
                ("INTEGER", Kind::Integer),
                ("REAL", Kind::Real),
                ("TEXT", Kind::Text),
                ("NUMERIC", Kind::Any),
                ("BLOB", Kind::Any),
                ("VARCHAR(9)", Kind::Text),
            ]
        };
        let (type_name, kind) = *self.random.pick(types);
        let mut declaration = type_name.to_owned();
        match self.random.below(10) {
            0 => declaration.push_str(" COLLATE NOCASE"),
            1 => declaration.push_str(" COLLATE RTRIM"),
            2 => declaration.push_str(" UNIQUE"),
            3 if !self.is_strict => {
                let default = values::literal(&values::present(self.random, kind));
                declaration.push_str(&format!(" NOT NULL DEFAULT {default}"));
            }
            4 if kind == Kind::Integer => declaration.push_str(&format!(" CHECK ({name} IS NULL OR {name} <> 5)")),
            _ => {}
        }
        if kind == Kind::Any {
            self.relation.traps.add(Trap::MixedTypes);
        }
        let index = self.relation.columns.len();
        if declaration.contains("UNIQUE") {
            self.relation.unique.push(index);
        }
        self.column(name, kind, &declaration);
    }

    /// A foreign key to the key of an earlier table, or to this one's.
    fn reference(&mut self, name: &str) -> bool {
        let own = self.schema.tables.len();
        let parent = self.random.between(0, own);
        let target = if parent == own { &self.relation } else { &self.schema.tables[parent] };
        let [key] = target.key[..] else { return false };
        let (target, key) = (target.name.clone(), target.columns[key].clone());
        let type_name = match (key.kind, self.is_strict) {
            (Kind::Integer, _) => "INTEGER",
            (Kind::Text, _) => "TEXT",
            (_, true) => "ANY",
            (_, false) => "",
        };
        let on_delete = *self.random.pick(&ON_DELETE);
        let on_update = *self.random.pick(&["CASCADE", "CASCADE", "SET NULL", "NO ACTION"]);
        let deferred = *self.random.pick(&["", "", " DEFERRABLE INITIALLY DEFERRED"]);
        let declaration = format!(
            "{type_name} REFERENCES {target} ({}) ON DELETE {on_delete} ON UPDATE {on_update}{deferred}",
            key.name
        );
        let column = self.column(name, key.kind, &declaration);
        // "KEY" is not in it, but REFERENCES makes no index either.
        (column.parent, column.is_indexed) = (Some(parent), false);
        true
    }

    fn generated_columns(&mut self) {
        let plain: Vec<Column> = self.relation.columns.iter().filter(|column| !column.is_generated).cloned().collect();
        let type_name = if self.is_strict { "ANY" } else { "" };
        for (name, keyword) in [("g1", "STORED"), ("g2", "VIRTUAL"), ("g3", "VIRTUAL")] {
            if !self.random.percent(18) {
                continue;
            }
            let of = self.random.pick(&plain).name.clone();
            let expression = match self.random.below(4) {
                0 => format!("{of} || '!'"),
                1 => format!("coalesce({of}, 0) + 1"),
                2 => format!("typeof({of})"),
                _ => format!("lower({of})"),
            };
            self.relation.traps.add(Trap::Generated);
            self.column(name, Kind::Any, &format!("{type_name} AS ({expression}) {keyword}")).is_generated = true;
        }
    }

    fn finish(self) -> (Relation, String) {
        let parts: Vec<String> = self.columns.into_iter().chain(self.constraints).collect();
        let options = self.options.join(", ");
        let make = format!("CREATE TABLE {} ({}) {options}", self.relation.name, parts.join(", "));
        (self.relation, make.trim_end().to_owned())
    }
}
