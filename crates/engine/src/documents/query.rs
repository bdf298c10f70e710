//! Documents of a collection that fulfil a filter, in an order, a page at a time; their number, and sums over them. All of it one SELECT.

use super::fields::Field;
use super::filter::{Filter, Sql};
use super::path::CollectionPath;
use crate::error::{Error, Result};
use crate::sqlite::exclude::quoted;
use crate::value::{Params, Value};
use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD as BASE64};
use serde_json::{Value as Json, json};

/// Fields to order by.
const ORDERS_MAX: usize = 8;
pub const LIMIT_DEFAULT: usize = 100;
pub const LIMIT_MAX: usize = 10_000;

#[derive(Clone, Debug, PartialEq)]
pub struct Query {
    pub collection: CollectionPath,
    pub filter: Option<Filter>,
    pub order: Vec<Order>,
    pub limit: Option<usize>,
    pub after: Option<Cursor>,
}

#[derive(Clone, Debug, PartialEq)]
pub struct Order {
    pub field: Field,
    pub is_descending: bool,
}

/// Behind which document a page begins: what it is ordered by, and its id.
#[derive(Clone, Debug, PartialEq)]
pub struct Cursor {
    pub values: Vec<Value>,
    /// In a group, beneath what the document lies.
    pub parent: Option<Value>,
    /// A text, but where SQL has written another.
    pub id: Value,
}

/// What is computed of all documents found.
#[derive(Clone, Debug, PartialEq)]
pub enum Aggregate {
    Count,
    Sum(Field),
    Average(Field),
}

impl Order {
    /// `age`, or `age desc`; several with commas between them. A name with a space stands between backticks, for it would be taken
    /// for a field and a word that means nothing.
    ///
    /// # Errors
    /// `invalid` for what is no field, and for too many.
    pub fn parse(text: &str) -> Result<Vec<Self>> {
        let orders: Vec<Self> = text
            .split(',')
            .map(|part| {
                let (field, is_descending) = match part.trim().rsplit_once(' ') {
                    Some((field, way)) if way.eq_ignore_ascii_case("desc") => (field, true),
                    Some((field, way)) if way.eq_ignore_ascii_case("asc") => (field, false),
                    _ => (part.trim(), false),
                };
                let field = field.trim();
                if field.split('`').step_by(2).any(|plain| plain.contains(char::is_whitespace)) {
                    return Err(Error::invalid(format!(
                        "{part:?} is no order. It is a field, with asc or desc behind it or not, and several have commas between \
                         them: age desc, name. A name with a space stands between backticks."
                    )));
                }
                Ok(Self { field: Field::parse(field)?, is_descending })
            })
            .collect::<Result<_>>()?;
        if orders.len() > ORDERS_MAX {
            return Err(Error::invalid(format!("Documents can be ordered by {ORDERS_MAX} fields.")));
        }
        Ok(orders)
    }
}

impl Cursor {
    pub fn write(&self) -> String {
        let values = self.values.iter().chain(&self.parent).chain([&self.id]).map(json).collect();
        BASE64.encode(Json::Array(values).to_string())
    }

    /// # Errors
    /// `invalid` for what no page has told, or one that was ordered by other fields.
    pub fn read(text: &str, order: &[Order], is_group: bool) -> Result<Self> {
        let odd = || Error::invalid("startAfter is the \"after\" of a page with the same order.");
        let bytes = BASE64.decode(text).map_err(|_| odd())?;
        let values: Vec<Json> = serde_json::from_slice(&bytes).map_err(|_| odd())?;
        let mut values = values.into_iter().map(value).collect::<Option<Vec<Value>>>().ok_or_else(odd)?;
        let id = values.pop().ok_or_else(odd)?;
        let parent = if is_group { Some(values.pop().ok_or_else(odd)?) } else { None };
        if values.len() != order.len() {
            return Err(odd());
        }
        Ok(Self { values, parent, id })
    }
}

/// Such as JSON has no word for are an object: a page must go on behind whatever SQL has written.
fn json(value: &Value) -> Json {
    match value {
        Value::Null => Json::Null,
        Value::Integer(value) => (*value).into(),
        Value::Real(value) if value.is_finite() => (*value).into(),
        Value::Real(value) => json!({ "real": value.to_string() }),
        Value::Text(text) => match std::str::from_utf8(text) {
            Ok(text) => text.into(),
            Err(_) => json!({ "text": BASE64.encode(text) }),
        },
        Value::Blob(bytes) => json!({ "blob": BASE64.encode(bytes) }),
    }
}

fn value(json: Json) -> Option<Value> {
    let Json::Object(object) = &json else { return Some(crate::access::asking::value(&json)) };
    let (kind, written) = object.iter().next()?;
    let written = written.as_str()?;
    Some(match kind.as_str() {
        "real" => Value::Real(written.parse().ok()?),
        "text" => Value::Text(BASE64.decode(written).ok()?.into()),
        "blob" => Value::Blob(BASE64.decode(written).ok()?.into()),
        _ => return None,
    })
}

