//! A second place of backups that fails, is silent, or breaks off: the server goes on and keeps, says so, and catches up.

use super::backups::{kept, read, restored, said, tidebase};
use super::bucket::{Bucket, Mood, NAME};
use crate::server::{Home, Server, within};
use serde_json::Value as Json;
use std::sync::Arc;

const MOODS: [Mood; 3] = [Mood::Failing, Mood::Silent, Mood::Breaking];

async fn start(home: &Arc<Home>, bucket: &Bucket, time_max_ms: u64) -> Server {
    let mut command = home.command();
    command.args(["--backup-mirror", &place(), "--limit", &format!("store_time_max={time_max_ms}")]);
    command.envs(bucket.environment());
    Server::run(home, command).await
}

fn place() -> String {
    format!("s3://{NAME}/shop")
}

async fn mirror_with(server: &Server, what: &str, wanted: impl Fn(&Json) -> bool) -> Json {
    within(what, async {
        loop {
            let report = read(server, "/backups").await;
            let mirror = report["mirror"].clone();
            if wanted(&mirror) {
                assert_eq!(report["ok"], mirror["ok"], "the folder itself is well: {report}");
                return mirror;
            }
            tokio::task::yield_now().await;
        }
    })
    .await
}

/// Everything up to here is there, and nothing is said any more.
async fn caught_up(server: &Server, revision: i64) {
    let mirror = mirror_with(server, "all of it in the second place", |mirror| {
        mirror["behind"] == 0 && mirror["ok"] == true && mirror["revision"].as_i64() >= Some(revision)
    })
    .await;
    assert_eq!((&mirror["behind_since"], &mirror["error"]), (&Json::Null, &Json::Null), "{mirror}");
}

fn rows_of(home: &Home, bucket: &Bucket, name: &str, revision: Option<i64>) -> i64 {
    let to = home.folder.path().join(name).display().to_string();
    let place = place();
    let revision = revision.map(|revision| revision.to_string());
    let mut arguments = vec!["restore", "--from", &place, "--to", &to];
    arguments.extend(revision.iter().flat_map(|revision| ["--revision", revision.as_str()]));
    said(&tidebase(home, &bucket.environment(), &arguments));
    restored(&to, "SELECT count(*) FROM t")
}

// The bucket is served while commands are waited for.
#[tokio::test(flavor = "multi_thread")]
async fn a_place_that_misbehaves_is_told_of_and_caught_up_with() {
    for mood in MOODS {
        let (home, bucket) = (Home::new(), Bucket::open().await);
        let mut server = start(&home, &bucket, 2000).await;
        server.sql("CREATE TABLE t (n INTEGER PRIMARY KEY)").await;
        caught_up(&server, kept(&server).await).await;
        bucket.be(mood);
        let mut revisions = Vec::new();
        for number in 0..4 {
            server.sql(&format!("INSERT INTO t VALUES ({number})")).await;
            revisions.push(kept(&server).await);
        }
        let mirror = mirror_with(&server, "a word of it", |mirror| mirror["ok"] == false).await;
        assert!(mirror["error"].as_str().unwrap().contains(NAME), "{mood:?}: {mirror}");
        assert!(mirror["behind"].as_u64() >= Some(1), "{mood:?}: {mirror}");
        assert!(mirror["behind_since"].as_str().unwrap().starts_with("20"), "{mood:?}: {mirror}");
        // The server has all of it, and goes on.
        server.sql("INSERT INTO t VALUES (4)").await;
        let last = kept(&server).await;
        bucket.be(Mood::Well);
        caught_up(&server, last).await;
        server.process.signal("KILL");
        let (_, output) = server.process.ended().await;
        assert!(output.err.contains("backups are not carried to their second place"), "{}", output.err);
        let elsewhere = Home::new();
        for (index, revision) in revisions.iter().enumerate() {
            let rows = rows_of(&elsewhere, &bucket, &format!("{index}.db"), Some(*revision));
            assert_eq!(rows, index as i64 + 1, "{mood:?}, revision {revision}");
        }
        assert_eq!(rows_of(&elsewhere, &bucket, "last.db", None), 5, "{mood:?}");
    }
}

// The bucket is served while commands are waited for.
#[tokio::test(flavor = "multi_thread")]
async fn a_place_that_was_never_reached_has_nothing_and_everything_is_behind() {
    let (home, bucket) = (Home::new(), Bucket::open().await);
    bucket.be(Mood::Failing);
    let server = start(&home, &bucket, 2000).await;
    server.sql("CREATE TABLE t (n INTEGER PRIMARY KEY)").await;
    kept(&server).await;
    mirror_with(&server, "a word of it", |mirror| mirror["ok"] == false).await;
    for number in 0..3 {
        server.sql(&format!("INSERT INTO t VALUES ({number})")).await;
        kept(&server).await;
        let report = read(&server, "/backups").await;
        assert_eq!(report["mirror"]["behind"], report["files"], "{report}");
    }
    bucket.be(Mood::Well);
    caught_up(&server, kept(&server).await).await;
    assert_eq!(rows_of(&home, &bucket, "last.db", None), 3);
}

/// As when a firewall drops what is sent: nobody waits for minutes until he hears of it.
// The bucket is served while commands are waited for.
#[tokio::test(flavor = "multi_thread")]
async fn a_place_that_does_not_answer_is_told_of_long_before_it_is_given_up() {
    let (home, bucket) = (Home::new(), Bucket::open().await);
    let server = start(&home, &bucket, 600_000).await;
    server.sql("CREATE TABLE t (n INTEGER PRIMARY KEY)").await;
    caught_up(&server, kept(&server).await).await;
    bucket.be(Mood::Silent);
    let asked = bucket.asked();
    server.sql("INSERT INTO t VALUES (1)").await;
    let last = kept(&server).await;
    let mirror = mirror_with(&server, "a word of it", |mirror| mirror["ok"] == false).await;
    let error = mirror["error"].as_str().unwrap();
    assert!(error.contains("has not answered for 1") && error.contains("given up after 600 s"), "{mirror}");
    assert!(mirror["behind"].as_u64() >= Some(1) && bucket.asked() > asked, "{mirror}");
    assert!(mirror["revision"].as_i64() < Some(last), "{mirror}");
    // A stop does not wait for it either.
    let (status, output) = server.stop().await;
    assert!(status.success() && output.err.contains("does not have the last of them yet"), "{output:?}");
    bucket.be(Mood::Well);
    let server = start(&home, &bucket, 600_000).await;
    caught_up(&server, last).await;
    assert_eq!(rows_of(&home, &bucket, "last.db", None), 1);
}
