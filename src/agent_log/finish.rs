//! Ending a run, or letting it pause.

use crate::agent_log::send::{post, post_if_autonomous};
use crate::agent_log::session;
use crate::agent_log::session::SessionRun;
use crate::agent_log::stored_value::{StoredValue, jsonb};
use crate::agent_log::{current, implicit, redaction, run_not_found, tables, vocabulary};
use ragstone_core::log::{Entry, RunEnd};
use ragstone_pg::bytes::JsonbRef;
use ragstone_pg::clock;
use ragstone_pg::error::Result;
use ragstone_pg::spi::{Arg, connect, run as statement};
use ragstone_pg::{switch_user, transactions};
use serde_json::Value;
use std::borrow::Cow;

/// How a run ends, or that it pauses.
#[derive(Debug, Default, Clone)]
pub struct FinishArgs<'a, J = Value> {
    /// `done` if none; `failed`, `cancelled`, `waiting`, or `running` for a run that continues.
    pub status: Option<&'a str>,
    /// What the run returned.
    pub output: Option<J>,
    /// The message of an error.
    pub error: Option<&'a str>,
    /// The SQLSTATE of the error, where it has one.
    pub sqlstate: Option<&'a str>,
}

/// Ends a run of the current role. If it was the session's current run, the session has none afterwards. If a run is ended
/// repeatedly, the last end is stored.
///
/// # Errors
/// 42704 where there is no such run; 22023 where the status is unknown.
pub fn finish(run: i64, end: FinishArgs) -> Result<()> {
    let output = jsonb(end.output.as_ref())?;
    let FinishArgs { status, error, sqlstate, .. } = end;
    finish_jsonb(run, &FinishArgs { status, output: output.as_ref().map(JsonbRef::from), error, sqlstate })
}

/// Does the same as [`finish`] for an output that is `jsonb` already.
///
/// # Errors
/// As [`finish`].
pub fn finish_jsonb(run: i64, end: &FinishArgs<JsonbRef>) -> Result<()> {
    let status = vocabulary::parse_run_status(end.status.unwrap_or("done"))?;
    let row = CheckedFinish {
        run: session::find(run)?,
        status,
        end,
        error: end.error.map(redaction::text).transpose()?,
        output: StoredValue::of(end.output)?,
        finished_us: clock::now(),
    };
    // A run that this transaction has started is visible to no other one, and is rolled back with it.
    let is_own = row.run.begun_in.is_some_and(transactions::is_own);
    if is_own || !post_if_autonomous(|| row.entry())? {
        row.update()?;
    }
    implicit::forget_lookup();
    if current() == Some(run) {
        switch_user::set_in_transaction("rag.run", "")?;
    }
    Ok(())
}

/// A run and how it ends, with the values as they are stored.
struct CheckedFinish<'a> {
    run: SessionRun,
    status: &'static str,
    end: &'a FinishArgs<'a, JsonbRef<'a>>,
    error: Option<Cow<'a, str>>,
    output: StoredValue<'a>,
    finished_us: i64,
}

impl CheckedFinish<'_> {
    fn update(&self) -> Result<()> {
        // The coordinator may move the row into the partition of its week just now: the statement's snapshot then shows the row at its
        // old place, and only the next snapshot shows it at its new one.
        if self.try_update()? || self.try_update()? {
            return Ok(());
        }
        if self.run.autonomous {
            // The run has been posted to the engine and is not in its table yet, so that its end must take the same way.
            return post(&[self.entry()?]).map_err(|(_, error)| error);
        }
        Err(run_not_found(self.run.id))
    }

    fn try_update(&self) -> Result<bool> {
        let pauses = matches!(self.status, "running" | "waiting");
        let args = [
            Arg::new(self.run.id),
            Arg::timestamptz(self.run.started_us),
            Arg::text(self.status),
            self.output.arg(),
            Arg::optional_text(self.error.as_deref()),
            Arg::optional_text(self.end.sqlstate),
            if pauses { Arg::null(pgrx::pg_sys::TIMESTAMPTZOID) } else { Arg::timestamptz(self.finished_us) },
        ];
        connect(|| {
            tables::as_owner(|| {
                let rows = statement(
                    "UPDATE rag._runs SET status = $3, output = $4, error = $5, sqlstate = $6, finished = $7
                     WHERE id OPERATOR(pg_catalog.=) $1 AND started OPERATOR(pg_catalog.=) $2",
                    &args,
                )?;
                Ok(rows.count > 0)
            })
        })
    }

    fn entry(&self) -> Result<Entry> {
        Ok(Entry::End(RunEnd {
            id: self.run.id,
            status: self.status.to_owned(),
            output: self.output.to_json()?,
            error: self.error.as_deref().map(str::to_owned),
            sqlstate: self.end.sqlstate.map(str::to_owned),
            finished_us: self.finished_us,
        }))
    }
}
