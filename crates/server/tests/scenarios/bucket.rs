//! A bucket in memory that speaks S3, as far as backups ask of one, and misbehaves while it is told to.
//!
//! Whether we speak S3 as others do is tried with a program of somebody else's, which `TIDEBASE_S3` names; that one is always well.

use axum::Router;
use axum::body::{Body, Bytes};
use axum::extract::{RawQuery, State};
use axum::http::{HeaderMap, Method, StatusCode, Uri, header};
use axum::response::Response;
use std::collections::{BTreeMap, HashMap};
use std::sync::{Arc, Mutex};
use tokio::net::TcpListener;

pub const NAME: &str = "played";

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Mood {
    #[default]
    Well,
    /// Every question is answered 500.
    Failing,
    /// Questions are taken and never answered.
    Silent,
    /// What is asked is done, and the answer ends half-way.
    Breaking,
}

#[derive(Debug, Default)]
struct Inside {
    mood: Mood,
    files: BTreeMap<String, Bytes>,
    /// Parts of uploads that are not complete, by upload and number.
    parts: HashMap<String, BTreeMap<usize, Bytes>>,
    uploads: usize,
    asked: usize,
}

/// It ends with the test.
#[derive(Clone)]
pub struct Bucket {
    inside: Arc<Mutex<Inside>>,
    pub endpoint: String,
}

impl Bucket {
    pub async fn open() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
        let endpoint = format!("http://{}", listener.local_addr().expect("it is bound"));
        let inside = Arc::<Mutex<Inside>>::default();
        let router = Router::new().fallback(answer).with_state(Arc::clone(&inside));
        let router = router.layer(axum::extract::DefaultBodyLimit::disable());
        tokio::spawn(async move { axum::serve(listener, router).await });
        Self { inside, endpoint }
    }

    pub fn be(&self, mood: Mood) {
        self.inside.lock().expect("no panic").mood = mood;
    }

    /// Questions so far.
    pub fn asked(&self) -> usize {
        self.inside.lock().expect("no panic").asked
    }

    /// What a program needs that is to find it.
    pub fn environment(&self) -> Vec<(&'static str, String)> {
        let key = || "played".to_owned();
        vec![
            ("AWS_ACCESS_KEY_ID", key()),
            ("AWS_SECRET_ACCESS_KEY", key()),
            ("AWS_ENDPOINT_URL", self.endpoint.clone()),
        ]
    }
}

async fn answer(
    State(inside): State<Arc<Mutex<Inside>>>,
    method: Method,
    uri: Uri,
    RawQuery(query): RawQuery,
    headers: HeaderMap,
    body: Bytes,
) -> Response {
    let (mood, response) = {
        let mut inside = inside.lock().expect("no panic");
        inside.asked += 1;
        let is_at_work = matches!(inside.mood, Mood::Well | Mood::Breaking);
        let name = uri.path().trim_start_matches('/').trim_start_matches(NAME).trim_start_matches('/');
        let asked = Asked { method: &method, name, query: query.as_deref().unwrap_or_default(), headers: &headers };
        (inside.mood, is_at_work.then(|| inside.answer(&asked, body)))
    };
    match (mood, response) {
        // What has no body cannot end half-way.
        (Mood::Breaking, Some(response)) if method != Method::HEAD => broken(response).await,
        (Mood::Well | Mood::Breaking, Some(response)) => response,
        (Mood::Silent, _) => std::future::pending().await,
        _ => status(StatusCode::INTERNAL_SERVER_ERROR),
    }
}

/// It says how long it is, and ends before that.
async fn broken(response: Response) -> Response {
    let (mut parts, body) = response.into_parts();
    let whole = axum::body::to_bytes(body, usize::MAX).await.expect("it is in memory");
    let half = whole.slice(..whole.len() / 2);
    parts.headers.insert(header::CONTENT_LENGTH, (whole.len() + 1).into());
    let pieces = [Ok(half), Err(std::io::Error::other("broken off"))];
    Response::from_parts(parts, Body::from_stream(futures_util::stream::iter(pieces)))
}

struct Asked<'a> {
    method: &'a Method,
    name: &'a str,
    query: &'a str,
    headers: &'a HeaderMap,
}

impl Asked<'_> {
    fn has(&self, name: &str) -> bool {
        self.get(name).is_some() || self.query.split('&').any(|part| part == name)
    }

    fn get(&self, name: &str) -> Option<String> {
        let found = self.query.split('&').find_map(|part| part.strip_prefix(name)?.strip_prefix('='));
        found.map(|value| value.replace("%2F", "/"))
    }
}

