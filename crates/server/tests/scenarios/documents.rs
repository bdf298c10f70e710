//! Documents: JSON in collections, by path, by field and by query, and the same rows by SQL.

use crate::server::http::{Answer, Request};
use crate::server::socket::Socket;
use crate::server::{Server, TOKEN};
use serde_json::{Value as Json, json};

async fn send(server: &Server, method: &'static str, path: &str, body: Json) -> Answer {
    server.send(Request::new(method, path).json(body)).await
}

async fn get(server: &Server, path: &str) -> Json {
    server.send(Request::get(path)).await.json()
}

/// The ids that a collection gives.
async fn ids(server: &Server, path: &str) -> Vec<String> {
    let page = get(server, path).await;
    let docs = page["docs"].as_array().unwrap_or_else(|| panic!("{path}: {page}"));
    docs.iter().map(|doc| doc["id"].as_str().unwrap().to_owned()).collect()
}

fn asked(filter: &Json) -> String {
    filter.to_string().bytes().map(|byte| format!("%{byte:02x}")).collect()
}

#[tokio::test]
async fn a_document_is_set_changed_and_taken_away() {
    let server = Server::start().await;
    send(&server, "GET", "/docs/rooms/r1", json!(null)).await.is_refused(404, "not_found", "rooms/r1");
    assert_eq!(get(&server, "/docs/rooms").await, json!({"docs": [], "after": null}));
    let set = send(&server, "PUT", "/docs/rooms/r1", json!({"name": "Harbour", "open": {"from": 8, "to": 18}})).await;
    assert_eq!(set.status, 200, "{}", set.text());
    let expected = json!({"id": "r1", "path": "rooms/r1", "data": {"name": "Harbour", "open": {"from": 8, "to": 18}}, "revision": set.revision()});
    assert_eq!((set.json(), get(&server, "/docs/rooms/r1").await), (expected.clone(), expected));

    let fields = json!({"open.to": 20, "visits": {"$increment": 1}, "tags": {"$arrayUnion": ["sea"]}, "seen": {"$serverTimestamp": true}, "name": {"$delete": true}});
    let changed = send(&server, "PATCH", "/docs/rooms/r1", fields).await.json();
    let seen = changed["data"]["seen"].as_str().unwrap();
    assert_eq!(changed["data"], json!({"open": {"from": 8, "to": 20}, "visits": 1, "tags": ["sea"], "seen": seen}));
    assert_eq!(
        server.sql(&format!("SELECT abs(unixepoch('now') - unixepoch('{seen}')) < 60 AS ok")).await,
        json!([{"ok": 1}])
    );

    // The same row by SQL, and back.
    let row = server.sql("SELECT data ->> '$.open.to' AS until FROM rooms WHERE id = 'r1'").await;
    assert_eq!(row, json!([{"until": 20}]));
    let revision = server.write("UPDATE rooms SET data = json_set(data, '$.open.to', 21)").await;
    let document = get(&server, "/docs/rooms/r1").await;
    assert_eq!((&document["data"]["open"]["to"], &document["revision"]), (&json!(21), &json!(revision)));
    let revision = server.write(r#"INSERT INTO rooms (id, data) VALUES ('r2', '{"by": "sql"}')"#).await;
    assert_eq!(get(&server, "/docs/rooms/r2").await["revision"], json!(revision));
    server
        .query(json!({"sql": "INSERT INTO rooms (id, data) VALUES ('r3', '[1]')"}))
        .await
        .is_refused(409, "conflict", "CHECK");

    let made = send(&server, "POST", "/docs/rooms", json!({"name": "new"})).await;
    assert_eq!(made.status, 201);
    let path = format!("/docs/{}", made.json()["path"].as_str().unwrap());
    assert_eq!(get(&server, &path).await["data"], json!({"name": "new"}));
    let later = send(&server, "POST", "/docs/rooms", json!({})).await.json();
    assert!(
        later["id"].as_str() > made.json()["id"].as_str()
            || later["id"].as_str().unwrap()[..12] == made.json()["id"].as_str().unwrap()[..12]
    );

    let deleted = send(&server, "DELETE", "/docs/rooms/r1", json!(null)).await;
    assert_eq!(
        deleted.json(),
        json!({"id": "r1", "path": "rooms/r1", "deleted": true, "revision": deleted.revision()})
    );
    assert_eq!(send(&server, "DELETE", "/docs/rooms/r1", json!(null)).await.json()["deleted"], false);
    let server = server.crash_and_restart().await;
    assert_eq!(get(&server, &path).await["data"], json!({"name": "new"}));
    assert_eq!(get(&server, "/collections").await["result"], json!(["rooms"]));
}

#[tokio::test]
async fn preconditions_hold_or_nothing_is_written() {
    let server = Server::start().await;
    let first = send(&server, "PUT", "/docs/a/1?exists=false", json!({"n": 1})).await;
    assert_eq!(first.status, 201, "{}", first.text());
    send(&server, "PUT", "/docs/a/1?exists=false", json!({"n": 2})).await.is_refused(409, "conflict", "exists");
    send(&server, "PATCH", "/docs/a/2?exists=true", json!({"n": 2})).await.is_refused(404, "not_found", "a/2");
    let at = first.revision();
    let second = send(&server, "PATCH", &format!("/docs/a/1?if_revision={at}"), json!({"n": 2})).await;
    assert_eq!(second.status, 200);
    send(&server, "PATCH", &format!("/docs/a/1?if_revision={at}"), json!({"n": 3})).await.is_refused(
        409,
        "conflict",
        "stands at revision",
    );
    send(&server, "DELETE", "/docs/a/1?if_revision=0", json!(null)).await.is_refused(
        409,
        "conflict",
        "stands at revision",
    );
    assert_eq!(get(&server, "/docs/a/1").await["data"], json!({"n": 2}));

    // All or none, and the one that is wrong is named.
    let writes = json!({"writes": [
        {"op": "set", "path": "a/3", "data": {"n": 3}}, {"op": "update", "path": "a/missing", "data": {"n": 1}}]});
    let refused = send(&server, "POST", "/docs:batch", writes).await;
    assert_eq!((refused.status, &refused.json()["statement"]), (404, &json!(1)), "{}", refused.text());
    send(&server, "GET", "/docs/a/3", json!(null)).await.is_refused(404, "not_found", "");
    let writes = json!({"writes": [
        {"op": "set", "path": "a/3", "data": {"n": 3}}, {"op": "merge", "path": "a/3", "data": {"n": {"$increment": 2}}},
        {"op": "merge", "path": "b/1/c/1", "data": {"x.y": 1}}, {"op": "delete", "path": "a/1"}]});
    let done = send(&server, "POST", "/docs:batch", writes).await;
    let results = done.json()["results"].clone();
    assert_eq!(
        (&results[1]["data"], &results[2]["path"], &results[3]["deleted"]),
        (&json!({"n": 5}), &json!("b/1/c/1"), &json!(true))
    );
    assert_eq!(get(&server, "/docs/a/3").await["revision"], json!(done.revision()));

    // A transaction: what was read, and what follows from it.
    let commit = |revision: i64| {
        json!({"reads": [{"path": "a/3", "revision": revision}, {"path": "a/none", "revision": 0}],
               "writes": [{"op": "set", "path": "a/4", "data": {"n": 6}}]})
    };
    send(&server, "POST", "/docs:commit", commit(done.revision() - 1)).await.is_refused(
        409,
        "conflict",
        "a/3 stands at revision",
    );
    send(&server, "POST", "/docs:commit", commit(done.revision())).await.json();
    assert_eq!(get(&server, "/docs/a/4").await["data"], json!({"n": 6}));
    // Sent again under its key it is done once.
    let again =
        || Request::new("PATCH", "/docs/a/4").json(json!({"n": {"$increment": 1}})).header("Idempotency-Key", "k");
    assert_eq!(server.send(again()).await.json(), server.send(again()).await.json());
    assert_eq!(get(&server, "/docs/a/4").await["data"], json!({"n": 7}));
}

#[tokio::test]
async fn documents_are_found_by_their_fields_in_pages() {
    let server = Server::start().await;
    let writes: Vec<Json> = (0..30)
        .map(|n| json!({"op": "set", "path": format!("shops/s{}/sales/{n:02}", n % 2), "data": {"n": n, "by": if n % 3 == 0 { "ann" } else { "bob" }, "tags": [n % 5]}}))
        .collect();
    send(&server, "POST", "/docs:batch", json!({"writes": writes})).await.json();
    let filter = asked(&json!([["by", "==", "ann"], ["n", ">", 5]]));
    assert_eq!(ids(&server, &format!("/docs/shops/s0/sales?where={filter}")).await, ["06", "12", "18", "24"]);
    let tagged = asked(&json!({"or": [["tags", "array-contains", 3], ["n", "in", [0, 2]]]}));
    assert_eq!(
        ids(&server, &format!("/docs/shops/s0/sales?where={tagged}&orderBy=n+desc")).await,
        ["28", "18", "08", "02", "00"]
    );
    // All shops.
    assert_eq!(ids(&server, "/docs/shops/*/sales?orderBy=by,n&limit=3").await, ["00", "03", "06"]);
    let numbers = get(&server, "/docs/shops/*/sales?count&sum=n&average=n").await;
    assert_eq!(numbers, json!({"count": 30, "sum(n)": 435, "average(n)": 14.5}));

    let mut all = Vec::new();
    let mut next = String::new();
    loop {
        let page = get(&server, &format!("/docs/shops/s1/sales?orderBy=by+desc&limit=4{next}")).await;
        all.extend(page["docs"].as_array().unwrap().iter().map(|doc| doc["id"].as_str().unwrap().to_owned()));
        match page["after"].as_str() {
            Some(after) => next = format!("&startAfter={after}"),
            None => break,
        }
    }
    assert_eq!(all, ids(&server, "/docs/shops/s1/sales?orderBy=by+desc").await);
    assert_eq!(all.len(), 15);

    // Of several shops, with the same ids in each.
    for shop in ["s0", "s1", "*x"] {
        send(&server, "PUT", &format!("/docs/shops/{shop}/sales/same"), json!({"n": 99, "by": "all"})).await.json();
    }
    let mut group = Vec::new();
    let mut next = String::new();
    loop {
        let page = get(&server, &format!("/docs/shops/*/sales?orderBy=by&limit=2{next}")).await;
        group.extend(page["docs"].as_array().unwrap().iter().map(|doc| doc["path"].to_string()));
        match page["after"].as_str() {
            Some(after) => next = format!("&startAfter={after}"),
            None => break,
        }
    }
    group.sort_unstable();
    group.dedup();
    assert_eq!(group.len(), 33);
    assert_eq!(ids(&server, "/docs/shops/*x/sales").await, ["same"]);

    let index = send(&server, "POST", "/collections/shops/sales/indexes", json!({"fields": ["n desc"]})).await;
    assert_eq!(index.status, 201, "{}", index.text());
    let above = asked(&json!(["n", ">", 20]));
    assert_eq!(
        ids(&server, &format!("/docs/shops/s0/sales?where={above}&orderBy=n+desc")).await,
        ["same", "28", "26", "24", "22"]
    );
    let plan: String = server
        .home
        .outside()
        .query_row(
            "EXPLAIN QUERY PLAN SELECT id FROM \"shops/sales\" WHERE parent = 's0' AND data ->> '$.\"n\"' > 5",
            [],
            |row| row.get(3),
        )
        .unwrap();
    assert!(plan.contains("shops/sales by n desc"), "{plan}");
    send(&server, "POST", "/collections/nothing/indexes", json!({"fields": ["n"]})).await.is_refused(
        404,
        "not_found",
        "nothing",
    );
}

#[tokio::test]
async fn live_documents_are_told_as_they_change() {
    let server = Server::start().await;
    send(&server, "PUT", "/docs/rooms/r1", json!({"size": 5})).await.json();
    let mut socket = server.live().await;
    let first = socket.ask(json!({"id": 1, "action": "subscribe", "collection": "rooms", "where": ["size", ">", 3], "orderBy": "size", "limit": 10})).await;
    assert_eq!(first["columns"], json!(["id", "data", "revision", "data ->> '$.\"size\"'"]));
    assert_eq!((&first["rows"][0][1], &first["rows"][0][2]), (&json!("r1"), &json!("{\"size\":5}")));
    socket.ask(json!({"id": 2, "action": "subscribe", "doc": "rooms/r2"})).await;
    let set = send(&server, "PUT", "/docs/rooms/r2", json!({"size": 4})).await;
    let told = socket.until(|frame| frame["type"] == "delta").await;
    assert_eq!(told["queries"].as_array().unwrap().len(), 2, "{told}");
    assert_eq!(told["to"], json!(set.revision()));
    send(&server, "PATCH", "/docs/rooms/r2", json!({"size": 1})).await;
    let told = socket.until(|frame| frame["type"] == "delta").await;
    assert!(
        told["queries"].as_array().unwrap().iter().any(|query| query["id"] == 1 && query["delete"].is_array()),
        "{told}"
    );
    for (frame, words) in [
        (json!({"id": 3, "action": "subscribe", "collection": "rooms/r1"}), "names a document"),
        (json!({"id": 3, "action": "subscribe", "doc": "rooms"}), "names a collection"),
        (json!({"id": 3, "action": "subscribe", "collection": "rooms", "where": ["a", "=", 1]}), "Unknown operator"),
        (json!({"id": 3, "action": "subscribe", "collection": "rooms", "doc": "rooms/r1"}), "exactly one"),
    ] {
        let refused = socket.ask(frame).await;
        assert!(refused["error"].as_str().unwrap().contains(words), "{refused}");
    }
    socket.still_serves().await;
}

#[tokio::test]
async fn what_is_live_before_its_collection_is_there_fills_when_it_comes() {
    let server = Server::start().await;
    let mut socket = server.live().await;
    let asked = [
        json!({"id": 1, "action": "subscribe", "collection": "rooms", "where": ["size", ">", 3], "orderBy": "size", "limit": 10}),
        json!({"id": 2, "action": "subscribe", "doc": "rooms/r1"}),
        json!({"id": 3, "action": "subscribe", "collection": "rooms/r1/messages", "limit": 5}),
        json!({"id": 4, "action": "subscribe", "collection": "rooms/*/messages", "orderBy": "at desc"}),
        json!({"id": 5, "action": "subscribe", "collection": "rooms", "where": ["open", "==", null]}),
    ];
    let mut columns = Vec::new();
    for frame in asked.clone() {
        let first = socket.ask(frame).await;
        assert_eq!((&first["type"], &first["rows"]), (&json!("rows"), &json!([])), "{first}");
        columns.push(first["columns"].clone());
    }
    send(&server, "PUT", "/docs/rooms/r1", json!({"size": 5, "open": null})).await.json();
    send(&server, "PUT", "/docs/rooms/r1/messages/m1", json!({"at": 1})).await.json();
    for id in 1..=5 {
        let is_full = |frame: &Json| frame["id"] == id && frame["rows"].as_array().is_some_and(|rows| !rows.is_empty());
        let is_told = |frame: &Json| {
            let queries = frame["queries"].as_array().cloned().unwrap_or_default();
            is_full(frame) || queries.iter().any(|query| query["id"] == id && query["insert"].is_array())
        };
        socket.until_seen(is_told).await;
        let rows = socket.seen.iter().rev().find(|frame| frame["id"] == id && frame["type"] == "rows").unwrap();
        assert_eq!(rows["columns"], columns[id - 1]);
    }
    // Gone, it is empty; made anew, it fills again.
    socket.seen.clear();
    server.home.outside().execute_batch("DROP TABLE rooms").unwrap();
    for id in [1, 2, 5] {
        socket.until_seen(|frame| frame["id"] == id && frame["type"] == "rows" && frame["rows"] == json!([])).await;
    }
    socket.seen.clear();
    send(&server, "PUT", "/docs/rooms/r1", json!({"size": 7})).await.json();
    for id in [1, 2] {
        let is_told = |frame: &Json| {
            frame.to_string().contains("size\\\":7") && frame.to_string().contains(&format!("\"id\":{id}"))
        };
        socket.until_seen(is_told).await;
    }
    // A table of other purposes is no collection that is not there yet, and SQL says what it always said.
    server.sql("CREATE TABLE plain (id INTEGER PRIMARY KEY)").await;
    let foreign = socket.ask(json!({"id": 6, "action": "subscribe", "collection": "plain"})).await;
    assert_eq!((&foreign["type"], &foreign["code"]), (&json!("error"), &json!("invalid")), "{foreign}");
    let sql = socket.ask(json!({"id": 7, "action": "subscribe", "sql": "SELECT id, data, revision FROM boats WHERE true ORDER BY id"})).await;
    assert!(sql["error"].as_str().unwrap().contains("no such table: boats"), "{sql}");
}

#[tokio::test]
async fn a_parameter_that_would_find_nothing_by_mistake_is_refused() {
    let server = Server::start().await;
    send(&server, "PUT", "/docs/rooms/r1", json!({"n": 1, "n foo": 2})).await.json();
    for (query, words) in [
        ("orderBy=n+foo", "age desc, name"),
        ("orderBy=n+des", "age desc, name"),
        ("orderBy=n+desc+asc", "age desc, name"),
        ("orderBy=", "no field"),
        ("orderBy=n&orderBy=n+desc", "twice"),
        ("limit=1&limit=2", "twice"),
        ("where=%5B%5D&where=%5B%5D", "twice"),
        ("startAfter=", "startAfter"),
        ("sum=n+foo", "age desc, name"),
        ("sum=n+desc", "fields with commas"),
        ("average=", "no field"),
        ("count=yes", "true or false"),
        ("limit=0", "from 1"),
        ("order=n", "does not know"),
    ] {
        server.send(Request::get(format!("/docs/rooms?{query}"))).await.is_refused(400, "invalid", words);
    }
    assert_eq!(ids(&server, "/docs/rooms?orderBy=%60n+foo%60+desc,n").await, ["r1"]);
    assert_eq!(get(&server, "/docs/rooms?sum=%60n+foo%60,n").await, json!({"sum(`n foo`)": 2, "sum(n)": 1}));
    for (method, path, words) in [
        ("POST", "/docs/rooms?exists=true", "new id"),
        ("POST", "/docs/rooms?if_revision=1", "new id"),
        ("PUT", "/docs/rooms/r1?if_revision=-1", "revision number"),
        ("PUT", "/docs/rooms/r1?if_revision=", "revision number"),
        ("PUT", "/docs/rooms/r1?exists=true&exists=false", "twice"),
    ] {
        send(&server, method, path, json!({})).await.is_refused(400, "invalid", words);
    }
    let mut socket = server.live().await;
    for (frame, words) in [
        (json!({"id": 1, "action": "subscribe", "collection": "rooms", "orderBy": "n foo"}), "age desc, name"),
        (json!({"id": 1, "action": "subscribe", "collection": "rooms", "limit": 0}), "from 1"),
    ] {
        let refused = socket.ask(frame).await;
        assert!(refused["error"].as_str().unwrap().contains(words), "{refused}");
    }
}

#[tokio::test]
async fn a_commit_that_rests_on_what_has_changed_says_on_which_document() {
    let server = Server::start().await;
    let one = send(&server, "PUT", "/docs/rooms/r1", json!({"n": 1})).await.revision();
    let two = send(&server, "PUT", "/docs/rooms/r2", json!({"n": 1})).await.revision();
    send(&server, "PUT", "/docs/rooms/r2", json!({"n": 2})).await.json();
    let commit = json!({
        "reads": [{"path": "rooms/r1", "revision": one}, {"path": "rooms/r2", "revision": two}],
        "writes": [{"op": "merge", "path": "rooms/r1", "data": {"n": 5}}]
    });
    let request = || Request::post("/docs:commit", commit.clone()).header("Idempotency-Key", "k");
    for _ in 0..2 {
        let stale = server.send(request()).await;
        stale.is_refused(409, "conflict", "rooms/r2 stands at revision");
        assert_eq!((&stale.json()["path"], &stale.json()["statement"]), (&json!("rooms/r2"), &Json::Null));
    }
    let write = json!({"writes": [{"op": "set", "path": "rooms/r1", "data": {}, "if_revision": 99}]});
    let refused = send(&server, "POST", "/docs:commit", write).await;
    assert_eq!((&refused.json()["path"], &refused.json()["statement"]), (&Json::Null, &json!(0)));
}

#[tokio::test]
async fn what_makes_no_sense_is_refused_with_a_reason() {
    let server = Server::start().await;
    server.sql("CREATE TABLE plain (id INTEGER PRIMARY KEY, data TEXT)").await;
    send(&server, "PUT", "/docs/a/1", json!({})).await.json();
    let deep = (0..200).fold(json!(1), |value, _| json!({"a": value}));
    for (method, path, body, status, code, words) in [
        ("PUT", "/docs/plain/1", json!({}), 409, "conflict", "no collection"),
        ("GET", "/docs/plain/1", json!(null), 409, "conflict", "no collection"),
        ("PUT", "/docs/a", json!({}), 400, "invalid", "a slash, an id"),
        ("POST", "/docs/a/1", json!({}), 400, "invalid", "PUT sets a document"),
        ("PUT", "/docs/_tide_tokens/1", json!({}), 403, "forbidden", "reserved"),
        ("PUT", "/docs/a%2Fb/1", json!({}), 400, "invalid", "slash"),
        ("PUT", "/docs/a/%00", json!({}), 400, "invalid", "no id"),
        ("PUT", "/docs/a//b", json!({}), 400, "invalid", "no id"),
        ("PUT", "/docs/a/1", json!([1]), 400, "invalid", "JSON object"),
        ("PUT", "/docs/a/1", deep, 400, "invalid", ""),
        ("PATCH", "/docs/a/1", json!({"a..b": 1}), 400, "invalid", "no field"),
        ("PATCH", "/docs/a/1", json!({"a": {"$increment": "x"}}), 400, "invalid", "$increment takes a number"),
        ("PUT", "/docs/a/1?if_revision=x", json!({}), 400, "invalid", "if_revision"),
        ("PUT", "/docs/a/1?revision=1", json!({}), 400, "invalid", "does not know the parameter"),
        ("GET", "/docs/a?where=nonsense", json!(null), 400, "invalid", "\"where\" is JSON"),
        ("GET", "/docs/a?where=%5B%22a%22,%22~%22,1%5D", json!(null), 400, "invalid", "Unknown operator"),
        ("GET", "/docs/a?limit=0", json!(null), 400, "invalid", "limit"),
        ("GET", "/docs/a?startAfter=x", json!(null), 400, "invalid", "startAfter"),
        ("GET", "/docs/a?order=x", json!(null), 400, "invalid", "does not know the parameter"),
        ("GET", "/docs/a/1?where=x", json!(null), 400, "invalid", "does not know the parameter"),
        ("POST", "/docs:batch", json!({"writes": [{"op": "set", "path": "a/1"}]}), 400, "invalid", "need \"data\""),
        (
            "POST",
            "/docs:batch",
            json!({"reads": [{"path": "a/1", "revision": 1}], "writes": []}),
            400,
            "invalid",
            "docs:commit",
        ),
        ("PUT", "/collections/1x", json!(null), 400, "invalid", "no name of a collection"),
        ("PUT", "/collections/plain", json!(null), 409, "conflict", "no collection"),
    ] {
        send(&server, method, path, body).await.is_refused(status, code, words);
    }
    let long = json!({"a": "x".repeat(1 << 20)});
    send(&server, "PUT", "/docs/a/1", long).await.is_refused(413, "too_large", "A document may have");
    let many: Vec<Json> = (0..501).map(|n| json!({"op": "delete", "path": format!("a/{n}")})).collect();
    send(&server, "POST", "/docs:batch", json!({"writes": many})).await.is_refused(413, "too_large", "500 writes");
    assert_eq!(get(&server, "/docs/a/1").await["data"], json!({}));
}

#[tokio::test]
async fn a_collection_may_have_a_schema() {
    let server = Server::start().await;
    for table in ["rooms", "rooms/messages"] {
        send(&server, "PUT", &format!("/collections/{table}"), json!(null)).await.result();
        let schema = json!({"required": ["name"], "properties": {"size": {"type": "integer"}}});
        let schema = send(&server, "PUT", &format!("/schemas/{}/data", table.replace('/', "%2F")), schema).await;
        assert_eq!(schema.status, 200, "{}", schema.text());
    }
    for path in ["/docs/rooms/r1", "/docs/rooms/r1/messages/m1"] {
        send(&server, "PUT", path, json!({"size": 1})).await.is_refused(400, "invalid", "does not fit its JSON Schema");
        send(&server, "PUT", path, json!({"name": "x", "size": 1})).await.json();
        let refused = send(&server, "PATCH", path, json!({"size": "large"})).await;
        assert_eq!((refused.status, &refused.json()["pointer"]), (400, &json!("/size")));
        assert_eq!(get(&server, path).await["data"], json!({"name": "x", "size": 1}));
    }
}

/// The client that Blaze's page sketches: `GET` at the start, `UPDATE` to write, and everybody is told.
#[tokio::test]
async fn blazes_frames_work_on_a_documents_own_socket() {
    let server = Server::start().await;
    let open = async |path: &str| Socket::try_open(server.address, path, Some(TOKEN)).await;
    let (mut one, mut two) = (open("/docs/rooms/r1").await.unwrap(), open("/docs/rooms/r1").await.unwrap());
    for socket in [&mut one, &mut two] {
        socket.send(json!({"type": "GET"})).await;
        assert_eq!(socket.next().await, json!({"type": "INIT", "data": {}}));
    }
    one.send(json!({"type": "UPDATE", "payload": {"name": "Harbour"}})).await;
    for socket in [&mut one, &mut two] {
        assert_eq!(socket.next().await, json!({"type": "UPDATE", "data": {"name": "Harbour"}}));
    }
    // Whoever writes, and however.
    send(&server, "PATCH", "/docs/rooms/r1", json!({"open": true})).await.json();
    assert_eq!(two.next().await, json!({"type": "UPDATE", "data": {"name": "Harbour", "open": true}}));
    send(&server, "PUT", "/docs/rooms/r2", json!({"other": true})).await.json();
    send(&server, "DELETE", "/docs/rooms/r1", json!(null)).await.json();
    assert_eq!(two.next().await, json!({"type": "UPDATE", "data": {}}));
    for (frame, words) in [
        (json!({"type": "UPDATE"}), "A frame is"),
        (json!({"type": "UPDATE", "payload": [1]}), "A frame is"),
        (json!({"type": "LOST"}), "A frame is"),
    ] {
        two.send(frame).await;
        let refused = two.next().await;
        assert!(refused["type"] == "ERROR" && refused["error"].as_str().unwrap().contains(words), "{refused}");
    }
    two.send(json!({"type": "GET"})).await;
    assert_eq!(two.next().await["type"], "INIT");
    assert!(open("/docs/rooms").await.is_err());
    assert!(Socket::try_open(server.address, "/docs/rooms/r1", Some("tide_client_wrong")).await.is_err());
}

/// Also of what is written while the live query behind a socket waits for its first rows.
#[tokio::test]
async fn blazes_sockets_miss_no_write_however_early() {
    let server = Server::start().await;
    let mut busy = Socket::open(server.address, "/ws").await;
    let dear = |n| {
        format!(
            "WITH RECURSIVE c(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM c WHERE i < 50000) SELECT {n} + sum(i) FROM c"
        )
    };
    busy.send_all((0..50).map(|n| json!({"id": n, "action": "subscribe", "sql": dear(n)}))).await;
    let mut socket = Socket::open(server.address, "/docs/rooms/r1").await;
    socket.send(json!({"type": "GET"})).await;
    assert_eq!(socket.next().await, json!({"type": "INIT", "data": {}}));
    socket.send(json!({"type": "UPDATE", "payload": {"n": 1}})).await;
    assert_eq!(socket.next().await, json!({"type": "UPDATE", "data": {"n": 1}}));
}

/// A collection of before there were checks, with rows that are documents, and such as only SQL can have written.
async fn with_odd_rows(server: &Server) {
    let made = "CREATE TABLE notes (id TEXT NOT NULL,
          data JSON NOT NULL CHECK (CASE WHEN json_valid(data) THEN json_type(data) = 'object' ELSE 0 END),
          revision INTEGER, PRIMARY KEY (id));
        CREATE TRIGGER _tide_document_notes AFTER UPDATE OF id, data ON notes WHEN new.revision IS old.revision
        BEGIN UPDATE notes SET revision = NULL WHERE rowid = new.rowid; END;
        CREATE TABLE \"rooms/notes\" (parent TEXT NOT NULL, id TEXT NOT NULL, data JSON NOT NULL, revision INTEGER, PRIMARY KEY (parent, id));
        CREATE TRIGGER \"_tide_document_rooms/notes\" AFTER UPDATE OF data ON \"rooms/notes\" WHEN new.revision IS old.revision
        BEGIN UPDATE \"rooms/notes\" SET revision = NULL WHERE rowid = new.rowid; END";
    server.home.outside().execute_batch(made).unwrap();
    server
        .sql(
            r#"INSERT INTO notes (id, data) VALUES ('a', '{"n":1}'),
                ('b', '{"n":2}' || char(0) || ',"revision":99}'), ('c', CAST('{"n":3}' AS BLOB)), ('d', '{"n":1e999}'),
                ('e', '{"n":"' || CAST(x'ff' AS TEXT) || '"}'), ('a/b', '{"n":4}'), ('..', '{"n":4}'), ('', '{"n":4}'),
                ('*', '{"n":4}'), (CAST(x'66ff' AS TEXT), '{"n":5}'), (x'66', '{"n":5}'), ('z', '{"n":6}'), ('zz', '{"n":7}')"#,
        )
        .await;
    server
        .sql(
            r#"INSERT INTO "rooms/notes" (parent, id, data) VALUES ('r1', 'a', '{}'), ('r1/x', 'a', '{}'), ('', 'a', '{}'),
                ('..', 'a', '{}'), ('*', 'a', '{}'), ('r2', 'b/c', '{}'), ('r3', 'a', '{}')"#,
        )
        .await;
}

