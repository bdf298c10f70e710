//! The settings in effect: flags, then environment, then `tidebase.toml`, then defaults; each knows where it came from.

use crate::auth::allowance::Bounds;
use crate::auth::{issuers, people};
use crate::cli::ServeArgs;
use crate::dumps;
use crate::store::Store;
use serde::Deserialize;
use std::collections::BTreeMap;
use std::net::{SocketAddr, ToSocketAddrs as _};
use std::path::{Path, PathBuf};
use tidebase_engine::backups::folder_of;
use tidebase_engine::{Allowed, Error, Limits, Options, Result};

pub const DEFAULT_DB: &str = "./data/tidebase.db";
const DEFAULT_LISTEN: &str = "127.0.0.1:8080";
const DEFAULT_FILE: &str = "tidebase.toml";
const DEFAULT_MIGRATIONS: &str = "migrations";
/// Characters of a token that is given: with fewer there is no start, and up to the second a warning.
const TOKEN_LENGTH_MIN: usize = 8;
const TOKEN_LENGTH_GOOD: usize = 16;

tidebase_engine::limits! {
/// Bounds of the server itself; the engine has its own.
#[allow(clippy::struct_field_names)] // they end in _max like all limits
ServerLimits {
    /// Bytes of a request's body. Past it: `too_large`.
    body_bytes_max: usize = 8 << 20,
    /// Bytes of a file that is imported; it waits on the disk of the database. Past it: `too_large`.
    import_bytes_max: usize = 16 << 30,
    /// Bytes of one frame from a client. Past it the socket is closed with 4413.
    frame_bytes_max: usize = 1 << 20,
    /// Open TCP connections. Past it the server waits to accept.
    connections_max: usize = 20_000,
    /// Open WebSockets and event streams. Past it: `too_many`.
    sockets_max: usize = 15_000,
    /// Time in which a client must have sent a request's head. Past it the connection is closed.
    header_time_max: std::time::Duration = std::time::Duration::from_secs(15),
    /// Sockets and event streams of one caller. Past it: `too_many`.
    caller_sockets_max: usize = 1000,
    /// Requests of one caller in a second; 0 is no bound. Past it: `too_many`.
    caller_requests_per_second_max: usize = 1000,
    /// Sign-ups, sign-ins and other requests that need no token, and wrong tokens, from one address in a minute; 0 is no bound.
    /// Past it: `too_many`.
    stranger_requests_per_minute_max: usize = 300,
    /// Characters of a password. Below it: `invalid`.
    password_length_min: usize = 8,
    /// Life of an access token of somebody who has signed in. After it: `unauthorized`, and open sockets are closed with 4401.
    access_token_time_max: std::time::Duration = std::time::Duration::from_mins(15),
    /// Time that a session may go unused. After it: `unauthorized`, sign in again.
    session_time_max: std::time::Duration = std::time::Duration::from_hours(30 * 24),
    /// Dumps that are made at one time; the next wait in line.
    dumps_running_max: usize = 2,
    /// Dumps in line, under way and kept. Past it: `too_many`.
    dumps_max: usize = 100,
    /// Bytes of all dumps together. Past it the oldest goes; without an older one the dump fails.
    dumps_bytes_max: u64 = 64 << 30,
    /// How long a dump is kept when it is over.
    dump_age_max: std::time::Duration = std::time::Duration::from_hours(24 * 7),
    /// Time a dump may take. Past it, it fails.
    dump_time_max: std::time::Duration = std::time::Duration::from_hours(6),
    /// Dumps that may be asked for in a minute; 0 is no bound. Past it: `too_many`.
    dump_requests_per_minute_max: usize = 30,
    /// Downloads of dumps at one time. Past it: `too_many`.
    dump_downloads_max: usize = 16,
    /// Time that the folder or bucket of files may take for one question, or for one part of a large file. Past it: `timeout`.
    store_time_max: std::time::Duration = std::time::Duration::from_mins(2),
    /// Time that one callback may take. Past it, it is tried again.
    callback_time_max: std::time::Duration = std::time::Duration::from_secs(10),
    /// Tries of a callback, and the pause after the first; each is twice as long as the one before. After the last it has failed.
    callback_tries_max: usize = 8,
    /// Tries of a callback, and the pause after the first; each is twice as long as the one before. After the last it has failed.
    callback_pause_min: std::time::Duration = std::time::Duration::from_secs(10),
    /// Time that running requests get when the server stops.
    stop_time_max: std::time::Duration = std::time::Duration::from_secs(10),
}
}

