//! The judgement: does everybody who reads show what is true now?

use super::client::{Client, State};
use super::oracle::Expected;
use super::run::{Failure, Run, Unnoticed, broken};
use crate::traps::{Hits, Trap};
use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::rc::Rc;
use std::time::Duration;

/// A result with more rows may be past a limit of live queries, by its rows or by its bytes: it is not judged.
const ROWS_MAX: usize = 20_000;

/// The result of each query; none if it cannot be run.
type Truth = BTreeMap<usize, Option<Rc<Expected>>>;

/// What a trial has done.
#[derive(Clone, Debug, Default)]
pub struct Stats {
    /// Requests sent, outside writes included.
    pub commits: u64,
    /// Judgements passed.
    pub judgements: u64,
    /// Live results compared with the query run anew.
    pub results: u64,
    /// Images kept from change streams, compared with all rows.
    pub images: u64,
    /// Worlds that ended early because SQLite itself had left an index unlike its table.
    pub broken_indexes: u64,
    pub hits: Hits,
}

impl Stats {
    pub fn add(&mut self, other: &Self) {
        self.commits += other.commits;
        self.judgements += other.judgements;
        self.results += other.results;
        self.images += other.images;
        self.broken_indexes += other.broken_indexes;
        self.hits.add(&other.hits);
    }
}

/// How long a write of another program is waited for that there may not have been; the engine looks far more often.
const DOUBT_PATIENCE: Duration = Duration::from_millis(400);

