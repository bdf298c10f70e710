//! What is exported and imported again is the same: every schema, row, type and rowid.
//!
//! The oracle is the database itself, read by SQLite alone: [`whole`] is all that is in a file. The export of one is imported by the
//! engine, by a plain SQLite, and by SQLite's shell where there is one.

#![allow(clippy::unwrap_used)]

#[path = "there_and_back/databases.rs"]
mod databases;

use databases::{FEATURES, Random, VIRTUAL, random_script};
use rusqlite::Connection;
use std::path::Path;
use std::process::{Command, Stdio};
use std::sync::Arc;
use tidebase_engine::export::{Dump, Export, Form, Rows, Squeeze, Tables};
use tidebase_engine::import::{Form as ImportForm, Import, Rows as ImportRows, Source, What, as_script};
use tidebase_engine::schemas::SchemaWrite;
use tidebase_engine::sqlite::budget::Cancel;
use tidebase_engine::{Code, Engine, Error, Limits, Options, Params, SqlRequest};

/// All that is in a file, but for what Tidebase keeps, and how virtual tables keep what they show.
fn whole(connection: &Connection) -> Vec<String> {
    let mut all = Vec::new();
    let of = |sql: &str| -> Vec<String> {
        let mut statement = connection.prepare(sql).unwrap_or_else(|error| panic!("{sql}: {error}"));
        let columns = statement.column_count();
        let rows = statement.query_map([], |row| {
            (0..columns).map(|at| Ok(format!("{:?}", row.get_ref(at)?))).collect::<rusqlite::Result<Vec<_>>>()
        });
        rows.unwrap().map(|row| row.unwrap().join("|")).collect()
    };
    for pragma in ["user_version", "application_id"] {
        all.extend(of(&format!("SELECT '{pragma}', {pragma} FROM pragma_{pragma}")));
    }
    all.extend(of(
        "SELECT type, name, tbl_name, sql FROM sqlite_schema
                   WHERE tbl_name NOT LIKE '\\_tide%' ESCAPE '\\' AND name NOT LIKE 'sqlite_stat%' ORDER BY type, name",
    ));
    let tables = "SELECT name FROM sqlite_schema WHERE type = 'table' AND sql NOT LIKE '%content = ''''%'
                  AND name NOT IN (SELECT name FROM pragma_table_list WHERE type = 'shadow')
                  AND name NOT LIKE '\\_tide%' ESCAPE '\\' AND name NOT LIKE 'sqlite_stat%' ORDER BY name";
    let mut statement = connection.prepare(tables).unwrap();
    let names = statement.query_map([], |row| row.get::<_, String>(0)).unwrap();
    for name in names.map(Result::unwrap) {
        let quoted = name.replace('"', "\"\"");
        let has_rowid = connection.prepare(&format!("SELECT rowid FROM \"{quoted}\"")).is_ok();
        let filter =
            if name == "sqlite_sequence" { "WHERE name NOT LIKE '\\_tide%' ESCAPE '\\' ORDER BY name" } else { "" };
        let rowid = if has_rowid && name != "sqlite_sequence" { "rowid, " } else { "" };
        all.extend(
            of(&format!("SELECT {rowid}* FROM \"{quoted}\" {filter}")).into_iter().map(|row| format!("{name}: {row}")),
        );
    }
    all
}

fn open_plain(path: &Path) -> Connection {
    Connection::open(path).unwrap()
}

fn export(path: &Path, what: &Export) -> Vec<u8> {
    let (connection, mut out) = (open_plain(path), Vec::new());
    what.write(&connection, &mut out, &mut |_| Ok(())).unwrap();
    out
}

fn dump(path: &Path) -> Vec<u8> {
    export(path, &Export::Dump(Dump::default()))
}

fn source(bytes: &[u8]) -> Source {
    use std::io::Write as _;
    let mut file = tempfile::tempfile().unwrap();
    file.write_all(bytes).unwrap();
    Source(Arc::new(file))
}

fn import_of(what: What, bytes: &[u8]) -> Import {
    Import::new(what, source(bytes), "admin").unwrap()
}

async fn run(engine: &Engine, import: Import) -> Result<serde_json::Value, Error> {
    engine.import(import).await.map(|answer| serde_json::from_slice(&answer.body).unwrap())
}

async fn imported(folder: &Path, bytes: &[u8]) -> Vec<String> {
    let path = folder.join("imported.db");
    let engine = Engine::open(Options::new(&path)).unwrap();
    let report = run(&engine, import_of(What::Dump, bytes)).await.unwrap();
    assert_eq!(report["failed"], 0, "{report}");
    engine.close();
    whole(&open_plain(&path))
}

fn assert_same(left: &[String], right: &[String], what: &str) {
    for (left, right) in left.iter().zip(right) {
        assert_eq!(left, right, "{what}");
    }
    assert_eq!(left.len(), right.len(), "{what}");
}

