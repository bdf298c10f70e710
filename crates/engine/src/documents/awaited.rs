//! Documents that are live before their collection is there, or while it is closed to whoever asks: an empty result that fills
//! when the collection comes.
//!
//! What is subscribed is SQL, and says by a comment in front that it is of a collection. As long as the collection is not to be
//! seen its table's place is taken by nothing, with the same columns; lanes analyse their queries again whenever the schema or a
//! policy has changed, and so find it when it is. SQL of people's own is refused as ever: it names a table that they mean to be there.

use super::{Presence, presence};
use crate::access::policy::Action;
use crate::access::{Access, Role};
use crate::sqlite::exclude::quoted;
use crate::sqlite::schema::Schema;

const BEGINS: &str = "/* collection ";
const ENDS: &str = " */ ";

/// What has the columns of a collection, and no rows.
const NOTHING: &str = "(SELECT '' AS parent, '' AS id, '{}' AS data, 0 AS revision WHERE false)";

/// SQL over the table of a collection, as it is subscribed.
pub fn live(table: &str, sql: &str) -> String {
    format!("{BEGINS}{table}{ENDS}{sql}")
}

/// The same SQL with nothing in the place of the collection, if that is not to be seen: a name that is taken by another table is
/// refused to the administrator, and to callers is as closed as any.
pub fn instead(sql: &str, schema: &Schema, asker: Option<(Role, &Access)>) -> Option<String> {
    let (table, sql) = sql.strip_prefix(BEGINS)?.split_once(ENDS)?;
    let is_seen = match asker {
        None => presence(schema, table) != Presence::Absent,
        Some((role, access)) => {
            presence(schema, table) == Presence::Collection
                && access.policies_for(table, Action::Select, role).next().is_some()
        }
    };
    if is_seen {
        return None;
    }
    // No field's name has a quote in it, so that this stands in one place only.
    let (before, behind) = sql.split_once(&format!(" FROM {} WHERE ", quoted(table)))?;
    Some(format!("{before} FROM {NOTHING} WHERE {behind}"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::documents::filter::Filter;
    use crate::documents::query::Order;
    use crate::documents::{CollectionPath, DocumentPath, Query};
    use rusqlite::Connection;

    #[test]
    fn nothing_has_the_columns_and_the_parameters_of_the_collection() {
        let connection = Connection::open_in_memory().unwrap();
        let absent = Schema::load(&connection).unwrap();
        let odd = "` FROM `.`\"rooms\" WHERE `";
        assert!(Order::parse(odd).is_err(), "no field's name has a quote");
        for path in ["rooms", "rooms/r1/messages", "rooms/*/messages"] {
            let filter = Filter::parse(&serde_json::json!([[" FROM rooms WHERE ", "array-contains", 5]])).unwrap();
            let order = Order::parse("a desc, ` FROM rooms WHERE `, b").unwrap();
            let collection = CollectionPath::parse(path).unwrap();
            let query = Query { collection, filter: Some(filter), order, limit: Some(3), after: None };
            let (sql, _) = query.live_sql();
            let instead = instead(&sql, &absent, None).unwrap();
            let statement = connection.prepare(&instead).unwrap();
            assert_eq!(statement.parameter_count(), query.sql().values.len(), "{instead}");
            assert_eq!(statement.column_count(), 6 + usize::from(path.contains('*')));
        }
        let (one, _) = DocumentPath::parse("rooms/r1/messages/m1").unwrap().live_sql();
        assert_eq!(connection.prepare(&instead(&one, &absent, None).unwrap()).unwrap().parameter_count(), 2);
        crate::documents::make(&connection, "rooms/messages").unwrap();
        assert_eq!(instead(&one, &Schema::load(&connection).unwrap(), None), None);
        assert_eq!(instead("SELECT id, data, revision FROM \"rooms\" WHERE true", &absent, None), None);
    }
}
