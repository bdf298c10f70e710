//! Many requests in one group: none may cost another its write, its revision or its `changes()`.
#![allow(clippy::unwrap_used)]

mod client;

use client::{Client, Database};
use serde_json::json;
use std::sync::Arc;
use std::time::Duration;
use tidebase_engine::keys::KeyWrite;
use tidebase_engine::{
    Answer, Code, Idempotency, Limits, Line, Params, Pending, Principal, Result, SqlRequest, Wanted, WriteName,
};

/// Keeps the writer busy, so that what is queued behind it forms one group.
fn hold_up(database: &Database) -> Pending {
    let slow = "insert into busy with recursive c(i) as (select 1 union all select i + 1 from c where i < 60000) select i from c; delete from busy";
    database.engine.write(SqlRequest::query(slow, Params::None)).unwrap()
}

/// Sends all at once behind a slow write; their answers in order.
async fn together(database: &Database, requests: &[&str]) -> Vec<Result<Answer>> {
    let slow = hold_up(database);
    let pending: Vec<Pending> =
        requests.iter().map(|sql| database.engine.write(SqlRequest::query(*sql, Params::None)).unwrap()).collect();
    slow.wait().await.unwrap();
    let mut answers = Vec::new();
    for one in pending {
        answers.push(one.wait().await);
    }
    answers
}

async fn prepared() -> Database {
    let database = Database::new();
    database.sql("create table busy (i); create table t (id integer primary key, v unique)").await.unwrap();
    database.sql("create table p (id integer primary key); create table c (id integer primary key, p references p (id) deferrable initially deferred)").await.unwrap();
    database.sql("create trigger t_ri before insert on t when new.v = 'rollback' begin select raise(rollback, 'not so'); end").await.unwrap();
    database
}

#[tokio::test]
async fn a_request_that_ends_the_transaction_takes_no_other_with_it() {
    let database = prepared().await;
    let answers = together(
        &database,
        &[
            "insert into t values (1, 'a')",
            "insert or rollback into t values (2, 'a')",
            "insert into t values (3, 'c')",
            "insert into t values (4, 'rollback')",
            "insert into t values (5, 'e')",
        ],
    )
    .await;
    let told: Vec<bool> = answers.iter().map(Result::is_ok).collect();
    assert_eq!(told, [true, false, true, false, true]);
    assert_eq!(answers[1].as_ref().unwrap_err().code, Code::Conflict);
    assert_eq!(answers[3].as_ref().unwrap_err().message, "not so");
    assert_eq!(database.rows("select id from t").await, json!([{"id": 1}, {"id": 3}, {"id": 5}]));
}

#[tokio::test]
async fn a_break_in_a_line_holds_up_none_before_it() {
    let database = prepared().await;
    let line = Line::new(0);
    let mutation = |number: i64| {
        let name = WriteName::Mutation { client: "admin/phone".into(), number, line: Arc::clone(&line) };
        let idempotency = Some(Idempotency { name, fingerprint: vec![0] });
        let insert = format!("insert into t values ({number}, {number})");
        database.engine.write(SqlRequest { idempotency, ..SqlRequest::query(insert, Params::None) }).unwrap()
    };
    let slow = hold_up(&database);
    let (first, second, third) = (mutation(1), mutation(2), mutation(3));
    // Whoever asked for it has gone; then somebody else takes the transaction, and all are run again.
    drop(second);
    let other = "insert or rollback into t values (1, 'x')";
    let other = database.engine.write(SqlRequest::query(other, Params::None)).unwrap();
    slow.wait().await.unwrap();
    assert!(first.wait().await.is_ok());
    assert_eq!(third.wait().await.unwrap_err().code, Code::Unavailable);
    assert_eq!(other.wait().await.unwrap_err().code, Code::Conflict);
    assert_eq!(database.rows("select id from t").await, json!([{"id": 1}]));
}

#[tokio::test]
async fn a_deferred_foreign_key_fails_its_own_request_only() {
    let database = prepared().await;
    let answers = together(
        &database,
        &[
            "insert into p values (1)",
            "insert into c values (1, 99)",
            "pragma defer_foreign_keys = on; insert into c values (2, 1)",
            "insert into c values (3, 98)",
            "insert into c values (4, 1)",
        ],
    )
    .await;
    let codes: Vec<Option<Code>> = answers.iter().map(|answer| answer.as_ref().err().map(|error| error.code)).collect();
    assert_eq!(codes, [None, Some(Code::Conflict), None, Some(Code::Conflict), None]);
    assert_eq!(database.rows("select id from c").await, json!([{"id": 2}, {"id": 4}]));
    assert_eq!(database.rows("pragma foreign_key_check").await, json!([]));
}

