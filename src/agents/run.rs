//! One run of an agent: its definition, its tools and its events so far.

use crate::agents::definition::Agent;
use crate::agents::log;
use crate::agents::request::RunRequest;
use crate::agents::result::RunResult;
use crate::chat::memory;
use crate::provider::{CallOptions, Generator, Remote};
use crate::tools;
use crate::tools::Tool;
use ragstone_core::agent::{AgentSpec, Event, StopReason, ToolSpec, run_usage};
use ragstone_pg::error::{Error, Result};
use serde_json::Value;

/// Name of the SQL function.
pub const FUNCTION: &str = "run_agent";

/// A run with its events so far.
pub struct AgentRun {
    /// Number of the run.
    pub id: i64,
    /// The session that the run belongs to, if any.
    pub session: Option<i64>,
    /// The agent's current definition.
    pub agent: Agent,
    /// The agent in the form from which `ragstone_core::agent` decides on the next action.
    pub spec: AgentSpec,
    /// The tools as they were when this process started to work on the run: looking up a tool for each call
    /// would take longer than most calls. PostgreSQL still checks at each call whether the current role may
    /// execute it.
    pub tools: Vec<Tool>,
    /// The definitions of the tools for the model: a JSON array.
    pub tool_definitions: Option<String>,
    /// The events so far.
    pub events: Vec<Event>,
    /// The step in the log of each event.
    pub steps: Vec<i64>,
}

impl AgentRun {
    /// Begins a run of the current role. `job` is the job that executes it. A run in a function has no job,
    /// and cannot wait for approval.
    ///
    /// # Errors
    /// 42704 if the agent, a tool, the model or the session does not exist; 42501 if the current role may not
    /// use one of them; 55000 if a tool needs approval and there is no job.
    pub fn begin(request: &RunRequest, job: Option<i64>) -> Result<Self> {
        if request.input.trim().is_empty() {
            return Err(Error::bad_argument("input is empty"));
        }
        let agent = Agent::find(&request.agent)?;
        let generator = Generator::find(agent.model.as_deref())?;
        let tools = tools::find(&agent.tools)?;
        if job.is_none()
            && let Some(tool) = tools.iter().find(|tool| tool.requires_approval)
        {
            return Err(Error::wrong_state(format!(
                "tool \"{}\" of agent \"{}\" requires approval, which a function cannot wait for",
                tool.name, agent.name
            ))
            .hint("Submit the run as a job: rag.submit('agent', '{\"agent\": \"…\", \"input\": \"…\"}')."));
        }
        let history = match request.session {
            Some(session) => {
                let options = CallOptions { function: FUNCTION, timeout_ms: None };
                memory::recall(session, &generator, options)?
            }
            None => Vec::new(),
        };
        // Raises an error for the extractive model, which cannot call tools, before anything is written.
        generator.remote()?;
        let id = log::begin(request, job)?;
        let mut run = Self::new(agent, tools, id, request.session);
        let event = Event::Asked { history, input: request.input.clone() };
        let step = log::input(id, &request.input)?;
        run.add(step, event);
        Ok(run)
    }

    /// A run without events.
    pub fn new(agent: Agent, tools: Vec<Tool>, id: i64, session: Option<i64>) -> Self {
        let tool_specs = tools
            .iter()
            .map(|tool| ToolSpec { name: tool.name.clone(), needs_approval: tool.requires_approval });
        let spec = AgentSpec {
            instructions: agent.instructions.clone(),
            tools: tool_specs.collect(),
            schema: agent.schema.clone(),
            limits: agent.limits,
        };
        let definitions: Vec<Value> = tools.iter().map(Tool::definition).collect();
        let tool_definitions = (!definitions.is_empty()).then(|| Value::from(definitions).to_string());
        Self { id, session, agent, spec, tools, tool_definitions, events: Vec::new(), steps: Vec::new() }
    }

    /// Adds an event and its step.
    pub fn add(&mut self, step: i64, event: Event) {
        self.events.push(event);
        self.steps.push(step);
    }

    /// The agent's model, with the rights of the current role.
    pub fn remote(&self) -> Result<Remote> {
        Generator::find(self.agent.model.as_deref())?.remote()
    }

    /// The step of the model's last reply.
    pub fn last_reply_step(&self) -> Option<i64> {
        let last = self.events.iter().rposition(|event| matches!(event, Event::Said(_)));
        last.and_then(|index| self.steps.get(index).copied())
    }

    /// Ends the run with its answer, and adds the question and the answer to the session.
    pub fn finish(&self, answer: String) -> Result<RunResult> {
        if let (Some(session), Some(Event::Asked { input, .. })) = (self.session, self.events.first()) {
            let model = self.agent.model.clone();
            memory::remember(session, input, &answer, model.as_deref())?;
        }
        let result = self.result("done", Some(answer), None);
        log::finish(&result)?;
        Ok(result)
    }

    /// Ends the run because of a limit. The effects of its tools are kept.
    pub fn stop(&self, stop: &StopReason) -> Result<RunResult> {
        let last = match self.events.last() {
            Some(Event::Said(reply)) if reply.calls.is_empty() && !reply.content.trim().is_empty() => {
                Some(reply.content.clone())
            }
            _ => None,
        };
        let error = self.limit_error(stop);
        log::error(self.id, &error)?;
        let result = self.result("failed", last, Some(error));
        log::finish(&result)?;
        Ok(result)
    }

    /// The result of the events so far.
    pub fn result(&self, status: &'static str, answer: Option<String>, error: Option<Error>) -> RunResult {
        RunResult { run: self.id, answer, status, spent: run_usage(&self.events), error }
    }

    fn limit_error(&self, stop: &StopReason) -> Error {
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
