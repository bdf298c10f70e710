//! Dumps whose server ends under them, and whose store fails, hangs, or is a bucket.

use super::disk::SmallDisk;
use super::dumps::{ask, completed, count, download, files, made_again, rows, status, until};
use crate::server::http::Request;
use crate::server::{Home, Server};
use serde_json::{Value as Json, json};
use std::io::Write as _;
use tokio::net::TcpListener;

/// A dump that takes some seconds, with rows written.
async fn under_way(server: &Server) -> String {
    server.sql(&rows(2000)).await;
    let key = ask(server, json!({"format": "sql", "chunkSize": 1})).await;
    has_rows(server, &key).await;
    key
}

async fn has_rows(server: &Server, key: &str) -> Json {
    until(server, key, |status| status["progress"]["processedRows"].as_u64() > Some(0)).await
}

async fn failed(server: &Server, key: &str) -> String {
    let failed = until(server, key, |status| status["status"] == "failed").await;
    failed["error"].as_str().unwrap().to_owned()
}

/// With where dumps are kept, and the environment of a bucket.
async fn start_at(home: &std::sync::Arc<Home>, place: &str, endpoint: &str, limits: &[&str]) -> Server {
    let mut command = home.command();
    command.args(["--dump-store", place]);
    command.envs([("AWS_ACCESS_KEY_ID", "test"), ("AWS_SECRET_ACCESS_KEY", "test"), ("AWS_ENDPOINT_URL", endpoint)]);
    for limit in limits {
        command.args(["--limit", limit]);
    }
    Server::run(home, command).await
}

#[tokio::test]
async fn a_dump_is_begun_again_when_the_server_was_killed_under_it() {
    let server = Server::start().await;
    let key = under_way(&server).await;
    assert!(files(&server.home).iter().all(|file| file.starts_with('.')), "{:?}", files(&server.home));
    let server = server.crash_and_restart().await;
    // It is of the moment when it was begun again.
    server.sql("SELECT 1").await;
    let ended = completed(&server, &key).await;
    assert_eq!(ended["restarts"], 1, "{ended}");
    assert_eq!(files(&server.home), [format!("{key}.sql")]);
    let dump = made_again(&download(&server, &format!("{key}.sql")).await.body);
    assert_eq!(count(&dump, "SELECT count(*) FROM t WHERE a = 'row ' || id"), 2000);
}

#[tokio::test]
async fn a_file_that_is_not_as_it_was_made_is_not_sent() {
    let server = Server::start().await;
    server.sql("CREATE TABLE t (a); INSERT INTO t VALUES ('a row of some length')").await;
    let key = ask(&server, json!({"format": "sql"})).await;
    completed(&server, &key).await;
    let name = format!("{key}.sql");
    let file = server.home.folder.path().join("test.db-dumps").join(&name);
    let whole = std::fs::read(&file).unwrap();
    std::fs::write(&file, &whole[..whole.len() - 1]).unwrap();
    download(&server, &name).await.is_refused(503, "unavailable", "Make another dump.");
    std::fs::remove_file(&file).unwrap();
    download(&server, &name).await.is_refused(404, "not_found", &name);
}

#[tokio::test]
async fn a_dump_under_which_the_server_ends_again_and_again_fails() {
    let server = Server::start().await;
    let key = under_way(&server).await;
    let mut server = server.restart().await;
    for restarts in 1..=3 {
        assert_eq!(has_rows(&server, &key).await["restarts"], restarts);
        server = server.crash_and_restart().await;
    }
    assert!(failed(&server, &key).await.contains("4 times"));
    assert!(files(&server.home).is_empty(), "{:?}", files(&server.home));
}

#[tokio::test]
async fn a_place_that_cannot_be_used_fails_the_dump_and_nothing_else() {
    let home = Home::new();
    std::fs::write(home.folder.path().join("file"), "").unwrap();
    let server = start_at(&home, "file/folder", "", &[]).await;
    let key = ask(&server, json!({"format": "sql"})).await;
    let error = failed(&server, &key).await;
    assert!(error.contains("file/folder cannot be used"), "{error}");
    download(&server, &format!("{key}.sql")).await.is_refused(409, "conflict", "has failed");
    assert_eq!(server.sql("SELECT 1 AS one").await, json!([{"one": 1}]));
    server.send(Request::new("DELETE", format!("/export/dump/{key}"))).await.result();
}

/// Where dumps lie beside the database they must not take its last bytes.
#[tokio::test]
async fn a_dump_that_would_fill_the_disk_fails_and_leaves_the_database_its_room() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("disk");
    let Some(_disk) = SmallDisk::mount(&path, "100m") else {
        return eprintln!("a disk of its own cannot be mounted here");
    };
    let home = Home::at(folder, path.join("test.db"));
    let server = home.start().await;
    server.sql("CREATE TABLE t (a); INSERT INTO t VALUES (zeroblob(12000000)), (zeroblob(12000000))").await;
    let key = ask(&server, json!({"format": "sql"})).await;
    let error = failed(&server, &key).await;
    assert!(error.contains("64 MiB left"), "{error}");
    server.sql("INSERT INTO t VALUES (1)").await;
    assert_eq!(std::fs::read_dir(path.join("test.db-dumps")).unwrap().count(), 0);
}

