//! Fields of documents, and what can be written to one besides a value: `{"$increment": 1}` and its like.

use crate::error::{Error, Result};
use serde_json::{Map, Number, Value as Json};
use std::collections::HashSet;
use std::fmt;

/// Parts of one path, and bytes of one part.
const DEPTH_MAX: usize = 20;
const NAME_BYTES_MAX: usize = 256;

/// A field by its names from the outside in: `address.city`. A name with a dot in it stands between backticks.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Field(Vec<Box<str>>);

impl Field {
    /// # Errors
    /// `invalid` for what is no path of names.
    pub fn parse(path: &str) -> Result<Self> {
        let odd = || {
            Error::invalid(format!("{path:?} is no field: names with dots between them, `a.b` for a name with a dot."))
        };
        let mut names = Vec::new();
        let mut rest = path;
        loop {
            let (name, behind) = match rest.strip_prefix('`') {
                Some(quoted) => quoted.split_once('`').ok_or_else(odd)?,
                None => rest.split_at(rest.find('.').unwrap_or(rest.len())),
            };
            // SQLite's JSON paths quote names, and have no way to write a quote in one.
            let is_odd = |letter: char| letter.is_control() || ['"', '\\', '`'].contains(&letter);
            if name.is_empty() || name.len() > NAME_BYTES_MAX || name.contains(is_odd) {
                return Err(odd());
            }
            names.push(name.into());
            match behind.strip_prefix('.') {
                Some(further) => rest = further,
                None if behind.is_empty() => break,
                None => return Err(odd()),
            }
        }
        if names.len() > DEPTH_MAX {
            return Err(Error::invalid(format!("A field may lie {DEPTH_MAX} deep.")));
        }
        Ok(Self(names))
    }

    /// As SQLite's JSON functions name it, within single quotes.
    pub fn json_path(&self) -> String {
        self.0.iter().fold("$".to_owned(), |path, name| format!("{path}.\"{}\"", name.replace('\'', "''")))
    }

    fn remove(&self, document: &mut Map<String, Json>) {
        let (last, way) = self.0.split_last().expect("a field has a name");
        let at = way.iter().try_fold(document, |at, name| at.get_mut(&**name)?.as_object_mut());
        if let Some(at) = at {
            at.remove(&**last);
        }
    }

    /// Sets it in a document, making the objects on the way.
    fn set(&self, document: &mut Map<String, Json>, change: impl FnOnce(Option<&Json>) -> Result<Json>) -> Result<()> {
        let (last, way) = self.0.split_last().expect("a field has a name");
        let mut at = document;
        for name in way {
            let next = at.entry(&**name).or_insert_with(|| Json::Object(Map::new()));
            if !next.is_object() {
                *next = Json::Object(Map::new());
            }
            at = next.as_object_mut().expect("it has just been made one");
        }
        let value = change(at.get(&**last))?;
        at.insert(last.to_string(), value);
        Ok(())
    }
}

impl fmt::Display for Field {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, name) in self.0.iter().enumerate() {
            let dot = if index > 0 { "." } else { "" };
            let quote = if name.contains('.') { "`" } else { "" };
            write!(f, "{dot}{quote}{name}{quote}")?;
        }
        Ok(())
    }
}

