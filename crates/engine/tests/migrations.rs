//! Migrations without a server: applied in order, each whole or not at all, undone, refused where files and database disagree, and policies
//! with them.
#![allow(clippy::unwrap_used)]

use std::sync::Arc;
use tidebase_engine::migrations::{Migration, Report, Wanted, Way};
use tidebase_engine::{Code, Engine, Error, Format, Options, Origin, Params, Principal, Sql, SqlRequest};

struct World {
    engine: Arc<Engine>,
    folder: tempfile::TempDir,
}

impl World {
    fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        Self { engine: Engine::open(Options::new(folder.path().join("test.db"))).unwrap(), folder }
    }

    async fn migrate(&self, way: Way, files: &[Migration]) -> Result<Report, Error> {
        self.engine.migrate(Wanted::new(files.to_vec(), way, "admin")).await
    }

    async fn up(&self, files: &[Migration]) -> Vec<i64> {
        numbers(&self.migrate(Way::Up, files).await.unwrap())
    }

    async fn refused(&self, files: &[Migration]) -> Error {
        self.migrate(Way::Up, files).await.unwrap_err()
    }

    async fn sql(&self, sql: &str) -> String {
        let request = SqlRequest {
            statements: vec![Sql { sql: sql.into(), params: Params::None }],
            is_transaction: false,
            format: Format::Objects,
            idempotency: None,
            principal: Principal::Admin,
            origin: Origin::Sent,
            who: None,
        };
        match self.engine.query(request).await {
            Ok(answer) => String::from_utf8(answer.body.to_vec()).unwrap(),
            Err(error) => error.message,
        }
    }

    fn applied(&self) -> Vec<i64> {
        self.engine.migrations().unwrap().iter().map(|applied| applied.number).collect()
    }

    fn policies(&self) -> Vec<String> {
        self.engine.policies().into_iter().map(|policy| policy.name).collect()
    }
}

fn numbers(report: &Report) -> Vec<i64> {
    report.done.iter().map(|done| done.number).collect()
}

fn file(number: i64, text: &str) -> Migration {
    Migration::new(number, "x", text).unwrap()
}

