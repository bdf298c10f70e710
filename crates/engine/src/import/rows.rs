//! Records into one table: CSV by its header, JSON by its names, a mapping between both and the columns. A table that is not there can be
//! made from what the records hold.

use super::csv::{Field, Records};
use super::json::{self, Record, Shape};
use super::loader::{Column, Loader};
use super::values::Values;
use super::{COLUMNS_MAX, Failure, Form, Report, Source, placed};
use crate::error::{Error, Result};
use crate::sqlite::exclude::quoted;
use crate::sqlite::gate::is_system;
use crate::value::Value;
use std::collections::HashMap;

#[derive(Clone, Debug)]
pub struct Rows {
    pub table: String,
    pub form: Form,
    /// From the name in the file to the column.
    pub mapping: HashMap<String, String>,
    /// Make the table if it is not there, with columns as the records have them.
    pub create: bool,
    /// Between the fields of CSV.
    pub delimiter: u8,
}

impl Rows {
    pub fn load(&self, loader: &mut Loader<'_>, source: &Source) -> Result<Report> {
        if is_system(&self.table) {
            return Err(Error::forbidden(format!("{} is kept by Tidebase.", self.table)));
        }
        let mut report = Report::default();
        match self.form {
            Form::Csv => self.load_csv(loader, source, &mut report)?,
            Form::Json | Form::NdJson => self.load_json(loader, source, &mut report)?,
        }
        Ok(report)
    }

    fn load_csv(&self, loader: &mut Loader<'_>, source: &Source, report: &mut Report) -> Result<()> {
        let mut records = Records::new(source.open()?, self.delimiter);
        let header: Vec<String> = match records.read().map_err(|error| placed("line 1", &error))? {
            Some(header) => header.into_iter().map(|field| field.text).collect(),
            None => return Err(Error::invalid("Invalid CSV format or empty data: there is no header.")),
        };
        let names: Vec<&str> = header.iter().map(|name| self.column(name)).collect();
        if let Some((at, name)) = names.iter().enumerate().find(|(at, name)| names[..*at].contains(name)) {
            return Err(Error::invalid(format!(
                "The header has the column {name:?} twice, the second time at {}.",
                at + 1
            )));
        }
        let Some(columns) = loader.columns(&self.table)? else {
            let kinds = self.kinds_of_csv(loader, source, names.len())?;
            self.make(loader, &names, &kinds)?;
            return self.load_csv(loader, source, report);
        };
        let (head, columns) = self.head(&names, &columns)?;
        while let Some(read) = records.read().transpose() {
            // A blank line.
            let is_blank =
                |record: &Vec<Field>| matches!(&record[..], [only] if only.text.is_empty() && !only.is_quoted);
            if names.len() > 1 && read.as_ref().is_ok_and(is_blank) {
                continue;
            }
            let done = read.and_then(|record| {
                let (has, wants) = (record.len(), names.len());
                if has != wants {
                    return Err(Error::invalid(format!("The record has {has} fields and the header {wants}.")));
                }
                let values: Vec<Value> =
                    record.into_iter().zip(&columns).map(|(field, column)| value(field, column)).collect();
                loader.insert(&head, &values)
            });
            report.note(loader, done, || (format!("line {}", records.line()), String::new()))?;
        }
        Ok(())
    }

    fn load_json(&self, loader: &mut Loader<'_>, source: &Source, report: &mut Report) -> Result<()> {
        let look = loader.looks();
        let shape = json::shape(&mut Values::new(source.open()?, &look), self.form == Form::NdJson)?;
        let mut rows = self.clone();
        if let Shape::Wrapped(mapping) = &shape {
            rows.mapping.extend(mapping.clone());
        }
        let Some(columns) = loader.columns(&self.table)? else {
            let (names, kinds) = rows.kinds_of_json(loader, source, &shape)?;
            let names: Vec<&str> = names.iter().map(String::as_str).collect();
            rows.make(loader, &names, &kinds)?;
            return rows.load_json(loader, source, report);
        };
        let mut number = 0;
        json::read(&mut Values::new(source.open()?, &look), &shape, &mut |record| {
            number += 1;
            let done = record.and_then(|Record(record)| {
                let names: Vec<&str> = record.iter().map(|(name, _)| rows.column(name)).collect();
                let (head, _) = rows.head(&names, &columns)?;
                let values: Vec<Value> = record.into_iter().map(|(_, value)| value).collect();
                loader.insert(&head, &values)
            });
            report.note(loader, done, || (format!("record {number}"), String::new()))
        })
    }

