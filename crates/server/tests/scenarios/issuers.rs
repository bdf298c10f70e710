//! Tokens of other issuers: their keys, what they may say, and what is never listened to.

use crate::server::http::Request;
use crate::server::socket::Socket;
use crate::server::{Home, Server};
use aws_lc_rs::rand::SystemRandom;
use aws_lc_rs::signature::{ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair};
use jsonwebtoken::jwk::Jwk;
use jsonwebtoken::{Algorithm, EncodingKey, Header};
use serde_json::{Value as Json, json};
use std::io::{Read as _, Write as _};
use std::net::TcpListener;
use std::sync::{Arc, Mutex};
use std::time::{SystemTime, UNIX_EPOCH};

const SECRET: &str = "a secret that is shared, and long enough";

fn now() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_secs()
}

struct Key {
    id: &'static str,
    signing: EncodingKey,
}

impl Key {
    fn new(id: &'static str) -> Self {
        let private = EcdsaKeyPair::generate_pkcs8(&ECDSA_P256_SHA256_FIXED_SIGNING, &SystemRandom::new()).unwrap();
        Self { id, signing: EncodingKey::from_ec_der(private.as_ref()) }
    }

    fn public(&self) -> Json {
        let mut jwk = Jwk::from_encoding_key(&self.signing, Algorithm::ES256).unwrap();
        jwk.common.key_id = Some(self.id.into());
        json!(jwk)
    }

    fn sign(&self, claims: &Json) -> String {
        self.sign_as("JWT", claims)
    }

    /// As a token of this kind.
    fn sign_as(&self, kind: &str, claims: &Json) -> String {
        let header = Header { kid: Some(self.id.into()), typ: Some(kind.into()), ..Header::new(Algorithm::ES256) };
        jsonwebtoken::encode(&header, claims, &self.signing).unwrap()
    }
}

/// Serves a key set that can be changed, and counts how often it is asked for.
struct KeySet {
    address: String,
    shown: Arc<Mutex<(Json, usize)>>,
}

impl KeySet {
    fn serve(keys: &[Json]) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = format!("http://{}/jwks.json", listener.local_addr().unwrap());
        let shown = Arc::new(Mutex::new((json!({ "keys": keys }), 0)));
        let serving = Arc::clone(&shown);
        std::thread::spawn(move || {
            for stream in listener.incoming() {
                let Ok(mut stream) = stream else { return };
                let mut asked = [0; 4096];
                let _ = stream.read(&mut asked);
                let body = {
                    let mut shown = serving.lock().unwrap();
                    shown.1 += 1;
                    shown.0.to_string()
                };
                let head = format!("HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: {}\r\n\r\n", body.len());
                let _ = stream.write_all((head + &body).as_bytes());
            }
        });
        Self { address, shown }
    }
}

async fn start(issuers: &[Json]) -> Server {
    let home = Home::new();
    let mut command = home.command();
    for issuer in issuers {
        command.args(["--issuer", &issuer.to_string()]);
    }
    command.args(["--limit", "stranger_requests_per_minute_max=0"]);
    let server = Server::run(&home, command).await;
    server.sql("CREATE TABLE notes (owner TEXT, body TEXT)").await;
    server.sql("INSERT INTO notes VALUES ('u-1', 'one'), ('u-2', 'two'), (''' OR 1=1 --', 'quote')").await;
    let policy = json!({"name": "own", "table": "notes", "action": "select", "using": "owner = auth.uid()"});
    server.send(Request::post("/policies", policy)).await.result();
    server
}

async fn status(server: &Server, token: &str, sql: &str) -> (u16, Json) {
    let request = Request::post("/query", json!({ "sql": sql })).without_token();
    let answer = server.send(request.header("Authorization", format!("Bearer {token}"))).await;
    (answer.status, answer.json())
}

const SELECT: &str = "SELECT body FROM notes";

