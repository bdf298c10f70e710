//! What is exported and imported again is the same: every schema, row, type and rowid.
//!
//! The oracle is the database itself, read by SQLite alone: [`whole`] is all that is in a file. The export of one is imported by the
//! engine, by a plain SQLite, and by SQLite's shell where there is one.

#![allow(clippy::unwrap_used)]

use rusqlite::Connection;
use std::path::Path;
use std::process::{Command, Stdio};
use std::sync::Arc;
use tidebase_engine::export::{Dump, Export, Form, Rows, Tables};
use tidebase_engine::import::{Form as ImportForm, Import, Rows as ImportRows, Source, What};
use tidebase_engine::{Code, Engine, Error, Options, Params, SqlRequest};

/// Everything SQLite has a feature for.
const FEATURES: &str = r#"
    CREATE TABLE plain (a, b TEXT, c BLOB);
    INSERT INTO plain VALUES (1, 'it''s; -- no comment', x'00ff'), (NULL, '', x''), (1.5, 'line
feed', NULL), (9223372036854775807, 'grüße 🌊', 1e999), (-9223372036854775808, 'a' || char(0) || 'b', -1e999),
      ('12', CAST(x'fffe' AS TEXT), 4.9e-324);
    DELETE FROM plain WHERE rowid = 2;
    CREATE TABLE "odd ""name'; DROP" ("select" INTEGER PRIMARY KEY, "a b" TEXT DEFAULT ';');
    INSERT INTO "odd ""name'; DROP" VALUES (5, 'x'), (-1, 'y');
    CREATE TABLE counted (id INTEGER PRIMARY KEY AUTOINCREMENT, n);
    INSERT INTO counted (n) VALUES (1), (2), (3);
    DELETE FROM counted WHERE id = 3;
    CREATE TABLE keyed (a TEXT, -- the first
      b INT, c /* the last */, PRIMARY KEY (a, b)) WITHOUT ROWID;
    INSERT INTO keyed VALUES ('x', 1, 2), ('x', 2, NULL);
    CREATE TABLE strict (i INTEGER NOT NULL, r REAL, t TEXT, b BLOB, a ANY) STRICT;
    INSERT INTO strict VALUES (1, 2.0, '3', x'04', 5), (2, 1e300, '', NULL, '6');
    CREATE TABLE made (a INT, twice INT GENERATED ALWAYS AS (a * 2) VIRTUAL, thrice AS (a * 3) STORED, z);
    INSERT INTO made (a, z) VALUES (1, 'z'), (2, NULL);
    CREATE TABLE names_taken (rowid TEXT, "_rowid_" INT);
    INSERT INTO names_taken VALUES ('r', 1);
    CREATE TABLE parent (id TEXT PRIMARY KEY);
    CREATE TABLE child (p REFERENCES parent(id) ON DELETE CASCADE);
    INSERT INTO child VALUES (NULL);
    INSERT INTO parent VALUES ('p');
    INSERT INTO child VALUES ('p');
    CREATE INDEX by_text ON plain (b COLLATE NOCASE DESC) WHERE a IS NOT NULL;
    CREATE UNIQUE INDEX by_part ON plain (lower(b), typeof(a));
    CREATE TRIGGER noted AFTER INSERT ON plain BEGIN INSERT INTO counted (n) VALUES (new.a); SELECT CASE WHEN 1 THEN 2 END; END;
    CREATE VIEW seen AS SELECT a, b FROM plain WHERE b > ';';
    PRAGMA user_version = 42;
    PRAGMA application_id = 7;
    ANALYZE;
"#;

/// And what its extensions have. One FTS5 table's name begins as another's, and a table is called as a shadow is.
const VIRTUAL: &str = r"
    CREATE VIRTUAL TABLE found USING fts5(title, body, tokenize = 'porter');
    INSERT INTO found VALUES ('harbour', 'boats and ropes'), ('it''s', 'a rope'), ('third', 'nothing');
    DELETE FROM found WHERE title = 'third';
    CREATE TABLE texts (id INTEGER PRIMARY KEY, t TEXT);
    CREATE VIRTUAL TABLE outside USING fts5(t, content = 'texts', content_rowid = 'id');
    INSERT INTO texts VALUES (7, 'kept elsewhere');
    INSERT INTO outside(rowid, t) VALUES (7, 'kept elsewhere');
    CREATE VIRTUAL TABLE contentless USING fts5(t, content = '');
    INSERT INTO contentless(rowid, t) VALUES (3, 'only an index');
    CREATE VIRTUAL TABLE boxes USING rtree(id, x0, x1, y0, y1);
    INSERT INTO boxes VALUES (1, 0, 1, 0, 1), (2, 5, 6, 5, 6);
    CREATE VIRTUAL TABLE found_again USING fts5(title, prefix = '2 3');
    INSERT INTO found_again VALUES ('once more');
    CREATE VIRTUAL TABLE bare USING fts5(t, columnsize = 0);
    INSERT INTO bare VALUES ('no sizes');
    CREATE VIRTUAL TABLE older USING fts4(t, x);
    INSERT INTO older (docid, t) VALUES (9, 'an older one');
    CREATE VIEW seen_texts AS SELECT id, upper(t) AS t FROM texts;
    CREATE VIRTUAL TABLE of_view USING fts5(t, content = 'seen_texts', content_rowid = 'id');
    INSERT INTO of_view(of_view) VALUES ('rebuild');
";

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

/// A generator of its own, so that a seed means the same for ever.
struct Random(u64);

impl Random {
    fn below(&mut self, bound: u64) -> u64 {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (self.0 >> 33) % bound
    }

    fn of<'a>(&mut self, all: &[&'a str]) -> &'a str {
        all[self.below(all.len() as u64) as usize]
    }
}

