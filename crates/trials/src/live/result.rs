//! A live result as a client keeps it, and the rules by which deltas change it.

use super::frames::{self, Part};
use serde_json::value::RawValue;
use std::collections::{HashMap, HashSet};
use std::rc::Rc;

#[derive(Clone, Debug, Default)]
pub struct LiveResult {
    pub is_ordered: bool,
    /// Values by key.
    rows: HashMap<Rc<str>, String>,
    /// Keys in their order, of an ordered result.
    order: Vec<Rc<str>>,
}

impl LiveResult {
    pub fn new(is_ordered: bool) -> Self {
        Self { is_ordered, ..Self::default() }
    }

    pub fn rows(&self) -> &HashMap<Rc<str>, String> {
        &self.rows
    }

    /// All rows: in their order, or sorted if they have none.
    pub fn shown(&self) -> Vec<&str> {
        if self.is_ordered {
            return self.order.iter().map(|key| &*self.rows[key]).collect();
        }
        let mut shown: Vec<&str> = self.rows.values().map(String::as_str).collect();
        shown.sort_unstable();
        shown
    }

    /// Rows of a first, or further, `rows` frame.
    pub fn append(&mut self, rows: &[Vec<&RawValue>]) -> Result<(), String> {
        for row in rows {
            let key = self.insert(row)?;
            if self.is_ordered {
                self.order.push(key);
            }
        }
        Ok(())
    }

    fn insert(&mut self, row: &[&RawValue]) -> Result<Rc<str>, String> {
        let (key, values) = frames::row(row)?;
        let key: Rc<str> = key.into();
        match self.rows.insert(Rc::clone(&key), values) {
            None => Ok(key),
            Some(_) => Err(format!("the key {key:?} is inserted but was there already")),
        }
    }

    /// Takes out deleted and placed rows, updates in place, puts each placed row at its index.
    pub fn apply(&mut self, delta: &Part<'_>) -> Result<(), String> {
        if delta.delete.is_empty() && delta.insert.is_empty() && delta.update.is_empty() && delta.place.is_empty() {
            return Err("a delta is empty".into());
        }
        if !self.is_ordered && !delta.place.is_empty() {
            return Err("a result without an order has places".into());
        }
        for key in &delta.delete {
            if self.rows.remove(&**key).is_none() {
                return Err(format!("the key {key:?} is deleted but was not there"));
            }
        }
        let mut updated = HashSet::new();
        for row in &delta.update {
            let (key, values) = frames::row(row)?;
            let Some(known) = self.rows.get_mut(&*key) else {
                return Err(format!("the key {key:?} is updated but was not there"));
            };
            *known = values;
            if !updated.insert(key.clone()) {
                return Err(format!("the key {key:?} is updated twice"));
            }
        }
        let mut inserted = Vec::new();
        for row in &delta.insert {
            let key = self.insert(row)?;
            if updated.contains(&*key) || delta.delete.iter().any(|deleted| **deleted == *key) {
                return Err(format!("the key {key:?} is inserted and something else at a time"));
            }
            inserted.push(key);
        }
        if self.is_ordered { self.place(delta, &inserted) } else { Ok(()) }
    }

    fn place(&mut self, delta: &Part<'_>, inserted: &[Rc<str>]) -> Result<(), String> {
        let mut out: HashSet<&str> = delta.delete.iter().map(String::as_str).collect();
        let mut placed: HashSet<&str> = HashSet::new();
        let mut least = 0;
        for (key, index) in &delta.place {
            if !self.rows.contains_key(&**key) {
                return Err(format!("the key {key:?} is placed but is not there"));
            }
            if *index < least {
                return Err(format!("the places do not ascend: {:?}", delta.place));
            }
            if !placed.insert(key) {
                return Err(format!("the key {key:?} is placed twice"));
            }
            least = index + 1;
        }
        if let Some(lost) = inserted.iter().find(|key| !placed.contains(&***key)) {
            return Err(format!("the key {lost:?} is inserted but has no place"));
        }
        out.extend(placed);
        self.order.retain(|key| !out.contains(&**key));
        for (key, index) in &delta.place {
            if *index > self.order.len() {
                return Err(format!("the place {index} of {key:?} is past the end"));
            }
            let (key, _) = self.rows.get_key_value(&**key).expect("looked up above");
            self.order.insert(*index, Rc::clone(key));
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn result(rows: &str) -> LiveResult {
        let rows: Vec<Vec<&RawValue>> = serde_json::from_str(rows).unwrap();
        let mut result = LiveResult::new(true);
        result.append(&rows).unwrap();
        result
    }

    #[test]
    fn a_delta_is_applied_as_the_contract_says() {
        let mut result = result(r#"[["a",1],["b",2],["c",3],["d",4]]"#);
        let delta = r#"{"id":1,"delete":["b"],"insert":[["e",5]],"update":[["c",30]],"place":[["d",0],["e",3]]}"#;
        result.apply(&serde_json::from_str(delta).unwrap()).unwrap();
        assert_eq!(result.shown(), ["4", "1", "30", "5"]);
    }

    #[test]
    fn what_breaks_the_rules_is_noticed() {
        for delta in [
            r#"{"id":1}"#,
            r#"{"id":1,"delete":["z"]}"#,
            r#"{"id":1,"update":[["z",1]]}"#,
            r#"{"id":1,"insert":[["a",1]],"place":[["a",0]]}"#,
            r#"{"id":1,"insert":[["e",5]]}"#,
            r#"{"id":1,"place":[["b",1],["a",0]]}"#,
            r#"{"id":1,"place":[["a",2]]}"#,
            r#"{"id":1,"place":[["z",0]]}"#,
        ] {
            let mut result = result(r#"[["a",1],["b",2]]"#);
            assert!(result.apply(&serde_json::from_str(delta).unwrap()).is_err(), "{delta}");
        }
    }
}
