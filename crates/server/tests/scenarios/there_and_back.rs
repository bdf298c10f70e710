//! Data out and in by HTTP: the calls of StarbaseDB's page, and what may go wrong on the way. That what comes back is the same is a test of
//! the engine.

use crate::server::Server;
use crate::server::http::{Answer, Request};
use serde_json::{Value as Json, json};

const MADE: &str = "CREATE TABLE users (id INTEGER PRIMARY KEY, name TEXT, picture BLOB);
    INSERT INTO users VALUES (1, 'it''s; \"Ann\"', x'00ff'), (2, NULL, NULL)";

async fn post(server: &Server, path: &str, kind: &str, body: impl Into<Vec<u8>>) -> Answer {
    server.send(Request::new("POST", path).header("content-type", kind).body(body)).await
}

/// As curl's `--form name=@file` sends it.
async fn post_form(server: &Server, path: &str, field: &str, file: &str) -> Answer {
    let body = format!(
        "--part\r\nContent-Disposition: form-data; name=\"{field}\"; filename=\"sqldump.sql\"\r\n\
         Content-Type: application/sql\r\n\r\n{file}\r\n--part--\r\n"
    );
    post(server, path, "multipart/form-data; boundary=part", body).await
}

async fn export(server: &Server, path: &str) -> String {
    let answer = server.send(Request::get(path)).await;
    assert_eq!(answer.status, 200, "{}", answer.text());
    String::from_utf8(answer.body).unwrap()
}