/// What a field is worth in an order, and what an index of it is of.
pub fn ordered_by(field: &Field) -> String {
    format!("data ->> '{}'", field.json_path())
}

/// The statement that makes an index for queries with this order, and for conditions on its first fields.
pub fn index_sql(table: &str, order: &[Order]) -> String {
    let mut columns: Vec<String> = if table.contains('/') { vec!["parent".into()] } else { Vec::new() };
    let mut name = Vec::new();
    for order in order {
        let descending = if order.is_descending { " DESC" } else { "" };
        columns.push(format!("({}){descending}", ordered_by(&order.field)));
        name.push(format!("{}{}", order.field, descending.to_ascii_lowercase()));
    }
    columns.push("id".into());
    let name = quoted(&format!("{table} by {}", name.join(", ")));
    format!("CREATE INDEX IF NOT EXISTS {name} ON {} ({})", quoted(table), columns.join(", "))
}

impl Query {
    /// `id`, `data`, `revision` (and `parent` in front, for a group), then what it is ordered by.
    pub fn sql(&self) -> Sql {
        let mut sql = Sql::default();
        sql.say(if self.collection.is_group() {
            "SELECT parent, id, data, revision"
        } else {
            "SELECT id, data, revision"
        });
        for order in &self.order {
            sql.say(", ").say(&ordered_by(&order.field));
        }
        self.push_from(&mut sql);
        if let Some(after) = &self.after {
            sql.say(" AND ");
            self.push_after(after, &mut sql);
        }
        sql.say(" ORDER BY ");
        for order in &self.order {
            sql.say(&ordered_by(&order.field)).say(if order.is_descending { " DESC, " } else { ", " });
        }
        let descending = if self.is_reversed() { " DESC" } else { "" };
        if self.collection.is_group() {
            sql.say("parent").say(descending).say(", ");
        }
        sql.say("id").say(descending);
        if let Some(limit) = self.limit {
            sql.say(&format!(" LIMIT {limit}"));
        }
        sql
    }

    /// The same, to be live also before there is such a collection.
    pub fn live_sql(&self) -> (String, Params) {
        let Sql { text, values } = self.sql();
        (super::awaited::live(&self.collection.table, &text), Params::Positional(values))
    }

    /// One row, a column for each.
    pub fn aggregate_sql(&self, aggregates: &[Aggregate]) -> Sql {
        let mut sql = Sql::default();
        sql.say("SELECT ");
        for (index, aggregate) in aggregates.iter().enumerate() {
            if index > 0 {
                sql.say(", ");
            }
            // Only numbers are summed.
            let number = |field: &Field| {
                let path = field.json_path();
                format!("CASE WHEN json_type(data, '{path}') IN ('integer', 'real') THEN data ->> '{path}' END")
            };
            match aggregate {
                Aggregate::Count => sql.say("count(*)"),
                Aggregate::Sum(field) => sql.say(&format!("coalesce(sum({}), 0)", number(field))),
                Aggregate::Average(field) => sql.say(&format!("avg({})", number(field))),
            };
        }
        self.push_from(&mut sql);
        sql
    }

    fn is_reversed(&self) -> bool {
        self.order.last().is_some_and(|order| order.is_descending)
    }

    fn push_from(&self, sql: &mut Sql) {
        sql.say(" FROM ").say(&quoted(&self.collection.table)).say(" WHERE ");
        match self.collection.parent.as_deref().filter(|_| !self.collection.is_group()) {
            Some(parent) => sql.say("parent = ").bind_value(Value::text(parent)),
            None => sql.say("true"),
        };
        if let Some(filter) = &self.filter {
            sql.say(" AND ");
            filter.push(sql);
        }
        // As in Firestore: what is not there has no place in an order.
        for order in &self.order {
            sql.say(&format!(" AND json_type(data, '{}') IS NOT NULL", order.field.json_path()));
        }
    }

    /// Behind the cursor: more in one of the orders where all before it are equal, or in the id where all are.
    fn push_after(&self, after: &Cursor, sql: &mut Sql) {
        sql.say("(");
        for (index, order) in self.order.iter().enumerate() {
            sql.say("(");
            self.push_equals(after, index, sql);
            let (by, value) = (ordered_by(&order.field), after.values[index].clone());
            match (value, order.is_descending) {
                (Value::Null, false) => sql.say(&format!("{by} IS NOT NULL")),
                (Value::Null, true) => sql.say("false"),
                (value, false) => sql.say(&format!("{by} > ")).bind_value(value),
                (value, true) => sql.say(&format!("({by} < ")).bind_value(value).say(&format!(" OR {by} IS NULL)")),
            };
            sql.say(") OR ");
        }
        sql.say("(");
        self.push_equals(after, self.order.len(), sql);
        let sign = if self.is_reversed() { "<" } else { ">" };
        match &after.parent {
            Some(parent) => {
                sql.say("(parent, id) ").say(sign).say(" (").bind_value(parent.clone()).say(", ");
                sql.bind_value(after.id.clone()).say(")))")
            }
            None => sql.say("id ").say(sign).say(" ").bind_value(after.id.clone()).say("))"),
        };
    }

