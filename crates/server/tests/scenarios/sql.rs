//! `POST /query` and `POST /query/raw`: StarbaseDB's contract, and where its promises are kept better than by itself.

use crate::server::Server;
use crate::server::http::Request;
use serde_json::json;
use std::io::Write as _;
use std::process::{Command, Stdio};

/// The page's own examples: create, insert, select, transaction, raw.
async fn artists() -> Server {
    let server = Server::start().await;
    let create = "CREATE TABLE IF NOT EXISTS artist(artistid INTEGER PRIMARY KEY, artistname TEXT);";
    assert_eq!(server.sql(create).await, json!([]));
    let insert = "INSERT INTO artist (artistid, artistname) VALUES (123, 'Alice'), (456, 'Bob'), (789, 'Charlie');";
    assert_eq!(server.sql(insert).await, json!([]));
    server
}

#[tokio::test]
async fn the_examples_of_starbasedbs_page_are_answered_as_it_says() {
    let server = artists().await;
    let one = json!({ "sql": "SELECT * FROM artist WHERE artistid=$1;", "params": [123] });
    let answer = server.query(one.clone()).await;
    assert_eq!(answer.header("content-type"), Some("application/json"));
    assert_eq!(answer.json(), json!({ "result": [{ "artistid": 123, "artistname": "Alice" }] }));
    let all = json!({ "sql": "SELECT * FROM artist;", "params": [] });
    assert_eq!(
        server.query(json!({ "transaction": [one, all] })).await.json(),
        json!({ "result": [
            [{ "artistid": 123, "artistname": "Alice" }],
            [{ "artistid": 123, "artistname": "Alice" }, { "artistid": 456, "artistname": "Bob" },
             { "artistid": 789, "artistname": "Charlie" }],
        ] })
    );
    let raw = server.raw(all.clone()).await.result();
    assert_eq!(raw["columns"], json!(["artistid", "artistname"]));
    assert_eq!(raw["rows"], json!([[123, "Alice"], [456, "Bob"], [789, "Charlie"]]));
    assert_eq!(raw["meta"]["rows_read"], 3);
    let several = server.raw(json!({ "transaction": [all, { "sql": "SELECT 1 AS one" }] })).await.result();
    assert_eq!(several[0]["rows"], raw["rows"]);
    assert_eq!(several[1]["columns"], json!(["one"]));
}

#[tokio::test]
async fn the_messages_that_clients_compare_are_kept_word_for_word() {
    let server = Server::start().await;
    let sql = "Invalid or empty \"sql\" field.";
    let params = "Invalid \"params\" field. Must be an array or object.";
    let sql_in_transaction = "Invalid or empty \"sql\" field in transaction.";
    let params_in_transaction = "Invalid \"params\" field in transaction. Must be an array or object.";
    let fine = json!({ "sql": "SELECT 1" });
    for (body, message, statement) in [
        (json!({}), sql, None),
        (json!({ "sql": "" }), sql, None),
        (json!({ "sql": "  " }), sql, None),
        (json!({ "sql": 1 }), sql, None),
        (json!({ "sql": null }), sql, None),
        (json!({ "transaction": [] }), sql, None),
        (json!({ "transaction": { "sql": "SELECT 1" } }), sql, None),
        (json!({ "sql": "SELECT 1", "params": "text" }), params, None),
        (json!({ "sql": "SELECT 1", "params": 1 }), params, None),
        (json!({ "sql": "SELECT 1", "params": true }), params, None),
        (json!({ "transaction": [fine, { "sql": "" }] }), sql_in_transaction, Some(1)),
        (json!({ "transaction": [{ "params": [] }, fine] }), sql_in_transaction, Some(0)),
        (json!({ "transaction": [fine, fine, { "sql": "SELECT ?", "params": "1" }] }), params_in_transaction, Some(2)),
    ] {
        for path in ["/query", "/query/raw"] {
            let answer = server.send(Request::post(path, body.clone())).await;
            let mut expected = json!({ "error": message, "code": "invalid" });
            if let Some(statement) = statement {
                expected["statement"] = json!(statement);
            }
            assert_eq!((answer.status, answer.json()), (400, expected), "{path} {body}");
        }
    }
    for (transaction, expected) in
        [(json!([{ "sql": "SELECT 2 AS a" }]), json!([[{ "a": 2 }]])), (json!([]), json!([{ "1": 1 }]))]
    {
        let both = json!({ "sql": "SELECT 1", "transaction": transaction });
        assert_eq!(server.query(both).await.result(), expected, "a transaction with statements wins");
    }
    for kind in ["application/jsonp", "", "text/plain"] {
        let request = Request::post("/query", fine.clone()).header("Content-Type", kind);
        let answer = server.send(request).await;
        assert_eq!(answer.json()["error"], "Content-Type must be application/json.");
        assert_eq!(answer.status, 400);
    }
    let with_charset = Request::post("/query", fine).header("Content-Type", "application/json; charset=utf-8");
    assert_eq!(server.send(with_charset).await.status, 200);
}

