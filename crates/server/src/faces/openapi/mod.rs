//! `GET /openapi.json`: everything the server answers, described for programs (OpenAPI 3.1), the tables as they are now; and
//! `GET /types.ts`, the tables alone.
//!
//! Both show the administrator everything and a caller what is open to it. [`routes`] has a description of each route of
//! `faces/mod.rs`, which a test compares; [`tables`] makes those of the tables.

mod routes;
mod tables;

use super::{Asker, Shared};
use crate::answer::{self, Reply};
use crate::types::typescript;
use axum::extract::State;
use axum::http::{HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use serde_json::{Map, Value as Json, json};
use tidebase_engine::tables::Tables;

pub async fn read(State(app): State<Shared>, Asker(grant): Asker) -> Reply {
    let tables = app.engine.tables(&grant.principal)?;
    let document = document(&tables, grant.principal.caller().is_none());
    Ok(answer::json(StatusCode::OK, document.to_string().into()))
}

pub async fn types(State(app): State<Shared>, Asker(grant): Asker) -> Reply {
    let text = typescript(&*app.engine.tables(&grant.principal)?);
    let headers = [
        (header::CONTENT_TYPE, HeaderValue::from_static("text/plain; charset=utf-8")),
        (header::CACHE_CONTROL, HeaderValue::from_static("no-store")),
    ];
    let response: Response = (headers, text).into_response();
    Ok(response)
}

/// The codes a request can fail with, and when.
const FAILURES: [(&str, &str); 12] = [
    ("400", "invalid: a mistake in the request"),
    ("401", "unauthorized: no token, or a wrong one"),
    ("403", "forbidden: not open to this caller, or to anyone"),
    ("404", "not_found"),
    ("405", "invalid: the path does not take this method"),
    ("409", "conflict: a constraint of the database, or a condition that does not hold"),
    ("413", "too_large: past a limit of size"),
    ("429", "too_many: past a limit of number"),
    ("500", "internal: a bug; the log has the cause"),
    ("501", "unsupported"),
    ("503", "unavailable: try again later"),
    ("504", "timeout: past a limit of time"),
];

fn document(tables: &Tables, is_admin: bool) -> Json {
    let mut paths = Map::new();
    let mut schemas = common_schemas();
    for route in routes::routes().into_iter().filter(|route| is_admin || !route.is_admins) {
        let operation = with_failures(route.operation, route.is_public);
        let path = paths.entry(route.path).or_insert_with(|| json!({}));
        path[route.method] = operation;
    }
    for table in tables.iter().filter(|table| crate::types::is_shown(table)) {
        tables::describe(table, &mut paths, &mut schemas);
    }
    let failure = |(status, words): &(&str, &str)| {
        let content = json!({ "application/json": { "schema": { "$ref": "#/components/schemas/Error" } } });
        ((*status).to_owned(), json!({ "description": words, "content": content }))
    };
    json!({
        "openapi": "3.1.0",
        "info": {
            "title": "Tidebase",
            "version": env!("CARGO_PKG_VERSION"),
            "description": "A real-time backend on one SQLite file. The tables are described as they are now.",
        },
        "security": [{ "token": [] }],
        "paths": paths,
        "components": {
            "securitySchemes": { "token": { "type": "http", "scheme": "bearer" } },
            "responses": FAILURES.iter().map(failure).collect::<Map<_, _>>(),
            "schemas": schemas,
        },
    })
}

/// Adds the answers that any request may get.
fn with_failures(mut operation: Json, is_public: bool) -> Json {
    if is_public {
        operation["security"] = json!([]);
    }
    for (status, _) in FAILURES {
        let is_described = operation["responses"].get(status).is_some();
        if !is_described {
            operation["responses"][status] = json!({ "$ref": format!("#/components/responses/{status}") });
        }
    }
    operation
}

fn common_schemas() -> Map<String, Json> {
    let codes = [
        "invalid",
        "unauthorized",
        "forbidden",
        "not_found",
        "conflict",
        "too_large",
        "too_many",
        "timeout",
        "unavailable",
        "unsupported",
        "internal",
    ];
    let blob = json!({
        "type": "object",
        "properties": { "$blob": { "type": "string", "contentEncoding": "base64" } },
        "required": ["$blob"],
        "additionalProperties": false,
    });
    let error = json!({
        "type": "object",
        "properties": {
            "error": { "type": "string", "description": "for people" },
            "code": { "enum": codes },
            "statement": { "type": "integer", "description": "which statement of a transaction, or object of an array, counted from 0" },
            "column": { "type": "string", "description": "the column, or columns with commas between them, whose value was refused" },
            "pointer": { "type": "string", "description": "where in the document that was written to the column" },
            "path": { "type": "string", "description": "the document that was read, and has changed since" },
        },
        "required": ["error", "code"],
    });
    Map::from_iter([("Blob".to_owned(), blob), ("Error".to_owned(), error)])
}

#[cfg(test)]
mod tests {
    use super::*;
    use tidebase_engine::Code;

    #[test]
    fn every_code_has_its_answer() {
        for code in
            serde_json::from_value::<Vec<String>>(common_schemas()["Error"]["properties"]["code"]["enum"].clone())
                .unwrap()
        {
            let status = answer::status(Code::from_name(&code).unwrap()).as_u16().to_string();
            let is_described = FAILURES.iter().any(|(known, _)| *known == status);
            assert!(is_described, "{code} {status}");
        }
    }
}
