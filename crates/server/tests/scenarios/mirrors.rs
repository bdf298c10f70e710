//! Backups in a second place: they come back from it alone, after a kill, and nobody else's are touched. In a folder, and in a bucket.

use super::backups::{complained, kept, read, restored, said, tidebase};
use crate::server::http::Request;
use crate::server::{Home, Server, within};
use serde_json::{Value as Json, json};
use std::io::Write as _;
use std::sync::Arc;

/// A place, and the environment in which it can be reached.
struct Place {
    name: String,
    environment: Vec<(&'static str, String)>,
}

/// A folder, and a new bucket if there is a server for it.
#[allow(clippy::explicit_write)] // eprintln would be caught by the test runner.
async fn places(home: &Home) -> Vec<Place> {
    let folder = home.folder.path().join("elsewhere").display().to_string();
    let mut places = vec![Place { name: folder, environment: Vec::new() }];
    let Ok(server) = std::env::var("TIDEBASE_S3") else {
        writeln!(std::io::stderr(), "SKIPPED: TIDEBASE_S3 names no S3 server, so that only folders are tried").unwrap();
        return places;
    };
    // Its name has to be one that was not there.
    let unique = home.folder.path().file_name().unwrap().to_string_lossy().to_lowercase().replace('.', "");
    let bucket = format!("mirror-{unique}-{}", std::process::id());
    let address = server.strip_prefix("http://").unwrap().parse().unwrap();
    let made = Request::new("PUT", format!("/{bucket}")).header("Authorization", "").send(address).await;
    assert_eq!(made.status, 200, "{}", made.text());
    let test = || "test".to_owned();
    let environment =
        vec![("AWS_ACCESS_KEY_ID", test()), ("AWS_SECRET_ACCESS_KEY", test()), ("AWS_ENDPOINT_URL", server)];
    places.push(Place { name: format!("s3://{bucket}/shop"), environment });
    places
}

async fn start(home: &Arc<Home>, place: &Place) -> Server {
    let mut command = home.command();
    command.args(["--backup-mirror", &place.name]).envs(place.environment.clone());
    Server::run(home, command).await
}

/// Until everything committed so far is in the second place.
async fn carried(server: &Server) -> i64 {
    let revision = kept(server).await;
    within("the second place", async {
        loop {
            let mirror = read(server, "/backups").await["mirror"].clone();
            assert_eq!(mirror["ok"], true, "{mirror}");
            if mirror["revision"].as_i64() >= Some(revision) {
                break;
            }
            tokio::task::yield_now().await;
        }
    })
    .await;
    revision
}

fn command(home: &Home, place: &Place, arguments: &[&str]) -> String {
    said(&tidebase(home, &place.environment, arguments))
}

#[tokio::test]
async fn what_is_left_of_a_lost_machine_is_in_the_second_place() {
    let home = Home::new();
    for (index, place) in places(&home).await.iter().enumerate() {
        let home = Home::new();
        let mut server = start(&home, place).await;
        server.sql("CREATE TABLE t (n INTEGER PRIMARY KEY)").await;
        let mut revisions = Vec::new();
        for number in 0..5 {
            server.sql(&format!("INSERT INTO t VALUES ({number})")).await;
            revisions.push(carried(&server).await);
        }
        // Killed, and all of its files gone.
        server.process.signal("KILL");
        server.process.ended().await;
        let other = Home::new();
        let to = |name: &str| other.folder.path().join(format!("{index}-{name}.db")).display().to_string();
        let status = command(&other, place, &["backup", "status", "--from", &place.name]);
        assert!(status.contains(&place.name) && status.contains("snapshots "), "{status}");
        let checked = command(&other, place, &["backup", "verify", "--from", &place.name]);
        assert!(checked.contains("as they were written"), "{checked}");
        command(&other, place, &["restore", "--from", &place.name, "--to", &to("last")]);
        assert_eq!(restored(&to("last"), "SELECT count(*) FROM t"), 5);
        let second = revisions[1].to_string();
        command(&other, place, &["restore", "--from", &place.name, "--revision", &second, "--to", &to("second")]);
        assert_eq!(restored(&to("second"), "SELECT count(*) FROM t"), 2);
        let left: Vec<_> =
            std::fs::read_dir(other.folder.path()).unwrap().map(|entry| entry.unwrap().file_name()).collect();
        assert!(left.iter().all(|name| !name.to_string_lossy().starts_with('.')), "{left:?}");
    }
}

#[tokio::test]
async fn a_server_goes_on_in_its_place_and_stops_at_anothers() {
    let home = Home::new();
    for place in &places(&home).await {
        let home = Home::new();
        let server = start(&home, place).await;
        server.sql("CREATE TABLE t (n INTEGER PRIMARY KEY)").await;
        carried(&server).await;
        server.stop().await;
        let server = start(&home, place).await;
        server.sql("INSERT INTO t VALUES (1)").await;
        carried(&server).await;
        server.stop().await;
        let list = command(&home, place, &["backup", "list", "--json", "--from", &place.name]);
        let before: Vec<Json> = serde_json::from_str(&list).unwrap();
        assert!(before.len() >= 3, "{list}");
        // Another database, and this one without its folder, know nothing of what is there.
        for forgetful in [Home::new(), home] {
            let _ = std::fs::remove_dir_all(forgetful.folder.path().join("test.db-backups"));
            let server = start(&forgetful, place).await;
            server.sql("CREATE TABLE IF NOT EXISTS other (n)").await;
            within("a refusal", async {
                while read(&server, "/backups").await["mirror"]["ok"] == json!(true) {
                    tokio::task::yield_now().await;
                }
            })
            .await;
            let mirror = read(&server, "/backups").await["mirror"].clone();
            assert!(mirror["error"].as_str().unwrap().contains("Choose another place"), "{mirror}");
            let (_, output) = server.stop().await;
            assert!(output.err.contains("backups are not carried"), "{}", output.err);
            let list = command(&forgetful, place, &["backup", "list", "--json", "--from", &place.name]);
            assert_eq!(serde_json::from_str::<Vec<Json>>(&list).unwrap(), before, "nothing was touched");
        }
    }
}

#[tokio::test]
async fn what_the_folder_loses_the_second_place_keeps() {
    let home = Home::new();
    for place in &places(&home).await {
        let home = Home::new();
        let server = start(&home, place).await;
        server.sql("CREATE TABLE t (n INTEGER PRIMARY KEY); INSERT INTO t VALUES (1)").await;
        carried(&server).await;
        std::fs::remove_dir_all(home.folder.path().join("test.db-backups")).unwrap();
        server.sql("INSERT INTO t VALUES (2)").await;
        within("a word of it", async {
            while read(&server, "/backups").await["ok"] == json!(true) {
                server.sql("INSERT INTO t VALUES ((SELECT max(n) + 1 FROM t))").await;
            }
        })
        .await;
        server.stop().await;
        let to = home.folder.path().join("back.db").display().to_string();
        command(&home, place, &["restore", "--from", &place.name, "--to", &to]);
        assert_eq!(restored(&to, "SELECT count(*) FROM t"), 1);
    }
}

#[tokio::test]
async fn what_the_folder_has_lost_comes_back_from_the_second_place() {
    let home = Home::new();
    for place in &places(&home).await {
        let home = Home::new();
        let server = start(&home, place).await;
        server.sql("CREATE TABLE t (n INTEGER PRIMARY KEY)").await;
        let mut revisions = Vec::new();
        for number in 0..6 {
            server.sql(&format!("INSERT INTO t VALUES ({number})")).await;
            revisions.push(carried(&server).await);
        }
        server.stop().await;
        let of_seconds = home.folder.path().join("test.db-backups/ltx/0");
        let names = std::fs::read_dir(&of_seconds).unwrap().map(|entry| entry.unwrap().path());
        let mut names: Vec<_> = names.collect();
        names.sort();
        // One in the middle, the newest, and one of which the other copy is bad as well.
        let (middle, newest, bad) = (&names[2], &names[names.len() - 1], &names[3]);
        let before = [middle, newest].map(|name| std::fs::read(name).unwrap());
        let elsewhere = std::path::Path::new(&place.name);
        let is_bad = elsewhere.is_dir();
        for lost in [middle, newest, bad].iter().take(if is_bad { 3 } else { 2 }) {
            std::fs::remove_file(lost).unwrap();
        }
        if is_bad {
            let copy = elsewhere.join("ltx/0").join(bad.file_name().unwrap());
            let mut bytes = std::fs::read(&copy).unwrap();
            let middle = bytes.len() / 2;
            bytes[middle] ^= 1;
            std::fs::write(&copy, bytes).unwrap();
        }
        let server = start(&home, place).await;
        within("both files", async {
            while !(middle.exists() && newest.exists()) {
                let mirror = read(&server, "/backups").await["mirror"].clone();
                assert_eq!(mirror["ok"], true, "{mirror}");
                tokio::task::yield_now().await;
            }
        })
        .await;
        assert_eq!([middle, newest].map(|name| std::fs::read(name).unwrap()), before);
        server.sql("INSERT INTO t VALUES (100)").await;
        carried(&server).await;
        let checked = command(&home, place, &["backup", "verify", "--db", "test.db"]);
        assert!(checked.contains("as they were written"), "{checked}");
        assert_eq!(bad.exists(), !is_bad);
        let (_, output) = server.stop().await;
        assert!(output.err.contains("is brought back"), "{}", output.err);
        assert_eq!(output.err.contains("stays lost"), is_bad, "{}", output.err);
        let to = |name: &str| home.folder.path().join(format!("{name}.db")).display().to_string();
        command(&home, place, &["restore", "--db", "test.db", "--to", &to("last")]);
        assert_eq!(restored(&to("last"), "SELECT count(*) FROM t"), 7);
        let early = revisions[0].to_string();
        command(&home, place, &["restore", "--db", "test.db", "--revision", &early, "--to", &to("early")]);
        assert_eq!(restored(&to("early"), "SELECT count(*) FROM t"), 1);
    }
}

#[tokio::test]
async fn a_restore_from_the_second_place_takes_any_revision_and_goes_around_damage() {
    let home = Home::new();
    let place = Place { name: home.folder.path().join("elsewhere").display().to_string(), environment: Vec::new() };
    let server = start(&home, &place).await;
    server.sql("CREATE TABLE t (n INTEGER PRIMARY KEY)").await;
    carried(&server).await;
    // Of one second, as a rule: they share a file.
    for number in 0..3 {
        server.sql(&format!("INSERT INTO t VALUES ({number})")).await;
    }
    let last = carried(&server).await;
    server.sql("INSERT INTO t VALUES (3)").await;
    carried(&server).await;
    server.stop().await;
    let to = |name: &str| home.folder.path().join(format!("{name}.db")).display().to_string();
    for revision in [last - 1, last] {
        let name = format!("of-{revision}");
        let asked = revision.to_string();
        command(&home, &place, &["restore", "--from", &place.name, "--revision", &asked, "--to", &to(&name)]);
        assert!(restored(&to(&name), "SELECT count(*) FROM t") <= 3);
    }
    // A minute that is damaged there, with its seconds beside it.
    let root = std::path::Path::new(&place.name);
    let minutes = root.join("ltx/1");
    if let Some(minute) = std::fs::read_dir(&minutes).ok().and_then(|mut files| files.next()) {
        let path = minute.unwrap().path();
        std::fs::write(&path, "damage").unwrap();
    }
    command(&home, &place, &["restore", "--from", &place.name, "--to", &to("around")]);
    assert_eq!(restored(&to("around"), "SELECT count(*) FROM t"), 4);
    // And a line of its list.
    let list = root.join("groups.jsonl");
    let text = std::fs::read_to_string(&list).unwrap();
    std::fs::write(&list, text.replacen("\"level\"", "\"revel\"", 1)).unwrap();
    let told = complained(&tidebase(&home, &[], &["backup", "verify", "--from", &place.name]));
    assert!(told.contains("groups.jsonl") || told.contains("cannot be restored"), "{told}");
}

#[tokio::test]
async fn a_line_that_was_lost_here_comes_back_from_the_second_place() {
    let home = Home::new();
    let place = Place { name: home.folder.path().join("elsewhere").display().to_string(), environment: Vec::new() };
    let server = start(&home, &place).await;
    server.sql("CREATE TABLE t (n INTEGER PRIMARY KEY)").await;
    let mut revisions = Vec::new();
    for number in 0..4 {
        server.sql(&format!("INSERT INTO t VALUES ({number})")).await;
        revisions.push(carried(&server).await);
    }
    server.stop().await;
    let list = home.folder.path().join("test.db-backups/groups.jsonl");
    let text = std::fs::read_to_string(&list).unwrap();
    let line = text.lines().nth(2).unwrap();
    std::fs::write(&list, text.replacen(line, &line.replacen("level", "revel", 1), 1)).unwrap();
    let server = start(&home, &place).await;
    server.sql("INSERT INTO t VALUES (100)").await;
    carried(&server).await;
    let (_, output) = server.stop().await;
    assert!(output.err.contains("line 3 of groups.jsonl"), "{}", output.err);
    for (number, revision) in revisions.iter().enumerate() {
        let to = home.folder.path().join(format!("{number}.db")).display().to_string();
        command(&home, &place, &["restore", "--db", "test.db", "--revision", &revision.to_string(), "--to", &to]);
        assert_eq!(restored(&to, "SELECT count(*) FROM t"), number as i64 + 1);
    }
}

#[tokio::test]
async fn damage_is_not_carried() {
    let home = Home::new();
    let server = home.start().await;
    server.sql("CREATE TABLE t (n INTEGER PRIMARY KEY); INSERT INTO t VALUES (1)").await;
    kept(&server).await;
    server.stop().await;
    let of_seconds = home.folder.path().join("test.db-backups/ltx/0");
    let file = std::fs::read_dir(&of_seconds).unwrap().map(|entry| entry.unwrap().path()).max().unwrap();
    let mut bytes = std::fs::read(&file).unwrap();
    let middle = bytes.len() / 2;
    bytes[middle] ^= 1;
    std::fs::write(&file, bytes).unwrap();
    let place = Place { name: home.folder.path().join("elsewhere").display().to_string(), environment: Vec::new() };
    let server = start(&home, &place).await;
    server.sql("INSERT INTO t VALUES (2)").await;
    carried(&server).await;
    assert_eq!(read(&server, "/backups").await["set_aside"], 1);
    server.stop().await;
    let name = std::path::Path::new("ltx/0").join(file.file_name().unwrap());
    assert!(!std::path::Path::new(&place.name).join(name).exists());
}

#[tokio::test]
async fn an_older_copy_of_the_folder_does_not_touch_the_second_place() {
    let home = Home::new();
    let place = Place { name: home.folder.path().join("elsewhere").display().to_string(), environment: Vec::new() };
    let server = start(&home, &place).await;
    server.sql("CREATE TABLE t (n INTEGER PRIMARY KEY)").await;
    carried(&server).await;
    server.stop().await;
    let in_home = |name: &str| home.folder.path().join(name);
    let copied =
        std::process::Command::new("cp").arg("-a").arg(in_home("test.db-backups")).arg(in_home("copy")).status();
    assert!(copied.unwrap().success());
    let server = start(&home, &place).await;
    for number in 0..3 {
        server.sql(&format!("INSERT INTO t VALUES ({number})")).await;
        carried(&server).await;
    }
    std::fs::rename(in_home("test.db-backups"), in_home("away")).unwrap();
    std::fs::rename(in_home("copy"), in_home("test.db-backups")).unwrap();
    within("a word of it", async {
        while read(&server, "/backups").await["mirror"]["ok"] == json!(true) {
            server.sql("INSERT INTO t VALUES ((SELECT max(n) + 1 FROM t))").await;
        }
    })
    .await;
    let (_, output) = server.stop().await;
    assert!(output.err.contains("not of this server"), "{}", output.err);
    let to = home.folder.path().join("back.db").display().to_string();
    command(&home, &place, &["restore", "--from", &place.name, "--to", &to]);
    assert_eq!(restored(&to, "SELECT count(*) FROM t"), 3);
}
