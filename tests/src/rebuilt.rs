//! Collections of the table `t`, compared with ones that are made anew of the same rows.

use crate::Result;
use crate::session::Session;
use anyhow::ensure;

/// Makes a collection of the table `t`, with more arguments, each after a comma.
pub async fn create(session: &Session, name: &str, more: &str) -> Result<()> {
    session
        .batch_execute(&format!(
            "SELECT rag.create_collection('{name}', 't', 'body', metadata => '{{kind}}', chunk_size => 32,
                                          chunk_overlap => 0 {more})"
        ))
        .await?;
    Ok(())
}

/// Fails unless the collection that was made by [`create`] with the same arguments is as one that is made now, and nothing is
/// left to do in the database.
pub async fn check(session: &Session, name: &str, more: &str) -> Result<()> {
    let left: i64 = session.value("SELECT count(*) FROM rag._queue").await?;
    ensure!(left == 0, "{left} changes are left in the queue");
    let failed: i64 = session.value("SELECT count(*) FROM rag.failed").await?;
    ensure!(failed == 0, "{failed} rows failed");
    create(session, "fresh", &format!("{more}, sync => 'manual'")).await?;
    for (what, sql) in [("chunks", CHUNKS_THAT_DIFFER), ("words", WORDS_THAT_DIFFER)] {
        let differing: Option<String> = session.value(&sql.replace("followed_", &format!("{name}_"))).await?;
        ensure!(
            differing.is_none(),
            "{what} of {name} differ from those of a rebuild: {}",
            differing.unwrap_or_default()
        );
    }
    session.batch_execute("SELECT rag.drop_collection('fresh')").await?;
    Ok(())
}

/// The levels of words are left out: each collection has them relative to its own first chunks.
const CHUNKS_THAT_DIFFER: &str = r"
    WITH c AS (SELECT *, ARRAY(SELECT lexeme FROM unnest(tsv) WHERE lexeme !~ '[\x01-\x03]$') AS lexemes FROM followed_chunks),
         f AS (SELECT *, ARRAY(SELECT lexeme FROM unnest(tsv) WHERE lexeme !~ '[\x01-\x03]$') AS lexemes FROM fresh_chunks)
    SELECT string_agg(format('key %s chunk %s, rebuilt key %s chunk %s', c.key_1, c.seq, f.key_1, f.seq), E'\n')
    FROM c FULL JOIN f ON c.key_1 = f.key_1 AND c.seq = f.seq
    WHERE (c.row_hash, c.content_hash, c.heading, c.content, c.metadata, c.words, c.fingerprint, c.lexemes)
            IS DISTINCT FROM
          (f.row_hash, f.content_hash, f.heading, f.content, f.metadata, f.words, f.fingerprint, f.lexemes)
       OR (c.embedding <=> f.embedding > 0.001) IS NOT FALSE";

const WORDS_THAT_DIFFER: &str = "
    WITH c AS (SELECT lexeme, sum(chunks) AS chunks, sum(words) AS words FROM followed_terms GROUP BY lexeme),
         f AS (SELECT lexeme, sum(chunks) AS chunks, sum(words) AS words FROM fresh_terms GROUP BY lexeme)
    SELECT string_agg(format('%s: %s, rebuilt %s: %s', c.lexeme, c.chunks, f.lexeme, f.chunks), E'\\n')
    FROM c FULL JOIN f USING (lexeme)
    WHERE (coalesce(c.chunks, 0), coalesce(c.words, 0)) <> (coalesce(f.chunks, 0), coalesce(f.words, 0))";
