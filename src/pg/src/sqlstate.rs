//! A constructor for each SQLSTATE that Rust code raises: nothing else makes errors. Failures of the engine get theirs in
//! `sqlstate()` below; `blame.rs` decides by codes whom an error concerns. The codes are those of PostgreSQL's list
//! (<https://www.postgresql.org/docs/current/errcodes-appendix.html>).

use crate::error::{Error, Result};
use crate::own_sqlstate::unlisted;
use pgrx::PgSqlErrorCode;
use ragstone_core::failure::{Failure, FailureKind};
use ragstone_core::protocol::FrameError;

impl Error {
    /// The engine cannot be reached or cannot serve: 57P03.
    pub fn unavailable(message: impl Into<String>) -> Self {
        Self::new(PgSqlErrorCode::ERRCODE_CANNOT_CONNECT_NOW, message)
    }

    /// No engine answers, or none can be started: 57P03.
    pub fn engine_unreachable(message: impl Into<String>) -> Self {
        Self { failure: Some(FailureKind::EngineUnreachable), ..Self::unavailable(message) }
    }

    /// The engine ended again and again, or stood still, while it worked on a request: 57P03.
    pub fn engine_lost(message: impl Into<String>) -> Self {
        Self { failure: Some(FailureKind::EngineLost), ..Self::unavailable(message) }
    }

    /// An argument that makes no sense: 22023.
    pub fn bad_argument(message: impl Into<String>) -> Self {
        Self::new(PgSqlErrorCode::ERRCODE_INVALID_PARAMETER_VALUE, message)
    }

    /// A fault of Ragstone itself: XX000.
    pub fn internal(message: impl std::fmt::Display) -> Self {
        Self::new(PgSqlErrorCode::ERRCODE_INTERNAL_ERROR, format!("internal: {message}"))
    }

    /// The same error with the SQLSTATE that it was raised with: a user's functions may use codes of their own, which
    /// are internal errors otherwise.
    pub fn raised_with(mut self, sqlstate: i32) -> Self {
        if self.sqlstate == PgSqlErrorCode::ERRCODE_INTERNAL_ERROR && sqlstate != 0 {
            self.own_sqlstate = unlisted(sqlstate);
        }
        self
    }

    /// Whether the statement was cancelled, or the session is being terminated.
    pub fn ends_statement(&self) -> bool {
        matches!(
            self.sqlstate,
            PgSqlErrorCode::ERRCODE_QUERY_CANCELED
                | PgSqlErrorCode::ERRCODE_ADMIN_SHUTDOWN
                | PgSqlErrorCode::ERRCODE_CRASH_SHUTDOWN
                | PgSqlErrorCode::ERRCODE_DATABASE_DROPPED
        )
    }

    /// Whether something that is kept in a table makes no sense: XX001.
    pub fn is_of_corrupted_data(&self) -> bool {
        self.sqlstate == PgSqlErrorCode::ERRCODE_DATA_CORRUPTED
    }

    /// There is no such object, or none that the role may see: 42704.
    pub fn undefined(message: impl Into<String>) -> Self {
        Self::new(PgSqlErrorCode::ERRCODE_UNDEFINED_OBJECT, message)
    }

    /// There is no such function: 42883.
    pub fn undefined_function(message: impl Into<String>) -> Self {
        Self::new(PgSqlErrorCode::ERRCODE_UNDEFINED_FUNCTION, message)
    }

    /// There is no such column: 42703.
    pub fn undefined_column(message: impl Into<String>) -> Self {
        Self::new(PgSqlErrorCode::ERRCODE_UNDEFINED_COLUMN, message)
    }

    /// There is no such table: 42P01.
    pub fn undefined_table(message: impl Into<String>) -> Self {
        Self::new(PgSqlErrorCode::ERRCODE_UNDEFINED_TABLE, message)
    }

    /// An object of this name exists: 42710.
    pub fn already_exists(message: impl Into<String>) -> Self {
        Self::new(PgSqlErrorCode::ERRCODE_DUPLICATE_OBJECT, message)
    }

    /// A table of this name exists: 42P07.
    pub fn table_exists(message: impl Into<String>) -> Self {
        Self::new(PgSqlErrorCode::ERRCODE_DUPLICATE_TABLE, message)
    }

