//! What a client of `/ws` can ask, parsed once into types that cannot be wrong.

use super::mutate::Mutations;
use crate::faces::requests::{self, SqlBody};
use serde::Deserialize;
use serde_json::value::RawValue;
use std::borrow::Cow;
use tidebase_engine::documents::filter::Filter;
use tidebase_engine::documents::query::Order;
use tidebase_engine::documents::{CollectionPath, DocumentPath, Query};
use tidebase_engine::{Error, Format, Params, Principal, RequestId, Result, Since, SqlRequest, Wanted};

/// In one frame that resumes.
const QUERIES_MAX: usize = 1000;

#[derive(Debug)]
pub enum Ask {
    Query(SqlRequest),
    /// A query, a change stream or a key.
    Subscribe(Wanted),
    /// Queries that all stood at one place, each by its id and its tag.
    Resume {
        place: Since,
        queries: Vec<(RequestId, String)>,
    },
    Listen {
        topic: String,
        after: Option<i64>,
        presence: Option<String>,
    },
    Publish {
        topic: String,
        data: String,
    },
    /// Ends a subscription or a request under way.
    Unsubscribe {
        sub: RequestId,
    },
    /// What a client has written while it was away.
    Mutate(Mutations),
    Ping,
    /// Another token in the place of the one that the socket was opened with.
    Renew {
        token: String,
    },
}

#[derive(Debug)]
pub struct Request {
    pub id: Option<RequestId>,
    pub ask: Ask,
}

#[derive(Deserialize)]
struct Frame<'a> {
    #[serde(borrow, default)]
    id: Option<&'a RawValue>,
    #[serde(borrow, default)]
    action: Option<Cow<'a, str>>,
    #[serde(borrow, default)]
    sql: Option<&'a RawValue>,
    #[serde(borrow, default)]
    params: Option<&'a RawValue>,
    #[serde(borrow, default)]
    transaction: Option<&'a RawValue>,
    #[serde(borrow, default)]
    since: Option<&'a RawValue>,
    #[serde(default)]
    table: Option<String>,
    #[serde(default)]
    key: Option<String>,
    #[serde(default)]
    topic: Option<String>,
    #[serde(default)]
    after: Option<i64>,
    #[serde(borrow, default, deserialize_with = "requests::present")]
    presence: Option<&'a RawValue>,
    #[serde(borrow, default, deserialize_with = "requests::present")]
    data: Option<&'a RawValue>,
    #[serde(borrow, default)]
    sub: Option<&'a RawValue>,
    #[serde(default)]
    token: Option<String>,
    #[serde(default)]
    collection: Option<String>,
    #[serde(default)]
    doc: Option<String>,
    #[serde(default, rename = "where")]
    filter: Option<serde_json::Value>,
    #[serde(default, rename = "orderBy")]
    order: Option<String>,
    #[serde(default)]
    limit: Option<usize>,
    #[serde(default)]
    client_id: Option<String>,
    #[serde(default)]
    uid: Option<String>,
    #[serde(default)]
    acknowledged: Option<i64>,
    #[serde(borrow, default)]
    mutations: Option<Vec<&'a RawValue>>,
    #[serde(borrow, default)]
    queries: Option<Vec<&'a RawValue>>,
}

#[derive(Deserialize)]
struct SinceBody {
    history: String,
    revision: i64,
    #[serde(default)]
    tag: Option<String>,
}

/// A frame that cannot be understood: with its id, if that much could be read.
pub type Misread = (Option<RequestId>, Error);

/// The id of a frame of which nothing else can be understood.
fn only_id(text: &str) -> Option<RequestId> {
    #[derive(Deserialize)]
    struct Id<'a> {
        #[serde(borrow)]
        id: &'a RawValue,
    }
    RequestId::parse(serde_json::from_str::<Id<'_>>(text).ok()?.id.get()).ok()
}

pub fn read(text: &str, principal: &Principal) -> Result<Request, Misread> {
    let frame: Frame<'_> = serde_json::from_str(text).map_err(|error| {
        (only_id(text), Error::invalid(format!("The frame is not the JSON that is expected: {error}.")))
    })?;
    let id = frame.id.map(|id| RequestId::parse(id.get())).transpose().map_err(|error| (None, error))?;
    match understand(&frame, id.is_some(), principal) {
        Ok(ask) => Ok(Request { id, ask }),
        Err(error) => Err((id, error)),
    }
}

