//! `mutate`: what a client has written while it was away, in its order, each of it once however often it is sent.
//!
//! A mutation is a row patch, writes of documents, or SQL. Each is one request to the writer, under the number that the
//! client gave it; the answer says of each what came of it. Behind one that could not be carried out for now none is: the
//! answer then ends before it, and the client sends the rest again.

use crate::answer::told;
use crate::auth::secret::{hash, stored};
use crate::faces::requests::SqlBody;
use crate::faces::rest::patch::{Op, Patch};
use crate::faces::{Shared, docs};
use serde::Deserialize;
use serde_json::value::RawValue;
use sha2::{Digest as _, Sha256};
use std::sync::Arc;
use tidebase_engine::documents::Batch;
use tidebase_engine::{
    Answer, Error, Format, Idempotency, Line, Pending, Principal, Result, Role, SqlRequest, WriteName, json,
};

/// In one frame.
const MUTATIONS_MAX: usize = 500;

/// That wait with the writer at once.
const AT_ONCE: usize = 16;

/// Bytes of a client's name for itself.
const CLIENT_BYTES_MAX: usize = 64;

#[derive(Debug)]
pub struct Mutations {
    client: String,
    /// Whose they are, where the client can say.
    uid: Option<String>,
    acknowledged: i64,
    /// Which of the administrator's tokens, for the logs.
    pub who: Option<Arc<str>>,
    /// Each with its number.
    all: Vec<(i64, Box<RawValue>)>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Mutation<'a> {
    #[serde(rename = "mutation_id")]
    _number: i64,
    #[serde(default)]
    table: Option<String>,
    #[serde(default)]
    op: Option<Op>,
    #[serde(borrow, default)]
    key: Option<&'a RawValue>,
    #[serde(borrow, default)]
    values: Option<&'a RawValue>,
    #[serde(default)]
    writes: Option<Vec<docs::Write>>,
    #[serde(borrow, default)]
    sql: Option<&'a RawValue>,
    #[serde(borrow, default)]
    params: Option<&'a RawValue>,
    #[serde(borrow, default)]
    transaction: Option<&'a RawValue>,
}

impl Mutations {
    /// # Errors
    /// `invalid` for a frame of which nothing is carried out; what is wrong with one mutation, its own outcome says.
    pub fn read(
        client: Option<&str>,
        uid: Option<String>,
        acknowledged: Option<i64>,
        sent: Option<&[&RawValue]>,
    ) -> Result<Self> {
        #[derive(Deserialize)]
        struct Number {
            mutation_id: i64,
        }
        let is_name = |client: &&str| (1..=CLIENT_BYTES_MAX).contains(&client.len());
        let client = client.filter(is_name).ok_or_else(|| {
            Error::invalid(format!("mutate needs a \"client_id\": a name of 1 to {CLIENT_BYTES_MAX} bytes."))
        })?;
        let sent = sent.ok_or_else(|| Error::invalid("mutate needs \"mutations\": an array."))?;
        if sent.len() > MUTATIONS_MAX {
            return Err(Error::too_large(format!("A frame may have {MUTATIONS_MAX} mutations.")));
        }
        let acknowledged = acknowledged.unwrap_or(0);
        let mut last = acknowledged.max(0);
        let mut all = Vec::with_capacity(sent.len());
        for raw in sent {
            let number = serde_json::from_str::<Number>(raw.get()).map(|number| number.mutation_id);
            let number = number.ok().filter(|number| *number > last).ok_or_else(|| {
                Error::invalid("Each mutation has a \"mutation_id\": a whole number, greater than those before it.")
            })?;
            last = number;
            all.push((number, (*raw).to_owned()));
        }
        Ok(Self { client: client.to_owned(), uid, acknowledged, who: None, all })
    }

    /// Is the socket that of whoever made them? On a shared device another may have signed in meanwhile.
    ///
    /// # Errors
    /// `forbidden`; none of them is carried out.
    pub fn check(&self, principal: &Principal) -> Result<()> {
        let uid = principal.caller().and_then(|caller| caller.uid.as_deref());
        match &self.uid {
            Some(theirs) if uid != Some(&**theirs) => Err(Error::forbidden("These mutations are somebody else's.")),
            _ => Ok(()),
        }
    }