#[tokio::test]
async fn a_transaction_is_kept_whole_or_not_at_all() {
    let server = artists().await;
    let insert = |id: i64| json!({ "sql": "INSERT INTO artist VALUES (?, 'new')", "params": [id] });
    let answer = server.query(json!({ "transaction": [insert(1), insert(2), insert(123)] })).await;
    answer.is_refused(409, "conflict", "UNIQUE constraint failed: artist.artistid");
    assert_eq!(answer.json()["statement"], 2);
    let answer = server.query(json!({ "transaction": [insert(1), { "sql": "SELEC" }] })).await;
    answer.is_refused(400, "invalid", "near \"SELEC\": syntax error");
    assert_eq!(answer.json()["statement"], 1);
    assert_eq!(server.sql("SELECT count(*) AS n FROM artist").await, json!([{ "n": 3 }]));
    let read = json!({ "sql": "SELECT count(*) AS n FROM artist" });
    let kept = server.query(json!({ "transaction": [insert(1), read, insert(2)] })).await.result();
    assert_eq!(kept, json!([[], [{ "n": 4 }], []]));
    assert_eq!(server.sql("SELECT count(*) AS n FROM artist").await, json!([{ "n": 5 }]));
}

#[tokio::test]
async fn raw_results_keep_empty_columns_and_columns_of_one_name_and_count_what_was_written() {
    let server = artists().await;
    let raw = async |sql: &str| server.raw(json!({ "sql": sql })).await.result();
    let empty = raw("SELECT * FROM artist WHERE artistid = 0").await;
    assert_eq!(empty["columns"], json!(["artistid", "artistname"]));
    assert_eq!(empty["rows"], json!([]));
    let twins = raw("SELECT 1 AS a, 2 AS a, NULL AS b").await;
    assert_eq!(twins["columns"], json!(["a", "a", "b"]));
    assert_eq!(twins["rows"], json!([[1, 2, null]]));
    assert_eq!(server.sql("SELECT 1 AS a, 2 AS a").await, json!([{ "a": 2 }]), "as objects the last one is told");
    let written = raw("INSERT INTO artist (artistname) VALUES ('x'), ('y')").await;
    assert_eq!(written["columns"], json!([]));
    assert_eq!(written["meta"], json!({ "rows_read": 0, "rows_written": 2, "last_insert_rowid": 791 }));
    let read = raw("SELECT * FROM artist").await;
    assert_eq!(read["meta"]["rows_written"], 0, "{read}");
}

#[tokio::test]
async fn integers_come_back_digit_for_digit_and_blobs_go_both_ways() {
    let server = Server::start().await;
    server.sql("CREATE TABLE t (id INTEGER PRIMARY KEY, n INTEGER, b BLOB)").await;
    for number in ["9007199254740993", "9223372036854775807", "-9223372036854775808"] {
        let body = format!("{{\"sql\":\"INSERT INTO t (n) VALUES (?) RETURNING n\",\"params\":[{number}]}}");
        let request = Request::post("/query", json!(null)).body(body);
        let answer = String::from_utf8(server.send(request).await.body).unwrap();
        assert_eq!(answer, format!("{{\"result\":[{{\"n\":{number}}}]}}"));
    }
    let blob = json!({ "$blob": "AAH/gA==" });
    let insert = json!({ "sql": "INSERT INTO t (b) VALUES (?) RETURNING b, hex(b) AS h", "params": [blob] });
    assert_eq!(server.query(insert).await.result(), json!([{ "b": blob, "h": "0001FF80" }]));
    let empty = json!({ "sql": "SELECT ? AS b, typeof(?1) AS t", "params": [{ "$blob": "" }] });
    assert_eq!(server.query(empty).await.result(), json!([{ "b": { "$blob": "" }, "t": "blob" }]));
    let broken = json!({ "sql": "SELECT ?", "params": [{ "$blob": "not base64!" }] });
    server.query(broken).await.is_refused(400, "invalid", "base64");
    let json_value = json!({ "sql": "SELECT ?", "params": [{ "name": "object" }] });
    server.query(json_value).await.is_refused(400, "invalid", "params");
}

#[tokio::test]
async fn a_number_that_would_lose_digits_or_be_infinite_is_refused() {
    let server = Server::start().await;
    server.sql("CREATE TABLE t (n)").await;
    for number in ["9223372036854775808", "18446744073709551615", "1e999"] {
        let body = format!("{{\"sql\":\"INSERT INTO t VALUES (?)\",\"params\":[{number}]}}");
        let answer = server.send(Request::post("/query", json!(null)).body(body)).await;
        assert_eq!((answer.status, &answer.json()["code"]), (400, &json!("invalid")), "{number}: {}", answer.text());
    }
    let infinite = server.query(json!({ "sql": "INSERT INTO t VALUES (1e999)" })).await;
    assert!(infinite.status >= 400, "infinities cannot be stored: {}", infinite.text());
    assert_eq!(server.sql("SELECT count(*) AS n FROM t").await, json!([{ "n": 0 }]));
}