    fn push_equals(&self, after: &Cursor, number: usize, sql: &mut Sql) {
        for (order, value) in self.order.iter().zip(&after.values).take(number) {
            sql.say(&ordered_by(&order.field)).say(" IS ").bind_value(value.clone()).say(" AND ");
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use rusqlite::Connection;
    use rusqlite::types::ToSqlOutput;

    fn run(connection: &Connection, sql: &Sql) -> Vec<Vec<Value>> {
        let mut statement = connection.prepare(&sql.text).unwrap_or_else(|error| panic!("{}: {error}", sql.text));
        let columns = statement.column_count();
        let values = sql.values.iter().map(|value| ToSqlOutput::Borrowed(value.as_ref()));
        let mut rows = statement.query(rusqlite::params_from_iter(values)).unwrap();
        let mut all = Vec::new();
        while let Some(row) = rows.next().unwrap() {
            all.push((0..columns).map(|column| row.get_ref(column).unwrap().into()).collect());
        }
        all
    }

    fn documents() -> Connection {
        let connection = Connection::open_in_memory().unwrap();
        connection.execute_batch("CREATE TABLE t (id TEXT PRIMARY KEY, data TEXT, revision INTEGER)").unwrap();
        for number in 0..40 {
            let a = match number % 5 {
                0 => json!(null),
                1 => json!(number / 10),
                2 => json!(format!("x{}", number / 10)),
                3 => json!(true),
                _ => json!(1.5),
            };
            let mut data = json!({"a": a, "b": number % 3});
            if number % 7 == 0 {
                data.as_object_mut().unwrap().remove("b");
            }
            connection
                .execute("INSERT INTO t VALUES (?1, ?2, 1)", (format!("d{number:02}"), data.to_string()))
                .unwrap();
        }
        connection
    }

    fn query(order: &str) -> Query {
        let order = if order.is_empty() { Vec::new() } else { Order::parse(order).unwrap() };
        let collection = CollectionPath { table: "t".into(), parent: None };
        Query { collection, filter: None, order, limit: None, after: None }
    }

    #[test]
    fn pages_together_are_the_whole_in_its_order() {
        let connection = documents();
        for order in ["", "a", "a desc", "b, a", "b desc, a", "a desc,b desc", "b asc"] {
            let whole = run(&connection, &query(order).sql());
            for limit in [1, 3, 7] {
                let mut pages = Vec::new();
                let mut next = Query { limit: Some(limit), ..query(order) };
                loop {
                    let page = run(&connection, &next.sql());
                    let Some(last) = page.last() else { break };
                    let told = Cursor { values: last[3..].to_vec(), parent: None, id: last[0].clone() }.write();
                    next.after = Some(Cursor::read(&told, &next.order, false).unwrap());
                    pages.extend(page);
                }
                assert_eq!(pages, whole, "{order} by {limit}");
            }
        }
        assert_eq!(run(&connection, &query("b").sql()).len(), 34);
    }

    #[test]
    fn documents_are_counted_and_summed() {
        let connection = documents();
        let field = |path| Field::parse(path).unwrap();
        let aggregates = [
            Aggregate::Count,
            Aggregate::Sum(field("b")),
            Aggregate::Average(field("missing")),
            Aggregate::Sum(field("a")),
        ];
        let filter = Filter::parse(&json!(["b", ">=", 1])).unwrap();
        let row = run(&connection, &Query { filter: Some(filter), ..query("") }.aggregate_sql(&aggregates)).remove(0);
        let expected: (i64, i64) = connection
            .query_row("SELECT count(*), sum(data ->> 'b') FROM t WHERE data ->> 'b' >= 1", [], |row| {
                Ok((row.get(0)?, row.get(1)?))
            })
            .unwrap();
        assert_eq!(row[..3], [Value::Integer(expected.0), Value::Integer(expected.1), Value::Null]);
    }

    #[test]
    fn a_cursor_of_another_order_is_refused() {
        let order = Order::parse("a").unwrap();
        let told = Cursor { values: vec![Value::Integer(1)], parent: None, id: Value::text("x") }.write();
        assert!(Cursor::read(&told, &order, false).is_ok());
        assert!(Cursor::read(&told, &[], false).is_err());
        for odd in ["", "x", "W10", "////"] {
            assert!(Cursor::read(odd, &order, false).is_err(), "{odd}");
        }
        assert!(
            Order::parse("`a b` desc, c.`d e`").is_ok()
                && Order::parse("a b").is_err()
                && Order::parse("a,,b").is_err()
                && Order::parse("a,b,c,d,e,f,g,h,i").is_err()
        );
    }
}
