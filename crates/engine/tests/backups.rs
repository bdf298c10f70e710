//! What was restored is what was there: at every moment that was kept, after stops, crashes, strangers and damage.
//!
//! The oracle is SQLite: [`whole`] is all that is in a file, and was noted when the moment was there.

#![allow(clippy::unwrap_used)]

mod client;
#[path = "backups/damage.rs"]
mod damage;

use client::Client;
use rusqlite::Connection;
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;
use tidebase_engine::backups::{Archive, Moment, Report, folder_of, restore, verify};
use tidebase_engine::{Code, Engine, Limits, Options, Params, SqlRequest};

const PATIENCE: Duration = Duration::from_secs(20);
const DAY_MS: i64 = 86_400_000;

/// Small, so that the WAL begins anew often.
fn limits() -> Limits {
    Limits { wal_checkpoint_bytes: 256 << 10, ..Limits::default() }
}

fn options(path: &Path) -> Options {
    Options { limits: limits(), backups: Some(folder_of(path)), ..Options::new(path) }
}

struct World {
    folder: tempfile::TempDir,
    path: PathBuf,
    engine: Arc<Engine>,
    dice: Dice,
    /// What was there, by revision.
    truth: Vec<(i64, Vec<String>)>,
}

/// xorshift64*: Vigna, "An experimental exploration of Marsaglia's xorshift generators, scrambled".
struct Dice(u64);

impl Dice {
    fn below(&mut self, bound: u64) -> u64 {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        self.0.wrapping_mul(0x2545_f491_4f6c_dd1d) % bound
    }
}

impl World {
    async fn new(seed: u64) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("test.db");
        let engine = Engine::open(options(&path)).unwrap();
        let world = Self { folder, path, engine, dice: Dice(seed), truth: Vec::new() };
        world.sql("CREATE TABLE t (id INTEGER PRIMARY KEY, k TEXT UNIQUE, v BLOB)").await;
        world.sql("CREATE INDEX by_length ON t (length(v), k)").await;
        world
    }

    async fn sql(&self, sql: &str) -> i64 {
        self.engine.query(SqlRequest::query(sql, Params::None)).await.unwrap().revision
    }

    /// A few commits, and what then is there, kept.
    async fn step(&mut self) {
        for _ in 0..=self.dice.below(3) {
            let (key, many, bytes) = (self.dice.below(300), self.dice.below(40) + 1, self.dice.below(9000));
            let sql = match self.dice.below(14) {
                0 => "DELETE FROM t WHERE id % 3 = 0".into(),
                1 => format!("CREATE TABLE IF NOT EXISTS more{} AS SELECT * FROM t LIMIT {many}", key % 3),
                2 => format!("DROP TABLE IF EXISTS more{}", key % 3),
                3 => "VACUUM".into(),
                4 | 5 => format!("UPDATE t SET v = randomblob({bytes}) WHERE id % 7 = {}", key % 7),
                _ => format!(
                    "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < {many})
                     INSERT OR REPLACE INTO t (k, v) SELECT 'k' || ({key} + i), randomblob({bytes} / 4) FROM n"
                ),
            };
            self.sql(&sql).await;
        }
        self.note();
    }

    fn note(&mut self) {
        assert!(self.backups().flush(PATIENCE), "{:?}", self.backups().report());
        self.truth.push((self.engine.revision(), whole(&self.path)));
    }

    fn backups(&self) -> &tidebase_engine::backups::Backups {
        self.engine.backups().unwrap()
    }

    fn root(&self) -> PathBuf {
        folder_of(&self.path)
    }

    fn report(&self) -> Report {
        self.backups().report().unwrap()
    }

    fn files(&self, level: &str) -> usize {
        self.report().levels.iter().find(|of| of.level == level).map_or(0, |of| of.files)
    }

    /// Restores what was noted and looks whether it is that.
    fn check(&self, index: usize) {
        let (revision, expected) = &self.truth[index];
        let to = self.folder.path().join(format!("restored-{index}"));
        let restored = restore(&self.root(), Moment::Revision(*revision), &to).unwrap();
        assert_eq!(restored.revision, Some(*revision));
        assert_eq!(&whole(&to), expected, "revision {revision}");
        let connection = Connection::open(&to).unwrap();
        let verdict: String = connection.query_row("PRAGMA integrity_check", [], |row| row.get(0)).unwrap();
        assert_eq!(verdict, "ok");
        drop(connection);
        fs::remove_file(to).unwrap();
    }

    fn check_all(&self) {
        (0..self.truth.len()).for_each(|index| self.check(index));
    }

    fn stop(&self) {
        self.engine.close();
    }

    fn start(&mut self) {
        self.engine = Engine::open(options(&self.path)).unwrap();
    }

    /// As the files are this very moment, somewhere else: what a kill leaves.
    fn killed(self) -> Self {
        self.killed_at(time_ms())
    }

    /// The same, with the time at which the WAL was written last.
    fn killed_at(self, left_at: i64) -> Self {
        self.killed_with(left_at, |_| {})
    }

    /// The same; and what is done with the file before anybody serves it again.
    fn killed_with(self, left_at: i64, meanwhile: impl FnOnce(&Path)) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("test.db");
        // It goes on meanwhile: lists before their files, those before the WAL they are made of, that before the database it is
        // brought into. So nothing is in neither.
        copy_folder(&self.root(), &folder_of(&path));
        let wal = path.with_extension("db-wal");
        fs::copy(self.path.with_extension("db-wal"), &wal).unwrap();
        let left_at = std::time::UNIX_EPOCH + Duration::from_millis(left_at.cast_unsigned());
        fs::File::options().write(true).open(&wal).unwrap().set_modified(left_at).unwrap();
        fs::copy(&self.path, &path).unwrap();
        meanwhile(&path);
        let engine = Engine::open(options(&path)).unwrap();
        Self { folder, path, engine, dice: Dice(self.dice.0), truth: self.truth.clone() }
    }
}

