//! What a database that came back from a crash is asked, whoever serves it: is it sound, is everything there that was
//! promised, is what is sent again done once?

use super::account::Survivor;
use super::ledger::{Ledger, Promises};
use super::operation::{Outcome, Planned};
use super::state::{Found, WRITERS};
use super::tally::Tally;
use super::violation;
use anyhow::{Context as _, Result};
use std::path::Path;
use std::sync::{Mutex, MutexGuard, PoisonError};

/// How a database stands after it was examined.
pub struct Aftermath {
    pub found: Found,
    pub survivors: Vec<Survivor>,
    /// What was sent again, with its answers.
    pub again: Vec<(Planned, Outcome)>,
}

pub fn lock(ledger: &Mutex<Ledger>) -> MutexGuard<'_, Ledger> {
    ledger.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Examines a database that has been opened by a server to whom `send` talks. `None` if it did not get as far as tables.
pub async fn examine(
    database: &Path,
    ledger: &Mutex<Ledger>,
    promises: &Promises,
    tally: &mut Tally,
    mut send: impl AsyncFnMut(&Planned) -> Result<Outcome>,
) -> Result<Option<Aftermath>> {
    let Some(found) = Found::read(database)? else {
        return if promises.is_ready { Err(violation!("the tables are gone")) } else { Ok(None) };
    };
    if !promises.is_ready {
        return Ok(None);
    }
    let mut survivors = lock(ledger).survivors(&found, promises)?;
    let mut again = Vec::new();
    for survivor in &mut survivors {
        for (planned, known) in &survivor.repeats {
            let outcome = send(planned).await?;
            is_repetition(planned, *known, outcome)
                .with_context(|| format!("sent again, though it was there (answered {known:?} before the crash)"))?;
            again.push((planned.clone(), outcome));
            tally.repeats += 1;
        }
        if let Some(planned) = &survivor.retry {
            let outcome = send(planned).await?;
            planned.expects(outcome).context("sent again, for it was not there")?;
            let is_new = !outcome.is_repeated && outcome.revision.is_none_or(|revision| revision > promises.revision);
            if planned.operation.changes_rows() && !is_new {
                return Err(violation!(
                    "{planned:?}, which was not there, was answered {outcome:?} when it was sent again"
                ));
            }
            planned.apply(&mut survivor.state);
            again.push((planned.clone(), outcome));
            tally.retries += 1;
        }
    }
    let found = Found::read(database)?.context("the tables are gone")?;
    for (writer, survivor) in survivors.iter().enumerate() {
        if survivor.state != found.states[writer] {
            let difference = survivor.state.difference(&found.states[writer]);
            return Err(violation!(
                "sent again, and not done exactly once: writer {writer} has {difference} (again: {:?}, {:?})",
                survivor.repeats,
                survivor.retry
            ));
        }
    }
    tally.acked += promises.writers.iter().map(|promise| promise.acked).sum::<usize>();
    tally.extra += survivors.iter().map(|survivor| survivor.extra).sum::<usize>();
    debug_assert_eq!(survivors.len(), WRITERS, "one for each writer");
    Ok(Some(Aftermath { found, survivors, again }))
}

fn is_repetition(planned: &Planned, known: Option<Outcome>, outcome: Outcome) -> Result<()> {
    planned.expects(outcome)?;
    // Refusals are kept, or come again: either way the same.
    let is_same = known.is_none_or(|known| known.revision == outcome.revision);
    if planned.operation.is_refused() || outcome.is_repeated && is_same {
        return Ok(());
    }
    Err(violation!(
        "{planned:?}, which was there, was answered {outcome:?} when it was sent again, and {known:?} before"
    ))
}
