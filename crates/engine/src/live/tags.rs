//! What tags stand for, so that a client which comes back with many live queries need not say their SQL again.
//!
//! A tag has two halves. One names what was asked, text and parameters: under it they are remembered here, for each caller
//! apart, the one longest unused forgotten first. The other names the query as it is now, with the schema and what its
//! caller answers to policies: by it a result is known to be one that can be gone on from. Both are hashed with a secret
//! of the file: nobody can make a text whose tag is that of another text, and a tag says the same after a restart.
//!
//! What is remembered opens nothing. Whoever comes with a tag asks for its SQL as they are now: `Engine::resume`.

use super::query::{Query, write_params, write_text};
use crate::access::Principal;
use crate::value::{Params, Value};
use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD as BASE64};
use siphasher::sip::SipHasher13 as Short;
use siphasher::sip128::{Hasher128 as _, SipHasher13};
use std::collections::{BTreeMap, HashMap};
use std::fmt;
use std::hash::Hasher as _;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// What remembering one takes beside its text and values: its places in both maps, and what shares its values.
const BESIDE: usize = 192;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Tag {
    asked: u64,
    query: u64,
}

impl Tag {
    pub fn parse(text: &str) -> Option<Self> {
        let mut bytes = [0; 16];
        let length = BASE64.decode_slice(text, &mut bytes).ok()?;
        let half = |at: usize| Some(u64::from_le_bytes(bytes.get(at..at + 8)?.try_into().ok()?));
        (length == bytes.len()).then_some(Self { asked: half(0)?, query: half(8)? })
    }

    /// Of one query on one schema, whoever was told it?
    pub fn is_like(self, other: Self) -> bool {
        self.query == other.query
    }
}

impl fmt::Display for Tag {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut bytes = [0; 16];
        bytes[..8].copy_from_slice(&self.asked.to_le_bytes());
        bytes[8..].copy_from_slice(&self.query.to_le_bytes());
        f.write_str(&BASE64.encode(bytes))
    }
}

/// Whose, and the half of a tag that names what they asked.
type Place = (u64, u64);

pub struct Tags {
    /// Of the file.
    secret: (u64, u64),
    bytes_max: usize,
    memory: Mutex<Memory>,
}

#[derive(Default)]
struct Memory {
    asked: HashMap<Place, Asked>,
    /// The one longest unused first.
    by_use: BTreeMap<u64, Place>,
    uses: u64,
    bytes: usize,
}

/// Both are shared with the query, for as long as it is there.
struct Asked {
    sql: Arc<str>,
    params: Arc<Params>,
    used: u64,
}

impl Tags {
    /// `secret` is any text, of the file; what is remembered has so many bytes at most.
    pub fn new(secret: &str, bytes_max: usize) -> Self {
        let mut hasher = SipHasher13::new();
        write_text(&mut hasher, secret);
        let hash = hasher.finish128();
        Self { secret: (hash.h1, hash.h2), bytes_max, memory: Mutex::default() }
    }

    fn hasher(&self) -> SipHasher13 {
        SipHasher13::new_with_keys(self.secret.0, self.secret.1)
    }

    pub fn of(&self, query: &Query) -> Tag {
        let mut asked = self.hasher();
        write_text(&mut asked, &query.template.written);
        write_params(&mut asked, &query.params);
        let mut whole = Short::new_with_keys(self.secret.0, self.secret.1);
        query.write_identity(&mut whole);
        Tag { asked: asked.finish128().h1, query: whole.finish() }
    }

    /// A person stays who they are when more is said of them.
    fn whose(&self, principal: &Principal) -> u64 {
        let mut hasher = self.hasher();
        if let Some(caller) = principal.caller() {
            write_text(&mut hasher, caller.role.name());
            hasher.write_u8(caller.uid.is_some().into());
            write_text(&mut hasher, caller.uid.as_deref().unwrap_or_default());
        }
        hasher.finish128().h1
    }

    fn memory(&self) -> MutexGuard<'_, Memory> {
        self.memory.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Somebody holds this query, or did until now.
    pub fn remember(&self, principal: &Principal, tag: Tag, query: &Query) {
        if self.bytes_max == 0 {
            return;
        }
        let place = (self.whose(principal), tag.asked);
        let (sql, params) = (Arc::clone(&query.template.written), Arc::clone(&query.params));
        self.memory().keep(place, sql, params, self.bytes_max);
    }

    /// The SQL and the parameters that this caller asked under this tag.
    pub fn recall(&self, principal: &Principal, tag: Tag) -> Option<(Arc<str>, Arc<Params>)> {
        let place = (self.whose(principal), tag.asked);
        let mut memory = self.memory();
        let Asked { sql, params, .. } = memory.asked.get(&place)?;
        let found = (Arc::clone(sql), Arc::clone(params));
        memory.keep(place, Arc::clone(&found.0), Arc::clone(&found.1), self.bytes_max);
        Some(found)
    }
}

impl Memory {
    fn keep(&mut self, place: Place, sql: Arc<str>, params: Arc<Params>, bytes_max: usize) {
        self.uses += 1;
        let asked = Asked { sql, params, used: self.uses };
        self.bytes += asked.size();
        if let Some(before) = self.asked.insert(place, asked) {
            self.bytes -= before.size();
            self.by_use.remove(&before.used);
        }
        self.by_use.insert(self.uses, place);
        while self.bytes > bytes_max {
            let Some((_, unused)) = self.by_use.pop_first() else { break };
            self.bytes -= self.asked.remove(&unused).map_or(0, |asked| asked.size());
        }
    }
}

impl Asked {
    fn size(&self) -> usize {
        let values = match &*self.params {
            Params::None => 0,
            Params::Positional(values) => values.iter().map(Value::size).sum(),
            Params::Named(values) => values.iter().map(|(name, value)| name.len() + value.size()).sum(),
        };
        BESIDE + self.sql.len() + values
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    fn keep(memory: &mut Memory, whose: u64, asked: u64, sql: &str, bytes_max: usize) {
        memory.keep((whose, asked), sql.into(), Arc::default(), bytes_max);
    }

    #[test]
    fn a_tag_is_read_as_it_was_written_and_nothing_else_is_one() {
        let tag = Tag { asked: 0x0123_4567_89ab_cdef, query: u64::MAX - 1 };
        let text = tag.to_string();
        assert_eq!((text.len(), Tag::parse(&text)), (22, Some(tag)));
        for wrong in ["", "tag", &text[1..], &format!("{text}AA"), &"0".repeat(32), &"=".repeat(22), &"é".repeat(11)] {
            assert_eq!(Tag::parse(wrong), None, "{wrong}");
        }
    }

    #[test]
    fn the_one_longest_unused_is_forgotten_first_and_the_bytes_are_counted_exactly() {
        let mut memory = Memory::default();
        let room = 3 * (BESIDE + 10);
        for asked in 0..3 {
            keep(&mut memory, 1, asked, "0123456789", room);
        }
        // Used again, with another text in its place.
        keep(&mut memory, 1, 0, "01234", room);
        keep(&mut memory, 2, 0, "0123456789", room);
        let mut left: Vec<Place> = memory.asked.keys().copied().collect();
        left.sort_unstable();
        assert_eq!(left, [(1, 0), (1, 2), (2, 0)], "of the same tag each caller has their own");
        assert_eq!(memory.bytes, 3 * BESIDE + 25);
        keep(&mut memory, 1, 9, &"x".repeat(room), room);
        assert!(
            memory.asked.is_empty() && memory.by_use.is_empty() && memory.bytes == 0,
            "what is too large is not kept"
        );
    }
}
