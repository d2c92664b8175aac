//! Ends a run, or lets it pause.

use crate::agent_log::send::{post, post_if_autonomous};
use crate::agent_log::session;
use crate::agent_log::session::SessionRun;
use crate::agent_log::stored_value::{StoredValue, jsonb};
use crate::agent_log::{current, implicit, redaction, run_not_found, tables, vocabulary};
use ragstone_core::log::{Entry, RunEnd};
use ragstone_pg::bytes::JsonbRef;
use ragstone_pg::clock;
use ragstone_pg::error::{Error, Result};
use ragstone_pg::spi::{Arg, connect, run as statement};
use ragstone_pg::{switch_user, transactions};
use serde_json::Value;
use std::borrow::Cow;

/// The end of a run, or a pause.
#[derive(Debug, Default, Clone)]
pub struct FinishArgs<'a, J = Value> {
    /// If None, `failed` if there is an error, otherwise `done`; also `failed`, `cancelled`, `waiting`, or `running` for a run that continues.
    pub status: Option<&'a str>,
    /// The output of the run.
    pub output: Option<J>,
    /// The message of an error.
    pub error: Option<&'a str>,
    /// The SQLSTATE of the error, if it has one.
    pub sqlstate: Option<&'a str>,
    /// When the run ended or paused, microseconds since 1970; None stands for now.
    pub finished_us: Option<i64>,
}

/// Ends a run of the current role. If it was the session's current run, the session has no current run
/// afterwards. If a run is ended repeatedly, the last end is stored.
///
/// # Errors
/// 42704 if there is no such run; 22023 if the status is unknown.
pub fn finish(run: i64, end: FinishArgs) -> Result<()> {
    let output = jsonb(end.output.as_ref())?;
    let FinishArgs { status, error, sqlstate, finished_us, .. } = end;
    let output = output.as_ref().map(JsonbRef::from);
    finish_jsonb(run, &FinishArgs { status, output, error, sqlstate, finished_us })
}

/// Does the same as [`finish`] for an output that is `jsonb` already.
///
/// # Errors
/// As [`finish`].
pub fn finish_jsonb(run: i64, end: &FinishArgs<JsonbRef>) -> Result<()> {
    let status = vocabulary::parse_run_status(end.status.unwrap_or(if end.error.is_some() {
        "failed"
    } else {
        "done"
    }))?;
    let found = session::find(run)?;
    if end.finished_us.is_some_and(|finished| finished < found.started_us) {
        return Err(Error::bad_argument(format!("finished is before the beginning of run {run}"))
            .hint("rag.runs shows when the run began."));
    }
    let row = CheckedFinish {
        run: found,
        status,
        end,
        error: end.error.map(redaction::text).transpose()?,
        output: StoredValue::of(end.output)?,
        finished_us: end.finished_us.unwrap_or_else(clock::now),
    };
    // A run that this transaction has started is invisible to other transactions, and is rolled back with
    // this one.
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

/// A run and its end, with the values as they are stored.
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
        // The coordinator may be moving the row into the partition of its week at this moment: the
        // statement's snapshot then shows the row at its old place, and only the next snapshot shows it at
        // its new place.
        if self.try_update()? || self.try_update()? {
            return Ok(());
        }
        if self.run.autonomous {
            // The run has been posted to the engine and is not in its table yet, so its end must be posted as
            // well.
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
