//! One live query as a subscriber keeps it: rows by key, in their order if they have one.

use super::violation;
use anyhow::{Context as _, Result};
use serde_json::Value;
use std::collections::BTreeMap;

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum Stage {
    #[default]
    Waiting,
    /// Some chunks of its rows have come.
    Filling,
    /// It stands where its socket stands.
    Ready,
}

#[derive(Clone, Debug, Default)]
pub struct Listing {
    tag: String,
    stage: Stage,
    is_ordered: bool,
    rows: BTreeMap<String, Vec<Value>>,
    order: Vec<String>,
}

impl Listing {
    pub fn rows(&self) -> impl Iterator<Item = &[Value]> {
        self.rows.values().map(Vec::as_slice)
    }

    /// As text: in their order, or sorted.
    pub fn shown(&self) -> Vec<String> {
        let text = |row: &Vec<Value>| Value::from(row.clone()).to_string();
        if self.is_ordered {
            return self.order.iter().filter_map(|key| self.rows.get(key)).map(text).collect();
        }
        let mut shown: Vec<String> = self.rows.values().map(text).collect();
        shown.sort_unstable();
        shown
    }

    pub fn is_ready(&self) -> bool {
        self.stage == Stage::Ready
    }

    /// It must be confirmed before it counts again. Gives the tag with which to ask, if there is something to confirm.
    pub fn wait(&mut self) -> Option<String> {
        (std::mem::take(&mut self.stage) == Stage::Ready).then(|| self.tag.clone())
    }

    /// What it was when it was last ready is what it is now, or the base of the delta that comes.
    pub fn confirm(&mut self) {
        self.stage = Stage::Ready;
    }

    pub fn take_rows(&mut self, frame: &Value) -> Result<()> {
        match self.stage {
            Stage::Ready => return Err(violation!("rows that nobody waits for")),
            Stage::Filling => {}
            Stage::Waiting => {
                frame["tag"].as_str().context("rows without a tag")?.clone_into(&mut self.tag);
                self.is_ordered = frame["ordered"].as_bool().context("rows without \"ordered\"")?;
                self.rows.clear();
                self.order.clear();
            }
        }
        for row in list(frame, "rows") {
            let key = self.insert(row)?;
            self.order.push(key);
        }
        let is_done = frame["done"].as_bool().context("rows without \"done\"")?;
        self.stage = if is_done { Stage::Ready } else { Stage::Filling };
        Ok(())
    }

    /// Takes out what is deleted or placed, updates in place, puts what is placed at its index.
    pub fn take_delta(&mut self, delta: &Value) -> Result<()> {
        if !self.is_ready() {
            return Err(violation!("a delta for rows that have not come"));
        }
        for key in list(delta, "delete") {
            self.rows.remove(text(key)?).ok_or_else(|| violation!("the key {key} is deleted but is not there"))?;
        }
        for row in list(delta, "update") {
            let (key, values) = split(row)?;
            *self.rows.get_mut(key).ok_or_else(|| violation!("the key {key} is updated but is not there"))? = values;
        }
        for row in list(delta, "insert") {
            self.insert(row)?;
        }
        if !self.is_ordered {
            return Ok(());
        }
        let places: Vec<(&str, usize)> = list(delta, "place").iter().map(place).collect::<Result<_>>()?;
        self.order.retain(|key| self.rows.contains_key(key) && !places.iter().any(|(placed, _)| placed == key));
        for (key, index) in places {
            if index > self.order.len() {
                return Err(violation!("the key {key} is placed at {index}, past the end"));
            }
            self.order.insert(index, key.to_owned());
        }
        Ok(())
    }

    fn insert(&mut self, row: &Value) -> Result<String> {
        let (key, values) = split(row)?;
        match self.rows.insert(key.to_owned(), values) {
            None => Ok(key.to_owned()),
            Some(_) => Err(violation!("the key {key} is inserted but is there already")),
        }
    }
}

/// A list that is left out is empty.
fn list<'a>(frame: &'a Value, name: &str) -> &'a [Value] {
    frame[name].as_array().map_or(&[], Vec::as_slice)
}

fn text(value: &Value) -> Result<&str> {
    value.as_str().context("a key that is no string")
}

fn split(row: &Value) -> Result<(&str, Vec<Value>)> {
    let (key, values) = row.as_array().and_then(|row| row.split_first()).context("a row without a key")?;
    Ok((text(key)?, values.to_vec()))
}

fn place(place: &Value) -> Result<(&str, usize)> {
    let index = place[1].as_u64().context("a place without an index")?;
    Ok((text(&place[0])?, index as usize))
}

#[cfg(test)]
mod tests {
    use super::super::violation::Violation;
    use super::*;
    use serde_json::json;

    fn listing() -> Listing {
        let mut listing = Listing::default();
        let rows = json!({"tag": "t", "ordered": true, "rows": [["a", 1], ["b", 2], ["c", 3]], "done": true});
        listing.take_rows(&rows).unwrap();
        listing
    }

    #[test]
    fn a_delta_is_applied_as_the_contract_says() {
        let mut listing = listing();
        let delta =
            json!({"delete": ["b"], "insert": [["d", 4]], "update": [["a", 10]], "place": [["c", 0], ["d", 2]]});
        listing.take_delta(&delta).unwrap();
        assert_eq!(listing.shown(), ["[3]", "[10]", "[4]"]);
    }

    #[test]
    fn a_delta_that_does_not_fit_is_a_violation() {
        for delta in [json!({"delete": ["x"]}), json!({"update": [["x", 1]]}), json!({"insert": [["a", 1]]})] {
            let error = listing().take_delta(&delta).unwrap_err();
            assert!(error.downcast_ref::<Violation>().is_some(), "{error}");
        }
    }
}
