//! `rag.embed_batch(…) OVER ()`: one embedding per row, computed many rows at a time.

use crate::embedding::Embedder;
use pgrx::{extension_sql, pg_extern};
use ragstone_pg::error::{Error, Result, or_raise};
use ragstone_pg::function::FunctionCall;
use ragstone_pg::vector::Vector;
use ragstone_pg::version;
use ragstone_pg::windowapi::{Argument, Partition};
use std::collections::VecDeque;

/// Maximum number of rows that are read ahead and embedded together.
const ROWS_AHEAD: i32 = 1024;

/// Size of the text, in bytes, at which reading ahead stops, so that memory is limited.
const BYTES_AHEAD: usize = 4 << 20;

/// Embeddings of the current row and of rows that follow it.
#[derive(Default)]
struct Ahead {
    embeddings: VecDeque<Option<Vec<f32>>>,
}

#[pg_extern(sql = "
CREATE FUNCTION rag.\"embed_batch\"(input text, model text DEFAULT NULL, kind text DEFAULT 'document')
RETURNS vector WINDOW STABLE PARALLEL RESTRICTED COST 10000
LANGUAGE c AS 'MODULE_PATHNAME', '@FUNCTION_NAME@';
")]
fn embed_batch(call: FunctionCall<'_>) -> Option<Vector> {
    version::check();
    or_raise(next(call)).map(Vector)
}

fn next(call: FunctionCall<'_>) -> Result<Option<Vec<f32>>> {
    let Some(partition) = call.partition() else {
        return Err(Error::wrong_object_type("rag.embed_batch needs an OVER clause")
            .hint("Write rag.embed_batch(body) OVER ()."));
    };
    let mut ahead: Ahead = partition.take_state();
    if ahead.embeddings.is_empty() {
        let kind = partition.current(2).unwrap_or_else(|| "document".to_owned());
        let embedder = Embedder::new(partition.current(1), &kind)?;
        ahead.embeddings = embedder.embed_many(read_ahead(partition))?.into();
        partition.forget_before(partition.position());
    }
    let next = ahead.embeddings.pop_front().flatten();
    partition.put_state(ahead);
    Ok(next)
}

fn read_ahead(partition: Partition<'_>) -> Vec<Option<String>> {
    let mut texts = Vec::new();
    let mut bytes = 0;
    while (texts.len() as i32) < ROWS_AHEAD && bytes < BYTES_AHEAD {
        match partition.ahead(0, texts.len() as i32) {
            Argument::Outside => break,
            Argument::Inside(None) => texts.push(None),
            Argument::Inside(Some(text)) => {
                bytes += text.len();
                texts.push(Some(text));
            }
        }
    }
    texts
}

extension_sql!(
    r#"
COMMENT ON FUNCTION rag.embed_batch(text, text, text) IS
'window function: embedding of each row, computed many rows at a time';
"#,
    name = "embed_batch_comments",
    requires = [embed_batch]
);
