//! `tidebase export` and `tidebase import` as people and scripts run them. That what comes back is the same is the engine's test, and the
//! trial `roundtrip`.
#![allow(clippy::unwrap_used)]

#[path = "server/mod.rs"]
#[allow(dead_code)]
mod server;

use server::{Home, TOKEN};
use std::io::Write as _;
use std::path::Path;
use std::process::{Child, Command, Output, Stdio};
use std::time::{Duration, Instant};
use tidebase_engine::export::Squeeze;

fn tidebase(folder: &Path, arguments: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_tidebase"));
    command.current_dir(folder).env_clear().env("TIDEBASE_ADMIN_TOKEN", TOKEN).args(arguments);
    command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
    command
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8(bytes.to_vec()).unwrap()
}

/// Waits until it is so; the process must be at work meanwhile.
fn until(child: &mut Child, is_so: impl Fn() -> bool) {
    let began = Instant::now();
    while !is_so() {
        assert!(child.try_wait().unwrap().is_none() && began.elapsed() < Duration::from_secs(30));
        std::thread::yield_now();
    }
}

fn interrupted(child: Child) -> Output {
    assert!(Command::new("kill").args(["-INT", &child.id().to_string()]).status().unwrap().success());
    child.wait_with_output().unwrap()
}

fn names(folder: &Path) -> Vec<String> {
    let names = std::fs::read_dir(folder).unwrap();
    names.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect()
}

const ENDLESS: &str = "WITH RECURSIVE c(x) AS (SELECT 1 UNION ALL SELECT x + 1 FROM c) SELECT x FROM c WHERE x < 0";

#[tokio::test(flavor = "multi_thread")]
async fn failures_are_counted_also_those_that_are_not_told() {
    let server = Home::new().start().await;
    server.sql("CREATE TABLE t (a INTEGER PRIMARY KEY)").await;
    let folder = tempfile::tempdir().unwrap();
    let rows = folder.path().join("t.csv");
    std::fs::write(&rows, format!("a\n1\n{}", "1\n".repeat(150))).unwrap();
    std::fs::write(folder.path().join("t.sql"), "INSERT INTO t VALUES(2);\n".repeat(151)).unwrap();
    let url = format!("http://{}", server.address);
    rusqlite::Connection::open(folder.path().join("t.db")).unwrap().execute_batch("CREATE TABLE t (a UNIQUE)").unwrap();
    for arguments in [
        &["import", "t.csv", "--table", "t", "--partial", "--url", &url][..],
        &["import", "t.sql", "--partial", "--url", &url],
        &["import", "t.csv", "--table", "t", "--partial", "--db", "t.db"],
    ] {
        let output = tidebase(folder.path(), arguments).output().unwrap();
        let (told, failed) = (text(&output.stdout), text(&output.stderr));
        assert_eq!(failed, "tidebase: 150 could not be imported.\n", "{arguments:?}: {told}");
        assert!(told.contains("and 130 more"), "{arguments:?}: {told}");
    }
}

#[test]
fn an_export_that_is_interrupted_leaves_nothing() {
    let folder = tempfile::tempdir().unwrap();
    let made = format!("CREATE TABLE t (a); CREATE VIEW endless AS {ENDLESS}");
    rusqlite::Connection::open(folder.path().join("t.db")).unwrap().execute_batch(&made).unwrap();
    let arguments = ["export", "--db", "t.db", "--table", "endless", "--to", "out.csv"];
    let mut child = tidebase(folder.path(), &arguments).spawn().unwrap();
    until(&mut child, || names(folder.path()).iter().any(|name| name.starts_with("out.csv-partial-")));
    let output = interrupted(child);
    assert_eq!(
        (output.status.code(), text(&output.stderr)),
        (Some(1), "tidebase: Interrupted. Nothing was written.\n".into())
    );
    assert!(!names(folder.path()).iter().any(|name| name.starts_with("out.csv")));
}