#[tokio::test]
async fn the_calls_of_starbasedbs_page_work_word_for_word() {
    let server = Server::start().await;
    server.sql(MADE).await;
    let dump = server.send(Request::get("/export/dump")).await;
    assert_eq!(dump.header("content-disposition"), Some("attachment; filename=\"database_dump.sql\""));
    assert!(dump.text().contains("INSERT INTO \"users\" VALUES(1,'it''s; \"Ann\"',X'00FF');"), "{}", dump.text());
    let records: Json = serde_json::from_str(&export(&server, "/export/json/users").await).unwrap();
    assert_eq!(records[0], json!({"id": 1, "name": "it's; \"Ann\"", "picture": {"$blob": "AP8="}}));
    let csv = export(&server, "/export/csv/users").await;
    assert_eq!(csv, "id,name,picture\r\n1,\"it's; \"\"Ann\"\"\",X'00FF'\r\n2,,\r\n");
    server.send(Request::get("/export/json/nobody")).await.is_refused(
        404,
        "not_found",
        "Table 'nobody' does not exist.",
    );
    let other = Server::start().await;
    let imported = post_form(&other, "/import/dump", "sqlFile", str::from_utf8(&dump.body).unwrap()).await;
    assert_eq!(imported.result()["message"], "SQL dump import completed. 3 statements succeeded, 0 failed.");
    assert_eq!(other.sql("SELECT * FROM users").await, server.sql("SELECT * FROM users").await);
    let json = r#"{"data":[{"id":3,"Name":"Bo"}],"columnMapping":{"Name":"name"}}"#;
    let imported = post(&other, "/import/json/users", "application/json", json).await;
    assert_eq!(imported.result()["message"], "Imported 1 out of 1 records successfully. 0 records failed.");
    let csv = r#"{"data":"id,nick\n4,Cy\n","columnMapping":{"nick":"name"}}"#;
    assert_eq!(post(&other, "/import/csv/users", "application/json", csv).await.status, 200);
    assert_eq!(post(&other, "/import/csv/users", "text/csv", "id,name\n5,\"D\nE\"\n").await.status, 200);
    assert_eq!(post_form(&other, "/import/csv/users", "file", "id,name\n6,F\n").await.status, 200);
    let names = other.sql("SELECT json_group_array(name) AS n FROM (SELECT name FROM users ORDER BY id)").await;
    assert_eq!(names[0]["n"], r#"["it's; \"Ann\"",null,"Bo","Cy","D\nE","F"]"#);
}

#[tokio::test]
async fn an_import_is_whole_or_says_what_is_missing() {
    let server = Server::start().await;
    server.sql(MADE).await;
    let csv = "id,name\n7,G\n1,taken\n8,H\n";
    let refused = post(&server, "/import/csv/users", "text/csv", csv).await;
    refused.is_refused(409, "conflict", "Line 3: UNIQUE constraint failed: users.id");
    let dry = post(&server, "/import/csv/users?partial=true&dry_run=true", "text/csv", csv).await;
    assert_eq!((dry.status, server.sql("SELECT count(*) AS n FROM users").await), (207, json!([{"n": 2}])));
    let partial = post(&server, "/import/csv/users?partial=true", "text/csv", csv).await;
    assert_eq!(
        (partial.status, &partial.json()["result"]["failedStatements"][0]["statement"]),
        (207, &json!("line 3"))
    );
    assert_eq!(partial.json()["result"]["message"], "Imported 2 out of 3 records successfully. 1 records failed.");
    let script = "INSERT INTO users VALUES(9,'I',NULL);\nnonsense;\n";
    post(&server, "/import/dump", "application/sql", script).await.is_refused(
        400,
        "invalid",
        "Line 2: near \"nonsense\"",
    );
    let partial = post(&server, "/import/dump?partial", "application/sql", script).await;
    assert_eq!((partial.status, &partial.json()["result"]["details"][0]["statement"]), (207, &json!("nonsense")));
    for (path, kind, body, status, words) in [
        ("/import/dump", "application/sql", "", 400, "Request body is empty"),
        ("/import/json/users", "application/json", "{", 400, "Invalid JSON format"),
        ("/import/csv/users", "application/json", "[]", 400, "Invalid JSON format"),
        ("/import/csv/nobody", "text/csv", "a\n1\n", 404, "create=true"),
        ("/import/csv/_tide_meta", "text/csv", "name\nx\n", 403, "kept by Tidebase"),
        ("/import/xml/users", "text/xml", "<a/>", 404, "There is no import of \"xml\""),
        ("/import/csv/users?quick=1", "text/csv", "id\n1\n", 400, "There is no parameter \"quick\""),
        ("/import/csv/users?delimiter=ab", "text/csv", "id\n1\n", 400, "delimiter is one character"),
        ("/import/dump?partial=maybe", "text/csv", "id\n1\n", 400, "partial is true or false"),
        ("/import/dump", "multipart/form-data; boundary=x", "--x--\r\n", 400, "No SQL file uploaded"),
    ] {
        let refused = post(&server, path, kind, body).await;
        assert_eq!(refused.status, status, "{path}: {}", refused.text());
        let told = refused.json()["error"].as_str().unwrap().to_owned();
        assert!(told.contains(words), "{path}: {told}");
    }
}

#[tokio::test]
async fn only_the_administrator_takes_data_out_or_in() {
    let server = Server::start().await;
    server.sql(MADE).await;
    let made =
        server.send(Request::post("/auth/tokens", json!({"name": "a program", "role": "client"}))).await.result();
    let client = made["token"].as_str().unwrap();
    for token in [None, Some(client)] {
        for request in [
            Request::get("/export/dump"),
            Request::get("/export/db"),
            Request::get("/export/csv/users"),
            Request::new("POST", "/import/dump").body("CREATE TABLE x (a)"),
            Request::new("POST", "/import/csv/users").body("id\n9\n"),
        ] {
            let request = request.without_token();
            let request = match token {
                Some(token) => request.header("authorization", format!("Bearer {token}")),
                None => request,
            };
            assert_eq!(server.send(request).await.status, if token.is_some() { 403 } else { 401 });
        }
    }
    // Nor does it give out what Tidebase keeps.
    server.send(Request::get("/export/csv/_tide_tokens")).await.is_refused(404, "not_found", "does not exist");
    assert!(!export(&server, "/export/dump").await.contains("_tide"));
}

#[tokio::test]
async fn a_live_query_follows_an_import() {
    let server = Server::start().await;
    server.sql(MADE).await;
    let mut live = server.live().await;
    let rows = live.subscribe(1, "SELECT id FROM users ORDER BY id").await;
    assert_eq!(rows["rows"].as_array().unwrap().len(), 2);
    assert_eq!(post(&server, "/import/csv/users", "text/csv", "id\n7\n").await.status, 200);
    let told = live.until(|frame| frame["type"] == "delta").await;
    assert_eq!(told["queries"][0]["insert"], json!([["7", 7]]));
    assert_eq!(
        post(&server, "/import/dump", "application/sql", "CREATE TABLE other (a); DELETE FROM users WHERE id = 1;")
            .await
            .status,
        200
    );
    let told = live.until(|frame| frame["type"] == "delta").await;
    assert_eq!(told["queries"][0]["delete"], json!(["1"]));
}

/// Documents, keys and their revisions are what they were, but for being written now.
#[tokio::test]
async fn documents_and_keys_come_back() {
    let server = Server::start().await;
    for path in ["/docs/rooms/r1", "/docs/rooms/r1/messages/m1"] {
        server.send(Request::new("PUT", path).json(json!({"name": "Harbour"}))).await.json();
    }
    server.send(Request::new("PUT", "/data/k").json(json!({"value": {"a": 1}}))).await.json();
    let dump = export(&server, "/export/dump").await;
    let other = Server::start().await;
    let imported = post(&other, "/import/dump", "application/sql", dump).await;
    assert_eq!(imported.status, 200, "{}", imported.text());
    let revision = imported.revision();
    for path in ["/docs/rooms/r1", "/docs/rooms/r1/messages/m1"] {
        let document = other.send(Request::get(path)).await.json();
        assert_eq!(
            (&document["data"], &document["revision"]),
            (&json!({"name": "Harbour"}), &json!(revision)),
            "{path}"
        );
    }
    let patched = other.send(Request::new("PATCH", "/docs/rooms/r1").json(json!({"open": true}))).await.json();
    assert_eq!(patched["data"], json!({"name": "Harbour", "open": true}));
    assert_eq!(other.send(Request::get("/data/k")).await.json()["value"], json!({"a": 1}));
    // By SQL, too, a document's write is noted.
    other.sql("UPDATE rooms SET data = '{}'").await;
    let document = other.send(Request::get("/docs/rooms/r1")).await.json();
    assert!(document["revision"].as_i64().unwrap() > patched["revision"].as_i64().unwrap(), "{document}");
}

/// A query that gives no row is ended when nobody waits for it any more.
#[tokio::test]
async fn an_export_ends_with_its_reader() {
    use tokio::io::AsyncWriteExt as _;
    let server = Server::start_with(&["exports_max=1"]).await;
    server
        .sql("CREATE VIEW endless AS WITH RECURSIVE c(x) AS (SELECT 1 UNION ALL SELECT x + 1 FROM c) SELECT x FROM c WHERE x < 0")
        .await;
    let mut stream = tokio::net::TcpStream::connect(server.address).await.unwrap();
    let head = format!("{}\r\n", Request::get("/export/csv/endless").head());
    stream.write_all(head.as_bytes()).await.unwrap();
    let taken = async || server.send(Request::get("/export/csv/users")).await.status;
    // Until it has the only place, there is no such table; then there is no place.
    crate::server::within("the place is taken", async { while taken().await != 429 {} }).await;
    drop(stream);
    crate::server::within("the place is free again", async { while taken().await != 404 {} }).await;
}

/// A few kilobytes that are many megabytes when they are unsqueezed.
#[tokio::test]
async fn a_squeezed_file_is_bounded_by_what_it_becomes() {
    use std::io::Write as _;
    use tidebase_engine::export::Squeeze;
    let server = Server::start_with(&["import_bytes_max=65536"]).await;
    for squeeze in [Squeeze::Gzip, Squeeze::Zstd] {
        let mut bomb = squeeze.onto(Vec::new()).unwrap();
        bomb.write_all(b"SQLite format 3\0").unwrap();
        bomb.write_all(&vec![0; 8 << 20]).unwrap();
        let refused = post(&server, "/import/dump", "application/octet-stream", bomb.finish().unwrap()).await;
        refused.is_refused(413, "too_large", "Unsqueezed the SQLite file has more than 65536 bytes");
    }
}

#[tokio::test]
async fn lines_of_json_are_known_by_what_they_are_said_to_be() {
    let server = Server::start().await;
    server.sql("CREATE TABLE t (data TEXT, a)").await;
    let line = r#"{"data":[{"a":1}]}"#;
    for (path, kind) in [
        ("/import/json/t", "application/json"),
        ("/import/json/t", "application/x-ndjson"),
        ("/import/ndjson/t", "application/octet-stream"),
    ] {
        let imported = post(&server, path, kind, line).await;
        assert_eq!(imported.result()["done"], 1, "{}", imported.text());
    }
    let there = server.sql("SELECT coalesce(data, a) AS x FROM t").await;
    assert_eq!(there, json!([{"x": 1}, {"x": "[{\"a\":1}]"}, {"x": "[{\"a\":1}]"}]));
}
