//! The command line as typed. What it means is checked in [`crate::config`].

use clap::{Args, Parser, Subcommand};
use std::path::PathBuf;

#[derive(Debug, Parser)]
#[command(
    name = "tidebase",
    version,
    about = "A real-time backend in one binary: SQLite inside, and any SQL query can be live.",
    after_help = "Without a command the server starts, as with `serve`.\n\n\
        Examples:\n  tidebase                                  serve ./data/tidebase.db on 127.0.0.1:8080\n  \
        tidebase serve --db shop.db --listen :80  serve an existing SQLite file\n  \
        tidebase sql --db shop.db                 a shell on the file\n  \
        tidebase sql --url http://127.0.0.1:8080  a shell on a running server\n  \
        tidebase backup --db shop.db --to copy.db a safe copy of a database in use",
    subcommand_negates_reqs = true
)]
pub struct Cli {
    #[command(subcommand)]
    pub command: Option<Command>,
    #[command(flatten)]
    pub serve: ServeArgs,
}

#[derive(Debug, Subcommand)]
pub enum Command {
    /// Start the server.
    Serve(ServeArgs),
    /// A shell for SQL, on a local file or a running server.
    Sql(SqlArgs),
    /// Tokens with a name, for programs: list, make, revoke; and a new admin token.
    Token {
        #[command(flatten)]
        remote: RemoteArgs,
        #[command(subcommand)]
        command: TokenCommand,
    },
    /// People who sign in: list, add, change, remove.
    User {
        #[command(flatten)]
        remote: RemoteArgs,
        #[command(subcommand)]
        command: UserCommand,
    },
    /// What is open to whom: list, add, remove, explain policies.
    Policy {
        #[command(flatten)]
        remote: RemoteArgs,
        #[command(subcommand)]
        command: PolicyCommand,
    },
    /// The keys with which tokens of people are signed.
    Keys {
        #[command(flatten)]
        remote: RemoteArgs,
        #[command(subcommand)]
        command: KeysCommand,
    },
    /// Print the tables as TypeScript, of a local file or a running server.
    Types(TypesArgs),
    /// Show the settings in effect and where each came from.
    Config(ServeArgs),
    /// Check the database file and the machine, and say what is wrong.
    Doctor(DatabaseArgs),
    /// Write a safe copy of a database, also while it is being served; look at what a server keeps by itself.
    #[command(after_help = BACKUP_EXAMPLES)]
    Backup(BackupArgs),
    /// Go back to a moment of the backups: as a new file, or in place of what a server is serving.
    #[command(after_help = RESTORE_EXAMPLES)]
    Restore(RestoreArgs),
    /// Write the database as SQL, or a table as JSON or CSV.
    #[command(after_help = EXPORT_EXAMPLES)]
    Export(ExportArgs),
    /// Read SQL, an SQLite file, or JSON or CSV into a table: all of it, or nothing.
    #[command(after_help = IMPORT_EXAMPLES)]
    Import(ImportArgs),
    /// Bring the schema from one version to the next, by SQL in numbered files.
    #[command(after_help = MIGRATE_EXAMPLES)]
    Migrate {
        #[command(subcommand)]
        command: MigrateCommand,
    },
}

#[derive(Debug, Subcommand)]
pub enum TokenCommand {
    /// Those there are, without the tokens themselves.
    List,
    /// Make one and print it, once.
    Make(TokenMake),
    /// From now on it is worth nothing.
    Revoke {
        /// As `list` shows it.
        id: String,
    },
    /// Make a new admin token, print it once, and forget the old one. The server must be stopped.
    ResetAdmin(DatabaseArgs),
}

/// A running server.
#[derive(Clone, Debug, Args)]
pub struct RemoteArgs {
    /// The server [env: TIDEBASE_URL] [default: http://127.0.0.1:8080]
    #[arg(long, value_name = "URL", global = true)]
    pub url: Option<String>,
    /// An admin token for it; better given in the environment [env: TIDEBASE_ADMIN_TOKEN]
    #[arg(long, value_name = "TOKEN", global = true)]
    pub token: Option<String>,
    /// The answer as JSON, for programs.
    #[arg(long, global = true)]
    pub json: bool,
}

