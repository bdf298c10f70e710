//! Who asks: the administrator, or a caller whom policies bind.

use serde::Serialize;
use serde_json::Value as Json;
use std::fmt;
use std::sync::Arc;

/// Who a request or a socket speaks for.
#[derive(Clone, Debug)]
pub enum Principal {
    /// No policy binds it.
    Admin,
    Caller(Arc<Caller>),
}

impl Principal {
    pub fn role(&self) -> Option<Role> {
        self.caller().map(|caller| caller.role)
    }

    pub fn caller(&self) -> Option<&Arc<Caller>> {
        match self {
            Self::Admin => None,
            Self::Caller(caller) => Some(caller),
        }
    }
}

/// What kind of caller, for policies that are meant for one of them.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Role {
    /// A program with a token of its own.
    Client,
    /// A person who has signed in.
    User,
    /// A person without an account.
    Anonymous,
}

impl Role {
    pub const ALL: [Self; 3] = [Self::Client, Self::User, Self::Anonymous];

    pub fn name(self) -> &'static str {
        match self {
            Self::Client => "client",
            Self::User => "user",
            Self::Anonymous => "anonymous",
        }
    }

    pub fn named(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|role| role.name() == name)
    }
}

/// One who sees and changes what policies allow. Everything in here is data: it is bound, never made part of SQL.
#[derive(Clone, Debug, PartialEq)]
pub struct Caller {
    pub role: Role,
    /// What `auth.uid()` gives; NULL without one.
    pub uid: Option<String>,
    /// What `auth.claim('a.b')` looks into: an object, or null.
    pub claims: Json,
}

/// For logs and messages: `client tok_7Hq…`, `user usr_…`, `anonymous`.
impl fmt::Display for Caller {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.role.name())?;
        self.uid.iter().try_for_each(|uid| write!(f, " {uid}"))
    }
}

impl Caller {
    pub fn new(role: Role, uid: Option<String>) -> Self {
        Self { role, uid, claims: Json::Null }
    }

    /// The claim at a path of names, `a.b.c`. A name that has dots itself is found whole.
    pub fn claim(&self, path: &str) -> Option<&Json> {
        find(&self.claims, path)
    }
}

fn find<'a>(within: &'a Json, path: &str) -> Option<&'a Json> {
    let object = within.as_object()?;
    if let Some(found) = object.get(path) {
        return Some(found);
    }
    path.match_indices('.').find_map(|(dot, _)| find(object.get(&path[..dot])?, &path[dot + 1..]))
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn claims_are_found_by_their_path() {
        let claims = json!({ "org": { "id": 7, "plan.name": "free" }, "https://a.example/roles": ["x"], "n": null });
        let caller = Caller { claims, ..Caller::new(Role::User, Some("u".into())) };
        for (path, expected) in [
            ("org.id", Some(json!(7))),
            ("org.plan.name", Some(json!("free"))),
            ("https://a.example/roles", Some(json!(["x"]))),
            ("n", Some(json!(null))),
            ("org.nothing", None),
            ("org.id.more", None),
            ("", None),
        ] {
            assert_eq!(caller.claim(path), expected.as_ref(), "{path}");
        }
    }
}
