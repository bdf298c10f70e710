//! The shapes of random queries: everything a SELECT can be, one function each.

use super::expression::{Build, Source, Term};
use super::query::Shape;
use super::values::Kind;
use crate::traps::Trap;
use tidebase_engine::Value;

pub fn random(build: &mut Build<'_>) -> Shape {
    const WEIGHTS: [usize; 20] = [16, 14, 8, 6, 10, 5, 6, 8, 7, 6, 5, 6, 5, 3, 1, 4, 2, 24, 9, 14];
    match build.random.weighted(&WEIGHTS) {
        0 => filter(build),
        1 => join(build),
        2 => semi_join(build),
        3 => cross_or_self_join(build),
        4 => group(build),
        5 => whole_aggregate(build),
        6 => distinct(build),
        7 => window(build),
        8 => compound(build),
        9 => common_table(build),
        10 => recursion(build),
        11 => full_text(build),
        12 => bare_column(build),
        13 => limited_sub_query(build),
        14 => constant(build),
        15 => json(build),
        16 => slow(build),
        17 => by_value(build),
        18 => top(build),
        _ => counting(build),
    }
}

/// The result columns: some of the sources', computed ones among them, with or without the key.
fn columns(build: &mut Build<'_>, scope: &[Source]) -> Vec<String> {
    let mut shown = Vec::new();
    if build.random.percent(55) {
        shown.extend(scope.iter().flat_map(|source| &source.key).map(|key| key.sql.clone()));
    } else {
        build.traps.add(Trap::Duplicates);
    }
    for _ in 0..build.random.between(usize::from(shown.is_empty()), 3) {
        let depth = build.random.below(2);
        shown.push(build.scalar(scope, depth));
    }
    if shown.is_empty() {
        shown.push(build.column(scope).sql);
    }
    shown
}

fn aliased(build: &mut Build<'_>, columns: &[String]) -> String {
    let name = |(index, column): (usize, &String)| {
        if build.random.percent(30) { format!("{column} AS c{index}") } else { column.clone() }
    };
    columns.iter().enumerate().map(name).collect::<Vec<_>>().join(", ")
}

fn condition(build: &mut Build<'_>, scope: &[Source], chance: usize) -> String {
    if build.random.percent(chance) { format!(" WHERE {}", build.predicate(scope, 1)) } else { String::new() }
}

fn orders(build: &mut Build<'_>, scope: &[Source]) -> Vec<String> {
    let key = scope[0].key.iter().map(|key| key.sql.clone());
    let mut orders: Vec<String> = key.collect();
    orders.push(build.column(scope).sql);
    orders.push(build.scalar(scope, 1));
    // A bare number would be a column's, a parameter is no order at all.
    orders.retain(|order| order.contains('x'));
    orders
}

fn shape(build: &mut Build<'_>, scope: &[Source], head: &str, rest: &str) -> Shape {
    let columns = columns(build, scope);
    let core = format!("{head} {} FROM {rest}", aliased(build, &columns));
    Shape { core, columns: columns.len(), order: orders(build, scope), is_whole: false, top: None }
}

fn filter(build: &mut Build<'_>) -> Shape {
    let scope = [build.source()];
    let condition = condition(build, &scope, 75);
    let rest = format!("{}{condition}", scope[0].from);
    if build.random.percent(15) {
        let core = format!("SELECT * FROM {rest}");
        return Shape {
            core,
            columns: scope[0].columns.len(),
            order: orders(build, &scope),
            is_whole: false,
            top: None,
        };
    }
    shape(build, &scope, "SELECT", &rest)
}

