//! The operators on the value of a column.

use crate::filter::column::{ColumnKind, FilterColumn};
use crate::filter::condition::{Check, Condition, Relation, Test};
use crate::filter::error::FilterError;
use crate::filter::operand::{Given, Operand};
use serde_json::value::RawValue;

/// The value of a column to which operators apply.
pub struct Subject<'a> {
    /// What the filter calls it.
    pub name: &'a str,
    /// The column.
    pub column: &'a FilterColumn,
    /// The column's position.
    pub place: usize,
    /// The path to a part of it.
    pub path: Vec<String>,
}

impl Subject<'_> {
    /// The condition that an operator makes with its value; `$not`, which takes conditions, is not among them.
    ///
    /// # Errors
    /// If there is no such operator, or if it does not take this value or column.
    pub fn apply(&self, operator: &str, raw: &RawValue) -> Result<Condition, FilterError> {
        match operator {
            "$eq" => self.equal(operator, raw),
            "$ne" => Ok(not(self.equal(operator, raw)?)),
            "$lt" => self.compare(operator, Relation::Less, raw),
            "$lte" => self.compare(operator, Relation::LessOrEqual, raw),
            "$gt" => self.compare(operator, Relation::Greater, raw),
            "$gte" => self.compare(operator, Relation::GreaterOrEqual, raw),
            "$between" => self.between(raw),
            "$in" => self.within(operator, raw),
            "$nin" => Ok(not(self.within(operator, raw)?)),
            "$like" | "$ilike" => self.like(operator, raw),
            "$exists" => self.exists(raw),
            "$contains" => self.contains(operator, raw),
            "$and" | "$or" => Err(FilterError::invalid(
                format!("operator {operator} stands inside column \"{}\"", self.name),
                format!(
                    "Write it outside, as in {{\"{operator}\": [{{\"{0}\": …}}, {{\"{0}\": …}}]}}.",
                    self.name
                ),
            )),
            _ => Err(FilterError::unknown_operator(operator)),
        }
    }

    /// The condition that a value without an operator makes.
    ///
    /// # Errors
    /// As [`apply`](Self::apply).
    pub fn plain(&self, given: &Given, raw: &RawValue) -> Result<Condition, FilterError> {
        match (self.column.kind, given) {
            (_, Given::Null) => self.equal("$eq", raw),
            (ColumnKind::Json, Given::Array(_) | Given::Object(_)) | (ColumnKind::Array, _) => {
                self.contains("$contains", raw)
            }
            (_, Given::Array(_)) => Err(FilterError::invalid(
                format!("column \"{}\" has type {}, not an array", self.name, self.column.type_name),
                "Use $in to look for one of several values.",
            )),
            _ => self.equal("$eq", raw),
        }
    }

    fn test(&self, check: Check) -> Condition {
        Condition::Test(Test { column: self.place, path: self.path.clone(), check })
    }

    fn equal(&self, operator: &str, raw: &RawValue) -> Result<Condition, FilterError> {
        match Given::read(raw.get())? {
            Given::Null => Ok(not(self.test(Check::Exists))),
            given => {
                let operand = self.operand(operator, &given, raw)?;
                Ok(self.test(Check::Compare(Relation::Equal, operand)))
            }
        }
    }

    fn compare(&self, operator: &str, relation: Relation, raw: &RawValue) -> Result<Condition, FilterError> {
        let given = Given::read(raw.get())?;
        match (self.column.kind, &given) {
            (ColumnKind::Unordered, _) => {
                return Err(FilterError::invalid(
                    format!(
                        "operator {operator} does not apply to column \"{}\": type {} has no order",
                        self.name, self.column.type_name
                    ),
                    "Use $eq, $ne, $in, $nin or $exists.",
                ));
            }
            (ColumnKind::Json, Given::Text(_) | Given::Number(_)) => {}
            (ColumnKind::Json, other) => return Err(self.wrong(operator, "a number or a string", other)),
            _ => {}
        }
        let operand = self.operand(operator, &given, raw)?;
        Ok(self.test(Check::Compare(relation, operand)))
    }

    fn between(&self, raw: &RawValue) -> Result<Condition, FilterError> {
        let given = Given::read(raw.get())?;
        match &given {
            Given::Array(ends) => match ends.as_slice() {
                [low, high] => Ok(Condition::All(vec![
                    self.compare("$between", Relation::GreaterOrEqual, low)?,
                    self.compare("$between", Relation::LessOrEqual, high)?,
                ])),
                _ => Err(self.wrong("$between", "an array of two values", &given)),
            },
            _ => Err(self.wrong("$between", "an array of two values", &given)),
        }
    }

    /// A `null` among the values stands for rows without the value, as it does alone.
    fn within(&self, operator: &str, raw: &RawValue) -> Result<Condition, FilterError> {
        let items = match Given::read(raw.get())? {
            Given::Array(items) => items,
            other => return Err(self.wrong(operator, "an array of values", &other)),
        };
        let (mut operands, mut has_null) = (Vec::with_capacity(items.len()), false);
        for item in &items {
            match Given::read(item.get())? {
                Given::Null => has_null = true,
                given => operands.push(self.operand(operator, &given, item)?),
            }
        }
        let among = self.test(Check::In(operands));
        Ok(if has_null { Condition::Any(vec![among, not(self.test(Check::Exists))]) } else { among })
    }

    fn like(&self, operator: &str, raw: &RawValue) -> Result<Condition, FilterError> {
        let given = Given::read(raw.get())?;
        if !matches!(self.column.kind, ColumnKind::Text | ColumnKind::Json) {
            return Err(FilterError::invalid(
                format!(
                    "operator {operator} does not apply to column \"{}\" of type {}",
                    self.name, self.column.type_name
                ),
                "It compares texts.",
            ));
        }
        let Given::Text(pattern) = given else {
            return Err(self.wrong(operator, "a string", &given));
        };
        // PostgreSQL refuses such a pattern only where a text reaches its end, which would tell about rows that the
        // caller may not see.
        if pattern.bytes().rev().take_while(|byte| *byte == b'\\').count() % 2 == 1 {
            return Err(FilterError::invalid(
                format!("pattern of operator {operator} for column \"{}\" ends with a backslash", self.name),
                "Write two backslashes for one that is meant.",
            ));
        }
        Ok(self.test(Check::Like { pattern, ignores_case: operator == "$ilike" }))
    }

    fn exists(&self, raw: &RawValue) -> Result<Condition, FilterError> {
        match Given::read(raw.get())? {
            Given::Boolean(true) => Ok(self.test(Check::Exists)),
            Given::Boolean(false) => Ok(not(self.test(Check::Exists))),
            other => Err(self.wrong("$exists", "true or false", &other)),
        }
    }

    fn contains(&self, operator: &str, raw: &RawValue) -> Result<Condition, FilterError> {
        let given = Given::read(raw.get())?;
        let operand = match (self.column.kind, &given) {
            (ColumnKind::Text, _) => {
                return Err(FilterError::invalid(
                    format!(
                        "operator {operator} does not apply to column \"{}\", which is a text",
                        self.name
                    ),
                    "Use $like or $ilike to look for a part of a text.",
                ));
            }
            (ColumnKind::Ordered | ColumnKind::Unordered, _) => {
                return Err(FilterError::invalid(
                    format!(
                        "operator {operator} does not apply to column \"{}\" of type {}",
                        self.name, self.column.type_name
                    ),
                    "Arrays and JSON contain something.",
                ));
            }
            (ColumnKind::Array, Given::Text(_) | Given::Number(_) | Given::Boolean(_)) => {
                Operand { json: format!("[{}]", raw.get()), text: None }
            }
            (ColumnKind::Json, Given::Null) => return Err(self.wrong(operator, "a JSON value", &given)),
            _ => self.operand(operator, &given, raw)?,
        };
        Ok(self.test(Check::Contains(operand)))
    }

    /// The value, if its JSON type is one that the column's values have.
    fn operand(&self, operator: &str, given: &Given, raw: &RawValue) -> Result<Operand, FilterError> {
        let is_scalar = matches!(given, Given::Text(_) | Given::Number(_) | Given::Boolean(_));
        match (self.column.kind, given) {
            (ColumnKind::Json, Given::Null) => Err(self.wrong(operator, "a value", given)),
            (ColumnKind::Json, _) | (ColumnKind::Text, Given::Text(_)) => Ok(given.operand(raw.get())),
            (ColumnKind::Text, _) => Err(self.wrong(operator, "a string", given)),
            (ColumnKind::Array, Given::Array(items)) => {
                if items.iter().any(|item| matches!(item.get().as_bytes().first(), Some(b'n' | b'{'))) {
                    return Err(FilterError::invalid(
                        format!(
                            "array for column \"{}\" has an element that is null or an object",
                            self.name
                        ),
                        "Use $exists to look for rows without a value.",
                    ));
                }
                Ok(given.operand(raw.get()))
            }
            (ColumnKind::Array, _) => Err(self.wrong(operator, "an array", given)),
            (ColumnKind::Ordered | ColumnKind::Unordered, _) if is_scalar => Ok(given.operand(raw.get())),
            _ => Err(self.wrong(operator, "a string, number or boolean", given)),
        }
    }

    fn wrong(&self, operator: &str, expected: &str, given: &Given) -> FilterError {
        FilterError::invalid(
            format!(
                "operator {operator} for column \"{}\" expects {expected}, not {}",
                self.name,
                given.kind()
            ),
            format!("The column has type {}.", self.column.type_name),
        )
    }
}

/// The opposite of a condition.
pub fn not(condition: Condition) -> Condition {
    match condition {
        Condition::Not(condition) => *condition,
        other => Condition::Not(Box::new(other)),
    }
}