/// Tables, rows, indexes, triggers and views as a generator has them.
fn random_script(random: &mut Random) -> String {
    let names = ["t", "T 2", "select", "a\"b", "it's", "ü", "x;y", "[z]"];
    let quote = |name: &str| format!("\"{}\"", name.replace('"', "\"\""));
    let mut script = String::new();
    for (number, name) in names.iter().enumerate().take(1 + random.below(8) as usize) {
        let columns: Vec<String> = (0..=random.below(5)).map(|at| format!("{}{at}", random.of(&names))).collect();
        let is_strict = random.below(4) == 0;
        let kinds = if is_strict { ["INT", "TEXT", "ANY", "BLOB"] } else { ["", "TEXT", "NUMERIC(3)", "REAL"] };
        let mut parts: Vec<String> = columns
            .iter()
            .map(|column| {
                format!(
                    "{} {} {}",
                    quote(column),
                    random.of(&kinds),
                    random.of(&["", "", "COLLATE NOCASE", "DEFAULT ';'"])
                )
            })
            .collect();
        let key = random.below(4);
        if key == 0 {
            parts.push("k INTEGER PRIMARY KEY AUTOINCREMENT".into());
        } else if key == 1 {
            parts.push(format!("k INT NOT NULL DEFAULT (random()), PRIMARY KEY (k, {})", quote(&columns[0])));
        }
        if random.below(3) == 0 {
            let at = parts.len() - usize::from(key == 1);
            parts.insert(
                at,
                format!("g AS (typeof({})) {}", quote(&columns[0]), random.of(&["VIRTUAL", "STORED"])).replacen(
                    "g AS",
                    if is_strict { "g TEXT AS" } else { "g AS" },
                    1,
                ),
            );
        }
        let mut options = Vec::new();
        if key == 1 && random.below(2) == 0 {
            options.push("WITHOUT ROWID");
        }
        if is_strict {
            options.push("STRICT");
        }
        let table = quote(name);
        script += &format!("CREATE TABLE {table} ({}) {};\n", parts.join(", "), options.join(", "));
        for _ in 0..random.below(30) {
            let values: Vec<&str> = columns
                .iter()
                .map(|_| {
                    random.of(&[
                        "1",
                        "-7",
                        "'a;\nb'",
                        "'12'",
                        "''",
                        "NULL",
                        "1.5",
                        "1e300",
                        "x'00ff'",
                        "'it''s'",
                        "CAST(x'ff00' AS TEXT)",
                        "9007199254740993",
                    ])
                })
                .collect();
            let listed: Vec<String> = columns.iter().map(|column| quote(column)).collect();
            script +=
                &format!("INSERT OR IGNORE INTO {table} ({}) VALUES ({});\n", listed.join(", "), values.join(", "));
        }
        if random.below(2) == 0 {
            script += &format!(
                "CREATE INDEX i{number} ON {table} ({}, length({}));\n",
                quote(&columns[0]),
                quote(&columns[0])
            );
        }
        if random.below(3) == 0 {
            script += &format!("DELETE FROM {table} WHERE {} IS NULL;\n", quote(&columns[0]));
        }
        if random.below(3) == 0 {
            script += &format!(
                "CREATE TRIGGER \"tr;{number}\" AFTER DELETE ON {table} BEGIN SELECT CASE WHEN ';' THEN 1 END; END;\n"
            );
            script += &format!("CREATE VIEW v{number} AS SELECT * FROM {table};\n");
        }
    }
    script
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
        ("id,name\n1,\"a\n", "Line 2 is no CSV"),
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
