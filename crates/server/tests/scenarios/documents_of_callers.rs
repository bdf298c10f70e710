//! Documents as callers see and write them: what policies on the collection's table open, and nothing about the rest.

use super::callers::{allow, bearer, token};
use crate::server::Server;
use crate::server::http::{Answer, Request};
use serde_json::{Value as Json, json};

async fn start() -> Server {
    let server = Server::start().await;
    server.send(Request::new("PUT", "/collections/notes").json(json!(null))).await.result();
    allow(
        &server,
        json!({"name": "own", "table": "notes", "action": "all", "using": "data ->> '$.owner' = auth.claim('name')"}),
    )
    .await;
    for (id, owner) in [("a", "alice"), ("b", "bob")] {
        server
            .send(Request::new("PUT", format!("/docs/notes/{id}")).json(json!({"owner": owner, "n": 1})))
            .await
            .json();
    }
    server
}

async fn send(server: &Server, token: &Json, method: &'static str, path: &str, body: Json) -> Answer {
    server.send(bearer(Request::new(method, path).json(body), token)).await
}

#[tokio::test]
async fn a_caller_reads_and_writes_its_own_documents() {
    let server = start().await;
    let alice = token(&server, json!({"name": "alice"})).await;
    let changed = send(&server, &alice, "PATCH", "/docs/notes/a", json!({"n": {"$increment": 1}})).await;
    assert_eq!(changed.json()["data"], json!({"owner": "alice", "n": 2}), "{}", changed.text());
    let read = send(&server, &alice, "GET", "/docs/notes/a", json!(null)).await;
    assert_eq!(read.json()["revision"], json!(changed.revision()));
    let made = send(&server, &alice, "POST", "/docs/notes", json!({"owner": "alice", "n": 5})).await;
    assert_eq!(made.status, 201, "{}", made.text());
    let listed = send(&server, &alice, "GET", "/docs/notes?orderBy=n&count", json!(null)).await;
    assert_eq!(listed.json(), json!({"count": 2}));
    let gone = send(&server, &alice, "DELETE", "/docs/notes/a", json!(null)).await;
    assert_eq!(gone.json()["deleted"], true);
}

#[tokio::test]
async fn a_hidden_document_is_as_one_that_is_not_there() {
    let server = start().await;
    let alice = token(&server, json!({"name": "alice"})).await;
    let hidden = send(&server, &alice, "GET", "/docs/notes/b", json!(null)).await;
    let missing = send(&server, &alice, "GET", "/docs/notes/c", json!(null)).await;
    assert_eq!((hidden.status, missing.status), (404, 404));
    assert_eq!(hidden.text().replace("notes/b", "notes/c"), missing.text());
    for (method, path, body) in [
        ("PATCH", "/docs/notes/{}", json!({"n": 9})),
        ("PUT", "/docs/notes/{}", json!({"owner": "bob"})),
        ("PUT", "/docs/notes/{}?if_revision=0", json!({"owner": "bob"})),
        ("PATCH", "/docs/notes/{}?exists=true", json!({"owner": "alice"})),
        ("DELETE", "/docs/notes/{}", json!(null)),
        ("DELETE", "/docs/notes/{}?if_revision=5", json!(null)),
    ] {
        let at = |id: &str| path.replace("{}", id);
        let hidden = send(&server, &alice, method, &at("b"), body.clone()).await;
        let missing = send(&server, &alice, method, &at("c"), body).await;
        assert_eq!(hidden.status, missing.status, "{method} {path}: {} {}", hidden.text(), missing.text());
        assert_eq!(
            hidden.text().replace("notes/b", "notes/c").replace("\"b\"", "\"c\""),
            missing.text(),
            "{method} {path}"
        );
    }
    // A name that is taken is refused like one that may not be written.
    let taken = send(&server, &alice, "PUT", "/docs/notes/b", json!({"owner": "alice"})).await;
    taken.is_refused(403, "forbidden", "No policy lets you write notes/b like this.");
    let given = send(&server, &alice, "PATCH", "/docs/notes/a", json!({"owner": "bob"})).await;
    given.is_refused(403, "forbidden", "No policy lets you");
    let batch = json!({"writes": [{"op": "set", "path": "notes/d", "data": {"owner": "alice"}}, {"op": "merge", "path": "notes/b", "data": {"owner": "alice"}}]});
    send(&server, &alice, "POST", "/docs:batch", batch).await.is_refused(403, "forbidden", "notes/b");
    assert_eq!(
        server.sql("SELECT group_concat(id) AS ids, sum(data ->> 'n') AS n FROM notes").await,
        json!([{"ids": "a,b", "n": 2}])
    );
    for path in ["/docs/closed", "/docs/closed/1", "/docs/notes/a/closed/1"] {
        send(&server, &alice, "GET", path, json!(null)).await.is_refused(403, "forbidden", "There is no collection");
        let body = if path == "/docs/closed" { continue } else { json!({}) };
        send(&server, &alice, "PUT", path, body).await.is_refused(403, "forbidden", "No policy lets you write");
    }
    assert_eq!(server.send(Request::get("/collections")).await.result(), json!(["notes"]));
}

