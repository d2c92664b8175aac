//! What can be a tool of a function, and what cannot.

use crate::tools::schema::is_name;
use pgrx::pg_sys;
use ragstone_pg::arguments::Parameter;
use ragstone_pg::error::{Error, Result};
use ragstone_pg::relation;
use ragstone_pg::spi::{Arg, Rows, run};

/// Longest name of an argument that all providers take.
const LONGEST_NAME: usize = 64;

/// A function as the catalogue has it.
#[derive(Debug)]
pub struct Function {
    /// Its signature, with the schema.
    pub signature: String,
    /// Its name alone.
    pub name: String,
    /// Its name as it stands in a statement.
    pub call: String,
    /// What it takes.
    pub parameters: Vec<Parameter>,
    /// What it gives.
    pub returns: Returns,
    /// Whether it gives NULL for any NULL.
    pub strict: bool,
    /// Whether the current role may call it.
    pub allowed: bool,
    /// What is said of it.
    pub comment: Option<String>,
}

/// What a function gives.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Returns {
    /// Nothing.
    Void,
    /// A value.
    Value,
    /// Any number of them.
    Rows,
}

impl Function {
    /// Looks a function up, under a search path of `pg_catalog`.
    ///
    /// # Errors
    /// 0A000 where it can be no tool.
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
        for (parameter, place) in parameters.iter().zip(1..) {
            check_parameter(parameter, place, &signature)?;
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
    Err(unfit(signature, &format!("it is {kind}")))
}

fn check_parameter(parameter: &Parameter, place: usize, signature: &str) -> Result<()> {
    let Parameter { name, type_name, .. } = parameter;
    let kind = relation::type_kind(parameter.oid);
    if parameter.variadic {
        return Err(unfit(signature, "it is VARIADIC"));
    }
    if name.is_empty() {
        return Err(unfit(signature, &format!("its argument {place} has no name"))
            .hint("Models give arguments by name: create the function anew with a name for each."));
    }
    if !is_name(name, LONGEST_NAME) {
        return Err(unfit(signature, &format!("its argument \"{name}\" has a name that providers refuse"))
            .hint("Use the letters a to z, digits, _ and -."));
    }
    if kind == b'p' {
        return Err(unfit(signature, &format!("its argument \"{name}\" is of the pseudo-type {type_name}")));
    }
    Ok(())
}

fn returns(rows: &Rows, signature: &str) -> Result<Returns> {
    let (oid, pseudo, columns) = (rows.oid(0, 4), rows.boolean(0, 6), rows.boolean(0, 7));
    match oid {
        Some(pg_sys::VOIDOID) => Ok(Returns::Void),
        Some(pg_sys::RECORDOID) if columns != Some(true) => {
            Err(unfit(signature, "it returns records whose columns nobody knows")
                .hint("Say what it returns: RETURNS TABLE (…)."))
        }
        Some(oid) if oid != pg_sys::RECORDOID && pseudo == Some(true) => {
            let name = rows.text(0, 5).unwrap_or_default();
            Err(unfit(signature, &format!("it returns the pseudo-type {name}")))
        }
        _ if rows.boolean(0, 8) == Some(true) => Ok(Returns::Rows),
        _ => Ok(Returns::Value),
    }
}

fn unfit(signature: &str, why: &str) -> Error {
    Error::not_supported(format!("function {signature} cannot be a tool: {why}"))
}
