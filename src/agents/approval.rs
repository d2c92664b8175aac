//! `rag.approve`, `rag.reject` and `rag.resume_run`: what goes on with a run that waits or has failed.

use crate::agents::{events, undefined, wrong_state};
use crate::jobs;
use pgrx::pg_sys;
use ragstone_core::agent::{CallState, Event};
use ragstone_pg::error::{Error, Result};
use ragstone_pg::own_tables::as_config_owner;
use ragstone_pg::own_tables::with_safe_search_path;
use ragstone_pg::role::Role;
use ragstone_pg::session;
use ragstone_pg::spi::{Arg, connect, run, select};

/// What is decided about a call.
#[derive(Debug, Clone)]
pub enum Decision {
    /// It may be made.
    Approve {
        /// What the log is to say about it.
        comment: Option<String>,
    },
    /// It must not be made.
    Reject {
        /// What the model is told.
        reason: String,
    },
}

/// A call that somebody has to decide on.
struct Waiting {
    run: i64,
    number: i32,
    decision: String,
    event: String,
}

/// Lets a call be made; gives the job that goes on with the run, if nothing else waits.
///
/// # Errors
/// 42704 where there is no such step for the current role; 55000 where it does not wait.
pub fn approve(step: i64, comment: Option<String>) -> Result<Option<i64>> {
    decide(step, Decision::Approve { comment })
}

/// Forbids a call; gives the same.
pub fn reject(step: i64, reason: String) -> Result<Option<i64>> {
    decide(step, Decision::Reject { reason })
}

/// Goes on with a run that has failed or was cancelled; gives the job.
///
/// # Errors
/// 42704 where there is no such run of the current role or of one that it is a member of; 55000 where it is done, runs, waits or
/// was no job.
pub fn resume(run_id: i64) -> Result<i64> {
    let role = current();
    with_safe_search_path(|| {
        let found = as_config_owner(|| {
            let rows = run(
                "SELECT r.status, r.owner::text, r.job FROM rag._agent_run r
                 WHERE r.id = $1 AND pg_has_role($2, to_regrole(quote_ident(r.owner)), 'USAGE') FOR UPDATE",
                &[Arg::new(run_id), Arg::new(role)],
            )?;
            Ok(rows.text(0, 0).zip(rows.text(0, 1)).zip(rows.int8(0, 2)))
        })?;
        let Some(((status, owner), job)) = found else { return Err(not_kept(run_id)?) };
        // A statement of its own: of two who resume it, the second is to see the first one's job.
        let alive = as_config_owner(|| {
            let open = "SELECT FROM rag._job WHERE id = $1 AND status IN ('queued', 'running')";
            Ok(run(open, &[Arg::new(job)])?.count > 0)
        })?;
        match status.as_str() {
            "waiting" => Err(wrong_state(format!("run {run_id} waits for approval"))
                .hint("See rag.approvals, and decide with rag.approve or rag.reject.")),
            _ if alive => Err(wrong_state(format!("run {run_id} is done by job {job}"))
                .hint("CALL rag.wait waits for it, and rag.cancel ends it.")),
            _ => go_on(run_id, &owner),
        }
    })
}

/// Ends a run of the current role's that waits for decisions: nobody can go on with it any more. Does nothing with any other run.
pub fn give_up(run_id: i64) -> Result<()> {
    let role = Role::current()?.to_text()?;
    with_safe_search_path(|| {
        as_config_owner(|| {
            run(
                "WITH given_up AS (
                   DELETE FROM rag._agent_run WHERE id = $1 AND owner = $2::text::name AND status = 'waiting' RETURNING id)
                 UPDATE rag._steps s SET status = 'cancelled' FROM given_up g WHERE s.run_id = g.id AND s.status = 'waiting'",
                &[Arg::new(run_id), Arg::text(&role)],
            )
            .map(|_| ())
        })
    })
}

fn decide(step: i64, decision: Decision) -> Result<Option<i64>> {
    let decider = Role::current()?.to_text()?;
    with_safe_search_path(|| {
        let (owner, waiting) = find(step)?;
        if waiting.decision != "waiting" {
            return Err(not_waiting(step, &waiting.decision));
        }
        write(step, &waiting, &decision, &decider)?;
        if still_waiting(waiting.run)? { Ok(None) } else { go_on(waiting.run, &owner).map(Some) }
    })
}

