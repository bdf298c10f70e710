//! One subscriber: everything it was told over its connections, checked as it comes.

use super::ledger::Ledger;
use super::listing::Listing;
use super::state::{Entry, Found, State, WRITERS, key_name};
use super::stream::Stream;
use super::violation;
use anyhow::{Context as _, Result};
use serde_json::{Value, json};
use std::collections::BTreeSet;
use tidebase_engine::Since;

const HEADS: usize = 0;

/// Ids are the queries' indexes here; then come the stream and the topic.
pub const QUERIES: [&str; 6] = [
    "SELECT writer, head, counter FROM heads",
    "SELECT id, writer, seq, part, version, length(body) FROM entries",
    "SELECT h.writer, count(e.id), coalesce(sum(e.version), 0) FROM heads AS h LEFT JOIN entries AS e
       ON e.writer = h.writer GROUP BY h.writer",
    "SELECT id, seq FROM entries ORDER BY seq DESC, id LIMIT 12",
    "SELECT key, json_extract(value, '$.seq') FROM kv WHERE key LIKE 'w%-k%'",
    "SELECT value FROM totals",
];
pub const STREAM: usize = QUERIES.len();
pub const MESSAGES: usize = STREAM + 1;

/// A subscription to be asked for.
pub enum Wish {
    Query { id: usize, since: Option<Since> },
    Changes { since: Option<Since> },
    Messages { after: i64 },
}

#[derive(Clone, Debug)]
pub struct Told {
    pub history: String,
    /// Where the socket stands.
    revision: i64,
    listings: Vec<Listing>,
    stream: Stream,
    first_cursor: i64,
    /// Of the last message.
    cursor: i64,
    messages: BTreeSet<(usize, i64)>,
    is_new: bool,
    pub counts: Counts,
}

/// Frames, by what they told.
#[derive(Clone, Copy, Debug, Default)]
pub struct Counts {
    pub deltas: usize,
    pub changes: usize,
    pub messages: usize,
    pub rows: usize,
    /// Of the answers to `since`, those that did not need all rows.
    pub resumed: usize,
}

impl Counts {
    pub fn add(&mut self, other: Self) {
        self.deltas += other.deltas;
        self.changes += other.changes;
        self.messages += other.messages;
        self.rows += other.rows;
        self.resumed += other.resumed;
    }
}

impl Told {
    /// Somebody who knows nothing, and wants all messages after `cursor`.
    pub fn new(cursor: i64) -> Self {
        Self {
            history: String::new(),
            revision: 0,
            listings: vec![Listing::default(); QUERIES.len()],
            stream: Stream::default(),
            first_cursor: cursor,
            cursor,
            messages: BTreeSet::new(),
            is_new: true,
            counts: Counts::default(),
        }
    }

    /// Somebody who knows nothing, and wants the same messages from the first on.
    pub fn newcomer(&self) -> Self {
        Self::new(self.first_cursor)
    }

    /// What to ask for on a new connection, so that it goes on from what was told before.
    pub fn connect(&mut self) -> Vec<Wish> {
        let (history, revision) = (self.history.clone(), self.revision);
        let query = |(id, listing): (usize, &mut Listing)| Wish::Query {
            id,
            since: listing.wait().map(|tag| Since { history: history.clone(), revision, tag: Some(tag) }),
        };
        let mut wishes: Vec<Wish> = self.listings.iter_mut().enumerate().map(query).collect();
        let since = Since { history, revision: self.stream.at, tag: None };
        wishes.push(Wish::Changes { since: (!self.is_new).then_some(since) });
        wishes.push(Wish::Messages { after: self.cursor });
        self.stream.begin();
        self.is_new = false;
        wishes
    }

    /// # Errors
    /// A violation, if the frame is not what the contract says.
    pub fn take(&mut self, text: &str, ledger: &mut Ledger) -> Result<()> {
        let frame: Value = serde_json::from_str(text)?;
        self.frame(&frame, ledger)
            .with_context(|| format!("in the frame {}", text.chars().take(400).collect::<String>()))
    }

