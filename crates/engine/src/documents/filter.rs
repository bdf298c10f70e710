//! Which documents: `["age", ">", 5]`, several of them, `{"and": […]}` and `{"or": […]}`, as SQL over `data`.
//!
//! The operators are Firestore's, and so is what they mean: a comparison finds values of its own type alone (5 is no "5", and
//! no true), and a field that is not there is found by none of them, not even by `!=`.

use super::fields::Field;
use crate::error::{Error, Result};
use crate::value::Value;
use serde_json::Value as Json;

/// Conditions of one filter, how deep they may lie in each other, and values of one `in`.
const CONDITIONS_MAX: usize = 100;
const DEPTH_MAX: usize = 8;
const VALUES_MAX: usize = 30;

#[derive(Clone, Debug, PartialEq)]
pub enum Filter {
    All(Vec<Filter>),
    Any(Vec<Filter>),
    Field(Field, Test),
}

#[derive(Clone, Debug, PartialEq)]
pub enum Test {
    Is(Json),
    IsNot(Json),
    Compares(Compare, Json),
    In(Vec<Json>),
    NotIn(Vec<Json>),
    Contains(Json),
    ContainsAny(Vec<Json>),
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Compare {
    Below,
    AtMost,
    Above,
    AtLeast,
}

impl Compare {
    fn sign(self) -> &'static str {
        match self {
            Self::Below => "<",
            Self::AtMost => "<=",
            Self::Above => ">",
            Self::AtLeast => ">=",
        }
    }
}

impl Filter {
    /// # Errors
    /// `invalid`, with what was wrong and what could stand there.
    pub fn parse(json: &Json) -> Result<Self> {
        let mut conditions = 0;
        parse(json, 0, &mut conditions)
    }

    /// Appends the condition.
    pub fn push(&self, sql: &mut Sql) {
        match self {
            Self::All(filters) => sql.list(filters, " AND ", "true"),
            Self::Any(filters) => sql.list(filters, " OR ", "false"),
            Self::Field(field, test) => test.push(field, sql),
        }
    }
}

fn parse(json: &Json, depth: usize, conditions: &mut usize) -> Result<Filter> {
    *conditions += 1;
    if depth > DEPTH_MAX || *conditions > CONDITIONS_MAX {
        return Err(Error::invalid(format!("A filter may have {CONDITIONS_MAX} conditions, {DEPTH_MAX} deep.")));
    }
    let odd =
        || Error::invalid("A filter is [field, operator, value], an array of such, {\"and\": […]} or {\"or\": […]}.");
    let mut all =
        |filters: &[Json]| filters.iter().map(|filter| parse(filter, depth + 1, conditions)).collect::<Result<_>>();
    match json {
        Json::Array(parts) if parts.first().is_some_and(Json::is_string) => condition(parts),
        Json::Array(filters) => Ok(Filter::All(all(filters)?)),
        Json::Object(object) if object.len() == 1 => match (object.get("and"), object.get("or")) {
            (Some(Json::Array(filters)), None) => Ok(Filter::All(all(filters)?)),
            (None, Some(Json::Array(filters))) => Ok(Filter::Any(all(filters)?)),
            _ => Err(odd()),
        },
        _ => Err(odd()),
    }
}

fn condition(parts: &[Json]) -> Result<Filter> {
    let [Json::String(field), Json::String(operator), value] = parts else {
        return Err(Error::invalid("A condition has three parts: [field, operator, value]."));
    };
    let field = Field::parse(field)?;
    let value = value.clone();
    let several = |value: Json| match value {
        Json::Array(values) if (1..=VALUES_MAX).contains(&values.len()) => Ok(values),
        _ => Err(Error::invalid(format!("{operator} takes an array of 1 to {VALUES_MAX} values."))),
    };
    let compares = |compare, value: Json| match value {
        Json::Number(_) | Json::String(_) | Json::Bool(_) => Ok(Test::Compares(compare, value)),
        _ => Err(Error::invalid(format!("{operator} compares with a number, a text or a boolean."))),
    };
    let test = match operator.as_str() {
        "==" => Test::Is(value),
        "!=" => Test::IsNot(value),
        "<" => compares(Compare::Below, value)?,
        "<=" => compares(Compare::AtMost, value)?,
        ">" => compares(Compare::Above, value)?,
        ">=" => compares(Compare::AtLeast, value)?,
        "in" => Test::In(several(value)?),
        "not-in" => Test::NotIn(several(value)?),
        "array-contains" => Test::Contains(value),
        "array-contains-any" => Test::ContainsAny(several(value)?),
        _ => {
            return Err(Error::invalid(format!(
                "Unknown operator {operator:?}. There are == != < <= > >= in not-in array-contains and array-contains-any."
            )));
        }
    };
    Ok(Filter::Field(field, test))
}