/// Where a setting came from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Origin {
    Flag,
    Environment(String),
    File(PathBuf),
    Default,
}

impl std::fmt::Display for Origin {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Flag => f.write_str("flag"),
            Self::Environment(name) => write!(f, "environment {name}"),
            Self::File(path) => write!(f, "{}", path.display()),
            Self::Default => f.write_str("default"),
        }
    }
}

/// One line of `tidebase config`.
#[derive(Clone, Debug)]
pub struct Effective {
    pub name: &'static str,
    pub value: String,
    pub origin: Origin,
}

#[derive(Debug)]
pub struct Config {
    pub db: PathBuf,
    pub listen: SocketAddr,
    /// Where the listening address came from, for the message when it cannot be had.
    pub listen_text: String,
    /// `None`: the one whose hash is in the file, or a new one.
    pub admin_token: Option<String>,
    /// A token for clients that policies bind, besides those with names.
    pub client_token: Option<String>,
    /// May people sign up by themselves, and may they come in without an account?
    pub sign_up: bool,
    pub anonymous: bool,
    /// Others whose tokens are taken.
    pub issuers: Vec<issuers::Wanted>,
    /// Is the last address of `X-Forwarded-For` the client's?
    pub is_behind_proxy: bool,
    /// Which statements callers may run.
    pub statements: Allowed,
    /// Migrations that are applied before the server listens.
    pub migrate: Option<PathBuf>,
    pub public: Option<PathBuf>,
    /// Where all that is committed is kept; `None` is nowhere.
    pub backups: Option<PathBuf>,
    /// A second place for it.
    pub backup_mirror: Option<Store>,
    pub dumping: Dumping,
    pub cors: String,
    pub log: String,
    pub limits: Limits,
    pub server_limits: ServerLimits,
    pub effective: Vec<Effective>,
}

/// Dumps that are made in the background.
#[derive(Debug)]
pub struct Dumping {
    /// Where they are kept.
    pub store: Store,
    /// May callbacks go to this machine and its networks, and without TLS?
    pub allows_private_callbacks: bool,
}

/// `tidebase.toml`, all optional.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
struct File {
    db: Option<PathBuf>,
    listen: Option<String>,
    admin_token: Option<String>,
    client_token: Option<String>,
    signup: Option<String>,
    anonymous: Option<String>,
    behind_proxy: Option<bool>,
    issuers: Option<Vec<serde_json::Value>>,
    statements: Option<String>,
    migrate: Option<PathBuf>,
    public: Option<PathBuf>,
    backups: Option<PathBuf>,
    backup_mirror: Option<String>,
    dump_store: Option<String>,
    allow_private_callbacks: Option<bool>,
    cors: Option<String>,
    log: Option<String>,
    #[serde(default)]
    limits: BTreeMap<String, toml::Value>,
}

/// The environment, as a function so that tests can have their own.
pub type Environment<'a> = &'a dyn Fn(&str) -> Option<String>;

struct Sources<'a> {
    environment: Environment<'a>,
    file_path: PathBuf,
    effective: Vec<Effective>,
}

impl Sources<'_> {
    /// The first of flag, environment variables, file and default that is there; noted with its origin.
    fn pick(
        &mut self,
        name: &'static str,
        flag: Option<String>,
        variables: &[&str],
        file: Option<String>,
        default: Option<&str>,
    ) -> Option<String> {
        let from_environment = || {
            variables.iter().find_map(|variable| {
                let value = (self.environment)(variable).filter(|value| !value.is_empty())?;
                Some((value, Origin::Environment((*variable).to_owned())))
            })
        };
        let picked = flag
            .map(|value| (value, Origin::Flag))
            .or_else(from_environment)
            .or_else(|| file.map(|value| (value, Origin::File(self.file_path.clone()))))
            .or_else(|| default.map(|value| (value.to_owned(), Origin::Default)));
        let (shown, origin) = match &picked {
            None => (String::new(), Origin::Default),
            // A secret is shown as being there.
            Some((_, origin)) if name.ends_with("_token") => ("(set)".to_owned(), origin.clone()),
            Some((value, origin)) => (value.clone(), origin.clone()),
        };
        self.effective.push(Effective { name, value: shown, origin });
        picked.map(|(value, _)| value)
    }
}

