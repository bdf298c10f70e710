//! A value as it is sent, given the type of its column: in the address as text, in a body as JSON.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use serde::Deserialize;
use serde_json::value::RawValue;
use tidebase_engine::tables::{Column, Kind};
use tidebase_engine::{Error, Result, Value};

fn refused(column: &Column, wants: &str) -> Error {
    Error::invalid(format!("The column {} wants {wants}.", column.name)).of_column(&*column.name)
}

/// Finite, and written as SQL and JSON write numbers: no `inf`, no `NaN`.
fn number(text: &str) -> Option<Value> {
    if let Ok(integer) = text.parse() {
        return Some(Value::Integer(integer));
    }
    let is_plain = text.bytes().all(|byte| byte.is_ascii_digit() || b"+-.eE".contains(&byte));
    let real: f64 = text.parse().ok().filter(|_| is_plain)?;
    real.is_finite().then_some(Value::Real(real))
}

/// A whole number, however it is written.
fn whole(value: &Value) -> Option<Value> {
    const TWO_TO_63: f64 = 9_223_372_036_854_775_808.0;
    match *value {
        Value::Integer(_) => Some(value.clone()),
        Value::Real(real) if real.fract() == 0.0 && (-TWO_TO_63..TWO_TO_63).contains(&real) => {
            Some(Value::Integer(real as i64))
        }
        _ => None,
    }
}

/// A value of a filter or of a key. Numbers that no column could hold stay comparable.
pub fn from_text(column: &Column, text: &str) -> Result<Value> {
    let as_text = || Value::text(text);
    match column.kind {
        Kind::Integer | Kind::Real => number(text).ok_or_else(|| refused(column, "a number")),
        Kind::Boolean => match text {
            "true" => Ok(Value::Integer(1)),
            "false" => Ok(Value::Integer(0)),
            _ => number(text).ok_or_else(|| refused(column, "true or false")),
        },
        Kind::Numeric | Kind::Any => Ok(number(text).unwrap_or_else(as_text)),
        Kind::Text | Kind::Json => Ok(as_text()),
        Kind::Blob => blob(column, text),
    }
}

