//! The bodies of SQL requests, the same over HTTP and sockets, with StarbaseDB's words for what is wrong.

use serde::Deserialize;
use serde_json::value::RawValue;
use tidebase_engine::{Error, Format, Origin, Params, Principal, Result, Sql, SqlRequest};

pub const EMPTY_SQL: &str = "Invalid or empty \"sql\" field.";
pub const INVALID_PARAMS: &str = "Invalid \"params\" field. Must be an array or object.";
const EMPTY_SQL_IN_TRANSACTION: &str = "Invalid or empty \"sql\" field in transaction.";
const INVALID_PARAMS_IN_TRANSACTION: &str = "Invalid \"params\" field in transaction. Must be an array or object.";

/// `{"sql", "params"?}` or `{"transaction": […]}`; other fields belong to the face.
#[derive(Debug, Deserialize)]
pub struct SqlBody<'a> {
    #[serde(borrow, default)]
    pub sql: Option<&'a RawValue>,
    #[serde(borrow, default)]
    pub params: Option<&'a RawValue>,
    #[serde(borrow, default)]
    pub transaction: Option<&'a RawValue>,
}

impl SqlBody<'_> {
    /// # Errors
    /// `invalid`, naming the statement of a transaction.
    pub fn into_request(self, format: Format, principal: &Principal) -> Result<SqlRequest> {
        let request = |statements, is_transaction| SqlRequest {
            statements,
            is_transaction,
            format,
            idempotency: None,
            principal: principal.clone(),
            origin: Origin::Sent,
            who: None,
        };
        if let Some(transaction) = self.transaction
            && let Ok(bodies) = serde_json::from_str::<Vec<SqlBody<'_>>>(transaction.get())
            && !bodies.is_empty()
        {
            let words = (EMPTY_SQL_IN_TRANSACTION, INVALID_PARAMS_IN_TRANSACTION);
            let statement =
                |(index, body): (usize, &SqlBody<'_>)| body.statement(words).map_err(|error| error.at_statement(index));
            let statements = bodies.iter().enumerate().map(statement).collect::<Result<_>>()?;
            return Ok(request(statements, true));
        }
        Ok(request(vec![self.statement((EMPTY_SQL, INVALID_PARAMS))?], false))
    }

    fn statement(&self, (empty_sql, invalid_params): (&str, &str)) -> Result<Sql> {
        Ok(Sql { sql: sql(self.sql, empty_sql)?, params: params(self.params, invalid_params)? })
    }
}

pub fn sql(raw: Option<&RawValue>, message: &str) -> Result<String> {
    let sql: Option<String> = raw.and_then(|raw| serde_json::from_str(raw.get()).ok());
    sql.filter(|sql| !sql.trim().is_empty()).ok_or_else(|| Error::invalid(message))
}

/// What is neither array nor object gets the kept words; a value that cannot be bound is named.
pub fn params(raw: Option<&RawValue>, message: &str) -> Result<Params> {
    let Some(raw) = raw else { return Ok(Params::None) };
    match raw.get().as_bytes().first() {
        Some(b'[' | b'{') => serde_json::from_str(raw.get()).map_err(|error| {
            let reason = error.to_string();
            let reason = reason.split(" at line ").next().unwrap_or_default();
            Error::invalid(format!("A value in \"params\" cannot be bound: {reason}."))
        }),
        Some(b'n') => Ok(Params::None),
        _ => Err(Error::invalid(message)),
    }
}

/// For a field whose value may be `null`: there all the same.
pub fn present<'de, D: serde::Deserializer<'de>>(deserializer: D) -> Result<Option<&'de RawValue>, D::Error> {
    <&RawValue>::deserialize(deserializer).map(Some)
}

/// # Errors
/// `invalid` with where the JSON is broken.
pub fn parse<'a, T: Deserialize<'a>>(body: &'a [u8]) -> Result<T> {
    if body.trim_ascii_start().first() != Some(&b'{') {
        return Err(Error::invalid("The body must be a JSON object."));
    }
    serde_json::from_slice(body)
        .map_err(|error| Error::invalid(format!("The body is not the JSON that is expected: {error}.")))
}
