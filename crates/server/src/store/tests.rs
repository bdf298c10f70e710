//! What holds for every place, tried on a folder and on a real S3 server, which `TIDEBASE_S3` names; and on servers that misbehave.
//!
//! `cargo xtask test` starts such a server and sets the variable.

use super::{Store, bucket};
use bytes::Bytes;
use futures_util::TryStreamExt as _;
use std::io::Write as _;
use std::os::unix::fs::PermissionsExt as _;
use std::time::Duration;
use tidebase_engine::{Code, Error};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};

const TIME_MAX: Duration = Duration::from_mins(1);

fn at(endpoint: &str, wanted: &str, time_max: Duration) -> Store {
    let endpoint = endpoint.to_owned();
    let environment = move |name: &str| match name {
        "AWS_ACCESS_KEY_ID" | "AWS_SECRET_ACCESS_KEY" => Some("test".to_owned()),
        "AWS_ENDPOINT_URL" => Some(endpoint.clone()),
        _ => None,
    };
    Store::open(wanted, &environment, time_max).unwrap()
}

fn nothing(_: &str) -> Option<String> {
    None
}

/// A folder, and a new bucket if there is a server for it.
async fn places(folder: &tempfile::TempDir, bucket: &str) -> Vec<Store> {
    let path = folder.path().join("files").display().to_string();
    let mut places = vec![Store::open(&path, &nothing, TIME_MAX).unwrap()];
    if let Ok(server) = std::env::var("TIDEBASE_S3") {
        // The server may have been there before.
        let bucket = format!("{bucket}-{}", crate::auth::secret::new_document_id().unwrap());
        let made = reqwest::Client::new().put(format!("{server}/{bucket}")).send().await.unwrap();
        assert!(made.status().is_success(), "{made:?}");
        places.push(at(&server, &format!("s3://{bucket}/some/prefix"), TIME_MAX));
    } else {
        // eprintln would be caught by the test runner.
        writeln!(std::io::stderr(), "SKIPPED: TIDEBASE_S3 names no S3 server, so that only folders are tried").unwrap();
    }
    places
}

async fn read(store: &Store, name: &str, range: std::ops::Range<u64>) -> Vec<u8> {
    let found = store.get(name).await.unwrap();
    let pieces: Vec<Bytes> = found.read(range).try_collect().await.unwrap();
    pieces.concat()
}

fn is_code<T>(done: Result<T, Error>, code: Code, words: &str) {
    let error = done.err().unwrap_or_else(|| panic!("{words:?} was expected to fail"));
    assert!(error.code == code && error.message.contains(words), "{error:?}");
}

#[tokio::test]
async fn a_name_is_given_once_and_a_file_comes_back_as_it_was() {
    let folder = tempfile::tempdir().unwrap();
    for store in places(&folder, "small").await {
        store.put_new("a/one.txt", Bytes::from_static(b"one")).await.unwrap();
        is_code(store.put_new("a/one.txt", Bytes::from_static(b"two")).await, Code::Conflict, "already");
        let found = store.get("a/one.txt").await.unwrap();
        assert_eq!((found.bytes, found.whole().await.unwrap()), (3, b"one".to_vec()), "{store}");
        is_code(store.get("a/two.txt").await, Code::NotFound, "There is no file a/two.txt");
        is_code(store.get("a").await, Code::NotFound, "There is no file a ");
        is_code(store.get("../etc/passwd").await, Code::Invalid, "no name");
        store.delete("a/one.txt").await.unwrap();
        store.delete("a/one.txt").await.unwrap();
        is_code(store.get("a/one.txt").await, Code::NotFound, "There is no file");
    }
}

#[tokio::test]
async fn files_are_listed_by_how_their_names_begin() {
    let folder = tempfile::tempdir().unwrap();
    for store in places(&folder, "listed").await {
        assert_eq!(store.list("").await.unwrap(), []);
        for name in ["dump_2.sql", "dump_1.sql", "other", "0000/b.ltx", "0000/a.ltx", "0001/a.ltx"] {
            store.put_new(name, Bytes::copy_from_slice(name.as_bytes())).await.unwrap();
        }
        let listed = async |prefix: &str| {
            let files = store.list(prefix).await.unwrap();
            assert!(files.iter().all(|file| file.bytes == file.name.len() as u64), "{files:?}");
            files.into_iter().map(|file| file.name).collect::<Vec<_>>()
        };
        assert_eq!(listed("dump_").await, ["dump_1.sql", "dump_2.sql"], "{store}");
        assert_eq!(listed("0000/").await, ["0000/a.ltx", "0000/b.ltx"]);
        assert_eq!(listed("00").await, ["0000/a.ltx", "0000/b.ltx", "0001/a.ltx"]);
        assert_eq!(listed("").await.len(), 6);
    }
}

