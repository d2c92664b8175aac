//! `rag.create_tool`, `rag.create_search_tool` and `rag.drop_tool`.

use crate::tools::find::{define_search, no_description, unknown};
use crate::tools::function::Function;
use crate::tools::limits::Limits;
use crate::tools::schema::{is_name, of_parameters};
use pgrx::pg_sys;
use ragstone_pg::error::{Error, Result};
use ragstone_pg::identifier::quoted;
use ragstone_pg::own_tables::{config_owner, with_safe_search_path};
use ragstone_pg::owner::Owner;
use ragstone_pg::spi::{Arg, check_statement, connect, run};
use ragstone_pg::switch_user::as_owner;

/// Maximum length of a tool's name that all providers accept.
const MAX_NAME_BYTES: usize = 64;

/// The function or collection that a tool calls.
#[derive(Debug)]
pub enum Subject {
    /// A function.
    Function(pg_sys::Oid),
    /// The search of a collection.
    Collection(String),
}

/// The arguments of `rag.create_tool` and `rag.create_search_tool`.
#[derive(Debug)]
pub struct NewTool {
    /// The function or collection that the tool calls.
    pub subject: Subject,
    /// Name; None stands for the function's name, or `search_` and the collection's name.
    pub name: Option<String>,
    /// Description for models; None stands for the function's comment.
    pub description: Option<String>,
    /// Limits of a call.
    pub limits: Limits,
    /// True if an existing tool of this name is replaced, provided that the current role owns it.
    pub replace: bool,
}

/// A row of `rag._tool`.
struct ToolRow {
    name: String,
    function: Option<String>,
    function_name: Option<String>,
    collection: Option<String>,
}

/// Creates a tool and returns its name.
///
/// # Errors
/// 0A000 if the function cannot be a tool; 42501 if the current role may not call it, or if the tool belongs
/// to another role; 42710 if the name exists; 22023 if the name, the description or a limit is not valid.
pub fn create(tool: &NewTool) -> Result<String> {
    tool.limits.check()?;
    let description = tool.description.as_deref().filter(|description| !description.trim().is_empty());
    connect(|| {
        let row = with_safe_search_path(|| match &tool.subject {
            Subject::Function(oid) => tool.row_of_function(*oid, description.is_some()),
            Subject::Collection(collection) => tool.row_of_collection(collection),
        })?;
        let existing = with_safe_search_path(|| ExistingTool::find(&row.name))?;
        let owner = match existing {
            Some(_) if !tool.replace => return Err(already_exists(&row.name)),
            Some(existing) => existing.checked_owner(&row.name)?,
            None => Owner::who_makes()?.to_text()?,
        };
        as_owner(config_owner()?, || write(&row, description, tool.limits, &owner))?;
        Ok(row.name)
    })
}

/// Deletes a tool.
///
/// # Errors
/// 42704 if the tool does not exist, 42501 if it belongs to another role.
pub fn drop_tool(name: &str) -> Result<()> {
    connect(|| {
        let existing = with_safe_search_path(|| ExistingTool::find(name))?.ok_or_else(|| unknown(name))?;
        existing.checked_owner(name)?;
        as_owner(config_owner()?, || run("DELETE FROM rag._tool WHERE name = $1", &[Arg::text(name)]))?;
        Ok(())
    })
}

/// The owner of an existing tool.
struct ExistingTool {
    owner: String,
    /// True if the current role is the owner or a member of the owner.
    mine: bool,
}

impl ExistingTool {
    fn find(name: &str) -> Result<Option<Self>> {
        let rows = run(
            "SELECT t.owner::text,
                    coalesce(pg_has_role(rag._role_of(t.owner), 'USAGE'), false)
                    OR (SELECT r.rolsuper FROM pg_roles r WHERE r.rolname = CURRENT_USER)
             FROM rag._tool t WHERE t.name = $1",
            &[Arg::text(name)],
        )?;
        Ok(rows.text(0, 0).map(|owner| Self { owner, mine: rows.boolean(0, 1) == Some(true) }))
    }

    /// The owner, if the current role may change the tool.
    fn checked_owner(self, name: &str) -> Result<String> {
        if self.mine {
            return Ok(self.owner);
        }
        Err(Error::forbidden(format!("tool \"{name}\" belongs to {}", self.owner))
            .hint("Choose another name."))
    }
}

fn already_exists(name: &str) -> Error {
    Error::already_exists(format!("tool \"{name}\" already exists"))
        .hint("Choose another name, or replace the tool with replace => true.")
}

impl NewTool {
    fn row_of_function(&self, oid: pg_sys::Oid, described: bool) -> Result<ToolRow> {
        let function = Function::find(oid)?;
        if !function.allowed {
            return Err(Error::forbidden(format!("permission denied for function {}", function.signature)));
        }
        let name = self.checked_name(&function.name)?;
        if !described && function.comment.is_none() {
            return Err(no_description(&name));
        }
        of_parameters(&function.parameters)?;
        check_calls(&function)?;
        Ok(ToolRow {
            name,
            function: Some(function.signature),
            function_name: Some(function.name),
            collection: None,
        })
    }

    fn row_of_collection(&self, collection: &str) -> Result<ToolRow> {
        let default = format!("search_{collection}");
        define_search(self.name.as_deref().unwrap_or(&default), collection)?;
        let name = self.checked_name(&default)?;
        Ok(ToolRow { name, function: None, function_name: None, collection: Some(collection.to_owned()) })
    }

    fn checked_name(&self, default: &str) -> Result<String> {
        let name = self.name.as_deref().unwrap_or(default);
        if is_name(name, MAX_NAME_BYTES) {
            return Ok(name.to_owned());
        }
        Err(Error::bad_argument(format!("\"{name}\" is not a tool name that providers accept"))
            .hint(format!("Give a name of at most {MAX_NAME_BYTES} letters a to z, digits, _ and -.")))
    }
}

/// Checks that a call with all arguments and a call with those that have no default both resolve to this
/// overload of the function.
fn check_calls(function: &Function) -> Result<()> {
    for all in [true, false] {
        let given: Vec<_> = function.parameters.iter().filter(|it| all || it.required).collect();
        let names = given.iter().zip(1..).map(|(it, number)| format!("{} => ${number}", quoted(&it.name)));
        let names = names.collect::<Vec<_>>().join(", ");
        let types: Vec<_> = given.iter().map(|it| it.oid).collect();
        check_statement(&format!("SELECT {}({names})", function.call), &types)?;
    }
    Ok(())
}

/// Writes the row, as the owner of the table. A tool that another role creates at the same time is not
/// replaced.
fn write(row: &ToolRow, description: Option<&str>, limits: Limits, owner: &str) -> Result<()> {
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
    if written.count == 0 { Err(already_exists(&row.name)) } else { Ok(()) }
}
