//! Documents are parsed in processes of their own, whose failures are errors of the statement alone.

use anyhow::{Context, ensure};
use futures_util::future::{join, try_join_all};
use libtest_mimic::Trial;
use nix::sys::signal::Signal;
use ragstone_tests::Result;
use ragstone_tests::process::Process;
use ragstone_tests::server::shared;
use ragstone_tests::session::{Session, refusal_in};
use ragstone_tests::wait;
use std::fs;
use std::io::Write;

pub fn tests() -> Vec<Trial> {
    ragstone_tests::tests![
        documents_become_parts,
        what_is_left_out_is_a_warning,
        what_cannot_be_parsed_is_refused_with_a_reason,
        not_everyone_may_raise_the_limits; alone:
        a_cancel_and_the_end_of_a_session_kill_the_parser,
        a_killed_parser_is_an_error_and_a_killed_engine_is_not,
        sessions_parse_at_the_same_time,
    ]
}

const PAGE: &str = "convert_to('<html><body><h1>Backup</h1><p>Every night.</p></body></html>', 'UTF8')";

async fn documents_become_parts() -> Result<()> {
    let session = shared().await?.session().await?;
    let parts = session.query(&format!("SELECT * FROM rag.parse({PAGE})"), &[]).await?;
    ensure!(parts.len() == 1);
    let (part, page, heading, content): (i32, Option<i32>, &str, &str) =
        (parts[0].get(0), parts[0].get(1), parts[0].get(2), parts[0].get(3));
    ensure!((part, page, heading, content) == (1, None, "Backup", "# Backup\n\nEvery night."));
    let info = session.query(&format!("SELECT * FROM rag.document_info({PAGE})"), &[]).await?;
    ensure!((info.len(), info[0].get::<_, &str>("type")) == (1, "html"));
    for content in ["NULL", "''"] {
        let count = format!("SELECT count(*) FROM rag.parse({content})");
        ensure!(session.value::<i64>(&count).await? == 0, "{content}");
    }
    ensure!(session.value::<i64>("SELECT count(*) FROM rag.document_info(NULL)").await? == 0);
    let table: String =
        session.value("SELECT content FROM rag.parse(E'a,b\\n1,2\\n', mime => 'text/csv')").await?;
    ensure!(table.contains("| 1 | 2 |"), "{table}");
    let latin: String = session
        .value(
            "SELECT content FROM rag.parse(convert_to('Größe und Höhe über Normalnull', 'LATIN1'), 'a.txt')",
        )
        .await?;
    ensure!(latin == "Größe und Höhe über Normalnull", "{latin}");
    Ok(())
}

/// A file of a tar archive (POSIX.1-1988).
fn tar_file(name: &str, content: &[u8]) -> Vec<u8> {
    let mut file = vec![0; 512];
    file[..name.len()].copy_from_slice(name.as_bytes());
    file[124..135].copy_from_slice(format!("{:011o}", content.len()).as_bytes());
    file[156] = b'0';
    file[257..262].copy_from_slice(b"ustar");
    file.extend_from_slice(content);
    file.resize(file.len().next_multiple_of(512), 0);
    file
}

async fn what_is_left_out_is_a_warning() -> Result<()> {
    let session = shared().await?.session().await?;
    let archive = [tar_file("a.txt", b"Text."), tar_file("program", b"\x7fELF\x02\x01\x01\0")].concat();
    let parts = session.query("SELECT heading, content FROM rag.parse($1)", &[&archive]).await?;
    ensure!(parts.len() == 1);
    ensure!((parts[0].get::<_, &str>(0), parts[0].get::<_, &str>(1)) == ("a.txt", "Text."));
    let notices = session.take_notices();
    ensure!(notices.len() == 1, "{notices:?}");
    notices[0].expect("01000", "the document was not parsed as a whole", "")?;
    ensure!(format!("{:?}", notices[0]).contains("its type is not known"), "{notices:?}");
    let files: Vec<String> =
        session.value_of("SELECT attachments FROM rag.document_info($1)", &[&archive]).await?;
    ensure!(files == ["a.txt", "program"], "{files:?}");
    Ok(())
}

async fn what_cannot_be_parsed_is_refused_with_a_reason() -> Result<()> {
    let session = shared().await?.session().await?;
    for (content, code, message, hint) in [
        ("'\\x7f454c4602010100'", "22P03", "the type of the document is not known", "rag.parse"),
        ("'%PDF-1.7'", "22P03", "the document is not valid pdf", ""),
        ("'\\x1f8b080000'", "22P03", "the document is not valid gzip", ""),
        ("decode(repeat('00', 64 << 20), 'hex')", "54000", "content of 64 MB is over the limit of 63 MB", ""),
    ] {
        for function in ["parse", "document_info"] {
            let refusal = session.refusal(&format!("SELECT * FROM rag.{function}({content})")).await?;
            refusal.expect(code, message, hint).with_context(|| content.to_owned())?;
        }
    }
    ensure!(session.value::<i64>(&format!("SELECT count(*) FROM rag.parse({PAGE})")).await? == 1);
    Ok(())
}

