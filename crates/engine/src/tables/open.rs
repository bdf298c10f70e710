//! What of the tables is open to a role: the policies, seen from a table's side.
//!
//! It serves to describe and to address; what a statement may really do, [`crate::access`] decides when it is run.

use super::{Column, Open, Reference, Relation, Table, Tables};
use crate::access::{Access, Action, Policy, Role};
use crate::sqlite::gate::is_system;
use std::sync::Arc;

/// The part of the tables that the role may know of. Columns and tables of which nothing is open are not in it.
pub fn to_role(all: &Tables, access: &Access, role: Role) -> Tables {
    Tables::new(all.iter().filter_map(|table| table_to(table, access, role)).map(Arc::new).collect())
}

fn table_to(table: &Table, access: &Access, role: Role) -> Option<Table> {
    if is_system(&table.name) || !matches!(table.relation, Relation::Table | Relation::View) {
        return None;
    }
    let of = |action: Action| -> Vec<&Policy> { access.policies_for(&table.name, action, role).collect() };
    let actions = [
        (Open::READ, of(Action::Select)),
        (Open::INSERT, of(Action::Insert)),
        (Open::UPDATE, of(Action::Update)),
        (Open::DELETE, of(Action::Delete)),
    ];
    let opened = |open: Open, (what, policies): &(Open, Vec<&Policy>)| {
        if policies.is_empty() || !table.open.has(*what) { open } else { open.with(*what) }
    };
    let open = actions.iter().fold(Open::NOTHING, opened);
    if open == Open::NOTHING {
        return None;
    }
    let told = access.told(&table.name, role);
    let column_to = |column: &Column| {
        let granted = |open: Open, (what, policies): &(Open, Vec<&Policy>)| {
            let is_granted = column.open.has(*what) && policies.iter().any(|policy| policy.grants(&column.name));
            if is_granted { open.with(*what) } else { open }
        };
        // A row is deleted whole.
        let open = actions[..3].iter().fold(Open::NOTHING, granted);
        let is_told = told.as_ref().is_none_or(|told| told.contains(&column.name.to_ascii_lowercase()));
        if is_told { open.with(Open::TOLD) } else { open }
    };
    let opens: Vec<Open> = table.columns.iter().map(column_to).collect();
    // Where a column of the original stands in what is left of it.
    let place = |index: usize| opens[..index].iter().filter(|open| **open != Open::NOTHING).count();
    let places: Vec<Option<usize>> =
        (0..opens.len()).map(|index| (opens[index] != Open::NOTHING).then(|| place(index))).collect();
    let kept = table.columns.iter().zip(&opens).filter(|(_, open)| **open != Open::NOTHING);
    let moved = |columns: &[usize]| columns.iter().map(|&column| places[column]).collect::<Option<Vec<usize>>>();
    Some(Table {
        columns: kept.map(|(column, &open)| Column { open, ..column.clone() }).collect(),
        key: moved(&table.key).unwrap_or_default(),
        references: table
            .references
            .iter()
            .filter_map(|link| Some(Reference { columns: moved(&link.columns)?, ..link.clone() }))
            .collect(),
        checks: table
            .checks
            .iter()
            .filter_map(|check| Some(super::Check { columns: moved(&check.columns)?, ..check.clone() }))
            .collect(),
        name: table.name.clone(),
        relation: table.relation,
        is_strict: table.is_strict,
        open,
    })
}
