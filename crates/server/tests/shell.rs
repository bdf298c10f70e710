//! `tidebase sql` and `tidebase doctor` as people and scripts run them: the built program, its output and exit code.
#![allow(clippy::unwrap_used)]

use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::path::Path;
use std::process::{Child, Command, Output, Stdio};

const TOKEN: &str = "a token for tests";

fn tidebase(folder: &Path) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_tidebase"));
    command.current_dir(folder).env_clear().stdin(Stdio::null());
    command
}

fn sql(folder: &Path, arguments: &[&str]) -> Output {
    tidebase(folder).arg("sql").args(arguments).output().unwrap()
}

fn piped(folder: &Path, arguments: &[&str], script: &[u8]) -> Output {
    let mut command = tidebase(folder);
    command.arg("sql").args(arguments).stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = command.spawn().unwrap();
    // A shell that refuses its arguments never reads its input.
    let _ = child.stdin.take().unwrap().write_all(script);
    child.wait_with_output().unwrap()
}

/// Standard output, of a run that must have gone well.
fn good(output: &Output) -> String {
    assert!(output.status.success(), "{output:?}");
    assert!(output.stderr.is_empty(), "{output:?}");
    String::from_utf8(output.stdout.clone()).unwrap()
}

/// Standard error, of a run that must have failed.
fn bad(output: &Output) -> String {
    assert_eq!(output.status.code(), Some(1), "{output:?}");
    String::from_utf8(output.stderr.clone()).unwrap()
}

/// A folder with a database `test.db`.
fn folder(setup: &str) -> tempfile::TempDir {
    let folder = tempfile::tempdir().unwrap();
    rusqlite::Connection::open(folder.path().join("test.db")).unwrap().execute_batch(setup).unwrap();
    folder
}

#[test]
fn explain_live_works_on_a_file_too() {
    let folder = folder("create table t(a integer primary key, b)");
    let told = good(&sql(folder.path(), &["--db", "test.db", "explain live select a, b from t where b = 5"]));
    assert!(told.contains("found by    t: b = a value"), "{told}");
    let refused = bad(&sql(folder.path(), &["--db", "test.db", "explain live delete from t"]));
    assert!(refused.contains("Only a SELECT can be live."), "{refused}");
}

#[test]
fn sql_as_an_argument_is_run_and_printed() {
    let folder = folder("create table t(a integer primary key, b)");
    let db = ["--db", "test.db"];
    let run = |sql_text: &str| sql(folder.path(), &[&db[..], &[sql_text]].concat());
    assert_eq!(good(&run("insert into t values(1, 'x'), (20, null)")), "(2 rows changed)\n");
    assert_eq!(good(&run("select * from t")), " a  b\n──  ────\n 1  x\n20  NULL\n(2 rows)\n");
    assert_eq!(good(&run("create view v as select 1")), "(done)\n");
    assert_eq!(
        bad(&run("select * form t")),
        "tidebase: near \"form\": syntax error\n  select * form t\n           ^\n"
    );
    assert_eq!(bad(&run("insert into t values(1, 'again')")), "tidebase: UNIQUE constraint failed: t.a\n");
    let json = sql(folder.path(), &["--db", "test.db", "--json", "select a, b, x'01' as c from t"]);
    assert_eq!(
        good(&json),
        "{\"a\":1,\"b\":\"x\",\"c\":{\"$blob\":\"AQ==\"}}\n{\"a\":20,\"b\":null,\"c\":{\"$blob\":\"AQ==\"}}\n"
    );
}

#[test]
fn a_missing_file_is_named_and_not_made() {
    let folder = tempfile::tempdir().unwrap();
    for arguments in [&["--db", "nowhere.db", "select 1"][..], &["select 1"]] {
        let words = bad(&sql(folder.path(), arguments));
        assert!(words.contains("There is no database") && words.contains("tidebase serve"), "{words}");
    }
    assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 0);
}

#[test]
fn a_script_stops_at_its_first_mistake_and_names_the_line() {
    let folder = folder("create table t(a)");
    let script = b"-- a script\ninsert into t values(1);\nselect a\n  from t;\n\nselect a,\n  nope from t;\ninsert into t values(2);\n";
    let output = piped(folder.path(), &["--db", "test.db"], script);
    assert_eq!(bad(&output), "tidebase: line 7: no such column: nope\n  nope from t;\n  ^\n");
    assert_eq!(String::from_utf8(output.stdout).unwrap(), "a\n─\n1\n(1 row)\n");
    assert_eq!(good(&piped(folder.path(), &["--db", "test.db", "--json"], b"select count(*) n from t")), "{\"n\":1}\n");
}

#[test]
fn a_script_may_hold_a_transaction_but_must_end_it() {
    let folder = folder("create table t(a)");
    let db = ["--db", "test.db"];
    good(&piped(folder.path(), &db, b"begin; insert into t values(1); insert into t values(2); commit;"));
    assert!(bad(&piped(folder.path(), &db, b"begin; insert into t values(3);")).contains("rolled back"));
    assert!(bad(&piped(folder.path(), &db, b"select 1;\nselect '\xff';")).contains("line 2: the script is not UTF-8"));
    assert_eq!(good(&sql(folder.path(), &["--db", "test.db", "--json", "select count(*) n from t"])), "{\"n\":2}\n");
}

