//! A rehearsal: what a statement would do if somebody ran it, and which policy says no. Nothing of it stays, nothing is told.
//!
//! The statement is run as the caller's, by the same three lines as ever, and undone. To tell what was passed over it is run
//! twice more and undone: as if whatever is seen could be changed, and as if no policy bound the caller.

use super::execute::{self, Rights};
use crate::access::admission::{Change, Touched};
use crate::access::policy::Action;
use crate::access::translate::{self, Judgement, Scope, named};
use crate::access::{Access, Caller, Principal};
use crate::changes::capture::Capture;
use crate::error::{Error, Result};
use crate::json;
use crate::limits::Limits;
use crate::sqlite::Sqlite;
use crate::sqlite::budget::Cancel;
use crate::sqlite::exclude::quoted;
use crate::sqlite::gate::{Mode, is_system};
use crate::sqlite::tokens::tokens;
use crate::value::{Params, Value, ValueRef};
use serde_json::{Map, Value as Json, json};
use std::sync::Arc;

/// Rows of a result that are shown.
const ROWS_SHOWN: usize = 100;

/// What is to be tried, and as whom.
#[derive(Clone, Debug)]
pub struct Rehearsal {
    pub caller: Arc<Caller>,
    pub sql: String,
    pub params: Params,
}

/// Where it is tried. The caller of this module undoes what is left.
pub struct Stage<'a> {
    pub sqlite: &'a mut Sqlite,
    pub capture: &'a Capture,
    pub access: &'a Access,
    pub limits: &'a Limits,
    pub cancel: Cancel,
}

/// What a run has given and done.
#[derive(Default)]
struct Played {
    columns: Vec<String>,
    rows: Vec<Json>,
    count: usize,
    touched: Vec<Touched>,
    /// Why it would be undone, and what there was to see of it.
    refused: Option<(Error, Option<Json>)>,
}

impl Played {
    fn changed(&self, is: fn(&Change) -> bool) -> usize {
        self.touched.iter().filter(|touched| is(&touched.change)).count()
    }

    /// Rows that were there before.
    fn known(&self) -> usize {
        self.changed(|change| !matches!(change, Change::Made(_)))
    }
}

/// The answer's JSON.
///
/// # Errors
/// Only what is wrong with the question; that the caller is refused is an answer.
pub fn run(mut stage: Stage<'_>, rehearsal: &Rehearsal) -> Result<Vec<u8>> {
    let Rehearsal { caller, sql, params } = rehearsal;
    if sql.len() > stage.limits.sql_bytes_max {
        return Err(Error::too_large(format!("The SQL text is longer than {} bytes.", stage.limits.sql_bytes_max)));
    }
    let rights = Rights { access: stage.access, role: caller.role };
    // What is closed is refused below.
    let expanded =
        execute::expanded(stage.sqlite, sql, Some(rights)).or_else(|_| execute::expanded(stage.sqlite, sql, None))?;
    let [one] = execute::split(&expanded)?[..] else {
        return Err(Error::invalid("One statement at a time can be tried."));
    };
    let played = stage.undone(|stage| stage.play(caller, one, params))?;
    let mut told = json!({
        "as": { "uid": caller.uid, "role": caller.role, "claims": caller.claims },
        "sql": one,
        "allowed": played.refused.is_none(),
        "inserted": played.changed(|change| matches!(change, Change::Made(_))),
        "updated": played.changed(|change| matches!(change, Change::Changed { .. })),
        "deleted": played.changed(|change| matches!(change, Change::Gone { .. })),
        "columns": played.columns,
        "rows": played.rows,
        "rows_seen": played.count,
        "tables": stage.tables(caller, one),
    });
    let unbound = stage.undone(|stage| stage.play_unbound(caller, one, params)).ok();
    told["rows_in_all"] = json!(unbound.as_ref().map(|all| all.count));
    let changes_known =
        translate::aim(one).is_some_and(|(action, _)| matches!(action, Action::Update | Action::Delete));
    if changes_known {
        let seen = stage.undone(|stage| stage.play_seen(caller, one, params)).map_or(0, |seen| seen.known());
        told["hidden"] = json!(unbound.map(|all| all.known().saturating_sub(seen)));
        told["not_allowed"] = json!(seen.saturating_sub(played.known()));
    }
    if let Some((error, because)) = &played.refused {
        let mut refusal = because.clone().or_else(|| stage.closed(caller, one)).unwrap_or_else(|| json!({}));
        refusal["error"] = json!(error.message);
        refusal["code"] = json!(error.code.name());
        told["refusal"] = refusal;
    }
    Ok(told.to_string().into())
}

