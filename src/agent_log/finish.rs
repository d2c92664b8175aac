//! The end of a run, or its pause.

use crate::agent_log::send::{post, posted};
use crate::agent_log::session;
use crate::agent_log::session::Known;
use crate::agent_log::stored_value::{Kept, jsonb};
use crate::agent_log::{current, redaction, tables, unknown, vocabulary};
use ragstone_core::log::{Entry, RunEnd};
use ragstone_pg::bytes::JsonbRef;
use ragstone_pg::clock;
use ragstone_pg::error::Result;
use ragstone_pg::spi::{Arg, connect, run as statement};
use ragstone_pg::{switch_user, transactions};
use serde_json::Value;
use std::borrow::Cow;

/// How a run ends, or why it waits.
#[derive(Debug, Default, Clone)]
pub struct Ending<'a> {
    /// `done` if nothing; `failed`, `cancelled`, `waiting`, or `running` for one that goes on.
    pub status: Option<&'a str>,
    /// What came out.
    pub output: Option<Value>,
    /// What went wrong.
    pub error: Option<&'a str>,
    /// Its SQLSTATE, where it has one.
    pub sqlstate: Option<&'a str>,
}

/// Ends a run of the current role's, which is then not the session's current one any more. The last end counts.
///
/// # Errors
/// 42704 where there is no such run; 22023 where it cannot end so.
pub fn finish(run: i64, end: Ending) -> Result<()> {
    let output = jsonb(end.output.as_ref())?;
    finish_as(run, &end, output.as_ref().map(JsonbRef::from))
}

/// As [`finish`], with an output that stays where it is.
///
/// # Errors
/// As [`finish`].
pub fn finish_as(run: i64, end: &Ending, output: Option<JsonbRef>) -> Result<()> {
    let status = vocabulary::run_status(end.status.unwrap_or("done"))?;
    let known = session::find(run)?;
    let error = end.error.map(redaction::text).transpose()?;
    let row = Row { error, run: known, status, end, output: Kept::of(output)?, finished_us: clock::now() };
    // Nobody else sees a run that this very transaction has begun, and it goes with it.
    let is_own = row.run.begun_in.is_some_and(transactions::is_own);
    if is_own || !posted(|| row.entry())? {
        row.update()?;
    }
    if current() == Some(run) {
        switch_user::set_in_transaction("rag.run", "")?;
    }
    Ok(())
}

struct Row<'a> {
    run: Known,
    status: &'static str,
    end: &'a Ending<'a>,
    error: Option<Cow<'a, str>>,
    output: Kept<'a>,
    finished_us: i64,
}

impl Row<'_> {
    fn update(&self) -> Result<()> {
        // The worker may just have moved the row into the partition of its week: then the statement's snapshot has it where
        // it was, and the next one has it where it is.
        if self.updated()? || self.updated()? {
            return Ok(());
        }
        if self.run.autonomous {
            // It is on its way into the table, and its end can only follow it.
            return post(&[self.entry()?]).map_err(|(_, error)| error);
        }
        Err(unknown(self.run.id))
    }

    fn updated(&self) -> Result<bool> {
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
