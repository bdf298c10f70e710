//! What the administrator can read afterwards, and what must not stand there.

use crate::server::http::Request;
use crate::server::{Home, Server, TOKEN, within};
use serde_json::{Value as Json, json};

/// Who did what, oldest first.
async fn audited(server: &Server) -> Vec<(String, String, Json)> {
    let rows = server.sql("SELECT who, what, detail FROM _tide_audit ORDER BY id").await;
    let text = |row: &Json, name: &str| row[name].as_str().unwrap().to_owned();
    let entry = |row: &Json| {
        (text(row, "who"), text(row, "what"), serde_json::from_str(row["detail"].as_str().unwrap()).unwrap())
    };
    rows.as_array().unwrap().iter().map(entry).collect()
}

#[tokio::test]
async fn the_audit_log_tells_who_changed_tokens_policies_and_the_schema() {
    let server = Server::start().await;
    server
        .sql("CREATE TABLE t (id INTEGER PRIMARY KEY, a TEXT DEFAULT 'hunter2' CHECK (length(a) < 20)) -- s3cret")
        .await;
    server.sql("INSERT INTO t VALUES (1, 'hunter2')").await;
    let made = server.send(Request::post("/auth/tokens", json!({"name": "ops", "role": "admin"}))).await.result();
    let (id, secret) = (made["id"].as_str().unwrap(), made["token"].as_str().unwrap());
    let policy = json!({"name": "open", "table": "t", "action": "select", "using": "true"});
    let kept = Request::post("/policies", policy.clone()).header("Authorization", format!("Bearer {secret}"));
    assert_eq!(server.send(kept).await.status, 201);
    server.send(Request::new("DELETE", "/policies/open")).await.result();
    server.send(Request::new("DELETE", "/policies/open")).await.is_refused(404, "not_found", "");
    server
        .send(Request::new("PUT", "/schemas/t/a").json(json!({"type": "integer"})))
        .await
        .is_refused(409, "conflict", "");
    server.sql("UPDATE t SET a = 5").await;
    server.send(Request::new("PUT", "/schemas/t/a").json(json!({"const": 5}))).await.result();
    server.send(Request::new("DELETE", "/schemas/t/a")).await.result();
    server.send(Request::new("DELETE", format!("/auth/tokens/{id}"))).await.result();
    server.send(Request::new("DELETE", format!("/auth/tokens/{id}"))).await.is_refused(404, "not_found", "");
    server
        .query(json!({"transaction": [{"sql": "DROP TABLE t"}, {"sql": "nonsense"}]}))
        .await
        .is_refused(400, "invalid", "");
    let told = audited(&server).await;
    let expected = [
        ("admin", "schema changed"),
        ("admin", "token made"),
        (&format!("admin {id}"), "policy kept"),
        ("admin", "policy dropped"),
        ("admin", "JSON Schema kept"),
        ("admin", "JSON Schema dropped"),
        ("admin", "token revoked"),
    ];
    assert!(told.iter().map(|(who, what, _)| (who.as_str(), what.as_str())).eq(expected), "{told:?}");
    assert_eq!(
        told[0].2["sql"],
        json!(["CREATE TABLE t (id INTEGER PRIMARY KEY, a TEXT DEFAULT '…' CHECK (length(a) < 20))"])
    );
    assert_eq!(told[2].2, policy);
    let all = format!("{told:?}");
    for hidden in [secret, TOKEN, "hunter2", "s3cret"] {
        assert!(!all.contains(hidden), "{hidden}: {all}");
    }
}

#[tokio::test]
async fn the_audit_log_keeps_the_newest_and_nobody_else_reads_it() {
    let server = Server::start_with(&["audit_rows_max=3"]).await;
    for number in 0..6 {
        server.sql(&format!("CREATE TABLE t{number} (a)")).await;
    }
    let few = async {
        loop {
            let left = audited(&server).await;
            if left.len() <= 3 {
                return left;
            }
        }
    };
    let left = within("old entries to go", few).await;
    assert_eq!(left[2].2["sql"], json!(["CREATE TABLE t5 (a)"]));
    server.query(json!({"sql": "DELETE FROM _tide_audit"})).await.is_refused(403, "forbidden", "kept by Tidebase");
    let client = server.send(Request::post("/auth/tokens", json!({"name": "c", "role": "client"}))).await.result();
    let asked = Request::post("/query", json!({"sql": "SELECT * FROM _tide_audit"}))
        .header("Authorization", format!("Bearer {}", client["token"].as_str().unwrap()));
    server.send(asked).await.is_refused(403, "forbidden", "Tidebase's own");
}

/// The query log, once it has so many entries.
async fn logged(server: &Server, count: usize) -> Vec<Json> {
    loop {
        let asked =
            Request::post("/query/raw", json!({"sql": "SELECT sql, who, rows, code FROM _tide_queries ORDER BY id"}));
        let rows = server.send(asked).await.result()["rows"].clone();
        let rows: Vec<Json> =
            rows.as_array().unwrap().iter().filter(|row| !row.to_string().contains("_tide_queries")).cloned().collect();
        if rows.len() >= count {
            return rows;
        }
    }
}

