//! Statements that do the same, timed side by side.

use crate::timing::Times;
use anyhow::Result;
use ragstone_tests::session::Session;
use std::time::Instant;
use tokio_postgres::Statement;

/// A statement with one parameter, the query.
#[derive(Debug)]
pub struct Contestant<'a> {
    /// What it is.
    pub name: String,
    session: &'a Session,
    statement: Statement,
    /// How long each call took.
    pub times: Times,
}

impl<'a> Contestant<'a> {
    /// Prepares the statement.
    pub async fn new(name: String, session: &'a Session, sql: &str) -> Result<Self> {
        let statement = session.prepare(sql).await?;
        Ok(Self { name, session, statement, times: Times::default() })
    }
}

/// Runs all queries by all contestants by turns, a first time to warm up. Each begins as often as any other, as who
/// comes after whom decides what is in the processor's caches.
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
