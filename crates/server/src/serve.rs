//! The server: opens the database, listens, and stops in good order.

use crate::auth::allowance::Allowance;
use crate::auth::secret::{self, Hash};
use crate::auth::{self, Auth};
use crate::backup::mirror::Mirror;
use crate::callbacks::{self, Callbacks};
use crate::config::{Config, display};
use crate::cors::{self, Cors};
use crate::delivery::Delivery;
use crate::dumps::Dumps;
use crate::faces::{App, Peer, router};
use crate::migrate;
use crate::unread;
use crate::wire::Wire;
use axum::Router;
use axum::http::{HeaderMap, Request, header};
use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use std::convert::Infallible;
use std::net::IpAddr;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Instant;
use tidebase_engine::storage::private;
use tidebase_engine::{Engine, Error, Options, Result};
use tokio::net::{TcpListener, TcpSocket, TcpStream};
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::{Semaphore, watch};
use tokio::task::JoinSet;
use tower::ServiceExt as _;

/// Connections that the system keeps until they are accepted.
const BACKLOG: u32 = 1024;

/// Runs until SIGTERM or SIGINT.
pub async fn run(config: Config) -> Result<()> {
    let mut terminate = signal(SignalKind::terminate()).map_err(no_signals)?;
    let mut interrupt = signal(SignalKind::interrupt()).map_err(no_signals)?;
    let socket = bound(&config)?;
    let shutdown = async move {
        tokio::select! {
            _ = terminate.recv() => {}
            _ = interrupt.recv() => {}
        }
    };
    serve(socket, config, shutdown).await
}

/// A socket that has its address, so that it is known to be free, and does not listen yet.
fn bound(config: &Config) -> Result<TcpSocket> {
    let socket = if config.listen.is_ipv4() { TcpSocket::new_v4() } else { TcpSocket::new_v6() };
    let bound = socket.and_then(|socket| {
        socket.set_reuseaddr(true)?;
        socket.bind(config.listen)?;
        Ok(socket)
    });
    bound.map_err(|error| cannot_listen(&config.listen_text, error))
}

fn no_signals(error: std::io::Error) -> Error {
    Error::internal("signals cannot be received").caused_by(error)
}

fn cannot_listen(wanted: &str, error: std::io::Error) -> Error {
    let reason = match error.kind() {
        std::io::ErrorKind::AddrInUse => "another program listens there; stop it, or choose another port with --listen",
        std::io::ErrorKind::PermissionDenied => "the system does not allow it; ports below 1024 need privileges",
        std::io::ErrorKind::AddrNotAvailable => "this machine does not have that address",
        _ => return Error::unavailable(format!("Cannot listen on {wanted}: {error}.")).caused_by(error),
    };
    Error::unavailable(format!("Cannot listen on {wanted}: {reason}.")).caused_by(error)
}

