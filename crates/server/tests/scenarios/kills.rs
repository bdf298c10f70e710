//! `kill -9` in the middle of what takes long: an import, and a restore that takes the database's place. Afterwards there is one state or
//! the other, never some of each, and the backups lead to both.
//!
//! Of dumps: `dumps_in_trouble`. Of migrations: the tests of `tidebase migrate`. Of writes: the crash trial.

use super::backups::{kept, restored, said, tidebase};
use crate::server::http::Request;
use crate::server::{Home, Server, TOKEN, within};
use serde_json::{Value as Json, json};
use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::SystemTime;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio::task::JoinHandle;

/// When the server is killed, behind what it was asked.
#[derive(Clone, Copy, Debug)]
enum Moment {
    /// This file is there.
    File(&'static str),
    /// Nobody else may write.
    Locked,
    /// The WAL was seen to change so often.
    Wal(usize),
    Answered,
}

/// Asks, whether or not there is an answer.
fn ask(address: SocketAddr, path: &'static str, body: String) -> JoinHandle<()> {
    tokio::spawn(async move {
        let mut stream = TcpStream::connect(address).await.unwrap();
        let head = format!(
            "POST {path} HTTP/1.1\r\nHost: localhost\r\nAuthorization: Bearer {TOKEN}\r\nContent-Type: application/json\r\n\
             Connection: close\r\nContent-Length: {}\r\n\r\n",
            body.len()
        );
        let _ = stream.write_all(&[head.as_bytes(), body.as_bytes()].concat()).await;
        let _ = stream.read_to_end(&mut Vec::new()).await;
    })
}

/// Waits for the moment, or for the answer if that is sooner; then kills and starts anew.
async fn killed_at(server: Server, moment: Moment, asked: JoinHandle<()>) -> Server {
    let home = server.home.clone();
    let wal = || -> Option<(u64, SystemTime)> {
        let about = std::fs::metadata(home.db.with_extension("db-wal")).ok()?;
        Some((about.len(), about.modified().ok()?))
    };
    let (mut seen, mut changes) = (wal(), 0);
    within("the moment", async {
        while !asked.is_finished() {
            let now = wal();
            changes += usize::from(now != seen);
            seen = now;
            let is_time = match moment {
                Moment::File(name) => home.folder.path().join(name).exists(),
                Moment::Locked => is_locked(&home),
                Moment::Wal(wanted) => changes >= wanted,
                Moment::Answered => false,
            };
            if is_time {
                break;
            }
            tokio::task::yield_now().await;
        }
    })
    .await;
    let server = server.crash_and_restart().await;
    let _ = asked.await;
    server
}

fn is_locked(home: &Home) -> bool {
    let outside = home.outside();
    outside.busy_timeout(std::time::Duration::ZERO).unwrap();
    outside.execute_batch("BEGIN IMMEDIATE; ROLLBACK").is_err()
}

fn is_sound(home: &Home) {
    let verdict: String = home.outside().query_row("PRAGMA integrity_check", [], |row| row.get(0)).unwrap();
    assert_eq!(verdict, "ok");
}

const ROWS: i64 = 40_000;

fn dump() -> String {
    let text = "long ".repeat(60);
    let rows: String = (1..=ROWS).map(|id| format!("INSERT INTO big VALUES({id},'{id} {text}');\n")).collect();
    format!("BEGIN;\nCREATE TABLE big (id INTEGER PRIMARY KEY, text TEXT);\n{rows}COMMIT;\n")
}

#[tokio::test]
async fn an_import_under_which_the_server_is_killed_is_there_as_a_whole_or_not_at_all() {
    let dump = dump();
    for moment in [Moment::Locked, Moment::Wal(1), Moment::Wal(3), Moment::Wal(8), Moment::Answered] {
        let server = Server::start().await;
        server.sql("CREATE TABLE before (n); INSERT INTO before VALUES (1)").await;
        let asked = ask(server.address, "/import/dump", dump.clone());
        let server = killed_at(server, moment, asked).await;
        is_sound(&server.home);
        let names = "SELECT count(*) AS n FROM sqlite_schema WHERE name = 'big'";
        let is_there = server.sql(names).await[0]["n"] == 1;
        if matches!(moment, Moment::Answered) {
            assert!(is_there, "what was acknowledged is there");
        }
        let mut socket = server.live().await;
        if !is_there {
            // What was begun is no hindrance to another try.
            let again = server.send(Request::new("POST", "/import/dump").body(dump.clone())).await;
            assert_eq!(again.status, 200, "{moment:?}: {}", again.text());
        }
        let count = "SELECT count(*) AS n, sum(id) AS sum FROM big WHERE text LIKE id || ' long %'";
        let expected = json!([{ "n": ROWS, "sum": ROWS * (ROWS + 1) / 2 }]);
        assert_eq!(server.sql(count).await, expected, "{moment:?}");
        let rows = socket.subscribe("big", count).await;
        assert!(rows.to_string().contains(&(ROWS * (ROWS + 1) / 2).to_string()), "{moment:?}: {rows}");
        assert_eq!(server.sql("SELECT n FROM before").await, json!([{ "n": 1 }]));
        kept(&server).await;
    }
}

const FIRST: i64 = 6000;
const SECOND: i64 = 7000;

/// How many rows of which state there are.
async fn states(server: &Server) -> Json {
    server.sql("SELECT state, count(*) AS n FROM t GROUP BY state").await
}

#[tokio::test]
async fn a_restore_under_which_the_server_is_killed_leaves_one_state_or_the_other() {
    let server = Server::start().await;
    server.sql("CREATE TABLE t (id INTEGER PRIMARY KEY, state INTEGER, pad BLOB)").await;
    let rows = |state: i64, rows: i64| {
        format!(
            "INSERT OR REPLACE INTO t WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < {rows})
             SELECT i, {state}, randomblob(1500) FROM n"
        )
    };
    server.sql(&rows(1, FIRST)).await;
    let first = kept(&server).await;
    server.sql(&rows(2, SECOND)).await;
    let second = kept(&server).await;
    let (is_first, is_second) = (json!([{ "state": 1, "n": FIRST }]), json!([{ "state": 2, "n": SECOND }]));
    let mut server = server;
    let mut seen = Vec::new();
    for moment in [
        Moment::File("test.db-restoring-partial"),
        Moment::File("test.db-restoring"),
        Moment::Wal(1),
        Moment::Wal(2),
        Moment::Wal(4),
        Moment::Answered,
    ] {
        let asked = ask(server.address, "/restore", json!({ "revision": first }).to_string());
        server = killed_at(server, moment, asked).await;
        is_sound(&server.home);
        let now = states(&server).await;
        assert!(now == is_first || now == is_second, "{moment:?}: {now}");
        let is_done = now == is_first;
        seen.push(is_done);
        kept(&server).await;
        let home = &server.home;
        let left: Vec<PathBuf> =
            std::fs::read_dir(home.folder.path()).unwrap().map(|entry| entry.unwrap().path()).collect();
        assert!(left.iter().all(|path| !path.to_string_lossy().contains("-restoring")), "{moment:?}: {left:?}");
        said(&tidebase(home, &[], &["backup", "verify", "--db", "test.db"]));
        for (revision, state, rows) in [(first, 1, FIRST), (second, 2, SECOND)] {
            let revision = revision.to_string();
            said(&tidebase(home, &[], &["restore", "--db", "test.db", "--revision", &revision, "--to", "then.db"]));
            let then = home.folder.path().join("then.db");
            let count = format!("SELECT count(*) FROM t WHERE state = {state}");
            assert_eq!(restored(&then.display().to_string(), &count), rows, "{moment:?}");
            std::fs::remove_file(then).unwrap();
        }
        if is_done {
            server.send(Request::post("/restore", json!({ "revision": second }))).await.result();
            assert_eq!(states(&server).await, is_second);
        }
    }
    assert!(seen.contains(&false) && seen.last() == Some(&true), "each came about: {seen:?}");
}
