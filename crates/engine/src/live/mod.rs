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
//! | `rows` | a result as keys and hashes, and how a query is evaluated into one |
//! | `delta` | the difference between two results, and of several differences one |
//! | `route` | from the values of a changed row to the queries they may matter to |
//! | `family` | the groups of one template, found by what they read and by their routes |
//! | `group` | one query with everyone who holds it, and the deltas it remembers |
//! | `stream` | change streams, from the change sets or from the log |
//! | `lane` | the loop: commands from sessions, which lane serves whom |
//! | `step` | one snapshot, all groups touched, one frame a socket |
//! | `first` | first rows, and resuming |
//! | `watch` | keys |
//! | `socket` | what a lane knows of one session |
//! | `session` | one client's subscriptions and its outbox |
//! | `frame` | the frames as bytes |

pub mod delta;
mod family;
mod first;
pub mod frame;
mod group;
pub mod inbox;
pub mod lane;
pub mod query;
mod route;
pub mod rows;
pub mod session;
mod socket;
mod step;
mod stream;
mod watch;
