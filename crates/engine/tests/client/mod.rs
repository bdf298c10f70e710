//! A client for the tests: applies frames as the contract says and refuses what breaks it.

#![allow(dead_code)] // each test file uses its part

use serde_json::{Value as Json, json};
use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;
use std::time::Duration;
use tidebase_engine::{
    Answer, Caller, Engine, Format, Limits, Options, Params, Principal, RequestId, Result, Role, Session, SqlRequest,
    Wanted,
};

/// Generous: a condition that is not met by then never will be.
const PATIENCE: Duration = Duration::from_secs(20);

pub struct Database {
    pub engine: Arc<Engine>,
    pub folder: tempfile::TempDir,
}

impl Database {
    pub fn new() -> Self {
        Self::with_limits(Limits::default())
    }

    pub fn with_limits(limits: Limits) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let engine = Engine::open(Options { limits, ..Options::new(folder.path().join("test.db")) }).unwrap();
        Self { engine, folder }
    }

    pub async fn sql(&self, sql: &str) -> Result<Answer> {
        self.engine.query(SqlRequest::query(sql, Params::None)).await
    }

    pub async fn rows(&self, sql: &str) -> Json {
        serde_json::from_slice(&self.sql(sql).await.unwrap().body).unwrap()
    }

    /// Another program's connection to the same file.
    pub fn outside(&self) -> rusqlite::Connection {
        let connection = rusqlite::Connection::open(self.folder.path().join("test.db")).unwrap();
        connection.busy_timeout(PATIENCE).unwrap();
        // Closing the last connection would checkpoint, which is the server's business.
        let config = rusqlite::config::DbConfig::SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE;
        connection.set_db_config(config, true).unwrap();
        connection
    }
}

/// One live result as the client holds it.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Live {
    pub is_ordered: bool,
    pub is_done: bool,
    pub rows: Vec<(String, Vec<Json>)>,
    pub tag: String,
    pub error: Option<String>,
    /// The revision of the last `rows` or `unchanged`.
    pub revision: i64,
}

pub struct Client {
    pub session: Arc<Session>,
    pub told: i64,
    pub history: String,
    pub lives: BTreeMap<String, Live>,
    /// Frames of kinds the model does not keep, in order.
    pub others: VecDeque<Json>,
    /// Every frame, as text.
    pub seen: Vec<String>,
}

impl Client {
    pub async fn connect(database: &Database) -> Self {
        Self::connect_as(database, Principal::Admin).await
    }

    pub async fn connect_as(database: &Database, principal: Principal) -> Self {
        let session = database.engine.open_session_for(principal);
        let mut client = Self {
            session,
            told: 0,
            history: String::new(),
            lives: BTreeMap::new(),
            others: VecDeque::new(),
            seen: Vec::new(),
        };
        client.read().await;
        assert!(!client.history.is_empty(), "the first frame is hello");
        client
    }

    /// Subscribes and waits for the first rows or an error.
    pub async fn live(&mut self, database: &Database, id: &str, sql: &str) -> &Live {
        self.subscribe(database, id, Wanted::Query { sql: sql.into(), params: Params::None, since: None });
        self.wait(|client| client.lives.get(id).is_some_and(|live| live.is_done || live.error.is_some())).await;
        &self.lives[id]
    }

    pub fn subscribe(&mut self, database: &Database, id: &str, wanted: Wanted) {
        let request = RequestId::parse(&format!("\"{id}\"")).unwrap();
        database.engine.subscribe(&self.session, Some(request), wanted).unwrap();
    }

    /// Waits until this client has been told of the revision.
    pub async fn reach(&mut self, database: &Database, revision: i64) {
        database.engine.answered(&self.session, revision);
        // A result that is told anew after a resync comes in pieces.
        let is_whole = |live: &Live| live.is_done || live.error.is_some();
        self.wait(|client| client.told >= revision && client.lives.values().all(is_whole)).await;
    }

    pub async fn wait(&mut self, condition: impl Fn(&Self) -> bool) {
        let waited = tokio::time::timeout(PATIENCE, async {
            while !condition(self) {
                self.read().await;
            }
        });
        let is_met = waited.await.is_ok();
        assert!(
            is_met,
            "waited in vain; the last frames:\n{}",
            self.seen.iter().rev().take(12).cloned().collect::<Vec<_>>().join("\n")
        );
    }

    pub async fn read(&mut self) {
        let batch = self.session.next_batch().await.expect("the session goes on");
        for frame in &batch.frames {
            let text = std::str::from_utf8(&frame.text).unwrap().to_owned();
            let json: Json = serde_json::from_str(&text).expect("frames are JSON");
            self.seen.push(text);
            self.apply(json);
        }
        self.session.written(&batch);
    }

