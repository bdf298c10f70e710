//! `tidebase doctor`: looks at the settings, the machine and the database file, and says in one line each what it found
//! and what to do. It only reads, and may be run while the server runs.

mod backups;
mod contents;
mod finding;
mod history;
mod place;

use crate::cli::{DatabaseArgs, ServeArgs};
use crate::config;
use crate::shell::style::Style;
use finding::{Finding, conclusion};
use std::io::stdout;
use std::path::PathBuf;
use tidebase_engine::Result;

/// Older libraries may corrupt a WAL file that two programs write; the server refuses them too.
const OLDEST_SAFE_SQLITE: i32 = 3_051_003;

pub fn run(args: &DatabaseArgs) -> Result<()> {
    let style = Style::of(&stdout());
    let mut found = Vec::new();
    examine(args, &|name| std::env::var(name).ok(), &mut |finding| {
        println!("{}", finding.shown(style));
        found.push(finding.word);
    });
    conclusion(&found)
}

/// Tells each finding as it is made: the integrity check may take a while.
fn examine(args: &DatabaseArgs, environment: config::Environment<'_>, tell: &mut dyn FnMut(Finding)) {
    tell(library(rusqlite::version_number(), rusqlite::version()));
    let wanted = ServeArgs { db: args.db.clone(), ..ServeArgs::default() };
    let config = config::load(&wanted, environment);
    let (path, has_token) = match &config {
        Ok(config) => {
            match &config.doubts()[..] {
                [] => tell(settings(environment)),
                doubts => doubts.iter().for_each(|doubt| tell(Finding::warning("settings", doubt))),
            }
            (config.db.clone(), config.admin_token.is_some())
        }
        Err(error) => {
            let what = without_picture(&error.message);
            let what = what.trim_end_matches('.');
            tell(Finding::problem("settings", format!("{what}. The server will not start until this is mended.")));
            (fallback(args, environment), false)
        }
    };
    place::examine(&path, tell);
    if path.is_file() {
        contents::examine(&path, has_token, tell);
        if let Ok(config) = &config {
            backups::examine(config, tell);
        }
    }
}

fn library(number: i32, version: &str) -> Finding {
    if number >= OLDEST_SAFE_SQLITE {
        return Finding::ok("SQLite", format!("{version}, inside this program"));
    }
    Finding::problem(
        "SQLite",
        format!("{version} can corrupt a database that two programs write; this build needs 3.51.3 or newer."),
    )
}

fn settings(environment: config::Environment<'_>) -> Finding {
    let named = environment("TIDEBASE_CONFIG").filter(|path| !path.is_empty()).map(PathBuf::from);
    let file = named.or_else(|| Some(PathBuf::from("tidebase.toml")).filter(|path| path.exists()));
    let source =
        file.map_or_else(|| "no settings file".into(), |file| format!("{} is in order", config::display(&file)));
    Finding::ok("settings", format!("{source}; `tidebase config` lists what is in effect"))
}

/// The message without the picture of the line that a settings file's parser draws: a finding is one line.
fn without_picture(message: &str) -> String {
    let is_picture =
        |line: &&str| line.trim_start_matches(|char: char| char.is_ascii_digit() || char == ' ').starts_with('|');
    message.lines().filter(|line| !is_picture(line)).map(str::trim).collect::<Vec<_>>().join(" ")
}

/// Where the database is when the settings cannot be read.
fn fallback(args: &DatabaseArgs, environment: config::Environment<'_>) -> PathBuf {
    let named = args.db.clone().or_else(|| environment("TIDEBASE_DB").map(PathBuf::from));
    named.unwrap_or_else(|| config::DEFAULT_DB.into())
}

#[cfg(test)]
mod tests {
    use super::finding::Word;
    use super::*;
    use std::path::Path;
    use tidebase_engine::{Engine, Options, Params, SqlRequest};

    fn found(path: &Path, variables: &[(&str, &str)]) -> Vec<Finding> {
        let mut findings = Vec::new();
        let environment =
            |name: &str| variables.iter().find(|(known, _)| *known == name).map(|(_, value)| (*value).to_owned());
        examine(&DatabaseArgs { db: Some(path.into()) }, &environment, &mut |finding| findings.push(finding));
        findings
    }

