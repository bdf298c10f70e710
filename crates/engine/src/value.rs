//! SQL values outside SQLite, and how JSON becomes them.
//!
//! The other direction, from columns straight into a JSON buffer, is [`crate::json`].

use base64::{Engine as _, engine::general_purpose::STANDARD as BASE64};
use serde::de::{self, Deserialize, Deserializer, MapAccess, Visitor};
use std::fmt;

/// A value as SQLite stores it. Text keeps its bytes: a file made elsewhere may hold text that is not UTF-8.
#[derive(Clone, Debug, Default, PartialEq)]
pub enum Value {
    #[default]
    Null,
    Integer(i64),
    Real(f64),
    Text(Box<[u8]>),
    Blob(Box<[u8]>),
}

impl Value {
    pub fn text(text: impl AsRef<[u8]>) -> Self {
        Self::Text(text.as_ref().into())
    }

    /// Bytes this value occupies in a change set or a cache, roughly.
    pub fn size(&self) -> usize {
        match self {
            Self::Null => 1,
            Self::Integer(_) | Self::Real(_) => 9,
            Self::Text(bytes) | Self::Blob(bytes) => 9 + bytes.len(),
        }
    }

    /// Equal as stored: same type, same bits. SQL's `1 = 1.0` is not this.
    pub fn same(&self, other: &Self) -> bool {
        match (self, other) {
            (Self::Real(a), Self::Real(b)) => a.to_bits() == b.to_bits(),
            _ => self == other,
        }
    }

    pub fn as_ref(&self) -> ValueRef<'_> {
        match self {
            Self::Null => ValueRef::Null,
            Self::Integer(value) => ValueRef::Integer(*value),
            Self::Real(value) => ValueRef::Real(*value),
            Self::Text(bytes) => ValueRef::Text(bytes),
            Self::Blob(bytes) => ValueRef::Blob(bytes),
        }
    }
}

/// A value borrowed from a statement's current row.
pub type ValueRef<'a> = rusqlite::types::ValueRef<'a>;

impl From<ValueRef<'_>> for Value {
    fn from(value: ValueRef<'_>) -> Self {
        match value {
            ValueRef::Null => Self::Null,
            ValueRef::Integer(value) => Self::Integer(value),
            ValueRef::Real(value) => Self::Real(value),
            ValueRef::Text(bytes) => Self::Text(bytes.into()),
            ValueRef::Blob(bytes) => Self::Blob(bytes.into()),
        }
    }
}

/// What is bound to a statement: by position or by name (with or without the `:`, `$` or `@`).
#[derive(Clone, Debug, Default, PartialEq)]
pub enum Params {
    #[default]
    None,
    Positional(Vec<Value>),
    Named(Vec<(String, Value)>),
}

impl From<Vec<Value>> for Params {
    fn from(values: Vec<Value>) -> Self {
        Self::Positional(values)
    }
}

struct ValueVisitor;

impl<'de> Visitor<'de> for ValueVisitor {
    type Value = Value;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("null, a boolean, a number, a string or {\"$blob\": \"<base64>\"}")
    }
    fn visit_unit<E>(self) -> Result<Value, E> {
        Ok(Value::Null)
    }
    fn visit_none<E>(self) -> Result<Value, E> {
        Ok(Value::Null)
    }
    fn visit_bool<E>(self, value: bool) -> Result<Value, E> {
        Ok(Value::Integer(value.into()))
    }
    fn visit_i64<E>(self, value: i64) -> Result<Value, E> {
        Ok(Value::Integer(value))
    }
    fn visit_u64<E: de::Error>(self, value: u64) -> Result<Value, E> {
        i64::try_from(value)
            .map(Value::Integer)
            .map_err(|_| E::custom(format_args!("the integer {value} does not fit into 64 bits; send it as a string")))
    }
    fn visit_f64<E: de::Error>(self, value: f64) -> Result<Value, E> {
        // An integer of 2^64 and more arrives as a float, as in JavaScript.
        if value.is_finite() { Ok(Value::Real(value)) } else { Err(E::custom("the number does not fit")) }
    }
    fn visit_str<E>(self, value: &str) -> Result<Value, E> {
        Ok(Value::text(value))
    }
    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Value, A::Error> {
        const HINT: &str = "an object can only be {\"$blob\": \"<base64>\"}; to store JSON, bind it as a string";
        let Some((name, data)) = map.next_entry::<String, String>().map_err(|_| de::Error::custom(HINT))? else {
            return Err(de::Error::custom(HINT));
        };
        if name != "$blob" || map.next_key::<String>()?.is_some() {
            return Err(de::Error::custom(HINT));
        }
        let bytes = BASE64.decode(data).map_err(|_| de::Error::custom("$blob is not base64"))?;
        Ok(Value::Blob(bytes.into()))
    }
    fn visit_seq<A: de::SeqAccess<'de>>(self, _: A) -> Result<Value, A::Error> {
        Err(de::Error::custom("an array cannot be bound; bind its JSON text as a string"))
    }
}

impl<'de> Deserialize<'de> for Value {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(ValueVisitor)
    }
}

/// Anything but an array or an object gives this text: StarbaseDB's clients compare it.
pub const INVALID_PARAMS: &str = "Invalid \"params\" field. Must be an array or object.";

struct ParamsVisitor;

impl<'de> Visitor<'de> for ParamsVisitor {
    type Value = Params;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an array or object")
    }
    fn visit_unit<E>(self) -> Result<Params, E> {
        Ok(Params::None)
    }
    fn visit_none<E>(self) -> Result<Params, E> {
        Ok(Params::None)
    }
    fn visit_seq<A: de::SeqAccess<'de>>(self, mut seq: A) -> Result<Params, A::Error> {
        let mut values = Vec::with_capacity(seq.size_hint().unwrap_or(4).min(64));
        while let Some(value) = seq.next_element()? {
            values.push(value);
        }
        Ok(Params::Positional(values))
    }
    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Params, A::Error> {
        let mut values: Vec<(String, Value)> = Vec::new();
        while let Some((name, value)) = map.next_entry()? {
            values.push((name, value));
        }
        Ok(Params::Named(values))
    }
}

impl<'de> Deserialize<'de> for Params {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(ParamsVisitor)
    }
}
