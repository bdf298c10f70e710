//! Did a write do what makes it a trap? Seen from the changes it made.

use crate::traps::{Hits, Trap};
use crate::world::request::{Deed, Request};
use crate::world::schema::Schema;

/// The name without its quotes.
pub fn unquoted(name: &str) -> String {
    match name.as_bytes() {
        [b'"', ..] => name[1..name.len() - 1].replace("\"\"", "\""),
        [b'[', ..] => name[1..name.len() - 1].to_owned(),
        _ => name.to_owned(),
    }
}

/// `changes`: of which tables, was there an old row, is there a new one.
pub fn note(hits: &mut Hits, schema: &Schema, request: &Request, changes: &[(String, bool, bool)]) {
    hits.note_all(request.traps);
    let (Some(table), [statement]) = (request.table, &request.statements[..]) else { return };
    let own = unquoted(&schema.tables[table].name);
    let ours = || changes.iter().filter(|(table, ..)| *table == own);
    let gone = ours().filter(|(_, old, _)| *old).count();
    let came = ours().any(|(_, old, new)| !old && *new);
    match statement.deed {
        Deed::Replace if gone >= 2 => hits.note(Trap::ReplaceTwo),
        Deed::Replace if gone == 1 && came => hits.note(Trap::ReplaceRowid),
        Deed::Upsert if gone > 0 => hits.note(Trap::Upsert),
        Deed::KeyUpdate if gone > 0 => hits.note(Trap::KeyUpdate),
        _ => {}
    }
    for (other, relation) in schema.tables.iter().enumerate().filter(|(other, _)| *other != table) {
        let name = unquoted(&relation.name);
        let mut theirs = changes.iter().filter(|(table, ..)| *table == name).peekable();
        if theirs.peek().is_none() {
            continue;
        }
        let refers = relation.columns.iter().any(|column| column.parent.is_some_and(|parent| parent < other));
        let trap = match (refers, theirs.all(|(_, _, new)| *new), statement.deed) {
            (true, false, Deed::Delete | Deed::KeyUpdate | Deed::Replace) => Trap::Cascade,
            (true, true, Deed::Delete | Deed::Replace) => Trap::SetNull,
            _ => Trap::Trigger,
        };
        hits.note(trap);
    }
}
