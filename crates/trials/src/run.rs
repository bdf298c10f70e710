//! Runs a world: every event in its order, and after each the question whether everybody shows what is true.
//!
//! How that is judged is in [`crate::judge`].

use crate::client::{Client, Known, State, Subscription};
use crate::evidence::{self, unquoted};
use crate::judge::Stats;
use crate::listener::Listener;
use crate::oracle::{Expected, Oracle, bind};
use crate::request::{Request, Statement};
use crate::traps::Trap;
use crate::world::{Event, Held, World};
use rusqlite::Connection;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;
use tidebase_engine::{Code, Engine, Options, Params, RequestId, Since, Wanted};

/// Something that is not as it must be.
#[derive(Clone, Debug, Default)]
pub struct Failure {
    /// Index of the event after which it was seen.
    pub event: usize,
    pub query: Option<usize>,
    pub what: String,
    pub expected: Vec<String>,
    pub got: Vec<String>,
}

impl From<String> for Failure {
    fn from(what: String) -> Self {
        Self { what, ..Self::default() }
    }
}

/// What the trial itself cannot do: its own connections fail.
pub fn broken(error: impl std::fmt::Display) -> Failure {
    Failure::from(format!("the trial cannot go on: {error}"))
}

pub struct Run<'a> {
    pub world: &'a World,
    /// How long a frame may take.
    pub patience: Duration,
    pub stats: &'a mut Stats,
    pub engine: Arc<Engine>,
    pub oracle: Oracle,
    pub clients: Vec<Client>,
    pub away: Vec<bool>,
    /// The last result of each query.
    pub last: Vec<Option<Expected>>,
    /// How often each query may have failed, at times when nobody looked included.
    pub doubts: Vec<u64>,
    /// Another program has written since this revision, and the engine may not have noticed.
    pub unnoticed: Option<i64>,
    path: PathBuf,
    outside: Connection,
    records: Vec<Vec<Known>>,
    stream_records: Vec<(Listener, Since)>,
    requests: u64,
}

/// Runs it in a fresh directory below `under`.
pub fn run(world: &World, under: Option<&Path>, patience: Duration, stats: &mut Stats) -> Result<(), Failure> {
    let mut builder = tempfile::Builder::new();
    builder.prefix("tidebase-trial-");
    let home = under.map_or_else(|| builder.tempdir(), |under| builder.tempdir_in(under)).map_err(broken)?;
    let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build().map_err(broken)?;
    runtime.block_on(async {
        let mut run = Run::open(world, &home.path().join("world.db"), patience, stats).await?;
        for (index, event) in world.events.iter().enumerate() {
            run.event(event).await.map_err(|failure| Failure { event: index, ..failure })?;
        }
        run.engine.close();
        Ok(())
    })
}

fn open_engine(path: &Path, world: &World) -> Result<Arc<Engine>, Failure> {
    Engine::open(Options { path: path.into(), vfs: None, limits: world.limits.clone() }).map_err(broken)
}

fn open_outside(path: &Path) -> Result<Connection, Failure> {
    let outside = Connection::open(path).map_err(broken)?;
    outside
        .execute_batch("PRAGMA busy_timeout = 10000; PRAGMA foreign_keys = ON; PRAGMA wal_autocheckpoint = 0")
        .map_err(broken)?;
    Ok(outside)
}

impl<'a> Run<'a> {
    async fn open(world: &'a World, path: &Path, patience: Duration, stats: &'a mut Stats) -> Result<Self, Failure> {
        let engine = open_engine(path, world)?;
        for sql in &world.setup {
            // What cannot be made is missing on both sides.
            let _ = engine.query(tidebase_engine::SqlRequest::query(sql, Params::None)).await;
        }
        Ok(Self {
            oracle: Oracle::open(path).map_err(broken)?,
            outside: open_outside(path)?,
            clients: (0..world.sessions).map(|_| Client::new(engine.open_session())).collect(),
            away: vec![false; world.sessions],
            last: vec![None; world.queries.len()],
            doubts: vec![0; world.queries.len()],
            records: vec![Vec::new(); world.queries.len()],
            stream_records: Vec::new(),
            unnoticed: None,
            path: path.into(),
            requests: 0,
            world,
            patience,
            stats,
            engine,
        })
    }

