//! Databases that must survive a journey: one with everything SQLite has, and random ones. For the test beside this file, and for the trial
//! that sends them through the real program (`crates/trials/src/roundtrip`).

/// Everything SQLite has a feature for.
pub const FEATURES: &str = r#"
    CREATE TABLE plain (a, b TEXT, c BLOB);
    INSERT INTO plain VALUES (1, 'it''s; -- no comment', x'00ff'), (NULL, '', x''), (1.5, 'line
feed', NULL), (9223372036854775807, 'grüße 🌊', 1e999), (-9223372036854775808, 'a' || char(0) || 'b', -1e999),
      ('12', CAST(x'fffe' AS TEXT), 4.9e-324), ('win', 'dows:' || char(13, 10) || '\r' || char(13), NULL);
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
pub const VIRTUAL: &str = r"
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

/// A generator of its own, so that a seed means the same for ever.
pub struct Random(pub u64);

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
pub fn random_script(random: &mut Random) -> String {
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
