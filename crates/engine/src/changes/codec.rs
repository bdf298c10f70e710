//! A change set as bytes for the log: tag, varints and raw values, the whole compressed with LZ4 when that pays.
//!
//! First byte: format (0 plain, 1 LZ4 with the length in front). Then, per change set: revision, extent. Integers are
//! LEB128, signed ones zigzag first. Column names are written once per table and change set.

use super::change::{Change, ChangeSet, Extent, Rows, Shape};
use crate::error::{Error, Result};
use crate::value::Value;
use std::sync::Arc;

const COMPRESS_FROM: usize = 256;

pub fn encode(sets: &[ChangeSet]) -> Vec<u8> {
    let mut out = vec![0];
    write_unsigned(&mut out, sets.len() as u64);
    for set in sets {
        write_signed(&mut out, set.revision);
        match &set.extent {
            Extent::Everything { schema } => out.push(u8::from(*schema)),
            Extent::Rows(rows) => {
                out.push(2);
                write_rows(&mut out, rows);
            }
        }
    }
    if out.len() >= COMPRESS_FROM {
        let compressed = lz4_flex::compress_prepend_size(&out[1..]);
        if compressed.len() + 1 < out.len() {
            out.truncate(1);
            out[0] = 1;
            out.extend_from_slice(&compressed);
        }
    }
    out
}

/// # Errors
/// `internal` if the bytes are not what `encode` makes: the file was damaged or changed by another program.
pub fn decode(bytes: &[u8]) -> Result<Vec<ChangeSet>> {
    let broken = || Error::internal("a row of _tide_log cannot be read");
    let inflated;
    let mut input = match bytes.split_first() {
        Some((0, rest)) => Reader { rest },
        Some((1, rest)) => {
            inflated = lz4_flex::decompress_size_prepended(rest).map_err(|error| broken().caused_by(error))?;
            Reader { rest: &inflated }
        }
        _ => return Err(broken()),
    };
    read_sets(&mut input).ok_or_else(broken)
}

fn write_rows(out: &mut Vec<u8>, rows: &Rows) {
    write_unsigned(out, rows.opaque.len() as u64);
    for table in &rows.opaque {
        write_bytes(out, table.as_bytes());
    }
    write_unsigned(out, rows.shapes.len() as u64);
    for shape in &rows.shapes {
        write_bytes(out, shape.table.as_bytes());
        write_unsigned(out, shape.columns.len() as u64);
        for (column, is_virtual) in shape.columns.iter().zip(&shape.is_virtual) {
            write_bytes(out, column.as_bytes());
            out.push(u8::from(*is_virtual));
        }
        write_unsigned(out, shape.key.len() as u64);
        for &column in &shape.key {
            write_unsigned(out, column as u64);
        }
    }
    write_unsigned(out, rows.changes.len() as u64);
    for change in &rows.changes {
        write_unsigned(out, change.shape as u64);
        write_signed(out, change.rowid);
        for image in [&change.old, &change.new] {
            out.push(u8::from(image.is_some()));
            for value in image.iter().flat_map(|image| image.iter()) {
                write_value(out, value);
            }
        }
    }
}

fn write_value(out: &mut Vec<u8>, value: &Value) {
    match value {
        Value::Null => out.push(0),
        Value::Integer(value) => {
            out.push(1);
            write_signed(out, *value);
        }
        Value::Real(value) => {
            out.push(2);
            out.extend_from_slice(&value.to_le_bytes());
        }
        Value::Text(bytes) => {
            out.push(3);
            write_bytes(out, bytes);
        }
        Value::Blob(bytes) => {
            out.push(4);
            write_bytes(out, bytes);
        }
    }
}

fn write_bytes(out: &mut Vec<u8>, bytes: &[u8]) {
    write_unsigned(out, bytes.len() as u64);
    out.extend_from_slice(bytes);
}

fn write_signed(out: &mut Vec<u8>, value: i64) {
    write_unsigned(out, ((value << 1) ^ (value >> 63)) as u64);
}

fn write_unsigned(out: &mut Vec<u8>, mut value: u64) {
    while value >= 0x80 {
        out.push(value as u8 | 0x80);
        value >>= 7;
    }
    out.push(value as u8);
}

struct Reader<'a> {
    rest: &'a [u8],
}

impl<'a> Reader<'a> {
    fn byte(&mut self) -> Option<u8> {
        let (&byte, rest) = self.rest.split_first()?;
        self.rest = rest;
        Some(byte)
    }

    fn unsigned(&mut self) -> Option<u64> {
        let mut value = 0;
        for shift in (0..64).step_by(7) {
            let byte = self.byte()?;
            value |= u64::from(byte & 0x7f) << shift;
            if byte < 0x80 {
                return Some(value);
            }
        }
        None
    }

