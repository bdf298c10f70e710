//! The frames of the live face, read as a client written from the contract alone would read them.

use super::cells;
use serde::Deserialize;
use serde::de::{MapAccess, Visitor};
use serde_json::value::RawValue;
use std::borrow::Cow;
use std::fmt;

#[derive(Debug, Deserialize)]
pub struct Frame<'a> {
    #[serde(rename = "type", borrow)]
    pub kind: Cow<'a, str>,
    #[serde(borrow)]
    pub id: Option<&'a RawValue>,
    /// Of several queries of which nothing has changed.
    #[serde(borrow, default)]
    pub ids: Vec<&'a RawValue>,
    pub revision: Option<i64>,
    pub from: Option<i64>,
    pub to: Option<i64>,
    #[serde(borrow)]
    pub tag: Option<Cow<'a, str>>,
    pub columns: Option<Vec<String>>,
    pub ordered: Option<bool>,
    #[serde(borrow, default)]
    pub rows: Vec<Vec<&'a RawValue>>,
    pub done: Option<bool>,
    #[serde(borrow, default)]
    pub queries: Vec<Part<'a>>,
    #[serde(borrow, default)]
    pub changes: Vec<ChangeFrame<'a>>,
    pub last: Option<bool>,
    #[serde(borrow)]
    pub error: Option<Cow<'a, str>>,
    #[serde(borrow)]
    pub history: Option<Cow<'a, str>>,
}

/// One query's part of a delta.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Part<'a> {
    #[serde(borrow)]
    pub id: &'a RawValue,
    pub since: Option<i64>,
    #[serde(default)]
    pub delete: Vec<String>,
    #[serde(borrow, default)]
    pub insert: Vec<Vec<&'a RawValue>>,
    #[serde(borrow, default)]
    pub update: Vec<Vec<&'a RawValue>>,
    #[serde(default)]
    pub place: Vec<(String, usize)>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ChangeFrame<'a> {
    #[serde(borrow)]
    pub table: Cow<'a, str>,
    #[serde(borrow)]
    pub op: Cow<'a, str>,
    #[serde(borrow)]
    pub key: Pairs<'a>,
    #[serde(borrow)]
    pub old: Option<Pairs<'a>>,
    #[serde(borrow)]
    pub new: Option<Pairs<'a>>,
}

/// A JSON object whose order counts.
#[derive(Debug)]
pub struct Pairs<'a>(pub Vec<(Cow<'a, str>, &'a RawValue)>);

impl<'a> Pairs<'a> {
    pub fn get(&self, name: &str) -> Option<&'a RawValue> {
        self.0.iter().find(|(found, _)| found == name).map(|(_, value)| *value)
    }
}

struct PairsVisitor;

impl<'de> Visitor<'de> for PairsVisitor {
    type Value = Pairs<'de>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an object")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
        #[derive(Deserialize)]
        struct Name<'a>(#[serde(borrow)] Cow<'a, str>);
        let mut pairs = Vec::new();
        while let Some((Name(name), value)) = map.next_entry()? {
            pairs.push((name, value));
        }
        Ok(Pairs(pairs))
    }
}

impl<'de: 'a, 'a> Deserialize<'de> for Pairs<'a> {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_map(PairsVisitor)
    }
}

/// A row's key and its values as comparable text.
///
/// # Errors
/// If it is no row.
pub fn row(elements: &[&RawValue]) -> Result<(String, String), String> {
    let Some((key, values)) = elements.split_first() else { return Err("a row without a key".into()) };
    let key = serde_json::from_str(key.get()).map_err(|_| format!("the key {key} is no string"))?;
    let mut text = String::new();
    for (index, value) in values.iter().enumerate() {
        if index > 0 {
            text.push_str(", ");
        }
        cells::push_json(&mut text, value.get())?;
    }
    Ok((key, text))
}
