//! The course of a world: events by chance, mostly writes.

use super::query::Query;
use super::request::{Request, Statement};
use super::schema::Schema;
use super::{Event, Held, World, alteration, write};
use crate::random::Random;
use std::time::Duration;
use tidebase_engine::{Limits, LiveTiers};

const REFUSED: [&str; 14] = [
    "SELECT random()",
    "SELECT hex(randomblob(4)) FROM t",
    "SELECT datetime('now')",
    "SELECT date()",
    "SELECT julianday('n' || 'ow')",
    "SELECT CURRENT_TIMESTAMP, * FROM t",
    "SELECT changes(), last_insert_rowid()",
    "DELETE FROM t",
    "WITH x AS (SELECT 1) DELETE FROM t RETURNING 1",
    "PRAGMA user_version",
    "SELECT * FROM pragma_table_info('t')",
    "SELECT 1; SELECT 2",
    "EXPLAIN SELECT 1",
    "SELECT * FROM nowhere",
];

impl World {
    pub fn random(seed: u64, number: u64, commits: usize) -> Self {
        let mut random = Random::new(seed, number);
        let schema = Schema::random(&mut random);
        let limits = limits(&mut random);
        let mut queries: Vec<Query> = (0..random.between(8, 24)).map(|_| Query::random(&mut random, &schema)).collect();
        if limits.live_quick_time_max.is_zero() {
            queries.extend((0..2).map(|_| Query::slow(&mut random, &schema)));
        }
        let sessions = random.between(2, 4);
        let mut history =
            History { random, schema: &schema, queries: queries.len(), sessions, events: vec![], later: vec![] };
        history.begin();
        let mut written = 0;
        while written < commits {
            let from = history.events.len();
            history.go_on();
            written += history.events[from..].iter().map(Event::commits).sum::<usize>();
        }
        let events = history.events;
        Self { limits, setup: schema.setup(), queries, sessions, events, schema }
    }
}

impl World {
    /// Without live queries, for speed: many requests between two judgements.
    pub fn of_changes(seed: u64, number: u64, commits: usize) -> Self {
        let mut random = Random::new(seed, number);
        let schema = Schema::random(&mut random);
        let mut limits = limits(&mut random);
        limits.live_quick_time_max = Limits::default().live_quick_time_max;
        let mut history = History { random, schema: &schema, queries: 1, sessions: 2, events: vec![], later: vec![] };
        history.events.push(Event::Listen { session: 0, table: None });
        let mut written = 0;
        while written < commits {
            let count = *history.random.pick(&[1, 1, 8, 32, 64]);
            written += count;
            let session = history.random.below(2);
            let batch = Event::Batch((0..count).map(|_| write::random(&mut history.random, &schema)).collect());
            let event = match history.random.weighted(&[90, 2, 2, 2, 4]) {
                0 => batch,
                1 => Event::RecordStream,
                2 => Event::ListenAgain { session, record: history.random.below(100) },
                3 => Event::Reconnect { session },
                _ => {
                    history.alter();
                    continue;
                }
            };
            history.events.push(event);
            history.bring_back();
        }
        let events = history.events;
        Self { limits, setup: schema.setup(), queries: vec![], sessions: 2, events, schema }
    }
}

/// In some worlds everything that has a limit is close to it.
fn limits(random: &mut Random) -> Limits {
    let mut limits = Limits { outside_poll: Duration::from_millis(20), reader_threads: 1, ..Limits::default() };
    let mut now_and_then = |change: fn(&mut Limits)| {
        if random.percent(25) {
            change(&mut limits);
        }
    };
    now_and_then(|limits| limits.change_rows_max = 40);
    now_and_then(|limits| limits.group_history_bytes_max = 1500);
    now_and_then(|limits| limits.live_history_bytes_max = 5000);
    now_and_then(|limits| limits.rows_chunk_bytes = 64);
    now_and_then(|limits| limits.log_bytes_max = 20_000);
    now_and_then(|limits| limits.wal_checkpoint_bytes = 128 << 10);
    now_and_then(|limits| limits.live_frames_in_flight_max = 1);
    now_and_then(|limits| limits.group_linger = Duration::ZERO);
    now_and_then(|limits| limits.live_quick_time_max = Duration::ZERO);
    // By parts whenever that is possible, or never.
    limits.live_part_micros = if random.percent(75) { 0 } else { u64::MAX };
    if random.percent(20) {
        let [routes, trails, parts, edges, tallies] = std::array::from_fn(|_| random.percent(50));
        limits.live_tiers = LiveTiers { routes, trails, parts, edges, tallies };
    }
    limits
}

