//! Counts the work of a check of a value against a JSON Schema before the check: a schema of a few hundred bytes can
//! ask for more comparisons than there are atoms, and a check cannot be stopped once it has begun.
//!
//! Each part of the schema is counted once for each part of the value that it may be applied to, and once for each path
//! that leads there. The names and values that it is compared with are counted as well. The count is therefore at least
//! the work of a validator without any shortcut.

use std::collections::{HashMap, HashSet};

use serde_json::Value;

/// Maximum number of applications of a part of a schema to a part of a value. A validator needs less than a microsecond
/// for each.
const MAX_APPLICATIONS: u64 = 10_000_000;

/// Maximum number of pairs of a part of the schema and a part of the value.
const MAX_PAIRS: usize = 1_000_000;

/// Bytes of text that are compared in the time of one application.
const BYTES_PER_APPLICATION: usize = 64;

/// Applications that a lookup in an `enum` counts for: a validator keeps the options in a set if all are strings.
const LOOKUP: u64 = 16;

/// Factor for a pattern that may backtrack; see [`MAX_BACKTRACKS`].
const BACKTRACKING: u64 = 1000;

/// Maximum number of backtracking steps of a pattern.
pub const MAX_BACKTRACKS: usize = 100_000;

/// Maximum nesting of applications.
const MAX_DEPTH: usize = 1000;

/// Why a check is refused.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub enum TooMuchWork {
    /// A definition refers to itself without descending into the value.
    #[error("a definition refers to itself")]
    Endless,
    /// There are too many paths through the schema.
    #[error("its definitions refer to each other in too many ways")]
    TooManyWays,
    /// A reference is neither a place in the schema nor the name of one.
    #[error("it has a reference that is no place in it")]
    UnknownReference,
}