/// What a write asks for in the place of a value.
enum Change<'a> {
    Increment(&'a Number),
    ServerTime,
    Union(&'a [Json]),
    Without(&'a [Json]),
    Delete,
}

impl<'a> Change<'a> {
    /// `None` for a value; an object with other names than these, or with several, is one.
    ///
    /// # Errors
    /// `invalid` for one of these names with what it does not take.
    fn of(value: &'a Json) -> Result<Option<Self>> {
        let Some((name, operand)) =
            value.as_object().filter(|object| object.len() == 1).and_then(|object| object.iter().next())
        else {
            return Ok(None);
        };
        let needs = |what: &str| Error::invalid(format!("{name} takes {what}."));
        Ok(Some(match name.as_str() {
            "$increment" => match operand {
                Json::Number(by) => Self::Increment(by),
                _ => return Err(needs("a number")),
            },
            "$arrayUnion" => Self::Union(operand.as_array().ok_or_else(|| needs("an array"))?),
            "$arrayRemove" => Self::Without(operand.as_array().ok_or_else(|| needs("an array"))?),
            "$serverTimestamp" if operand == &Json::Bool(true) => Self::ServerTime,
            "$delete" if operand == &Json::Bool(true) => Self::Delete,
            "$serverTimestamp" | "$delete" => return Err(needs("true")),
            _ => return Ok(None),
        }))
    }

    /// What stands there afterwards.
    fn apply(&self, before: Option<&Json>, now: &str) -> Result<Json> {
        let array = || before.and_then(Json::as_array).map(Vec::as_slice).unwrap_or_default();
        Ok(match self {
            Self::Increment(by) => {
                let before = before.and_then(Json::as_number).cloned().unwrap_or_else(|| 0.into());
                let sum = crate::keys::sum_of(&before, by);
                Json::Number(sum.ok_or_else(|| Error::conflict("Incremented, the field would not fit into a number."))?)
            }
            Self::ServerTime => now.into(),
            Self::Union(items) => {
                let mut known: HashSet<&Json> = array().iter().collect();
                let added = items.iter().filter(|item| known.insert(item));
                array().iter().chain(added).cloned().collect()
            }
            Self::Without(items) => {
                let gone: HashSet<&Json> = items.iter().collect();
                array().iter().filter(|item| !gone.contains(item)).cloned().collect()
            }
            Self::Delete => Json::Null,
        })
    }
}

/// A whole document as it is to be stored: changes anywhere in it are carried out on nothing.
///
/// # Errors
/// `invalid` for a change that is not understood, `conflict` for a sum that is too large.
pub fn whole(data: Map<String, Json>, now: &str) -> Result<Map<String, Json>> {
    let mut stored = Map::new();
    for (name, value) in data {
        if !matches!(Change::of(&value)?, Some(Change::Delete)) {
            stored.insert(name, settled(value, now)?);
        }
    }
    Ok(stored)
}

fn settled(value: Json, now: &str) -> Result<Json> {
    if let Some(change) = Change::of(&value)? {
        return change.apply(None, now);
    }
    Ok(match value {
        Json::Object(object) => Json::Object(whole(object, now)?),
        value => value,
    })
}

/// Puts each field in its place; the others stay. What is set to an object is that object afterwards. Before each it is asked whether
/// there is time: a field has many spellings, and each of them may change the same long array.
///
/// # Errors
/// As [`whole`], and whatever `look` says.
pub fn merge(
    document: &mut Map<String, Json>,
    fields: &[(Field, Json)],
    now: &str,
    look: impl Fn() -> Result<()>,
) -> Result<()> {
    for (field, value) in fields {
        look()?;
        match Change::of(value)? {
            Some(Change::Delete) => field.remove(document),
            Some(change) => field.set(document, |before| change.apply(before, now))?,
            None => {
                let value = settled(value.clone(), now)?;
                field.set(document, |_| Ok(value))?;
            }
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    const NOW: &str = "2026-01-02T03:04:05.678Z";

    fn object(json: Json) -> Map<String, Json> {
        json.as_object().unwrap().clone()
    }

    #[test]
    fn a_merge_changes_the_fields_it_names_and_no_others() {
        for (before, fields, after) in [
            (json!({"a": 1, "b": 2}), json!({"a": 3}), json!({"a": 3, "b": 2})),
            (json!({"a": {"b": 1, "c": 2}}), json!({"a.b": 3}), json!({"a": {"b": 3, "c": 2}})),
            (json!({"a": {"b": 1, "c": 2}}), json!({"a": {"b": 3}}), json!({"a": {"b": 3}})),
            (json!({"a": 5}), json!({"a.b.c": null}), json!({"a": {"b": {"c": null}}})),
            (json!({"n": 1}), json!({"n": {"$increment": 2}, "m": {"$increment": -1.5}}), json!({"n": 3, "m": -1.5})),
            (json!({"n": "x"}), json!({"n": {"$increment": 2}}), json!({"n": 2})),
            (
                json!({"t": [1, {"a": 1}]}),
                json!({"t": {"$arrayUnion": [{"a": 1}, 2, 2]}}),
                json!({"t": [1, {"a": 1}, 2]}),
            ),
            (json!({"t": [1, 2, 1]}), json!({"t": {"$arrayRemove": [1, 9]}}), json!({"t": [2]})),
            (json!({"a": {"b": 1}}), json!({"a.b": {"$delete": true}, "c.d": {"$delete": true}}), json!({"a": {}})),
            (
                json!({}),
                json!({"at": {"$serverTimestamp": true}, "x": {"at": {"$serverTimestamp": true}}}),
                json!({"at": NOW, "x": {"at": NOW}}),
            ),
            (json!({}), json!({"`a.b`.c": 1, "d": {"$other": 1}}), json!({"a.b": {"c": 1}, "d": {"$other": 1}})),
        ] {
            let mut document = object(before);
            let fields: Vec<(Field, Json)> =
                object(fields).into_iter().map(|(name, value)| (Field::parse(&name).unwrap(), value)).collect();
            merge(&mut document, &fields, NOW, || Ok(())).unwrap();
            assert_eq!(Json::Object(document), after);
        }
    }

    #[test]
    fn long_arrays_are_joined_and_parted() {
        let items = |from: u32| (from..from + 200_000).map(|item| json!({"a": [item]})).collect::<Vec<Json>>();
        let mut document = object(json!({"t": items(0)}));
        for (change, length) in [("$arrayUnion", 300_000), ("$arrayRemove", 100_000)] {
            let fields = [(Field::parse("t").unwrap(), json!({change: items(100_000)}))];
            merge(&mut document, &fields, NOW, || Ok(())).unwrap();
            assert_eq!(document["t"].as_array().unwrap().len(), length, "{change}");
        }
    }

    #[test]
    fn time_is_looked_at_between_fields() {
        let looks = std::cell::Cell::new(0);
        let look = || {
            looks.set(looks.get() + 1);
            if looks.get() > 2 { Err(Error::timeout("over")) } else { Ok(()) }
        };
        let fields =
            ["a", "`a`", "a.b", "`a`.b"].map(|path| (Field::parse(path).unwrap(), json!({"$arrayUnion": [1]})));
        assert!(merge(&mut Map::new(), &fields, NOW, look).is_err());
        assert_eq!(looks.get(), 3);
    }

    #[test]
    fn what_is_no_field_or_no_change_is_refused() {
        for path in ["", ".", "a.", ".a", "a..b", "`a", "`a`b", "a\"b", "a\\b", "``", "a.`b`c", &["a"; 21].join(".")] {
            assert!(Field::parse(path).is_err(), "{path}");
        }
        for value in [
            json!({"$increment": "1"}),
            json!({"$arrayUnion": 1}),
            json!({"$delete": false}),
            json!({"$serverTimestamp": 1}),
        ] {
            assert!(whole(object(json!({"a": value})), NOW).is_err(), "{value}");
        }
        let most = json!({"n": {"$increment": 1}});
        let fields = [(Field::parse("n").unwrap(), most["n"].clone())];
        assert!(merge(&mut object(json!({"n": i64::MAX})), &fields, NOW, || Ok(())).is_err());
    }

    #[test]
    fn a_field_is_written_as_it_is_read() {
        for (path, json_path) in [("a", "$.\"a\""), ("a.b c", "$.\"a\".\"b c\""), ("`a.b`.it's", "$.\"a.b\".\"it''s\"")]
        {
            let field = Field::parse(path).unwrap();
            assert_eq!((field.to_string().as_str(), field.json_path().as_str()), (path, json_path));
        }
    }
}
