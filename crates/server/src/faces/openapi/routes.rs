//! The routes that are there whatever the tables are. One without a description here fails a test.

use serde_json::{Value as Json, json};

pub struct Route {
    pub path: &'static str,
    pub method: &'static str,
    /// Needs no token.
    pub is_public: bool,
    /// Is the administrator's alone.
    pub is_admins: bool,
    pub operation: Json,
}

fn route(method: &'static str, path: &'static str, summary: &str, answer: Json) -> Route {
    let mut operation = json!({ "summary": summary, "responses": { "200": answer } });
    let parameters: Vec<Json> =
        path.split('/').filter_map(|part| part.strip_prefix('{')?.strip_suffix('}')).map(in_path).collect();
    if !parameters.is_empty() {
        operation["parameters"] = json!(parameters);
    }
    Route { path, method, is_public: false, is_admins: false, operation }
}

impl Route {
    fn public(mut self) -> Self {
        self.is_public = true;
        self
    }

    fn admins(mut self) -> Self {
        self.is_admins = true;
        self
    }

    fn body(mut self, schema: Json) -> Self {
        self.operation["requestBody"] =
            json!({ "required": true, "content": { "application/json": { "schema": schema } } });
        self
    }

    fn query(mut self, name: &str, schema: Json) -> Self {
        let parameter = json!({ "name": name, "in": "query", "schema": schema });
        match &mut self.operation["parameters"] {
            Json::Array(parameters) => parameters.push(parameter),
            none => *none = json!([parameter]),
        }
        self
    }

    /// The body is a file; 207 says that a part of it was kept.
    fn file(mut self) -> Self {
        self.operation["requestBody"] = json!({ "required": true, "content": { "application/octet-stream": {} } });
        self.operation["responses"]["207"] = self.operation["responses"]["200"].clone();
        self
    }

    /// `Range` asks for a part.
    fn part(mut self) -> Self {
        self.operation["responses"]["206"] = self.operation["responses"]["200"].clone();
        self.operation["responses"]["416"] = json!({ "description": "there is no such part" });
        self
    }

    /// Success has this status instead of 200.
    fn status(mut self, status: &str) -> Self {
        let answer = self.operation["responses"]["200"].take();
        self.operation["responses"] = json!({ status: answer });
        self
    }
}

/// A file that is sent as it is made.
fn file() -> Json {
    json!({ "description": "the file", "content": { "*/*": {} } })
}

fn or_null(kind: &str) -> Json {
    json!({ "type": [kind, "null"] })
}

fn dump_asked() -> Json {
    object(&[
        ("format", json!({ "enum": ["sql", "json", "csv"] })),
        ("callbackUrl?", string()),
        ("chunkSize?", json!({ "type": "integer", "minimum": 1, "maximum": 1_000_000 })),
        ("includeSchema?", json!({ "type": "boolean" })),
    ])
}

fn accepted() -> Json {
    object(&[("status", json!({ "const": "accepted" })), ("progressKey", string()), ("message", string())])
}

fn dump_status() -> Json {
    let progress = object(&[
        ("totalRows", or_null("integer")),
        ("processedRows", integer()),
        ("percentComplete", integer()),
        ("startedAt", or_null("string")),
        ("estimatedCompletion", or_null("string")),
    ]);
    object(&[
        ("status", json!({ "enum": ["waiting", "processing", "completed", "failed"] })),
        ("progress", progress),
        ("format", string()),
        ("restarts", integer()),
        ("downloadUrl?", string()),
        ("size?", integer()),
        ("completedAt?", string()),
        ("failedAt?", string()),
        ("expiresAt?", string()),
        ("error?", string()),
        ("callback?", json!({ "type": "object" })),
    ])
}

fn squeezes() -> Json {
    json!({ "enum": ["gzip", "zstd", "none"] })
}

/// What came of an import; with `partial` the failures are listed.
fn imported(failures: &str) -> Json {
    let failures = (failures, array(json!({ "type": "object" })));
    result(object(&[("message", string()), ("done", integer()), ("failed", integer()), failures]))
}

fn in_path(name: &str) -> Json {
    json!({ "name": name, "in": "path", "required": true, "schema": { "type": "string", "minLength": 1 } })
}