#[derive(Clone, Debug, Args)]
pub struct TokenMake {
    /// What people know it by.
    pub name: String,
    /// `client`, bound by policies, or `admin`.
    #[arg(long, default_value = "client")]
    pub role: String,
    /// What policies can ask with `auth.claim('…')`: a JSON object.
    #[arg(long, value_name = "JSON")]
    pub claims: Option<String>,
    /// A time such as 90s, 15m, 12h or 30d; without it the token does not end by itself.
    #[arg(long, value_name = "TIME")]
    pub expires_in: Option<String>,
}

#[derive(Debug, Subcommand)]
pub enum UserCommand {
    /// All of them.
    List,
    /// One, and where they are signed in.
    Show {
        /// An id or an e-mail address.
        who: String,
    },
    /// Make an account, also while sign-up is closed.
    Add {
        email: String,
        /// Read the password from standard input; without one nobody can sign in yet.
        #[arg(long)]
        password_stdin: bool,
        /// What policies can ask with `auth.claim('…')`: a JSON object.
        #[arg(long, value_name = "JSON")]
        claims: Option<String>,
    },
    /// Change what is said of a user; it counts at once.
    Change {
        who: String,
        #[arg(long, value_name = "JSON")]
        claims: Option<String>,
        /// Sign the user out and keep them out.
        #[arg(long, conflicts_with = "enable")]
        disable: bool,
        #[arg(long)]
        enable: bool,
    },
    /// Remove the account; rows that name the user stay.
    Remove { who: String },
    /// End all sessions of a user.
    SignOut { who: String },
    /// Make a token with which the user can choose a new password.
    Reset { who: String },
}

#[derive(Debug, Subcommand)]
pub enum PolicyCommand {
    /// All of them.
    List,
    /// One, in full.
    Show { name: String },
    /// Keep a policy, in place of one of its name.
    Add {
        name: String,
        /// An ordinary table, or for `select` a view.
        #[arg(long)]
        table: String,
        /// `select`, `insert`, `update`, `delete` or `all`.
        #[arg(long)]
        action: String,
        /// `client`, `user` or `anonymous`; without it, any of them.
        #[arg(long)]
        role: Option<String>,
        /// Which rows that exist, as SQL; `true` is all.
        #[arg(long, value_name = "SQL")]
        using: Option<String>,
        /// Which rows may be written; without it, what --using says.
        #[arg(long, value_name = "SQL")]
        check: Option<String>,
        /// The columns it is for, separated by commas; without it, all.
        #[arg(long)]
        columns: Option<String>,
    },
    /// Drop a policy.
    Remove { name: String },
    /// Try a statement as somebody: what it would do, and which policy says no. Nothing is changed.
    Explain {
        /// One statement.
        sql: String,
        /// As which role: `client`, `user` or `anonymous`.
        #[arg(long, default_value = "user")]
        role: String,
        /// What `auth.uid()` gives.
        #[arg(long)]
        uid: Option<String>,
        /// What `auth.claim('…')` looks into, a JSON object.
        #[arg(long, value_name = "JSON")]
        claims: Option<String>,
    },
}

#[derive(Debug, Subcommand)]
pub enum KeysCommand {
    /// Which there are.
    List,
    /// A new key signs from now on; what the old one has signed holds until its time has passed.
    Rotate,
}

const MIGRATE_EXAMPLES: &str = "Examples:
  tidebase migrate new first_tables                 a file to write SQL into
  tidebase migrate up --dry-run                     try what is missing, and keep nothing
  tidebase migrate up                               apply what is missing
  tidebase migrate down                             undo the last one
  tidebase migrate status --url https://example.com what a server has
  tidebase migrate diff add_prices                  write what was changed by hand as a migration";

#[derive(Clone, Debug, Subcommand)]
pub enum MigrateCommand {
    /// Write an empty migration with the next number.
    New {
        /// What it does, in a few words.
        name: String,
        #[command(flatten)]
        folder: FolderArgs,
    },
    /// Apply what is missing: each in a transaction of its own, until one fails.
    Up(MigrateArgs),
    /// Undo the last one, or all behind --to.
    Down(MigrateArgs),
    /// Which are applied, and whether the files are still the same. Exit code 1 if they are not.
    Status {
        #[command(flatten)]
        place: PlaceArgs,
        #[command(flatten)]
        folder: FolderArgs,
        /// As JSON, for programs.
        #[arg(long)]
        json: bool,
    },
    /// Write the migration that makes what the files give into the schema as it is now.
    Diff {
        /// What it does, in a few words.
        name: String,
        #[command(flatten)]
        place: PlaceArgs,
        #[command(flatten)]
        folder: FolderArgs,
        /// Do not note it as applied on this database, which has it already.
        #[arg(long)]
        no_mark: bool,
    },
}