impl Stage<'_> {
    /// Does something, and takes it back.
    fn undone<T>(&mut self, work: impl FnOnce(&mut Self) -> Result<T>) -> Result<T> {
        self.sqlite.own.execute_batch("SAVEPOINT tide_rehearsal")?;
        let done = work(self);
        if self.sqlite.is_autocommit() {
            return Err(Error::conflict("The statement ended the whole transaction (ROLLBACK)."));
        }
        self.sqlite.own.execute_batch("ROLLBACK TO tide_rehearsal; RELEASE tide_rehearsal")?;
        self.sqlite.note_rollback()?;
        self.capture.clear();
        done
    }

    /// As the caller.
    fn play(&mut self, caller: &Arc<Caller>, sql: &str, params: &Params) -> Result<Played> {
        let Self { sqlite, capture, access, limits, cancel } = self;
        let principal = Principal::Caller(Arc::clone(caller));
        let mut played = Played::default();
        let done = sqlite.speaking_for(&principal, |sqlite| {
            sqlite.bounded(limits.write_time_max, Some(cancel.clone()), Mode::Caller, |sqlite| {
                let translated = access.translate(caller.role, sql)?;
                sqlite.pass(access, &translated)?;
                watched(sqlite, capture, &translated.sql, params, limits, &mut played)?;
                let Some(judgement) = &translated.judgement else { return Ok(()) };
                for touched in &played.touched {
                    if let Err(error) = execute::judge_one(sqlite, judgement, touched) {
                        let because = because(sqlite, access, caller, judgement, touched);
                        played.refused = Some((error, Some(because)));
                        return Ok(());
                    }
                }
                if sqlite.has_deferred_violations() {
                    return Err(Error::conflict("FOREIGN KEY constraint failed"));
                }
                Ok(())
            })
        });
        if let Err(error) = done {
            played.refused = Some((error, None));
        }
        Ok(played)
    }

    /// As if everything that the caller sees could be changed.
    fn play_seen(&mut self, caller: &Arc<Caller>, sql: &str, params: &Params) -> Result<Played> {
        let Self { sqlite, capture, access, limits, cancel } = self;
        let principal = Principal::Caller(Arc::clone(caller));
        let mut played = Played::default();
        sqlite.speaking_for(&principal, |sqlite| {
            sqlite.bounded(limits.write_time_max, Some(cancel.clone()), Mode::Caller, |sqlite| {
                let translated = Arc::new(translate::translate_in(access, caller.role, sql, Scope::Seen)?);
                sqlite.pass(access, &translated)?;
                watched(sqlite, capture, &translated.sql, params, limits, &mut played)
            })
        })?;
        Ok(played)
    }

    /// As if no policy bound the caller.
    fn play_unbound(&mut self, caller: &Arc<Caller>, sql: &str, params: &Params) -> Result<Played> {
        let Self { sqlite, capture, limits, cancel, .. } = self;
        let mut played = Played::default();
        sqlite.asked_by(caller, |sqlite| {
            sqlite.bounded(limits.write_time_max, Some(cancel.clone()), Mode::Caller, |sqlite| {
                watched(sqlite, capture, sql, params, limits, &mut played)
            })
        })?;
        Ok(played)
    }

    /// Which policies there are for the caller on what the statement names.
    fn tables(&self, caller: &Caller, sql: &str) -> Json {
        let mut told: Vec<Json> = Vec::new();
        for name in tokens(sql).map(|token| named(&token)) {
            let is_known =
                told.iter().any(|known| known["table"].as_str().is_some_and(|its| its.eq_ignore_ascii_case(&name)));
            if is_known || is_system(&name) || self.access.schema.get(&name).is_none() {
                continue;
            }
            let mut table = json!({ "table": name });
            for action in [Action::Select, Action::Insert, Action::Update, Action::Delete] {
                table[action.name()] = json!(self.policies(caller, &name, action));
            }
            told.push(table);
        }
        json!(told)
    }

    fn policies(&self, caller: &Caller, table: &str, action: Action) -> Vec<&str> {
        self.access.policies_for(table, action, caller.role).map(|policy| policy.name.as_str()).collect()
    }

    /// The table and the action for which there is no policy, if that is why.
    fn closed(&self, caller: &Caller, sql: &str) -> Option<Json> {
        let is_closed = |table: &str, action: Action| self.policies(caller, table, action).is_empty();
        let aim = translate::aim(sql).filter(|(action, table)| is_closed(table, *action));
        let (action, table) = aim.or_else(|| {
            let named = tokens(sql).map(|token| named(&token));
            let mut unseen =
                named.filter(|name| self.access.schema.get(name).is_some() && is_closed(name, Action::Select));
            unseen.next().map(|name| (Action::Select, name))
        })?;
        Some(json!({ "table": table, "action": action.name(), "policies": [] }))
    }
}

