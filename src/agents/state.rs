//! What is kept of runs that are jobs, so that they can be gone on with.

use crate::agents::course::Course;
use crate::agents::definition::Agent;
use crate::agents::{undefined, wrong_state};
use crate::collection::on_tables;
use crate::pg::error::{Error, Outcome};
use crate::pg::guc;
use crate::pg::role::Role;
use crate::pg::spi::{Arg, run};
use crate::tools;
use pgrx::PgSqlErrorCode;
use ragstone_core::agent::Event;

/// Keeps a run that has begun with its first events.
pub fn begin(course: &Course, job: i64) -> Outcome<()> {
    let role = Role::current()?.to_text()?;
    on_tables(|| {
        run(
            "INSERT INTO rag._agent_run (id, owner, agent, session, job, status)
             VALUES ($1, $2::text::name, $3, $4, $5, 'running')",
            &[
                Arg::new(course.run),
                Arg::text(&role),
                Arg::text(&course.agent.name),
                Arg::optional(course.session),
                Arg::new(job),
            ],
        )
    })?;
    (course.events.iter().zip(&course.steps))
        .enumerate()
        .try_for_each(|(at, (event, step))| append(course.run, at, *step, event, None))
}

/// Keeps an event, the one after `before` others.
pub fn append(run_id: i64, before: usize, step: i64, event: &Event, decision: Option<&str>) -> Outcome<()> {
    let json = serde_json::to_string(event).map_err(Error::internal)?;
    let number = i32::try_from(before + 1).map_err(Error::internal)?;
    on_tables(|| {
        run(
            "INSERT INTO rag._agent_turn (run_id, number, step_id, event, decision) VALUES ($1, $2, $3, $4, $5)",
            &[Arg::new(run_id), Arg::new(number), Arg::new(step), Arg::text(&json), Arg::optional_text(decision)],
        )
        .map(|_| ())
    })
}

/// The run that a job does, if it has begun with one or is to go on with one.
pub fn find(job: i64) -> Outcome<Option<i64>> {
    on_tables(|| Ok(run("SELECT id FROM rag._agent_run WHERE job = $1", &[Arg::new(job)])?.int8(0, 0)))
}

/// The run of the current role as it was left, with the agent and the tools as they are now.
///
/// # Errors
/// 55000 where another job has taken it over; those of [`Course::begin`].
pub fn load(run_id: i64, job: i64) -> Outcome<Course> {
    let role = Role::current()?.to_text()?;
    let (name, session) = on_tables(|| {
        let rows = run(
            "UPDATE rag._agent_run SET status = 'running', updated_at = clock_timestamp()
             WHERE id = $1 AND job = $2 AND owner = $3::text::name AND status IN ('running', 'failed', 'cancelled')
             RETURNING agent, session",
            &[Arg::new(run_id), Arg::new(job), Arg::text(&role)],
        )?;
        let name = rows.text(0, 0);
        let name =
            name.ok_or_else(|| wrong_state(format!("run {run_id} is not done by this job any more")))?;
        Ok((name, rows.int8(0, 1)))
    })?;
    let agent = Agent::find(&name)?;
    let found = tools::find(&agent.tools)?;
    let mut course = Course::of(agent, found, run_id, session);
    let turns = on_tables(|| {
        let rows = run(
            "SELECT step_id, event FROM rag._agent_turn WHERE run_id = $1 ORDER BY number",
            &[Arg::new(run_id)],
        )?;
        Ok((0..rows.count)
            .filter_map(|row| Some((rows.int8(row, 0)?, rows.text(row, 1)?)))
            .collect::<Vec<_>>())
    })?;
    for (step, json) in turns {
        course.add(step, serde_json::from_str(&json).map_err(Error::internal)?);
    }
    Ok(course)
}

/// The run waits for somebody's decision.
pub fn wait(run_id: i64) -> Outcome<()> {
    set_status(run_id, "waiting")
}

/// The run has met a limit.
pub fn fail(run_id: i64) -> Outcome<()> {
    set_status(run_id, "failed")
}

fn set_status(run_id: i64, status: &str) -> Outcome<()> {
    on_tables(|| {
        run(
            "UPDATE rag._agent_run SET status = $2, updated_at = clock_timestamp() WHERE id = $1",
            &[Arg::new(run_id), Arg::text(status)],
        )
        .map(|_| ())
    })
}

/// The run is done, and nobody will go on with it.
pub fn forget(run_id: i64) -> Outcome<()> {
    on_tables(|| run("DELETE FROM rag._agent_run WHERE id = $1", &[Arg::new(run_id)]).map(|_| ()))
}

/// A job of an agent's came to nothing: so did its run. Whoever may write in the table of jobs calls this, as its owner.
pub fn job_ended(job: i64, error: &Error) -> Outcome<()> {
    let cancelled = error.sqlstate == PgSqlErrorCode::ERRCODE_QUERY_CANCELED;
    let status = if cancelled { "cancelled" } else { "failed" };
    let code = error.code();
    let rows = run(
        "UPDATE rag._agent_run SET status = $2, updated_at = clock_timestamp() WHERE job = $1 AND status = 'running' RETURNING id",
        &[Arg::new(job), Arg::text(status)],
    )?;
    let Some(run_id) = rows.int8(0, 0) else { return Ok(()) };
    let args = [Arg::new(run_id), Arg::text(status), Arg::text(&error.message), Arg::text(&code)];
    run(
        "INSERT INTO rag._steps (id, run_id, number, owner, agent, kind, started, status, error, sqlstate, written)
         SELECT nextval('rag._step_id'), r.id,
                (SELECT coalesce(max(s.number), 0) + 1 FROM rag._steps s WHERE s.run_id = r.id),
                r.owner, r.agent, 'error', clock_timestamp(), CASE $2 WHEN 'cancelled' THEN $2 ELSE 'error' END, $3, $4,
                pg_current_xact_id()::text::bigint
         FROM rag._runs r WHERE r.id = $1",
        &args,
    )?;
    run(
        "UPDATE rag._runs SET status = $2, error = $3, sqlstate = $4, finished = clock_timestamp() WHERE id = $1",
        &args,
    )?;
    Ok(())
}

/// Deletes what was kept of runs that failed so long ago that their jobs are forgotten too. Runs that wait are kept.
pub fn forget_old() -> Outcome<()> {
    let Some(days) = guc::jobs_retention() else { return Ok(()) };
    run(
        "DELETE FROM rag._agent_run
         WHERE status <> 'waiting' AND updated_at < clock_timestamp() - make_interval(hours => 24 * $1)
           AND NOT EXISTS (SELECT FROM rag._job j WHERE j.id = job AND j.status IN ('queued', 'running'))",
        &[Arg::new(days)],
    )?;
    Ok(())
}

/// There is no such run of the current role.
pub fn unknown(run_id: i64) -> Error {
    undefined(format!("run {run_id} does not exist")).hint("rag.runs shows your runs.")
}
