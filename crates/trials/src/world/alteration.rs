//! Random changes of a schema under live queries. What is taken away comes back some requests later, so that a world
//! lasts: in between, queries and writes that need it fail, on both sides.

use super::request::{Form, Request, Statement};
use super::schema::Schema;
use super::values;
use crate::random::Random;
use crate::traps::{Trap, Traps};

fn request(sql: impl Into<String>) -> Request {
    Request { traps: Traps::default().and(Trap::Schema), ..Request::single(Statement::plain(sql)) }
}

/// What is done now, and what undoes it.
pub struct Alteration {
    pub now: Request,
    pub later: Vec<Request>,
}

/// `number` makes the names that it brings in unique.
pub fn random(random: &mut Random, schema: &Schema, number: usize) -> Alteration {
    let table = random.below(schema.tables.len());
    let (relation, made) = (&schema.tables[table], &schema.made[table]);
    let name = &relation.name;
    match random.below(12) {
        0 | 1 => {
            let first = &relation.columns[0].name;
            let declaration = match random.below(4) {
                0 => "TEXT".to_owned(),
                1 => format!("ANY DEFAULT {}", values::random_literal(random, values::Kind::Any)),
                2 => "INTEGER NOT NULL DEFAULT 7".to_owned(),
                _ => format!("ANY AS (typeof({first})) VIRTUAL"),
            };
            undone(
                format!("ALTER TABLE {name} ADD COLUMN n{number} {declaration}"),
                format!("ALTER TABLE {name} DROP COLUMN n{number}"),
            )
        }
        2 if !schema.objects.is_empty() => {
            let object = random.pick(&schema.objects);
            undone(&object.drop, &object.make)
        }
        3 => {
            // What stands on it goes with it.
            let stands_on = |make: &&String| make.contains(&format!(" ON {name} "));
            let again = schema.objects.iter().map(|object| &object.make).filter(stands_on).cloned().map(request);
            let later = std::iter::once(request(&made.make)).chain(again).collect();
            Alteration { now: request(&made.drop), later }
        }
        4 | 5 => {
            let (first, second) = (&random.pick(&relation.columns).name, &random.pick(&relation.columns).name);
            let index = format!("n{number}");
            undone(format!("CREATE INDEX {index} ON {name} ({first}, {second})"), format!("DROP INDEX {index}"))
        }
        6 => {
            let column = &random.pick(&relation.columns).name;
            undone(
                format!("ALTER TABLE {name} RENAME COLUMN {column} TO n{number}"),
                format!("ALTER TABLE {name} RENAME COLUMN n{number} TO {column}"),
            )
        }
        7 => {
            undone(format!("ALTER TABLE {name} RENAME TO n{number}"), format!("ALTER TABLE n{number} RENAME TO {name}"))
        }
        8 => {
            let now = Request { traps: Traps::default().and(Trap::Vacuum), ..request("VACUUM") };
            Alteration { now, later: vec![] }
        }
        9 => {
            let mut later: Vec<Request> = (0..random.between(1, 5))
                .map(|row| {
                    Request::single(Statement::plain(format!(
                        "INSERT INTO n{number} SELECT {row}, * FROM {name} LIMIT 2"
                    )))
                })
                .collect();
            later.push(request(format!("DROP TABLE n{number}")));
            Alteration { now: request(format!("CREATE TABLE n{number} AS SELECT 0 AS made, * FROM {name}")), later }
        }
        10 => Alteration { now: request(*random.pick(&["REINDEX", "PRAGMA user_version = 3"])), later: vec![] },
        _ => {
            let write = Statement::plain(format!("DELETE FROM {name} WHERE {} IS NULL", relation.columns[0].name));
            let make = Statement::plain(format!("CREATE VIEW n{number} AS SELECT * FROM {name}"));
            let now = Request { statements: vec![write, make], form: Form::Transaction, ..request("") };
            Alteration { now, later: vec![request(format!("DROP VIEW n{number}"))] }
        }
    }
}

fn undone(now: impl Into<String>, later: impl Into<String>) -> Alteration {
    Alteration { now: request(now), later: vec![request(later)] }
}
