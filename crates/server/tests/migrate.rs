//! `tidebase migrate` as people and scripts run it: the built program on files and on a running server; and the guide, whose examples are
//! run as they stand there.
#![allow(clippy::unwrap_used)]

#[path = "server/mod.rs"]
#[allow(dead_code)]
mod server;

use server::{Home, PATIENCE, Process, Server, TOKEN};
use std::path::Path;
use std::process::{Command, Output, Stdio};
use std::time::Instant;

fn tidebase(folder: &Path) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_tidebase"));
    command.current_dir(folder).env_clear().env("TIDEBASE_ADMIN_TOKEN", TOKEN).stdin(Stdio::null());
    command
}

fn run(folder: &Path, line: &str) -> Output {
    tidebase(folder).arg("migrate").args(line.split(' ')).output().unwrap()
}

fn good(folder: &Path, line: &str) -> String {
    let output = run(folder, line);
    assert!(output.status.success() && output.stderr.is_empty(), "{line}: {output:?}");
    String::from_utf8(output.stdout).unwrap()
}

fn bad(folder: &Path, line: &str) -> String {
    let output = run(folder, line);
    assert_eq!(output.status.code(), Some(1), "{line}: {output:?}");
    String::from_utf8(output.stderr).unwrap()
}

/// A folder with migrations, and the database that they are for.
struct Place {
    folder: tempfile::TempDir,
}

impl Place {
    fn new(files: &[(&str, &str)]) -> Self {
        let place = Self { folder: tempfile::tempdir().unwrap() };
        std::fs::create_dir(place.path().join("migrations")).unwrap();
        files.iter().for_each(|(name, text)| place.write(name, text));
        place
    }

    fn path(&self) -> &Path {
        self.folder.path()
    }

    fn write(&self, name: &str, text: impl AsRef<[u8]>) {
        std::fs::write(self.path().join("migrations").join(name), text).unwrap();
    }

    fn read(&self, name: &str) -> String {
        std::fs::read_to_string(self.path().join("migrations").join(name)).unwrap()
    }

    fn remove(&self, name: &str) {
        std::fs::remove_file(self.path().join("migrations").join(name)).unwrap();
    }

    fn sql(&self, sql: &str) -> String {
        let connection = rusqlite::Connection::open(self.path().join("test.db")).unwrap();
        connection.busy_timeout(PATIENCE).unwrap();
        connection.query_row(sql, [], |row| row.get::<_, rusqlite::types::Value>(0)).map_or_else(
            |error| error.to_string(),
            |value| match value {
                rusqlite::types::Value::Integer(number) => number.to_string(),
                rusqlite::types::Value::Text(text) => text,
                other => format!("{other:?}"),
            },
        )
    }

    fn change(&self, sql: &str) {
        rusqlite::Connection::open(self.path().join("test.db")).unwrap().execute_batch(sql).unwrap();
    }
}

const BOAT: (&str, &str) = ("0001_boat.sql", "CREATE TABLE boat (name TEXT);\n-- down\nDROP TABLE boat;\n");
const LENGTH: (&str, &str) =
    ("0002_length.sql", "ALTER TABLE boat ADD COLUMN length REAL;\n-- down\nALTER TABLE boat DROP COLUMN length;\n");

#[test]
fn migrations_are_applied_undone_and_told() {
    let place = Place::new(&[BOAT, LENGTH]);
    let told = good(place.path(), "up --db test.db --dry-run");
    assert!(told.ends_with("0002_length.sql  applied, 1 statement\nDry run: nothing was kept.\n"), "{told}");
    assert_eq!(good(place.path(), "up --db test.db --to 1"), "0001_boat.sql  applied, 1 statement\n");
    let status = good(place.path(), "status --db test.db");
    let lines: Vec<Vec<&str>> = status.lines().map(|line| line.split_whitespace().collect()).collect();
    assert_eq!(lines[1][..3], ["0001", "boat", "applied"]);
    assert_eq!(lines[2], ["0002", "length", "pending"]);
    assert_eq!(good(place.path(), "up --db test.db"), "0002_length.sql  applied, 1 statement\n");
    assert_eq!(good(place.path(), "up --db test.db"), "Nothing to apply.\n");
    assert_eq!(place.sql("SELECT group_concat(name) FROM pragma_table_info('boat')"), "name,length");
    assert_eq!(good(place.path(), "down --db test.db"), "0002_length.sql  undone, 1 statement\n");
    place.remove("0001_boat.sql");
    assert_eq!(good(place.path(), "down --db test.db --to 0"), "0001_boat.sql  undone, 1 statement\n");
    assert_eq!(good(place.path(), "down --db test.db"), "Nothing to undo.\n");
    assert!(place.sql("SELECT * FROM boat").contains("no such table"));
    let told: serde_json::Value = serde_json::from_str(&good(place.path(), "status --db test.db --json")).unwrap();
    assert_eq!(told[0]["state"], "pending");
}

