//! The arguments of a tool call: they are checked, converted to the types of the parameters, and passed to a
//! statement.

use crate::tools::function::Returns;
use crate::tools::{Target, Tool};
use ragstone_core::suggest::nearest;
use ragstone_pg::arguments::{JsonArgument, Parameter, json_arguments};
use ragstone_pg::bytes::Jsonb;
use ragstone_pg::error::{Error, Result};
use ragstone_pg::identifier::quoted;
use ragstone_pg::input::qualified_name;
use ragstone_pg::own_tables::with_safe_search_path;
use ragstone_pg::spi::Arg;
use std::cell::RefCell;

/// Describes the value that is being converted, as a prefix for errors that PostgreSQL raises during the
/// conversion.
pub type ErrorContext = RefCell<Option<String>>;

/// A SELECT with one column of type `json`.
pub struct ToolStatement {
    /// SQL with a parameter for each argument.
    pub sql: String,
    /// The arguments in their own types, in the current memory context.
    pub args: Vec<Arg>,
    /// The kind of result that the tool returns.
    pub returns: Returns,
}

impl Tool {
    /// The statement for arguments in the form in which a model wrote them.
    ///
    /// # Errors
    /// 22023 if an argument is unknown, missing or of another shape than its type. If the text of an argument
    /// is not a value of its type, PostgreSQL raises an error, and `context` names the argument.
    pub fn statement(&self, arguments: &str, context: &ErrorContext) -> Result<ToolStatement> {
        let whose = format!("tool \"{}\"", self.name);
        context.replace(Some(format!("the arguments of {whose} are not valid JSON")));
        // Some models write an empty text if there are no arguments.
        let text = if arguments.trim().is_empty() { "{}" } else { arguments };
        let json = Jsonb::from_json(text)?;
        context.replace(None);
        let given = with_safe_search_path(|| json_arguments(&json, &format!("the arguments of {whose}")))?;
        let given = self.checked(given, &whose)?;
        let mut args = Vec::with_capacity(given.len());
        for (parameter, given) in &given {
            context.replace(Some(format!("argument \"{}\" of {whose}", given.name)));
            args.push(parameter.value(given, &whose)?);
        }
        context.replace(None);
        let names: Vec<_> = given.iter().map(|(parameter, _)| parameter.name.as_str()).collect();
        match &self.target {
            Target::Function { call, returns, .. } => {
                let call = format!("{call}({})", with_safe_search_path(|| self.argument_list(&names))?);
                Ok(ToolStatement::of_function(&call, args, *returns))
            }
            Target::Search { collection } => {
                Ok(ToolStatement::of_search(&names, collection, args, self.limits.max_rows))
            }
        }
    }

    /// The argument list in the order of the parameters; missing arguments get their defaults. With a value
    /// of the exact type for each parameter, the call resolves to the tool's own function, even if there are
    /// overloads of the same name.
    fn argument_list(&self, given: &[&str]) -> Result<String> {
        let argument = |parameter: &Parameter| match (
            given.iter().position(|name| *name == parameter.name),
            &parameter.default,
        ) {
            (Some(place), _) => Ok(format!("${}", place + 1)),
            (None, Some(default)) => Ok(format!("CAST({default} AS {})", qualified_name(parameter.oid)?)),
            (None, None) => Err(Error::internal("a parameter without a default is not given")),
        };
        Ok(self.parameters.iter().map(argument).collect::<Result<Vec<_>>>()?.join(", "))
    }

    /// The arguments with their parameters. Null for a parameter that has a default stands for the default,
    /// because some models have to give every argument.
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
}

impl ToolStatement {
    /// A call in the select list, where PostgreSQL returns the rows of a function one by one, so that the
    /// call can end early.
    fn of_function(call: &str, args: Vec<Arg>, returns: Returns) -> Self {
        let sql = match returns {
            Returns::Void => format!("SELECT {call}"),
            Returns::Value | Returns::Rows => format!("SELECT pg_catalog.to_json({call})"),
        };
        Self { sql, args, returns }
    }

    fn of_search(names: &[&str], collection: &str, mut args: Vec<Arg>, max_rows: i32) -> Self {
        let named = names.iter().zip(1..).map(|(name, number)| format!("{} => ${number}", quoted(name)));
        let named = named.collect::<Vec<_>>().join(", ");
        let number = args.len() + 1;
        args.extend([Arg::text(collection), Arg::new(max_rows)]);
        Self {
            sql: format!(
                "SELECT pg_catalog.to_json(r) FROM (
                   SELECT rank, title, heading, content, source_key, metadata
                   FROM rag.search({named}, collection => ${number}, k => ${})) r",
                number + 1
            ),
            args,
            returns: Returns::Rows,
        }
    }
}
