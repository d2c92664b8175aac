//! Text mode compared with pg_textsearch and pg_search, on real passages and on short dictionary entries.
//!
//! `cargo bench -p ragstone-benches --bench textsearch -- [--full] [passages] [entries] [peers]`

mod peers;

use anyhow::Result;
use futures_util::future::try_join_all;
use peers::{Peer, Peers};
use ragstone_benches::contest::{Contestant, play};
use ragstone_benches::dictionaries::Corpus;
use ragstone_benches::options::Options;
use ragstone_benches::passages::{Passages, table};
use ragstone_benches::seeded::SEEDED;
use ragstone_benches::timing::Times;
use ragstone_benches::{program, report, world};
use ragstone_tests::server::Server;
use ragstone_tests::session::Session;
use std::process::ExitCode;
use std::time::{Duration, Instant};

/// Settings of the other server, with as much memory as Ragstone's server has.
const SETTINGS: &[(&str, &str)] =
    &[("shared_buffers", "3GB"), ("maintenance_work_mem", "2GB"), ("max_wal_size", "8GB"), ("jit", "off")];

/// Number of sessions that search at the same time.
const SESSIONS: usize = 16;

const OURS: &str = "SELECT * FROM rag.search('p', $1, k => 10, mode => 'text')";

fn main() -> ExitCode {
    program::run(async |options| {
        if options.wants("passages") {
            program::told(passages(options).await)?;
        }
        if options.wants("entries") {
            program::told(entries(options).await)?;
        }
        Ok(())
    })
}

async fn passages(options: &Options) -> Result<()> {
    let Passages { rows, queries } = Passages::load(options.full)?;
    report::part(&format!("text mode on {} passages", rows.len()));
    let contest = Contest::new(options, &rows).await?;
    let mut all: Vec<Times> = vec![Times::default(); contest.peers.peers.len() + 1];
    for length in 1..=9 {
        let queries: Vec<String> =
            queries.iter().filter(|(words, _)| *words == length).map(|(_, query)| query.clone()).collect();
        let times = contest.times(&queries, options).await?;
        for (name, times) in contest.names().zip(&times) {
            let what = format!("{name}, {length} words");
            report::figure(&format!("{what}, p50"), times.p50(), "ms");
            report::figure(&format!("{what}, p95"), times.p95(), "ms");
        }
        if let [ours, other, ..] = &times[..] {
            let slower = if length == 1 { 0.25 } else { 0.0 };
            report::at_most("p50 over pg_textsearch's", ours.p50() - other.p50(), slower, "ms");
            report::at_most("p95 over pg_textsearch's", ours.p95() - other.p95(), 0.0, "ms");
        }
        all.iter_mut().zip(times).for_each(|(all, times)| all.append(times));
    }
    for (name, times) in contest.names().zip(&all) {
        report::figure(&format!("{name}, all, p50"), times.p50(), "ms");
        report::figure(&format!("{name}, all, p95"), times.p95(), "ms");
        report::figure(&format!("{name}, all, mean"), times.mean(), "ms");
    }
    if let Some((ours, others)) = all.split_first().filter(|(_, others)| !others.is_empty()) {
        let best = others.iter().map(Times::mean).fold(f64::INFINITY, f64::min);
        report::at_most("mean to the best other's", ours.mean() / best, 1.0, "×");
    }
    let queries: Vec<String> = queries.into_iter().map(|(_, query)| query).collect();
    contest.throughput(&queries, options).await
}

async fn entries(options: &Options) -> Result<()> {
    let count = options.size(1_450_000, 3_000);
    let corpus = Corpus::load(count)?;
    report::part(&format!("text mode on {count} dictionary entries"));
    let rows: Vec<(String, String)> =
        corpus.entries.into_iter().map(|entry| (entry.word, entry.text)).collect();
    let tenth = Contest::of_ours(&rows[..count / 10]).await?;
    let few = tenth.times(&corpus.queries, options).await?;
    drop(tenth);
    let contest = Contest::new(options, &rows).await?;
    let times = contest.times(&corpus.queries, options).await?;
    for (name, times) in contest.names().zip(&times) {
        report::figure(&format!("{name}, p50"), times.p50(), "ms");
        report::figure(&format!("{name}, p95"), times.p95(), "ms");
    }
    report::at_most("p95 to that of a tenth of the rows", times[0].p95() / few[0].p95(), 3.0, "×");
    if let Some(other) = times.get(1) {
        report::at_most("p95 to pg_textsearch's", times[0].p95() / other.p95(), 1.5, "×");
    }
    Ok(())
}

/// Ragstone's index and the other extensions' indexes of the same rows.
struct Contest {
    server: Server,
    session: Session,
    peers: Peers,
}

