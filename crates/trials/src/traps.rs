//! The known traps of live queries, and how often a trial has stepped into each: what was not hit was not tested.

use std::fmt;

macro_rules! traps {
    ($($name:ident: $words:literal,)*) => {
        /// What has been seen to break live queries, here or elsewhere.
        #[derive(Clone, Copy, Debug, PartialEq, Eq)]
        pub enum Trap { $($name,)* }

        const ALL: &[(Trap, &str)] = &[$((Trap::$name, $words),)*];
    };
}

traps! {
    // In a query: counted when the result of a query that has it has changed.
    NullKey: "NULL in a key",
    NotIn: "NOT IN, three-valued",
    Collation: "NOCASE and RTRIM",
    MixedTypes: "1 / 1.0 / '1'",
    FloatSum: "sum, avg and total of reals",
    UnorderedConcat: "group_concat without ORDER BY",
    OrderTies: "ORDER BY with ties",
    LimitUnordered: "LIMIT without ORDER BY",
    LimitOrdered: "ORDER BY with LIMIT",
    Offset: "OFFSET",
    BareColumn: "bare columns beside min and max",
    Duplicates: "equal rows in a result",
    Joins: "joins",
    OuterJoins: "outer joins",
    SelfJoin: "self joins",
    SubQuery: "IN, EXISTS and scalar sub-queries",
    Grouping: "GROUP BY, HAVING, DISTINCT",
    Picking: "min, max, group_concat of equals",
    Window: "windows",
    Compound: "UNION, EXCEPT, INTERSECT",
    Recursion: "recursive CTEs",
    Parameters: "parameters",
    FullText: "full-text search",
    ViewOnView: "views on views",
    Generated: "generated columns",
    Strict: "STRICT tables",
    WithoutRowid: "WITHOUT ROWID tables",
    UnindexedJoin: "a join column without an index",
    QueryFailed: "a live query that comes to fail",
    // In a write: counted when it came to pass.
    KeyUpdate: "updates of a primary key",
    ReplaceRowid: "REPLACE that changes a rowid",
    ReplaceTwo: "REPLACE that hits two rows",
    Upsert: "UPSERT",
    Cascade: "foreign keys that cascade",
    SetNull: "foreign keys that set NULL",
    Deferred: "deferred foreign keys",
    Trigger: "triggers that write other tables",
    RolledBack: "failed requests, told to nobody",
    LostTransaction: "ROLLBACK inside a request",
    Schema: "schema changes under live queries",
    LargeTransaction: "more changes than are kept",
    Vacuum: "VACUUM",
    Refused: "ATTACH, temporary objects, volatile queries refused",
    Group: "several requests in flight",
    Outside: "writes by another program",
    // In a session: counted each time.
    Paused: "a reader that was away and got merged changes",
    ResumedUnchanged: "resumed: unchanged",
    ResumedDelta: "resumed: a delta",
    ResumedRows: "resumed: rows",
    ResumedByTag: "resumed by a tag, with others in one frame",
    Resynced: "told to forget a result",
    SlowLane: "moved to a slow lane",
    Spared: "spared: no changed row led to the query",
    Behind: "a change behind the last row of a LIMIT",
    Parts: "read again by parts",
    Tallies: "a count or sum that went on from the changed rows",
    Trails: "a join followed to the queries",
    StreamResumed: "a change stream resumed",
    StreamResynced: "a change stream told to read again",
    Restart: "the engine restarted",
}

/// A set of traps.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Traps(u64);

impl Traps {
    pub fn add(&mut self, trap: Trap) {
        self.0 |= 1 << trap as u64;
    }

    #[must_use]
    pub fn and(mut self, trap: Trap) -> Self {
        self.add(trap);
        self
    }

    pub fn has(self, trap: Trap) -> bool {
        self.0 & (1 << trap as u64) != 0
    }

    pub fn join(&mut self, other: Self) {
        self.0 |= other.0;
    }
}

/// How often each trap was hit.
#[derive(Clone, Debug)]
pub struct Hits([u64; ALL.len()]);

impl Default for Hits {
    fn default() -> Self {
        Self([0; ALL.len()])
    }
}

impl Hits {
    pub fn note_times(&mut self, trap: Trap, times: u64) {
        self.0[trap as usize] += times;
    }

    pub fn note(&mut self, trap: Trap) {
        self.0[trap as usize] += 1;
    }

    pub fn note_all(&mut self, traps: Traps) {
        for (trap, _) in ALL.iter().filter(|(trap, _)| traps.has(*trap)) {
            self.note(*trap);
        }
    }

    pub fn add(&mut self, other: &Self) {
        self.0.iter_mut().zip(other.0).for_each(|(hits, more)| *hits += more);
    }
}

impl fmt::Display for Hits {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (trap, words) in ALL {
            writeln!(f, "{:>12}  {words}", self.0[*trap as usize])?;
        }
        Ok(())
    }
}
