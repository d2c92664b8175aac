//! Calls tools: with the rights of the caller, read-only unless the tool writes, with a time limit, and in a
//! subtransaction. Changes of settings and of the role are undone afterwards.

use crate::tools::Tool;
use crate::tools::arguments::ErrorContext;
use crate::tools::content::read;
use crate::tools::observation::Observation;
use ragstone_pg::attempt::{FailedAttempt, try_and_undo, try_in_subtransaction};
use ragstone_pg::cursor::Cursor;
use ragstone_pg::error::{Error, Result};
use ragstone_pg::read_only::ReadOnly;
use ragstone_pg::spi::connect;
use ragstone_pg::switch_user::{with_settings, without_role_change};
use ragstone_pg::time_limit::{Canceller, serve_statement_timeout, within};
use std::cell::{Cell, RefCell};
use std::time::Duration;

impl Tool {
    /// Calls the tool with arguments in the form in which a model wrote them: a JSON object. Invalid
    /// arguments and errors of the tool become an observation, not an error.
    ///
    /// # Errors
    /// Internal errors. Errors that end the whole statement are raised: a cancel that is not the tool's time
    /// limit, and the shutdown of the server.
    pub fn call(&self, arguments: &str) -> Result<Observation> {
        let canceller = Cell::new(Canceller::Nobody);
        let context = RefCell::new(None);
        let limit = Duration::from_millis(self.limits.timeout_ms.unsigned_abs().into());
        let read_only = (!self.limits.writes).then(ReadOnly::prepare);
        let call = || {
            if let Some(read_only) = &read_only {
                read_only.begin();
            }
            within(limit, &canceller, || {
                // Undoes changes of settings that the tool makes.
                without_role_change(|| with_settings(&[], || connect(|| self.observe(arguments, &context))))
            })
        };
        // The effects of a read-only tool are rolled back as well, because a read-only transaction allows
        // some effects: NOTIFY, for instance, and large objects before PostgreSQL 16.
        let called = if self.limits.writes { try_in_subtransaction(call) } else { try_and_undo(call) };
        let failed = match called {
            Ok(observation) => return Ok(observation),
            Err(failed) => failed,
        };
        self.observation_of(failed, canceller.get(), context.into_inner())
    }

    fn observe(&self, arguments: &str, context: &ErrorContext) -> Result<Observation> {
        let statement = self.statement(arguments, context)?;
        let cursor = Cursor::open_with_kept_plan(&statement.sql, &statement.args)?;
        let observation = read(&cursor, statement.returns, self.limits)?;
        cursor.close()?;
        Ok(observation)
    }

    fn observation_of(
        &self,
        failed: FailedAttempt,
        canceller: Canceller,
        context: Option<String>,
    ) -> Result<Observation> {
        let FailedAttempt { raised, mut error } = failed;
        let cancelled = raised && error.is_cancelled();
        match canceller {
            Canceller::Limit if cancelled => error = self.timed_out(),
            Canceller::Nobody if cancelled => {}
            _ if raised && error.ends_statement() => {
                serve_statement_timeout();
                error.raise()
            }
            _ if !raised && error.is_internal() => return Err(error),
            _ => {}
        }
        if let Some(context) = context.filter(|_| raised) {
            error.message = format!("{context}: {}", error.message);
        }
        Ok(Observation::of_error(&error, self.limits.max_bytes as usize))
    }

    fn timed_out(&self) -> Error {
        Error::cancelled(format!("tool \"{}\" took longer than {} ms", self.name, self.limits.timeout_ms))
    }
}
