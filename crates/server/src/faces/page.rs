//! The built-in page at `/`, or instead of it a folder of the user's (`--public`).

use super::Shared;
use axum::Router;
use axum::http::{HeaderValue, header};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use std::path::PathBuf;
use tower_http::services::ServeDir;

/// Nothing inline, nothing from elsewhere.
const POLICY: &str = "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self' ws: wss:; \
                      img-src 'self' data:; base-uri 'none'; form-action 'none'; frame-ancestors 'none'";

macro_rules! asset {
    ($path:literal, $file:literal, $kind:literal) => {
        ($path, $kind, include_str!(concat!("../../page/", $file)))
    };
}

const ASSETS: &[(&str, &str, &str)] = &[
    asset!("/", "index.html", "text/html; charset=utf-8"),
    asset!("/page.css", "page.css", "text/css; charset=utf-8"),
    asset!("/page.js", "page.js", "text/javascript; charset=utf-8"),
    asset!("/address.js", "address.js", "text/javascript; charset=utf-8"),
    asset!("/cell.js", "cell.js", "text/javascript; charset=utf-8"),
    asset!("/editor.js", "editor.js", "text/javascript; charset=utf-8"),
    asset!("/element.js", "element.js", "text/javascript; charset=utf-8"),
    asset!("/grid.js", "grid.js", "text/javascript; charset=utf-8"),
    asset!("/live.js", "live.js", "text/javascript; charset=utf-8"),
    asset!("/livelist.js", "livelist.js", "text/javascript; charset=utf-8"),
    asset!("/marks.js", "marks.js", "text/javascript; charset=utf-8"),
    asset!("/palette.js", "palette.js", "text/javascript; charset=utf-8"),
    asset!("/recent.js", "recent.js", "text/javascript; charset=utf-8"),
    asset!("/result.js", "result.js", "text/javascript; charset=utf-8"),
    asset!("/session.js", "session.js", "text/javascript; charset=utf-8"),
    asset!("/socket.js", "socket.js", "text/javascript; charset=utf-8"),
    asset!("/tables.js", "tables.js", "text/javascript; charset=utf-8"),
    asset!("/topics.js", "topics.js", "text/javascript; charset=utf-8"),
    asset!("/value.js", "value.js", "text/javascript; charset=utf-8"),
    asset!("/words.js", "words.js", "text/javascript; charset=utf-8"),
];

pub fn routes(router: Router<Shared>) -> Router<Shared> {
    ASSETS
        .iter()
        .fold(router, |router, &(path, kind, text)| router.route(path, get(move || async move { serve(kind, text) })))
}

fn serve(kind: &'static str, text: &'static str) -> Response {
    let headers = [
        (header::CONTENT_TYPE, HeaderValue::from_static(kind)),
        (header::CONTENT_SECURITY_POLICY, HeaderValue::from_static(POLICY)),
        (header::X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff")),
        (header::REFERRER_POLICY, HeaderValue::from_static("no-referrer")),
        // A new server must never meet an old module.
        (header::CACHE_CONTROL, HeaderValue::from_static("no-cache")),
    ];
    (headers, text).into_response()
}

/// Files of a folder, `index.html` for a folder in it. Everything else the server answers keeps its path.
pub fn public(folder: PathBuf) -> ServeDir {
    ServeDir::new(folder)
}
