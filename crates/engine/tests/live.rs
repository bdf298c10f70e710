//! Live queries under stress: slow queries, sockets that do not read, clients that come back, restarts.
#![allow(clippy::unwrap_used)]

mod client;

use client::{Client, Database, Live};
use serde_json::json;
use std::time::Duration;
use tidebase_engine::{Engine, Format, Limits, Options, Params, Since, SqlRequest, Value, Wanted};

async fn with_table(limits: Limits) -> Database {
    let database = Database::with_limits(limits);
    database.sql("create table t (id integer primary key, v)").await.unwrap();
    database.sql("insert into t values (1, 'a'), (2, 'b')").await.unwrap();
    database
}

/// Takes long, and reads `t`.
const SLOW: &str = "select count(*), (select max(id) from t) from (with recursive c(i) as (select 1 union all select i + 1 from c where i < 400000) select i from c)";

#[tokio::test]
async fn a_slow_query_makes_only_its_holder_wait() {
    let database = with_table(Limits { live_quick_time_max: Duration::from_millis(10), ..Limits::default() }).await;
    let mut slow = Client::connect(&database).await;
    let mut quick = Client::connect(&database).await;
    quick.live(&database, "q", "select id from t").await;
    slow.live(&database, "q", "select id from t").await;
    let held = slow.live(&database, "slow", SLOW).await;
    assert_eq!(held.error, None);
    assert!(slow.session.lane() > 0 && quick.session.lane() == 0, "the holder was moved");
    for id in 3..8 {
        let answer = database.sql(&format!("insert into t values ({id}, 'x')")).await.unwrap();
        quick.reach(&database, answer.revision).await;
        slow.reach(&database, answer.revision).await;
        assert_eq!(quick.lives["q"].rows.len(), id);
        assert_eq!(slow.lives["q"].rows.len(), id, "all queries of one socket stand at the same revision");
        assert_eq!(slow.lives["slow"].rows[0].1[1], json!(id));
    }
    assert_eq!(quick.session.lane(), 0);
}

#[tokio::test]
async fn changes_are_told_between_the_first_rows_of_a_storm() {
    let database = with_table(Limits::default()).await;
    let (mut storm, mut other) = (Client::connect(&database).await, Client::connect(&database).await);
    other.live(&database, "q", "select id from t").await;
    // Some milliseconds each, a second or more together.
    let sql = "select ?1, (select count(*) from t) from (with recursive c(i) as (select 1 union all select i + 1 from c \
               where i < 100000) select count(*) from c)";
    for number in 0..300 {
        let params = Params::Positional(vec![Value::Integer(number)]);
        storm.subscribe(&database, &format!("s{number}"), Wanted::Query { sql: sql.into(), params, since: None });
    }
    storm.wait(|client| client.lives.values().filter(|live| live.is_done).count() > 20).await;
    let answer = database.sql("insert into t values (3, 'c')").await.unwrap();
    other.reach(&database, answer.revision).await;
    let waiting = database.engine.metrics().live_groups.get();
    assert!(waiting < 301, "all first rows came before the change");
    storm.wait(|client| client.lives.len() == 300 && client.lives.values().all(|live| live.is_done)).await;
    storm.reach(&database, answer.revision).await;
    assert!(storm.lives.values().all(|live| live.rows[0].1[1] == json!(3)));
}