/// Counts the applications of the schema's parts to the value's parts.
///
/// # Errors
/// [`TooMuchWork`] if the count exceeds a limit, or a reference is not valid.
pub fn check_work(schema: &Value, value: &Value) -> Result<(), TooMuchWork> {
    let mut named = HashMap::new();
    collect_names(schema, &mut named);
    let mut counter = Counter {
        root: schema,
        named,
        counted: HashMap::new(),
        open: HashSet::new(),
        sizes: HashMap::new(),
        looked_at: 0,
    };
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
    /// Pairs that are being counted.
    open: HashSet<Pair>,
    /// Work of a comparison with each of these values.
    sizes: HashMap<*const Value, u64>,
    /// Names and values that counting itself has looked at; this work is limited as well.
    looked_at: u64,
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
            // A validator evaluates the keywords again to find what was evaluated.
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
                let names: u64 = schemas.values().map(names).sum();
                Ok(self.sum(schemas.values(), &[value])?.saturating_add(names))
            }
            ("dependentRequired", Value::Object(members)) => {
                Ok(members.values().map(names).sum::<u64>() + members.len() as u64)
            }
            ("required", argument) => Ok(names(argument)),
            ("enum" | "const", argument) => Ok(self.comparison(argument)),
            ("uniqueItems", Value::Bool(true)) => Ok(self.size(value)),
            ("pattern", Value::String(pattern)) => {
                Ok(value.as_str().map_or(1, |text| pattern_work(pattern, text)))
            }
            ("properties", Value::Object(schemas)) => {
                let mut total = self.look_at(schemas.len())?;
                for (name, schema) in schemas {
                    if let Some(member) = value.get(name) {
                        total = total.saturating_add(self.count(schema, member)?);
                    }
                }
                Ok(total)
            }
            ("patternProperties", Value::Object(schemas)) => {
                let mut total = self.sum(schemas.values(), &parts(value))?;
                for name in value.as_object().into_iter().flat_map(|members| members.keys()) {
                    self.look_at(schemas.len())?;
                    total = schemas
                        .keys()
                        .fold(total, |total, key| total.saturating_add(pattern_work(key, name)));
                }
                Ok(total)
            }
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
            total = total.saturating_add(self.look_at(values.len() + 1)?);
            for value in values {
                total = total.saturating_add(self.count(schema, value)?);
            }
        }
        Ok(total)
    }

    fn look_at(&mut self, count: usize) -> Result<u64, TooMuchWork> {
        self.looked_at = self.looked_at.saturating_add(count as u64);
        if self.looked_at > MAX_APPLICATIONS { Err(TooMuchWork::TooManyWays) } else { Ok(count as u64) }
    }

    /// Work of comparing a value with `argument`, or with each of its options.
    fn comparison(&mut self, argument: &'a Value) -> u64 {
        let is_set = |options: &Vec<Value>| options.iter().all(Value::is_string);
        *self.sizes.entry(argument).or_insert_with(|| match argument.as_array() {
            Some(options) if is_set(options) => LOOKUP,
            _ => size_of(argument),
        })
    }

    /// Returns [`size_of`] the value, and computes it once per value.
    fn size(&mut self, value: &'a Value) -> u64 {
        *self.sizes.entry(value).or_insert_with(|| size_of(value))
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

/// Size of a value: the number of its members, elements and parts of texts.
fn size_of(value: &Value) -> u64 {
    match value {
        Value::Object(members) => {
            1 + members.iter().map(|(name, member)| length(name) + size_of(member)).sum::<u64>()
        }
        Value::Array(items) => 1 + items.iter().map(size_of).sum::<u64>(),
        Value::String(text) => length(text),
        _ => 1,
    }
}

fn length(text: &str) -> u64 {
    1 + (text.len() / BYTES_PER_APPLICATION) as u64
}

/// Number of names in a list.
fn names(list: &Value) -> u64 {
    list.as_array().map_or(1, |names| names.len() as u64)
}

/// Work of searching a text for a pattern.
fn pattern_work(pattern: &str, text: &str) -> u64 {
    length(text) * if may_backtrack(pattern) { BACKTRACKING } else { 1 }
}

/// True if a pattern may contain lookarounds, backreferences or possessive parts. The engine for all other patterns
/// never backtracks.
fn may_backtrack(pattern: &str) -> bool {
    let refers = |pair: &[u8]| pair[0] == b'\\' && (pair[1].is_ascii_digit() || b"kgKG".contains(&pair[1]));
    pattern.replace("(?:", "(").contains("(?")
        || ["++", "*+", "?+", "}+"].iter().any(|possessive| pattern.contains(possessive))
        || pattern.as_bytes().windows(2).any(refers)
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
    fn what_values_are_compared_with_is_counted() {
        let many = |count: u64| (0..count).map(|number| json!(number)).collect::<Vec<_>>();
        let names: Vec<_> = (0..5_000).map(|number| format!("name {number}")).collect();
        let members = names.iter().map(|name| (name.clone(), json!({})));
        let properties: serde_json::Map<_, _> = members.clone().collect();
        let lists: serde_json::Map<_, _> = [("a".to_owned(), json!(names))].into_iter().collect();
        let (numbers, objects) = (json!(many(5_000)), json!(vec![json!({ "a": 1 }); 5_000]));
        for (schema, value) in [
            (json!({ "items": { "enum": many(5_000) } }), &numbers),
            (json!({ "items": { "const": many(5_000) } }), &numbers),
            (json!({ "items": { "required": names } }), &objects),
            (json!({ "items": { "dependentRequired": lists } }), &objects),
            (json!({ "items": { "dependencies": lists } }), &objects),
            (json!({ "items": { "properties": properties } }), &objects),
            (json!({ "items": { "patternProperties": properties } }), &objects),
            (json!({ "items": { "uniqueItems": true } }), &json!(vec![many(5_000); 5_000])),
            (json!({ "items": { "pattern": "(?=a)(a+)+b" } }), &json!(vec!["a"; 20_000])),
        ] {
            assert_eq!(
                check_work(&schema, value),
                Err(TooMuchWork::TooManyWays),
                "{}",
                &schema.to_string()[..40]
            );
        }
        let codes = json!({ "items": { "enum": names, "pattern": "^name [0-9]+$" } });
        assert_eq!(check_work(&codes, &json!(vec!["name 1"; 50_000])), Ok(()));
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
