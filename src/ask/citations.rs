//! Citations as JSON.

use crate::search::Hit;
use ragstone_core::ask::Citation;
use ragstone_pg::bytes::Jsonb;
use ragstone_pg::error::{Error, Result};

/// A JSON array with an object for each citation. Keys and metadata are copied from `jsonb` as text, so that
/// numbers keep all their digits.
pub fn to_json(citations: &[Citation], hits: &[Hit]) -> Result<Jsonb> {
    let objects = citations.iter().map(|citation| {
        let hit = hits.get(citation.passage);
        object(citation, hit.ok_or_else(|| Error::internal("a citation of no passage"))?)
    });
    Jsonb::from_json(&format!("[{}]", objects.collect::<Result<Vec<_>>>()?.join(",")))
}

fn object(citation: &Citation, hit: &Hit) -> Result<String> {
    Ok(format!(
        r#"{{"number":{},"source_key":{},"title":{},"heading":{},"quote":{},"chunk_id":{},"metadata":{}}}"#,
        citation.number,
        hit.chunk.row.key.to_json()?,
        text(hit.chunk.row.title.as_deref())?,
        text(hit.chunk.stored.heading.as_deref())?,
        text(Some(&citation.quote))?,
        hit.ranked.chunk,
        hit.chunk.row.metadata.to_json()?,
    ))
}

fn text(text: Option<&str>) -> Result<String> {
    serde_json::to_string(&text).map_err(Error::internal)
}