/// # Errors
/// `invalid` with the setting, what is wrong with it, and what it may be.
pub fn load(args: &ServeArgs, environment: Environment<'_>) -> Result<Config> {
    let (file_path, file) = read_file(args, environment)?;
    let mut sources = Sources { environment, file_path, effective: Vec::new() };
    let shown = |path: &Option<PathBuf>| path.as_ref().map(|path| path.display().to_string());
    let db = sources.pick("db", shown(&args.db), &["TIDEBASE_DB"], shown(&file.db), Some(DEFAULT_DB));
    let listen_variables = ["TIDEBASE_LISTEN", "PORT"];
    let listen =
        sources.pick("listen", args.listen.clone(), &listen_variables, file.listen.clone(), Some(DEFAULT_LISTEN));
    let admin_token = sources.pick(
        "admin_token",
        args.admin_token.clone(),
        &["TIDEBASE_ADMIN_TOKEN"],
        file.admin_token.clone(),
        None,
    );
    let client_token = sources.pick(
        "client_token",
        args.client_token.clone(),
        &["TIDEBASE_CLIENT_TOKEN"],
        file.client_token.clone(),
        None,
    );
    let statements = sources.pick(
        "statements",
        args.statements.clone(),
        &["TIDEBASE_STATEMENTS"],
        file.statements.clone(),
        Some("any"),
    );
    let migrate = sources.pick("migrate", shown(&args.migrate), &["TIDEBASE_MIGRATE"], shown(&file.migrate), None);
    let public = sources.pick("public", shown(&args.public), &["TIDEBASE_PUBLIC"], shown(&file.public), None);
    let (backups, backup_mirror) = read_backups(args, &file, &mut sources, db.as_ref());
    let cors = sources.pick("cors", args.cors.clone(), &["TIDEBASE_CORS"], file.cors.clone(), Some("*"));
    let log = sources.pick("log", args.log.clone(), &["TIDEBASE_LOG"], file.log.clone(), Some("info"));
    let sign_up =
        sources.pick("signup", args.signup.clone(), &["TIDEBASE_SIGNUP"], file.signup.clone(), Some("closed"));
    let anonymous = sources.pick(
        "anonymous",
        args.anonymous.clone(),
        &["TIDEBASE_ANONYMOUS"],
        file.anonymous.clone(),
        Some("closed"),
    );
    let behind_proxy = sources.pick(
        "behind_proxy",
        args.behind_proxy.then(|| "true".to_owned()),
        &["TIDEBASE_BEHIND_PROXY"],
        file.behind_proxy.map(|is_behind| is_behind.to_string()),
        Some("false"),
    );
    let db = PathBuf::from(db.unwrap_or_default());
    let (dump_store, allows_private_callbacks) = read_dumping(args, &file, &mut sources, &db)?;
    let issuers = read_issuers(args, &file, &mut sources)?;
    let (limits, server_limits) = read_limits(args, &file, &mut sources)?;
    let listen_text = listen.unwrap_or_default();
    let public = public.map(PathBuf::from);
    if let Some(folder) = public.as_ref().filter(|folder| !folder.is_dir()) {
        return Err(Error::invalid(format!("--public: there is no folder {}.", folder.display())));
    }
    if let Some(token) = admin_token.as_ref().filter(|token| token.len() < TOKEN_LENGTH_MIN) {
        return Err(Error::invalid(format!(
            "The admin token has {} characters; whoever has it owns the data, so it needs at least 8.",
            token.len()
        )));
    }
    if let Some(token) = client_token.as_ref().filter(|token| token.len() < TOKEN_LENGTH_MIN) {
        return Err(Error::invalid(format!("The client token has {} characters; it needs at least 8.", token.len())));
    }
    if client_token.is_some() && client_token == admin_token {
        return Err(Error::invalid("The client token is the admin token: then every client is the administrator."));
    }
    Ok(Config {
        backup_mirror: backup_mirror
            .map(|place| Store::open(&place, environment, server_limits.store_time_max))
            .transpose()?,
        dumping: Dumping {
            store: Store::open(&dump_store, environment, server_limits.store_time_max)?,
            allows_private_callbacks,
        },
        db,
        listen: address(&listen_text)?,
        listen_text,
        admin_token,
        client_token,
        sign_up: is_open("signup", sign_up.as_deref())?,
        anonymous: is_open("anonymous", anonymous.as_deref())?,
        is_behind_proxy: is_true("behind_proxy", behind_proxy.as_deref())?,
        issuers,
        statements: allowed(&statements.unwrap_or_default())?,
        migrate: migrate.map(PathBuf::from),
        public,
        backups: backups.filter(|folder| folder != "off").map(PathBuf::from),
        cors: cors.unwrap_or_default(),
        log: log.unwrap_or_default(),
        limits,
        server_limits,
        effective: sources.effective,
    })
}

