//! Errors with SQLSTATE, message, detail and hint, and raising them.

use crate::own_sqlstate;
use pgrx::pg_sys::panic::{CaughtError, ErrorReport};
use pgrx::{PgLogLevel, PgSqlErrorCode, function_name};
use ragstone_core::failure::FailureKind;
use std::ffi::CStr;
use std::time::Duration;

/// An error that a user gets.
#[derive(Debug, Clone)]
pub struct Error {
    /// The SQLSTATE: five characters by which programs distinguish errors.
    pub(crate) sqlstate: PgSqlErrorCode,
    /// The message: lower case, no period, expected and actual.
    pub message: String,
    /// The detail: a fact in whole sentences, or empty.
    pub detail: String,
    /// The hint: an instruction in whole sentences, or empty.
    pub hint: String,
    /// The packed SQLSTATE, if it is not in PostgreSQL's list.
    pub(crate) own_sqlstate: Option<i32>,
    /// The engine's kind of failure, if the engine reported the error.
    pub(crate) failure: Option<FailureKind>,
    /// True if a time limit ended the work, not a cancel.
    pub(crate) out_of_time: bool,
    /// Duration of a background worker's transaction that the error has ended, milliseconds; a u32, to keep the error small.
    pub(crate) held_up_ms: u32,
}

/// The result of a fallible function.
pub type Result<T, E = Error> = std::result::Result<T, E>;

impl Error {
    /// An error without detail and hint.
    pub(crate) fn new(sqlstate: PgSqlErrorCode, message: impl Into<String>) -> Self {
        Self {
            sqlstate,
            message: message.into(),
            detail: String::new(),
            hint: String::new(),
            own_sqlstate: None,
            failure: None,
            out_of_time: false,
            held_up_ms: 0,
        }
    }

    /// Duration of the background worker's transaction that the error has ended, in which other work was held up; otherwise zero.
    pub fn held_up(&self) -> Duration {
        Duration::from_millis(self.held_up_ms.into())
    }

    /// The same error with a fact added.
    pub fn detail(mut self, detail: impl Into<String>) -> Self {
        self.detail = detail.into();
        self
    }

    /// The same error with one more sentence in its detail.
    pub fn with_fact(self, fact: String) -> Self {
        let detail = match self.detail.trim_end_matches('.') {
            "" => fact,
            detail => format!("{detail}. {fact}"),
        };
        self.detail(detail)
    }

    /// The same error with an instruction added.
    pub fn hint(mut self, hint: impl Into<String>) -> Self {
        self.hint = hint.into();
        self
    }

    /// The same error for one of several steps; steps are numbered from 1.
    pub fn at(mut self, place: usize) -> Self {
        self.message = format!("step {place}: {}", self.message);
        self
    }

    /// The SQLSTATE's five characters.
    pub fn code(&self) -> String {
        let bits = self.own_sqlstate.unwrap_or(self.sqlstate as i32);
        // SAFETY: the function returns a terminated string in its own buffer.
        let code = unsafe { CStr::from_ptr(pgrx::pg_sys::unpack_sql_state(bits)) };
        code.to_string_lossy().into_owned()
    }

    /// Packs a SQLSTATE of five characters as PostgreSQL does.
    pub(crate) fn pack(code: &str) -> i32 {
        // Six bits for each character, the first character in the lowest bits (MAKE_SQLSTATE in elog.h).
        let bits = code.bytes().take(5).enumerate();
        bits.map(|(place, byte)| i32::from(byte.wrapping_sub(b'0') & 0x3f) << (6 * place)).sum()
    }

    /// Raises the error as a PostgreSQL ERROR.
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
        if let Some(sqlstate) = self.own_sqlstate.filter(|_| level == PgLogLevel::ERROR) {
            own_sqlstate::give_next(sqlstate);
        }
        report.report(level);
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

/// Returns the value, or raises the error as a PostgreSQL ERROR.
#[track_caller]
pub fn or_raise<T>(outcome: Result<T>) -> T {
    match outcome {
        Ok(value) => value,
        Err(error) => error.raise(),
    }
}
