//! Every bound of the engine, with the behaviour at the bound. Nothing in the engine is unbounded.

use crate::access::Role;
use crate::logs::queries::LogFrom;
use std::time::Duration;

/// A value that a limit can have, as text in settings.
pub trait Bound: Sized {
    /// A number; times are in milliseconds.
    fn parse(text: &str) -> Option<Self>;
    fn show(&self) -> String;
}

impl Bound for usize {
    fn parse(text: &str) -> Option<Self> {
        text.parse().ok()
    }
    fn show(&self) -> String {
        self.to_string()
    }
}

impl Bound for u64 {
    fn parse(text: &str) -> Option<Self> {
        text.parse().ok()
    }
    fn show(&self) -> String {
        self.to_string()
    }
}

impl Bound for Duration {
    fn parse(text: &str) -> Option<Self> {
        text.parse().ok().map(Self::from_millis)
    }
    fn show(&self) -> String {
        self.as_millis().to_string()
    }
}

/// What spares live queries from being run again as a whole at every change of what they read. Without any of it they
/// are still right.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[allow(clippy::struct_excessive_bools, reason = "switches that do not depend on each other")]
pub struct LiveTiers {
    /// Queries are found by the values of the changed rows.
    pub routes: bool,
    /// Also from the rows of joined tables.
    pub trails: bool,
    /// Of their results only the parts that may have changed are read.
    pub parts: bool,
    /// What happens behind the last row of a result with a LIMIT does not matter to it.
    pub edges: bool,
    /// Counts and sums go on from the changed rows.
    pub tallies: bool,
}

impl LiveTiers {
    pub const ALL: Self = Self { routes: true, trails: true, parts: true, edges: true, tallies: true };
}

impl Bound for LiveTiers {
    fn parse(text: &str) -> Option<Self> {
        let mut tiers = Self { routes: false, trails: false, parts: false, edges: false, tallies: false };
        for name in text.split(',').map(str::trim) {
            match name {
                "routes" => tiers.routes = true,
                "trails" => tiers.trails = true,
                "parts" => tiers.parts = true,
                "edges" => tiers.edges = true,
                "tallies" => tiers.tallies = true,
                "none" if text.trim() == "none" => {}
                _ => return None,
            }
        }
        Some(tiers)
    }
    fn show(&self) -> String {
        let names = [
            ("routes", self.routes),
            ("trails", self.trails),
            ("parts", self.parts),
            ("edges", self.edges),
            ("tallies", self.tallies),
        ];
        let names: Vec<&str> = names.into_iter().filter(|(_, is_on)| *is_on).map(|(name, _)| name).collect();
        if names.is_empty() { "none".into() } else { names.join(",") }
    }
}