#[test]
fn an_export_that_finds_no_room_names_its_own_file_and_leaves_nothing() {
    let folder = tempfile::tempdir().unwrap();
    let made = "CREATE TABLE t (a); INSERT INTO t VALUES (hex(zeroblob(50000)))";
    rusqlite::Connection::open(folder.path().join("t.db")).unwrap().execute_batch(made).unwrap();
    let mut shell = Command::new("sh");
    // A file may have some KiB. Without the trap a longer one would end the process.
    shell.arg("-c").arg("ulimit -f 16; trap '' XFSZ; exec \"$0\" \"$@\"").arg(env!("CARGO_BIN_EXE_tidebase"));
    let output = shell
        .current_dir(folder.path())
        .env_clear()
        .args(["export", "--db", "t.db", "--to", "out.sql"])
        .stdin(Stdio::null())
        .output()
        .unwrap();
    let said = text(&output.stderr);
    assert!(said.starts_with("tidebase: out.sql cannot be written: "), "{said}");
    assert!(!names(folder.path()).iter().any(|name| name.starts_with("out.sql")));
}

#[test]
fn the_delimiter_is_what_was_said_or_else_as_the_file_is_called() {
    let folder = tempfile::tempdir().unwrap();
    let squeezed = |text: &str, squeeze: Squeeze| {
        let mut out = squeeze.onto(Vec::new()).unwrap();
        out.write_all(text.as_bytes()).unwrap();
        out.finish().unwrap()
    };
    let (tabs, commas) = ("a\tb\n1,5\t2\n", "a,b\n1\t5,2\n");
    for (name, text, said, a) in [
        ("small.tsv", tabs, None, "1,5"),
        ("large.TSV", tabs, None, "1,5"),
        ("t.tsv.gz", tabs, None, "1,5"),
        ("t.tsv.zst", tabs, None, "1,5"),
        ("said.tsv", commas, Some(","), "1\t5"),
        ("t.csv", commas, None, "1\t5"),
        ("tabs.csv", tabs, Some("tab"), "1,5"),
    ] {
        std::fs::write(folder.path().join(name), squeezed(text, Squeeze::of_file(name))).unwrap();
        let database = format!("{name}.db");
        let mut arguments = vec!["import", name, "--table", "t", "--create", "--db", &database];
        arguments.extend(said.map(|said| ["--delimiter", said]).into_iter().flatten());
        let output = tidebase(folder.path(), &arguments).output().unwrap();
        assert!(output.status.success(), "{name}: {output:?}");
        let there = rusqlite::Connection::open(folder.path().join(&database)).unwrap();
        let row: (String, String) = there
            .query_row("SELECT CAST(a AS TEXT), CAST(b AS TEXT) FROM t", [], |row| Ok((row.get(0)?, row.get(1)?)))
            .unwrap();
        assert_eq!(row, (a.to_owned(), "2".to_owned()), "{name}");
    }
}

#[test]
fn an_import_that_is_interrupted_is_undone() {
    let folder = tempfile::tempdir().unwrap();
    let script = format!("CREATE TABLE t (a);\nINSERT INTO t VALUES(1);\nINSERT INTO t {ENDLESS};\n");
    std::fs::write(folder.path().join("in.sql"), script).unwrap();
    let mut child = tidebase(folder.path(), &["import", "--db", "t.db", "in.sql"]).spawn().unwrap();
    until(&mut child, || folder.path().join("t.db-tide-lock").exists());
    let output = interrupted(child);
    assert_eq!(text(&output.stderr), "tidebase: Interrupted. Nothing of the import was kept.\n");
    let there = rusqlite::Connection::open(folder.path().join("t.db")).unwrap();
    assert!(there.prepare("SELECT * FROM t").is_err());
    // The next may have it at once.
    std::fs::write(folder.path().join("in.sql"), "CREATE TABLE t (a);").unwrap();
    let output = tidebase(folder.path(), &["import", "--db", "t.db", "in.sql"]).output().unwrap();
    assert!(output.status.success(), "{output:?}");
}
