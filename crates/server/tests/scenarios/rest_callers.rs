//! Tables as resources for callers whom policies bind: nothing of a hidden row or of a closed column is told.

use crate::server::Server;
use crate::server::http::{Answer, Request};
use serde_json::{Value as Json, json};

struct Caller {
    token: String,
}

impl Caller {
    async fn make(server: &Server, claims: Json) -> Self {
        let made =
            server.send(Request::post("/auth/tokens", json!({"name": "c", "role": "client", "claims": claims}))).await;
        Self { token: made.result()["token"].as_str().unwrap().to_owned() }
    }

    async fn send(&self, server: &Server, method: &'static str, path: &str, body: Json) -> Answer {
        let request = Request::new(method, path).json(body);
        server.send(request.header("Authorization", format!("Bearer {}", self.token))).await
    }

    async fn get(&self, server: &Server, path: &str) -> Answer {
        self.send(server, "GET", path, json!(null)).await
    }
}

async fn allow(server: &Server, policy: Json) {
    let kept = server.send(Request::post("/policies", policy)).await;
    assert_eq!(kept.status, 201, "{}", kept.text());
}

/// Messages of rooms; a caller sees and writes those of its own room.
async fn rooms() -> (Server, Caller) {
    let server = Server::start().await;
    server
        .sql(
            "CREATE TABLE room (id INTEGER PRIMARY KEY, name TEXT, secret TEXT DEFAULT 'hush');
             CREATE TABLE message (id INTEGER PRIMARY KEY, room INTEGER REFERENCES room, body TEXT, note TEXT DEFAULT 'none', extra JSON,
               author TEXT DEFAULT (auth_uid()));
             CREATE TABLE box (id INTEGER PRIMARY KEY, word TEXT NOT NULL DEFAULT 'word', inner_id INTEGER DEFAULT 42);
             CREATE TABLE closed (id INTEGER PRIMARY KEY, message INTEGER REFERENCES message);
             CREATE VIEW loud AS SELECT id, upper(body) AS body, room FROM message;
             INSERT INTO room (id, name) VALUES (1, 'one'), (2, 'two');
             INSERT INTO message (id, room, body) VALUES (1, 1, 'a'), (2, 2, 'hidden'), (3, 1, 'c');
             INSERT INTO closed VALUES (1, 1)",
        )
        .await;
    for policy in [
        json!({"name": "own room", "table": "room", "action": "select", "using": "id = auth.claim('room')", "columns": ["id", "name"]}),
        json!({"name": "own messages", "table": "message", "action": "all", "using": "room = auth.claim('room')"}),
        json!({"name": "drop in", "table": "box", "action": "insert", "check": "true"}),
        json!({"name": "loud", "table": "loud", "action": "select", "using": "room = auth.claim('room')", "columns": ["body"]}),
    ] {
        allow(&server, policy).await;
    }
    let caller = Caller::make(&server, json!({"room": 1})).await;
    (server, caller)
}

#[tokio::test]
async fn a_hidden_row_is_not_there() {
    let (server, caller) = rooms().await;
    let rows = caller.get(&server, "/rest/message?select=id,body,room(id,name)&count=exact").await;
    let one = json!({"id": 1, "name": "one"});
    assert_eq!(rows.result(), json!([{"id": 1, "body": "a", "room": one}, {"id": 3, "body": "c", "room": one}]));
    assert_eq!(rows.header("tidebase-count"), Some("2"));
    for id in ["2", "99"] {
        let path = format!("/rest/message/{id}");
        caller.get(&server, &path).await.is_refused(404, "not_found", "There is no such row in message.");
        for (method, body) in [("PATCH", json!({"body": "x"})), ("PUT", json!({"body": "x"})), ("DELETE", json!(null))]
        {
            caller.send(&server, method, &path, body).await.is_refused(
                404,
                "not_found",
                "There is no such row in message.",
            );
        }
    }
    assert_eq!(caller.get(&server, "/rest/message?body=hidden").await.result(), json!([]));
    assert_eq!(caller.get(&server, "/rest/message?id.in=1,2").await.result().as_array().unwrap().len(), 1);
    // A page of what is seen, and no more behind it.
    let page = caller.get(&server, "/rest/message?select=id&limit=1").await;
    let next = page.header("tidebase-next").unwrap().to_owned();
    let page = caller.get(&server, &format!("/rest/message?select=id&limit=1&after={next}")).await;
    assert_eq!((page.result(), page.header("tidebase-next")), (json!([{"id": 3}]), None));
    assert_eq!(
        caller.get(&server, "/rest/room?select=id,message(id,body)").await.result(),
        json!([{"id": 1, "message": [{"id": 1, "body": "a"}, {"id": 3, "body": "c"}]}])
    );
    // A parent that is hidden is null, as one that is not there.
    allow(&server, json!({"name": "all bodies", "table": "message", "action": "select", "using": "true"})).await;
    let hidden = caller.get(&server, "/rest/message/2?select=id,room(id)").await;
    assert_eq!(hidden.result(), json!({"id": 2, "room": null}));
    assert_eq!(caller.get(&server, "/rest/loud").await.result(), json!([{"body": "A"}, {"body": "C"}]));
}

