//! A full disk: said clearly, reads go on, nothing acknowledged is lost, and writes work again when there is space.

use super::backups::{kept, read, restored, said, tidebase};
use crate::server::http::Request;
use crate::server::{Home, Server, within};
use serde_json::{Value as Json, json};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Arc;

/// A small disk of its own; `None` where this may not be made.
pub struct SmallDisk(PathBuf);

impl SmallDisk {
    pub fn mount(at: &Path, size: &str) -> Option<Self> {
        std::fs::create_dir(at).ok()?;
        let size = format!("size={size}");
        let mounted = Command::new("mount").args(["-t", "tmpfs", "-o", &size, "tmpfs"]).arg(at).output();
        mounted.is_ok_and(|output| output.status.success()).then(|| Self(at.to_owned()))
    }
}

impl Drop for SmallDisk {
    fn drop(&mut self) {
        let _ = Command::new("umount").arg("-l").arg(&self.0).output();
    }
}

/// Inserts until it is refused; gives what was acknowledged and the refusal.
async fn fill(server: &Server) -> (Vec<i64>, Json) {
    let mut acknowledged = Vec::new();
    for id in 0..2000 {
        let insert = json!({ "sql": "INSERT INTO t VALUES (?, hex(randomblob(10000)))", "params": [id] });
        let answer = server.query(insert).await;
        if answer.status != 200 {
            assert_eq!(answer.status, 503, "{}", answer.text());
            assert!(answer.header("retry-after").is_some());
            return (acknowledged, answer.json());
        }
        acknowledged.push(id);
    }
    panic!("the disk is never full");
}

async fn ids(server: &Server) -> Vec<i64> {
    let rows = server.sql("SELECT id FROM t ORDER BY id").await;
    rows.as_array().unwrap().iter().map(|row| row["id"].as_i64().unwrap()).collect()
}

#[tokio::test]
async fn a_full_disk_refuses_writes_and_loses_nothing() {
    let folder = tempfile::tempdir().unwrap();
    let Some(disk) = SmallDisk::mount(&folder.path().join("disk"), "6m") else {
        return eprintln!("a disk of its own cannot be mounted here");
    };
    let ballast = disk.0.join("ballast");
    std::fs::write(&ballast, vec![1; 2 << 20]).unwrap();
    let home = Home::at(folder, disk.0.join("full.db"));
    let server = home.start().await;

    server.sql("CREATE TABLE t (id INTEGER PRIMARY KEY, a)").await;
    let mut live = server.live().await;
    live.subscribe("q", "SELECT count(*) FROM t").await;
    let (acknowledged, refusal) = fill(&server).await;
    assert!(acknowledged.len() > 10);
    assert_eq!(refusal["code"], "unavailable");
    assert!(refusal["error"].as_str().unwrap().contains("disk is full"), "{refusal}");
    assert_eq!(ids(&server).await, acknowledged, "reads go on");
    let again = server.query(json!({ "sql": "INSERT INTO t VALUES (NULL, hex(randomblob(50000)))" })).await;
    again.is_refused(503, "unavailable", "disk is full");
    assert_eq!(server.send(Request::get("/health")).await.status, 200);

    std::fs::remove_file(&ballast).unwrap();
    let revision = server.write("INSERT INTO t VALUES (5000, 'there is space')").await;
    live.reaches(revision).await;
    let (status, _) = server.stop().await;
    assert!(status.success());
    let file = home.outside();
    let kept: i64 = file.query_row("SELECT count(*) FROM t", [], |row| row.get(0)).unwrap();
    assert_eq!(kept as usize, acknowledged.len() + 1);
}

#[tokio::test]
async fn a_file_that_may_not_grow_is_said_and_everything_acknowledged_is_there_after_a_restart() {
    let home: Arc<Home> = Home::new();
    let limited = home.command();
    let mut shell = Command::new("sh");
    // 512-byte blocks; without the trap the system would end the process instead of refusing the write.
    shell
        .arg("-c")
        .arg("ulimit -f 4000; trap '' XFSZ; exec \"$0\" \"$@\"")
        .arg(limited.get_program())
        .args(limited.get_args());
    shell.env_clear().env("TIDEBASE_ADMIN_TOKEN", crate::server::TOKEN).current_dir(home.folder.path());
    let server = Server::run(&home, shell).await;
    server.sql("CREATE TABLE t (id INTEGER PRIMARY KEY, a)").await;
    let (acknowledged, refusal) = fill(&server).await;
    assert!(acknowledged.len() > 10);
    assert_eq!(refusal["code"], "unavailable", "{refusal}");
    assert_eq!(ids(&server).await, acknowledged, "reads go on");
    let server = server.crash_and_restart().await;
    assert_eq!(ids(&server).await, acknowledged);
    server.sql("INSERT INTO t VALUES (5000, 'it may grow')").await;
}

