//! One table, described: its paths, and what its rows are in an answer, an insert and an update.

use crate::faces::openapi::with_failures;
use crate::types::is_never_null;
use serde_json::{Map, Value as Json, json};
use std::fmt::Write as _;
use tidebase_engine::tables::{Column, Kind, Open, Table};

pub fn describe(table: &Table, paths: &mut Map<String, Json>, schemas: &mut Map<String, Json>) {
    let name = component(&table.name);
    let path = format!("/rest/{}", in_address(&table.name));
    let reference = |part: &str| json!({ "$ref": format!("#/components/schemas/{name}.{part}") });
    let row = json!({ "type": "object", "description": "With `select`: what it names.", "properties": properties(table, Open::READ, told) });
    schemas.insert(format!("{name}.row"), row);
    let written = json!({ "type": "object", "properties": properties(table, Open::TOLD, told) });
    schemas.insert(format!("{name}.written"), written);
    for (part, what) in [("insert", Open::INSERT), ("update", Open::UPDATE)] {
        if table.open.has(what) {
            let mut schema = json!({
                "type": "object",
                "properties": properties(table, what, taken),
                "additionalProperties": false,
                "minProperties": 1,
            });
            let required =
                table.columns_open(what).into_iter().filter(|&index| part == "insert" && table.is_required(index));
            let required: Vec<&str> = required.map(|index| &*table.columns[index].name).collect();
            if !required.is_empty() {
                schema["required"] = json!(required);
            }
            schemas.insert(format!("{name}.{part}"), schema);
        }
    }
    let mut list = Map::new();
    let told = &*table.name;
    if table.open.has(Open::READ) {
        let rows = json!({ "type": "array", "items": reference("row") });
        let mut get = operation(told, &format!("Rows of {told}"), "200", &rows);
        get["parameters"] = json!(list_parameters(table));
        get["responses"]["200"]["headers"] = json!({
            "Tidebase-Next": { "description": "`after` of the next page", "schema": { "type": "string" } },
            "Tidebase-Count": { "description": "with `count=exact`", "schema": { "type": "integer" } },
        });
        list.insert("get".into(), with_failures(get, false));
    }
    if table.open.has(Open::INSERT) {
        let data = json!({ "anyOf": [reference("written"), { "type": "array", "items": { "anyOf": [reference("written"), { "type": "null" }] } }] });
        let body =
            json!({ "anyOf": [reference("insert"), { "type": "array", "items": reference("insert"), "minItems": 1 }] });
        let mut post = operation(told, &format!("Insert into {told}"), "201", &written_answer(&data));
        post["requestBody"] = json_body(&body);
        post["parameters"] = json!([parameter(
            "on_conflict",
            "columns of a unique key: a row that has them is changed instead",
            &json!({ "type": "string" })
        )]);
        list.insert("post".into(), with_failures(post, false));
    }
    if table.open.has(Open::UPDATE) && !table.key.is_empty() {
        let words = "the row whose key is in the body";
        list.extend(updates(table, &reference, words));
    }
    if !list.is_empty() {
        paths.insert(path.clone(), Json::Object(list));
    }
    if !table.key.is_empty() {
        let one = one(table, &reference);
        if !one.is_empty() {
            let mut one = Json::Object(one);
            one["parameters"] = json!([{ "name": "id", "in": "path", "required": true, "description": key_words(table), "schema": key_schema(table) }]);
            paths.insert(format!("{path}/{{id}}"), one);
        }
    }
}

/// What can be done with one row.
fn one(table: &Table, reference: &dyn Fn(&str) -> Json) -> Map<String, Json> {
    let mut one = Map::new();
    let name = &*table.name;
    if table.open.has(Open::READ) && table.has_key(Open::READ) {
        let mut get = operation(name, &format!("One row of {name}"), "200", &reference("row"));
        get["parameters"] = json!([select()]);
        one.insert("get".into(), with_failures(get, false));
    }
    if table.open.has(Open::UPDATE) {
        one.extend(updates(table, reference, "a row"));
    }
    if table.open.has(Open::DELETE) {
        let message =
            json!({ "type": "object", "properties": { "message": { "type": "string" } }, "required": ["message"] });
        one.insert(
            "delete".into(),
            with_failures(operation(name, &format!("Delete a row of {name}"), "200", &message), false),
        );
    }
    one
}