#[tokio::test]
async fn a_place_that_is_none_is_no_start() {
    let home = Home::new();
    for (place, words) in [("gs://bucket", "gs://"), ("s3://", "name of a bucket")] {
        let mut command = home.command();
        command.args(["--dump-store", place]);
        let (status, output) = crate::server::Process::run(command).ended().await;
        assert!(!status.success() && output.err.contains(words), "{output:?}");
    }
}

#[tokio::test]
async fn a_bucket_that_does_not_answer_fails_the_dump_while_others_are_served() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let silent = format!("http://{}", listener.local_addr().unwrap());
    let server = start_at(&Home::new(), "s3://bucket/dumps", &silent, &["store_time_max=500"]).await;
    let key = ask(&server, json!({"format": "sql"})).await;
    until(&server, &key, |status| status["status"] == "processing").await;
    assert_eq!(server.sql("SELECT 1 AS one").await, json!([{"one": 1}]));
    let error = failed(&server, &key).await;
    assert!(error.contains("bucket"), "{error}");
    let (status, output) = server.stop().await;
    assert!(status.success(), "{output:?}");
}

#[tokio::test]
async fn a_bucket_that_fails_fails_the_dump() {
    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let failing = format!("http://{}", listener.local_addr().unwrap());
    tokio::spawn(async move {
        while let Ok((mut stream, _)) = listener.accept().await {
            let _ = stream.read(&mut [0; 4096]).await;
            let _ = stream.write_all(b"HTTP/1.1 500 Oops\r\nContent-Length: 0\r\nConnection: close\r\n\r\n").await;
        }
    });
    let server = start_at(&Home::new(), "s3://bucket", &failing, &["store_time_max=4000"]).await;
    let key = ask(&server, json!({"format": "json"})).await;
    let error = failed(&server, &key).await;
    assert!(error.contains("The bucket bucket cannot be used"), "{error}");
}

/// By a server that speaks S3, which `TIDEBASE_S3` names.
#[tokio::test]
async fn a_bucket_keeps_dumps_as_a_folder_does() {
    let Ok(address) = std::env::var("TIDEBASE_S3") else {
        return writeln!(std::io::stderr(), "SKIPPED: TIDEBASE_S3 names no S3 server").unwrap();
    };
    let (_, authority) = address.split_once("//").unwrap();
    let authority = authority.parse().unwrap();
    let home = Home::new();
    // The server may have been there before.
    let bucket = format!("dumps-{}", home.folder.path().display().to_string().to_lowercase().replace(['/', '.'], "-"));
    let bucket = format!("{bucket}-{}", std::process::id());
    let place = format!("s3://{bucket}/some/prefix");
    let made = Request::new("PUT", format!("/{bucket}")).header("Authorization", "").send(authority).await;
    assert_eq!(made.status, 200, "{}", made.text());
    let listed = async || {
        let listed = Request::get(format!("/{bucket}?list-type=2")).header("Authorization", "").send(authority).await;
        listed.text().matches("<Key>").count()
    };
    let mut server = start_at(&home, &place, &address, &[]).await;
    let key = under_way(&server).await;
    server.process.signal("KILL");
    server.process.ended().await;
    let server = start_at(&home, &place, &address, &[]).await;
    assert_eq!(completed(&server, &key).await["restarts"], 1);
    let uploads = Request::get(format!("/{bucket}?uploads")).header("Authorization", "").send(authority).await;
    assert!(!uploads.text().contains("<UploadId>"), "{}", uploads.text());
    let whole = download(&server, &format!("{key}.sql")).await;
    assert_eq!(count(&made_again(&whole.body), "SELECT count(*) FROM t"), 2000);
    let path = format!("/export/dump/download/{key}.sql");
    let tag = whole.header("etag").unwrap();
    let part = server.send(Request::get(&path).header("Range", "bytes=5-14").header("If-Range", tag)).await;
    assert_eq!((part.status, &part.body[..]), (206, &whole.body[5..15]));
    assert_eq!(listed().await, 1);
    server.send(Request::new("DELETE", format!("/export/dump/{key}"))).await.result();
    assert_eq!(listed().await, 0);
}

#[tokio::test]
async fn a_dump_that_is_removed_while_it_is_made_leaves_nothing() {
    let server = Server::start().await;
    let key = under_way(&server).await;
    server.send(Request::new("DELETE", format!("/export/dump/{key}"))).await.result();
    assert!(files(&server.home).is_empty(), "{:?}", files(&server.home));
    let next = ask(&server, json!({"format": "sql"})).await;
    completed(&server, &next).await;
    assert_eq!(status(&server, &next).await["restarts"], 0);
}