#[tokio::test]
async fn a_key_set_is_fetched_and_changed_without_a_restart() {
    let (first, second) = (Key::new("first"), Key::new("second"));
    let set = KeySet::serve(&[first.public()]);
    let issuer = json!({"issuer": "https://id.example", "audience": "app", "jwks": set.address});
    let server = start(&[issuer]).await;
    let claims = json!({"iss": "https://id.example", "aud": ["other", "app"], "sub": "u-1", "exp": now() + 600,
                        "org": {"id": 7}});
    let token = first.sign(&claims);
    assert_eq!(status(&server, &token, SELECT).await, (200, json!({"result": [{"body": "one"}]})));
    let said =
        status(&server, &token, "SELECT auth.claim('org.id') AS o, auth.role() AS r, auth.claim('exp') AS e").await;
    assert_eq!(said.1["result"], json!([{"o": 7, "r": "user", "e": null}]));
    // One that is not known yet: it was looked for at the start, so not again at once.
    assert_eq!(status(&server, &second.sign(&claims), SELECT).await.0, 401);
    let asked = set.shown.lock().unwrap().1;
    for _ in 0..20 {
        assert_eq!(status(&server, &second.sign(&claims), SELECT).await.0, 401);
    }
    assert_eq!(set.shown.lock().unwrap().1, asked, "strangers cannot make the server fetch keys over and over");
    let mut socket = Socket::try_open(server.address, "/ws", Some(&token)).await.unwrap();
    socket.next().await;
    // The issuer changes its key: what is signed with the old one is worth nothing.
    set.shown.lock().unwrap().0 = json!({"keys": [second.public()]});
    crate::server::within("the new key to be fetched", async {
        while status(&server, &second.sign(&claims), SELECT).await.0 != 200 {
            tokio::task::yield_now().await;
        }
    })
    .await;
    assert_eq!(socket.closed().await.0, 4401);
    assert_eq!(status(&server, &token, SELECT).await.0, 401);
}

/// What one of them calls a client may look like the rest of another's name.
#[tokio::test]
async fn people_whose_names_begin_alike_have_mutations_of_their_own() {
    let key = Key::new("k");
    let set = KeySet::serve(&[key.public()]);
    let server = start(&[json!({"issuer": "https://id.example", "audience": "app", "jwks": set.address})]).await;
    server.sql("CREATE TABLE todo (id TEXT PRIMARY KEY, owner TEXT DEFAULT (auth_uid()))").await;
    let policy = json!({"name": "todo", "table": "todo", "action": "all", "using": "owner = auth.uid()"});
    server.send(Request::post("/policies", policy)).await.result();
    for (id, (sub, client)) in
        [("u", "1/phone"), ("u/1", "phone"), ("u/1/", "phone"), ("u0", "phone"), ("", "u/1/phone")]
            .into_iter()
            .enumerate()
    {
        let token = key.sign(&json!({"iss": "https://id.example", "aud": "app", "sub": sub, "exp": now() + 600}));
        let Ok(mut socket) = Socket::try_open(server.address, "/ws", Some(&token)).await else {
            assert_eq!(sub, "", "nobody is not somebody");
            continue;
        };
        let insert = json!({"mutation_id": 1, "table": "todo", "op": "insert", "values": {"id": id.to_string()}});
        let told = socket.ask(json!({"id": 1, "action": "mutate", "client_id": client, "mutations": [insert]})).await;
        assert!(told["result"][0]["applied"].is_i64(), "{sub} {client}: {told}");
    }
    let owners =
        server.sql("SELECT group_concat(owner, ' ') AS all_of_them FROM (SELECT owner FROM todo ORDER BY id)").await;
    assert_eq!(owners, json!([{"all_of_them": "u u/1 u/1/ u0"}]));
}