#[tokio::test]
async fn what_is_closed_is_refused_in_the_words_for_what_is_not_there() {
    let (server, caller) = rooms().await;
    for (there, not_there) in [
        ("/rest/closed", "/rest/absent"),
        ("/rest/closed/1", "/rest/absent/1"),
        ("/rest/main/closed", "/rest/main/absent"),
        ("/rest/_tide_tokens", "/rest/_tide_absent"),
        ("/rest/sqlite_schema", "/rest/sqlite_absent"),
        ("/rest/box", "/rest/absent"),
        ("/rest/room?secret=hush", "/rest/room?absent=hush"),
        ("/rest/room?secret.like=h%25", "/rest/room?absent.like=h%25"),
        ("/rest/room?select=secret", "/rest/room?select=absent"),
        ("/rest/room?sort_by=secret", "/rest/room?sort_by=absent"),
        ("/rest/message?select=id,closed(id)", "/rest/message?select=id,absent(id)"),
        ("/rest/message?select=id,room(secret)", "/rest/message?select=id,room(absent)"),
        ("/rest/loud?id=1", "/rest/loud?absent=1"),
    ] {
        let (one, other) = (caller.get(&server, there).await, caller.get(&server, not_there).await);
        let (one_text, other_text) = (one.json().to_string(), other.json().to_string());
        let renamed = |text: &str| {
            [
                "_tide_tokens",
                "_tide_absent",
                "sqlite_schema",
                "sqlite_absent",
                "secret",
                "closed",
                "absent",
                "box",
                "id",
            ]
            .iter()
            .fold(text.to_owned(), |text, name| text.replace(name, "…"))
        };
        assert!([400, 403].contains(&one.status), "{there}: {one_text}");
        assert_eq!((one.status, renamed(&one_text)), (other.status, renamed(&other_text)), "{there}");
    }
    let wrote = caller.send(&server, "POST", "/rest/closed", json!({"id": 1})).await;
    wrote.is_refused(403, "forbidden", "There is no table closed that is open to you.");
    caller.send(&server, "POST", "/rest/room", json!({"name": "x"})).await.is_refused(
        403,
        "forbidden",
        "No policy lets",
    );
    caller.send(&server, "POST", "/rest/room", json!({"secret": "x"})).await.is_refused(
        400,
        "invalid",
        "There is no column",
    );
    assert_eq!(caller.get(&server, "/rest/room/1").await.result(), json!({"id": 1, "name": "one"}));
    caller.get(&server, "/rest/room/2").await.is_refused(404, "not_found", "There is no such row");
}