fn copy_folder(from: &Path, to: &Path) {
    fs::create_dir_all(to).unwrap();
    let mut entries: Vec<PathBuf> = fs::read_dir(from).unwrap().map(|entry| entry.unwrap().path()).collect();
    // The lists of files before the files.
    entries.sort_by_key(|entry| entry.is_dir());
    for entry in entries {
        let to = to.join(entry.file_name().unwrap());
        if entry.is_dir() {
            copy_folder(&entry, &to);
        } else if let Err(error) = fs::copy(&entry, to) {
            assert_eq!(error.kind(), std::io::ErrorKind::NotFound, "a draft became a file: {}", entry.display());
        }
    }
}

/// All rows of all tables but those that tell of the server itself.
fn whole(path: &Path) -> Vec<String> {
    let connection = Connection::open(path).unwrap();
    connection.set_db_config(rusqlite::config::DbConfig::SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE, true).unwrap();
    let of = |sql: &str| -> Vec<String> {
        let mut statement = connection.prepare(sql).unwrap();
        let columns = statement.column_count();
        let row = |row: &rusqlite::Row<'_>| {
            (0..columns).map(|at| Ok(format!("{:?}", row.get_ref(at)?))).collect::<rusqlite::Result<Vec<_>>>()
        };
        statement.query_map([], row).unwrap().map(|row| row.unwrap().join("|")).collect()
    };
    let mut all = of("SELECT type, name, sql FROM sqlite_schema ORDER BY type, name");
    all.extend(of("SELECT revision, time FROM _tide_log ORDER BY revision"));
    let mut tables = connection
        .prepare("SELECT name FROM sqlite_schema WHERE type = 'table' AND name NOT LIKE '\\_tide%' ESCAPE '\\'")
        .unwrap();
    let names: Vec<String> = tables.query_map([], |row| row.get(0)).unwrap().map(Result::unwrap).collect();
    for name in names {
        all.extend(of(&format!("SELECT '{name}', rowid, * FROM \"{name}\" ORDER BY rowid")));
    }
    all
}