    fn column<'a>(&'a self, name: &'a str) -> &'a str {
        self.mapping.get(name).map_or(name, String::as_str)
    }

    /// The INSERT up to VALUES, and the columns it names.
    fn head<'c>(&self, names: &[&str], columns: &'c [Column]) -> Result<(String, Vec<&'c Column>)> {
        let found = names.iter().map(|name| {
            columns.iter().find(|column| column.name.eq_ignore_ascii_case(name)).ok_or_else(|| {
                let there: Vec<&str> = columns.iter().map(|column| column.name.as_str()).collect();
                Error::invalid(format!("{} has no column {name:?}; it has {}.", self.table, there.join(", ")))
            })
        });
        let found: Vec<&Column> = found.collect::<Result<_>>()?;
        if let Some(at) = (1..found.len()).find(|at| found[..*at].iter().any(|one| one.name == found[*at].name)) {
            return Err(Error::invalid(format!("The column {} is given twice.", found[at].name)));
        }
        let listed: Vec<String> = found.iter().map(|column| quoted(&column.name)).collect();
        if listed.is_empty() {
            return Err(Error::invalid("The record is empty."));
        }
        Ok((format!("INSERT INTO {} ({}) VALUES", quoted(&self.table), listed.join(",")), found))
    }

    fn make(&self, loader: &mut Loader<'_>, names: &[&str], kinds: &[Kind]) -> Result<()> {
        if !self.create {
            // StarbaseDB's words, and what to do.
            let missing = format!("Table '{}' does not exist. Make it first, or import with create=true.", self.table);
            return Err(Error::not_found(missing));
        }
        if names.is_empty() {
            return Err(Error::invalid("There is no record that the table could be made of."));
        }
        if names.iter().any(|name| name.is_empty()) {
            return Err(Error::invalid("A column has no name, so the table cannot be made."));
        }
        let columns: Vec<String> =
            names.iter().zip(kinds).map(|(name, kind)| format!("{} {}", quoted(name), kind.declared())).collect();
        loader.run(&format!("CREATE TABLE {} ({})", quoted(&self.table), columns.join(", ")))
    }

    fn kinds_of_csv(&self, loader: &Loader<'_>, source: &Source, columns: usize) -> Result<Vec<Kind>> {
        let mut kinds = vec![Kind::Nothing; columns];
        let mut records = Records::new(source.open()?, self.delimiter);
        records.read()?;
        while let Some(read) = records.read().transpose() {
            loader.look()?;
            let Some(read) = when_readable(loader, read, || format!("line {}", records.line()))? else { continue };
            for (kind, field) in kinds.iter_mut().zip(&read) {
                *kind = kind.with(kind_of(field));
            }
        }
        Ok(kinds)
    }

    fn kinds_of_json(&self, loader: &Loader<'_>, source: &Source, shape: &Shape) -> Result<(Vec<String>, Vec<Kind>)> {
        let (mut names, mut kinds) = (Vec::<String>::new(), Vec::<Kind>::new());
        let (look, mut number) = (loader.looks(), 0);
        let too_many = || Error::too_large(format!("The records have more than {COLUMNS_MAX} names."));
        json::read(&mut Values::new(source.open()?, &look), shape, &mut |record| {
            loader.look()?;
            number += 1;
            let record = when_readable(loader, record, || format!("record {number}"))?;
            for (name, value) in record.iter().flat_map(|Record(record)| record) {
                if names.len() > COLUMNS_MAX {
                    return Err(too_many());
                }
                let name = self.column(name);
                let at = names.iter().position(|known| known == name).unwrap_or_else(|| {
                    names.push(name.to_owned());
                    kinds.push(Kind::Nothing);
                    names.len() - 1
                });
                kinds[at] = kinds[at].with(match value {
                    Value::Null => Kind::Nothing,
                    Value::Integer(_) => Kind::Integer,
                    Value::Real(_) => Kind::Real,
                    Value::Text(_) => Kind::Text,
                    Value::Blob(_) => Kind::Blob,
                });
            }
            Ok(())
        })?;
        Ok((names, kinds))
    }
}

/// In part, what is no record is told when it is its turn to be inserted.
fn when_readable<T>(loader: &Loader<'_>, read: Result<T>, at: impl FnOnce() -> String) -> Result<Option<T>> {
    match read {
        Ok(read) => Ok(Some(read)),
        Err(_) if loader.is_partial() => Ok(None),
        Err(error) => Err(placed(&at(), &error)),
    }
}