#[tokio::test]
async fn a_slow_subscription_is_moved_with_what_it_held_and_goes_home_after() {
    let database = with_table(Limits { live_quick_time_max: Duration::from_millis(10), ..Limits::default() }).await;
    let mut client = Client::connect(&database).await;
    client.live(&database, "q", "select id, v from t order by v").await;
    client.subscribe(&database, "changes", Wanted::Changes { table: Some("t".into()), since: None });
    client.subscribe(&database, "key", Wanted::Key { key: "k".into() });
    let slow = client.live(&database, "slow", SLOW).await;
    assert_eq!(slow.error, None);
    let answer = database.sql("update t set v = 'z' where id = 1").await.unwrap();
    client.reach(&database, answer.revision).await;
    client.wait(|client| client.others.iter().any(|frame| frame["revision"] == answer.revision)).await;
    assert_eq!(client.lives["q"].rows[1].1, [json!(1), json!("z")]);
    let request = tidebase_engine::RequestId::parse("\"slow\"").unwrap();
    let reply = tidebase_engine::RequestId::parse("9").unwrap();
    database.engine.unsubscribe(&client.session, &request, reply).unwrap();
    client.wait(|client| client.others.iter().any(|frame| frame["type"] == "result")).await;
    client.lives.remove("slow");
    // Housekeeping sends it home; the frames that follow are as exact as before.
    let mut id = 10;
    while client.session.lane() != 0 {
        let answer = database.sql(&format!("insert into t values ({id}, 'n{id}')")).await.unwrap();
        client.reach(&database, answer.revision).await;
        id += 1;
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    let answer = database.sql("delete from t where id > 9").await.unwrap();
    client.reach(&database, answer.revision).await;
    assert_eq!(client.lives["q"].rows.len(), 2);
}

#[tokio::test]
async fn a_socket_that_does_not_read_gets_one_merged_difference() {
    let database = with_table(Limits::default()).await;
    let mut client = Client::connect(&database).await;
    client.live(&database, "plain", "select id, v from t").await;
    client.live(&database, "sorted", "select id, v from t order by v desc, id limit 50").await;
    let mut last = 0;
    for n in 0..200 {
        let sql = match n % 4 {
            0 => format!("insert into t values ({}, 'n{n}')", n + 10),
            1 => format!("update t set v = 'u{n}' where id % 7 = {}", n % 7),
            2 => format!("delete from t where id = {}", n + 4),
            _ => "update t set id = id + 1000 where id = (select max(id) from t where id < 1000)".to_owned(),
        };
        last = database.sql(&sql).await.unwrap().revision;
    }
    let frames = client.seen.len();
    client.reach(&database, last).await;
    assert!(client.seen.len() - frames < 10, "{} frames for 200 writes", client.seen.len() - frames);
    assert_exact(&database, &client.lives["plain"], "select id, v from t", false).await;
    assert_exact(&database, &client.lives["sorted"], "select id, v from t order by v desc, id limit 50", true).await;
}

#[tokio::test]
async fn a_socket_that_missed_too_much_is_resynced() {
    let database = with_table(Limits { group_history_bytes_max: 2000, ..Limits::default() }).await;
    let mut client = Client::connect(&database).await;
    client.live(&database, "q", "select id, v from t order by v").await;
    let mut last = 0;
    for n in 10..200 {
        last =
            database.sql(&format!("insert into t values ({n}, 'a text of some length {n}')")).await.unwrap().revision;
    }
    client.reach(&database, last).await;
    client.wait(|client| client.lives["q"].is_done).await;
    assert!(client.seen.iter().any(|frame| frame.contains("\"resync\"")));
    assert_exact(&database, &client.lives["q"], "select id, v from t order by v", true).await;
}

async fn assert_exact(database: &Database, live: &Live, sql: &str, is_ordered: bool) {
    let fresh = database.rows(sql).await;
    let sort = |mut rows: Vec<String>| {
        if !is_ordered {
            rows.sort();
        }
        rows
    };
    let expected = fresh.as_array().unwrap().iter().map(|row| json!([row["id"], row["v"]]).to_string()).collect();
    let held = live.rows.iter().map(|(_, values)| json!(values).to_string()).collect();
    assert_eq!(sort(held), sort(expected));
}

#[tokio::test]
async fn a_client_that_comes_back_is_told_what_it_missed_and_no_more() {
    let database = with_table(Limits::default()).await;
    let sql = "select id, v from t order by v";
    let mut first = Client::connect(&database).await;
    let tag = first.live(&database, "q", sql).await.tag.clone();
    let (history, revision) = (first.history.clone(), first.lives["q"].revision);
    let since =
        |revision, tag: &str, history: &str| Some(Since { history: history.into(), revision, tag: Some(tag.into()) });
    let back = async |since: Option<Since>| {
        let mut client = Client::connect(&database).await;
        client
            .lives
            .insert("q".into(), Live { is_ordered: true, rows: first.lives["q"].rows.clone(), ..Live::default() });
        if since.as_ref().is_some_and(|since| since.revision != revision || since.history != history) {
            client.lives.clear();
        }
        client.subscribe(&database, "q", Wanted::Query { sql: sql.into(), params: Params::None, since });
        client.wait(|client| client.lives.get("q").is_some_and(|live| live.is_done)).await;
        client
    };
    let same = back(since(revision, &tag, &history)).await;
    assert!(same.seen.last().unwrap().contains("\"unchanged\""), "{:?}", same.seen);

    database.sql("create table other (x)").await.unwrap();
    // The schema is part of the tag.
    let mut client = Client::connect(&database).await;
    client.subscribe(
        &database,
        "q",
        Wanted::Query { sql: sql.into(), params: Params::None, since: since(revision, &tag, &history) },
    );
    client.wait(|client| client.lives.get("q").is_some_and(|live| live.is_done)).await;
    assert!(client.seen.last().unwrap().contains("\"rows\""));

    let mut first = Client::connect(&database).await;
    let tag = first.live(&database, "q", sql).await.tag.clone();
    let revision = first.lives["q"].revision;
    for change in ["insert into t values (3, 'A')", "update t set v = 'c' where id = 1", "delete from t where id = 2"] {
        database.sql(change).await.unwrap();
    }
    let mut client = Client::connect(&database).await;
    client.lives.insert("q".into(), Live { is_ordered: true, rows: first.lives["q"].rows.clone(), ..Live::default() });
    client.subscribe(
        &database,
        "q",
        Wanted::Query { sql: sql.into(), params: Params::None, since: since(revision, &tag, &history) },
    );
    client.wait(|client| client.lives["q"].is_done).await;
    let delta = client.seen.iter().find(|frame| frame.contains("\"delta\"")).unwrap();
    assert!(delta.contains(&format!("\"since\":{revision}")), "{delta}");
    assert_exact(&database, &client.lives["q"], sql, true).await;

    for wrong in
        [since(revision, "another", &history), since(revision, &tag, "another"), since(i64::MAX, &tag, &history)]
    {
        let mut client = Client::connect(&database).await;
        client.subscribe(&database, "q", Wanted::Query { sql: sql.into(), params: Params::None, since: wrong });
        client.wait(|client| client.lives.get("q").is_some_and(|live| live.is_done)).await;
        assert!(client.seen.last().unwrap().contains("\"rows\""));
    }
}

#[tokio::test]
async fn a_change_stream_goes_on_from_the_log_or_says_that_it_cannot() {
    let database =
        with_table(Limits { log_bytes_max: 3000, outside_poll: Duration::from_millis(20), ..Limits::default() }).await;
    let mut client = Client::connect(&database).await;
    let from = database.engine.revision();
    for n in 10..15 {
        database.sql(&format!("insert into t values ({n}, 'x')")).await.unwrap();
    }
    let since = Some(Since { history: client.history.clone(), revision: from, tag: None });
    client.subscribe(&database, "s", Wanted::Changes { table: Some("T".into()), since });
    client.wait(|client| client.others.len() >= 5).await;
    let ids: Vec<i64> =
        client.take("changes").iter().map(|frame| frame["changes"][0]["new"]["id"].as_i64().unwrap()).collect();
    assert_eq!(ids, [10, 11, 12, 13, 14]);
    // Past its size the log forgets the oldest: a stream from there must read again.
    let mut last = 0;
    for n in 100..400 {
        last = database.sql(&format!("insert into t values ({n}, 'some longer text {n}')")).await.unwrap().revision;
    }
    let forgotten = async {
        while database.rows("select min(revision) as first from _tide_log").await[0]["first"].as_i64().unwrap()
            <= from + 1
        {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    };
    tokio::time::timeout(Duration::from_secs(20), forgotten).await.unwrap();
    let mut late = Client::connect(&database).await;
    let since = Some(Since { history: late.history.clone(), revision: from, tag: None });
    late.subscribe(&database, "s", Wanted::Changes { table: None, since });
    late.wait(|client| !client.others.is_empty()).await;
    assert_eq!(late.others[0]["type"], "resync");
    assert_eq!(late.others[0]["revision"], last);
}

#[tokio::test]
async fn a_clean_stop_keeps_the_history_and_a_change_in_between_begins_another() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("kept.db");
    let open = || Engine::open(Options::new(&path)).unwrap();
    let engine = open();
    let history = engine.history();
    engine.query(tidebase_engine::SqlRequest::query("create table t (a)", Params::None)).await.unwrap();
    engine.close();
    let engine = open();
    assert_eq!(engine.history(), history);
    assert_eq!(engine.revision(), 1);
    engine.close();
    rusqlite::Connection::open(&path).unwrap().execute("insert into t values (1)", []).unwrap();
    let engine = open();
    assert_ne!(engine.history(), history, "changed while nobody served it");
    assert_eq!(engine.revision(), 1);
    engine.close();
}

#[tokio::test]
async fn a_second_server_on_one_file_is_refused_by_whatever_name() {
    let database = Database::new();
    let link = database.folder.path().join("link.db");
    std::os::unix::fs::symlink(database.folder.path().join("test.db"), &link).unwrap();
    let error = Engine::open(Options::new(link)).err().unwrap();
    assert!(error.message.contains("already serving"), "{error}");
}

#[tokio::test]
async fn a_change_runs_only_the_queries_that_its_rows_values_lead_to() {
    let database = Database::new();
    database.sql("create table m (id integer primary key, room text collate nocase, body)").await.unwrap();
    database.sql("insert into m values (1, 'a', 'one'), (2, 'b', 'two')").await.unwrap();
    let mut client = Client::connect(&database).await;
    for room in ["a", "B", "c"] {
        client.live(&database, room, &format!("select id, body from m where room = '{room}' and id > 0")).await;
    }
    let params = Params::Positional(vec![Value::text("d")]);
    let sql = "select count(*) from m where room = ?".to_owned();
    client.subscribe(&database, "d", Wanted::Query { sql, params, since: None });
    client.wait(|client| client.lives.get("d").is_some_and(|live| live.is_done)).await;
    let metrics = database.engine.metrics();
    let (runs, spared) = (|| metrics.live_evaluations.get() + metrics.live_parts.get(), &metrics.live_spared);
    for (sql, changed) in [
        ("insert into m values (3, 'A', 'three')", 1),
        ("update m set room = 'D' where id = 2", 2),
        ("delete from m where id = 1", 1),
        ("insert into m values (4, 'nobody asks', 'four')", 0),
        ("insert into m values (5, null, 'five')", 0),
    ] {
        let before = (runs(), spared.get());
        let revision = database.sql(sql).await.unwrap().revision;
        client.reach(&database, revision).await;
        assert_eq!(runs() - before.0, changed, "{sql}");
        assert!(spared.get() - before.1 >= 4 - changed, "{sql}");
    }
    assert_eq!(client.lives["a"].rows.len(), 1);
    assert!(client.lives["B"].rows.is_empty());
    assert_eq!(client.lives["d"].rows[0].1, [serde_json::json!(1)]);
}

#[tokio::test]
async fn a_change_of_a_joined_row_runs_only_the_queries_of_the_row_it_is_joined_with() {
    let database = Database::new();
    database.sql("create table orders (id integer primary key, customer text)").await.unwrap();
    database.sql("create table items (id integer primary key, order_id integer, name text)").await.unwrap();
    database.sql("create index items_order on items (order_id)").await.unwrap();
    database.sql("insert into orders values (1, 'ada'), (2, 'bob'), (3, 'ada')").await.unwrap();
    database.sql("insert into items values (1, 1, 'pen'), (2, 2, 'ink')").await.unwrap();
    let mut client = Client::connect(&database).await;
    for customer in ["ada", "bob", "cleo"] {
        let sql = "select o.id, i.id, i.name from orders o left join items i on i.order_id = o.id where o.customer = ?";
        let wanted =
            Wanted::Query { sql: sql.into(), params: Params::Positional(vec![Value::text(customer)]), since: None };
        client.subscribe(&database, customer, wanted);
        client.wait(|client| client.lives.get(customer).is_some_and(|live| live.is_done)).await;
    }
    let metrics = database.engine.metrics();
    let runs = || metrics.live_evaluations.get() + metrics.live_parts.get();
    for (sql, changed) in [
        ("insert into items values (3, 3, 'paper')", 1),
        ("update items set order_id = 2 where id = 1", 2),
        ("insert into items values (4, 99, 'of no order')", 0),
        ("delete from items where order_id = 2", 1),
        ("update orders set customer = 'cleo' where id = 3", 2),
    ] {
        let before = runs();
        let revision = database.sql(sql).await.unwrap().revision;
        client.reach(&database, revision).await;
        assert_eq!(runs() - before, changed, "{sql}");
    }
    let shown = |customer: &str| -> Vec<serde_json::Value> {
        client.lives[customer].rows.iter().flat_map(|(_, row)| row.clone()).collect()
    };
    assert_eq!(shown("ada"), [serde_json::json!(1), serde_json::Value::Null, serde_json::Value::Null]);
    assert_eq!(shown("cleo"), [serde_json::json!(3), serde_json::json!(3), serde_json::json!("paper")]);
}

#[tokio::test]
async fn what_happens_behind_the_last_row_of_a_limit_runs_nothing() {
    let database = Database::new();
    database.sql("create table posts (id integer primary key, room text, at integer)").await.unwrap();
    database.sql("insert into posts values (1, 'a', 10), (2, 'a', 20), (3, 'a', 30), (4, 'b', 5)").await.unwrap();
    let mut client = Client::connect(&database).await;
    client.live(&database, "a", "select id, at from posts where room = 'a' order by at desc limit 2").await;
    client.live(&database, "all", "select id, at from posts order by at limit 2").await;
    // Not full: everything comes in.
    client.live(&database, "b", "select id, at from posts where room = 'b' order by at desc limit 2").await;
    let metrics = database.engine.metrics();
    for (sql, changed) in [
        ("insert into posts values (5, 'a', 15)", 0),
        ("update posts set room = 'c' where id = 5", 0),
        ("insert into posts values (6, 'b', 40)", 1),
        // Alike in what orders them: how they are ordered further decides.
        ("insert into posts values (7, 'a', 20)", 1),
        ("update posts set at = 11 where id = 2", 1),
        ("delete from posts where id = 4", 2),
        ("insert into posts values (8, 'b', 1)", 2),
        ("insert into posts values (9, 'b', 0)", 1),
        ("update posts set at = null where id = 3", 2),
    ] {
        let before = metrics.live_evaluations.get();
        let revision = database.sql(sql).await.unwrap().revision;
        client.reach(&database, revision).await;
        assert_eq!(metrics.live_evaluations.get() - before, changed, "{sql}");
    }
    let shown =
        |name: &str| -> Vec<&serde_json::Value> { client.lives[name].rows.iter().map(|(_, row)| &row[0]).collect() };
    assert_eq!(shown("a"), [7, 2]);
    assert_eq!(shown("b"), [6, 8]);
    assert_eq!(shown("all"), [3, 9]);
    assert_eq!(metrics.live_behind.get(), 7);
}

#[tokio::test]
async fn counts_and_sums_go_on_from_the_changed_rows() {
    // Whatever a run takes, it is worth counting.
    let database = with_table(Limits { live_part_micros: 0, ..Limits::default() }).await;
    database.sql("create table m (id integer primary key, room text collate nocase, kind text, n)").await.unwrap();
    database.sql("insert into m values (1, 'a', 'x', 5), (2, 'A', 'y', null), (3, 'b', 'x', 7)").await.unwrap();
    let queries = [
        ("all", "select count(*) as id, sum(n) as v from m"),
        ("room", "select sum(n) as id, count(*) as v from m where room = 'a'"),
        ("kinds", "select sum(n) as id, kind as v from m group by kind"),
        ("none", "select count(n) as id, sum(n) as v from m where room = 'nobody'"),
    ];
    let mut client = Client::connect(&database).await;
    for (name, sql) in queries {
        client.live(&database, name, sql).await;
    }
    let metrics = database.engine.metrics();
    for (write, counted) in [
        ("insert into m values (4, 'a', 'z', 1), (5, 'c', 'z', -3)", 3),
        ("update m set room = 'nobody', n = 9223372036854775 where id = 1", 4),
        ("delete from m where kind = 'z'", 3),
        ("insert into m values (6, 'd', null, 2)", 2),
        ("update m set n = n where id = 6", 0),
        // Not of whole numbers.
        ("update m set n = 0.5 where id = 3", 0),
        ("update m set n = 'five' where id = 2", 0),
        // Whoever has met such a value is run as a whole for good.
        ("update m set n = 4 where id = 2", 0),
    ] {
        let before = metrics.live_tallies.get();
        let revision = database.sql(write).await.unwrap().revision;
        client.reach(&database, revision).await;
        for (name, sql) in queries {
            assert_exact(&database, &client.lives[name], sql, false).await;
        }
        let went_on = metrics.live_tallies.get() - before;
        assert!(went_on >= counted, "{write}: {went_on}");
    }
}

#[tokio::test]
async fn counted_groups_are_told_apart_and_the_clock_is_noticed() {
    let database = with_table(Limits { live_part_micros: 0, ..Limits::default() }).await;
    database.sql("create table c (code text primary key, n integer, b text)").await.unwrap();
    database.sql("insert into c values (null, 1, 'x'), (null, 2, 'x'), ('a', 1, 'x')").await.unwrap();
    let mut client = Client::connect(&database).await;
    // SQLite allows NULL in a primary key, so the key alone does not tell the groups apart.
    let sql = "select code as id, n as v from c where b like 'x%' group by code, n";
    client.live(&database, "groups", sql).await;
    let clock = client.live(&database, "clock", "select count(*) from c where datetime(b) > '2000-01-01'").await;
    assert_eq!(clock.error, None);
    for write in ["insert into c values (null, 3, 'xy')", "delete from c where n = 1", "update c set n = 2 where n = 3"]
    {
        let revision = database.sql(write).await.unwrap().revision;
        client.reach(&database, revision).await;
        assert_exact(&database, &client.lives["groups"], sql, false).await;
    }
    assert!(database.engine.metrics().live_tallies.get() >= 6);
    let revision = database.sql("insert into c values ('b', 9, 'now')").await.unwrap().revision;
    client.reach(&database, revision).await;
    assert!(client.lives["clock"].error.as_ref().is_some_and(|error| error.contains("clock")));
}

/// Statements that were once taken for others than they are: setup, query, parameters, and a write that changes its result.
fn taken_for_less() -> Vec<(&'static str, &'static str, Vec<i64>, &'static str)> {
    let t = "create table t (id integer primary key, a integer, b integer); insert into t values (1, 1, 1)";
    let nulls = "create table t (id integer primary key, n integer, s text); \
                 insert into t values (1, 1, 'a'), (2, 2, 'b'), (3, 3, 'c')";
    let pq = "create table p (v, k); create table q (w, k); insert into p values (1, 1); insert into q values (1, 2)";
    let both = "create table p (v, k); create table q (w, k); insert into p values (1, 1); insert into q values (1, 2); \
                create view both as select count(*) as n from p join q using (k)";
    let one = "create table t (id integer primary key, a integer, b integer); insert into t values (1, 1, 1); \
               create view one as select 1 as x from t";
    vec![
        (pq, "select p.v, q.w from p join q using (k)", vec![], "update q set k = 1"),
        // The authorizer is told nothing of a table of which USING or NATURAL alone name columns.
        (pq, "select count(*) from p join q using (k)", vec![], "update q set k = 1"),
        (pq, "select count(*) from p join q using (k)", vec![], "update p set k = 2"),
        (pq, "select count(*) from q natural join (select 1 as k)", vec![], "update q set k = 1"),
        (pq, "select * from p natural full join (select 1 as v, 1 as k)", vec![], "insert into p values (5, 5)"),
        (both, "select n from both", vec![], "update q set k = 1"),
        (both, "select 1 where exists (select 1 from both where n > 0)", vec![], "update p set k = 2"),
        (pq, "select * from p natural join q", vec![], "update q set k = 1"),
        (pq, "select * from p join q using (k) where k = 1", vec![], "update q set k = 1"),
        (
            "create table g (n integer); insert into g values (1), (2)",
            "select n from g group by n",
            vec![],
            "delete from g where n = 1",
        ),
        (one, "select t.id from t, one where t.a = 1", vec![], "insert into t values (2, 2, 2)"),
        (
            one,
            "select t.id from t where t.a = 1 and exists (select 1 from one limit 1 offset 1)",
            vec![],
            "insert into t values (2, 2, 2)",
        ),
        (t, "select id from t where a='7'OR b=9 AND a=5", vec![], "insert into t values (4, 7, 1)"),
        (t, "select id from t where a = ?1OR b = ?2 AND id = ?1", vec![5, 9], "insert into t values (4, 5, 1)"),
        (
            t,
            "select id from t where a=1 and 3 > (select count(*) from 't')",
            vec![],
            "insert into t values (2, 2, 2), (3, 3, 3)",
        ),
        (
            "create table r (rowid text, a)",
            "select a from r where oid = 2",
            vec![],
            "insert into r (oid, rowid, a) values (2, 'x', 1)",
        ),
        (
            "create table r (rowid text primary key, a integer); insert into r values ('e', 1), ('x', 2)",
            "select oid, a from r",
            vec![],
            "delete from r where a = 1",
        ),
        (t, "select id from t where 1 between a between 0 and 2 and b = 0", vec![], "insert into t values (4, 9, -1)"),
        (t, "select id from t where a = $x::y and b = :z and id > ?3", vec![1, 2, 0], "insert into t values (5, 1, 2)"),
        (
            t,
            "select id from t where a in (select b=1 from t union select a from t order by b=1)",
            vec![],
            "insert into t values (2, 2, 2)",
        ),
        // Constants, names with dots and texts that look like the names of result columns.
        (nulls, "select id, n as \"null\" from t order by null limit 2", vec![], "insert into t values (-1, 99, 'd')"),
        (nulls, "select id, n as \"t.s\" from t order by t.s limit 2", vec![], "insert into t values (9, 99, 'A')"),
        (
            nulls,
            "select n as \"k\", count(*) from t where \"k\" > 2 group by n",
            vec![],
            "insert into t values (9, 1, 'x')",
        ),
        (
            "create table t (k text primary key, n integer, s text); insert into t values (null, 1, 'x'), (null, 2, 'x')",
            "select k, n, count(*) from t where length(s) > 0 group by k, n",
            vec![],
            "insert into t values (null, 2, 'y')",
        ),
        // Conditions that fail at a row behind the last one.
        (
            nulls,
            "select n from t where s like 'x%' escape s order by n limit 2",
            vec![],
            "insert into t values (9, 99, 'ab')",
        ),
        (
            nulls,
            "select n from t where 'x' like s order by n limit 2",
            vec![],
            "insert into t values (9, 99, printf('%060000d', 7))",
        ),
        (
            nulls,
            "select n, value from t, json_each where json_each.json = '[' || t.id || iif(t.n > 50, '', ']') order by n limit 2",
            vec![],
            "insert into t values (9, 99, '')",
        ),
    ]
}

#[tokio::test]
async fn what_a_query_reads_is_not_taken_for_less() {
    for (setup, sql, params, write) in taken_for_less() {
        for part_micros in [0, u64::MAX] {
            let limits = Limits { live_part_micros: part_micros, ..Limits::default() };
            let database = Database::with_limits(limits);
            for statement in setup.split(';') {
                database.sql(statement).await.unwrap();
            }
            let params = match params.as_slice() {
                [] => Params::None,
                values => Params::Positional(values.iter().copied().map(Value::Integer).collect()),
            };
            let mut client = Client::connect(&database).await;
            let wanted = Wanted::Query { sql: sql.into(), params: params.clone(), since: None };
            client.subscribe(&database, "q", wanted);
            client.wait(|client| client.lives.get("q").is_some_and(|live| live.is_done)).await;
            let revision = database.sql(write).await.unwrap().revision;
            database.engine.answered(&client.session, revision);
            client.wait(|client| client.told >= revision || client.lives["q"].error.is_some()).await;
            let mut shown: Vec<String> = client.lives["q"]
                .rows
                .iter()
                .map(|(_, row)| serde_json::Value::from(row.clone()).to_string())
                .collect();
            let request = SqlRequest { format: Format::Raw, ..SqlRequest::query(sql, params) };
            let Ok(answer) = database.engine.query(request).await else {
                assert!(client.lives["q"].error.is_some(), "{sql} fails, after {write}");
                continue;
            };
            let answer: serde_json::Value = serde_json::from_slice(&answer.body).unwrap();
            let mut now: Vec<String> = answer["rows"].as_array().unwrap().iter().map(ToString::to_string).collect();
            shown.sort_unstable();
            now.sort_unstable();
            assert_eq!(shown, now, "{sql}, after {write}");
        }
    }
}

#[tokio::test]
async fn texts_of_a_utf_16_file_are_compared_as_sqlite_keeps_them() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("utf16.db");
    let made = rusqlite::Connection::open(&path).unwrap();
    made.execute_batch("pragma encoding = 'UTF-16le'; create table t (id integer primary key, b text)").unwrap();
    drop(made);
    let database = Database { engine: Engine::open(Options::new(path)).unwrap(), folder };
    let mut client = Client::connect(&database).await;
    client.live(&database, "q", "select id from t where b < 'a'").await;
    // In UTF-16le the low byte comes first: 'ā' is 01 01, before 61 00.
    let revision = database.sql("insert into t values (1, 'ā'), (2, 'z')").await.unwrap().revision;
    client.reach(&database, revision).await;
    assert_eq!(client.lives["q"].rows.len(), 1);
}

