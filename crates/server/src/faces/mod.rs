//! Everything the server answers.
//!
//! | path | face |
//! |---|---|
//! | `POST /query`, `POST /query/raw` | [`sql`]: SQL over HTTP |
//! | `GET /socket` | [`socket`]: SQL over a WebSocket, StarbaseDB's way |
//! | `GET /ws` | [`ws`]: everything live, one WebSocket |
//! | `GET /live` | [`sse`]: one live query, change stream, key or topic as Server-Sent Events |
//! | `/data`, `/data/{key}` | [`data`]: keys |
//! | `/docs/{path}`, `/docs:batch`, `/docs:commit`, `/collections`, `/collections/{name}` | [`docs`]: documents |
//! | `/topics/{topic}` | [`topics`]: publish, and what a topic keeps |
//! | `/rest/{table}`, `/rest/{table}/{id}` | [`rest`]: tables as resources |
//! | `/openapi.json`, `/types.ts` | [`openapi`]: all of this, and the tables, described for programs |
//! | `POST /auth/ticket` | [`tickets`] |
//! | `/auth/tokens`, `/auth/tokens/{id}` | [`tokens`]: tokens with a name |
//! | `/auth/signup`, `/auth/login`, `/auth/anonymous`, `/auth/refresh`, `/auth/logout`, `/auth/me`, … | [`people`]: who signs in |
//! | `/.well-known/jwks.json` | [`people`]: the keys that tokens are signed with |
//! | `/auth/users`, `/auth/users/{id}`, `/auth/keys` | [`users`]: users and keys, for the administrator |
//! | `/statements`, `/statements/{id}`, `/statements/rejected` | [`statements`]: what clients may run, where they may run nothing else |
//! | `/policies`, `/policies/{name}`, `/policies/explain` | [`policies`]: what is open to whom |
//! | `/schemas`, `/schemas/{table}/{column}` | [`schemas`]: what documents of a column must be like |
//! | `/export/dump`, `/export/{form}/{table}`, `/export/db` | [`export`]: data on its way out |
//! | `POST /export/dump`, `/export/dump/status/{key}`, `/export/dump/download/{file}`, `/export/dump/{key}`, `/export/dump/secret` | [`dumps`]: dumps in the background |
//! | `/import/dump`, `/import/{form}/{table}` | [`import`]: data on its way in |
//! | `/migrations` | [`migrations`]: what brings the schema from one version to the next |
//! | `/backups`, `/restore` | [`backups`]: how backups fare, and going back |
//! | `/health`, `/ready`, `/metrics`, `/status/database`, `/status/live` | [`status`] |
//! | `/` | [`page`]: the built-in page, or the folder of `--public` |
//!
//! A face parses, names the principal, calls one engine verb and writes the answer. None imports another.

mod backups;
mod body;
mod connection;
mod data;
mod docs;
mod dumps;
mod export;
mod import;
mod migrations;
mod openapi;
mod page;
mod people;
mod policies;
mod query_string;
mod requests;
mod rest;
mod schemas;
mod socket;
mod sql;
mod sse;
mod statements;
mod status;
mod tickets;
mod tokens;
mod topics;
mod users;
mod ws;

pub use ws::Outgoing;

use crate::answer::{Failure, MIN_REVISION};
use crate::auth::allowance::{self, Allowance, Who};
use crate::auth::people::Place;
use crate::auth::{Auth, Grant};
use crate::config::ServerLimits;
use axum::Router;
use axum::extract::{DefaultBodyLimit, FromRequestParts};
use axum::http::request::Parts;
use axum::http::{HeaderMap, header};
use axum::response::{IntoResponse, Response};
use axum::routing::{any, get, post};
use std::net::{IpAddr, Ipv4Addr};
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::AtomicUsize;
use std::time::{Duration, Instant};
use tidebase_engine::{Code, Engine, Error, Principal, Result};
use tokio::sync::watch;

/// The address a request comes from.
#[derive(Clone, Copy, Debug)]
pub struct Peer(pub IpAddr);

impl FromRequestParts<Shared> for Peer {
    type Rejection = std::convert::Infallible;

    async fn from_request_parts(parts: &mut Parts, _: &Shared) -> Result<Self, Self::Rejection> {
        Ok(Self(peer(parts)))
    }
}

/// Runs to its end even if the caller hangs up meanwhile: what is written must also be in force.
async fn to_the_end<T: Send + 'static>(work: impl Future<Output = Result<T>> + Send + 'static) -> Result<T> {
    tokio::spawn(work).await.map_err(|error| Error::internal("a change panicked").caused_by(error))?
}

