//! The stream of all changes as a subscriber keeps it: an image of the entries made of nothing but changes, and the
//! head of every writer, which must rise by one with each change told.

use super::ledger::Ledger;
use super::state::{State, WRITERS};
use super::violation;
use anyhow::{Context as _, Result};
use serde_json::Value;
use std::collections::BTreeMap;

#[derive(Clone, Debug, Default)]
pub struct Stream {
    /// Everything up to here was told.
    pub at: i64,
    /// The first frame of this subscription has come.
    pub is_ready: bool,
    /// Of the entries: seq, part and version. `None` while not all changes up to here are known.
    image: Option<Image>,
    /// Changes of the transaction whose frames are still coming.
    pending: Vec<Value>,
}

#[derive(Clone, Debug)]
struct Image {
    entries: BTreeMap<i64, [i64; 3]>,
    heads: Vec<i64>,
}

impl Stream {
    /// Reads again: nothing is being written, and this is how things stand.
    pub fn read_again(&mut self, states: &[State]) {
        self.image.get_or_insert_with(|| Image::of(states));
    }

    /// A subscription begins, from what was told before or anew.
    pub fn begin(&mut self) {
        self.is_ready = false;
        self.pending.clear();
    }

    /// Anything may have changed up to here.
    pub fn resync(&mut self, revision: i64) {
        self.image = None;
        self.is_ready = true;
        self.at = self.at.max(revision);
    }

    pub fn take(&mut self, frame: &Value, ledger: &mut Ledger) -> Result<()> {
        let revision = frame["revision"].as_i64().context("changes without a revision")?;
        let changes = frame["changes"].as_array().context("changes without changes")?;
        if changes.is_empty() {
            // From here on.
            if self.at != revision {
                self.resync(revision);
            }
            self.is_ready = true;
            return Ok(());
        }
        self.is_ready = true;
        self.pending.extend(changes.iter().cloned());
        if frame["last"].as_bool() != Some(true) {
            return Ok(());
        }
        if revision <= self.at {
            return Err(violation!("changes at {revision} were told again, or late: {} was told", self.at));
        }
        self.at = revision;
        for change in std::mem::take(&mut self.pending) {
            match change["table"].as_str() {
                Some("heads") => self.take_head(&change, revision, ledger)?,
                Some("entries") => self.take_entry(&change)?,
                _ => {}
            }
        }
        Ok(())
    }

    fn take_head(&mut self, change: &Value, revision: i64, ledger: &mut Ledger) -> Result<()> {
        let number = |name: &str| change["new"][name].as_i64().context("a head without its columns");
        let (writer, head) = (number("writer")? as usize, number("head")?);
        if change["op"] == "INSERT" {
            return Ok(());
        }
        ledger.told_change(revision, writer, head)?;
        if let Some(image) = &mut self.image {
            let before = std::mem::replace(&mut image.heads[writer], head);
            if head != before + 1 {
                return Err(violation!(
                    "the stream went from head {before} of writer {writer} to {head} at {revision}"
                ));
            }
        }
        Ok(())
    }

    fn take_entry(&mut self, change: &Value) -> Result<()> {
        let Some(image) = &mut self.image else { return Ok(()) };
        let shape = |row: &Value| Some([row["seq"].as_i64()?, row["part"].as_i64()?, row["version"].as_i64()?]);
        let id = change["key"]["id"].as_i64().context("a change of an entry without its key")?;
        let was = match shape(&change["new"]) {
            Some(new) => image.entries.insert(id, new),
            None => image.entries.remove(&id),
        };
        if was != shape(&change["old"]) {
            return Err(violation!("a change of entry {id} does not fit what the stream told before: {change}"));
        }
        Ok(())
    }

    /// Where every writer stands after what was told.
    pub fn heads(&self) -> Option<&[i64]> {
        self.image.as_ref().map(|image| image.heads.as_slice())
    }

    pub fn check(&self, states: &[State]) -> Result<()> {
        let Some(image) = &self.image else { return Ok(()) };
        if image.entries != Image::of(states).entries {
            return Err(violation!("the changes told up to {} do not add up to the entries at that revision", self.at));
        }
        Ok(())
    }
}

impl Image {
    fn of(states: &[State]) -> Self {
        assert_eq!(states.len(), WRITERS, "a state for each writer");
        let entries = states.iter().flat_map(|state| &state.entries);
        Self {
            entries: entries.map(|(id, entry)| (*id, [entry.seq, entry.part, entry.version])).collect(),
            heads: states.iter().map(|state| state.head).collect(),
        }
    }
}
