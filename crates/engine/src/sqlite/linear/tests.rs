//! Ours against SQLite's own.

use super::register;
use rusqlite::limits::Limit;
use rusqlite::types::Value;
use rusqlite::{Connection, params_from_iter};
use std::time::{Duration, Instant};

const CALLS: [(&str, usize); 6] = [("instr", 2), ("replace", 3), ("trim", 2), ("ltrim", 2), ("rtrim", 2), ("unhex", 2)];

/// Seeded: what fails fails again.
struct Dice(u64);

impl Dice {
    fn roll(&mut self, below: usize) -> usize {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (self.0 >> 33) as usize % below
    }

    /// Of few different bytes, the same for all arguments of a call, so that they meet: whole characters, halves of some, NUL.
    fn bytes(&mut self, (from, kinds): (usize, usize)) -> Vec<u8> {
        const BYTES: [u8; 16] =
            [b'a', b'b', b' ', b'1', b'F', 0, 0xa9, 0xe2, 0xc3, 0x80, 0xbf, 0xf0, 0xc3, 0xa9, 0xfe, 0xff];
        let length = [3, 8, 30][self.roll(3)];
        (0..self.roll(length + 1)).map(|_| BYTES[(from + self.roll(kinds)) % 16]).collect()
    }

    fn value(&mut self, kinds: (usize, usize)) -> Value {
        match self.roll(12) {
            0 => Value::Null,
            1 => Value::Integer([0, 1, 11, -7, 1_111_111_111][self.roll(5)]),
            2 => Value::Real([0.0, 1.5, -1e300, 11.11][self.roll(4)]),
            _ => Value::Blob(self.bytes(kinds)),
        }
    }
}

fn pair(encoding: &str, bytes_max: Option<i32>) -> [Connection; 2] {
    let [own, ours] = [Connection::open_in_memory().unwrap(), Connection::open_in_memory().unwrap()];
    register(&ours).unwrap();
    for connection in [&own, &ours] {
        connection.execute_batch(&format!("PRAGMA encoding = '{encoding}'; CREATE TABLE t (a);")).unwrap();
        if let Some(bytes_max) = bytes_max {
            connection.set_limit(Limit::SQLITE_LIMIT_LENGTH, bytes_max).unwrap();
        }
    }
    [own, ours]
}

/// Its type and its bytes, or why there is none.
fn told(connection: &Connection, sql: &str, values: &[Value]) -> String {
    let mut statement = connection.prepare_cached(sql).unwrap();
    let row = statement.query_row(params_from_iter(values), |row| Ok((row.get(0)?, row.get(1)?)));
    row.map_or_else(|error| error.to_string(), |(kind, hex): (String, String)| format!("{kind} {hex}"))
}

#[test]
fn ours_give_what_sqlites_own_give_for_all_values() {
    for (encoding, bytes_max) in [("UTF-8", None), ("UTF-8", Some(64)), ("UTF-16le", None), ("UTF-16be", None)] {
        let [own, ours] = pair(encoding, bytes_max);
        let mut dice = Dice(7);
        for round in 0..20_000 {
            for (name, count) in CALLS {
                let kinds = (dice.roll(16), [2, 3, 5, 16][dice.roll(4)]);
                let values: Vec<Value> = (0..count).map(|_| dice.value(kinds)).collect();
                // Texts that are no UTF-8 come into being by CAST alone.
                let casts = dice.roll(1 << count) | dice.roll(1 << count);
                let argument = |at: usize| match casts >> at & 1 {
                    1 => format!("CAST(?{} AS TEXT)", at + 1),
                    _ => format!("?{}", at + 1),
                };
                let call = format!("{name}({})", (0..count).map(argument).collect::<Vec<_>>().join(", "));
                let sql = format!("SELECT typeof(r), hex(r) FROM (SELECT {call} AS r LIMIT 1)");
                let (expected, given) = (told(&own, &sql, &values), told(&ours, &sql, &values));
                assert_eq!(given, expected, "{encoding} {bytes_max:?} {round}: {call} of {values:?}");
            }
        }
    }
}

#[test]
fn of_characters_that_fit_the_first_of_the_set_is_taken() {
    let [own, ours] = pair("UTF-8", None);
    for (call, left) in [
        ("rtrim(CAST(x'78c380' AS TEXT), x'80c380')", "78C3"),
        ("rtrim(CAST(x'78c380' AS TEXT), x'c3806180')", "78"),
        ("ltrim(CAST(x'c38078' AS TEXT), x'c361c380')", "8078"),
        ("ltrim(CAST(x'c38078' AS TEXT), x'c38061c3')", "78"),
    ] {
        let sql = format!("SELECT typeof(r), hex(r) FROM (SELECT {call} AS r LIMIT 1)");
        for connection in [&own, &ours] {
            assert_eq!(told(connection, &sql, &[]), format!("text {left}"), "{call}");
        }
    }
}

