//! A constructor for each SQLSTATE that Rust code raises; no other code creates errors. `sqlstate()` below assigns
//! SQLSTATEs to failures of the engine; `blame.rs` derives an error's cause from its code. The codes are those of
//! PostgreSQL's list (<https://www.postgresql.org/docs/current/errcodes-appendix.html>).

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

    /// No engine is running, or none can be started: 57P03.
    pub fn engine_unreachable(message: impl Into<String>) -> Self {
        Self { failure: Some(FailureKind::EngineUnreachable), ..Self::unavailable(message) }
    }

    /// The engine ended repeatedly, or made no progress, while it worked on a request: 57P03.
    pub fn engine_lost(message: impl Into<String>) -> Self {
        Self { failure: Some(FailureKind::EngineLost), ..Self::unavailable(message) }
    }

    /// An argument is not valid: 22023.
    pub fn bad_argument(message: impl Into<String>) -> Self {
        Self::new(PgSqlErrorCode::ERRCODE_INVALID_PARAMETER_VALUE, message)
    }

    /// A bug in Ragstone: XX000.
    pub fn internal(message: impl std::fmt::Display) -> Self {
        Self::new(PgSqlErrorCode::ERRCODE_INTERNAL_ERROR, format!("internal: {message}"))
    }

    /// The same error with the SQLSTATE with which it was raised: a user's function may use its own codes, which would
    /// otherwise become internal errors.
    pub fn raised_with(mut self, sqlstate: i32) -> Self {
        if self.sqlstate == PgSqlErrorCode::ERRCODE_INTERNAL_ERROR && sqlstate != 0 {
            self.own_sqlstate = unlisted(sqlstate);
        }
        self
    }

    /// True if the statement was cancelled, or the session is being terminated.
    pub fn ends_statement(&self) -> bool {
        matches!(
            self.sqlstate,
            PgSqlErrorCode::ERRCODE_QUERY_CANCELED
                | PgSqlErrorCode::ERRCODE_ADMIN_SHUTDOWN
                | PgSqlErrorCode::ERRCODE_CRASH_SHUTDOWN
                | PgSqlErrorCode::ERRCODE_DATABASE_DROPPED
        )
    }

    /// True if stored data are corrupted: XX001.
    pub fn is_of_corrupted_data(&self) -> bool {
        self.sqlstate == PgSqlErrorCode::ERRCODE_DATA_CORRUPTED
    }

    /// The object does not exist, or is not visible to the role: 42704.
    pub fn undefined(message: impl Into<String>) -> Self {
        Self::new(PgSqlErrorCode::ERRCODE_UNDEFINED_OBJECT, message)
    }

    /// The function does not exist: 42883.
    pub fn undefined_function(message: impl Into<String>) -> Self {
        Self::new(PgSqlErrorCode::ERRCODE_UNDEFINED_FUNCTION, message)
    }

    /// The column does not exist: 42703.
    pub fn undefined_column(message: impl Into<String>) -> Self {
        Self::new(PgSqlErrorCode::ERRCODE_UNDEFINED_COLUMN, message)
    }

    /// The table does not exist: 42P01.
    pub fn undefined_table(message: impl Into<String>) -> Self {
        Self::new(PgSqlErrorCode::ERRCODE_UNDEFINED_TABLE, message)
    }

    /// An object with this name exists: 42710.
    pub fn already_exists(message: impl Into<String>) -> Self {
        Self::new(PgSqlErrorCode::ERRCODE_DUPLICATE_OBJECT, message)
    }

    /// A table with this name exists: 42P07.
    pub fn table_exists(message: impl Into<String>) -> Self {
        Self::new(PgSqlErrorCode::ERRCODE_DUPLICATE_TABLE, message)
    }

    /// The role lacks the privilege: 42501.
    pub fn forbidden(message: impl Into<String>) -> Self {
        Self::new(PgSqlErrorCode::ERRCODE_INSUFFICIENT_PRIVILEGE, message)
    }

    /// A limit of Ragstone is exceeded: 54000.
    pub fn over_limit(message: impl Into<String>) -> Self {
        Self::new(PgSqlErrorCode::ERRCODE_PROGRAM_LIMIT_EXCEEDED, message)
    }

    /// The object is not in the required state: 55000.
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

    /// The work exceeded its time limit: 57014, but distinct from a user's cancel.
    pub fn out_of_time(message: impl Into<String>) -> Self {
        Self { out_of_time: true, ..Self::cancelled(message) }
    }

    /// A warning, after which the statement continues; reported by [`notice`](Error::notice): 01000.
    pub fn warning(message: impl Into<String>) -> Self {
        Self::new(PgSqlErrorCode::ERRCODE_WARNING, message)
    }

    /// An informational message; reported by [`notice`](Error::notice): 00000.
    pub fn information(message: impl Into<String>) -> Self {
        Self::new(PgSqlErrorCode::ERRCODE_SUCCESSFUL_COMPLETION, message)
    }

    /// Ragstone does not support this: 0A000.
    pub fn not_supported(message: impl Into<String>) -> Self {
        Self::new(PgSqlErrorCode::ERRCODE_FEATURE_NOT_SUPPORTED, message)
    }

    /// An answer is not valid: 08P01.
    pub fn protocol_violation(message: impl Into<String>) -> Self {
        Self::new(PgSqlErrorCode::ERRCODE_PROTOCOL_VIOLATION, message)
    }

    /// An object of another kind was expected: 42809.
    pub fn wrong_object_type(message: impl Into<String>) -> Self {
        Self::new(PgSqlErrorCode::ERRCODE_WRONG_OBJECT_TYPE, message)
    }

    /// An argument must not be null: 22004.
    pub fn null_not_allowed(message: impl Into<String>) -> Self {
        Self::new(PgSqlErrorCode::ERRCODE_NULL_VALUE_NOT_ALLOWED, message)
    }

    /// Several rows have the same key: 23505.
    pub fn unique_violation(message: impl Into<String>) -> Self {
        Self::new(PgSqlErrorCode::ERRCODE_UNIQUE_VIOLATION, message)
    }

    /// A column must not be null: 23502.
    pub fn not_null_violation(message: impl Into<String>) -> Self {
        Self::new(PgSqlErrorCode::ERRCODE_NOT_NULL_VIOLATION, message)
    }

    /// A provider does not have this option: HV00D.
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

    /// The database's encoding lacks a character: 22021.
    pub fn not_in_encoding(message: impl Into<String>) -> Self {
        Self::new(PgSqlErrorCode::ERRCODE_CHARACTER_NOT_IN_REPERTOIRE, message)
    }

    /// A function has more arguments than Ragstone supports: 54023.
    pub fn too_many_arguments(message: impl Into<String>) -> Self {
        Self::new(PgSqlErrorCode::ERRCODE_TOO_MANY_ARGUMENTS, message)
    }

    /// A statement, a condition or a text is nested too deeply: 54001.
    pub fn too_complex(message: impl Into<String>) -> Self {
        Self::new(PgSqlErrorCode::ERRCODE_STATEMENT_TOO_COMPLEX, message)
    }

    /// A table lacks a required property: 42P16.
    pub fn invalid_table_definition(message: impl Into<String>) -> Self {
        Self::new(PgSqlErrorCode::ERRCODE_INVALID_TABLE_DEFINITION, message)
    }

    /// A regular expression is not valid: 2201B.
    pub fn invalid_regular_expression(message: impl Into<String>) -> Self {
        Self::new(PgSqlErrorCode::ERRCODE_INVALID_REGULAR_EXPRESSION, message)
    }

    /// A name is not valid for this purpose: 42602.
    pub fn invalid_name(message: impl Into<String>) -> Self {
        Self::new(PgSqlErrorCode::ERRCODE_INVALID_NAME, message)
    }

    /// A column cannot be used for this purpose: 42P10.
    pub fn invalid_column_reference(message: impl Into<String>) -> Self {
        Self::new(PgSqlErrorCode::ERRCODE_INVALID_COLUMN_REFERENCE, message)
    }

    /// A value or a column of another type was expected: 42804.
    pub fn datatype_mismatch(message: impl Into<String>) -> Self {
        Self::new(PgSqlErrorCode::ERRCODE_DATATYPE_MISMATCH, message)
    }

    /// A name matches several columns: 42702.
    pub fn ambiguous_column(message: impl Into<String>) -> Self {
        Self::new(PgSqlErrorCode::ERRCODE_AMBIGUOUS_COLUMN, message)
    }

    /// The action is not possible in a transaction block: 25001.
    pub fn active_transaction(message: impl Into<String>) -> Self {
        Self::new(PgSqlErrorCode::ERRCODE_ACTIVE_SQL_TRANSACTION, message)
    }

    /// A limit that a setting defines is exceeded: 53400.
    pub fn over_configured_limit(message: impl Into<String>) -> Self {
        Self::new(PgSqlErrorCode::ERRCODE_CONFIGURATION_LIMIT_EXCEEDED, message)
    }

    /// Stored data are inconsistent: XX001.
    pub fn data_corrupted(message: impl Into<String>) -> Self {
        Self::new(PgSqlErrorCode::ERRCODE_DATA_CORRUPTED, message)
    }

    /// An error that was stored with its SQLSTATE of five characters.
    pub fn of_code(code: &str, message: impl Into<String>) -> Self {
        let sqlstate = Self::pack(code);
        Self { own_sqlstate: unlisted(sqlstate), ..Self::new(PgSqlErrorCode::from(sqlstate), message) }
    }

    /// The same error as an informational message: 00000.
    pub fn into_information(self) -> Self {
        Self { sqlstate: PgSqlErrorCode::ERRCODE_SUCCESSFUL_COMPLETION, ..self }
    }

    /// True if the statement was cancelled. False for [`out_of_time`](Self::out_of_time).
    pub fn is_cancelled(&self) -> bool {
        self.sqlstate == PgSqlErrorCode::ERRCODE_QUERY_CANCELED && !self.out_of_time
    }

    /// True if the engine cannot be reached.
    pub fn is_unavailable(&self) -> bool {
        self.sqlstate == PgSqlErrorCode::ERRCODE_CANNOT_CONNECT_NOW
    }

    /// True if a limit was exceeded.
    pub fn is_over_limit(&self) -> bool {
        self.sqlstate == PgSqlErrorCode::ERRCODE_PROGRAM_LIMIT_EXCEEDED
    }

    /// True if an object does not exist.
    pub fn is_undefined(&self) -> bool {
        self.sqlstate == PgSqlErrorCode::ERRCODE_UNDEFINED_OBJECT
    }

    /// True if another transaction holds a lock.
    pub fn is_lock_not_available(&self) -> bool {
        self.sqlstate == PgSqlErrorCode::ERRCODE_LOCK_NOT_AVAILABLE
    }

    /// True for a bug in Ragstone.
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
        FailureKind::UnreadableFile => PgSqlErrorCode::ERRCODE_INVALID_BINARY_REPRESENTATION,
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

/// True if PostgreSQL ends a process with this packed SQLSTATE because the process was terminated, or because its database
/// no longer exists.
pub fn is_termination(sqlstate: i32) -> bool {
    is_admin_shutdown(sqlstate) || sqlstate == PgSqlErrorCode::ERRCODE_INVALID_CATALOG_NAME as i32
}

/// True if PostgreSQL ends a process with this packed SQLSTATE because of a signal.
pub fn is_admin_shutdown(sqlstate: i32) -> bool {
    sqlstate == PgSqlErrorCode::ERRCODE_ADMIN_SHUTDOWN as i32
}

/// The five characters of the SQLSTATE of a failure of the engine.
pub fn code_of(kind: FailureKind) -> String {
    Error::new(sqlstate(kind), "").code()
}

/// The value of a required argument; `name` is the argument's name.
pub fn given<T>(value: Option<T>, name: &str) -> Result<T> {
    value.ok_or_else(|| Error::null_not_allowed(format!("{name} must not be null")))
}