/// By SQLite's shell: our dump read, and `.dump` of it beside `.dump` of the first.
fn by_the_shell(folder: &Path, first: &Path, dump: &[u8]) {
    use std::io::Write as _;
    let again = folder.join("by the shell.db");
    let Ok(mut shell) = Command::new("sqlite3").arg(&again).stdin(Stdio::piped()).stderr(Stdio::piped()).spawn() else {
        println!("SKIPPED: there is no sqlite3 here");
        return;
    };
    shell.stdin.take().unwrap().write_all(dump).unwrap();
    let said = shell.wait_with_output().unwrap();
    assert!(said.status.success() && said.stderr.is_empty(), "{}", String::from_utf8_lossy(&said.stderr));
    let of = |path: &Path| {
        let said = Command::new("sqlite3").arg(path).arg(".dump --preserve-rowids").output().unwrap();
        assert!(said.status.success(), "{}", String::from_utf8_lossy(&said.stderr));
        let said = String::from_utf8_lossy(&said.stdout).into_owned();
        let shadows = ["found_", "outside_", "contentless_", "boxes_", "bare_", "older_", "of_view_"];
        let is_left_out = |line: &&str| {
            line.starts_with("ANALYZE")
                || line.contains("sqlite_stat")
                || shadows
                    .iter()
                    .any(|shadow| line.contains(&format!("INTO {shadow}")) || line.contains(&format!("INTO '{shadow}")))
        };
        let mut lines: Vec<String> = said.lines().filter(|line| !is_left_out(line)).map(str::to_owned).collect();
        lines.sort();
        lines
    };
    assert_same(&of(&again), &of(first), "by the shell");
}

#[tokio::test]
async fn everything_sqlite_has_comes_back() {
    let folder = tempfile::tempdir().unwrap();
    let first = folder.path().join("first.db");
    open_plain(&first).execute_batch(&format!("{FEATURES}{VIRTUAL}")).unwrap();
    let (expected, dump) = (whole(&open_plain(&first)), dump(&first));
    let text = String::from_utf8(dump.clone()).unwrap();
    let plain = Connection::open_in_memory().unwrap();
    plain.execute_batch(&text).unwrap_or_else(|error| panic!("{error}\n{text}"));
    assert_same(&whole(&plain), &expected, "by a plain SQLite");
    let found: i64 = plain.query_row("SELECT count(*) FROM found('rope')", [], |row| row.get(0)).unwrap();
    assert_eq!(found, 2);
    let of_view: i64 = plain.query_row("SELECT count(*) FROM of_view('KEPT')", [], |row| row.get(0)).unwrap();
    assert_eq!(of_view, 1);
    assert_same(&imported(folder.path(), &dump).await, &expected, "by the engine");
    by_the_shell(folder.path(), &first, &dump);
}

/// What SQLite's own shell writes is read here, but for virtual tables, of which it writes how they are kept.
#[tokio::test]
async fn a_dump_of_sqlites_shell_is_read() {
    let folder = tempfile::tempdir().unwrap();
    let first = folder.path().join("first.db");
    // Not what the shell itself loses: text with a NUL, and what is not UTF-8.
    let features = FEATURES.replace("'a' || char(0) || 'b'", "'ab'").replace("CAST(x'fffe' AS TEXT)", "'fffe'");
    open_plain(&first).execute_batch(&features).unwrap();
    let Ok(said) = Command::new("sqlite3").arg(&first).arg(".dump --preserve-rowids").output() else {
        println!("SKIPPED: there is no sqlite3 here");
        return;
    };
    let mut expected = whole(&open_plain(&first));
    // Nor these two settings, of which it does not tell.
    expected.drain(..2);
    assert_same(&imported(folder.path(), &said.stdout).await[2..], &expected, "of the shell");
    open_plain(&first).execute_batch("CREATE VIRTUAL TABLE v USING fts5(a)").unwrap();
    let said = Command::new("sqlite3").arg(&first).arg(".dump").output().unwrap();
    let engine = Engine::open(Options::new(folder.path().join("other.db"))).unwrap();
    let error = run(&engine, import_of(What::Dump, &said.stdout)).await.unwrap_err();
    assert!(error.message.contains("Import the SQLite file itself"), "{}", error.message);
    engine.close();
}

#[tokio::test]
async fn random_databases_come_back() {
    let rounds: u64 = std::env::var("ROUNDS").ok().and_then(|rounds| rounds.parse().ok()).unwrap_or(10);
    for seed in 1..=rounds {
        let script = random_script(&mut Random(seed));
        let folder = tempfile::tempdir().unwrap();
        let first = folder.path().join("first.db");
        let connection = open_plain(&first);
        for statement in script.split_inclusive(";\n") {
            // What the generator made wrong is no part of it; a statement cut within is not complete.
            let _ = connection.execute_batch(statement);
        }
        drop(connection);
        let (expected, dump) = (whole(&open_plain(&first)), dump(&first));
        let plain = Connection::open_in_memory().unwrap();
        plain.execute_batch(&String::from_utf8(dump.clone()).unwrap()).unwrap();
        assert_same(&whole(&plain), &expected, &format!("seed {seed}, by a plain SQLite"));
        assert_same(&imported(folder.path(), &dump).await, &expected, &format!("seed {seed}, by the engine"));
    }
}

