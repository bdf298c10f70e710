//! A client as the contract describes it: it believes nothing that it was not told, and forgives nothing.

use super::frames::{Frame, Part};
use super::listener::Listener;
use super::result::LiveResult;
use crate::traps::{Hits, Trap};
use crate::world::Held;
use std::collections::{BTreeMap, HashMap, VecDeque};
use std::sync::Arc;
use std::time::Duration;
use tidebase_engine::{Session, Since};

/// What a client can come back with.
#[derive(Clone, Debug)]
pub struct Known {
    pub since: Since,
    pub result: LiveResult,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum State {
    /// For first rows, or an answer to `since`.
    Waiting,
    /// Some chunks of its rows have come.
    Filling,
    Ready,
}

#[derive(Debug)]
pub struct Live {
    pub held: Held,
    pub state: State,
    pub result: LiveResult,
    pub columns: Vec<String>,
    pub tag: String,
    /// What it resumes from; gone once that is settled.
    pub known: Option<Known>,
    /// How often its query may have failed before; see [`super::run`].
    pub doubts: u64,
    rows_at: i64,
}

pub enum Subscription {
    Live(Live),
    Changes(Listener),
}

/// A subscription that the engine ended.
pub struct Ended {
    pub held: Held,
    pub doubts: u64,
    pub error: String,
}

pub struct Client {
    pub session: Arc<Session>,
    pub history: String,
    /// The `to`, `at` or `hello` revision last told.
    pub told: i64,
    /// By the id's JSON text.
    pub subscriptions: BTreeMap<String, Subscription>,
    /// Subscriptions to be ended, by the id of the request.
    leaving: HashMap<String, String>,
    pub ended: Vec<Ended>,
    /// Answers to requests that must be refused: id → error, once it came.
    pub refusals: HashMap<String, Option<String>>,
    pub hits: Hits,
    has_hello: bool,
    /// The last frames read, for whoever has to find out what went wrong.
    lately: VecDeque<String>,
}

/// Frames remembered.
const LATELY: usize = 8;

impl Client {
    pub fn new(session: Arc<Session>) -> Self {
        Self {
            session,
            history: String::new(),
            told: 0,
            subscriptions: BTreeMap::new(),
            leaving: HashMap::new(),
            ended: Vec::new(),
            refusals: HashMap::new(),
            hits: Hits::default(),
            has_hello: false,
            lately: VecDeque::new(),
        }
    }

    pub fn lives(&self) -> impl Iterator<Item = &Live> {
        self.subscriptions.values().filter_map(|subscription| match subscription {
            Subscription::Live(live) => Some(live),
            Subscription::Changes(_) => None,
        })
    }

    pub fn listeners(&mut self) -> impl Iterator<Item = &mut Listener> {
        self.subscriptions.values_mut().filter_map(|subscription| match subscription {
            Subscription::Live(_) => None,
            Subscription::Changes(listener) => Some(listener),
        })
    }

    pub fn watch(&mut self, id: &str, held: Held, known: Option<Known>, doubts: u64) {
        let live = Live {
            held,
            state: State::Waiting,
            result: LiveResult::default(),
            columns: vec![],
            tag: String::new(),
            known,
            doubts,
            rows_at: 0,
        };
        self.subscriptions.insert(id.into(), Subscription::Live(live));
    }

    /// Has it a result, and is nobody about to end it?
    pub fn is_ready(&self, id: &str) -> bool {
        let is_ready = |one: &Subscription| matches!(one, Subscription::Live(live) if live.state == State::Ready);
        self.subscriptions.get(id).is_some_and(is_ready) && !self.leaving.values().any(|leaving| leaving == id)
    }

    /// The result of `reply` will be the last frame of `id`.
    pub fn leave(&mut self, id: &str, reply: &str) {
        self.leaving.insert(reply.into(), id.into());
    }

