//! `GET /live`: the live face as Server-Sent Events, so that `curl -N` shows a live query.
//!
//! One of `sql` (with `params`), `table`, `key` and `topic`. Each event is a frame of `/ws`; its `id` carries history,
//! revision and tag, and a client that sends it back as `Last-Event-ID` goes on from there.

use super::connection::SocketPlace;
use super::{Shared, SocketAsker, query_string, stopped};
use crate::answer::Failure;
use crate::auth::Grant;
use axum::body::{Body, Bytes};
use axum::extract::State;
use axum::http::{HeaderMap, HeaderValue, Uri, header};
use axum::response::Response;
use futures_util::stream;
use serde::Deserialize;
use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Duration;
use tidebase_engine::live::frame::{Frame, Kind};
use tidebase_engine::{Error, Params, RequestId, Result, Session, Since, Wanted};

/// A comment now and then shows that the stream lives.
const COMMENT_EVERY: Duration = Duration::from_secs(20);

enum What {
    Lane(Wanted),
    Topic { topic: String, after: Option<i64> },
}

pub async fn open(
    State(app): State<Shared>,
    SocketAsker(grant, who): SocketAsker,
    headers: HeaderMap,
    uri: Uri,
) -> Result<Response, Failure> {
    let last = match headers.get("last-event-id") {
        Some(last) => Some(last.to_str().map_err(|_| Error::invalid("Last-Event-ID is plain text."))?.to_owned()),
        None => None,
    };
    let what = wanted(uri.query(), last.as_deref())?;
    // A client that comes back brings the tag; it goes on being told.
    let tag = match &what {
        What::Lane(Wanted::Query { since: Some(since), .. }) => since.tag.clone().unwrap_or_default(),
        _ => String::new(),
    };
    let place = SocketPlace::take(&app, who)?;
    let session = app.engine.open_session_for(grant.principal.clone());
    let stream = Stream {
        history: app.engine.history().to_string(),
        app: Arc::clone(&app),
        session: Arc::clone(&session),
        tag,
        is_whole: !matches!(what, What::Lane(Wanted::Query { .. })),
        ready: VecDeque::new(),
        is_over: false,
        grant,
        _place: place,
    };
    let id = RequestId::parse("1")?;
    match what {
        What::Lane(wanted) => app.engine.subscribe(&session, Some(id), wanted)?,
        What::Topic { topic, after } => app.engine.subscribe_topic(&session, Some(id), &topic, after, None).await?,
    }
    let events = stream::unfold(stream, |mut stream| async move { Some((stream.next().await?, stream)) });
    let mut response = Response::new(Body::from_stream(events));
    let headers = response.headers_mut();
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("text/event-stream"));
    headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
    headers.insert("x-accel-buffering", HeaderValue::from_static("no"));
    Ok(response)
}

fn wanted(query: Option<&str>, last: Option<&str>) -> Result<What> {
    let (mut sql, mut params, mut table, mut key, mut topic) = (None, Params::None, None, None, None);
    for (name, value) in query_string::parse(query)? {
        match name.as_str() {
            "sql" => sql = Some(value),
            "params" => {
                params = serde_json::from_str(&value).map_err(|_| Error::invalid(super::requests::INVALID_PARAMS))?;
            }
            "table" => table = Some(value),
            "key" => key = Some(value),
            "topic" => topic = Some(value),
            "token" => {}
            _ => return Err(Error::invalid(format!("/live does not know the parameter {name:?}."))),
        }
    }
    let since = last.and_then(since);
    match (sql, table, key, topic) {
        (Some(sql), None, None, None) => Ok(What::Lane(Wanted::Query { sql, params, since })),
        (None, Some(table), None, None) => {
            Ok(What::Lane(Wanted::Changes { table: (table != "*").then_some(table), since }))
        }
        (None, None, Some(key), None) => Ok(What::Lane(Wanted::Key { key })),
        (None, None, None, Some(topic)) => Ok(What::Topic { topic, after: last.and_then(|last| last.parse().ok()) }),
        _ => Err(Error::invalid("/live needs exactly one of \"sql\", \"table\", \"key\" and \"topic\".")),
    }
}