#[tokio::test]
async fn writes_go_as_far_as_policies_do_and_tell_what_may_be_told() {
    let (server, caller) = rooms().await;
    let made =
        caller.send(&server, "POST", "/rest/message", json!({"room": 1, "body": "new", "extra": {"a": 1}})).await;
    assert_eq!(made.status, 201, "{}", made.text());
    let data = &made.result()["data"];
    assert_eq!((&data["id"], &data["note"], &data["extra"]), (&json!(4), &json!("none"), &json!({"a": 1})));
    assert!(data["author"].is_string(), "{data}");
    caller.send(&server, "POST", "/rest/message", json!({"room": 2, "body": "x"})).await.is_refused(
        403,
        "forbidden",
        "No policy lets you leave",
    );
    let both = json!([{"room": 1, "body": "x"}, {"room": 2, "body": "y"}]);
    let refused = caller.send(&server, "POST", "/rest/message", both).await;
    refused.is_refused(403, "forbidden", "No policy lets you leave");
    assert_eq!(refused.json()["statement"], 1);
    assert_eq!(server.sql("SELECT count(*) AS n FROM message").await, json!([{"n": 4}]));

    // Who may insert and not see is told the key, and nothing else.
    let dropped = caller.send(&server, "POST", "/rest/box", json!({"word": "psst"})).await;
    assert_eq!((dropped.status, dropped.result()["data"].clone()), (201, json!({"id": 1})));
    let dropped = caller.send(&server, "POST", "/rest/box", json!([{"word": "a"}, {"word": "b", "inner_id": 7}])).await;
    assert_eq!(dropped.result()["data"], json!([{"id": 2}, {"id": 3}]));
    caller.send(&server, "PATCH", "/rest/box/1", json!({"word": "x"})).await.is_refused(
        403,
        "forbidden",
        "There is no table box that is open to you.",
    );
    let over = json!([{"id": 2, "room": 1}, {"id": 1, "room": 1, "body": "a"}]);
    let over = caller.send(&server, "POST", "/rest/message?on_conflict=id", over).await.result();
    assert_eq!((&over["data"][0], &over["data"][1]["body"]), (&json!(null), &json!("a")));

    caller.send(&server, "PATCH", "/rest/message/1", json!({"room": 2})).await.is_refused(
        403,
        "forbidden",
        "No policy lets you leave",
    );
    let changed = caller.send(&server, "PATCH", "/rest/message/1", json!({"body": "b"})).await;
    assert_eq!(changed.result()["data"]["body"], "b");
    // A replacement sets what it does not name to its default, found for whoever asks.
    let replaced = caller.send(&server, "PUT", "/rest/message/1", json!({"room": 1})).await.result();
    assert_eq!(
        (&replaced["data"]["body"], &replaced["data"]["note"], &replaced["data"]["author"]),
        (&json!(null), &json!("none"), &data["author"])
    );
    caller.send(&server, "PUT", "/rest/message/1", json!({"body": "x"})).await.is_refused(
        403,
        "forbidden",
        "No policy lets you leave",
    );
    assert_eq!(caller.send(&server, "DELETE", "/rest/message/3", json!(null)).await.status, 200);

    // An upsert over a hidden row changes nothing, and says no more than a unique key does.
    let over =
        caller.send(&server, "POST", "/rest/message?on_conflict=id", json!({"id": 2, "room": 1, "body": "mine"})).await;
    over.is_refused(409, "conflict", "it is not open to you");
    assert_eq!(server.sql("SELECT room, body FROM message WHERE id = 2").await, json!([{"room": 2, "body": "hidden"}]));
    let over =
        caller.send(&server, "POST", "/rest/message?on_conflict=id", json!({"id": 1, "room": 1, "body": "mine"})).await;
    assert_eq!(over.result()["data"]["body"], "mine");
    // A name of a tied table stands in no way where a column has it.
    let room = caller.send(&server, "POST", "/rest/message?on_conflict=id", json!({"id": 30, "room": 1})).await;
    assert_eq!(room.result()["data"]["room"], 1);
    caller.send(&server, "POST", "/rest/message?on_conflict=room", json!({"room": 1})).await.is_refused(
        400,
        "invalid",
        "ON CONFLICT",
    );
}