impl Config {
    /// How many dumps, how large, how long.
    pub fn dumps(&self) -> dumps::Bounds {
        let limits = &self.server_limits;
        let count = |count: usize| u32::try_from(count).unwrap_or(u32::MAX);
        dumps::Bounds {
            running_max: limits.dumps_running_max.max(1),
            kept_max: limits.dumps_max,
            asked_per_minute_max: count(limits.dump_requests_per_minute_max),
            age_max: limits.dump_age_max,
            bytes_max: limits.dumps_bytes_max,
            time_max: limits.dump_time_max,
            downloads_max: limits.dump_downloads_max,
            callback_tries_max: count(limits.callback_tries_max),
            callback_pause_min: limits.callback_pause_min,
        }
    }

    /// What works and may bite, with what to do: for the log of a start, and for the doctor.
    pub fn doubts(&self) -> Vec<String> {
        let is_short = |token: &&Option<String>| token.as_ref().is_some_and(|token| token.len() < TOKEN_LENGTH_GOOD);
        let doubt = |name: &str| {
            format!(
                "The {name} token has fewer than {TOKEN_LENGTH_GOOD} characters and may be guessed. Take a random one, as from `openssl rand -base64 24`."
            )
        };
        let tokens = [("admin", &self.admin_token), ("client", &self.client_token)];
        let mut doubts: Vec<String> =
            tokens.iter().filter(|(_, token)| is_short(token)).map(|(name, _)| doubt(name)).collect();
        if self.dumping.allows_private_callbacks {
            doubts.push("Callbacks may go to this machine and its networks (--allow-private-callbacks), which is for development.".into());
        }
        doubts
    }

    /// What is open to people, and for how long.
    pub fn people(&self) -> people::Settings {
        people::Settings {
            sign_up: self.sign_up,
            anonymous: self.anonymous,
            access_life: self.server_limits.access_token_time_max,
            session_life: self.server_limits.session_time_max,
            password_length_min: self.server_limits.password_length_min,
        }
    }
}

impl Config {
    /// How much one caller, or one address, may ask.
    pub fn bounds(&self) -> Bounds {
        let limits = &self.server_limits;
        let count = |count: usize| u32::try_from(count).unwrap_or(u32::MAX);
        Bounds {
            strangers_per_minute: count(limits.stranger_requests_per_minute_max),
            caller_per_second: count(limits.caller_requests_per_second_max),
            caller_sockets: limits.caller_sockets_max,
        }
    }
}

/// Where all that is committed is kept, and a second place for it.
fn read_backups(
    args: &ServeArgs,
    file: &File,
    sources: &mut Sources<'_>,
    db: Option<&String>,
) -> (Option<String>, Option<String>) {
    let shown = |path: &Option<PathBuf>| path.as_ref().map(|path| path.display().to_string());
    let beside = db.map(|db| folder_of(Path::new(db)).display().to_string());
    let backups =
        sources.pick("backups", shown(&args.backups), &["TIDEBASE_BACKUPS"], shown(&file.backups), beside.as_deref());
    let backup_mirror = sources.pick(
        "backup_mirror",
        args.backup_mirror.clone(),
        &["TIDEBASE_BACKUP_MIRROR"],
        file.backup_mirror.clone(),
        None,
    );
    (backups, backup_mirror)
}

