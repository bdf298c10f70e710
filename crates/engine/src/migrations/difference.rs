//! The migration that makes a database of one shape into one of another, and back. Each way is tried before it is given out: on a database in
//! memory, through the same gate, and what comes of it is compared.

use super::file::{DOWN, Migration, Script};
use super::policy::created;
use super::rebuild::{self, Table};
use super::replay;
use super::shape::{Object, Shape};
use crate::error::{Error, Result};
use crate::sqlite::exclude::quoted;
use std::collections::{BTreeMap, BTreeSet};

/// The migration with this number and name that makes `from` into `to`, and its text; none if there is no difference.
///
/// # Errors
/// `unsupported` where SQL alone does not get there.
pub fn written(number: i64, name: &str, from: &Shape, to: &Shape) -> Result<Option<(Migration, String)>> {
    let Some(_) = from.differs(to) else { return Ok(None) };
    let (up, down) = (way(from, to)?, way(to, from)?);
    let text =
        format!("-- Written by `tidebase migrate diff`. Read it before you apply it elsewhere.\n{up}\n{DOWN}\n{down}");
    Ok(Some((Migration::new(number, name, &text)?, text)))
}

/// The script from one shape to the other, found to lead there.
fn way(from: &Shape, to: &Shape) -> Result<String> {
    let mut draft = Draft::new(from, to)?;
    draft.tried().or_else(|_| {
        draft.is_thorough = true;
        draft.tried()
    })
}

/// What becomes of a table that is there before and after.
enum Change {
    Alter(Vec<String>),
    Rebuild(Vec<String>),
    /// A virtual one: it has no rows of its own that could be brought over.
    Replace,
}

struct Draft<'a> {
    from: &'a Shape,
    to: &'a Shape,
    changes: BTreeMap<&'a str, Change>,
    doubts: Vec<String>,
    /// Lower-case names of tables that are dropped, for good or to be made anew.
    dropped: BTreeSet<String>,
    /// All views and triggers are made anew with the tables: one that is broken stands in the way of any.
    is_thorough: bool,
}

impl<'a> Draft<'a> {
    fn new(from: &'a Shape, to: &'a Shape) -> Result<Self> {
        let mut draft = Self {
            from,
            to,
            changes: BTreeMap::new(),
            doubts: Vec::new(),
            dropped: BTreeSet::new(),
            is_thorough: false,
        };
        let (before, after) = (replay::of_shape(from)?, replay::of_shape(to)?);
        // Without what is dropped anyway, which may stand in the way.
        let is_lasting = |object: &&Object| {
            object.is_table() || to.find(&object.kind, &object.name).is_some_and(|its| its.same(object))
        };
        let stage = Shape { objects: from.objects.iter().filter(is_lasting).cloned().collect(), ..from.clone() };
        for old in from.tables() {
            let Some(new) = to.find("table", &old.name) else {
                draft.doubts.push(format!("Loses the table {} with its rows.", old.name));
                draft.dropped.insert(old.name.to_ascii_lowercase());
                continue;
            };
            if old.same(new) && !draft.loses_collection(old) {
                continue;
            }
            let change = if old.is_virtual() || new.is_virtual() {
                draft.doubts.push(format!("{} is made anew, and is empty then.", old.name));
                Change::Replace
            } else {
                let (old, new) = (Table::load(&before.own, old)?, Table::load(&after.own, new)?);
                draft.doubts.extend(rebuild::doubts(&old, &new));
                match rebuild::altered(&stage, &old, &new)? {
                    Some(statements) => Change::Alter(statements),
                    None => Change::Rebuild(rebuild::rebuilt(&old, &new)),
                }
            };
            if !matches!(change, Change::Alter(_)) {
                draft.dropped.insert(old.name.to_ascii_lowercase());
            }
            draft.changes.insert(&old.name, change);
        }
        Ok(draft)
    }

