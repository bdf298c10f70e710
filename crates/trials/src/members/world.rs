//! What the worlds of this trial are made of: tables, policies, callers, queries and what happens.

use crate::random::Random;
use serde_json::json;
use std::sync::Arc;
use tidebase_engine::access::{Action, Policy};
use tidebase_engine::limits::LiveTiers;
use tidebase_engine::{Caller, Limits, Params, Role, Value};

pub struct World {
    pub setup: Vec<String>,
    tables: Vec<Table>,
    pub policies: Vec<Policy>,
    pub callers: Vec<Arc<Caller>>,
    pub queries: Vec<Query>,
    pub limits: Limits,
}

/// A table that policies open: its key's columns first, then `room`, `owner` and `n`.
struct Table {
    name: &'static str,
    key: &'static [&'static str],
}

pub struct Query {
    pub sql: String,
    pub params: Params,
    pub is_ordered: bool,
    /// For plain SQLite: ties broken, and the place of each table held by its name in braces.
    plain: String,
}

#[derive(Debug)]
pub enum Event {
    Write(String),
    Writes(Vec<String>),
    Keep(Policy),
    Drop(String),
    ComeBack(usize),
    Ask(usize, usize),
}

const TABLES: [Table; 3] =
    [Table { name: "t", key: &["id"] }, Table { name: "u", key: &["k"] }, Table { name: "w", key: &["a", "b"] }];
const KINDS: [&str; 8] =
    ["", "INTEGER", "TEXT", "TEXT", "TEXT COLLATE NOCASE", "TEXT COLLATE RTRIM", "NUMERIC", "BLOB"];
const VALUES: [&str; 14] =
    ["'a'", "'a'", "'A'", "'b'", "'B '", "1", "1", "'1'", "2", "2.5", "1.0", "NULL", "x'61'", "''"];
const NAMES: [&str; 4] = ["one", "other", "third", "fourth"];

fn value(random: &mut Random) -> &'static str {
    VALUES[random.below(VALUES.len())]
}

fn small(random: &mut Random) -> String {
    random.below(6).to_string()
}

impl World {
    pub fn random(random: &mut Random) -> Self {
        let kind = |random: &mut Random| KINDS[random.below(KINDS.len())];
        // In half of the worlds all compare alike, so that there is a way to the callers.
        let common = random.percent(50).then(|| kind(random));
        let pick = |random: &mut Random| common.unwrap_or_else(|| kind(random));
        let mut setup = vec![
            format!(
                "CREATE TABLE t (id INTEGER PRIMARY KEY, room {}, owner {}, n INTEGER)",
                pick(random),
                kind(random)
            ),
            format!("CREATE TABLE u (k TEXT PRIMARY KEY, room {}, owner {}, n INTEGER)", pick(random), kind(random)),
            format!(
                "CREATE TABLE w (a INTEGER, b TEXT, room {}, owner {}, n INTEGER, PRIMARY KEY (a, b)) WITHOUT ROWID",
                pick(random),
                kind(random)
            ),
            format!("CREATE TABLE member (room {}, user {}, level INTEGER)", pick(random), kind(random)),
        ];
        for index in ["t (room)", "t (owner)", "member (room, user)", "member (user)", "u (room, n)"] {
            if random.percent(50) {
                setup.push(format!("CREATE INDEX i{} ON {index}", setup.len()));
            }
        }
        for _ in 0..random.between(0, 12) {
            setup.push(random_write(random));
        }
        let mut limits = Limits::default();
        if random.percent(70) {
            limits.live_part_micros = 0;
        }
        if random.percent(20) {
            let mut is_on = || random.percent(70);
            limits.live_tiers =
                LiveTiers { routes: is_on(), trails: is_on(), parts: is_on(), edges: is_on(), tallies: is_on() };
        }
        let caller =
            |role, uid: Option<&str>, claims| Arc::new(Caller { claims, ..Caller::new(role, uid.map(Into::into)) });
        let callers = vec![
            caller(Role::User, Some("a"), json!({"level": 1, "org": "b"})),
            caller(Role::User, Some("A"), json!({"level": "2", "org": "a"})),
            caller(Role::User, Some("1"), json!({"level": 2.5, "org": 1})),
            caller(Role::User, Some("b"), json!({"org": null})),
            caller(Role::Client, Some("a"), json!({"level": true, "org": ["b"]})),
            caller(Role::Anonymous, None, json!({"level": 1.0, "org": "b"})),
        ];
        let mut world =
            Self { setup, tables: TABLES.into(), policies: Vec::new(), callers, queries: Vec::new(), limits };
        for _ in 0..random.between(2, 5) {
            let policy = world.policy(random);
            world.policies.retain(|known| known.name != policy.name);
            world.policies.push(policy);
        }
        world.policies.sort_by(|a, b| a.name.cmp(&b.name));
        world.queries = (0..random.between(3, 8)).map(|_| world.query(random)).collect();
        world
    }