impl Test {
    fn push(&self, field: &Field, sql: &mut Sql) {
        let path = field.json_path();
        let place = Place {
            value: format!("data ->> '{path}'"),
            kind: format!("json_type(data, '{path}')"),
            json: format!("data -> '{path}'"),
        };
        let elements = |sql: &mut Sql, values: &[Json]| {
            sql.say(&format!(
                "({} = 'array' AND EXISTS (SELECT 1 FROM json_each(data, '{path}') AS element WHERE ",
                place.kind
            ));
            Place::element().is_one_of(values, sql);
            sql.say("))");
        };
        match self {
            Self::Is(value) => place.is(value, sql),
            Self::In(values) => place.is_one_of(values, sql),
            Self::IsNot(value) => place.is_none_of(std::slice::from_ref(value), sql),
            Self::NotIn(values) => place.is_none_of(values, sql),
            Self::Compares(compare, value) => {
                sql.say(&format!("({} {} ", place.value, compare.sign())).bind(value);
                sql.say(&format!(" AND {} IN {})", place.kind, kinds(value)));
            }
            Self::Contains(value) => elements(sql, std::slice::from_ref(value)),
            Self::ContainsAny(values) => elements(sql, values),
        }
    }
}

/// Where a value stands: SQL for it, for its JSON type and for its JSON text.
struct Place {
    value: String,
    kind: String,
    json: String,
}

impl Place {
    /// What `json_each` gives of an array.
    fn element() -> Self {
        Self { value: "element.value".into(), kind: "element.type".into(), json: "element.value".into() }
    }

    fn is(&self, value: &Json, sql: &mut Sql) {
        match value {
            Json::Null => sql.say(&format!("{} = 'null'", self.kind)),
            Json::Array(_) | Json::Object(_) => {
                sql.say(&format!("({} IN {} AND {} = ", self.kind, kinds(value), self.json)).bind(value).say(")")
            }
            // The value comes first: it is what an index is of.
            _ => sql.say(&format!("({} = ", self.value)).bind(value).say(&format!(
                " AND {} IN {})",
                self.kind,
                kinds(value)
            )),
        };
    }

    fn is_one_of(&self, values: &[Json], sql: &mut Sql) {
        sql.say("(");
        for (index, value) in values.iter().enumerate() {
            if index > 0 {
                sql.say(" OR ");
            }
            self.is(value, sql);
        }
        sql.say(")");
    }

    /// It is there, it is not null, and it is none of these.
    fn is_none_of(&self, values: &[Json], sql: &mut Sql) {
        sql.say(&format!("({} <> 'null' AND NOT ", self.kind));
        self.is_one_of(values, sql);
        sql.say(")");
    }
}

/// The JSON types that a value is compared with.
fn kinds(value: &Json) -> &'static str {
    match value {
        Json::Null => "('null')",
        Json::Bool(_) => "('true', 'false')",
        Json::Number(_) => "('integer', 'real')",
        Json::String(_) => "('text')",
        Json::Array(_) => "('array')",
        Json::Object(_) => "('object')",
    }
}

/// SQL with the values that are bound to it.
#[derive(Debug, Default)]
pub struct Sql {
    pub text: String,
    pub values: Vec<Value>,
}

impl Sql {
    pub fn say(&mut self, text: &str) -> &mut Self {
        self.text.push_str(text);
        self
    }

    /// A parameter. Arrays and objects are bound as the JSON text that is stored of them.
    pub fn bind(&mut self, value: &Json) -> &mut Self {
        self.bind_value(match value {
            Json::Array(_) | Json::Object(_) => Value::text(value.to_string()),
            plain => crate::access::asking::value(plain),
        })
    }

    pub fn bind_value(&mut self, value: Value) -> &mut Self {
        self.text.push('?');
        self.values.push(value);
        self
    }