    /// Has everything that was asked for been answered, and is everything at this revision?
    pub fn is_settled(&self, revision: i64) -> bool {
        let has_live = !self.subscriptions.is_empty();
        (self.told >= revision || !has_live)
            && self.has_hello
            && self.leaving.is_empty()
            && self.refusals.values().all(Option::is_some)
            && self.lives().all(|live| live.state == State::Ready)
    }

    /// Reads frames until `is_done`.
    ///
    /// # Errors
    /// What broke the contract.
    pub async fn read_until(&mut self, time: Duration, is_done: impl Fn(&mut Self) -> bool) -> Result<(), String> {
        // For all of them together: a session that has nothing to tell still says where it stands now and then.
        let deadline = tokio::time::Instant::now() + time;
        while !is_done(self) {
            match tokio::time::timeout_at(deadline, self.session.next_batch()).await {
                Err(_) => {
                    let frames: Vec<&str> = self.lately.iter().map(String::as_str).collect();
                    let told = self.told;
                    return Err(format!(
                        "what was to come did not come in {time:?}; told {told}, the last frames:\n{}",
                        frames.join("\n")
                    ));
                }
                Ok(Err(ended)) => return Err(format!("the session was ended: {ended:?}")),
                Ok(Ok(batch)) => {
                    for frame in &batch.frames {
                        let text = std::str::from_utf8(&frame.text).map_err(|_| "a frame is not UTF-8".to_owned())?;
                        if self.lately.len() == LATELY {
                            self.lately.pop_front();
                        }
                        self.lately.push_back(text.to_owned());
                        self.read(text).map_err(|error| {
                            let frames: Vec<&str> = self.lately.iter().map(String::as_str).collect();
                            format!("{error}\nin the last of these frames:\n{}", frames.join("\n"))
                        })?;
                    }
                    self.session.written(&batch);
                }
            }
        }
        Ok(())
    }

    fn read(&mut self, text: &str) -> Result<(), String> {
        let frame: Frame<'_> = serde_json::from_str(text).map_err(|error| error.to_string())?;
        match &*frame.kind {
            "hello" if !self.has_hello => {
                self.has_hello = true;
                self.told = frame.revision.ok_or("hello without a revision")?;
                self.history = frame.history.ok_or("hello without a history")?.into_owned();
                Ok(())
            }
            _ if !self.has_hello => Err("the first frame is no hello".into()),
            "delta" => self.delta(&frame),
            "at" => {
                let revision = frame.revision.ok_or("at without a revision")?;
                if revision < self.told {
                    return Err(format!("at {revision} after {}", self.told));
                }
                self.told = revision;
                Ok(())
            }
            "unchanged" if frame.id.is_none() && !frame.ids.is_empty() => {
                frame.ids.iter().try_for_each(|id| self.about("unchanged", id.get(), &frame))
            }
            kind => {
                let id = frame.id.ok_or("a frame without an id")?.get().to_owned();
                self.about(kind, &id, &frame)
            }
        }
    }

    fn about(&mut self, kind: &str, id: &str, frame: &Frame<'_>) -> Result<(), String> {
        if kind == "result" {
            let gone = self.leaving.remove(id).ok_or("a result that nobody asked for")?;
            self.subscriptions.remove(&gone);
            return Ok(());
        }
        if let (Some(refusal), "error") = (self.refusals.get_mut(id), kind) {
            *refusal = Some(frame.error.as_deref().unwrap_or_default().to_owned());
            return Ok(());
        }
        let told = self.told;
        match (kind, self.subscriptions.get_mut(id).ok_or("a frame for an id that nobody holds")?) {
            ("rows", Subscription::Live(live)) => live.rows(frame, told, &mut self.hits),
            ("unchanged", Subscription::Live(live)) => {
                let known = live.known.take().ok_or("unchanged, but nothing was known")?;
                if live.state != State::Waiting || frame.revision != Some(told) {
                    return Err(format!("unchanged at a wrong moment (told {told})"));
                }
                self.hits.note(Trap::ResumedUnchanged);
                live.resumed(known);
                Ok(())
            }
            ("resync", Subscription::Live(live)) => {
                self.hits.note(Trap::Resynced);
                (live.state, live.known) = (State::Waiting, None);
                Ok(())
            }
            ("resync", Subscription::Changes(listener)) => {
                self.hits.note(Trap::StreamResynced);
                listener.resync(&self.history);
                Ok(())
            }
            ("changes", Subscription::Changes(listener)) => listener.told(frame),
            ("error", Subscription::Live(live)) => {
                let error = frame.error.as_deref().unwrap_or_default().to_owned();
                self.ended.push(Ended { held: live.held, doubts: live.doubts, error });
                self.subscriptions.remove(id);
                // Its end may have crossed a request to end it: then that has no result any more.
                // The result of leaving it is still to come, and is about nothing.
                self.leaving.values_mut().filter(|leaving| *leaving == id).for_each(String::clear);
                Ok(())
            }
            _ => Err("a frame of a kind that does not belong here".into()),
        }
    }

