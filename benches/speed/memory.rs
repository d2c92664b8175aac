//! Memory of sessions and of the engine.

use anyhow::{Context, Result};
use ragstone_benches::{report, world};
use ragstone_tests::server::Server;
use ragstone_tests::session::Session;

pub async fn run() -> Result<()> {
    report::part("memory");
    let server = world::server("onnxruntime", false).await?;
    let database = server.database().await?;
    let first = server.connect(&database).await?;
    first.execute("SELECT rag.embed('the model is loaded')", &[]).await?;
    let (_idle, without) = sessions(&server, &database, "SELECT 1", 5).await?;
    let (_users, with) = sessions(&server, &database, "SELECT rag.embed('a')", 5).await?;
    report::figure("private memory of a session that has done nothing", without, "MB");
    report::at_most("more of it after rag.embed", with - without, 2.0, "MB");
    let before = engine(&server)?;
    let _more = sessions(&server, &database, "SELECT rag.embed('a')", 40).await?;
    report::figure("the engine, all of it", before, "MB");
    report::at_most("more of it with 40 more sessions", engine(&server)? - before, 8.0, "MB");
    Ok(())
}

/// Sessions that have run `sql`, and the median of their private memory in MB.
async fn sessions(server: &Server, database: &str, sql: &str, count: usize) -> Result<(Vec<Session>, f64)> {
    let mut sessions = Vec::new();
    for _ in 0..count {
        let session = server.connect(database).await?;
        session.batch_execute(sql).await?;
        sessions.push(session);
    }
    let mut sizes = Vec::new();
    for session in &sessions {
        sizes.push(session.backend().await?.private_bytes()? as f64 / 1e6);
    }
    Ok((sessions, ragstone_benches::timing::median(&sizes)))
}

fn engine(server: &Server) -> Result<f64> {
    let engine = *server.engines().first().context("no engine runs")?;
    Ok(engine.resident_bytes()? as f64 / 1e6)
}
