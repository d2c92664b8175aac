//! Reads a table of questions, each with the keys of its relevant rows. The table is read with the caller's rights.

use pgrx::pg_sys;
use ragstone_pg::error::{Error, Result};
use ragstone_pg::identifier::quoted;
use ragstone_pg::own_tables::with_safe_search_path;
use ragstone_pg::relation::find_column_type;
use ragstone_pg::rows::Rows;
use ragstone_pg::spi::{Arg, run_once, select};
use ragstone_pg::value::base_type;
use std::collections::HashMap;

/// The types that the column `grade` may have.
const GRADE_TYPES: [pg_sys::Oid; 6] = [
    pg_sys::INT2OID,
    pg_sys::INT4OID,
    pg_sys::INT8OID,
    pg_sys::FLOAT4OID,
    pg_sys::FLOAT8OID,
    pg_sys::NUMERICOID,
];

/// The columns that a table of questions has.
const EXPECTED: &str = "A table of questions has the columns question, key (of a row that answers it) and, optionally, grade. A view can give the columns of another table these names.";

/// A question.
#[derive(Debug)]
pub struct JudgedQuestion {
    /// Its text.
    pub text: String,
    /// Keys of rows, each with its grade.
    pub judgements: Vec<Judgement>,
}

/// A row of the table of questions.
#[derive(Debug)]
pub struct Judgement {
    /// The key as JSON text: an object with the key's columns, or the value of the only key column.
    pub key: String,
    /// True if the key was given as JSON rather than in a type of its own.
    pub is_json: bool,
    /// How relevant the row is. It is not if the grade is 0 or less.
    pub grade: f64,
}

/// The questions of a table, in the order of their texts, and the table's name.
///
/// # Errors
/// 42P01 if there is no such table, 42703 if a column is missing, 42804 for a grade that is not a number, 22004 for a
/// question that is null, and 22023 if there are no questions or a grade is not finite; the errors of a SELECT of the
/// caller.
pub fn read_questions(table: pg_sys::Oid) -> Result<(Vec<JudgedQuestion>, String)> {
    let name = qualified_name(table)?;
    let column = |column: &str| {
        find_column_type(table, column)?.map(base_type).ok_or_else(|| {
            Error::undefined_column(format!("table of questions {name} has no column \"{column}\""))
                .hint(EXPECTED)
        })
    };
    column("question")?;
    let is_json = [pg_sys::JSONOID, pg_sys::JSONBOID].contains(&column("key")?);
    let grade = match find_column_type(table, "grade")?.map(base_type) {
        None => "1::pg_catalog.float8",
        Some(of) if GRADE_TYPES.contains(&of) => "q.grade::pg_catalog.float8",
        Some(_) => {
            return Err(Error::datatype_mismatch(format!("column \"grade\" of {name} must be a number"))
                .hint("Use an integer: 0 or less for a row that is not relevant."));
        }
    };
    // The key is written by its type's output function, and read again by the input function of the collection's key.
    let key = if is_json { "q.key::pg_catalog.text" } else { "pg_catalog.format('%s', q.key)" };
    let rows = run_once(&format!(
        "SELECT CASE WHEN q.question IS NOT NULL THEN pg_catalog.format('%s', q.question) END,
                CASE WHEN q.key IS NOT NULL THEN {key} END, {grade}
         FROM {name} q"
    ))?;
    let questions = grouped(&rows, is_json, &name)?;
    if questions.is_empty() {
        return Err(Error::bad_argument(format!(
            "table of questions {name} has no row that the current role may read"
        ))
        .hint(EXPECTED));
    }
    Ok((questions, name))
}

/// The name of a table with its schema, quoted.
fn qualified_name(table: pg_sys::Oid) -> Result<String> {
    let find = "SELECT n.nspname::text, c.relname::text FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
                WHERE c.oid = $1";
    let rows = with_safe_search_path(|| select(find, &[Arg::new(table)]))?;
    let (Some(schema), Some(name)) = (rows.text(0, 0), rows.text(0, 1)) else {
        return Err(Error::undefined_table(format!(
            "table of questions with OID {} does not exist",
            table.to_u32()
        )));
    };
    Ok(format!("{}.{}", quoted(&schema), quoted(&name)))
}

fn grouped(rows: &Rows, is_json: bool, table: &str) -> Result<Vec<JudgedQuestion>> {
    let mut by_text: HashMap<String, Vec<Judgement>> = HashMap::new();
    for row in 0..rows.count {
        let Some(text) = rows.text(row, 0) else {
            return Err(Error::null_not_allowed(format!("a question in {table} is null")));
        };
        let grade = rows.float8(row, 2).unwrap_or(1.0);
        if !grade.is_finite() {
            return Err(Error::bad_argument(format!("a grade in {table} is {grade}"))
                .hint("Use an integer: 0 or less for a row that is not relevant."));
        }
        let judgements = by_text.entry(text).or_default();
        // A question without a relevant row has one row with a key that is null.
        if let Some(key) = rows.text(row, 1) {
            judgements.push(Judgement { key, is_json, grade });
        }
    }
    let mut questions: Vec<_> =
        by_text.into_iter().map(|(text, judgements)| JudgedQuestion { text, judgements }).collect();
    questions.sort_by(|a, b| a.text.cmp(&b.text));
    Ok(questions)
}
