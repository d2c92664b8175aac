//! Two hundred kills of the engine under load.

use anyhow::ensure;
use futures_util::future::try_join_all;
use libtest_mimic::Trial;
use nix::sys::signal::Signal;
use pgvector::Vector;
use ragstone_tests::Result;
use ragstone_tests::process::Process;
use ragstone_tests::sample::{same, texts};
use ragstone_tests::server::{Options, Server};
use ragstone_tests::session::Session;
use ragstone_tests::wait;
use std::cell::Cell;
use std::time::SystemTime;

pub fn tests() -> Vec<Trial> {
    ragstone_tests::tests![two_hundred_kills_under_load_restart_nothing_and_spoil_no_vector]
}

const KILLS: u32 = 200;
const SESSIONS: usize = 4;

async fn two_hundred_kills_under_load_restart_nothing_and_spoil_no_vector() -> Result<()> {
    // The runtime that loads faster, because the test is about kills.
    let options = Options::default().set("rag.engine_runtime", "onnxruntime");
    let server = Server::start_with(options).await?;
    let database = server.database().await?;
    let watcher = server.connect(&database).await?;
    let started: SystemTime = watcher.value("SELECT pg_postmaster_start_time()").await?;
    let texts = texts(8, 12);
    let undisturbed: Vec<Vector> = watcher.value_of("SELECT rag.embed($1::text[])", &[&texts]).await?;

    let load = Load { texts, undisturbed, answers: Default::default(), over: Cell::new(false) };
    let mut sessions = Vec::new();
    for _ in 0..SESSIONS {
        sessions.push(server.connect(&database).await?);
    }
    let working =
        try_join_all(sessions.iter().zip(&load.answers).map(|(session, own)| load.work(session, own)));
    let (kills, _) = futures_util::future::try_join(kill_again_and_again(&server, &load), working).await?;

    ensure!(kills == KILLS);
    ensure!(
        watcher.value::<SystemTime>("SELECT pg_postmaster_start_time()").await? == started,
        "the server restarted"
    );
    eprintln!("{} answers, all right, over {kills} kills", load.answers.iter().map(Cell::get).sum::<u64>());
    Ok(())
}

struct Load {
    texts: Vec<String>,
    undisturbed: Vec<Vector>,
    /// Number of responses that each session has received.
    answers: [Cell<u64>; SESSIONS],
    over: Cell<bool>,
}

impl Load {
    /// Embeds single texts and arrays until no more kills follow, and compares all results.
    async fn work(&self, session: &Session, answers: &Cell<u64>) -> Result<()> {
        while !self.over.get() {
            let vectors: Vec<Vector> =
                session.value_of("SELECT rag.embed($1::text[])", &[&self.texts]).await?;
            same(&vectors, &self.undisturbed)?;
            let number = answers.get() as usize % self.texts.len();
            let vector: Vector = session.value_of("SELECT rag.embed($1)", &[&self.texts[number]]).await?;
            same(&[vector], &self.undisturbed[number..=number])?;
            answers.set(answers.get() + 1);
        }
        Ok(())
    }
}

/// Kills each engine as soon as it has served all sessions. If it were killed earlier, a request might meet
/// with more kills than it survives.
async fn kill_again_and_again(server: &Server, load: &Load) -> Result<u32> {
    let mut kills = 0;
    let mut last = Process(0);
    while kills < KILLS {
        let before = load.answers.clone();
        last = wait::until("the next engine serves", async || {
            let engine = server.engines().into_iter().find(|engine| *engine != last);
            let have_all = load.answers.iter().zip(&before).all(|(now, before)| now > before);
            Ok(engine.filter(|_| have_all))
        })
        .await?;
        last.signal(Signal::SIGKILL);
        kills += 1;
    }
    load.over.set(true);
    Ok(kills)
}