    fn about<'a>(findings: &'a [Finding], subject: &str) -> &'a Finding {
        findings
            .iter()
            .find(|finding| finding.subject == subject)
            .unwrap_or_else(|| panic!("{subject} in {findings:#?}"))
    }

    fn check(findings: &[Finding], subject: &str, word: Word, says: &str) {
        let finding = about(findings, subject);
        assert!(finding.word == word && finding.text.contains(says), "{word:?} {says:?}: {finding:?}");
    }

    fn database(folder: &Path, sql: &str) -> PathBuf {
        let path = folder.join("test.db");
        rusqlite::Connection::open(&path).unwrap().execute_batch(sql).unwrap();
        path
    }

    #[tokio::test]
    async fn a_served_database_is_examined_without_disturbing_the_server() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("test.db");
        let engine = Engine::open(Options::new(&path)).unwrap();
        for sql in ["create table t(a integer primary key)", "insert into t values(1)"] {
            engine.query(SqlRequest::query(sql, Params::None)).await.unwrap();
        }
        let findings = found(&path, &[("TIDEBASE_ADMIN_TOKEN", "long enough")]);
        check(&findings, "server", Word::Ok, "holds");
        check(&findings, "journal", Word::Ok, "wal");
        check(&findings, "history", Word::Ok, &format!("version {}", tidebase_engine::storage::system::VERSION));
        check(&findings, "change log", Word::Ok, &format!("to {}", engine.revision()));
        check(&findings, "admin token", Word::Ok, "settings");
        engine.query(SqlRequest::query("insert into t values(2)", Params::None)).await.unwrap();
        engine.close();
        let findings = found(&path, &[]);
        check(&findings, "server", Word::Ok, "none");
        check(&findings, "admin token", Word::Note, "made");
        // A look at it is not a change: the history goes on.
        let history = engine.history();
        assert_eq!(Engine::open(Options::new(&path)).unwrap().history(), history);
    }

    #[test]
    fn a_healthy_file_has_no_problems() {
        let folder = tempfile::tempdir().unwrap();
        let path = database(folder.path(), "create table t(a integer primary key, b); insert into t values(1, 2)");
        let before = std::fs::read(&path).unwrap();
        let findings = found(&path, &[]);
        assert!(findings.iter().all(|finding| finding.word != Word::Problem), "{findings:#?}");
        check(&findings, "file", Word::Ok, "test.db");
        check(&findings, "integrity", Word::Ok, "no damage");
        check(&findings, "foreign keys", Word::Ok, "every reference");
        check(&findings, "server", Word::Ok, "none");
        check(&findings, "history", Word::Note, "never been served");
        assert_eq!(std::fs::read(&path).unwrap(), before);
    }

    #[tokio::test]
    async fn backups_are_looked_at() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("test.db");
        let backups = folder.path().join("test.db-backups");
        let engine = Engine::open(Options { backups: Some(backups.clone()), ..Options::new(&path) }).unwrap();
        engine.query(SqlRequest::query("create table t(a integer primary key)", Params::None)).await.unwrap();
        engine.close();
        check(&found(&path, &[("TIDEBASE_BACKUPS", "off")]), "backups", Word::Note, "None are kept");
        check(&found(&path, &[]), "backups", Word::Ok, "test.db-backups");
        check(&found(&path, &[]), "second place", Word::Note, "--backup-mirror");
        let mirror = [("TIDEBASE_BACKUP_MIRROR", "/mnt/other")];
        assert!(found(&path, &mirror).iter().all(|finding| finding.subject != "second place"));
        std::fs::create_dir(backups.join("set-aside")).unwrap();
        std::fs::write(backups.join("set-aside/one"), "").unwrap();
        check(&found(&path, &[]), "backups", Word::Note, "no list: 1. Look at the disk");
        let list = backups.join("groups.jsonl");
        let lines = std::fs::read_to_string(&list).unwrap();
        std::fs::write(&list, format!("damage\n{lines}")).unwrap();
        check(&found(&path, &[]), "backups", Word::Warning, "line 1 of groups.jsonl");
        std::fs::write(&list, lines).unwrap();
        // Something was committed a while ago that is in no file.
        let late = "insert into _tide_log select revision + 1, revision + 1, time - 61000, schema_epoch, bytes_so_far, changes from _tide_log order by revision desc limit 1";
        rusqlite::Connection::open(&path).unwrap().execute_batch(late).unwrap();
        check(&found(&path, &[]), "backups", Word::Warning, "is not kept");
        std::fs::remove_dir_all(backups.join("ltx")).unwrap();
        check(&found(&path, &[]), "backups", Word::Warning, "cannot be restored");
        std::fs::write(backups.join("groups.jsonl"), "{\"level\":0}\n").unwrap();
        check(&found(&path, &[]), "backups", Word::Warning, "Damaged: groups.jsonl");
        std::fs::remove_file(&list).unwrap();
        std::os::unix::fs::symlink(&list, &list).unwrap();
        check(&found(&path, &[]), "backups", Word::Warning, "does not start");
        std::fs::remove_dir_all(&backups).unwrap();
        check(&found(&path, &[]), "backups", Word::Note, "none in");
    }

    #[test]
    fn a_file_that_everybody_may_read_is_named() {
        use std::fs::{Permissions, set_permissions};
        use std::os::unix::fs::PermissionsExt as _;
        let folder = tempfile::tempdir().unwrap();
        set_permissions(folder.path(), Permissions::from_mode(0o755)).unwrap();
        let path = database(folder.path(), "create table t(a)");
        set_permissions(&path, Permissions::from_mode(0o644)).unwrap();
        check(&found(&path, &[]), "privacy", Word::Warning, "chmod 600");
        set_permissions(&path, Permissions::from_mode(0o640)).unwrap();
        assert!(found(&path, &[]).iter().all(|finding| finding.subject != "privacy"));
    }

    #[test]
    fn what_is_wrong_is_named() {
        let folder = tempfile::tempdir().unwrap();
        let missing = folder.path().join("nowhere.db");
        check(&found(&missing, &[]), "file", Word::Problem, "There is no database");
        assert!(!missing.exists());
        check(&found(&folder.path().join("no/such/folder/test.db"), &[]), "folder", Word::Note, "no/such/folder");
        check(&found(folder.path(), &[]), "file", Word::Problem, "is a folder");
        let text = folder.path().join("text.db");
        std::fs::write(&text, "hello ".repeat(1000)).unwrap();
        check(&found(&text, &[]), "contents", Word::Problem, "not an SQLite database");
        let path = database(
            folder.path(),
            "pragma foreign_keys = off; create table a(id primary key); create table b(a references a); insert into b values(7), (8)",
        );
        let findings = found(&path, &[]);
        check(&findings, "foreign keys", Word::Warning, "2 rows");
        check(&findings, "primary keys", Word::Note, "b");
    }

    #[test]
    fn damage_is_found() {
        let folder = tempfile::tempdir().unwrap();
        let path = database(
            folder.path(),
            "pragma page_size = 512; create table t(a integer primary key, b);
             with recursive n(i) as (select 1 union all select i + 1 from n where i < 500)
             insert into t select i, hex(randomblob(40)) from n",
        );
        let mut bytes = std::fs::read(&path).unwrap();
        bytes[512 * 9..512 * 9 + 200].fill(0x5a);
        std::fs::write(&path, bytes).unwrap();
        let findings = found(&path, &[]);
        check(&findings, "integrity", Word::Problem, "restore a backup");
    }

    #[test]
    fn indexes_that_disagree_with_their_table_can_be_made_anew() {
        let folder = tempfile::tempdir().unwrap();
        // SQLite itself leaves the index behind: the second row changes under the UPDATE that replaces the first.
        let path = database(
            folder.path(),
            "pragma foreign_keys = on; create table t(id integer primary key, name unique, t references t on delete set null);
             create index i on t(t); insert into t values(5, 'a', null), (11, 'b', 5); update or replace t set name = ''",
        );
        check(&found(&path, &[]), "integrity", Word::Problem, "REINDEX");
        rusqlite::Connection::open(&path).unwrap().execute_batch("reindex").unwrap();
        check(&found(&path, &[]), "integrity", Word::Ok, "no damage");
    }

    #[test]
    fn an_unfinished_transaction_is_left_to_those_who_may_write() {
        let folder = tempfile::tempdir().unwrap();
        let path = database(folder.path(), "create table t(a); insert into t values(zeroblob(200000))");
        let writing = rusqlite::Connection::open(&path).unwrap();
        // Spills to the file before its end, as a large transaction does; the copy is what a power cut leaves.
        writing.execute_batch("pragma cache_size = 2; begin; update t set a = randomblob(200000)").unwrap();
        let cut = folder.path().join("cut.db");
        std::fs::copy(&path, &cut).unwrap();
        std::fs::copy(folder.path().join("test.db-journal"), folder.path().join("cut.db-journal")).unwrap();
        check(&found(&cut, &[]), "contents", Word::Warning, "left unfinished");
    }

    #[test]
    fn mistakes_in_the_settings_are_told_and_the_rest_is_examined_all_the_same() {
        let folder = tempfile::tempdir().unwrap();
        let path = database(folder.path(), "create table t(a)");
        let settings = folder.path().join("settings.toml");
        std::fs::write(&settings, "listen = '127.0.0.1:1'\nlisten_to = 'nobody'\n").unwrap();
        let findings = found(&path, &[("TIDEBASE_CONFIG", settings.to_str().unwrap())]);
        check(&findings, "settings", Word::Problem, "unknown field `listen_to`, expected one of");
        assert!(!about(&findings, "settings").text.contains('|'));
        check(&findings, "integrity", Word::Ok, "");
        check(&found(&path, &[("TIDEBASE_ADMIN_TOKEN", "short")]), "settings", Word::Problem, "at least 8");
        check(&found(&path, &[("TIDEBASE_ADMIN_TOKEN", "long enough")]), "settings", Word::Warning, "fewer than 16");
        check(&found(&path, &[("TIDEBASE_ADMIN_TOKEN", "let-me-in-please")]), "settings", Word::Ok, "no settings file");
    }

    #[test]
    fn a_library_that_corrupts_is_a_problem() {
        assert_eq!(library(3_051_002, "3.51.2").word, Word::Problem);
        assert_eq!(library(3_051_003, "3.51.3").word, Word::Ok);
    }
}
