//! `rag.approve`, `rag.reject` and `rag.resume_run`: decisions on tool calls, and the continuation of runs
//! that wait or have failed.

use crate::agents::{events, job};
use crate::jobs;
use pgrx::pg_sys;
use ragstone_core::agent::{CallState, Event};
use ragstone_pg::error::{Error, Result};
use ragstone_pg::own_tables::as_config_owner;
use ragstone_pg::own_tables::with_safe_search_path;
use ragstone_pg::owner::Owner;
use ragstone_pg::session;
use ragstone_pg::spi::{Arg, connect, run, select};

/// A decision on a tool call.
#[derive(Debug, Clone)]
pub enum Decision {
    /// The call may be made.
    Approve {
        /// A comment for the log.
        comment: Option<String>,
    },
    /// The call must not be made.
    Reject {
        /// The reason, which is shown to the model.
        reason: String,
    },
}

/// A call that waited for a decision; with the decision, if there is one already.
struct PendingCall {
    run: i64,
    number: i32,
    decision: String,
    event: String,
}

/// Approves the call of a step. Returns the job that continues the run, unless other calls of the run still
/// wait.
///
/// # Errors
/// 42704 if the current role has no such step; 55000 if the step does not wait.
pub fn approve(step: i64, comment: Option<String>) -> Result<Option<i64>> {
    decide(step, Decision::Approve { comment })
}

/// Rejects the call of a step. Returns the job like [`approve`].
pub fn reject(step: i64, reason: String) -> Result<Option<i64>> {
    decide(step, Decision::Reject { reason })
}

/// Continues a run that has failed or was cancelled. Returns the job that continues it.
///
/// # Errors
/// 42704 if neither the current role nor a role that it is a member of has such a run; 55000 if the run is
/// done, is running, waits or was not a job.
pub fn resume(run_id: i64) -> Result<i64> {
    let role = current();
    with_safe_search_path(|| {
        let found = as_config_owner(|| {
            let rows = run(
                "SELECT r.status, rag._role_of(r.owner), r.job FROM rag._agent_run r
                 WHERE r.id = $1 AND pg_has_role($2, rag._role_of(r.owner), 'USAGE') FOR UPDATE",
                &[Arg::new(run_id), Arg::new(role)],
            )?;
            Ok(rows.text(0, 0).zip(rows.oid(0, 1)).zip(rows.int8(0, 2)))
        })?;
        let Some(((status, owner), job)) = found else { return Err(why_not_stored(run_id)?) };
        // A separate statement, so that the second of two concurrent calls sees the job that the first one
        // has submitted.
        let has_open_job = as_config_owner(|| {
            let open = "SELECT FROM rag._job WHERE id = $1 AND status IN ('queued', 'running')";
            Ok(run(open, &[Arg::new(job)])?.count > 0)
        })?;
        match status.as_str() {
            "waiting" => Err(Error::wrong_state(format!("run {run_id} waits for approval"))
                .hint("See rag.approvals, and decide with rag.approve or rag.reject.")),
            _ if has_open_job => Err(Error::wrong_state(format!("run {run_id} is done by job {job}"))
                .hint("CALL rag.wait_for_job waits for it, and rag.cancel_job ends it.")),
            _ => submit_resume(run_id, owner),
        }
    })
}

/// Deletes the events of a run of the current role that waits for decisions, so that it cannot be continued.
/// Does nothing for other runs.
pub fn abandon(run_id: i64) -> Result<()> {
    let role = Owner::current()?.to_text()?;
    with_safe_search_path(|| {
        as_config_owner(|| {
            run(
                "WITH abandoned AS (
                   DELETE FROM rag._agent_run WHERE id = $1 AND owner = $2::text::name AND status = 'waiting' RETURNING id)
                 UPDATE rag._steps s SET status = 'cancelled' FROM abandoned g WHERE s.run_id = g.id AND s.status = 'waiting'",
                &[Arg::new(run_id), Arg::text(&role)],
            )
            .map(|_| ())
        })
    })
}

fn decide(step: i64, decision: Decision) -> Result<Option<i64>> {
    let decided_by = Owner::current()?.to_text()?;
    with_safe_search_path(|| {
        let (owner, call) = find_and_lock(step)?;
        if call.decision != "waiting" {
            return Err(not_waiting(step, &call.decision));
        }
        write_decision(step, &call, &decision, &decided_by)?;
        if has_waiting_calls(call.run)? { Ok(None) } else { submit_resume(call.run, owner).map(Some) }
    })
}

