//! Documents: `/docs/…`, where names of collections and ids take turns, and several at once at `/docs:batch` and `/docs:commit`.
//!
//! What an address, a filter and a write mean, the engine's `documents` says; live they are subscribed at `/ws`, or one at a time by
//! [`blaze`].

mod blaze;

use crate::answer::{self, REVISION, Reply};
use crate::auth::secret;
use crate::faces::body::{idempotency, named, whole};
use crate::faces::requests::parse;
use crate::faces::{Admin, Asker, Shared, query_string};
use axum::body::{Body, Bytes};
use axum::extract::rejection::{BytesRejection, PathRejection};
use axum::extract::{FromRequestParts as _, Request, State};
use axum::http::{HeaderMap, HeaderValue, Method, StatusCode, Uri, header};
use axum::response::Response;
use serde::Deserialize;
use serde_json::{Map, Value as Json};
use tidebase_engine::documents::fields::Field;
use tidebase_engine::documents::filter::Filter;
use tidebase_engine::documents::query::{Aggregate, Cursor, LIMIT_DEFAULT, LIMIT_MAX, Order, Query, index_sql};
use tidebase_engine::documents::write::BATCH_MAX;
use tidebase_engine::documents::{Batch, Change, CollectionPath, DocumentPath, DocumentWrite, Path};
use tidebase_engine::{Error, Params, Principal, Result, SqlRequest, json};

/// Where the path stands in the address.
fn path(uri: &Uri) -> Result<Path> {
    let rest = uri.path().strip_prefix("/docs/").unwrap_or_default();
    let parts: Vec<String> = rest.split('/').map(query_string::decode_path).collect::<Result<_>>()?;
    if parts.iter().any(|part| part.contains('/')) {
        return Err(Error::invalid("An id has no slash in it."));
    }
    Path::parse(&parts.join("/"))
}

/// A document, the documents of a collection, or, for what asks for a WebSocket, a document live.
pub async fn read(State(app): State<Shared>, request: Request) -> Reply {
    let (mut parts, _) = request.into_parts();
    let uri = parts.uri.clone();
    let wants_socket =
        parts.headers.get(header::UPGRADE).is_some_and(|wanted| wanted.as_bytes().eq_ignore_ascii_case(b"websocket"));
    if wants_socket {
        return match path(&uri)? {
            Path::Document(path) => blaze::open(app, parts, path).await,
            Path::Collection(_) => {
                Err(Error::invalid("A collection is live at /ws; a document has a socket of its own.").into())
            }
        };
    }
    let Asker(grant) = Asker::from_request_parts(&mut parts, &app).await?;
    let revision = app.engine.revision();
    let body = match path(&uri)? {
        Path::Document(path) => {
            if let Some((name, _)) = query_string::parse(uri.query())?.first() {
                return Err(Error::invalid(format!("A document does not know the parameter {name:?}.")).into());
            }
            let missing = Error::not_found(format!("There is no document {path}."));
            let document = app.engine.documents(&grant.principal, move |desk| desk.get(&path)).await?;
            let mut body = Vec::new();
            document.ok_or(missing)?.write(&mut body);
            body
        }
        Path::Collection(collection) => list(&app, &grant.principal, asked(collection, &uri)?).await?,
    };
    let mut response = answer::json(StatusCode::OK, Bytes::from(body));
    response.headers_mut().insert(REVISION, HeaderValue::from(revision));
    Ok(response)
}

/// `GET /collections`: their names.
pub async fn collections(State(app): State<Shared>, _: Admin) -> Reply {
    Ok(answer::own(StatusCode::OK, app.engine.collections().into()))
}

