//! What a caller's write does: what plain SQLite does on the rows that it may change, reading those that it sees.

use super::Stats;
use super::answers::read;
use super::draft;
use super::mirror::{Attempt, Contents, Mirror, Order, contents};
use super::rules::Rules;
use super::twin::Twin;
use super::write::{Deed, Write};
use crate::random::Random;
use crate::world::schema::Schema;
use anyhow::{Context as _, Result, bail};
use rusqlite::Connection;
use tidebase_engine::access::Action;
use tidebase_engine::sqlite::exclude::unquoted;
use tidebase_engine::{Code, Engine, Format, Principal, SqlRequest};

/// Rows of a table past which a world ends: INSERT … SELECT could go on for ever.
const ROWS_MAX: usize = 60;

/// One caller's trial.
pub struct Trial<'w> {
    pub engine: &'w Engine,
    pub plain: &'w Connection,
    pub schema: &'w Schema,
    pub rules: &'w Rules,
    pub caller: &'w Principal,
    pub has_triggers: bool,
    pub twin: Option<&'w Twin>,
}

/// What must come of a write.
enum Due {
    /// Before anything is run, in these words.
    Refused(String),
    /// The rows of RETURNING, and the tables afterwards.
    Done(Vec<String>, Contents),
    /// It fails; in these words, if they are known.
    Failed(Option<String>),
    /// SQL leaves it open.
    Open,
}

