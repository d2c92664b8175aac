//! The stored definitions of agents.

use crate::provider::{check_temperature, schema};
use crate::tools;
use ragstone_client::engine::call::caller;
use ragstone_client::engine::client;
use ragstone_core::agent::RunLimits;
use ragstone_core::protocol::Request;
use ragstone_pg::bytes::Jsonb;
use ragstone_pg::error::{Error, Result};
use ragstone_pg::own_tables::as_config_owner;
use ragstone_pg::owner::Owner;
use ragstone_pg::spi::{Arg, run};
use ragstone_pg::text::check_indexable;

/// Maximum number of tools of an agent. Each model call includes the definitions of all tools.
const MAX_TOOLS: usize = 128;

/// The arguments of `rag.create_agent`.
pub struct NewAgent {
    /// Its name.
    pub name: String,
    /// Instructions for the model, its system prompt.
    pub instructions: String,
    /// `server/model`.
    pub model: Option<String>,
    /// Names of its tools.
    pub tools: Vec<String>,
    /// Maximum number of model calls of a run.
    pub max_steps: i32,
    /// Maximum number of tokens of a run.
    pub token_budget: Option<i64>,
    /// Maximum duration of a run, in milliseconds.
    pub timeout_ms: Option<i32>,
    /// JSON Schema to which the answer must conform.
    pub output_schema: Option<Jsonb>,
    /// Sampling temperature.
    pub temperature: Option<f64>,
    /// True if an existing agent of this name is changed.
    pub replace: bool,
}

/// A stored agent.
#[derive(Debug)]
pub struct Agent {
    /// Its name.
    pub name: String,
    /// Instructions for the model, its system prompt.
    pub instructions: String,
    /// `server/model`.
    pub model: Option<String>,
    /// Names of its tools.
    pub tools: Vec<String>,
    /// Limits of a run.
    pub limits: RunLimits,
    /// JSON Schema to which the answer must conform.
    pub schema: Option<String>,
    /// Sampling temperature.
    pub temperature: Option<f64>,
}

/// Creates an agent of the current role, or changes it.
///
/// # Errors
/// 22023 for an invalid argument; 42704 and 42501 for its tools; 42710 if the name exists; 42501 if an agent
/// of that name belongs to another role.
pub fn create(agent: &NewAgent) -> Result<()> {
    check(agent)?;
    let role = Owner::who_makes()?.to_text()?;
    let written = as_config_owner(|| {
        let make = "INSERT INTO rag._agent (name, owner, instructions, model, tools, max_steps, token_budget, timeout_ms,
                       output_schema, temperature)
                     VALUES ($1, $2::text::name, $3, $4, $5, $6, $7, $8, $9, $10)
                     ON CONFLICT (name) DO ";
        let change = "UPDATE SET instructions = excluded.instructions, model = excluded.model, tools = excluded.tools,
                         max_steps = excluded.max_steps, token_budget = excluded.token_budget, timeout_ms = excluded.timeout_ms,
                         output_schema = excluded.output_schema, temperature = excluded.temperature,
                         updated_at = clock_timestamp()
                       WHERE _agent.owner = excluded.owner";
        let statement = format!("{make}{}", if agent.replace { change } else { "NOTHING" });
        Ok(run(&statement, &agent.arguments(&role))?.count)
    })?;
    if written > 0 {
        return Ok(());
    }
    match owner(&agent.name)? {
        Some(owner) if owner != role => Err(not_owner(&agent.name, &owner, "Choose another name.")),
        _ => Err(Error::already_exists(format!("agent \"{}\" already exists", agent.name))
            .hint("Use replace => true to change it.")),
    }
}

/// Deletes an agent of the current role.
pub fn drop_agent(name: &str) -> Result<()> {
    let role = Owner::current()?.to_text()?;
    let deleted = as_config_owner(|| {
        let arguments = [Arg::text(name), Arg::text(&role)];
        Ok(run("DELETE FROM rag._agent WHERE name = $1 AND owner = $2::text::name", &arguments)?.count)
    })?;
    if deleted > 0 {
        return Ok(());
    }
    Err(owner(name)?
        .map_or_else(|| unknown(name), |owner| not_owner(name, &owner, "Only its owner can drop it.")))
}

