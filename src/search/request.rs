//! The arguments of `rag.search`.

use crate::collections::catalog::collection::Collection;
use pgrx::PgLogLevel;
use ragstone_core::fusion::Fusion;
use ragstone_core::query_syntax::{MAX_OPERATORS, WebQuery};
use ragstone_pg::bytes::Jsonb;
use ragstone_pg::error::{Error, Result};

/// Maximum number of hits.
const MAX_K: i32 = 10_000;

/// Fusion where the caller does not choose one. The defaults of `rag.search` are the same.
pub const DEFAULT_FUSION: Fusion = Fusion::MinMax { vector_weight: 0.5 };

/// Whether other words stand for one that no chunk has, where the caller does not say so. The default of `rag.search` is the same.
pub const DEFAULT_TYPOS: bool = true;

/// Which rankings count.
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
    /// Which rankings count.
    pub mode: Mode,
    /// Value that the metadata must contain.
    pub filter: Option<Jsonb>,
    /// How the two rankings are fused.
    pub fusion: Fusion,
    /// True if each row of the source is shown once, by its best chunk.
    pub per_source: bool,
    /// True if scores and places in the rankings are shown.
    pub scores: bool,
    /// How the query is read.
    pub syntax: Syntax,
    /// True if words that no chunk has stand for those that are spelt much alike.
    pub typos: bool,
}

/// How a query is read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Syntax {
    /// As words.
    Plain,
    /// With operators.
    Web,
}

impl Syntax {
    /// By its name in SQL.
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

/// A query as it was read.
#[derive(Debug)]
pub struct ParsedQuery {
    /// Its words without operators, as they are embedded.
    pub embedded: String,
    /// Those of them that are looked up as a text is.
    pub plain: String,
    /// Its operators.
    pub operators: Option<WebQuery>,
}

impl ParsedQuery {
    /// Reads the query of a request, with a notice where it has more operators than are read.
    pub fn new(request: &SearchRequest) -> Self {
        let operators = (request.syntax == Syntax::Web).then(|| WebQuery::parse(&request.query));
        if operators.as_ref().is_some_and(|query| query.is_cut) {
            let limit =
                format!("what follows the first {MAX_OPERATORS} operators of the query is read as words");
            Error::information(limit).notice(PgLogLevel::NOTICE);
        }
        let read =
            |words: fn(&WebQuery) -> String| operators.as_ref().map_or_else(|| request.query.clone(), words);
        let (embedded, plain) = (read(WebQuery::plain), read(WebQuery::plain_without_prefixes));
        Self { embedded, plain, operators }
    }

    /// Whether its operators demand something of each hit.
    pub fn makes_demands(&self) -> bool {
        self.operators.as_ref().is_some_and(|query| !query.required.is_empty() || !query.excluded.is_empty())
    }
}

impl Mode {
    /// By its name in SQL.
    pub fn parse(mode: &str) -> Result<Self> {
        match mode {
            "hybrid" => Ok(Self::Hybrid),
            "vector" => Ok(Self::Vector),
            "text" => Ok(Self::Text),
            _ => Err(Error::bad_argument(format!("unknown mode \"{mode}\""))
                .hint("Use 'hybrid', 'vector' or 'text'.")),
        }
    }

    /// Name in SQL.
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

/// The same with another limit.
pub fn parse_k_up_to(max: i32, k: i32) -> Result<usize> {
    if (1..=max).contains(&k) {
        return Ok(k as usize);
    }
    Err(Error::bad_argument(format!("k must be from 1 to {max}, not {k}")))
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
    /// Checks what depends on the collection.
    pub fn check_against(&self, collection: &Collection) -> Result<()> {
        if self.filter.is_some() && collection.metadata.is_empty() {
            return Err(Error::bad_argument(format!(
                "collection \"{}\" has no metadata to filter by",
                collection.name
            ))
            .hint("Create it with the columns to filter by: metadata => '{...}'."));
        }
        Ok(())
    }
}