/// The call of a step, and whose run it is, locked: of two who decide one comes first.
fn find(step: i64) -> Result<(String, Waiting)> {
    let role = current();
    let found = as_config_owner(|| {
        let rows = run(
            "SELECT r.owner::text, t.run_id, t.number, t.decision, t.event
             FROM rag._agent_turn t JOIN rag._agent_run r ON r.id = t.run_id
             WHERE t.step_id = $1 AND t.decision IS NOT NULL
               AND pg_has_role($2, to_regrole(quote_ident(r.owner)), 'USAGE') FOR UPDATE",
            &[Arg::new(step), Arg::new(role)],
        )?;
        let (Some(owner), Some(run), Some(number), Some(decision), Some(event)) =
            (rows.text(0, 0), rows.int8(0, 1), rows.int4(0, 2), rows.text(0, 3), rows.text(0, 4))
        else {
            return Ok(None);
        };
        Ok(Some((owner, Waiting { run, number, decision, event })))
    })?;
    match found {
        Some(found) => Ok(found),
        None => {
            // Those that the log shows to the current role.
            let seen = connect(|| {
                let sql = "SELECT status, owner::text, coalesce(pg_has_role(to_regrole(quote_ident(owner)), 'USAGE'), false)
                           FROM rag.steps WHERE id = $1";
                select(sql, &[Arg::new(step)])
                    .map(|rows| rows.text(0, 0).zip(rows.text(0, 1)).zip(rows.boolean(0, 2)))
            })?;
            Err(match seen {
                Some(((status, _), true)) if status == "waiting" => {
                    wrong_state(format!("no agent waits for step {step}"))
                        .hint("rag.approvals shows what waits for a decision.")
                }
                Some(((status, owner), _)) if status == "waiting" => {
                    Error::forbidden(format!("step {step} belongs to {owner}"))
                        .hint("Ask a member of that role to decide.")
                }
                Some(((status, _), _)) => not_waiting(step, &status),
                None => undefined(format!("step {step} does not exist"))
                    .hint("rag.approvals shows what waits for a decision."),
            })
        }
    }
}

fn not_waiting(step: i64, status: &str) -> Error {
    wrong_state(format!("step {step} does not wait for a decision, but is {status}"))
        .hint("rag.approvals shows what waits for a decision.")
}

fn write(step: i64, waiting: &Waiting, decision: &Decision, decider: &str) -> Result<()> {
    let mut event: Event = serde_json::from_str(&waiting.event).map_err(Error::internal)?;
    let (status, said) = match decision {
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
        // Who decides on another call of the run, under a snapshot that is older than this, is to fail and not to overlook it.
        run(
            "UPDATE rag._agent_run SET updated_at = clock_timestamp() WHERE id = $1",
            &[Arg::new(waiting.run)],
        )?;
        run(
            "UPDATE rag._agent_turn SET decision = $3, event = $4 WHERE run_id = $1 AND number = $2",
            &[Arg::new(waiting.run), Arg::new(waiting.number), Arg::text(status), Arg::text(&event)],
        )?;
        run(
            "UPDATE rag._steps
             SET status = $3,
                 attributes = coalesce(attributes, '{}') || jsonb_strip_nulls(jsonb_build_object('decided_by', $4, 'comment', $5))
             WHERE run_id = $1 AND id = $2",
            &[
                Arg::new(waiting.run),
                Arg::new(step),
                Arg::text(status),
                Arg::text(decider),
                Arg::optional_text(said.as_deref()),
            ],
        )
        .map(|_| ())
    })
}

fn still_waiting(run_id: i64) -> Result<bool> {
    as_config_owner(|| {
        let rows = run(
            "SELECT FROM rag._agent_turn WHERE run_id = $1 AND decision = 'waiting' LIMIT 1",
            &[Arg::new(run_id)],
        )?;
        Ok(rows.count > 0)
    })
}

/// Submits a job that goes on with a run, as the role that the run belongs to.
fn go_on(run_id: i64, owner: &str) -> Result<i64> {
    let job = jobs::go_on(run_id, owner)?;
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

/// Why there is nothing kept of a run.
fn not_kept(run_id: i64) -> Result<Error> {
    let rows = connect(|| {
        select("SELECT status, job FROM rag.runs WHERE id = $1", &[Arg::new(run_id)])
            .map(|rows| (rows.text(0, 0), rows.int8(0, 1)))
    })?;
    Ok(match rows {
        (None, _) => events::unknown(run_id),
        (Some(status), Some(_)) if status == "done" => wrong_state(format!("run {run_id} is done")),
        (Some(_), Some(_)) => wrong_state(format!("what was kept of run {run_id} is forgotten"))
            .hint("It is kept for rag.jobs_retention days. Submit the run again."),
        (Some(_), None) => wrong_state(format!("run {run_id} was not a job"))
            .hint("Only runs that were submitted by rag.submit('agent', …) can be gone on with."),
    })
}

fn current() -> pg_sys::Oid {
    session::current_role()
}