#[tokio::test]
async fn every_moment_that_was_kept_comes_back() {
    for seed in [1, 2, 3] {
        let mut world = World::new(seed).await;
        for _ in 0..40 {
            world.step().await;
        }
        world.check_all();
        let wal = fs::metadata(world.path.with_extension("db-wal")).unwrap().len();
        assert!(wal < 8 << 20, "the WAL has {wal} bytes: it is emptied");
        assert_eq!(world.files("snapshots"), 1);
        let checked = verify(&Archive::read(&world.root()).unwrap(), |_| Ok(()), |_, _, _| {}).unwrap();
        assert!(checked.damaged.is_empty() && checked.files > 40, "{checked:?}");
        // Later the seconds have become minutes, and the minutes hours; what they were made of is gone.
        let now = world.report().newest.unwrap();
        assert!(now.revision.is_some());
        let later = time_ms() + 2 * DAY_MS;
        world.backups().tidy(later).unwrap();
        world.backups().tidy(later + 2 * DAY_MS).unwrap();
        assert_eq!(world.files("seconds"), 0);
        assert!(world.files("hours") >= 1 && world.files("minutes") >= 1, "{:?}", world.report());
        world.check(world.truth.len() - 1);
        // And then only the last snapshot before the time that is kept counts.
        world.step().await;
        world.backups().tidy(later + 8 * DAY_MS).unwrap();
        world.backups().tidy(later + 60 * DAY_MS).unwrap();
        assert_eq!(world.files("snapshots"), 1, "{:?}", world.report());
        world.check(world.truth.len() - 1);
    }
}

fn time_ms() -> i64 {
    let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap();
    i64::try_from(now.as_millis()).unwrap()
}

#[tokio::test]
async fn a_stop_and_a_kill_leave_no_gap_and_write_nothing_twice() {
    let mut world = World::new(5).await;
    for round in 0..6 {
        for _ in 0..4 {
            world.step().await;
        }
        if round % 2 == 0 {
            world.stop();
            assert!(!world.path.with_extension("db-wal").exists(), "one plain file is left");
            world.start();
        } else {
            // What was committed last is in no file yet.
            world.sql("INSERT INTO t (k, v) VALUES ('last words', randomblob(100)) ON CONFLICT DO UPDATE SET v = excluded.v").await;
            world = world.killed();
            world.note();
        }
        assert_eq!(world.files("snapshots"), 1, "round {round}");
    }
    world.check_all();
}

#[tokio::test]
async fn what_another_program_did_meanwhile_is_kept_with_all_pages() {
    let mut world = World::new(6).await;
    world.step().await;
    world.stop();
    Connection::open(&world.path).unwrap().execute("INSERT INTO t (k) VALUES ('from outside')", []).unwrap();
    world.start();
    // It had no revision of its own: what stood there last counts for the one there was.
    world.truth.clear();
    world.note();
    assert_eq!(world.files("snapshots"), 2);
    // While it is served, too: what it writes is in the WAL, unless it empties that.
    let outside = Connection::open(&world.path).unwrap();
    outside.busy_timeout(PATIENCE).unwrap();
    let before = world.engine.revision();
    outside.execute("INSERT INTO t (k) VALUES ('from outside, again')", []).unwrap();
    world.engine.wait_for(before + 1, PATIENCE).await.unwrap();
    world.step().await;
    assert_eq!(world.files("snapshots"), 2);
    world.sql("INSERT INTO t (k) VALUES ('not kept yet')").await;
    outside.query_row("PRAGMA wal_checkpoint(TRUNCATE)", [], |_| Ok(())).unwrap();
    outside.execute("INSERT INTO t (k) VALUES ('after it was emptied')", []).unwrap();
    let last = world.sql("INSERT INTO t (k) VALUES ('and then')").await;
    let begun = std::time::Instant::now();
    while !world.backups().flush(PATIENCE) || world.report().newest.unwrap().revision != Some(last) {
        assert!(begun.elapsed() < PATIENCE, "{:?}", world.report());
        tokio::task::yield_now().await;
    }
    world.note();
    world.check_all();
}

