//! The life cycle of the engine's process.

use anyhow::{Context, ensure};
use futures_util::future::try_join_all;
use libtest_mimic::Trial;
use nix::sys::signal::Signal;
use pgvector::Vector;
use ragstone_tests::Result;
use ragstone_tests::process::Process;
use ragstone_tests::sample::{same, texts};
use ragstone_tests::server::{Options, Server, shared};
use ragstone_tests::session::Session;
use ragstone_tests::wait;
use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::PathBuf;
use std::time::SystemTime;

pub fn tests() -> Vec<Trial> {
    ragstone_tests::tests![
        an_unprivileged_first_caller_starts_the_engine,
        many_first_callers_start_one_engine,
        preloading_starts_the_engine_at_boot,
        a_reload_with_other_settings_starts_another_engine,
        a_reload_with_the_same_settings_keeps_the_engine,
        a_killed_engine_loses_no_call,
        a_stopped_supervisor_is_started_again,
        a_fast_shutdown_ends_the_engine,
        an_immediate_shutdown_ends_the_engine,
        the_socket_is_private,
        the_engine_inherits_nothing_of_the_server,
        all_threads_of_the_engine_are_in_its_sandbox,
        a_replaced_engine_exits_when_no_session_uses_it,
        drop_database_is_not_blocked,
        one_engine_serves_all_databases,
        status_says_whether_an_engine_runs,
        stat_engine_counts,
    ]
}

async fn an_unprivileged_first_caller_starts_the_engine() -> Result<()> {
    let server = Server::start().await?;
    let admin = server.session().await?;
    let database: String = admin.value("SELECT current_database()::text").await?;
    admin.batch_execute("CREATE ROLE plain LOGIN").await?;
    ensure!(server.engines().is_empty(), "CREATE EXTENSION started an engine");
    let plain = server.connect_as("plain", &database).await?;
    plain.execute("SELECT rag.embed('a')", &[]).await?;
    ensure!(server.engines().len() == 1);
    Ok(())
}

async fn many_first_callers_start_one_engine() -> Result<()> {
    let server = Server::start().await?;
    let database = server.database().await?;
    let mut sessions = Vec::new();
    for _ in 0..12 {
        sessions.push(server.connect(&database).await?);
    }
    try_join_all(sessions.iter().map(|session| session.execute("SELECT rag.embed('a')", &[]))).await?;
    wait::until("one supervisor and one engine are left", async || {
        Ok((server.supervisors().len() == 1 && server.engines().len() == 1).then_some(()))
    })
    .await
}

async fn preloading_starts_the_engine_at_boot() -> Result<()> {
    let server = Server::start_with(Options::default().set("shared_preload_libraries", "ragstone")).await?;
    let server = &server;
    wait::until("an engine runs before any call", async || Ok(server.engines().first().copied())).await?;
    server.session().await?.execute("SELECT rag.embed('a')", &[]).await?;
    ensure!(server.engines().len() == 1);
    Ok(())
}

async fn a_reload_with_other_settings_starts_another_engine() -> Result<()> {
    let server = Server::start().await?;
    let session = server.session().await?;
    let first = server.engine(&session).await?;
    session.batch_execute("ALTER SYSTEM SET rag.engine_threads = 1").await?;
    session.batch_execute("ALTER SYSTEM SET rag.engine_nice = 5").await?;
    session.batch_execute("SELECT pg_reload_conf()").await?;
    let (server, session) = (&server, &session);
    let second = wait::until("another engine answers", async || {
        let engine = server.engine(session).await?;
        Ok((engine != first).then_some(engine))
    })
    .await?;
    ensure!(!first.runs());
    // Only root may lower the nice level, if the tests themselves run with a higher one.
    let expected = nice("self")?.max(5);
    let actual = nice(&second.0.to_string())?;
    ensure!(actual == expected, "nice level {actual}, not {expected}");
    Ok(())
}

/// A process's nice level.
fn nice(process: &str) -> Result<i32> {
    let stat = fs::read_to_string(format!("/proc/{process}/stat"))?;
    let level = stat.rsplit(')').next().and_then(|rest| rest.split_whitespace().nth(16));
    Ok(level.context("no nice level")?.parse()?)
}

async fn a_reload_with_the_same_settings_keeps_the_engine() -> Result<()> {
    let server = Server::start().await?;
    let session = server.session().await?;
    let first = server.engine(&session).await?;
    session.batch_execute("ALTER SYSTEM SET work_mem = '5MB'").await?;
    session.batch_execute("SELECT pg_reload_conf()").await?;
    let session = &session;
    wait::until("the reload has happened", async || {
        let value: String = session.value("SHOW work_mem").await?;
        Ok((value == "5MB").then_some(()))
    })
    .await?;
    ensure!(server.engine(session).await? == first);
    Ok(())
}