    fn frame(&mut self, frame: &Value, ledger: &mut Ledger) -> Result<()> {
        let revision = || frame["revision"].as_i64().context("a frame without a revision");
        let id = || frame["id"].as_u64().map(|id| id as usize).context("a frame without an id");
        match frame["type"].as_str().context("a frame without a type")? {
            "hello" => {
                frame["history"].as_str().context("hello without a history")?.clone_into(&mut self.history);
                self.revision = revision()?;
                self.promise(ledger)
            }
            "at" => {
                self.revision = revision()?;
                self.promise(ledger)
            }
            "delta" => self.delta(frame, ledger),
            "changes" => {
                self.counts.changes += 1;
                self.stream.take(frame, ledger)
            }
            "message" => self.message(frame, ledger),
            "resync" if id()? == STREAM => {
                self.stream.resync(revision()?);
                Ok(())
            }
            kind @ ("rows" | "unchanged" | "resync") if id()? < QUERIES.len() => {
                self.about_query(id()?, kind, frame)?;
                self.promise(ledger)
            }
            kind => Err(violation!("a frame of the type {kind}")),
        }
    }

    fn about_query(&mut self, id: usize, kind: &str, frame: &Value) -> Result<()> {
        let listing = &mut self.listings[id];
        if kind == "resync" {
            listing.wait();
            return Ok(());
        }
        if frame["revision"].as_i64() != Some(self.revision) {
            return Err(violation!("{kind} at another revision than the socket's, {}", self.revision));
        }
        if kind == "unchanged" {
            self.counts.resumed += 1;
            listing.confirm();
            return Ok(());
        }
        self.counts.rows += 1;
        listing.take_rows(frame)
    }

    fn delta(&mut self, frame: &Value, ledger: &mut Ledger) -> Result<()> {
        self.counts.deltas += 1;
        if frame["from"].as_i64() != Some(self.revision) {
            return Err(violation!("a gap: a delta that is not from {}, where the socket stands", self.revision));
        }
        for part in frame["queries"].as_array().context("a delta without queries")? {
            let listing = part["id"].as_u64().and_then(|id| self.listings.get_mut(id as usize));
            let listing = listing.ok_or_else(|| violation!("a delta for something else"))?;
            if !part["since"].is_null() {
                self.counts.resumed += 1;
                listing.confirm();
            }
            listing.take_delta(part)?;
        }
        self.revision = frame["to"].as_i64().context("a delta without \"to\"")?;
        self.promise(ledger)
    }

    fn message(&mut self, frame: &Value, ledger: &mut Ledger) -> Result<()> {
        self.counts.messages += 1;
        let cursor = frame["cursor"].as_i64().context("a message without a cursor")?;
        if cursor <= std::mem::replace(&mut self.cursor, cursor) {
            return Err(violation!("a message that is not after the last"));
        }
        let (writer, seq) = (frame["data"]["writer"].as_u64(), frame["data"]["seq"].as_i64());
        let (writer, seq) = writer.zip(seq).context("a message that nobody published")?;
        if !self.messages.insert((writer as usize, seq)) {
            return Err(violation!("a message came twice"));
        }
        ledger.told_message(writer as usize, seq);
        Ok(())
    }

    /// What was just told must not be lost.
    fn promise(&self, ledger: &mut Ledger) -> Result<()> {
        ledger.told_heads(self.revision, self.heads().into_iter().flatten().enumerate())
    }

    /// Where the writers stand, by writer.
    fn heads(&self) -> Option<Vec<i64>> {
        let listing = Some(&self.listings[HEADS]).filter(|listing| listing.is_ready())?;
        let mut heads = vec![0; WRITERS];
        for row in listing.rows() {
            *heads.get_mut(row.first()?.as_u64()? as usize)? = row.get(1)?.as_i64()?;
        }
        Some(heads)
    }

