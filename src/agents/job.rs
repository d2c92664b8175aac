//! Executes a run as a job, with one transaction per step: a reply of the model is committed before any tool
//! is called, and the effects of a tool are committed together with the step that logs them. A job that is
//! started again continues after the last committed step.

use crate::agents::events;
use crate::agents::log;
use crate::agents::log::StartTime;
use crate::agents::request::RunRequest;
use crate::agents::run::{AgentRun, FUNCTION};
use crate::jobs::handlers::{Handler, WriteResult};
use crate::jobs::in_rounds;
use crate::provider::completion;
use ragstone_client::engine::call::Call;
use ragstone_client::engine::pieces::post_piece;
use ragstone_client::engine::replay;
use ragstone_client::engine::replay::with_replay;
use ragstone_core::agent::{Action, Event, ModelRequest, ReplyFormat, StopReason, next};
use ragstone_pg::attempt::{in_transaction, outside_transaction};
use ragstone_pg::bytes::Jsonb;
use ragstone_pg::error::Result;
use ragstone_pg::spi::connect;
use ragstone_pg::switch_user::set_for_session;
use serde_json::{Value, json};

/// The task of a job, from its arguments.
enum Task {
    /// A new run.
    Begin(RunRequest),
    /// The continuation of the run with this number.
    Resume(i64),
}

/// The kind of job that runs an agent. It has a handler because the effects of tools must not be repeated.
pub const HANDLER: Handler = Handler {
    kind: "agent",
    function: FUNCTION,
    run: work,
    failed: events::job_failed,
    forget_old: events::delete_old,
};

/// The arguments of a job that continues a run.
pub fn resume_args(run_id: i64) -> Result<Jsonb> {
    Jsonb::from_json(&json!({ "run": run_id }).to_string())
}

/// Executes a job. `done` writes the job's result, in the transaction in which the run ends or starts to
/// wait.
fn work(job: i64, args: &Jsonb, done: WriteResult) -> Result<()> {
    // The log is written in the same transaction as the effects that it describes.
    set_for_session("rag.log_durability", "transaction");
    let mut run = in_rounds(job, || with_replay(|| begin(job, args)))?;
    loop {
        let stop = match next(&run.spec, &run.events) {
            Action::Ask(ask) => run.ask_model_between_transactions(&ask)?,
            Action::Call { position, call } => {
                post_piece(&format!("[{}]\n", call.name));
                let (step, event) = in_rounds(job, || {
                    let (step, event) = with_replay(|| run.call_tool(position, &call))?;
                    events::append(run.id, run.events.len(), step, &event, None)?;
                    Ok((step, event))
                })?;
                run.add(step, event);
                continue;
            }
            Action::Refuse { position, content, repeats } => {
                let (step, event) = in_transaction(|| {
                    let (step, event) = run.refuse_call(position, content.clone(), repeats)?;
                    events::append(run.id, run.events.len(), step, &event, None)?;
                    Ok((step, event))
                })?;
                run.add(step, event);
                continue;
            }
            Action::AskForApproval(positions) => return in_transaction(|| run.wait(&positions, done)),
            // The job was started again although some calls still wait for a decision.
            Action::Wait => return in_transaction(|| run.wait(&[], done)),
            Action::Answer(answer) => {
                return in_transaction(|| {
                    let result = run.finish(answer.clone())?;
                    events::delete(run.id)?;
                    done(&result.to_json(&[])?)
                });
            }
            Action::Stop(stop) => Some(stop),
        };
        if let Some(stop) = stop {
            return in_transaction(|| {
                let result = run.stop(&stop)?;
                events::set_failed(run.id)?;
                done(&result.to_json(&[])?)
            });
        }
    }
}

fn begin(job: i64, args: &Jsonb) -> Result<AgentRun> {
    if let Some(run_id) = events::find(job)? {
        return events::load(run_id, job);
    }
    match Task::read(args)? {
        Task::Resume(run_id) => events::load(run_id, job),
        Task::Begin(request) => {
            let run = AgentRun::begin(&request, Some(job))?;
            events::begin(&run, job)?;
            Ok(run)
        }
    }
}

impl Task {
    /// Reads arguments that were checked by `rag.submit` or built by [`resume_args`].
    fn read(args: &Jsonb) -> Result<Self> {
        let args = args.to_value()?;
        let number = |value: &Value| value.as_i64().or_else(|| value.as_str()?.trim().parse().ok());
        let text = |value: &Value| match value {
            Value::String(text) => text.clone(),
            Value::Null => String::new(),
            other => other.to_string(),
        };
        if let Some(run_id) = number(&args["run"]) {
            return Ok(Self::Resume(run_id));
        }
        Ok(Self::Begin(RunRequest {
            agent: text(&args["agent"]),
            input: text(&args["input"]),
            session: number(&args["session"]),
        }))
    }
}

impl AgentRun {
    /// Calls the model while no transaction is open, and commits its reply. Returns the reason to stop if the
    /// run's time is up.
    fn ask_model_between_transactions(&mut self, ask: &ModelRequest) -> Result<Option<StopReason>> {
        let (call, model) = in_transaction(|| connect(|| self.prepare(ask)))?;
        let start = StartTime::now();
        let answer = outside_transaction(|| replay::ask(call)?.wait());
        let timing = start.timing();
        let completion = match answer {
            Ok(answer) => in_transaction(|| completion(answer))?,
            Err(error) if !error.ends_statement() && self.is_out_of_time(ask, timing.duration_ms) => {
                return Ok(Some(self.out_of_time()));
            }
            Err(error) => return Err(error),
        };
        let reply = outside_transaction(|| self.read_reply(completion, ask.form, timing.duration_ms))?;
        let event = Event::Said(reply.clone());
        let step = in_transaction(|| {
            let step = log::reply(self.id, &model, ask.messages.len(), &reply, timing)?;
            events::append(self.id, self.events.len(), step, &event, None)?;
            Ok(step)
        })?;
        self.add(step, event);
        Ok(None)
    }

    /// The call and the model's name. An answer with a schema is not streamed, because the engine may ask the
    /// model to correct it.
    fn prepare(&self, ask: &ModelRequest) -> Result<(Call, String)> {
        let remote = self.remote()?;
        let is_streamed = ask.form == ReplyFormat::Free;
        let call = remote.prepare(self.prompt(ask), Self::call_options(&remote, ask), is_streamed)?;
        Ok((call, remote.name()))
    }

    /// Ends the job; the run waits for a decision on these calls.
    fn wait(&self, positions: &[usize], done: impl Fn(&Jsonb) -> Result<()>) -> Result<()> {
        let mut steps = Vec::new();
        for (more, position) in positions.iter().enumerate() {
            let (step, event) = self.ask_for_approval(*position)?;
            events::append(self.id, self.events.len() + more, step, &event, Some("waiting"))?;
            steps.push(step);
        }
        events::set_waiting(self.id)?;
        let result = self.result("waiting", None, None);
        log::finish(&result)?;
        done(&result.to_json(&steps)?)
    }
}