    /// The role may not do this: 42501.
    pub fn forbidden(message: impl Into<String>) -> Self {
        Self::new(PgSqlErrorCode::ERRCODE_INSUFFICIENT_PRIVILEGE, message)
    }

    /// More than Ragstone can do: 54000.
    pub fn over_limit(message: impl Into<String>) -> Self {
        Self::new(PgSqlErrorCode::ERRCODE_PROGRAM_LIMIT_EXCEEDED, message)
    }

    /// The object is not in the state that this needs: 55000.
    pub fn wrong_state(message: impl Into<String>) -> Self {
        Self::new(PgSqlErrorCode::ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE, message)
    }

    /// Another process uses the object: 55006.
    pub fn in_use(message: impl Into<String>) -> Self {
        Self::new(PgSqlErrorCode::ERRCODE_OBJECT_IN_USE, message)
    }

    /// Another transaction holds the lock: 55P03.
    pub fn lock_not_available(message: impl Into<String>) -> Self {
        Self::new(PgSqlErrorCode::ERRCODE_LOCK_NOT_AVAILABLE, message)
    }

    /// The work was cancelled: 57014.
    pub fn cancelled(message: impl Into<String>) -> Self {
        Self::new(PgSqlErrorCode::ERRCODE_QUERY_CANCELED, message)
    }

    /// The work took longer than it may: 57014, but not the status of what a user has cancelled.
    pub fn out_of_time(message: impl Into<String>) -> Self {
        Self { out_of_time: true, ..Self::cancelled(message) }
    }

    /// Something that the user should know, and that ends nothing; reported by [`notice`](Error::notice): 01000.
    pub fn warning(message: impl Into<String>) -> Self {
        Self::new(PgSqlErrorCode::ERRCODE_WARNING, message)
    }

    /// Something that the user may want to know; reported by [`notice`](Error::notice): 00000.
    pub fn information(message: impl Into<String>) -> Self {
        Self::new(PgSqlErrorCode::ERRCODE_SUCCESSFUL_COMPLETION, message)
    }

    /// Ragstone does not do this: 0A000.
    pub fn not_supported(message: impl Into<String>) -> Self {
        Self::new(PgSqlErrorCode::ERRCODE_FEATURE_NOT_SUPPORTED, message)
    }

    /// An answer that makes no sense: 08P01.
    pub fn protocol_violation(message: impl Into<String>) -> Self {
        Self::new(PgSqlErrorCode::ERRCODE_PROTOCOL_VIOLATION, message)
    }

    /// An object of another kind was expected: 42809.
    pub fn wrong_object_type(message: impl Into<String>) -> Self {
        Self::new(PgSqlErrorCode::ERRCODE_WRONG_OBJECT_TYPE, message)
    }

    /// An argument is null that must not be: 22004.
    pub fn null_not_allowed(message: impl Into<String>) -> Self {
        Self::new(PgSqlErrorCode::ERRCODE_NULL_VALUE_NOT_ALLOWED, message)
    }

    /// Several rows have the same key: 23505.
    pub fn unique_violation(message: impl Into<String>) -> Self {
        Self::new(PgSqlErrorCode::ERRCODE_UNIQUE_VIOLATION, message)
    }

    /// A column is null that must not be: 23502.
    pub fn not_null_violation(message: impl Into<String>) -> Self {
        Self::new(PgSqlErrorCode::ERRCODE_NOT_NULL_VIOLATION, message)
    }

    /// A provider has no such option: HV00D.
    pub fn invalid_option(message: impl Into<String>) -> Self {
        Self::new(PgSqlErrorCode::ERRCODE_FDW_INVALID_OPTION_NAME, message)
    }

    /// An option of a provider is missing: HV00J.
    pub fn missing_option(message: impl Into<String>) -> Self {
        Self::new(PgSqlErrorCode::ERRCODE_FDW_OPTION_NAME_NOT_FOUND, message)
    }

    /// A trigger function was not called as a trigger: 39P01.
    pub fn trigger_protocol_violated(message: impl Into<String>) -> Self {
        Self::new(PgSqlErrorCode::ERRCODE_E_R_I_E_TRIGGER_PROTOCOL_VIOLATED, message)
    }

    /// Text that the database's encoding does not have: 22021.
    pub fn not_in_encoding(message: impl Into<String>) -> Self {
        Self::new(PgSqlErrorCode::ERRCODE_CHARACTER_NOT_IN_REPERTOIRE, message)
    }

