//! Dumps in the background: the calls of StarbaseDB's page, what comes of them, and parts of a file.

use crate::server::http::{Answer, Request};
use crate::server::{Home, Server, within};
use serde_json::{Value as Json, json};

/// Asks for a dump, and gives its key.
pub async fn ask(server: &Server, body: Json) -> String {
    let answer = server.send(Request::post("/export/dump", body)).await;
    assert_eq!(answer.status, 202, "{}", answer.text());
    answer.json()["progressKey"].as_str().unwrap().to_owned()
}

pub async fn status(server: &Server, key: &str) -> Json {
    let answer = server.send(Request::get(format!("/export/dump/status/{key}"))).await;
    assert_eq!(answer.status, 200, "{}", answer.text());
    answer.json()
}

/// Waits until the status is so.
pub async fn until(server: &Server, key: &str, wanted: impl Fn(&Json) -> bool) -> Json {
    let asked = async {
        loop {
            let status = status(server, key).await;
            if wanted(&status) {
                return status;
            }
        }
    };
    within("the status of a dump", asked).await
}

pub async fn completed(server: &Server, key: &str) -> Json {
    let ended =
        until(server, key, |status| ["completed", "failed"].contains(&status["status"].as_str().unwrap())).await;
    assert_eq!(ended["status"], "completed", "{ended}");
    ended
}

pub async fn download(server: &Server, file: &str) -> Answer {
    server.send(Request::get(format!("/export/dump/download/{file}"))).await
}

/// What the SQL makes, in a database of its own.
pub fn made_again(sql: &[u8]) -> rusqlite::Connection {
    let connection = rusqlite::Connection::open_in_memory().unwrap();
    connection.execute_batch(std::str::from_utf8(sql).unwrap()).unwrap();
    connection
}

pub fn count(connection: &rusqlite::Connection, sql: &str) -> i64 {
    connection.query_row(sql, [], |row| row.get(0)).unwrap()
}

/// A table of as many rows, which takes a millisecond a row with a breath after each.
pub fn rows(count: usize) -> String {
    format!(
        "CREATE TABLE t (id INTEGER PRIMARY KEY, a TEXT);
         WITH RECURSIVE c(x) AS (SELECT 1 UNION ALL SELECT x + 1 FROM c WHERE x < {count}) INSERT INTO t SELECT x, 'row ' || x FROM c"
    )
}

/// Names of all files in the folder of dumps, also of those that are not whole.
pub fn files(home: &Home) -> Vec<String> {
    let folder = home.folder.path().join("test.db-dumps");
    let Ok(entries) = std::fs::read_dir(folder) else { return Vec::new() };
    let mut names: Vec<String> = entries.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
    names.sort();
    names
}

#[tokio::test]
async fn the_calls_of_starbasedbs_page_are_answered_word_for_word() {
    let server = Server::start().await;
    server.sql(&rows(2500)).await;
    let body = json!({"format": "sql", "chunkSize": 1000, "includeSchema": true});
    let answer = server.send(Request::post("/export/dump", body)).await;
    let told = answer.json();
    assert_eq!((answer.status, told.as_object().unwrap().len()), (202, 3), "{told}");
    assert_eq!((&told["status"], &told["message"]), (&json!("accepted"), &json!("Dump process started")));
    let key = told["progressKey"].as_str().unwrap();
    let shape: String = key.chars().map(|char| if char.is_ascii_digit() { '0' } else { char }).collect();
    assert!(shape.starts_with("dump_00000000-000000-"), "{key}");
    let ended = completed(&server, key).await;
    let progress = &ended["progress"];
    assert_eq!(
        (&progress["totalRows"], &progress["processedRows"], &progress["percentComplete"]),
        (&json!(2500), &json!(2500), &json!(100))
    );
    for time in ["startedAt", "estimatedCompletion"] {
        let time = progress[time].as_str().unwrap();
        assert!(time.len() == 20 && time.ends_with('Z'), "{progress}");
    }
    let url = ended["downloadUrl"].as_str().unwrap();
    assert_eq!(url, format!("http://tidebase/export/dump/download/{key}.sql"));
    let dump = download(&server, &format!("{key}.sql")).await;
    assert_eq!((dump.status, dump.body.len()), (200, ended["size"].as_u64().unwrap() as usize));
    let disposition = format!("attachment; filename=\"{key}.sql\"");
    assert_eq!(
        (dump.header("content-type"), dump.header("content-disposition")),
        (Some("application/sql"), Some(&*disposition))
    );
    assert_eq!(count(&made_again(&dump.body), "SELECT count(*) FROM t WHERE a = 'row ' || id"), 2500);
    // It is what a dump is that is made while it is sent.
    assert_eq!(dump.body, server.send(Request::get("/export/dump")).await.body);
    assert_eq!(files(&server.home), [format!("{key}.sql")]);
    assert_eq!(server.send(Request::new("DELETE", format!("/export/dump/{key}"))).await.result(), true);
    server.send(Request::get(format!("/export/dump/status/{key}"))).await.is_refused(404, "not_found", "no dump");
    download(&server, &format!("{key}.sql")).await.is_refused(404, "not_found", "no dump");
    assert!(files(&server.home).is_empty());
    let audited = server.sql("SELECT what FROM _tide_audit WHERE what LIKE 'dump%' ORDER BY id").await;
    assert_eq!(audited, json!([{"what": "dump asked for"}, {"what": "dump removed"}]));
}

