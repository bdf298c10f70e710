//! A start that cannot be: exit code 1, and a message that names the thing and what to do.

use crate::server::{Home, Process, TOKEN};
use std::ffi::OsStr;
use std::fs::Permissions;
use std::net::TcpListener;
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;
use std::process::Command;

fn serve(db: impl AsRef<OsStr>, listen: &str) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_tidebase"));
    command.args(["serve", "--listen", listen, "--db"]).arg(db);
    command.env_clear().env("TIDEBASE_ADMIN_TOKEN", TOKEN);
    command
}

/// The start fails with these words, all on standard error.
async fn fails(command: Command, words: &[&str]) {
    let (status, output) = Process::run(command).ended().await;
    assert_eq!(status.code(), Some(1), "{output:?}");
    assert_eq!(output.out, "", "nothing is said to be served");
    assert!(words.iter().all(|word| output.err.contains(word)), "{words:?}? {}", output.err);
    assert!(output.err.starts_with("tidebase: ") && output.err.trim_end().lines().count() < 4, "{}", output.err);
}

fn text(path: &Path) -> &str {
    path.to_str().unwrap()
}

#[tokio::test]
async fn a_file_that_is_no_database_is_named_and_left_as_it_was() {
    let home = Home::new();
    let content = "This is a letter, not a database. ".repeat(300);
    std::fs::write(&home.db, &content).unwrap();
    fails(serve(&home.db, "127.0.0.1:0"), &[text(&home.db), "not an SQLite database"]).await;
    assert_eq!(std::fs::read_to_string(&home.db).unwrap(), content);
}

#[tokio::test]
async fn a_damaged_database_is_named_with_what_to_do() {
    let home = Home::new();
    let database = rusqlite::Connection::open(&home.db).unwrap();
    let much = "CREATE TABLE t (a); WITH RECURSIVE c(n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM c WHERE n < 5000) \
                INSERT INTO t SELECT hex(randomblob(40)) FROM c";
    database.execute_batch(much).unwrap();
    drop(database);
    let mut bytes = std::fs::read(&home.db).unwrap();
    // The first page holds the schema, behind a header of 100 bytes.
    bytes[100..4096].fill(0xff);
    std::fs::write(&home.db, &bytes).unwrap();
    fails(serve(&home.db, "127.0.0.1:0"), &[text(&home.db), "is damaged", "tidebase doctor", "backup"]).await;
    assert_eq!(std::fs::read(&home.db).unwrap(), bytes, "it is left as it was");
}

#[tokio::test]
async fn a_folder_as_the_database_is_named() {
    let home = Home::new();
    fails(serve(home.folder.path(), "127.0.0.1:0"), &[text(home.folder.path()), "folder", "--db"]).await;
}

#[tokio::test]
async fn a_place_that_cannot_be_written_is_named() {
    let home = Home::new();
    let file = home.folder.path().join("file");
    std::fs::write(&file, "").unwrap();
    let below = file.join("test.db");
    fails(serve(&below, "127.0.0.1:0"), &[text(&below)]).await;
    if Path::new("/proc/self").exists() {
        fails(serve("/proc/tidebase-test/test.db", "127.0.0.1:0"), &["/proc/tidebase-test/test.db"]).await;
        fails(serve("/proc/test.db", "127.0.0.1:0"), &["/proc/test.db", "writ"]).await;
    }
}

#[tokio::test]
async fn a_port_in_use_is_named_with_what_to_do() {
    let home = Home::new();
    let other = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = other.local_addr().unwrap().to_string();
    fails(serve(&home.db, &address), &[&address, "another program listens there", "--listen"]).await;
    assert!(!home.db.exists(), "nothing was made for it");
    fails(serve(&home.db, "nonsense"), &["nonsense", "--listen", "127.0.0.1:8080"]).await;
    fails(serve(&home.db, "192.0.2.1:0"), &["192.0.2.1", "does not have that address"]).await;
}

#[tokio::test]
async fn a_second_server_on_the_same_file_is_refused_and_the_first_goes_on() {
    let home = Home::new();
    let first = home.start().await;
    first.sql("CREATE TABLE t (a)").await;
    let real = home.db.canonicalize().unwrap();
    fails(serve(&home.db, "127.0.0.1:0"), &[text(&real), "already serving", "tidebase sql --url"]).await;
    #[cfg(unix)]
    {
        let other_name = home.folder.path().join("other-name.db");
        std::os::unix::fs::symlink(&home.db, &other_name).unwrap();
        fails(serve(&other_name, "127.0.0.1:0"), &["already serving"]).await;
    }
    first.sql("INSERT INTO t VALUES (1)").await;
    let again = first.crash_and_restart().await;
    assert_eq!(again.sql("SELECT a FROM t").await, serde_json::json!([{ "a": 1 }]), "a crash leaves no lock");
}