/// Fills a disk to its last byte.
fn ballast(disk: &Path) -> PathBuf {
    let path = disk.join("ballast");
    let mut file = std::fs::File::create(&path).unwrap();
    while std::io::Write::write_all(&mut file, &[1; 4096]).is_ok() {}
    path
}

#[tokio::test]
async fn backups_on_a_full_disk_hold_nobody_up_and_go_on_when_there_is_room() {
    // The WAL keeps all of it meanwhile; or may not grow so far, and then all pages are written anew.
    for wal_bytes_max in ["1000000000", "300000"] {
        let home = Home::new();
        let Some(disk) = SmallDisk::mount(&home.folder.path().join("disk"), "6m") else {
            return eprintln!("a disk of its own cannot be mounted here");
        };
        let mut command = home.command();
        command.args(["--backups", &disk.0.join("backups").display().to_string()]);
        command.args(["--limit", "wal_checkpoint_bytes=200000"]);
        command.args(["--limit", &format!("backup_wal_bytes_max={wal_bytes_max}")]);
        let server = Server::run(&home, command).await;
        server.sql("CREATE TABLE t (id INTEGER PRIMARY KEY, a)").await;
        let mut moments = Vec::new();
        let write = async |id: i64| server.write(&format!("INSERT INTO t VALUES ({id}, randomblob(20000))")).await;
        for id in 1..=3 {
            write(id).await;
            moments.push((kept(&server).await, id));
        }
        let full = ballast(&disk.0);
        let mut id = 3;
        while id < 120 {
            id += 1;
            write(id).await;
        }
        let report = within("a word of it", async {
            loop {
                let report = read(&server, "/backups").await;
                if report["ok"] == json!(false) {
                    break report;
                }
            }
        })
        .await;
        if wal_bytes_max == "300000" {
            let wal = std::fs::metadata(home.db.with_extension("db-wal")).unwrap().len();
            assert!(wal < 1_500_000, "the WAL has {wal} bytes, of 2,400,000 that were written");
        }
        assert!(report["failing_since"].as_str().unwrap().starts_with("20"), "{report}");
        assert!(report["error"].as_str().unwrap().contains("No space left"), "{report}");
        std::fs::remove_file(full).unwrap();
        let last = kept(&server).await;
        moments.push((last, id));
        let report = read(&server, "/backups").await;
        assert_eq!((&report["ok"], report.get("failing_since")), (&json!(true), None), "{report}");
        // What the WAL had no room for cannot be gone back to, and that is told.
        let gaps = report["gaps"].as_array().unwrap();
        assert_eq!(gaps.is_empty(), wal_bytes_max == "1000000000", "{report}");
        for gap in gaps {
            assert!(gap["after"]["revision"].as_i64() >= Some(moments[2].0), "{report}");
            assert!(gap["before"]["revision"].as_i64() <= Some(last), "{report}");
        }
        for _ in 0..3 {
            id += 1;
            write(id).await;
            moments.push((kept(&server).await, id));
        }
        for (revision, expected) in moments {
            let (revision, folder) = (revision.to_string(), disk.0.join("backups").display().to_string());
            said(&tidebase(&home, &[], &["restore", "--from", &folder, "--revision", &revision, "--to", "then.db"]));
            let then = home.folder.path().join("then.db");
            assert_eq!(restored(&then.display().to_string(), "SELECT max(id) FROM t"), expected, "{wal_bytes_max}");
            std::fs::remove_file(then).unwrap();
        }
        let (status, output) = server.stop().await;
        assert!(status.success() && output.err.contains("backups are not kept"), "{output:?}");
    }
}

#[tokio::test]
async fn nothing_is_acknowledged_for_a_file_that_was_deleted() {
    let home: Arc<Home> = Home::new();
    let server = home.start().await;
    server.sql("CREATE TABLE t (id INTEGER PRIMARY KEY, a); INSERT INTO t VALUES (1, 'kept')").await;
    let aside = home.folder.path().join("aside.db");
    std::fs::rename(&home.db, &aside).unwrap();
    let refused = server.query(json!({ "sql": "INSERT INTO t VALUES (2, 'lost')" })).await;
    refused.is_refused(503, "unavailable", "deleted, renamed or replaced");
    assert!(!home.db.exists());
}
