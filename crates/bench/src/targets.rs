//! The project's speed targets, all in one place: what each judged figure must reach.

use std::time::Duration;

#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Target {
    AtMost(f64),
    AtLeast(f64),
}

/// µs of server CPU.
pub const POINT_READ_CPU: Target = Target::AtMost(20.0);
pub const INSERT_CPU: Target = Target::AtMost(30.0);
/// Operations a second, on a quiet machine.
pub const INSERT_RATE: Target = Target::AtLeast(15_000.0);
/// MB per server CPU-second.
pub const JSON_RATE: Target = Target::AtLeast(250.0);
/// An insert's p50 with 1,000 subscribers, as a multiple of that with none.
pub const FAN_OUT_RATIO: Target = Target::AtMost(1.5);
/// ms until the last of 1,000 subscribers is told, p99.
pub const LAST_TOLD: Target = Target::AtMost(50.0);
/// Resident KB of the server for an idle socket with one subscription.
pub const IDLE_SOCKET: Target = Target::AtMost(8.0);
/// The matcher's CPU for a write beside 100,000 live queries, as a multiple of that with none.
pub const UNRELATED_WRITE_RATIO: Target = Target::AtMost(1.25);
pub const UNRELATED_WRITE_MILLION_RATIO: Target = Target::AtMost(1.5);
pub const AFFECTED_WRITE_RATIO: Target = Target::AtMost(5.0);
/// KiB of the server for a live query, a hundred or more a socket: 1 KiB and the share of an idle socket.
pub const QUERY_MEMORY: Target = Target::AtMost(1.08);
/// ms from a write to the one of 100,000 live queries that it matters to, p99, beyond the disk's own p99.
pub const REACH: Target = Target::AtMost(20.0);
/// Seconds until 10,000 sockets with 10 queries are back, and bytes sent for it in % of all rows.
pub const STORM_SECONDS: Target = Target::AtMost(15.0);
pub const STORM_BYTES: Target = Target::AtMost(5.0);
/// A person's point read under a policy, as a multiple of the administrator's CPU.
pub const PERSONS_READ_RATIO: Target = Target::AtMost(1.5);
/// µs of server CPU for a write and one of 1,000 subscribers who are different people.
pub const RULED_DELTA_CPU: Target = Target::AtMost(3.0);
/// Rows a second out and in, as a multiple of those of SQLite's shell.
pub const EXPORT_RATIO: Target = Target::AtLeast(1.0);
pub const IMPORT_RATIO: Target = Target::AtLeast(0.8);
/// Resident MB of an export, whatever its size.
pub const EXPORT_MEMORY: Target = Target::AtMost(50.0);
/// Time of a restore, as a multiple of Litestream's.
pub const RESTORE_RATIO: Target = Target::AtMost(1.2);
/// Server CPU of a durable insert with backups, as a multiple of that without.
pub const BACKUP_CPU_RATIO: Target = Target::AtMost(1.1);
/// ms from spawn to the first answer on a large, cleanly stopped file.
pub const START: Target = Target::AtMost(50.0);
/// Our CPU for a message and listener as a multiple of a broker's.
pub const BROKER_RATIO: Target = Target::AtMost(1.0);
/// PocketBase's CPU for an operation as a multiple of ours.
pub const PEER_RATIO: Target = Target::AtLeast(5.0);

/// ms from an insert's begin to a subscriber's delta, p50: two syncs of this machine's disk, and one millisecond.
pub fn delta(sync: Duration) -> Target {
    Target::AtMost(sync.as_secs_f64() * 2e3 + 1.0)
}

impl Target {
    pub fn met(self, value: f64) -> bool {
        match self {
            Target::AtMost(limit) => value <= limit,
            Target::AtLeast(limit) => value >= limit,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_limit_itself_is_met() {
        assert!(START.met(50.0) && !START.met(50.1));
        assert!(JSON_RATE.met(250.0) && !JSON_RATE.met(249.9));
    }

    #[test]
    fn the_delta_follows_the_disk() {
        assert!(delta(Duration::from_micros(200)).met(1.4) && !delta(Duration::from_micros(200)).met(1.41));
    }
}
