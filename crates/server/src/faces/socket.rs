//! `GET /socket`: SQL over a WebSocket, StarbaseDB's way. A request without `id` is answered with a bare array of rows.
//!
//! Requests are answered one after another. A mistake gets an error frame and never closes the socket.

use super::connection::{FAREWELL, Pulse, RESTARTING, SIGN_IN_AGAIN, SocketPlace, close_frame, tuned};
use super::requests::SqlBody;
use super::{Shared, SocketAsker, stopped};
use crate::answer::{self, told};
use crate::auth::Grant;
use crate::auth::allowance::Who;
use axum::extract::State;
use axum::extract::ws::rejection::WebSocketUpgradeRejection;
use axum::extract::ws::{Message, Utf8Bytes, WebSocket, WebSocketUpgrade};
use axum::response::Response;
use futures_util::SinkExt as _;
use serde::Deserialize;
use serde_json::value::RawValue;
use tidebase_engine::{Error, Format, RequestId, Result};

#[derive(Deserialize)]
struct Request<'a> {
    #[serde(borrow, default)]
    id: Option<&'a RawValue>,
    #[serde(borrow, default)]
    action: Option<std::borrow::Cow<'a, str>>,
    #[serde(borrow, default)]
    sql: Option<&'a RawValue>,
    #[serde(borrow, default)]
    params: Option<&'a RawValue>,
    #[serde(borrow, default)]
    transaction: Option<&'a RawValue>,
}

pub async fn open(
    State(app): State<Shared>,
    SocketAsker(grant, who): SocketAsker,
    upgrade: Result<WebSocketUpgrade, WebSocketUpgradeRejection>,
) -> Result<Response, crate::answer::Failure> {
    let upgrade = upgrade.map_err(|_| Error::invalid("This path is a WebSocket; the request asks for no upgrade."))?;
    let place = SocketPlace::take(&app, who.clone())?;
    Ok(tuned(upgrade, &app).on_upgrade(move |socket| async move {
        serve(&app, &grant, &who, socket).await;
        drop(place);
    }))
}

async fn serve(app: &Shared, grant: &Grant, who: &Who, mut socket: WebSocket) {
    let ended = grant.ended();
    tokio::pin!(ended);
    let mut stopping = app.stopping.clone();
    let mut pulse = Pulse::new();
    loop {
        let message = tokio::select! {
            biased;
            () = &mut ended => return sign_in_again(&mut socket).await,
            message = socket.recv() => {
                pulse.heard();
                message
            }
            () = pulse.beat() => {
                if pulse.is_dead() || socket.send(Message::Ping(axum::body::Bytes::new())).await.is_err() {
                    return;
                }
                continue;
            }
            () = stopped(&mut stopping) => {
                let _ = socket.send(close_frame(RESTARTING, "restarting; retry in 1 s")).await;
                return;
            }
        };
        let answer = match message {
            Some(Ok(Message::Text(text))) => {
                let replied = async {
                    match app.allowance.caller(who) {
                        Ok(()) => reply(app, grant, &text).await,
                        Err(error) => failure(None, &error),
                    }
                };
                tokio::select! {
                    biased;
                    () = &mut ended => return sign_in_again(&mut socket).await,
                    answer = replied => answer,
                }
            }
            Some(Ok(Message::Binary(_))) => failure(None, &Error::invalid("Frames are text.")),
            Some(Ok(Message::Ping(_) | Message::Pong(_))) => continue,
            Some(Ok(Message::Close(_))) => {
                // The answer to it is queued by the library; a flush sends it.
                let _ = tokio::time::timeout(FAREWELL, socket.close()).await;
                return;
            }
            Some(Err(_)) | None => return,
        };
        let sending = tokio::time::timeout(Pulse::STUCK_AFTER, socket.send(Message::Text(answer)));
        let sent = tokio::select! {
            biased;
            () = &mut ended => return sign_in_again(&mut socket).await,
            sent = sending => sent,
        };
        if !matches!(sent, Ok(Ok(()))) {
            return;
        }
    }
}

async fn sign_in_again(socket: &mut WebSocket) {
    let farewell = socket.send(close_frame(SIGN_IN_AGAIN, "the token is good no more"));
    let _ = tokio::time::timeout(FAREWELL, farewell).await;
}

async fn reply(app: &Shared, grant: &Grant, text: &str) -> Utf8Bytes {
    let request: Request<'_> = match serde_json::from_str(text) {
        Ok(request) => request,
        Err(error) => {
            return failure(None, &Error::invalid(format!("The frame is not the JSON that is expected: {error}.")));
        }
    };
    let id = match request.id.map(|id| RequestId::parse(id.get())).transpose() {
        Ok(id) => id,
        Err(error) => return failure(None, &error),
    };
    match run(app, grant, request).await {
        Ok(rows) => match id {
            None => rows.into(),
            Some(id) => format!("{{\"id\":{id},\"result\":{rows}}}").into(),
        },
        Err(error) => failure(id.as_ref(), &told(error)),
    }
}

async fn run(app: &Shared, grant: &Grant, request: Request<'_>) -> Result<String> {
    let Request { sql, params, transaction, .. } = request;
    let body = match request.action.as_deref() {
        Some("query") => SqlBody { sql, params, transaction: None },
        Some("transaction") => SqlBody { sql, params, transaction },
        Some(other) => {
            return Err(Error::invalid(format!(
                "/socket knows the actions \"query\" and \"transaction\", not {other:?}."
            )));
        }
        None => return Err(Error::invalid("The frame needs an \"action\": \"query\" or \"transaction\".")),
    };
    let mut request = body.into_request(Format::Objects, &grant.principal)?;
    request.who = grant.admin_token();
    let answer = app.engine.query(request).await?;
    String::from_utf8(answer.body.into()).map_err(|_| Error::internal("an answer is not UTF-8"))
}

fn failure(id: Option<&RequestId>, error: &Error) -> Utf8Bytes {
    let frame = answer::body(error);
    match id {
        None => frame.into(),
        Some(id) => format!("{{\"id\":{id},{}", &frame[1..]).into(),
    }
}
