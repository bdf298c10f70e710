//! One frame of each kind, as clients are told them: the file `client/test/frames.json`, which the TypeScript client's
//! tests read. `UPDATE=1 cargo test -p tidebase-engine --test frames` writes what is told now; read the difference.
#![allow(clippy::unwrap_used)]

mod client;

use client::Database;
use serde_json::Value as Json;
use std::sync::Arc;
use std::time::Duration;
use tidebase_engine::live::frame::{self, Kind};
use tidebase_engine::{Error, Params, Principal, RequestId, Session, Since, Wanted};

const FILE: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../../client/test/frames.json");
const SQL: &str = "select id, n, x, word, bytes from t order by n";

struct Told {
    session: Arc<Session>,
    frames: Vec<String>,
}

impl Told {
    /// Waits for a frame of this kind and keeps it.
    async fn next(&mut self, kind: Kind) -> Json {
        let waited = tokio::time::timeout(Duration::from_secs(20), async {
            loop {
                let batch = self.session.next_batch().await.expect("the session goes on");
                let found = batch.frames.iter().find(|frame| frame.kind == kind).cloned();
                self.session.written(&batch);
                if let Some(frame) = found {
                    return String::from_utf8(frame.text.to_vec()).unwrap();
                }
            }
        });
        let text = waited.await.unwrap_or_else(|_| panic!("no {} came", kind.name()));
        let json = serde_json::from_str(&text).unwrap();
        self.frames.push(text);
        json
    }

    fn add(&mut self, frame: &frame::Frame) {
        self.frames.push(String::from_utf8(frame.text.to_vec()).unwrap());
    }
}

fn id(number: u32) -> RequestId {
    RequestId::parse(&number.to_string()).unwrap()
}

/// What a live query is told, and where it would go on.
async fn live_query(database: &Database, told: &mut Told) -> (String, String) {
    let wanted = |since| Wanted::Query { sql: SQL.into(), params: Params::None, since };
    let history = told.next(Kind::Hello).await["history"].as_str().unwrap().to_owned();
    database.engine.subscribe(&told.session, Some(id(1)), wanted(None)).unwrap();
    let tag = told.next(Kind::Rows).await["tag"].as_str().unwrap().to_owned();
    let script = "insert into t values (3, 15, null, 'three', null); update t set word = 'first' where id = 1; delete from t where id = 2";
    let revision = database.sql(script).await.unwrap().revision;
    told.next(Kind::Delta).await;
    let since = Since { history: history.clone(), revision, tag: Some(tag.clone()) };
    database.engine.subscribe(&told.session, Some(id(2)), wanted(Some(since))).unwrap();
    told.next(Kind::Unchanged).await;
    let place = Since { history: history.clone(), revision, tag: None };
    let queries = vec![(id(10), tag.clone()), (id(11), tag.clone()), (id(12), "another".into())];
    let unknown = database.engine.resume(&told.session, &place, queries).unwrap();
    told.add(&frame::resumed(&id(9), &unknown));
    told.next(Kind::Unchanged).await;
    (history, tag)
}

async fn other_subscriptions(database: &Database, told: &mut Told) -> String {
    let engine = &database.engine;
    engine.subscribe(&told.session, Some(id(3)), Wanted::Changes { table: Some("t".into()), since: None }).unwrap();
    told.next(Kind::Changes).await;
    database.sql("update t set n = 16 where id = 3").await.unwrap();
    told.next(Kind::Changes).await;
    engine.subscribe(&told.session, Some(id(4)), Wanted::Key { key: "temperature".into() }).unwrap();
    told.next(Kind::Key).await;
    engine.subscribe_topic(&told.session, Some(id(5)), "radio", None, Some(r#"{"name":"Ada"}"#.into())).await.unwrap();
    told.next(Kind::Presence).await;
    engine.publish(&Principal::Admin, "radio", r#""casting off""#, None).await.unwrap();
    told.next(Kind::Message).await["cursor"].to_string()
}

/// What comes in answers and in trouble.
fn the_rest(told: &mut Told) {
    told.add(&frame::at(9));
    told.add(&frame::resync(&id(1), None));
    told.add(&frame::resync(&id(3), Some(9)));
    told.add(&frame::result(&id(6), b"true", None));
    told.add(&frame::result(&id(7), br#"[{"n":9007199254740993}]"#, Some(9)));
    told.add(&frame::error(Some(&id(8)), &Error::invalid("no such table: nowhere")));
    told.add(&frame::error(None, &Error::conflict("UNIQUE constraint failed: t.id").of_column("id")));
}

#[tokio::test]
async fn the_frames_that_the_typescript_client_knows_are_those_that_are_told() {
    let database = Database::new();
    database.sql("create table t (id integer primary key, n, x real, word text, bytes blob)").await.unwrap();
    database
        .sql("insert into t values (1, 10, 0.5, 'one', x'00ff'), (2, 9007199254740993, 2, 'é', null)")
        .await
        .unwrap();
    let mut told = Told { session: database.engine.open_session(), frames: Vec::new() };
    let (history, tag) = live_query(&database, &mut told).await;
    let cursor = other_subscriptions(&database, &mut told).await;
    the_rest(&mut told);
    let lines: Vec<String> = told.frames.iter().map(|text| format!("  {text}")).collect();
    let now = format!("[\n{}\n]\n", lines.join(",\n"));
    let now = now.replace(&history, "history").replace(&tag, "tag").replace(&cursor, "1795221985085000");
    if std::env::var_os("UPDATE").is_some() {
        std::fs::write(FILE, &now).unwrap();
    }
    assert_eq!(std::fs::read_to_string(FILE).unwrap_or_default(), now, "UPDATE=1 writes it anew");
}
