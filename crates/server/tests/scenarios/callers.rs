//! Callers with tokens of their own: what policies open to them, on every face, and for how long.

use crate::server::events::Events;
use crate::server::http::{Answer, Request};
use crate::server::socket::Socket;
use crate::server::{Home, Server, TOKEN};
use serde_json::{Value as Json, json};

/// A client's token, with these claims.
pub async fn token(server: &Server, claims: Json) -> Json {
    let made =
        server.send(Request::post("/auth/tokens", json!({"name": "till", "role": "client", "claims": claims}))).await;
    assert_eq!(made.status, 201, "{}", made.text());
    made.result()
}

pub fn bearer(request: Request, token: &Json) -> Request {
    request.header("Authorization", format!("Bearer {}", token["token"].as_str().unwrap()))
}

pub async fn sql(server: &Server, token: &Json, sql: &str) -> Answer {
    server.send(bearer(Request::post("/query", json!({ "sql": sql })), token)).await
}

pub async fn allow(server: &Server, policy: Json) {
    let kept = server.send(Request::post("/policies", policy)).await;
    assert_eq!(kept.status, 201, "{}", kept.text());
}

async fn shop() -> Server {
    let server = Server::start().await;
    server.sql("CREATE TABLE sales (id INTEGER PRIMARY KEY, shop TEXT, amount INTEGER)").await;
    server.sql("INSERT INTO sales VALUES (1, 'north', 5), (2, 'south', 7)").await;
    allow(&server, json!({"name": "own sales", "table": "sales", "action": "all", "role": "client", "using": "shop = auth.claim('shop')"})).await;
    server
}

#[tokio::test]
async fn a_token_sees_and_changes_what_policies_allow_and_nothing_else() {
    let server = shop().await;
    let north = token(&server, json!({"shop": "north"})).await;
    assert!(north["token"].as_str().unwrap().starts_with("tide_client_"), "{north}");
    assert_eq!(
        sql(&server, &north, "SELECT * FROM sales").await.result(),
        json!([{"id": 1, "shop": "north", "amount": 5}])
    );
    let sold =
        sql(&server, &north, "INSERT INTO sales (shop, amount) VALUES (auth.claim('shop'), 9) RETURNING id").await;
    assert_eq!(sold.result(), json!([{"id": 3}]));
    sql(&server, &north, "INSERT INTO sales (shop, amount) VALUES ('south', 9)").await.is_refused(
        403,
        "forbidden",
        "No policy lets you leave such a row in sales.",
    );
    sql(&server, &north, "DELETE FROM sales WHERE id = 2").await.result();
    sql(&server, &north, "DROP TABLE sales").await.is_refused(
        403,
        "forbidden",
        "Only SELECT, INSERT, UPDATE and DELETE are open to you.",
    );
    sql(&server, &north, "SELECT * FROM sqlite_schema").await.is_refused(
        403,
        "forbidden",
        "There is no table sqlite_schema that is open to you.",
    );
    assert_eq!(server.sql("SELECT count(*) AS n FROM sales").await, json!([{"n": 3}]));
    // The other faces of SQL.
    let raw =
        server.send(bearer(Request::post("/query/raw", json!({"sql": "SELECT amount FROM sales"})), &north)).await;
    assert_eq!(raw.result()["rows"], json!([[5], [9]]));
    let mut socket = Socket::try_open(server.address, "/socket", north["token"].as_str()).await.unwrap();
    let rows = socket.ask(json!({"id": 1, "action": "query", "sql": "SELECT count(*) AS n FROM sales"})).await;
    assert_eq!(rows["result"], json!([{"n": 2}]));
    let mut socket = Socket::try_open(server.address, "/ws", north["token"].as_str()).await.unwrap();
    let rows = socket.ask(json!({"id": 1, "action": "query", "sql": "SELECT count(*) AS n FROM sales"})).await;
    assert_eq!(rows["result"], json!([{"n": 2}]));
    let both = json!({"id": 2, "action": "transaction", "transaction": [
        {"sql": "UPDATE sales SET amount = 0 WHERE id = 1"}, {"sql": "UPDATE sales SET shop = 'south' WHERE id = 1"}]});
    assert_eq!(socket.ask(both).await["code"], "forbidden");
    assert_eq!(server.sql("SELECT amount FROM sales WHERE id = 1").await, json!([{"amount": 5}]));
}