#[test]
fn tables_and_schema_are_listed() {
    let folder = folder(
        "create table notes(id integer primary key, body text); create index by_body on notes(body);
         create table other(a); create view v as select 1 as one; create table _tide_log(a);",
    );
    let run = |script: &str| piped(folder.path(), &["--db", "test.db"], script.as_bytes());
    assert_eq!(
        good(&run(".tables\n")),
        "name   type\n─────  ─────\nnotes  table\nother  table\nv      view\n(3 rows)\n"
    );
    assert_eq!(good(&run(".tables _tide*\n")), "name       type\n─────────  ─────\n_tide_log  table\n(1 row)\n");
    assert_eq!(
        good(&run(".schema NOTES\n")),
        "CREATE TABLE notes(id integer primary key, body text);\nCREATE INDEX by_body on notes(body);\n"
    );
    assert_eq!(
        good(&run(".mode line\nselect 1 as a, 'x' as name;\n.quit\nselect 2;")),
        "   a = 1\nname = x\n(1 row)\n"
    );
    assert!(good(&run(".help")).contains(".timer on|off"));
    for (script, words) in [
        (".schema nowhere", "line 1: There is no table nowhere"),
        ("\n.nonsense", "line 2: There is no command .nonsense"),
        (".mode pie", "There is no mode pie"),
        (".timer", "It is `.timer on` or `.timer off`"),
    ] {
        let told = bad(&run(script));
        assert!(told.contains(words), "{told}");
    }
}

#[test]
fn a_reader_that_goes_away_is_no_error() {
    let folder = folder("");
    let mut child = tidebase(folder.path())
        .args([
            "sql",
            "--db",
            "test.db",
            "with recursive n(i) as (select 1 union all select i + 1 from n) select i from n",
        ])
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let mut line = String::new();
    // Without an end of its own; closing our end is what ends it.
    BufReader::new(child.stdout.take().unwrap()).read_line(&mut line).unwrap();
    assert_eq!(line, "   i\n");
    let mut words = String::new();
    child.stderr.take().unwrap().read_to_string(&mut words).unwrap();
    assert!(child.wait().unwrap().success());
    assert_eq!(words, "");
}

/// A server on a port of its choice, stopped when dropped.
struct Server {
    child: Child,
    url: String,
}

impl Server {
    fn start(folder: &Path) -> Self {
        let port = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
        let address = format!("127.0.0.1:{port}");
        let mut child = tidebase(folder)
            .args(["serve", "--db", "test.db", "--listen", &address])
            .env("TIDEBASE_ADMIN_TOKEN", TOKEN)
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        while std::net::TcpStream::connect(&address).is_err() {
            assert!(child.try_wait().unwrap().is_none(), "the server did not start");
            std::thread::yield_now();
        }
        Self { child, url: format!("http://{address}") }
    }

    fn sql(&self, folder: &Path, arguments: &[&str]) -> Output {
        sql(folder, &[&["--url", &self.url, "--token", TOKEN][..], arguments].concat())
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

#[test]
fn a_running_server_answers_as_a_file_does() {
    let folder = folder("create table t(a integer primary key, b)");
    let server = Server::start(folder.path());
    let run = |arguments: &[&str]| server.sql(folder.path(), arguments);
    assert_eq!(good(&run(&["insert into t values(1, 'x'), (9007199254740993, null)"])), "(2 rows changed)\n");
    let shown = "               a  b\n────────────────  ────\n               1  x\n9007199254740993  NULL\n(2 rows)\n";
    assert_eq!(good(&run(&["select * from t"])), shown);
    assert_eq!(good(&sql(folder.path(), &["--db", "test.db", "select * from t"])), shown);
    // One entry is one request, and so one transaction.
    assert_eq!(bad(&run(&["delete from t; select * from nowhere"])), "tidebase: no such table: nowhere\n");
    assert_eq!(
        good(&run(&["--json", "begin; delete from t where a > 1; select count(*) n from t; commit"])),
        "{\"n\":1}\n"
    );
    assert!(bad(&run(&["begin; delete from t"])).contains("no COMMIT"));
    assert_eq!(good(&run(&["vacuum"])), "(done)\n");
    // Beside the server, on the file itself.
    good(&sql(folder.path(), &["--db", "test.db", "insert into t values(2, 'outside')"]));
    assert_eq!(good(&run(&["--json", "select b from t where a = 2"])), "{\"b\":\"outside\"}\n");
    let script = b".tables\nbegin;\ninsert into t values(5, x'00');\ninsert into t values(5, 'twice');\ncommit;\n";
    let output = piped(folder.path(), &["--url", &server.url, "--token", TOKEN], script);
    assert_eq!(bad(&output), "tidebase: line 4: UNIQUE constraint failed: t.a\n");
    assert_eq!(String::from_utf8(output.stdout).unwrap(), "name  type\n────  ─────\nt     table\n(1 row)\n");
    let wrong = bad(&sql(folder.path(), &["--url", &server.url, "select 1"]));
    assert!(wrong.contains("--token"), "{wrong}");
    let doctor = tidebase(folder.path()).args(["doctor", "--db", "test.db"]).output().unwrap();
    let report = good(&doctor);
    assert!(report.contains("ok       server        a Tidebase server holds the database now"), "{report}");
}

#[test]
fn tls_is_refused_in_plain_words() {
    let folder = tempfile::tempdir().unwrap();
    let words = bad(&sql(folder.path(), &["--url", "https://example.org", "select 1"]));
    assert!(words.contains("plain HTTP, not TLS"), "{words}");
}

#[test]
fn the_doctor_fails_when_something_is_wrong() {
    let folder = folder("create table t(a integer primary key)");
    let report = good(&tidebase(folder.path()).args(["doctor", "--db", "test.db"]).output().unwrap());
    assert!(report.lines().all(|line| !line.starts_with("problem")), "{report}");
    let output = tidebase(folder.path()).args(["doctor", "--db", "nowhere.db"]).output().unwrap();
    assert_eq!(bad(&output), "tidebase: 1 problem was found.\n");
    assert!(
        String::from_utf8(output.stdout).unwrap().contains("problem  file          There is no database nowhere.db")
    );
}