    /// A collection that is to be an ordinary table: only a table made anew is none.
    fn loses_collection(&self, table: &Object) -> bool {
        self.from.collections.contains(&table.name) && !self.to.collections.contains(&table.name)
    }

    /// The script, if it leads where it shall.
    fn tried(&self) -> Result<String> {
        let script = Script { text: self.text(), first_line: 1 };
        let cannot = |why: String| {
            Error::unsupported(format!(
                "The difference cannot be written by itself ({why}). Write it by hand: `tidebase migrate new`."
            ))
        };
        let mut scratch = replay::of_shape(self.from)?;
        replay::apply(&mut scratch, "what was written", &script).map_err(|error| cannot(error.message))?;
        match Shape::read(&scratch.own)?.differs(self.to) {
            None => Ok(script.text),
            Some(name) => Err(cannot(format!("{name} comes out otherwise"))),
        }
    }

    fn text(&self) -> String {
        let statements = self.statements();
        let mut text = String::new();
        for doubt in &self.doubts {
            // A name may have a line end in it, a comment may not.
            text.push_str(&format!("-- {}\n", doubt.replace(char::is_control, " ")));
        }
        for statement in statements {
            // A comment at its end must not swallow the semicolon.
            let end = if statement.contains("--") || statement.contains("/*") { "\n;\n" } else { ";\n" };
            text.push_str(&statement);
            text.push_str(end);
        }
        text
    }

    fn statements(&self) -> Vec<String> {
        let gone = self.gone();
        let mut statements = Vec::new();
        if !self.dropped.is_empty() {
            statements.push("PRAGMA foreign_keys = OFF".to_owned());
        }
        let dropped_policies = self.from.policies.iter().filter(|policy| self.to.policy(&policy.name).is_none());
        statements.extend(dropped_policies.map(|policy| format!("DROP POLICY {}", quoted(&policy.name))));
        for kind in ["trigger", "view", "index"] {
            let of_kind = gone.iter().filter(|object| object.kind == kind && !self.goes_along(object, &gone));
            statements.extend(of_kind.map(|object| object.dropped()));
        }
        let is_replaced = |table: &Object| matches!(self.changes.get(table.name.as_str()), Some(Change::Replace));
        let dropped = self.from.tables().rev();
        let dropped = dropped.filter(|table| self.to.find("table", &table.name).is_none() || is_replaced(table));
        statements.extend(dropped.map(|table| self.table_dropped(table)));
        statements.extend(self.tables_made(is_replaced));
        statements.extend(self.others_made(&gone));
        for policy in &self.to.policies {
            let known = self.from.policy(&policy.name);
            if known != Some(policy) {
                statements.push(created(policy, known.is_some()));
            }
        }
        statements
    }

    fn table_dropped(&self, table: &Object) -> String {
        let is_collection = self.from.collections.contains(&table.name);
        if is_collection { format!("DROP COLLECTION {}", quoted(&table.name)) } else { table.dropped() }
    }

    fn tables_made(&self, is_replaced: impl Fn(&Object) -> bool) -> Vec<String> {
        let mut statements = Vec::new();
        let (virtuals, tables): (Vec<&Object>, Vec<&Object>) = self.to.tables().partition(|table| table.is_virtual());
        for table in tables.into_iter().chain(virtuals) {
            let is_new = self.from.find("table", &table.name).is_none() || is_replaced(table);
            let is_collection = self.to.collections.contains(&table.name);
            let mut is_made = is_new;
            match self.changes.get(table.name.as_str()) {
                _ if is_new && is_collection && is_plain_collection(table) => {}
                _ if is_new => statements.push(table.sql.clone()),
                Some(Change::Alter(altered)) => statements.extend(altered.iter().cloned()),
                Some(Change::Rebuild(rebuilt)) => {
                    let plain = table.dropped();
                    let dropped = |sql: &String| if *sql == plain { self.table_dropped(table) } else { sql.clone() };
                    statements.extend(rebuilt.iter().map(dropped));
                    is_made = true;
                }
                _ => {}
            }
            if is_collection && (is_made || !self.from.collections.contains(&table.name)) {
                // Elsewhere a document that was written may have made it already.
                let may_be_there = if is_new && is_plain_collection(table) { "IF NOT EXISTS " } else { "" };
                statements.push(format!("CREATE COLLECTION {may_be_there}{}", quoted(&table.name)));
            }
        }
        statements
    }

