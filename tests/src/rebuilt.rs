//! Compares collections of the table `t` with collections that are newly created from the same rows.

use crate::Result;
use crate::session::Session;
use anyhow::ensure;

/// Creates a collection of the table `t`, with more arguments, each after a comma.
pub async fn create(session: &Session, name: &str, more: &str) -> Result<()> {
    session
        .batch_execute(&format!(
            "SELECT rag.create_collection('{name}', 't', 'body', metadata => '{{kind}}', chunk_size => 32,
                                          chunk_overlap => 0 {more})"
        ))
        .await?;
    Ok(())
}

/// Fails unless the collection that [`create`] has made with the same arguments equals one that is created
/// now, and no work is left in the database.
pub async fn check(session: &Session, name: &str, more: &str) -> Result<()> {
    let left: i64 = session.value("SELECT count(*) FROM rag._queue").await?;
    ensure!(left == 0, "{left} changes are left in the queue");
    let failed: i64 = session.value("SELECT count(*) FROM rag.failed").await?;
    ensure!(failed == 0, "{failed} rows failed");
    create(session, "fresh", &format!("{more}, sync => 'manual'")).await?;
    for (what, sql) in [("chunks", CHUNKS_THAT_DIFFER), ("words", WORDS_THAT_DIFFER)] {
        let differing: Option<String> = session.value(&sql.replace("followed", name)).await?;
        ensure!(
            differing.is_none(),
            "{what} of {name} differ from those of a rebuild: {}",
            differing.unwrap_or_default()
        );
    }
    session.batch_execute("SELECT rag.drop_collection('fresh')").await?;
    Ok(())
}

const CHUNKS_THAT_DIFFER: &str = r"
    SELECT string_agg(format('key %s chunk %s, rebuilt key %s chunk %s', c.key_1, c.seq, f.key_1, f.seq), E'\n')
    FROM followed_chunks c FULL JOIN fresh_chunks f ON c.key_1 = f.key_1 AND c.seq = f.seq
    WHERE (c.row_hash, c.content_hash, c.heading, c.content, c.metadata, c.words, c.fingerprint)
            IS DISTINCT FROM
          (f.row_hash, f.content_hash, f.heading, f.content, f.metadata, f.words, f.fingerprint)
       OR (c.embedding <=> f.embedding > 0.001) IS NOT FALSE";

const WORDS_THAT_DIFFER: &str = "
    WITH c AS (SELECT key_1, seq, lexeme, frequency + 100 * fields AS frequency
               FROM rag._postings('followed') JOIN followed_chunks USING (chunk_id)),
         f AS (SELECT key_1, seq, lexeme, frequency + 100 * fields AS frequency FROM rag._postings('fresh') JOIN fresh_chunks USING (chunk_id))
    SELECT string_agg(format('key %s chunk %s %s: %s, rebuilt %s', key_1, seq, lexeme, c.frequency, f.frequency), E'\\n')
    FROM c FULL JOIN f USING (key_1, seq, lexeme)
    WHERE c.frequency IS DISTINCT FROM f.frequency";