/// What applications ask: the rows of one value, joined with others or counted perhaps.
fn by_value(build: &mut Build<'_>) -> Shape {
    build.may_bind = build.random.percent(80);
    let mut scope = vec![build.source()];
    let mut from = scope[0].from.clone();
    if build.random.percent(8) {
        // Tied by nothing but what is joined to both, or by nothing at all.
        let other = build.source();
        from = format!("{from}, {}", other.from);
        scope.push(other);
    }
    for _ in 0..build.random.weighted(&[55, 30, 15]) {
        joined(build, &mut scope, &mut from, &["JOIN", "JOIN", "LEFT JOIN"]);
    }
    let Term { sql, kind, .. } = build.column(&scope);
    let term = match build.random.below(12) {
        0..=5 => format!("{sql} = {}", build.asked(kind)),
        6 => format!("{sql} IS {}", build.asked(kind)),
        7 => format!("{sql} IN ({}, {})", build.asked(kind), build.asked(kind)),
        8 | 9 => format!("{sql} {} {}", *build.random.pick(&["<", "<=", ">", ">="]), build.asked(kind)),
        10 => format!("{sql} BETWEEN {} AND {}", build.asked(kind), build.asked(kind)),
        _ => format!("{sql} LIKE {}", build.pattern("%")),
    };
    let more = if build.random.percent(30) { format!(" AND {}", build.predicate(&scope, 0)) } else { String::new() };
    let rest = format!("{from} WHERE {term}{more}");
    if build.random.percent(65) {
        return shape(build, &scope, "SELECT", &rest);
    }
    if build.random.percent(35) {
        return tally(build, &scope, &rest);
    }
    build.traps.add(Trap::Grouping);
    let (key, of) = (build.column(&scope).sql, build.column(&scope).sql);
    let function = *build.random.pick(&["count", "sum", "sum", "min", "max", "count(DISTINCT"]);
    if function == "sum" {
        build.traps.add(Trap::FloatSum);
        build.may_fail = true;
    }
    let aggregate = if function.contains('(') { format!("{function} {of})") } else { format!("{function}({of})") };
    let core = format!("SELECT {key}, count(*), {aggregate} FROM {rest} GROUP BY {key}");
    Shape { core, columns: 3, order: vec![key], is_whole: false, top: None }
}

/// What a dashboard asks of one table.
fn counting(build: &mut Build<'_>) -> Shape {
    let scope = [build.source()];
    let condition = condition(build, &scope, 50);
    tally(build, &scope, &format!("{}{condition}", scope[0].from))
}

/// Counts and sums, all together or by a column.
fn tally(build: &mut Build<'_>, scope: &[Source], rest: &str) -> Shape {
    let mut shown = vec!["count(*)".to_owned()];
    for _ in 0..build.random.between(1, 2) {
        let whole: Vec<Term> =
            scope.iter().flat_map(|source| &source.columns).filter(|of| of.kind == Kind::Integer).cloned().collect();
        let is_whole = !whole.is_empty() && build.random.percent(70);
        let of = if is_whole { build.random.pick(&whole).clone() } else { build.column(scope) };
        let function = if build.random.percent(if is_whole { 90 } else { 25 }) { "sum" } else { "count" };
        if function == "sum" {
            build.traps.add(Trap::FloatSum);
            build.may_fail = true;
        }
        shown.push(format!("{function}({})", of.sql));
    }
    let mut by = String::new();
    if build.random.percent(50) {
        build.traps.add(Trap::Grouping);
        let mut keys = vec![build.column(scope).sql];
        if build.random.percent(40) {
            keys.push(build.column(scope).sql);
        }
        by = format!(" GROUP BY {}", keys.join(", "));
        for key in keys {
            shown.insert(build.random.below(shown.len() + 1), key);
        }
    }
    let core = format!("SELECT {} FROM {rest}{by}", aliased(build, &shown));
    Shape { core, columns: shown.len(), order: vec![], is_whole: false, top: None }
}

/// The first rows by a column that is shown: a feed, a list of the best.
fn top(build: &mut Build<'_>) -> Shape {
    build.may_bind = build.random.percent(80);
    let mut scope = vec![build.source()];
    let mut from = scope[0].from.clone();
    if build.random.percent(20) {
        joined(build, &mut scope, &mut from, &["JOIN", "LEFT JOIN"]);
    }
    let by = build.column(&scope).sql;
    // Another column's name, perhaps, is the shown one's here: ORDER BY means what is shown.
    let other = build.column(&scope).sql;
    let other = other.rsplit('.').next().unwrap_or_default();
    let name = *build.random.pick(&["", "", "", "c0", other]);
    let mut shown = if name.is_empty() { vec![by.clone()] } else { vec![format!("{by} AS {name}")] };
    shown.extend(scope[0].key.iter().map(|key| key.sql.clone()).filter(|_| build.random.percent(70)));
    shown.extend((0..build.random.below(2)).map(|_| build.column(&scope).sql));
    let condition = condition(build, &scope, 40);
    let mut order = if name.is_empty() || build.random.percent(40) { by } else { name.to_owned() };
    let ways = ["", "", " DESC", " DESC", " asc", " DESC NULLS FIRST", " COLLATE NOCASE"];
    order.push_str(build.random.pick::<&str>(&ways));
    if build.random.percent(30) {
        order.push_str(&format!(", {}", build.column(&scope).sql));
    }
    build.traps.add(Trap::OrderTies);
    build.traps.add(Trap::LimitOrdered);
    let limit = Value::Integer(build.random.between(1, 4) as i64);
    let limit = format!("LIMIT {}", build.say(limit));
    let core = format!("SELECT {} FROM {from}{condition}", shown.join(", "));
    Shape { core, columns: shown.len(), order: vec![], is_whole: false, top: Some((order, limit)) }
}

