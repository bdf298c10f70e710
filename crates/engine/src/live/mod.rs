//! Live queries: any SELECT stays true.
//!
//! ```text
//! writer ── change sets ──▶ inbox ─▶ lane (one thread, one snapshot a step) ── frames ─▶ session's outbox ─▶ socket
//! socket ── subscribe ────▶ inbox ─┘
//! ```
//!
//! | file | holds |
//! |---|---|
//! | `query` | what is known of a live query before it runs: what it reads, its columns, its keys |
//! | `lift` | literals become parameters |
//! | `outline` | what a SELECT shows by its words: its clauses, tables and plain conditions |
//! | `ways` | from a changed row to the results it may change: which of the following a template has |
//! | `route` | from the values of a changed row to the queries that ask for them |
//! | `term`, `interval` | how such values compare, and in which of many ranges one lies |
//! | `trail` | from a row of a joined table to the rows whose values are asked for |
//! | `part` | the rows of a result that show one key, read again alone |
//! | `tally` | counts and sums that go on from the changed rows |
//! | `mirror` | the changed rows alone, for a query to be run on |
//! | `edge` | the last row of a result with a LIMIT, behind which nothing matters |
//! | `base` | which rows of one table a result is, so that a client can show its own writes in it |
//! | `granted` | these ways for callers whom policies bind |
//! | `merged` | a SELECT and the policy of its table as one |
//! | `audience` | who of many callers sees a row |
//! | `family` | the groups of one template, found by what they read and by these ways |
//! | `few` | a set that mostly has one member |
//! | `rows` | how a query is run, as a whole or by parts |
//! | `row_set` | a result as keys and hashes |
//! | `delta` | the difference between two results, and of several differences one |
//! | `group` | one query with everyone who holds it, and the deltas it remembers |
//! | `groups` | all groups of a lane, and which of them nobody holds |
//! | `stream` | change streams, from the change sets or from the log |
//! | `lane` | the loop: commands from sessions, which lane serves whom |
//! | `step` | one snapshot, all groups touched, one frame a socket |
//! | `together` | one run for many callers whom only policies tell apart |
//! | `first` | first rows, and resuming |
//! | `tags` | what a client that comes back asked before |
//! | `watch` | keys |
//! | `socket` | what a lane knows of one session |
//! | `session` | one client's subscriptions and its outbox |
//! | `report` | what a lane tells of itself |
//! | `explain` | EXPLAIN LIVE |
//! | `frame` | the frames as bytes |

mod audience;
mod base;
pub mod delta;
mod edge;
pub mod explain;
mod family;
mod few;
mod first;
pub mod frame;
mod granted;
mod group;
mod groups;
pub mod inbox;
mod interval;
pub mod lane;
mod lift;
mod merged;
mod mirror;
mod outline;
mod part;
pub mod query;
pub mod report;
mod route;
mod row_set;
pub mod rows;
pub mod session;
mod socket;
mod step;
mod stream;
pub mod tags;
mod tally;
mod term;
mod together;
mod trail;
mod watch;
mod ways;
