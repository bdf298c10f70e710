//! Random policies for reading and writing, and what they say: worked out from the guide, not by the engine.

use super::condition;
use crate::random::Random;
use crate::world::schema::{Column, Relation, Schema};
use tidebase_engine::access::policy::PolicyWrite;
use tidebase_engine::access::{Action, Policy};
use tidebase_engine::sqlite::exclude::unquoted;
use tidebase_engine::{Engine, Role};

pub struct Rules {
    pub policies: Vec<Policy>,
}

impl Rules {
    /// As many as the engine keeps: some conditions do not fit their table. Perhaps they ask for nothing but the row.
    pub async fn random(engine: &Engine, schema: &Schema, random: &mut Random, only_rows: bool) -> Self {
        let mut policies = Vec::new();
        for (number, table) in schema.tables.iter().enumerate() {
            for (action, chance) in [
                (Action::Select, if number == 0 { 100 } else { 88 }),
                (Action::Insert, 75),
                (Action::Update, 75),
                (Action::Delete, 65),
                (Action::All, 20),
            ] {
                if !random.percent(chance) {
                    continue;
                }
                for alternative in 0..random.between(1, 2) {
                    let name = format!("{number} {} {alternative}", action.name());
                    let policy = policy(random, schema, table, action, name, only_rows);
                    if engine.write_policy(PolicyWrite::Keep(policy.clone())).await.is_ok() {
                        policies.push(policy);
                    }
                }
            }
        }
        Self { policies }
    }

    fn applying(&self, table: &Relation, action: Action) -> Vec<&Policy> {
        let applies = |policy: &&Policy| {
            policy.table == unquoted(&table.name)
                && [action, Action::All].contains(&policy.action)
                && policy.role.is_none_or(|role| role == Role::User)
        };
        self.policies.iter().filter(applies).collect()
    }

    /// Which rows are seen; none if the table is closed.
    pub fn seen(&self, table: &Relation) -> Option<String> {
        any_of(self.applying(table, Action::Select).into_iter().map(|policy| (policy, &policy.using)))
    }

    /// Which rows may be updated in these columns, or deleted; none if no policy lets any.
    pub fn using(&self, table: &Relation, action: Action, sets: &[String]) -> Option<String> {
        let policies = self.applying(table, action).into_iter();
        any_of(policies.filter(|policy| grants(policy, sets)).map(|policy| (policy, &policy.using)))
    }

    /// What a row must be that is made, with these columns named (none is all), or that has had them set.
    pub fn check(&self, table: &Relation, action: Action, columns: Option<&[String]>) -> Option<String> {
        let policies = self.applying(table, action).into_iter();
        let grants = |policy: &&Policy| match columns {
            Some(columns) => grants(policy, columns),
            None => policy.columns.is_none(),
        };
        let asked = |policy: &'_ Policy| policy.check.clone().or(policy.using.clone());
        let conditions: Vec<(&Policy, Option<String>)> =
            policies.filter(grants).map(|policy| (policy, asked(policy))).collect();
        any_of(conditions.iter().map(|(policy, check)| (*policy, check)))
    }

    /// Is anything open in it, for seeing or for this?
    pub fn knows(&self, table: &Relation, action: Action) -> bool {
        !self.applying(table, Action::Select).is_empty() || !self.applying(table, action).is_empty()
    }

    /// The table with the columns that a write may ask for: those that every policy shows, the key's always among them.
    pub fn readable(&self, table: &Relation) -> Relation {
        let shown = self.applying(table, Action::Select);
        let is_shown = |column: &Column| {
            !shown.is_empty() && shown.iter().all(|policy| grants(policy, std::slice::from_ref(&column.name)))
        };
        let kept: Vec<usize> = (0..table.columns.len()).filter(|&index| is_shown(&table.columns[index])).collect();
        let place = |index: &usize| kept.iter().position(|kept| kept == index);
        Relation {
            columns: kept.iter().map(|&index| table.columns[index].clone()).collect(),
            key: table.key.iter().filter_map(place).collect(),
            unique: table.unique.iter().filter_map(place).collect(),
            ..table.clone()
        }
    }

    /// Columns of one of the policies for this, so that a statement may find itself granted.
    pub fn granted(&self, random: &mut Random, table: &Relation, action: Action) -> Option<Vec<String>> {
        let policies = self.applying(table, action);
        let columns = policies.iter().filter_map(|policy| policy.columns.clone()).collect::<Vec<_>>();
        (!columns.is_empty()).then(|| random.pick(&columns).clone())
    }
}

/// Columns are named as SQL text here, and without quotes in policies.
fn grants(policy: &Policy, columns: &[String]) -> bool {
    let Some(granted) = &policy.columns else { return true };
    columns.iter().all(|column| granted.iter().any(|its| its.eq_ignore_ascii_case(&unquoted(column))))
}

fn any_of<'a>(conditions: impl Iterator<Item = (&'a Policy, &'a Option<String>)>) -> Option<String> {
    let spoken = |(policy, condition): (&Policy, &Option<String>)| {
        Policy { using: condition.clone(), ..policy.clone() }.using_sql()
    };
    let all: Vec<String> = conditions.map(spoken).collect();
    (!all.is_empty()).then(|| format!("({})", all.join(" OR ")))
}

fn policy(
    random: &mut Random,
    schema: &Schema,
    table: &Relation,
    action: Action,
    name: String,
    only_rows: bool,
) -> Policy {
    let lenient = |random: &mut Random| {
        let wanted = if random.percent(35) { "true".to_owned() } else { condition(random, schema, table) };
        if only_rows && wanted.contains("SELECT") { "true".to_owned() } else { wanted }
    };
    let using = (action != Action::Insert).then(|| lenient(random));
    let check = match action {
        Action::Insert => Some(lenient(random)),
        Action::Update | Action::All => random.percent(55).then(|| lenient(random)),
        _ => None,
    };
    let has_columns = action != Action::Delete && random.percent(22);
    let columns = has_columns.then(|| {
        let named: Vec<Column> = random.some_of(&table.columns);
        let mut columns: Vec<String> = named.iter().map(|column| unquoted(&column.name)).collect();
        // A key that is not shown may stand in some places of a write and not in others.
        if matches!(action, Action::Select | Action::All) {
            let key = table.key.iter().map(|&key| unquoted(&table.columns[key].name));
            columns.extend(key.filter(|name| !columns.contains(name)).collect::<Vec<_>>());
        }
        columns
    });
    let role = match random.below(10) {
        0 => Some(Role::Client),
        1..=5 => Some(Role::User),
        _ => None,
    };
    Policy { name, table: unquoted(&table.name), action, role, using, check, columns }
}
