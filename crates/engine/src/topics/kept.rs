//! The messages a topic keeps: `_tide_messages`, and in `_tide_topics` how many, and up to where they are gone.

use super::{Cursor, Topics};
use crate::error::{Error, Result};
use crate::json;
use crate::limits::Limits;
use rusqlite::{Connection, OptionalExtension as _};

/// A write to a topic that must be durable.
#[derive(Clone, Debug)]
pub enum TopicWrite {
    Publish {
        topic: String,
        data: String,
    },
    /// From now on the topic keeps this many messages; 0 forgets them.
    Keep {
        topic: String,
        keep: u64,
    },
}

/// What is told once the write is durable.
#[derive(Clone, Debug)]
pub enum KeptMessage {
    Published { topic: String, cursor: Cursor, data: String },
    Setting { topic: String, keep: u64 },
}

/// Runs the write inside the writer's transaction: the answer's JSON, and what to tell after the commit.
pub fn run(
    connection: &Connection,
    write: &TopicWrite,
    limits: &Limits,
    topics: &Topics,
) -> Result<(Vec<u8>, Option<KeptMessage>)> {
    match write {
        TopicWrite::Publish { topic, data } => {
            let cursor = topics.next_cursor();
            connection
                .prepare_cached("INSERT INTO _tide_messages (topic, cursor, data) VALUES (?1, ?2, ?3)")?
                .execute((topic, cursor, data))?;
            drop_surplus(connection, topic)?;
            let mut body = b"{\"cursor\":".to_vec();
            json::write_integer(&mut body, cursor);
            body.push(b'}');
            Ok((body, Some(KeptMessage::Published { topic: topic.clone(), cursor, data: data.clone() })))
        }
        TopicWrite::Keep { topic, keep } => {
            if *keep > limits.topic_keep_max {
                return Err(Error::too_large(format!("A topic may keep {} messages.", limits.topic_keep_max)));
            }
            // What was published before nobody kept: a client that comes with an older cursor must be told.
            connection
                .prepare_cached(
                    "INSERT INTO _tide_topics (topic, keep, gone) VALUES (?1, ?2, ?3)
                     ON CONFLICT (topic) DO UPDATE SET keep = excluded.keep",
                )?
                .execute((topic, *keep as i64, topics.next_cursor()))?;
            drop_surplus(connection, topic)?;
            let mut body = b"{\"topic\":".to_vec();
            json::write_str(&mut body, topic);
            body.extend_from_slice(format!(",\"keep\":{keep}}}").as_bytes());
            Ok((body, Some(KeptMessage::Setting { topic: topic.clone(), keep: *keep })))
        }
    }
}

/// Removes the oldest messages past the topic's number, and notes up to where they are gone.
fn drop_surplus(connection: &Connection, topic: &str) -> Result<()> {
    let surplus: Option<Cursor> = connection
        .prepare_cached(
            "SELECT cursor FROM _tide_messages WHERE topic = ?1 ORDER BY cursor DESC
             LIMIT 1 OFFSET (SELECT keep FROM _tide_topics WHERE topic = ?1)",
        )?
        .query_row([topic], |row| row.get(0))
        .optional()?;
    if let Some(gone) = surplus {
        connection
            .prepare_cached("DELETE FROM _tide_messages WHERE topic = ?1 AND cursor <= ?2")?
            .execute((topic, gone))?;
        connection
            .prepare_cached("UPDATE _tide_topics SET gone = max(gone, ?2) WHERE topic = ?1")?
            .execute((topic, gone))?;
    }
    Ok(())
}

/// Settings of all topics, and the newest cursor in the file.
pub fn read_settings(connection: &Connection) -> Result<(Vec<(String, u64)>, Cursor)> {
    let mut statement = connection.prepare("SELECT topic, keep FROM _tide_topics")?;
    let settings = statement
        .query_map([], |row| Ok((row.get(0)?, row.get::<_, i64>(1)?.unsigned_abs())))?
        .collect::<Result<_, _>>()?;
    let newest = connection.query_row(
        "SELECT coalesce(max(max(t.gone, coalesce((SELECT max(m.cursor) FROM _tide_messages AS m WHERE m.topic = t.topic), 0))), 0)
         FROM _tide_topics AS t",
        [],
        |row| row.get(0),
    )?;
    Ok((settings, newest))
}

/// What a topic has kept since a cursor.
#[derive(Debug)]
pub struct Kept {
    /// Nothing published since is missing.
    pub is_complete: bool,
    /// Oldest first.
    pub messages: Vec<(Cursor, String)>,
}

/// Kept messages after a cursor, `limit` at most.
pub fn read_after(connection: &Connection, topic: &str, after: Cursor, limit: usize) -> Result<Kept> {
    let gone: Option<Cursor> = connection
        .prepare_cached("SELECT gone FROM _tide_topics WHERE topic = ?1 AND keep > 0")?
        .query_row([topic], |row| row.get(0))
        .optional()?;
    let mut statement = connection.prepare_cached(
        "SELECT cursor, data FROM _tide_messages WHERE topic = ?1 AND cursor > ?2 ORDER BY cursor LIMIT ?3",
    )?;
    let messages = statement.query_map((topic, after, limit as i64), |row| Ok((row.get(0)?, row.get(1)?)))?;
    Ok(Kept { is_complete: gone.is_some_and(|gone| after >= gone), messages: messages.collect::<Result<_, _>>()? })
}