#[tokio::test]
async fn parameters_bind_by_position_and_by_name_and_a_wrong_count_is_an_error() {
    let server = Server::start().await;
    let values = async |sql: &str, params| {
        let answer = server.raw(json!({ "sql": sql, "params": params })).await;
        (answer.status, if answer.status == 200 { answer.json()["result"]["rows"][0].take() } else { answer.json() })
    };
    for (sql, params, expected) in [
        ("SELECT ?, ?", json!([1, "b"]), json!([1, "b"])),
        ("SELECT ?2, ?1", json!([1, "b"]), json!(["b", 1])),
        ("SELECT $1", json!([1]), json!([1])),
        ("SELECT :a, :a, $b, @c", json!({ "a": 1, "b": 2.5, "c": null }), json!([1, 1, 2.5, null])),
        ("SELECT :a, $b", json!({ ":a": 1, "$b": 2 }), json!([1, 2])),
        ("SELECT ?, ?", json!([true, false]), json!([1, 0])),
        ("SELECT 1", json!(null), json!([1])),
        ("SELECT 1", json!([]), json!([1])),
        ("SELECT 1", json!({}), json!([1])),
    ] {
        assert_eq!(values(sql, params.clone()).await, (200, expected), "{sql} {params}");
    }
    for (sql, params) in [
        ("SELECT ?", json!([])),
        ("SELECT ?", json!([1, 2])),
        ("SELECT 1", json!([1])),
        ("SELECT ?", json!(null)),
        ("SELECT :a", json!({})),
        ("SELECT :a", json!({ "a": 1, "b": 2 })),
        ("SELECT 1; SELECT ?", json!([1])),
    ] {
        let (status, body) = values(sql, params.clone()).await;
        assert_eq!((status, &body["code"]), (400, &json!("invalid")), "{sql} {params}: {body}");
    }
}

#[tokio::test]
async fn several_statements_are_one_transaction_and_answer_the_last() {
    let server = artists().await;
    let count = async || server.sql("SELECT count(*) AS n FROM artist").await[0]["n"].clone();
    let last = server.sql("INSERT INTO artist VALUES (1, 'a'); INSERT INTO artist VALUES (2, 'b') RETURNING *;").await;
    assert_eq!(last, json!([{ "artistid": 2, "artistname": "b" }]));
    let undone = "INSERT INTO artist VALUES (3, 'c'); INSERT INTO artist VALUES (3, 'again')";
    server.query(json!({ "sql": undone })).await.is_refused(409, "conflict", "UNIQUE");
    assert_eq!(count().await, 5);
    server.sql("BEGIN; INSERT INTO artist VALUES (3, 'c'); INSERT INTO artist VALUES (4, 'd'); COMMIT;").await;
    assert_eq!(count().await, 7);
    let named = json!({ "sql": "UPDATE artist SET artistname = :n WHERE artistid = :i; SELECT artistname AS n FROM artist \
                                WHERE artistid = :i", "params": { "n": "new", "i": 3 } });
    assert_eq!(server.query(named).await.result(), json!([{ "n": "new" }]));
    let strange = server.sql("SELECT ';' AS a; -- a comment; with a semicolon").await;
    assert_eq!(strange, json!([{ "a": ";" }]));
}

#[tokio::test]
async fn a_mistake_has_sqlites_own_words_and_a_broken_constraint_is_a_conflict() {
    let server = artists().await;
    server.sql("CREATE TABLE album (id INTEGER PRIMARY KEY, artist REFERENCES artist, n INTEGER CHECK (n > 0), t NOT NULL)").await;
    for (sql, status, code, words) in [
        ("SELEC 1", 400, "invalid", "near \"SELEC\": syntax error"),
        ("SELECT * FROM nowhere", 400, "invalid", "no such table: nowhere"),
        ("SELECT nobody FROM artist", 400, "invalid", "no such column: nobody"),
        ("SELECT 'open", 400, "invalid", "unrecognized token"),
        ("CREATE TABLE artist (a)", 400, "invalid", "table artist already exists"),
        ("INSERT INTO artist VALUES (123, 'x')", 409, "conflict", "UNIQUE constraint failed: artist.artistid"),
        ("INSERT INTO album VALUES (1, 5, 1, 't')", 409, "conflict", "FOREIGN KEY constraint failed"),
        ("INSERT INTO album VALUES (1, 123, 0, 't')", 409, "conflict", "CHECK constraint failed: n > 0"),
        ("INSERT INTO album VALUES (1, 123, 1, NULL)", 409, "conflict", "NOT NULL constraint failed: album.t"),
    ] {
        server.query(json!({ "sql": sql })).await.is_refused(status, code, words);
    }
}