#[tokio::test]
async fn what_cannot_be_restored_is_told() {
    let mut world = World::new(8).await;
    world.step().await;
    let to = world.folder.path().join("to");
    let refused = |moment| restore(&world.root(), moment, &to).unwrap_err();
    let error = refused(Moment::Revision(1_000_000));
    assert!(error.code == Code::Invalid && error.message.contains("the newest there is"), "{error}");
    let error = refused(Moment::Revision(-1));
    assert!(error.code == Code::NotFound && error.message.contains("the first backup is of"), "{error}");
    let error = refused(Moment::Time(1_000_000));
    assert!(error.message.contains("tidebase backup list"), "{error}");
    fs::write(&to, "mine").unwrap();
    assert_eq!(refused(Moment::Latest).code, Code::Conflict);
    assert_eq!(fs::read(&to).unwrap(), b"mine");
    let error = restore(&world.folder.path().join("no"), Moment::Latest, &to).unwrap_err();
    assert_eq!(error.code, Code::NotFound);
    // Another database, or another server, does not write into the same folder.
    let other = Options { backups: Some(world.root()), ..Options::new(world.folder.path().join("other.db")) };
    let error = Engine::open(other.clone()).err().unwrap();
    assert!(error.message.contains("Another server"), "{error}");
    world.stop();
    let error = Engine::open(other).err().unwrap();
    assert!(error.message.contains("another database"), "{error}");
}

#[tokio::test]
async fn a_server_goes_back_and_forth_while_everybody_is_connected() {
    let mut world = World::new(9).await;
    world.sql("CREATE TABLE notes (id INTEGER PRIMARY KEY, text TEXT)").await;
    world.sql("INSERT INTO notes VALUES (1, 'before')").await;
    world.note();
    let history = world.engine.history();
    let database = client::Database { engine: Arc::clone(&world.engine), folder: tempfile::tempdir().unwrap() };
    let mut client = Client::connect(&database).await;
    client.live(&database, "notes", "SELECT id, text FROM notes ORDER BY id").await;
    client.wait(|client| client.lives["notes"].rows.len() == 1).await;
    world.sql("INSERT INTO notes VALUES (2, 'after')").await;
    world.sql("ALTER TABLE notes ADD COLUMN mood TEXT").await;
    world.note();
    client.wait(|client| client.lives["notes"].rows.len() == 2).await;
    let (first, last) = (world.truth[0].0, world.truth[1].0);
    let fork = world.engine.fork(Moment::Revision(first), "admin").unwrap();
    let answer = world.engine.swap(fork).await.unwrap();
    assert_eq!(answer.revision, last + 1);
    assert_eq!(data(&whole(&world.path)), data(&world.truth[0].1));
    assert_ne!(world.engine.history(), history, "clients of before do not go on by revisions");
    client.wait(|client| client.lives["notes"].rows.len() == 1).await;
    world.sql("INSERT INTO notes VALUES (3, 'another way')").await;
    client.wait(|client| client.lives["notes"].rows.len() == 2).await;
    world.note();
    // And back again: the state before is a revision like any other.
    let fork = world.engine.fork(Moment::Revision(last), "admin").unwrap();
    world.engine.swap(fork).await.unwrap();
    assert_eq!(data(&whole(&world.path)), data(&world.truth[1].1));
    client.wait(|client| client.lives["notes"].rows.iter().any(|(_, row)| row[1] == "after")).await;
    world.note();
    world.check_all();
    let audit = "SELECT count(*) FROM _tide_audit WHERE what = 'restored'";
    let restored: i64 = Connection::open(&world.path).unwrap().query_row(audit, [], |row| row.get(0)).unwrap();
    assert_eq!(restored, 2, "what was done stays on record");
    world.stop();
    world.start();
    assert_eq!(data(&whole(&world.path)), data(&world.truth[1].1));
    assert_eq!(Archive::read(&world.root()).unwrap().records().filter(|record| record.level == 9).count(), 1);
}

