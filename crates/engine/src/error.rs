//! The one error type: a closed code for machines, a sentence for people, the cause for the log.
//!
//! Which HTTP status a code becomes is the faces' table, not ours.

use std::fmt;

/// The closed set of reasons a request can fail. The wire names are in [`Code::name`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Code {
    Invalid,
    Unauthorized,
    Forbidden,
    NotFound,
    Conflict,
    TooLarge,
    TooMany,
    Timeout,
    Unavailable,
    Unsupported,
    Internal,
}

impl Code {
    /// It says nothing of the request: sent again another time, or by whom it is of, it may be carried out.
    pub fn may_pass(self) -> bool {
        matches!(self, Self::Unauthorized | Self::TooMany | Self::Unavailable)
    }

    pub const fn name(self) -> &'static str {
        match self {
            Self::Invalid => "invalid",
            Self::Unauthorized => "unauthorized",
            Self::Forbidden => "forbidden",
            Self::NotFound => "not_found",
            Self::Conflict => "conflict",
            Self::TooLarge => "too_large",
            Self::TooMany => "too_many",
            Self::Timeout => "timeout",
            Self::Unavailable => "unavailable",
            Self::Unsupported => "unsupported",
            Self::Internal => "internal",
        }
    }

    /// The inverse of [`Code::name`], for answers kept under an idempotency key.
    pub fn from_name(name: &str) -> Option<Self> {
        const ALL: [Code; 11] = [
            Code::Invalid,
            Code::Unauthorized,
            Code::Forbidden,
            Code::NotFound,
            Code::Conflict,
            Code::TooLarge,
            Code::TooMany,
            Code::Timeout,
            Code::Unavailable,
            Code::Unsupported,
            Code::Internal,
        ];
        ALL.into_iter().find(|code| code.name() == name)
    }
}

/// The column whose value was refused, and where in it. Kept apart, so that results stay small.
#[derive(Clone, Debug)]
pub struct Refused {
    pub column: String,
    pub pointer: Option<String>,
}

/// A failure, told to the caller as `message` and `code`; `source` is for the log only.
#[derive(Debug)]
pub struct Error {
    pub code: Code,
    pub message: String,
    /// Index of the statement of a transaction that failed, counted from 0.
    pub statement: Option<usize>,
    /// How long to wait before another try, where that is known.
    pub retry_after_seconds: Option<u64>,
    /// Whose value was refused, where that can be told.
    pub refused: Option<Box<Refused>>,
    /// The path of the document that was read before and has changed since.
    pub document: Option<Box<str>>,
    pub source: Option<Box<dyn std::error::Error + Send + Sync>>,
}

pub type Result<T, E = Error> = std::result::Result<T, E>;

impl Error {
    pub fn new(code: Code, message: impl Into<String>) -> Self {
        Self {
            code,
            message: message.into(),
            statement: None,
            retry_after_seconds: None,
            refused: None,
            document: None,
            source: None,
        }
    }
    pub fn invalid(message: impl Into<String>) -> Self {
        Self::new(Code::Invalid, message)
    }
    pub fn unauthorized(message: impl Into<String>) -> Self {
        Self::new(Code::Unauthorized, message)
    }
    pub fn forbidden(message: impl Into<String>) -> Self {
        Self::new(Code::Forbidden, message)
    }
    pub fn not_found(message: impl Into<String>) -> Self {
        Self::new(Code::NotFound, message)
    }
    pub fn conflict(message: impl Into<String>) -> Self {
        Self::new(Code::Conflict, message)
    }
    pub fn too_large(message: impl Into<String>) -> Self {
        Self::new(Code::TooLarge, message)
    }
    pub fn too_many(message: impl Into<String>) -> Self {
        Self::new(Code::TooMany, message)
    }
    pub fn timeout(message: impl Into<String>) -> Self {
        Self::new(Code::Timeout, message)
    }
    pub fn unavailable(message: impl Into<String>) -> Self {
        Self::new(Code::Unavailable, message)
    }
    pub fn unsupported(message: impl Into<String>) -> Self {
        Self::new(Code::Unsupported, message)
    }
    pub fn internal(message: impl Into<String>) -> Self {
        Self::new(Code::Internal, message)
    }

    #[must_use]
    pub fn at_statement(mut self, index: usize) -> Self {
        self.statement = Some(index);
        self
    }

    #[must_use]
    pub fn retry_after(mut self, seconds: u64) -> Self {
        self.retry_after_seconds = Some(seconds);
        self
    }

    #[must_use]
    pub fn of_document(mut self, path: impl Into<Box<str>>) -> Self {
        self.document = Some(path.into());
        self
    }

    /// `column` is one, or several with commas between them.
    #[must_use]
    pub fn of_column(mut self, column: impl Into<String>) -> Self {
        self.refused = Some(Box::new(Refused { column: column.into(), pointer: None }));
        self
    }

    /// Behind [`Error::of_column`]: where in the document that was written there, as a JSON pointer.
    #[must_use]
    pub fn at_pointer(mut self, pointer: impl Into<String>) -> Self {
        if let Some(refused) = &mut self.refused {
            refused.pointer = Some(pointer.into());
        }
        self
    }