/// Runs a statement, and notes which rows it changes itself.
fn watched(
    sqlite: &mut Sqlite,
    capture: &Capture,
    sql: &str,
    params: &Params,
    limits: &Limits,
    played: &mut Played,
) -> Result<()> {
    capture.watch();
    let ran = read(sqlite, sql, params, limits, played);
    let touched = capture.take_watched();
    ran?;
    played.touched = touched.ok_or_else(|| Error::too_large("The statement changes more rows than a caller's may."))?;
    Ok(())
}

fn read(sqlite: &mut Sqlite, sql: &str, params: &Params, limits: &Limits, played: &mut Played) -> Result<()> {
    let Some(mut statement) = sqlite.prepare(sql, Mode::Caller)? else {
        return Err(Error::invalid(execute::EMPTY_SQL));
    };
    statement.bind(params)?;
    while statement.step()? {
        played.count += 1;
        if played.count > limits.result_rows_max {
            return Err(Error::too_large(format!("The result has more than {} rows.", limits.result_rows_max)));
        }
        if played.count <= ROWS_SHOWN {
            let row = (0..statement.column_count()).map(|column| shown(statement.column(column)));
            played.rows.push(row.collect());
        }
    }
    played.columns = (0..statement.column_count()).map(|column| statement.column_name(column)).collect();
    Ok(())
}

/// A value as answers have it.
fn shown(value: ValueRef<'_>) -> Json {
    let mut out = Vec::new();
    json::write_value(&mut out, value);
    serde_json::from_slice(&out).unwrap_or(Json::Null)
}

/// Whose check refused which row.
fn because(sqlite: &Sqlite, access: &Access, caller: &Caller, judgement: &Judgement, touched: &Touched) -> Json {
    let action = match touched.change {
        Change::Made(_) => Action::Insert,
        Change::Changed { .. } => Action::Update,
        Change::Gone { .. } => Action::Delete,
    };
    let table = &touched.table.name;
    let policies: Vec<&str> =
        access.policies_for(table, action, caller.role).map(|policy| policy.name.as_str()).collect();
    let row = match &touched.change {
        Change::Made(key) | Change::Changed { key, .. } => row(sqlite, judgement, key),
        Change::Gone { .. } => None,
    };
    json!({ "table": table, "action": action.name(), "policies": policies, "row": row })
}

/// The row as the statement would leave it.
fn row(sqlite: &Sqlite, judgement: &Judgement, key: &[Value]) -> Option<Json> {
    let sql = format!("SELECT * FROM main.{} WHERE {}", quoted(&judgement.table.name), judgement.table.condition);
    let read = |row: &rusqlite::Row<'_>| {
        let columns = row.as_ref().column_names();
        let columns = columns.enumerate().map(|(index, name)| Ok((name.to_owned(), shown(row.get_ref(index)?))));
        Ok(Json::Object(columns.collect::<rusqlite::Result<Map<String, Json>>>()?))
    };
    sqlite.row(&sql, key, read).ok().flatten()
}