#[tokio::test]
async fn what_no_policy_can_open_is_the_administrators() {
    let server = shop().await;
    let client = token(&server, json!({})).await;
    for request in [
        Request::get("/auth/tokens"),
        Request::post("/auth/tokens", json!({"name": "x", "role": "admin"})),
        Request::new("DELETE", "/auth/tokens/tok_x"),
        Request::get("/policies"),
        Request::post("/policies", json!({"name": "x", "table": "sales", "action": "all", "using": "true"})),
        Request::get("/policies/own%20sales"),
        Request::new("DELETE", "/policies/own%20sales"),
        Request::get("/data"),
        Request::get("/data/key"),
        Request::post("/data/key", json!({ "value": 1 })),
        Request::post("/topics/chat", json!({ "data": 1 })),
        Request::new("PUT", "/topics/chat").json(json!({ "keep": 1 })),
        Request::get("/metrics"),
        Request::get("/status/database"),
        Request::get("/status/live"),
    ] {
        let answer = server.send(bearer(request.clone(), &client)).await;
        answer.is_refused(403, "forbidden", "");
    }
    let mut socket = Socket::try_open(server.address, "/ws", client["token"].as_str()).await.unwrap();
    for ask in [
        json!({"id": 1, "action": "subscribe", "table": "*"}),
        json!({"id": 2, "action": "subscribe", "table": "sales"}),
        json!({"id": 3, "action": "subscribe", "key": "k"}),
        json!({"id": 4, "action": "subscribe", "topic": "chat"}),
        json!({"id": 5, "action": "subscribe", "topic": "chat", "presence": {}}),
        json!({"id": 6, "action": "publish", "topic": "chat", "data": 1}),
        json!({"id": 7, "action": "subscribe", "sql": "SELECT * FROM sqlite_schema"}),
        json!({"id": 8, "action": "query", "sql": "EXPLAIN LIVE SELECT * FROM sales"}),
    ] {
        assert_eq!(socket.ask(ask.clone()).await["code"], "forbidden", "{ask}");
    }
    assert_eq!(server.send(bearer(Request::post("/auth/ticket", json!({})), &client)).await.status, 200);
    assert_eq!(server.send(Request::get("/policies")).await.result().as_array().unwrap().len(), 1);
}

#[tokio::test]
async fn each_live_query_is_its_readers_own() {
    let server = shop().await;
    let (north, south) =
        (token(&server, json!({"shop": "north"})).await, token(&server, json!({"shop": "south"})).await);
    let mut sockets = Vec::new();
    for token in [&north, &south] {
        let mut socket = Socket::try_open(server.address, "/ws", token["token"].as_str()).await.unwrap();
        socket.subscribe("q", "SELECT id, amount FROM sales ORDER BY id").await;
        sockets.push(socket);
    }
    let revision = server.write("UPDATE sales SET shop = 'south', amount = 6 WHERE id = 1").await;
    let gone = sockets[0].reaches(revision).await;
    assert_eq!(gone["queries"][0]["delete"], json!(["1"]), "{gone}");
    let come = sockets[1].reaches(revision).await;
    assert_eq!(come["queries"][0]["insert"], json!([["1", 1, 6]]), "{come}");
    let events = Request::get("/live?sql=SELECT%20count(*)%20FROM%20sales");
    let mut events = Events::open(server.address, bearer(events, &south)).await;
    assert_eq!(events.next().await.unwrap().kind, "hello");
    let rows = events.next().await.unwrap();
    assert!(rows.data.to_string().contains(",2]]"), "{}", rows.data);
    // A policy that changes counts for what is open.
    allow(&server, json!({"name": "own sales", "table": "sales", "action": "select", "using": "amount > 6"})).await;
    // It asks something else of its readers, so they begin anew.
    let told = sockets[0].until(|frame| frame["type"] == "rows").await;
    assert_eq!(told["rows"], json!([["2", 2, 7]]));
    server.send(Request::new("DELETE", "/policies/own%20sales")).await.result();
    let ended = sockets[0].until(|frame| frame["type"] == "error").await;
    assert_eq!((&ended["id"], &ended["code"]), (&json!("q"), &json!("forbidden")));
    sockets[0].still_serves().await;
}

