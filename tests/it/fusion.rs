//! Hybrid search for words that few chunks have.

use anyhow::ensure;
use libtest_mimic::Trial;
use ragstone_tests::Result;
use ragstone_tests::server::shared;

pub fn tests() -> Vec<Trial> {
    ragstone_tests::tests![all_chunks_with_a_rare_word_stand_first]
}

/// Fifty notes about pumps. Two of them contain the code F7731, and others contain codes like it.
const NOTES: &str = "CREATE TABLE t (id int PRIMARY KEY, body text);
    INSERT INTO t SELECT i, 'Model F' || 7700 + i || ' of the pump, note ' || i FROM generate_series(1, 30) i;
    INSERT INTO t SELECT i, 'The compressor of house ' || i || ' was serviced' FROM generate_series(41, 58) i;
    INSERT INTO t VALUES
        (101, 'Fault F7731: the compressor stops'),
        (102, 'After a fault F7731 the operator calls');
    SELECT rag.create_collection('c', 't', 'body', sync => 'manual')";

async fn all_chunks_with_a_rare_word_stand_first() -> Result<()> {
    let session = shared().await?.session().await?;
    session.batch_execute(NOTES).await?;
    for arguments in ["", ", vector_weight => 0.3", ", vector_weight => 0"] {
        let first: Vec<i32> = session
            .value(&format!(
                "SELECT array_agg((source_key ->> 'id')::int ORDER BY rank)
                 FROM rag.search('c', 'F7731', k => 2{arguments})"
            ))
            .await?;
        ensure!(first.contains(&101) && first.contains(&102), "{arguments}: {first:?}");
    }
    Ok(())
}
