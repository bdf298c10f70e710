//! Counters of what the engine does. Plain atomics; the server writes them out for Prometheus.

use std::sync::atomic::{AtomicU64, Ordering};

#[derive(Debug, Default)]
pub struct Counter(AtomicU64);

impl Counter {
    pub fn add(&self, amount: u64) {
        self.0.fetch_add(amount, Ordering::Relaxed);
    }
    pub fn subtract(&self, amount: u64) {
        self.0.fetch_sub(amount, Ordering::Relaxed);
    }
    pub fn get(&self) -> u64 {
        self.0.load(Ordering::Relaxed)
    }
}

#[derive(Debug, Default)]
pub struct Metrics {
    pub reads: Counter,
    pub writes: Counter,
    pub sessions: Counter,
    pub subscriptions: Counter,
    pub live_groups: Counter,
    pub live_evaluations: Counter,
    /// Queries that read what was written, but that no changed row's values led to.
    pub live_spared: Counter,
    /// Results that a LIMIT cuts, and that nothing changed which is not behind their last rows.
    pub live_behind: Counter,
    /// Results of which only the parts that may have changed were read.
    pub live_parts: Counter,
    /// Runs that told for many callers at once who of them sees a changed row.
    pub live_for_all: Counter,
    /// Results whose counts and sums went on from the changed rows.
    pub live_tallies: Counter,
    /// Joins that were followed from a changed row.
    pub live_trails: Counter,
    /// Joins of live queries that have no index to be followed by.
    pub live_missing_indexes: Counter,
    pub live_steps: Counter,
    pub live_deltas: Counter,
    pub live_frames: Counter,
    /// Of rows, deltas and changes, as they are queued for sockets.
    pub live_bytes: Counter,
    pub live_merged: Counter,
    pub live_resyncs: Counter,
    pub live_moved_to_slow_lane: Counter,
    pub messages_published: Counter,
    pub messages_delivered: Counter,
    pub sessions_too_slow: Counter,
    /// Requests that should have been in the query log, and for which there was no place.
    pub queries_unlogged: Counter,
}