    fn delta(&mut self, frame: &Frame<'_>) -> Result<(), String> {
        let (Some(from), Some(to)) = (frame.from, frame.to) else { return Err("a delta without from and to".into()) };
        let resumes = frame.queries.iter().any(|part| part.since.is_some());
        if from != self.told {
            return Err(format!("a gap: a delta from {from}, but told {}", self.told));
        }
        if to < from || to == from && !resumes || frame.queries.is_empty() {
            return Err("a delta that goes nowhere".into());
        }
        for (index, part) in frame.queries.iter().enumerate() {
            if frame.queries[..index].iter().any(|other| other.id.get() == part.id.get()) {
                return Err("a query comes twice in one delta".into());
            }
            let Some(Subscription::Live(live)) = self.subscriptions.get_mut(part.id.get()) else {
                return Err(format!("a delta for {}, which nobody holds", part.id));
            };
            live.delta(part, &mut self.hits).map_err(|error| format!("{} (id {})", error, part.id))?;
        }
        self.told = to;
        Ok(())
    }
}

impl Live {
    fn resumed(&mut self, known: Known) {
        self.tag = known.since.tag.unwrap_or_default();
        (self.result, self.state) = (known.result, State::Ready);
    }

    fn rows(&mut self, frame: &Frame<'_>, told: i64, hits: &mut Hits) -> Result<(), String> {
        let (Some(revision), Some(tag), Some(columns), Some(is_ordered), Some(is_done)) =
            (frame.revision, &frame.tag, &frame.columns, frame.ordered, frame.done)
        else {
            return Err("rows lack something".into());
        };
        match self.state {
            State::Ready => return Err("rows that nobody waits for".into()),
            State::Waiting if revision != told => return Err(format!("rows at {revision} while told {told}")),
            State::Waiting => {
                if self.known.take().is_some() {
                    hits.note(Trap::ResumedRows);
                }
                (self.result, self.rows_at) = (LiveResult::new(is_ordered), revision);
                (self.columns, self.tag) = (columns.clone(), tag.to_string());
            }
            State::Filling => {
                let is_same = *columns == self.columns && *tag == self.tag && is_ordered == self.result.is_ordered;
                if !is_same || revision != self.rows_at {
                    return Err("a chunk of rows that does not belong to the one before".into());
                }
            }
        }
        self.state = if is_done { State::Ready } else { State::Filling };
        self.result.append(&frame.rows)
    }

    fn delta(&mut self, part: &Part<'_>, hits: &mut Hits) -> Result<(), String> {
        if let Some(since) = part.since {
            let known = self.known.take().ok_or("a delta since, but nothing was known")?;
            if self.state != State::Waiting || known.since.revision != since {
                return Err("a delta since another revision than asked for".into());
            }
            hits.note(Trap::ResumedDelta);
            self.resumed(known);
        } else if self.state != State::Ready {
            return Err("a delta for rows that have not come".into());
        }
        self.result.apply(part)
    }
}
