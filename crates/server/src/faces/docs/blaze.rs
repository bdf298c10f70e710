//! A document's own WebSocket, as Blaze's clients speak it: `GET /docs/{collection}/{id}` with an upgrade.
//!
//! `{"type":"GET"}` is answered with `{"type":"INIT","data":{…}}`; `{"type":"UPDATE","payload":{…}}` puts the payload in the document's
//! place, and every change, whoever makes it, is told to all as `{"type":"UPDATE","data":{…}}`. A document that is not there is `{}`. What
//! Blaze passes over in silence gets `{"type":"ERROR","error","code"}`.

use crate::answer::{Reply, told};
use crate::auth::Grant;
use crate::auth::allowance::Who;
use crate::faces::connection::{FAREWELL, Pulse, RESTARTING, SIGN_IN_AGAIN, SocketPlace, close_frame, tuned};
use crate::faces::{Shared, SocketAsker, stopped};
use axum::extract::FromRequestParts as _;
use axum::extract::ws::{Message, WebSocket, WebSocketUpgrade};
use axum::http::request::Parts;
use futures_util::SinkExt as _;
use serde::Deserialize;
use serde_json::{Map, Value as Json};
use std::sync::Arc;
use tidebase_engine::documents::{Batch, Change, DocumentPath, DocumentWrite, stored};
use tidebase_engine::live::frame::{Frame, Kind};
use tidebase_engine::{Error, Principal, RequestId, Result, Session, Wanted};

#[derive(Deserialize)]
#[serde(tag = "type")]
enum Said {
    #[serde(rename = "GET")]
    Get,
    #[serde(rename = "UPDATE")]
    Update { payload: Map<String, Json> },
}

/// Rows as the live face tells them: a key, then `id`, `data` and `revision`.
#[derive(Deserialize)]
struct Changed {
    #[serde(default)]
    queries: Vec<Delta>,
    #[serde(default)]
    rows: Vec<(Json, Json, Json, Json)>,
}

#[derive(Deserialize)]
struct Delta {
    #[serde(default)]
    insert: Vec<(Json, Json, Json, Json)>,
    #[serde(default)]
    update: Vec<(Json, Json, Json, Json)>,
}

pub async fn open(app: Shared, mut parts: Parts, path: DocumentPath) -> Reply {
    let SocketAsker(grant, who) = SocketAsker::from_request_parts(&mut parts, &app).await?;
    let upgrade = WebSocketUpgrade::from_request_parts(&mut parts, &app).await;
    let upgrade = upgrade.map_err(|error| Error::invalid(format!("That is no WebSocket: {}.", error.body_text())))?;
    let place = SocketPlace::take(&app, who.clone())?;
    if matches!(grant.principal, Principal::Admin) {
        // Whoever looks at a document that may come one day sees it come.
        app.engine.make_collection(&path.collection.table).await?;
    }
    let at = path.clone();
    app.engine.documents(&grant.principal, move |desk| desk.get(&at)).await?;
    let session = app.engine.open_session_for(grant.principal.clone());
    let (sql, params) = path.sql();
    app.engine.subscribe(&session, Some(RequestId::parse("1")?), Wanted::Query { sql, params, since: None })?;
    Ok(tuned(upgrade, &app).on_upgrade(move |socket| async move {
        let mut talk = Talk { app, grant: Arc::new(grant), who, path, session, socket, has_rows: false };
        talk.go_on().await;
        talk.session.close();
        drop(place);
    }))
}

struct Talk {
    app: Shared,
    grant: Arc<Grant>,
    who: Who,
    path: DocumentPath,
    session: Arc<Session>,
    socket: WebSocket,
    /// The first rows are the document as it is, which nobody has asked for yet. Nobody can before they have come: a write that they
    /// show already would be told to nobody.
    has_rows: bool,
}