/// PATCH and PUT.
fn updates(table: &Table, reference: &dyn Fn(&str) -> Json, which: &str) -> Map<String, Json> {
    let name = &*table.name;
    let update = |(method, verb): (&str, &str)| {
        let answer = written_answer(&reference("written"));
        let mut write = operation(name, &format!("{verb} {which} of {name}"), "200", &answer);
        write["requestBody"] = json_body(&reference("update"));
        (method.to_owned(), with_failures(write, false))
    };
    [("patch", "Change"), ("put", "Replace")].map(update).into_iter().collect()
}

/// A key of one column has its type, one of several is a text.
fn key_schema(table: &Table) -> Json {
    match table.key[..] {
        [one] => in_query(table.columns[one].kind),
        _ => json!({ "type": "string", "minLength": 1 }),
    }
}

/// A value that stands in the address.
fn in_query(kind: Kind) -> Json {
    match kind {
        Kind::Integer | Kind::Real => json!({ "type": "number" }),
        Kind::Boolean => json!({ "enum": ["true", "false"] }),
        Kind::Blob => json!({ "type": "string", "contentEncoding": "base64", "minLength": 1 }),
        _ => json!({ "type": "string", "minLength": 1 }),
    }
}

fn key_words(table: &Table) -> String {
    let names: Vec<&str> = table.key.iter().map(|&column| &*table.columns[column].name).collect();
    match names[..] {
        [one] => one.to_owned(),
        _ => format!("{}: with commas between them, %2C within one", names.join(",")),
    }
}

fn operation(table: &str, summary: &str, status: &str, result: &Json) -> Json {
    let schema = json!({ "type": "object", "properties": { "result": result }, "required": ["result"] });
    json!({
        "summary": summary,
        "tags": [table],
        "responses": { status: { "description": "done", "content": { "application/json": { "schema": schema } } } },
    })
}

fn written_answer(data: &Json) -> Json {
    json!({
        "type": "object",
        "properties": { "message": { "type": "string" }, "data": data },
        "required": ["message", "data"],
    })
}

fn json_body(schema: &Json) -> Json {
    json!({ "required": true, "content": { "application/json": { "schema": schema } } })
}

fn parameter(name: &str, description: &str, schema: &Json) -> Json {
    json!({ "name": name, "in": "query", "description": description, "schema": schema })
}

fn select() -> Json {
    parameter("select", "columns, and tables tied by foreign keys: `id,author(name)`", &json!({ "type": "string" }))
}

fn list_parameters(table: &Table) -> Vec<Json> {
    let text = json!({ "type": "string" });
    let number = json!({ "type": "integer", "minimum": 0 });
    let mut parameters = vec![
        select(),
        parameter("sort_by", "columns, with commas between them", &text),
        parameter("order", "asc or desc, one or one for each", &text),
        parameter("limit", "rows at most", &number),
        parameter("offset", "rows to leave out", &number),
        parameter("after", "the Tidebase-Next of the page before", &text),
        parameter("count", "tell the number of all rows in Tidebase-Count", &json!({ "enum": ["exact"] })),
    ];
    let taken: Vec<String> =
        parameters.iter().filter_map(|parameter| parameter["name"].as_str().map(ToOwned::to_owned)).collect();
    for index in table.columns_open(Open::READ) {
        let column = &*table.columns[index].name;
        let name = if taken.iter().any(|taken| taken == column) { format!("{column}.eq") } else { column.to_owned() };
        parameters.push(parameter(
            &name,
            "rows that have this value; also with .ne, .gt, .gte, .lt, .lte, .like, .in and .is behind the name",
            &in_query(table.columns[index].kind),
        ));
    }
    parameters
}

