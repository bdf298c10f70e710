//! What SQL asks of its caller: the values of `auth_uid()`, `auth_role()` and `auth_claim('…')`.
//!
//! Found in the words of statements, policies and the schema. Two callers of one role who answer all questions alike are
//! shown the same by the same SQL; where the words do not show what is asked, everything about the caller counts.

use super::asking::{self, spoken_functions};
use super::principal::Caller;
use super::translate::named;
use crate::sqlite::tokens::{Kind, Token, tokens};
use crate::value::Value;

/// One question.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Asked {
    Uid,
    Role,
    Claim(String),
}

impl Asked {
    pub fn value(&self, caller: &Caller) -> Value {
        match self {
            Self::Uid => caller.uid.as_ref().map_or(Value::Null, Value::text),
            Self::Role => Value::text(caller.role.name()),
            Self::Claim(path) => caller.claim(path).map_or(Value::Null, asking::value),
        }
    }
}

/// All questions of some SQL, each once.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Asks {
    These(Vec<Asked>),
    /// It cannot be told.
    Anything,
}

impl Default for Asks {
    fn default() -> Self {
        Self::These(Vec::new())
    }
}

impl Asks {
    pub fn of(sql: &str) -> Self {
        replaced(sql, |_| String::new()).map_or(Self::Anything, |(_, asked)| Self::These(Vec::new()).and_these(&asked))
    }

    #[must_use]
    pub fn and(self, other: &Self) -> Self {
        match other {
            Self::These(others) => self.and_these(others),
            Self::Anything => Self::Anything,
        }
    }

    #[must_use]
    pub fn and_these(self, others: &[Asked]) -> Self {
        let Self::These(mut these) = self else { return Self::Anything };
        for other in others {
            if !these.contains(other) {
                these.push(other.clone());
            }
        }
        Self::These(these)
    }

    pub fn is_nothing(&self) -> bool {
        *self == Self::default()
    }
}

/// The SQL with other words in the place of each question, and the questions in their order. `None` if one of them is
/// asked in a way that cannot be told.
pub fn replaced(sql: &str, mut words: impl FnMut(&Asked) -> String) -> Option<(String, Vec<Asked>)> {
    let spoken = spoken_functions(sql);
    let text: Vec<Token<'_>> = tokens(&spoken).collect();
    let (mut written, mut copied, mut asked) = (String::new(), 0, Vec::new());
    for (index, token) in text.iter().enumerate() {
        // A function's name may be quoted.
        let is = |name: &str| named(token).eq_ignore_ascii_case(name);
        if !matches!(token.kind, Kind::Word | Kind::Quoted) || !(is("auth_uid") || is("auth_role") || is("auth_claim"))
        {
            continue;
        }
        let is_at = |offset: usize, byte: u8| text.get(index + offset).is_some_and(|token| token.is_punctuation(byte));
        let (question, close) = match () {
            () if !is_at(1, b'(') => return None,
            () if is("auth_uid") && is_at(2, b')') => (Asked::Uid, 2),
            () if is("auth_role") && is_at(2, b')') => (Asked::Role, 2),
            () if is("auth_claim") && is_at(3, b')') && text[index + 2].text.starts_with('\'') => {
                (Asked::Claim(named(&text[index + 2])), 3)
            }
            () => return None,
        };
        written.push_str(&spoken[copied..token.at]);
        written.push_str(&words(&question));
        asked.push(question);
        copied = text[index + close].end();
    }
    written.push_str(&spoken[copied..]);
    Some((written, asked))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn questions_are_found_however_they_are_written() {
        let claim = |path: &str| Asked::Claim(path.into());
        for (sql, expected) in [
            ("owner = auth.uid() OR 'auth_uid()' = x", Some(vec![Asked::Uid])),
            (
                "auth_uid() = \"AUTH_UID\"() AND auth.claim('a.b') = [auth_claim]('a''b')",
                Some(vec![Asked::Uid, claim("a.b"), claim("a'b")]),
            ),
            ("auth.role() = 'user'", Some(vec![Asked::Role])),
            ("true", Some(vec![])),
            ("auth.claim(name) = 1", None),
            ("auth.claim('a' || 'b') = 1", None),
            ("auth_claim = 1", None),
        ] {
            assert_eq!(Asks::of(sql), expected.map_or(Asks::Anything, Asks::These), "{sql}");
        }
    }

    #[test]
    fn other_words_stand_in_the_place_of_a_question() {
        let mut number = 2;
        let replaced = replaced("auth.claim('org.id') = org AND kind = auth_role () AND 1", |_| {
            number += 1;
            format!("?{number} ")
        });
        let asked = vec![Asked::Claim("org.id".into()), Asked::Role];
        assert_eq!(replaced, Some(("?3  = org AND kind = ?4  AND 1".into(), asked)));
    }
}