/// What a transaction rests on is not for writers to choose.
#[tokio::test]
async fn nobody_says_at_which_revision_a_document_stands() {
    let server = start().await;
    let alice = token(&server, json!({"name": "alice"})).await;
    for write in [
        "UPDATE notes SET data = json_set(data, '$.n', 9), revision = 1000000 WHERE id = 'a'",
        "UPDATE notes SET revision = 0 WHERE id = 'a'",
        "UPDATE notes SET revision = 'x' WHERE id = 'a'",
        r#"INSERT INTO notes (id, data, revision) VALUES ('f', '{"owner":"alice"}', -7)"#,
    ] {
        let written = super::callers::sql(&server, &alice, write).await;
        assert_eq!(written.status, 200, "{}", written.text());
        let id = if write.starts_with("INSERT") { "f" } else { "a" };
        let stands = send(&server, &alice, "GET", &format!("/docs/notes/{id}"), json!(null)).await;
        assert_eq!(stands.json()["revision"], json!(written.revision()), "{write}");
    }
}

#[tokio::test]
async fn live_documents_of_a_caller_are_its_own() {
    let server = start().await;
    let alice = token(&server, json!({"name": "alice"})).await;
    let mut socket =
        crate::server::socket::Socket::try_open(server.address, "/ws", alice["token"].as_str()).await.unwrap();
    let first = socket.ask(json!({"id": 1, "action": "subscribe", "collection": "notes"})).await;
    assert_eq!(first["rows"].as_array().unwrap().len(), 1, "{first}");
    server.send(Request::new("PATCH", "/docs/notes/b").json(json!({"n": 2}))).await.json();
    server.send(Request::new("PATCH", "/docs/notes/b").json(json!({"owner": "alice"}))).await.json();
    let told = socket.until(|frame| frame["type"] == "delta").await;
    assert!(told["queries"][0]["insert"].is_array(), "{told}");
}

#[tokio::test]
async fn to_a_caller_a_closed_collection_is_live_as_one_that_is_not_there() {
    let server = start().await;
    server.send(Request::new("PUT", "/collections/closed").json(json!(null))).await.result();
    server.send(Request::new("PUT", "/docs/closed/x").json(json!({"owner": "alice"}))).await.json();
    let alice = token(&server, json!({"name": "alice"})).await;
    let mut socket =
        crate::server::socket::Socket::try_open(server.address, "/ws", alice["token"].as_str()).await.unwrap();
    let mut told = Vec::new();
    for (id, name) in ["closed", "missing"].into_iter().enumerate() {
        let whole = json!({"id": id * 2, "action": "subscribe", "collection": name, "orderBy": "n", "where": ["owner", "==", "alice"]});
        let one = json!({"id": id * 2 + 1, "action": "subscribe", "doc": format!("{name}/x")});
        let mut frames = [socket.ask(whole).await, socket.ask(one).await];
        assert!(frames.iter().all(|frame| frame["type"] == "rows" && frame["rows"] == json!([])), "{frames:?}");
        frames.iter_mut().for_each(|frame| (frame["id"], frame["tag"]) = (Json::Null, Json::Null));
        told.push(frames);
    }
    assert_eq!(told[0], told[1]);
    // Each fills when there is a policy, with what that shows.
    for name in ["closed", "missing"] {
        server.send(Request::new("PUT", format!("/collections/{name}")).json(json!(null))).await.result();
        for (id, owner) in [("x", "alice"), ("y", "bob")] {
            server
                .send(Request::new("PUT", format!("/docs/{name}/{id}")).json(json!({"owner": owner, "n": 1})))
                .await
                .json();
        }
        allow(
            &server,
            json!({"name": name, "table": name, "action": "all", "using": "data ->> '$.owner' = auth.claim('name')"}),
        )
        .await;
    }
    for id in 0..4 {
        let shown = socket.until_seen(|frame| frame["id"] == id && frame["rows"][0][1] == "x").await;
        assert_eq!(shown["rows"].as_array().unwrap().len(), 1, "{shown}");
    }
    // And is empty when that is gone.
    socket.seen.clear();
    let gone = server.send(Request::new("DELETE", "/policies/closed")).await;
    assert_eq!(gone.status, 200, "{}", gone.text());
    for id in 0..2 {
        socket.until_seen(|frame| frame["id"] == id && frame["type"] == "rows" && frame["rows"] == json!([])).await;
    }
}

#[tokio::test]
async fn a_policy_that_would_make_a_collection_unreadable_is_not_kept() {
    let server = start().await;
    server.send(Request::new("PUT", "/collections/notes/parts").json(json!(null))).await.result();
    for (table, action, columns, missing) in [
        ("notes", "select", json!(["id", "data"]), "revision"),
        ("notes", "all", json!(["data"]), "id and revision"),
        ("notes/parts", "select", json!(["id", "data", "revision"]), "parent"),
    ] {
        let policy = json!({"name": "some", "table": table, "action": action, "using": "true", "columns": columns});
        server.send(Request::post("/policies", policy)).await.is_refused(
            400,
            "invalid",
            &format!("name {missing}, too"),
        );
    }
    allow(&server, json!({"name": "some", "table": "notes", "action": "select", "using": "true", "columns": ["ID", "data", "revision"]})).await;
    // What may be set is another question: nobody sets revisions.
    allow(&server, json!({"name": "set", "table": "notes", "action": "update", "using": "true", "columns": ["data"]}))
        .await;
    let bob = token(&server, json!({"name": "bob"})).await;
    assert_eq!(send(&server, &bob, "GET", "/docs/notes/a", json!(null)).await.json()["data"]["owner"], "alice");
}