/// Writes the events, one step of chance at a time.
struct History<'a> {
    random: Random,
    schema: &'a Schema,
    queries: usize,
    sessions: usize,
    events: Vec<Event>,
    /// What comes back, and when: at this many events.
    later: Vec<(usize, Request)>,
}

impl History<'_> {
    /// Some rows, then the first session holds everything.
    fn begin(&mut self) {
        for _ in 0..self.random.below(12) {
            let request = write::random(&mut self.random, self.schema);
            self.events.push(Event::Request(request));
        }
        self.events.push(Event::Listen { session: 0, table: None });
        for query in 0..self.queries {
            self.events.push(Event::Subscribe(Held { session: 0, query, is_twin: false }));
        }
    }

    fn held(&mut self) -> Held {
        let (session, query) = (self.random.below(self.sessions), self.random.below(self.queries));
        Held { session, query, is_twin: self.random.percent(10) }
    }

    fn go_on(&mut self) {
        const WEIGHTS: [usize; 15] = [800, 36, 6, 60, 20, 5, 14, 24, 14, 14, 20, 4, 5, 12, 4];
        let session = self.random.below(self.sessions);
        let event = match self.random.weighted(&WEIGHTS) {
            0 => Event::Request(self.request()),
            1 => Event::Batch((0..self.random.between(2, 8)).map(|_| self.request()).collect()),
            2 => Event::Outside(self.outside()),
            // The first session gets back what it has lost through an error.
            3 => Event::Subscribe(self.held()),
            4 => Event::Unsubscribe(self.held()),
            5 => Event::Refused { session, sql: REFUSED[self.random.below(REFUSED.len())] },
            6 => Event::Away { session },
            7 => Event::Back { session },
            8 => Event::Reconnect { session },
            9 => Event::Record { query: self.random.below(self.queries) },
            10 => {
                let held = self.held();
                Event::Resume { held, record: self.random.below(100), is_lie: self.random.percent(5) }
            }
            11 => {
                let table = self.random.percent(60).then(|| self.random.below(self.schema.tables.len()));
                Event::Listen { session, table }
            }
            12 => {
                if self.random.percent(50) {
                    Event::RecordStream
                } else {
                    Event::ListenAgain { session, record: self.random.below(100) }
                }
            }
            13 => return self.alter(),
            _ if self.random.percent(40) => {
                let changed = if self.random.percent(30) { self.outside() } else { vec![] };
                Event::Restart { changed }
            }
            _ => Event::Request(write::forbidden(&mut self.random)),
        };
        self.events.push(event);
        self.bring_back();
    }

    fn request(&mut self) -> Request {
        if self.random.below(300) == 0 {
            return write::large(&mut self.random, self.schema);
        }
        write::random(&mut self.random, self.schema)
    }

    fn outside(&mut self) -> Vec<Statement> {
        write::random(&mut self.random, self.schema).statements
    }

    fn alter(&mut self) {
        let number = self.events.len();
        let alteration = alteration::random(&mut self.random, self.schema, number);
        self.events.push(Event::Request(alteration.now));
        let mut due = number;
        for request in alteration.later {
            due += self.random.between(1, 30);
            self.later.push((due, request));
        }
    }

    fn bring_back(&mut self) {
        let now = self.events.len();
        let (due, rest) = std::mem::take(&mut self.later).into_iter().partition(|(due, _)| *due <= now);
        self.later = rest;
        self.events.extend(due.into_iter().map(|(_, request): (usize, Request)| Event::Request(request)));
    }
}
