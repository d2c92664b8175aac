//! The arguments of `rag.search`.

use pgrx::PgLogLevel;
use ragstone_core::filter::is_given;
use ragstone_core::fusion::Fusion;
use ragstone_core::query_syntax::{MAX_OPERATORS, WebQuery};
use ragstone_pg::bytes::Jsonb;
use ragstone_pg::error::{Error, Result};
use std::ops::RangeInclusive;

/// Maximum number of hits.
const MAX_K: i32 = 10_000;

/// Maximum number of results that pages show.
pub const MAX_PAGED: usize = 1_000;

/// Length of each ranking in a block of results, in chunks, if the caller does not choose. With a weight of 0.5,
/// the mean nDCG@10 over SciFact, Cranfield and a set of Anthropic's documentation is 0.700 for depths of 50, 100
/// and 200, and 0.697 for 1,000; with 100, weights of 0.4 and 0.6 give 0.695 and 0.697. Looking up the scores that
/// a chunk has only in the other ranking gains nothing (0.698).
const DEFAULT_DEPTH: usize = 100;

/// The depths that a caller may choose, in chunks.
const DEPTHS: RangeInclusive<i32> = 20..=1_000;

/// The rankings that a search uses.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Mode {
    /// Vector and text ranking, fused.
    Hybrid,
    /// Vector ranking only.
    Vector,
    /// Text ranking only.
    Text,
}

/// A search.
#[derive(Debug)]
pub struct SearchRequest {
    /// Name of the collection.
    pub collection: String,
    /// Text to search for.
    pub query: String,
    /// Maximum number of hits.
    pub k: usize,
    /// Number of hits, from the best on, that are passed over: those of earlier pages.
    pub page_offset: usize,
    /// Length of each ranking in a block of results, in chunks.
    pub depth: usize,
    /// Minimum cosine similarity of a hit and the query.
    pub min_similarity: Option<f64>,
    /// True if the hits' similarities are needed in text mode as well.
    pub needs_similarity: bool,
    /// The rankings that the search uses.
    pub mode: Mode,
    /// Conditions on the metadata, in the filter language.
    pub filter: Option<Jsonb>,
    /// Fusion method of the two rankings.
    pub fusion: Fusion,
    /// True if each row of the source occurs only once, with its best chunk.
    pub per_source: bool,
    /// True if scores and ranks are shown.
    pub scores: bool,
    /// Syntax of the query.
    pub syntax: Syntax,
    /// True if a word that no chunk contains is expanded to words with a similar spelling.
    pub typos: bool,
}

/// Syntax of a query.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Syntax {
    /// Words only.
    Plain,
    /// Words and operators.
    Web,
}

impl Syntax {
    /// The syntax with this name in SQL.
    pub fn parse(syntax: &str) -> Result<Self> {
        match syntax {
            "plain" => Ok(Self::Plain),
            "web" => Ok(Self::Web),
            _ => {
                Err(Error::bad_argument(format!("unknown syntax \"{syntax}\"")).hint("Use 'plain' or 'web'."))
            }
        }
    }
}

/// A parsed query.
#[derive(Debug)]
pub struct ParsedQuery {
    /// The words without operators, as they are embedded.
    pub embedded: String,
    /// The words among these that are looked up like a text.
    pub plain: String,
    /// The operators.
    pub operators: Option<WebQuery>,
}

impl ParsedQuery {
    /// Parses the query of a request. A NOTICE says if the query has more operators than are read.
    pub fn new(request: &SearchRequest) -> Self {
        Self::of_text(&request.query, request.syntax)
    }

    /// As [`new`](Self::new), for a query in a syntax.
    pub fn of_text(query: &str, syntax: Syntax) -> Self {
        let operators = (syntax == Syntax::Web).then(|| WebQuery::parse(query));
        if operators.as_ref().is_some_and(|query| query.is_cut) {
            let limit =
                format!("what follows the first {MAX_OPERATORS} operators of the query is read as words");
            Error::information(limit).notice(PgLogLevel::NOTICE);
        }
        let read =
            |words: fn(&WebQuery) -> String| operators.as_ref().map_or_else(|| query.to_owned(), words);
        let (embedded, plain) = (read(WebQuery::plain), read(WebQuery::plain_without_prefixes));
        Self { embedded, plain, operators }
    }

    /// True if the operators demand something of each hit.
    pub fn makes_demands(&self) -> bool {
        self.operators.as_ref().is_some_and(|query| !query.required.is_empty() || !query.excluded.is_empty())
    }
}