fn blob(column: &Column, text: &str) -> Result<Value> {
    let bytes = BASE64.decode(text).map_err(|_| refused(column, "base64"))?;
    Ok(Value::Blob(bytes.into()))
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Blob {
    #[serde(rename = "$blob")]
    blob: String,
}

/// A value that is to be stored.
pub fn from_json(column: &Column, json: &RawValue) -> Result<Value> {
    let text = json.get();
    let first = text.as_bytes().first().copied().unwrap_or_default();
    if first == b'n' {
        return Ok(Value::Null);
    }
    if column.kind == Kind::Json {
        // Read whole, so that what is nested too deeply for SQLite never gets there.
        serde_json::from_str::<serde_json::Value>(text)
            .map_err(|_| refused(column, "JSON that is nested less deeply"))?;
        return Ok(Value::text(text));
    }
    match first {
        b't' | b'f' => from_bool(column, first == b't'),
        b'"' => from_string(column, text),
        b'[' => Err(refused(column, "no array: it is not declared to hold JSON")),
        b'{' => match serde_json::from_str::<Blob>(text) {
            Ok(Blob { blob: data }) if matches!(column.kind, Kind::Blob | Kind::Any) => blob(column, &data),
            _ => Err(refused(column, "no object: it is not declared to hold JSON")),
        },
        _ => from_number(column, text),
    }
}

fn from_bool(column: &Column, value: bool) -> Result<Value> {
    match column.kind {
        Kind::Blob => Err(refused(column, "base64")),
        Kind::Text => Err(refused(column, "a text")),
        _ => Ok(Value::Integer(value.into())),
    }
}

fn from_string(column: &Column, json: &str) -> Result<Value> {
    let text: String = serde_json::from_str(json).map_err(|_| refused(column, "a text that is Unicode"))?;
    match column.kind {
        Kind::Blob => blob(column, &text),
        Kind::Integer => {
            number(&text).as_ref().and_then(whole).ok_or_else(|| refused(column, "a whole number of 64 bits"))
        }
        Kind::Real => number(&text).ok_or_else(|| refused(column, "a number")),
        Kind::Boolean => Err(refused(column, "true or false")),
        Kind::Text | Kind::Json | Kind::Numeric | Kind::Any => Ok(Value::text(text)),
    }
}

fn from_number(column: &Column, text: &str) -> Result<Value> {
    let is_integer = text.bytes().all(|byte| byte.is_ascii_digit() || byte == b'-');
    let value = number(text).ok_or_else(|| refused(column, "a number that fits"))?;
    match column.kind {
        Kind::Blob => Err(refused(column, "base64")),
        Kind::Text => Ok(Value::text(text)),
        Kind::Integer => whole(&value)
            .filter(|_| !is_integer || matches!(value, Value::Integer(_)))
            .ok_or_else(|| refused(column, "a whole number of 64 bits")),
        Kind::Real => Ok(value),
        // As a float it would no longer be the number that was sent.
        _ if is_integer && !matches!(value, Value::Integer(_)) => {
            Err(refused(column, "integers of 64 bits at most; send a longer one as a text"))
        }
        _ => Ok(value),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use tidebase_engine::tables::Open;

    fn column(kind: Kind) -> Column {
        Column {
            name: "c".into(),
            declared: "".into(),
            kind,
            is_not_null: false,
            default: None,
            is_generated: false,
            schema: None,
            is_rowid: false,
            open: Open::EVERYTHING,
        }
    }

    fn json(kind: Kind, json: &str) -> Option<Value> {
        let raw: &RawValue = serde_json::from_str(json).unwrap();
        from_json(&column(kind), raw).ok()
    }

    #[test]
    fn json_becomes_what_the_column_is_declared_to_hold() {
        use Kind as K;
        for (kind, given, expected) in [
            (K::Integer, "9223372036854775807", Some(Value::Integer(i64::MAX))),
            (K::Integer, "\"-9223372036854775808\"", Some(Value::Integer(i64::MIN))),
            (K::Integer, "9223372036854775808", None),
            (K::Integer, "1e3", Some(Value::Integer(1000))),
            (K::Integer, "1.5", None),
            (K::Integer, "\"abc\"", None),
            (K::Integer, "true", Some(Value::Integer(1))),
            (K::Integer, "{}", None),
            (K::Real, "\"0.5\"", Some(Value::Real(0.5))),
            (K::Real, "\"NaN\"", None),
            (K::Real, "\"infinity\"", None),
            (K::Text, "5", Some(Value::text("5"))),
            (K::Text, "[]", None),
            (K::Text, "{\"$blob\":\"AA==\"}", None),
            (K::Text, "\"a\\u0000b\"", Some(Value::text("a\0b"))),
            (K::Blob, "\"AAE=\"", Some(Value::Blob([0, 1].into()))),
            (K::Blob, "{\"$blob\":\"AAE=\"}", Some(Value::Blob([0, 1].into()))),
            (K::Blob, "\"no base64\"", None),
            (K::Json, "{\"a\": [1]}", Some(Value::text("{\"a\": [1]}"))),
            (K::Json, "\"a\"", Some(Value::text("\"a\""))),
            (K::Any, "18446744073709551616", None),
            (K::Any, "{}", None),
            (K::Boolean, "true", Some(Value::Integer(1))),
            (K::Boolean, "\"yes\"", None),
            (K::Numeric, "\"2026-01-01\"", Some(Value::text("2026-01-01"))),
            (K::Numeric, "null", Some(Value::Null)),
        ] {
            assert_eq!(json(kind, given), expected, "{kind:?} {given}");
        }
        assert_eq!(json(Kind::Json, &"[".repeat(200).chars().chain("]".repeat(200).chars()).collect::<String>()), None);
    }

    #[test]
    fn text_of_an_address_is_compared_as_the_column_is() {
        for (kind, given, expected) in [
            (Kind::Integer, "5", Some(Value::Integer(5))),
            (Kind::Integer, "1.5", Some(Value::Real(1.5))),
            (Kind::Integer, "99999999999999999999", Some(Value::Real(1e20))),
            (Kind::Integer, "1e999", None),
            (Kind::Integer, "", None),
            (Kind::Text, "5", Some(Value::text("5"))),
            (Kind::Any, "5", Some(Value::Integer(5))),
            (Kind::Any, "inf", Some(Value::text("inf"))),
            (Kind::Boolean, "false", Some(Value::Integer(0))),
        ] {
            assert_eq!(from_text(&column(kind), given).ok(), expected, "{kind:?} {given}");
        }
    }
}
