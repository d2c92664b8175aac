//! How much work it is to check a value against a JSON Schema, found before the check: a schema of some hundred bytes can ask for more
//! comparisons than there are atoms, and a check that has begun cannot be ended.
//!
//! Each part of the schema is counted once for each part of the value that it may be applied to and for each way that leads there, so
//! what is counted is at least what a validator without any short cut does.

use std::collections::{HashMap, HashSet};

use serde_json::Value;

/// Most applications of a part of a schema to a part of a value. A validator needs less than a microsecond for each.
const MAX_APPLICATIONS: u64 = 10_000_000;

/// Most pairs of a part of the schema and a part of the value.
const MAX_PAIRS: usize = 1_000_000;

/// Deepest nesting of applications.
const MAX_DEPTH: usize = 1000;

/// Why a check is not made.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub enum TooMuchWork {
    /// A definition refers to itself without going on to a part of the value.
    #[error("a definition refers to itself")]
    Endless,
    /// There are too many ways through the schema.
    #[error("its definitions refer to each other in too many ways")]
    TooManyWays,
    /// A reference that is neither a place in the schema nor the name of one.
    #[error("it has a reference that is no place in it")]
    UnknownReference,
}

/// Counts the applications of a schema's parts to a value's.
///
/// # Errors
/// [`TooMuchWork`].
pub fn check_work(schema: &Value, value: &Value) -> Result<(), TooMuchWork> {
    let mut named = HashMap::new();
    collect_names(schema, &mut named);
    let mut counter = Counter { root: schema, named, counted: HashMap::new(), open: HashSet::new() };
    counter.count(schema, value).map(|_| ())
}

/// Parts of the schema by their `$id`, `#$anchor` and `#$dynamicAnchor`.
fn collect_names<'a>(part: &'a Value, named: &mut HashMap<String, &'a Value>) {
    match part {
        Value::Object(members) => {
            for (keyword, prefix) in [("$id", ""), ("$anchor", "#"), ("$dynamicAnchor", "#")] {
                if let Some(name) = members.get(keyword).and_then(Value::as_str) {
                    named.insert(format!("{prefix}{name}"), part);
                }
            }
            members.values().for_each(|member| collect_names(member, named));
        }
        Value::Array(items) => items.iter().for_each(|item| collect_names(item, named)),
        _ => {}
    }
}

/// A part of the schema and a part of the value, by their addresses.
type Pair = (*const Value, *const Value);

struct Counter<'a> {
    root: &'a Value,
    named: HashMap<String, &'a Value>,
    counted: HashMap<Pair, u64>,
    /// Pairs whose count has begun.
    open: HashSet<Pair>,
}

impl<'a> Counter<'a> {
    fn count(&mut self, schema: &'a Value, value: &'a Value) -> Result<u64, TooMuchWork> {
        let Value::Object(keywords) = schema else { return Ok(1) };
        let pair: Pair = (schema, value);
        if let Some(known) = self.counted.get(&pair) {
            return Ok(*known);
        }
        if self.counted.len() >= MAX_PAIRS || self.open.len() >= MAX_DEPTH {
            return Err(TooMuchWork::TooManyWays);
        }
        if !self.open.insert(pair) {
            return Err(TooMuchWork::Endless);
        }
        let mut total = 1_u64;
        let mut repeats = false;
        for (keyword, argument) in keywords {
            repeats |= keyword.starts_with("unevaluated");
            total = total.saturating_add(self.count_keyword(keyword, argument, value)?);
        }
        if repeats {
            // What was evaluated is found by evaluating it again.
            total = total.saturating_mul(2);
        }
        if total > MAX_APPLICATIONS {
            return Err(TooMuchWork::TooManyWays);
        }
        self.open.remove(&pair);
        self.counted.insert(pair, total);
        Ok(total)
    }