/// `a JOIN b ON …`: on columns that meet now and then.
fn joined(build: &mut Build<'_>, scope: &mut Vec<Source>, from: &mut String, kinds: &[&str]) {
    let next = build.source();
    let left = build.column(scope);
    let alike: Vec<_> = next.columns.iter().filter(|column| column.kind == left.kind).cloned().collect();
    let right =
        if alike.is_empty() { build.random.pick(&next.columns).clone() } else { build.random.pick(&alike).clone() };
    if !left.is_indexed && !right.is_indexed {
        build.traps.add(Trap::UnindexedJoin);
    }
    let kind = *build.random.pick(kinds);
    build.traps.add(if kind == "JOIN" { Trap::Joins } else { Trap::OuterJoins });
    scope.push(next);
    let more = match build.random.below(10) {
        0..=2 => format!(" AND {}", build.predicate(scope, 0)),
        // A second link, perhaps to another table.
        3 | 4 => format!(" AND {} = {}", build.column(scope).sql, build.column(&scope[scope.len() - 1..]).sql),
        _ => String::new(),
    };
    let next = &scope[scope.len() - 1];
    from.push_str(&format!(" {kind} {} ON {} = {}{more}", next.from, left.sql, right.sql));
}

fn join(build: &mut Build<'_>) -> Shape {
    let mut scope = vec![build.source()];
    let mut from = scope[0].from.clone();
    for _ in 0..build.random.between(1, 2) {
        joined(build, &mut scope, &mut from, &["JOIN", "JOIN", "LEFT JOIN", "LEFT JOIN", "RIGHT JOIN", "FULL JOIN"]);
    }
    let condition = condition(build, &scope, 50);
    shape(build, &scope, "SELECT", &format!("{from}{condition}"))
}

fn semi_join(build: &mut Build<'_>) -> Shape {
    let scope = [build.source()];
    let term = if build.random.percent(50) { build.existence(&scope) } else { build.membership(&scope) };
    let more = if build.random.percent(30) { format!(" AND {}", build.predicate(&scope, 0)) } else { String::new() };
    shape(build, &scope, "SELECT", &format!("{} WHERE {term}{more}", scope[0].from))
}

fn cross_or_self_join(build: &mut Build<'_>) -> Shape {
    let relation = build.relation();
    let first = build.source_of(relation);
    build.traps.add(Trap::SelfJoin);
    let second = if build.random.percent(70) { build.source_of(relation) } else { build.source() };
    let comma = *build.random.pick(&[", ", " CROSS JOIN ", " INNER JOIN "]);
    let from = format!("{}{comma}{}", first.from, second.from);
    let (left, right) = (build.random.pick(&first.columns).sql.clone(), build.random.pick(&second.columns).sql.clone());
    let compare = *build.random.pick(&["=", "=", "<", "IS"]);
    let scope = [first, second];
    let condition =
        if build.random.percent(25) { build.predicate(&scope, 0) } else { format!("{left} {compare} {right}") };
    shape(build, &scope, "SELECT", &format!("{from} WHERE {condition}"))
}

