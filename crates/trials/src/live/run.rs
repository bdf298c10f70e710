//! Runs a world: every event in its order, and after each the question whether everybody shows what is true.
//!
//! How that is judged is in [`super::judge`].

use super::client::{Client, Known, State};
use super::evidence;
use super::judge::Stats;
use super::listener::Listener;
use super::oracle::{Expected, Oracle, bind};
use crate::traps::Trap;
use crate::world::request::{Request, Statement};
use crate::world::{Event, World};
use rusqlite::Connection;
use std::path::{Path, PathBuf};
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;
use tidebase_engine::{Code, Engine, Error, Options, Params, Since};

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

/// Another program has written since this revision, and the engine may not have noticed.
#[derive(Clone, Copy, Debug)]
pub struct Unnoticed {
    pub since: i64,
    /// Otherwise it may have been the engine itself.
    pub is_certain: bool,
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
    /// The last result of each query (none if it cannot be run), and the data's version it is of.
    pub last: Vec<Option<(i64, Option<Rc<Expected>>)>>,
    /// How often each query may have failed, at times when nobody looked included.
    pub doubts: Vec<u64>,
    pub unnoticed: Option<Unnoticed>,
    path: PathBuf,
    outside: Connection,
    pub records: Vec<Vec<Known>>,
    pub stream_records: Vec<(Listener, Since)>,
    /// Names the requests that have no name of their own.
    pub requests: u64,
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
            if let Err(failure) = run.event(event).await {
                if run.is_index_broken_by_sqlite() {
                    run.stats.broken_indexes += 1;
                    // It may have a snapshot open, for which the engine would wait at its end.
                    run.oracle = Oracle::closed().map_err(broken)?;
                    break;
                }
                return Err(Failure { event: index, ..failure });
            }
        }
        run.close();
        Ok(())
    })
}

fn open_engine(path: &Path, world: &World) -> Result<Arc<Engine>, Failure> {
    Engine::open(Options { limits: world.limits.clone(), ..Options::new(path) }).map_err(broken)
}

fn open_outside(path: &Path) -> Result<Connection, Failure> {
    let outside = Connection::open(path).map_err(broken)?;
    outside
        .execute_batch("PRAGMA busy_timeout = 10000; PRAGMA foreign_keys = ON; PRAGMA wal_autocheckpoint = 0")
        .map_err(broken)?;
    Ok(outside)
}