#[tokio::test]
async fn a_write_that_matters_to_no_query_wakes_nobody_and_is_not_forgotten() {
    let database = Database::new();
    database.sql("create table m (id integer primary key, room integer, at integer)").await.unwrap();
    let mut client = Client::connect(&database).await;
    for room in 0..20 {
        client.live(&database, &format!("r{room}"), &format!("select id from m where room = {room}")).await;
        client.live(&database, &format!("a{room}"), &format!("select id from m where at < {}", -room)).await;
    }
    let metrics = database.engine.metrics();
    let steps = metrics.live_steps.get();
    let mut last = 0;
    for id in 1..=200 {
        last = database.sql(&format!("insert into m values ({id}, 99, 5)")).await.unwrap().revision;
    }
    // Whoever asks is told the revision; of the rows nobody was.
    client.reach(&database, last).await;
    assert!(metrics.live_steps.get() - steps <= 2, "{} steps", metrics.live_steps.get() - steps);
    assert_eq!(metrics.live_spared.get(), 200 * 40);
    // What was passed over is there as soon as somebody asks for it.
    let late = client.live(&database, "late", "select count(*) from m where room = 99").await;
    assert_eq!(late.rows[0].1, [json!(200)]);
    let revision = database.sql("update m set room = 7, at = -3 where id = 5").await.unwrap().revision;
    client.reach(&database, revision).await;
    assert_eq!(client.lives["r7"].rows.len(), 1);
    let shown = |name: &str| client.lives[name].rows.len();
    assert_eq!((shown("a2"), shown("a3"), shown("late")), (1, 0, 1));
    assert_eq!(client.lives["late"].rows[0].1, [json!(199)]);
}

