//! The tables as TypeScript: `GET /types.ts` and `tidebase types`.
//!
//! For each table what a row is, what an insert needs and what an update may set, as the REST face takes and gives them.

use crate::cli::TypesArgs;
use crate::{config, shell};
use std::fmt::Write as _;
use tidebase_engine::Result;
use tidebase_engine::sqlite::gate::is_system;
use tidebase_engine::tables::{Column, Kind, Open, Relation, Table, Tables};

const HEAD: &str = "\
// The tables of a Tidebase database, as they were when this was written. Made by `tidebase types`; do not edit.

export type Json = null | boolean | number | string | Json[] | { [name: string]: Json };

/** What a column without a type may hold. */
export type Value = null | number | bigint | string | Uint8Array;
";

/// `tidebase types`
pub fn run(args: &TypesArgs) -> Result<()> {
    let text = match &args.place.url {
        Some(url) => shell::fetch(url, args.place.token.as_deref(), "/types.ts")?,
        None => typescript(&shell::tables(config::database(args.place.db.as_ref())?)?),
    };
    crate::print_lines(text.trim_end());
    Ok(())
}

pub fn typescript(tables: &Tables) -> String {
    let mut text = HEAD.to_owned();
    text.push_str("\nexport interface Database {\n");
    for table in tables.iter().filter(|table| is_shown(table)) {
        write_table(&mut text, table);
    }
    text.push_str("}\n");
    text
}

/// What an application works with: not the engine's own tables, nor those in which another keeps its data.
pub fn is_shown(table: &Table) -> bool {
    !is_system(&table.name) && table.relation != Relation::Shadow
}

fn write_table(text: &mut String, table: &Table) {
    if table.relation == Relation::View {
        text.push_str("  /** A view. */\n");
    }
    let _ = writeln!(text, "  {}: {{", name(&table.name));
    for (part, what) in [("Row", Open::READ), ("Insert", Open::INSERT), ("Update", Open::UPDATE)] {
        if !table.open.has(what) {
            let _ = writeln!(text, "    {part}: never;");
            continue;
        }
        let _ = writeln!(text, "    {part}: {{");
        for index in table.columns_open(what) {
            let column = &table.columns[index];
            let is_optional = what == Open::UPDATE || what == Open::INSERT && !table.is_required(index);
            let optional = if is_optional { "?" } else { "" };
            let or_null = if is_never_null(column) { "" } else { " | null" };
            let kind = if what == Open::READ { told(column.kind) } else { taken(column.kind) };
            let or_null = if kind == "Json" || kind == "Value" { "" } else { or_null };
            let _ = writeln!(text, "      {}{optional}: {kind}{or_null};", name(&column.name));
        }
        text.push_str("    };\n");
    }
    text.push_str("  };\n");
}

pub fn is_never_null(column: &Column) -> bool {
    column.is_not_null || column.is_rowid
}

fn told(kind: Kind) -> &'static str {
    match kind {
        Kind::Integer | Kind::Boolean => "number | bigint",
        Kind::Real => "number",
        Kind::Numeric => "number | bigint | string",
        Kind::Text => "string",
        Kind::Blob => "Uint8Array",
        Kind::Json => "Json",
        Kind::Any => "Value",
    }
}

fn taken(kind: Kind) -> &'static str {
    match kind {
        Kind::Boolean => "boolean | number | bigint",
        other => told(other),
    }
}

/// A name as a property is written; an odd one in quotes.
fn name(name: &str) -> String {
    let is_letter = |char: char| char.is_ascii_alphabetic() || char == '_' || char == '$';
    let is_plain = name.starts_with(is_letter) && name.chars().all(|char| is_letter(char) || char.is_ascii_digit());
    if is_plain { name.to_owned() } else { serde_json::json!(name).to_string() }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_tricky_schema_is_written_as_expected() {
        let connection = rusqlite::Connection::open_in_memory().unwrap();
        connection
            .execute_batch(
                r#"CREATE TABLE plain (id INTEGER PRIMARY KEY, name TEXT NOT NULL, mood TEXT NOT NULL DEFAULT 'calm', at REAL,
                     live BOOLEAN NOT NULL, price DECIMAL(8,2), picture BLOB, extra JSON NOT NULL, loose, twice INTEGER AS (id * 2));
                   CREATE TABLE "sel""ect */" ("class" TEXT, "2nd" INT, "a
b" TEXT, PRIMARY KEY ("class", "2nd")) WITHOUT ROWID;
                   CREATE VIEW seen AS SELECT name, count(*) AS "how many" FROM plain;
                   CREATE VIRTUAL TABLE words USING fts5 (word);"#,
            )
            .unwrap();
        let text = typescript(&tidebase_engine::tables::load::load(&connection).unwrap());
        let expected = include_str!("types.expected.ts");
        assert_eq!(text, expected, "{text}");
    }
}