#[tokio::test]
async fn a_token_that_is_revoked_or_too_old_closes_its_sockets() {
    let server = shop().await;
    let revoked = token(&server, json!({"shop": "north"})).await;
    let short = server
        .send(Request::post("/auth/tokens", json!({"name": "short", "role": "client", "expires_in": 2})))
        .await
        .result();
    let admin =
        server.send(Request::post("/auth/tokens", json!({"name": "other admin", "role": "admin"}))).await.result();
    let open = async |token: &Json, path: &str| Socket::try_open(server.address, path, token["token"].as_str()).await;
    let mut old = open(&short, "/ws").await.unwrap();
    assert_eq!(old.closed().await.0, 4401);
    sql(&server, &short, "SELECT 1").await.is_refused(401, "unauthorized", "");
    let (mut ws, mut socket) = (open(&revoked, "/ws").await.unwrap(), open(&revoked, "/socket").await.unwrap());
    let mut of_admin = open(&admin, "/ws").await.unwrap();
    let ticket = server.send(bearer(Request::post("/auth/ticket", json!({})), &revoked)).await.result();
    for token in [&revoked, &admin] {
        let path = format!("/auth/tokens/{}", token["id"].as_str().unwrap());
        assert_eq!(server.send(Request::new("DELETE", path.clone())).await.status, 200);
        server.send(Request::new("DELETE", path)).await.is_refused(404, "not_found", "There is no token");
    }
    for socket in [&mut ws, &mut socket, &mut of_admin] {
        assert_eq!(socket.closed().await.0, 4401);
    }
    sql(&server, &revoked, "SELECT 1").await.is_refused(
        401,
        "unauthorized",
        "The token is wrong, or its time has passed.",
    );
    let path = format!("/ws?token={}", ticket["ticket"].as_str().unwrap());
    assert!(Socket::try_open(server.address, &path, None).await.is_err(), "a ticket of a revoked token");
}

#[tokio::test]
async fn an_event_stream_ends_with_its_token() {
    let server = shop().await;
    for policy in [
        json!({"name": "keys", "table": "kv", "action": "select", "using": "true"}),
        json!({"name": "topics", "table": "_tide_messages", "action": "select", "using": "true"}),
    ] {
        allow(&server, policy).await;
    }
    let revoked = token(&server, json!({"shop": "north"})).await;
    let ticketed = token(&server, json!({"shop": "north"})).await;
    let mut streams = Vec::new();
    for what in ["sql=SELECT+1+AS+one", "key=k", "topic=t"] {
        let live = |client: &Json| bearer(Request::get(format!("/live?{what}")), client);
        streams.push(Events::open(server.address, live(&revoked)).await);
        // One that lives a moment may be too old before it is used.
        loop {
            let short = Request::post("/auth/tokens", json!({"name": "short", "role": "client", "expires_in": 1}));
            let stream = Events::open(server.address, live(&server.send(short).await.result())).await;
            if !stream.head.starts_with("http/1.1 401") {
                streams.push(stream);
                break;
            }
        }
        let ticket = server.send(bearer(Request::post("/auth/ticket", json!({})), &ticketed)).await.result();
        let path = format!("/live?{what}&token={}", ticket["ticket"].as_str().unwrap());
        streams.push(Events::open(server.address, Request::get(path).without_token()).await);
    }
    for client in [&revoked, &ticketed] {
        let path = format!("/auth/tokens/{}", client["id"].as_str().unwrap());
        server.send(Request::new("DELETE", path)).await.result();
    }
    for stream in &mut streams {
        assert!(stream.head.starts_with("http/1.1 200"), "{}", stream.head);
        assert_eq!(stream.next().await.unwrap().kind, "hello");
        while stream.next().await.is_some() {}
    }
}

#[tokio::test]
async fn tokens_and_policies_are_kept_over_a_restart_and_tokens_as_hashes() {
    let server = shop().await;
    let north = token(&server, json!({"shop": "north"})).await;
    let secret = north["token"].as_str().unwrap().to_owned();
    let listed = server.send(Request::get("/auth/tokens")).await;
    assert!(!listed.text().contains(&secret) && listed.text().contains("till"), "{}", listed.text());
    let server = server.restart().await;
    assert_eq!(sql(&server, &north, "SELECT count(*) AS n FROM sales").await.result(), json!([{"n": 1}]));
    for row in server.sql("SELECT * FROM _tide_tokens").await.as_array().unwrap() {
        assert!(!row.to_string().contains(&secret), "{row}");
    }
    assert_eq!(server.send(Request::get("/policies/own%20sales")).await.result()["using"], "shop = auth.claim('shop')");
    for (body, why) in [
        (json!({"name": "", "role": "client"}), "name"),
        (json!({"name": "x", "role": "user"}), "role"),
        (json!({"name": "x", "role": "client", "claims": [1]}), "claims"),
        (json!({"name": "x", "role": "admin", "claims": {"a": 1}}), "claims"),
        (json!({"name": "x", "role": "client", "expires_in": 0}), "expires_in"),
        (json!({"name": "x", "role": "client", "more": 0}), "more"),
    ] {
        server.send(Request::post("/auth/tokens", body)).await.is_refused(400, "invalid", why);
    }
}