    /// A function has more arguments than can be handled: 54023.
    pub fn too_many_arguments(message: impl Into<String>) -> Self {
        Self::new(PgSqlErrorCode::ERRCODE_TOO_MANY_ARGUMENTS, message)
    }

    /// A statement, a condition or a text that is nested too deeply: 54001.
    pub fn too_complex(message: impl Into<String>) -> Self {
        Self::new(PgSqlErrorCode::ERRCODE_STATEMENT_TOO_COMPLEX, message)
    }

    /// A table that lacks what this needs: 42P16.
    pub fn invalid_table_definition(message: impl Into<String>) -> Self {
        Self::new(PgSqlErrorCode::ERRCODE_INVALID_TABLE_DEFINITION, message)
    }

    /// Not a regular expression: 2201B.
    pub fn invalid_regular_expression(message: impl Into<String>) -> Self {
        Self::new(PgSqlErrorCode::ERRCODE_INVALID_REGULAR_EXPRESSION, message)
    }

    /// Not a name for this: 42602.
    pub fn invalid_name(message: impl Into<String>) -> Self {
        Self::new(PgSqlErrorCode::ERRCODE_INVALID_NAME, message)
    }

    /// A column that cannot be used for this: 42P10.
    pub fn invalid_column_reference(message: impl Into<String>) -> Self {
        Self::new(PgSqlErrorCode::ERRCODE_INVALID_COLUMN_REFERENCE, message)
    }

    /// A value or a column of another type was expected: 42804.
    pub fn datatype_mismatch(message: impl Into<String>) -> Self {
        Self::new(PgSqlErrorCode::ERRCODE_DATATYPE_MISMATCH, message)
    }

    /// A name that means several columns: 42702.
    pub fn ambiguous_column(message: impl Into<String>) -> Self {
        Self::new(PgSqlErrorCode::ERRCODE_AMBIGUOUS_COLUMN, message)
    }

    /// Not possible in a transaction block: 25001.
    pub fn active_transaction(message: impl Into<String>) -> Self {
        Self::new(PgSqlErrorCode::ERRCODE_ACTIVE_SQL_TRANSACTION, message)
    }

    /// More than a setting allows: 53400.
    pub fn over_configured_limit(message: impl Into<String>) -> Self {
        Self::new(PgSqlErrorCode::ERRCODE_CONFIGURATION_LIMIT_EXCEEDED, message)
    }

    /// What was written is not what is read: XX001.
    pub fn data_corrupted(message: impl Into<String>) -> Self {
        Self::new(PgSqlErrorCode::ERRCODE_DATA_CORRUPTED, message)
    }

    /// An error that was kept with its SQLSTATE of five characters.
    pub fn of_code(code: &str, message: impl Into<String>) -> Self {
        let sqlstate = Self::pack(code);
        Self { own_sqlstate: unlisted(sqlstate), ..Self::new(PgSqlErrorCode::from(sqlstate), message) }
    }

    /// The same as something that the user may want to know: 00000.
    pub fn into_information(self) -> Self {
        Self { sqlstate: PgSqlErrorCode::ERRCODE_SUCCESSFUL_COMPLETION, ..self }
    }

    /// Whether the statement was cancelled. False for [`out_of_time`](Self::out_of_time).
    pub fn is_cancelled(&self) -> bool {
        self.sqlstate == PgSqlErrorCode::ERRCODE_QUERY_CANCELED && !self.out_of_time
    }

    /// Whether the engine cannot be reached.
    pub fn is_unavailable(&self) -> bool {
        self.sqlstate == PgSqlErrorCode::ERRCODE_CANNOT_CONNECT_NOW
    }

    /// Whether something is more than can be done.
    pub fn is_over_limit(&self) -> bool {
        self.sqlstate == PgSqlErrorCode::ERRCODE_PROGRAM_LIMIT_EXCEEDED
    }

    /// Whether an object does not exist.
    pub fn is_undefined(&self) -> bool {
        self.sqlstate == PgSqlErrorCode::ERRCODE_UNDEFINED_OBJECT
    }

    /// Whether another transaction holds a lock.
    pub fn is_lock_not_available(&self) -> bool {
        self.sqlstate == PgSqlErrorCode::ERRCODE_LOCK_NOT_AVAILABLE
    }