    /// Carries them out, a few at a time: whoever has much to tell is not alone.
    pub async fn carry_out(self, app: Shared, principal: Principal) -> Result<Answer> {
        let client: Box<str> = format!("{}/{}", whose(&principal), self.client).into();
        let line = Line::new(self.acknowledged);
        let mut body = vec![b'['];
        let mut revision = app.engine.revision();
        'frame: for some in self.all.chunks(AT_ONCE) {
            let begin = |(number, raw): &(i64, Box<RawValue>)| {
                let name = WriteName::Mutation { client: client.clone(), number: *number, line: Arc::clone(&line) };
                let idempotency = Idempotency { name, fingerprint: Sha256::digest(raw.get().as_bytes()).to_vec() };
                (*number, begin(&app, &principal, self.who.as_ref(), raw, idempotency))
            };
            let mut begun = Vec::with_capacity(some.len());
            for one in some.iter().map(begin) {
                let is_held_up = one.1.is_err();
                begun.push(one);
                if is_held_up {
                    break;
                }
            }
            for (number, one) in begun {
                let outcome = match one {
                    Ok(one) => one.wait(&app, &principal).await,
                    Err(error) => Err(error),
                };
                if let Ok(answer) = &outcome {
                    revision = revision.max(answer.revision);
                }
                match outcome.map_err(told) {
                    Err(error) if error.code.may_pass() && body.len() == 1 => return Err(error),
                    Err(error) if error.code.may_pass() => break 'frame,
                    outcome => write(&mut body, number, &outcome),
                }
            }
        }
        body.push(b']');
        Ok(Answer { body: body.into(), revision, enveloped: None, rows: 0, is_repeated: false })
    }
}

/// An anonymous user who makes an account of it stays who it was.
fn whose(principal: &Principal) -> String {
    match principal {
        Principal::Admin => "admin".to_owned(),
        Principal::Caller(caller) => {
            let kind = if caller.role == Role::Client { "client" } else { "user" };
            stored(&hash(&format!("{kind}/{}", caller.uid.as_deref().unwrap_or_default())))
        }
    }
}

struct Begun {
    pending: Pending,
    patch: Option<Patch>,
}

impl Begun {
    async fn wait(self, app: &Shared, principal: &Principal) -> Result<Answer> {
        let done = self.pending.wait().await;
        match self.patch {
            Some(patch) => patch.judge(&app.engine, principal, done).await,
            None => done,
        }
    }
}

/// Queues it with the writer: also what cannot be understood, for it may have been carried out when it could.
fn begin(
    app: &Shared,
    principal: &Principal,
    who: Option<&Arc<str>>,
    raw: &RawValue,
    idempotency: Idempotency,
) -> Result<Begun> {
    let name = || Some(idempotency.clone());
    let begun = understood(app, principal, who, raw).and_then(|asked| match asked {
        Asked::Row(patch) => {
            let request = SqlRequest { idempotency: name(), ..patch.request(principal) };
            Ok(Begun { pending: app.engine.write(request)?, patch: Some(patch) })
        }
        Asked::Documents(batch) => {
            Ok(Begun { pending: app.engine.write_documents(principal, batch, name())?, patch: None })
        }
        Asked::Sql(request) => {
            let request = SqlRequest { idempotency: name(), ..request };
            Ok(Begun { pending: app.engine.write(request)?, patch: None })
        }
    });
    match begun {
        Err(error) if !error.code.may_pass() => {
            Ok(Begun { pending: app.engine.refuse(error, idempotency)?, patch: None })
        }
        begun => begun,
    }
}

enum Asked {
    Row(Patch),
    Documents(Batch),
    Sql(SqlRequest),
}

fn understood(app: &Shared, principal: &Principal, who: Option<&Arc<str>>, raw: &RawValue) -> Result<Asked> {
    let mutation: Mutation<'_> = serde_json::from_str(raw.get())
        .map_err(|error| Error::invalid(format!("The mutation is not the JSON that is expected: {error}.")))?;
    match mutation {
        Mutation {
            table: Some(table), op: Some(op), key, values, writes: None, sql: None, transaction: None, ..
        } => Ok(Asked::Row(Patch::understood(&app.engine, principal, &table, op, key, values)?)),
        Mutation { writes: Some(writes), table: None, op: None, sql: None, transaction: None, .. } => {
            Ok(Asked::Documents(Batch { reads: Vec::new(), writes: docs::understood(writes)?, is_single: false }))
        }
        Mutation { sql, params, transaction, table: None, op: None, writes: None, .. }
            if sql.is_some() != transaction.is_some() =>
        {
            let mut request = SqlBody { sql, params, transaction }.into_request(Format::Raw, principal)?;
            request.who = who.cloned();
            Ok(Asked::Sql(request))
        }
        _ => Err(Error::invalid(
            "A mutation has \"table\" and \"op\", or \"writes\" of documents, or \"sql\", or \"transaction\".",
        )),
    }
}

fn write(out: &mut Vec<u8>, number: i64, outcome: &Result<Answer>) {
    if out.len() > 1 {
        out.push(b',');
    }
    out.extend_from_slice(b"{\"mutation_id\":");
    json::write_integer(out, number);
    match outcome {
        Ok(answer) => {
            out.extend_from_slice(b",\"applied\":");
            json::write_integer(out, answer.revision);
        }
        Err(error) => {
            let mut text = |name: &str, value: &str| {
                out.extend_from_slice(b",\"");
                out.extend_from_slice(name.as_bytes());
                out.extend_from_slice(b"\":");
                json::write_str(out, value);
            };
            text("refused", error.code.name());
            text("error", &error.message);
            error.column().into_iter().for_each(|column| text("column", column));
            error.pointer().into_iter().for_each(|pointer| text("pointer", pointer));
        }
    }
    out.push(b'}');
}