#[tokio::test]
async fn a_database_of_a_newer_tidebase_is_left_alone() {
    let home = Home::new();
    home.start().await.stop().await;
    home.outside().execute("UPDATE _tide_meta SET value = 99 WHERE name = 'version'", []).unwrap();
    fails(serve(&home.db, "127.0.0.1:0"), &["newer Tidebase", "99"]).await;
}

#[tokio::test]
async fn a_database_that_another_program_has_locked_is_named() {
    let home = Home::new();
    let outside = home.outside();
    outside.execute_batch("CREATE TABLE t (a); BEGIN EXCLUSIVE").unwrap();
    let mut command = serve(&home.db, "127.0.0.1:0");
    command.args(["--limit", "lock_wait_max=200"]);
    fails(command, &[text(&home.db), "locked by another program"]).await;
    outside.execute_batch("COMMIT").unwrap();
    home.start().await.sql("SELECT a FROM t").await;
}

#[tokio::test]
async fn settings_that_do_not_exist_are_named() {
    let home = Home::new();
    for (name, value, words) in [
        ("--limit", "no_such=1", ["no_such", "tidebase config"]),
        ("--limit", "read_time_max=soon", ["read_time_max", "soon"]),
        ("--limit", "read_time_max", ["read_time_max", "NAME=VALUE"]),
        ("--public", "/no/such/folder", ["--public", "/no/such/folder"]),
        ("--config", "/no/such.toml", ["/no/such.toml", "cannot be read"]),
        ("--log", "a=b=c", ["--log", "a=b=c"]),
    ] {
        let mut command = serve(&home.db, "127.0.0.1:0");
        command.args([name, value]);
        fails(command, &words).await;
    }
    assert!(!home.db.exists());
}

/// The modes of all files of a database.
fn modes(db: &Path) -> Vec<(String, u32)> {
    let mode = |path: &Path| std::fs::metadata(path).ok().map(|file| file.permissions().mode() & 0o777);
    let suffixes = ["", "-wal", "-shm"];
    let modes = suffixes.iter().filter_map(|suffix| {
        let mode = mode(Path::new(&format!("{}{suffix}", db.display())))?;
        Some(((*suffix).to_owned(), mode))
    });
    modes.collect()
}

#[tokio::test]
async fn a_new_database_and_its_copies_are_their_owners_alone() {
    let home = Home::new();
    let server = home.start().await;
    server.sql("CREATE TABLE t (a)").await;
    let private = ["", "-wal", "-shm"].map(|suffix| (suffix.to_owned(), 0o600));
    assert_eq!(modes(&home.db), private);
    let copy = home.folder.path().join("copy.db");
    let mut backup = Command::new(env!("CARGO_BIN_EXE_tidebase"));
    backup.env_clear().current_dir(home.folder.path()).args(["backup", "--to", "copy.db", "--db"]).arg(&home.db);
    let (status, output) = Process::run(backup).ended().await;
    assert!(status.success(), "{output:?}");
    assert_eq!(modes(&copy), [(String::new(), 0o600)]);
    let (_, output) = server.stop().await;
    assert!(!output.err.contains("Every user"), "{output:?}");

    // A file that others may read stays so, for it may be meant; what is made beside it is like it, and the log says so.
    let shared = Home::new();
    std::fs::set_permissions(shared.folder.path(), Permissions::from_mode(0o755)).unwrap();
    std::fs::write(&shared.db, "").unwrap();
    std::fs::set_permissions(&shared.db, Permissions::from_mode(0o644)).unwrap();
    let server = shared.start().await;
    server.sql("CREATE TABLE t (a)").await;
    assert_eq!(modes(&shared.db), ["", "-wal", "-shm"].map(|suffix| (suffix.to_owned(), 0o644)));
    let (_, output) = server.stop().await;
    assert!(
        output.err.contains("Every user of this machine may read") && output.err.contains("chmod 600"),
        "{output:?}"
    );
}

#[tokio::test]
async fn an_existing_database_is_opened_as_it_is() {
    let home = Home::new();
    let outside = home.outside();
    outside
        .execute_batch("CREATE TABLE users (id INTEGER PRIMARY KEY, name); INSERT INTO users VALUES (1, 'Ann')")
        .unwrap();
    drop(outside);
    let server = home.start().await;
    assert_eq!(server.sql("SELECT * FROM users").await, serde_json::json!([{ "id": 1, "name": "Ann" }]));
    let empty = Home::new();
    std::fs::write(&empty.db, "").unwrap();
    empty.start().await.sql("CREATE TABLE t (a)").await;
}
