//! Sixteen sessions that embed short queries, compared with one session, and with the maximum that ONNX
//! Runtime can reach.

use crate::query::QUESTIONS;
use anyhow::Result;
use futures_util::future::try_join_all;
use ragstone_benches::bare::Bare;
use ragstone_benches::options::Options;
use ragstone_benches::timing::median;
use ragstone_benches::{report, world};
use ragstone_tests::session::Session;
use std::time::{Duration, Instant};

const SESSIONS: usize = 16;

pub async fn run(options: &Options) -> Result<()> {
    report::part("sixteen sessions, short queries per second");
    let server = world::server("onnxruntime", false).await?;
    let database = server.database().await?;
    let mut sessions = Vec::new();
    for _ in 0..SESSIONS {
        sessions.push(server.connect(&database).await?);
    }
    let mut bare = Bare::load(&server.install, world::processors())?;
    let (rounds, window) = options.size((5, Duration::from_secs(5)), (1, Duration::from_secs(1)));
    let (mut one, mut all, mut limit) = (Vec::new(), Vec::new(), Vec::new());
    for _ in 0..rounds {
        one.push(rate(&sessions[..1], window).await?);
        all.push(rate(&sessions, window).await?);
        limit.push(bare_rate(&mut bare, window)?);
    }
    let (one, all, limit) = (median(&one), median(&all), median(&limit));
    report::figure("one session", one, "calls/s");
    report::figure("sixteen sessions", all, "calls/s");
    report::figure("ONNX Runtime alone, its best batch size", limit, "texts/s");
    // Twice the rate of one session, unless the model itself cannot reach that.
    let goal = (2.0 * one).min(0.9 * limit);
    let nearer =
        if 2.0 * one < 0.9 * limit { "twice one session" } else { "nine tenths of ONNX Runtime's limit" };
    report::at_least(&format!("sixteen sessions; {nearer} is nearer"), all, goal, "calls/s");
    report::figure("sixteen sessions to one", all / one, "×");
    report::figure("sixteen sessions to ONNX Runtime's limit", all / limit, "×");
    Ok(())
}

/// Calls per second of all sessions together.
async fn rate(sessions: &[Session], window: Duration) -> Result<f64> {
    let start = Instant::now();
    let counts = try_join_all(sessions.iter().enumerate().map(|(number, session)| async move {
        let statement = session.prepare("SELECT rag.embed($1, kind => 'query')").await?;
        let mut calls = 0;
        while start.elapsed() < window {
            session.execute(&statement, &[&QUESTIONS[(calls + number) % QUESTIONS.len()]]).await?;
            calls += 1;
        }
        anyhow::Ok(calls)
    }))
    .await?;
    Ok(counts.iter().sum::<usize>() as f64 / start.elapsed().as_secs_f64())
}

/// Texts per second of the model alone, with the best batch size.
fn bare_rate(bare: &mut Bare, window: Duration) -> Result<f64> {
    let sizes = [1, 4, 8, 16];
    let mut best = 0.0f64;
    for size in sizes {
        let batch: Vec<&str> = QUESTIONS.iter().copied().cycle().take(size).collect();
        let (start, mut texts) = (Instant::now(), 0);
        while start.elapsed() < window / sizes.len() as u32 {
            bare.run(&batch)?;
            texts += size;
        }
        best = best.max(texts as f64 / start.elapsed().as_secs_f64());
    }
    Ok(best)
}
