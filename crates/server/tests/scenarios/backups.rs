//! Going back to a moment, over HTTP and by the command, with the real server. That what is restored is what was there is a test of the
//! engine, and a trial.

use crate::server::http::Request;
use crate::server::{Home, Server, TOKEN, within};
use serde_json::{Value as Json, json};
use std::process::{Command, Output};

/// A command of the program in the home's folder.
pub fn tidebase(home: &Home, environment: &[(&'static str, String)], arguments: &[&str]) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_tidebase"));
    command.args(arguments).env_clear().env("TIDEBASE_ADMIN_TOKEN", TOKEN).current_dir(home.folder.path());
    command.envs(environment.iter().cloned()).output().unwrap()
}

/// What one question to a file is answered.
pub fn restored(path: &str, sql: &str) -> i64 {
    rusqlite::Connection::open(path).unwrap().query_row(sql, [], |row| row.get(0)).unwrap()
}

pub fn said(output: &Output) -> String {
    assert!(output.status.success(), "{output:?}");
    String::from_utf8_lossy(&output.stdout).into_owned()
}

pub fn complained(output: &Output) -> String {
    assert_eq!(output.status.code(), Some(1), "{output:?}");
    String::from_utf8_lossy(&output.stderr).into_owned()
}

pub async fn read(server: &Server, path: &str) -> Json {
    server.send(Request::get(path)).await.result()
}

/// Until everything committed so far is kept; its revision.
pub async fn kept(server: &Server) -> i64 {
    let revision = read(server, "/status/database").await["revision"].as_i64().unwrap();
    within("the backups", async {
        while read(server, "/backups").await["newest"]["revision"].as_i64() < Some(revision) {
            tokio::task::yield_now().await;
        }
    })
    .await;
    revision
}

async fn restore(server: &Server, body: Json) -> crate::server::http::Answer {
    server.send(Request::post("/restore", body)).await
}

#[tokio::test]
async fn a_server_goes_back_and_what_lives_follows() {
    let server = Server::start().await;
    server.sql("CREATE TABLE notes (id INTEGER PRIMARY KEY, text TEXT); INSERT INTO notes VALUES (1, 'kept')").await;
    server
        .send(Request::post("/policies", json!({"name": "p", "table": "notes", "action": "select", "using": "true"})))
        .await;
    let token = server.send(Request::post("/auth/tokens", json!({"name": "old", "role": "client"}))).await.result();
    let good = kept(&server).await;
    let metrics = server.send(Request::get("/metrics")).await.text();
    let told = format!("\ntidebase_backups_revision {good}\n");
    assert!(metrics.contains("\ntidebase_backups_ok 1\n") && metrics.contains(&told), "{metrics}");
    let mut socket = server.live().await;
    socket.subscribe(1, "SELECT id, text FROM notes").await;
    // What must not have happened; and somebody is shut out.
    server.sql("DELETE FROM notes").await;
    server.send(Request::new("DELETE", "/policies/p")).await;
    let id = token["id"].as_str().unwrap();
    assert_eq!(server.send(Request::new("DELETE", format!("/auth/tokens/{id}"))).await.status, 200);
    let bad = kept(&server).await;
    let answer = restore(&server, json!({ "revision": good })).await;
    assert_eq!(answer.header("tidebase-revision"), Some((bad + 1).to_string().as_str()));
    let answer = answer.result();
    assert_eq!(answer["restored"]["revision"], good);
    assert_eq!(answer["undo"]["revision"], bad);
    assert_eq!(answer["revision"], bad + 1);
    assert_eq!(server.sql("SELECT text FROM notes").await, json!([{"text": "kept"}]));
    socket.until(|frame| frame.to_string().contains("kept")).await;
    // Policies went back with the data; the token that was revoked did not come back.
    assert_eq!(read(&server, "/policies/p").await["table"], "notes");
    let asked = Request::get("/rest/notes").without_token();
    let asked = asked.header("authorization", format!("Bearer {}", token["token"].as_str().unwrap()));
    assert_eq!(server.send(asked).await.status, 401);
    // And forth again.
    restore(&server, json!({ "revision": bad })).await.result();
    assert_eq!(server.sql("SELECT text FROM notes").await, json!([]));
}

#[tokio::test]
async fn what_cannot_be_gone_back_to_is_told() {
    let server = Server::start().await;
    kept(&server).await;
    restore(&server, json!({})).await.is_refused(
        400,
        "invalid",
        "A restore wants \"at\", a time, or \"revision\", and not both.",
    );
    let both = json!({"at": "1m", "revision": 1});
    restore(&server, both).await.is_refused(
        400,
        "invalid",
        "A restore wants \"at\", a time, or \"revision\", and not both.",
    );
    let number = restore(&server, json!({"at": 1_000_000})).await;
    assert_eq!((number.status, number.text().contains("1970-01-01T00:16:40")), (404, true), "{}", number.text());
    let number = restore(&server, json!({"at": 1.5})).await;
    assert_eq!((number.status, number.text().contains("milliseconds since 1970")), (400, true), "{}", number.text());
    let future = restore(&server, json!({"at": "2999-01-01T00:00:00Z"})).await;
    assert_eq!((future.status, future.text().contains("yet to come")), (400, true), "{}", future.text());
    let past = restore(&server, json!({"at": "2001-01-01T00:00:00Z"})).await;
    assert_eq!((past.status, past.text().contains("2001-01-01")), (404, true), "{}", past.text());
    let unknown = restore(&server, json!({"revision": 1_000_000})).await;
    assert_eq!((unknown.status, unknown.text().contains("in no backup")), (400, true), "{}", unknown.text());
    let stranger = Request::post("/restore", json!({"revision": 1})).without_token();
    assert_eq!(server.send(stranger).await.status, 401);
}

#[tokio::test]
async fn without_backups_that_is_said() {
    let home = Home::new();
    let mut command = home.command();
    command.args(["--backups", "off"]);
    let server = Server::run(&home, command).await;
    assert_eq!(server.send(Request::get("/backups")).await.status, 501);
    let refused = restore(&server, json!({"revision": 1})).await;
    assert_eq!((refused.status, refused.text().contains("--backups FOLDER")), (501, true), "{}", refused.text());
    assert!(!home.folder.path().join("test.db-backups").exists());
}

#[tokio::test]
async fn the_commands_look_into_the_folder_while_it_is_written() {
    let home = Home::new();
    let server = home.start().await;
    server.sql("CREATE TABLE notes (text TEXT); INSERT INTO notes VALUES ('one')").await;
    let one = kept(&server).await.to_string();
    server.sql("INSERT INTO notes VALUES ('two')").await;
    kept(&server).await;
    let status = said(&tidebase(&home, &[], &["backup", "status", "--db", "test.db"]));
    assert!(status.contains("test.db-backups\nfrom 20") && status.contains("snapshots "), "{status}");
    let list = said(&tidebase(&home, &[], &["backup", "list", "--db", "test.db"]));
    assert!(list.lines().count() >= 3 && list.contains("ltx/9/0000000000000001-0000000000000001.ltx"), "{list}");
    let json = said(&tidebase(&home, &[], &["backup", "verify", "--db", "test.db", "--json"]));
    assert_eq!(serde_json::from_str::<Json>(&json).unwrap()["damaged"], json!([]));
    said(&tidebase(&home, &[], &["restore", "--db", "test.db", "--revision", &one, "--to", "one.db"]));
    said(&tidebase(&home, &[], &["restore", "--db", "test.db", "--to", "two.db"]));
    let texts = |file: &str| {
        let connection = rusqlite::Connection::open(home.folder.path().join(file)).unwrap();
        connection.query_row("SELECT group_concat(text) FROM notes", [], |row| row.get::<_, String>(0)).unwrap()
    };
    assert_eq!((texts("one.db"), texts("two.db")), ("one".into(), "one,two".into()));
    let again = complained(&tidebase(&home, &[], &["restore", "--db", "test.db", "--to", "two.db"]));
    assert!(again.contains("never overwrites"), "{again}");
    let url = format!("http://{}", server.address);
    let told = said(&tidebase(&home, &[], &["restore", "--revision", &one, "--url", &url]));
    assert!(told.contains("To undo: tidebase restore --url"), "{told}");
    assert_eq!(server.sql("SELECT text FROM notes").await, json!([{"text": "one"}]));
    // A file that was tampered with is named, and the command fails. The server would put it aside, in its time.
    server.stop().await;
    let files = home.folder.path().join("test.db-backups/ltx/9");
    let snapshot = std::fs::read_dir(files).unwrap().next().unwrap().unwrap().path();
    let mut bytes = std::fs::read(&snapshot).unwrap();
    let last = bytes.len() - 200;
    bytes[last] ^= 1;
    std::fs::write(&snapshot, bytes).unwrap();
    let damaged = complained(&tidebase(&home, &[], &["backup", "verify", "--db", "test.db"]));
    assert!(damaged.contains("One file is damaged:\n  ltx/9/"), "{damaged}");
    // Without a word the settings say where.
    let elsewhere = [("TIDEBASE_BACKUPS", "elsewhere".to_owned())];
    let unknown = complained(&tidebase(&home, &elsewhere, &["backup", "status", "--db", "test.db"]));
    assert!(unknown.contains("There are no backups in elsewhere."), "{unknown}");
    let nowhere = complained(&tidebase(&home, &[], &["backup", "status", "--from", "nowhere"]));
    assert!(nowhere.contains("There are no backups in nowhere."), "{nowhere}");
}

#[tokio::test]
async fn a_kill_loses_no_backup_of_what_was_acknowledged() {
    let home = Home::new();
    let server = home.start().await;
    server.sql("CREATE TABLE t (n INTEGER PRIMARY KEY)").await;
    kept(&server).await;
    for number in 0..20 {
        server.sql(&format!("INSERT INTO t VALUES ({number})")).await;
    }
    let last = read(&server, "/status/database").await["revision"].as_i64().unwrap();
    let server = server.crash_and_restart().await;
    kept(&server).await;
    let files = read(&server, "/backups").await;
    let snapshots =
        files["levels"].as_array().unwrap().iter().find(|level| level["level"] == "snapshots").unwrap().clone();
    assert_eq!(snapshots["files"], 1, "it goes on where it was: {files}");
    server.sql("DELETE FROM t").await;
    kept(&server).await;
    restore(&server, json!({ "revision": last })).await.result();
    assert_eq!(server.sql("SELECT count(*) AS n FROM t").await, json!([{"n": 20}]));
}