/// Serves on a socket until `shutdown`; then stops accepting, lets what runs finish, and closes the database.
pub async fn serve(socket: TcpSocket, config: Config, shutdown: impl Future<Output = ()>) -> Result<()> {
    tokio::pin!(shutdown);
    let options = Options {
        limits: config.limits.clone(),
        statements: config.statements,
        backups: config.backups.clone(),
        ..Options::new(config.db.clone())
    };
    let engine = tokio::task::spawn_blocking(move || Engine::open(options))
        .await
        .map_err(|error| Error::internal("opening the database panicked").caused_by(error))??;
    if let Some(folder) = &config.migrate {
        // Asked to stop meanwhile, what is being applied is undone.
        let migrated = tokio::select! {
            migrated = migrate::at_start(&engine, folder) => migrated.map(|()| true),
            () = &mut shutdown => Ok(false),
        };
        if !migrated.inspect_err(|_| engine.close())? {
            engine.close();
            return Ok(());
        }
    }
    let listener = socket.listen(BACKLOG).map_err(|error| cannot_listen(&config.listen_text, error))?;
    let (admin, new_token) = admin_token(&engine, config.admin_token.as_deref()).await?;
    let auth =
        Auth::new(Arc::clone(&engine), admin, config.client_token.as_deref(), config.people(), &config.issuers).await?;
    let address = listener.local_addr().map_err(|error| Error::internal("no address").caused_by(error))?;
    config.doubts().into_iter().chain(private::doubt(engine.path())).for_each(|doubt| tracing::warn!("{doubt}"));
    greet(&engine, address, new_token.as_deref(), config.admin_token.is_some());
    let (stop, stopping) = watch::channel(false);
    let delivery = Delivery::start()?;
    let callbacks = Callbacks {
        lookup: callbacks::target::lookup(),
        may_be_private: config.dumping.allows_private_callbacks,
        time_max: config.server_limits.callback_time_max,
    };
    let dumps = Dumps::new(Arc::clone(&engine), config.dumping.store.clone(), callbacks, config.dumps());
    let tending = tokio::spawn(Arc::clone(&dumps).tend());
    let mirror = config.backup_mirror.clone().map(|store| Mirror::new(Arc::clone(&engine), store));
    let mirroring = mirror.as_ref().map(|mirror| tokio::spawn(Arc::clone(mirror).run()));
    let app = Arc::new(App {
        engine: Arc::clone(&engine),
        auth,
        allowance: Allowance::new(config.bounds()),
        limits: config.server_limits.clone(),
        started: Instant::now(),
        dumps: Arc::clone(&dumps),
        mirror: mirror.clone(),
        is_behind_proxy: config.is_behind_proxy,
        exports: Arc::new(tokio::sync::Semaphore::new(engine.limits().exports_max)),
        sockets: 0.into(),
        delivery: delivery.desk(),
        stopping,
    });
    let cors = Cors::new(&config.cors);
    let router = router(Arc::clone(&app), config.public.clone());
    let front = Front { router, cors, is_behind_proxy: config.is_behind_proxy };
    let mut connections = JoinSet::new();
    accept(&listener, &front, &config, &stop, &mut connections, shutdown).await;
    drop(listener);
    tracing::info!(connections = connections.len(), "stopping");
    let stopped_at = Instant::now();
    let _ = stop.send(true);
    let stop_time = config.server_limits.stop_time_max;
    if tokio::time::timeout(stop_time, dumps.stop()).await.is_err() {
        tracing::warn!("a dump did not end in time");
    }
    tending.abort();
    let finish = async { while connections.join_next().await.is_some() {} };
    if tokio::time::timeout(config.server_limits.stop_time_max, finish).await.is_err() {
        tracing::warn!("some requests did not finish in time and are cut off");
    }
    connections.shutdown().await;
    while app.sockets.load(Ordering::Acquire) > 0 && stopped_at.elapsed() < config.server_limits.stop_time_max {
        tokio::time::sleep(std::time::Duration::from_millis(5)).await;
    }
    drop(delivery);
    tokio::task::spawn_blocking(move || engine.close())
        .await
        .map_err(|error| Error::internal("closing the database panicked").caused_by(error))?;
    if let Some(mirror) = mirror {
        mirroring.inspect(tokio::task::JoinHandle::abort);
        if tokio::time::timeout(stop_time, mirror.finish()).await.is_err() {
            tracing::warn!(
                "the second place of backups does not have the last of them yet; the next start goes on with it"
            );
        }
    }
    tracing::info!("stopped");
    Ok(())
}

/// What every connection serves.
#[derive(Clone)]
struct Front {
    router: Router,
    cors: Arc<Cors>,
    /// The addresses of clients are what the proxy in front says.
    is_behind_proxy: bool,
}

async fn accept(
    listener: &TcpListener,
    front: &Front,
    config: &Config,
    stop: &watch::Sender<bool>,
    connections: &mut JoinSet<()>,
    shutdown: impl Future<Output = ()>,
) {
    let places = Arc::new(Semaphore::new(config.server_limits.connections_max));
    tokio::pin!(shutdown);
    loop {
        let place = tokio::select! {
            place = Arc::clone(&places).acquire_owned() => place,
            () = &mut shutdown => return,
        };
        let accepted = tokio::select! {
            accepted = listener.accept() => accepted,
            () = &mut shutdown => return,
        };
        while connections.try_join_next().is_some() {}
        match accepted {
            Ok((stream, peer)) => {
                let (front, stopping) = (front.clone(), stop.subscribe());
                let header_time = config.server_limits.header_time_max;
                connections.spawn(async move {
                    connection(stream, peer.ip(), front, header_time, stopping).await;
                    drop(place);
                });
            }
            Err(error) => {
                // Out of file descriptors, usually: waiting lets some close.
                tracing::warn!(%error, "could not accept a connection");
                tokio::time::sleep(std::time::Duration::from_millis(50)).await;
            }
        }
    }
}