    async fn event(&mut self, event: &Event) -> Result<(), Failure> {
        match event {
            Event::Request(request) => self.request(request).await?,
            Event::Batch(requests) => self.batch(requests).await?,
            Event::Outside(statements) => return self.write_outside(statements),
            Event::Subscribe(held) => return self.subscribe(*held, None),
            Event::Unsubscribe(held) => return self.unsubscribe(*held),
            Event::Refused { session, sql } => return self.must_be_refused(*session, sql),
            Event::Away { session } => {
                self.away[*session] = true;
                return Ok(());
            }
            Event::Back { session } => {
                if !std::mem::replace(&mut self.away[*session], false) {
                    return Ok(());
                }
                self.stats.hits.note(Trap::Paused);
            }
            Event::Reconnect { session } => self.reconnect(*session)?,
            Event::Record { query } => {
                self.record(*query);
                return Ok(());
            }
            Event::Resume { held, record, is_lie } => self.resume(*held, *record, *is_lie)?,
            Event::Listen { session, table } => self.listen(*session, *table).await?,
            Event::ListenAgain { session, record } => self.listen_again(*session, *record)?,
            Event::RecordStream => {
                self.record_stream();
                return Ok(());
            }
            Event::Restart { changed } => self.restart(changed)?,
        }
        self.judge().await
    }

    async fn request(&mut self, request: &Request) -> Result<(), Failure> {
        self.listeners_forget_lately();
        let before = self.engine.revision();
        let answer = self.engine.query(request.to_engine()).await;
        self.stats.commits += 1;
        match answer {
            Ok(_) if request.is_forbidden => return Err(Failure::from("what no request may do was done".to_owned())),
            Ok(answer) => {
                let now = self.engine.revision();
                let is_alone = self.unnoticed.is_none();
                if is_alone && answer.revision != now {
                    return Err(Failure::from(format!(
                        "answered at {} while the database is at {now}",
                        answer.revision
                    )));
                }
                if is_alone && now > before + 1 {
                    return Err(Failure::from(format!("one request took the revision from {before} to {now}")));
                }
                self.judge().await?;
                if now > before {
                    let changes: Vec<_> =
                        self.clients.iter_mut().flat_map(Client::listeners).map(|l| l.lately.clone()).collect();
                    let most = changes.into_iter().max_by_key(Vec::len).unwrap_or_default();
                    evidence::note(&mut self.stats.hits, &self.world.schema, request, &most);
                }
            }
            Err(error) => {
                if error.code == Code::Internal || error.code == Code::Unavailable {
                    return Err(Failure::from(format!("a request was answered with {:?}: {error}", error.code)));
                }
                let is_lost = error.message.contains("ROLLBACK")
                    || request.statements.iter().any(|s| s.head.contains("OR ROLLBACK"));
                self.stats.hits.note(if is_lost { Trap::LostTransaction } else { Trap::RolledBack });
                if request.is_forbidden {
                    self.stats.hits.note_all(request.traps);
                }
            }
        }
        Ok(())
    }

    fn listeners_forget_lately(&mut self) {
        self.clients.iter_mut().flat_map(Client::listeners).for_each(|listener| listener.lately.clear());
    }

    /// Nobody sees the results in between, so for queries that may fail it stays open whether they did.
    async fn batch(&mut self, requests: &[Request]) -> Result<(), Failure> {
        self.doubt_what_may_fail();
        let pending: Vec<_> = requests.iter().map(|request| self.engine.write(request.to_engine())).collect();
        let mut last = 0;
        for pending in pending {
            self.stats.commits += 1;
            match pending.map_err(broken)?.wait().await {
                Ok(answer) if answer.revision < last => {
                    return Err(Failure::from(format!("revision {} was answered after {last}", answer.revision)));
                }
                Ok(answer) => last = answer.revision,
                Err(error) if error.code == Code::Internal => {
                    return Err(Failure::from(format!("a request failed: {error}")));
                }
                Err(_) => {}
            }
        }
        self.stats.hits.note(Trap::Group);
        Ok(())
    }

    fn doubt_what_may_fail(&mut self) {
        for (doubts, query) in self.doubts.iter_mut().zip(&self.world.queries) {
            *doubts += u64::from(query.may_fail);
        }
    }

    fn write_outside(&mut self, statements: &[Statement]) -> Result<(), Failure> {
        self.doubt_what_may_fail();
        self.stats.commits += 1;
        let before = (self.engine.revision(), self.oracle.data_version().map_err(broken)?);
        run_outside(&self.outside, statements)?;
        if self.oracle.data_version().map_err(broken)? != before.1 {
            self.unnoticed.get_or_insert(before.0);
            self.stats.hits.note(Trap::Outside);
        }
        Ok(())
    }

    fn id_text(held: Held) -> String {
        let twin = if held.is_twin { 1000 } else { 0 };
        if held.session.is_multiple_of(2) {
            (held.query + twin).to_string()
        } else {
            format!("\"q{}\"", held.query + twin)
        }
    }

