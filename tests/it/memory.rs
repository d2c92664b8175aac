//! The memory that a session needs.

use anyhow::{Context, ensure};
use libtest_mimic::Trial;
use ragstone_tests::Result;
use ragstone_tests::server::{Server, shared};
use ragstone_tests::session::Session;

pub fn tests() -> Vec<Trial> {
    ragstone_tests::tests![
        a_backend_has_no_model_library_and_no_threads;
        alone:
        a_session_that_embeds_holds_under_2_mb_more,
        bulk_work_gives_its_memory_back,
        the_engine_does_not_grow_with_sessions,
    ]
}

async fn a_backend_has_no_model_library_and_no_threads() -> Result<()> {
    let session = shared().await?.session().await?;
    session.execute("SELECT rag.embed('a'), (SELECT count(*) FROM rag.chunk('b'))", &[]).await?;
    let backend = session.backend().await?;
    ensure!(backend.threads()? == 1, "the backend has started threads");
    let maps = backend.mapped_files()?;
    ensure!(maps.contains("ragstone.so"));
    for library in ["onnxruntime", "openvino", "tokenizers"] {
        ensure!(!maps.contains(library), "the backend has loaded {library}");
    }
    Ok(())
}

/// A session that has run `sql`, and its private memory in bytes.
async fn private_after(sql: &str, database: &str) -> Result<(Session, i64)> {
    let session = shared().await?.connect(database).await?;
    session.batch_execute(sql).await?;
    let bytes = session.backend().await?.private_bytes()?;
    Ok((session, i64::try_from(bytes)?))
}

/// The median over sessions that are open at the same time, so that memory shared between them is not
/// counted.
async fn median_private_after(sql: &str, database: &str) -> Result<i64> {
    let mut sessions = Vec::new();
    for _ in 0..5 {
        sessions.push(private_after(sql, database).await?);
    }
    let mut bytes: Vec<i64> = sessions.iter().map(|(_, bytes)| *bytes).collect();
    bytes.sort_unstable();
    Ok(bytes[bytes.len() / 2])
}

async fn a_session_that_embeds_holds_under_2_mb_more() -> Result<()> {
    let database = shared().await?.database().await?;
    let (_other, _) = private_after("SELECT rag.embed('the engine runs')", &database).await?;
    let without = median_private_after("SELECT 1", &database).await?;
    let with = median_private_after("SELECT rag.embed('a')", &database).await?;
    let more = with - without;
    eprintln!(
        "a session that has embedded holds {} kB more of private memory than {} kB",
        more / 1024,
        without / 1024
    );
    ensure!(more < 2 << 20, "{more} bytes more");
    Ok(())
}

/// Without JIT compilation, which the cost of many embeddings would trigger: LLVM alone takes 55 MB.
async fn bulk_work_gives_its_memory_back() -> Result<()> {
    let database = shared().await?.database().await?;
    let (session, before) = private_after("SET jit = off; SELECT rag.embed('a')", &database).await?;
    for bulk in [
        "SELECT count(v) FROM (SELECT rag.embed_batch('text ' || g) OVER () AS v FROM generate_series(1, 5000) g) s",
        "SELECT rag.embed(array_agg('text ' || g)) FROM generate_series(1, 2000) g",
    ] {
        session.batch_execute(bulk).await?;
    }
    let after = i64::try_from(session.backend().await?.private_bytes()?)?;
    eprintln!("bulk work leaves {} kB more of private memory", (after - before) / 1024);
    ensure!(after - before < 16 << 20, "{} bytes are left of bulk work", after - before);
    Ok(())
}

async fn the_engine_does_not_grow_with_sessions() -> Result<()> {
    let server = Server::start().await?;
    let database = server.database().await?;
    let mut sessions = Vec::new();
    let mut resident = Vec::new();
    for count in [4, 40] {
        while sessions.len() < count {
            let session = server.connect(&database).await?;
            session.execute("SELECT rag.embed('one short text')", &[]).await?;
            sessions.push(session);
        }
        let engine = server.engines().first().copied().context("no engine")?;
        resident.push(i64::try_from(engine.resident_bytes()?)?);
    }
    let growth = resident[1] - resident[0];
    eprintln!("36 more sessions take {} kB of the engine's {} MB", growth / 1024, resident[1] >> 20);
    ensure!(growth < 8 << 20, "{growth} bytes more for 36 sessions");
    Ok(())
}