    /// The same words, without what has caused it.
    #[must_use]
    pub fn told_again(&self) -> Self {
        let mut error = Self::new(self.code, self.message.clone());
        (error.statement, error.refused) = (self.statement, self.refused.clone());
        error.document.clone_from(&self.document);
        error
    }

    pub fn column(&self) -> Option<&str> {
        self.refused.as_deref().map(|refused| refused.column.as_str())
    }

    pub fn pointer(&self) -> Option<&str> {
        self.refused.as_deref()?.pointer.as_deref()
    }

    #[must_use]
    pub fn caused_by(mut self, source: impl Into<Box<dyn std::error::Error + Send + Sync>>) -> Self {
        self.source = Some(source.into());
        self
    }

    /// An internal error of a statement of ours, seen as the doing of whoever made the table as it is.
    #[must_use]
    pub fn of_caller(self, refusal: Option<String>) -> Self {
        use rusqlite::ErrorCode as Sqlite;
        let source = self.source.as_deref().and_then(|source| source.downcast_ref::<rusqlite::Error>());
        let (Code::Internal, Some(cause)) = (self.code, source) else { return self };
        match cause.sqlite_error_code() {
            Some(Sqlite::AuthorizationForStatementDenied) => Self::forbidden(refusal.unwrap_or(self.message)),
            Some(Sqlite::TooBig) => Self::too_large(self.message),
            Some(Sqlite::ConstraintViolation | Sqlite::Unknown | Sqlite::SchemaChanged) | None => {
                Self::conflict(self.message)
            }
            Some(_) => self,
        }
    }

    /// Did SQLite find the file damaged?
    pub fn is_of_damage(&self) -> bool {
        let source = self.source.as_deref().and_then(|source| source.downcast_ref::<rusqlite::Error>());
        source.and_then(rusqlite::Error::sqlite_error_code) == Some(rusqlite::ErrorCode::DatabaseCorrupt)
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)
    }
}

impl std::error::Error for Error {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        self.source.as_deref().map(|cause| cause as _)
    }
}

/// SQLite's answer to a statement of ours that has no business failing: the disk, the file or a bug.
/// Mistakes in a caller's SQL take the way through [`crate::sqlite::statement`], with SQLite's own words.
impl From<rusqlite::Error> for Error {
    fn from(error: rusqlite::Error) -> Self {
        let code = error.sqlite_error_code();
        match code {
            Some(rusqlite::ErrorCode::DiskFull) => Self::unavailable(DISK_FULL).caused_by(error),
            Some(rusqlite::ErrorCode::DatabaseBusy | rusqlite::ErrorCode::DatabaseLocked) => {
                Self::unavailable(LOCKED_BY_ANOTHER).caused_by(error)
            }
            Some(rusqlite::ErrorCode::OperationInterrupted) => Self::timeout("The statement took longer than it may."),
            Some(rusqlite::ErrorCode::SystemIoFailure) => Self::unavailable(DISK_FAILED).caused_by(error),
            Some(rusqlite::ErrorCode::ReadOnly) => Self::unavailable(READ_ONLY).caused_by(error),
            Some(rusqlite::ErrorCode::CannotOpen) => Self::unavailable(CANNOT_OPEN).caused_by(error),
            Some(rusqlite::ErrorCode::OutOfMemory) => Self::unavailable(NO_MEMORY).caused_by(error),
            _ => Self::internal(error.to_string()).caused_by(error),
        }
    }
}

/// SQLite has one code for both.
pub const DISK_FULL: &str = "The disk is full: nothing was written. Free some space and try again. \
                             (Or an AUTOINCREMENT key has reached the last number there is.)";
pub const DISK_FAILED: &str = "The disk answered with an error: nothing was written. See the server's log.";
pub const READ_ONLY: &str = "The database file cannot be written. Check its permissions and those of its folder.";
pub const CANNOT_OPEN: &str = "A file of the database cannot be opened: nothing was written. Check the permissions of its \
                               folder, and how many files the server may have open.";
pub const NO_MEMORY: &str = "The server has no memory left for this: nothing was written. Try again later.";
pub const LOCKED_BY_ANOTHER: &str =
    "Another program holds the database's write lock. Nothing was written; try again when it is done.";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_the_machine_lacks_for_now_may_pass() {
        use rusqlite::ffi;
        for code in [
            ffi::SQLITE_FULL,
            ffi::SQLITE_IOERR_WRITE,
            ffi::SQLITE_CANTOPEN,
            ffi::SQLITE_CANTOPEN_ISDIR,
            ffi::SQLITE_NOMEM,
            ffi::SQLITE_IOERR_NOMEM,
            ffi::SQLITE_BUSY_SNAPSHOT,
            ffi::SQLITE_READONLY,
        ] {
            let error = Error::from(rusqlite::Error::SqliteFailure(ffi::Error::new(code), None));
            assert!(error.code.may_pass(), "{code}: {error:?}");
        }
    }
}
