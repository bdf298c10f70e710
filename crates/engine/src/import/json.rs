//! JSON records: an array of objects, an object a line, or `{"data": [ … ], "columnMapping"?: { … }}` as StarbaseDB has it. One record is
//! in memory at a time.

use crate::error::{Error, Result};
use crate::value::Value;
use serde::de::{Deserialize, DeserializeSeed, Deserializer, Error as _, IgnoredAny, MapAccess, SeqAccess, Visitor};
use serde_json::value::RawValue;
use std::collections::HashMap;
use std::fmt;
use std::io::{BufRead as _, BufReader, Read};

/// How the records stand in the file.
#[derive(Debug, PartialEq, Eq)]
pub enum Shape {
    Array,
    Lines,
    /// Under `data`, with new names for some columns.
    Wrapped(HashMap<String, String>),
}

/// Gets each record; an error of its own ends the reading.
pub type Each<'a> = &'a mut dyn FnMut(Record) -> Result<()>;

/// Looks at the first value of the file; the mapping may stand behind all records.
///
/// # Errors
/// `invalid` if it is no JSON.
pub fn shape(from: impl Read) -> Result<Shape> {
    let mut from = BufReader::with_capacity(64 << 10, from);
    if first_byte(&mut from)? != Some(b'{') {
        return Ok(Shape::Array);
    }
    let outer = Outer::deserialize(&mut serde_json::Deserializer::from_reader(from)).map_err(invalid)?;
    Ok(if outer.holds_records { Shape::Wrapped(outer.mapping) } else { Shape::Lines })
}

/// Gives all records.
///
/// # Errors
/// `invalid` for what is no such JSON, or for an object that has a name twice; what `each` says.
pub fn read(from: impl Read, shape: &Shape, each: Each<'_>) -> Result<()> {
    let mut from = BufReader::with_capacity(64 << 10, from);
    first_byte(&mut from)?;
    let mut stream = serde_json::Deserializer::from_reader(from);
    let mut failed = None;
    let read = match shape {
        Shape::Array => Records { each, failed: &mut failed }.deserialize(&mut stream).and_then(|()| stream.end()),
        Shape::Wrapped(_) => Under { each, failed: &mut failed }.deserialize(&mut stream).and_then(|()| stream.end()),
        Shape::Lines => {
            return stream.into_iter::<Record>().try_for_each(|record| each(record.map_err(invalid)?));
        }
    };
    match failed {
        Some(error) => Err(error),
        None => read.map_err(invalid),
    }
}

/// StarbaseDB's words, and why.
fn invalid(error: serde_json::Error) -> Error {
    Error::invalid(format!("Invalid JSON format. {error}."))
}

/// The first byte that is no blank, nor of a byte order mark.
fn first_byte(from: &mut BufReader<impl Read>) -> Result<Option<u8>> {
    loop {
        let read = from.fill_buf();
        let read =
            read.map_err(|error| Error::invalid(format!("The JSON cannot be read: {error}.")).caused_by(error))?;
        let blanks = read.iter().take_while(|byte| byte.is_ascii_whitespace()).count();
        let passed_over = if read.starts_with(b"\xef\xbb\xbf") { 3 } else { blanks };
        if passed_over == 0 {
            return Ok(read.first().copied());
        }
        from.consume(passed_over);
    }
}

/// What an object is that stands first in the file.
struct Outer {
    /// It has nothing but `data`, an array, and perhaps the mapping.
    holds_records: bool,
    mapping: HashMap<String, String>,
}

impl<'de> Deserialize<'de> for Outer {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Look;
        impl<'de> Visitor<'de> for Look {
            type Value = Outer;
            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an object")
            }
            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Outer, A::Error> {
                let (mut has_array, mut has_others, mut mapping) = (false, false, HashMap::new());
                while let Some(name) = map.next_key::<String>()? {
                    match name.as_str() {
                        "data" => has_array = map.next_value::<IsArray>()?.0,
                        "columnMapping" => mapping = map.next_value::<Option<_>>()?.unwrap_or_default(),
                        _ => {
                            map.next_value::<IgnoredAny>()?;
                            has_others = true;
                        }
                    }
                }
                Ok(Outer { holds_records: has_array && !has_others, mapping })
            }
        }
        deserializer.deserialize_map(Look)
    }
}

/// Is the value an array? What it holds is passed over.
struct IsArray(bool);

impl<'de> Deserialize<'de> for IsArray {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Look;
        impl<'de> Visitor<'de> for Look {
            type Value = IsArray;
            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("any value")
            }
            fn visit_seq<A: SeqAccess<'de>>(self, mut elements: A) -> Result<IsArray, A::Error> {
                while elements.next_element::<IgnoredAny>()?.is_some() {}
                Ok(IsArray(true))
            }
            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<IsArray, A::Error> {
                while map.next_entry::<IgnoredAny, IgnoredAny>()?.is_some() {}
                Ok(IsArray(false))
            }
            fn visit_bool<E>(self, _: bool) -> Result<IsArray, E> {
                Ok(IsArray(false))
            }
            fn visit_i64<E>(self, _: i64) -> Result<IsArray, E> {
                Ok(IsArray(false))
            }
            fn visit_u64<E>(self, _: u64) -> Result<IsArray, E> {
                Ok(IsArray(false))
            }
            fn visit_f64<E>(self, _: f64) -> Result<IsArray, E> {
                Ok(IsArray(false))
            }
            fn visit_str<E>(self, _: &str) -> Result<IsArray, E> {
                Ok(IsArray(false))
            }
            fn visit_unit<E>(self) -> Result<IsArray, E> {
                Ok(IsArray(false))
            }
        }
        deserializer.deserialize_any(Look)
    }
}