impl Trial<'_> {
    pub async fn run(
        &self,
        random: &mut Random,
        mirror: &mut Mirror<'_>,
        writes: usize,
        stats: &mut Stats,
    ) -> Result<()> {
        mirror.follow(self.plain)?;
        for _ in 0..writes {
            if mirror.contents()?.iter().any(|rows| rows.len() > ROWS_MAX) {
                return Ok(());
            }
            let Some(write) = draft::random(random, self.schema, self.rules) else { return Ok(()) };
            let sql = write.sql(self.schema);
            let tried = self.one(mirror, &write, &sql, stats).await;
            tried.with_context(|| format!("{sql} {:?}", write.params))?;
        }
        Ok(())
    }

    async fn one(&self, mirror: &mut Mirror<'_>, write: &Write, sql: &str, stats: &mut Stats) -> Result<()> {
        stats.statements += 1;
        stats.writes += 1;
        let before = mirror.contents()?;
        let due = self.due(mirror, write)?;
        let may_fail = write.is_armed && mirror.fails_on_seen_rows(write);
        let closed = self.closed_rows(mirror, write)?;
        let request = SqlRequest {
            principal: self.caller.clone(),
            format: Format::Raw,
            ..SqlRequest::query(sql, write.params.clone())
        };
        if let Some(twin) = self.twin {
            twin.follow(self.schema, self.rules)?;
        }
        let got = self.engine.query(request).await;
        if let Some(twin) = self.twin.filter(|_| !matches!(due, Due::Open)) {
            stats.twins += u64::from(twin.compare(self.caller, write, sql, &got).await?);
        }
        let after = contents(self.plain, self.schema)?;
        let got = match got {
            Ok(answer) => Ok(read(&answer.body)?),
            Err(error) if error.code == Code::Internal => bail!("the engine says: {error:?}"),
            Err(error) => Err(error.message),
        };
        if got.is_err() && after != before {
            bail!("it failed and changed rows: {got:?}\n{}", difference(self.schema, &before, &after));
        }
        match (&due, &got) {
            (Due::Refused(words), Err(message)) if is_refusal(words, message) => stats.refused += 1,
            (Due::Refused(words), _) => bail!("expected the refusal {words:?}, got {got:?}"),
            (Due::Done(..), Err(_)) if may_fail => stats.failed += 1,
            (Due::Done(rows, whole), Ok(told)) => {
                if rows != told {
                    bail!("it gave back {told:#?}, expected {rows:#?}");
                }
                if *whole != after {
                    bail!("the tables differ (-expected, +found)\n{}", difference(self.schema, whole, &after));
                }
                stats.changed += u64::from(before != after);
                stats.with_rows += u64::from(!told.is_empty());
            }
            // What plain SQLite keeps: the engine does not, for JSON has no number for it.
            (Due::Done(..), Err(message)) if message.starts_with("An infinite number") => stats.failed += 1,
            (Due::Done(..), Err(message)) => bail!("it failed: {message}"),
            (Due::Failed(Some(words)), Err(message)) if words != message && !may_fail => {
                bail!("expected the error {words:?}, got {message:?}");
            }
            (Due::Failed(words), Err(_)) => {
                stats.failed += 1;
                stats.judged += u64::from(words.as_ref().is_some_and(|words| words.starts_with("No policy")));
            }
            (Due::Failed(words), Ok(_)) => {
                bail!("expected an error {words:?}; it did\n{}", difference(self.schema, &before, &after));
            }
            (Due::Open, _) => stats.open += 1,
        }
        stats.armed += u64::from(write.is_armed);
        if got.is_ok() {
            self.look_at_closed(write, &closed, &before, &after)?;
            mirror.follow(self.plain)?;
        }
        Ok(())
    }

    fn due(&self, mirror: &Mirror<'_>, write: &Write) -> Result<Due> {
        if let Some(words) = self.refusal(write) {
            return Ok(Due::Refused(words));
        }
        let first = mirror.attempt(write, Order::AtOnce)?;
        if first.is_open {
            return Ok(Due::Open);
        }
        let has_order = matches!(write.deed, Deed::Insert { is_ordered: true, .. });
        // Of several rows that are in each other's way one may be written, and the others left out.
        let leaves_out = write.how.contains("IGNORE") || matches!(write.deed, Deed::Insert { conflict: Some(_), .. });
        if has_order || first.told.is_ok() && first.touched < 2 && !leaves_out {
            return Ok(match first.told {
                Ok(rows) => Due::Done(rows, first.contents),
                Err(words) => Due::Failed(Some(words)),
            });
        }
        let others = match write.deed {
            Deed::Insert { .. } => vec![Order::Backward],
            _ => vec![Order::Forward, Order::Backward],
        };
        for order in others {
            let other = mirror.attempt(write, order)?;
            if !is_same(&first, &other) {
                return Ok(Due::Open);
            }
        }
        Ok(match first.told {
            Ok(rows) => Due::Done(rows, first.contents),
            // Which of several rows is the first to be refused is open.
            Err(_) => Due::Failed(None),
        })
    }

    /// What is refused whatever the rows are.
    fn refusal(&self, write: &Write) -> Option<String> {
        let table = &self.schema.tables[write.table];
        let name = unquoted(&table.name);
        let closed = |name: &str| format!("There is no table {name} that is open to you.");
        let refused = |action: Action| {
            if self.rules.knows(table, action) {
                return format!("No policy lets the role user {} this in {name}.", action.name());
            }
            closed(&name)
        };
        if let Deed::Insert { columns, .. } = &write.deed
            && self.rules.check(table, Action::Insert, columns.as_deref()).is_none()
        {
            return Some(refused(Action::Insert));
        }
        let sets = write.set_columns();
        if (write.action() == Action::Update || !sets.is_empty())
            && self.rules.using(table, Action::Update, &sets).is_none()
        {
            return Some(refused(Action::Update));
        }
        if write.action() == Action::Delete && self.rules.using(table, Action::Delete, &[]).is_none() {
            return Some(refused(Action::Delete));
        }
        write.closed.as_deref().map(closed)
    }

    /// The rows of the table that must stay what they are.
    fn closed_rows(&self, mirror: &Mirror<'_>, write: &Write) -> Result<Vec<String>> {
        let table = &self.schema.tables[write.table];
        Ok(mirror.rows(table, &format!("NOT coalesce({}, false)", mirror.may_change(write)))?)
    }

    /// Needs no prediction: but for triggers and cascades, which have rights of their own, nothing that is closed changes.
    fn look_at_closed(&self, write: &Write, closed: &[String], before: &Contents, after: &Contents) -> Result<()> {
        let is_parent = |table: usize| {
            let columns = self.schema.tables.iter().flat_map(|child| &child.columns);
            columns.into_iter().any(|column| column.parent == Some(table))
        };
        if self.has_triggers || is_parent(write.table) {
            return Ok(());
        }
        for (number, table) in self.schema.tables.iter().enumerate() {
            if number != write.table && before[number] != after[number] {
                bail!("it changed {}\n{}", table.name, difference(self.schema, before, after));
            }
        }
        let mut left = after[write.table].iter().peekable();
        for row in closed {
            while left.next_if(|found| *found < row).is_some() {}
            if left.next_if(|found| *found == row).is_none() {
                bail!("the row {row} is closed, and gone\n{}", difference(self.schema, before, after));
            }
        }
        Ok(())
    }
}

/// What is closed may be told to be a table, or the key of one.
fn is_refusal(words: &str, message: &str) -> bool {
    words == message || words.starts_with("There is no") && message.starts_with("No policy lets you see ")
}

fn is_same(one: &Attempt, other: &Attempt) -> bool {
    match (&one.told, &other.told) {
        (Ok(one_told), Ok(other_told)) => one_told == other_told && one.contents == other.contents,
        (Err(_), Err(_)) => true,
        _ => false,
    }
}

/// For people.
fn difference(schema: &Schema, one: &Contents, other: &Contents) -> String {
    let mut told = String::new();
    for (number, table) in schema.tables.iter().enumerate() {
        let only = |these: &Contents, those: &Contents, mark: &str| -> String {
            let rows = these[number].iter().filter(|row| !those[number].contains(row));
            rows.map(|row| format!("  {mark} {row}\n")).collect()
        };
        let (gone, come) = (only(one, other, "-"), only(other, one, "+"));
        if one[number] != other[number] {
            told.push_str(&format!("{}:\n{gone}{come}", table.name));
        }
    }
    told
}