#[tokio::test]
async fn what_only_sql_can_have_written_is_no_document_and_ends_no_list() {
    let server = Server::start().await;
    with_odd_rows(&server).await;
    for id in ["b", "c", "d", "e"] {
        assert_eq!(send(&server, "GET", &format!("/docs/notes/{id}"), json!(null)).await.status, 404, "{id}");
    }
    for order in ["", "&orderBy=n", "&orderBy=n+desc"] {
        for limit in [1, 2, 3, 100] {
            let (mut found, mut after, mut pages) = (Vec::new(), String::new(), 0);
            loop {
                let page = get(&server, &format!("/docs/notes?limit={limit}{order}{after}")).await;
                found.extend(page["docs"].as_array().unwrap().iter().map(|document| document["id"].clone()));
                pages += 1;
                assert!(pages < 30, "{order} {limit}: {found:?}");
                match page["after"].as_str() {
                    Some(next) => after = format!("&startAfter={next}"),
                    None => break,
                }
            }
            let mut expected = json!(["a", "z", "zz"]);
            if order.ends_with("desc") {
                expected.as_array_mut().unwrap().reverse();
            }
            assert_eq!(json!(found), expected, "{order} {limit}");
        }
    }
    let group = get(&server, "/docs/rooms/*/notes").await;
    let paths: Vec<&str> = group["docs"].as_array().unwrap().iter().map(|one| one["path"].as_str().unwrap()).collect();
    assert_eq!(paths, ["rooms/r1/notes/a", "rooms/r3/notes/a"]);
}

