//! SQL: at once if it reads, through the writer if it may write.

use super::{Engine, Pending};
use crate::access;
use crate::error::{Error, Result};
use crate::limits::Limits;
use crate::logs::queries::Noting;
use crate::request::{Answer, Idempotency, Origin, Sql, SqlRequest, WriteName};
use crate::sqlite::tokens::{self, Class};
use crate::storage::readers::Read;
use crate::storage::work::Work;
use crate::value::{Params, Value};
use std::sync::Arc;

impl Engine {
    /// Runs SQL: at once if it reads, through the writer if it may write.
    pub async fn query(&self, request: SqlRequest) -> Result<Answer> {
        self.check(&request)?;
        if reads(&request) && request.idempotency.is_none() {
            let request = Arc::new(request);
            self.shared.metrics.reads.add(1);
            let noting = Noting::begin(&self.shared, &request);
            let outcome = match self.readers.run(&request).await {
                Ok(Read::Done(answer)) => Ok(answer),
                Ok(Read::NeedsWriter) => self.submit(Work::Sql(Arc::unwrap_or_clone(request)), None)?.wait().await,
                Err(error) => Err(error),
            };
            if let Some(noting) = noting {
                noting.done(&outcome);
            }
            return outcome;
        }
        self.queue(request)?.wait().await
    }

    /// Queues SQL that writes, keeping the order of the calls; the answer is waited for separately.
    pub fn write(&self, request: SqlRequest) -> Result<Pending> {
        self.check(&request)?;
        self.queue(request)
    }

    fn queue(&self, mut request: SqlRequest) -> Result<Pending> {
        let noting = Noting::begin(&self.shared, &request);
        let idempotency = request.idempotency.take();
        Ok(Pending { noting, ..self.submit(Work::Sql(request), idempotency)? })
    }

    /// May it be run at all? What it does is seen when it is.
    fn check(&self, request: &SqlRequest) -> Result<()> {
        check(request, self.limits())?;
        if request.origin == Origin::Sent {
            let texts = request.statements.iter().map(|statement| statement.sql.as_str());
            for (index, sql) in texts.enumerate() {
                let checked = self.shared.statements.check(&request.principal, sql);
                checked.map_err(|error| if request.is_transaction { error.at_statement(index) } else { error })?;
            }
        }
        Ok(())
    }
}

fn check(request: &SqlRequest, limits: &Limits) -> Result<()> {
    if request.statements.len() > limits.statements_max {
        return Err(Error::too_large(format!("A transaction may have {} statements.", limits.statements_max)));
    }
    if request.principal.caller().is_some() && request.statements.iter().any(has_too_long_pattern) {
        return Err(Error::too_large("A statement with LIKE or GLOB may have texts of 50,000 bytes at most."));
    }
    match request.idempotency.as_ref().map(|idempotency| &idempotency.name) {
        Some(WriteName::Key(key)) if key.len() > Idempotency::KEY_BYTES_MAX * 2 => {
            Err(Error::invalid("An Idempotency-Key may have 255 characters."))
        }
        _ => Ok(()),
    }
}

/// SQLite would fail where a row is compared with it, and so tell that there is one.
fn has_too_long_pattern(statement: &Sql) -> bool {
    use access::functions::PATTERN_BYTES_MAX;
    let is_long =
        |value: &Value| matches!(value, Value::Text(bytes) | Value::Blob(bytes) if bytes.len() > PATTERN_BYTES_MAX);
    let has_long = match &statement.params {
        Params::None => false,
        Params::Positional(values) => values.iter().any(is_long),
        Params::Named(values) => values.iter().any(|(_, value)| is_long(value)),
    };
    has_long && tokens::tokens(&statement.sql).any(|token| token.is_any(&["like", "glob"]))
}

/// Does every statement look as if it only reads? A reader finds out for certain.
pub fn reads(request: &SqlRequest) -> bool {
    !request.statements.is_empty()
        && request
            .statements
            .iter()
            .all(|statement| matches!(tokens::class(&statement.sql), Class::Reads | Class::Begin))
}