/// `PUT /collections/{name}` makes one, `POST /collections/{name}/indexes` an index of it.
pub async fn collection(
    State(app): State<Shared>,
    admin: Admin,
    method: Method,
    name: Result<axum::extract::Path<String>, PathRejection>,
    body: Result<Bytes, BytesRejection>,
) -> Reply {
    let name = named(name)?;
    if method == Method::PUT {
        app.engine.make_collection(&name).await?;
        return Ok(answer::own(StatusCode::OK, serde_json::json!({ "name": name })));
    }
    let name = name
        .strip_suffix("/indexes")
        .ok_or_else(|| Error::invalid("POST /collections/{name}/indexes makes an index."))?;
    let asked: Index = parse(&whole(&app, body)?)?;
    let order = Order::parse(&asked.fields.join(","))?;
    if !app.engine.collections().iter().any(|known| known.eq_ignore_ascii_case(name)) {
        return Err(Error::not_found(format!("There is no collection {name}.")).into());
    }
    let made = SqlRequest { who: Some(admin.who.into()), ..SqlRequest::query(index_sql(name, &order), Params::None) };
    app.engine.query(made).await?;
    Ok(answer::own(StatusCode::CREATED, serde_json::json!({ "collection": name, "fields": asked.fields })))
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Index {
    /// As in `orderBy`: `age`, `name desc`.
    fields: Vec<String>,
}

/// What is asked of a collection.
struct Asked {
    query: Query,
    aggregates: Vec<(String, Aggregate)>,
}

fn asked(collection: CollectionPath, uri: &Uri) -> Result<Asked> {
    let mut query = Query { collection, filter: None, order: Vec::new(), limit: Some(LIMIT_DEFAULT), after: None };
    let (mut after, mut aggregates) = (None, Vec::new());
    for (name, value) in once_each(uri)? {
        match name.as_str() {
            "where" => {
                let filter = serde_json::from_str(&value)
                    .map_err(|_| Error::invalid("\"where\" is JSON: [\"age\", \">\", 5]."))?;
                query.filter = Some(Filter::parse(&filter)?);
            }
            "orderBy" => query.order = Order::parse(&value)?,
            "limit" => {
                let limit = value.parse().ok().filter(|limit| (1..=LIMIT_MAX).contains(limit));
                let limit =
                    limit.ok_or_else(|| Error::invalid(format!("\"limit\" is a number from 1 to {LIMIT_MAX}.")))?;
                query.limit = Some(limit);
            }
            "startAfter" => after = Some(value),
            "count" if flag("count", &value)? => aggregates.push(("count".into(), Aggregate::Count)),
            "sum" | "average" => {
                // Written as in an order, without a way.
                for (path, order) in value.split(',').zip(Order::parse(&value)?) {
                    let field = Field::parse(path.trim())?;
                    if order.is_descending || order.field != field {
                        return Err(Error::invalid(format!("\"{name}\" takes fields with commas between them.")));
                    }
                    let aggregate = if name == "sum" { Aggregate::Sum(field) } else { Aggregate::Average(field) };
                    aggregates.push((format!("{name}({})", path.trim()), aggregate));
                }
            }
            "count" => {}
            _ => return Err(Error::invalid(format!("A collection does not know the parameter {name:?}."))),
        }
    }
    query.after = after.map(|after| Cursor::read(&after, &query.order, query.collection.is_group())).transpose()?;
    Ok(Asked { query, aggregates })
}

/// The parameters, none of them twice: one of the two would count for nothing.
fn once_each(uri: &Uri) -> Result<Vec<(String, String)>> {
    let all = query_string::parse(uri.query())?;
    let is_again =
        |(index, (name, _)): &(usize, &(String, String))| all[..*index].iter().any(|(before, _)| before == name);
    match all.iter().enumerate().find(is_again) {
        Some((_, (name, _))) => Err(Error::invalid(format!("The parameter {name:?} stands there twice."))),
        None => Ok(all),
    }
}

fn flag(name: &str, value: &str) -> Result<bool> {
    match value {
        "" | "true" => Ok(true),
        "false" => Ok(false),
        _ => Err(Error::invalid(format!("\"{name}\" is true or false."))),
    }
}

/// `{"docs": […], "after": …}`, or what was computed of them.
async fn list(app: &Shared, principal: &Principal, asked: Asked) -> Result<Vec<u8>> {
    let Asked { query, aggregates } = asked;
    if !aggregates.is_empty() {
        let (names, aggregates): (Vec<_>, Vec<_>) = aggregates.into_iter().unzip();
        let values = app.engine.documents(principal, move |desk| desk.aggregate(&query, &aggregates)).await?;
        let mut body = Vec::new();
        for (name, value) in names.iter().zip(&values) {
            body.push(if body.is_empty() { b'{' } else { b',' });
            json::write_str(&mut body, name);
            body.push(b':');
            json::write_value(&mut body, value.as_ref());
        }
        body.push(b'}');
        return Ok(body);
    }
    let page = app.engine.documents(principal, move |desk| desk.list(&query)).await?;
    let mut body = b"{\"docs\":[".to_vec();
    for (index, document) in page.documents.iter().enumerate() {
        if index > 0 {
            body.push(b',');
        }
        document.write(&mut body);
    }
    body.extend_from_slice(b"],\"after\":");
    body.extend_from_slice(serde_json::json!(page.after.as_ref().map(Cursor::write)).to_string().as_bytes());
    body.push(b'}');
    Ok(body)
}

/// POST makes a document with a new id, PUT puts one in the place of whatever is there, PATCH changes fields, DELETE takes it away.
pub async fn write(
    State(app): State<Shared>,
    Asker(grant): Asker,
    method: Method,
    uri: Uri,
    headers: HeaderMap,
    body: Result<Bytes, BytesRejection>,
) -> Reply {
    let body = whole(&app, body)?;
    let idempotency = idempotency(&grant.principal, &headers, &format!("{method} {uri}"), &body)?;
    let (mut if_revision, mut exists) = (None, None);
    for (name, value) in once_each(&uri)? {
        match name.as_str() {
            "if_revision" => {
                let revision = value.parse().ok().filter(|revision: &i64| *revision >= 0);
                if_revision = Some(revision.ok_or_else(|| Error::invalid("if_revision is a revision number, or 0."))?);
            }
            "exists" => exists = Some(flag("exists", &value)?),
            _ => return Err(Error::invalid(format!("A write does not know the parameter {name:?}.")).into()),
        }
    }
    let (path, change) = match (method, path(&uri)?) {
        (Method::POST, Path::Collection(_)) if exists.is_some() || if_revision.is_some() => {
            return Err(
                Error::invalid("POST makes a document with a new id: exists and if_revision are for PUT.").into()
            );
        }
        (Method::POST, Path::Collection(collection)) => {
            exists = Some(false);
            (collection.document(&secret::new_document_id()?)?, Change::Set(parse(&body)?))
        }
        (Method::PUT, Path::Document(path)) => (path, Change::Set(parse(&body)?)),
        (Method::PATCH, Path::Document(path)) => (path, merge(parse(&body)?)?),
        (Method::DELETE, Path::Document(path)) => (path, Change::Delete),
        (Method::POST, Path::Document(_)) => {
            return Err(Error::invalid("POST is for a collection; PUT sets a document.").into());
        }
        _ => return Err(Error::invalid("That is for a document: a collection's name, a slash, an id.").into()),
    };
    let is_new = exists == Some(false);
    let write = DocumentWrite { path, change, if_revision, exists };
    let batch = Batch { reads: Vec::new(), writes: vec![write], is_single: true };
    let mut response = answer::bare(&app.engine.write_documents(&grant.principal, batch, idempotency)?.wait().await?);
    if is_new {
        *response.status_mut() = StatusCode::CREATED;
    }
    Ok(response)
}

fn merge(fields: Map<String, Json>) -> Result<Change> {
    let fields = fields.into_iter().map(|(path, value)| Ok((Field::parse(&path)?, value)));
    Ok(Change::Merge(fields.collect::<Result<_>>()?))
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Several {
    #[serde(default)]
    reads: Vec<Read>,
    writes: Vec<Write>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Read {
    path: String,
    revision: i64,
}

/// One write of several.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Write {
    op: Op,
    path: String,
    #[serde(default)]
    data: Option<Map<String, Json>>,
    #[serde(default)]
    if_revision: Option<i64>,
    #[serde(default)]
    exists: Option<bool>,
}

#[derive(Clone, Copy, Deserialize, PartialEq, Eq)]
#[serde(rename_all = "lowercase")]
pub enum Op {
    Set,
    /// Of what there is, if anything.
    Merge,
    /// Of what there is.
    Update,
    Delete,
}

/// What the writes of a batch mean.
///
/// # Errors
/// `too_large` for more than [`BATCH_MAX`]; else the mistake of one, with its index.
pub fn understood(writes: Vec<Write>) -> Result<Vec<DocumentWrite>> {
    if writes.len() > BATCH_MAX {
        return Err(Error::too_large(format!("A batch may have {BATCH_MAX} writes.")));
    }
    let one = |(index, write): (usize, Write)| write.understood().map_err(|error| error.at_statement(index));
    writes.into_iter().enumerate().map(one).collect()
}

impl Write {
    fn understood(self) -> Result<DocumentWrite> {
        let path = DocumentPath::parse(&self.path)?;
        let change = match (self.op, self.data) {
            (Op::Delete, None) => Change::Delete,
            (Op::Delete, Some(_)) => return Err(Error::invalid("delete takes no \"data\".")),
            (_, None) => return Err(Error::invalid("set, merge and update need \"data\": an object.")),
            (Op::Set, Some(data)) => Change::Set(data),
            (Op::Merge | Op::Update, Some(data)) => merge(data)?,
        };
        let exists = if self.op == Op::Update { Some(true) } else { self.exists };
        Ok(DocumentWrite { path, change, if_revision: self.if_revision, exists })
    }
}

/// `{"writes": […]}`: all of them, or none.
pub async fn batch(
    state: State<Shared>,
    asker: Asker,
    headers: HeaderMap,
    body: Result<Bytes, BytesRejection>,
) -> Reply {
    several(state, asker, headers, body, false).await
}

/// `{"reads": […], "writes": […]}`: if what was read is still so.
pub async fn commit(
    state: State<Shared>,
    asker: Asker,
    headers: HeaderMap,
    body: Result<Bytes, BytesRejection>,
) -> Reply {
    several(state, asker, headers, body, true).await
}

async fn several(
    State(app): State<Shared>,
    Asker(grant): Asker,
    headers: HeaderMap,
    body: Result<Bytes, BytesRejection>,
    may_read: bool,
) -> Result<Response<Body>, crate::answer::Failure> {
    let body = whole(&app, body)?;
    let name = if may_read { "docs:commit" } else { "docs:batch" };
    let idempotency = idempotency(&grant.principal, &headers, name, &body)?;
    let asked: Several = parse(&body)?;
    if asked.reads.len() > BATCH_MAX {
        return Err(Error::too_large(format!("A batch may have {BATCH_MAX} reads.")).into());
    }
    if !may_read && !asked.reads.is_empty() {
        return Err(Error::invalid("\"reads\" are for /docs:commit.").into());
    }
    let reads = asked.reads.into_iter().map(|read| Ok((DocumentPath::parse(&read.path)?, read.revision)));
    let reads = reads.collect::<Result<Vec<_>>>()?;
    let batch = Batch { reads, writes: understood(asked.writes)?, is_single: false };
    Ok(answer::bare(&app.engine.write_documents(&grant.principal, batch, idempotency)?.wait().await?))
}