/// Some milliseconds each, and different for each number.
fn dear(number: usize) -> String {
    format!(
        "select {number}, (select max(id) from t) from (with recursive c(i) as (select 1 union all select i + 1 from c \
         where i < 100000) select count(*) from c)"
    )
}

#[tokio::test]
async fn many_queries_of_one_socket_make_no_other_wait() {
    // Each takes some milliseconds, the eighty some hundred: far from both bounds, also on a busy machine.
    let limits = Limits { live_quick_time_max: Duration::from_millis(240), ..Limits::default() };
    let database = with_table(limits).await;
    let (mut many, mut quick) = (Client::connect(&database).await, Client::connect(&database).await);
    quick.live(&database, "q", "select id from t").await;
    for number in 0..80 {
        many.live(&database, &format!("m{number}"), &dear(number)).await;
    }
    assert_eq!(many.session.lane(), 0, "each of them is quick");
    for id in 3..6 {
        let answer = database.sql(&format!("insert into t values ({id}, 'x')")).await.unwrap();
        quick.reach(&database, answer.revision).await;
        many.reach(&database, answer.revision).await;
        assert!(many.lives.values().all(|live| live.rows[0].1[1] == json!(id)));
    }
    assert!(many.session.lane() > 0 && quick.session.lane() == 0, "together they are slow");
}

