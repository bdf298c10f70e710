//! What stands on a random schema's tables: indexes, triggers, views, full-text search.

use super::schema::{Column, FullText, Object, Relation, Schema};
use super::values::{self, Kind};
use crate::random::Random;
use crate::traps::{Trap, Traps};

pub fn add(random: &mut Random, schema: &mut Schema) {
    add_indexes(random, schema);
    add_views(random, schema);
    add_triggers(random, schema);
    if random.percent(50) {
        add_full_text(random, schema);
    }
}

fn push(schema: &mut Schema, kind: &str, name: &str, make: String) {
    schema.objects.push(Object { make, drop: format!("DROP {kind} {name}") });
}

fn add_indexes(random: &mut Random, schema: &mut Schema) {
    for number in 0..random.below(6) {
        let table = random.below(schema.tables.len());
        let (name, columns) = (schema.tables[table].name.clone(), schema.tables[table].columns.clone());
        let index = random.below(columns.len());
        let (first, second) = (&columns[index].name, &random.pick(&columns).name);
        let literal = values::random_literal(random, columns[index].kind);
        let (unique, terms) = match random.below(9) {
            0 => ("UNIQUE ", format!("({first}, {second})")),
            1 => ("UNIQUE ", format!("({first}) WHERE {second} IS NOT NULL")),
            2 => ("", format!("(lower({first}))")),
            3 => ("", format!("({first} COLLATE NOCASE, {second} DESC)")),
            4 => ("", format!("({first}) WHERE {first} > {literal}")),
            5 => ("", format!("({first} DESC)")),
            _ => ("", format!("({first}, {second})")),
        };
        schema.tables[table].columns[index].is_indexed |= !terms.starts_with("(lower") && !terms.contains("WHERE");
        push(schema, "INDEX", &format!("i{number}"), format!("CREATE {unique}INDEX i{number} ON {name} {terms}"));
    }
}

fn view(name: &str, columns: Vec<Column>, traps: Traps) -> Relation {
    Relation { name: name.into(), columns, key: vec![], unique: vec![], has_rowid: false, is_integer_key: false, traps }
}

fn column(name: &str, kind: Kind) -> Column {
    Column { name: name.into(), kind, is_generated: false, parent: None, has_collation: false, is_indexed: false }
}

fn add_views(random: &mut Random, schema: &mut Schema) {
    for number in 0..random.below(4) {
        let name = format!("v{number}");
        let on_view = !schema.views.is_empty() && random.percent(60);
        let base = random.pick(if on_view { &schema.views } else { &schema.tables }).clone();
        let mut traps = base.traps;
        if on_view {
            traps.add(Trap::ViewOnView);
        }
        let (first, second) = (random.pick(&base.columns).clone(), random.pick(&base.columns).clone());
        let literal = values::literal(&values::present(random, first.kind));
        let (select, columns) = match random.below(5) {
            0 => {
                traps.add(Trap::Grouping);
                let select = format!(
                    "SELECT {} AS g, count(*) AS n, max({}) AS m FROM {} GROUP BY 1",
                    first.name, second.name, base.name
                );
                (select, vec![column("g", first.kind), column("n", Kind::Integer), column("m", second.kind)])
            }
            1 => {
                let other = random.pick(&schema.tables);
                let match_on = random.pick(&other.columns);
                traps.join(other.traps.and(Trap::Joins));
                let select = format!(
                    "SELECT x.{} AS p, y.{} AS q FROM {} AS x JOIN {} AS y ON x.{} = y.{}",
                    second.name, match_on.name, base.name, other.name, first.name, match_on.name
                );
                (select, vec![column("p", second.kind), column("q", match_on.kind)])
            }
            2 => (format!("SELECT * FROM {} WHERE {} IS NOT {literal}", base.name, first.name), base.columns.clone()),
            _ => {
                traps.add(Trap::Duplicates);
                let select = format!(
                    "SELECT {} AS p, {} || '' AS q FROM {} WHERE {} >= {literal} OR {} IS NULL",
                    first.name, second.name, base.name, first.name, second.name
                );
                (select, vec![column("p", first.kind), column("q", Kind::Text)])
            }
        };
        push(schema, "VIEW", &name, format!("CREATE VIEW {name} AS {select}"));
        let columns = columns.into_iter().map(|of| Column { is_indexed: false, ..of }).collect();
        schema.views.push(view(&name, columns, traps));
    }
}

