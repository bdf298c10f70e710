//! Values of the engine's own tables, as this program wrote them.

use tidebase_engine::Value;

pub fn text(value: &Value) -> Option<String> {
    match value {
        Value::Text(bytes) => String::from_utf8(bytes.to_vec()).ok(),
        _ => None,
    }
}

pub fn number(value: &Value) -> Option<i64> {
    if let Value::Integer(number) = value { Some(*number) } else { None }
}

pub fn blob(value: &Value) -> Option<&[u8]> {
    if let Value::Blob(bytes) = value { Some(bytes) } else { None }
}

/// NULL for none.
pub fn or_null(text: Option<&str>) -> Value {
    text.map_or(Value::Null, Value::text)
}