fn schema_version(connection: &Connection) -> Result<i64, Failure> {
    connection.query_row("PRAGMA schema_version", [], |row| row.get(0)).map_err(broken)
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

    /// A REPLACE whose triggers or foreign keys change the rows it is about to write can leave entries behind in SQLite's
    /// indexes (a RAISE(IGNORE) that keeps the row, a SET NULL in the table itself). From then on a query's result is a
    /// matter of its plan, and nothing can be judged by it.
    fn is_index_broken_by_sqlite(&self) -> bool {
        let says_so = |verdict: String| verdict.contains("in index") || verdict.contains("from index");
        self.oracle.integrity().is_ok_and(says_so)
    }

    fn close(&mut self) {
        for _ in 0..self.engine.metrics().live_moved_to_slow_lane.get() {
            self.stats.hits.note(Trap::SlowLane);
        }
        let metrics = self.engine.metrics();
        self.stats.hits.note_times(Trap::Spared, metrics.live_spared.get());
        self.stats.hits.note_times(Trap::Behind, metrics.live_behind.get());
        self.stats.hits.note_times(Trap::Parts, metrics.live_parts.get());
        self.stats.hits.note_times(Trap::Tallies, metrics.live_tallies.get());
        self.stats.hits.note_times(Trap::Trails, metrics.live_trails.get());
        self.engine.close();
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
        self.doubt_what_waits();
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
                self.must_be_refusal(&error)?;
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

    /// No request of a trial may fail for a reason of the server's own.
    fn must_be_refusal(&self, error: &Error) -> Result<(), Failure> {
        if !matches!(error.code, Code::Internal | Code::Unavailable) {
            return Ok(());
        }
        // A full-text index that has lost touch with its table says that the file is malformed, and so does SQLite at
        // some UPDATE OR REPLACE whose foreign keys change the rows it is about to update.
        let is_said_in_vain = error.message.contains("malformed")
            && (self.world.schema.full_text.is_some() || self.oracle.is_whole().map_err(broken)?);
        // The last number there is may be written by the same request, and be gone with it.
        let is_last_number =
            error.message.contains("AUTOINCREMENT") && self.world.setup.iter().any(|sql| sql.contains("AUTOINCREMENT"));
        if is_said_in_vain || is_last_number {
            return Ok(());
        }
        Err(Failure::from(format!("a request was answered with {:?}: {error}", error.code)))
    }

    fn listeners_forget_lately(&mut self) {
        self.clients.iter_mut().flat_map(Client::listeners).for_each(|listener| listener.lately.clear());
    }

    /// Nobody sees the results in between, so for queries that may fail it stays open whether they did.
    async fn batch(&mut self, requests: &[Request]) -> Result<(), Failure> {
        self.doubt_what_may_fail();
        self.doubt_what_waits();
        let pending: Vec<_> = requests.iter().map(|request| self.engine.write(request.to_engine())).collect();
        let mut last = 0;
        for pending in pending {
            self.stats.commits += 1;
            match pending.map_err(broken)?.wait().await {
                Ok(answer) if answer.revision < last => {
                    return Err(Failure::from(format!("revision {} was answered after {last}", answer.revision)));
                }
                Ok(answer) => last = answer.revision,
                Err(error) => self.must_be_refusal(&error)?,
            }
        }
        self.stats.hits.note(Trap::Group);
        Ok(())
    }

    /// A subscription without an answer yet may be answered before the next write or after it.
    fn doubt_what_waits(&mut self) {
        for live in self.clients.iter().flat_map(Client::lives).filter(|live| live.state == State::Waiting) {
            self.doubts[live.held.query] += 1;
        }
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
        let written = (self.outside.total_changes(), schema_version(&self.outside)?);
        let is_committed = run_outside(&self.outside, statements)?;
        if self.oracle.data_version().map_err(broken)? != before.1 {
            // The engine may have pruned its log meanwhile, which shows in the version too.
            let is_certain = is_committed && written != (self.outside.total_changes(), schema_version(&self.outside)?);
            let unnoticed = self.unnoticed.get_or_insert(Unnoticed { since: before.0, is_certain });
            unnoticed.is_certain |= is_certain;
            self.stats.hits.note(Trap::Outside);
        }
        Ok(())
    }

    fn restart(&mut self, changed: &[Statement]) -> Result<(), Failure> {
        self.stats.hits.note(Trap::Restart);
        let before = self.oracle.image_now().map_err(broken)?;
        // Our own connections first: the engine can vouch only for a file that nobody holds open.
        let nowhere = || Connection::open_in_memory().map_err(broken);
        self.oracle = Oracle::closed().map_err(broken)?;
        self.outside = nowhere()?;
        let history = self.engine.history();
        let was_noticed = self.unnoticed.take().is_none();
        self.close();
        let voucher = std::fs::read_to_string(self.path.with_extension("db-tide"));
        if !changed.is_empty() {
            run_outside(&open_outside(&self.path)?, changed)?;
        }
        self.engine = open_engine(&self.path, self.world)?;
        self.oracle = Oracle::open(&self.path).map_err(broken)?;
        self.outside = open_outside(&self.path)?;
        // Versions are a connection's own.
        self.last.iter_mut().for_each(|last| *last = None);
        if self.oracle.image_now().map_err(broken)?.difference(&before).is_some() && self.engine.history() == history {
            return Err(Failure::from(
                "the file was changed while nobody served it, but the history is the same".to_owned(),
            ));
        }
        if changed.is_empty() && was_noticed && self.engine.history() != history {
            return Err(Failure::from(format!(
                "a clean restart began a new history; it was vouched for by {voucher:?}"
            )));
        }
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

/// One transaction of another program; what it may not do it does not do. Was it committed?
fn run_outside(connection: &Connection, statements: &[Statement]) -> Result<bool, Failure> {
    connection.execute_batch("BEGIN IMMEDIATE").map_err(broken)?;
    for statement in statements {
        let ran = connection.prepare(&statement.sql()).and_then(|mut prepared| {
            bind(&mut prepared, &statement.params())?;
            let mut rows = prepared.raw_query();
            while rows.next()?.is_some() {}
            Ok(())
        });
        if ran.is_err() && connection.is_autocommit() {
            return Ok(false);
        }
    }
    let is_committed = connection.execute_batch("COMMIT").is_ok();
    if !connection.is_autocommit() {
        connection.execute_batch("ROLLBACK").map_err(broken)?;
    }
    Ok(is_committed)
}