    /// Indexes, views and triggers that are not there any more when the tables are as they shall be.
    fn gone(&self) -> Vec<&'a Object> {
        let mut gone: Vec<&Object> = Vec::new();
        // A view over what is made anew stands in its way, and so do those over that view.
        let anew = self.changes.iter().filter(|(_, change)| !matches!(change, Change::Alter(_)));
        let mut touched: BTreeSet<String> = anew.map(|(name, _)| name.to_ascii_lowercase()).collect();
        let looks_at_views = !touched.is_empty();
        loop {
            let before = gone.len();
            for object in self.from.others() {
                let is_known = gone.iter().any(|known| known.kind == object.kind && known.name == object.name);
                let stays = self.to.find(&object.kind, &object.name).is_some_and(|its| its.same(object));
                let is_in_the_way = object.kind != "index" && (self.is_thorough || object.mentions(&touched));
                let its_table_goes = self.dropped.contains(&object.table.to_ascii_lowercase())
                    || gone.iter().any(|view| view.kind == "view" && view.name.eq_ignore_ascii_case(&object.table));
                if !is_known && (!stays || is_in_the_way || its_table_goes) {
                    if looks_at_views && object.kind == "view" {
                        touched.insert(object.name.to_ascii_lowercase());
                    }
                    gone.push(object);
                }
            }
            if gone.len() == before {
                return gone;
            }
        }
    }

    /// Is it dropped with its table or view?
    fn goes_along(&self, object: &Object, gone: &[&Object]) -> bool {
        let of_table = object.kind != "view" && self.dropped.contains(&object.table.to_ascii_lowercase());
        let of_view = object.kind == "trigger"
            && gone.iter().any(|view| view.kind == "view" && view.name.eq_ignore_ascii_case(&object.table));
        // Triggers of other tables may speak of what is dropped before them: those go first, by themselves.
        of_view
            || of_table && !self.is_rebuilt(&object.table)
            || object.kind == "index" && self.is_rebuilt(&object.table)
    }

    fn is_rebuilt(&self, table: &str) -> bool {
        self.changes
            .iter()
            .any(|(name, change)| name.eq_ignore_ascii_case(table) && matches!(change, Change::Rebuild(_)))
    }

    fn others_made(&self, gone: &[&Object]) -> Vec<String> {
        let is_gone = |object: &Object| gone.iter().any(|known| known.kind == object.kind && known.name == object.name);
        let is_new = |object: &&Object| self.from.find(&object.kind, &object.name).is_none() || is_gone(object);
        let made = self.to.others().filter(is_new).filter(|object| !self.comes_along(object));
        made.map(|object| object.sql.clone()).collect()
    }

    /// Is it made with its collection?
    fn comes_along(&self, object: &Object) -> bool {
        let table = self.to.find("table", &object.table).filter(|table| self.to.collections.contains(&table.name));
        let is_new = self.from.find("table", &object.table).is_none();
        is_new
            && table
                .is_some_and(|table| is_plain_collection(table) && object.name == format!("{} unstamped", table.name))
    }
}

/// Is it a table as `CREATE COLLECTION` makes it?
fn is_plain_collection(table: &Object) -> bool {
    let made = rusqlite::Connection::open_in_memory().map_err(Error::from).and_then(|scratch| {
        crate::documents::make(&scratch, &table.name)?;
        Shape::read(&scratch)
    });
    made.is_ok_and(|shape| shape.find("table", &table.name).is_some_and(|its| its.same(table)))
}