impl Inside {
    fn answer(&mut self, asked: &Asked<'_>, body: Bytes) -> Response {
        let upload = asked.get("uploadId");
        match (asked.method.as_str(), upload) {
            ("GET", _) if asked.has("list-type") => self.list(&asked.get("prefix").unwrap_or_default()),
            ("GET" | "HEAD", _) => self.read(asked),
            ("PUT", Some(upload)) => {
                let number = asked.get("partNumber").and_then(|number| number.parse().ok()).expect("a part's number");
                self.parts.entry(upload).or_default().insert(number, body);
                tagged(StatusCode::OK)
            }
            ("PUT", None) => self.put(asked, body),
            ("POST", None) if asked.has("uploads") => {
                self.uploads += 1;
                let id = self.uploads;
                xml(&format!(
                    "<InitiateMultipartUploadResult><UploadId>{id}</UploadId></InitiateMultipartUploadResult>"
                ))
            }
            ("POST", None) if asked.has("delete") => self.delete(&String::from_utf8_lossy(&body)),
            ("POST", Some(upload)) => {
                let parts = self.parts.remove(&upload).unwrap_or_default();
                let whole: Vec<Bytes> = parts.into_values().collect();
                self.files.insert(asked.name.into(), whole.concat().into());
                xml("<CompleteMultipartUploadResult><ETag>\"1\"</ETag></CompleteMultipartUploadResult>")
            }
            _ => status(StatusCode::NOT_IMPLEMENTED),
        }
    }

    fn put(&mut self, asked: &Asked<'_>, body: Bytes) -> Response {
        let wants_new = asked.headers.contains_key(header::IF_NONE_MATCH);
        if wants_new && self.files.contains_key(asked.name) {
            return status(StatusCode::PRECONDITION_FAILED);
        }
        self.files.insert(asked.name.into(), body);
        tagged(StatusCode::OK)
    }

    fn read(&self, asked: &Asked<'_>) -> Response {
        let Some(file) = self.files.get(asked.name) else { return status(StatusCode::NOT_FOUND) };
        let range = asked.headers.get(header::RANGE).and_then(|range| range.to_str().ok()?.strip_prefix("bytes="));
        let range = range.and_then(|range| range.split_once('-'));
        let number = |text: &str| text.parse::<usize>().expect("a place in a file");
        let Some((first, last)) = range else {
            let mut response = tagged(StatusCode::OK);
            response.headers_mut().insert(header::CONTENT_LENGTH, file.len().into());
            *response.body_mut() = Body::from(file.clone());
            return response;
        };
        let (first, last) = (number(first), number(last).min(file.len() - 1));
        let mut response = tagged(StatusCode::PARTIAL_CONTENT);
        let told = format!("bytes {first}-{last}/{}", file.len()).parse().expect("a header");
        response.headers_mut().insert(header::CONTENT_RANGE, told);
        response.headers_mut().insert(header::CONTENT_LENGTH, (last + 1 - first).into());
        *response.body_mut() = Body::from(file.slice(first..=last));
        response
    }

    fn list(&self, prefix: &str) -> Response {
        let of = |(name, file): (&String, &Bytes)| {
            let size = file.len();
            format!(
                "<Contents><Key>{name}</Key><LastModified>2026-01-01T00:00:00.000Z</LastModified><ETag>\"1\"</ETag><Size>{size}</Size></Contents>"
            )
        };
        let files: String = self.files.iter().filter(|(name, _)| name.starts_with(prefix)).map(of).collect();
        xml(&format!("<ListBucketResult><IsTruncated>false</IsTruncated>{files}</ListBucketResult>"))
    }

    fn delete(&mut self, wanted: &str) -> Response {
        let names = wanted.split("<Key>").skip(1).filter_map(|rest| rest.split("</Key>").next());
        let gone: String = names
            .map(|name| {
                self.files.remove(name);
                format!("<Deleted><Key>{name}</Key></Deleted>")
            })
            .collect();
        xml(&format!("<DeleteResult>{gone}</DeleteResult>"))
    }
}

fn status(status: StatusCode) -> Response {
    let mut response = Response::new(Body::empty());
    *response.status_mut() = status;
    response
}

/// With what S3 says of a file.
fn tagged(code: StatusCode) -> Response {
    let mut response = status(code);
    for (name, value) in [(header::ETAG, "\"1\""), (header::LAST_MODIFIED, "Thu, 01 Jan 2026 00:00:00 GMT")] {
        response.headers_mut().insert(name, value.parse().expect("a header"));
    }
    response
}

fn xml(text: &str) -> Response {
    let mut response = tagged(StatusCode::OK);
    response.headers_mut().insert(header::CONTENT_LENGTH, text.len().into());
    *response.body_mut() = Body::from(text.to_owned());
    response
}