#[tokio::test]
async fn a_replacement_needs_all_columns_and_a_cursor_none_that_is_closed() {
    let (server, caller) = rooms().await;
    allow(&server, json!({"name": "rename", "table": "room", "action": "update", "using": "id = auth.claim('room')", "columns": ["name"]})).await;
    let renamed = caller.send(&server, "PATCH", "/rest/room/1", json!({"name": "uno"})).await;
    assert_eq!(renamed.result()["data"], json!({"id": 1, "name": "uno"}));
    caller.send(&server, "PUT", "/rest/room/1", json!({"name": "x"})).await.is_refused(
        403,
        "forbidden",
        "No policy lets the role client update this in room.",
    );
    assert_eq!(
        server.sql("SELECT name, secret FROM room WHERE id = 1").await,
        json!([{"name": "uno", "secret": "hush"}])
    );
    // Made by hand: the administrator's cursor over a closed column.
    let admins = server.send(Request::get("/rest/room?sort_by=secret&limit=1")).await;
    let next = admins.header("tidebase-next").unwrap().to_owned();
    caller.get(&server, &format!("/rest/room?after={next}")).await.is_refused(400, "invalid", "another order");
    caller.get(&server, &format!("/rest/room?sort_by=secret&after={next}")).await.is_refused(
        400,
        "invalid",
        "There is no column",
    );
    // What one policy closes, the next request no longer sees.
    assert_eq!(server.send(Request::new("DELETE", "/policies/own%20messages")).await.status, 200);
    caller.get(&server, "/rest/message").await.is_refused(
        403,
        "forbidden",
        "There is no table message that is open to you.",
    );
}

#[tokio::test]
async fn what_others_rows_are_like_is_not_told_by_what_refuses() {
    let (server, caller) = rooms().await;
    server
        .sql(
            "CREATE TABLE shadow (id INTEGER PRIMARY KEY, copy JSON);
             CREATE TRIGGER shadowed AFTER INSERT ON box BEGIN INSERT INTO shadow (copy) SELECT json_object('salary', 9) FROM room; END;
             CREATE TABLE link (id INTEGER PRIMARY KEY, one INTEGER REFERENCES message, two INTEGER REFERENCES message)",
        )
        .await;
    allow(&server, json!({"name": "link", "table": "link", "action": "all", "using": "true"})).await;
    // A document that a trigger writes where the caller may not.
    let schema = json!({"required": ["pension"], "additionalProperties": false});
    server.send(Request::new("PUT", "/schemas/shadow/copy").json(schema)).await.result();
    let refused = caller.send(&server, "POST", "/rest/box", json!({"word": "x"})).await;
    let plain = json!({"error": "It would write a document that does not fit its JSON Schema.", "code": "invalid"});
    assert_eq!((refused.status, refused.json()), (400, plain));
    // One that the caller wrote is told.
    server.send(Request::new("PUT", "/schemas/message/extra").json(json!({"required": ["to"]}))).await.result();
    let refused = caller.send(&server, "PATCH", "/rest/message/1", json!({"extra": {}})).await;
    assert_eq!((refused.status, &refused.json()["column"]), (400, &json!("extra")));
    // Which of two keys is missing is told where the other is seen; message 2 is there, and hidden.
    for (one, two, column) in
        [(1, 99, json!("two")), (99, 3, json!("one")), (2, 99, json!(null)), (98, 99, json!(null))]
    {
        let refused = caller.send(&server, "POST", "/rest/link", json!({"one": one, "two": two})).await;
        assert_eq!((refused.status, &refused.json()["column"]), (409, &column), "{one} {two}");
    }
}

#[tokio::test]
async fn a_key_that_is_not_granted_is_told_to_whoever_makes_it_and_to_nobody_else() {
    let (server, caller) = rooms().await;
    allow(
        &server,
        json!({"name": "see words", "table": "box", "action": "select", "using": "true", "columns": ["word"]}),
    )
    .await;
    allow(
        &server,
        json!({"name": "set words", "table": "box", "action": "update", "using": "true", "columns": ["word"]}),
    )
    .await;
    let made = caller.send(&server, "POST", "/rest/box", json!({"word": "x"})).await.result();
    assert_eq!(made["data"], json!({"id": 1, "word": "x"}));
    for (method, path, body) in [("PATCH", "/rest/box/1", json!({"word": "y"})), ("GET", "/rest/box/1", json!(null))] {
        let refused = caller.send(&server, method, path, body).await;
        assert!([400, 403, 404].contains(&refused.status), "{method} {path}: {}", refused.text());
        assert!(!refused.text().contains("\"x\""), "{}", refused.text());
    }
    assert_eq!(caller.get(&server, "/rest/box").await.json()["result"], json!([{"word": "x"}]));
}