impl Run<'_> {
    /// Brings everybody who reads to the newest revision and compares.
    pub async fn judge(&mut self) -> Result<(), Failure> {
        if let Some(Unnoticed { since, is_certain }) = self.unnoticed.take() {
            let patience = if is_certain { self.patience } else { DOUBT_PATIENCE.min(self.patience) };
            if self.engine.wait_for(since + 1, patience).await.is_err() && is_certain {
                return Err(Failure::from("a write by another program was not noticed".to_owned()));
            }
        }
        let revision = self.engine.revision();
        for (client, away) in self.clients.iter().zip(&self.away) {
            if !away && !client.subscriptions.is_empty() {
                self.engine.answered(&client.session, revision);
            }
        }
        // While the lanes are at work.
        self.oracle.begin().map_err(broken)?;
        let expected = self.ask_oracle()?;
        for (client, away) in self.clients.iter_mut().zip(&self.away) {
            if !away {
                client.read_until(self.patience, |client| client.is_settled(revision)).await?;
            }
        }
        self.judge_ended(&expected)?;
        self.judge_results(&expected)?;
        let streams = self.judge_streams(revision).await;
        self.oracle.end().map_err(broken)?;
        streams?;
        self.stats.judgements += 1;
        Ok(())
    }

    /// Every query that somebody holds, run now. Where nobody has written since it last was, it is not run again.
    fn ask_oracle(&mut self) -> Result<Truth, Failure> {
        let held: BTreeSet<usize> = self.clients.iter().flat_map(Client::lives).map(|live| live.held.query).collect();
        let version = self.oracle.data_version().map_err(broken)?;
        let mut truth = Truth::new();
        for query in held {
            let known = self.last[query].take();
            let now = match &known {
                Some((at, expected)) if *at == version => expected.clone(),
                _ => self.oracle.run(&self.world.queries[query]).ok().map(Rc::new),
            };
            if now.as_ref().is_some_and(|now| now.rows.len() > ROWS_MAX) {
                self.doubts[query] += 1;
                continue;
            }
            self.doubts[query] += u64::from(now.is_none());
            // Only a result that changed has put its query's traps to the test.
            if known.is_some_and(|(_, before)| before != now) {
                self.stats.hits.note_all(self.world.queries[query].traps);
            }
            self.last[query] = Some((version, now.clone()));
            truth.insert(query, now);
        }
        Ok(truth)
    }

    /// A live query may end only if it could not be run, and must end then.
    fn judge_ended(&mut self, expected: &Truth) -> Result<(), Failure> {
        for (client, away) in self.clients.iter_mut().zip(&self.away) {
            for ended in std::mem::take(&mut client.ended) {
                if self.doubts[ended.held.query] <= ended.doubts {
                    let what = format!("a live query was ended that can be run: {}", ended.error);
                    return Err(Failure { query: Some(ended.held.query), ..Failure::from(what) });
                }
                self.stats.hits.note(Trap::QueryFailed);
            }
            if let Some((_, Some(error))) =
                client.refusals.iter().find(|(_, error)| error.as_ref().is_some_and(String::is_empty))
            {
                return Err(Failure::from(format!("a refusal without a reason: {error:?}")));
            }
            client.refusals.retain(|_, error| error.is_none());
            let cannot_run = |query: &usize| expected.get(query).is_some_and(Option::is_none);
            if !away && let Some(live) = client.lives().find(|live| cannot_run(&live.held.query)) {
                let failure = Failure::from("a live query goes on that cannot be run".to_owned());
                return Err(Failure { query: Some(live.held.query), ..failure });
            }
        }
        Ok(())
    }

    fn judge_results(&mut self, expected: &Truth) -> Result<(), Failure> {
        // Keys are a function of the result alone, so everyone must have the same.
        let mut keys: HashMap<usize, &HashMap<Rc<str>, String>> = HashMap::new();
        for (client, _) in self.clients.iter().zip(&self.away).filter(|(_, away)| !**away) {
            for live in client.lives().filter(|live| live.state == State::Ready) {
                let query = live.held.query;
                let Some(Some(expected)) = expected.get(&query) else { continue };
                let fail = |what: &str, got: Vec<String>| {
                    Err(Failure {
                        query: Some(query),
                        what: what.into(),
                        expected: expected.rows.clone(),
                        got,
                        event: 0,
                    })
                };
                let got = live.result.shown();
                if !is_same(&got, &expected.rows) {
                    return fail(
                        "a live result is not what the query gives now",
                        got.into_iter().map(Into::into).collect(),
                    );
                }
                if live.result.is_ordered != self.world.queries[query].order.is_some() {
                    return fail("\"ordered\" is not what the query says", vec![]);
                }
                if !live.columns.is_empty() && live.columns != expected.columns {
                    return fail("the columns are not those of the query", live.columns.clone());
                }
                let rows = live.result.rows();
                if *keys.entry(query).or_insert(rows) != rows {
                    let got = rows.iter().map(|(key, row)| format!("{key}: {row}")).collect();
                    return fail("two clients know the same rows by different keys", got);
                }
                self.stats.results += 1;
            }
        }
        Ok(())
    }

    /// Changes come after the `at` of their revision, so they are waited for; what is wrong stays wrong.
    async fn judge_streams(&mut self, revision: i64) -> Result<(), Failure> {
        for (client, _) in self.clients.iter_mut().zip(&self.away).filter(|(_, away)| !**away) {
            let tables: BTreeSet<Option<String>> = client.listeners().map(|listener| listener.table.clone()).collect();
            for table in tables {
                let truth = self.oracle.image(table.as_deref()).map_err(broken)?;
                let is_true = |client: &mut Client| {
                    let mut ours = client.listeners().filter(|listener| listener.table == table);
                    ours.all(|listener| {
                        if listener.must_read {
                            listener.read_again(truth.clone(), revision);
                        }
                        listener.has_begun && listener.image.difference(&truth).is_none()
                    })
                };
                let read = client.read_until(self.patience, is_true).await;
                let difference = client
                    .listeners()
                    .filter(|listener| listener.table == table)
                    .find_map(|listener| listener.image.difference(&truth));
                if let Err(error) = read {
                    let what = format!(
                        "the changes told of {} do not lead to what is stored: {error}",
                        table.as_deref().unwrap_or("all tables")
                    );
                    let (expected, got) = difference.unwrap_or_default();
                    return Err(Failure { what, expected, got, ..Failure::default() });
                }
                self.stats.images += 1;
            }
        }
        Ok(())
    }
}

/// Rows that differ only in 1 or 1.0 tie in every collation, so their order stays open: which comes first is the plan's.
pub fn is_same(got: &[&str], expected: &[String]) -> bool {
    if got == expected {
        return true;
    }
    let (mut one, mut other): (Vec<&str>, Vec<&str>) = (got.to_vec(), expected.iter().map(String::as_str).collect());
    let is_alike = one.iter().zip(&other).all(|(one, other)| one.replace(".0", "") == other.replace(".0", ""));
    one.sort_unstable();
    other.sort_unstable();
    is_alike && one == other
}
