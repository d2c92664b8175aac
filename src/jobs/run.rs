//! The worker of one job. It is connected as the role that submitted the job, and writes the table of jobs as
//! its owner.

use crate::jobs::MAX_ATTEMPTS;
use crate::jobs::handlers::{self, Handler};
use crate::jobs::kind::JobKind;
use crate::jobs::limits::{StatementLimit, within_timeout};
use crate::jobs::record::JobTable;
use pgrx::{log, pg_sys};
use ragstone_client::engine::{pieces, replay};
use ragstone_client::processes::job_registry::JobTicket;
use ragstone_core::protocol::JobRun;
use ragstone_pg::activity;
use ragstone_pg::attempt::{in_transaction, outside_transaction};
use ragstone_pg::bytes::Jsonb;
use ragstone_pg::error::{Error, Result};
use ragstone_pg::own_tables::with_safe_search_path;
use ragstone_pg::session;
use ragstone_pg::spi::{Arg, connect, run as run_statement};
use ragstone_pg::switch_user::set_for_session;

/// Maximum number of attempts to store the error of a job. A late interrupt can end one of them.
const MAX_STORE_TRIES: usize = 3;

/// Maximum number of transactions in which a job's function is called. Each model call that depends on the
/// result of another one needs one more transaction.
const MAX_ROUNDS: usize = 50;

/// The job of this worker.
struct Job {
    id: i64,
    kind: String,
    args: Jsonb,
    table: JobTable,
    attempt: u32,
    timeout_ms: Option<i32>,
}

/// Executes a job, unless it was cancelled or finished in the meantime.
pub fn run(ticket: &JobTicket) {
    // These settings of the role are meant for the role's own transactions. The job can still set them
    // itself.
    set_for_session("default_transaction_read_only", "off");
    set_for_session("default_transaction_isolation", "read committed");
    let job = match in_transaction(|| with_safe_search_path(|| connect(|| Job::begin(ticket)))) {
        Ok(Some(job)) => job,
        Ok(None) => return,
        Err(error) => return log_error(ticket, &error),
    };
    let run = JobRun {
        database: ticket.database,
        table: job.table.oid.to_u32(),
        job: ticket.job.unsigned_abs(),
        attempt: job.attempt,
    };
    pieces::begin(run);
    activity::report(&format!("ragstone: job {} ({})", job.id, job.kind));
    let done = within_timeout(job.timeout_ms, || match handlers::of(&job.kind) {
        Some(handler) => job.delegate(handler),
        None => job.work_until_done(),
    });
    if let Err(error) = done {
        let store =
            || in_transaction(|| with_safe_search_path(|| connect(|| job.table.failed(job.id, &error))));
        let mut stored = store();
        for _ in 1..MAX_STORE_TRIES {
            if stored.is_err() {
                stored = store();
            }
        }
        if let Err(error) = stored {
            log_error(ticket, &error);
        }
    }
    pieces::end(run);
}

impl Job {
    fn begin(ticket: &JobTicket) -> Result<Option<Self>> {
        let table = JobTable::find()?;
        let role = pg_sys::Oid::from(ticket.role);
        let pid = session::pid();
        let args = [Arg::new(ticket.job), Arg::new(role), Arg::new(MAX_ATTEMPTS), Arg::new(pid)];
        let rows = table.write(|| {
            run_statement(
                "UPDATE rag._job
                 SET status = 'running', started_at = clock_timestamp(), attempts = attempts + 1, pid = $4
                 WHERE id = $1 AND submitter = $2 AND attempts < $3 AND status IN ('queued', 'running')
                 RETURNING kind, args, attempts, timeout_ms",
                &args,
            )
        })?;
        let (Some(kind), Some(args), Some(attempts)) = (rows.text(0, 0), rows.jsonb(0, 1), rows.int4(0, 2))
        else {
            return Ok(None);
        };
        let attempt = attempts.unsigned_abs();
        let timeout_ms = rows.int4(0, 3);
        Ok(Some(Self { id: ticket.job, kind, args, table, attempt, timeout_ms }))
    }

    fn work_until_done(&self) -> Result<()> {
        in_rounds(self.id, || {
            let result = connect(|| replay::with_replay(|| self.work()))?;
            // A user's function may have caught the error that is meant to end the transaction.
            if replay::has_deferred_calls() { Err(replay::suspended()) } else { self.done(result.as_ref()) }
        })
    }

    fn delegate(&self, handler: &Handler) -> Result<()> {
        (handler.run)(self.id, &self.args, &|result| self.done(Some(result)))
    }

    fn done(&self, result: Option<&Jsonb>) -> Result<()> {
        with_safe_search_path(|| connect(|| self.table.done(self.id, result)))
    }

    /// Calls the job's function as the submitter, with the search path of that role.
    fn work(&self) -> Result<Option<Jsonb>> {
        let statement = with_safe_search_path(|| JobKind::find(&self.kind)?.statement(&self.args))?;
        let rows = run_statement(&statement.sql, &statement.args)?;
        Ok(rows.jsonb(0, 0))
    }
}

/// Runs `work` of a job in a transaction. If it needs the answer of a model or a provider within
/// [`replay::with_replay`], the transaction is rolled back, the call is made while no transaction is open,
/// and `work` starts again in a new transaction, which has the answer. `statement_timeout` applies to each of
/// these transactions as to one statement.
pub fn in_rounds<T>(job: i64, work: impl Fn() -> Result<T>) -> Result<T> {
    for _ in 0..MAX_ROUNDS {
        let limit = StatementLimit::new();
        let done = in_transaction(|| {
            let done = limit.run(&work)?;
            if replay::has_deferred_calls() { Err(replay::suspended()) } else { Ok(done) }
        });
        let done = limit.explain(done);
        // After a cancel the deferred calls must not be made.
        let ends = done.as_ref().is_err_and(Error::ends_statement);
        if ends || !replay::has_deferred_calls() {
            replay::forget();
            return done;
        }
        outside_transaction(|| {
            replay::run_deferred_calls();
            Ok(())
        })?;
    }
    Err(Error::over_limit(format!("job {job} sent different requests in each of {MAX_ROUNDS} attempts"))
        .hint("Submit it again when the data that it reads changes less often."))
}

/// Logs an error that leaves the job unchanged, so that another worker executes it again.
fn log_error(ticket: &JobTicket, error: &Error) {
    log!("ragstone job {}: {}: {}", ticket.job, error.code(), error.message);
}
