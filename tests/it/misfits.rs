//! Servers and socket directories with which the engine cannot work.

use anyhow::ensure;
use libtest_mimic::Trial;
use ragstone_core::protocol::{PROTOCOL, Request, encode, socket_name};
use ragstone_tests::Result;
use ragstone_tests::install::stranger;
use ragstone_tests::server::{Options, Server};
use ragstone_tests::session::Session;
use ragstone_tests::stub::{Manner, SLOW_INTERVAL, SLOW_SIGNS, Stub};
use ragstone_tests::wait;
use std::fs;
use std::io::{ErrorKind, Read, Write};
use std::os::unix::fs::PermissionsExt;
use std::os::unix::net::UnixStream;

const STUB: &str = env!("CARGO_BIN_EXE_ragstone-stub");

pub fn tests() -> Vec<Trial> {
    ragstone_tests::tests![
        an_unwritable_socket_directory_is_named,
        a_missing_socket_directory_is_named,
        a_socket_path_that_is_too_long_is_refused,
        another_socket_directory_works,
        a_socket_directory_in_which_others_may_write_is_refused,
        no_free_worker_slot_is_said,
        an_engine_of_another_protocol_is_refused,
        a_socket_of_another_user_is_refused,
        a_client_of_another_user_is_refused,
        a_full_backlog_ends_with_the_timeout_and_can_be_cancelled,
        an_engine_that_makes_progress_is_waited_for,
        a_missing_engine_is_named,
        a_queue_that_is_too_small_is_said,
    ]
}

async fn refusal_with(options: Options, code: &str, message: &str, hint: &str) -> Result<()> {
    let server = Server::start_with(options).await?;
    let session = server.session().await?;
    session.refusal("SELECT rag.embed('a')").await?.expect(code, message, hint)?;
    // The session can still do other work.
    session.execute("SELECT 1", &[]).await?;
    Ok(())
}

async fn an_unwritable_socket_directory_is_named() -> Result<()> {
    let folder = tempfile::tempdir()?;
    fs::set_permissions(folder.path(), fs::Permissions::from_mode(0o555))?;
    let options = Options::default().set("rag.socket_directory", &folder.path().display().to_string());
    refusal_with(options, "57P03", "is not writable", "rag.socket_directory").await
}

async fn a_missing_socket_directory_is_named() -> Result<()> {
    let options = Options::default().set("rag.socket_directory", "no/such/folder");
    refusal_with(options, "57P03", "\"no/such/folder\" is not writable", "rag.socket_directory").await
}

async fn a_socket_path_that_is_too_long_is_refused() -> Result<()> {
    let server = Server::prepare(Options::default())?;
    let long = server.data().join("x".repeat(110));
    fs::create_dir(&long)?;
    ragstone_tests::server::give_to_server(&long)?;
    server.configure(&Options::default().set("rag.socket_directory", &"x".repeat(110)))?;
    server.restart().await?;
    let refusal = server.session().await?.refusal("SELECT rag.embed('a')").await?;
    refusal.expect("57P03", "socket", "rag.socket_directory")
}

async fn another_socket_directory_works() -> Result<()> {
    let server = Server::prepare(Options::default())?;
    let folder = server.folder().join("sockets");
    fs::create_dir(&folder)?;
    ragstone_tests::server::give_to_server(&folder)?;
    server.configure(&Options::default().set("rag.socket_directory", &folder.display().to_string()))?;
    server.restart().await?;
    server.session().await?.execute("SELECT rag.embed('a')", &[]).await?;
    ensure!(folder.join(socket_name()).exists(), "no socket in the folder that the setting names");
    Ok(())
}

async fn a_socket_directory_in_which_others_may_write_is_refused() -> Result<()> {
    let server = Server::prepare(Options::default())?;
    let folder = server.folder().join("sockets");
    fs::create_dir(&folder)?;
    ragstone_tests::server::give_to_server(&folder)?;
    fs::set_permissions(&folder, fs::Permissions::from_mode(0o777))?;
    let victim = server.folder().join("victim");
    let link = folder.join(socket_name()).with_extension("supervisor");
    std::os::unix::fs::symlink(&victim, &link)?;
    server.configure(&Options::default().set("rag.socket_directory", &folder.display().to_string()))?;
    server.restart().await?;
    let session = server.session().await?;
    let refusal = session.refusal("SELECT rag.embed('a')").await?;
    refusal.expect("57P03", "cannot be used", "rag.socket_directory")?;
    ensure!(refusal.detail == "other users may write in it", "{refusal:?}");
    session.batch_execute("CREATE TABLE t (id int PRIMARY KEY, body text)").await?;
    session.refusal("SELECT rag.create_collection('c', 't', 'body')").await?;
    session.batch_execute("SELECT rag.submit('search', '{\"collection\": \"c\", \"query\": \"a\"}')").await?;
    let found: Vec<_> = fs::read_dir(&folder)?.collect::<std::io::Result<_>>()?;
    ensure!(found.len() == 1, "files were made: {found:?}");
    ensure!(!victim.exists(), "a symbolic link was followed");
    Ok(())
}