#[tokio::test]
async fn the_query_log_tells_what_was_asked_by_whom_and_no_value() {
    let server = Server::start_with(&["query_log_time_min=0"]).await;
    server.sql("CREATE TABLE person (id INTEGER PRIMARY KEY, pin)").await;
    let secrets = json!({"sql": "INSERT INTO person (pin) VALUES ('s3cret'), (99887766), (?1) -- hunter2", "params": ["hunter2"]});
    server.query(secrets).await.result();
    server.query(json!({"sql": "SELECT \"pin\" FROM person WHERE pin <> \"hunter2\""})).await.result();
    server.query(json!({"sql": "SELECT nope"})).await.is_refused(400, "invalid", "");
    let made = server.send(Request::post("/auth/tokens", json!({"name": "c", "role": "client"}))).await.result();
    let asked = json!({"transaction": [{"sql": "SELECT 1"}, {"sql": "SELECT * FROM person"}]});
    let asked =
        Request::post("/query", asked).header("Authorization", format!("Bearer {}", made["token"].as_str().unwrap()));
    server.send(asked).await.is_refused(403, "forbidden", "");
    let mut socket = server.live().await;
    socket.ask(json!({"id": 1, "action": "query", "sql": "SELECT 2"})).await;
    let who = format!("client {}", made["id"].as_str().unwrap());
    let expected = [
        json!(["CREATE TABLE person (id INTEGER PRIMARY KEY, pin)", "admin", 0, null]),
        json!(["INSERT INTO person (pin) VALUES ('…'), (?), (?1)", "admin", 3, null]),
        json!(["SELECT \"pin\" FROM person WHERE pin <> \"…\"", "admin", 2, null]),
        json!(["SELECT nope", "admin", 0, "invalid"]),
        json!(["SELECT ?; SELECT * FROM person", who, 0, "forbidden"]),
        json!(["SELECT ?", "admin", 1, null]),
    ];
    assert_eq!(within("entries", logged(&server, 6)).await, expected);
    let all = server.sql("SELECT * FROM _tide_queries").await.to_string();
    for hidden in ["s3cret", "hunter2", "99887766", TOKEN] {
        assert!(!all.contains(hidden), "{hidden}: {all}");
    }
    let bounded = Server::start_with(&["query_log_time_min=0", "query_log_rows_max=2"]).await;
    let count = async || bounded.sql("SELECT count(*) AS n, max(id) > 5 AS many FROM _tide_queries").await;
    let bound = async { while count().await != json!([{"n": 2, "many": 1}]) {} };
    within("old entries to go", bound).await;
    let off = Server::start().await;
    off.sql("SELECT 1").await;
    assert_eq!(off.sql("SELECT count(*) AS n FROM _tide_queries").await, json!([{"n": 0}]));
}

#[tokio::test]
async fn the_audit_log_tells_who_signed_in_and_no_password() {
    let home = Home::new();
    let mut command = home.command();
    command.args(["--signup", "open", "--anonymous", "open"]);
    let server = Server::run(&home, command).await;
    let password = "correct horse battery";
    let account = json!({"email": "ada@example.org", "password": password});
    let person = server.send(Request::post("/auth/signup", account.clone()).without_token()).await.result();
    server.send(Request::post("/auth/login", account).without_token()).await.result();
    server.send(Request::post("/auth/anonymous", json!({})).without_token()).await;
    let wrong = json!({"email": "ada@example.org", "password": "wrong"});
    assert_eq!(server.send(Request::post("/auth/login", wrong).without_token()).await.status, 401);
    let told = audited(&server).await;
    let who = format!("user {}", person["user"]["id"].as_str().unwrap());
    let expected = ["account made", "signed in", "signed in"].map(|what| (who.as_str(), what));
    assert!(told.iter().map(|(who, what, _)| (who.as_str(), what.as_str())).eq(expected), "{told:?}");
    assert!(told[1].2["session"].as_str().unwrap().starts_with("ses_"), "{told:?}");
    let all = format!("{told:?}");
    for hidden in [password, person["access_token"].as_str().unwrap(), person["refresh_token"].as_str().unwrap()] {
        assert!(!all.contains(hidden), "{all}");
    }
}

