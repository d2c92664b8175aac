//! Finds the rows that a table of questions names, as a search shows their keys. A row that does not exist and a row
//! that the caller may not read are the same here.

use crate::collections::catalog::collection::Collection;
use crate::evaluation::questions::{JudgedQuestion, Judgement};
use crate::search::{KeyBatch, ShownColumns};
use pgrx::PgLogLevel;
use ragstone_pg::attempt::in_subtransaction;
use ragstone_pg::bytes::Jsonb;
use ragstone_pg::error::{Error, Result};
use ragstone_pg::identifier::quoted;
use ragstone_pg::relation::{column_type, type_names, without_domains};
use ragstone_pg::spi::{Arg, select};
use ragstone_pg::value::Value;
use serde_json::{Map, Value as Json, json};
use std::collections::HashMap;

/// Maximum number of unknown keys that a NOTICE names.
const MAX_EXAMPLES: usize = 3;

/// A row that a question names.
#[derive(Debug, Clone)]
pub struct JudgedRow {
    /// The key as a JSON object, as a search shows it; as it was given if there is no such row.
    pub key: Json,
    /// The grade; the highest one if the table of questions has several.
    pub grade: f64,
}

/// The judged rows of one question, by the bytes of their keys.
pub type JudgedRows = HashMap<Vec<u8>, JudgedRow>;

/// The judged rows of each question. A NOTICE counts the keys without a row that the caller may read.
///
/// # Errors
/// 22023 if a key that is a JSON object does not have the columns of the collection's key.
pub fn judged_rows(collection: &Collection, questions: &[JudgedQuestion]) -> Result<Vec<JudgedRows>> {
    let mut places: HashMap<String, usize> = HashMap::new();
    let mut keys: Vec<Json> = Vec::new();
    let mut judged = Vec::with_capacity(questions.len());
    for question in questions {
        let mut of_question = Vec::with_capacity(question.judgements.len());
        for judgement in &question.judgements {
            let key = key_object(collection, judgement)?;
            let place = *places.entry(key.to_string()).or_insert_with(|| {
                keys.push(key);
                keys.len() - 1
            });
            of_question.push((place, judgement.grade));
        }
        judged.push(of_question);
    }
    let shown = shown_keys(collection, &keys)?;
    notice_unknown(&keys, &shown);
    let row = |(place, grade): (usize, f64)| {
        let (id, key) = match &shown[place] {
            Some(key) => (key.0.clone(), key.to_value()?),
            // No key that a search shows has these bytes.
            None => (place.to_string().into_bytes(), keys[place].clone()),
        };
        Ok::<_, Error>((id, JudgedRow { key, grade }))
    };
    let rows_of = |judged: Vec<(usize, f64)>| {
        let mut rows = JudgedRows::new();
        for judgement in judged {
            let (id, new) = row(judgement)?;
            let known = rows.entry(id).or_insert_with(|| new.clone());
            known.grade = known.grade.max(new.grade);
        }
        Ok(rows)
    };
    judged.into_iter().map(rows_of).collect()
}

/// The key as a JSON object with a member for each key column.
fn key_object(collection: &Collection, judgement: &Judgement) -> Result<Json> {
    let expected =
        || format!("The key of collection \"{}\" is {}.", collection.name, collection.key.join(", "));
    let key = match judgement.is_json {
        true => Jsonb::from_json(&judgement.key)?.to_value()?,
        false => Json::String(judgement.key.clone()),
    };
    let refused = |what: &str| {
        Err(Error::bad_argument(format!("a key of the table of questions {what}: {}", judgement.key))
            .detail(expected())
            .hint("Write a key of several columns as a jsonb object, like source_key of rag.search."))
    };
    match (key, &collection.key[..]) {
        (Json::Object(key), columns) => {
            let is_whole =
                columns.len() == key.len() && columns.iter().all(|column| key.contains_key(column));
            if is_whole { Ok(Json::Object(key)) } else { refused("has other columns") }
        }
        (value, [only]) => Ok(Json::Object(Map::from_iter([(only.clone(), value)]))),
        (_, _) => refused("is not an object"),
    }
}

