//! JSON records: an array of objects, an object a line, or `{"data": [ … ], "columnMapping"?: { … }}` as StarbaseDB has it. One record is
//! in memory at a time. One that is wrong alone is told alone, and reading goes on behind it where that can be known.

use super::values::{Values, invalid};
use crate::error::Result;
use crate::value::Value;
use serde::de::{Deserialize, Deserializer, Error as _, MapAccess, Visitor};
use serde_json::value::RawValue;
use std::collections::HashMap;
use std::fmt;

/// Of one record: no table has more columns.
const NAMES_MAX: usize = super::COLUMNS_MAX;

/// How the records stand in the file.
#[derive(Debug, PartialEq, Eq)]
pub enum Shape {
    Array,
    Lines,
    /// Under `data`, with new names for some columns.
    Wrapped(HashMap<String, String>),
}

/// Gets each record, or what is wrong with it; an error of its own ends the reading.
pub type Each<'a> = &'a mut dyn FnMut(Result<Record>) -> Result<()>;

/// Looks at how the file begins; at all of it where that may be the form of StarbaseDB, whose mapping may stand behind all records. An
/// object with something behind it is the first of many.
pub fn shape(values: &mut Values<'_>, is_by_line: bool) -> Result<Shape> {
    match values.peek()? {
        Some(b'{') if is_by_line => Ok(Shape::Lines),
        Some(b'{') => {
            let (mut has_records, mut has_others, mut mapping) = (false, false, HashMap::new());
            let walked = members(values, |name, values| {
                match name.as_str() {
                    "data" if values.takes(b'[')? => {
                        has_records = matches!(values.peek()?, Some(b'{' | b']'));
                        elements(values, |values| {
                            values.skip()?;
                            Ok(())
                        })?;
                    }
                    "columnMapping" => {
                        let line = values.line();
                        let given: Option<_> = parsed(values.value()?, line)?;
                        mapping = given.unwrap_or_default();
                    }
                    _ => {
                        values.skip()?;
                        has_others = true;
                    }
                }
                Ok(())
            });
            let is_all = walked.is_err() || values.peek()?.is_none();
            // What is wrong with it is told where it is read.
            Ok(if has_records && !has_others && is_all { Shape::Wrapped(mapping) } else { Shape::Lines })
        }
        Some(_) => Ok(Shape::Array),
        None => Err(invalid("It is empty.", 1)),
    }
}

/// Gives all records. What cannot be read on from is the last that is given.
///
/// # Errors
/// What `each` says.
pub fn read(values: &mut Values<'_>, shape: &Shape, each: Each<'_>) -> Result<()> {
    let mut is_of_each = false;
    let mut give = |record: Result<Record>| {
        let given = each(record);
        is_of_each |= given.is_err();
        given
    };
    let mut record = |values: &mut Values<'_>| {
        let line = values.line();
        let read = values.value()?;
        give(parsed(read, line))
    };
    let done = match shape {
        Shape::Array if values.takes(b'[')? => elements(values, record).and_then(|()| end(values)),
        Shape::Array => Err(invalid("An array of objects is expected, or an object a line.", values.line())),
        Shape::Wrapped(_) => members(values, |name, values| match name.as_str() {
            "data" if values.takes(b'[')? => elements(values, &mut record),
            _ => values.skip(),
        })
        .and_then(|()| end(values)),
        Shape::Lines => lines(values, &mut give),
    };
    match done {
        Err(error) if !is_of_each => each(Err(error)),
        done => done,
    }
}

/// An object is followed by the next, wherever lines end, until one is wrong: from there on each line is one.
fn lines(values: &mut Values<'_>, give: &mut dyn FnMut(Result<Record>) -> Result<()>) -> Result<()> {
    let mut all_is_well = true;
    while values.peek()?.is_some() {
        let line = values.line();
        let read = if all_is_well { values.value() } else { values.rest_of_line() };
        let record = read.and_then(|read| parsed(read, line));
        if all_is_well && record.is_err() {
            all_is_well = false;
            values.resume_at_next_line()?;
        }
        give(record)?;
    }
    Ok(())
}