    fn signed(&mut self) -> Option<i64> {
        let value = self.unsigned()?;
        Some((value >> 1) as i64 ^ -((value & 1) as i64))
    }

    /// A count of things each at least a byte long, so that a damaged count cannot ask for all memory.
    fn count(&mut self) -> Option<usize> {
        let count = usize::try_from(self.unsigned()?).ok()?;
        (count <= self.rest.len()).then_some(count)
    }

    fn take(&mut self, length: usize) -> Option<&'a [u8]> {
        let (taken, rest) = self.rest.split_at_checked(length)?;
        self.rest = rest;
        Some(taken)
    }

    fn bytes(&mut self) -> Option<&'a [u8]> {
        let length = self.count()?;
        self.take(length)
    }

    fn name(&mut self) -> Option<Box<str>> {
        Some(std::str::from_utf8(self.bytes()?).ok()?.into())
    }

    fn value(&mut self) -> Option<Value> {
        Some(match self.byte()? {
            0 => Value::Null,
            1 => Value::Integer(self.signed()?),
            2 => Value::Real(f64::from_le_bytes(self.take(8)?.try_into().ok()?)),
            3 => Value::Text(self.bytes()?.into()),
            4 => Value::Blob(self.bytes()?.into()),
            _ => return None,
        })
    }
}

fn read_sets(input: &mut Reader<'_>) -> Option<Vec<ChangeSet>> {
    let read_set = |input: &mut Reader<'_>| {
        let revision = input.signed()?;
        let extent = match input.byte()? {
            0 => Extent::Everything { schema: false },
            1 => Extent::Everything { schema: true },
            2 => Extent::Rows(read_rows(input)?),
            _ => return None,
        };
        Some(ChangeSet { revision, extent })
    };
    (0..input.count()?).map(|_| read_set(input)).collect()
}

fn read_rows(input: &mut Reader<'_>) -> Option<Rows> {
    let opaque = (0..input.count()?).map(|_| input.name()).collect::<Option<_>>()?;
    let shapes: Vec<Arc<Shape>> =
        (0..input.count()?).map(|_| read_shape(input).map(Arc::new)).collect::<Option<_>>()?;
    let changes = (0..input.count()?)
        .map(|_| {
            let shape = usize::try_from(input.unsigned()?).ok()?;
            let columns = shapes.get(shape)?.columns.len();
            let rowid = input.signed()?;
            let mut image = || match input.byte()? {
                0 => Some(None),
                _ => Some(Some((0..columns).map(|_| input.value()).collect::<Option<Box<[Value]>>>()?)),
            };
            Some(Change { shape, rowid, old: image()?, new: image()? })
        })
        .collect::<Option<_>>()?;
    Some(Rows { shapes, changes, opaque })
}

fn read_shape(input: &mut Reader<'_>) -> Option<Shape> {
    let table = input.name()?;
    let mut columns = Vec::new();
    let mut is_virtual = Vec::new();
    for _ in 0..input.count()? {
        columns.push(input.name()?);
        is_virtual.push(input.byte()? != 0);
    }
    let key = (0..input.count()?)
        .map(|_| usize::try_from(input.unsigned()?).ok().filter(|&column| column < columns.len()))
        .collect::<Option<_>>()?;
    Some(Shape { table, columns, key, is_virtual })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sample() -> Vec<ChangeSet> {
        let shape = Shape {
            table: "t".into(),
            columns: vec!["a".into(), "ü".into(), "g".into()],
            key: vec![0],
            is_virtual: vec![false, false, true],
        };
        let image = |a: Value, b: Value| Some([a, b, Value::Null].into());
        let change = |old, new| Change { shape: 0, rowid: -7, old, new };
        let changes = vec![
            change(None, image(Value::Integer(i64::MIN), Value::Real(-0.0))),
            change(image(Value::text("x".repeat(500)), Value::Blob([0, 255].into())), None),
            change(image(Value::Null, Value::text("")), image(Value::Integer(1), Value::text([0xff]))),
        ];
        let rows = Rows { shapes: vec![Arc::new(shape)], changes, opaque: vec!["fts".into()] };
        vec![
            ChangeSet { revision: 5, extent: Extent::Rows(rows) },
            ChangeSet { revision: 6, extent: Extent::Everything { schema: true } },
        ]
    }

    #[test]
    fn what_was_encoded_is_decoded() {
        assert_eq!(decode(&encode(&sample())).unwrap(), sample());
        assert_eq!(decode(&encode(&[])).unwrap(), []);
    }

    #[test]
    fn damaged_bytes_are_an_error_never_a_panic() {
        let bytes = encode(&sample());
        for at in 0..bytes.len() {
            let _ = decode(&bytes[..at]);
            for flip in [0x01, 0x80, 0xff] {
                let mut damaged = bytes.clone();
                damaged[at] ^= flip;
                let _ = decode(&damaged);
            }
        }
    }
}