/// Where dumps are kept, and whether callbacks may stay at home.
fn read_dumping(args: &ServeArgs, file: &File, sources: &mut Sources<'_>, db: &Path) -> Result<(String, bool)> {
    let dump_store = sources.pick(
        "dump_store",
        args.dump_store.clone(),
        &["TIDEBASE_DUMP_STORE"],
        file.dump_store.clone(),
        Some(&format!("{}-dumps", db.display())),
    );
    let private_callbacks = sources.pick(
        "allow_private_callbacks",
        args.allow_private_callbacks.then(|| "true".to_owned()),
        &["TIDEBASE_ALLOW_PRIVATE_CALLBACKS"],
        file.allow_private_callbacks.map(|are_allowed| are_allowed.to_string()),
        Some("false"),
    );
    Ok((dump_store.unwrap_or_default(), is_true("allow_private_callbacks", private_callbacks.as_deref())?))
}

fn is_open(name: &str, value: Option<&str>) -> Result<bool> {
    match value {
        Some("open") => Ok(true),
        Some("closed") | None => Ok(false),
        Some(other) => Err(Error::invalid(format!("--{name} is \"open\" or \"closed\", not {other:?}."))),
    }
}

fn is_true(name: &str, value: Option<&str>) -> Result<bool> {
    match value {
        Some("true" | "1" | "yes" | "on") => Ok(true),
        Some("false" | "0" | "no" | "off") | None => Ok(false),
        Some(other) => Err(Error::invalid(format!("{name} is true or false, not {other:?}."))),
    }
}

/// Each as a JSON object; all of them as an array in the environment. They hold secrets, so only their number is shown.
fn read_issuers(args: &ServeArgs, file: &File, sources: &mut Sources<'_>) -> Result<Vec<issuers::Wanted>> {
    let all = |texts: &[String]| (!texts.is_empty()).then(|| format!("[{}]", texts.join(",")));
    let in_file = file.issuers.as_ref().map(|issuers| serde_json::Value::from(issuers.clone()).to_string());
    let given = sources.pick("issuers", all(&args.issuers), &["TIDEBASE_ISSUERS"], in_file, None);
    let issuers: Vec<issuers::Wanted> = match &given {
        None => Vec::new(),
        Some(text) => serde_json::from_str(text).map_err(|error| {
            Error::invalid(format!(
                "The issuers cannot be read: {error}. Each is an object such as \
                 {{\"issuer\": \"https://auth.example.org/\", \"audience\": \"my-app\", \"jwks\": \"https://…/jwks.json\"}}."
            ))
        })?,
    };
    if let Some(shown) = sources.effective.last_mut().filter(|_| given.is_some()) {
        shown.value = format!("({})", issuers.len());
    }
    Ok(issuers)
}

fn allowed(text: &str) -> Result<Allowed> {
    match text {
        "any" => Ok(Allowed::Any),
        "registered" => Ok(Allowed::Registered),
        _ => Err(Error::invalid(format!(
            "--statements {text:?}: it is any (whatever policies open) or registered (only what is on the list)."
        ))),
    }
}

/// Only where migrations are.
pub fn migrations(flag: Option<&PathBuf>) -> Result<PathBuf> {
    let args = ServeArgs { migrate: flag.cloned(), ..ServeArgs::default() };
    let folder = load(&args, &|name| std::env::var(name).ok())?.migrate;
    Ok(folder.unwrap_or_else(|| DEFAULT_MIGRATIONS.into()))
}

/// Only where the database is: for the commands that need no more.
pub fn database(flag: Option<&PathBuf>) -> Result<PathBuf> {
    let args = ServeArgs { db: flag.cloned(), ..ServeArgs::default() };
    Ok(load(&args, &|name| std::env::var(name).ok())?.db)
}