/// Without the log of changes, which a restore goes on with.
fn data(whole: &[String]) -> Vec<&String> {
    whole.iter().filter(|line| line.contains("Text(")).collect()
}

/// Another program, with SQLite's own habits: it checkpoints by itself.
fn stranger(world: &World) -> Connection {
    let outside = Connection::open(&world.path).unwrap();
    outside.busy_timeout(PATIENCE).unwrap();
    outside
}

/// When nobody writes any more, the newest state is what there is.
async fn agrees(world: &World) {
    let to = world.folder.path().join("agrees.db");
    let begun = std::time::Instant::now();
    loop {
        // A change by another program is found by looking, now and then.
        let last = world.sql("INSERT OR REPLACE INTO t (k, v) VALUES ('agrees', randomblob(9))").await;
        assert!(begun.elapsed() < PATIENCE * 3, "{last}: {:?}", world.report());
        if !world.backups().flush(PATIENCE) {
            continue;
        }
        for left in ["db", "db-wal", "db-shm"] {
            let _ = fs::remove_file(to.with_extension(left));
        }
        let expected = whole(&world.path);
        if restore(&world.root(), Moment::Latest, &to).is_ok() && whole(&to) == expected {
            break;
        }
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    let connection = Connection::open(&to).unwrap();
    let verdict: String = connection.query_row("PRAGMA integrity_check", [], |row| row.get(0)).unwrap();
    assert_eq!(verdict, "ok");
}

#[tokio::test]
async fn a_program_that_empties_the_wal_again_and_again_is_noticed() {
    let world = World::new(10).await;
    world.sql("CREATE TABLE acct (id INTEGER PRIMARY KEY, bal INTEGER, pad BLOB)").await;
    world
        .sql(
            "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 600)
             INSERT INTO acct SELECT i, 0, randomblob(3500) FROM n",
        )
        .await;
    let outside = stranger(&world);
    outside.pragma_update(None, "wal_autocheckpoint", 200).unwrap();
    for round in 0..8 {
        world.sql("UPDATE acct SET pad = pad WHERE id % 2 = 0").await;
        outside.execute("UPDATE acct SET bal = bal + 1", []).unwrap();
        outside.execute("UPDATE acct SET bal = bal + 1 WHERE id = 1", []).unwrap();
        if round % 3 == 2 {
            let _ = outside.query_row("PRAGMA wal_checkpoint(RESTART)", [], |_| Ok(()));
            outside.execute("INSERT INTO acct (bal, pad) VALUES (1, randomblob(3500))", []).unwrap();
        }
        world.sql("INSERT INTO acct (bal) VALUES (0)").await;
        agrees(&world).await;
    }
}

#[tokio::test]
async fn a_program_that_writes_all_the_time_loses_nothing_of_the_backups() {
    let mut world = World::new(11).await;
    let outside = stranger(&world);
    let (stop, stopped) = std::sync::mpsc::channel::<()>();
    let writing = std::thread::spawn(move || {
        for number in 0.. {
            if stopped.try_recv() != Err(std::sync::mpsc::TryRecvError::Empty) {
                break;
            }
            let row = "INSERT INTO t (k, v) VALUES (?1, randomblob(900)) ON CONFLICT DO UPDATE SET v = excluded.v";
            outside.execute(row, [format!("outside {}", number % 50)]).unwrap();
            // Who takes the lock again at once lets nobody else have it.
            std::thread::sleep(Duration::from_millis(2));
        }
    });
    for _ in 0..20 {
        let key = world.dice.below(300);
        let sql = format!("INSERT OR REPLACE INTO t (k, v) VALUES ('k{key}', randomblob(6000))");
        // The other one may have the lock for longer than a write waits.
        while world.engine.query(SqlRequest::query(sql.as_str(), Params::None)).await.is_err() {}
    }
    drop(stop);
    writing.join().unwrap();
    agrees(&world).await;
}

#[tokio::test]
async fn what_is_taken_from_the_folder_is_made_good_by_all_pages_anew() {
    let mut world = World::new(12).await;
    for _ in 0..6 {
        world.step().await;
    }
    // A file in the middle.
    let groups = world.root().join("ltx/0");
    let mut names: Vec<_> = fs::read_dir(&groups).unwrap().map(|entry| entry.unwrap().path()).collect();
    names.sort();
    fs::remove_file(&names[names.len() / 2]).unwrap();
    world.backups().tidy(time_ms()).unwrap();
    agrees(&world).await;
    assert_eq!(world.files("snapshots"), 2);
    // The only snapshots.
    world.backups().tidy(time_ms()).unwrap();
    fs::remove_dir_all(world.root().join("ltx/9")).unwrap();
    world.backups().tidy(time_ms()).unwrap();
    agrees(&world).await;
    // All of it.
    fs::remove_dir_all(world.root()).unwrap();
    agrees(&world).await;
    world.note();
    world.check(world.truth.len() - 1);
    // And what says whose it is, while nobody serves: then the folder is set aside as a whole.
    world.stop();
    fs::write(world.root().join("about.json"), "{").unwrap();
    world.start();
    agrees(&world).await;
    let aside = fs::read_dir(world.folder.path()).unwrap().map(|entry| entry.unwrap().file_name());
    assert_eq!(aside.filter(|name| name.to_string_lossy().contains("-damaged-")).count(), 1);
    assert_eq!(world.report().set_aside, 1);
}

#[tokio::test]
async fn what_a_crash_caught_has_the_time_of_its_commit() {
    let mut world = World::new(16).await;
    world.step().await;
    world.sql("INSERT INTO t (k) VALUES ('last words')").await;
    let said = time_ms();
    world = world.killed_at(said);
    until_after(said).await;
    world.note();
    let to = world.folder.path().join("to");
    restore(&world.root(), Moment::Time(said), &to).unwrap();
    assert_eq!(whole(&to), world.truth.last().unwrap().1, "{:?}", world.report());
}

#[tokio::test]
async fn what_was_not_kept_for_long_before_a_crash_is_a_gap() {
    let mut world = World::new(18).await;
    world.step().await;
    world.sql("INSERT INTO t (k) VALUES ('long ago')").await;
    let mut world = world.killed_with(time_ms(), |path| {
        let outside = Connection::open(path).unwrap();
        outside.set_db_config(rusqlite::config::DbConfig::SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE, true).unwrap();
        let ago = "UPDATE _tide_log SET time = time - 10000 WHERE revision = (SELECT max(revision) FROM _tide_log)";
        outside.execute_batch(ago).unwrap();
    });
    world.truth.clear();
    world.note();
    world.check_all();
    let report = world.report();
    assert_eq!((report.gaps.len(), world.files("snapshots")), (1, 2), "{report:?}");
    let archive = Archive::read(&world.root()).unwrap();
    let snapshot = archive.records().filter(|record| record.level == 9).map(|record| record.time_ms).max().unwrap();
    let inside = Moment::Time(i64::try_from(snapshot).unwrap() - 1);
    let refused = restore(&world.root(), inside, &world.folder.path().join("to")).unwrap_err();
    assert!(refused.message.contains("there is a gap"), "{refused}");
}

#[tokio::test]
async fn a_commit_has_the_time_at_which_others_see_it() {
    let world = World::new(19).await;
    assert!(world.backups().flush(PATIENCE));
    let rows = "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 20000)";
    let begun = time_ms();
    world.sql(&format!("{rows} INSERT INTO t (k, v) SELECT 'k' || i, randomblob(100) FROM n")).await;
    let middle = i64::midpoint(begun, time_ms());
    assert!(world.backups().flush(PATIENCE));
    let to = world.folder.path().join("to");
    restore(&world.root(), Moment::Time(middle), &to).unwrap();
    let rows: i64 = Connection::open(&to).unwrap().query_row("SELECT count(*) FROM t", [], |row| row.get(0)).unwrap();
    assert_eq!(rows, 0);
}

#[tokio::test]
async fn seconds_in_which_nothing_could_be_kept_are_told_apart_afterwards() {
    let mut world = World::new(17).await;
    world.step().await;
    let Some(unwritable) = ReadOnly::mount(&world.root()) else { return eprintln!("nothing can be mounted here") };
    let mut said = Vec::new();
    for second in 0..3 {
        world.sql(&format!("INSERT INTO t (k) VALUES ('second {second}')")).await;
        said.push((time_ms(), world.engine.revision()));
        assert!(!world.backups().flush(PATIENCE), "it cannot be written");
        // Nor can files be merged; none is damaged by that.
        world.backups().tidy(time_ms() + 2 * DAY_MS).unwrap_err();
        until_after(time_ms().div_euclid(1000) * 1000 + 1000).await;
    }
    assert!(!world.report().ok);
    drop(unwritable);
    while !world.backups().flush(PATIENCE) {
        tokio::task::yield_now().await;
    }
    for (time, revision) in said {
        let to = world.folder.path().join(format!("to-{revision}"));
        assert_eq!(restore(&world.root(), Moment::Time(time), &to).unwrap().revision, Some(revision));
    }
    assert!(world.report().ok && world.files("snapshots") == 1, "{:?}", world.report());
    world.note();
    world.check_all();
}

/// A folder that nobody can write to, not even the administrator of the machine.
struct ReadOnly(PathBuf);

impl ReadOnly {
    /// `None` where that may not be done.
    fn mount(folder: &Path) -> Option<Self> {
        let mount = |options: &[&str]| {
            let done = std::process::Command::new("mount").args(options).arg(folder).output();
            done.is_ok_and(|output| output.status.success()).then_some(())
        };
        mount(&["--bind", folder.to_str()?])?;
        let mounted = Self(folder.to_owned());
        mount(&["-o", "remount,bind,ro"])?;
        Some(mounted)
    }
}

impl Drop for ReadOnly {
    fn drop(&mut self) {
        let _ = std::process::Command::new("umount").arg("-l").arg(&self.0).output();
    }
}

async fn until_after(ms: i64) {
    while time_ms() <= ms {
        tokio::task::yield_now().await;
    }
}

#[tokio::test]
async fn a_time_in_a_gap_is_refused_and_its_ends_are_not() {
    let mut world = World::new(15).await;
    for _ in 0..6 {
        world.step().await;
    }
    let archive = Archive::read(&world.root()).unwrap();
    let groups: Vec<_> = archive.records().filter(|record| record.level == 0).copied().collect();
    let at = (groups.len() / 2..groups.len()).find(|at| groups[at - 1].time_ms < groups[*at].time_ms).unwrap();
    let (before, lost) = (groups[at - 1], groups[at]);
    fs::remove_file(world.root().join(format!("ltx/0/{:016x}-{0:016x}.ltx", lost.first))).unwrap();
    world.backups().tidy(time_ms()).unwrap();
    agrees(&world).await;
    let to = world.folder.path().join("to");
    let at = |record: &tidebase_engine::backups::Record| Moment::Time(i64::try_from(record.time_ms).unwrap());
    let refused = restore(&world.root(), at(&lost), &to).unwrap_err();
    assert_eq!(refused.code, Code::NotFound);
    assert!(refused.message.contains(&format!("(revision {}) and ", before.revision.unwrap())), "{refused}");
    assert!(refused.message.contains("there is a gap"), "{refused}");
    let restored = restore(&world.root(), at(&before), &to).unwrap();
    assert_eq!(restored.revision, before.revision);
    // By their revisions, too.
    let revision = Moment::Revision(lost.revision.unwrap());
    let refused = restore(&world.root(), revision, &to.with_extension("lost")).unwrap_err();
    assert!(refused.code == Code::NotFound && refused.message.contains("there is a gap"), "{refused}");
    // Before the first there is nothing either.
    let early = restore(&world.root(), Moment::Time(1_700_000_000_000), &to.with_extension("early")).unwrap_err();
    assert!(early.message.contains("the first backup is of 20"), "{early}");
}

#[tokio::test]
async fn the_newest_file_may_be_gone_or_damaged_when_a_server_starts() {
    // Damage behind a clean stop is found when the file is read: by a merge, `verify` or a restore.
    for (is_killed, is_gone) in [(false, true), (true, true), (true, false)] {
        let mut world = World::new(14).await;
        world.step().await;
        let newest = |world: &World| {
            let names = fs::read_dir(world.root().join("ltx/0")).unwrap().map(|entry| entry.unwrap().path());
            names.filter(|name| name.extension().is_some_and(|of| of == "ltx")).max().unwrap()
        };
        if is_killed {
            spoil(&newest(&world), is_gone);
            world = world.killed();
        } else {
            world.stop();
            spoil(&newest(&world), is_gone);
            world.start();
        }
        world.truth.clear();
        world.note();
        world.step().await;
        world.check_all();
        agrees(&world).await;
    }
}

fn spoil(path: &Path, is_gone: bool) {
    if is_gone {
        return fs::remove_file(path).unwrap();
    }
    let mut bytes = fs::read(path).unwrap();
    bytes[10] ^= 1;
    fs::write(path, bytes).unwrap();
}

#[tokio::test]
async fn a_minute_that_is_over_during_the_first_look_at_all_pages_does_not_begin_it_again() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("test.db");
    let rows = "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 20000)";
    let made = format!("CREATE TABLE t (v); INSERT INTO t {rows} SELECT randomblob(3500) FROM n;");
    Connection::open(&path).unwrap().execute_batch(&made).unwrap();
    let engine = Engine::open(options(&path)).unwrap();
    let backups = engine.backups().unwrap();
    assert!(backups.report().unwrap().newest.is_none(), "it takes a while");
    backups.tidy(time_ms()).unwrap();
    assert!(backups.flush(PATIENCE));
    engine.query(SqlRequest::query("DELETE FROM t WHERE rowid % 2", Params::None)).await.unwrap();
    assert!(backups.flush(PATIENCE));
    let report = backups.report().unwrap();
    assert_eq!(report.levels.iter().find(|of| of.level == "snapshots").unwrap().files, 1, "{report:?}");
}

#[tokio::test]
async fn the_moment_of_a_restore_is_one_of_its_own() {
    let mut world = World::new(13).await;
    world.sql("INSERT INTO t (k) VALUES ('one')").await;
    world.note();
    world.sql("INSERT INTO t (k) VALUES ('two')").await;
    let fork = world.engine.fork(Moment::Revision(world.truth[0].0), "admin").unwrap();
    let restored = world.engine.swap(fork).await.unwrap().revision;
    world.truth.push((restored, whole(&world.path)));
    world.sql("INSERT INTO t (k) VALUES ('three')").await;
    world.note();
    world.check_all();
    // A file that was put back by hand counts from where it was.
    world.stop();
    let older = world.folder.path().join("older.db");
    restore(&world.root(), Moment::Revision(world.truth[0].0), &older).unwrap();
    fs::rename(&older, &world.path).unwrap();
    let newest = world.truth.last().unwrap().0;
    world.start();
    assert!(world.backups().flush(PATIENCE));
    let to = world.folder.path().join("to");
    assert_eq!(restore(&world.root(), Moment::Revision(newest), &to).unwrap_err().code, Code::Invalid);
}