#[test]
fn what_is_too_big_is_so_to_the_byte() {
    let [own, ours] = pair("UTF-8", Some(1200));
    for (call, sizes) in [
        ("replace(printf('%.*c', ?1, 'a'), 'a', 'bb')", 590..605),
        ("replace(printf('%.*c', ?1, 'a'), 'aa', 'b')", 1190..1205),
        ("replace(printf('%.*c', ?1, 'a'), 'c', 'b')", 1190..1205),
        ("replace(printf('%.*c', ?1, 'a'), '', 'b')", 1190..1205),
        ("trim('a', printf('%.*c', ?1, 'b'))", 90..110),
        ("trim('a', printf('%.*c', ?1, 'é'))", 90..110),
    ] {
        for size in sizes {
            let sql = format!("SELECT typeof(r), hex(substr(r, 1, 9)) FROM (SELECT {call} AS r LIMIT 1)");
            let values = [Value::Integer(size)];
            assert_eq!(told(&ours, &sql, &values), told(&own, &sql, &values), "{call} of {size}");
        }
    }
}

#[test]
fn an_argument_stays_what_it_was() {
    let [own, ours] = pair("UTF-8", None);
    for connection in [&own, &ours] {
        connection.execute_batch("INSERT INTO t VALUES (x'6162'), ('ab'), (5), (NULL)").unwrap();
    }
    for sql in [
        "SELECT group_concat(typeof(a) || instr(a, 'b') || typeof(a)), hex(group_concat(instr(x'616263', a))) FROM t",
        "SELECT group_concat(typeof(a) || instr(a, x'62')), hex(group_concat(replace(a, 'b', 5) || typeof(a))) FROM t",
        "SELECT group_concat(typeof(b) || trim(b, a) || typeof(b)), 1 FROM t, (SELECT x'6162' AS b LIMIT 1)",
    ] {
        assert_eq!(told(&ours, sql, &[]), told(&own, sql, &[]), "{sql}");
    }
}

#[test]
fn a_file_with_indexes_of_sqlites_own_stays_valid_under_ours() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("t.db");
    let schema =
        "CREATE TABLE t (a, b AS (replace(a, 'x', 'yy')) STORED, c AS (rtrim(a, 'é ')), CHECK (instr(a, '!') = 0));
        CREATE INDEX t_instr ON t (instr(a, 'é')); CREATE INDEX t_trim ON t (trim(a, 'xé')) WHERE ltrim(a, 'x') <> '';
        CREATE INDEX t_c ON t (c, unhex(a, ' '))";
    let fill =
        "INSERT INTO t VALUES (1.5), ('xéx'), (x'c378'), ('éé  '), (NULL), ('41 42'), (CAST(x'80c3a9c3' AS TEXT))";
    let own = Connection::open(&path).unwrap();
    own.execute_batch(&format!("{schema}; {fill}")).unwrap();
    drop(own);
    let ours = crate::sqlite::open::open(&path, None, crate::sqlite::open::Purpose::Write, Duration::ZERO).unwrap();
    let check = |connection: &Connection| -> String {
        connection.query_row("PRAGMA integrity_check", [], |row| row.get(0)).unwrap()
    };
    assert_eq!(check(&ours.own), "ok");
    ours.own.execute_batch(&format!("{fill}; DELETE FROM t WHERE instr(a, 'é') = 2")).unwrap();
    drop(ours);
    assert_eq!(check(&Connection::open(&path).unwrap()), "ok");
}

#[test]
fn long_texts_take_no_longer_than_they_are() {
    let [_, ours] = pair("UTF-8", None);
    let long = |bytes: &[u8], size: usize| Value::Blob(bytes.repeat(size / bytes.len()));
    let began = Instant::now();
    let with_end = |mut value: Value, end: &[u8]| {
        if let Value::Blob(bytes) = &mut value {
            bytes.extend_from_slice(end);
        }
        value
    };
    let half = || with_end(long(b"a", 2 << 20), b"b");
    // Characters of many lengths, none of which is in the text.
    let many: Vec<u8> = (1..1500).flat_map(|length| [&[0xc3][..], &vec![0x80; length], &[0x81]].concat()).collect();
    let letters: String = (0x800..0x20000).filter_map(char::from_u32).collect();
    for (call, values) in [
        ("instr(CAST(?1 AS TEXT), CAST(?2 AS TEXT))", vec![long(b"a", 4 << 20), half()]),
        ("instr(?1, ?2)", vec![long(b"a", 4 << 20), half()]),
        ("replace(?1, ?2, 'c')", vec![long(b"a", 4 << 20), half()]),
        ("trim(?1, ?2)", vec![long("é".as_bytes(), 4 << 20), Value::Text(letters.clone() + "é")]),
        (
            "rtrim(?1, ?2)",
            vec![long(&[&[0xc3][..], &[0x80; 1500]].concat(), 4 << 20), with_end(Value::Blob(many), &[0x80])],
        ),
        ("unhex(?1, ?2)", vec![long("é".as_bytes(), 4 << 20), Value::Text(letters + "é")]),
    ] {
        let sql = format!("SELECT typeof(r), length(r) || '' FROM (SELECT {call} AS r LIMIT 1)");
        told(&ours, &sql, &values);
    }
    assert!(began.elapsed() < Duration::from_secs(20), "{:?}", began.elapsed());
}
