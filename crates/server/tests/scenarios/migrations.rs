//! `/migrations`: applied over HTTP once and in order, told to live queries, undone, and refused where what is sent tells another story.

use crate::server::Server;
use crate::server::http::{Answer, Request};
use serde_json::{Value as Json, json};

const BOAT: &str = "CREATE TABLE boat (name TEXT);\n-- down\nDROP TABLE boat;";

fn sent(number: i64, sql: &str) -> Json {
    json!({ "number": number, "name": "x", "sql": sql })
}

async fn post(server: &Server, body: Json) -> Answer {
    server.send(Request::post("/migrations", body)).await
}

#[tokio::test]
async fn migrations_are_applied_once_however_often_they_are_sent() {
    let server = Server::start().await;
    let body = json!({ "migrations": [sent(2, "INSERT INTO boat VALUES ('Ada');"), sent(1, BOAT)] });
    let dry = post(&server, json!({ "migrations": body["migrations"], "dryRun": true })).await.result();
    assert_eq!((dry["dry_run"].clone(), dry["done"].as_array().unwrap().len()), (json!(true), 2));
    assert_eq!(server.send(Request::get("/migrations")).await.result(), json!([]));
    let answer = post(&server, body.clone()).await;
    assert_eq!(
        answer.result(),
        json!({ "direction": "up", "dry_run": false, "passed_over": [],
                "done": [{"number": 1, "name": "x", "statements": 1}, {"number": 2, "name": "x", "statements": 1}] })
    );
    let kept = server.send(Request::get("/migrations")).await.result();
    assert_eq!((&kept[0]["down"], &kept[1]["revision"]), (&json!("DROP TABLE boat;"), &json!(answer.revision())));
    let again = post(&server, body).await.result();
    assert_eq!((again["done"].clone(), again["passed_over"].clone()), (json!([]), json!([1, 2])));
    let audit = server.sql("SELECT who, what, detail FROM _tide_audit WHERE what LIKE 'migration%'").await;
    assert_eq!(
        audit[1],
        json!({"who": "admin", "what": "migration applied", "detail": "{\"name\":\"x\",\"number\":2}"})
    );
    post(&server, json!({ "migrations": [sent(1, "CREATE TABLE boat (name);")] })).await.is_refused(
        409,
        "conflict",
        "0001_x.sql was changed after it was applied",
    );
    post(&server, json!({ "direction": "down" })).await.is_refused(409, "conflict", "0002_x.sql has no way back");
    let with_way = json!({ "migrations": [sent(2, "INSERT INTO boat VALUES ('Ada');\n-- down\nDELETE FROM boat;")], "direction": "down", "to": 0 });
    assert_eq!(post(&server, with_way).await.result()["done"].as_array().unwrap().len(), 2);
    assert_eq!(server.query(json!({"sql": "SELECT * FROM boat"})).await.status, 400);
}

#[tokio::test]
async fn what_cannot_be_applied_is_told_in_plain_words() {
    let server = Server::start().await;
    for (body, status, code, words) in [
        (
            json!({ "migrations": [sent(1, "CREATE TABLE a (x); nonsense;")] }),
            400,
            "invalid",
            "0001_x.sql, line 1, \"nonsense\": near",
        ),
        (json!({ "migrations": [sent(1, "SELECT 1"), sent(1, "SELECT 2")] }), 409, "conflict", "have the same number"),
        (json!({ "migrations": [sent(1, "")] }), 400, "invalid", "there is no statement in it"),
        (json!({ "migrations": [sent(0, "SELECT 1")] }), 400, "invalid", "a \"number\" from 1 up"),
        (
            json!({ "migrations": [{"number": 1, "name": "../x", "sql": "SELECT 1"}] }),
            400,
            "invalid",
            "without slashes",
        ),
        (json!({ "migrations": [sent(1, "SELECT 1")], "direction": "left" }), 400, "invalid", "\"direction\" is"),
        (json!({ "direction": "down", "mark": true }), 400, "invalid", "\"mark\" goes with \"up\""),
        (json!({ "migrations": [sent(1, "SELECT 1")], "to": 7 }), 404, "not_found", "There is no migration 0007"),
        (json!({ "migrate": [] }), 400, "invalid", "not the JSON that is expected"),
        (json!({ "migrations": [sent(1, "ATTACH 'x' AS y")] }), 403, "forbidden", "ATTACH and DETACH"),
    ] {
        let refused = post(&server, body.clone()).await;
        assert_eq!(
            (refused.status, refused.json()["code"].clone()),
            (status, json!(code)),
            "{body}: {}",
            refused.text()
        );
        assert!(refused.json()["error"].as_str().unwrap().contains(words), "{body}: {}", refused.text());
    }
    let made = server.send(Request::post("/auth/tokens", json!({"name": "till", "role": "client"}))).await;
    let client = format!("Bearer {}", made.result()["token"].as_str().unwrap());
    for request in [Request::get("/migrations"), Request::post("/migrations", json!({ "migrations": [] }))] {
        server.send(request.header("Authorization", client.clone())).await.is_refused(403, "forbidden", "admin token");
    }
    assert_eq!(server.sql("SELECT count(*) AS n FROM _tide_migrations").await[0]["n"], 0);
    let marked = post(&server, json!({ "migrations": [sent(1, BOAT)], "mark": true })).await.result();
    assert_eq!((marked["direction"].clone(), marked["done"][0]["statements"].clone()), (json!("mark"), json!(0)));
    assert_eq!(server.query(json!({"sql": "SELECT * FROM boat"})).await.status, 400, "it was noted, not run");
}

#[tokio::test]
async fn two_who_send_the_same_at_once_get_it_once() {
    let server = Server::start().await;
    let all: Vec<Json> = (1..=12).map(|number| sent(number, &format!("CREATE TABLE t{number} (a);"))).collect();
    let body = json!({ "migrations": all });
    let answers = tokio::join!(post(&server, body.clone()), post(&server, body.clone()), post(&server, body));
    let count = |answer: &Answer, what: &str| {
        assert_eq!(answer.status, 200, "{}", answer.text());
        answer.result()[what].as_array().unwrap().len()
    };
    let sum = |what: &str| count(&answers.0, what) + count(&answers.1, what) + count(&answers.2, what);
    assert_eq!((sum("done"), sum("passed_over")), (12, 24));
}

#[tokio::test]
async fn live_queries_follow_a_migration() {
    let server = Server::start().await;
    server.sql("CREATE TABLE boat (name TEXT); INSERT INTO boat VALUES ('Ada')").await;
    let mut socket = server.live().await;
    let rows = socket.subscribe("a", "SELECT * FROM boat").await;
    assert_eq!(rows["columns"], json!(["name"]), "{rows}");
    post(&server, json!({ "migrations": [sent(1, "ALTER TABLE boat ADD COLUMN length REAL DEFAULT 7;")] })).await;
    let told = socket.until(|frame| frame["columns"] == json!(["name", "length"])).await;
    assert!(told.to_string().contains(r#""Ada",7.0]"#), "{told}");
}