#[tokio::test]
async fn one_failure_undoes_all_or_only_itself() {
    let folder = tempfile::tempdir().unwrap();
    let engine = Engine::open(Options::new(folder.path().join("tide.db"))).unwrap();
    let script = b"CREATE TABLE t (a UNIQUE);\nINSERT INTO t VALUES(1);\nINSERT INTO t VALUES(1);\nINSERT INTO t VALUES(2);\nnonsense;\n";
    let error = run(&engine, import_of(What::Dump, script)).await.unwrap_err();
    assert_eq!((error.code, error.message.as_str()), (Code::Conflict, "Line 3: UNIQUE constraint failed: t.a"));
    let mut dry = import_of(What::Dump, script);
    (dry.dry_run, dry.partial) = (true, true);
    assert_eq!(run(&engine, dry).await.unwrap()["done"], 3);
    let mut partial = import_of(What::Dump, script);
    partial.partial = true;
    let report = run(&engine, partial).await.unwrap();
    assert_eq!((&report["done"], &report["failed"]), (&3.into(), &2.into()), "{report}");
    assert_eq!(report["failures"][0]["at"], "line 3");
    assert_eq!(report["failures"][1]["statement"], "nonsense");
    engine.close();
    let there: String =
        open_plain(engine.path()).query_row("SELECT group_concat(a) FROM t", [], |row| row.get(0)).unwrap();
    assert_eq!(there, "1,2");
}

/// A script is no way around what the administrator's SQL may not do either.
#[tokio::test]
async fn a_script_does_not_escape() {
    let folder = tempfile::tempdir().unwrap();
    let engine = Engine::open(Options::new(folder.path().join("tide.db"))).unwrap();
    let other = folder.path().join("other.db");
    for (script, words) in [
        (format!("ATTACH '{}' AS o;", other.display()), "ATTACH and DETACH are not available"),
        ("SELECT load_extension('x');".into(), "load_extension"),
        ("PRAGMA journal_mode = DELETE;".into(), "can be read here, not set"),
        (format!("VACUUM INTO '{}';", other.display()), "cannot VACUUM from within a transaction"),
        ("CREATE TEMP TABLE t (a);".into(), "Temporary objects are not available"),
        ("UPDATE sqlite_schema SET sql = 'x';".into(), "may not be modified"),
        (
            "INSERT INTO sqlite_schema VALUES('table','t','t',9,'CREATE TABLE t(a)');".into(),
            "writes the schema by hand",
        ),
        ("PRAGMA writable_schema = ON; DELETE FROM sqlite_schema;".into(), "may not be modified"),
        ("UPDATE _tide_meta SET value = 1;".into(), "kept by Tidebase"),
        ("ROLLBACK;".into(), "BEGIN, COMMIT, ROLLBACK and SAVEPOINT are not for requests"),
        ("SAVEPOINT a;".into(), "BEGIN, COMMIT, ROLLBACK and SAVEPOINT are not for requests"),
        ("CREATE VIRTUAL TABLE v USING dbstat;".into(), "are not available; fts5 and rtree are"),
        (
            "CREATE TABLE p (i PRIMARY KEY); CREATE TABLE c (p REFERENCES p); INSERT INTO c VALUES(1);".into(),
            "rows refer to others that are not there (c to p: 1)",
        ),
        (
            "CREATE VIRTUAL TABLE f USING fts5(a); INSERT INTO f_data VALUES(99, x'00112233');".into(),
            "may not be modified",
        ),
        (
            "CREATE VIRTUAL TABLE f USING fts4(x);CREATE TRIGGER b AFTER INSERT ON f_content BEGIN SELECT 1;END;"
                .into(),
            "cannot create triggers on shadow tables",
        ),
        (
            "CREATE TABLE t(a); CREATE TRIGGER _tide_document__tide_answers AFTER UPDATE ON t BEGIN SELECT 1; END;"
                .into(),
            "cannot be a collection",
        ),
        (
            "CREATE TABLE x(a); CREATE TRIGGER _tide_document_x AFTER UPDATE ON x BEGIN SELECT 1; END;".into(),
            "cannot be a collection",
        ),
        ("SELECT 'never closed;".into(), "Line 1"),
        ("SELECT 1 \0 nonsense;".into(), "NUL character"),
    ] {
        let error = run(&engine, import_of(What::Dump, script.as_bytes()))
            .await
            .map(|report| panic!("{script}: {report}"))
            .unwrap_err();
        assert!(error.message.contains(words), "{script}: {}", error.message);
    }
    assert!(!other.exists());
    // What it keeps for itself may stand in a dump, and is passed over.
    let report = run(
        &engine,
        import_of(What::Dump, b"CREATE TABLE _tide_x (a); INSERT INTO _tide_x VALUES(1); CREATE TABLE t (a);"),
    )
    .await
    .unwrap();
    assert_eq!((&report["done"], &report["passed_over"]), (&1.into(), &2.into()));
    // What makes keys and documents count as written now runs no trigger of the script's.
    let forged = "INSERT INTO _tide_tokens (id, name, role) VALUES ('t', 'forged', 'admin'); DELETE FROM _tide_audit;";
    let script = format!(
        "CREATE TABLE kv (key TEXT PRIMARY KEY NOT NULL, value TEXT NOT NULL, revision INTEGER, expires INTEGER);
         INSERT INTO kv VALUES ('a', '1', 99, NULL);
         CREATE TRIGGER e AFTER UPDATE ON kv BEGIN {forged} END;
         CREATE TABLE notes (id TEXT, data TEXT, revision INTEGER, PRIMARY KEY (id));
         INSERT INTO notes VALUES ('a', '{{}}', 99);
         CREATE TRIGGER d AFTER UPDATE ON notes BEGIN {forged} END;
         CREATE TRIGGER _tide_document_notes AFTER UPDATE ON notes BEGIN SELECT 1; END;"
    );
    let _ = run(&engine, import_of(What::Dump, script.as_bytes())).await;
    engine.close();
    let count = |sql: &str| -> i64 { open_plain(engine.path()).query_row(sql, [], |row| row.get(0)).unwrap() };
    assert_eq!(count("SELECT count(*) FROM _tide_tokens WHERE name = 'forged'"), 0);
    assert!(count("SELECT count(*) FROM _tide_audit") > 0);
}

