//! From Ragstone's errors to SQLSTATE, message, detail and hint.

use pgrx::pg_sys::panic::{CaughtError, ErrorReport};
use pgrx::{PgLogLevel, PgSqlErrorCode, function_name};
use std::ffi::CStr;

use ragstone_core::failure::{Failure, FailureKind};
use ragstone_core::protocol::FrameError;

/// An error as the user will read it.
#[derive(Debug, Clone)]
pub struct Error {
    /// Five characters by which programs tell errors apart.
    pub sqlstate: PgSqlErrorCode,
    /// Lower case, no period, expected and actual.
    pub message: String,
    /// A fact, or empty.
    pub detail: String,
    /// An instruction, or empty.
    pub hint: String,
    /// The SQLSTATE where it is none of Postgres's own list, as Postgres packs it.
    pub own_sqlstate: Option<i32>,
}

/// What a fallible part of Ragstone gives.
pub type Outcome<T> = Result<T, Error>;

impl Error {
    /// An error without detail and hint.
    pub fn new(sqlstate: PgSqlErrorCode, message: impl Into<String>) -> Self {
        Self {
            sqlstate,
            message: message.into(),
            detail: String::new(),
            hint: String::new(),
            own_sqlstate: None,
        }
    }

    /// The engine cannot be reached or cannot serve: 57P03.
    pub fn unavailable(message: impl Into<String>) -> Self {
        Self::new(PgSqlErrorCode::ERRCODE_CANNOT_CONNECT_NOW, message)
    }

    /// An argument that makes no sense: 22023.
    pub fn bad_argument(message: impl Into<String>) -> Self {
        Self::new(PgSqlErrorCode::ERRCODE_INVALID_PARAMETER_VALUE, message)
    }

    /// A fault of Ragstone itself: XX000.
    pub fn internal(message: impl std::fmt::Display) -> Self {
        Self::new(PgSqlErrorCode::ERRCODE_INTERNAL_ERROR, format!("internal: {message}"))
    }

    /// The same error with a fact added.
    pub fn detail(mut self, detail: impl Into<String>) -> Self {
        self.detail = detail.into();
        self
    }

    /// The same error with an instruction added.
    pub fn hint(mut self, hint: impl Into<String>) -> Self {
        self.hint = hint.into();
        self
    }

    /// The same error, of one of several steps, from 1.
    pub fn at(mut self, place: usize) -> Self {
        self.message = format!("step {place}: {}", self.message);
        self
    }

    /// The same error with the SQLSTATE that it was raised with: somebody's own functions may have codes of their own, which
    /// are internal errors otherwise.
    pub fn raised_with(mut self, sqlstate: i32) -> Self {
        if self.sqlstate == PgSqlErrorCode::ERRCODE_INTERNAL_ERROR && sqlstate != 0 {
            self.own_sqlstate = Some(sqlstate);
        }
        self
    }

    /// The SQLSTATE's five characters.
    pub fn code(&self) -> String {
        let bits = self.own_sqlstate.unwrap_or(self.sqlstate as i32);
        // SAFETY: the function answers a terminated string in a buffer of its own.
        let code = unsafe { CStr::from_ptr(pgrx::pg_sys::unpack_sql_state(bits)) };
        code.to_string_lossy().into_owned()
    }

    /// The SQLSTATE of five characters; that of an internal error where Postgres has none of these.
    pub fn sqlstate_of(code: &str) -> PgSqlErrorCode {
        // Six bits for each character, the first one lowest (MAKE_SQLSTATE in elog.h).
        let bits = code.bytes().take(5).enumerate();
        let number =
            bits.map(|(place, byte)| i32::from(byte.wrapping_sub(b'0') & 0x3f) << (6 * place)).sum::<i32>();
        PgSqlErrorCode::from(number)
    }

    /// Whether whoever started the statement, or the server, wants it to end.
    pub fn ends_statement(&self) -> bool {
        matches!(
            self.sqlstate,
            PgSqlErrorCode::ERRCODE_QUERY_CANCELED
                | PgSqlErrorCode::ERRCODE_ADMIN_SHUTDOWN
                | PgSqlErrorCode::ERRCODE_CRASH_SHUTDOWN
                | PgSqlErrorCode::ERRCODE_DATABASE_DROPPED
        )
    }

    /// Raises the error as a Postgres ERROR.
    #[track_caller]
    pub fn raise(self) -> ! {
        self.report(PgLogLevel::ERROR);
        unreachable!("an ERROR does not return")
    }