/// A JSON body of this schema.
fn bare(schema: Json) -> Json {
    json!({ "description": "done", "content": { "application/json": { "schema": schema } } })
}

/// `{"result": …}`
fn result(schema: Json) -> Json {
    bare(json!({ "type": "object", "properties": { "result": schema }, "required": ["result"] }))
}

fn text() -> Json {
    json!({ "description": "done", "content": { "text/plain": { "schema": { "type": "string" } } } })
}

fn string() -> Json {
    json!({ "type": "string" })
}

fn integer() -> Json {
    json!({ "type": "integer" })
}

/// An object with these members, all of them there unless their name ends with a question mark.
fn object(members: &[(&str, Json)]) -> Json {
    let properties = members.iter().map(|(name, schema)| (name.trim_end_matches('?').to_owned(), schema.clone()));
    let required: Vec<&str> = members.iter().map(|(name, _)| *name).filter(|name| !name.ends_with('?')).collect();
    json!({ "type": "object", "properties": properties.collect::<serde_json::Map<_, _>>(), "required": required })
}

fn array(items: Json) -> Json {
    json!({ "type": "array", "items": items })
}

fn params() -> Json {
    json!({ "type": ["array", "object"] })
}

fn sql() -> Json {
    let one = object(&[("sql", string()), ("params?", params())]);
    json!({ "anyOf": [one, object(&[("transaction", array(one.clone()))])] })
}

/// 204.
fn nothing() -> Json {
    json!({ "description": "done" })
}

fn credentials() -> Json {
    object(&[("email", string()), ("password", string())])
}

fn signed_in() -> Json {
    object(&[
        ("user", json!({ "type": "object" })),
        ("access_token", string()),
        ("refresh_token", string()),
        ("expires_in", integer()),
    ])
}

fn upgrade() -> Json {
    json!({ "description": "what is no WebSocket is refused" })
}

fn entry() -> Json {
    bare(object(&[
        ("key", string()),
        ("value?", json!({})),
        // Not every caller may see it.
        ("revision", json!({ "type": ["integer", "null"] })),
        ("deleted?", json!({ "const": true })),
    ]))
}

fn set() -> Json {
    object(&[("value", json!({})), ("ttl?", json!({ "type": "number" })), ("if_revision?", integer())])
}

fn token() -> Json {
    object(&[
        ("id", string()),
        ("name", string()),
        ("role", string()),
        ("hint", string()),
        ("claims?", or_null("object")),
        ("made_at", integer()),
        ("expires_at", or_null("integer")),
        ("token?", string()),
    ])
}

fn column_schema() -> Json {
    object(&[("table", string()), ("column", string()), ("schema", json!({}))])
}

fn reached() -> Json {
    json!({
        "type": ["object", "null"],
        "properties": { "time": string(), "revision": { "type": ["integer", "null"] } },
        "required": ["time", "revision"]
    })
}

fn backups() -> Json {
    object(&[
        ("folder", string()),
        ("ok", json!({ "type": "boolean" })),
        ("failing_since?", string()),
        ("error?", string()),
        (
            "mirror?",
            object(&[
                ("place", string()),
                ("ok", json!({ "type": "boolean" })),
                ("revision", json!({ "type": ["integer", "null"] })),
                ("behind", integer()),
                ("behind_since", json!({ "type": ["string", "null"] })),
                ("error", json!({ "type": ["string", "null"] })),
            ]),
        ),
        ("oldest", reached()),
        ("newest", reached()),
        ("gaps", array(object(&[("after", reached()), ("before", reached())]))),
        ("files", integer()),
        ("bytes", integer()),
        ("set_aside", integer()),
        (
            "levels",
            array(object(&[
                ("level", json!({ "enum": ["seconds", "minutes", "hours", "snapshots"] })),
                ("files", integer()),
                ("bytes", integer()),
                ("oldest", string()),
                ("newest", string()),
            ])),
        ),
    ])
}

fn restored() -> Json {
    let restored = object(&[
        ("time", string()),
        ("revision", json!({ "type": ["integer", "null"] })),
        ("bytes", integer()),
        ("passed_over?", array(string())),
    ]);
    object(&[("revision", integer()), ("restored", restored), ("undo", object(&[("revision", integer())]))])
}

