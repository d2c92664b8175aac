//! Reads a filter.

use crate::filter::column::{ColumnKind, FilterColumn};
use crate::filter::condition::Condition;
use crate::filter::error::{FilterError, OPERATORS};
use crate::filter::operand::Given;
use crate::filter::operators::{Subject, not};
use crate::filter::resolve::resolve;
use serde_json::value::RawValue;
use std::collections::BTreeMap;

/// Maximum number of conditions.
const MAX_CONDITIONS: usize = 1_000;

/// Maximum nesting of `$and`, `$or` and `$not`.
const MAX_DEPTH: usize = 32;

/// Parses a filter on these columns.
///
/// # Errors
/// If it is not a JSON object of conditions, or names a column or an operator that there is not.
pub fn parse(json: &str, columns: &[FilterColumn]) -> Result<Condition, FilterError> {
    let mut parser = FilterParser { columns, conditions: 0 };
    parser.object("the filter", json, MAX_DEPTH)
}

/// True if this is a filter, and false for `null`, which stands for none.
///
/// # Errors
/// If it is any other JSON.
pub fn is_given(json: &str) -> Result<bool, FilterError> {
    match Given::read(json)? {
        Given::Null => Ok(false),
        Given::Object(_) => Ok(true),
        other => Err(no_object("the filter", &other)),
    }
}

fn no_object(what: &str, given: &Given) -> FilterError {
    FilterError::invalid(
        format!("{what} must be a JSON object of conditions, not {}", given.kind()),
        "Write it as in {\"price\": {\"$lt\": 100}, \"shop\": \"a\"}.",
    )
}

struct FilterParser<'a> {
    columns: &'a [FilterColumn],
    /// Number of conditions so far.
    conditions: usize,
}

impl FilterParser<'_> {
    fn object(&mut self, what: &str, json: &str, depth_left: usize) -> Result<Condition, FilterError> {
        let members = match Given::read(json)? {
            Given::Object(members) => members,
            other => return Err(no_object(what, &other)),
        };
        let depth_left = depth_left.checked_sub(1).ok_or_else(FilterError::too_deep)?;
        let conditions: Result<Vec<_>, _> =
            members.iter().map(|(name, raw)| self.member(name, raw, depth_left)).collect();
        Ok(all(conditions?))
    }

    fn member(&mut self, name: &str, raw: &RawValue, depth_left: usize) -> Result<Condition, FilterError> {
        let is_column = self.columns.iter().any(|column| column.name == name);
        match name {
            _ if is_column => self.column(name, raw, depth_left),
            "$and" => Ok(all(self.list(name, raw, depth_left)?)),
            "$or" => Ok(Condition::Any(self.list(name, raw, depth_left)?)),
            // An array stands for conditions none of which may be true.
            "$not" if raw.get().starts_with('[') => {
                Ok(not(Condition::Any(self.list(name, raw, depth_left)?)))
            }
            "$not" => Ok(not(self.object("the value of $not", raw.get(), depth_left)?)),
            _ if OPERATORS.contains(&name) => Err(FilterError::invalid(
                format!("operator {name} stands outside of a column"),
                format!("Write it as in {{\"column\": {{\"{name}\": …}}}}."),
            )),
            _ if name.starts_with('$') => Err(FilterError::unknown_operator(name)),
            _ => self.column(name, raw, depth_left),
        }
    }

    fn list(&mut self, name: &str, raw: &RawValue, depth_left: usize) -> Result<Vec<Condition>, FilterError> {
        match Given::read(raw.get())? {
            Given::Array(items) if !items.is_empty() => items
                .iter()
                .map(|item| self.object(&format!("an element of {name}"), item.get(), depth_left))
                .collect(),
            other => {
                let found = if matches!(other, Given::Array(_)) { "an empty one" } else { other.kind() };
                Err(FilterError::invalid(
                    format!("operator {name} expects an array of filters, not {found}"),
                    format!("Write it as in {{\"{name}\": [{{\"price\": 1}}, {{\"shop\": \"a\"}}]}}."),
                ))
            }
        }
    }

    fn column(&mut self, name: &str, raw: &RawValue, depth_left: usize) -> Result<Condition, FilterError> {
        let columns = self.columns;
        let (place, path) = resolve(name, columns)?;
        let subject = Subject { name, column: &columns[place], place, path };
        self.value(&subject, raw, depth_left)
    }

    /// The condition of a column's value: a plain value, or an object of operators.
    fn value(
        &mut self,
        subject: &Subject,
        raw: &RawValue,
        depth_left: usize,
    ) -> Result<Condition, FilterError> {
        let depth_left = depth_left.checked_sub(1).ok_or_else(FilterError::too_deep)?;
        let given = Given::read(raw.get())?;
        let members = match &given {
            Given::Object(members) if is_of_operators(subject, members)? => members,
            _ => {
                self.count()?;
                return subject.plain(&given, raw);
            }
        };
        let conditions: Result<Vec<_>, _> = members
            .iter()
            .map(|(operator, raw)| {
                if operator == "$not" {
                    return Ok(not(self.value(subject, raw, depth_left)?));
                }
                self.count()?;
                subject.apply(operator, raw)
            })
            .collect();
        Ok(all(conditions?))
    }

    fn count(&mut self) -> Result<(), FilterError> {
        self.conditions += 1;
        if self.conditions > MAX_CONDITIONS { Err(FilterError::too_many(MAX_CONDITIONS)) } else { Ok(()) }
    }
}

/// True if an object has operators. Otherwise it is a JSON value, which only JSON contains.
fn is_of_operators(
    subject: &Subject,
    members: &BTreeMap<String, Box<RawValue>>,
) -> Result<bool, FilterError> {
    let operators = members.keys().filter(|name| name.starts_with('$')).count();
    match (subject.column.kind, members.keys().find(|name| !name.starts_with('$'))) {
        (ColumnKind::Json, _) if operators == 0 => Ok(false),
        (ColumnKind::Json, Some(name)) => Err(FilterError::invalid(
            format!("column \"{}\" has operators and the member \"{name}\" in one object", subject.name),
            "Write a JSON value whose names begin with $ as the value of $contains or $eq.",
        )),
        (_, Some(name)) => Err(FilterError::unknown_operator(name)),
        (_, None) if operators == 0 => Err(FilterError::invalid(
            format!("column \"{}\" has an empty object of operators", subject.name),
            "Write it as in {\"price\": {\"$lt\": 100}}.",
        )),
        (_, None) => Ok(true),
    }
}

fn all(mut conditions: Vec<Condition>) -> Condition {
    match conditions.len() {
        1 => conditions.remove(0),
        _ => Condition::All(conditions),
    }
}