#[tokio::test]
async fn only_what_the_settings_say_of_an_issuer_counts() {
    let key = Key::new("k");
    let published_secret = json!({"kty": "oct", "kid": "oct", "k": "c2VjcmV0LXNlY3JldC1zZWNyZXQtc2VjcmV0LXNlY3JldA"});
    // One that nobody understands is no reason to do without the others.
    let odd = json!({"kty": "EC", "kid": 7, "crv": "P-256"});
    let set = KeySet::serve(&[odd, key.public(), published_secret]);
    let server = start(&[
        json!({"issuer": "https://id.example", "audience": "app", "jwks": set.address}),
        json!({"issuer": "shared", "audience": "*", "secret": SECRET, "algorithm": "HS256", "prefix": "shared|"}),
    ])
    .await;
    let good = json!({"iss": "https://id.example", "aud": "app", "sub": "u-2", "exp": now() + 600});
    assert_eq!(status(&server, &key.sign(&good), SELECT).await.1["result"], json!([{"body": "two"}]));
    let with = |name: &str, value: Json| {
        let mut claims = good.clone();
        claims[name] = value;
        claims
    };
    let without = |name: &str| {
        let mut claims = good.clone();
        claims.as_object_mut().unwrap().remove(name);
        claims
    };
    for claims in [
        with("iss", json!("https://other.example")),
        with("iss", json!("shared")),
        with("aud", json!("another")),
        with("aud", json!([])),
        without("aud"),
        without("exp"),
        without("sub"),
        without("iss"),
        with("exp", json!(now() - 61)),
        with("exp", json!("soon")),
        with("nbf", json!(now() + 120)),
        with("sub", json!(7)),
        with("sub", json!("")),
        with("sub", json!("x".repeat(300))),
        // What somebody is called here.
        with("sub", json!("usr_c7PUs5U80oYj")),
        with("sub", json!("tok_x")),
        with("sub", json!("client")),
    ] {
        assert_eq!(status(&server, &key.sign(&claims), SELECT).await.0, 401, "{claims}");
    }
    // Clocks may be apart a little.
    for claims in [with("exp", json!(now() - 5)), with("nbf", json!(now() + 30))] {
        assert_eq!(status(&server, &key.sign(&claims), SELECT).await.0, 200, "{claims}");
    }
    // What an access token may call itself; a media type is the same with and without what all of them begin with.
    for kind in ["JWT", "at+jwt", "application/at+jwt", "Application/AT+JWT"] {
        assert_eq!(status(&server, &key.sign_as(kind, &good), SELECT).await.0, 200, "{kind}");
    }
    for kind in ["logout+jwt", "application/logout+jwt", "text/at+jwt", "at+jwt; v=1", ""] {
        assert_eq!(status(&server, &key.sign_as(kind, &good), SELECT).await.0, 401, "{kind:?}");
    }
    // A subject is data, whatever is in it.
    let quoted = key.sign(&with("sub", json!("' OR 1=1 --")));
    assert_eq!(status(&server, &quoted, SELECT).await.1["result"], json!([{"body": "quote"}]));
    let shared = EncodingKey::from_secret(SECRET.as_bytes());
    let hmac = |claims: &Json, kid: Option<&str>, secret: &EncodingKey| {
        let header = Header { kid: kid.map(str::to_owned), ..Header::new(Algorithm::HS256) };
        jsonwebtoken::encode(&header, claims, secret).unwrap()
    };
    // A key has the one algorithm that the settings say, also among those that the same secret would do for.
    let longer = Header::new(Algorithm::HS512);
    let longer = jsonwebtoken::encode(&longer, &json!({"iss": "shared", "sub": "u-1", "exp": now() + 600}), &shared);
    assert_eq!(status(&server, &longer.unwrap(), SELECT).await.0, 401);
    // A secret that is published, and the public key as a secret.
    let published = EncodingKey::from_secret(b"secret-secret-secret-secret-secret");
    assert_eq!(status(&server, &hmac(&good, Some("oct"), &published), SELECT).await.0, 401);
    let public = EncodingKey::from_secret(key.public().to_string().as_bytes());
    assert_eq!(status(&server, &hmac(&good, Some("k"), &public), SELECT).await.0, 401);
    // The key of one issuer signs nothing for another.
    assert_eq!(status(&server, &hmac(&good, None, &shared), SELECT).await.0, 401);
    let theirs = json!({"iss": "shared", "sub": "u-1", "exp": now() + 600});
    assert_eq!(status(&server, &key.sign(&theirs), SELECT).await.0, 401);
    let said = status(&server, &hmac(&theirs, None, &shared), "SELECT auth.uid() AS u").await;
    assert_eq!(said.1["result"], json!([{"u": "shared|u-1"}]));
    // Headers that point elsewhere or ask for what is not understood.
    let headers = [
        json!({"alg": "ES256", "kid": "k", "crit": ["b64"], "b64": false}),
        json!({"alg": "ES256", "kid": "k", "typ": "logout+jwt"}),
        json!({"alg": "none", "kid": "k"}),
    ];
    for header in headers {
        use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD as BASE64};
        let text = format!("{}.{}", BASE64.encode(header.to_string()), BASE64.encode(good.to_string()));
        let signature = jsonwebtoken::crypto::sign(text.as_bytes(), &key.signing, Algorithm::ES256).unwrap();
        assert_eq!(status(&server, &format!("{text}.{signature}"), SELECT).await.0, 401, "{header}");
        assert_eq!(status(&server, &format!("{text}."), SELECT).await.0, 401, "{header}");
    }
}