    /// Has the first word of every subscription come?
    pub fn is_complete(&self) -> bool {
        self.listings.iter().all(Listing::is_ready) && self.stream.is_ready
    }

    /// Has it been told all there is in a database that nobody writes to?
    pub fn knows(&self, found: &Found) -> bool {
        let heads = found.states.iter().map(|state| state.head);
        let messages: usize = found.states.iter().map(|state| state.messages.len()).sum();
        self.is_complete()
            && self.heads().is_some_and(|told| told.into_iter().eq(heads))
            && self.stream.at >= found.revision
            && self.messages.len() >= messages
    }

    /// Why [`Told::knows`] says no.
    pub fn lacks(&self, found: &Found) -> String {
        let waiting: Vec<usize> = (0..QUERIES.len()).filter(|&id| !self.listings[id].is_ready()).collect();
        let heads: Vec<i64> = found.states.iter().map(|state| state.head).collect();
        format!(
            "it waits for the queries {waiting:?}; its heads are {:?} at {} instead of {heads:?} at {}; its stream is at {} \
             (ready: {}); it has {} messages",
            self.heads(),
            self.revision,
            found.revision,
            self.stream.at,
            self.stream.is_ready,
            self.messages.len()
        )
    }

    /// To be called when nobody writes and this is how things stand: where the stream could not tell, it is read.
    pub fn read_again(&mut self, found: &Found) {
        self.stream.read_again(&found.states);
    }

    /// Is everything it was told the state of things at the revision it was told?
    pub fn check(&self, ledger: &Ledger) -> Result<()> {
        if let Some(heads) = self.heads() {
            let states = ledger.states_at(self.revision, &heads)?;
            for (id, (listing, expected)) in self.listings.iter().zip(expected(&states)).enumerate() {
                if listing.is_ready() && listing.shown() != expected {
                    let (told, at, sql) = (listing.shown(), self.revision, QUERIES[id]);
                    return Err(violation!("{sql} was told at {at} as {told:?}, and was {expected:?}"));
                }
            }
        }
        match self.stream.heads() {
            Some(heads) => self.stream.check(&ledger.states_at(self.stream.at, heads)?),
            None => Ok(()),
        }
    }
}

/// The results of the queries, as [`Listing::shown`] gives them.
fn expected(states: &[State]) -> [Vec<String>; QUERIES.len()] {
    let of_all = |rows: &dyn Fn(usize, &State) -> Vec<Value>| {
        let rows = states.iter().enumerate().flat_map(|(writer, state)| rows(writer, state));
        let mut rows: Vec<String> = rows.map(|row| row.to_string()).collect();
        rows.sort_unstable();
        rows
    };
    let heads = of_all(&|writer, state| vec![json!([writer, state.head, state.counter])]);
    let entries = of_all(&|writer, state| {
        let row = |(id, entry): (&i64, &Entry)| json!([id, writer, entry.seq, entry.part, entry.version, entry.length]);
        state.entries.iter().map(row).collect()
    });
    let sums = of_all(&|writer, state| {
        let versions: i64 = state.entries.values().map(|entry| entry.version).sum();
        vec![json!([writer, state.entries.len(), versions])]
    });
    let mut newest: Vec<(i64, i64)> =
        states.iter().flat_map(|state| &state.entries).map(|(id, entry)| (-entry.seq, *id)).collect();
    newest.sort_unstable();
    let newest = newest.iter().take(12).map(|(seq, id)| json!([id, -seq]).to_string()).collect();
    let keys =
        of_all(&|writer, state| state.keys.iter().map(|(key, seq)| json!([key_name(writer, *key), seq])).collect());
    let total = vec![json!([states.iter().map(|state| state.counter).sum::<i64>()]).to_string()];
    [heads, entries, sums, newest, keys, total]
}