fn policy() -> Json {
    object(&[
        ("name", string()),
        ("table", string()),
        ("action", json!({ "enum": ["select", "insert", "update", "delete", "all"] })),
        ("role?", json!({ "enum": ["client", "user", "anonymous", "any"] })),
        ("using?", string()),
        ("check?", string()),
        ("columns?", array(string())),
    ])
}

fn statement() -> Json {
    object(&[("id", string()), ("name?", string()), ("sql", string()), ("made_at", integer())])
}

/// As whom a statement is tried.
fn asker() -> Json {
    let role = json!({ "enum": ["client", "user", "anonymous"] });
    object(&[("role", role), ("uid?", string()), ("claims?", json!({ "type": "object" }))])
}

pub fn routes() -> Vec<Route> {
    [
        sql_routes(),
        key_routes(),
        document_routes(),
        token_routes(),
        people_routes(),
        user_routes(),
        data_routes(),
        server_routes(),
    ]
    .into_iter()
    .flatten()
    .collect()
}

fn sql_routes() -> Vec<Route> {
    let raw = object(&[
        ("columns", array(string())),
        ("rows", array(array(json!({})))),
        ("meta", json!({ "type": "object" })),
    ]);
    let raw = json!({ "anyOf": [raw, array(raw.clone())] });
    vec![
        route("post", "/query", "SQL, with rows as objects", result(array(json!({})))).body(sql()),
        route("post", "/query/raw", "SQL, with columns and rows apart", result(raw)).body(sql()),
        route("get", "/socket", "SQL over a WebSocket", upgrade()).status("101").query("token", string()),
        route("get", "/ws", "everything live, over one WebSocket", upgrade()).status("101").query("token", string()),
        route(
            "get",
            "/live",
            "one live query, change stream, key or topic as Server-Sent Events",
            json!({ "description": "a stream without an end", "content": { "text/event-stream": {} } }),
        )
        .query("sql", string())
        .query("params", string())
        .query("table", string())
        .query("key", string())
        .query("topic", string())
        .query("token", string()),
        route("get", "/openapi.json", "this document", bare(json!({ "type": "object" }))),
        route("get", "/types.ts", "the tables as TypeScript", text()),
    ]
}

fn key_routes() -> Vec<Route> {
    vec![
        route(
            "get",
            "/data",
            "keys with their values",
            bare(object(&[("keys", array(json!({}))), ("after", json!({ "type": ["string", "null"] }))])),
        )
        .query("prefix", string())
        .query("after", string())
        .query("limit", json!({ "type": "integer", "minimum": 1, "maximum": 1000 })),
        route("get", "/data/{key}", "one key", entry()),
        route("put", "/data/{key}", "set a key", entry()).body(set()),
        route("post", "/data/{key}", "set a key, or with /increment behind it add to it", entry()).body(set()),
        route("delete", "/data/{key}", "delete a key", entry()).query("if_revision", integer()),
        route("post", "/topics/{topic}", "publish", result(object(&[("cursor", integer())])))
            .body(object(&[("data", json!({}))])),
        route(
            "put",
            "/topics/{topic}",
            "how many messages the topic keeps",
            result(object(&[("topic", string()), ("keep", integer())])),
        )
        .body(object(&[("keep", json!({ "type": "integer", "minimum": 0 }))]))
        .admins(),
    ]
}