#[tokio::test]
async fn the_audit_log_tells_what_was_done_to_somebody_and_by_which_token() {
    let home = Home::new();
    let mut command = home.command();
    command.args(["--signup", "open"]);
    let server = Server::run(&home, command).await;
    let admin = server.send(Request::post("/auth/tokens", json!({"name": "ops", "role": "admin"}))).await.result();
    let send = async |token: &Json, method, path: &str, body: Json| {
        let request = Request::new(method, path).json(body);
        let answer = server.send(request.header("Authorization", format!("Bearer {}", token.as_str().unwrap()))).await;
        assert!([200, 201, 204].contains(&answer.status), "{path}: {}", answer.text());
        answer
    };
    let (ops, password) = (&admin["token"], "correct horse battery");
    let account = json!({"email": "ann@example.org", "password": password});
    let ann = send(ops, "POST", "/auth/users", account.clone()).await.result();
    let path = format!("/auth/users/{}", ann["id"].as_str().unwrap());
    let session = send(ops, "POST", "/auth/login", account.clone()).await.result();
    send(ops, "POST", "/auth/login", account).await;
    send(&session["access_token"], "DELETE", "/auth/sessions", json!(null)).await;
    send(ops, "DELETE", &format!("{path}/sessions"), json!(null)).await;
    send(ops, "PATCH", &path, json!({"password": "another good one"})).await;
    send(ops, "DELETE", &path, json!(null)).await;
    let told = audited(&server).await;
    let by_ops = format!("admin {}", admin["id"].as_str().unwrap());
    let (by_ops, by_ann) = (by_ops.as_str(), format!("user {}", ann["id"].as_str().unwrap()));
    let expected = [
        ("admin", "token made"),
        (by_ops, "account made"),
        (&by_ann, "signed in"),
        (&by_ann, "signed in"),
        (&by_ann, "signed out"),
        (by_ops, "signed out"),
        (by_ops, "password set"),
        (by_ops, "user changed"),
        (by_ops, "user removed"),
    ];
    assert!(told.iter().map(|(who, what, _)| (who.as_str(), what.as_str())).eq(expected), "{told:?}");
    for (who, what, detail) in told.iter().skip(1).filter(|(who, ..)| who == by_ops) {
        assert_eq!(detail["user"], ann["id"], "{who} {what}: {detail}");
    }
    assert_eq!((&told[4].2["sessions"], &told[5].2["sessions"]), (&json!("others"), &json!("all")));
}

#[tokio::test]
async fn the_audit_log_tells_everything_it_promises_to() {
    let home = Home::new();
    let mut command = home.command();
    command.args(["--signup", "open", "--anonymous", "open"]);
    let server = Server::run(&home, command).await;
    let send = async |method, path: &str, body: Json| server.send(Request::new(method, path).json(body)).await;
    let made = send("POST", "/auth/tokens", json!({"name": "t", "role": "client"})).await.result();
    send("DELETE", &format!("/auth/tokens/{}", made["id"].as_str().unwrap()), json!(null)).await.result();
    server.sql("CREATE TABLE t (id)").await;
    send("POST", "/policies", json!({"name": "p", "table": "t", "action": "select", "using": "true"})).await.result();
    send("DELETE", "/policies/p", json!(null)).await.result();
    server.sql("CREATE TABLE d (id INTEGER PRIMARY KEY, body JSON)").await;
    assert_eq!(send("PUT", "/schemas/d/body", json!({"type": "object"})).await.status, 200);
    send("DELETE", "/schemas/d/body", json!(null)).await.result();
    let known = send("POST", "/statements", json!({"sql": "SELECT 1"})).await.result();
    send("DELETE", &format!("/statements/{}", known["id"].as_str().unwrap()), json!(null)).await.result();
    let account = json!({"email": "ann@example.org", "password": "correct horse"});
    let person = |signed_in: &Json, request: Request| {
        request.header("Authorization", format!("Bearer {}", signed_in["access_token"].as_str().unwrap()))
    };
    let ann = send("POST", "/auth/signup", account.clone()).await.result();
    let change = json!({"old_password": "correct horse", "password": "battery staple"});
    assert_eq!(server.send(person(&ann, Request::post("/auth/password", change))).await.status, 204);
    assert_eq!(server.send(person(&ann, Request::post("/auth/logout", json!({})))).await.status, 204);
    let path = format!("/auth/users/{}", ann["user"]["id"].as_str().unwrap());
    send("PATCH", &path, json!({"claims": {"a": 1}})).await.result();
    let reset = send("POST", &format!("{path}/reset"), json!({})).await.result();
    let new = json!({"token": reset["token"], "password": "a third password"});
    assert_eq!(send("POST", "/auth/reset", new).await.status, 204);
    assert_eq!(send("DELETE", &path, json!(null)).await.status, 204);
    let stranger = send("POST", "/auth/anonymous", json!({})).await.result();
    let named = json!({"email": "bob@example.org", "password": "correct horse"});
    server.send(person(&stranger, Request::post("/auth/upgrade", named))).await.result();
    let told = audited(&server).await;
    let expected = [
        "token made",
        "token revoked",
        "schema changed",
        "policy kept",
        "policy dropped",
        "schema changed",
        "JSON Schema kept",
        "JSON Schema dropped",
        "statement registered",
        "statement removed",
        "account made",
        "signed in",
        "password set",
        "signed out",
        "user changed",
        "password set",
        "user removed",
        "account made",
    ];
    assert!(told.iter().map(|(_, what, _)| what.as_str()).eq(expected), "{told:?}");
}