/// Declares a struct of limits that can be listed and set by name.
#[macro_export]
macro_rules! limits {
    ($(#[$about:meta])* $structure:ident { $($(#[doc = $doc:literal])+ $name:ident: $kind:ty = $value:expr,)* }) => {
        $(#[$about])*
        #[derive(Clone, Debug)]
        pub struct $structure {
            $($(#[doc = $doc])+ pub $name: $kind,)*
        }

        impl Default for $structure {
            fn default() -> Self {
                Self { $($name: $value,)* }
            }
        }

        impl $structure {
            /// Name, what it bounds, and the value now; times in milliseconds.
            pub fn list(&self) -> Vec<(&'static str, &'static str, String)> {
                vec![$((stringify!($name), concat!($($doc),+).trim_ascii(), $crate::limits::Bound::show(&self.$name)),)*]
            }

            /// Sets one by name. False if there is no such limit or the text is no number.
            pub fn set(&mut self, name: &str, text: &str) -> bool {
                match name {
                    $(stringify!($name) => {
                        let Some(value) = $crate::limits::Bound::parse(text) else { return false };
                        self.$name = value;
                        true
                    })*
                    _ => false,
                }
            }
        }
    };
}

limits! {
/// Defaults are for one machine of modest size. Each can be set by name.
Limits {
    /// Bytes of SQL text in one request. Past it: `too_large`.
    sql_bytes_max: usize = 1 << 20,
    /// Statements in one transaction. Past it: `too_large`.
    statements_max: usize = 10_000,
    /// Rows in one answer. Past it: `too_large`, and a write is undone.
    result_rows_max: usize = 1_000_000,
    /// Bytes of one answer. Past it: `too_large`, and a write is undone.
    result_bytes_max: usize = 64 << 20,
    /// Time one read may take. Past it: `timeout`.
    read_time_max: Duration = Duration::from_secs(30),
    /// Time a read may hold an async worker before it moves to a reader thread (and starts anew there).
    inline_read_time_max: Duration = Duration::from_millis(2),
    /// Threads for reads that are not quick, and how many may wait for one. Past it: `unavailable`.
    reader_threads: usize = 4,
    /// Threads for reads that are not quick, and how many may wait for one. Past it: `unavailable`.
    reader_queue_max: usize = 1024,
    /// Time one write request may take; it holds up every other writer. Past it: `timeout`, undone.
    write_time_max: Duration = Duration::from_secs(5),
    /// The same for a caller whom policies bind, if that is less. Past it: `timeout`, undone.
    caller_write_time_max: Duration = Duration::from_secs(1),
    /// Time one import may take, while all other writers wait. Past it: `timeout`, undone.
    import_time_max: Duration = Duration::from_hours(1),
    /// Time of one migration, for which all other writers wait. Past it: `timeout`, undone.
    migration_time_max: Duration = Duration::from_hours(1),
    /// Exports at one time, each with a snapshot of its own. Past it: `too_many`.
    exports_max: usize = 4,
    /// Time an export waits for a reader that takes nothing; then it ends, for its snapshot keeps the WAL from shrinking.
    export_wait_max: Duration = Duration::from_mins(1),
    /// Requests waiting for the writer. Past it: `unavailable`.
    write_queue_max: usize = 8192,
    /// Requests committed by one fsync.
    group_requests_max: usize = 512,
    /// Time to wait for another process's write lock. Past it: `unavailable`.
    lock_wait_max: Duration = Duration::from_secs(5),
    /// WAL bytes after which the writer checkpoints, and after which it insists.
    wal_checkpoint_bytes: u64 = 16 << 20,
    /// WAL bytes after which the writer checkpoints, and after which it insists.
    wal_bytes_max: u64 = 64 << 20,
    /// WAL bytes after which it is emptied though not all of it is in the backups, which then begin with all pages again.
    backup_wal_bytes_max: u64 = 1 << 30,
    /// How long backups keep the seconds: any of them can be restored. After it there are minutes.
    backup_groups_age_max: Duration = Duration::from_hours(24),
    /// How far back a minute can be restored from backups.
    backup_age_max: Duration = Duration::from_hours(24 * 30),
    /// Rows and bytes of one change set that are kept row by row. Past it the change set only says "everything":
    /// live queries are run again and change streams get `resync`.
    change_rows_max: usize = 100_000,
    /// Rows and bytes of one change set that are kept row by row. Past it the change set only says "everything":
    /// live queries are run again and change streams get `resync`.
    change_bytes_max: usize = 32 << 20,
    /// The change log's retention, by size and by age.
    log_bytes_max: u64 = 64 << 20,
    /// The change log's retention, by size and by age.
    log_age_max: Duration = Duration::from_hours(24),
    /// How often other processes' writes are looked for.
    outside_poll: Duration = Duration::from_millis(250),
    /// Answers kept under an `Idempotency-Key`: bytes each (past it: `too_large`, undone) and age.
    kept_answer_bytes_max: usize = 16 << 20,
    /// Answers kept under an `Idempotency-Key`: bytes each (past it: `too_large`, undone) and age.
    kept_answer_age_max: Duration = Duration::from_hours(24),
    /// Of one caller: mutations of which the answer is kept, for all its clients together. Past it the next ones wait.
    kept_mutations_max: usize = 100_000,
    /// How long what came of a client's mutation is kept for it, unless it says before that it has heard.
    kept_mutation_age_max: Duration = Duration::from_hours(24 * 90),
    /// Rows and bytes of one live result. Past it: `too_large`, the subscription ends.
    live_rows_max: usize = 100_000,
    /// Rows and bytes of one live result. Past it: `too_large`, the subscription ends.
    live_bytes_max: usize = 16 << 20,
    /// Different texts of live queries, and live queries that differ in text or parameters, in one lane. Past it: `too_many`.
    live_templates_max: usize = 20_000,
    /// Different texts of live queries, and live queries that differ in text or parameters, in one lane. Past it: `too_many`.
    live_queries_max: usize = 2_000_000,
    /// Time one evaluation may take among the quick ones; past it the query moves to a slow lane.
    live_quick_time_max: Duration = Duration::from_millis(50),
    /// Time one evaluation may take in a slow lane. Past it: `timeout`, the subscription ends.
    live_slow_time_max: Duration = Duration::from_secs(5),
    /// What spares live queries from being run as a whole: of `routes,trails,parts,edges,tallies` those that are used, or `none`.
    live_tiers: LiveTiers = LiveTiers::ALL,
    /// Microseconds that reading one part of a live result is reckoned to take. When the parts that a change touches would
    /// take longer than the whole did, the whole is run.
    live_part_micros: u64 = 5,
    /// Slow lanes: this many slow queries have a thread of their own, further ones share.
    slow_lanes: usize = 2,
    /// Deltas a group keeps for slow sockets and resuming ones: bytes, and age after the last listener left.
    group_history_bytes_max: usize = 1 << 20,
    /// Deltas a group keeps for slow sockets and resuming ones: bytes, and age after the last listener left.
    group_linger: Duration = Duration::from_secs(30),
    /// The same bytes of all live queries of one lane together: past it each forgets the older half of what it keeps.
    live_history_bytes_max: usize = 128 << 20,
    /// Bytes of texts and parameters of live queries remembered, so that clients that come back need not say them again. Past
    /// it the one longest unused is forgotten.
    live_tags_bytes_max: usize = 32 << 20,
    /// Subscriptions on one socket. Past it: `too_many`.
    subscriptions_per_session_max: usize = 1000,
    /// Bytes waiting to be sent on one socket. Past it the socket is closed with "too slow".
    outbox_bytes_max: usize = 32 << 20,
    /// Waiting bytes past which topic messages are no longer queued for a socket: it is told `resync` when it has caught up.
    outbox_messages_bytes_max: usize = 1 << 20,
    /// Frames of live queries in flight on one socket; past it changes are merged until the socket has drained.
    live_frames_in_flight_max: usize = 2,
    /// Size of one chunk of first rows.
    rows_chunk_bytes: usize = 64 << 10,
    /// Quiet time after which a socket is told the revision it stands at.
    at_interval: Duration = Duration::from_secs(15),
    /// Keys: bytes of a key's name and of its value.
    key_bytes_max: usize = 1024,
    /// Keys: bytes of a key's name and of its value.
    value_bytes_max: usize = 1 << 20,
    /// Bytes of a document's JSON.
    document_bytes_max: usize = 1 << 20,
    /// Topics: bytes of a topic's name and of one message; messages a topic may keep; topics that may be remembered.
    topic_bytes_max: usize = 255,
    /// Topics: bytes of a topic's name and of one message; messages a topic may keep; topics that may be remembered.
    message_bytes_max: usize = 256 << 10,
    /// Topics: bytes of a topic's name and of one message; messages a topic may keep; topics that may be remembered.
    topic_keep_max: u64 = 100_000,
    /// Topics: bytes of a topic's name and of one message; messages a topic may keep; topics that may be remembered.
    topics_max: usize = 100_000,
    /// Time that the policies on topics may take to answer one question. Past it: `timeout`; who listens already is ended.
    topic_check_time_max: Duration = Duration::from_millis(100),
    /// Bytes of one presence state.
    presence_bytes_max: usize = 16 << 10,
    /// From how long on a request for SQL is put into the query log; `off` is none, 0 all of them.
    query_log_time_min: LogFrom = LogFrom(None),
    /// The query log's retention, by number and by age.
    query_log_rows_max: u64 = 100_000,
    /// The query log's retention, by number and by age.
    query_log_age_max: Duration = Duration::from_hours(24 * 7),
    /// The audit log's retention, by number and by age.
    audit_rows_max: u64 = 100_000,
    /// The audit log's retention, by number and by age.
    audit_age_max: Duration = Duration::from_hours(24 * 365),
}
}

impl Limits {
    /// How long a write of whoever has this role may take; none is the administrator.
    pub fn write_time(&self, role: Option<Role>) -> Duration {
        if role.is_some() { self.write_time_max.min(self.caller_write_time_max) } else { self.write_time_max }
    }
}