/// Where the backups of a database are, if nobody says which are meant.
pub fn backups(db: Option<&PathBuf>) -> Result<PathBuf> {
    let args = ServeArgs { db: db.cloned(), ..ServeArgs::default() };
    let Config { db, backups, .. } = load(&args, &|name| std::env::var(name).ok())?;
    // Where none are kept any more, some may be left.
    Ok(backups.unwrap_or_else(|| folder_of(&db)))
}

/// How a command opens a file that no server has open: within the limits of the settings, and what it writes is in the backups, if a
/// server has begun some.
pub fn opening(path: PathBuf) -> Result<Options> {
    let args = ServeArgs { db: Some(path.clone()), ..ServeArgs::default() };
    let Config { limits, backups, .. } = load(&args, &|name| std::env::var(name).ok())?;
    Ok(Options { limits, backups: backups.filter(|folder| folder.is_dir()), ..Options::new(path) })
}

fn read_file(args: &ServeArgs, environment: Environment<'_>) -> Result<(PathBuf, File)> {
    let named = args
        .config
        .clone()
        .or_else(|| environment("TIDEBASE_CONFIG").filter(|path| !path.is_empty()).map(PathBuf::from));
    let path = named.clone().unwrap_or_else(|| DEFAULT_FILE.into());
    match std::fs::read_to_string(&path) {
        Ok(text) => {
            let file = toml::from_str(&text)
                .map_err(|error| Error::invalid(format!("{} has a mistake:\n{error}", path.display())))?;
            Ok((path, file))
        }
        Err(error) if error.kind() == std::io::ErrorKind::NotFound && named.is_none() => Ok((path, File::default())),
        Err(error) => Err(Error::invalid(format!("{} cannot be read: {error}.", path.display()))),
    }
}

fn read_limits(args: &ServeArgs, file: &File, sources: &mut Sources<'_>) -> Result<(Limits, ServerLimits)> {
    let mut limits = Limits::default();
    let mut server = ServerLimits::default();
    let mut flags = BTreeMap::new();
    for limit in &args.limits {
        let (name, value) =
            limit.split_once('=').ok_or_else(|| Error::invalid(format!("--limit {limit}: it is NAME=VALUE.")))?;
        flags.insert(name.trim().to_owned(), value.trim().to_owned());
    }
    flags.extend(args.live_tiers.clone().map(|tiers| ("live_tiers".to_owned(), tiers)));
    let known: Vec<&'static str> = limits.list().into_iter().chain(server.list()).map(|(name, ..)| name).collect();
    if let Some(unknown) = flags.keys().chain(file.limits.keys()).find(|name| !known.contains(&name.as_str())) {
        return Err(Error::invalid(format!("There is no limit {unknown:?}; `tidebase config` lists them.")));
    }
    for name in known {
        let default = limits.list().into_iter().chain(server.list()).find(|(known, ..)| *known == name);
        let default = default.map(|(_, _, value)| value).unwrap_or_default();
        let variable = format!("TIDEBASE_LIMIT_{}", name.to_ascii_uppercase());
        let in_file =
            file.limits.get(name).map(|value| value.as_str().map_or_else(|| value.to_string(), ToOwned::to_owned));
        let value =
            sources.pick(name, flags.get(name).cloned(), &[&variable], in_file, Some(&default)).unwrap_or_default();
        if !limits.set(name, &value) && !server.set(name, &value) {
            let wanted = match name {
                "live_tiers" => "some of routes,trails,parts,edges,tallies, or none",
                "query_log_time_min" => "a whole number of milliseconds, or off",
                _ => "a whole number (times in milliseconds)",
            };
            return Err(Error::invalid(format!("The limit {name} is {wanted}, not {value:?}.")));
        }
    }
    Ok((limits, server))
}

/// `host:port`, `:port` for every address, or a port alone as in `PORT`.
fn address(text: &str) -> Result<SocketAddr> {
    let full = match text.parse::<u16>() {
        // PORT is set by hosts that forward from outside: there the server must be reachable.
        Ok(port) => format!("0.0.0.0:{port}"),
        Err(_) if text.starts_with(':') => format!("0.0.0.0{text}"),
        Err(_) => text.to_owned(),
    };
    full.to_socket_addrs()
        .ok()
        .and_then(|mut addresses| addresses.next())
        .ok_or_else(|| Error::invalid(format!("--listen {text:?} is no address; it is like 127.0.0.1:8080 or :8080.")))
}