#[derive(Clone, Debug, Args)]
pub struct FolderArgs {
    /// Where the files are [env: TIDEBASE_MIGRATE] [default: migrations]
    #[arg(long, value_name = "FOLDER")]
    pub folder: Option<PathBuf>,
}

#[derive(Clone, Debug, Args)]
pub struct MigrateArgs {
    #[command(flatten)]
    pub place: PlaceArgs,
    #[command(flatten)]
    pub folder: FolderArgs,
    /// Up: the last one to apply. Down: the last one that stays; 0 undoes all.
    #[arg(long, value_name = "NUMBER")]
    pub to: Option<i64>,
    /// Do all of it in one transaction, say what came of it, and keep nothing.
    #[arg(long)]
    pub dry_run: bool,
}

#[derive(Clone, Debug, Default, Args)]
pub struct ServeArgs {
    /// The SQLite file; an existing one is opened as it is [env: TIDEBASE_DB] [default: ./data/tidebase.db]
    #[arg(long, value_name = "FILE")]
    pub db: Option<PathBuf>,
    /// Address and port; `:8080` means every IPv4 address [env: TIDEBASE_LISTEN, or PORT] [default: 127.0.0.1:8080]
    #[arg(long, value_name = "ADDR")]
    pub listen: Option<String>,
    /// The administrator's token; better given in the environment [env: TIDEBASE_ADMIN_TOKEN] [default: made on the first start]
    #[arg(long, value_name = "TOKEN")]
    pub admin_token: Option<String>,
    /// A token for clients that policies bind; those with a name of their own are made with `/auth/tokens` [env: TIDEBASE_CLIENT_TOKEN]
    #[arg(long, value_name = "TOKEN")]
    pub client_token: Option<String>,
    /// May people make themselves an account? `open` or `closed` [env: TIDEBASE_SIGNUP] [default: closed]
    #[arg(long, value_name = "OPEN")]
    pub signup: Option<String>,
    /// May people come in without an account? `open` or `closed` [env: TIDEBASE_ANONYMOUS] [default: closed]
    #[arg(long, value_name = "OPEN")]
    pub anonymous: Option<String>,
    /// Take the tokens of another issuer, as JSON: {"issuer", "audience", "jwks" or "key" or "secret", "algorithm"?, "prefix"?}.
    /// Repeatable [env: TIDEBASE_ISSUERS, an array]
    #[arg(long = "issuer", value_name = "JSON")]
    pub issuers: Vec<String>,
    /// A proxy stands in front: clients' addresses are the last ones of X-Forwarded-For [env: TIDEBASE_BEHIND_PROXY]
    #[arg(long)]
    pub behind_proxy: bool,
    /// Which SQL clients may run: `any` that policies open, or only `registered` statements [env: TIDEBASE_STATEMENTS] [default: any]
    #[arg(long, value_name = "WHICH")]
    pub statements: Option<String>,
    /// Apply the migrations in this folder before listening [env: TIDEBASE_MIGRATE] [default without a folder: migrations]
    #[arg(long, value_name = "FOLDER", num_args = 0..=1, require_equals = true, default_missing_value = "migrations")]
    pub migrate: Option<PathBuf>,
    /// Serve a folder at `/`: an application beside its database [env: TIDEBASE_PUBLIC]
    #[arg(long, value_name = "DIR")]
    pub public: Option<PathBuf>,
    /// Where all that is committed is kept, to go back to any moment: a folder, or `off` [env: TIDEBASE_BACKUPS] [default: <db>-backups]
    #[arg(long, value_name = "FOLDER")]
    pub backups: Option<PathBuf>,
    /// A second place for backups: a folder, or s3://bucket/prefix with AWS_ACCESS_KEY_ID and its like [env: TIDEBASE_BACKUP_MIRROR]
    #[arg(long, value_name = "PLACE")]
    pub backup_mirror: Option<String>,
    /// Where dumps are kept: a folder, or s3://bucket/prefix with AWS_ACCESS_KEY_ID and its like [env: TIDEBASE_DUMP_STORE]
    /// [default: beside the database, its name with -dumps]
    #[arg(long, value_name = "PLACE")]
    pub dump_store: Option<String>,
    /// For development: callbacks may go to this machine and its networks, and without TLS [env: TIDEBASE_ALLOW_PRIVATE_CALLBACKS]
    #[arg(long)]
    pub allow_private_callbacks: bool,
    /// Origins that browsers may call from, separated by commas [env: TIDEBASE_CORS] [default: *]
    #[arg(long, value_name = "ORIGINS")]
    pub cors: Option<String>,
    /// What is logged: error, warn, info, debug, trace [env: TIDEBASE_LOG] [default: info]
    #[arg(long, value_name = "LEVEL")]
    pub log: Option<String>,
    /// What keeps live queries cheap: of `routes,trails,parts,edges,tallies` those to use, or `none` [env: TIDEBASE_LIMIT_LIVE_TIERS]
    /// [default: all]
    #[arg(long, value_name = "LIST")]
    pub live_tiers: Option<String>,
    /// Change a limit; `tidebase config` lists them. Repeatable [env: TIDEBASE_LIMIT_<NAME>]
    #[arg(long = "limit", value_name = "NAME=VALUE")]
    pub limits: Vec<String>,
    /// The settings file [env: TIDEBASE_CONFIG] [default: ./tidebase.toml, if it is there]
    #[arg(long, value_name = "FILE")]
    pub config: Option<PathBuf>,
    /// Machine-readable output (for `config`).
    #[arg(long, hide = true)]
    pub json: bool,
}