#[tokio::test]
async fn a_new_collection_takes_from_sql_nothing_that_is_no_document() {
    let server = Server::start().await;
    for name in ["notes", "rooms/notes", "rooms/notes/likes"] {
        send(&server, "PUT", &format!("/collections/{name}"), json!(null)).await.result();
    }
    let insert = |id: &str, data: &str| format!("INSERT INTO notes (id, data) VALUES ({id}, {data})");
    let beneath = |table: &str, parent: &str| format!("INSERT INTO \"{table}\" VALUES ({parent}, 'a', '{{}}', NULL)");
    let mut refused: Vec<String> =
        ["'{}' || char(0)", "CAST('{}' AS BLOB)", "'[]'", "'x'"].iter().map(|data| insert("'a'", data)).collect();
    let ids = ["''", "'.'", "'..'", "'*'", "'a/b'", "x'61'", "'a' || char(0)", "'a' || char(10)", "'a' || char(0x85)"];
    refused.extend(ids.iter().map(|id| insert(id, "'{}'")));
    refused.extend(ids.iter().map(|id| beneath("rooms/notes", id)));
    refused.extend(
        ids.iter()
            .map(|id| beneath("rooms/notes/likes", &format!("'a/' || {id}")))
            .filter(|sql| !sql.contains("x'61'")),
    );
    refused.extend(["'a'", "'a/b/c'", "'/a'"].iter().map(|parent| beneath("rooms/notes/likes", parent)));
    for sql in refused {
        let answer = server.send(Request::post("/query", json!({ "sql": sql }))).await;
        assert_eq!(answer.status, 409, "{sql}: {}", answer.text());
    }
    for sql in [
        insert("'a-b.c *é'", "' {\"a\": 1}'"),
        insert("7", "'{}'"),
        beneath("rooms/notes", "'...'"),
        beneath("rooms/notes/likes", "'*a/b*'"),
    ] {
        server.sql(&sql).await;
    }
}

