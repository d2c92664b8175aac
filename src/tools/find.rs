//! Looks up tools by name, with the current definition of their function or collection.

use crate::tools::function::Function;
use crate::tools::limits::Limits;
use crate::tools::{Target, Tool, schema};
use pgrx::pg_sys;
use ragstone_pg::arguments::Parameter;
use ragstone_pg::error::{Error, Result};
use ragstone_pg::own_tables::{config_owner, with_safe_search_path};
use ragstone_pg::rows::Rows;
use ragstone_pg::session;
use ragstone_pg::spi::{Arg, connect, run};
use ragstone_pg::switch_user::as_owner;
use serde_json::{Map, Value, json};

/// A row of `rag.tools`.
#[derive(Debug)]
pub struct ListedTool {
    /// Name, by which models call it.
    pub name: String,
    /// Role that created it.
    pub owner: String,
    /// Signature of the function that it calls, if any.
    pub function: Option<String>,
    /// The collection that it searches, if any.
    pub collection: Option<String>,
    /// Limits of a call.
    pub limits: Limits,
    /// The tool, or the error why the current role cannot use it.
    pub tool: Result<Tool>,
}

/// The tools with these names, in this order, if the current role may use them.
///
/// # Errors
/// 42704 if a tool or its collection does not exist; 42883 if its function does not exist; 42501 if the
/// current role may not call the function or read the collection's source.
pub fn find(names: &[String]) -> Result<Vec<Tool>> {
    let listed = read(Arg::texts(names))?;
    let tool = |name: &String| {
        let listed = listed.iter().find(|listed| listed.name == *name).ok_or_else(|| unknown(name))?;
        listed.tool.clone()
    };
    names.iter().map(tool).collect()
}

/// All tools.
pub fn list() -> Result<Vec<ListedTool>> {
    read(Arg::null_texts())
}

/// The error for a tool that does not exist.
pub fn unknown(name: &str) -> Error {
    Error::undefined(format!("tool \"{name}\" does not exist"))
        .hint("See rag.tools, or make it with rag.create_tool.")
}

fn read(names: Arg) -> Result<Vec<ListedTool>> {
    connect(|| {
        with_safe_search_path(|| {
            let rows = run(include_str!("../../sql/queries/tools.sql"), &[names])?;
            Ok((0..rows.count).filter_map(|row| listed(&rows, row)).collect())
        })
    })
}

fn listed(rows: &Rows, row: usize) -> Option<ListedTool> {
    let limits = Limits {
        timeout_ms: rows.int4(row, 6)?,
        max_rows: rows.int4(row, 7)?,
        max_bytes: rows.int4(row, 8)?,
        writes: rows.boolean(row, 9)?,
        requires_approval: rows.boolean(row, 10)?,
    };
    let (name, owner) = (rows.text(row, 0)?, rows.text(row, 1)?);
    let (function, collection) = (rows.text(row, 2), rows.text(row, 4));
    let given = rows.text(row, 5);
    let definition = match (&function, &collection) {
        (Some(signature), _) => define_call(&name, signature, rows.oid(row, 3)),
        (None, Some(collection)) => define_search(&name, collection),
        (None, None) => return None,
    };
    let tool = definition.and_then(|definition| {
        let description = given.or(definition.description).ok_or_else(|| no_description(&name))?;
        Ok(Tool {
            name: name.clone(),
            description,
            schema: definition.schema,
            requires_approval: limits.requires_approval,
            limits,
            parameters: definition.parameters,
            target: definition.target,
        })
    });
    Some(ListedTool { name, owner, function, collection, limits, tool })
}

/// The function or search of a tool, as the catalogue defines it now.
pub struct Definition {
    /// Description of the function or collection, used if the tool has none.
    pub description: Option<String>,
    schema: Value,
    parameters: Vec<Parameter>,
    target: Target,
}

fn define_call(tool: &str, signature: &str, oid: Option<pg_sys::Oid>) -> Result<Definition> {
    let oid = oid.ok_or_else(|| {
        Error::undefined_function(format!("function {signature} of tool \"{tool}\" does not exist")).hint(
            "It was dropped or renamed, or its arguments have changed: create the tool again with rag.create_tool.",
        )
    })?;
    let function = Function::find(oid)?;
    if !function.allowed {
        return Err(Error::forbidden(format!(
            "permission denied for function {signature} of tool \"{tool}\""
        )));
    }
    Ok(Definition {
        description: function.comment,
        schema: schema::of_parameters(&function.parameters)?,
        parameters: function.parameters,
        target: Target::Function { call: function.call, returns: function.returns, strict: function.strict },
    })
}

/// The definition of a tool that searches a collection.
pub fn define_search(tool: &str, collection: &str) -> Result<Definition> {
    let arguments = [Arg::text(collection), Arg::new(session::current_role())];
    let rows =
        as_owner(config_owner()?, || run(include_str!("../../sql/queries/searchable.sql"), &arguments))?;
    if rows.boolean(0, 0) != Some(true) {
        return Err(Error::undefined(format!(
            "collection \"{collection}\" of tool \"{tool}\" does not exist"
        ))
        .hint("See rag.collections."));
    }
    if rows.boolean(0, 1) != Some(true) {
        return Err(Error::forbidden(format!(
            "permission denied for the source of collection \"{collection}\" of tool \"{tool}\""
        ))
        .hint("A search needs SELECT on the source's key, content, title and metadata columns."));
    }
    let mut metadata = Map::new();
    for row in 0..rows.count {
        if let (Some(name), Some(oid)) = (rows.text(row, 3), rows.oid(row, 4)) {
            metadata.insert(name, schema::of_column(oid)?);
        }
    }
    let about = rows.text(0, 2).map_or_else(String::new, |comment| format!(" ({comment})"));
    Ok(Definition {
        description: Some(format!(
            "Searches the collection \"{collection}\"{about} and gives the passages that fit the query best."
        )),
        schema: search_schema(&metadata),
        parameters: search_parameters(!metadata.is_empty()),
        target: Target::Search { collection: collection.to_owned() },
    })
}

fn search_parameters(has_metadata: bool) -> Vec<Parameter> {
    let parameter = |name: &str, oid, type_name: &str, required| Parameter {
        name: name.to_owned(),
        oid,
        type_name: type_name.to_owned(),
        required,
        default: None,
        variadic: false,
    };
    let mut parameters = vec![parameter("query", pg_sys::TEXTOID, "text", true)];
    if has_metadata {
        parameters.push(parameter("filter", pg_sys::JSONBOID, "jsonb", false));
    }
    parameters
}

fn search_schema(metadata: &Map<String, Value>) -> Value {
    let mut properties = Map::new();
    properties.insert(
        "query".to_owned(),
        json!({"type": "string", "description": "a question or words to look for, in natural language"}),
    );
    if !metadata.is_empty() {
        properties.insert(
            "filter".to_owned(),
            json!({
                "type": "object",
                "description": "values that passages must have, exactly; leave out what does not matter",
                "properties": metadata,
                "additionalProperties": false,
            }),
        );
    }
    json!({"type": "object", "properties": properties, "required": ["query"], "additionalProperties": false})
}

/// The error for a tool without a description: models would not know its purpose.
pub fn no_description(name: &str) -> Error {
    Error::bad_argument(format!("tool \"{name}\" has no description")).hint(
        "Models choose tools by their descriptions: use COMMENT ON FUNCTION … IS '…', or give a description.",
    )
}