fn understand(frame: &Frame<'_>, has_id: bool, principal: &Principal) -> Result<Ask> {
    let needs_id = |ask: Ask| {
        if has_id { Ok(ask) } else { Err(Error::invalid("This action needs an \"id\".")) }
    };
    match frame.action.as_deref() {
        Some("query") => needs_id(Ask::Query(sql(frame, false, principal)?)),
        Some("transaction") => needs_id(Ask::Query(sql(frame, true, principal)?)),
        Some("subscribe") => match subscribe(frame)? {
            ask @ (Ask::Listen { .. } | Ask::Subscribe(Wanted::Key { .. })) => Ok(ask),
            ask => needs_id(ask),
        },
        Some("resume") => needs_id(resume(frame)?),
        Some("publish") => {
            let topic = frame.topic.clone().ok_or_else(|| Error::invalid("publish needs a \"topic\"."))?;
            let data = frame.data.ok_or_else(|| Error::invalid("publish needs \"data\": any JSON."))?;
            Ok(Ask::Publish { topic, data: data.get().to_owned() })
        }
        Some("unsubscribe" | "cancel") => {
            let sub = frame
                .sub
                .ok_or_else(|| Error::invalid("Which one? \"sub\" is the id of a subscription or request."))?;
            needs_id(Ask::Unsubscribe { sub: RequestId::parse(sub.get())? })
        }
        Some("auth") => {
            let token = frame.token.clone().ok_or_else(|| Error::invalid("auth needs a \"token\"."))?;
            needs_id(Ask::Renew { token })
        }
        Some("mutate") => needs_id(Ask::Mutate(Mutations::read(
            frame.client_id.as_deref(),
            frame.uid.clone(),
            frame.acknowledged,
            frame.mutations.as_deref(),
        )?)),
        Some("ping") => needs_id(Ask::Ping),
        Some(other) => Err(Error::invalid(format!(
            "Unknown action {other:?}. There are subscribe, resume, unsubscribe, cancel, query, transaction, mutate, publish, auth and ping."
        ))),
        None => Err(Error::invalid("The frame needs an \"action\".")),
    }
}

fn sql(frame: &Frame<'_>, is_transaction: bool, principal: &Principal) -> Result<SqlRequest> {
    let transaction = if is_transaction { frame.transaction } else { None };
    if is_transaction && transaction.is_none() {
        return Err(Error::invalid("\"transaction\" must be an array of statements."));
    }
    SqlBody { sql: frame.sql, params: frame.params, transaction }.into_request(Format::Objects, principal)
}

/// The SQL of a live collection.
fn documents(collection: &str, frame: &Frame<'_>) -> Result<(String, Params)> {
    let filter = frame.filter.as_ref().map(Filter::parse).transpose()?;
    let order = frame.order.as_deref().map_or(Ok(Vec::new()), Order::parse)?;
    let collection = CollectionPath::parse(collection)?;
    if frame.limit == Some(0) {
        return Err(Error::invalid("\"limit\" is a number from 1."));
    }
    Ok(Query { collection, filter, order, limit: frame.limit, after: None }.live_sql())
}

/// Where a client was; null is nowhere.
fn since(frame: &Frame<'_>) -> Result<Option<Since>> {
    let Some(since) = frame.since.filter(|since| since.get() != "null") else { return Ok(None) };
    let since: SinceBody = serde_json::from_str(since.get())
        .map_err(|_| Error::invalid("\"since\" is {\"history\", \"revision\", \"tag\"?}."))?;
    Ok(Some(Since { history: since.history, revision: since.revision, tag: since.tag }))
}

fn resume(frame: &Frame<'_>) -> Result<Ask> {
    const SHAPE: &str = "resume needs \"since\": {\"history\", \"revision\"}, and \"queries\": [[id, tag], …].";
    let place = since(frame)?.ok_or_else(|| Error::invalid(SHAPE))?;
    let sent = frame.queries.as_ref().ok_or_else(|| Error::invalid(SHAPE))?;
    if sent.len() > QUERIES_MAX {
        return Err(Error::too_large(format!("A frame may resume {QUERIES_MAX} queries.")));
    }
    let query = |raw: &&RawValue| {
        let (id, tag): (&RawValue, String) = serde_json::from_str(raw.get()).map_err(|_| Error::invalid(SHAPE))?;
        Ok((RequestId::parse(id.get())?, tag))
    };
    Ok(Ask::Resume { place, queries: sent.iter().map(query).collect::<Result<_>>()? })
}

fn subscribe(frame: &Frame<'_>) -> Result<Ask> {
    let since = since(frame)?;
    let texts = [&frame.table, &frame.key, &frame.topic, &frame.collection, &frame.doc];
    let named = texts.iter().filter(|text| text.is_some()).count() + usize::from(frame.sql.is_some());
    if named != 1 {
        return Err(Error::invalid(
            "subscribe needs exactly one of \"sql\", \"table\", \"key\", \"topic\", \"collection\" and \"doc\".",
        ));
    }
    if let Some(topic) = &frame.topic {
        let presence = frame.presence.map(|state| state.get().to_owned());
        return Ok(Ask::Listen { topic: topic.clone(), after: frame.after, presence });
    }
    Ok(Ask::Subscribe(if let Some(key) = &frame.key {
        Wanted::Key { key: key.clone() }
    } else if let Some(doc) = &frame.doc {
        let (sql, params) = DocumentPath::parse(doc)?.live_sql();
        Wanted::Query { sql, params, since }
    } else if let Some(collection) = &frame.collection {
        let (sql, params) = documents(collection, frame)?;
        Wanted::Query { sql, params, since }
    } else if let Some(table) = &frame.table {
        Wanted::Changes { table: (table != "*").then(|| table.clone()), since }
    } else {
        let sql = requests::sql(frame.sql, requests::EMPTY_SQL)?;
        let params: Params = requests::params(frame.params, requests::INVALID_PARAMS)?;
        Wanted::Query { sql, params, since }
    }))
}