    /// Reports the error at a level that does not end the statement.
    pub fn notice(self, level: PgLogLevel) {
        self.report(level);
    }

    #[track_caller]
    fn report(self, level: PgLogLevel) {
        let mut report = ErrorReport::new(self.sqlstate, self.message, function_name!());
        if !self.detail.is_empty() {
            report = report.set_detail(self.detail);
        }
        if !self.hint.is_empty() {
            report = report.set_hint(self.hint);
        }
        report.report(level);
    }
}

impl From<Failure> for Error {
    fn from(failure: Failure) -> Self {
        Self::new(sqlstate(failure.kind), failure.message).detail(failure.detail).hint(failure.hint)
    }
}

impl From<FrameError> for Error {
    fn from(error: FrameError) -> Self {
        match error {
            FrameError::TooLong(_) => {
                Self::new(PgSqlErrorCode::ERRCODE_PROGRAM_LIMIT_EXCEEDED, error.to_string())
                    .hint("Split the document into smaller ones.")
            }
            FrameError::Malformed(_) => {
                Self::new(PgSqlErrorCode::ERRCODE_PROTOCOL_VIOLATION, error.to_string())
                    .hint("Install matching versions of the library and the engine.")
            }
        }
    }
}

impl From<CaughtError> for Error {
    fn from(cause: CaughtError) -> Self {
        let report = match &cause {
            CaughtError::PostgresError(report) | CaughtError::ErrorReport(report) => report,
            CaughtError::RustPanic { ereport, .. } => ereport,
        };
        Self::new(report.sql_error_code(), report.message())
            .detail(report.detail().unwrap_or_default())
            .hint(report.hint().unwrap_or_default())
    }
}

impl From<pgrx::spi::Error> for Error {
    fn from(error: pgrx::spi::Error) -> Self {
        Self::internal(error)
    }
}

/// The SQLSTATE of each kind of failure of the engine.
pub fn sqlstate(kind: FailureKind) -> PgSqlErrorCode {
    match kind {
        FailureKind::BadArgument => PgSqlErrorCode::ERRCODE_INVALID_PARAMETER_VALUE,
        FailureKind::MalformedDocument => PgSqlErrorCode::ERRCODE_INVALID_TEXT_REPRESENTATION,
        FailureKind::OverLimit => PgSqlErrorCode::ERRCODE_PROGRAM_LIMIT_EXCEEDED,
        FailureKind::UnknownModel => PgSqlErrorCode::ERRCODE_UNDEFINED_OBJECT,
        FailureKind::CorruptModel => PgSqlErrorCode::ERRCODE_CONFIG_FILE_ERROR,
        FailureKind::QueueFull => PgSqlErrorCode::ERRCODE_CONFIGURATION_LIMIT_EXCEEDED,
        FailureKind::Unavailable => PgSqlErrorCode::ERRCODE_CANNOT_CONNECT_NOW,
        FailureKind::Protocol => PgSqlErrorCode::ERRCODE_PROTOCOL_VIOLATION,
        FailureKind::Internal => PgSqlErrorCode::ERRCODE_INTERNAL_ERROR,
        FailureKind::ProviderUnreachable => {
            PgSqlErrorCode::ERRCODE_SQLCLIENT_UNABLE_TO_ESTABLISH_SQLCONNECTION
        }
        FailureKind::ProviderLost => PgSqlErrorCode::ERRCODE_CONNECTION_FAILURE,
        FailureKind::ProviderRefused => PgSqlErrorCode::ERRCODE_EXTERNAL_ROUTINE_EXCEPTION,
        FailureKind::ProviderMalformed => PgSqlErrorCode::ERRCODE_PROTOCOL_VIOLATION,
        FailureKind::BudgetSpent => PgSqlErrorCode::ERRCODE_CONFIGURATION_LIMIT_EXCEEDED,
        FailureKind::Forbidden => PgSqlErrorCode::ERRCODE_INSUFFICIENT_PRIVILEGE,
    }
}

/// The value of an argument that must be given; `name` is the argument's.
pub fn given<T>(value: Option<T>, name: &str) -> Outcome<T> {
    value.ok_or_else(|| {
        Error::new(PgSqlErrorCode::ERRCODE_NULL_VALUE_NOT_ALLOWED, format!("{name} must not be null"))
    })
}

/// The value, or the error raised as a Postgres ERROR.
#[track_caller]
pub fn or_raise<T>(outcome: Outcome<T>) -> T {
    match outcome {
        Ok(value) => value,
        Err(error) => error.raise(),
    }
}