    fn table(&self, random: &mut Random) -> &Table {
        &self.tables[random.weighted(&[60, 25, 15])]
    }

    fn policy(&self, random: &mut Random) -> Policy {
        let table = self.table(random);
        let columns = random.percent(20).then(|| {
            let mut columns: Vec<String> = table.key.iter().map(|&key| key.to_owned()).collect();
            columns.extend(random.some_of(&["room", "owner", "n"]).into_iter().map(str::to_owned));
            columns
        });
        let role = random.percent(40).then(|| if random.percent(70) { Role::User } else { Role::Client });
        Policy {
            name: format!("{} {}", table.name, NAMES[random.weighted(&[60, 25, 10, 5])]),
            table: table.name.into(),
            action: if random.percent(90) { Action::Select } else { Action::All },
            role,
            using: Some(using(random, table.name)),
            check: None,
            columns,
        }
    }

    fn query(&self, random: &mut Random) -> Query {
        let table = self.table(random);
        let (name, key) = (table.name, table.key.join(", "));
        let mut params = Params::None;
        let column = *random.pick(&["room", "owner", "n"]);
        let condition = match random.below(5) {
            0 => String::new(),
            1 => {
                params = Params::Positional(vec![Value::text(*random.pick(&["a", "b", "1"]))]);
                format!(" WHERE x.{column} = ?")
            }
            2 => {
                params = Params::Positional(vec![Value::Integer(random.below(4) as i64)]);
                format!(" WHERE n > ?1 OR {column} IS NULL")
            }
            3 => format!(" WHERE {column} IN (1, 'a', {})", random.below(4)),
            _ => format!(" WHERE n BETWEEN 1 AND {}", random.below(6)),
        };
        let order = if random.percent(30) {
            let limit = if random.percent(60) { format!(" LIMIT {}", random.between(1, 4)) } else { String::new() };
            let direction = if random.percent(50) { " DESC" } else { "" };
            Some((format!(" ORDER BY n{direction}"), limit))
        } else {
            None
        };
        let (items, width) = match random.below(6) {
            0 => ("*".to_owned(), 0),
            1 => (format!("{key}, auth.uid() AS me"), table.key.len() + 1),
            2 => (format!("{column}, {key}, n"), table.key.len() + 2),
            3 => ("count(*), count(n)".to_owned(), 2),
            _ => (key, table.key.len()),
        };
        let is_ordered = order.is_some() && width > 0 && !items.starts_with("count");
        let (by, limit) = order.filter(|_| is_ordered).unwrap_or_default();
        if random.percent(10) {
            let sql = format!("SELECT x.{}, y.n FROM {name} AS x JOIN t AS y ON y.n = x.n", table.key[0]);
            let plain = format!("SELECT x.{}, y.n FROM {{{name}}} AS x JOIN {{t}} AS y ON y.n = x.n", table.key[0]);
            return Query { sql, params: Params::None, is_ordered: false, plain };
        }
        let ties: String = if is_ordered {
            (1..=width).map(|column| format!(", {column} COLLATE BINARY")).collect()
        } else {
            String::new()
        };
        let sql = format!("SELECT {items} FROM {name} AS x{condition}{by}{limit}");
        let items = items.replace("auth.uid()", "auth_uid()");
        let plain = format!("SELECT {items} FROM {{{name}}} AS x{condition}{by}{ties}{limit}");
        Query { sql, params, is_ordered, plain }
    }

    /// The query as plain SQLite answers it for a caller of this role; `None` if a table is closed to it.
    pub fn as_seen_by(&self, query: &Query, role: Role) -> Option<String> {
        let mut sql = query.plain.clone();
        for table in &self.tables {
            let place = format!("{{{}}}", table.name);
            if sql.contains(&place) {
                sql = sql.replace(&place, &format!("({})", self.seen(table, role)?));
            }
        }
        Some(sql)
    }