/// What the faces share.
pub struct App {
    pub engine: Arc<Engine>,
    pub auth: Auth,
    pub allowance: Allowance,
    pub limits: ServerLimits,
    pub started: Instant,
    pub sockets: AtomicUsize,
    pub dumps: Arc<crate::dumps::Dumps>,
    /// Where backups are carried, if they are.
    pub mirror: Option<Arc<crate::backup::mirror::Mirror>>,
    /// What a proxy says of how it was called is believed.
    pub is_behind_proxy: bool,
    /// One for each export that may run.
    pub exports: Arc<tokio::sync::Semaphore>,
    /// Where sockets are served: a thousand frames to send must not stand in front of the next request.
    pub delivery: crate::delivery::Desk,
    /// Becomes true when the server stops: sockets are closed then.
    pub stopping: watch::Receiver<bool>,
}

pub type Shared = Arc<App>;

/// Waits until the server stops.
pub async fn stopped(stopping: &mut watch::Receiver<bool>) {
    let _ = stopping.wait_for(|stopping| *stopping).await;
}

/// How long a read waits for the revision it asked for.
const MIN_REVISION_WAIT: Duration = Duration::from_secs(5);

pub fn router(app: Shared, public: Option<PathBuf>) -> Router {
    let compressed = Router::new()
        .route("/query", post(sql::query))
        .route("/query/raw", post(sql::query_raw))
        .route("/openapi.json", get(openapi::read))
        .route("/types.ts", get(openapi::types))
        .route("/rest", any(rest::nameless))
        .route("/rest/", any(rest::nameless))
        .route(
            "/rest/{*path}",
            get(rest::read).post(rest::write).patch(rest::write).put(rest::write).delete(rest::write),
        )
        .layer(tower_http::compression::CompressionLayer::new());
    // Their bodies go to a file, and have a bound of their own.
    let imports = Router::new()
        .route("/import/dump", post(import::dump))
        .route("/import/{form}/{table}", post(import::rows))
        .layer(DefaultBodyLimit::disable());
    let body_limit = DefaultBodyLimit::max(app.limits.body_bytes_max);
    let router = compressed
        .route("/socket", get(socket::open))
        .route("/ws", get(ws::open))
        .route("/live", get(sse::open))
        .route("/data", get(data::list))
        .route("/data/{*key}", get(data::read).post(data::write).put(data::write).delete(data::remove))
        .route("/collections", get(docs::collections))
        .route("/collections/{*name}", post(docs::collection).put(docs::collection))
        .route("/docs:batch", post(docs::batch))
        .route("/docs:commit", post(docs::commit))
        .route(
            "/docs/{*path}",
            get(docs::read).post(docs::write).put(docs::write).patch(docs::write).delete(docs::write),
        )
        .route("/topics/{*topic}", post(topics::publish).put(topics::keep))
        .route("/auth/ticket", post(tickets::issue))
        .route("/auth/tokens", get(tokens::list).post(tokens::make))
        .route("/auth/tokens/{id}", axum::routing::delete(tokens::revoke))
        .route("/auth/signup", post(people::sign_up))
        .route("/auth/login", post(people::sign_in))
        .route("/auth/anonymous", post(people::come_in))
        .route("/auth/upgrade", post(people::name))
        .route("/auth/refresh", post(people::refresh))
        .route("/auth/logout", post(people::sign_out))
        .route("/auth/me", get(people::me))
        .route("/auth/sessions", get(people::sessions).delete(people::end_others))
        .route("/auth/sessions/{id}", axum::routing::delete(people::end_session))
        .route("/auth/password", post(people::change_password))
        .route("/auth/reset", post(people::reset))
        .route("/.well-known/jwks.json", get(people::keys))
        .route("/auth/users", get(users::list).post(users::add))
        .route("/auth/users/{id}", get(users::read).patch(users::change).delete(users::remove))
        .route("/auth/users/{id}/sessions", axum::routing::delete(users::end_sessions))
        .route("/auth/users/{id}/reset", post(users::reset))
        .route("/auth/keys", get(users::keys).post(users::rotate_keys))
        .route("/policies", get(policies::list).post(policies::keep))
        .route("/policies/explain", post(policies::explain))
        .route("/policies/{name}", get(policies::read).delete(policies::remove))
        .route("/statements", get(statements::list).post(statements::register))
        .route("/statements/rejected", get(statements::rejected))
        .route("/statements/{id}", axum::routing::delete(statements::remove))
        .route("/schemas", get(schemas::list))
        .route("/schemas/{table}/{column}", get(schemas::read).put(schemas::keep).delete(schemas::remove))
        .route("/export/dump", get(export::dump).post(dumps::ask))
        .route("/export/dump/secret", get(dumps::secret).post(dumps::new_secret))
        .route("/export/dump/status/{key}", get(dumps::status))
        .route("/export/dump/download/{file}", get(dumps::download))
        .route("/export/dump/{key}", axum::routing::delete(dumps::remove))
        .route("/export/db", get(export::database))
        .route("/export/{form}/{table}", get(export::rows))
        .route("/migrations", get(migrations::list).post(migrations::apply))
        .route("/backups", get(backups::report))
        .route("/restore", post(backups::restore))
        .route("/health", get(status::health))
        .route("/ready", get(status::ready))
        .route("/metrics", get(status::metrics))
        .route("/status/database", get(status::database))
        .route("/status/live", get(status::live));
    let router = match public {
        Some(folder) => router.fallback_service(page::public(folder)),
        None => page::routes(router).fallback(any(nothing_here)),
    };
    router.method_not_allowed_fallback(wrong_method).layer(body_limit).merge(imports).with_state(app)
}