#[test]
fn files_that_were_edited_or_are_gone_are_told_with_exit_code_1() {
    let place = Place::new(&[BOAT, LENGTH, ("0004_last.sql", "SELECT 1;")]);
    good(place.path(), "up --db test.db");
    place.write("0002_length.sql", "ALTER TABLE boat ADD COLUMN length INTEGER;");
    place.remove("0001_boat.sql");
    place.write("0003_late.sql", "SELECT 3;");
    let output = run(place.path(), "status --db test.db");
    let told = String::from_utf8(output.stdout).unwrap();
    let words = String::from_utf8(output.stderr).unwrap();
    assert_eq!(output.status.code(), Some(1));
    assert!(told.contains("file missing") && told.contains("changed since") && told.contains("too late"), "{told}");
    assert!(
        words.contains("0001_boat.sql (file missing), 0002_length.sql (changed since), 0003_late.sql (too late)"),
        "{words}"
    );
    assert!(bad(place.path(), "up --db test.db").contains("0002_length.sql was changed after it was applied"));
    assert!(bad(place.path(), "diff more --db test.db").contains("0001_boat.sql stands as \"file missing\""));
    place.write("0002_length.sql", LENGTH.1.replace('\n', "\r\n"));
    assert!(
        bad(place.path(), "up --db test.db").contains("0003_late.sql comes too late: 0004_last.sql is applied already")
    );
}

#[test]
fn a_file_that_cannot_be_a_migration_is_named_and_nothing_is_done() {
    let long = format!("SELECT '{}';", "x".repeat(9 << 20));
    for (name, text, words) in [
        ("second.sql", &b"SELECT 1;"[..], "second.sql: a migration is called like 0001_first_tables.sql"),
        ("0001_again.sql", b"SELECT 1;", "0001_again.sql and 0001_boat.sql have the same number"),
        ("0002_x.SQL", b"SELECT 1;", "0002_x.SQL: the name of a migration ends with .sql, in small letters"),
        ("0002_x.sql", b"", "0002_x.sql: there is no statement in it"),
        ("0002_x.sql", b"-- nothing\n", "0002_x.sql: there is no statement in it"),
        ("0002_x.sql", b"SELECT 1;\nSELECT '\xe4';", "0002_x.sql, line 2: the file is not UTF-8"),
        ("0002_x.sql", b"SELECT 1;\r\nBEGIN;\r\n", "0002_x.sql, line 2, \"BEGIN\": A migration is one transaction"),
        ("0002_x.sql", b"\xef\xbb\xbfCOMMIT;", "0002_x.sql, line 1, \"COMMIT\""),
        ("0002_x.sql", b"ATTACH 'other.db' AS o;", "ATTACH and DETACH are not available"),
        ("0002_x.sql", b"SELECT 1; PRAGMA foreign_keys = OFF;", "Of foreign_keys a migration can say one thing"),
        ("0002_x.sql", b"SELECT 1;\n-- down\n\nVACUUM;", "0002_x.sql, line 4, \"VACUUM\""),
        ("0002_x.sql", long.as_bytes(), "0002_x.sql: a migration may have 8388608 bytes"),
    ] {
        let place = Place::new(&[BOAT]);
        place.write(name, text);
        let told = bad(place.path(), "up --db test.db");
        assert!(told.contains(words), "{told}");
        assert!(!place.path().join("test.db").exists(), "{name}");
    }
    // A byte order mark and a gap are fine, and so is what is no migration at all.
    let place = Place::new(&[BOAT, ("README.md", "about"), (".#0001_boat.sql", "of an editor")]);
    place.write("0009_x.sql", "\u{feff}INSERT INTO boat VALUES ('Ada');\r\n");
    assert_eq!(good(place.path(), "up --db test.db").lines().count(), 2);
    let nowhere = tempfile::tempdir().unwrap();
    assert!(bad(nowhere.path(), "up --db test.db").contains("There is no folder migrations"));
    assert!(bad(place.path(), "up --db test.db --to 5").contains("There is no migration 0005"));
}

