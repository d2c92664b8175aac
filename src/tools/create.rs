//! Making and dropping tools.

use crate::tools::find::{of_collection, undescribed, unknown};
use crate::tools::function::Function;
use crate::tools::limits::Limits;
use crate::tools::schema::{is_name, of_parameters};
use pgrx::pg_sys;
use ragstone_pg::error::{Error, Result};
use ragstone_pg::identifier::quoted;
use ragstone_pg::own_tables::{config_owner, with_safe_search_path};
use ragstone_pg::spi::{Arg, check_statement, connect, run};
use ragstone_pg::switch_user::as_owner;

/// Longest name that all providers take.
const LONGEST_NAME: usize = 64;

/// What a tool is made of.
#[derive(Debug)]
pub enum Subject {
    /// A function.
    Function(pg_sys::Oid),
    /// The search of a collection.
    Collection(String),
}

/// A tool to be made.
#[derive(Debug)]
pub struct NewTool {
    /// What it is made of.
    pub subject: Subject,
    /// Its name; the function's or `search_` and the collection's if none.
    pub name: Option<String>,
    /// What it does, for models; the function's comment if none.
    pub description: Option<String>,
    /// What a call may take, give and do.
    pub limits: Limits,
    /// Whether one of this name that belongs to the current role goes.
    pub replace: bool,
}

/// A tool as its row has it.
struct Row {
    name: String,
    function: Option<String>,
    function_name: Option<String>,
    collection: Option<String>,
}

/// Makes a tool and gives its name.
///
/// # Errors
/// 0A000 where the function can be no tool; 42501 where the current role may not call it, or the name is another role's
/// tool; 42710 where there is one of the name; 22023 where name, description or limits make no sense.
pub fn create(tool: &NewTool) -> Result<String> {
    tool.limits.check()?;
    let description = tool.description.as_deref().filter(|description| !description.trim().is_empty());
    connect(|| {
        let row = with_safe_search_path(|| match &tool.subject {
            Subject::Function(oid) => tool.row_of_function(*oid, description.is_some()),
            Subject::Collection(collection) => tool.row_of_collection(collection),
        })?;
        let role = with_safe_search_path(current_role)?;
        let present = with_safe_search_path(|| Present::find(&row.name))?;
        let owner = match present {
            Some(_) if !tool.replace => return Err(exists(&row.name)),
            Some(present) => present.changeable(&row.name)?,
            None => role,
        };
        as_owner(config_owner()?, || write(&row, description, tool.limits, &owner))?;
        Ok(row.name)
    })
}

/// Forgets a tool.
///
/// # Errors
/// 42704 where there is none of the name, 42501 where it belongs to another role.
pub fn drop_tool(name: &str) -> Result<()> {
    connect(|| {
        let present = with_safe_search_path(|| Present::find(name))?.ok_or_else(|| unknown(name))?;
        present.changeable(name)?;
        as_owner(config_owner()?, || run("DELETE FROM rag._tool WHERE name = $1", &[Arg::text(name)]))?;
        Ok(())
    })
}

/// A tool that is there already.
struct Present {
    owner: String,
    /// Whether the current role is its owner, or a member of that role.
    mine: bool,
}

impl Present {
    fn find(name: &str) -> Result<Option<Self>> {
        let rows = run(
            "SELECT t.owner::text,
                    coalesce((SELECT pg_has_role(r.oid, 'USAGE') FROM pg_roles r WHERE r.rolname = t.owner), false)
                    OR (SELECT r.rolsuper FROM pg_roles r WHERE r.rolname = CURRENT_USER)
             FROM rag._tool t WHERE t.name = $1",
            &[Arg::text(name)],
        )?;
        Ok(rows.text(0, 0).map(|owner| Self { owner, mine: rows.boolean(0, 1) == Some(true) }))
    }

