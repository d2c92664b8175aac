//! Calls to a provider through SQL, compared with the same requests over a bare keep-alive connection. The
//! provider is a stub on this host.

use anyhow::{Context, Result};
use futures_util::future::try_join_all;
use ragstone_benches::options::Options;
use ragstone_benches::report;
use ragstone_benches::timing::Times;
use ragstone_tests::provider::{Gate, Part, Provider, Reply};
use ragstone_tests::server::{self, Server};
use ragstone_tests::session::Session;
use std::io::{Read, Write};
use std::net::TcpStream;
use std::time::{Duration, Instant};

const SESSIONS: usize = 64;
const THINKING: Duration = Duration::from_millis(200);
const CALL: &str = "SELECT rag.generate('hi', model => 'stub')";

pub async fn run(options: &Options) -> Result<()> {
    report::part("calls to a provider");
    let settings = server::Options::default().set("max_connections", "100");
    let server = Server::start_with(settings).await?;
    let database = server.database().await?;
    let session = server.connect(&database).await?;
    let provider = Provider::start([Reply::chat("hello")])?;
    let create = "SELECT rag.create_provider('stub', kind => 'compatible', base_url => $1, model => 'm',
                                             options => '{\"concurrency\": 128}')";
    session.execute(create, &[&provider.url()]).await?;
    overhead(&session, &provider, options).await?;
    first_piece(&session, &provider, options).await?;
    many_sessions(&server, &database, &provider, options).await
}

/// A call compared with the same request over a bare connection, in turns.
async fn overhead(session: &Session, provider: &Provider, options: &Options) -> Result<()> {
    let rounds = options.size(2000, 50);
    let statement = session.prepare(CALL).await?;
    session.execute(&statement, &[]).await?;
    let body = provider.requests().last().context("nothing was asked")?.body.to_string();
    let mut bare = Bare::connect(&provider.url(), &body)?;
    let (mut through, mut alone) = (Times::default(), Times::default());
    for _ in 0..rounds {
        let begin = Instant::now();
        bare.ask()?;
        alone.push(begin.elapsed());
        let begin = Instant::now();
        session.execute(&statement, &[]).await?;
        through.push(begin.elapsed());
    }
    report::figure("the request over a bare connection, p50", alone.p50(), "ms");
    report::figure("rag.generate, p50", through.p50(), "ms");
    report::figure("rag.generate, p95", through.p95(), "ms");
    report::at_most("rag.generate above the bare request, p50", through.p50() - alone.p50(), 1.0, "ms");
    Ok(())
}

/// Time from the moment at which the provider may send its first piece until the end of the FETCH that
/// returns it.
async fn first_piece(session: &Session, provider: &Provider, options: &Options) -> Result<()> {
    let mut times = Times::default();
    for _ in 0..options.size(200, 10) {
        let gate = Gate::new();
        let asked = provider.requests().len();
        provider.script([Reply::stream([Part::Gate(gate.clone()), Part::piece("one"), Part::end()])]);
        session
            .batch_execute("BEGIN; DECLARE c NO SCROLL CURSOR FOR SELECT rag.stream('hi', model => 'stub')")
            .await?;
        let fetch = session.query("FETCH 1 FROM c", &[]);
        let open = async {
            ragstone_tests::wait::until("the provider is asked", async || {
                Ok((provider.requests().len() > asked).then_some(()))
            })
            .await?;
            let begin = Instant::now();
            gate.open();
            anyhow::Ok(begin)
        };
        let (fetched, begin) = tokio::join!(fetch, open);
        times.push(begin?.elapsed());
        fetched?;
        session.batch_execute("COMMIT").await?;
    }
    provider.script([Reply::chat("hello")]);
    report::figure("first piece of rag.stream after the provider's first byte, p50", times.p50(), "ms");
    report::at_most("first piece of rag.stream after the provider's first byte, p95", times.p95(), 5.0, "ms");
    Ok(())
}

/// Sessions that all call a slow provider: in the best case each session gets one answer per response time.
async fn many_sessions(
    server: &Server,
    database: &str,
    provider: &Provider,
    options: &Options,
) -> Result<()> {
    provider.script([Reply::chat("hello").after(THINKING)]);
    let mut sessions = Vec::new();
    for _ in 0..SESSIONS {
        let session = server.connect(database).await?;
        session.execute(CALL, &[]).await?;
        sessions.push(session);
    }
    let calls = options.size(50, 5);
    let begin = Instant::now();
    try_join_all(sessions.iter().map(|session| async move {
        for _ in 0..calls {
            session.execute(CALL, &[]).await?;
        }
        anyhow::Ok(())
    }))
    .await?;
    let rate = (SESSIONS * calls) as f64 / begin.elapsed().as_secs_f64();
    let ideal = SESSIONS as f64 / THINKING.as_secs_f64();
    report::figure("64 sessions, a provider that takes 200 ms", rate, "calls/s");
    report::at_least("64 sessions to the ideal rate", rate / ideal, 0.9, "×");
    Ok(())
}

/// A connection that repeats the same request.
pub struct Bare {
    stream: TcpStream,
    request: Vec<u8>,
    reply: Vec<u8>,
}

impl Bare {
    pub fn connect(url: &str, body: &str) -> Result<Self> {
        let (host, path) = url.trim_start_matches("http://").split_once('/').context("no path")?;
        let stream = TcpStream::connect(host)?;
        stream.set_nodelay(true)?;
        let request = format!(
            "POST /{path}/chat/completions HTTP/1.1\r\nhost: {host}\r\ncontent-type: application/json\r\n\
             content-length: {}\r\n\r\n{body}",
            body.len()
        );
        Ok(Self { stream, request: request.into_bytes(), reply: Vec::new() })
    }

    pub fn ask(&mut self) -> Result<()> {
        self.stream.write_all(&self.request)?;
        self.reply.clear();
        let mut buffer = [0; 4096];
        loop {
            let read = self.stream.read(&mut buffer)?;
            anyhow::ensure!(read > 0, "the provider hung up");
            self.reply.extend_from_slice(&buffer[..read]);
            let text = String::from_utf8_lossy(&self.reply);
            let Some((head, body)) = text.split_once("\r\n\r\n") else { continue };
            let length = head.to_lowercase().lines().find_map(|line| {
                line.strip_prefix("content-length:").and_then(|length| length.trim().parse::<usize>().ok())
            });
            if length.is_some_and(|length| body.len() >= length) || text.ends_with("0\r\n\r\n") {
                return Ok(());
            }
        }
    }
}