#[tokio::test]
async fn json_and_csv_hold_all_tables() {
    let server = Server::start().await;
    server.sql("CREATE TABLE a (x, y); INSERT INTO a VALUES (1, 'one'), (2, NULL); CREATE TABLE b (z)").await;
    let key = ask(&server, json!({"format": "json"})).await;
    completed(&server, &key).await;
    let all = download(&server, &format!("{key}.json")).await;
    assert_eq!(all.json(), json!({"a": [{"x": 1, "y": "one"}, {"x": 2, "y": null}], "b": []}));
    let key = ask(&server, json!({"format": "json", "includeSchema": true})).await;
    completed(&server, &key).await;
    let all = download(&server, &format!("{key}.json")).await.json();
    assert_eq!(all["_tide_schema"], json!(["CREATE TABLE a (x, y)", "CREATE TABLE b (z)"]));
    let key = ask(&server, json!({"format": "sql", "includeSchema": false})).await;
    completed(&server, &key).await;
    assert!(!download(&server, &format!("{key}.sql")).await.text().contains("CREATE"));
    let key = ask(&server, json!({"format": "csv"})).await;
    let url = completed(&server, &key).await["downloadUrl"].take();
    assert!(url.as_str().unwrap().ends_with(&format!("/{key}.zip")), "{url}");
    let zip = download(&server, &format!("{key}.zip")).await;
    assert_eq!((zip.header("content-type"), &zip.body[..2]), (Some("application/zip"), &b"PK"[..]));
    // As StarbaseDB names it.
    assert_eq!(download(&server, &format!("{key}.csv")).await.body, zip.body);
    download(&server, &format!("{key}.sql")).await.is_refused(404, "not_found", "no dump");
}

#[tokio::test]
async fn a_download_that_broke_goes_on_where_it_was() {
    let server = Server::start().await;
    server.sql(&rows(50)).await;
    let key = ask(&server, json!({"format": "sql"})).await;
    completed(&server, &key).await;
    let path = format!("/export/dump/download/{key}.sql");
    let whole = server.send(Request::get(&path)).await;
    let (tag, length) = (whole.header("etag").unwrap().to_owned(), whole.body.len());
    assert_eq!(
        (whole.header("accept-ranges"), whole.header("content-length")),
        (Some("bytes"), Some(&*length.to_string()))
    );
    let part = async |range: &str, if_range: &str| {
        server.send(Request::get(&path).header("Range", range).header("If-Range", if_range)).await
    };
    let rest = part("bytes=10-", &tag).await;
    let told = format!("bytes 10-{}/{length}", length - 1);
    assert_eq!((rest.status, rest.header("content-range"), &rest.body[..]), (206, Some(&*told), &whole.body[10..]));
    let last = part("bytes=-5", "").await;
    assert_eq!((last.status, &last.body[..]), (206, &whole.body[length - 5..]));
    let other = part("bytes=10-", "\"another\"").await;
    assert_eq!((other.status, other.body.len()), (200, length));
    let past = part(&format!("bytes={length}-"), "").await;
    assert_eq!((past.status, past.header("content-range")), (416, Some(&*format!("bytes */{length}"))));
    let head = server.send(Request::new("HEAD", &path)).await;
    assert_eq!(
        (head.status, head.header("content-length"), head.header("etag"), head.body.len()),
        (200, Some(&*length.to_string()), Some(&*tag), 0)
    );
}

#[tokio::test]
async fn a_dump_is_of_one_moment_and_holds_up_nobody() {
    let server = Server::start().await;
    server.sql(&rows(1000)).await;
    server.sql("CREATE TABLE later (id INTEGER PRIMARY KEY)").await;
    let key = ask(&server, json!({"format": "sql", "chunkSize": 1})).await;
    let under_way = until(&server, &key, |status| status["progress"]["processedRows"].as_u64() > Some(0)).await;
    assert_eq!((&under_way["status"], &under_way["progress"]["totalRows"]), (&json!("processing"), &json!(1000)));
    assert!(under_way["progress"]["estimatedCompletion"].is_string(), "{under_way}");
    download(&server, &format!("{key}.sql")).await.is_refused(409, "conflict", "not complete yet");
    // Both tables change together, so that they would not fit together at two moments.
    server.query(json!({"transaction": [{"sql": "DELETE FROM t WHERE id > 500"}, {"sql": "INSERT INTO later SELECT id FROM t"}]})).await.result();
    assert_eq!(status(&server, &key).await["status"], "processing");
    completed(&server, &key).await;
    let dump = made_again(&download(&server, &format!("{key}.sql")).await.body);
    assert_eq!((count(&dump, "SELECT count(*) FROM t"), count(&dump, "SELECT count(*) FROM later")), (1000, 0));
}

