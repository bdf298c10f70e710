//! Acts on one socket's requests in the order they came.
//!
//! Writes are queued with the writer at once, so that a client may send many without waiting; a read, and a
//! subscription, waits until the writes before it are answered. Most sockets only subscribe and never need the task.

use super::request::{Ask, Request, read};
use crate::answer::told;
use crate::auth::Grant;
use crate::auth::allowance::Who;
use crate::faces::Shared;
use axum::extract::ws::Utf8Bytes;
use futures_util::StreamExt as _;
use futures_util::stream::FuturesOrdered;
use std::collections::HashMap;
use std::pin::Pin;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use tidebase_engine::live::frame;
use tidebase_engine::{Error, RequestId, Result, Session, Since};
use tokio::sync::mpsc::{self, error::TrySendError};
use tokio::sync::{Notify, watch};
use tokio::task::JoinHandle;

/// Requests of one socket that may wait; past it the socket is not read until some are done.
const WAITING_MAX: usize = 256;

/// Tokens that are tried on one socket in vain.
const WRONG_TOKENS_MAX: usize = 10;

/// Whether a request has been cancelled, while it waits or while it runs.
#[derive(Debug, Default)]
struct Ticket {
    is_cancelled: AtomicBool,
    notify: Notify,
}

/// The requests under way that can be cancelled, by id.
type Running = Arc<Mutex<HashMap<RequestId, Arc<Ticket>>>>;

/// What the ids are held with of queries that wait to be resumed: each is given up on its own.
type Places = Vec<(RequestId, Arc<Ticket>)>;

struct Queued {
    request: Request,
    ticket: Arc<Ticket>,
    places: Places,
}

pub struct Worker {
    app: Shared,
    session: Arc<Session>,
    who: Who,
    /// Where a new token for the socket goes.
    renewals: Arc<watch::Sender<Grant>>,
    /// Which of the administrator's tokens, for the logs.
    admin_token: Option<Arc<str>>,
    running: Running,
    /// Requests handed to the task and not yet finished.
    waiting: Arc<AtomicUsize>,
    task: Option<(mpsc::Sender<Queued>, JoinHandle<()>)>,
    /// The request that found the queue full.
    held: Option<Queued>,
}

impl Drop for Worker {
    fn drop(&mut self) {
        // What was begun for a socket that is gone is given up, as the statement's cancellation sees.
        if let Some((_, task)) = &self.task {
            task.abort();
        }
    }
}

impl Worker {
    pub fn new(
        app: Shared,
        session: Arc<Session>,
        who: Who,
        admin_token: Option<Arc<str>>,
        renewals: watch::Sender<Grant>,
    ) -> Self {
        let renewals = Arc::new(renewals);
        Self {
            app,
            session,
            who,
            admin_token,
            renewals,
            running: Running::default(),
            waiting: Arc::default(),
            task: None,
            held: None,
        }
    }

    /// Acts on a frame, or hands it to the task if it must wait for something.
    pub fn act(&mut self, text: Utf8Bytes) {
        let mut request = match read(&text, &self.session.principal) {
            Ok(request) => request,
            Err((id, error)) => return self.session.push(frame::error(id.as_ref(), &error)),
        };
        if let Some(id) = &request.id
            && self.is_active(id)
        {
            return self.session.push(frame::error(Some(id), &in_use(id)));
        }
        // The socket will be closed; nothing more is done for it.
        if !self.renewals.borrow().is_good() {
            return;
        }
        if let Err(error) = self.may_ask(&request.ask) {
            return self.session.push(frame::error(request.id.as_ref(), &error));
        }
        if let Ask::Query(sql) = &mut request.ask {
            sql.who.clone_from(&self.admin_token);
        }
        if let Ask::Mutate(mutations) = &mut request.ask {
            mutations.who.clone_from(&self.admin_token);
        }
        let is_idle = self.waiting.load(Ordering::Acquire) == 0;
        match (&request.id, &request.ask) {
            (Some(id), Ask::Unsubscribe { sub }) => self.unsubscribe(id, sub),
            (Some(id), Ask::Ping) => self.session.push(frame::result(id, b"true", None)),
            (id, Ask::Subscribe(wanted)) if is_idle => {
                let done = self.app.engine.subscribe(&self.session, id.clone(), wanted.clone());
                report(&self.session, id.as_ref(), done);
            }
            (Some(id), Ask::Resume { place, queries }) if is_idle => {
                let done = resume(&self.app, &self.session, id, place, queries.clone());
                report(&self.session, Some(id), done);
            }
            _ => self.hand_over(request),
        }
    }

