//! One document and one schema.
//!
//! Schemas refer to nothing outside of themselves: no file is read and nothing is fetched for them. Their patterns run in
//! linear time, for the writer waits.

use crate::error::{Error, Result};
use crate::value::ValueRef;
use jsonschema::{PatternOptions, Retrieve, Uri, Validator};
use serde::de::{Deserialize, Deserializer, Error as _, MapAccess, SeqAccess, Visitor};
use serde_json::{Map, Value as Json};
use std::fmt;

/// Bytes of one compiled pattern.
const PATTERN_BYTES_MAX: usize = 1 << 20;

/// Why a document does not fit, and where in it.
#[derive(Debug)]
pub struct Misfit {
    reason: String,
    /// A JSON pointer; empty for the document itself.
    pub pointer: String,
}

impl fmt::Display for Misfit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let at = if self.pointer.is_empty() { "the document itself" } else { &self.pointer };
        write!(f, "{} ({at})", self.reason)
    }
}

/// Nothing outside of a schema is there for it.
struct Nowhere;

impl Retrieve for Nowhere {
    fn retrieve(&self, uri: &Uri<String>) -> Result<Json, Box<dyn std::error::Error + Send + Sync>> {
        Err(format!("{uri} is outside of the schema, and nothing is fetched").into())
    }
}

/// # Errors
/// `invalid` for what is no JSON Schema.
pub fn validator(text: &str) -> Result<Validator> {
    let schema = parse(text).map_err(|reason| Error::invalid(format!("A JSON Schema is JSON: {reason}.")))?;
    if !schema.is_object() && !schema.is_boolean() {
        return Err(Error::invalid("A JSON Schema is an object, or true or false."));
    }
    jsonschema::options()
        .with_retriever(Nowhere)
        .with_pattern_options(PatternOptions::regex().size_limit(PATTERN_BYTES_MAX))
        .build(&schema)
        .map_err(|error| Error::invalid(format!("This is no JSON Schema that can be used: {error}.")))
}

/// NULL is no document.
pub fn judge(validator: &Validator, value: ValueRef<'_>) -> Result<(), Misfit> {
    let of_itself = |reason: String| Misfit { reason, pointer: String::new() };
    let document = match value {
        ValueRef::Null => return Ok(()),
        // A column declared JSON turns a text that is a number into one.
        ValueRef::Integer(number) => number.into(),
        ValueRef::Real(number) => Json::from(number),
        ValueRef::Text(text) => {
            let text = std::str::from_utf8(text).map_err(|_| of_itself("it is not UTF-8".into()))?;
            parse(text).map_err(of_itself)?
        }
        ValueRef::Blob(_) => return Err(of_itself("a BLOB is no JSON text".into())),
    };
    // The masked words tell no value: a trigger may have written it for somebody who cannot see it.
    validator
        .validate(&document)
        .map_err(|error| Misfit { reason: error.masked().to_string(), pointer: error.instance_path().to_string() })
}

/// JSON in which no name comes twice: SQLite would read the first of them, others the last.
fn parse(text: &str) -> Result<Json, String> {
    let strict: Strict = serde_json::from_str(text).map_err(|error| format!("it is no JSON ({error})"))?;
    Ok(strict.0)
}

struct Strict(Json);

impl<'de> Deserialize<'de> for Strict {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(StrictVisitor).map(Self)
    }
}

struct StrictVisitor;

impl<'de> Visitor<'de> for StrictVisitor {
    type Value = Json;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("JSON")
    }
    fn visit_unit<E>(self) -> Result<Json, E> {
        Ok(Json::Null)
    }
    fn visit_bool<E>(self, value: bool) -> Result<Json, E> {
        Ok(value.into())
    }
    fn visit_i64<E>(self, value: i64) -> Result<Json, E> {
        Ok(value.into())
    }
    fn visit_u64<E>(self, value: u64) -> Result<Json, E> {
        Ok(value.into())
    }
    fn visit_f64<E>(self, value: f64) -> Result<Json, E> {
        Ok(value.into())
    }
    fn visit_str<E>(self, value: &str) -> Result<Json, E> {
        Ok(value.into())
    }
    fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<Json, A::Error> {
        let mut items = Vec::new();
        while let Some(Strict(item)) = seq.next_element()? {
            items.push(item);
        }
        Ok(Json::Array(items))
    }
    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Json, A::Error> {
        let mut members = Map::new();
        while let Some((name, Strict(value))) = map.next_entry::<String, Strict>()? {
            if members.insert(name.clone(), value).is_some() {
                return Err(A::Error::custom(format_args!("the name {name:?} comes twice")));
            }
        }
        Ok(Json::Object(members))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_document_fits_or_it_is_said_where_it_does_not() {
        let schema = r##"{"type": "object", "required": ["a"], "properties": {"a": {"$ref": "#/$defs/n"}, "b": {"pattern": "^x+$"}},
                        "$defs": {"n": {"type": "integer", "maximum": 5}}}"##;
        let validator = validator(schema).unwrap();
        let judged = |text: &str| judge(&validator, ValueRef::Text(text.as_bytes())).map_err(|misfit| misfit.pointer);
        assert_eq!(judged(r#"{"a": 5, "b": "xx"}"#), Ok(()));
        assert_eq!(judged(r#"{"a": 6}"#), Err("/a".into()));
        assert_eq!(judged(r#"{"a": 1, "b": "y"}"#), Err("/b".into()));
        for other in ["{}", "[]", "5", "{", "{'a': 1}", r#"{"a": 1, "a": 9}"#, &"[".repeat(1000)] {
            assert_eq!(judged(other), Err(String::new()), "{other}");
        }
        assert!(judge(&validator, ValueRef::Null).is_ok());
        assert!(judge(&validator, ValueRef::Blob(b"{}")).is_err());
    }

    #[test]
    fn a_schema_reaches_nothing_outside_of_itself() {
        for odd in [
            "5",
            "[]",
            "{",
            r#"{"type": "nothing"}"#,
            r#"{"$ref": "https://example.com/schema.json"}"#,
            r#"{"$ref": "file:///etc/passwd"}"#,
            r#"{"$ref": "other.json"}"#,
            r#"{"pattern": "(?=a)b"}"#,
            r#"{"pattern": "(((a{1000}){1000}){1000})"}"#,
        ] {
            assert!(validator(odd).is_err(), "{odd}");
        }
        assert!(validator("true").is_ok());
        assert!(validator(r#"{"$schema": "http://json-schema.org/draft-07/schema#", "type": "array"}"#).is_ok());
    }
}