/// What stands in an array whose bracket has been read.
fn elements(values: &mut Values<'_>, mut each: impl FnMut(&mut Values<'_>) -> Result<()>) -> Result<()> {
    if values.takes(b']')? {
        return Ok(());
    }
    loop {
        each(values)?;
        if values.takes(b']')? {
            return Ok(());
        }
        if !values.takes(b',')? {
            return Err(invalid(
                "A comma or the end of the array is expected; nothing from here on was read.",
                values.line(),
            ));
        }
    }
}

/// The names of an object, each with its value to be read.
fn members(values: &mut Values<'_>, mut each: impl FnMut(String, &mut Values<'_>) -> Result<()>) -> Result<()> {
    if !values.takes(b'{')? {
        return Err(invalid("An object is expected.", values.line()));
    }
    if values.takes(b'}')? {
        return Ok(());
    }
    loop {
        let line = values.line();
        let name: String = parsed(values.value()?, line)?;
        if !values.takes(b':')? {
            return Err(invalid("A colon is expected.", values.line()));
        }
        each(name, values)?;
        if values.takes(b'}')? {
            return Ok(());
        }
        if !values.takes(b',')? {
            return Err(invalid(
                "A comma or the end of the object is expected; nothing from here on was read.",
                values.line(),
            ));
        }
    }
}

fn end(values: &mut Values<'_>) -> Result<()> {
    match values.peek()? {
        None => Ok(()),
        Some(_) => Err(invalid("Something stands behind the end.", values.line())),
    }
}

