//! A run as a job, transaction by transaction: what the model said is committed before any tool is called, and each tool's effect
//! together with the step that tells of it. A job that is begun again goes on from what is committed.

use crate::agents::log;
use crate::agents::log::Clock;
use crate::agents::request::Order;
use crate::agents::run::Course;
use crate::agents::{Finished, events};
use crate::jobs::AGENT;
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
use std::time::Instant;

/// What is to be done by a job.
enum Work {
    /// A new run.
    Begin(Order),
    /// This one.
    GoOn(i64),
}

/// How jobs of the kind `agent` are done.
pub const HANDLER: Handler =
    Handler { kind: AGENT, run: work, failed: events::job_ended, forget_old: events::forget_old };

/// Does what there is to do of a job's run. `done` writes down the job's result, in the transaction in which the run ends or
/// begins to wait.
fn work(job: i64, args: &Jsonb, done: WriteResult) -> Result<()> {
    // The log's rows are written with what they tell of, and not by another process.
    set_for_session("rag.log_durability", "transaction");
    let mut course = in_rounds(job, || with_replay(|| begin(job, args)))?;
    loop {
        let finished = match next(&course.plan, &course.events) {
            Action::Ask(ask) => course.think_aloud(&ask)?,
            Action::Call { position, call } => {
                post_piece(&format!("[{}]\n", call.name));
                let (step, event) = in_rounds(job, || {
                    let (step, event) = with_replay(|| course.act(position, &call))?;
                    events::append(course.run, course.events.len(), step, &event, None)?;
                    Ok((step, event))
                })?;
                course.add(step, event);
                continue;
            }
            Action::Refuse { position, content, repeats } => {
                let (step, event) = in_transaction(|| {
                    let (step, event) = course.refuse(position, content.clone(), repeats)?;
                    events::append(course.run, course.events.len(), step, &event, None)?;
                    Ok((step, event))
                })?;
                course.add(step, event);
                continue;
            }
            Action::AskForApproval(positions) => return in_transaction(|| course.wait(&positions, done)),
            // Somebody has decided on some calls, and this job was begun all the same.
            Action::Wait => return in_transaction(|| course.wait(&[], done)),
            Action::Answer(answer) => {
                return in_transaction(|| {
                    let finished = course.answered(answer.clone())?;
                    events::forget(course.run)?;
                    done(&result(&finished, &[])?)
                });
            }
            Action::Stop(stop) => Some(stop),
        };
        if let Some(stop) = finished {
            return in_transaction(|| {
                let finished = course.stopped(&stop)?;
                events::fail(course.run)?;
                done(&result(&finished, &[])?)
            });
        }
    }
}

fn begin(job: i64, args: &Jsonb) -> Result<Course> {
    if let Some(run) = events::find(job)? {
        return events::load(run, job);
    }
    match Work::read(args)? {
        Work::GoOn(run) => events::load(run, job),
        Work::Begin(order) => {
            let course = Course::begin(&order, Some(job))?;
            events::begin(&course, job)?;
            Ok(course)
        }
    }
}

impl Work {
    /// As `rag.submit` has checked it, or `rag.approve` has written it.
    fn read(args: &Jsonb) -> Result<Self> {
        let args = args.to_value()?;
        let number = |value: &Value| value.as_i64().or_else(|| value.as_str()?.trim().parse().ok());
        let text = |value: &Value| match value {
            Value::String(text) => text.clone(),
            Value::Null => String::new(),
            other => other.to_string(),
        };
        if let Some(run) = number(&args["run"]) {
            return Ok(Self::GoOn(run));
        }
        Ok(Self::Begin(Order {
            agent: text(&args["agent"]),
            input: text(&args["input"]),
            session: number(&args["session"]),
        }))
    }
}

impl Course {
    /// Asks the model with no transaction open, and keeps what it says. A limit, where the run's time is over.
    fn think_aloud(&mut self, ask: &ModelRequest) -> Result<Option<StopReason>> {
        let (call, model) = in_transaction(|| connect(|| self.prepare(ask)))?;
        let (began, start) = (Clock::start(), Instant::now());
        let answer = outside_transaction(|| replay::ask(call)?.wait());
        let ms = start.elapsed().as_secs_f64() * 1e3;
        let completion = match answer {
            Ok(answer) => in_transaction(|| completion(answer))?,
            Err(error) if !error.ends_statement() && self.is_late(ask, ms) => return Ok(Some(self.late())),
            Err(error) => return Err(error),
        };
        let said = outside_transaction(|| self.said(completion, ask.form, ms))?;
        let event = Event::Said(said.clone());
        let step = in_transaction(|| {
            let step = log::said(self.run, &model, ask.messages.len(), &said, began.took(ms))?;
            events::append(self.run, self.events.len(), step, &event, None)?;
            Ok(step)
        })?;
        self.add(step, event);
        Ok(None)
    }

    /// The call, and the model's name. An answer that has to meet a schema is not streamed: it may be mended.
    fn prepare(&self, ask: &ModelRequest) -> Result<(Call, String)> {
        let remote = self.remote()?;
        let call =
            remote.prepare(self.prompt(ask), Self::options(&remote, ask), ask.form == ReplyFormat::Free)?;
        Ok((call, format!("{}/{}", remote.target.name, remote.model)))
    }

    /// The run waits until somebody has decided on these calls. That ends the job.
    fn wait(&self, positions: &[usize], done: impl Fn(&Jsonb) -> Result<()>) -> Result<()> {
        let mut steps = Vec::new();
        for (more, position) in positions.iter().enumerate() {
            let (step, event) = self.ask_for_approval(*position)?;
            events::append(self.run, self.events.len() + more, step, &event, Some("waiting"))?;
            steps.push(step);
        }
        events::wait(self.run)?;
        let finished = self.finished("waiting", None, None);
        log::finish(&finished)?;
        done(&result(&finished, &steps)?)
    }
}

/// A job's result: the row that the function would give.
fn result(finished: &Finished, waiting: &[i64]) -> Result<Jsonb> {
    let mut row = json!({
        "run_id": finished.run,
        "answer": finished.answer,
        "status": finished.status,
        "steps": finished.spent.steps,
        "input_tokens": finished.spent.input_tokens,
        "output_tokens": finished.spent.output_tokens,
        "cost": finished.spent.cost,
        "error": finished.error.as_ref().map(|error| error.message.as_str()),
    });
    if let Some(error) = &finished.error {
        row["sqlstate"] = error.code().into();
    }
    if !waiting.is_empty() {
        row["waiting"] = waiting.into();
    }
    Jsonb::from_json(&row.to_string())
}