#[tokio::test]
async fn the_client_token_of_the_settings_is_bound_by_policies() {
    let home = Home::new();
    let mut command = home.command();
    command.args(["--client-token", "token-of-all-clients"]);
    let server = Server::run(&home, command).await;
    server.sql("CREATE TABLE t (id INTEGER PRIMARY KEY, open INTEGER)").await;
    server.sql("INSERT INTO t VALUES (1, 0), (2, 1)").await;
    let client = json!({"token": "token-of-all-clients"});
    sql(&server, &client, "SELECT * FROM t").await.is_refused(403, "forbidden", "There is no table t");
    allow(&server, json!({"name": "open", "table": "t", "action": "select", "using": "open"})).await;
    assert_eq!(
        sql(&server, &client, "SELECT id, auth.uid() AS u, auth.role() AS r FROM t").await.result(),
        json!([{"id": 2, "u": "client", "r": "client"}])
    );
    let other = Home::new();
    let mut command = other.command();
    command.args(["--client-token", TOKEN]);
    let (status, output) = crate::server::Process::run(command).ended().await;
    assert!(!status.success() && output.err.contains("then every client is the administrator"), "{output:?}");
}

#[tokio::test]
async fn an_answer_kept_for_one_caller_is_given_to_no_other_on_any_face() {
    let server = shop().await;
    for policy in [
        json!({"name": "keys", "table": "kv", "action": "all", "using": "key = auth.claim('shop')"}),
        json!({"name": "topics", "table": "_tide_messages", "action": "insert", "check": "topic = auth.claim('shop')"}),
    ] {
        allow(&server, policy).await;
    }
    server.send(Request::new("PUT", "/topics/north").json(json!({"keep": 5}))).await.result();
    let (north, south) =
        (token(&server, json!({"shop": "north"})).await, token(&server, json!({"shop": "south"})).await);
    let sell = json!({"sql": "INSERT INTO sales (shop, amount) VALUES ('north', 1) RETURNING id"});
    for (number, write) in [
        Request::post("/query", sell.clone()),
        Request::post("/query/raw", sell),
        Request::post("/rest/sales", json!({"shop": "north", "amount": 1})),
        Request::new("PATCH", "/rest/sales/1").json(json!({"amount": 2})),
        Request::new("PUT", "/rest/sales/1").json(json!({"shop": "north", "amount": 3})),
        Request::new("DELETE", "/rest/sales/1"),
        Request::new("PUT", "/data/north").json(json!({"value": 1})),
        Request::post("/data/north/increment", json!({})),
        Request::new("DELETE", "/data/north"),
        Request::post("/topics/north", json!({"data": 1})),
    ]
    .into_iter()
    .enumerate()
    {
        let write = write.header("Idempotency-Key", format!("key {number}"));
        let first = server.send(bearer(write.clone(), &north)).await;
        assert!([200, 201].contains(&first.status), "{}: {}", write.head(), first.text());
        let others = server.send(bearer(write.clone(), &south)).await;
        assert!([403, 404].contains(&others.status), "{}: {}", write.head(), others.text());
        let again = server.send(bearer(write.clone(), &north)).await;
        assert_eq!((again.status, &again.body), (first.status, &first.body), "{}", write.head());
        assert_eq!(again.header("idempotent-replayed").is_some(), !write.head().contains("/topics/"));
    }
}

