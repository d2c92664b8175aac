//! The worker of one job. It is connected as the role that submitted it; what it writes about the job it writes as the
//! owner of the table of jobs, in statements of ours.

use crate::jobs::MOST_ATTEMPTS;
use crate::jobs::handlers::{self, Handler};
use crate::jobs::kind::Kind;
use crate::jobs::record::Table;
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

/// Times that it is tried to write down why a job failed: an interrupt that came late ends one of them.
const TRIES: usize = 3;

/// Times that a job's function is called: once more for each answer that it needs after another.
const MOST_ROUNDS: usize = 50;

/// A job that this worker has begun with.
struct Job {
    id: i64,
    kind: String,
    args: Jsonb,
    table: Table,
    attempt: u32,
}

/// Does a job, unless it was cancelled or done meanwhile.
pub fn run(ticket: &JobTicket) {
    // What the role has as its defaults is meant for its own transactions. The job can set it again for itself.
    set_for_session("default_transaction_read_only", "off");
    set_for_session("default_transaction_isolation", "read committed");
    let job = match in_transaction(|| with_safe_search_path(|| connect(|| Job::begin(ticket)))) {
        Ok(Some(job)) => job,
        Ok(None) => return,
        Err(error) => return say(ticket, &error),
    };
    let run = JobRun {
        database: ticket.database,
        table: job.table.oid.to_u32(),
        job: ticket.job.unsigned_abs(),
        attempt: job.attempt,
    };
    pieces::begin(run);
    activity::report(&format!("ragstone: job {} ({})", job.id, job.kind));
    let done = match handlers::of(&job.kind) {
        Some(handler) => job.delegate(handler),
        None => job.work_until_done(),
    };
    if let Err(error) = done {
        let record =
            || in_transaction(|| with_safe_search_path(|| connect(|| job.table.failed(job.id, &error))));
        let mut recorded = record();
        for _ in 1..TRIES {
            if recorded.is_err() {
                recorded = record();
            }
        }
        if let Err(error) = recorded {
            say(ticket, &error);
        }
    }
    pieces::end(run);
}

impl Job {
    fn begin(ticket: &JobTicket) -> Result<Option<Self>> {
        let table = Table::find()?;
        let role = pg_sys::Oid::from(ticket.role);
        let pid = session::pid();
        let args = [Arg::new(ticket.job), Arg::new(role), Arg::new(MOST_ATTEMPTS), Arg::new(pid)];
        let rows = table.write(|| {
            run_statement(
                "UPDATE rag._job
                 SET status = 'running', started_at = clock_timestamp(), attempts = attempts + 1, pid = $4
                 WHERE id = $1 AND submitter = $2 AND attempts < $3 AND status IN ('queued', 'running')
                 RETURNING kind, args, attempts",
                &args,
            )
        })?;
        let (Some(kind), Some(args), Some(attempts)) = (rows.text(0, 0), rows.bytes(0, 1), rows.int4(0, 2))
        else {
            return Ok(None);
        };
        Ok(Some(Self { id: ticket.job, kind, args: Jsonb(args), table, attempt: attempts.unsigned_abs() }))
    }

    fn work_until_done(&self) -> Result<()> {
        in_rounds(self.id, || {
            let result = connect(|| replay::with_replay(|| self.work()))?;
            // Somebody's own function may have caught the error that was to end the transaction.
            if replay::has_deferred_calls() { Err(replay::suspended()) } else { self.done(result.as_ref()) }
        })
    }

    fn delegate(&self, handler: &Handler) -> Result<()> {
        (handler.run)(self.id, &self.args, &|result| self.done(Some(result)))
    }

    fn done(&self, result: Option<&Jsonb>) -> Result<()> {
        with_safe_search_path(|| connect(|| self.table.done(self.id, result)))
    }

    /// As the submitter, under his own search path.
    fn work(&self) -> Result<Option<Jsonb>> {
        let statement = with_safe_search_path(|| Kind::find(&self.kind)?.statement(&self.args))?;
        let rows = run_statement(&statement.sql, &statement.args)?;
        Ok(rows.bytes(0, 0).map(Jsonb))
    }
}

/// Does `work` of a job in a transaction; again in another one each time something in [`replay::with_replay`] had to ask a model or a
/// provider, which is done in between.
pub fn in_rounds<T>(job: i64, work: impl Fn() -> Result<T>) -> Result<T> {
    for _ in 0..MOST_ROUNDS {
        let done = in_transaction(|| {
            let done = work()?;
            if replay::has_deferred_calls() { Err(replay::suspended()) } else { Ok(done) }
        });
        // A cancel that came while something was wanted is not to be asked for.
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
    Err(Error::over_limit(format!("job {job} asked something else each of {MOST_ROUNDS} times"))
        .hint("What the job reads changes faster than it is answered."))
}

/// The job stays as it is, and is begun again by another worker.
fn say(ticket: &JobTicket, error: &Error) {
    log!("ragstone job {}: {}: {}", ticket.job, error.code(), error.message);
}