fn aggregate(build: &mut Build<'_>, scope: &[Source]) -> String {
    let term = build.column(scope);
    let is_computed = build.random.percent(30);
    let of = if is_computed { build.scalar(scope, 1) } else { term.sql };
    let shown = match build.random.below(14) {
        0 | 1 => "count(*)".to_owned(),
        2 => format!("count({of})"),
        3 => format!("count(DISTINCT {of})"),
        4 | 5 => {
            build.traps.add(Trap::FloatSum);
            build.may_fail = true;
            format!("sum({of})")
        }
        6 => {
            build.traps.add(Trap::FloatSum);
            format!("avg({of})")
        }
        7 => {
            build.traps.add(Trap::FloatSum);
            format!("total({of} * 0.1)")
        }
        extreme @ (8 | 9) => {
            build.traps.add(Trap::Picking);
            if is_computed {
                build.traps.add(Trap::MixedTypes);
            }
            format!("{}({of})", if extreme == 8 { "min" } else { "max" })
        }
        10 | 11 => {
            build.traps.add(Trap::UnorderedConcat);
            format!("group_concat({of}, '-')")
        }
        12 => {
            build.traps.add(Trap::Picking);
            if is_computed {
                build.traps.add(Trap::MixedTypes);
            }
            format!("group_concat({of}, ',' ORDER BY {of} DESC)")
        }
        _ => {
            build.traps.add(Trap::FloatSum);
            format!("total(DISTINCT {of})")
        }
    };
    if build.random.percent(15) { format!("{shown} FILTER (WHERE {})", build.predicate(scope, 0)) } else { shown }
}

fn grouped_source(build: &mut Build<'_>) -> (Vec<Source>, String) {
    let mut scope = vec![build.source()];
    let mut from = scope[0].from.clone();
    if build.random.percent(35) {
        joined(build, &mut scope, &mut from, &["JOIN", "LEFT JOIN"]);
    }
    let condition = condition(build, &scope, 40);
    (scope, from + &condition)
}

fn group(build: &mut Build<'_>) -> Shape {
    build.traps.add(Trap::Grouping);
    let (scope, from) = grouped_source(build);
    let mut keys = vec![build.column(&scope).sql];
    if build.random.percent(30) {
        keys.push(build.scalar(&scope, 1));
    }
    let mut shown: Vec<String> = if build.random.percent(80) { keys.clone() } else { vec![] };
    for _ in 0..build.random.between(1, 3) {
        shown.push(aggregate(build, &scope));
    }
    let having = match build.random.below(4) {
        0 => format!(" HAVING count(*) > {}", build.random.below(3)),
        1 => format!(" HAVING {} IS NOT NULL", aggregate(build, &scope)),
        _ => String::new(),
    };
    let numbers: Vec<String> = keys.iter().map(|key| format!("+({key})")).collect();
    let by = if build.random.percent(70) { keys.join(", ") } else { numbers.join(", ") };
    // A key that is a constant would be taken for a column's number.
    let by = if by.split(", ").all(|key| key.contains('x')) { by } else { keys[0].clone() };
    let core = format!("SELECT {} FROM {from} GROUP BY {by}{having}", aliased(build, &shown));
    Shape { core, columns: shown.len(), order: vec!["count(*)".into()], is_whole: false, top: None }
}

fn whole_aggregate(build: &mut Build<'_>) -> Shape {
    let (scope, from) = grouped_source(build);
    let shown: Vec<String> = (0..build.random.between(1, 3)).map(|_| aggregate(build, &scope)).collect();
    let core = format!("SELECT {} FROM {from}", aliased(build, &shown));
    Shape { core, columns: shown.len(), order: vec![], is_whole: false, top: None }
}

/// Which row a bare column is of is fixed by min or max alone, or by nothing.
fn bare_column(build: &mut Build<'_>) -> Shape {
    build.traps.add(Trap::BareColumn);
    build.traps.add(Trap::Grouping);
    let (scope, from) = grouped_source(build);
    let (key, bare, of) = (build.column(&scope).sql, build.column(&scope).sql, build.column(&scope).sql);
    let function = *build.random.pick(&["min", "max", "count"]);
    let core = match build.random.below(3) {
        0 => format!("SELECT {function}({of}), {bare}, 1 FROM {from}"),
        _ => format!("SELECT {key}, {function}({of}), {bare} FROM {from} GROUP BY {key}"),
    };
    Shape { core, columns: 3, order: vec![bare], is_whole: false, top: None }
}