    fn seen(&self, table: &Table, role: Role) -> Option<String> {
        let policies: Vec<&Policy> =
            self.policies.iter().filter(|policy| policy.is_for(table.name, Action::Select, role)).collect();
        let any =
            |policies: &[&Policy]| policies.iter().map(|policy| policy.using_sql()).collect::<Vec<_>>().join(" OR ");
        if policies.is_empty() {
            return None;
        }
        let column = |name: &&str| {
            let granting: Vec<&Policy> = policies.iter().filter(|policy| policy.grants(name)).copied().collect();
            match granting.len() {
                0 => None,
                all if all == policies.len() => Some((*name).to_owned()),
                _ => Some(format!("CASE WHEN {} THEN {name} END AS {name}", any(&granting))),
            }
        };
        let columns: Vec<String> = table.key.iter().chain(&["room", "owner", "n"]).filter_map(column).collect();
        Some(format!("SELECT {} FROM main.{} WHERE {}", columns.join(", "), table.name, any(&policies)))
    }

    pub fn event(&self, random: &mut Random) -> Event {
        match random.weighted(&[60, 14, 4, 3, 4, 6]) {
            0 => Event::Write(random_write(random)),
            1 => Event::Writes((0..random.between(2, 5)).map(|_| random_write(random)).collect()),
            2 => Event::Keep(self.policy(random)),
            3 if self.policies.len() > 1 => Event::Drop(random.pick(&self.policies).name.clone()),
            4 => Event::ComeBack(random.below(8)),
            _ => Event::Ask(random.below(8), random.below(self.queries.len())),
        }
    }
}

/// One alternative: a look at members, a value, a role, or several of them.
fn using(random: &mut Random, table: &str) -> String {
    let asked = *random.pick(&["auth.uid()", "auth.uid()", "auth.uid()", "auth.claim('org')"]);
    let exists = format!("EXISTS (SELECT 1 FROM member WHERE member.room = {table}.room AND member.user = {asked})");
    let listed = format!("room IN (SELECT room FROM member WHERE user = {asked})");
    match random.below(18) {
        0..=3 => exists,
        4 | 5 => listed,
        6 | 7 => format!("owner = {asked}"),
        8 => format!("{exists} AND n <> 3"),
        9 => format!("n IS NOT 2 AND room IN (SELECT m.room FROM member AS m WHERE m.user = {asked} AND level > 1)"),
        10 => format!("owner = {asked} OR {exists}"),
        11 => format!("NOT {exists}"),
        12 => format!(
            "EXISTS (SELECT * FROM member AS x WHERE x.room IS {table}.room AND user = {asked} AND x.level = n)"
        ),
        13 => "auth.role() = 'user' AND n > auth.claim('level')".into(),
        14 => format!("n = 1 OR owner = {asked}"),
        15 => format!("(SELECT count(*) FROM {table}) > n AND owner IS NOT NULL"),
        16 => format!("abs(n) > 1 AND {exists}"),
        _ => "true".into(),
    }
}

fn random_write(random: &mut Random) -> String {
    let (room, owner, n, id) = (value(random), value(random), small(random), small(random));
    match random.below(22) {
        0..=3 => format!("INSERT OR REPLACE INTO t VALUES ({id}, {room}, {owner}, {n})"),
        4 => {
            // Several rows may have NULL for a key.
            let key = *random.pick(&["NULL", "NULL", "'a'", "'b'", "1"]);
            format!("INSERT OR REPLACE INTO u VALUES ({key}, {room}, {owner}, {n})")
        }
        5 => format!("INSERT OR REPLACE INTO w VALUES ({id}, coalesce({owner}, 'x'), {room}, {owner}, {n})"),
        6 | 7 => format!("UPDATE t SET room = {room} WHERE id = {id}"),
        8 => format!("UPDATE t SET owner = {owner}, n = {n} WHERE id >= {id}"),
        9 => format!("UPDATE OR REPLACE t SET id = {id} WHERE n = {n}"),
        10 => format!("DELETE FROM t WHERE id = {id} OR room = {room}"),
        11 => format!("UPDATE u SET room = {room}, n = {n} WHERE owner = {owner}"),
        12 => format!("DELETE FROM {} WHERE n = {n}", random.pick(&["u", "w"])),
        13..=15 => format!("INSERT INTO member VALUES ({room}, {owner}, {n})"),
        16 => format!("DELETE FROM member WHERE room = {room}"),
        17 => format!("DELETE FROM member WHERE user = {owner} AND level < {n}"),
        18 => format!("UPDATE member SET user = {owner} WHERE level = {n}"),
        19 => format!("UPDATE member SET room = {room} WHERE user = {owner}; UPDATE t SET n = {n} WHERE id = {id}"),
        20 => format!(
            "INSERT INTO member VALUES ({room}, {owner}, {n}); INSERT OR REPLACE INTO t VALUES ({id}, {room}, {owner}, {n})"
        ),
        _ => format!("UPDATE w SET n = {n}, room = {room} WHERE a = {id}"),
    }
}
