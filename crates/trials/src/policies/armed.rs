//! Conditions that fail on some rows, to see that they are not tried on those that are hidden.

use crate::random::Random;

/// Fails if a row is tried whose column is as it should not be.
pub fn failing(random: &mut Random, column: &str) -> String {
    let is_hit = match random.below(5) {
        0 => format!("{column} IS NULL"),
        1 => format!("{column} = 'a'"),
        2 => format!("{column} > 3"),
        3 => format!("typeof({column}) = 'text'"),
        _ => format!("length({column}) = 1"),
    };
    match random.below(7) {
        0 => format!("abs(CASE WHEN {is_hit} THEN -9223372036854775808 ELSE 1 END) > 0"),
        1 => format!("json(CASE WHEN {is_hit} THEN '{{' ELSE '1' END) IS NOT NULL"),
        2 => format!("(CASE WHEN {is_hit} THEN '{{' ELSE '{{}}' END) ->> '$.a' IS NULL"),
        3 => format!("'x' LIKE 'x' ESCAPE (CASE WHEN {is_hit} THEN 'ab' ELSE '!' END)"),
        4 => format!("json_type(CASE WHEN {is_hit} THEN 'x' ELSE '1' END) IS NOT NULL"),
        5 => format!("(SELECT sum(9223372036854775807) FROM (SELECT 1 UNION ALL SELECT 2) WHERE {is_hit}) IS NULL"),
        _ => format!("json_extract(CASE WHEN {is_hit} THEN '[' ELSE '[]' END, '$') IS NOT NULL"),
    }
}