    /// Many queries in one frame are as many requests.
    fn may_ask(&self, ask: &Ask) -> Result<()> {
        self.app.allowance.caller(&self.who)?;
        let Ask::Resume { queries, .. } = ask else { return Ok(()) };
        if let Some((id, _)) = queries.iter().find(|(id, _)| self.is_active(id)) {
            return Err(in_use(id));
        }
        queries.iter().skip(1).try_for_each(|_| self.app.allowance.caller(&self.who))
    }

    fn is_active(&self, id: &RequestId) -> bool {
        self.session.holder(id).is_some()
            || self.running.lock().unwrap_or_else(PoisonError::into_inner).contains_key(id)
    }

    fn unsubscribe(&self, id: &RequestId, sub: &RequestId) {
        let cancelled = self.running.lock().unwrap_or_else(PoisonError::into_inner).remove(sub);
        if let Some(cancel) = cancelled {
            cancel.is_cancelled.store(true, Ordering::Release);
            cancel.notify.notify_one();
            self.session.push(frame::result(id, b"true", None));
        } else {
            report(&self.session, Some(id), self.app.engine.unsubscribe(&self.session, sub, id.clone()));
        }
    }

    fn hand_over(&mut self, request: Request) {
        let (sender, _) = self.task.get_or_insert_with(|| {
            let (sender, requests) = mpsc::channel(WAITING_MAX);
            let task = Task {
                app: Arc::clone(&self.app),
                session: Arc::clone(&self.session),
                renewals: Arc::clone(&self.renewals),
                wrong_tokens: AtomicUsize::new(0),
                running: Arc::clone(&self.running),
                waiting: Arc::clone(&self.waiting),
            };
            (sender, tokio::spawn(task.run(requests)))
        });
        let ticket = Arc::<Ticket>::default();
        let mut running = self.running.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(id) = &request.id {
            running.insert(id.clone(), Arc::clone(&ticket));
        }
        let places: Places = match &request.ask {
            Ask::Resume { queries, .. } => queries.iter().map(|(id, _)| (id.clone(), Arc::default())).collect(),
            _ => Vec::new(),
        };
        running.extend(places.iter().cloned());
        drop(running);
        self.waiting.fetch_add(1, Ordering::AcqRel);
        if let Err(TrySendError::Full(queued)) = sender.try_send(Queued { request, ticket, places }) {
            self.held = Some(queued);
        }
    }

    /// Has it more than it may hold? Then the socket is not read, which in the end stops its client.
    pub fn is_full(&self) -> bool {
        self.held.is_some()
    }

    /// Waits until it may hold more.
    pub async fn room(&mut self) {
        let Some((sender, _)) = &self.task else { return };
        let place = sender.reserve().await;
        if let (Some(held), Ok(place)) = (self.held.take(), place) {
            place.send(held);
        }
    }
}

/// Reads what a listener has missed, apart from the requests.
pub fn catch_up(app: &Shared, session: &Arc<Session>, topic: Box<str>, id: Option<RequestId>) {
    let (app, session) = (Arc::clone(app), Arc::clone(session));
    tokio::spawn(async move {
        if let Err(error) = app.engine.catch_up(&session, &topic, id.as_ref()).await {
            session.push(frame::error(id.as_ref(), &told(error)));
        }
    });
}