    fn list(&mut self, filters: &[Filter], between: &str, empty: &str) {
        self.say("(");
        for (index, filter) in filters.iter().enumerate() {
            if index > 0 {
                self.say(between);
            }
            filter.push(self);
        }
        if filters.is_empty() {
            self.say(empty);
        }
        self.say(")");
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use rusqlite::Connection;
    use rusqlite::types::ToSqlOutput;
    use serde_json::json;

    /// The ids that a filter finds among documents `0`, `1`, ….
    fn found(documents: &[Json], filter: Json) -> Vec<i64> {
        let connection = Connection::open_in_memory().unwrap();
        connection.execute_batch("CREATE TABLE t (id INTEGER PRIMARY KEY, data)").unwrap();
        for (id, document) in documents.iter().enumerate() {
            connection.execute("INSERT INTO t VALUES (?1, ?2)", (id as i64, document.to_string())).unwrap();
        }
        let mut sql = Sql::default();
        sql.say("SELECT id FROM t WHERE ");
        Filter::parse(&filter).unwrap().push(&mut sql);
        let mut statement = connection.prepare(&format!("{} ORDER BY id", sql.text)).unwrap();
        let values = sql.values.iter().map(|value| ToSqlOutput::Borrowed(value.as_ref()));
        let rows = statement.query_map(rusqlite::params_from_iter(values), |row| row.get(0)).unwrap();
        rows.collect::<Result<_, _>>().unwrap()
    }

    #[test]
    fn operators_find_what_firestores_find() {
        let documents = [
            json!({"a": 5, "t": [1, "1", true, null, [1], {"x": 1}]}),
            json!({"a": "5", "t": "1"}),
            json!({"a": true, "t": []}),
            json!({"a": 1}),
            json!({"a": null}),
            json!({}),
            json!({"a": {"b": [1, 2]}}),
            json!({"a": [1, 2]}),
            json!({"a": 5.0, "b": {"c": "x"}}),
            json!({"a": "{\"b\":[1,2]}"}),
        ];
        for (filter, expected) in [
            (json!(["a", "==", 5]), vec![0, 8]),
            (json!(["a", "==", "5"]), vec![1]),
            (json!(["a", "==", true]), vec![2]),
            (json!(["a", "==", 1]), vec![3]),
            (json!(["a", "==", null]), vec![4]),
            (json!(["a", "==", {"b": [1, 2]}]), vec![6]),
            (json!(["a", "==", [1, 2]]), vec![7]),
            (json!(["a", "!=", 5]), vec![1, 2, 3, 6, 7, 9]),
            (json!(["a", "!=", null]), vec![0, 1, 2, 3, 6, 7, 8, 9]),
            (json!(["a", ">", 1]), vec![0, 8]),
            (json!(["a", ">=", 1]), vec![0, 3, 8]),
            (json!(["a", "<", "6"]), vec![1]),
            (json!(["a", "<=", true]), vec![2]),
            (json!(["a", "in", [1, "5", null]]), vec![1, 3, 4]),
            (json!(["a", "not-in", [1, "5"]]), vec![0, 2, 6, 7, 8, 9]),
            (json!(["t", "array-contains", 1]), vec![0]),
            (json!(["t", "array-contains", "1"]), vec![0]),
            (json!(["t", "array-contains", null]), vec![0]),
            (json!(["t", "array-contains", [1]]), vec![0]),
            (json!(["t", "array-contains", {"x": 1}]), vec![0]),
            (json!(["t", "array-contains", 2]), vec![]),
            (json!(["t", "array-contains-any", [2, true]]), vec![0]),
            (json!(["b.c", "==", "x"]), vec![8]),
            (json!([["a", ">=", 1], ["a", "<", 5]]), vec![3]),
            (json!({"or": [["a", "==", 1], {"and": [["a", "==", 5], ["b.c", "==", "x"]]}]}), vec![3, 8]),
            (json!([]), (0..10).collect()),
            (json!({"or": []}), vec![]),
        ] {
            assert_eq!(found(&documents, filter.clone()), expected, "{filter}");
        }
    }

    #[test]
    fn what_is_no_filter_is_refused() {
        let deep = (0..10).fold(json!(["a", "==", 1]), |filter, _| json!([filter]));
        let long = json!(vec![json!(["a", "==", 1]); 101]);
        for filter in [
            json!(5),
            json!({}),
            json!({"nor": []}),
            json!({"and": 1}),
            json!(["a", "=="]),
            json!(["a", "=", 1]),
            json!(["a", "==", 1, 2]),
            json!(["", "==", 1]),
            json!(["a", "<", null]),
            json!(["a", "<", [1]]),
            json!(["a", "in", 1]),
            json!(["a", "in", []]),
            json!(["a", "in", vec![1; 31]]),
            json!([1, "==", 1]),
            json!(["a\"", "==", 1]),
            deep,
            long,
        ] {
            assert!(Filter::parse(&filter).is_err(), "{filter}");
        }
    }
}