    fn subscribe(&mut self, held: Held, known: Option<Known>) -> Result<(), Failure> {
        let id = Self::id_text(held);
        let query = &self.world.queries[held.query];
        let since = known.as_ref().map(|known| known.since.clone());
        let wanted = Wanted::Query { sql: query.sql(), params: query.params(), since };
        let client = &mut self.clients[held.session];
        let is_held = client.subscriptions.contains_key(&id);
        let asked = self.engine.subscribe(&client.session, Some(request_id(&id)?), wanted);
        match asked {
            Ok(()) if is_held && !self.away[held.session] => Err(Failure::from("an id was given twice".to_owned())),
            // Away: it does not know yet that the old one has ended.
            Ok(()) if is_held => Err(Failure::from("an id was given twice to one who is away".to_owned())),
            Ok(()) => {
                client.watch(&id, held, known, self.doubts[held.query]);
                Ok(())
            }
            Err(error) if is_held && error.code == Code::Conflict => Ok(()),
            Err(error) => Err(Failure::from(format!("a subscription was refused: {error}"))),
        }
    }

    fn unsubscribe(&mut self, held: Held) -> Result<(), Failure> {
        let id = Self::id_text(held);
        self.requests += 1;
        let reply = format!("\"r{}\"", self.requests);
        let client = &mut self.clients[held.session];
        if !client.subscriptions.contains_key(&id) {
            return Ok(());
        }
        match self.engine.unsubscribe(&client.session, &request_id(&id)?, request_id(&reply)?) {
            Ok(()) => client.leave(&id, &reply),
            Err(error) if error.code == Code::NotFound && self.away[held.session] => {}
            Err(error) => return Err(Failure::from(format!("a subscription could not be ended: {error}"))),
        }
        Ok(())
    }

    fn must_be_refused(&mut self, session: usize, sql: &str) -> Result<(), Failure> {
        self.requests += 1;
        let id = format!("\"n{}\"", self.requests);
        let wanted = Wanted::Query { sql: sql.into(), params: Params::None, since: None };
        let client = &mut self.clients[session];
        client.refusals.insert(id.clone(), None);
        self.stats.hits.note(Trap::Refused);
        self.engine.subscribe(&client.session, Some(request_id(&id)?), wanted).map_err(broken)
    }

    fn record(&mut self, query: usize) {
        let ready = |client: &Client| {
            let live = client.lives().find(|live| live.held.query == query && live.state == State::Ready)?;
            let since = Since { history: client.history.clone(), revision: client.told, tag: Some(live.tag.clone()) };
            Some(Known { since, result: live.result.clone() })
        };
        if let Some(known) = self.clients.iter().find_map(ready) {
            self.records[query].push(known);
        }
    }

    fn resume(&mut self, held: Held, record: usize, is_lie: bool) -> Result<(), Failure> {
        let records = &self.records[held.query];
        if records.is_empty() || self.clients[held.session].subscriptions.contains_key(&Self::id_text(held)) {
            return Ok(());
        }
        let mut known = records[record % records.len()].clone();
        if is_lie {
            match record % 4 {
                0 => known.since.history = "another".into(),
                1 => known.since.revision += 1_000_000,
                2 => known.since.tag = Some("0".repeat(32)),
                _ => known.since.tag = None,
            }
            // Then only rows are right: anything else would be applied to this.
            known.result = crate::result::LiveResult::new(true);
        }
        self.subscribe(held, Some(known))
    }

    /// A new connection that goes on where the old one stood. What it had not read is lost.
    fn reconnect(&mut self, session: usize) -> Result<(), Failure> {
        let fresh = Client::new(self.engine.open_session());
        let old = std::mem::replace(&mut self.clients[session], fresh);
        old.session.close();
        self.stats.hits.add(&old.hits);
        self.away[session] = false;
        self.come_back(session, old)
    }

    fn come_back(&mut self, session: usize, old: Client) -> Result<(), Failure> {
        for (id, subscription) in old.subscriptions {
            match subscription {
                Subscription::Live(live) => {
                    let since = Since { history: old.history.clone(), revision: old.told, tag: Some(live.tag) };
                    let known = match live.state {
                        State::Ready => Some(Known { since, result: live.result }),
                        _ => live.known,
                    };
                    self.subscribe(live.held, known)?;
                }
                Subscription::Changes(mut listener) => {
                    listener.settle();
                    let since = Since { history: old.history.clone(), revision: listener.at, tag: None };
                    self.continue_stream(session, &id, listener, since)?;
                }
            }
        }
        Ok(())
    }