/// A value that begins in this line of the file.
fn parsed<'a, T: Deserialize<'a>>(json: &'a [u8], line: u64) -> Result<T> {
    serde_json::from_slice(json).map_err(|error| {
        let what = error.to_string();
        let what = what.rsplit_once(" at line ").map_or(what.as_str(), |(what, _)| what);
        invalid(&format!("{what}."), line + (error.line() as u64).saturating_sub(1))
    })
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
                    if record.len() == NAMES_MAX {
                        return Err(A::Error::custom(format_args!("an object has more than {NAMES_MAX} names")));
                    }
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
        let raw = <&RawValue>::deserialize(deserializer)?;
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

    /// What is read, and what is wrong.
    fn all(text: impl AsRef<[u8]>) -> Vec<String> {
        let (look, mut found) = (|| Ok(()), Vec::new());
        let text = text.as_ref();
        let given = shape(&mut Values::new(text, &look), false).and_then(|shape| {
            read(&mut Values::new(text, &look), &shape, &mut |record| {
                let shown = |record: Record| -> Vec<String> {
                    record.0.iter().map(|(name, value)| format!("{name}={value:?}")).collect()
                };
                found.push(record.map_or_else(|error| error.message, |record| shown(record).join(" ")));
                Ok(())
            })
        });
        found.extend(given.err().map(|error| error.message));
        found
    }

    #[test]
    fn records_come_in_three_shapes() {
        let expected = ["a=Integer(1)", "a=Null"];
        for text in [
            r#"[{"a":1},{"a":null}]"#,
            "{\"a\":1}\n{\"a\":null}\n",
            "\u{feff} {\"a\":1} {\n\"a\":\nnull}",
            r#"{"data":[{"a":1},{"a":null}],"columnMapping":{"x":"a"}}"#,
            r#"{"columnMapping":null,"data":[{"a":1},{"a":null}]}"#,
        ] {
            assert_eq!(all(text), expected, "{text}");
        }
        let look = || Ok(());
        let of = |text: &'static str, is_by_line| shape(&mut Values::new(text.as_bytes(), &look), is_by_line).unwrap();
        let wrapped = r#"{"data":[{}],"columnMapping":{"x":"a"}}"#;
        assert_eq!(of(wrapped, false), Shape::Wrapped([("x".to_owned(), "a".to_owned())].into()));
        // JSON stays as it is written: the order of names, and names that stand twice.
        let odd = r#"{"z": 1, "a":[ 1.50 ],"z":"}\"]"}"#;
        assert_eq!(all(format!("[{{\"a\":{odd}}}]")), [format!("a={:?}", Value::text(odd))]);
        assert!(all("").concat().contains("Invalid JSON format"));
        assert!(all("[]").is_empty());
    }

    /// A table may have a column of that name.
    #[test]
    fn a_record_with_data_is_no_wrapping() {
        assert_eq!(all(r#"{"id":1,"data":[{}]}"#), ["id=Integer(1) data=Text([91, 123, 125, 93])"]);
        assert_eq!(all(r#"{"data":[1]}"#), ["data=Text([91, 49, 93])"]);
        let two = "{\"data\":[{}]}\n{\"data\":[{}]}\n";
        assert_eq!(all(two), ["data=Text([91, 123, 125, 93])"; 2]);
        let look = || Ok(());
        assert_eq!(shape(&mut Values::new(&b"{\"data\":[{}]}"[..], &look), true).unwrap(), Shape::Lines);
    }

    #[test]
    fn what_is_no_record_is_told_and_the_next_is_read() {
        for (text, expected) in [
            (r#"[{"a":1,"a":2},{"b":1}]"#, &["stands twice in one object", "b=Integer(1)"][..]),
            (r#"[1,[{}],"x",{"b":1}]"#, &["an object", "an object", "an object", "b=Integer(1)"]),
            (r#"[{"a":18446744073709551615},{"b":1}]"#, &["does not fit into 64 bits", "b=Integer(1)"]),
            (r#"[{"a":1}"#, &["a=Integer(1)", "A comma or the end"]),
            (r#"[{"a":1},{"b"#, &["a=Integer(1)", "The file ends within a value"]),
            (r#"[{"a":1}] x"#, &["a=Integer(1)", "Something stands behind the end"]),
            (r#"{"data":[{"a":1},x,{"b":1}]}"#, &["a=Integer(1)", "expected value", "b=Integer(1)"]),
            ("{\"a\":1}\nx\n{\"b\":1}\n", &["a=Integer(1)", "expected value. (Line 2", "b=Integer(1)"]),
            ("{\"a\":1\n{\"b\":1}\n{\"c\":1}", &["ends within a value. (Line 1", "b=Integer(1)", "c=Integer(1)"]),
            ("{\"a\":\"x\n{\"b\":1}\n{\"c\":1}\n", &["ends within a value. (Line 1", "b=Integer(1)", "c=Integer(1)"]),
            ("{\"a\":1} x {\n\n{\"b\":1}\n", &["a=Integer(1)", "expected value", "b=Integer(1)"]),
            ("nonsense", &["Invalid JSON format"]),
        ] {
            let found = all(text);
            let is_so = found.len() == expected.len() && found.iter().zip(expected).all(|(a, b)| a.contains(b));
            assert!(is_so, "{text}: {found:?}");
        }
        let found = all(b"{\"a\":\"\xff\"}\n{\"b\":1}\n");
        assert!(found[0].contains("unicode") && found[1] == "b=Integer(1)", "{found:?}");
    }

    #[test]
    fn deep_and_wide_json_is_read_or_refused() {
        let deep = format!("[{{\"a\":{}{}}}]", "[".repeat(1_000_000), "]".repeat(1_000_000));
        assert_eq!(all(&deep).len(), 1);
        let wide: Vec<String> = (0..1_000_000).map(|number| format!("\"{number}\":0")).collect();
        assert!(all(format!("[{{{}}}]", wide.join(",")))[0].contains("more than 2000 names"));
    }
}