struct Task {
    app: Shared,
    session: Arc<Session>,
    renewals: Arc<watch::Sender<Grant>>,
    wrong_tokens: AtomicUsize,
    running: Running,
    waiting: Arc<AtomicUsize>,
}

type Answering = Pin<Box<dyn Future<Output = ()> + Send>>;

impl Task {
    async fn run(self, mut requests: mpsc::Receiver<Queued>) {
        let mut writes: FuturesOrdered<Answering> = FuturesOrdered::new();
        loop {
            let request = tokio::select! {
                Some(()) = writes.next(), if !writes.is_empty() => continue,
                request = requests.recv() => request,
            };
            let Some(Queued { request: Request { id, ask }, ticket, places }) = request else { return };
            if !self.renewals.borrow().is_good() {
                return;
            }
            if ticket.is_cancelled.load(Ordering::Acquire) {
                self.let_go(&places);
                self.waiting.fetch_sub(1, Ordering::AcqRel);
                continue;
            }
            if let Ask::Query(sql) = ask {
                let is_write = !tidebase_engine::reads(&sql);
                if is_write {
                    match (self.app.engine.write(sql), id) {
                        (Ok(pending), Some(id)) => writes.push_back(Box::pin(self.answer(id, ticket, pending.wait()))),
                        (Err(error), id) => self.finish(id.as_ref(), Err(error)),
                        (Ok(_), None) => self.finish(None, Ok(())),
                    }
                    continue;
                }
                while writes.next().await.is_some() {}
                if let Some(id) = id {
                    let app = Arc::clone(&self.app);
                    self.answer(id, ticket, async move { app.engine.query(sql).await }).await;
                }
                continue;
            }
            if let Ask::Mutate(mutations) = ask {
                if let Err(error) = mutations.check(&self.session.principal) {
                    self.finish(id.as_ref(), Err(error));
                    continue;
                }
                // One frame at a time, behind the writes before it and before those behind it.
                while writes.next().await.is_some() {}
                if let Some(id) = id {
                    let carried_out = mutations.carry_out(Arc::clone(&self.app), self.session.principal.clone());
                    self.answer(id, ticket, carried_out).await;
                }
                continue;
            }
            while writes.next().await.is_some() {}
            self.let_go(&places);
            if ticket.is_cancelled.load(Ordering::Acquire) {
                self.waiting.fetch_sub(1, Ordering::AcqRel);
                continue;
            }
            self.other(id, without(ask, &places)).await;
        }
    }