fn document_routes() -> Vec<Route> {
    let data = || json!({ "type": "object" });
    let document = || {
        object(&[
            ("id", string()),
            ("path", string()),
            ("data", data()),
            ("revision", json!({ "type": ["integer", "null"] })),
        ])
    };
    let deleted = object(&[
        ("id", string()),
        ("path", string()),
        ("deleted", json!({ "type": "boolean" })),
        ("revision", json!({ "type": ["integer", "null"] })),
    ]);
    let write = object(&[
        ("op", json!({ "enum": ["set", "merge", "update", "delete"] })),
        ("path", string()),
        ("data?", data()),
        ("if_revision?", integer()),
        ("exists?", json!({ "type": "boolean" })),
    ]);
    let read = object(&[("path", string()), ("revision", integer())]);
    let written = || bare(json!({ "type": "object" }));
    let several = || bare(object(&[("results", array(json!({ "type": "object" })))]));
    let conditions = |route: Route| route.query("if_revision", integer()).query("exists", json!({ "type": "boolean" }));
    vec![
        route("get", "/docs/{path}", "a document, or the documents of a collection", bare(json!({ "type": "object" })))
            .query("where", string())
            .query("orderBy", string())
            .query("limit", json!({ "type": "integer", "minimum": 1, "maximum": 10000 }))
            .query("startAfter", string())
            .query("count", json!({ "type": "boolean" }))
            .query("sum", string())
            .query("average", string()),
        conditions(route("post", "/docs/{path}", "make a document with a new id in a collection", bare(document())))
            .status("201")
            .body(data()),
        conditions(route("put", "/docs/{path}", "put a document in the place of whatever is there", written()))
            .body(data()),
        conditions(route("patch", "/docs/{path}", "change fields of a document", written())).body(data()),
        conditions(route("delete", "/docs/{path}", "take a document away", bare(deleted))),
        route("post", "/docs:batch", "several writes of documents: all or none", several())
            .body(object(&[("writes", array(write.clone()))])),
        route("post", "/docs:commit", "several writes, if what was read is still so", several())
            .body(object(&[("reads", array(read)), ("writes", array(write))])),
        route("get", "/collections", "the collections", result(array(string()))).admins(),
        route("put", "/collections/{name}", "make a collection", result(object(&[("name", string())]))).admins(),
        route(
            "post",
            "/collections/{name}",
            "with /indexes behind it: make an index",
            result(object(&[("collection", string()), ("fields", array(string()))])),
        )
        .status("201")
        .body(object(&[("fields", array(string()))]))
        .admins(),
    ]
}

fn token_routes() -> Vec<Route> {
    vec![
        route(
            "post",
            "/auth/ticket",
            "a single-use ticket for a socket",
            result(object(&[("ticket", string()), ("expires_in", integer())])),
        ),
        route("get", "/auth/tokens", "tokens with a name", result(array(token()))).admins(),
        route("post", "/auth/tokens", "make a token", result(token()))
            .status("201")
            .body(object(&[
                ("name", string()),
                ("role", json!({ "enum": ["client", "admin"] })),
                ("claims?", json!({ "type": "object" })),
                ("expires_in?", integer()),
            ]))
            .admins(),
        route("delete", "/auth/tokens/{id}", "revoke a token", result(json!({ "const": true }))).admins(),
    ]
}

fn people_routes() -> Vec<Route> {
    vec![
        route("post", "/auth/signup", "make an account", result(signed_in()))
            .status("201")
            .body(credentials())
            .public(),
        route("post", "/auth/login", "sign in", result(signed_in())).body(credentials()).public(),
        route("post", "/auth/anonymous", "come in without an account", result(signed_in())).status("201").public(),
        route("post", "/auth/refresh", "a new pair of tokens for a refresh token", result(signed_in()))
            .body(object(&[("refresh_token", string())]))
            .public(),
        route("post", "/auth/reset", "choose a new password with a token for that", nothing())
            .status("204")
            .body(object(&[("token", string()), ("password", string())]))
            .public(),
        route("post", "/auth/upgrade", "give somebody without an account one", result(json!({ "type": "object" })))
            .body(credentials()),
        route("post", "/auth/logout", "sign out", nothing()).status("204"),
        route("get", "/auth/me", "who the token stands for", result(object(&[("role", string())]))),
        route("get", "/auth/sessions", "where one is signed in", result(array(json!({ "type": "object" })))),
        route("delete", "/auth/sessions", "sign out everywhere else", nothing()).status("204"),
        route("delete", "/auth/sessions/{id}", "sign out there", nothing()).status("204"),
        route("post", "/auth/password", "change one's password", nothing())
            .status("204")
            .body(object(&[("old_password", string()), ("password", string())])),
        route(
            "get",
            "/.well-known/jwks.json",
            "the keys that tokens are signed with",
            bare(object(&[("keys", array(json!({ "type": "object" })))])),
        )
        .public(),
    ]
}