/// The keys of these rows as a search shows them; None for a row that the caller may not read or that does not exist.
fn shown_keys(collection: &Collection, keys: &[Json]) -> Result<Vec<Option<Jsonb>>> {
    let mut shown: Vec<Option<Jsonb>> = vec![None; keys.len()];
    let columns = ShownColumns::of(collection)?;
    for batch in KeyBatch::of(typed_keys(collection, keys)?) {
        let statement = format!(
            "SELECT k.place, {} FROM {} JOIN {} s ON {}",
            columns.record(),
            batch.list(),
            collection.source_of_any_owner()?.name,
            batch.is_key_of_source(collection)?
        );
        let rows = select(&statement, &batch.arguments())?;
        let found = (0..rows.count).filter_map(|row| Some((rows.int8(row, 0)?, rows.value(row, 1)?)));
        let (places, records): (Vec<_>, Vec<_>) = found.unzip();
        if records.is_empty() {
            continue;
        }
        for (place, row) in places.into_iter().zip(columns.read(collection, &records, None)?) {
            if let (Some(number), Some(row)) = (batch.at(place), row) {
                shown[*number] = Some(row.key);
            }
        }
    }
    Ok(shown)
}

/// The keys in the types of the key columns, each with its position. A key that is no value of these types is left out.
fn typed_keys(collection: &Collection, keys: &[Json]) -> Result<Vec<(Vec<Value>, usize)>> {
    let reader = KeyReader::of(collection)?;
    if let Ok(read) = in_subtransaction(|| reader.read(keys, 0)) {
        return Ok(read);
    }
    let mut read = Vec::new();
    for (place, key) in keys.iter().enumerate() {
        if let Ok(one) = in_subtransaction(|| reader.read(std::slice::from_ref(key), place)) {
            read.extend(one);
        }
    }
    Ok(read)
}

/// Reads keys by the input functions of their types, which no user has written. Domains are replaced by their base
/// types, whose checks would be a user's code.
struct KeyReader {
    statement: String,
    types: Vec<pgrx::pg_sys::Oid>,
}

impl KeyReader {
    fn of(collection: &Collection) -> Result<Self> {
        let source = collection.source_of_any_owner()?.oid;
        let types =
            collection.key.iter().map(|column| column_type(source, column)).collect::<Result<Vec<_>>>()?;
        let plain: Vec<_> = types.iter().map(|of| without_domains(*of)).collect();
        let names = collection.key.iter().map(|column| quoted(column));
        let names: Vec<_> = names.collect();
        let definitions: Vec<_> =
            names.iter().zip(type_names(&plain)?).map(|(name, of)| format!("{name} {of}")).collect();
        let columns: Vec<_> = names.iter().map(|name| format!("r.{name}")).collect();
        let statement = format!(
            "SELECT e.place, {} FROM pg_catalog.jsonb_array_elements($1) WITH ORDINALITY e (key, place)
             CROSS JOIN LATERAL pg_catalog.jsonb_to_record(e.key) AS r ({})",
            columns.join(", "),
            definitions.join(", ")
        );
        Ok(Self { statement, types })
    }

    /// The keys, each with its position; `first` is that of the first one.
    fn read(&self, keys: &[Json], first: usize) -> Result<Vec<(Vec<Value>, usize)>> {
        let keys = Jsonb::from_json(&json!(keys).to_string())?;
        let rows = select(&self.statement, &[Arg::optional_jsonb(Some(&keys))])?;
        let key = |row| -> Option<(Vec<Value>, usize)> {
            let place = usize::try_from(rows.int8(row, 0)?).ok()? + first - 1;
            let value = |(column, of): (usize, &pgrx::pg_sys::Oid)| {
                let mut value = rows.value(row, column + 1)?;
                value.oid = *of;
                Some(value)
            };
            Some((self.types.iter().enumerate().map(value).collect::<Option<_>>()?, place))
        };
        Ok((0..rows.count).filter_map(key).collect())
    }
}

fn notice_unknown(keys: &[Json], shown: &[Option<Jsonb>]) {
    let unknown: Vec<&Json> =
        keys.iter().zip(shown).filter(|(_, shown)| shown.is_none()).map(|(key, _)| key).collect();
    if unknown.is_empty() {
        return;
    }
    let examples: Vec<String> = unknown.iter().take(MAX_EXAMPLES).map(|key| key.to_string()).collect();
    let more = if unknown.len() > MAX_EXAMPLES { ", …" } else { "" };
    Error::information(format!(
        "{} of {} keys in the table of questions belong to no row that the current role may read",
        unknown.len(),
        keys.len()
    ))
    .detail(format!("They count as relevant rows that are not found: {}{more}.", examples.join(", ")))
    .notice(PgLogLevel::NOTICE);
}