#[derive(Clone, Debug, Args)]
pub struct DatabaseArgs {
    /// The SQLite file [env: TIDEBASE_DB] [default: ./data/tidebase.db]
    #[arg(long, value_name = "FILE")]
    pub db: Option<PathBuf>,
}

/// Where the database is: a local file, or a running server.
#[derive(Clone, Debug, Args)]
pub struct PlaceArgs {
    /// A local file [env: TIDEBASE_DB] [default: ./data/tidebase.db]
    #[arg(long, value_name = "FILE", conflicts_with = "url")]
    pub db: Option<PathBuf>,
    /// A running server instead, such as http://127.0.0.1:8080
    #[arg(long, value_name = "URL")]
    pub url: Option<String>,
    /// The token for the server [env: TIDEBASE_ADMIN_TOKEN]
    #[arg(long, value_name = "TOKEN")]
    pub token: Option<String>,
}

impl PlaceArgs {
    /// The server, if it is one.
    pub fn remote(&self) -> Option<RemoteArgs> {
        let url = self.url.clone()?;
        Some(RemoteArgs { url: Some(url), token: self.token.clone(), json: false })
    }
}

#[derive(Clone, Debug, Args)]
pub struct SqlArgs {
    #[command(flatten)]
    pub place: PlaceArgs,
    /// One JSON object a row instead of a table.
    #[arg(long)]
    pub json: bool,
    /// SQL to run; without it the shell reads from the terminal or from standard input.
    #[arg(value_name = "SQL")]
    pub sql: Option<String>,
}

#[derive(Clone, Debug, Args)]
pub struct TypesArgs {
    #[command(flatten)]
    pub place: PlaceArgs,
}

const BACKUP_EXAMPLES: &str = "Examples:
  tidebase backup --to copy.db       a copy, now
  tidebase backup status             from when to when a server's backups reach
  tidebase backup verify             read every byte of them";

const RESTORE_EXAMPLES: &str = "Examples:
  tidebase restore --at 2026-11-22T10:00:00Z --to then.db
  tidebase restore --at 10m --to then.db                 ten minutes ago
  tidebase restore --to last.db --from s3://bucket/shop  the latest state in that place
  tidebase restore --at 10m --url http://127.0.0.1:8080  in place of what that server is serving";

#[derive(Clone, Debug, Args)]
pub struct BackupArgs {
    #[command(subcommand)]
    pub command: Option<BackupCommand>,
    #[command(flatten)]
    pub kept: KeptArgs,
    /// Where the copy goes; it must not exist.
    #[arg(long, value_name = "FILE")]
    pub to: Option<PathBuf>,
}

#[derive(Clone, Copy, Debug, Subcommand)]
pub enum BackupCommand {
    /// From when to when they reach, and how large they are.
    Status,
    /// Every file, and the moment it leads to.
    List,
    /// Read every byte, and name the files that are damaged.
    Verify,
}