#[tokio::test]
async fn a_socket_goes_on_with_the_next_token_of_the_same_caller_and_of_no_other() {
    let server = start(&[json!({"issuer": "a", "audience": "*", "secret": SECRET, "algorithm": "HS256"})]).await;
    let sign = |exp: u64, subject: &str, org: u32| {
        let claims = json!({"iss": "a", "sub": subject, "exp": exp, "org": org});
        jsonwebtoken::encode(&Header::new(Algorithm::HS256), &claims, &EncodingKey::from_secret(SECRET.as_bytes()))
            .unwrap()
    };
    // Good for some seconds more, for clocks may be apart by a minute.
    let first = sign(now() - 57, "u-1", 7);
    let mut kept = Socket::try_open(server.address, "/ws", Some(&first)).await.unwrap();
    let mut left = Socket::try_open(server.address, "/ws", Some(&first)).await.unwrap();
    let rows = kept.subscribe("q", "SELECT body FROM notes").await;
    assert_eq!(rows["rows"].as_array().unwrap().len(), 1, "{rows}");
    for other in [sign(now() + 600, "u-2", 7), sign(now() + 600, "u-1", 8)] {
        let refused = kept.ask(json!({"id": 1, "action": "auth", "token": other})).await;
        assert_eq!(refused["code"], "conflict", "{refused}");
    }
    let renewed = kept.ask(json!({"id": 2, "action": "auth", "token": sign(now() + 600, "u-1", 7)})).await;
    assert_eq!(renewed["result"], true, "{renewed}");
    assert_eq!(left.closed().await.0, 4401);
    // What was subscribed goes on, as whom it was.
    let at = server.write("INSERT INTO notes VALUES ('u-1', 'more'), ('u-2', 'not theirs')").await;
    let told = kept.reaches(at).await;
    assert_eq!(told["queries"][0]["insert"].as_array().unwrap().len(), 1, "{told}");
    assert_eq!(status(&server, &first, SELECT).await.0, 401);
}

#[tokio::test]
async fn an_issuer_that_cannot_be_reached_is_not_the_tokens_fault_and_odd_settings_are_named() {
    let key = Key::new("k");
    // Bound and let go again: nobody listens there.
    let port = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
    let gone = json!({"issuer": "a", "audience": "app", "jwks": format!("http://127.0.0.1:{port}/")});
    let server = start(&[gone]).await;
    let claims = json!({"iss": "a", "aud": "app", "sub": "u-1", "exp": now() + 600});
    assert_eq!(status(&server, &key.sign(&claims), SELECT).await.0, 503);
    for (issuer, word) in [
        (json!({"issuer": "a", "audience": "b"}), "exactly one of"),
        (json!({"issuer": "a", "audience": "b", "jwks": "http://example.org/"}), "https"),
        (json!({"issuer": "a", "audience": "b", "secret": "short", "algorithm": "HS256"}), "32 bytes"),
        (json!({"issuer": "a", "audience": "b", "secret": SECRET, "algorithm": "RS256"}), "take a \"secret\""),
        (json!({"issuer": "a", "audience": "b", "key": "no PEM", "algorithm": "ES256"}), "PEM"),
        (json!({"issuer": "a", "audience": "b", "secret": SECRET, "algorithm": "XX"}), "no algorithm"),
        (json!({"issuer": "a", "jwks": "https://example.org/"}), "audience"),
        (json!({"issuer": "a", "audience": "", "jwks": "https://example.org/"}), "not empty"),
        (json!({"issuer": "a", "audience": "b", "jwks": "https://example.org/", "algorithm": "HS256"}), "no secrets"),
        (json!({"issuer": "a", "audience": "b", "jwk": "x"}), "jwk"),
    ] {
        let home = Home::new();
        let mut command = home.command();
        command.args(["--issuer", &issuer.to_string()]);
        let (status, output) = crate::server::Process::run(command).ended().await;
        assert!(!status.success() && output.err.contains(word), "{issuer}: {output:?}");
    }
}