#[test]
fn a_new_one_that_cannot_be_written_whole_is_not_left_there() {
    let place = Place::new(&[]);
    let mut shell = Command::new("sh");
    // No file may have any bytes. Without the trap one that has would end the process.
    shell.arg("-c").arg("ulimit -f 0; trap '' XFSZ; exec \"$0\" \"$@\"").arg(env!("CARGO_BIN_EXE_tidebase"));
    shell.current_dir(place.path()).env_clear().stdin(Stdio::null()).args(["migrate", "new", "boat"]);
    let output = shell.output().unwrap();
    let said = String::from_utf8(output.stderr).unwrap();
    assert!(said.contains("0001_boat.sql cannot be written"), "{said}");
    assert_eq!(std::fs::read_dir(place.path().join("migrations")).unwrap().count(), 0);
}

#[test]
fn one_that_fails_says_file_line_and_statement_and_those_before_it_stay() {
    let place = Place::new(&[BOAT]);
    place.write("0002_x.sql", "INSERT INTO boat VALUES ('Ada');\n\nINSERT INTO ship VALUES (1);\n-- down\nSELECT 1;");
    let told = bad(place.path(), "up --db test.db");
    assert_eq!(
        told,
        "tidebase: 0002_x.sql, line 3, \"INSERT INTO ship VALUES (1)\": no such table: ship. Nothing of it was kept. \
         Applied before it: 0001_boat.sql.\n"
    );
    assert_eq!(place.sql("SELECT count(*) FROM boat"), "0");
    assert!(bad(place.path(), "diff more --db test.db").contains("0002_x.sql stands as \"pending\""));
}

#[test]
fn two_runners_in_one_folder_do_it_once() {
    let place = Place::new(&[]);
    for number in 1..=9 {
        place.write(&format!("000{number}_t.sql"), format!("CREATE TABLE t{number} (a);"));
    }
    let runners: Vec<_> = (0..4)
        .map(|_| {
            let mut command = tidebase(place.path());
            command.args(["migrate", "up", "--db", "test.db"]).stdout(Stdio::piped()).stderr(Stdio::piped());
            command.spawn().unwrap()
        })
        .collect();
    let outputs: Vec<Output> = runners.into_iter().map(|runner| runner.wait_with_output().unwrap()).collect();
    assert!(outputs.iter().all(|output| output.status.success()), "{outputs:?}");
    let lines: usize =
        outputs.iter().map(|output| String::from_utf8_lossy(&output.stdout).matches("applied,").count()).sum();
    assert_eq!((lines, place.sql("SELECT count(*) FROM _tide_migrations").as_str()), (9, "9"));
}

#[test]
fn a_runner_that_is_killed_leaves_whole_migrations_only() {
    let place = Place::new(&[("0001_pace.sql", "CREATE TABLE pace (n); INSERT INTO pace VALUES (1000000000000);")]);
    place.write(
        "0002_long.sql",
        "CREATE TABLE many (a);\nINSERT INTO many WITH RECURSIVE c(n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM c WHERE n < (SELECT n FROM pace)) SELECT n FROM c;",
    );
    let mut command = tidebase(place.path());
    let mut child = command.args(["migrate", "up", "--db", "test.db"]).stdout(Stdio::null()).spawn().unwrap();
    // Others can read meanwhile; whoever would write finds the second one at work.
    let begun = Instant::now();
    let is_at_work = || {
        if place.sql("SELECT count(*) FROM pragma_table_info('pace')") != "1" {
            return false;
        }
        let outside = rusqlite::Connection::open(place.path().join("test.db")).unwrap();
        outside.busy_timeout(std::time::Duration::ZERO).unwrap();
        outside.execute_batch("BEGIN IMMEDIATE; ROLLBACK").is_err()
    };
    while !is_at_work() {
        assert!(begun.elapsed() < PATIENCE, "the second migration never began");
        assert!(child.try_wait().unwrap().is_none(), "it ended by itself");
        std::thread::yield_now();
    }
    child.kill().unwrap();
    child.wait().unwrap();
    let applied = place.sql("SELECT group_concat(number) FROM _tide_migrations");
    assert_eq!(applied, "1");
    assert!(place.sql("SELECT * FROM many").contains("no such table"));
    place.change("UPDATE pace SET n = 10");
    assert_eq!(good(place.path(), "up --db test.db"), "0002_long.sql  applied, 2 statements\n");
    assert_eq!(place.sql("SELECT count(*) FROM many"), "10");
}