/// A dump says so in its first line: a table may refer to one that comes later, and what is missing is told at the end.
#[tokio::test]
async fn references_are_judged_when_all_is_there() {
    let folder = tempfile::tempdir().unwrap();
    let engine = Engine::open(Options::new(folder.path().join("tide.db"))).unwrap();
    let cycle = "CREATE TABLE a (id INTEGER PRIMARY KEY, b REFERENCES b(name)); INSERT INTO a VALUES (1, 'x');
        CREATE TABLE b (name TEXT, a REFERENCES a); INSERT INTO b VALUES ('x', 1); CREATE UNIQUE INDEX names ON b (name);";
    run(&engine, import_of(What::Dump, format!("PRAGMA foreign_keys=OFF;\n{cycle}").as_bytes())).await.unwrap();
    let missing = "PRAGMA foreign_keys = OFF; INSERT INTO a VALUES (2, 'nobody');";
    let error = run(&engine, import_of(What::Dump, missing.as_bytes())).await.unwrap_err();
    assert!(error.message.contains("(a to b: 1)"), "{}", error.message);
    // From then on they are followed again.
    let request = SqlRequest::query("INSERT INTO a VALUES (3, 'nobody')", Params::None);
    assert_eq!(engine.query(request).await.unwrap_err().code, Code::Conflict);
    engine.close();
}

/// A script that is no dump, as people write them.
#[tokio::test]
async fn virtual_tables_are_made_and_filled() {
    let folder = tempfile::tempdir().unwrap();
    let engine = Engine::open(Options::new(folder.path().join("tide.db"))).unwrap();
    let script = "CREATE VIRTUAL TABLE docs USING fts5(x); INSERT INTO docs VALUES('a rope');
        CREATE VIRTUAL TABLE docs_archive USING fts5(x); INSERT INTO docs_archive VALUES('an old rope');
        CREATE VIRTUAL TABLE IF NOT EXISTS docs USING fts5(x);
        CREATE VIRTUAL TABLE boxes USING rtree(id, a, b); INSERT INTO boxes VALUES(1, 0, 1);";
    run(&engine, import_of(What::Dump, script.as_bytes())).await.unwrap();
    engine.close();
    let found = "SELECT (SELECT count(*) FROM docs('rope')) + (SELECT count(*) FROM docs_archive('rope'))";
    assert_eq!(open_plain(engine.path()).query_row(found, [], |row| row.get::<_, i64>(0)).unwrap(), 2);
}

fn rows_into(table: &str, form: ImportForm) -> ImportRows {
    ImportRows { table: table.into(), form, mapping: std::collections::HashMap::new(), create: false, delimiter: b',' }
}

#[tokio::test]
async fn a_table_comes_back_by_csv_and_json() {
    let folder = tempfile::tempdir().unwrap();
    let engine = Engine::open(Options::new(folder.path().join("tide.db"))).unwrap();
    let made = "CREATE TABLE t (i INTEGER, r REAL, s TEXT, b BLOB, a);
        INSERT INTO t VALUES (1, 1.5, 'it''s, \"so\"', x'00ff', 'x'), (NULL, NULL, NULL, NULL, NULL), (-3, 1e300, '', x'', ''),
          (9223372036854775807, 0.1, 'a\r\nb', NULL, 7), (0, 2.0, '007', NULL, 1.25), (0, 0.0, ' x ', NULL, '12');
        CREATE TABLE u (i INTEGER, r REAL, s TEXT, b BLOB, a);";
    run(&engine, import_of(What::Dump, made.as_bytes())).await.unwrap();
    let rows = |table: &str| -> Vec<String> {
        let connection = open_plain(engine.path());
        let mut statement = connection
            .prepare(&format!("SELECT quote(i), quote(r), quote(s), quote(b), quote(a) FROM {table}"))
            .unwrap();
        let rows = statement
            .query_map([], |row| (0..5).map(|at| row.get::<_, String>(at)).collect::<rusqlite::Result<Vec<_>>>());
        rows.unwrap().map(|row| row.unwrap().join("|")).collect()
    };
    for (form, by) in [(Form::Csv, ImportForm::Csv), (Form::Json, ImportForm::Json), (Form::NdJson, ImportForm::Json)] {
        let text = export(engine.path(), &Export::Rows(Rows { table: "t".into(), form }));
        run(&engine, import_of(What::Dump, b"DELETE FROM u;")).await.unwrap();
        let report = run(&engine, import_of(What::Rows(rows_into("u", by)), &text)).await.unwrap();
        assert_eq!(report["done"], 6, "{report}");
        let expected = rows("t");
        assert_eq!(rows("u"), expected, "{form:?}");
    }
    engine.close();
}