#[tokio::test]
async fn changes_of_many_fields_end_when_their_time_is_over() {
    let server = Server::start_with(&["write_time_max=300"]).await;
    let names = ["a", "b", "c", "d", "e", "f", "g", "h"];
    let long = json!((0..140_000).collect::<Vec<i64>>());
    let data = names.iter().rev().fold(long, |data, name| json!({ *name: data }));
    send(&server, "PUT", "/docs/notes/a", data).await.result();
    // One field, in each of its spellings.
    let spelt = |which: usize| {
        let name = |at: usize| if which >> at & 1 == 1 { format!("`{}`", names[at]) } else { names[at].into() };
        (0..names.len()).map(name).collect::<Vec<String>>().join(".")
    };
    let spellings = (0..1 << names.len()).map(spelt);
    let fields: serde_json::Map<_, _> = spellings.map(|name| (name, json!({ "$arrayUnion": [-1] }))).collect();
    let slow = send(&server, "PATCH", "/docs/notes/a", json!(fields)).await;
    slow.is_refused(504, "timeout", "300 ms");
}

#[tokio::test]
async fn the_largest_document_can_be_written_under_a_key_and_again() {
    let server = Server::start().await;
    let text = "x".repeat((1 << 20) - 20);
    let put = || Request::new("PUT", "/docs/rooms/large").json(json!({"text": text})).header("Idempotency-Key", "k");
    let written = server.send(put()).await;
    assert_eq!(written.json()["data"]["text"].as_str().map(str::len), Some(text.len()), "{}", written.status);
    assert_eq!(server.send(put()).await.json(), written.json());
}
