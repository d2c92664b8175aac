//! The stored events of runs that are jobs, from which another job can continue the run.

use crate::agents::definition::Agent;
use crate::agents::run::AgentRun;
use crate::tools;
use ragstone_client::settings;
use ragstone_core::agent::Event;
use ragstone_pg::error::{Error, Result};
use ragstone_pg::own_tables::as_config_owner;
use ragstone_pg::owner::Owner;
use ragstone_pg::spi::{Arg, run};

/// Stores a new run with its first events.
pub fn begin(agent_run: &AgentRun, job: i64) -> Result<()> {
    let role = Owner::who_makes()?.to_text()?;
    as_config_owner(|| {
        run(
            "INSERT INTO rag._agent_run (id, owner, agent, session, job, status)
             VALUES ($1, $2::text::name, $3, $4, $5, 'running')",
            &[
                Arg::new(agent_run.id),
                Arg::text(&role),
                Arg::text(&agent_run.agent.name),
                Arg::optional(agent_run.session),
                Arg::new(job),
            ],
        )
    })?;
    (agent_run.events.iter().zip(&agent_run.steps))
        .enumerate()
        .try_for_each(|(before, (event, step))| append(agent_run.id, before, *step, event, None))
}

/// Stores an event. `before` is the number of events that are stored already.
pub fn append(run_id: i64, before: usize, step: i64, event: &Event, decision: Option<&str>) -> Result<()> {
    let json = serde_json::to_string(event).map_err(Error::internal)?;
    let number = i32::try_from(before + 1).map_err(Error::internal)?;
    as_config_owner(|| {
        run(
            "INSERT INTO rag._agent_turn (run_id, number, step_id, event, decision) VALUES ($1, $2, $3, $4, $5)",
            &[Arg::new(run_id), Arg::new(number), Arg::new(step), Arg::text(&json), Arg::optional_text(decision)],
        )
        .map(|_| ())
    })
}

/// The run that a job has begun or continues, if any.
pub fn find(job: i64) -> Result<Option<i64>> {
    as_config_owner(|| Ok(run("SELECT id FROM rag._agent_run WHERE job = $1", &[Arg::new(job)])?.int8(0, 0)))
}

/// The stored run of the current role, with the current definitions of the agent and the tools.
///
/// # Errors
/// 55000 if another job has taken over the run; errors of [`AgentRun::begin`].
pub fn load(run_id: i64, job: i64) -> Result<AgentRun> {
    let role = Owner::current()?.to_text()?;
    let (name, session) = as_config_owner(|| {
        let rows = run(
            "UPDATE rag._agent_run SET status = 'running', updated_at = clock_timestamp()
             WHERE id = $1 AND job = $2 AND owner = $3::text::name AND status IN ('running', 'failed', 'cancelled')
             RETURNING agent, session",
            &[Arg::new(run_id), Arg::new(job), Arg::text(&role)],
        )?;
        let name = rows.text(0, 0);
        let name =
            name.ok_or_else(|| Error::wrong_state(format!("run {run_id} is not done by this job any more")))?;
        Ok((name, rows.int8(0, 1)))
    })?;
    let agent = Agent::find(&name)?;
    let tools = tools::find(&agent.tools)?;
    let mut agent_run = AgentRun::new(agent, tools, run_id, session);
    let turns = as_config_owner(|| {
        let rows = run(
            "SELECT step_id, event FROM rag._agent_turn WHERE run_id = $1 ORDER BY number",
            &[Arg::new(run_id)],
        )?;
        Ok((0..rows.count)
            .filter_map(|row| Some((rows.int8(row, 0)?, rows.text(row, 1)?)))
            .collect::<Vec<_>>())
    })?;
    for (step, json) in turns {
        agent_run.add(step, serde_json::from_str(&json).map_err(Error::internal)?);
    }
    Ok(agent_run)
}

/// Marks a run as waiting for a decision.
pub fn set_waiting(run_id: i64) -> Result<()> {
    set_status(run_id, "waiting")
}

/// Marks a run as ended by a limit.
pub fn set_failed(run_id: i64) -> Result<()> {
    set_status(run_id, "failed")
}

fn set_status(run_id: i64, status: &str) -> Result<()> {
    as_config_owner(|| {
        run(
            "UPDATE rag._agent_run SET status = $2, updated_at = clock_timestamp() WHERE id = $1",
            &[Arg::new(run_id), Arg::text(status)],
        )
        .map(|_| ())
    })
}

/// Deletes the events of a run that is done and will not be continued.
pub fn delete(run_id: i64) -> Result<()> {
    as_config_owner(|| run("DELETE FROM rag._agent_run WHERE id = $1", &[Arg::new(run_id)]).map(|_| ()))
}

/// Sets the run of a failed or cancelled job to the same status. Must be called as the owner of the table of
/// jobs.
pub fn job_failed(job: i64, error: &Error) -> Result<()> {
    let cancelled = error.is_cancelled();
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

/// Deletes the events of runs that ended before `rag.jobs_retention`, together with their jobs. Runs that
/// wait are kept.
pub fn delete_old() -> Result<()> {
    let Some(days) = settings::jobs_retention() else { return Ok(()) };
    run(
        "DELETE FROM rag._agent_run
         WHERE status <> 'waiting' AND updated_at < clock_timestamp() - make_interval(hours => 24 * $1)
           AND NOT EXISTS (SELECT FROM rag._job j WHERE j.id = job AND j.status IN ('queued', 'running'))",
        &[Arg::new(days)],
    )?;
    Ok(())
}

/// The error for a run that the current role does not have.
pub fn unknown(run_id: i64) -> Error {
    Error::undefined(format!("run {run_id} does not exist")).hint("rag.runs shows your runs.")
}