    /// Its owner, where the current role may change it.
    fn changeable(self, name: &str) -> Result<String> {
        if self.mine {
            return Ok(self.owner);
        }
        Err(Error::forbidden(format!("tool \"{name}\" belongs to {}", self.owner))
            .hint("Choose another name."))
    }
}

fn current_role() -> Result<String> {
    run("SELECT CURRENT_USER::text", &[])?
        .text(0, 0)
        .ok_or_else(|| Error::internal("nobody is the current role"))
}

fn exists(name: &str) -> Error {
    Error::already_exists(format!("tool \"{name}\" already exists"))
        .hint("Choose another name, or replace it: replace => true.")
}

impl NewTool {
    fn row_of_function(&self, oid: pg_sys::Oid, described: bool) -> Result<Row> {
        let function = Function::find(oid)?;
        if !function.allowed {
            return Err(Error::forbidden(format!("permission denied for function {}", function.signature)));
        }
        let name = self.checked_name(&function.name)?;
        if !described && function.comment.is_none() {
            return Err(undescribed(&name));
        }
        of_parameters(&function.parameters)?;
        check_calls(&function)?;
        Ok(Row {
            name,
            function: Some(function.signature),
            function_name: Some(function.name),
            collection: None,
        })
    }

    fn row_of_collection(&self, collection: &str) -> Result<Row> {
        let name = self.checked_name(&format!("search_{collection}"))?;
        of_collection(&name, collection)?;
        Ok(Row { name, function: None, function_name: None, collection: Some(collection.to_owned()) })
    }

    fn checked_name(&self, default: &str) -> Result<String> {
        let name = self.name.as_deref().unwrap_or(default);
        if is_name(name, LONGEST_NAME) {
            return Ok(name.to_owned());
        }
        Err(Error::bad_argument(format!("\"{name}\" is no name that providers take for a tool")).hint(
            format!("Give a name of the letters a to z, digits, _ and -, at most {LONGEST_NAME} of them."),
        ))
    }
}

/// A call with all arguments and one with those that have no default must each mean this function, and no other of its name.
fn check_calls(function: &Function) -> Result<()> {
    for all in [true, false] {
        let given: Vec<_> = function.parameters.iter().filter(|it| all || it.required).collect();
        let names = given.iter().zip(1..).map(|(it, place)| format!("{} => ${place}", quoted(&it.name)));
        let names = names.collect::<Vec<_>>().join(", ");
        let types: Vec<_> = given.iter().map(|it| it.oid).collect();
        check_statement(&format!("SELECT {}({names})", function.call), &types)?;
    }
    Ok(())
}

/// As the owner of the table. One that was made at the same moment by somebody else stays.
fn write(row: &Row, description: Option<&str>, limits: Limits, owner: &str) -> Result<()> {
    let Limits { timeout_ms, max_rows, max_bytes, writes, requires_approval } = limits;
    let values = [
        Arg::text(&row.name),
        Arg::text(owner),
        Arg::optional_text(row.function.as_deref()),
        Arg::optional_text(row.function_name.as_deref()),
        Arg::optional_text(row.collection.as_deref()),
        Arg::optional_text(description),
        Arg::new(timeout_ms),
        Arg::new(max_rows),
        Arg::new(max_bytes),
        Arg::new(writes),
        Arg::new(requires_approval),
    ];
    let written = run(
        "INSERT INTO rag._tool AS t (name, owner, function, function_name, collection, description, timeout_ms, max_rows,
                                     max_bytes, writes, requires_approval)
         VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11)
         ON CONFLICT (name) DO UPDATE
         SET (function, function_name, collection, description, timeout_ms, max_rows, max_bytes, writes,
              requires_approval) =
             (excluded.function, excluded.function_name, excluded.collection, excluded.description, excluded.timeout_ms,
              excluded.max_rows, excluded.max_bytes, excluded.writes, excluded.requires_approval)
         WHERE t.owner = excluded.owner",
        &values,
    )?;
    if written.count == 0 { Err(exists(&row.name)) } else { Ok(()) }
}