impl Talk {
    async fn go_on(&mut self) {
        let grant = Arc::clone(&self.grant);
        let ended = grant.ended();
        tokio::pin!(ended);
        let (mut stopping, mut pulse) = (self.app.stopping.clone(), Pulse::new());
        let farewell = loop {
            tokio::select! {
                biased;
                () = &mut ended => break close_frame(SIGN_IN_AGAIN, "the token is good no more"),
                message = self.socket.recv(), if self.has_rows => {
                    pulse.heard();
                    let Some(Ok(message)) = message else { return };
                    let answer = match message {
                        Message::Text(text) => self.answer(&text).await,
                        Message::Binary(_) => Some(failure(&Error::invalid("Frames are text."))),
                        Message::Ping(_) | Message::Pong(_) => None,
                        Message::Close(_) => {
                            let _ = tokio::time::timeout(FAREWELL, self.socket.close()).await;
                            return;
                        }
                    };
                    if let Some(answer) = answer && !self.say(answer).await {
                        return;
                    }
                }
                batch = self.session.next_batch() => {
                    let Ok(batch) = batch else { return };
                    for frame in &batch.frames {
                        if !self.tell(frame).await {
                            return;
                        }
                    }
                    self.session.written(&batch);
                }
                () = pulse.beat() => {
                    if pulse.is_dead() || self.socket.send(Message::Ping(axum::body::Bytes::new())).await.is_err() {
                        return;
                    }
                }
                () = stopped(&mut stopping) => break close_frame(RESTARTING, "restarting; retry in 1 s"),
            }
        };
        let _ = tokio::time::timeout(FAREWELL, self.socket.send(farewell)).await;
    }

    /// False if the socket does not take it.
    async fn say(&mut self, text: String) -> bool {
        let sending = tokio::time::timeout(Pulse::STUCK_AFTER, self.socket.send(Message::Text(text.into())));
        matches!(sending.await, Ok(Ok(())))
    }

    /// Tells what a frame of the live query means. False if the socket is at its end.
    async fn tell(&mut self, frame: &Frame) -> bool {
        match frame.kind {
            Kind::Error => {
                let _ = self.say(String::from_utf8_lossy(&frame.text).replacen("\"error\"", "\"ERROR\"", 1)).await;
                false
            }
            Kind::Rows | Kind::Delta => {
                let is_first = frame.kind == Kind::Rows && !std::mem::replace(&mut self.has_rows, true);
                let Ok(changed) = serde_json::from_slice::<Changed>(&frame.text) else { return false };
                let mut rows = changed.rows;
                rows.extend(changed.queries.into_iter().flat_map(|query| query.insert.into_iter().chain(query.update)));
                let row = rows.pop();
                let data = row.as_ref().and_then(|(_, _, data, _)| data.as_str());
                // SQL may have written what is no document.
                let data = data.filter(|data| stored::is_object(data)).unwrap_or("{}");
                is_first || self.say(format!("{{\"type\":\"UPDATE\",\"data\":{data}}}")).await
            }
            _ => true,
        }
    }

    async fn answer(&mut self, text: &str) -> Option<String> {
        let done = match self.app.allowance.caller(&self.who) {
            Ok(()) => self.run(text).await,
            Err(error) => Err(error),
        };
        done.unwrap_or_else(|error| Some(failure(&told(error))))
    }

    /// What is written is told by the live query, to this socket as to all others.
    async fn run(&mut self, text: &str) -> Result<Option<String>> {
        let said = serde_json::from_str(text)
            .map_err(|_| Error::invalid("A frame is {\"type\":\"GET\"} or {\"type\":\"UPDATE\",\"payload\":{…}}."))?;
        let path = self.path.clone();
        match said {
            Said::Get => {
                let document = self.app.engine.documents(&self.grant.principal, move |desk| desk.get(&path)).await?;
                let data = document.map_or_else(|| "{}".to_owned(), |document| document.data);
                Ok(Some(format!("{{\"type\":\"INIT\",\"data\":{data}}}")))
            }
            Said::Update { payload } => {
                let write = DocumentWrite { path, change: Change::Set(payload), if_revision: None, exists: None };
                let batch = Batch { reads: Vec::new(), writes: vec![write], is_single: true };
                self.app.engine.write_documents(&self.grant.principal, batch, None)?.wait().await?;
                Ok(None)
            }
        }
    }
}

fn failure(error: &Error) -> String {
    serde_json::json!({ "type": "ERROR", "error": error.message, "code": error.code.name() }).to_string()
}