    fn continue_stream(&mut self, session: usize, id: &str, from: Listener, since: Since) -> Result<(), Failure> {
        let must_read = from.must_read;
        let mut listener = Listener::new(from.table, from.image, since.revision, true);
        listener.must_read = must_read;
        let wanted = Wanted::Changes { table: listener.table.clone(), since: Some(since) };
        let client = &mut self.clients[session];
        if self.engine.subscribe(&client.session, Some(request_id(id)?), wanted).is_ok() {
            client.subscriptions.insert(id.into(), Subscription::Changes(listener));
            self.stats.hits.note(Trap::StreamResumed);
        }
        Ok(())
    }

    /// From an image of now, for which nobody may be writing unseen.
    async fn listen(&mut self, session: usize, table: Option<usize>) -> Result<(), Failure> {
        self.judge().await?;
        let table = table.map(|table| unquoted(&self.world.schema.tables[table].name));
        let id = format!("\"s{}\"", table.as_deref().unwrap_or("*").replace('"', "'"));
        let at = self.engine.revision();
        self.oracle.begin().map_err(broken)?;
        let image = self.oracle.image(table.as_deref()).map_err(broken)?;
        self.oracle.end().map_err(broken)?;
        let client = &mut self.clients[session];
        let wanted = Wanted::Changes { table: table.clone(), since: None };
        if self.engine.subscribe(&client.session, Some(request_id(&id)?), wanted).is_ok() {
            client.subscriptions.insert(id, Subscription::Changes(Listener::new(table, image, at, false)));
        }
        Ok(())
    }

    /// Only right after a judgement is an image known to be true at a revision.
    fn record_stream(&mut self) {
        if self.unnoticed.is_some() {
            return;
        }
        for (client, away) in self.clients.iter_mut().zip(&self.away) {
            let (history, revision) = (client.history.clone(), client.told);
            if let (false, Some(listener)) =
                (*away, client.listeners().find(|listener| listener.has_begun && !listener.must_read))
            {
                self.stream_records.push((listener.clone(), Since { history, revision, tag: None }));
                return;
            }
        }
    }

    fn listen_again(&mut self, session: usize, record: usize) -> Result<(), Failure> {
        if self.stream_records.is_empty() {
            return Ok(());
        }
        let (listener, since) = self.stream_records[record % self.stream_records.len()].clone();
        self.requests += 1;
        let id = format!("\"again{}\"", self.requests % 3);
        self.continue_stream(session, &id, listener, since)
    }

    fn restart(&mut self, changed: &[Statement]) -> Result<(), Failure> {
        self.stats.hits.note(Trap::Restart);
        // Our own connections first: the engine can vouch only for a file that nobody holds open.
        let nowhere = || Connection::open_in_memory().map_err(broken);
        self.oracle = Oracle::closed().map_err(broken)?;
        self.outside = nowhere()?;
        let history = self.engine.history().to_owned();
        let was_noticed = self.unnoticed.take().is_none();
        self.engine.close();
        let written = if changed.is_empty() { 0 } else { run_outside(&open_outside(&self.path)?, changed)? };
        self.engine = open_engine(&self.path, self.world)?;
        if written > 0 && self.engine.history() == history {
            return Err(Failure::from(
                "the file was changed while nobody served it, but the history is the same".to_owned(),
            ));
        }
        if changed.is_empty() && was_noticed && self.engine.history() != history {
            return Err(Failure::from("a clean restart began a new history".to_owned()));
        }
        self.oracle = Oracle::open(&self.path).map_err(broken)?;
        self.outside = open_outside(&self.path)?;
        for session in 0..self.clients.len() {
            let fresh = Client::new(self.engine.open_session());
            let old = std::mem::replace(&mut self.clients[session], fresh);
            self.stats.hits.add(&old.hits);
            self.away[session] = false;
            self.come_back(session, old)?;
        }
        Ok(())
    }
}

fn request_id(text: &str) -> Result<RequestId, Failure> {
    RequestId::parse(text).map_err(broken)
}

/// One transaction of another program; what it may not do it does not do. Gives the number of rows written.
fn run_outside(connection: &Connection, statements: &[Statement]) -> Result<u64, Failure> {
    let before = connection.total_changes();
    connection.execute_batch("BEGIN IMMEDIATE").map_err(broken)?;
    for statement in statements {
        let ran = connection.prepare(&statement.sql()).and_then(|mut prepared| {
            bind(&mut prepared, &statement.params())?;
            let mut rows = prepared.raw_query();
            while rows.next()?.is_some() {}
            Ok(())
        });
        if ran.is_err() && connection.is_autocommit() {
            return Ok(0);
        }
    }
    if connection.execute_batch("COMMIT").is_err() {
        connection.execute_batch("ROLLBACK").map_err(broken)?;
        return Ok(0);
    }
    Ok(connection.total_changes() - before)
}
