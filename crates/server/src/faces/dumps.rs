//! `/export/dump/…`: dumps that are made in the background, as StarbaseDB describes them. The dump that is made while it is sent is
//! [`super::export`].

use super::body::{named, whole};
use super::requests::parse;
use super::{Admin, Shared};
use crate::answer::{self, Reply};
use crate::dumps::Wanted;
use crate::dumps::dump::Format;
use axum::body::Body;
use axum::extract::rejection::{BytesRejection, PathRejection};
use axum::extract::{Path, State};
use axum::http::{HeaderMap, HeaderValue, Response, StatusCode, header};
use bytes::Bytes;
use futures_util::StreamExt as _;
use serde::Deserialize;
use serde_json::{Value as Json, json};
use std::io;
use std::ops::Range;
use tidebase_engine::Result;

/// StarbaseDB's names.
#[derive(Deserialize)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
struct Asked {
    format: Format,
    #[serde(default)]
    callback_url: Option<String>,
    #[serde(default)]
    chunk_size: Option<u64>,
    #[serde(default)]
    include_schema: Option<bool>,
}

type Named = Result<Path<String>, PathRejection>;

/// `POST /export/dump`
pub async fn ask(
    State(app): State<Shared>,
    admin: Admin,
    headers: HeaderMap,
    body: Result<Bytes, BytesRejection>,
) -> Reply {
    let Asked { format, callback_url, chunk_size, include_schema } = parse(&whole(&app, body)?)?;
    let wanted = Wanted {
        format,
        callback: callback_url,
        chunk_rows: chunk_size,
        has_schema: include_schema,
        base: base(&headers, app.is_behind_proxy),
    };
    let key = app.dumps.ask(wanted, &admin.who).await?;
    let told = json!({ "status": "accepted", "progressKey": key, "message": "Dump process started" });
    Ok(bare(StatusCode::ACCEPTED, &told))
}

pub async fn status(State(app): State<Shared>, _: Admin, path: Named) -> Reply {
    Ok(bare(StatusCode::OK, &app.dumps.status(&named(path)?)?))
}