async fn a_killed_engine_loses_no_call() -> Result<()> {
    let server = Server::start().await?;
    let (session, watcher) = (server.session().await?, server.connect("postgres").await?);
    let started: SystemTime = watcher.value("SELECT pg_postmaster_start_time()").await?;
    let texts = texts(300, 60);
    let undisturbed: Vec<Vector> = session.value_of("SELECT rag.embed($1::text[])", &[&texts]).await?;
    let first = server.engine(&session).await?;
    let killing = async {
        in_call(&watcher, &session).await?;
        first.signal(Signal::SIGKILL);
        Ok(())
    };
    let parameters: [&(dyn tokio_postgres::types::ToSql + Sync); 1] = [&texts];
    let calling = session.value_of::<Vec<Vector>>("SELECT rag.embed($1::text[])", &parameters);
    let (vectors, ()) = futures_util::future::try_join(calling, killing).await?;
    same(&vectors, &undisturbed)?;
    ensure!(server.engine(&session).await? != first, "the engine was not killed");
    ensure!(watcher.value::<SystemTime>("SELECT pg_postmaster_start_time()").await? == started);
    Ok(())
}

/// Waits until `session` waits for the engine.
async fn in_call(watcher: &Session, session: &Session) -> Result<()> {
    // A session that is executing a call cannot be queried for its own process id.
    let sql = "SELECT count(*) FROM pg_stat_activity WHERE state = 'active' AND wait_event_type = 'Extension'
               AND query LIKE '%rag.embed($1::text[])%' AND pid <> pg_backend_pid()";
    let _ = session;
    wait::until("the session waits for the engine", async || {
        Ok((watcher.value::<i64>(sql).await? > 0).then_some(()))
    })
    .await
}

async fn a_stopped_supervisor_is_started_again() -> Result<()> {
    let server = Server::start().await?;
    let session = server.session().await?;
    let first = server.engine(&session).await?;
    let supervisors = server.supervisors();
    ensure!(supervisors.len() == 1, "{supervisors:?}");
    supervisors[0].signal(Signal::SIGTERM);
    wait::until("the supervisor ends, and the engine with it", async || {
        Ok((!supervisors[0].runs() && !first.runs()).then_some(()))
    })
    .await?;
    ensure!(server.engine(&session).await? != first);
    Ok(())
}

async fn a_fast_shutdown_ends_the_engine() -> Result<()> {
    shutdown_ends_the_engine(Signal::SIGINT).await
}

async fn an_immediate_shutdown_ends_the_engine() -> Result<()> {
    shutdown_ends_the_engine(Signal::SIGQUIT).await
}

async fn shutdown_ends_the_engine(signal: Signal) -> Result<()> {
    let server = Server::start().await?;
    let session = server.session().await?;
    let engine = server.engine(&session).await?;
    server.stop(signal)?;
    wait::until("the engine ends with the server", async || Ok((!engine.runs()).then_some(()))).await?;
    // The files that it left behind must not prevent the next start.
    server.restart().await?;
    let session = server.session().await?;
    session.execute("SELECT rag.embed('a')", &[]).await?;
    Ok(())
}

async fn the_socket_is_private() -> Result<()> {
    let server = shared().await?;
    let session = server.session().await?;
    server.engine(&session).await?;
    for entry in fs::read_dir(server.socket_directory())? {
        let entry = entry?;
        if entry.file_name().to_string_lossy().starts_with("ragstone-") {
            let mode = entry.metadata()?.permissions().mode() & 0o777;
            ensure!(mode == 0o600, "{:?} has mode {mode:o}", entry.file_name());
        }
    }
    Ok(())
}

async fn the_engine_inherits_nothing_of_the_server() -> Result<()> {
    let server = shared().await?;
    let session = server.session().await?;
    let engine = server.engine(&session).await?;
    for field in ["SigBlk", "SigIgn"] {
        let mask = u64::from_str_radix(&engine.status(field).context("no signal mask")?, 16)?;
        // Rust's own start-up code ignores SIGPIPE (13).
        ensure!(mask & !(1 << 12) == 0, "{field} is {mask:x}");
    }
    let data = server.data().canonicalize()?;
    for file in engine.open_files()? {
        let of_server = file.starts_with(&data) && !file.starts_with(data.join("pg_stat_tmp"));
        ensure!(!of_server, "the engine holds {} open", file.display());
    }
    ensure!(
        !engine.mapped_files()?.contains("/dev/zero (deleted)"),
        "the engine has the server's shared memory"
    );
    Ok(())
}