    fn count_keyword(
        &mut self,
        keyword: &str,
        argument: &'a Value,
        value: &'a Value,
    ) -> Result<u64, TooMuchWork> {
        match (keyword, argument) {
            ("$ref" | "$dynamicRef" | "$recursiveRef", Value::String(reference)) => {
                let target = self.target(reference)?;
                self.count(target, value)
            }
            ("allOf" | "anyOf" | "oneOf", Value::Array(schemas)) => self.sum(schemas.iter(), &[value]),
            ("not" | "if" | "then" | "else", schema) => self.count(schema, value),
            ("dependentSchemas" | "dependencies", Value::Object(schemas)) => {
                self.sum(schemas.values(), &[value])
            }
            ("properties", Value::Object(schemas)) => {
                let mut total = 0_u64;
                for (name, schema) in schemas {
                    if let Some(member) = value.get(name) {
                        total = total.saturating_add(self.count(schema, member)?);
                    }
                }
                Ok(total)
            }
            ("patternProperties", Value::Object(schemas)) => self.sum(schemas.values(), &parts(value)),
            ("prefixItems" | "items", Value::Array(schemas)) => self.sum(schemas.iter(), &parts(value)),
            (
                "additionalProperties"
                | "unevaluatedProperties"
                | "propertyNames"
                | "items"
                | "additionalItems"
                | "unevaluatedItems"
                | "contains",
                schema,
            ) => self.sum(std::iter::once(schema), &parts(value)),
            _ => Ok(0),
        }
    }

    fn sum(
        &mut self,
        schemas: impl Iterator<Item = &'a Value>,
        values: &[&'a Value],
    ) -> Result<u64, TooMuchWork> {
        let mut total = 0_u64;
        for schema in schemas {
            for value in values {
                total = total.saturating_add(self.count(schema, value)?);
            }
        }
        Ok(total)
    }

    fn target(&self, reference: &str) -> Result<&'a Value, TooMuchWork> {
        if let Some(named) = self.named.get(reference) {
            return Ok(named);
        }
        let place = reference.strip_prefix('#').ok_or(TooMuchWork::UnknownReference)?;
        let place = percent_encoding::percent_decode_str(place).decode_utf8_lossy();
        self.root.pointer(&place).ok_or(TooMuchWork::UnknownReference)
    }
}

/// The members or elements of a value.
fn parts(value: &Value) -> Vec<&Value> {
    match value {
        Value::Object(members) => members.values().collect(),
        Value::Array(items) => items.iter().collect(),
        _ => Vec::new(),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn usual_schemas_are_little_work() {
        let tree = json!({
            "$defs": { "node": { "type": "object", "properties": {
                "name": { "type": "string" },
                "children": { "type": "array", "items": { "$ref": "#/$defs/node" } }
            }, "additionalProperties": false } },
            "$ref": "#/$defs/node"
        });
        let mut value = json!({ "name": "leaf", "children": [] });
        for _ in 0..40 {
            value = json!({ "name": "node", "children": [value] });
        }
        assert_eq!(check_work(&tree, &value), Ok(()));
        let named =
            json!({ "$defs": { "a": { "$anchor": "age", "type": "integer" } }, "items": { "$ref": "#age" } });
        assert_eq!(check_work(&named, &json!(vec![1; 10_000])), Ok(()));
        assert_eq!(check_work(&json!(true), &json!(1)), Ok(()));
    }

    #[test]
    fn ways_that_double_are_too_many() {
        for keyword in ["anyOf", "allOf", "oneOf"] {
            let mut definitions = serde_json::Map::new();
            for number in 0..40 {
                let next = json!({ "$ref": format!("#/$defs/d{}", number + 1) });
                definitions.insert(format!("d{number}"), json!({ keyword: [next, next] }));
            }
            definitions.insert("d40".into(), json!({ "type": "string" }));
            let schema = json!({ "$defs": definitions, "$ref": "#/$defs/d0" });
            assert_eq!(check_work(&schema, &json!(1)), Err(TooMuchWork::TooManyWays));
        }
    }

    #[test]
    fn ways_that_double_with_the_depth_of_the_value_are_too_many() {
        let schema = json!({ "$defs": { "a": {
            "properties": { "x": { "anyOf": [{ "$ref": "#/$defs/a" }, { "$ref": "#/$defs/a" }] } }
        } }, "$ref": "#/$defs/a" });
        let nested = |depth| (0..depth).fold(json!(1), |value, _| json!({ "x": value }));
        assert_eq!(check_work(&schema, &nested(10)), Ok(()));
        assert_eq!(check_work(&schema, &nested(60)), Err(TooMuchWork::TooManyWays));
    }

    #[test]
    fn what_leads_nowhere_is_refused() {
        let endless =
            json!({ "$defs": { "a": { "anyOf": [{ "$ref": "#/$defs/a" }] } }, "$ref": "#/$defs/a" });
        assert_eq!(check_work(&endless, &json!(1)), Err(TooMuchWork::Endless));
        for reference in ["#/$defs/none", "elsewhere", "#none"] {
            assert_eq!(
                check_work(&json!({ "$ref": reference }), &json!(1)),
                Err(TooMuchWork::UnknownReference)
            );
        }
    }
}