/// A part of it too, so that a download that broke can go on.
pub async fn download(State(app): State<Shared>, _: Admin, headers: HeaderMap, path: Named) -> Reply {
    let download = app.dumps.download(&named(path)?).await?;
    let (found, permit) = (download.found, download.permit);
    let mut response = Response::new(Body::empty());
    let tag = HeaderValue::try_from(&found.tag).unwrap_or(HeaderValue::from_static("\"\""));
    let answers = response.headers_mut();
    answers.insert(header::ACCEPT_RANGES, HeaderValue::from_static("bytes"));
    answers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
    answers.insert(header::ETAG, tag.clone());
    let range = match part(&headers, &tag, found.bytes) {
        Part::None => {
            answers.insert(
                header::CONTENT_RANGE,
                HeaderValue::try_from(format!("bytes */{}", found.bytes)).unwrap_or(tag),
            );
            *response.status_mut() = StatusCode::RANGE_NOT_SATISFIABLE;
            return Ok(response);
        }
        Part::Whole => 0..found.bytes,
        Part::Range(range) => {
            let told = format!("bytes {}-{}/{}", range.start, range.end - 1, found.bytes);
            answers.insert(header::CONTENT_RANGE, HeaderValue::try_from(told).unwrap_or(tag));
            *response.status_mut() = StatusCode::PARTIAL_CONTENT;
            range
        }
    };
    let answers = response.headers_mut();
    answers.insert(header::CONTENT_TYPE, HeaderValue::from_static(download.dump.format.media_type()));
    answers.insert(header::X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
    answers.insert(header::CONTENT_LENGTH, HeaderValue::from(range.end - range.start));
    if let Ok(disposition) = HeaderValue::try_from(format!("attachment; filename=\"{}\"", download.dump.file)) {
        answers.insert(header::CONTENT_DISPOSITION, disposition);
    }
    let pieces = found.read(range).map(move |piece| {
        let _held_until_the_end = &permit;
        // The connection is cut.
        piece.map_err(|error| io::Error::other(answer::told(error).message))
    });
    *response.body_mut() = Body::from_stream(pieces);
    Ok(response)
}

pub async fn remove(State(app): State<Shared>, admin: Admin, path: Named) -> Reply {
    let (key, dumps) = (named(path)?, app.dumps.clone());
    super::to_the_end(async move { dumps.remove(&key, &admin.who).await }).await?;
    Ok(answer::own(StatusCode::OK, json!(true)))
}

/// Not the secret itself, which nobody can read: when it was made.
pub async fn secret(State(app): State<Shared>, _: Admin) -> Reply {
    let made_at = app.dumps.secret_made_at()?.map(crate::dumps::calendar::written);
    Ok(answer::own(StatusCode::OK, json!({ "madeAt": made_at })))
}

pub async fn new_secret(State(app): State<Shared>, admin: Admin) -> Reply {
    Ok(answer::own(StatusCode::CREATED, json!({ "secret": app.dumps.new_secret(&admin.who).await? })))
}

/// Without the envelope, as StarbaseDB answers.
fn bare(status: StatusCode, told: &Json) -> Response<Body> {
    answer::json(status, told.to_string().into())
}

/// How whoever asks calls this server.
fn base(headers: &HeaderMap, is_behind_proxy: bool) -> String {
    let text = |name: &str| headers.get(name).and_then(|value| value.to_str().ok());
    let is_https = is_behind_proxy && text("x-forwarded-proto").is_some_and(|scheme| scheme.trim() == "https");
    let forwarded = text("x-forwarded-host").filter(|_| is_behind_proxy);
    let host = forwarded.or_else(|| text("host")).unwrap_or("localhost").trim();
    format!("{}://{host}", if is_https { "https" } else { "http" })
}

enum Part {
    Whole,
    Range(Range<u64>),
    /// There is nothing of what is asked for.
    None,
}

/// One range counts (RFC 9110, 14.2); several, or what is no range, is as if nothing had been said. With `If-Range` it counts only while the
/// file is the one that was begun with.
fn part(headers: &HeaderMap, tag: &HeaderValue, bytes: u64) -> Part {
    let Some(range) = headers.get(header::RANGE).and_then(|range| range.to_str().ok()) else { return Part::Whole };
    if headers.get(header::IF_RANGE).is_some_and(|wanted| wanted != tag) {
        return Part::Whole;
    }
    let is_number = |text: &str| !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
    let number = |text: &str| text.parse().unwrap_or(u64::MAX);
    let bounds = range.trim().strip_prefix("bytes=").and_then(|bounds| bounds.trim().split_once('-'));
    let range = match bounds {
        Some(("", last)) if is_number(last) => bytes.saturating_sub(number(last))..bytes,
        Some((first, "")) if is_number(first) => number(first)..bytes,
        Some((first, last)) if is_number(first) && is_number(last) && number(first) <= number(last) => {
            number(first)..number(last).saturating_add(1).min(bytes)
        }
        _ => return Part::Whole,
    };
    if range.start >= range.end { Part::None } else { Part::Range(range) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_range_is_what_the_standard_says() {
        let tag = HeaderValue::from_static("\"a\"");
        let asked = |range: &'static str, if_range: &'static str, bytes: u64| {
            let mut headers = HeaderMap::new();
            headers.insert(header::RANGE, HeaderValue::from_static(range));
            if !if_range.is_empty() {
                headers.insert(header::IF_RANGE, HeaderValue::from_static(if_range));
            }
            match part(&headers, &tag, bytes) {
                Part::Whole => "whole".to_owned(),
                Part::Range(range) => format!("{range:?}"),
                Part::None => "none".to_owned(),
            }
        };
        for (range, wanted) in [
            ("bytes=0-0", "0..1"),
            ("bytes=5-", "5..10"),
            ("bytes=-3", "7..10"),
            ("bytes=-30", "0..10"),
            ("bytes=8-99999999999999999999999", "8..10"),
            ("bytes=10-", "none"),
            ("bytes=-0", "none"),
            ("bytes=3-2", "whole"),
            ("bytes=a-2", "whole"),
            ("bytes=+1-2", "whole"),
            ("bytes=0-1,3-4", "whole"),
            ("rows=0-1", "whole"),
            ("bytes=-", "whole"),
        ] {
            assert_eq!(asked(range, "", 10), wanted, "{range}");
        }
        assert_eq!(asked("bytes=0-", "", 0), "none");
        assert_eq!((asked("bytes=1-", "\"a\"", 10), asked("bytes=1-", "\"b\"", 10)), ("1..10".into(), "whole".into()));
    }
}
