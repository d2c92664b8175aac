//! The argument `variants` of `rag.evaluate`: named sets of options of `rag.search`.

use crate::api::search::SearchArguments;
use crate::evaluation::Variant;
use ragstone_core::suggest::nearest;
use ragstone_pg::bytes::Jsonb;
use ragstone_pg::error::{Error, Result};
use ragstone_pg::text::Utf8;
use serde_json::{Map, Value};

/// Name of the variant with the defaults of `rag.search`, with which the others are compared.
const DEFAULT: &str = "default";

/// Maximum number of variants.
const MAX_VARIANTS: usize = 100;

/// The options of a variant, in the order of the arguments of `rag.search`.
const OPTIONS: [&str; 9] =
    ["collection", "mode", "filter", "fusion", "vector_weight", "syntax", "typos", "depth", "min_similarity"];

/// The variants in the order of their names, after the one with the defaults, which another of this name replaces.
///
/// # Errors
/// 22023 if it is not an object of objects, or an option is unknown or has a value that `rag.search` does not take; 54000 if
/// there are too many.
pub fn parse_variants(variants: Option<&Jsonb>, collection: &str, k: i32) -> Result<Vec<Variant>> {
    let given = match variants.map(Jsonb::to_value).transpose()? {
        None | Some(Value::Null) => Map::new(),
        Some(Value::Object(given)) => given,
        Some(other) => {
            return Err(Error::bad_argument(format!("variants must be a JSON object, not {}", kind(&other)))
                .hint("Name each variant: '{\"text\": {\"mode\": \"text\"}}'."));
        }
    };
    let count = given.len();
    if count > MAX_VARIANTS {
        return Err(Error::over_limit(format!(
            "variants has {count} members, and at most {MAX_VARIANTS} are compared"
        )));
    }
    let none = Value::Object(Map::new());
    let first = given.get(DEFAULT).unwrap_or(&none);
    let others = given.iter().filter(|(name, _)| *name != DEFAULT);
    let others = others.map(|(name, options)| (name.as_str(), options));
    let all = std::iter::once((DEFAULT, first)).chain(others);
    all.map(|(name, options)| parse_variant(name, options, collection, k)).collect()
}

fn parse_variant(name: &str, options: &Value, collection: &str, k: i32) -> Result<Variant> {
    let Value::Object(given) = options else {
        return Err(Error::bad_argument(format!(
            "variant \"{name}\" must be a JSON object with options of rag.search, not {}",
            kind(options)
        )));
    };
    if let Some(unknown) = given.keys().find(|option| !OPTIONS.contains(&option.as_str())) {
        let error = Error::bad_argument(format!("unknown option \"{unknown}\" of variant \"{name}\""));
        return Err(match (unknown.as_str(), nearest(unknown, &OPTIONS)) {
            ("per_source", _) => {
                error.hint("Each row of the source counts once, so per_source is always true.")
            }
            (_, Some(near)) => error.hint(format!("Perhaps you meant \"{near}\".")),
            (_, None) => error.hint(format!("The options are {}.", OPTIONS.join(", "))),
        });
    }
    let options = GivenOptions { variant: name, given };
    let arguments = SearchArguments {
        collection: Some(options.text("collection")?.unwrap_or_else(|| collection.into())),
        query: Some("".into()),
        k: Some(k),
        mode: options.text("mode")?,
        filter: options.filter()?,
        fusion: options.text("fusion")?,
        vector_weight: options.number("vector_weight")?,
        per_source: Some(true),
        scores: Some(false),
        syntax: options.text("syntax")?,
        typos: options.boolean("typos")?,
        depth: options.integer("depth")?,
        min_similarity: options.number("min_similarity")?,
        ..SearchArguments::default()
    };
    let request =
        arguments.request().map_err(|error| error.with_fact(format!("Variant \"{name}\" has it.")))?;
    Ok(Variant { name: name.to_owned(), options: Value::Object(given.clone()), request })
}

/// The options of a variant; null stands for the default.
struct GivenOptions<'a> {
    variant: &'a str,
    given: &'a Map<String, Value>,
}

impl GivenOptions<'_> {
    fn read<T>(&self, option: &str, expected: &str, read: impl Fn(&Value) -> Option<T>) -> Result<Option<T>> {
        let Some(value) = self.given.get(option).filter(|value| !value.is_null()) else { return Ok(None) };
        read(value).map(Some).ok_or_else(|| {
            Error::bad_argument(format!(
                "option \"{option}\" of variant \"{}\" must be {expected}, not {}",
                self.variant,
                kind(value)
            ))
        })
    }

    fn text(&self, option: &str) -> Result<Option<Utf8>> {
        self.read(option, "a string", |value| value.as_str().map(Utf8::from))
    }

    fn number(&self, option: &str) -> Result<Option<f64>> {
        self.read(option, "a number", Value::as_f64)
    }

    fn integer(&self, option: &str) -> Result<Option<i32>> {
        self.read(option, "an integer", |value| i32::try_from(value.as_i64()?).ok())
    }

    fn boolean(&self, option: &str) -> Result<Option<bool>> {
        self.read(option, "true or false", Value::as_bool)
    }

    fn filter(&self) -> Result<Option<Jsonb>> {
        let filter =
            self.read("filter", "an object", |value| value.is_object().then(|| value.to_string()))?;
        filter.map(|filter| Jsonb::from_json(&filter)).transpose()
    }
}

/// A JSON value in an error message.
fn kind(value: &Value) -> String {
    match value {
        Value::Array(_) => "an array".into(),
        Value::Object(_) => "an object".into(),
        Value::String(_) => "a string".into(),
        other => other.to_string(),
    }
}