    /// Whether Ragstone itself is at fault.
    pub fn is_internal(&self) -> bool {
        self.sqlstate == PgSqlErrorCode::ERRCODE_INTERNAL_ERROR
    }
}

impl From<Failure> for Error {
    fn from(failure: Failure) -> Self {
        let kind = failure.kind;
        let mut error = Self::new(sqlstate(kind), failure.message).detail(failure.detail).hint(failure.hint);
        error.failure = Some(kind);
        error
    }
}

impl From<FrameError> for Error {
    fn from(error: FrameError) -> Self {
        match error {
            FrameError::TooLong(_) => {
                Self::over_limit(error.to_string()).hint("Split the document into smaller ones.")
            }
            FrameError::Malformed(_) => Self::protocol_violation(error.to_string())
                .hint("Install matching versions of the library and the engine."),
        }
    }
}

impl From<pgrx::spi::Error> for Error {
    fn from(error: pgrx::spi::Error) -> Self {
        Self::internal(error)
    }
}

/// The SQLSTATE of each kind of failure of the engine.
fn sqlstate(kind: FailureKind) -> PgSqlErrorCode {
    match kind {
        FailureKind::BadArgument => PgSqlErrorCode::ERRCODE_INVALID_PARAMETER_VALUE,
        FailureKind::MalformedDocument => PgSqlErrorCode::ERRCODE_INVALID_TEXT_REPRESENTATION,
        FailureKind::OverLimit => PgSqlErrorCode::ERRCODE_PROGRAM_LIMIT_EXCEEDED,
        FailureKind::UnknownModel => PgSqlErrorCode::ERRCODE_UNDEFINED_OBJECT,
        FailureKind::CorruptModel => PgSqlErrorCode::ERRCODE_CONFIG_FILE_ERROR,
        FailureKind::QueueFull | FailureKind::RateLimited | FailureKind::BudgetSpent(_) => {
            PgSqlErrorCode::ERRCODE_CONFIGURATION_LIMIT_EXCEEDED
        }
        FailureKind::Unavailable | FailureKind::EngineUnreachable | FailureKind::EngineLost => {
            PgSqlErrorCode::ERRCODE_CANNOT_CONNECT_NOW
        }
        FailureKind::ModelMemory => PgSqlErrorCode::ERRCODE_OUT_OF_MEMORY,
        FailureKind::Protocol => PgSqlErrorCode::ERRCODE_PROTOCOL_VIOLATION,
        FailureKind::Internal => PgSqlErrorCode::ERRCODE_INTERNAL_ERROR,
        FailureKind::ProviderUnreachable => {
            PgSqlErrorCode::ERRCODE_SQLCLIENT_UNABLE_TO_ESTABLISH_SQLCONNECTION
        }
        FailureKind::ProviderLost => PgSqlErrorCode::ERRCODE_CONNECTION_FAILURE,
        FailureKind::ProviderRefused
        | FailureKind::ProviderRejected
        | FailureKind::KeyRefused
        | FailureKind::ModelRefused => PgSqlErrorCode::ERRCODE_EXTERNAL_ROUTINE_EXCEPTION,
        FailureKind::ProviderMalformed => PgSqlErrorCode::ERRCODE_PROTOCOL_VIOLATION,
        FailureKind::Forbidden => PgSqlErrorCode::ERRCODE_INSUFFICIENT_PRIVILEGE,
    }
}

/// Whether Postgres ends a process with this SQLSTATE, as its own structure of errors has it, because the process was terminated, or
/// because its database does not exist any more.
pub fn is_termination(sqlstate: i32) -> bool {
    is_admin_shutdown(sqlstate) || sqlstate == PgSqlErrorCode::ERRCODE_INVALID_CATALOG_NAME as i32
}

/// Whether Postgres ends a process with this SQLSTATE because a signal told it to end.
pub fn is_admin_shutdown(sqlstate: i32) -> bool {
    sqlstate == PgSqlErrorCode::ERRCODE_ADMIN_SHUTDOWN as i32
}

/// The five characters of the SQLSTATE of a failure of the engine.
pub fn code_of(kind: FailureKind) -> String {
    Error::new(sqlstate(kind), "").code()
}

/// The value of an argument that must be given; `name` is the argument's.
pub fn given<T>(value: Option<T>, name: &str) -> Result<T> {
    value.ok_or_else(|| Error::null_not_allowed(format!("{name} must not be null")))
}