/// The elements of an array, each a record.
struct Records<'a, 'b> {
    each: Each<'a>,
    failed: &'b mut Option<Error>,
}

impl<'de> DeserializeSeed<'de> for Records<'_, '_> {
    type Value = ();

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<(), D::Error> {
        deserializer.deserialize_seq(self)
    }
}

impl<'de> Visitor<'de> for Records<'_, '_> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an array of objects")
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut elements: A) -> Result<(), A::Error> {
        while let Some(record) = elements.next_element()? {
            if let Err(error) = (self.each)(record) {
                *self.failed = Some(error);
                return Err(A::Error::custom("given up"));
            }
        }
        Ok(())
    }
}

/// The records under `data`.
struct Under<'a, 'b> {
    each: Each<'a>,
    failed: &'b mut Option<Error>,
}

impl<'de> DeserializeSeed<'de> for Under<'_, '_> {
    type Value = ();

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<(), D::Error> {
        deserializer.deserialize_map(self)
    }
}

impl<'de> Visitor<'de> for Under<'_, '_> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an object with \"data\"")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<(), A::Error> {
        while let Some(name) = map.next_key::<String>()? {
            if name == "data" {
                map.next_value_seed(Records { each: &mut *self.each, failed: &mut *self.failed })?;
            } else {
                map.next_value::<IgnoredAny>()?;
            }
        }
        Ok(())
    }
}

/// Column and value, in the order they stand.
#[derive(Debug)]
pub struct Record(pub Vec<(String, Value)>);

impl<'de> Deserialize<'de> for Record {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Look;
        impl<'de> Visitor<'de> for Look {
            type Value = Record;
            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an object with a value for each column")
            }
            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Record, A::Error> {
                let mut record = Vec::<(String, Value)>::new();
                while let Some(name) = map.next_key::<String>()? {
                    if record.iter().any(|(known, _)| *known == name) {
                        return Err(A::Error::custom(format_args!("the name {name:?} stands twice in one object")));
                    }
                    let value = map.next_value::<Cell>()?.0;
                    record.push((name, value));
                }
                Ok(Record(record))
            }
        }
        deserializer.deserialize_map(Look)
    }
}

/// A value as parameters have it; arrays and objects are kept as the JSON that they are, to the letter.
struct Cell(Value);

impl<'de> Deserialize<'de> for Cell {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let raw = Box::<RawValue>::deserialize(deserializer)?;
        let json = raw.get();
        match (json.as_bytes().first(), serde_json::from_str(json)) {
            (_, Ok(value)) => Ok(Self(value)),
            (Some(b'[' | b'{'), Err(_)) => Ok(Self(Value::text(json))),
            (_, Err(error)) => Err(D::Error::custom(error)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn all(text: &str) -> Result<Vec<String>> {
        let mut found = Vec::new();
        let shape = shape(text.as_bytes())?;
        read(text.as_bytes(), &shape, &mut |record| {
            found.push(record.0.iter().map(|(name, value)| format!("{name}={value:?}")).collect::<Vec<_>>().join(" "));
            Ok(())
        })?;
        Ok(found)
    }

    #[test]
    fn records_come_in_three_shapes() {
        let expected = ["a=Integer(1)", "a=Null"];
        for text in [
            r#"[{"a":1},{"a":null}]"#,
            "{\"a\":1}\n{\"a\":null}\n",
            "\u{feff} {\"a\":1} {\"a\":null}",
            r#"{"data":[{"a":1},{"a":null}],"columnMapping":{"x":"a"}}"#,
            r#"{"columnMapping":null,"data":[{"a":1},{"a":null}]}"#,
        ] {
            assert_eq!(all(text).unwrap(), expected, "{text}");
        }
        let wrapped = shape(br#"{"data":[1],"columnMapping":{"x":"a"}}"#.as_slice()).unwrap();
        assert_eq!(wrapped, Shape::Wrapped([("x".to_owned(), "a".to_owned())].into()));
        // A table may have a column of that name.
        assert_eq!(all(r#"{"id":1,"data":[1]}"#).unwrap(), ["id=Integer(1) data=Text([91, 49, 93])"]);
        // JSON stays as it is written: the order of names, and names that stand twice.
        let odd = r#"{"z": 1, "a":[ 1.50 ],"z":2}"#;
        assert_eq!(all(&format!("[{{\"a\":{odd}}}]")).unwrap(), [format!("a={:?}", Value::text(odd))]);
        assert!(all("").unwrap_err().message.contains("Invalid JSON format"));
        assert!(all("[]").unwrap().is_empty());
    }

    #[test]
    fn what_is_no_record_is_told() {
        for (text, words) in [
            (r#"[{"a":1,"a":2}]"#, "stands twice in one object"),
            ("[1]", "an object with a value for each column"),
            (r#"[{"a":1}"#, "EOF"),
            (r#"[{"a":1}] x"#, "trailing characters"),
            (r#"[{"a":18446744073709551615}]"#, "does not fit into 64 bits"),
            ("nonsense", "Invalid JSON format"),
        ] {
            let error = all(text).unwrap_err();
            assert!(error.message.contains(words), "{text}: {}", error.message);
        }
    }
}
