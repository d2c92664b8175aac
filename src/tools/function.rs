//! The functions that can be tools, and the errors for those that cannot.

use crate::tools::schema::is_name;
use pgrx::pg_sys;
use ragstone_pg::arguments::Parameter;
use ragstone_pg::error::{Error, Result};
use ragstone_pg::relation;
use ragstone_pg::rows::Rows;
use ragstone_pg::spi::{Arg, run};

/// Maximum length of an argument's name that all providers accept.
const MAX_NAME_BYTES: usize = 64;

/// A function in the catalog.
#[derive(Debug)]
pub struct Function {
    /// Signature, with the schema.
    pub signature: String,
    /// Name without the schema.
    pub name: String,
    /// Qualified and quoted name for a statement.
    pub call: String,
    /// Parameters.
    pub parameters: Vec<Parameter>,
    /// The kind of result.
    pub returns: Returns,
    /// True if the function is STRICT.
    pub strict: bool,
    /// True if the current role may execute the function.
    pub allowed: bool,
    /// Comment on the function.
    pub comment: Option<String>,
}

/// The kind of result that a function returns.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Returns {
    /// Nothing.
    Void,
    /// A value.
    Value,
    /// A set of values.
    Rows,
}

impl Function {
    /// Looks up a function. The search path must be `pg_catalog`.
    ///
    /// # Errors
    /// 0A000 if the function cannot be a tool.
    pub fn find(oid: pg_sys::Oid) -> Result<Self> {
        let rows = run(include_str!("../../sql/queries/function.sql"), &[Arg::new(oid)])?;
        let (Some(signature), Some(name), Some(call)) = (rows.text(0, 0), rows.text(0, 1), rows.text(0, 2))
        else {
            return Err(Error::undefined_function(format!(
                "function with OID {} does not exist",
                oid.to_u32()
            )));
        };
        check_kind(&rows, &signature)?;
        let parameters: Vec<_> = Parameter::of(&[oid])?.into_iter().map(|(_, parameter)| parameter).collect();
        for (parameter, number) in parameters.iter().zip(1..) {
            check_parameter(parameter, number, &signature)?;
        }
        Ok(Self {
            returns: returns(&rows, &signature)?,
            strict: rows.boolean(0, 9) == Some(true),
            allowed: rows.boolean(0, 11) == Some(true),
            comment: rows.text(0, 12),
            signature,
            name,
            call,
            parameters,
        })
    }
}

fn check_kind(rows: &Rows, signature: &str) -> Result<()> {
    let kind = match rows.text(0, 3).as_deref() {
        Some("f") if rows.boolean(0, 10) == Some(true) => {
            "a temporary function, which other sessions do not have"
        }
        Some("f") => return Ok(()),
        Some("p") => "a procedure",
        Some("a") => "an aggregate",
        _ => "a window function",
    };
    Err(not_a_tool(signature, &format!("it is {kind}")))
}

fn check_parameter(parameter: &Parameter, number: usize, signature: &str) -> Result<()> {
    let Parameter { name, type_name, .. } = parameter;
    let kind = relation::type_kind(parameter.oid);
    if parameter.variadic {
        return Err(not_a_tool(signature, "it is VARIADIC"));
    }
    if name.is_empty() {
        return Err(not_a_tool(signature, &format!("its argument {number} has no name")).hint(
            "Models pass arguments by name: create the function again with a name for each argument.",
        ));
    }
    if !is_name(name, MAX_NAME_BYTES) {
        return Err(not_a_tool(
            signature,
            &format!("its argument \"{name}\" has a name that providers refuse"),
        )
        .hint("Use the letters a to z, digits, _ and -."));
    }
    if kind == b'p' {
        return Err(not_a_tool(
            signature,
            &format!("its argument \"{name}\" is of the pseudo-type {type_name}"),
        ));
    }
    Ok(())
}

fn returns(rows: &Rows, signature: &str) -> Result<Returns> {
    let (oid, pseudo, columns) = (rows.oid(0, 4), rows.boolean(0, 6), rows.boolean(0, 7));
    match oid {
        Some(pg_sys::VOIDOID) => Ok(Returns::Void),
        Some(pg_sys::RECORDOID) if columns != Some(true) => {
            Err(not_a_tool(signature, "it returns records of unknown columns")
                .hint("Declare the columns with RETURNS TABLE (…)."))
        }
        Some(oid) if oid != pg_sys::RECORDOID && pseudo == Some(true) => {
            let name = rows.text(0, 5).unwrap_or_default();
            Err(not_a_tool(signature, &format!("it returns the pseudo-type {name}")))
        }
        _ if rows.boolean(0, 8) == Some(true) => Ok(Returns::Rows),
        _ => Ok(Returns::Value),
    }
}

fn not_a_tool(signature: &str, why: &str) -> Error {
    Error::not_supported(format!("function {signature} cannot be a tool: {why}"))
}