    /// Waits for an answer, unless it is cancelled first, and sends it.
    fn answer(
        &self,
        id: RequestId,
        ticket: Arc<Ticket>,
        work: impl Future<Output = Result<tidebase_engine::Answer>> + Send + 'static,
    ) -> impl Future<Output = ()> + Send + 'static {
        let (app, session) = (Arc::clone(&self.app), Arc::clone(&self.session));
        let (running, waiting) = (Arc::clone(&self.running), Arc::clone(&self.waiting));
        async move {
            let done = tokio::select! {
                done = work => Some(done),
                () = ticket.notify.notified() => None,
            };
            // Cancelled, the id may be another request's by now.
            if done.is_some() {
                running.lock().unwrap_or_else(PoisonError::into_inner).remove(&id);
            }
            waiting.fetch_sub(1, Ordering::AcqRel);
            match done {
                // Cancelled: the result of the cancelling was the last word.
                None => {}
                Some(Ok(answer)) => {
                    session.push(frame::result(&id, &answer.body, Some(answer.revision)));
                    app.engine.answered(&session, answer.revision);
                }
                Some(Err(error)) => session.push(frame::error(Some(&id), &told(error))),
            }
        }
    }

    /// The ids are the engine's from here on, or nobody's.
    fn let_go(&self, places: &Places) {
        let mut running = self.running.lock().unwrap_or_else(PoisonError::into_inner);
        for (id, place) in places {
            // Given up, the id may be another request's by now.
            if !place.is_cancelled.load(Ordering::Acquire) {
                running.remove(id);
            }
        }
    }

    async fn other(&self, id: Option<RequestId>, ask: Ask) {
        // Only requests that run SQL stay under their id until they are answered; a subscription takes the id itself.
        if let Some(id) = &id {
            self.running.lock().unwrap_or_else(PoisonError::into_inner).remove(id);
        }
        let engine = &self.app.engine;
        let done = match ask {
            Ask::Subscribe(wanted) => engine.subscribe(&self.session, id.clone(), wanted),
            Ask::Resume { place, queries } => match &id {
                Some(id) => resume(&self.app, &self.session, id, &place, queries),
                None => Ok(()),
            },
            Ask::Listen { topic, after, presence } => {
                engine.subscribe_topic(&self.session, id.clone(), &topic, after, presence).await
            }
            Ask::Publish { topic, data } => match engine.publish(&self.session.principal, &topic, &data, None).await {
                Ok(cursor) => {
                    if let Some(id) = &id {
                        self.session.push(frame::result(id, format!("{{\"cursor\":{cursor}}}").as_bytes(), None));
                    }
                    Ok(())
                }
                Err(error) => Err(error),
            },
            Ask::Renew { token } => self.renew(id.as_ref(), &token).await,
            Ask::Query(_) | Ask::Mutate(_) | Ask::Unsubscribe { .. } | Ask::Ping => Ok(()),
        };
        self.finish(id.as_ref(), done);
    }

    /// The socket goes on with another token of the same caller.
    async fn renew(&self, id: Option<&RequestId>, token: &str) -> Result<()> {
        if self.wrong_tokens.load(Ordering::Relaxed) >= WRONG_TOKENS_MAX {
            return Err(Error::too_many("Too many wrong tokens on this socket; open another."));
        }
        let grant = self.app.auth.grant(Some(token)).await;
        if !grant.as_ref().is_ok_and(|grant| grant.is_like(&self.session.principal)) {
            self.wrong_tokens.fetch_add(1, Ordering::Relaxed);
        }
        let grant = grant?;
        if !grant.is_like(&self.session.principal) {
            return Err(Error::conflict(
                "The token stands for somebody else, or more is said of them now: open a new socket with it.",
            ));
        }
        self.renewals.send_replace(grant);
        if let Some(id) = id {
            self.session.push(frame::result(id, b"true", None));
        }
        Ok(())
    }

    fn finish(&self, id: Option<&RequestId>, done: Result<()>) {
        if let Some(id) = id {
            self.running.lock().unwrap_or_else(PoisonError::into_inner).remove(id);
        }
        self.waiting.fetch_sub(1, Ordering::AcqRel);
        report(&self.session, id, done);
    }
}

/// Leaves out the queries that were given up while they waited.
fn without(mut ask: Ask, places: &Places) -> Ask {
    if let Ask::Resume { queries, .. } = &mut ask {
        let mut kept = places.iter().map(|(_, place)| !place.is_cancelled.load(Ordering::Acquire));
        queries.retain(|_| kept.next().unwrap_or(true));
    }
    ask
}

/// Under its own id comes the answer, so that no query can have that.
fn resume(
    app: &Shared,
    session: &Arc<Session>,
    id: &RequestId,
    place: &Since,
    queries: Vec<(RequestId, String)>,
) -> Result<()> {
    if queries.iter().any(|(query, _)| query == id) {
        return Err(Error::invalid("Each query has an id of its own."));
    }
    let unknown = app.engine.resume(session, place, queries)?;
    session.push(frame::resumed(id, &unknown));
    Ok(())
}

fn in_use(id: &RequestId) -> Error {
    Error::conflict(format!("The id {id} is in use on this socket."))
}

fn report(session: &Session, id: Option<&RequestId>, done: Result<()>) {
    if let Err(error) = done {
        session.push(frame::error(id, &told(error)));
    }
}