impl Agent {
    /// The agent of this name, of any owner.
    pub fn find(name: &str) -> Result<Self> {
        as_config_owner(|| {
            let rows = run(
                "SELECT instructions, model, tools, max_steps, token_budget, timeout_ms::bigint,
                        output_schema::text, temperature
                 FROM rag._agent WHERE name = $1",
                &[Arg::text(name)],
            )?;
            let (Some(instructions), Some(tools), Some(max_steps)) =
                (rows.text(0, 0), rows.texts(0, 2), rows.int4(0, 3))
            else {
                return Err(unknown(name));
            };
            let number = |column| rows.int8(0, column).and_then(|number| u64::try_from(number).ok());
            let limits = RunLimits {
                max_steps: max_steps.unsigned_abs(),
                token_budget: number(4),
                timeout_ms: number(5),
            };
            Ok(Self {
                name: name.to_owned(),
                instructions,
                model: rows.text(0, 1),
                tools,
                limits,
                schema: rows.text(0, 6),
                temperature: rows.float8(0, 7),
            })
        })
    }
}

impl NewAgent {
    fn arguments(&self, role: &str) -> [Arg; 10] {
        [
            Arg::text(&self.name),
            Arg::text(role),
            Arg::text(&self.instructions),
            Arg::optional_text(self.model.as_deref()),
            Arg::texts(&self.tools),
            Arg::new(self.max_steps),
            Arg::optional(self.token_budget),
            Arg::optional(self.timeout_ms),
            Arg::optional_jsonb(self.output_schema.as_ref()),
            Arg::optional(self.temperature),
        ]
    }
}

fn check(agent: &NewAgent) -> Result<()> {
    if agent.name.trim().is_empty() || agent.instructions.trim().is_empty() {
        return Err(Error::bad_argument("an agent needs a name and instructions"));
    }
    check_indexable(&agent.name, "name")?;
    if agent.max_steps < 1 {
        return Err(Error::bad_argument(format!(
            "max_steps must be more than 0, but is {}",
            agent.max_steps
        )));
    }
    if let Some(budget) = agent.token_budget.filter(|budget| *budget < 1) {
        return Err(Error::bad_argument(format!("token_budget must be more than 0, but is {budget}")));
    }
    if let Some(timeout) = agent.timeout_ms.filter(|timeout| *timeout < 1) {
        return Err(Error::bad_argument(format!("timeout_ms must be more than 0, but is {timeout}")));
    }
    check_temperature(agent.temperature)?;
    check_tools(&agent.tools)?;
    match &agent.output_schema {
        None => Ok(()),
        // The engine compiles the schema. The answer passed here is a placeholder; whether it conforms does
        // not matter.
        Some(given) => client::call(Request::Check {
            caller: caller(),
            schema: schema(given, "output_schema")?,
            answer: "null".into(),
        })
        .map(|_| ()),
    }
}

fn check_tools(names: &[String]) -> Result<()> {
    if names.len() > MAX_TOOLS {
        return Err(Error::bad_argument(format!(
            "an agent can have at most {MAX_TOOLS} tools, not {}",
            names.len()
        )));
    }
    let twice = (1..).zip(names).find(|(next, name)| names[*next..].contains(name));
    if let Some((_, name)) = twice {
        return Err(Error::bad_argument(format!("tool \"{name}\" is given twice")));
    }
    tools::find(names).map(|_| ())
}

fn owner(name: &str) -> Result<Option<String>> {
    as_config_owner(|| {
        Ok(run("SELECT owner::text FROM rag._agent WHERE name = $1", &[Arg::text(name)])?.text(0, 0))
    })
}

fn unknown(name: &str) -> Error {
    Error::undefined(format!("agent \"{name}\" does not exist"))
        .hint("See rag.agents, or make it with rag.create_agent.")
}

fn not_owner(name: &str, owner: &str, hint: &str) -> Error {
    let message = format!("agent \"{name}\" belongs to {owner}");
    Error::forbidden(message).hint(hint)
}