#[tokio::test]
async fn nothing_a_caller_tries_over_http_tells_of_hidden_rows() {
    let server = Server::start().await;
    for sql in [
        "CREATE TABLE notes (id INTEGER PRIMARY KEY, owner TEXT, body TEXT, slug TEXT UNIQUE, done INTEGER)",
        "CREATE TABLE secrets (id INTEGER PRIMARY KEY, secret TEXT)",
        "INSERT INTO notes VALUES (1, 'client', 'mine', 'a1', 0), (2, 'bob', 'hidden', 'b1', 0)",
        "INSERT INTO secrets VALUES (1, 'hidden')",
        "CREATE VIEW everything AS SELECT * FROM secrets",
        "CREATE TRIGGER notes_made AFTER INSERT ON notes BEGIN SELECT secret FROM secrets; END",
    ] {
        server.sql(sql).await;
    }
    allow(&server, json!({"name": "own", "table": "notes", "action": "all", "using": "id = 1 OR owner = auth.uid()"}))
        .await;
    let client = token(&server, json!({})).await;
    let reads = include_str!("../../../engine/tests/access/reads.sql");
    let writes = include_str!("../../../engine/tests/access/writes.sql");
    for line in reads.lines().chain(writes.lines()).filter(|line| !line.is_empty() && !line.starts_with("--")) {
        let answer = sql(&server, &client, &line.replace('␤', "\n")).await;
        assert!([200, 400, 403, 409, 413, 501].contains(&answer.status), "{line}: {}", answer.text());
        let told = answer.text();
        assert!(!told.contains("hidden") || line.contains("hidden"), "{line}: {told}");
    }
    assert_eq!(server.sql("SELECT body FROM notes WHERE id = 2").await, json!([{"body": "hidden"}]));
    assert_eq!(server.sql("SELECT secret FROM secrets").await, json!([{"secret": "hidden"}]));
}

#[tokio::test]
async fn a_policy_that_fails_or_takes_too_long_lets_nobody_pass_and_holds_up_nobody_else() {
    let limits = ["read_time_max=400", "write_time_max=400", "live_slow_time_max=400"];
    let server = Server::start_with(&limits).await;
    server.sql("CREATE TABLE odd (id INTEGER PRIMARY KEY, body TEXT)").await;
    server.sql("INSERT INTO odd VALUES (1, '{\"open\": 1}'), (2, 'no JSON: a secret')").await;
    server.sql("CREATE TABLE slow (id INTEGER PRIMARY KEY)").await;
    server.sql("INSERT INTO slow VALUES (1)").await;
    allow(
        &server,
        json!({"name": "odd", "table": "odd", "action": "all", "using": "json_extract(body, '$.open') = 1"}),
    )
    .await;
    let endless = "(SELECT count(*) FROM many a, many b, many c WHERE a.id + b.id + c.id > slow.id) > 0";
    let series = "WITH RECURSIVE c(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM c LIMIT 3000) SELECT i FROM c";
    server.sql("CREATE TABLE many (id INTEGER PRIMARY KEY)").await;
    server.sql(&format!("INSERT INTO many {series}")).await;
    allow(&server, json!({"name": "slow", "table": "slow", "action": "all", "using": endless})).await;
    let with = json!({"name": "w", "table": "odd", "action": "select", "using": format!("id IN ({series})")});
    server.send(Request::post("/policies", with)).await.is_refused(400, "invalid", "no WITH");
    let caller = token(&server, json!({})).await;
    for statement in ["SELECT * FROM odd", "UPDATE odd SET body = '{}'", "DELETE FROM odd", "SELECT count(*) FROM odd"]
    {
        let answer = sql(&server, &caller, statement).await;
        assert!(answer.status >= 400 && !answer.text().contains("secret"), "{statement}: {}", answer.text());
    }
    assert_eq!(sql(&server, &caller, "SELECT id FROM odd WHERE id = 1").await.result(), json!([{"id": 1}]));
    for statement in ["SELECT * FROM slow", "DELETE FROM slow", "INSERT INTO slow VALUES (2)"] {
        sql(&server, &caller, statement).await.is_refused(504, "timeout", "took longer");
    }
    let mut socket = Socket::try_open(server.address, "/ws", caller["token"].as_str()).await.unwrap();
    socket.next().await;
    socket.send(json!({"id": "slow", "action": "subscribe", "sql": "SELECT * FROM slow"})).await;
    assert_eq!(socket.answer("slow").await["code"], "timeout");
    socket.send(json!({"id": "odd", "action": "subscribe", "sql": "SELECT * FROM odd"})).await;
    let failed = socket.answer("odd").await;
    assert!(failed["type"] == "error" && !failed.to_string().contains("secret"), "{failed}");
    // Open queries of others go on.
    let mut other = server.live().await;
    other.subscribe("q", "SELECT count(*) AS n FROM slow").await;
    let at = server.write("INSERT INTO slow VALUES (3)").await;
    other.reaches(at).await;
    assert_eq!(server.sql("SELECT count(*) AS n FROM odd").await, json!([{"n": 2}]));
}
