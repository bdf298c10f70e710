//! A random live query: its parts as they are sent, and what is known of it without asking anyone.

use super::expression::Build;
use super::schema::Schema;
use super::shapes;
use crate::random::Random;
use crate::traps::{Trap, Traps};
use tidebase_engine::{Params, Value};

#[derive(Clone, Debug)]
pub struct Query {
    /// All up to the outermost ORDER BY.
    pub core: String,
    /// The terms of the outermost ORDER BY.
    pub order: Option<String>,
    /// `LIMIT …`, with OFFSET perhaps.
    pub limit: Option<String>,
    pub params: Vec<Value>,
    pub traps: Traps,
    pub may_fail: bool,
    /// Parameters are bound by these names.
    pub is_named: bool,
    /// White space, comments and a semicolon around it, which mean nothing.
    pub dress: u8,
}

/// What a shape gives: the SELECT, and by what it may be ordered beside its columns' numbers.
pub struct Shape {
    pub core: String,
    pub columns: usize,
    pub order: Vec<String>,
    /// The rows may not be cut: there is a LIMIT in it, or it is a shape that cannot have one.
    pub is_whole: bool,
    /// The ORDER BY and the LIMIT it always has.
    pub top: Option<(String, String)>,
}

/// What may stand behind a query and mean nothing.
pub const COMMENT: &str = " /* limit 1; */";

impl Query {
    pub fn random(random: &mut Random, schema: &Schema) -> Self {
        Self::of_shape(random, schema, shapes::random)
    }

    /// One with more work than the others.
    pub fn slow(random: &mut Random, schema: &Schema) -> Self {
        Self::of_shape(random, schema, shapes::slow)
    }

    fn of_shape(random: &mut Random, schema: &Schema, shape: fn(&mut Build<'_>) -> Shape) -> Self {
        let mut build = Build::new(random, schema);
        let mut shape = shape(&mut build);
        let (order, limit_of_shape) = match shape.top.take() {
            Some((order, limit)) => (Some(order), Some(limit)),
            None => (build.random.percent(45).then(|| order(&mut build, &shape)), None),
        };
        let mut query = Self {
            order,
            core: shape.core,
            limit: limit_of_shape,
            params: Vec::new(),
            traps: Traps::default(),
            may_fail: false,
            is_named: false,
            dress: 0,
        };
        if query.limit.is_none() && !shape.is_whole && build.random.percent(if query.order.is_some() { 40 } else { 12 })
        {
            query.limit = Some(limit(&mut build, query.order.is_some()));
        }
        let (mut no_order, mut no_limit) = (String::new(), String::new());
        build.settle_params(&mut [
            &mut query.core,
            query.order.as_mut().unwrap_or(&mut no_order),
            query.limit.as_mut().unwrap_or(&mut no_limit),
        ]);
        query.is_named = build.random.percent(20);
        query.dress = if build.random.percent(25) { build.random.below(5) as u8 } else { 0 };
        (query.params, query.traps, query.may_fail) = (build.params, build.traps, build.may_fail);
        query
    }

    /// As a client sends it.
    pub fn sql(&self) -> String {
        self.text("")
    }

    /// With the ties of its order broken by all its columns, as the contract fixes the choice that SQL leaves open.
    pub fn with_ties_broken(&self, columns: usize) -> String {
        let ties: String = (1..=columns).map(|column| format!(", {column} COLLATE BINARY")).collect();
        self.text(&ties)
    }

    fn text(&self, ties: &str) -> String {
        let mut sql = self.core.clone();
        if let Some(order) = &self.order {
            sql += &format!(" ORDER BY {order}{ties}");
        }
        if let Some(limit) = &self.limit {
            sql += &format!(" {limit}");
        }
        if self.is_named {
            sql = named(&sql);
        }
        match self.dress {
            1 => sql + ";",
            2 => format!("-- order by nothing; limit 1\n{sql}"),
            3 => format!("{sql}{COMMENT}"),
            4 => format!("\n\t{} ; -- done", sql.replace(" FROM ", "\nfrom ")),
            _ => sql,
        }
    }

    pub fn params(&self) -> Params {
        if self.params.is_empty() {
            Params::None
        } else if self.is_named {
            let name = |number: usize| format!("p{number}");
            Params::Named((1..).map(name).zip(self.params.iter().cloned()).collect())
        } else {
            Params::Positional(self.params.clone())
        }
    }
}

/// `?1` becomes `:p1`. Our literals hold no question mark.
fn named(sql: &str) -> String {
    sql.replace('?', ":p")
}

fn order(build: &mut Build<'_>, shape: &Shape) -> String {
    let mut terms = Vec::new();
    for _ in 0..build.random.between(1, 2) {
        let term = if shape.order.is_empty() || build.random.percent(50) {
            build.random.between(1, shape.columns).to_string()
        } else {
            build.random.pick(&shape.order).clone()
        };
        let collation = *build.random.pick(&["", "", "", " COLLATE NOCASE", " COLLATE RTRIM"]);
        let direction = *build.random.pick(&["", "", " DESC", " ASC NULLS LAST", " DESC NULLS FIRST"]);
        if !collation.is_empty() {
            build.traps.add(Trap::Collation);
        }
        terms.push(format!("{term}{collation}{direction}"));
    }
    build.traps.add(Trap::OrderTies);
    terms.join(", ")
}

fn limit(build: &mut Build<'_>, is_ordered: bool) -> String {
    build.traps.add(if is_ordered { Trap::LimitOrdered } else { Trap::LimitUnordered });
    let count = Value::Integer(build.random.between(0, 6) as i64);
    let count = build.say(count);
    let skip = build.random.between(0, 3);
    match build.random.below(6) {
        0 | 1 => {
            build.traps.add(Trap::Offset);
            format!("LIMIT {count} OFFSET {skip}")
        }
        2 => {
            build.traps.add(Trap::Offset);
            format!("LIMIT {skip}, {count}")
        }
        3 => {
            build.traps.add(Trap::Offset);
            format!("LIMIT -1 OFFSET {skip}")
        }
        _ => format!("LIMIT {count}"),
    }
}