async fn not_everyone_may_raise_the_limits() -> Result<()> {
    let session = shared().await?.session().await?;
    session.execute("SELECT rag.embed('the library is loaded')", &[]).await?;
    session.batch_execute("SET ROLE pg_monitor").await?;
    for setting in ["rag.parse_memory = '2GB'", "rag.parse_timeout = '1h'"] {
        session.refusal(&format!("SET {setting}")).await?.expect("42501", "permission denied", "")?;
    }
    session.batch_execute("SET rag.parse_pages = 1; RESET ROLE; SET rag.parse_timeout = '1ms'").await?;
    let refusal = session.refusal(&format!("SELECT * FROM rag.parse({PAGE})")).await?;
    refusal.expect("54000", "took longer than 1 ms", "rag.parse_timeout")
}

const PARSE_SLOW: &str = "SELECT count(*) FROM slow, rag.parse(data)";

/// A session with a file that takes a while to unpack, and is no document then.
async fn session_with_slow_file() -> Result<Session> {
    let session = shared().await?.session().await?;
    let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    encoder.write_all(&vec![0; 1 << 20])?;
    // A gzip file may have many members (RFC 1952).
    let slow = encoder.finish()?.repeat(400);
    session.batch_execute("CREATE TABLE slow (data bytea)").await?;
    session.execute("INSERT INTO slow VALUES ($1)", &[&slow]).await?;
    session.execute("SELECT rag.embed('the engine runs')", &[]).await?;
    Ok(session)
}

fn children(parent: Process) -> Vec<Process> {
    let tasks = fs::read_dir(format!("/proc/{}/task", parent.0)).into_iter().flatten().flatten();
    let lists = tasks.filter_map(|task| fs::read_to_string(task.path().join("children")).ok());
    lists
        .flat_map(|list| {
            list.split_whitespace().filter_map(|pid| pid.parse().ok()).map(Process).collect::<Vec<_>>()
        })
        .collect()
}

/// The parser of the engine, which is stopped, so that it does not end by itself.
async fn stopped_parser(engine: Process) -> Result<Process> {
    let is_parser = |process: &Process| {
        let command = fs::read_to_string(format!("/proc/{}/cmdline", process.0)).unwrap_or_default();
        command.contains("parse-child")
    };
    let found = wait::until("a parser works", async || {
        Ok(children(engine).into_iter().flat_map(children).find(is_parser))
    });
    let parser = found.await?;
    parser.signal(Signal::SIGSTOP);
    Ok(parser)
}

async fn ended(parser: Process) -> Result<()> {
    wait::until("the parser ends", async || Ok((!parser.runs()).then_some(()))).await
}

async fn a_cancel_and_the_end_of_a_session_kill_the_parser() -> Result<()> {
    let session = session_with_slow_file().await?;
    let server = shared().await?;
    let watcher = server.connect("postgres").await?;
    let engine = server.engines()[0];
    let backend = session.backend().await?.0;
    for (stop, code) in [("pg_cancel_backend", "57014"), ("pg_terminate_backend", "57P01")] {
        let stopping = async {
            let parser = stopped_parser(engine).await?;
            watcher.execute(&format!("SELECT {stop}({backend})"), &[]).await?;
            ended(parser).await
        };
        let (stopped, result) = join(stopping, session.batch_execute(PARSE_SLOW)).await;
        stopped?;
        let error = result.err().with_context(|| format!("{stop} stops nothing"))?;
        refusal_in(&error)?.expect(code, "", "")?;
    }
    ensure!(server.engines() == [engine]);
    Ok(())
}

async fn a_killed_parser_is_an_error_and_a_killed_engine_is_not() -> Result<()> {
    let session = session_with_slow_file().await?;
    let server = shared().await?;
    let watcher = server.session().await?;
    let engine = server.engine(&watcher).await?;
    let killing = async {
        let parser = stopped_parser(engine).await?;
        parser.signal(Signal::SIGKILL);
        ended(parser).await
    };
    let (killed, refusal) = join(killing, session.refusal(PARSE_SLOW)).await;
    killed?;
    refusal?.expect("57P03", "the parser was killed while it read the document", "Try again")?;
    // The request is sent to the next engine, which refuses the document.
    let killing = async {
        let parser = stopped_parser(engine).await?;
        engine.signal(Signal::SIGKILL);
        ended(parser).await
    };
    let (killed, refusal) = join(killing, session.refusal(PARSE_SLOW)).await;
    killed?;
    refusal?.expect("22P03", "the type of the document is not known", "")?;
    ensure!(server.engine(&watcher).await? != engine);
    Ok(())
}

async fn sessions_parse_at_the_same_time() -> Result<()> {
    let server = shared().await?;
    let mut sessions = Vec::new();
    for _ in 0..8 {
        sessions.push(server.session().await?);
    }
    let parse = format!("SELECT count(*) FROM generate_series(1, 5), rag.parse({PAGE})");
    let counts = try_join_all(sessions.iter().map(|session| session.value::<i64>(&parse))).await?;
    ensure!(counts == [5; 8], "{counts:?}");
    let engine = server.engine(&sessions[0]).await?;
    wait::until("all parsers end", async || {
        Ok(children(engine).into_iter().all(|launcher| children(launcher).is_empty()).then_some(()))
    })
    .await
}