fn distinct(build: &mut Build<'_>) -> Shape {
    build.traps.add(Trap::Grouping);
    let (scope, from) = grouped_source(build);
    let shown: Vec<String> = (0..build.random.between(1, 2)).map(|_| build.scalar(&scope, 1)).collect();
    let core = format!("SELECT DISTINCT {} FROM {from}", aliased(build, &shown));
    Shape { core, columns: shown.len(), order: vec![], is_whole: false, top: None }
}

fn window(build: &mut Build<'_>) -> Shape {
    build.traps.add(Trap::Window);
    let scope = [build.source()];
    let condition = condition(build, &scope, 40);
    let mut shown: Vec<String> = scope[0].key.iter().map(|key| key.sql.clone()).collect();
    for _ in 0..build.random.between(1, 2) {
        let (of, by, order) = (build.column(&scope).sql, build.column(&scope).sql, build.column(&scope).sql);
        let function = match build.random.below(10) {
            0 | 1 => "row_number()".to_owned(),
            2 => "rank()".into(),
            3 => "dense_rank()".into(),
            4 => format!("lag({of})"),
            5 => format!("lead({of}, 2, 'none')"),
            6 => format!("first_value({of})"),
            7 => "ntile(3)".into(),
            8 => format!("count({of})"),
            _ => {
                build.traps.add(Trap::FloatSum);
                format!("total({of})")
            }
        };
        let partition = if build.random.percent(60) { format!("PARTITION BY {by} ") } else { String::new() };
        let order = format!("ORDER BY {order}{}", *build.random.pick(&["", " DESC", " NULLS LAST"]));
        let frame =
            *build.random.pick(&["", "", " ROWS BETWEEN 1 PRECEDING AND 1 FOLLOWING", " RANGE UNBOUNDED PRECEDING"]);
        shown.push(format!("{function} OVER ({partition}{order}{frame})"));
    }
    let core = format!("SELECT {} FROM {}{condition}", aliased(build, &shown), scope[0].from);
    Shape { core, columns: shown.len(), order: orders(build, &scope), is_whole: false, top: None }
}

fn compound(build: &mut Build<'_>) -> Shape {
    build.traps.add(Trap::Compound);
    let columns = build.random.between(1, 2);
    let mut core = String::new();
    for part in 0..build.random.between(2, 3) {
        let scope = [build.source()];
        let shown: Vec<String> = (0..columns).map(|_| build.scalar(&scope, 1)).collect();
        if part > 0 {
            core.push_str(&format!(" {} ", *build.random.pick(&["UNION", "UNION ALL", "EXCEPT", "INTERSECT"])));
        }
        let condition = condition(build, &scope, 50);
        core.push_str(&format!("SELECT {} FROM {}{condition}", shown.join(", "), scope[0].from));
    }
    Shape { core, columns, order: vec![], is_whole: false, top: None }
}

fn common_table(build: &mut Build<'_>) -> Shape {
    let scope = [build.source()];
    let (first, second) = (build.column(&scope), build.scalar(&scope, 1));
    let condition = condition(build, &scope, 60);
    let hint = *build.random.pick(&["", " MATERIALIZED", " NOT MATERIALIZED"]);
    let common = format!("c(p, q) AS{hint} (SELECT {}, {second} FROM {}{condition})", first.sql, scope[0].from);
    let core = match build.random.below(3) {
        0 => format!("WITH {common} SELECT p, q FROM c WHERE p IS NOT NULL"),
        1 => format!("WITH {common} SELECT m.p, n.q FROM c AS m JOIN c AS n ON m.p = n.q"),
        _ => {
            build.traps.add(Trap::Grouping);
            format!("WITH {common}, d AS (SELECT p, count(*) AS n FROM c GROUP BY p) SELECT p, n FROM d WHERE n >= 1")
        }
    };
    Shape { core, columns: 2, order: vec![], is_whole: false, top: None }
}