#[tokio::test]
async fn a_commit_refused_for_rows_that_lacked_their_parents_before_is_a_conflict() {
    let database = prepared().await;
    let parent = "create table o (id primary key, up references o deferrable initially deferred)";
    database.sql(parent).await.unwrap();
    // Another program, which does not care for foreign keys.
    let other = database.outside();
    other.execute_batch("pragma foreign_keys = off; insert into o values (1, 10), (2, 10)").unwrap();
    // SQLite counts one open key for 7, and takes back two for 10.
    let answers = together(&database, &["insert into o values (10, 7)", "insert into p values (5)"]).await;
    assert_eq!(answers[0].as_ref().unwrap_err().code, Code::Conflict);
    assert!(answers[1].is_ok(), "{:?}", answers[1]);
}

#[tokio::test]
async fn each_request_of_a_group_has_its_own_revision() {
    let database = prepared().await;
    let mut client = Client::connect(&database).await;
    client.subscribe(&database, "changes", Wanted::Changes { table: Some("t".into()), since: None });
    client.wait(|client| !client.others.is_empty()).await;
    client.take("changes");
    let requests: Vec<String> = (1..=20).map(|id| format!("insert into t values ({id}, {id})")).collect();
    let requests: Vec<&str> = requests.iter().map(String::as_str).collect();
    let revisions: Vec<i64> =
        together(&database, &requests).await.into_iter().map(|answer| answer.unwrap().revision).collect();
    assert!(revisions.windows(2).all(|pair| pair[0] + 1 == pair[1]), "{revisions:?}");
    client.wait(|client| client.others.len() >= 20).await;
    let told: Vec<i64> = client.take("changes").iter().map(|frame| frame["revision"].as_i64().unwrap()).collect();
    assert_eq!(told, revisions);
}

#[tokio::test]
async fn changes_and_last_insert_rowid_are_the_requests_own() {
    let database = prepared().await;
    let answers = together(
        &database,
        &[
            "insert into t values (7, 'x'), (8, 'y')",
            "insert into busy select changes(); select changes() as c, last_insert_rowid() as r",
            "select last_insert_rowid() as r, changes() as c",
        ],
    )
    .await;
    let json = |answer: &Result<Answer>| -> serde_json::Value {
        serde_json::from_slice(&answer.as_ref().unwrap().body).unwrap()
    };
    // The insert of the second request saw 0 changes, then changed one row itself.
    assert_eq!(json(&answers[1])[0]["c"], 1);
    assert_eq!(database.rows("select i from busy").await, json!([{"i": 0}]));
    assert_eq!(json(&answers[2]), json!([{"r": 0, "c": 0}]));
}

#[tokio::test]
async fn a_write_past_its_time_is_undone_alone() {
    let database = Database::with_limits(Limits { write_time_max: Duration::from_secs(2), ..Limits::default() });
    database.sql("create table busy (i); create table t (id integer primary key, v)").await.unwrap();
    let answers = together(
        &database,
        &[
            "insert into t values (1, 'a')",
            "insert into t with recursive c(i) as (select 100 union all select i + 1 from c) select i, 'endless' from c",
            "insert into t values (2, 'b')",
        ],
    )
    .await;
    assert_eq!(answers[1].as_ref().unwrap_err().code, Code::Timeout);
    assert!(answers[0].is_ok() && answers[2].is_ok());
    assert_eq!(database.rows("select id from t").await, json!([{"id": 1}, {"id": 2}]));
}

#[tokio::test]
async fn an_idempotency_key_is_served_once_within_a_group_too() {
    let database = prepared().await;
    let request = |sql: &str, key: &str| SqlRequest {
        idempotency: Some(Idempotency { name: WriteName::Key(key.into()), fingerprint: sql.as_bytes().to_vec() }),
        ..SqlRequest::query(sql, Params::None)
    };
    let insert = "insert into t (v) values ('once') returning id";
    let slow = hold_up(&database);
    let first = database.engine.write(request(insert, "k")).unwrap();
    let second = database.engine.write(request(insert, "k")).unwrap();
    let other = database.engine.write(request("delete from t", "k")).unwrap();
    slow.wait().await.unwrap();
    let (first, second) = (first.wait().await.unwrap(), second.wait().await.unwrap());
    assert!(!first.is_repeated && second.is_repeated);
    assert_eq!((first.body, first.revision), (second.body, second.revision));
    assert_eq!(other.wait().await.unwrap_err().code, Code::Conflict);
    let refused = database.engine.write(request("insert into t values (1, 'once')", "r")).unwrap().wait().await;
    assert_eq!(refused.unwrap_err().code, Code::Conflict);
    database.sql("delete from t").await.unwrap();
    let again = database.engine.write(request("insert into t values (1, 'once')", "r")).unwrap().wait().await;
    assert_eq!(again.unwrap_err().code, Code::Conflict, "the first answer is kept");
}

#[tokio::test]
async fn a_refusal_that_ended_the_transaction_is_kept_too() {
    let database = prepared().await;
    database.sql("insert into p values (1)").await.unwrap();
    let sql = "insert or rollback into p values (1)";
    let again = || async {
        let idempotency = Some(Idempotency { name: WriteName::Key("k".into()), fingerprint: vec![] });
        let request = SqlRequest { idempotency, ..SqlRequest::query(sql, Params::None) };
        database.engine.write(request).unwrap().wait().await.unwrap_err()
    };
    let first = again().await;
    database.sql("delete from p").await.unwrap();
    let second = again().await;
    assert_eq!((first.code, first.message), (second.code, second.message));
    assert_eq!(database.rows("select id from p").await, json!([]));
}