impl Contest {
    /// Indexes the rows; in a full run with the other extensions as well.
    async fn new(options: &Options, rows: &[(String, String)]) -> Result<Self> {
        let mut contest = Self::of_ours(rows).await?;
        if !options.full && !options.parts.iter().any(|part| part == "peers") {
            report::note("Other extensions are measured in full runs, and where \"peers\" is named.");
            return Ok(contest);
        }
        contest.peers = Peers::start(SETTINGS, rows).await?;
        let ours: i64 = contest.session.value("SELECT pg_total_relation_size('p_terms')").await?;
        report::figure("text index, size", ours as f64 / 1e6, "MB");
        for Peer { name, seconds, bytes, .. } in &contest.peers.peers {
            report::figure(&format!("{name}, size"), *bytes as f64 / 1e6, "MB");
            report::figure(&format!("{name}, CREATE INDEX"), *seconds, "s");
        }
        if let Some(first) = contest.peers.peers.first() {
            report::at_most("size to pg_textsearch's", ours as f64 / first.bytes as f64, 1.6, "×");
        }
        contest.rebuild().await?;
        Ok(contest)
    }

    async fn of_ours(rows: &[(String, String)]) -> Result<Self> {
        let server = world::server("onnxruntime", true).await?;
        let session = server.session().await?;
        table(&session, rows).await?;
        session.batch_execute("SET rag.overlong_input = 'ignore'").await?;
        let start = Instant::now();
        let create = format!(
            "SELECT rag.create_collection('p', 'p', 'body', model => '{SEEDED}', chunk_size => 8000, sync => 'manual')"
        );
        session.batch_execute(&create).await?;
        let rate = rows.len() as f64 / start.elapsed().as_secs_f64();
        report::figure(&format!("making a collection of {} rows", rows.len()), rate, "rows/s");
        session.batch_execute("VACUUM ANALYZE").await?;
        Ok(Self { server, session, peers: Peers::default() })
    }

    /// Measures rebuilding the text index from existing chunks.
    async fn rebuild(&self) -> Result<()> {
        let start = Instant::now();
        self.session.batch_execute("SELECT rag.alter_collection('p', language => 'english')").await?;
        let seconds = start.elapsed().as_secs_f64();
        report::figure("text index, built again", seconds, "s");
        if let Some(first) = self.peers.peers.first() {
            report::at_most("time to pg_textsearch's CREATE INDEX", seconds / first.seconds, 2.0, "×");
        }
        self.session.batch_execute("VACUUM ANALYZE").await?;
        Ok(())
    }

    fn names(&self) -> impl Iterator<Item = &'static str> {
        std::iter::once("rag.search").chain(self.peers.peers.iter().map(|peer| peer.name))
    }

    /// The times of all queries; Ragstone's come first.
    async fn times(&self, queries: &[String], options: &Options) -> Result<Vec<Times>> {
        let mut contestants = vec![Contestant::new("rag.search".into(), &self.session, OURS).await?];
        for peer in &self.peers.peers {
            contestants.push(Contestant::new(peer.name.into(), &peer.session, peer.search).await?);
        }
        play(&mut contestants, queries, options.size(5, 1)).await?;
        Ok(contestants.into_iter().map(|contestant| contestant.times).collect())
    }

    /// Throughput of many sessions, in queries per second.
    async fn throughput(&self, queries: &[String], options: &Options) -> Result<()> {
        let time = options.size(Duration::from_secs(30), Duration::from_secs(1));
        let mut sessions = Vec::new();
        for _ in 0..SESSIONS {
            sessions.push(self.server.connect_beside(&self.session).await?);
        }
        let ours = rate(&sessions, OURS, queries, time).await?;
        report::figure(&format!("rag.search, {SESSIONS} sessions"), ours, "queries/s");
        for peer in &self.peers.peers {
            let mut sessions = Vec::new();
            for _ in 0..SESSIONS {
                sessions.push(self.peers.session(peer).await?);
            }
            let others = rate(&sessions, peer.search, queries, time).await?;
            report::figure(&format!("{}, {SESSIONS} sessions", peer.name), others, "queries/s");
        }
        Ok(())
    }
}

/// Queries per second of these sessions at the same time.
async fn rate(sessions: &[Session], sql: &str, queries: &[String], time: Duration) -> Result<f64> {
    let start = Instant::now();
    let ask = async |place: usize, session: &Session| {
        let statement = session.prepare(sql).await?;
        let mut answered = 0usize;
        for query in queries.iter().cycle().skip(place * queries.len() / sessions.len()) {
            if start.elapsed() >= time {
                break;
            }
            session.query(&statement, &[query]).await?;
            answered += 1;
        }
        Result::<usize>::Ok(answered)
    };
    let asked = try_join_all(sessions.iter().enumerate().map(|(place, session)| ask(place, session))).await?;
    Ok(asked.iter().sum::<usize>() as f64 / start.elapsed().as_secs_f64())
}
