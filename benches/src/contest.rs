//! Equivalent statements that are timed side by side.

use crate::timing::Times;
use anyhow::Result;
use ragstone_tests::session::Session;
use std::time::Instant;
use tokio_postgres::Statement;

/// A statement with one parameter, the query.
#[derive(Debug)]
pub struct Contestant<'a> {
    /// Name of the contestant.
    pub name: String,
    session: &'a Session,
    statement: Statement,
    /// Duration of each call.
    pub times: Times,
}

impl<'a> Contestant<'a> {
    /// Prepares the statement.
    pub async fn new(name: String, session: &'a Session, sql: &str) -> Result<Self> {
        let statement = session.prepare(sql).await?;
        Ok(Self { name, session, statement, times: Times::default() })
    }
}

/// Runs all queries by all contestants in turn, the first time to warm up. Each contestant begins equally
/// often, because the order determines the contents of the processor's caches.
pub async fn play(contestants: &mut [Contestant<'_>], queries: &[String], rounds: usize) -> Result<()> {
    for round in 0..=rounds {
        for (number, query) in queries.iter().enumerate() {
            let count = contestants.len();
            for turn in 0..count {
                let contestant = &mut contestants[(turn + number) % count];
                let start = Instant::now();
                contestant.session.query(&contestant.statement, &[query]).await?;
                if round > 0 {
                    contestant.times.push(start.elapsed());
                }
            }
        }
    }
    Ok(())
}