#[tokio::test]
async fn the_first_answer_after_a_start_is_kept_as_long_as_any() {
    let database = Database::new();
    let idempotency = Some(Idempotency { name: WriteName::Key("k".into()), fingerprint: vec![] });
    let request = SqlRequest { idempotency, ..SqlRequest::query("select 1; create table t (v)", Params::None) };
    database.engine.write(request).unwrap().wait().await.unwrap();
    let age = "select unixepoch() - time / 1000 < 600 as is_new from _tide_answers";
    assert_eq!(database.rows(age).await, json!([{"is_new": 1}]));
}

#[tokio::test]
async fn ddl_between_writes_keeps_their_order() {
    let database = prepared().await;
    let answers = together(
        &database,
        &[
            "insert into t values (1, 'a')",
            "alter table t add column extra default 5",
            "insert into t (id, v, extra) values (2, 'b', 6)",
            "vacuum",
            "insert into t (id, v) values (3, 'c')",
        ],
    )
    .await;
    assert!(answers.iter().all(Result::is_ok), "{answers:?}");
    assert_eq!(
        database.rows("select id, extra from t").await,
        json!([{"id": 1, "extra": 5}, {"id": 2, "extra": 6}, {"id": 3, "extra": 5}])
    );
}

#[tokio::test]
async fn a_key_written_by_sql_has_the_revision_of_that_write() {
    let database = Database::new();
    let set = |key: &str, value: &str, if_revision: Option<i64>| KeyWrite::Set {
        key: key.into(),
        value: value.into(),
        ttl_ms: None,
        if_revision,
    };
    let first =
        database.engine.write_key(&Principal::Admin, set("a", "1", Some(0)), None).unwrap().wait().await.unwrap();
    let second = database.sql("update kv set value = '2' where key = 'a'").await.unwrap();
    assert!(second.revision > first.revision);
    let stale =
        database.engine.write_key(&Principal::Admin, set("a", "3", Some(first.revision)), None).unwrap().wait().await;
    assert_eq!(stale.unwrap_err().code, Code::Conflict);
    let entry = database.engine.key(&Principal::Admin, "a").await.unwrap().unwrap();
    assert_eq!((entry.value.as_str(), entry.revision), ("2", Some(second.revision)));
    database.sql("insert or replace into kv (key, value, revision) values ('a', '4', 1)").await.unwrap();
    let stale = database.engine.write_key(&Principal::Admin, set("a", "5", Some(1)), None).unwrap().wait().await;
    assert_eq!(stale.unwrap_err().code, Code::Conflict, "a revision written by hand does not hold");
    let before = database.engine.revision();
    database.outside().execute("update kv set value = '6' where key = 'a'", []).unwrap();
    database.engine.wait_for(before + 1, Duration::from_secs(20)).await.unwrap();
    let entry = database.engine.key(&Principal::Admin, "a").await.unwrap().unwrap();
    assert_eq!((entry.value.as_str(), entry.revision), ("6", Some(before + 1)));
}

#[tokio::test]
async fn another_programs_lock_is_waited_for_and_no_longer() {
    let database = Database::with_limits(Limits { lock_wait_max: Duration::from_millis(200), ..Limits::default() });
    database.sql("create table t (id integer primary key)").await.unwrap();
    let outside = database.outside();
    outside.execute_batch("begin immediate; insert into t values (99)").unwrap();
    let refused = database.sql("insert into t values (1)").await.unwrap_err();
    assert_eq!(refused.code, Code::Unavailable);
    assert_eq!(database.rows("select id from t").await, json!([]), "reads go on");
    outside.execute_batch("commit").unwrap();
    let answer = database.sql("insert into t values (1)").await.unwrap();
    assert_eq!(database.rows("select id from t").await, json!([{"id": 1}, {"id": 99}]));
    assert_eq!(answer.revision, 3, "the other program's write has the revision before ours");
}

#[tokio::test]
async fn a_huge_transaction_says_everything_and_stays_exact() {
    let database = Database::with_limits(Limits { change_rows_max: 100, ..Limits::default() });
    database.sql("create table t (id integer primary key, v)").await.unwrap();
    let mut client = Client::connect(&database).await;
    client.live(&database, "count", "select count(*) from t").await;
    client.subscribe(&database, "changes", Wanted::Changes { table: None, since: None });
    client.wait(|client| !client.others.is_empty()).await;
    let answer = database
        .sql("insert into t with recursive c(i) as (select 1 union all select i + 1 from c where i < 1000) select i, i from c")
        .await
        .unwrap();
    client.reach(&database, answer.revision).await;
    assert_eq!(client.lives["count"].rows[0].1, [json!(1000)]);
    client.wait(|client| client.others.iter().any(|frame| frame["type"] == "resync")).await;
    let resync = client.take("resync");
    assert_eq!(resync[0]["revision"], answer.revision);
}
