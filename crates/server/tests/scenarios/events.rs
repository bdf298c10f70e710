//! `GET /live`: a live query, a change stream, a key or a topic as Server-Sent Events.

use crate::server::Server;
use crate::server::events::Events;
use crate::server::http::Request;
use serde_json::json;

async fn with_table() -> Server {
    let server = Server::start().await;
    server.sql("CREATE TABLE t (id INTEGER PRIMARY KEY, a)").await;
    server.sql("INSERT INTO t VALUES (1, 'one')").await;
    server
}

impl Server {
    async fn events(&self, query: &str, last_event_id: &str) -> Events {
        let request = Request::get(format!("/live?{query}")).header("Last-Event-ID", last_event_id);
        Events::open(self.address, request).await
    }
}

const ALL: &str = "sql=SELECT+id,+a+FROM+t";

#[tokio::test]
async fn curl_shows_rows_and_then_what_changes() {
    let server = with_table().await;
    let mut events = server.events(ALL, "").await;
    assert!(events.head.contains("200 ok") && events.head.contains("text/event-stream"), "{}", events.head);
    assert_eq!(events.next().await.unwrap().kind, "hello");
    let rows = events.next().await.unwrap();
    assert_eq!((rows.kind.as_str(), &rows.data["type"]), ("rows", &json!("rows")));
    assert_eq!(rows.data["rows"][0].as_array().unwrap()[1..], [json!(1), json!("one")]);
    assert!(rows.id.is_some(), "a whole result is a place to go on from");
    let revision = server.write("INSERT INTO t VALUES (2, 'two')").await;
    let delta = events.until("delta").await;
    assert_eq!(delta.data["to"], revision);
    assert!(delta.id.unwrap().contains(&revision.to_string()));
}

#[tokio::test]
async fn a_stream_goes_on_from_its_last_event_id() {
    let server = with_table().await;
    let mut events = server.events(ALL, "").await;
    let place = events.until("rows").await.id.unwrap();
    drop(events);
    let mut again = server.events(ALL, &place).await;
    let first = again.until("unchanged").await;
    assert_eq!(first.data["type"], "unchanged");
    drop(again);
    server.write("INSERT INTO t VALUES (2, 'two')").await;
    let mut again = server.events(ALL, &place).await;
    let delta = again.until("delta").await;
    assert!(delta.data["queries"][0].to_string().contains("two"), "{delta:?}");
    drop(again);
    let mut again = server.events(ALL, &delta.id.expect("a delta is a place too")).await;
    let event = again.until("unchanged").await;
    assert!(event.id.is_some());
    drop(again);
    let mut other = server.events("sql=SELECT+count(*)+FROM+t", &place).await;
    other.until("rows").await;
    let mut nonsense = server.events(ALL, "nonsense").await;
    nonsense.until("rows").await;
}

#[tokio::test]
async fn after_a_resumed_stream_has_gone_on_its_place_still_serves() {
    let server = with_table().await;
    let mut events = server.events(ALL, "").await;
    let place = events.until("rows").await.id.unwrap();
    drop(events);
    server.write("INSERT INTO t VALUES (2, 'two')").await;
    let mut again = server.events(ALL, &place).await;
    let place = again.until("delta").await.id.unwrap();
    drop(again);
    server.write("INSERT INTO t VALUES (3, 'three')").await;
    let mut again = server.events(ALL, &place).await;
    again.next().await;
    let event = again.next().await.unwrap();
    let event = if event.kind == "at" { again.next().await.unwrap() } else { event };
    assert_eq!(event.kind, "delta", "only what was missed: {event:?}");
    assert!(event.data.to_string().contains("three") && !event.data.to_string().contains("two"));
}

#[tokio::test]
async fn parameters_are_given_as_json() {
    let server = with_table().await;
    let mut events = server.events("sql=SELECT+a+FROM+t+WHERE+id+=+:id&params=%7B%22id%22:1%7D", "").await;
    assert_eq!(events.until("rows").await.data["rows"][0][1], "one");
}

#[tokio::test]
async fn a_table_a_key_and_a_topic_stream_too() {
    let server = with_table().await;
    let mut table = server.events("table=t", "").await;
    let place = table.until("changes").await.id.unwrap();
    let mut key = server.events("key=temperature", "").await;
    assert_eq!(key.until("key").await.data["deleted"], true);
    let mut topic = server.events("topic=chat", "").await;
    topic.until("hello").await;
    server.write("INSERT INTO t VALUES (2, 'two')").await;
    assert_eq!(table.until("changes").await.data["changes"][0]["new"]["a"], "two");
    server.send(Request::post("/data/temperature", json!({ "value": 21.5 }))).await;
    assert_eq!(key.until("key").await.data["value"], 21.5);
    server.send(Request::new("PUT", "/topics/chat").json(json!({ "keep": 10 }))).await;
    server.send(Request::post("/topics/chat", json!({ "data": "hi" }))).await;
    let hi = topic.until("message").await;
    assert_eq!(hi.data["data"], "hi");
    drop((table, topic));
    server.send(Request::post("/topics/chat", json!({ "data": "missed" }))).await;
    let mut topic = server.events("topic=chat", &hi.id.unwrap()).await;
    assert_eq!(topic.until("message").await.data["data"], "missed");
    let mut table = server.events("table=t", &place).await;
    assert_eq!(table.until("changes").await.data["changes"][0]["new"]["a"], "two");
}

#[tokio::test]
async fn mistakes_are_answered_and_a_query_that_cannot_be_live_ends_its_stream() {
    let server = with_table().await;
    for query in
        ["", "sql=SELECT+1&table=t", "nonsense=1", "sql=SELECT+?&params=1", "sql=SELECT+1&params=%7B", "sql=%ff"]
    {
        let answer = server.send(Request::get(format!("/live?{query}"))).await;
        assert_eq!((answer.status, &answer.json()["code"]), (400, &json!("invalid")), "{query}: {}", answer.text());
    }
    for query in ["sql=SELEC", "sql=DELETE+FROM+t", "sql=SELECT+random()", "sql=SELECT+?"] {
        let mut events = server.events(query, "").await;
        let error = events.until("error").await;
        assert!(error.data["error"].is_string() && error.data["code"].is_string(), "{error:?}");
        assert!(events.next().await.is_none(), "{query}: the stream goes on");
    }
    assert_eq!(server.sql("SELECT count(*) AS n FROM t").await, json!([{ "n": 1 }]));
}

#[tokio::test]
async fn a_query_whose_table_goes_away_ends_with_an_error() {
    let server = with_table().await;
    let mut events = server.events(ALL, "").await;
    events.until("rows").await;
    server.write("DROP TABLE t").await;
    assert!(events.until("error").await.data["error"].as_str().unwrap().contains("no such table"));
}

#[tokio::test]
async fn a_stopping_server_ends_its_streams() {
    let server = with_table().await;
    let mut events = server.events(ALL, "").await;
    events.until("rows").await;
    let (status, _) = server.stop().await;
    assert!(status.success());
    assert!(events.next().await.is_none());
}