/// An expression for a trigger's body: a column of the row at hand, or a constant.
fn of_row(random: &mut Random, row: &str, table: &Relation, kind: Kind) -> String {
    if random.percent(60) {
        format!("{row}.{}", random.pick(&table.columns).name)
    } else {
        values::random_literal(random, kind)
    }
}

fn add_triggers(random: &mut Random, schema: &mut Schema) {
    for number in 0..random.below(4) {
        let from = random.below(schema.tables.len());
        let on = schema.tables[from].clone();
        let (event, row) = *random.pick(&[("INSERT", "NEW"), ("UPDATE", "OLD"), ("UPDATE", "NEW"), ("DELETE", "OLD")]);
        let when = *random.pick(&["BEFORE", "AFTER", "AFTER"]);
        let column = random.pick(&on.columns).clone();
        let condition = match random.below(3) {
            0 => format!(" WHEN {row}.{} > 1", column.name),
            1 => format!(" WHEN {row}.{} IS NOT NULL", column.name),
            _ => String::new(),
        };
        let body = if from + 1 == schema.tables.len() || random.percent(12) {
            let how = *random.pick(&["ABORT, 'no'", "FAIL, 'no'", "ROLLBACK, 'no'", "IGNORE"]);
            format!("SELECT RAISE({how}) WHERE {row}.{} = 4;", column.name)
        } else {
            let to = schema.tables[random.between(from + 1, schema.tables.len() - 1)].clone();
            write_elsewhere(random, row, &on, &to)
        };
        let name = format!("r{number}");
        let make =
            format!("CREATE TRIGGER {name} {when} {event} ON {} FOR EACH ROW{condition} BEGIN {body} END", on.name);
        push(schema, "TRIGGER", &name, make);
    }
}

/// A statement of a trigger that writes to another table, and cannot fill it without end.
fn write_elsewhere(random: &mut Random, row: &str, on: &Relation, to: &Relation) -> String {
    let plain: Vec<&Column> = to.columns.iter().filter(|column| !column.is_generated).collect();
    let target = *random.pick(&plain);
    let other = random.pick(&to.columns).name.clone();
    let value = of_row(random, row, on, target.kind);
    match random.below(4) {
        0 => format!(
            "UPDATE OR IGNORE {} SET {} = {value} WHERE {other} = {row}.{};",
            to.name, target.name, on.columns[0].name
        ),
        1 => format!("DELETE FROM {} WHERE {other} = {};", to.name, of_row(random, row, on, Kind::Integer)),
        _ => {
            let values: Vec<String> = plain.iter().map(|column| of_row(random, row, on, column.kind)).collect();
            let names: Vec<&str> = plain.iter().map(|column| &*column.name).collect();
            let verb = *random.pick(&["REPLACE", "INSERT OR IGNORE", "INSERT OR REPLACE"]);
            format!(
                "{verb} INTO {} ({}) SELECT {} WHERE (SELECT count(*) FROM {}) < 16;",
                to.name,
                names.join(", "),
                values.join(", "),
                to.name
            )
        }
    }
}

/// Either with its own text, or over a table with an integer key, kept in step by the triggers of SQLite's manual.
fn add_full_text(random: &mut Random, schema: &mut Schema) {
    let base = schema.tables[0].clone();
    let plain = base.columns.iter().find(|column| !column.is_generated && column.name != "id");
    let (Some(text), true) = (plain.filter(|_| base.is_integer_key), random.percent(40)) else {
        push(schema, "TABLE", "f", "CREATE VIRTUAL TABLE f USING fts5(title, body)".into());
        schema.full_text =
            Some(FullText { name: "f".into(), columns: vec!["title".into(), "body".into()], is_external: false });
        return;
    };
    let (table, column) = (base.name.as_str(), text.name.as_str());
    push(
        schema,
        "TABLE",
        "f",
        format!("CREATE VIRTUAL TABLE f USING fts5({column}, content='{table}', content_rowid='id')"),
    );
    let gone = format!("INSERT INTO f (f, rowid, {column}) VALUES ('delete', OLD.id, OLD.{column});");
    let come = format!("INSERT INTO f (rowid, {column}) VALUES (NEW.id, NEW.{column});");
    for (name, event, body) in
        [("fi", "INSERT", come.clone()), ("fd", "DELETE", gone.clone()), ("fu", "UPDATE", format!("{gone} {come}"))]
    {
        let make = format!("CREATE TRIGGER {name} AFTER {event} ON {table} BEGIN {body} END");
        push(schema, "TRIGGER", name, make);
    }
    schema.full_text = Some(FullText { name: "f".into(), columns: vec![column.into()], is_external: true });
}