#[tokio::test]
async fn a_large_file_is_there_when_it_is_finished_and_any_part_of_it_can_be_read() {
    let folder = tempfile::tempdir().unwrap();
    let bytes: Vec<u8> = (0..bucket::PART_BYTES as u32 * 2 / 4 + 1000).flat_map(u32::to_le_bytes).collect();
    for store in places(&folder, "large").await {
        let mut upload = store.upload("dumps/large.bin").await.unwrap();
        for piece in bytes.chunks(70_001) {
            upload.write(piece).await.unwrap();
        }
        assert_eq!(store.list("").await.unwrap(), [], "{store}");
        assert_eq!(upload.finish().await.unwrap(), bytes.len() as u64);
        let all = bytes.len() as u64;
        assert!(read(&store, "dumps/large.bin", 0..all).await == bytes, "{store}");
        for range in [0..1, all - 1..all, 8_388_600..8_388_700, 5..5] {
            assert_eq!(
                read(&store, "dumps/large.bin", range.clone()).await,
                bytes[range.start as usize..range.end as usize]
            );
        }
        let empty = store.upload("empty").await.unwrap();
        assert_eq!(empty.finish().await.unwrap(), 0);
        assert_eq!(read(&store, "empty", 0..0).await, b"");
    }
}

#[tokio::test]
async fn an_upload_that_is_abandoned_leaves_nothing() {
    let folder = tempfile::tempdir().unwrap();
    for store in places(&folder, "abandoned").await {
        let mut upload = store.upload("half").await.unwrap();
        upload.write(&vec![1; bucket::PART_BYTES + 1]).await.unwrap();
        let id = upload.id().to_owned();
        store.abandon("half", &id).await.unwrap();
        store.abandon("half", &id).await.unwrap();
        is_code(upload.finish().await, Code::Unavailable, "");
        assert_eq!(store.list("").await.unwrap(), []);
        is_code(store.get("half").await, Code::NotFound, "There is no file");
    }
    assert_eq!(std::fs::read_dir(folder.path().join("files")).unwrap().count(), 0);
}

#[tokio::test]
async fn a_file_that_is_replaced_while_it_is_read_is_never_mixed() {
    let folder = tempfile::tempdir().unwrap();
    for store in places(&folder, "replaced").await {
        let write = async |byte: u8| {
            let mut upload = store.upload("changing").await.unwrap();
            upload.write(&vec![byte; 9 << 20]).await.unwrap();
            upload.finish().await.unwrap();
        };
        write(1).await;
        let found = store.get("changing").await.unwrap();
        let pieces = found.read(0..found.bytes);
        let mut pieces = std::pin::pin!(pieces);
        let mut seen = pieces.try_next().await.unwrap().unwrap().to_vec();
        write(2).await;
        loop {
            match pieces.try_next().await {
                Ok(Some(piece)) => seen.extend_from_slice(&piece),
                Ok(None) => break,
                Err(error) => {
                    assert!(error.code == Code::Conflict && error.message.contains("replaced"), "{error:?}");
                    break;
                }
            }
        }
        assert!(seen.iter().all(|byte| *byte == 1), "{store}");
        assert_ne!(found.tag, store.get("changing").await.unwrap().tag, "{store}");
    }
}

#[tokio::test]
async fn what_a_folder_keeps_is_its_owners_alone() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("files");
    let store = Store::open(&path.display().to_string(), &nothing, TIME_MAX).unwrap();
    store.put_new("small", Bytes::from_static(b"small")).await.unwrap();
    let mut upload = store.upload("large").await.unwrap();
    upload.write(b"large").await.unwrap();
    upload.finish().await.unwrap();
    let mode = |path: &std::path::Path| std::fs::metadata(path).unwrap().permissions().mode() & 0o777;
    assert_eq!((mode(&path), mode(&path.join("small")), mode(&path.join("large"))), (0o700, 0o600, 0o600));
}

#[test]
fn what_is_no_place_is_refused() {
    for (wanted, words) in [
        ("", "a folder, or s3://bucket/prefix"),
        ("gs://bucket", "gs://"),
        ("s3://", "name of a bucket"),
        ("s3://bucket/../x", "no name"),
    ] {
        is_code(Store::open(wanted, &nothing, TIME_MAX), Code::Invalid, words);
    }
}