#[tokio::test]
async fn what_cannot_be_is_refused_at_once() {
    let server = Server::start().await;
    for (body, words) in [
        (json!({}), "format"),
        (json!({"format": "xml"}), "xml"),
        (json!({"format": "sql", "chunkSize": 0}), "chunkSize"),
        (json!({"format": "sql", "chunkSize": -1}), "-1"),
        (json!({"format": "sql", "chunkSize": 1_000_001}), "chunkSize"),
        (json!({"format": "sql", "chunksize": 1}), "chunksize"),
        (json!({"format": "sql", "callbackUrl": "http://example.org/"}), "https://"),
        (json!({"format": "sql", "callbackUrl": "https://127.0.0.1/"}), "open internet"),
        (json!({"format": "sql", "callbackUrl": "https://169.254.169.254/latest"}), "open internet"),
        (json!({"format": "sql", "callbackUrl": "https://0x7f.1/"}), "open internet"),
        (json!({"format": "sql", "callbackUrl": "https://localhost:8443/"}), "open internet"),
        (json!({"format": "sql", "callbackUrl": "https://[::ffff:10.0.0.1]/"}), "open internet"),
    ] {
        server.send(Request::post("/export/dump", body)).await.is_refused(400, "invalid", words);
    }
    server.send(Request::new("POST", "/export/dump").body("no JSON")).await.is_refused(400, "invalid", "JSON");
    for file in ["nothing", "dump_x.sql", "..%2f..%2fetc%2fpasswd", "test.db"] {
        download(&server, file).await.is_refused(404, "not_found", "no dump");
    }
    server.send(Request::new("DELETE", "/export/dump/dump_x")).await.is_refused(404, "not_found", "no dump");
    assert_eq!(server.sql("SELECT count(*) AS n FROM _tide_dumps").await, json!([{"n": 0}]));
}

#[tokio::test]
async fn dumps_are_bounded_in_number_and_in_time() {
    let server = Server::start_with(&["dumps_running_max=1", "dumps_max=2"]).await;
    server.sql(&rows(3000)).await;
    let long = ask(&server, json!({"format": "sql", "chunkSize": 1})).await;
    until(&server, &long, |status| status["status"] == "processing").await;
    let next = ask(&server, json!({"format": "sql"})).await;
    let third = server.send(Request::post("/export/dump", json!({"format": "sql"}))).await;
    third.is_refused(429, "too_many", "There are 2 dumps");
    assert_eq!(third.header("retry-after"), Some("60"));
    assert_eq!(
        (status(&server, &next).await["status"].take(), status(&server, &long).await["status"].take()),
        (json!("waiting"), json!("processing"))
    );
    // One that is given up makes room for the next.
    server.send(Request::new("DELETE", format!("/export/dump/{long}"))).await.result();
    completed(&server, &next).await;
    assert_eq!(files(&server.home), [format!("{next}.sql")]);

    let server = Server::start_with(&["dump_requests_per_minute_max=2"]).await;
    for _ in 0..2 {
        ask(&server, json!({"format": "sql"})).await;
    }
    server.send(Request::post("/export/dump", json!({"format": "sql"}))).await.is_refused(429, "too_many", "Try again");
}

#[tokio::test]
async fn old_dumps_go_with_their_files() {
    let server = Server::start_with(&["dump_age_max=1"]).await;
    let key = ask(&server, json!({"format": "sql"})).await;
    let path = format!("/export/dump/status/{key}");
    within("an old dump to go", async { while server.send(Request::get(&path)).await.status != 404 {} }).await;
    assert!(files(&server.home).is_empty());
}

#[tokio::test]
async fn the_oldest_dump_makes_room_and_one_that_is_too_large_alone_fails() {
    let server = Server::start_with(&["dumps_bytes_max=200000"]).await;
    server.sql(&rows(3000)).await;
    let first = ask(&server, json!({"format": "sql"})).await;
    let size = completed(&server, &first).await["size"].as_u64().unwrap();
    assert!((100_000..200_000).contains(&size), "{size}");
    let second = ask(&server, json!({"format": "sql"})).await;
    completed(&server, &second).await;
    assert_eq!(files(&server.home), [format!("{second}.sql")]);
    server.sql("INSERT INTO t SELECT id + 10000, a FROM t; INSERT INTO t SELECT id + 20000, a FROM t").await;
    let large = ask(&server, json!({"format": "sql"})).await;
    let failed = until(&server, &large, |status| status["status"] == "failed").await;
    assert!(failed["error"].as_str().unwrap().contains("dumps_bytes_max"), "{failed}");
    assert!(files(&server.home).is_empty());
}