async fn no_free_worker_slot_is_said() -> Result<()> {
    let options = Options::default().set("max_worker_processes", "0");
    refusal_with(options, "57P03", "no background worker slot is free", "max_worker_processes").await
}

async fn an_engine_of_another_protocol_is_refused() -> Result<()> {
    let server = Server::start().await?;
    let _stub = Stub::start(&server, STUB, Manner::OtherProtocol)?;
    let refusal = server.session().await?.refusal("SELECT rag.embed('a')").await?;
    refusal.expect("57P03", "does not match this version", "restart the server")?;
    ensure!(refusal.detail.contains("The engine is version"), "{refusal:?}");
    Ok(())
}

async fn a_socket_of_another_user_is_refused() -> Result<()> {
    let stranger = stranger()?;
    let server = Server::prepare(Options::default())?;
    let folder = server.folder().join("sockets");
    fs::create_dir(&folder)?;
    fs::set_permissions(&folder, fs::Permissions::from_mode(0o777))?;
    server.configure(&Options::default().set("rag.socket_directory", &folder.display().to_string()))?;
    server.restart().await?;
    let _stub = Stub::start_as(stranger, &server, STUB, &folder)?;
    let refusal = server.session().await?.refusal("SELECT rag.embed('a secret')").await?;
    let message = format!("the engine's socket belongs to user id {}, not to ", stranger.0);
    refusal.expect("42501", &message, "rag.socket_directory")
}

/// A user that the socket's mode does not stop, such as root, is refused as well.
async fn a_client_of_another_user_is_refused() -> Result<()> {
    stranger()?;
    let server = Server::start().await?;
    server.engine(&server.session().await?).await?;
    let mut client = UnixStream::connect(server.socket_directory().join(socket_name()))?;
    client.set_read_timeout(Some(wait::SOON))?;
    let mut answer = Vec::new();
    // If the engine closes the connection with unread input, the end is an error.
    let _ = client.write_all(&encode(0, Request::Hello { protocol: PROTOCOL, version: String::new() })?);
    let end = client.read_to_end(&mut answer);
    ensure!(answer.is_empty(), "the engine answered {answer:?}");
    ensure!(end.map_or_else(|error| error.kind() == ErrorKind::ConnectionReset, |_| true));
    ensure!(server.log()?.contains("refused a connection of another user"));
    Ok(())
}

async fn a_full_backlog_ends_with_the_timeout_and_can_be_cancelled() -> Result<()> {
    let server = Server::start().await?;
    let database = server.database().await?;
    let _stub = Stub::start(&server, STUB, Manner::Deaf)?;
    // The backlog has room for one connection; its session waits for a response that does not come.
    let (first, second) = (server.connect(&database).await?, server.connect(&database).await?);
    for session in [&first, &second] {
        session.batch_execute("SET rag.request_timeout = '500ms'").await?;
    }
    let call = "SELECT rag.embed('a')";
    let (held, refused) = tokio::join!(first.refusal(call), second.refusal(call));
    let messages = [held?, refused?];
    let said = |text: &str| messages.iter().any(|refusal| refusal.message.contains(text));
    ensure!(said("made no progress with the request within 500 ms"), "{messages:?}");
    ensure!(said("accepted no connection within 500 ms"), "{messages:?}");
    for refusal in &messages {
        refusal.expect("57P03", "within 500 ms", "rag.request_timeout")?;
    }
    statement_timeout_ends(&first).await?;
    statement_timeout_ends(&second).await
}

/// Progress messages arrive for three times as long as the engine may send none.
async fn an_engine_that_makes_progress_is_waited_for() -> Result<()> {
    let server = Server::start().await?;
    let session = server.session().await?;
    let _stub = Stub::start(&server, STUB, Manner::Slow)?;
    let patience = (SLOW_INTERVAL * SLOW_SIGNS / 3).as_millis();
    session.batch_execute(&format!("SET rag.request_timeout = {patience}")).await?;
    let dimensions: i32 = session.value("SELECT vector_dims(rag.embed('a'))").await?;
    ensure!(dimensions == 1);
    session.batch_execute(&format!("SET statement_timeout = {patience}")).await?;
    session.refusal("SELECT rag.embed('a')").await?.expect("57014", "statement timeout", "")
}

async fn statement_timeout_ends(session: &Session) -> Result<()> {
    session.batch_execute("SET statement_timeout = '100ms'; SET rag.request_timeout = '60s'").await?;
    session.refusal("SELECT rag.embed('a')").await?.expect("57014", "statement timeout", "")
}

async fn a_missing_engine_is_named() -> Result<()> {
    let options = Options::default().set("rag.engine_path", "/no/such/engine");
    refusal_with(options, "57P03", "\"/no/such/engine\" cannot be executed", "make install").await
}

async fn a_queue_that_is_too_small_is_said() -> Result<()> {
    let server = Server::start_with(Options::default().set("rag.engine_queue_limit", "10")).await?;
    let session = server.session().await?;
    let refusal =
        session.refusal("SELECT rag.embed(array_agg('text ' || g)) FROM generate_series(1, 200) g").await?;
    refusal.expect("53400", "is full", "rag.engine_queue_limit")?;
    session.execute("SELECT rag.embed('still here')", &[]).await?;
    Ok(())
}
