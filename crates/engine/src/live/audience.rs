//! An audience: which of many callers see a row. The policies are asked once for all of them, by SQLite, with a column of
//! answers where each would ask `auth_uid()` of its one caller.
//!
//! The statement has nothing of the callers' own in it: what they select is read as one of those who see the row, through
//! the views of policies ([`crate::access`]), and is the same for all who select it with the same values. So a row that a
//! thousand may see costs two runs, not a thousand.

use crate::access::asked::{Asked, replaced};
use crate::access::sight::any_of;
use crate::access::{Caller, Policy};
use crate::error::Result;
use crate::sqlite::exclude::quoted;
use crate::sqlite::gate::Mode;
use crate::sqlite::schema::Table;
use crate::sqlite::{Sqlite, clock};
use crate::value::Value;
use rusqlite::types::ToSqlOutput;
use std::sync::Arc;
use std::time::Duration;

/// What one caller answers, in the order of the questions.
pub type Answers = Arc<[Value]>;

/// The question of a template.
#[derive(Debug)]
pub struct Audience {
    /// Gives the numbers of those who see the row. `?1` is how many are asked, behind it stands the row's key.
    sql: String,
    asked: Vec<Asked>,
}

impl Audience {
    /// Of the policies that let rows of the table be seen. `None` if it cannot be told what they ask, or if not all show the
    /// same columns.
    pub fn of(table: &Table, policies: &[&Policy]) -> Option<Self> {
        let first = policies.first()?;
        if policies.iter().any(|policy| policy.columns != first.columns) {
            return None;
        }
        let mut asked: Vec<Asked> = Vec::new();
        let mut conditions = Vec::new();
        for policy in policies {
            let (condition, _) = replaced(policy.using.as_deref()?, |question| {
                let known = asked.iter().position(|known| known == question);
                let number = known.unwrap_or_else(|| {
                    asked.push(question.clone());
                    asked.len() - 1
                });
                format!("_tide_answer(_tide_one, {number})")
            })?;
            conditions.push(format!("({condition}\n)"));
        }
        let name = quoted(&table.name);
        let key =
            |(number, &column): (usize, &usize)| format!("{name}.{} IS ?{number}", quoted(&table.columns[column].name));
        let key: Vec<String> = (2..).zip(&table.key).map(key).collect();
        let sql = format!(
            "WITH RECURSIVE _tide_all(_tide_one) AS \
             (VALUES (0) UNION ALL SELECT _tide_one + 1 FROM _tide_all WHERE _tide_one + 1 < ?1) \
             SELECT _tide_one FROM main.{name} CROSS JOIN _tide_all WHERE {} AND {}",
            key.join(" AND "),
            any_of(conditions.into_iter())
        );
        Some(Self { sql, asked })
    }

    pub fn answers(&self, caller: &Caller) -> Answers {
        self.asked.iter().map(|asked| asked.value(caller)).collect()
    }

    /// Who of them sees the row of this key, in the connection's open snapshot. `None` if that depends on the clock.
    ///
    /// # Errors
    /// `timeout`, or SQLite's own: what would fail for one caller fails here for all.
    pub fn who_sees(
        &self,
        sqlite: &mut Sqlite,
        callers: &[Answers],
        key: &[Value],
        time: Duration,
    ) -> Result<Option<Vec<bool>>> {
        let mut sees = vec![false; callers.len()];
        sqlite.answering_for(callers, |sqlite| {
            sqlite.bounded(time, None, Mode::System, |sqlite| {
                clock::was_read();
                let mut statement = sqlite.own.prepare_cached(&self.sql)?;
                let count = [ToSqlOutput::from(callers.len() as i64)];
                let key = key.iter().map(|value| ToSqlOutput::Borrowed(value.as_ref()));
                let mut rows = statement.query(rusqlite::params_from_iter(count.into_iter().chain(key)))?;
                while let Some(row) = rows.next()? {
                    if let Some(sees) = sees.get_mut(row.get::<_, u32>(0)? as usize) {
                        *sees = true;
                    }
                }
                Ok(())
            })
        })?;
        Ok((!clock::was_read()).then_some(sees))
    }
}