#[test]
fn what_was_changed_by_hand_becomes_a_migration() {
    let place = Place::new(&[]);
    place.change("CREATE TABLE boat (id INTEGER PRIMARY KEY, name TEXT); INSERT INTO boat VALUES (1, 'Ada')");
    assert_eq!(
        good(place.path(), "diff what_is_there --db test.db"),
        "migrations/0001_what_is_there.sql  written, and noted as applied here\n"
    );
    assert_eq!(
        good(place.path(), "diff more --db test.db"),
        "Nothing differs: the migrations give the schema as it is. No file was written.\n"
    );
    place.change(
        "ALTER TABLE boat ADD COLUMN length REAL; CREATE INDEX by_name ON boat (name); CREATE TABLE port (name TEXT)",
    );
    good(place.path(), "diff ports --db test.db");
    let text = place.read("0002_ports.sql");
    assert!(
        text.contains("ALTER TABLE \"boat\" ADD COLUMN length REAL;")
            && text.contains("CREATE INDEX by_name ON boat (name);"),
        "{text}"
    );
    assert!(
        text.contains("ALTER TABLE \"boat\" DROP COLUMN \"length\";") && text.contains("DROP TABLE \"port\";"),
        "{text}"
    );
    // Another database gets there by the files alone, and back.
    good(place.path(), "up --db other.db");
    good(place.path(), "diff nothing --db other.db");
    good(place.path(), "down --db other.db");
    good(place.path(), "up --db other.db");
    good(place.path(), "down --db test.db");
    assert_eq!(place.sql("SELECT group_concat(name) FROM pragma_table_info('boat')"), "id,name");
    assert_eq!(place.sql("SELECT name FROM boat"), "Ada");
    // Without a mark it is for other databases only.
    place.remove("0002_ports.sql");
    place.change("CREATE TABLE port (name TEXT)");
    assert_eq!(good(place.path(), "diff ports --db test.db --no-mark"), "migrations/0002_ports.sql\n");
    assert!(bad(place.path(), "up --db test.db").contains("table port already exists"));
    assert!(bad(place.path(), "diff x --db nowhere.db").contains("There is no database nowhere.db"));
    assert!(bad(place.path(), "new ../../etc").contains("named with a few words"));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_running_server_is_migrated_by_its_address() {
    let server = Home::new().start().await;
    let place = Place::new(&[BOAT, LENGTH]);
    let url = format!("http://{}", server.address);
    let refused = bad(place.path(), &format!("up --db {}", server.home.db.display()));
    assert!(refused.contains("already serving") && refused.contains("--url"), "{refused}");
    assert_eq!(good(place.path(), &format!("up --url {url} --dry-run")).lines().count(), 3);
    assert_eq!(good(place.path(), &format!("up --url {url}")).lines().count(), 2);
    let by_file = format!("status --db {}", server.home.db.display());
    for line in [&format!("status --url {url}"), &by_file] {
        assert_eq!(good(place.path(), line).matches("applied  ").count(), 2, "{line}");
    }
    server.sql("CREATE TABLE port (name TEXT)").await;
    let policy = serde_json::json!({"name": "see ports", "table": "port", "action": "select", "using": "true"});
    server.send(server::http::Request::post("/policies", policy)).await;
    assert!(good(place.path(), &format!("diff ports --url {url}")).contains("0003_ports.sql  written, and noted"));
    assert!(
        place.read("0003_ports.sql").contains("CREATE POLICY \"see ports\" ON \"port\" FOR select\n  USING (true);")
    );
    assert_eq!(good(place.path(), &format!("down --url {url} --to 1")).lines().count(), 2);
    assert!(bad(place.path(), &format!("down --url {url} --token wrong")).contains("token is wrong"));
    assert_eq!(good(place.path(), &format!("up --url {url}")).lines().count(), 2);
    server.sql("SELECT name, length FROM boat, (SELECT count(*) FROM port)").await;
}

fn serve(home: &Home, folder: &Path) -> Command {
    let mut command = home.command();
    command.arg(format!("--migrate={}", folder.join("migrations").display()));
    command
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_migrates_before_it_listens_or_does_not_start() {
    let (home, place) = (Home::new(), Place::new(&[BOAT]));
    let server = Server::run(&home, serve(&home, place.path())).await;
    assert_eq!(server.sql("SELECT number, who FROM _tide_migrations").await[0]["who"], "start of the server");
    server.stop().await;
    place.write("0002_x.sql", "INSERT INTO ship VALUES (1);");
    let (status, output) = Process::run(serve(&home, place.path())).ended().await;
    assert_eq!((status.code(), output.out.as_str()), (Some(1), ""), "{output:?}");
    assert!(
        output.err.contains("tidebase: 0002_x.sql, line 1") && output.err.contains("no such table: ship"),
        "{}",
        output.err
    );
    place.write("0002_x.sql", "INSERT INTO boat VALUES ('Ada');");
    let server = Server::run(&home, serve(&home, place.path())).await;
    assert_eq!(server.sql("SELECT name FROM boat").await[0]["name"], "Ada");
    server.stop().await;
    let mut missing = home.command();
    missing.arg("--migrate");
    let (status, output) = Process::run(missing).ended().await;
    assert!(status.code() == Some(1) && output.err.contains("There is no folder migrations"), "{output:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_start_that_is_told_to_stop_while_it_migrates_stops_and_keeps_nothing() {
    let (home, place) = (Home::new(), Place::new(&[]));
    place.write(
        "0001_long.sql",
        "CREATE TABLE many (a);\nINSERT INTO many WITH RECURSIVE c(n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM c) SELECT n FROM c;",
    );
    let mut process = Process::run(serve(&home, place.path()));
    let begun = Instant::now();
    let is_at_work = || {
        // Before the file is there is nothing to lock, and one that is made here would be another.
        if !home.db.exists() {
            return false;
        }
        let outside = home.outside();
        outside.busy_timeout(std::time::Duration::ZERO).unwrap();
        let is_made = outside.query_row("SELECT count(*) FROM _tide_migrations", [], |_| Ok(())).is_ok();
        is_made && outside.execute_batch("BEGIN IMMEDIATE; ROLLBACK").is_err()
    };
    while !is_at_work() {
        assert!(begun.elapsed() < PATIENCE, "the migration never began");
        tokio::task::yield_now().await;
    }
    process.signal("TERM");
    let (status, output) = process.ended().await;
    assert!(status.success() && output.out.is_empty(), "{status:?} {output:?}");
    assert!(home.outside().prepare("SELECT * FROM many").is_err());
}

/// The fenced blocks of the guide that are to be run: `sh` commands, and files named in the first line of `sql`.
fn blocks(guide: &str) -> Vec<(&str, &str)> {
    guide.split("```").skip(1).step_by(2).filter_map(|block| block.split_once('\n')).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn the_guide_is_run_as_it_stands() {
    let guide = include_str!("../../../docs/guides/migrations.md");
    let home = Home::new();
    let folder = home.folder.path();
    let server = home.start().await;
    let programs = folder.join("programs");
    std::fs::create_dir(&programs).unwrap();
    std::os::unix::fs::symlink(env!("CARGO_BIN_EXE_tidebase"), programs.join("tidebase")).unwrap();
    let path = format!("{}:{}", programs.display(), std::env::var("PATH").unwrap());
    let place = guide.replace("http://127.0.0.1:8080", &format!("http://{}", server.address));
    let (mut ran, mut expected) = (0, None::<String>);
    for (kind, text) in blocks(&place) {
        match kind {
            "sql" => {
                let (name, _) = text.split_once('\n').unwrap();
                let name =
                    name.strip_prefix("-- ").unwrap_or_else(|| panic!("a block of SQL says which file it is: {text}"));
                std::fs::create_dir_all(folder.join("migrations")).unwrap();
                std::fs::write(folder.join("migrations").join(name), text).unwrap();
            }
            "sh" | "sh fails" => {
                let output = Command::new("sh")
                    .args(["-ec", text])
                    .current_dir(folder)
                    .env_clear()
                    .env("PATH", &path)
                    .env("TIDEBASE_ADMIN_TOKEN", TOKEN)
                    .output()
                    .unwrap();
                assert_eq!(output.status.success(), kind == "sh", "{text}\n{output:?}");
                expected = Some(String::from_utf8([output.stdout, output.stderr].concat()).unwrap());
                ran += 1;
            }
            "text" => {
                let told = expected.take().unwrap_or_else(|| panic!("nothing was run before {text}"));
                for line in text.lines() {
                    // Times and paths are other ones each time.
                    let is_told = line.split(" … ").all(|part| told.contains(part));
                    assert!(is_told, "{line:?} is not in {told}");
                }
            }
            "json" => {
                let body = serde_json::from_str(text).unwrap();
                let answer = server.send(server::http::Request::post("/migrations", body)).await;
                expected = Some(answer.text());
                ran += 1;
            }
            other => panic!("a block of {other:?} that nobody runs"),
        }
    }
    assert!(ran >= 8, "{ran} blocks were run");
}