#[tokio::test]
async fn what_is_missing_is_applied_once_and_in_order() {
    let world = World::new();
    let files = [
        file(2, "CREATE INDEX by_name ON boat (name);\n-- down\nDROP INDEX by_name;"),
        file(1, "CREATE TABLE boat (name TEXT); INSERT INTO boat VALUES ('Ada');\n-- down\nDROP TABLE boat;"),
    ];
    assert_eq!(world.up(&files).await, [1, 2]);
    let again = world.migrate(Way::Up, &files).await.unwrap();
    assert_eq!((numbers(&again), again.passed_over), (vec![], vec![1, 2]));
    let kept = world.engine.migrations().unwrap();
    assert_eq!((kept[0].down.as_deref(), kept[0].who.as_str()), (Some("DROP TABLE boat;"), "admin"));
    assert_eq!(kept[1].revision, world.engine.revision());
    let audit = world.sql("SELECT what, detail FROM _tide_audit ORDER BY id DESC LIMIT 1").await;
    assert_eq!(audit, r#"[{"what":"migration applied","detail":"{\"name\":\"x\",\"number\":2}"}]"#);
    // The files are gone; what was applied knows its way back.
    assert_eq!(numbers(&world.migrate(Way::Down, &[]).await.unwrap()), [2]);
    assert_eq!(numbers(&world.migrate(Way::Down, &[]).await.unwrap()), [1]);
    assert_eq!(numbers(&world.migrate(Way::Down, &[]).await.unwrap()), Vec::<i64>::new());
    assert!(world.sql("SELECT * FROM boat").await.contains("no such table"));
}

#[tokio::test]
async fn one_that_fails_leaves_nothing_and_says_where() {
    let world = World::new();
    let files = [
        file(1, "CREATE TABLE boat (name TEXT UNIQUE);"),
        file(
            2,
            "-- more boats\nINSERT INTO boat VALUES ('Ada');\nCREATE POLICY p ON boat FOR select USING (true);\nINSERT INTO boat\n  VALUES ('Ada');",
        ),
        file(3, "CREATE TABLE never (a);"),
    ];
    let error = world.refused(&files).await;
    assert_eq!(
        (error.code, error.message.as_str()),
        (
            Code::Conflict,
            "0002_x.sql, line 4, \"INSERT INTO boat VALUES ('Ada')\": UNIQUE constraint failed: boat.name. \
             Nothing of it was kept. Applied before it: 0001_x.sql."
        )
    );
    assert_eq!(
        (world.applied(), world.policies(), world.sql("SELECT * FROM boat").await),
        (vec![1], vec![], "[]".into())
    );
    let mended = [files[0].clone(), file(2, "INSERT INTO boat VALUES ('Ada');"), files[2].clone()];
    assert_eq!(world.up(&mended).await, [2, 3]);
}

#[tokio::test]
async fn files_that_tell_another_story_are_refused_before_anything_is_done() {
    let world = World::new();
    world.up(&[file(1, "CREATE TABLE a (x);"), file(3, "CREATE TABLE c (x);")]).await;
    for (files, words) in [
        (vec![file(1, "CREATE TABLE a (y);"), file(4, "CREATE TABLE d (x);")], "was changed after it was applied"),
        (
            vec![file(2, "CREATE TABLE b (x);"), file(4, "CREATE TABLE d (x);")],
            "0002_x.sql comes too late: 0003_x.sql is applied",
        ),
        (vec![file(4, "CREATE TABLE d (x);"), file(4, "CREATE TABLE e (x);")], "have the same number"),
        (
            vec![Migration::new(3, "other", "CREATE TABLE o (x);").unwrap()],
            "0003_other.sql: 0003_x.sql was applied under this number",
        ),
    ] {
        let error = world.refused(&files).await;
        assert!(error.code == Code::Conflict && error.message.contains(words), "{error}");
    }
    assert_eq!(world.applied(), [1, 3]);
    let error = world.migrate(Way::Down, &[]).await.unwrap_err();
    assert!(error.message.contains("0003_x.sql has no way back"), "{error}");
    let drifted = [file(3, "CREATE TABLE cc (x);\n-- down\nDROP TABLE cc;")];
    assert!(world.migrate(Way::Down, &drifted).await.is_err(), "the way back of another migration is none of this one");
}

#[tokio::test]
async fn two_who_migrate_at_once_do_it_once() {
    let world = World::new();
    let files: Vec<Migration> = (1..20)
        .map(|number| file(number, &format!("CREATE TABLE t{number} (a);\n-- down\nDROP TABLE t{number};")))
        .collect();
    let (one, other) = tokio::join!(world.migrate(Way::Up, &files), world.migrate(Way::Up, &files));
    let (one, other) = (one.unwrap(), other.unwrap());
    assert_eq!(one.done.len() + other.done.len(), 19);
    assert_eq!((one.passed_over.len() + other.passed_over.len(), world.applied().len()), (19, 19));
    let (one, other) = tokio::join!(world.migrate(Way::Down, &files), world.migrate(Way::Down, &files));
    assert_eq!(one.unwrap().done.len() + other.unwrap().done.len(), 1, "both meant the last one");
}

#[tokio::test]
async fn a_rehearsal_leaves_nothing() {
    let world = World::new();
    let files = [
        file(
            1,
            "CREATE TABLE boat (name TEXT); CREATE COLLECTION rooms; CREATE POLICY p ON boat FOR select USING (true);",
        ),
        file(2, "INSERT INTO boat VALUES ('Ada'); CREATE POLICY k ON kv FOR select USING (true);"),
    ];
    let wanted = |files: &[Migration]| Wanted { dry_run: true, ..Wanted::new(files.to_vec(), Way::Up, "admin") };
    let (revision, before) = (world.engine.revision(), world.sql("SELECT count(*) FROM sqlite_schema").await);
    assert_eq!(numbers(&world.engine.migrate(wanted(&files)).await.unwrap()), [1, 2]);
    let failing = [files[0].clone(), file(2, "INSERT INTO ship VALUES (1);")];
    let error = world.engine.migrate(wanted(&failing)).await.unwrap_err();
    assert!(
        error.message.contains("0002_x.sql, line 1")
            && error.message.ends_with("It was a rehearsal: nothing was kept."),
        "{error}"
    );
    let after = world.sql("SELECT count(*) FROM sqlite_schema").await;
    assert_eq!((world.applied(), world.policies(), world.engine.revision(), after), (vec![], vec![], revision, before));
    assert_eq!(world.up(&files).await, [1, 2]);
    assert_eq!(world.sql("SELECT name FROM boat").await, r#"[{"name":"Ada"}]"#);
}

#[tokio::test]
async fn policies_and_collections_migrate_too() {
    let world = World::new();
    let files = [
        file(
            1,
            "CREATE TABLE note (owner TEXT, body TEXT);
             CREATE POLICY \"own notes\" ON note FOR all TO user COLUMNS (owner, body)
               USING (owner = auth.uid() /* theirs */) WITH CHECK (length(body) < 10);
             CREATE COLLECTION \"rooms/messages\";
             CREATE POLICY \"read all\" ON \"rooms/messages\" FOR select USING (true);
             -- down
             DROP POLICY \"read all\" ON \"rooms/messages\";
             DROP COLLECTION \"rooms/messages\";
             DROP POLICY \"own notes\";
             DROP TABLE note;",
        ),
        file(
            2,
            "CREATE OR REPLACE POLICY \"own notes\" ON note FOR select USING (true);\n-- down\nDROP POLICY IF EXISTS nobody;",
        ),
    ];
    world.up(&files[..1]).await;
    let own = world.engine.policies()[0].clone();
    assert_eq!((own.using.as_deref(), own.columns.unwrap().len()), (Some("owner = auth.uid() /* theirs */"), 2));
    assert_eq!(world.engine.collections(), ["rooms/messages"]);
    world.up(&files).await;
    assert_eq!(world.engine.policies()[0].using.as_deref(), Some("true"));
    let all = Wanted { to: Some(0), ..Wanted::new(files.to_vec(), Way::Down, "admin") };
    assert_eq!(numbers(&world.engine.migrate(all).await.unwrap()), [2, 1]);
    assert_eq!((world.policies().len(), world.engine.collections().len()), (0, 0));
    world.up(&files).await;
    for (sql, words) in [
        ("CREATE POLICY \"own notes\" ON note FOR select USING (true)", "CREATE OR REPLACE POLICY takes its place"),
        ("CREATE POLICY q ON note FOR select USING (weight > 1)", "no such column: weight"),
        ("CREATE POLICY q ON nowhere FOR select USING (true)", "There is no table nowhere"),
        ("CREATE POLICY q ON note FOR select USING (random() > 0)", "another answer each time"),
        ("DROP POLICY q", "There is no policy q"),
        ("DROP POLICY \"own notes\" ON boat", "is one on note"),
        ("CREATE COLLECTION \"rooms/messages\"", "a collection rooms/messages already"),
        ("CREATE COLLECTION \"9\"", "no name of a collection"),
        ("DROP COLLECTION note", "There is no collection note"),
    ] {
        let error = world.refused(&[files[0].clone(), files[1].clone(), file(3, &format!("SELECT 1;\n{sql};"))]).await;
        assert!(error.message.contains(words) && error.message.contains("line 2"), "{sql}: {error}");
    }
}

#[tokio::test]
async fn a_migration_has_the_rights_of_sql_that_is_sent_and_no_others() {
    let world = World::new();
    world.sql("CREATE TABLE t (a)").await;
    for (sql, words) in [
        ("PRAGMA journal_mode = DELETE", "can be read here, not set"),
        ("PRAGMA writable_schema = ON", "not available"),
        ("DELETE FROM _tide_migrations", "kept by Tidebase"),
        ("SELECT * FROM _tide_credentials", "shown to nobody"),
        ("CREATE TABLE _tide_mine (a)", "reserved"),
        ("CREATE TEMP TABLE x (a)", "Temporary objects"),
        ("SELECT load_extension('x')", "load_extension"),
        ("INSERT INTO t VALUES (?)", "parameters"),
        ("INSERT OR ROLLBACK INTO t SELECT 1 FROM nowhere", "no such table"),
        (
            "CREATE TRIGGER r AFTER INSERT ON t BEGIN SELECT RAISE(ROLLBACK, 'all gone'); END; INSERT INTO t VALUES (1)",
            "all gone",
        ),
    ] {
        let error = world.refused(&[file(1, &format!("CREATE TABLE made (a);\n{sql};"))]).await;
        assert!(error.message.contains(words) && error.message.contains("line 2"), "{sql}: {error}");
        assert!(world.sql("SELECT * FROM made").await.contains("no such table"), "{sql}");
    }
    assert_eq!(
        world.up(&[file(1, "CREATE VIEW mine AS SELECT auth.uid() AS me; PRAGMA user_version = 4;")]).await,
        [1]
    );
    assert_eq!(
        world.sql("SELECT user_version, me FROM pragma_user_version, mine").await,
        r#"[{"user_version":4,"me":null}]"#
    );
}

#[tokio::test]
async fn references_are_off_where_the_first_line_says_so_and_judged_at_the_end() {
    let world = World::new();
    world.sql("CREATE TABLE parent (id INTEGER PRIMARY KEY, old); CREATE TABLE child (p REFERENCES parent ON DELETE CASCADE)").await;
    world.sql("INSERT INTO parent VALUES (1, 1); INSERT INTO child VALUES (1)").await;
    let rebuild = "CREATE TABLE beside (id INTEGER PRIMARY KEY, new);
        INSERT INTO beside (id) SELECT id FROM parent; DROP TABLE parent; ALTER TABLE beside RENAME TO parent;";
    world.up(&[file(1, &format!("PRAGMA foreign_keys = OFF;\n{rebuild}"))]).await;
    assert_eq!(world.sql("SELECT p, new FROM child JOIN parent ON id = p").await, r#"[{"p":1,"new":null}]"#);
    let error = world.refused(&[file(2, "PRAGMA foreign_keys = OFF;\nDELETE FROM parent;")]).await;
    assert!(
        error.message.contains("0002_x.sql: FOREIGN KEY") && error.message.contains("child to parent: 1"),
        "{error}"
    );
    assert_eq!(world.sql("INSERT INTO child VALUES (9)").await, "FOREIGN KEY constraint failed");
    assert_eq!(world.sql("DELETE FROM parent; SELECT count(*) AS n FROM child").await, r#"[{"n":0}]"#);
}

#[tokio::test]
async fn one_that_takes_too_long_or_is_of_no_interest_any_more_is_undone() {
    let folder = tempfile::tempdir().unwrap();
    let mut options = Options::new(folder.path().join("test.db"));
    options.limits.migration_time_max = std::time::Duration::from_millis(50);
    let world = World { engine: Engine::open(options).unwrap(), folder };
    let endless = "CREATE TABLE t (a);\nINSERT INTO t WITH RECURSIVE c(n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM c) SELECT n FROM c;";
    let error = world.refused(&[file(1, endless)]).await;
    assert_eq!(error.code, Code::Timeout);
    assert!(error.message.contains("0001_x.sql, line 2"), "{error}");
    assert!(world.sql("SELECT * FROM t").await.contains("no such table"));
    assert!(world.folder.path().exists());
}

/// Small dice, so that a failure's seed brings it again.
struct Dice(u64);

impl Dice {
    fn below(&mut self, bound: u64) -> u64 {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (self.0 >> 33) % bound
    }

    fn pick<'a>(&mut self, of: &[&'a str]) -> &'a str {
        of[usize::try_from(self.below(of.len() as u64)).unwrap()]
    }
}

/// A statement that changes a schema; some fail, for what they name is not there.
fn change(dice: &mut Dice) -> String {
    let table = dice.pick(&["a", "b", "\"odd name\"", "select_", "\"it's\""]);
    let other = dice.pick(&["a", "b", "\"odd name\""]);
    let column = dice.pick(&["c1", "c2", "\"c 3\"", "c4"]);
    let kind = dice.pick(&[
        "",
        "TEXT",
        "INTEGER NOT NULL DEFAULT 7",
        "TEXT NOT NULL",
        "REAL CHECK (1 < 2)",
        "TEXT DEFAULT (lower('X'))",
        "TEXT DEFAULT ', )'",
        "INTEGER REFERENCES a (id)",
        "AS (1 + 1)",
        "TEXT COLLATE NOCASE",
        "TEXT UNIQUE",
        "DEFAULT CURRENT_TIMESTAMP",
        "AS (2) STORED",
    ]);
    match dice.below(18) {
        0..=2 => {
            let options = dice.pick(&["", "", " WITHOUT ROWID", " STRICT"]);
            let kind = if options == " STRICT" { "TEXT" } else { kind };
            let key =
                dice.pick(&["id INTEGER PRIMARY KEY", "id INTEGER PRIMARY KEY AUTOINCREMENT", "id TEXT PRIMARY KEY"]);
            format!("CREATE TABLE {table} ({key}, {column} {kind} /* a, comment */, z TEXT, CHECK (z <> ';')){options}")
        }
        3 => format!("DROP TABLE {table}"),
        4 | 5 => format!("ALTER TABLE {table} ADD COLUMN {column} {kind}"),
        6 => format!("ALTER TABLE {table} DROP COLUMN {column}"),
        7 => format!("ALTER TABLE {table} RENAME COLUMN {column} TO renamed"),
        8 => format!("ALTER TABLE {table} RENAME TO {other}"),
        9 => format!("CREATE INDEX i{} ON {table} ({column}, z)", dice.below(3)),
        10 => format!("CREATE VIEW v{} AS SELECT * FROM {table} -- all", dice.below(3)),
        11 => format!("CREATE VIEW v{} AS SELECT id FROM v{}", dice.below(3), dice.below(3)),
        12 => format!(
            "CREATE TRIGGER t{} AFTER INSERT ON {table} BEGIN UPDATE {other} SET z = new.z; SELECT CASE WHEN 1 THEN 2 END; END",
            dice.below(3)
        ),
        13 => format!(
            "DROP {}{}",
            dice.pick(&["VIEW v", "INDEX i", "TRIGGER t", "TABLE f", "POLICY p", "COLLECTION docs"]),
            dice.below(3)
        ),
        14 => format!("CREATE VIRTUAL TABLE f{} USING {}", dice.below(3), dice.pick(&["fts5(t)", "rtree(id, x0, x1)"])),
        15 => format!(
            "CREATE {}POLICY p{} ON {table} FOR {}",
            dice.pick(&["", "OR REPLACE "]),
            dice.below(3),
            dice.pick(&[
                "select USING (z = auth.uid() -- own\n)",
                "all TO user USING (id = 1)",
                "insert COLUMNS (id, z) WITH CHECK (true)"
            ])
        ),
        16 => format!("CREATE COLLECTION docs{}", dice.below(3)),
        _ => format!(
            "CREATE TRIGGER u{} INSTEAD OF INSERT ON v{} BEGIN DELETE FROM {table}; END",
            dice.below(3),
            dice.below(3)
        ),
    }
}

#[test]
fn the_difference_of_two_schemas_leads_from_one_to_the_other_and_back() {
    use tidebase_engine::migrations::file::Script;
    use tidebase_engine::migrations::{Shape, difference, replay};
    let rounds: u64 = std::env::var("ROUNDS").ok().and_then(|rounds| rounds.parse().ok()).unwrap_or(60);
    let (mut differences, mut refused) = (0, 0);
    for seed in 0..rounds {
        let mut dice = Dice(seed);
        let mut files: Vec<Migration> = Vec::new();
        let mut live = replay::of_migrations(&[]).unwrap();
        for number in 1..=4 {
            for _ in 0..=dice.below(8) {
                // What fails is no part of the history.
                let script = Script { text: change(&mut dice), first_line: 1 };
                let _ = replay::apply(&mut live, "a change", &script);
            }
            let now = Shape::read(&live.own).unwrap();
            let told = Shape::read(&replay::of_migrations(&files).unwrap().own).unwrap();
            match difference::written(number, "step", &told, &now) {
                Ok(None) => assert_eq!(told.differs(&now), None),
                Ok(Some((migration, text))) => {
                    differences += 1;
                    let before = files.clone();
                    files.push(migration.clone());
                    let mut again =
                        replay::of_migrations(&files).unwrap_or_else(|error| panic!("seed {seed}: {error}\n{text}"));
                    let reached = Shape::read(&again.own).unwrap();
                    assert_eq!(reached.differs(&now), None, "seed {seed}, up:\n{text}");
                    replay::apply(&mut again, "back", migration.down.as_ref().unwrap()).unwrap();
                    let before = Shape::read(&replay::of_migrations(&before).unwrap().own).unwrap();
                    assert_eq!(Shape::read(&again.own).unwrap().differs(&before), None, "seed {seed}, down:\n{text}");
                }
                Err(error) => {
                    refused += 1;
                    if std::env::var_os("SHOW").is_some() {
                        println!("seed {seed}: {error}");
                    }
                    break;
                }
            }
        }
    }
    assert!(differences > rounds && refused * 20 < rounds, "{differences} differences, {refused} refused");
}

#[test]
fn what_the_server_makes_by_itself_is_no_difference() {
    use tidebase_engine::migrations::file::Script;
    use tidebase_engine::migrations::{Shape, difference, replay};
    let mut live = replay::of_migrations(&[]).unwrap();
    let told = Shape::read(&live.own).unwrap();
    let mut written = |sql: &str| {
        replay::apply(&mut live, "by hand", &Script { text: sql.into(), first_line: 1 }).unwrap();
        let now = Shape::read(&live.own).unwrap();
        difference::written(1, "x", &told, &now).unwrap().map(|(migration, _)| migration.up.text)
    };
    let policy =
        written("CREATE POLICY k ON kv FOR select USING (true); INSERT INTO kv (key, value) VALUES ('a', '1')")
            .unwrap();
    assert!(policy.contains("CREATE POLICY \"k\" ON \"kv\"") && !policy.contains("CREATE TABLE"), "{policy}");
    assert_eq!(written("DROP POLICY k"), None);
    let rooms = written("CREATE COLLECTION rooms; CREATE INDEX by_name ON rooms (data ->> 'name')").unwrap();
    assert!(rooms.contains("CREATE COLLECTION IF NOT EXISTS \"rooms\";\nCREATE INDEX by_name"), "{rooms}");
    assert!(!rooms.contains("unstamped"), "{rooms}");
}

#[tokio::test]
async fn rows_outlive_the_differences_that_are_written() {
    use tidebase_engine::migrations::{Shape, difference, replay};
    let world = World::new();
    let first = file(
        1,
        "CREATE TABLE boat (id INTEGER PRIMARY KEY AUTOINCREMENT, name TEXT, old TEXT);
         CREATE TABLE crew (boat INTEGER REFERENCES boat (id) ON DELETE CASCADE, who TEXT);
         CREATE VIEW names AS SELECT name FROM boat;
         CREATE TRIGGER noted AFTER DELETE ON boat BEGIN DELETE FROM crew WHERE who = old.name; END;
         CREATE INDEX by_name ON boat (name);",
    );
    world.up(std::slice::from_ref(&first)).await;
    world.sql("INSERT INTO boat VALUES (1, 'Ada', 'x'), (9, 'Bo', 'y'); DELETE FROM boat WHERE id = 9; INSERT INTO crew VALUES (1, 'Cy')").await;
    let mut wanted = replay::of_migrations(std::slice::from_ref(&first)).unwrap();
    let script = "DROP TRIGGER noted; DROP VIEW names; DROP TABLE boat;
         CREATE TABLE boat (id INTEGER PRIMARY KEY AUTOINCREMENT, name TEXT NOT NULL CHECK (name <> ''), length REAL);
         CREATE VIEW names AS SELECT name, length FROM boat;
         CREATE TRIGGER noted AFTER DELETE ON boat BEGIN DELETE FROM crew WHERE who = old.name; END;
         CREATE INDEX by_name ON boat (name);";
    let script = tidebase_engine::migrations::file::Script { text: script.into(), first_line: 1 };
    replay::apply(&mut wanted, "wanted", &script).unwrap();
    let from = Shape::read(&replay::of_migrations(std::slice::from_ref(&first)).unwrap().own).unwrap();
    let (second, text) = difference::written(2, "x", &from, &Shape::read(&wanted.own).unwrap()).unwrap().unwrap();
    assert!(text.contains("-- Loses the column old of boat."), "{text}");
    world.up(&[first.clone(), second.clone()]).await;
    assert_eq!(
        world.sql("SELECT * FROM boat JOIN crew ON boat = id").await,
        r#"[{"id":1,"name":"Ada","length":null,"boat":1,"who":"Cy"}]"#
    );
    assert_eq!(world.sql("INSERT INTO boat (name) VALUES ('Di') RETURNING id").await, r#"[{"id":10}]"#, "{text}");
    assert_eq!(world.sql("SELECT * FROM names").await, r#"[{"name":"Ada","length":null},{"name":"Di","length":null}]"#);
    world.migrate(Way::Down, &[]).await.unwrap();
    assert_eq!(
        world.sql("SELECT name, old FROM boat").await,
        r#"[{"name":"Ada","old":null},{"name":"Di","old":null}]"#
    );
}