/// Which backups.
#[derive(Clone, Debug, Args)]
pub struct KeptArgs {
    /// The SQLite file [env: TIDEBASE_DB] [default: ./data/tidebase.db]
    #[arg(long, value_name = "FILE", global = true)]
    pub db: Option<PathBuf>,
    /// Where its backups are: a folder, or s3://bucket/prefix [env: TIDEBASE_BACKUPS] [default: <db>-backups]
    #[arg(long, value_name = "PLACE", global = true)]
    pub from: Option<PathBuf>,
    /// The answer as JSON, for programs.
    #[arg(long, global = true)]
    pub json: bool,
}

#[derive(Clone, Debug, Args)]
pub struct RestoreArgs {
    /// A time such as 2026-11-22T10:00:00Z, or how long ago: 90s, 10m, 2h, 3d [default: the latest]
    #[arg(long, value_name = "TIME", allow_hyphen_values = true)]
    pub at: Option<String>,
    /// A revision, as answers and `GET /backups` tell it.
    #[arg(long, value_name = "NUMBER", conflicts_with = "at")]
    pub revision: Option<i64>,
    /// The file to make; it must not exist.
    #[arg(long, value_name = "FILE")]
    pub to: Option<PathBuf>,
    #[command(flatten)]
    pub kept: KeptArgs,
    /// A running server, which goes back to that moment itself.
    #[arg(long, value_name = "URL", conflicts_with_all = ["to", "db", "from"])]
    pub url: Option<String>,
    /// The admin token for the server [env: TIDEBASE_ADMIN_TOKEN]
    #[arg(long, value_name = "TOKEN")]
    pub token: Option<String>,
}

const EXPORT_EXAMPLES: &str = "Examples:
  tidebase export --to shop.sql.zst                 everything, as SQL that makes it again
  tidebase export --table book --to book.csv        one table; the name says the format
  tidebase export --table book --format json | jq   to standard output
  tidebase export --url https://example.com --to shop.sql.gz";

const IMPORT_EXAMPLES: &str = "Examples:
  tidebase import shop.sql.zst                      SQL, as it comes from an export or from sqlite3's .dump
  tidebase import old.db                            what is in an SQLite file
  tidebase import book.csv --table book --create    a table made of what the records hold
  tidebase import --dry-run --url https://example.com shop.sql";

#[derive(Clone, Debug, Args)]
pub struct ExportArgs {
    #[command(flatten)]
    pub place: PlaceArgs,
    /// One table or view; without it the whole database.
    #[arg(long, value_name = "NAME")]
    pub table: Option<String>,
    /// `sql`, or with --table `json`, `ndjson` or `csv` [default: what the name of the file says]
    #[arg(long, value_name = "FORMAT")]
    pub format: Option<String>,
    /// Where it goes; `.gz` and `.zst` squeeze it. It must not exist [default: standard output]
    #[arg(long, value_name = "FILE")]
    pub to: Option<PathBuf>,
    /// Also Tidebase's own tables.
    #[arg(long)]
    pub system: bool,
    /// Rows alone, no CREATE statements.
    #[arg(long)]
    pub no_schema: bool,
}

#[derive(Clone, Debug, Args)]
pub struct ImportArgs {
    /// The file; `-` is standard input.
    #[arg(value_name = "FILE")]
    pub from: PathBuf,
    #[command(flatten)]
    pub place: PlaceArgs,
    /// The table that records of JSON or CSV go into.
    #[arg(long, value_name = "NAME")]
    pub table: Option<String>,
    /// `sql`, or with --table `json` or `csv` [default: what the name of the file says]
    #[arg(long, value_name = "FORMAT")]
    pub format: Option<String>,
    /// Make the table if it is not there.
    #[arg(long)]
    pub create: bool,
    /// A name in the file and the column it is for. Repeatable.
    #[arg(long = "map", value_name = "NAME=COLUMN")]
    pub mapping: Vec<String>,
    /// What parts the fields of CSV: one character, or `tab` [default: tab for .tsv, a comma otherwise]
    #[arg(long, value_name = "CHAR")]
    pub delimiter: Option<String>,
    /// Keep what can be kept, and tell of the rest.
    #[arg(long)]
    pub partial: bool,
    /// Say what would come of it, and keep nothing.
    #[arg(long)]
    pub dry_run: bool,
}