fn properties(table: &Table, what: Open, schema: fn(Kind) -> Json) -> Json {
    let property = |index: usize| {
        let column = &table.columns[index];
        let own = own_schema(column).filter(|_| what == Open::INSERT || what == Open::UPDATE);
        if let Some(own) = own {
            return (column.name.to_string(), own);
        }
        let mut schema = schema(column.kind);
        if !is_never_null(column) || what == Open::INSERT && column.is_rowid {
            or_null(&mut schema);
        }
        if what == Open::INSERT
            && let Some(default) = &column.default
        {
            schema["description"] = json!(format!("default: {default}"));
        }
        describe_type(column, &mut schema);
        (column.name.to_string(), schema)
    };
    Json::Object(table.columns_open(what).into_iter().map(property).collect())
}

/// The column's JSON Schema, if it means the same within another document.
fn own_schema(column: &Column) -> Option<Json> {
    let means_the_same = |text: &&str| !["$ref", "$dynamicRef", "$id"].iter().any(|word| text.contains(word));
    let own: Json = serde_json::from_str(column.schema.as_deref().filter(means_the_same)?).ok()?;
    Some(if is_never_null(column) { own } else { json!({ "anyOf": [own, { "type": "null" }] }) })
}

fn describe_type(column: &Column, schema: &mut Json) {
    if schema.as_object().is_some_and(Map::is_empty) && !column.declared.is_empty() {
        schema["description"] = json!(format!("declared {}", column.declared));
    }
}

fn or_null(schema: &mut Json) {
    if let Some(Json::Array(types)) = schema.get_mut("type") {
        types.push(json!("null"));
    } else if let Some(Json::Array(any)) = schema.get_mut("anyOf") {
        any.push(json!({ "type": "null" }));
    }
}

/// In an answer. A table that is not STRICT may have been given other values by SQL.
fn told(kind: Kind) -> Json {
    match kind {
        Kind::Integer | Kind::Boolean => json!({ "type": ["integer"] }),
        Kind::Real => json!({ "type": ["number"] }),
        Kind::Numeric => json!({ "type": ["number", "string"] }),
        Kind::Text => json!({ "type": ["string"] }),
        Kind::Blob => json!({ "anyOf": [{ "$ref": "#/components/schemas/Blob" }] }),
        Kind::Json | Kind::Any => json!({}),
    }
}

/// In a body.
fn taken(kind: Kind) -> Json {
    const LEAST: i64 = i64::MIN;
    match kind {
        Kind::Integer => json!({ "type": ["integer"], "minimum": LEAST, "maximum": i64::MAX }),
        Kind::Boolean => json!({ "type": ["boolean"] }),
        Kind::Real => json!({ "type": ["number"] }),
        Kind::Numeric => json!({ "type": ["number", "string"] }),
        Kind::Text => json!({ "type": ["string"] }),
        Kind::Blob => {
            json!({ "anyOf": [{ "$ref": "#/components/schemas/Blob" }, { "type": "string", "contentEncoding": "base64" }] })
        }
        Kind::Json => json!({}),
        Kind::Any => {
            json!({ "anyOf": [{ "type": ["number", "string", "boolean"] }, { "$ref": "#/components/schemas/Blob" }] })
        }
    }
}

/// A name of a component may have letters, digits and `.-_` alone: other characters as their numbers.
fn component(name: &str) -> String {
    let mut component = String::new();
    for char in name.chars() {
        match char {
            'a'..='z' | 'A'..='Z' | '0'..='9' | '_' | '-' => component.push(char),
            _ => {
                let _ = write!(component, ".{:x}.", u32::from(char));
            }
        }
    }
    component
}

/// Percent-encoded, braces too: they would be taken for a parameter.
fn in_address(name: &str) -> String {
    let mut address = String::new();
    for &byte in name.as_bytes() {
        match byte {
            b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'_' | b'-' | b'.' => address.push(byte.into()),
            _ => {
                let _ = write!(address, "%{byte:02X}");
            }
        }
    }
    address
}
