//! Topics: publishing and listening.

use super::Engine;
use crate::access::Principal;
use crate::access::messages::Deed;
use crate::error::{Code, Error, Result};
use crate::live::session::{Holder, RequestId, Session};
use crate::request::{Answer, Idempotency};
use crate::storage::work::Work;
use crate::topics::{self, Cursor, TopicWrite};
use std::sync::Arc;

/// What the writer answers to a publish.
#[derive(serde::Deserialize)]
struct Published {
    cursor: Cursor,
}

/// Kept messages read at one time to catch a listener up.
const MESSAGES_AT_ONCE: usize = 256;

impl Engine {
    /// Publishes JSON to a topic; durably if the topic keeps messages. An idempotency key counts only then.
    ///
    /// # Errors
    /// `forbidden` to callers whom no policy lets publish this.
    pub async fn publish(
        &self,
        principal: &Principal,
        topic: &str,
        data: &str,
        idempotency: Option<Idempotency>,
    ) -> Result<Cursor> {
        self.shared.topics.check(topic, data)?;
        if self.shared.topics.keeps(topic) == 0 {
            self.admit(principal, topic, Deed::Publish, data).await?;
            self.shared.metrics.messages_published.add(1);
            return Ok(self.shared.topics.publish(topic, data));
        }
        // Whether the caller may, the writer asks.
        let write = TopicWrite::Publish { topic: topic.into(), data: data.into() };
        let work = Work::Topic { write, principal: principal.clone() };
        let answer = self.submit(work, idempotency)?.wait().await?;
        self.shared.metrics.messages_published.add(1);
        let published: Published = serde_json::from_slice(&answer.body)
            .map_err(|error| Error::internal("a publish answered oddly").caused_by(error))?;
        Ok(published.cursor)
    }

    /// May the caller do that in the topic? The administrator may.
    async fn admit(&self, principal: &Principal, topic: &str, deed: Deed, data: &str) -> Result<()> {
        if principal.caller().is_none() {
            return Ok(());
        }
        let access = self.shared.access();
        let time = self.limits().inline_read_time_max;
        match self.readers.inline(|sqlite| access.admit(sqlite, principal, topic, deed, data, time)) {
            Err(error) if error.code == Code::Timeout => {}
            done => return done,
        }
        let (principal, topic, data) = (principal.clone(), topic.to_owned(), data.to_owned());
        let time = self.limits().topic_check_time_max;
        self.readers.elsewhere(move |sqlite| access.admit(sqlite, &principal, &topic, deed, &data, time)).await
    }

    /// From now on the topic keeps this many messages.
    pub async fn keep_topic(&self, topic: &str, keep: u64) -> Result<Answer> {
        self.shared.topics.check(topic, "")?;
        let write = TopicWrite::Keep { topic: topic.into(), keep };
        self.submit(Work::Topic { write, principal: Principal::Admin }, None)?.wait().await
    }

    /// Listens to a topic. With `after`, messages kept since then come first, or `resync` if some are gone.
    pub async fn subscribe_topic(
        &self,
        session: &Arc<Session>,
        id: Option<RequestId>,
        topic: &str,
        after: Option<Cursor>,
        presence: Option<String>,
    ) -> Result<()> {
        self.shared.topics.check(topic, "")?;
        let reasons = self.shared.bell.reasons();
        self.admit(&session.principal, topic, Deed::Listen, "").await?;
        if let Some(state) = &presence {
            self.admit(&session.principal, topic, Deed::BePresent, state).await?;
        }
        let holder = Holder::Topic(topic.into());
        match &id {
            Some(id) => session.take_id(id, holder)?,
            None => session.take_nameless(holder)?,
        }
        let subscribed = self.shared.topics.subscribe(topic, session, id.clone(), after, presence);
        if self.shared.bell.reasons() != reasons {
            // Between the question and here the answer may have become another.
            self.shared.bell.ring();
        }
        match subscribed {
            Ok(true) => self.catch_up(session, topic, id.as_ref()).await,
            Ok(false) => Ok(()),
            Err(error) => {
                match &id {
                    Some(id) => session.release_id(id),
                    None => session.release_nameless(&Holder::Topic(topic.into())),
                }
                Err(error)
            }
        }
    }

    /// Sends a listener the messages it has missed; the face calls it for topics that [`Session::written`] names.
    pub async fn catch_up(&self, session: &Session, topic: &str, id: Option<&RequestId>) -> Result<()> {
        while let Some(sent) = self.shared.topics.sent(topic, session.number, id) {
            let name = topic.to_owned();
            let kept = self
                .readers
                .elsewhere(move |sqlite| topics::read_after(&sqlite.own, &name, sent, MESSAGES_AT_ONCE))
                .await?;
            if self.shared.topics.caught_up(topic, session.number, id, &kept) {
                break;
            }
        }
        Ok(())
    }

    /// Listeners of all topics.
    pub fn topic_listeners(&self) -> usize {
        self.shared.topics.listener_count()
    }
}
