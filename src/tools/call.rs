//! Calling a tool: as the caller and nobody else, read-only unless it writes, within its time, in a subtransaction of its
//! own, and with the session as it was afterwards.

use crate::tools::arguments::Place;
use crate::tools::content::{clip, read};
use crate::tools::{Observation, Tool};
use ragstone_pg::attempt::{FailedAttempt, try_in_subtransaction};
use ragstone_pg::cursor::Cursor;
use ragstone_pg::error::{Error, Result};
use ragstone_pg::read_only::ReadOnly;
use ragstone_pg::spi::connect;
use ragstone_pg::switch_user::{with_settings, without_role_change};
use ragstone_pg::time_limit::{Canceller, serve_statement_timeout, within};
use std::cell::{Cell, RefCell};
use std::time::Duration;

impl Tool {
    /// Calls the tool with arguments as a model wrote them: a JSON object. What is wrong with them, and what the tool raises,
    /// is an observation.
    ///
    /// # Errors
    /// What ends the whole statement is raised: a cancel that is not the tool's own limit, the server's end. An error of
    /// Ragstone itself.
    pub fn call(&self, arguments: &str) -> Result<Observation> {
        let canceller = Cell::new(Canceller::Nobody);
        let place = RefCell::new(None);
        let limit = Duration::from_millis(self.limits.timeout_ms.unsigned_abs().into());
        let read_only = (!self.limits.writes).then(ReadOnly::prepare);
        let called = try_in_subtransaction(|| {
            if let Some(read_only) = &read_only {
                read_only.begin();
            }
            within(limit, &canceller, || {
                // Whatever the tool sets is gone after it.
                without_role_change(|| with_settings(&[], || connect(|| self.observe(arguments, &place))))
            })
        });
        let failed = match called {
            Ok(observation) => return Ok(observation),
            Err(failed) => failed,
        };
        self.observation_of(failed, canceller.get(), place.into_inner())
    }

    fn observe(&self, arguments: &str, place: &Place) -> Result<Observation> {
        let statement = self.statement(arguments, place)?;
        let cursor = Cursor::open_with_kept_plan(&statement.sql, &statement.args)?;
        let observation = read(&cursor, statement.returns, self.limits)?;
        cursor.close()?;
        Ok(observation)
    }

    fn observation_of(
        &self,
        failed: FailedAttempt,
        canceller: Canceller,
        place: Option<String>,
    ) -> Result<Observation> {
        let FailedAttempt { raised, mut error } = failed;
        let cancelled = raised && error.is_cancelled();
        match canceller {
            Canceller::Limit if cancelled => error = self.too_slow(),
            Canceller::Nobody if cancelled => {}
            _ if raised && error.ends_statement() => {
                serve_statement_timeout();
                error.raise()
            }
            _ if !raised && error.is_internal() => return Err(error),
            _ => {}
        }
        if let Some(place) = place.filter(|_| raised) {
            error.message = format!("{place}: {}", error.message);
        }
        Ok(Observation::of_error(&error, self.limits.max_bytes as usize))
    }

    fn too_slow(&self) -> Error {
        Error::cancelled(format!("tool \"{}\" took longer than {} ms", self.name, self.limits.timeout_ms))
    }
}

impl Observation {
    /// Of a tool that has done what it was to do.
    pub fn of(content: String, rows: u64, truncated: bool) -> Self {
        Self { content, is_error: false, sqlstate: None, rows, truncated }
    }

    /// Of a tool that has not.
    fn of_error(error: &Error, most_bytes: usize) -> Self {
        let code = error.code();
        let mut content = format!("error {code}: {}", error.message);
        for (label, text) in [("detail", &error.detail), ("hint", &error.hint)] {
            if !text.is_empty() {
                content.push_str(&format!("\n{label}: {text}"));
            }
        }
        let all = content.len();
        let truncated = clip(&mut content, most_bytes) < all;
        Self { content, is_error: true, sqlstate: Some(code), rows: 0, truncated }
    }
}
