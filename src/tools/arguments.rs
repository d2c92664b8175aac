//! What a model gives a tool: checked, made values of the parameters' types, and put into a statement.

use crate::tools::function::Returns;
use crate::tools::{Target, Tool};
use ragstone_core::suggest::nearest;
use ragstone_pg::arguments::{JsonArgument, Parameter, json_arguments};
use ragstone_pg::bytes::Jsonb;
use ragstone_pg::error::{Error, Result};
use ragstone_pg::identifier::quoted;
use ragstone_pg::own_tables::with_safe_search_path;
use ragstone_pg::spi::Arg;
use std::cell::RefCell;

/// What is being converted, for what Postgres raises meanwhile.
pub type Place = RefCell<Option<String>>;

/// A SELECT whose one column is JSON.
pub struct Statement {
    /// With a parameter for each argument.
    pub sql: String,
    /// The arguments in their own types, in the current memory context.
    pub args: Vec<Arg>,
    /// What it gives.
    pub returns: Returns,
}

impl Tool {
    /// The statement for the arguments that a model wrote.
    ///
    /// # Errors
    /// 22023 where one is unknown, missing or of another shape than its type; raises what Postgres raises where one is no
    /// value of its type: `place` says then which.
    pub fn statement(&self, arguments: &str, place: &Place) -> Result<Statement> {
        let whose = format!("tool \"{}\"", self.name);
        place.replace(Some(format!("the arguments of {whose} are not valid JSON")));
        // Some models write nothing where there is nothing to say.
        let text = if arguments.trim().is_empty() { "{}" } else { arguments };
        let json = Jsonb::from_json(text)?;
        place.replace(None);
        let given = with_safe_search_path(|| json_arguments(&json, &format!("the arguments of {whose}")))?;
        let given = self.checked(given, &whose)?;
        let mut args = Vec::with_capacity(given.len());
        for (parameter, given) in &given {
            place.replace(Some(format!("argument \"{}\" of {whose}", given.name)));
            args.push(parameter.value(given, &whose)?);
        }
        place.replace(None);
        let names: Vec<_> = given.iter().map(|(parameter, _)| parameter.name.as_str()).collect();
        Ok(self.target.statement(&names, args, self.limits.max_rows))
    }

    /// The arguments with their parameters. Null where there is a default means the default: some models must mention
    /// every argument.
    fn checked(&self, given: Vec<JsonArgument>, whose: &str) -> Result<Vec<(&Parameter, JsonArgument)>> {
        let mut checked = Vec::with_capacity(given.len());
        for given in given {
            let parameter = self.parameters.iter().find(|parameter| parameter.name == given.name);
            let parameter = parameter.ok_or_else(|| self.unknown_argument(&given.name, whose))?;
            if given.shape == "null" && !parameter.required {
                continue;
            }
            if given.shape == "null" && self.target.refuses_null() {
                return Err(Error::bad_argument(format!(
                    "argument \"{}\" of {whose} must not be null",
                    given.name
                )));
            }
            if matches!(self.target, Target::Search { .. })
                && given.name == "filter"
                && given.shape != "object"
            {
                return Err(Error::bad_argument(format!(
                    "argument \"filter\" of {whose}: expected a JSON object, not a JSON {}",
                    given.shape
                )));
            }
            checked.push((parameter, given));
        }
        let missing = self.parameters.iter().find(|parameter| {
            parameter.required && checked.iter().all(|(_, given)| given.name != parameter.name)
        });
        match missing {
            Some(missing) => Err(Error::bad_argument(format!(
                "argument \"{}\" of {whose} is missing: {} is expected",
                missing.name, missing.type_name
            ))),
            None => Ok(checked),
        }
    }

    fn unknown_argument(&self, name: &str, whose: &str) -> Error {
        let error = Error::bad_argument(format!("unknown argument \"{name}\" of {whose}"));
        let known: Vec<&str> = self.parameters.iter().map(|parameter| parameter.name.as_str()).collect();
        match nearest(name, &known) {
            _ if known.is_empty() => error.hint("It takes no arguments."),
            Some(near) => error.hint(format!("Perhaps you meant \"{near}\".")),
            None => error.hint(format!("The arguments are {}.", known.join(", "))),
        }
    }
}

impl Target {
    fn refuses_null(&self) -> bool {
        match self {
            Self::Function { strict, .. } => *strict,
            Self::Search { .. } => true,
        }
    }

    /// In the select list a function gives its rows one by one, and can be left when there are enough of them.
    fn statement(&self, names: &[&str], mut args: Vec<Arg>, max_rows: i32) -> Statement {
        let named = names.iter().zip(1..).map(|(name, place)| format!("{} => ${place}", quoted(name)));
        let named = named.collect::<Vec<_>>().join(", ");
        match self {
            Self::Function { call, returns: Returns::Void, .. } => {
                Statement { sql: format!("SELECT {call}({named})"), args, returns: Returns::Void }
            }
            Self::Function { call, returns, .. } => Statement {
                sql: format!("SELECT pg_catalog.to_json({call}({named}))"),
                args,
                returns: *returns,
            },
            Self::Search { collection } => {
                let place = args.len() + 1;
                args.extend([Arg::text(collection), Arg::new(max_rows)]);
                Statement {
                    sql: format!(
                        "SELECT pg_catalog.to_json(r) FROM (
                           SELECT rank, title, heading, content, source_key, metadata
                           FROM rag.search({named}, collection => ${place}, k => ${})) r",
                        place + 1
                    ),
                    args,
                    returns: Returns::Rows,
                }
            }
        }
    }
}