#[tokio::test]
async fn a_dear_query_that_nobody_holds_is_not_run_again() {
    let database = with_table(Limits::default()).await;
    let (mut many, mut quick) = (Client::connect(&database).await, Client::connect(&database).await);
    quick.live(&database, "q", "select id from t").await;
    for number in 0..10 {
        many.live(&database, &format!("m{number}"), &dear(number)).await;
    }
    many.session.close();
    drop(many);
    let evaluations = || database.engine.metrics().live_evaluations.get();
    // The first write may still find the socket.
    for id in 3..5 {
        let answer = database.sql(&format!("insert into t values ({id}, 'x')")).await.unwrap();
        quick.reach(&database, answer.revision).await;
    }
    let before = evaluations();
    for id in 5..8 {
        let answer = database.sql(&format!("insert into t values ({id}, 'x')")).await.unwrap();
        quick.reach(&database, answer.revision).await;
    }
    assert!(evaluations() - before <= 3, "{} evaluations", evaluations() - before);
}

#[tokio::test]
async fn a_pattern_that_sqlite_would_refuse_at_some_row_cannot_be_live() {
    let database = with_table(Limits::default()).await;
    let mut client = Client::connect(&database).await;
    let long = "a".repeat(50_001);
    let params = Params::Positional(vec![Value::text(&long)]);
    client.subscribe(
        &database,
        "p",
        Wanted::Query { sql: "select id from t where v like ?".into(), params, since: None },
    );
    client.wait(|client| client.lives.get("p").is_some_and(|live| live.error.is_some())).await;
    let literal = client.live(&database, "l", &format!("select id from t where v like '{long}'")).await;
    let refused = "unsupported: A query with LIKE or GLOB can be live with texts of at most 50000 bytes.";
    assert_eq!(literal.error.as_deref(), Some(refused));
    assert_eq!(client.lives["p"].error.as_deref(), Some(refused));
}

#[tokio::test]
async fn a_tag_says_nothing_to_others_than_whoever_was_told_it() {
    let database = with_table(Limits::default()).await;
    let sql = "select id, v from t";
    let mut admin = Client::connect(&database).await;
    let tag = admin.live(&database, "q", sql).await.tag.clone();
    let place = Since { history: admin.history.clone(), revision: admin.told, tag: None };
    let queries = |tag: &str| vec![(tidebase_engine::RequestId::parse("\"again\"").unwrap(), tag.to_owned())];
    for other in ["ann", "bob"] {
        let session = database.engine.open_session_for(client::user(other));
        assert_eq!(database.engine.resume(&session, &place, queries(&tag)).unwrap().len(), 1, "{other}");
    }
    // Whoever was told it is told it anew as they are now: without a policy the table is closed.
    let session = database.engine.open_session();
    assert!(database.engine.resume(&session, &place, queries(&tag)).unwrap().is_empty());
}