async fn connection(
    stream: TcpStream,
    peer: IpAddr,
    front: Front,
    header_time: std::time::Duration,
    mut stopping: watch::Receiver<bool>,
) {
    let _ = stream.set_nodelay(true);
    let mut http = hyper::server::conn::http1::Builder::new();
    http.timer(TokioTimer::new()).header_read_timeout(header_time);
    // Not a layer of the router: each would box another future around every request.
    let wire = Wire::new(stream);
    let shortcut = wire.shortcut();
    let service = service_fn(move |mut request: Request<Incoming>| {
        let Front { router, cors, is_behind_proxy } = front.clone();
        let forwarded = if is_behind_proxy { forwarded(request.headers()) } else { None };
        request.extensions_mut().insert(shortcut.clone());
        request.extensions_mut().insert(Peer(forwarded.unwrap_or(peer)));
        // Who waits for a word before sending has sent nothing, and would be given the word by reading.
        let waits_for_word = request.headers().contains_key(header::EXPECT);
        async move {
            let run = async |request| router.oneshot(request).await.unwrap_or_else(|never| match never {});
            let (parts, body) = request.into_parts();
            let (body, unread) = unread::lend(body);
            let response = cors::around(&cors, Request::from_parts(parts, body), run).await;
            if !waits_for_word {
                unread.read_on().await;
            }
            Ok::<_, Infallible>(response)
        }
    });
    let served = http.serve_connection(TokioIo::new(wire), service).with_upgrades();
    tokio::pin!(served);
    tokio::select! {
        _ = &mut served => return,
        () = crate::faces::stopped(&mut stopping) => {}
    }
    served.as_mut().graceful_shutdown();
    let _ = served.await;
}

/// The client's address as the nearest proxy tells it: the last one in the list, for what stands before it anyone may write.
fn forwarded(headers: &HeaderMap) -> Option<IpAddr> {
    let last = headers.get_all("x-forwarded-for").iter().next_back()?.to_str().ok()?;
    let last = last.rsplit(',').next()?.trim();
    // Some proxies tell the port too.
    let with_port = || last.parse::<std::net::SocketAddr>().ok().map(|address| address.ip());
    last.trim_matches(['[', ']']).parse().ok().or_else(with_port)
}

/// The hash of the given token, or the one that is in the file, or that of a new token, which is returned to be shown
/// once.
async fn admin_token(engine: &Engine, given: Option<&str>) -> Result<(Hash, Option<String>)> {
    if let Some(token) = given {
        return Ok((secret::hash(token), None));
    }
    if let Some(stored) = engine.setting(auth::SETTING)? {
        let unreadable =
            || Error::internal("the stored admin token cannot be read; `tidebase token reset-admin` makes a new one");
        return Ok((secret::from_stored(&stored).ok_or_else(unreadable)?, None));
    }
    let token = secret::new_token("tide_admin_")?;
    let hash = secret::hash(&token);
    engine.set_setting(auth::SETTING, Some(secret::stored(&hash))).await?;
    Ok((hash, Some(token)))
}

/// One line says what is running and where; a new token is printed, once, and never logged.
fn greet(engine: &Engine, address: std::net::SocketAddr, new_token: Option<&str>, token_given: bool) {
    let place = std::env::current_dir().ok();
    let file = place.and_then(|place| engine.path().strip_prefix(place).ok()).unwrap_or(engine.path());
    println!("Tidebase {}  http://{address}  {}", env!("CARGO_PKG_VERSION"), display(file));
    match new_token {
        Some(token) => println!(
            "\nAdmin token, shown this once:  {token}\n\
             Keep it. It goes into the header Authorization: Bearer <token>, and into the page.\n\
             A lost one is replaced by `tidebase token reset-admin`."
        ),
        None if !token_given => {
            println!(
                "The admin token is the one shown at the first start (`tidebase token reset-admin` makes another)."
            );
        }
        None => {}
    }
}