/// The call of a step and the owner of its run. Both rows are locked, so that concurrent decisions are made
/// one after the other.
fn find_and_lock(step: i64) -> Result<(pg_sys::Oid, PendingCall)> {
    let role = current();
    let found = as_config_owner(|| {
        let rows = run(
            "SELECT rag._role_of(r.owner), t.run_id, t.number, t.decision, t.event
             FROM rag._agent_turn t JOIN rag._agent_run r ON r.id = t.run_id
             WHERE t.step_id = $1 AND t.decision IS NOT NULL
               AND pg_has_role($2, rag._role_of(r.owner), 'USAGE') FOR UPDATE",
            &[Arg::new(step), Arg::new(role)],
        )?;
        let (Some(owner), Some(run), Some(number), Some(decision), Some(event)) =
            (rows.oid(0, 0), rows.int8(0, 1), rows.int4(0, 2), rows.text(0, 3), rows.text(0, 4))
        else {
            return Ok(None);
        };
        Ok(Some((owner, PendingCall { run, number, decision, event })))
    })?;
    match found {
        Some(found) => Ok(found),
        None => {
            // The error refers to the step that the log shows to the current role.
            let seen = connect(|| {
                let sql =
                    "SELECT status, owner::text, coalesce(pg_has_role(rag._role_of(owner), 'USAGE'), false)
                           FROM rag.steps WHERE id = $1";
                select(sql, &[Arg::new(step)])
                    .map(|rows| rows.text(0, 0).zip(rows.text(0, 1)).zip(rows.boolean(0, 2)))
            })?;
            Err(match seen {
                Some(((status, _), true)) if status == "waiting" => {
                    Error::wrong_state(format!("no agent waits for step {step}"))
                        .hint("rag.approvals shows what waits for a decision.")
                }
                Some(((status, owner), _)) if status == "waiting" => {
                    Error::forbidden(format!("step {step} belongs to {owner}"))
                        .hint("Ask a member of that role to decide.")
                }
                Some(((status, _), _)) => not_waiting(step, &status),
                None => Error::undefined(format!("step {step} does not exist"))
                    .hint("rag.approvals shows what waits for a decision."),
            })
        }
    }
}

fn not_waiting(step: i64, status: &str) -> Error {
    Error::wrong_state(format!("step {step} does not wait for a decision, but is {status}"))
        .hint("rag.approvals shows what waits for a decision.")
}

fn write_decision(step: i64, call: &PendingCall, decision: &Decision, decided_by: &str) -> Result<()> {
    let mut event: Event = serde_json::from_str(&call.event).map_err(Error::internal)?;
    let (status, comment) = match decision {
        Decision::Approve { comment } => ("approved", comment.clone()),
        Decision::Reject { reason } => ("rejected", Some(reason.clone())),
    };
    if let Event::Called(called) = &mut event {
        called.state = match decision {
            Decision::Approve { .. } => CallState::Approved,
            Decision::Reject { reason } => CallState::Rejected { reason: reason.clone() },
        };
    }
    let event = serde_json::to_string(&event).map_err(Error::internal)?;
    as_config_owner(|| {
        // A concurrent decision on another call of the run, under REPEATABLE READ, must fail with a
        // serialization error instead of overlooking this one.
        run("UPDATE rag._agent_run SET updated_at = clock_timestamp() WHERE id = $1", &[Arg::new(call.run)])?;
        run(
            "UPDATE rag._agent_turn SET decision = $3, event = $4 WHERE run_id = $1 AND number = $2",
            &[Arg::new(call.run), Arg::new(call.number), Arg::text(status), Arg::text(&event)],
        )?;
        run(
            "UPDATE rag._steps
             SET status = $3,
                 attributes = coalesce(attributes, '{}') || jsonb_strip_nulls(jsonb_build_object('decided_by', $4, 'comment', $5))
             WHERE run_id = $1 AND id = $2",
            &[
                Arg::new(call.run),
                Arg::new(step),
                Arg::text(status),
                Arg::text(decided_by),
                Arg::optional_text(comment.as_deref()),
            ],
        )
        .map(|_| ())
    })
}

fn has_waiting_calls(run_id: i64) -> Result<bool> {
    as_config_owner(|| {
        let rows = run(
            "SELECT FROM rag._agent_turn WHERE run_id = $1 AND decision = 'waiting' LIMIT 1",
            &[Arg::new(run_id)],
        )?;
        Ok(rows.count > 0)
    })
}

/// Submits a job that continues a run, as the role to which the run belongs. Returns the job.
fn submit_resume(run_id: i64, owner: pg_sys::Oid) -> Result<i64> {
    let before = as_config_owner(|| {
        Ok(run("SELECT job FROM rag._agent_run WHERE id = $1", &[Arg::new(run_id)])?.int8(0, 0))
    })?;
    let job = jobs::submit_as(job::HANDLER.kind, &job::resume_args(run_id)?, owner, before)?;
    as_config_owner(|| {
        run(
            "UPDATE rag._agent_run SET status = 'running', job = $2, updated_at = clock_timestamp() WHERE id = $1",
            &[Arg::new(run_id), Arg::new(job)],
        )?;
        run(
            "UPDATE rag._runs
             SET status = 'running', job = $2, output = NULL, error = NULL, sqlstate = NULL, finished = NULL WHERE id = $1",
            &[Arg::new(run_id), Arg::new(job)],
        )?;
        Ok(job)
    })
}

/// The error that explains why no events of a run are stored.
fn why_not_stored(run_id: i64) -> Result<Error> {
    let rows = connect(|| {
        select("SELECT status, job FROM rag.runs WHERE id = $1", &[Arg::new(run_id)])
            .map(|rows| (rows.text(0, 0), rows.int8(0, 1)))
    })?;
    Ok(match rows {
        (None, _) => events::unknown(run_id),
        (Some(status), Some(_)) if status == "done" => Error::wrong_state(format!("run {run_id} is done")),
        (Some(_), Some(_)) => Error::wrong_state(format!("what was kept of run {run_id} is forgotten"))
            .hint("They are kept for rag.jobs_retention days. Submit the run again."),
        (Some(_), None) => Error::wrong_state(format!("run {run_id} was not a job"))
            .hint("Only runs that were submitted by rag.submit('agent', …) can be continued."),
    })
}

fn current() -> pg_sys::Oid {
    session::current_role()
}