async fn a_replaced_engine_exits_when_no_session_uses_it() -> Result<()> {
    let server = Server::prepare(Options::default())?;
    let installed = server.install.library.join("ragstone/ragstone-engine");
    let program = server.folder().join("ragstone-engine");
    copy_program(&installed, &program)?;
    let options = Options::default()
        .set("rag.engine_path", &program.display().to_string())
        .set("rag.onnxruntime_path", &library(&server, "libonnxruntime.so"))
        .set("rag.openvino_path", &library(&server, "openvino"));
    server.configure(&options)?;
    server.restart().await?;
    let session = server.session().await?;
    let first = server.engine(&session).await?;
    fs::remove_file(&program)?;
    copy_program(&installed, &program)?;
    // While it is in use, the old engine continues; its protocol is still supported.
    session.execute("SELECT rag.embed('a')", &[]).await?;
    ensure!(server.engines() == [first]);
    session.close().await?;
    wait::until("the replaced engine exits", async || Ok((!first.runs()).then_some(()))).await?;
    let session = server.session().await?;
    ensure!(server.engine(&session).await? != first);
    Ok(())
}

fn library(server: &Server, name: &str) -> String {
    server.install.library.join("ragstone").join(name).display().to_string()
}

fn copy_program(from: &PathBuf, to: &PathBuf) -> Result<()> {
    fs::copy(from, to)?;
    fs::set_permissions(to, fs::Permissions::from_mode(0o755))?;
    ragstone_tests::server::give_to_server(to)
}

async fn drop_database_is_not_blocked() -> Result<()> {
    let server = shared().await?;
    let session = server.session().await?;
    let database: String = session.value("SELECT current_database()::text").await?;
    session.batch_execute("CREATE TABLE t AS SELECT 1 AS id, 'a text'::text AS body").await?;
    session.batch_execute("ALTER TABLE t ADD PRIMARY KEY (id)").await?;
    session.execute("SELECT rag.create_collection('c', 't', 'body', sync => 'manual')", &[]).await?;
    session.close().await?;
    let admin = server.connect("postgres").await?;
    admin.batch_execute(&format!("DROP DATABASE {database}")).await?;
    Ok(())
}

async fn one_engine_serves_all_databases() -> Result<()> {
    let server = Server::start().await?;
    let (one, other) = (server.session().await?, server.session().await?);
    let engine = server.engine(&one).await?;
    ensure!(server.engine(&other).await? == engine);
    Ok(())
}

async fn status_says_whether_an_engine_runs() -> Result<()> {
    let server = Server::start().await?;
    let session = server.session().await?;
    let status = "SELECT value FROM rag.status() WHERE name = 'engine'";
    ensure!(session.value::<String>(status).await?.starts_with("not running"));
    let engine = server.engine(&session).await?;
    ensure!(session.value::<String>(status).await? == "running");
    let pid: String = session.value("SELECT value FROM rag.status() WHERE name = 'engine_pid'").await?;
    ensure!(Process(pid.parse()?) == engine);
    Ok(())
}

/// The engine's own tests check what the sandbox refuses.
async fn all_threads_of_the_engine_are_in_its_sandbox() -> Result<()> {
    let server = Server::start().await?;
    let session = server.session().await?;
    session.execute("SELECT rag.embed($1::text[])", &[&texts(50, 5)]).await?;
    let sandbox: String = session.value("SELECT value FROM rag.status() WHERE name = 'sandbox'").await?;
    ensure!(sandbox == "no_new_privs, landlock, seccomp", "{sandbox}");
    let engine = server.engines()[0];
    ensure!(engine.threads()? > 2, "the model runs in no thread of its own");
    for (field, expected) in [("NoNewPrivs", "1"), ("Seccomp", "2")] {
        let found = engine.status_of_threads(field)?;
        ensure!(found.iter().all(|value| value == expected), "{field}: {found:?}");
    }
    Ok(())
}

async fn stat_engine_counts() -> Result<()> {
    let server = Server::start().await?;
    let session = server.session().await?;
    session.execute("SELECT rag.embed('a'), rag.embed($1::text[])", &[&texts(50, 5)]).await?;
    let row = session
        .query_one(
            "SELECT requests, texts, mean_batch, run_p50_ms, wait_p99_ms, tokens_per_second, resident_bytes, restarts
             FROM rag.stat_engine WHERE model = 'all-MiniLM-L6-v2'",
            &[],
        )
        .await?;
    ensure!(row.get::<_, i64>("requests") >= 2 && row.get::<_, i64>("texts") == 51, "{row:?}");
    ensure!(row.get::<_, f64>("mean_batch") > 1.0, "50 texts were not run in batches: {row:?}");
    ensure!(row.get::<_, f64>("run_p50_ms") > 0.0 && row.get::<_, f64>("tokens_per_second") > 0.0);
    ensure!(row.get::<_, i64>("resident_bytes") > 50 << 20 && row.get::<_, i32>("restarts") == 0);
    Ok(())
}
