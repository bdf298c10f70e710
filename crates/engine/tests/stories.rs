//! Stories: what is written, what a live query is told. Each file in `stories/` is a script with what it must print.
//!
//! ```text
//! write insert into t values (1)     run SQL; an error is printed with its code
//! live a: select * from t            subscribe as `a`
//! outside insert into t values (2)   another program writes to the file
//!     a + 1 [1]                      indented lines are what was told since the line before
//! ```
//! `+` inserted, `-` deleted, `~` updated, `>` moved, with `@index` where the result is ordered. Run with `UPDATE=1` to
//! write what is printed into the files, and read the difference.
#![allow(clippy::unwrap_used)]

mod client;

use client::{Client, Database};
use std::fmt::Write as _;

#[tokio::test]
async fn every_story_is_told_as_it_was_written() {
    let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/stories");
    let mut stories: Vec<_> = std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()).collect();
    stories.sort();
    assert!(!stories.is_empty());
    let mut wrong = Vec::new();
    for path in stories {
        let expected = std::fs::read_to_string(&path).unwrap();
        let told = tell(&expected).await;
        if told != expected {
            if std::env::var_os("UPDATE").is_some() {
                std::fs::write(&path, &told).unwrap();
            } else {
                wrong.push(format!("{}:\n{told}", path.display()));
            }
        }
    }
    assert!(wrong.is_empty(), "told otherwise (UPDATE=1 takes it over):\n{}", wrong.join("\n"));
}

async fn tell(script: &str) -> String {
    let database = Database::new();
    let mut client = Client::connect(&database).await;
    let mut told = String::new();
    for line in script.lines().filter(|line| !line.starts_with(' ')) {
        writeln!(told, "{line}").unwrap();
        let seen = client.seen.len();
        let (verb, rest) = line.split_once(' ').unwrap_or((line, ""));
        match verb {
            "write" => match database.sql(rest).await {
                Ok(answer) => client.reach_if_listening(&database, answer.revision).await,
                Err(error) => writeln!(told, "    {}: {error}", error.code.name()).unwrap(),
            },
            "outside" => {
                let revision = database.engine.revision();
                database.outside().execute_batch(rest).unwrap();
                database.engine.wait_for(revision + 1, std::time::Duration::from_secs(20)).await.unwrap();
                client.reach_if_listening(&database, revision + 1).await;
            }
            "live" => {
                let (id, sql) = rest.split_once(": ").unwrap();
                client.live(&database, id, sql).await;
            }
            _ if line.is_empty() || line.starts_with('#') => {}
            _ => panic!("what is {line:?}?"),
        }
        for frame in &client.seen[seen..] {
            print_frame(&mut told, &serde_json::from_str(frame).unwrap());
        }
    }
    told
}

impl Client {
    async fn reach_if_listening(&mut self, database: &Database, revision: i64) {
        database.engine.answered(&self.session, revision);
        // A write may end the last query that listened: then nobody is told more.
        let is_whole = |live: &client::Live| live.is_done || live.error.is_some();
        self.wait(|client| {
            let is_told = client.told >= revision || client.lives.values().all(|live| live.error.is_some());
            is_told && client.lives.values().all(is_whole)
        })
        .await;
    }
}

fn print_frame(out: &mut String, frame: &serde_json::Value) {
    let id = frame["id"].as_str().unwrap_or_default();
    let row = |row: &serde_json::Value| {
        let row = row.as_array().unwrap();
        format!("{} {}", row[0].as_str().unwrap(), serde_json::Value::from(row[1..].to_vec()))
    };
    match frame["type"].as_str().unwrap() {
        "rows" => {
            let rows = frame["rows"].as_array().unwrap();
            writeln!(out, "    {id} rows {} ordered={}", frame["columns"], frame["ordered"]).unwrap();
            rows.iter().for_each(|one| writeln!(out, "    {id} = {}", row(one)).unwrap());
        }
        "delta" => {
            // In which order a frame has its queries is left open.
            let mut queries = frame["queries"].as_array().unwrap().clone();
            queries.sort_by_key(|query| query["id"].to_string());
            queries.iter().for_each(|query| print_delta(out, query, row));
        }
        "resync" => writeln!(out, "    {id} resync").unwrap(),
        "error" => {
            writeln!(out, "    {id} {}: {}", frame["code"].as_str().unwrap(), frame["error"].as_str().unwrap())
                .unwrap();
        }
        _ => {}
    }
}

fn print_delta(out: &mut String, query: &serde_json::Value, row: impl Fn(&serde_json::Value) -> String) {
    let id = query["id"].as_str().unwrap();
    let list = |name: &str| query[name].as_array().cloned().unwrap_or_default();
    let places = list("place");
    let place = |key: &str| places.iter().find(|place| place[0] == key).map(|place| format!(" @{}", place[1]));
    for key in list("delete") {
        writeln!(out, "    {id} - {}", key.as_str().unwrap()).unwrap();
    }
    let inserted = list("insert");
    for one in &inserted {
        writeln!(out, "    {id} + {}{}", row(one), place(one[0].as_str().unwrap()).unwrap_or_default()).unwrap();
    }
    for one in list("update") {
        writeln!(out, "    {id} ~ {}", row(&one)).unwrap();
    }
    for moved in places.iter().filter(|place| !inserted.iter().any(|one| one[0] == place[0])) {
        writeln!(out, "    {id} > {} @{}", moved[0].as_str().unwrap(), moved[1]).unwrap();
    }
}
