//! The events of a world that are a client's own: it subscribes, goes away and comes back.

use super::client::{Client, Known, State, Subscription};
use super::evidence::unquoted;
use super::listener::Listener;
use super::run::{Failure, Run, broken};
use crate::traps::Trap;
use crate::world::Held;
use std::collections::BTreeMap;
use tidebase_engine::{Code, Params, RequestId, Since, Wanted};

impl Run<'_> {
    fn id_text(held: Held) -> String {
        let twin = if held.is_twin { 1000 } else { 0 };
        if held.session.is_multiple_of(2) {
            (held.query + twin).to_string()
        } else {
            format!("\"q{}\"", held.query + twin)
        }
    }

    pub(super) fn subscribe(&mut self, held: Held, known: Option<Known>) -> Result<(), Failure> {
        let id = Self::id_text(held);
        let query = &self.world.queries[held.query];
        let since = known.as_ref().map(|known| known.since.clone());
        let wanted = Wanted::Query { sql: query.sql(), params: query.params(), since };
        let client = &mut self.clients[held.session];
        let is_held = client.subscriptions.contains_key(&id);
        if is_held && (self.away[held.session] || !client.is_ready(&id)) {
            // It may have ended without this client knowing, and nobody asks for what they think they have.
            return Ok(());
        }
        let asked = self.engine.subscribe(&client.session, Some(request_id(&id)?), wanted);
        match asked {
            Ok(()) if is_held => Err(Failure::from("an id was given twice".to_owned())),
            Ok(()) => {
                client.watch(&id, held, known, self.doubts[held.query]);
                Ok(())
            }
            Err(error) if is_held && error.code == Code::Conflict => Ok(()),
            Err(error) => Err(Failure::from(format!("a subscription was refused: {error}"))),
        }
    }

    pub(super) fn unsubscribe(&mut self, held: Held) -> Result<(), Failure> {
        let id = Self::id_text(held);
        self.requests += 1;
        let reply = format!("\"r{}\"", self.requests);
        let client = &mut self.clients[held.session];
        if !client.subscriptions.contains_key(&id) {
            return Ok(());
        }
        let may_have_ended = self.away[held.session] || self.unnoticed.is_some() || !client.is_ready(&id);
        match self.engine.unsubscribe(&client.session, &request_id(&id)?, request_id(&reply)?) {
            Ok(()) => client.leave(&id, &reply),
            Err(error) if error.code == Code::NotFound && may_have_ended => {}
            Err(error) => return Err(Failure::from(format!("a subscription could not be ended: {error}"))),
        }
        Ok(())
    }

    pub(super) fn must_be_refused(&mut self, session: usize, sql: &str) -> Result<(), Failure> {
        self.requests += 1;
        let id = format!("\"n{}\"", self.requests);
        let wanted = Wanted::Query { sql: sql.into(), params: Params::None, since: None };
        let client = &mut self.clients[session];
        client.refusals.insert(id.clone(), None);
        self.stats.hits.note(Trap::Refused);
        self.engine.subscribe(&client.session, Some(request_id(&id)?), wanted).map_err(broken)
    }

    pub(super) fn record(&mut self, query: usize) {
        let ready = |client: &Client| {
            let live = client.lives().find(|live| live.held.query == query && live.state == State::Ready)?;
            let since = Since { history: client.history.clone(), revision: client.told, tag: Some(live.tag.clone()) };
            Some(Known { since, result: live.result.clone() })
        };
        if let Some(known) = self.clients.iter().find_map(ready) {
            self.records[query].push(known);
        }
    }

    pub(super) fn resume(&mut self, held: Held, record: usize, is_lie: bool) -> Result<(), Failure> {
        let records = &self.records[held.query];
        if records.is_empty() || self.clients[held.session].subscriptions.contains_key(&Self::id_text(held)) {
            return Ok(());
        }
        let mut known = records[record % records.len()].clone();
        if is_lie {
            match record % 4 {
                0 => known.since.history = "another".into(),
                1 => known.since.revision += 1_000_000,
                2 => known.since.tag = Some("0".repeat(32)),
                _ => known.since.tag = None,
            }
            // Then only rows are right: anything else would be applied to this.
            known.result = super::result::LiveResult::new(true);
        }
        self.subscribe(held, Some(known))
    }

    /// A new connection that goes on where the old one stood. What it had not read is lost.
    pub(super) fn reconnect(&mut self, session: usize) -> Result<(), Failure> {
        let fresh = Client::new(self.engine.open_session());
        let old = std::mem::replace(&mut self.clients[session], fresh);
        old.session.close();
        self.stats.hits.add(&old.hits);
        self.away[session] = false;
        self.come_back(session, old)
    }

    /// Every second time with all that stand at one place in one frame, as far as their tags say something.
    pub(super) fn come_back(&mut self, session: usize, mut old: Client) -> Result<(), Failure> {
        if old.told % 2 == 0 {
            self.resume_by_tags(session, &mut old)?;
        }
        for (id, subscription) in old.subscriptions {
            match subscription {
                Subscription::Live(live) => {
                    let since = Since { history: old.history.clone(), revision: old.told, tag: Some(live.tag) };
                    let known = match live.state {
                        State::Ready => Some(Known { since, result: live.result }),
                        _ => live.known,
                    };
                    self.subscribe(live.held, known)?;
                }
                Subscription::Changes(mut listener) => {
                    listener.settle();
                    let since = Since { history: listener.history.clone(), revision: listener.at, tag: None };
                    self.continue_stream(session, &id, listener, since)?;
                }
            }
        }
        Ok(())
    }

    /// What goes on so is taken out of the old connection.
    fn resume_by_tags(&mut self, session: usize, old: &mut Client) -> Result<(), Failure> {
        let place = Since { history: old.history.clone(), revision: old.told, tag: None };
        let is_told = |one: &Subscription| matches!(one, Subscription::Live(live) if live.state == State::Ready);
        let (told, others) = std::mem::take(&mut old.subscriptions).into_iter().partition(|(_, one)| is_told(one));
        old.subscriptions = others;
        let mut lives = BTreeMap::new();
        let mut tags = Vec::new();
        for (id, one) in told {
            if let Subscription::Live(live) = one {
                tags.push((request_id(&id)?, live.tag.clone()));
                lives.insert(id, live);
            }
        }
        let unknown = self.engine.resume(&self.clients[session].session, &place, tags).map_err(broken)?;
        for (id, live) in lives {
            let is_unknown = unknown.contains(&request_id(&id)?);
            let since = Since { tag: Some(live.tag.clone()), ..place.clone() };
            if is_unknown {
                old.subscriptions.insert(id, Subscription::Live(live));
            } else {
                let known = Some(Known { since, result: live.result });
                self.clients[session].watch(&id, live.held, known, self.doubts[live.held.query]);
                self.stats.hits.note(Trap::ResumedByTag);
            }
        }
        Ok(())
    }

    fn continue_stream(&mut self, session: usize, id: &str, from: Listener, since: Since) -> Result<(), Failure> {
        let must_read = from.must_read;
        let mut listener = Listener::new(from.table, from.image, &since, true);
        listener.must_read = must_read;
        let wanted = Wanted::Changes { table: listener.table.clone(), since: Some(since) };
        let client = &mut self.clients[session];
        if self.engine.subscribe(&client.session, Some(request_id(id)?), wanted).is_ok() {
            client.subscriptions.insert(id.into(), Subscription::Changes(listener));
            self.stats.hits.note(Trap::StreamResumed);
        }
        Ok(())
    }

    /// From an image of now, for which nobody may be writing unseen.
    pub(super) async fn listen(&mut self, session: usize, table: Option<usize>) -> Result<(), Failure> {
        self.judge().await?;
        let table = table.map(|table| unquoted(&self.world.schema.tables[table].name));
        let id = format!("\"s{}\"", table.as_deref().unwrap_or("*").replace('"', "'"));
        let since = Since { history: self.engine.history().to_string(), revision: self.engine.revision(), tag: None };
        self.oracle.begin().map_err(broken)?;
        let image = self.oracle.image(table.as_deref()).map_err(broken)?;
        self.oracle.end().map_err(broken)?;
        let client = &mut self.clients[session];
        let wanted = Wanted::Changes { table: table.clone(), since: None };
        if self.engine.subscribe(&client.session, Some(request_id(&id)?), wanted).is_ok() {
            client.subscriptions.insert(id, Subscription::Changes(Listener::new(table, image, &since, false)));
        }
        Ok(())
    }

    /// Only right after a judgement is an image known to be true at a revision.
    pub(super) fn record_stream(&mut self) {
        if self.unnoticed.is_some() {
            return;
        }
        for (client, away) in self.clients.iter_mut().zip(&self.away) {
            let (history, revision) = (client.history.clone(), client.told);
            if let (false, Some(listener)) =
                (*away, client.listeners().find(|listener| listener.has_begun && !listener.must_read))
            {
                self.stream_records.push((listener.clone(), Since { history, revision, tag: None }));
                return;
            }
        }
    }

    pub(super) fn listen_again(&mut self, session: usize, record: usize) -> Result<(), Failure> {
        if self.stream_records.is_empty() {
            return Ok(());
        }
        let (listener, since) = self.stream_records[record % self.stream_records.len()].clone();
        self.requests += 1;
        let id = format!("\"again{}\"", self.requests % 3);
        self.continue_stream(session, &id, listener, since)
    }
}

fn request_id(text: &str) -> Result<RequestId, Failure> {
    RequestId::parse(text).map_err(broken)
}