/// `history/revision/tag`; anything else is no place to go on from.
fn since(last: &str) -> Option<Since> {
    let mut parts = last.splitn(3, '/');
    let history = parts.next()?.to_owned();
    let revision = parts.next()?.parse().ok()?;
    let tag = parts.next().filter(|tag| !tag.is_empty()).map(ToOwned::to_owned);
    Some(Since { history, revision, tag })
}

/// One client's events.
struct Stream {
    app: Shared,
    session: Arc<Session>,
    history: String,
    /// Of the query, learnt from its first rows.
    tag: String,
    /// Has the client all rows of the query? While some are due there is no place to go on from.
    is_whole: bool,
    ready: VecDeque<Bytes>,
    is_over: bool,
    grant: Grant,
    _place: SocketPlace,
}

impl Drop for Stream {
    fn drop(&mut self) {
        self.session.close();
    }
}

impl Stream {
    async fn next(&mut self) -> Option<Result<Bytes, std::convert::Infallible>> {
        let mut stopping = self.app.stopping.clone();
        loop {
            if let Some(event) = self.ready.pop_front() {
                return Some(Ok(event));
            }
            if self.is_over {
                return None;
            }
            let batch = tokio::select! {
                biased;
                () = self.grant.ended() => return None,
                batch = self.session.next_batch() => batch,
                () = tokio::time::sleep(COMMENT_EVERY) => return Some(Ok(Bytes::from_static(b": still here\n\n"))),
                () = stopped(&mut stopping) => return None,
            };
            let Ok(batch) = batch else { return None };
            let mut events = Vec::new();
            for frame in &batch.frames {
                self.write(frame, &mut events);
            }
            self.ready.push_back(Bytes::from(events));
            // Handing a piece to the connection is as near as we come to having written it: the next is asked for when
            // the connection can take it.
            for (topic, id) in self.session.written(&batch) {
                let _ = self.app.engine.catch_up(&self.session, &topic, id.as_ref()).await;
            }
        }
    }

    fn write(&mut self, frame: &Frame, out: &mut Vec<u8>) {
        out.extend_from_slice(format!("event: {}\n", frame.kind.name()).as_bytes());
        match frame.kind {
            Kind::Rows => {
                #[derive(Deserialize)]
                struct Head {
                    tag: String,
                    done: bool,
                }
                if let Ok(head) = serde_json::from_slice::<Head>(&frame.text) {
                    (self.tag, self.is_whole) = (head.tag, head.done);
                    if head.done {
                        self.write_id(frame, out);
                    }
                }
            }
            // A piece of a transaction is no place to go on from.
            Kind::Changes if !frame.text.ends_with(b"\"last\":true}") => {}
            Kind::Changes => self.write_id(frame, out),
            Kind::Delta | Kind::Unchanged => {
                self.is_whole = true;
                self.write_id(frame, out);
            }
            Kind::At if self.is_whole => self.write_id(frame, out),
            // Rows follow; of a change stream it is the client that reads again.
            Kind::Resync => self.is_whole &= self.tag.is_empty(),
            Kind::Message => {
                #[derive(Deserialize)]
                struct Head {
                    cursor: i64,
                }
                if let Ok(head) = serde_json::from_slice::<Head>(&frame.text) {
                    out.extend_from_slice(format!("id: {}\n", head.cursor).as_bytes());
                }
            }
            // The subscription has ended, and it was the only one.
            Kind::Error => self.is_over = true,
            _ => {}
        }
        // A value of a key may hold line breaks between its parts; in JSON they mean nothing.
        out.extend_from_slice(b"data: ");
        out.extend(frame.text.iter().map(|&byte| if matches!(byte, b'\n' | b'\r') { b' ' } else { byte }));
        out.extend_from_slice(b"\n\n");
    }

    fn write_id(&self, frame: &Frame, out: &mut Vec<u8>) {
        out.extend_from_slice(format!("id: {}/{}/{}\n", self.history, frame.revision, self.tag).as_bytes());
    }
}