#[tokio::test]
async fn exclude_selects_the_other_columns() {
    let server = artists().await;
    let rows = server.sql("SELECT $_exclude(artistname) FROM artist WHERE artistid = 123").await;
    assert_eq!(rows, json!([{ "artistid": 123 }]));
    let unknown = server.query(json!({ "sql": "SELECT $_exclude(nothing) FROM artist" })).await;
    unknown.is_refused(400, "invalid", "nothing");
}

#[tokio::test]
async fn last_insert_rowid_and_changes_are_the_callers_own() {
    let server = artists().await;
    server.sql("INSERT INTO artist VALUES (9000, 'somebody else'), (9001, 'them')").await;
    let nothing = json!([{ "rowid": 0, "changes": 0 }]);
    assert_eq!(server.sql("SELECT last_insert_rowid() AS rowid, changes() AS changes").await, nothing);
    let through_the_writer =
        "UPDATE artist SET artistname = '' WHERE 0; SELECT last_insert_rowid() AS rowid, changes() AS changes";
    assert_eq!(server.sql(through_the_writer).await, nothing);
    let own = "INSERT INTO artist VALUES (7, 'me'); SELECT last_insert_rowid() AS rowid, changes() AS changes";
    assert_eq!(server.sql(own).await, json!([{ "rowid": 7, "changes": 1 }]));
}

#[tokio::test]
async fn an_answer_is_compressed_when_asked() {
    let server = Server::start().await;
    let many = "WITH RECURSIVE c(n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM c WHERE n < 500) SELECT n FROM c";
    let plain = server.query(json!({ "sql": many })).await;
    assert_eq!(plain.header("content-encoding"), None);
    let request = Request::post("/query", json!({ "sql": many })).header("Accept-Encoding", "gzip");
    let zipped = server.send(request).await;
    assert_eq!(zipped.header("content-encoding"), Some("gzip"));
    assert!(zipped.body.len() < plain.body.len() / 2);
    assert_eq!(gunzip(&zipped.body), plain.body);
}

fn gunzip(bytes: &[u8]) -> Vec<u8> {
    let mut gzip = Command::new("gzip").arg("-dc").stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
    gzip.stdin.take().unwrap().write_all(bytes).unwrap();
    gzip.wait_with_output().unwrap().stdout
}

#[tokio::test]
async fn explain_live_says_what_a_live_query_costs_and_why() {
    let server = Server::start().await;
    server.sql("CREATE TABLE orders (id INTEGER PRIMARY KEY, customer TEXT)").await;
    server.sql("CREATE TABLE items (id INTEGER PRIMARY KEY, order_id INTEGER, name TEXT)").await;
    let said = async |sql: &str| -> Vec<String> {
        let rows = server.sql(&format!("EXPLAIN LIVE {sql}")).await;
        let row =
            |row: &serde_json::Value| format!("{}: {}", row["topic"].as_str().unwrap(), row["says"].as_str().unwrap());
        rows.as_array().unwrap().iter().map(row).collect()
    };
    let joined = "FROM orders AS o JOIN items AS i ON i.order_id = o.id WHERE o.customer = ?1";
    assert_eq!(
        said(&format!("SELECT o.id, i.name {joined};")).await,
        [
            "watches: items (name, order_id)",
            "watches: orders (customer, id)",
            "found by: orders: customer = a value",
            "found by: items: through order_id to the rows of orders",
            "read again: the rows of the changed orders.id",
            "index: i is read from first row to last at each run.",
        ]
    );
    server.sql("CREATE INDEX items_order ON items (order_id)").await;
    assert_eq!(
        said(&format!("SELECT count(*), o.customer {joined}")).await[4..],
        [
            "read again: the whole result",
            "because: It has an aggregate, a sub-query beside IN and EXISTS, or a function of many rows.",
            "index: o is read from first row to last at each run.",
        ]
    );
    assert_eq!(
        said("SELECT name FROM items ORDER BY name LIMIT 3").await[1..4],
        [
            "found by: items: every change of what is watched, whatever the parameters",
            "left out: items: changes behind the last row shown, by name, rising",
            "read again: the whole result",
        ]
    );
    assert_eq!(
        said("SELECT count(*) FROM items").await[2],
        "read again: nothing if it takes long: its counts and sums go on from the changed rows"
    );
    let refused = server.query(json!({ "sql": "EXPLAIN LIVE SELECT random()" })).await;
    assert_eq!(refused.status, 501);
    assert!(refused.text().contains("random"), "{}", refused.text());
}
