//! One run of an agent, as whoever does it holds it.

use crate::agents::definition::Agent;
use crate::agents::request::Order;
use crate::agents::{Finished, log, wrong_state};
use crate::chat::memory;
use crate::provider::{CallOptions, Generator, Remote};
use crate::tools;
use crate::tools::Tool;
use ragstone_core::agent::{AgentSpec, Event, StopReason, ToolSpec, run_usage};
use ragstone_pg::error::{Error, Result};
use serde_json::Value;

/// Name of the SQL function, for the record of calls.
pub const FUNCTION: &str = "run_agent";

/// A run with all that has happened in it.
pub struct Course {
    /// Number of the run.
    pub run: i64,
    /// The conversation that it is a part of.
    pub session: Option<i64>,
    /// The agent as it is now.
    pub agent: Agent,
    /// The same for the state machine.
    pub plan: AgentSpec,
    /// Its tools as they were when this began. Looked up again for each call they would take longer than most of them do;
    /// whether the current role may still call one, Postgres asks at each call.
    pub tools: Vec<Tool>,
    /// The same as the model is told of them, JSON.
    pub definitions: Option<String>,
    /// What has happened.
    pub events: Vec<Event>,
    /// For each event its step in the log.
    pub steps: Vec<i64>,
}

impl Course {
    /// Begins a run of the current role. `job` is the job that does it; a function has none, and nobody can be asked for
    /// approvals in it.
    ///
    /// # Errors
    /// 42704 where there is no such agent, tool, model or session; 42501 where the current role may not use one of them; 55000
    /// where a tool needs approval and nobody can give it.
    pub fn begin(order: &Order, job: Option<i64>) -> Result<Self> {
        if order.input.trim().is_empty() {
            return Err(Error::bad_argument("input is empty"));
        }
        let agent = Agent::find(&order.agent)?;
        let generator = Generator::find(agent.model.as_deref())?;
        let tools = tools::find(&agent.tools)?;
        if job.is_none()
            && let Some(tool) = tools.iter().find(|tool| tool.requires_approval)
        {
            return Err(wrong_state(format!(
                "tool \"{}\" of agent \"{}\" requires approval, which a function cannot wait for",
                tool.name, agent.name
            ))
            .hint("Submit the run as a job: rag.submit('agent', '{\"agent\": \"…\", \"input\": \"…\"}')."));
        }
        let history = match order.session {
            Some(session) => {
                let options = CallOptions { function: FUNCTION, timeout_ms: None };
                memory::recall(session, &generator, options)?
            }
            None => Vec::new(),
        };
        // A model that can only quote is no use here, and that is to be said before anything is written down.
        generator.remote()?;
        let run = log::begin(order, job)?;
        let mut course = Self::of(agent, tools, run, order.session);
        let event = Event::Asked { history, input: order.input.clone() };
        let step = log::asked(run, &order.input)?;
        course.add(step, event);
        Ok(course)
    }

    /// A run of which nothing is known yet but who does it.
    pub fn of(agent: Agent, tools: Vec<Tool>, run: i64, session: Option<i64>) -> Self {
        let facts = tools
            .iter()
            .map(|tool| ToolSpec { name: tool.name.clone(), needs_approval: tool.requires_approval });
        let plan = AgentSpec {
            instructions: agent.instructions.clone(),
            tools: facts.collect(),
            schema: agent.schema.clone(),
            limits: agent.limits,
        };
        let definitions: Vec<Value> = tools.iter().map(Tool::definition).collect();
        let definitions = (!definitions.is_empty()).then(|| Value::from(definitions).to_string());
        Self { run, session, agent, plan, tools, definitions, events: Vec::new(), steps: Vec::new() }
    }

    /// Adds what has happened.
    pub fn add(&mut self, step: i64, event: Event) {
        self.events.push(event);
        self.steps.push(step);
    }

    /// The model, as the current role may use it.
    pub fn remote(&self) -> Result<Remote> {
        Generator::find(self.agent.model.as_deref())?.remote()
    }

    /// The step of the model's last answer.
    pub fn thought(&self) -> Option<i64> {
        let last = self.events.iter().rposition(|event| matches!(event, Event::Said(_)));
        last.and_then(|at| self.steps.get(at).copied())
    }

    /// The run has its answer.
    pub fn answered(&self, answer: String) -> Result<Finished> {
        if let (Some(session), Some(Event::Asked { input, .. })) = (self.session, self.events.first()) {
            let model = self.agent.model.clone();
            memory::remember(session, input, &answer, model.as_deref())?;
        }
        let finished = self.finished("done", Some(answer), None);
        log::finish(&finished)?;
        Ok(finished)
    }

    /// A limit ends the run. What was done stays.
    pub fn stopped(&self, stop: &StopReason) -> Result<Finished> {
        let last = match self.events.last() {
            Some(Event::Said(said)) if said.calls.is_empty() && !said.content.trim().is_empty() => {
                Some(said.content.clone())
            }
            _ => None,
        };
        let limit = self.limit(stop);
        log::failed(self.run, &limit)?;
        let finished = self.finished("failed", last, Some(limit));
        log::finish(&finished)?;
        Ok(finished)
    }

    /// What has come of it so far.
    pub fn finished(&self, status: &'static str, answer: Option<String>, error: Option<Error>) -> Finished {
        Finished { run: self.run, answer, status, spent: run_usage(&self.events), error }
    }

    fn limit(&self, stop: &StopReason) -> Error {
        let message = format!("agent \"{}\": {stop}", self.agent.name);
        match stop {
            StopReason::Steps(_) => Error::over_limit(message).hint("Raise the agent's max_steps."),
            StopReason::Tokens { .. } => {
                Error::over_configured_limit(message).hint("Raise the agent's token_budget.")
            }
            StopReason::Time(_) => Error::over_limit(message).hint("Raise the agent's timeout_ms."),
            StopReason::Loop(_) => {
                Error::over_limit(message).hint("Say in the instructions when to stop, or use another model.")
            }
            StopReason::Silence => {
                Error::protocol_violation(message).hint("Change the instructions, or use another model.")
            }
            StopReason::Cut => Error::over_limit(message)
                .hint("Ask for a shorter answer, or raise the model's own limit at its provider."),
        }
    }
}