impl Mode {
    /// The mode with this name in SQL.
    pub fn parse(mode: &str) -> Result<Self> {
        match mode {
            "hybrid" => Ok(Self::Hybrid),
            "vector" => Ok(Self::Vector),
            "text" => Ok(Self::Text),
            _ => Err(Error::bad_argument(format!("unknown mode \"{mode}\""))
                .hint("Use 'hybrid', 'vector' or 'text'.")),
        }
    }

    /// The mode's name in SQL.
    pub fn name(self) -> &'static str {
        match self {
            Self::Hybrid => "hybrid",
            Self::Vector => "vector",
            Self::Text => "text",
        }
    }

    /// True if the vector ranking is used.
    pub fn has_vector(self) -> bool {
        self != Self::Text
    }

    /// True if the text ranking is used.
    pub fn has_text(self) -> bool {
        self != Self::Vector
    }
}

/// Checks the argument `k`.
pub fn parse_k(k: i32) -> Result<usize> {
    parse_k_up_to(MAX_K, k)
}

/// As [`parse_k`], with another maximum.
pub fn parse_k_up_to(max: i32, k: i32) -> Result<usize> {
    if (1..=max).contains(&k) {
        return Ok(k as usize);
    }
    Err(Error::bad_argument(format!("k must be from 1 to {max}, not {k}")))
}

/// Checks the argument `page_offset` beside `k`.
pub fn parse_page_offset(page_offset: i32, k: usize) -> Result<usize> {
    let Ok(page_offset) = usize::try_from(page_offset) else {
        return Err(Error::bad_argument(format!("page_offset must not be negative, and is {page_offset}")));
    };
    if page_offset > 0 && page_offset.saturating_add(k) > MAX_PAGED {
        return Err(Error::bad_argument(format!(
            "k + page_offset must be at most {MAX_PAGED}, not {}",
            page_offset.saturating_add(k)
        ))
        .hint(format!(
            "Restrict the search with filter or min_similarity, or omit page_offset: k alone may be up to {MAX_K}."
        )));
    }
    Ok(page_offset)
}

/// Checks the argument `depth`.
pub fn parse_depth(depth: Option<i32>) -> Result<usize> {
    let Some(depth) = depth else { return Ok(DEFAULT_DEPTH) };
    if DEPTHS.contains(&depth) {
        return Ok(depth as usize);
    }
    let (least, most) = (DEPTHS.start(), DEPTHS.end());
    Err(Error::bad_argument(format!("depth must be from {least} to {most} chunks, not {depth}")))
}

/// Checks the argument `min_similarity`.
pub fn parse_min_similarity(min_similarity: f64) -> Result<f64> {
    if (-1.0..=1.0).contains(&min_similarity) {
        return Ok(min_similarity);
    }
    Err(Error::bad_argument(format!("min_similarity must be from -1 to 1, not {min_similarity}")))
}

/// The filter of a request; `null` stands for none.
///
/// # Errors
/// 22023 if it is not a JSON object.
pub fn parse_filter(filter: Option<Jsonb>) -> Result<Option<Jsonb>> {
    let Some(filter) = filter else { return Ok(None) };
    let given = is_given(&filter.to_json()?);
    let is_given = given.map_err(|error| Error::bad_argument(error.message).hint(error.hint))?;
    Ok(is_given.then_some(filter))
}

/// Parses a fusion method.
pub fn parse_fusion(fusion: &str, vector_weight: f64) -> Result<Fusion> {
    if !(0.0..=1.0).contains(&vector_weight) {
        return Err(Error::bad_argument(format!("vector_weight must be from 0 to 1, not {vector_weight}")));
    }
    match fusion {
        "minmax" => Ok(Fusion::MinMax { vector_weight }),
        "rrf" => Ok(Fusion::ReciprocalRank),
        _ => Err(Error::bad_argument(format!("unknown fusion \"{fusion}\"")).hint("Use 'minmax' or 'rrf'.")),
    }
}

impl SearchRequest {
    /// A search with the defaults of `rag.search`.
    pub fn new(collection: String, query: String, k: usize) -> Self {
        Self {
            collection,
            query,
            k,
            page_offset: 0,
            depth: DEFAULT_DEPTH,
            min_similarity: None,
            needs_similarity: false,
            mode: Mode::Hybrid,
            filter: None,
            fusion: Fusion::MinMax { vector_weight: 0.5 },
            per_source: false,
            scores: true,
            syntax: Syntax::Plain,
            typos: true,
        }
    }

    /// True if the query must be embedded.
    pub fn needs_embedding(&self) -> bool {
        self.mode.has_vector() || self.needs_similarity || self.min_similarity.is_some()
    }
}
