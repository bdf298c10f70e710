//! The ways to the queries of callers whom policies bind.
//!
//! A caller's `SELECT … FROM t …` is analysed as the administrator's of the same words: what falls into parts, or has an
//! edge, does so too if rows are missing, as long as nothing but the row itself and other tables says whether it is seen.
//! Routes and trails are those of the SELECT merged with its policy ([`super::merged`]): their last values are the
//! caller's instead of a client's parameters. Who of many callers sees a row SQLite is asked once for all
//! ([`super::audience`]). Joins, and policies that look at their own table, have none of it: these queries are run again
//! after every change of what they read.

use super::audience::Audience;
use super::merged::Single;
use super::query::{self, Bound, Template, prepare_plain};
use super::ways::{Search, Ways};
use crate::access::asked::{Asked, Asks, replaced};
use crate::access::functions::may_tell;
use crate::access::sight::Kind as View;
use crate::access::translate::named;
use crate::access::{Action, Caller, Policy};
use crate::limits::Limits;
use crate::sqlite::Sqlite;
use crate::sqlite::schema::{Relation, Schema, Table};
use crate::sqlite::tokens::{Kind, Token, tokens};
use crate::value::Params;

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

/// Looks for the ways of a caller's template, on a connection that speaks for the administrator. `one` is its statement
/// as the caller knows it.
pub fn find_ways(sqlite: &mut Sqlite, schema: &Schema, template: &mut Template, limits: &Limits, one: &str) {
    let Some(bound) = template.bound.clone() else { return };
    let lack = |template: &mut Template, why: &str| template.ways.lacks = vec![why.into()];
    let Some(single) = Single::of(one, schema) else {
        return lack(template, "It is not one SELECT of one table, and its caller is bound by policies.");
    };
    let table = &*single.table;
    let policies: Vec<&Policy> = bound.access.policies_for(&table.name, Action::Select, bound.role).collect();
    if !policies.iter().all(|policy| looks_aside(policy, table, schema)) {
        return lack(
            template,
            "A policy of its table looks at that table or a view, or calls a function that can fail.",
        );
    }
    let own = own_ways(sqlite, schema, template, &bound, limits, one);
    let mut ways = Ways { tally: None, ..own };
    if let [policy] = policies[..]
        && let Some((found, asked)) = merged_ways(sqlite, schema, template.parameters, &single, policy, limits)
        && !found.routes.is_empty()
    {
        (ways.routes, ways.trails, ways.target) = (found.routes, found.trails, found.target);
        template.asked = asked;
    }
    if let Some(part) = &mut ways.part {
        match bound.access.translate(bound.role, &part.sql) {
            Ok(translated) if translated.passage.sights == bound.translated.passage.sights => {
                part.sql.clone_from(&translated.sql);
            }
            _ => ways.part = None,
        }
    }
    let text: Vec<Token<'_>> = tokens(one).collect();
    template.key = query::key_source(&bound.shown, schema, &text, &ways);
    template.audience = ways.part.as_ref().filter(|part| !part.is_grouped).and_then(|_| {
        let is_plain = Asks::of(one).is_nothing() && bound.access.asks.is_nothing();
        let is_see = bound.translated.passage.sights.iter().all(|sight| sight.kind == View::See);
        (is_plain && is_see).then(|| Audience::of(table, &policies)).flatten()
    });
    template.ways = ways;
}

/// What the SELECT has by its own words.
fn own_ways(
    sqlite: &mut Sqlite,
    schema: &Schema,
    template: &Template,
    bound: &Bound,
    limits: &Limits,
    one: &str,
) -> Ways {
    let Some((statement, reads)) = prepare_plain(sqlite, one) else { return Ways::default() };
    drop(statement);
    let text: Vec<Token<'_>> = tokens(one).collect();
    Search {
        sqlite,
        schema,
        reads: &reads,
        is_free_of_scan_order: query::is_free_of_scan_order(&reads, &text),
        is_ordered: template.is_ordered,
        shown: &bound.shown,
        names: &bound.names,
        parameters: template.parameters,
        tiers: limits.live_tiers,
    }
    .run(one)
}

/// The routes and trails of the SELECT with its policy, and what their last values ask of the caller.
fn merged_ways(
    sqlite: &mut Sqlite,
    schema: &Schema,
    own: usize,
    single: &Single,
    policy: &Policy,
    limits: &Limits,
) -> Option<(Ways, Vec<Asked>)> {
    let merged = single.merged(policy.using.as_deref()?, schema, own)?;
    let (statement, reads) = prepare_plain(sqlite, &merged.sql)?;
    drop(statement);
    let ways = Search {
        sqlite,
        schema,
        reads: &reads,
        is_free_of_scan_order: false,
        is_ordered: false,
        shown: &[],
        names: &[],
        parameters: own + merged.asked.len(),
        tiers: limits.live_tiers,
    }
    .run(&merged.sql);
    Some((ways, merged.asked))
}

/// Does nothing but the row and tables other than its own say whether the policy lets it pass, and without fail?
fn looks_aside(policy: &Policy, table: &Table, schema: &Schema) -> bool {
    let using = policy.using.as_deref().unwrap_or("false");
    let Some((spoken, _)) = replaced(using, |_| "NULL".into()) else { return false };
    let text: Vec<Token<'_>> = tokens(&spoken).collect();
    let is_point = |index: usize| text.get(index).is_some_and(|token| token.is_punctuation(b'.'));
    let names_itself = text.iter().enumerate().any(|(index, token)| {
        if !matches!(token.kind, Kind::Word | Kind::Quoted | Kind::Text) || is_point(index + 1) {
            return false;
        }
        let name = named(token);
        // Behind a point it is a column, but for the name of a schema.
        let is_column =
            index > 1 && is_point(index - 1) && !["main", "temp"].iter().any(|schema| text[index - 2].is(schema));
        let is_view = matches!(schema.get(&name), Some(Relation::View));
        !is_column && (is_view || name.eq_ignore_ascii_case(&table.name))
    });
    !names_itself && !may_tell(&text)
}
