//! Starts a run.

use crate::agent_log::redaction;
use crate::agent_log::send;
use crate::agent_log::session;
use crate::agent_log::session::SessionRun;
use crate::agent_log::stored_value::{StoredValue, jsonb};
use crate::agent_log::tables;
use ragstone_core::log::{Entry, RunStart, TraceParent};
use ragstone_pg::bytes::JsonbRef;
use ragstone_pg::clock;
use ragstone_pg::error::{Error, Result};
use ragstone_pg::owner::Owner;
use ragstone_pg::spi::{Arg, connect, run as statement};
use ragstone_pg::switch_user;
use ragstone_pg::transactions;
use serde_json::Value;

/// A run to start. Ragstone's own code passes JSON as [`Value`]; SQL functions pass it as [`JsonbRef`], which
/// is stored without a copy.
#[derive(Debug, Default, Clone)]
pub struct NewRun<'a, J = Value> {
    /// The agent's name.
    pub agent: &'a str,
    /// The conversation (`rag.sessions`) that the run belongs to.
    pub session: Option<i64>,
    /// The job that executes the run.
    pub job: Option<i64>,
    /// The input of the run.
    pub input: Option<J>,
    /// The application's span that contains the run (W3C Trace Context).
    pub traceparent: Option<&'a str>,
    /// A JSON object.
    pub attributes: Option<J>,
    /// When the run began, in microseconds since 1970; None stands for now.
    pub started_us: Option<i64>,
    /// True if the session's current run does not change.
    pub is_detached: bool,
}

/// Starts a run of the current role, and returns its number. It becomes the session's current run, unless it
/// is detached.
///
/// # Errors
/// 22023 if the agent's name is empty or the traceparent is malformed; 42704 if there is no such session.
pub fn start(run: &NewRun) -> Result<i64> {
    let (input, attributes) = (jsonb(run.input.as_ref())?, jsonb(run.attributes.as_ref())?);
    start_jsonb(&NewRun {
        agent: run.agent,
        session: run.session,
        job: run.job,
        input: input.as_ref().map(JsonbRef::from),
        traceparent: run.traceparent,
        attributes: attributes.as_ref().map(JsonbRef::from),
        started_us: run.started_us,
        is_detached: run.is_detached,
    })
}

/// As [`start`], for values that are `jsonb` already.
///
/// # Errors
/// As [`start`].
pub fn start_jsonb(run: &NewRun<JsonbRef>) -> Result<i64> {
    if run.agent.trim().is_empty() {
        return Err(Error::bad_argument("agent is empty"));
    }
    let trace = run
        .traceparent
        .map(TraceParent::parse)
        .transpose()
        .map_err(|error| Error::bad_argument(error.to_string()))?;
    let role = Owner::who_makes()?;
    if let Some(session) = run.session {
        check_session(session, role)?;
    }
    let agent = redaction::text(run.agent)?;
    let row = CheckedRun {
        id: tables::as_owner(tables::next_run)?,
        role,
        run,
        agent: &agent,
        trace,
        input: StoredValue::of(run.input)?,
        attributes: StoredValue::of(run.attributes)?,
        started_us: run.started_us.unwrap_or_else(clock::now),
    };
    let autonomous = send::post_if_autonomous(|| row.entry())?;
    if autonomous {
        send::settle();
    } else {
        row.insert()?;
    }
    tables::ensure_coordinator();
    let CheckedRun { id, started_us, .. } = row;
    let begun_in = (!autonomous).then(transactions::current);
    session::remember(SessionRun {
        id,
        role,
        agent: agent.as_ref().into(),
        started_us,
        number: 0,
        autonomous,
        begun_in,
    });
    if !run.is_detached {
        switch_user::set_in_transaction("rag.run", &id.to_string())?;
    }
    Ok(id)
}

/// A run whose arguments are valid, with its number, and with its values as they are stored.
struct CheckedRun<'a> {
    id: i64,
    role: Owner,
    run: &'a NewRun<'a, JsonbRef<'a>>,
    agent: &'a str,
    trace: Option<TraceParent>,
    input: StoredValue<'a>,
    attributes: StoredValue<'a>,
    started_us: i64,
}

impl CheckedRun<'_> {
    fn insert(&self) -> Result<()> {
        let trace = self.trace.as_ref();
        let args = [
            Arg::new(self.id),
            Arg::name(self.role.name()),
            Arg::text(self.agent),
            Arg::optional(self.run.session),
            Arg::optional(self.run.job),
            self.input.arg(),
            Arg::optional_text(trace.map(|trace| trace.trace_id.as_str())),
            Arg::optional_text(trace.map(|trace| trace.parent_id.as_str())),
            self.attributes.arg(),
            Arg::timestamptz(self.started_us),
            Arg::new(transactions::top().cast_signed()),
        ];
        connect(|| {
            tables::as_owner(|| {
                statement(
                    "INSERT INTO rag._runs (id, owner, agent, session, job, status, input, trace_id, parent_span_id, attributes,
                                            started, written)
                     VALUES ($1, $2, $3, $4, $5, 'running', $6, $7, $8, $9, $10, $11)",
                    &args,
                )
                .map(|_| ())
            })
        })
    }

    fn entry(&self) -> Result<Entry> {
        Ok(Entry::Start(RunStart {
            id: self.id,
            owner: self.role.to_text()?,
            agent: self.agent.to_owned(),
            session: self.run.session,
            job: self.run.job,
            input: self.input.to_json()?,
            trace_id: self.trace.as_ref().map(|trace| trace.trace_id.clone()),
            parent_span_id: self.trace.as_ref().map(|trace| trace.parent_id.clone()),
            attributes: self.attributes.to_json()?,
            started_us: self.started_us,
            caller_xid: transactions::current_if_writable(),
        }))
    }
}

fn check_session(session: i64, role: Owner) -> Result<()> {
    let found = connect(|| {
        tables::as_owner(|| {
            let query = "SELECT FROM rag._sessions s
                         WHERE s.id OPERATOR(pg_catalog.=) $1 AND s.owner OPERATOR(pg_catalog.=) $2";
            Ok(statement(query, &[Arg::new(session), Arg::name(role.name())])?.count)
        })
    })?;
    if found > 0 {
        return Ok(());
    }
    Err(Error::undefined(format!("session {session} does not exist"))
        .hint("rag.sessions shows your sessions; rag.create_session makes one."))
}