#[tokio::test]
async fn records_find_their_columns_or_say_why_not() {
    let folder = tempfile::tempdir().unwrap();
    let engine = Engine::open(Options::new(folder.path().join("tide.db"))).unwrap();
    run(&engine, import_of(What::Dump, b"CREATE TABLE t (id INTEGER PRIMARY KEY, name TEXT NOT NULL);")).await.unwrap();
    let csv = |create: bool, table: &str, text: &str| {
        import_of(What::Rows(ImportRows { create, ..rows_into(table, ImportForm::Csv) }), text.as_bytes())
    };
    for (text, words) in [
        ("", "there is no header"),
        ("id,nick\n1,a\n", "has no column \"nick\"; it has id, name"),
        ("id,name\n1\n", "Line 2: The record has 1 fields and the header 2."),
        ("id,name\n1,a,b\n", "Line 2: The record has 3 fields"),
        ("id,name\n1,\"a\n", "Line 2: The record is no CSV"),
        ("id,id\n", "twice"),
        ("id,name\n1,\n", "NOT NULL constraint failed: t.name"),
    ] {
        let error = run(&engine, csv(false, "t", text)).await.unwrap_err();
        assert!(error.message.contains(words), "{text:?}: {}", error.message);
    }
    let error = run(&engine, csv(false, "missing", "a\n1\n")).await.unwrap_err();
    assert!(error.code == Code::NotFound && error.message.contains("create=true"), "{}", error.message);
    assert_eq!(run(&engine, csv(true, "made", "i,r,s,z,007\n1,1,a,,007\n-2,2.5,1,,1\n")).await.unwrap()["done"], 2);
    let mapped =
        ImportRows { mapping: [("Nick".to_owned(), "name".to_owned())].into(), ..rows_into("t", ImportForm::Csv) };
    run(&engine, import_of(What::Rows(mapped), "id,Nick\n7,bo\n".as_bytes())).await.unwrap();
    let json = br#"{"data":[{"id":8,"n":"x"}],"columnMapping":{"n":"name"}}"#;
    run(&engine, import_of(What::Rows(rows_into("t", ImportForm::Json)), json)).await.unwrap();
    let mut partial = csv(false, "t", "id,name\n8,taken\n9,free\n10\n");
    partial.partial = true;
    let report = run(&engine, partial).await.unwrap();
    assert_eq!(
        (&report["done"], &report["failures"][0]["at"], &report["failures"][1]["at"]),
        (&1.into(), &"line 2".into(), &"line 4".into())
    );
    engine.close();
    let connection = open_plain(engine.path());
    let made: String =
        connection.query_row("SELECT sql FROM sqlite_schema WHERE name = 'made'", [], |row| row.get(0)).unwrap();
    assert_eq!(made, r#"CREATE TABLE "made" ("i" INTEGER, "r" REAL, "s" TEXT, "z" TEXT, "007" TEXT)"#);
    let names: String = connection.query_row("SELECT group_concat(name) FROM t", [], |row| row.get(0)).unwrap();
    assert_eq!(names, "bo,x,free");
}

/// Tables with all that a name can have in it, of which a part is no table for others.
const ODD: &str = "CREATE TABLE users (id INTEGER PRIMARY KEY, name TEXT);
    INSERT INTO users VALUES (1, 'Ann, \"A\"'), (2, NULL);
    CREATE TABLE empty (x);
    CREATE TABLE \"../ä\" (x); INSERT INTO \"../ä\" VALUES (x'00ff');
    CREATE VIEW seen AS SELECT * FROM users;
    CREATE VIRTUAL TABLE words USING fts5(body); INSERT INTO words VALUES ('tide');";

#[tokio::test]
async fn all_tables_are_one_json_object() {
    let folder = tempfile::tempdir().unwrap();
    let engine = Engine::open(Options::new(folder.path().join("tide.db"))).unwrap();
    run(&engine, import_of(What::Dump, ODD.as_bytes())).await.unwrap();
    let all = |schema: bool| -> serde_json::Value {
        serde_json::from_slice(&export(engine.path(), &Export::Tables(Tables::Json { schema }))).unwrap()
    };
    let wanted = serde_json::json!({
        "users": [{"id": 1, "name": "Ann, \"A\""}, {"id": 2, "name": null}], "empty": [],
        "../ä": [{"x": {"$blob": "AP8="}}], "words": [{"body": "tide"}],
    });
    assert_eq!(all(false), wanted);
    let with_schema = all(true);
    assert_eq!(with_schema["_tide_schema"].as_array().unwrap().len(), 5, "{with_schema}");
    assert_eq!(with_schema["users"], wanted["users"]);
    engine.close();
}

/// Read by Python, which knows the form better than we do.
#[tokio::test]
async fn all_tables_are_a_zip_that_others_read() {
    let folder = tempfile::tempdir().unwrap();
    let engine = Engine::open(Options::new(folder.path().join("tide.db"))).unwrap();
    run(&engine, import_of(What::Dump, ODD.as_bytes())).await.unwrap();
    let (connection, mut zip, mut breaths) = (open_plain(engine.path()), Vec::new(), 0);
    let tables = Export::Tables(Tables::Csv { schema: true });
    let written = tables.write_in_breaths(&connection, &mut zip, 1, &mut |_| {
        breaths += 1;
        Ok(())
    });
    assert_eq!((written.unwrap(), tables.count(&connection).unwrap()), (4, 4));
    assert!(breaths >= 4, "{breaths}");
    let path = folder.path().join("all.zip");
    std::fs::write(&path, zip).unwrap();
    let script = "import sys, zipfile, json; z = zipfile.ZipFile(sys.argv[1]); assert z.testzip() is None
print(json.dumps({name: z.read(name).decode() for name in z.namelist()}))";
    let Ok(read) = std::process::Command::new("python3").args(["-c", script]).arg(&path).output() else {
        use std::io::Write as _;
        return writeln!(std::io::stderr(), "SKIPPED: there is no python3 to read a zip with").unwrap();
    };
    assert!(read.status.success(), "{}", String::from_utf8_lossy(&read.stderr));
    let files: serde_json::Value = serde_json::from_slice(&read.stdout).unwrap();
    assert_eq!(files["users.csv"], "id,name\r\n1,\"Ann, \"\"A\"\"\"\r\n2,\r\n");
    assert_eq!((&files["empty.csv"], &files["words.csv"]), (&"x\r\n".into(), &"body\r\ntide\r\n".into()));
    assert_eq!(files["_.._ä.csv"], "x\r\nX'00FF'\r\n", "{files}");
    assert!(files["_tide_schema.sql"].as_str().unwrap().contains("CREATE VIEW seen AS SELECT * FROM users;"));
    engine.close();
}

/// A name or a statement of another encoding has no place in a text: that is told, not half written.
#[tokio::test]
async fn a_schema_that_is_not_utf8_is_told_before_anything_is_written() {
    let folder = tempfile::tempdir().unwrap();
    for (number, sql) in
        [&b"CREATE VIEW odd AS SELECT '\xff' AS a"[..], b"CREATE TABLE odd (\"\xff\")"].into_iter().enumerate()
    {
        let path = folder.path().join(format!("{number}.db"));
        let connection = open_plain(&path);
        connection.execute_batch("CREATE TABLE odd (a); PRAGMA writable_schema = ON").unwrap();
        let kind = if number == 0 { "view" } else { "table" };
        let root = if number == 0 { 0 } else { 2 };
        let change = "UPDATE sqlite_schema SET sql = CAST(?1 AS TEXT), type = ?2, rootpage = ?3";
        connection.execute(change, rusqlite::params![sql, kind, root]).unwrap();
        let rows = |form| Export::Rows(Rows { table: "odd".into(), form });
        drop(connection);
        for what in [Export::Dump(Dump::default()), Export::Tables(Tables::Json { schema: true }), rows(Form::Csv)] {
            let mut out = Vec::new();
            let error = what.write(&open_plain(&path), &mut out, &mut |_| Ok(())).unwrap_err();
            assert_eq!((error.code, out.len()), (Code::Unsupported, 0));
            assert!(error.message.contains(&format!("the {kind} odd is not UTF-8")), "{}", error.message);
        }
    }
}

/// What an FTS5 table is set to is a part of it; one that shows the words of another has nothing of its own.
#[tokio::test]
async fn settings_of_fts5_come_back_and_what_is_derived_is_not_written() {
    let folder = tempfile::tempdir().unwrap();
    let first = folder.path().join("first.db");
    let made = "CREATE VIRTUAL TABLE found USING fts5(title, body);
        INSERT INTO found(found, rank) VALUES ('rank', 'bm25(10.0, 5.0)'), ('automerge', 2);
        INSERT INTO found VALUES ('rope', 'x'), ('y', 'rope');
        CREATE VIRTUAL TABLE gone USING fts5(t, content = '', contentless_delete = 1);
        INSERT INTO gone(rowid, t) VALUES (1, 'rope');";
    open_plain(&first).execute_batch(made).unwrap();
    let set = "SELECT group_concat(k || '=' || v) FROM (SELECT * FROM found_config ORDER BY k)";
    let asked = |path: &Path| -> String { open_plain(path).query_row(set, [], |row| row.get(0)).unwrap() };
    imported(folder.path(), &dump(&first)).await;
    let back = folder.path().join("imported.db");
    assert_eq!(asked(&back), asked(&first));
    let found: i64 = open_plain(&back).query_row("SELECT count(*) FROM gone('rope')", [], |row| row.get(0)).unwrap();
    assert_eq!(found, 0);
    assert!(
        String::from_utf8(dump(&first))
            .unwrap()
            .contains("\"gone\" has no content that could be read: index it again.")
    );
    open_plain(&first).execute_batch("CREATE VIRTUAL TABLE words USING fts5vocab('found', 'row')").unwrap();
    let dump = String::from_utf8(dump(&first)).unwrap();
    assert!(dump.contains("CREATE VIRTUAL TABLE words") && !dump.contains("INSERT INTO \"words\""), "{dump}");
}

/// Squeezed or not, an SQLite file is known by what is in it.
#[tokio::test]
async fn a_squeezed_sqlite_file_is_imported() {
    use std::io::Write as _;
    let folder = tempfile::tempdir().unwrap();
    let first = folder.path().join("first.db");
    open_plain(&first).execute_batch(FEATURES).unwrap();
    let (expected, bytes) = (whole(&open_plain(&first)), std::fs::read(&first).unwrap());
    for squeeze in [Squeeze::None, Squeeze::Gzip, Squeeze::Zstd] {
        let mut squeezed = squeeze.onto(Vec::new()).unwrap();
        squeezed.write_all(&bytes).unwrap();
        let squeezed = squeezed.finish().unwrap();
        let script = as_script(source(&squeezed), folder.path(), bytes.len() as u64, &Cancel::default()).unwrap();
        let path = folder.path().join("imported.db");
        let engine = Engine::open(Options::new(&path)).unwrap();
        run(&engine, Import::new(What::Dump, script, "admin").unwrap()).await.unwrap();
        engine.close();
        assert_same(&whole(&open_plain(&path)), &expected, &format!("{squeeze:?}"));
        std::fs::remove_file(path).unwrap();
        // A bomb is known by its bound, and a file that is cut by its end.
        let refused =
            as_script(source(&squeezed), folder.path(), bytes.len() as u64 - 1, &Cancel::default()).unwrap_err();
        assert_eq!(refused.code, Code::TooLarge);
        // So little may be left of one that it is not known for what it was.
        let engine = Engine::open(Options::new(folder.path().join("cut.db"))).unwrap();
        let cut = as_script(source(&squeezed[..squeezed.len() - 9]), folder.path(), u64::MAX, &Cancel::default());
        let error = match cut {
            Ok(script) => run(&engine, Import::new(What::Dump, script, "admin").unwrap()).await.unwrap_err(),
            Err(error) => error,
        };
        assert_eq!(error.code, Code::Invalid, "{squeeze:?}: {}", error.message);
        engine.close();
    }
}

/// In part means: behind what cannot be read comes what can.
#[tokio::test]
async fn an_unreadable_record_is_told_and_those_behind_it_are_kept() {
    use std::io::Write as _;
    let folder = tempfile::tempdir().unwrap();
    let engine = Engine::open(Options::new(folder.path().join("tide.db"))).unwrap();
    run(&engine, import_of(What::Dump, b"CREATE TABLE t (a)")).await.unwrap();
    let records = |form| What::Rows(rows_into("t", form));
    let mut cut = Squeeze::Gzip.onto(Vec::new()).unwrap();
    cut.write_all("{\"a\":1}\n".repeat(100_000).as_bytes()).unwrap();
    let mut cut = cut.finish().unwrap();
    cut.truncate(cut.len() / 2);
    for (what, bytes, done, failed, at) in [
        (records(ImportForm::Csv), &b"a\n1\n\xff\n\"x\"y\n2\n\"never closed\n"[..], 2, 3, "line 3"),
        (records(ImportForm::Json), b"[{\"a\":1},7,{\"a\":1,\"a\":1},{\"a\":2}]", 2, 2, "record 2"),
        (records(ImportForm::Json), b"{\"a\":1}\n{\"a\":\n{\"a\":2}\n\n{\"a\":\"\xff\"}\n{\"a\":3}", 3, 2, "record 2"),
        (records(ImportForm::Json), b"{\"data\":[{\"a\":1},{\"a\":2", 1, 1, "record 2"),
        (
            What::Dump,
            b"INSERT INTO t VALUES(1);\nSELECT '\xff';\nINSERT INTO t VALUES(2);\nSELECT 'never",
            2,
            2,
            "line 2",
        ),
    ] {
        let shown = String::from_utf8_lossy(bytes);
        let error = run(&engine, import_of(what.clone(), bytes)).await.unwrap_err();
        assert!(error.message.to_lowercase().starts_with(&format!("{at}: ")), "{shown}: {}", error.message);
        let mut partial = import_of(what, bytes);
        partial.partial = true;
        let report = run(&engine, partial).await.unwrap();
        assert_eq!((&report["done"], &report["failed"]), (&done.into(), &failed.into()), "{shown}: {report}");
        assert_eq!(report["failures"][0]["at"], at, "{shown}");
    }
    // Of a file that is cut within its squeezing the beginning is there.
    let mut partial = import_of(records(ImportForm::Json), &cut);
    partial.partial = true;
    let report = run(&engine, partial).await.unwrap();
    assert!(report["done"].as_u64().unwrap() > 1000 && report["failed"] == 1, "{report}");
    engine.close();
}

/// A record of StarbaseDB's form is one; the same line twice, or said to be a line, is a row with a column `data`.
#[tokio::test]
async fn a_column_called_data_is_no_wrapping() {
    let folder = tempfile::tempdir().unwrap();
    let engine = Engine::open(Options::new(folder.path().join("tide.db"))).unwrap();
    run(&engine, import_of(What::Dump, b"CREATE TABLE t (data TEXT, a)")).await.unwrap();
    let line = "{\"data\":[{\"a\":1}]}\n";
    for (form, text) in [
        (ImportForm::Json, line.to_owned()),
        (ImportForm::Json, line.repeat(2)),
        (ImportForm::NdJson, line.to_owned()),
        (ImportForm::Json, "{\"data\":[1,2]}".to_owned()),
    ] {
        run(&engine, import_of(What::Rows(rows_into("t", form)), text.as_bytes())).await.unwrap();
    }
    engine.close();
    let there = "SELECT group_concat(coalesce(data, 'a=' || a), ' ') FROM t";
    let there: String = open_plain(engine.path()).query_row(there, [], |row| row.get(0)).unwrap();
    assert_eq!(there, "a=1 [{\"a\":1}] [{\"a\":1}] [{\"a\":1}] [1,2]");
}

/// An index or a view of somebody else's with a name that is ours is not lost in silence.
#[tokio::test]
async fn names_that_are_kept_for_tidebase_are_told() {
    let folder = tempfile::tempdir().unwrap();
    let engine = Engine::open(Options::new(folder.path().join("tide.db"))).unwrap();
    for made in [
        "CREATE UNIQUE INDEX IF NOT EXISTS main.\"_tide_by_a\" ON t (a)",
        "CREATE VIEW _tide_seen AS SELECT 1",
        "CREATE TRIGGER _tide_t AFTER UPDATE OF a, b ON t BEGIN SELECT 1; END",
    ] {
        let script = format!("CREATE TABLE t (a, b);\n{made};");
        let error = run(&engine, import_of(What::Dump, script.as_bytes())).await.unwrap_err();
        assert_eq!(error.code, Code::Forbidden, "{made}");
        assert!(error.message.contains("Line 2: _tide_") && error.message.contains("another one"), "{}", error.message);
    }
    let ours = "CREATE TABLE _tide_x (a); CREATE INDEX _tide_by_a ON _tide_x (a);";
    assert_eq!(run(&engine, import_of(What::Dump, ours.as_bytes())).await.unwrap()["passed_over"], 2);
    engine.close();
}

/// A dry run says what the import would say, also of documents that do not fit their schema.
#[tokio::test]
async fn a_dry_run_judges_json_schemas_and_keeps_nothing() {
    let folder = tempfile::tempdir().unwrap();
    let engine = Engine::open(Options::new(folder.path().join("tide.db"))).unwrap();
    run(&engine, import_of(What::Dump, b"CREATE TABLE t (id INTEGER PRIMARY KEY, data TEXT)")).await.unwrap();
    let schema = r#"{"type":"object","required":["name"]}"#;
    let (table, column) = ("t".to_owned(), "data".to_owned());
    engine.write_schema(SchemaWrite::Keep { table, column, schema: schema.into() }, "admin").await.unwrap();
    let before = engine.revision();
    let good = "INSERT INTO t VALUES(1,'{\"name\":1}');";
    let bad = "INSERT INTO t VALUES(2,'{}');";
    let schema_too = format!("CREATE TABLE u (a); {good}{bad}");
    for (script, fits) in [(good, true), (bad, false), (&*schema_too, false), ("CREATE TABLE u (a);", true)] {
        let mut dry = import_of(What::Dump, script.as_bytes());
        dry.dry_run = true;
        let said = run(&engine, dry).await;
        assert_eq!(said.is_ok(), fits, "{script}: {said:?}");
        if let Err(error) = said {
            assert!(error.message.contains("name"), "{}", error.message);
        }
        assert_eq!(engine.revision(), before, "{script}");
    }
    // What was tried is not there, and does not stand in the way.
    run(&engine, import_of(What::Dump, format!("CREATE TABLE u (a); {good}").as_bytes())).await.unwrap();
    engine.close();
    let count = |sql: &str| -> i64 { open_plain(engine.path()).query_row(sql, [], |row| row.get(0)).unwrap() };
    assert_eq!(count("SELECT count(*) FROM t"), 1);
    assert_eq!(count("SELECT count(*) FROM _tide_audit WHERE what = 'imported'"), 2);
}

/// However many documents are written at once, none keeps a revision of another database.
#[tokio::test]
async fn documents_of_a_large_import_count_as_written_by_it() {
    let folder = tempfile::tempdir().unwrap();
    let limits = Limits { change_rows_max: 20, ..Limits::default() };
    let engine = Engine::open(Options { limits, ..Options::new(folder.path().join("tide.db")) }).unwrap();
    engine.make_collection("rooms").await.unwrap();
    let query = async |sql: &str| engine.query(SqlRequest::query(sql, Params::None)).await.unwrap();
    query("INSERT INTO rooms (id, data) VALUES ('before', '{}')").await;
    let row = |n: usize| format!("INSERT INTO rooms (id, data, revision) VALUES('r{n}','{{}}',99999);\n");
    // More than are told one by one; and beside a new table, which is told as a whole.
    for (script, schema) in [((0..50).map(row).collect::<String>(), ""), (row(50), "CREATE TABLE other (a);\n")] {
        run(&engine, import_of(What::Dump, format!("{schema}{script}").as_bytes())).await.unwrap();
        let odd = query("SELECT count(*) AS n FROM rooms WHERE revision > 9999").await;
        assert_eq!(&*odd.body, br#"[{"n":0}]"#, "{schema}");
    }
    engine.close();
}