    fn apply(&mut self, frame: Json) {
        let id = frame["id"].as_str().unwrap_or_default().to_owned();
        match frame["type"].as_str().unwrap() {
            "hello" => {
                self.told = frame["revision"].as_i64().unwrap();
                self.history = frame["history"].as_str().unwrap().into();
            }
            "rows" => {
                let revision = frame["revision"].as_i64().unwrap();
                let live = self.lives.entry(id).or_default();
                assert!(!live.is_done, "rows come after resync only");
                assert!(self.told >= revision, "the socket is brought to the revision of rows first");
                live.is_ordered = frame["ordered"].as_bool().unwrap();
                live.tag = frame["tag"].as_str().unwrap().into();
                live.revision = revision;
                live.rows.extend(frame["rows"].as_array().unwrap().iter().map(keyed));
                live.is_done = frame["done"].as_bool().unwrap();
            }
            "unchanged" => {
                let live = self.lives.entry(id).or_default();
                live.is_done = true;
                live.revision = frame["revision"].as_i64().unwrap();
            }
            "resync" if self.lives.contains_key(&id) => {
                self.lives.insert(id, Live::default());
            }
            "error" => {
                let message = frame["error"].as_str().unwrap().to_owned();
                let code = frame["code"].as_str().unwrap().to_owned();
                self.lives.entry(id).or_default().error = Some(format!("{code}: {message}"));
                self.others.push_back(frame);
            }
            "delta" => {
                assert_eq!(frame["from"].as_i64().unwrap(), self.told, "a delta continues what was told");
                self.told = frame["to"].as_i64().unwrap();
                for query in frame["queries"].as_array().unwrap() {
                    let live = self.lives.entry(query["id"].as_str().unwrap().into()).or_default();
                    live.is_done = true;
                    apply_delta(live, query);
                }
            }
            "at" => self.told = frame["revision"].as_i64().unwrap(),
            _ => self.others.push_back(frame),
        }
    }

    /// What was set aside, of one type.
    pub fn take(&mut self, kind: &str) -> Vec<Json> {
        let (taken, rest) = self.others.drain(..).partition(|frame| frame["type"] == kind);
        self.others = rest;
        taken.into()
    }
}

fn keyed(row: &Json) -> (String, Vec<Json>) {
    let row = row.as_array().unwrap();
    (row[0].as_str().unwrap().into(), row[1..].to_vec())
}

/// Take out deleted and placed rows, update in place, put each placed row at its index.
pub fn apply_delta(live: &mut Live, query: &Json) {
    let list = |name: &str| query[name].as_array().cloned().unwrap_or_default();
    let position = |live: &Live, key: &str| live.rows.iter().position(|(known, _)| known == key);
    for key in list("delete") {
        let at = position(live, key.as_str().unwrap()).expect("a deleted row was there");
        live.rows.remove(at);
    }
    let mut inserted: BTreeMap<String, Vec<Json>> = BTreeMap::new();
    for row in list("insert") {
        let (key, values) = keyed(&row);
        assert!(position(live, &key).is_none(), "an inserted row was not there: {key}");
        inserted.insert(key, values);
    }
    for row in list("update") {
        let (key, values) = keyed(&row);
        let at = position(live, &key).expect("an updated row was there");
        live.rows[at].1 = values;
    }
    let places = list("place");
    assert!(places.is_empty() || live.is_ordered, "only ordered results have places");
    if !live.is_ordered {
        live.rows.extend(inserted);
        return;
    }
    let mut placed = Vec::new();
    for place in &places {
        let key = place[0].as_str().unwrap().to_owned();
        let values = if let Some(values) = inserted.remove(&key) {
            values
        } else {
            let at = position(live, &key).expect("a moved row was there");
            live.rows.remove(at).1
        };
        placed.push((key, values, place[1].as_u64().unwrap() as usize));
    }
    assert!(inserted.is_empty(), "every inserted row has a place");
    assert!(placed.is_sorted_by_key(|(_, _, index)| *index), "places ascend");
    for (key, values, index) in placed {
        live.rows.insert(index, (key, values));
    }
}

pub fn user(uid: &str) -> Principal {
    Principal::Caller(Arc::new(Caller::new(Role::User, Some(uid.into()))))
}

pub async fn ask(database: &Database, principal: &Principal, sql: &str) -> Result<Answer> {
    let request = SqlRequest { principal: principal.clone(), ..SqlRequest::query(sql, Params::None) };
    database.engine.query(request).await
}

/// What the client shows under this id must be what its reader would be answered now.
pub async fn compare(database: &Database, reader: &Principal, client: &Client, id: &str, sql: &str, after: &str) {
    let live = &client.lives[id];
    let now = ask(database, reader, sql).await;
    match (&live.error, now) {
        (Some(error), Err(now)) => assert!(error.ends_with(&now.message), "{sql} after {after}: {error}, {now}"),
        (None, Ok(_)) => {
            let request =
                SqlRequest { principal: reader.clone(), format: Format::Raw, ..SqlRequest::query(sql, Params::None) };
            let answer = database.engine.query(request).await.unwrap();
            let raw: Json = serde_json::from_slice(&answer.body).unwrap();
            let mut expected: Vec<String> = raw["rows"].as_array().unwrap().iter().map(Json::to_string).collect();
            let mut got: Vec<String> = live.rows.iter().map(|(_, row)| json!(row).to_string()).collect();
            if !live.is_ordered {
                expected.sort();
                got.sort();
            }
            assert_eq!(got, expected, "{sql} after {after} by {reader:?}");
        }
        (live, now) => panic!("{sql} after {after}: {live:?}, {now:?}"),
    }
}

/// A small generator of numbers, so that the test is the same each time.
pub fn next(state: &mut u64, below: u64) -> u64 {
    *state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
    (*state >> 33) % below
}