#[tokio::test]
async fn a_folder_that_cannot_be_used_says_why() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("file");
    std::fs::write(&path, "").unwrap();
    let store = Store::open(&path.display().to_string(), &nothing, TIME_MAX).unwrap();
    is_code(store.put_new("a", Bytes::new()).await, Code::Unavailable, "cannot be used");
    is_code(store.upload("a").await, Code::Unavailable, "cannot be used");
}

/// A server that answers every request with these bytes and hangs up; with none it does not answer.
async fn misbehaving(answer: &'static str) -> String {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(async move {
        let mut silent = Vec::new();
        loop {
            let (mut stream, _) = listener.accept().await.unwrap();
            if answer.is_empty() {
                silent.push(stream);
                continue;
            }
            tokio::spawn(async move {
                let mut request = [0; 4096];
                let _ = stream.read(&mut request).await;
                let _ = stream.write_all(answer.as_bytes()).await;
            });
        }
    });
    format!("http://{address}")
}

#[tokio::test]
async fn a_store_that_does_not_answer_is_given_up() {
    let store = at(&misbehaving("").await, "s3://bucket", Duration::from_millis(400));
    for failed in [store.put_new("a", Bytes::new()).await, store.upload("a").await.map(|_| ()), store.delete("a").await]
    {
        let error = failed.unwrap_err();
        assert!(matches!(error.code, Code::Timeout | Code::Unavailable), "{error:?}");
    }
    assert!(store.get("a").await.is_err());
    assert!(store.list("a").await.is_err());
}

#[tokio::test]
async fn what_is_missing_in_the_environment_is_named() {
    // Nobody here has a key to give away.
    let machine = misbehaving("HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\nConnection: close\r\n\r\n").await;
    let silent = misbehaving("").await;
    for metadata in [machine, silent] {
        let environment = |name: &str| (name == "AWS_EC2_METADATA_SERVICE_ENDPOINT").then(|| metadata.clone());
        let store = Store::open("s3://bucket", &environment, Duration::from_secs(1)).unwrap();
        let error = store.put_new("a", Bytes::new()).await.unwrap_err();
        assert!(error.message.contains("set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY"), "{error}");
    }
    for (given, missing) in
        [("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"), ("AWS_SECRET_ACCESS_KEY", "AWS_ACCESS_KEY_ID")]
    {
        let environment = |name: &str| (name == given).then(|| "half".to_owned());
        is_code(Store::open("s3://bucket", &environment, TIME_MAX), Code::Invalid, &format!("{missing} is not set"));
    }
}

#[tokio::test]
async fn a_store_that_fails_or_answers_by_half_is_an_error() {
    let time_max = Duration::from_secs(4);
    let error = "HTTP/1.1 500 Internal Server Error\r\nContent-Length: 4\r\nConnection: close\r\n\r\noops";
    let store = at(&misbehaving(error).await, "s3://bucket", time_max);
    is_code(store.put_new("a", Bytes::new()).await, Code::Unavailable, "The bucket bucket cannot be used");
    let denied = "HTTP/1.1 403 Forbidden\r\nContent-Length: 0\r\nConnection: close\r\n\r\n";
    let store = at(&misbehaving(denied).await, "s3://bucket", time_max);
    is_code(store.upload("a").await, Code::Unavailable, "AWS_ACCESS_KEY_ID");
    // It says that there are ten bytes, and sends five.
    let half = "HTTP/1.1 206 Partial Content\r\nContent-Length: 10\r\nContent-Range: bytes 0-9/10\r\nETag: \"x\"\r\n\
                Last-Modified: Wed, 21 Oct 2015 07:28:00 GMT\r\nConnection: close\r\n\r\nhello";
    let store = at(&misbehaving(half).await, "s3://bucket", time_max);
    let found = store.get("a").await.unwrap();
    assert_eq!(found.bytes, 10);
    is_code(found.whole().await, Code::Unavailable, "");
    // It gives fewer than it was asked for.
    let few = "HTTP/1.1 206 Partial Content\r\nContent-Length: 5\r\nContent-Range: bytes 0-4/5\r\nETag: \"x\"\r\n\
               Last-Modified: Wed, 21 Oct 2015 07:28:00 GMT\r\nConnection: close\r\n\r\nhello";
    let store = at(&misbehaving(few).await, "s3://bucket", time_max);
    let mut found = store.get("a").await.unwrap();
    found.bytes = 10;
    is_code(found.whole().await, Code::Unavailable, "");
}
