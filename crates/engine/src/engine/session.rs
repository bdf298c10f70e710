//! Sessions, and what is kept true for them.

use super::Engine;
use crate::access::Principal;
use crate::changes::change::Revision;
use crate::error::{Error, Result};
use crate::keys;
use crate::live::frame;
use crate::live::inbox::{Command, Since, Wanted};
use crate::live::report::LaneReport;
use crate::live::session::{Holder, RequestId, Session};
use crate::live::tags::Tag;
use crate::value::Params;
use std::collections::HashSet;
use std::sync::Arc;
use tokio::sync::oneshot;

/// What no policy can open: a change is told whole, old row and new, to whoever hears of it.
const CHANGES_ARE_CLOSED: &str =
    "Change streams are the administrator's alone. A live query (\"sql\") tells what is open to you.";

impl Engine {
    /// What each lane tells of itself. One that is busy is waited for, up to `live_slow_time_max`.
    ///
    /// # Errors
    /// `unavailable` if a lane does not answer.
    pub async fn live_report(&self) -> Result<Vec<LaneReport>> {
        let mut reports = Vec::new();
        for lane in self.shared.lanes() {
            let (reply, report) = oneshot::channel();
            lane.push(Command::Report(reply));
            let time = self.shared.limits.live_slow_time_max;
            match tokio::time::timeout(time, report).await {
                Ok(Ok(report)) => reports.push(report),
                _ => return Err(Error::unavailable("A lane of live queries is busy. Try again later.")),
            }
        }
        Ok(reports)
    }

    /// A new client of the administrator's.
    pub fn open_session(&self) -> Arc<Session> {
        self.open_session_for(Principal::Admin)
    }

    /// A new client. Its first frame is `hello`.
    pub fn open_session_for(&self, principal: Principal) -> Arc<Session> {
        let session = Session::new(&self.shared, principal);
        session.push(frame::hello(&self.history(), session.hello()));
        session
    }

    /// Asks that something be kept true for the session; rows, deltas and errors come as frames.
    ///
    /// # Errors
    /// `conflict` for an id in use, `too_many` past the limit. Mistakes in the SQL come as an error frame.
    pub fn subscribe(&self, session: &Arc<Session>, id: Option<RequestId>, wanted: Wanted) -> Result<()> {
        if matches!(wanted, Wanted::Changes { .. }) && session.principal.caller().is_some() {
            return Err(Error::forbidden(CHANGES_ARE_CLOSED));
        }
        match &wanted {
            Wanted::Key { key } => keys::check_name(key, &self.shared.limits)?,
            Wanted::Query { sql, .. } => self.shared.statements.check(&session.principal, sql)?,
            Wanted::Changes { .. } => {}
        }
        match (&id, &wanted) {
            (Some(id), _) => session.take_id(id, Holder::Lane)?,
            (None, Wanted::Key { .. }) => session.take_nameless(Holder::Lane)?,
            (None, _) => return Err(Error::invalid("This subscription needs an \"id\".")),
        }
        session.command(Command::Subscribe { session: Arc::clone(session), id, wanted });
        Ok(())
    }

    /// Goes on with live queries that all stood at one place, by the tags they were told with: each as if it were subscribed to
    /// by its SQL, but that one frame says of which nothing has changed. Gives those whose tags say nothing here, or no more;
    /// they are not begun.
    ///
    /// # Errors
    /// `invalid` for an id that stands twice, `conflict` for one in use, `too_many` past the limit. Then none is begun.
    pub fn resume(
        &self,
        session: &Arc<Session>,
        place: &Since,
        queries: Vec<(RequestId, String)>,
    ) -> Result<Vec<RequestId>> {
        let mut names = HashSet::new();
        if !queries.iter().all(|(id, _)| names.insert(id)) {
            return Err(Error::invalid("Each query has an id of its own."));
        }
        let recalled: Vec<_> = queries.iter().map(|(_, tag)| self.recall(session, place, tag)).collect();
        let known = queries.iter().zip(&recalled).filter(|(_, recalled)| recalled.is_some());
        session.take_ids(&names, known.map(|((id, _), _)| id))?;
        let (mut known, mut unknown) = (Vec::new(), Vec::new());
        for ((id, _), recalled) in queries.into_iter().zip(recalled) {
            match recalled {
                Some(wanted) => known.push((id, wanted)),
                None => unknown.push(id),
            }
        }
        if !known.is_empty() {
            session.command(Command::Resume { session: Arc::clone(session), queries: known });
        }
        Ok(unknown)
    }

    /// What a tag stands for to whoever this session speaks for. What they may ask only as they wrote it, they ask so again.
    fn recall(&self, session: &Session, place: &Since, tag: &str) -> Option<Wanted> {
        let (sql, params) = self.shared.tags.recall(&session.principal, Tag::parse(tag)?)?;
        let since = Some(Since { tag: Some(tag.to_owned()), ..place.clone() });
        let is_allowed = self.shared.statements.allows(&session.principal, &sql);
        is_allowed.then(|| Wanted::Query { sql: sql.to_string(), params: Params::clone(&params), since })
    }

    /// Ends a subscription; the result frame for `reply` is its last.
    ///
    /// # Errors
    /// `not_found` if there is none with this id.
    pub fn unsubscribe(&self, session: &Arc<Session>, id: &RequestId, reply: RequestId) -> Result<()> {
        match session.holder(id) {
            None => Err(Error::not_found(format!("There is no subscription with the id {id} on this socket."))),
            Some(Holder::Topic(topic)) => {
                self.shared.topics.unsubscribe(&topic, session.number, Some(id));
                session.release_id(id);
                session.push(frame::result(&reply, b"true", None));
                Ok(())
            }
            Some(Holder::Lane) => {
                session.command(Command::Unsubscribe { session: Arc::clone(session), id: id.clone(), reply });
                Ok(())
            }
        }
    }

    /// The session was answered at this revision: its live queries must be told that they have reached it.
    pub fn answered(&self, session: &Arc<Session>, revision: Revision) {
        if session.has_subscriptions() {
            session.command(Command::Answered { session: Arc::clone(session), revision });
        }
    }
}
