//! The engine inside this process, as writers and subscribers use it: what `client.rs` and `socket.rs` are to a server.

use super::aftermath::lock;
use super::ledger::Ledger;
use super::operation::{Outcome, Planned, Request};
use super::state::{HEADS, TOPIC, heads};
use super::told::{MESSAGES, QUERIES, STREAM, Told, Wish};
use super::violation;
use anyhow::{Result, anyhow};
use serde_json::Value;
use std::sync::{Arc, Mutex};
use std::time::Duration;
use tidebase_engine::keys::KeyWrite;
use tidebase_engine::live::session::Batch;
use tidebase_engine::{
    Answer, Code, Engine, Error, Format, Idempotency, Params, Principal, RequestId, Session, Sql, SqlRequest, Wanted,
    WriteName,
};

/// How long a subscriber waits for what it must be told.
pub const PATIENCE: Duration = Duration::from_secs(20);

/// A request on its way; the writer's order is kept.
pub enum Queued {
    Pending(tidebase_engine::Result<tidebase_engine::Pending>),
    Said(tidebase_engine::Result<i64>),
}

pub async fn queue(engine: &Engine, planned: &Planned) -> Result<Queued> {
    let idempotency =
        planned.key().map(|key| Idempotency { fingerprint: key.clone().into_bytes(), name: WriteName::Key(key) });
    let pending = match planned.request() {
        Request::Say { data } => return Ok(Queued::Said(engine.publish(&Principal::Admin, TOPIC, &data, None).await)),
        Request::Sql { statements, is_transaction } => {
            let sql = |(sql, params)| Ok(Sql { sql, params: serde_json::from_value::<Params>(Value::Array(params))? });
            let statements = statements.into_iter().map(sql).collect::<Result<_>>()?;
            engine.write(SqlRequest {
                statements,
                is_transaction,
                format: Format::Objects,
                idempotency,
                ..SqlRequest::query(String::new(), Params::None)
            })
        }
        Request::SetKey { name, value } => engine.write_key(
            &Principal::Admin,
            KeyWrite::Set { key: name, value, ttl_ms: None, if_revision: None },
            idempotency,
        ),
        Request::RemoveKey { name } => {
            engine.write_key(&Principal::Admin, KeyWrite::Delete { key: name, if_revision: None }, idempotency)
        }
    };
    Ok(Queued::Pending(pending))
}

impl Queued {
    pub async fn outcome(self, planned: &Planned) -> Result<Outcome> {
        let answered = match self {
            Self::Said(cursor) => cursor.map(|_| None),
            Self::Pending(Err(error)) => Err(error),
            Self::Pending(Ok(pending)) => pending.wait().await.map(Some),
        };
        let done = |answer: Option<Answer>| Outcome {
            is_refused: false,
            revision: answer.as_ref().map(|answer| answer.revision),
            is_repeated: answer.is_some_and(|answer| answer.is_repeated),
        };
        match answered {
            Ok(answer) => Ok(done(answer)),
            Err(Error { code: Code::Conflict, .. }) => {
                Ok(Outcome { is_refused: true, revision: None, is_repeated: false })
            }
            Err(error) => Err(violation!("{planned:?} was answered {error:?}")),
        }
    }
}

pub async fn send(engine: &Engine, planned: &Planned) -> Result<Outcome> {
    queue(engine, planned).await?.outcome(planned).await
}

/// Reads where the writers stand.
pub async fn read(engine: &Engine, ledger: &Mutex<Ledger>) -> Result<()> {
    let answer = engine.query(SqlRequest::query(HEADS, Params::None)).await?;
    let heads = heads(&serde_json::from_slice(&answer.body)?)?;
    lock(ledger).told_heads(answer.revision, heads)
}

/// One session with all subscriptions.
pub struct Subscriber {
    engine: Arc<Engine>,
    session: Arc<Session>,
    pub told: Told,
}

impl Subscriber {
    /// Goes on from what was told before.
    pub async fn open(engine: &Arc<Engine>, mut told: Told) -> Result<Self> {
        let session = engine.open_session();
        let id = |id: usize| RequestId::parse(&id.to_string());
        for wish in told.connect() {
            let (id, wanted) = match wish {
                Wish::Query { id: number, since } => {
                    (id(number)?, Wanted::Query { sql: QUERIES[number].into(), params: Params::None, since })
                }
                Wish::Changes { since } => (id(STREAM)?, Wanted::Changes { table: None, since }),
                Wish::Messages { after } => {
                    engine.subscribe_topic(&session, Some(id(MESSAGES)?), TOPIC, Some(after), None).await?;
                    continue;
                }
            };
            engine.subscribe(&session, Some(id), wanted)?;
        }
        Ok(Self { engine: Arc::clone(engine), session, told })
    }

    /// What comes next; the frames are told once it is [`Subscriber::take`]n.
    pub async fn next(&self) -> Result<Batch> {
        self.session.next_batch().await.map_err(|ended| anyhow!("a session was ended: {ended:?}"))
    }

    pub async fn take(&mut self, batch: &Batch, ledger: &Mutex<Ledger>) -> Result<()> {
        for frame in &batch.frames {
            self.told.take(std::str::from_utf8(&frame.text)?, &mut lock(ledger))?;
        }
        for (topic, id) in self.session.written(batch) {
            self.engine.catch_up(&self.session, &topic, id.as_ref()).await?;
        }
        Ok(())
    }

    /// Reads until the first word of every subscription has come; then looks whether it is one snapshot.
    pub async fn visit(mut self, ledger: &Mutex<Ledger>) -> Result<()> {
        while !self.told.is_complete() {
            let batch = self.next().await?;
            self.take(&batch, ledger).await?;
        }
        self.told.check(&lock(ledger))
    }

    /// Reads until it has been told how things stand, which is how they stay meanwhile; then looks whether it is so.
    pub async fn settle(&mut self, ledger: &Mutex<Ledger>) -> Result<()> {
        let found = lock(ledger).expected();
        while !self.told.knows(&found) {
            let Ok(batch) = tokio::time::timeout(PATIENCE, self.next()).await else {
                return Err(violation!("a subscriber was not told all there is: {}", self.told.lacks(&found)));
            };
            self.take(&batch?, ledger).await?;
        }
        self.told.read_again(&found);
        self.told.check(&lock(ledger))
    }
}

impl Drop for Subscriber {
    fn drop(&mut self) {
        self.session.close();
    }
}