/// For `tidebase config`.
pub fn print(config: &Config, as_json: bool) -> String {
    if as_json {
        let rows: Vec<serde_json::Value> = config
            .effective
            .iter()
            .map(|row| serde_json::json!({ "name": row.name, "value": row.value, "from": row.origin.to_string() }))
            .collect();
        return serde_json::Value::from(rows).to_string();
    }
    let width = |of: fn(&Effective) -> usize| config.effective.iter().map(of).max().unwrap_or(0);
    let (name, value) = (width(|row| row.name.len()), width(|row| row.value.len()).min(40));
    let line = |row: &Effective| format!("{:name$}  {:value$}  {}", row.name, row.value, row.origin);
    config.effective.iter().map(line).collect::<Vec<_>>().join("\n")
}

/// The folder of relative paths is where the program was started; said so in messages.
pub fn display(path: &Path) -> String {
    path.strip_prefix("./").unwrap_or(path).display().to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn load_with(args: ServeArgs, variables: &[(&str, &str)]) -> Result<Config> {
        let nowhere = ServeArgs { config: args.config.clone(), ..args };
        load(&nowhere, &|name| variables.iter().find(|(known, _)| *known == name).map(|(_, value)| (*value).to_owned()))
    }

    #[test]
    fn flags_win_over_environment_over_file_over_defaults() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("settings.toml");
        std::fs::write(&path, "db = 'file.db'\nlisten = '127.0.0.1:1'\n[limits]\nread_time_max = 7\nsockets_max = 5\n")
            .unwrap();
        let args = ServeArgs {
            config: Some(path),
            db: Some("flag.db".into()),
            limits: vec!["sockets_max=6".into()],
            ..ServeArgs::default()
        };
        let config = load_with(args, &[("TIDEBASE_DB", "env.db"), ("TIDEBASE_LISTEN", "127.0.0.1:2")]).unwrap();
        assert_eq!(config.db, PathBuf::from("flag.db"));
        assert_eq!(config.listen.port(), 2);
        assert_eq!(config.limits.read_time_max.as_millis(), 7);
        assert_eq!(config.server_limits.sockets_max, 6);
        let origin = |name: &str| config.effective.iter().find(|row| row.name == name).unwrap().origin.clone();
        assert_eq!(origin("db"), Origin::Flag);
        assert_eq!(origin("listen"), Origin::Environment("TIDEBASE_LISTEN".into()));
        assert!(matches!(origin("read_time_max"), Origin::File(_)));
        assert_eq!(origin("cors"), Origin::Default);
    }

    #[test]
    fn port_listens_everywhere_and_mistakes_are_named() {
        assert_eq!(load_with(ServeArgs::default(), &[("PORT", "9000")]).unwrap().listen.to_string(), "0.0.0.0:9000");
        for (args, word) in [
            (ServeArgs { listen: Some("nonsense".into()), ..ServeArgs::default() }, "nonsense"),
            (ServeArgs { limits: vec!["no_such=1".into()], ..ServeArgs::default() }, "no_such"),
            (ServeArgs { limits: vec!["sockets_max=many".into()], ..ServeArgs::default() }, "many"),
            (
                ServeArgs { live_tiers: Some("roads".into()), ..ServeArgs::default() },
                "routes,trails,parts,edges,tallies",
            ),
            (ServeArgs { limits: vec!["query_log_time_min=never".into()], ..ServeArgs::default() }, "or off"),
            (ServeArgs { statements: Some("some".into()), ..ServeArgs::default() }, "registered"),
            (ServeArgs { public: Some("/no/such/folder".into()), ..ServeArgs::default() }, "/no/such/folder"),
            (ServeArgs { config: Some("/no/such/file.toml".into()), ..ServeArgs::default() }, "/no/such/file.toml"),
        ] {
            let error = load_with(args, &[]).unwrap_err().to_string();
            assert!(error.contains(word), "{error}");
        }
    }
}
