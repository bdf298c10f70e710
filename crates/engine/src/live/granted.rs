//! How a changed row finds the callers it may matter to: by what a policy compares.
//!
//! Where a table's one policy says `owner = auth.uid()`, a caller's `SELECT … FROM t WHERE x` can hold no other rows than
//! `SELECT … FROM t WHERE owner = ?1 AND x` does, and so what is known of that statement's routes is true of the caller's:
//! their values are the caller's instead of a client's parameters. So a write is looked at once for all callers. Other
//! shapes (several tables, sub-queries, several policies) are run again after every change of what they read.

use super::query::{Template, prepare_plain};
use super::ways::{Search, Ways};
use crate::access::translate::named;
use crate::access::{Access, Action, Caller, Role, asking};
use crate::limits::Limits;
use crate::sqlite::Sqlite;
use crate::sqlite::schema::{Relation, Schema};
use crate::sqlite::tokens::{Token, find, tokens};
use crate::value::{Params, Value};

/// What a policy asks of the caller.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Asked {
    Uid,
    Role,
    Claim(String),
}

impl Asked {
    fn value(&self, caller: &Caller) -> Value {
        match self {
            Self::Uid => caller.uid.as_ref().map_or(Value::Null, Value::text),
            Self::Role => Value::text(caller.role.name()),
            Self::Claim(path) => caller.claim(path).map_or(Value::Null, asking::value),
        }
    }
}

/// The parameters by which a caller's query is found: the client's own, and behind them what policies ask of the caller.
pub fn routing_params(params: &Params, asked: &[Asked], own: usize, caller: &Caller) -> Params {
    let values = asked.iter().map(|asked| asked.value(caller));
    match params {
        Params::None => Params::Positional(values.collect()),
        Params::Positional(given) => Params::Positional(given.iter().cloned().chain(values).collect()),
        Params::Named(given) => {
            let numbered = (own + 1..).map(|number| format!("?{number}")).zip(values);
            Params::Named(given.iter().cloned().chain(numbered).collect())
        }
    }
}

/// Looks for routes of a caller's template, on a connection that speaks for the administrator.
pub fn find_routes(sqlite: &mut Sqlite, schema: &Schema, template: &mut Template, limits: &Limits, one: &str) {
    let Some(bound) = &template.bound else { return };
    let own = template.parameters;
    let Some((sql, asked)) = with_policy(&bound.access, bound.role, schema, one, own) else { return };
    let Some((statement, reads)) = prepare_plain(sqlite, &sql) else { return };
    let names: Vec<String> = (0..statement.column_count()).map(|column| statement.column_name(column)).collect();
    let origins: Vec<_> = (0..statement.column_count()).map(|column| statement.column_origin(column)).collect();
    drop(statement);
    let ways = Search {
        sqlite,
        schema,
        reads: &reads,
        is_free_of_scan_order: false,
        is_ordered: template.is_ordered,
        shown: &origins,
        names: &names,
        parameters: own + asked.len(),
        tiers: limits.live_tiers,
    }
    .run(&sql);
    // What is run again is the caller's own statement, as a whole.
    template.ways = Ways { routes: ways.routes, lacks: ways.lacks, ..Ways::default() };
    template.asked = asked;
}

/// The administrator's statement with the same rows, where the policy's questions are parameters from `own + 1` on.
fn with_policy(access: &Access, role: Role, schema: &Schema, one: &str, own: usize) -> Option<(String, Vec<Asked>)> {
    let text: Vec<Token<'_>> = tokens(one).collect();
    let is_plain = text.first()?.is("select") && text.iter().filter(|token| token.is("select")).count() == 1;
    let from = find(&text, 0, &["from"]).filter(|_| is_plain)?;
    let table = named(text.get(from + 1)?);
    let is_alone =
        !text.iter().any(|token| token.is_any(&["join", "union", "except", "intersect", "values", "with", "in"]));
    let clauses = ["where", "group", "having", "window", "order", "limit"];
    let end_of_from = find(&text, from, &clauses).unwrap_or(text.len());
    let has_comma = text[from..end_of_from].iter().any(|token| token.is_punctuation(b','));
    if !is_alone || has_comma || !matches!(schema.get(&table), Some(Relation::Table(_))) {
        return None;
    }
    let mut policies = access.policies_for(&table, Action::Select, role);
    let (policy, None) = (policies.next()?, policies.next()) else { return None };
    let (condition, asked) = asked_of_caller(policy.using.as_deref()?, own)?;
    let Some(open) = find(&text, from, &["where"]) else {
        let last = text[end_of_from - 1].end();
        return Some((format!("{} WHERE {condition}\n{}", &one[..last], &one[last..]), asked));
    };
    let end = find(&text, open + 1, &clauses[1..]).unwrap_or(text.len());
    let (start, last) = (text[open].end(), text.get(end - 1)?.end());
    let is_choice = find(&text[..end], open + 1, &["or"]).is_some();
    let (before, own_condition, behind) = (&one[..start], &one[start..last], &one[last..]);
    Some(if is_choice {
        (format!("{before} {condition}\n AND ({own_condition}\n){behind}"), asked)
    } else {
        (format!("{before} {condition}\n AND {own_condition}{behind}"), asked)
    })
}

/// A condition that is one alternative, without sub-queries, its questions to the caller as parameters.
fn asked_of_caller(using: &str, own: usize) -> Option<(String, Vec<Asked>)> {
    let spoken = asking::spoken_functions(using);
    let text: Vec<Token<'_>> = tokens(&spoken).collect();
    if text.iter().any(|token| token.is("select")) || find(&text, 0, &["or"]).is_some() {
        return None;
    }
    let (mut condition, mut copied, mut asked) = (String::new(), 0, Vec::new());
    for (index, token) in text.iter().enumerate() {
        if !token.is_any(&["auth_uid", "auth_role", "auth_claim"]) {
            continue;
        }
        let is_at = |offset: usize, byte: u8| text.get(index + offset).is_some_and(|token| token.is_punctuation(byte));
        let (question, close) = match () {
            () if !is_at(1, b'(') => return None,
            () if token.is("auth_uid") && is_at(2, b')') => (Asked::Uid, 2),
            () if token.is("auth_role") && is_at(2, b')') => (Asked::Role, 2),
            () if token.is("auth_claim") && is_at(3, b')') && text[index + 2].text.starts_with('\'') => {
                (Asked::Claim(named(&text[index + 2])), 3)
            }
            () => return None,
        };
        asked.push(question);
        condition.push_str(&spoken[copied..token.at]);
        condition.push_str(&format!("?{} ", own + asked.len()));
        copied = text[index + close].end();
    }
    condition.push_str(&spoken[copied..]);
    Some((condition, asked))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn what_a_policy_asks_of_the_caller_becomes_a_parameter() {
        for (using, expected) in [
            ("owner = auth.uid()", Some(("owner = ?3 ", vec![Asked::Uid]))),
            (
                "auth.claim('org.id') = org AND kind = auth_role ()",
                Some(("?3  = org AND kind = ?4 ", vec![Asked::Claim("org.id".into()), Asked::Role])),
            ),
            ("true", Some(("true", vec![]))),
            ("owner = auth.uid() OR public", None),
            ("org IN (SELECT org FROM members)", None),
            ("auth.claim(name) = 1", None),
        ] {
            let found = asked_of_caller(using, 2);
            assert_eq!(found, expected.map(|(condition, asked)| (condition.to_owned(), asked)), "{using}");
        }
    }
}