fn user_routes() -> Vec<Route> {
    vec![
        route("get", "/auth/users", "people with an account", result(array(json!({ "type": "object" }))))
            .query("after", string())
            .query("limit", json!({ "type": "integer", "minimum": 1, "maximum": 1000 }))
            .admins(),
        route("post", "/auth/users", "make an account for somebody", result(json!({ "type": "object" })))
            .status("201")
            .body(object(&[
                ("email", string()),
                ("password?", string()),
                ("claims?", json!({ "type": ["object", "null"] })),
            ]))
            .admins(),
        route("get", "/auth/users/{id}", "one of them, with sessions", result(json!({ "type": "object" }))).admins(),
        route("patch", "/auth/users/{id}", "change one of them", result(json!({ "type": "object" })))
            .body(json!({ "type": "object" }))
            .admins(),
        route("delete", "/auth/users/{id}", "remove one of them", nothing()).status("204").admins(),
        route("delete", "/auth/users/{id}/sessions", "sign one of them out everywhere", nothing())
            .status("204")
            .admins(),
        route(
            "post",
            "/auth/users/{id}/reset",
            "a token to choose a new password with",
            result(object(&[("token", string()), ("expires_in", integer())])),
        )
        .status("201")
        .admins(),
        route("get", "/auth/keys", "keys that tokens are signed with", result(array(json!({ "type": "object" }))))
            .admins(),
        route("post", "/auth/keys", "begin a new one", result(array(json!({ "type": "object" }))))
            .status("201")
            .admins(),
    ]
}

/// What stands in the files, and what is to be done with them.
fn migrations() -> Json {
    let migration = object(&[("number", integer()), ("name", string()), ("sql", string())]);
    object(&[
        ("migrations?", array(migration)),
        ("direction?", json!({ "enum": ["up", "down"] })),
        ("to?", integer()),
        ("dryRun?", json!({ "type": "boolean" })),
        ("mark?", json!({ "type": "boolean" })),
    ])
}

fn migration_applied() -> Json {
    object(&[
        ("number", integer()),
        ("name", string()),
        ("checksum", string()),
        ("down", json!({ "type": ["string", "null"] })),
        ("applied_at", integer()),
        ("revision", integer()),
        ("who", string()),
    ])
}

fn migrations_done() -> Json {
    let done = object(&[("number", integer()), ("name", string()), ("statements", integer())]);
    object(&[
        ("direction", json!({ "enum": ["up", "down", "mark"] })),
        ("dry_run", json!({ "type": "boolean" })),
        ("done", array(done)),
        ("passed_over", array(integer())),
    ])
}

/// Data on its way out and in, and to and fro in time.
fn data_routes() -> Vec<Route> {
    vec![
        route("get", "/export/dump", "the database as SQL", file())
            .query("compress", squeezes())
            .query("system", json!({ "type": "boolean" }))
            .query("schema", json!({ "type": "boolean" }))
            .admins(),
        route("post", "/export/dump", "a dump that is made in the background", bare(accepted()))
            .body(dump_asked())
            .status("202")
            .admins(),
        route("get", "/export/dump/status/{key}", "how far a dump is", bare(dump_status())).admins(),
        route("get", "/export/dump/download/{file}", "a dump that is complete, or a part of it", file())
            .part()
            .admins(),
        route("delete", "/export/dump/{key}", "remove a dump, or give it up", result(json!({ "const": true })))
            .admins(),
        route(
            "get",
            "/export/dump/secret",
            "when the secret of callbacks was made",
            result(object(&[("madeAt", or_null("string"))])),
        )
        .admins(),
        route(
            "post",
            "/export/dump/secret",
            "a new secret for callbacks, shown once",
            result(object(&[("secret", string())])),
        )
        .status("201")
        .admins(),
        route("get", "/export/db", "the database as an SQLite file", file()).admins(),
        route("get", "/export/{form}/{table}", "a table or view as json, ndjson or csv", file())
            .query("compress", squeezes())
            .admins(),
        route("post", "/import/dump", "run a dump, or what an SQLite file holds", imported("details"))
            .file()
            .query("partial", json!({ "type": "boolean" }))
            .query("dry_run", json!({ "type": "boolean" }))
            .admins(),
        route(
            "post",
            "/import/{form}/{table}",
            "records of json, ndjson or csv into a table",
            imported("failedStatements"),
        )
        .file()
        .query("partial", json!({ "type": "boolean" }))
        .query("dry_run", json!({ "type": "boolean" }))
        .query("create", json!({ "type": "boolean" }))
        .query("delimiter", string())
        .admins(),
        route("get", "/migrations", "those that were applied", result(array(migration_applied()))).admins(),
        route("post", "/migrations", "apply or undo migrations", result(migrations_done())).body(migrations()).admins(),
        route("get", "/backups", "from when to when backups reach, and how they fare", result(backups())).admins(),
        route("post", "/restore", "go back to a moment of the backups", result(restored()))
            .body(json!({
                "type": "object",
                "properties": { "at": { "type": ["string", "integer"] }, "revision": { "type": "integer" } },
                "additionalProperties": false,
                "minProperties": 1,
                "maxProperties": 1
            }))
            .admins(),
    ]
}

