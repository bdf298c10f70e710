//! A world: a random schema, random live queries on it, and everything that will happen, written down before anything
//! is run. So a seed gives the same world again, and a failure can be made smaller by leaving things out.
//!
//! | file | holds |
//! |---|---|
//! | `history` | which events, in which order |
//! | `schema`, `objects`, `alteration` | tables; what stands on them; their changes |
//! | `query`, `shapes`, `expression` | live queries |
//! | `write`, `request` | what the writer is sent |
//! | `values` | what is stored |
//! | `script` | a world to be read |

mod alteration;
pub mod expression;
mod history;
mod objects;
pub mod query;
pub mod request;
pub mod schema;
pub mod script;
mod shapes;
pub mod values;
pub mod write;

use query::Query;
use request::{Request, Statement};
use schema::Schema;
use std::time::Duration;
use tidebase_engine::Limits;

#[derive(Clone, Debug)]
pub struct World {
    pub limits: Limits,
    pub schema: Schema,
    pub setup: Vec<String>,
    pub queries: Vec<Query>,
    pub sessions: usize,
    pub events: Vec<Event>,
}

/// After each event that writes, everybody who reads must show what a query run then shows.
#[derive(Clone, Debug)]
pub enum Event {
    Request(Request),
    /// Sent without waiting for one another, so that the writer may commit them as a group.
    Batch(Vec<Request>),
    /// A transaction of another program.
    Outside(Vec<Statement>),
    Subscribe(Held),
    Unsubscribe(Held),
    /// A session asks for what cannot be live.
    Refused {
        session: usize,
        sql: &'static str,
    },
    /// From now on the session reads no frames.
    Away {
        session: usize,
    },
    Back {
        session: usize,
    },
    /// The connection breaks; the client comes back and continues where it was.
    Reconnect {
        session: usize,
    },
    /// The result of a query is written down, to resume from it later.
    Record {
        query: usize,
    },
    /// Continues from a record, or from one that pretends to be another's.
    Resume {
        held: Held,
        record: usize,
        is_lie: bool,
    },
    /// Starts a stream of the changes of a table, or of all.
    Listen {
        session: usize,
        table: Option<usize>,
    },
    /// Continues one from an older image of the data.
    ListenAgain {
        session: usize,
        record: usize,
    },
    RecordStream,
    /// The engine is closed and opened; somebody may have written in between.
    Restart {
        changed: Vec<Statement>,
    },
}

/// A live query of a session. A session may hold one twice.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Held {
    pub session: usize,
    pub query: usize,
    pub is_twin: bool,
}

/// What can be left out of every world, to see what has a part in a failure.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub enum Part {
    /// Limits that are close.
    Limits,
    SlowLanes,
    Outside,
    Restart,
    Batch,
    Away,
    Resume,
    Streams,
    Forbidden,
}

impl Part {
    pub fn leave_out(self, world: &mut World) {
        let usual = Limits::default();
        match self {
            Self::Limits => {
                world.limits = Limits { outside_poll: world.limits.outside_poll, reader_threads: 1, ..usual };
            }
            Self::SlowLanes => world.limits.live_quick_time_max = Duration::from_secs(5),
            _ => {}
        }
        world.events.retain(|event| {
            let part = match event {
                Event::Outside(_) => Self::Outside,
                Event::Restart { .. } => Self::Restart,
                Event::Batch(_) => Self::Batch,
                Event::Away { .. } => Self::Away,
                Event::Resume { .. } => Self::Resume,
                Event::Listen { .. } | Event::ListenAgain { .. } => Self::Streams,
                Event::Request(request) if request.is_forbidden => Self::Forbidden,
                _ => return true,
            };
            part != self
        });
    }
}

impl Event {
    /// Requests that this event sends.
    pub fn commits(&self) -> usize {
        match self {
            Self::Request(_) | Self::Outside(_) => 1,
            Self::Batch(requests) => requests.len(),
            _ => 0,
        }
    }
}