fn recursion(build: &mut Build<'_>) -> Shape {
    build.traps.add(Trap::Recursion);
    let scope = [build.source()];
    let (match_on, shown) = (build.column(&scope).sql, build.column(&scope).sql);
    let start = build.present(Kind::Integer);
    let core = if build.random.percent(50) {
        format!(
            "WITH RECURSIVE n(i) AS (SELECT 0 UNION ALL SELECT i + 1 FROM n WHERE i < 5) \
             SELECT n.i, count({shown}) FROM n LEFT JOIN {} ON {match_on} = n.i GROUP BY n.i",
            scope[0].from
        )
    } else {
        format!(
            "WITH RECURSIVE walk(at, depth) AS (SELECT {start}, 0 UNION SELECT {shown}, depth + 1 FROM walk \
             JOIN {} ON {match_on} = at WHERE depth < 3) SELECT at, depth FROM walk",
            scope[0].from
        )
    };
    Shape { core, columns: 2, order: vec![], is_whole: false, top: None }
}

fn full_text(build: &mut Build<'_>) -> Shape {
    let Some(index) = build.schema.full_text.clone() else { return join(build) };
    build.traps.add(Trap::FullText);
    let (name, column) = (index.name.as_str(), build.random.pick(&index.columns).clone());
    let term = *build.random.pick(&["'tide'", "'sea OR wave'", "'ti*'", "'\"tide wave\"'", "'a OR b'", "'NOT'"]);
    build.may_fail |= term == "'NOT'";
    let (core, columns) = match build.random.below(5) {
        0 => (format!("SELECT rowid, {column} FROM {name} WHERE {name} MATCH {term}"), 2),
        1 => (format!("SELECT {column}, rank FROM {name}({term})"), 2),
        2 => (
            format!(
                "SELECT highlight({name}, 0, '<', '>'), round(bm25({name}), 3) FROM {name} WHERE {name} MATCH {term}"
            ),
            2,
        ),
        3 => (format!("SELECT count(*) FROM {name} WHERE {column} LIKE '%a%'"), 1),
        _ => {
            let scope = [build.source()];
            let shown = build.column(&scope).sql;
            (format!("SELECT {shown}, f2.{column} FROM {} JOIN {name} AS f2 ON f2.rowid = {shown}", scope[0].from), 2)
        }
    };
    Shape { core, columns, order: vec![], is_whole: false, top: None }
}

/// The choice that an inner LIMIT makes is the plan's.
fn limited_sub_query(build: &mut Build<'_>) -> Shape {
    build.traps.add(Trap::LimitUnordered);
    let scope = [build.source()];
    let (first, second) = (build.column(&scope).sql, build.column(&scope).sql);
    let condition = condition(build, &scope, 40);
    let order = if build.random.percent(50) { format!(" ORDER BY {second}") } else { String::new() };
    let core = format!(
        "SELECT y.p, y.q FROM (SELECT {first} AS p, {second} AS q FROM {}{condition}{order} LIMIT {}) AS y",
        scope[0].from,
        build.random.between(1, 4)
    );
    Shape { core, columns: 2, order: vec![], is_whole: false, top: None }
}

fn constant(build: &mut Build<'_>) -> Shape {
    let core = (*build.random.pick(&["VALUES (1, 'a'), (1, 'a')", "SELECT 1, 2", "SELECT 1, NULL WHERE 0"])).to_owned();
    Shape { core, columns: 2, order: vec![], is_whole: true, top: None }
}

fn json(build: &mut Build<'_>) -> Shape {
    let scope = [build.source()];
    let (match_on, shown) = (build.column(&scope).sql, build.column(&scope).sql);
    let core = format!(
        "SELECT j.value, {shown} FROM json_each('[1, 2, \"a\", null, 2.0]') AS j JOIN {} ON {match_on} = j.value",
        scope[0].from
    );
    Shape { core, columns: 2, order: vec![], is_whole: false, top: None }
}

/// Enough work to be too slow for the quick lane where its limit is close.
pub fn slow(build: &mut Build<'_>) -> Shape {
    build.traps.add(Trap::Recursion);
    let scope = [build.source()];
    let (first, second) = (build.column(&scope).sql, build.column(&scope).sql);
    let work = *build.random.pick(&[200, 3000]);
    let core = format!(
        "WITH RECURSIVE n(i) AS (SELECT 0 UNION ALL SELECT i + 1 FROM n WHERE i < {work}) \
         SELECT {first}, {second}, (SELECT max(i) FROM n) FROM {}",
        scope[0].from
    );
    Shape { core, columns: 3, order: orders(build, &scope), is_whole: false, top: None }
}