fn server_routes() -> Vec<Route> {
    vec![
        route("get", "/policies", "what is open to whom", result(array(policy()))).admins(),
        route("post", "/policies", "keep a policy", result(policy())).status("201").body(policy()).admins(),
        route(
            "post",
            "/policies/explain",
            "what a statement would do if somebody ran it",
            result(json!({ "type": "object" })),
        )
        .body(object(&[("as", asker()), ("sql", string()), ("params?", params())]))
        .admins(),
        route("get", "/statements", "what clients may run", result(array(statement()))).admins(),
        route("post", "/statements", "put a statement on the list", result(statement()))
            .status("201")
            .body(object(&[("sql", string()), ("name?", string())]))
            .admins(),
        route("delete", "/statements/{id}", "take a statement from the list", result(json!({ "const": true })))
            .admins(),
        route(
            "get",
            "/statements/rejected",
            "what clients were refused",
            result(array(object(&[
                ("sql", string()),
                ("count", integer()),
                ("first_at", integer()),
                ("last_at", integer()),
                ("who", string()),
            ]))),
        )
        .admins(),
        route("get", "/policies/{name}", "one policy", result(policy())).admins(),
        route("delete", "/policies/{name}", "drop a policy", result(json!({ "const": true }))).admins(),
        route("get", "/schemas", "JSON Schemas of columns", result(array(column_schema()))).admins(),
        route("get", "/schemas/{table}/{column}", "that of one column", result(column_schema())).admins(),
        route("put", "/schemas/{table}/{column}", "keep the JSON Schema of a column", result(column_schema()))
            .body(json!({ "type": ["object", "boolean"] }))
            .admins(),
        route("delete", "/schemas/{table}/{column}", "drop it", result(json!({ "const": true }))).admins(),
        route("get", "/health", "the process is alive", result(object(&[("status", string())]))).public(),
        route("get", "/ready", "the database answers", result(object(&[("status", string())]))).public(),
        route("get", "/metrics", "figures for Prometheus", text()).admins(),
        route("get", "/status/database", "the file and the server", result(json!({ "type": "object" }))).admins(),
        route("get", "/status/live", "what live queries cost", result(json!({ "type": "object" }))).admins(),
    ]
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeSet;

    /// The routes of `faces/mod.rs`, as they stand there: path and methods.
    fn written() -> BTreeSet<(String, String)> {
        let source = include_str!("../mod.rs");
        let mut written = BTreeSet::new();
        for part in source.split(".route(").skip(1) {
            let path = part.split('"').nth(1).unwrap().replace("{*", "{");
            let handlers = part.split(".route(").next().unwrap().split(";\n").next().unwrap();
            for method in ["get", "post", "put", "patch", "delete"] {
                if handlers.contains(&format!(" {method}("))
                    || handlers.contains(&format!(".{method}("))
                    || handlers.contains(&format!("::{method}("))
                {
                    written.insert((path.clone(), method.to_owned()));
                }
            }
        }
        written
    }

    #[test]
    fn every_route_is_described() {
        let described: BTreeSet<(String, String)> =
            routes().iter().map(|route| (route.path.to_owned(), route.method.to_owned())).collect();
        // Those of the tables are made for each of them.
        let written: BTreeSet<(String, String)> =
            written().into_iter().filter(|(path, _)| path != "/rest" && !path.starts_with("/rest/")).collect();
        assert_eq!(described, written, "in openapi/routes.rs, and in faces/mod.rs");
    }
}