async fn nothing_here() -> Response {
    Failure(Error::not_found("Nothing is served here.")).into_response()
}

async fn wrong_method() -> Response {
    let mut response = Failure(Error::invalid("This path does not take that method.")).into_response();
    *response.status_mut() = axum::http::StatusCode::METHOD_NOT_ALLOWED;
    response
}

/// Who calls, and the revision it asked for is here.
pub struct Asker(pub Grant);

impl FromRequestParts<Shared> for Asker {
    type Rejection = Failure;

    async fn from_request_parts(parts: &mut Parts, app: &Shared) -> Result<Self, Failure> {
        let grant = known(app, parts, bearer(&parts.headers)).await?;
        app.allowance.caller(&allowance::who(&grant.principal, peer(parts)))?;
        if let Some(wanted) = parts.headers.get(MIN_REVISION) {
            let wanted = wanted.to_str().ok().and_then(|text| text.trim().parse().ok());
            let wanted = wanted.ok_or_else(|| Error::invalid("Tidebase-Min-Revision is a revision number."))?;
            app.engine.wait_for(wanted, MIN_REVISION_WAIT).await?;
        }
        Ok(Self(grant))
    }
}

/// The same, and it is the administrator: for what no policy can open.
pub struct Admin {
    /// Which of its tokens, for the audit log.
    pub who: String,
}

impl FromRequestParts<Shared> for Admin {
    type Rejection = Failure;

    async fn from_request_parts(parts: &mut Parts, app: &Shared) -> Result<Self, Failure> {
        let grant = Asker::from_request_parts(parts, app).await?.0;
        match grant.principal {
            Principal::Admin => Ok(Self { who: grant.who() }),
            Principal::Caller(_) => Err(Error::forbidden("This takes an admin token.").into()),
        }
    }
}

/// Who calls, for sockets and event streams, where a browser can only put `?token=` into the address.
pub struct SocketAsker(pub Grant, pub Who);

impl FromRequestParts<Shared> for SocketAsker {
    type Rejection = Failure;

    async fn from_request_parts(parts: &mut Parts, app: &Shared) -> Result<Self, Failure> {
        let given = match bearer(&parts.headers) {
            Some(_) => None,
            None => query_string::get(parts.uri.query(), "token")?,
        };
        let grant = match given {
            Some(given) => counted(app, parts, app.auth.grant_for_socket(&given).await)?,
            None => known(app, parts, bearer(&parts.headers)).await?,
        };
        let who = allowance::who(&grant.principal, peer(parts));
        app.allowance.caller(&who)?;
        Ok(Self(grant, who))
    }
}

/// Whoever calls, and from where: for what is there before there is a token.
pub struct Stranger(pub Place);

impl FromRequestParts<Shared> for Stranger {
    type Rejection = Failure;

    async fn from_request_parts(parts: &mut Parts, app: &Shared) -> Result<Self, Failure> {
        let address = peer(parts);
        app.allowance.stranger(address)?;
        // What a page of another origin can send without asking first is text or a form.
        let is_json = |kind: &str| kind.trim_start().to_ascii_lowercase().starts_with("application/json");
        let kind = parts.headers.get(header::CONTENT_TYPE).and_then(|kind| kind.to_str().ok());
        if parts.headers.contains_key(header::ORIGIN) && kind.is_some_and(|kind| !is_json(kind)) {
            return Err(Error::invalid("Content-Type must be application/json.").into());
        }
        let agent = parts.headers.get(header::USER_AGENT).and_then(|agent| agent.to_str().ok()).map(str::to_owned);
        Ok(Self(Place { address, agent }))
    }
}

fn peer(parts: &Parts) -> IpAddr {
    parts.extensions.get::<Peer>().map_or(IpAddr::V4(Ipv4Addr::UNSPECIFIED), |peer| peer.0)
}

async fn known(app: &Shared, parts: &Parts, token: Option<&str>) -> Result<Grant> {
    counted(app, parts, app.auth.grant(token).await)
}

/// Wrong tokens are counted by address: whoever tries many is told to wait.
fn counted(app: &Shared, parts: &Parts, grant: Result<Grant>) -> Result<Grant> {
    match grant {
        Err(error) if error.code == Code::Unauthorized => app.allowance.stranger(peer(parts)).and(Err(error)),
        grant => grant,
    }
}

fn bearer(headers: &HeaderMap) -> Option<&str> {
    let value = headers.get(header::AUTHORIZATION)?.to_str().ok()?;
    let (scheme, token) = value.split_once(' ')?;
    scheme.eq_ignore_ascii_case("bearer").then(|| token.trim())
}