/// What all values of a column have been so far.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    Nothing,
    Integer,
    Real,
    Text,
    Blob,
    /// Of several kinds: kept as they are.
    Mixed,
}

impl Kind {
    fn with(self, other: Self) -> Self {
        match (self, other) {
            (same, other) if same == other => same,
            (Self::Nothing, kind) | (kind, Self::Nothing) => kind,
            (Self::Integer, Self::Real) | (Self::Real, Self::Integer) => Self::Real,
            (Self::Text, Self::Integer | Self::Real) | (Self::Integer | Self::Real, Self::Text) => Self::Text,
            _ => Self::Mixed,
        }
    }

    fn declared(self) -> &'static str {
        match self {
            Self::Nothing | Self::Text => "TEXT",
            Self::Integer => "INTEGER",
            Self::Real => "REAL",
            Self::Blob => "BLOB",
            Self::Mixed => "",
        }
    }
}

/// A text that would not be the same again as a number is none: `007`, `1.50`, `+1`.
fn kind_of(field: &Field) -> Kind {
    let text = field.text.as_str();
    if text.is_empty() {
        return if field.is_quoted { Kind::Text } else { Kind::Nothing };
    }
    if field.is_quoted {
        return Kind::Text;
    }
    if text.parse::<i64>().is_ok_and(|number| number.to_string() == text) {
        return Kind::Integer;
    }
    match text.parse::<f64>() {
        Ok(number) if number.is_finite() && is_plain(text) => Kind::Real,
        _ if blob(text).is_some() => Kind::Blob,
        _ => Kind::Text,
    }
}

/// Of a number, that it is written as numbers with a fraction are: not `inf`, `.5`, `+1`, `007.5` or `1.`, nor an integer too long to be one.
fn is_plain(number: &str) -> bool {
    let has_fraction = number.contains(['e', 'E']) || number.contains('.') && !number.ends_with('.');
    if !has_fraction {
        return false;
    }
    let digits = number.strip_prefix('-').unwrap_or(number).as_bytes();
    matches!(digits, [b'0'] | [b'0', b'.', ..] | [b'1'..=b'9', ..])
}

/// A field as the column takes it; SQLite makes numbers of texts where the column is one for numbers.
fn value(field: Field, column: &Column) -> Value {
    if field.text.is_empty() && !field.is_quoted {
        return Value::Null;
    }
    if !field.is_quoted
        && !column.has_text_affinity()
        && let Some(bytes) = blob(&field.text)
    {
        return Value::Blob(bytes);
    }
    if !field.is_quoted && column.has_no_affinity() {
        match kind_of(&field) {
            Kind::Integer => return field.text.parse().map_or_else(|_| Value::text(&field.text), Value::Integer),
            Kind::Real => return field.text.parse().map_or_else(|_| Value::text(&field.text), Value::Real),
            _ => {}
        }
    }
    Value::text(field.text)
}

/// `X'00FF'`, as an export writes it.
fn blob(text: &str) -> Option<Box<[u8]>> {
    let digits = text.strip_prefix("X'")?.strip_suffix('\'')?;
    let (pairs, rest) = digits.as_bytes().as_chunks::<2>();
    let is_hexadecimal = digits.bytes().all(|digit| digit.is_ascii_hexdigit());
    let bytes =
        pairs.iter().map(|pair| u8::from_str_radix(str::from_utf8(pair).ok()?, 16).ok().filter(|_| is_hexadecimal));
    bytes.collect::<Option<Vec<u8>>>().filter(|_| rest.is_empty()).map(Vec::into_boxed_slice)
}

impl Column {
    /// sqlite.org/datatype3.html, section 3.1.
    fn has_text_affinity(&self) -> bool {
        !self.kind.contains("INT") && ["CHAR", "CLOB", "TEXT"].iter().any(|part| self.kind.contains(part))
    }

    fn has_no_affinity(&self) -> bool {
        self.kind.is_empty() || self.kind == "ANY" || self.kind.contains("BLOB") && !self.kind.contains("INT")
    }
}

impl Report {
    /// One more record: inserted, or not.
    fn note(&mut self, loader: &Loader<'_>, done: Result<()>, of: impl FnOnce() -> (String, String)) -> Result<()> {
        match done {
            Ok(()) => self.done += 1,
            Err(error) => {
                let (at, what) = of();
                self.fail(loader, Failure { at, what, error })?;
            }
        }
        loader.heard(self.done + self.failed)
    }
}
