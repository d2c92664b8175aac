//! Keys of providers: whose a call takes, and that nobody else finds them.

use crate::generate::{NO_RETRIES, with};
use anyhow::ensure;
use libtest_mimic::Trial;
use ragstone_tests::Result;
use ragstone_tests::provider::{Provider, Reply};
use ragstone_tests::server::{Server, run, shared};
use std::fs;

pub fn tests() -> Vec<Trial> {
    ragstone_tests::tests![
        a_call_takes_the_callers_own_key_or_the_servers,
        keys_from_files_are_read_at_each_call,
        nobody_finds_a_key,
    ]
}

async fn a_call_takes_the_callers_own_key_or_the_servers() -> Result<()> {
    let (session, provider) = with([Reply::chat("yes")]).await?;
    let call = "SELECT rag.generate('hi', model => 'stub')";
    session
        .batch_execute(
            "DROP ROLE IF EXISTS key_own; DROP ROLE IF EXISTS key_none; CREATE ROLE key_own; CREATE ROLE key_none;
             GRANT USAGE ON FOREIGN SERVER stub TO key_own;
             CREATE USER MAPPING FOR key_own SERVER stub OPTIONS (api_key 'sk-own')",
        )
        .await?;
    session.execute(call, &[]).await?;
    session.batch_execute("SET ROLE key_own").await?;
    session.execute(call, &[]).await?;
    session.batch_execute("SET ROLE key_none").await?;
    session.refusal(call).await?.expect(
        "42501",
        "permission denied for foreign server stub",
        "GRANT USAGE",
    )?;
    // A function that runs as its owner calls with its owner's rights.
    session.batch_execute("RESET ROLE; CREATE FUNCTION ask() RETURNS text LANGUAGE sql SECURITY DEFINER RETURN rag.generate('hi', model => 'stub'); SET ROLE key_none").await?;
    session.execute("SELECT ask()", &[]).await?;
    // The right is asked for at each call, not once for a session.
    session
        .batch_execute("RESET ROLE; GRANT USAGE ON FOREIGN SERVER stub TO key_none; SET ROLE key_none")
        .await?;
    session.execute(call, &[]).await?;
    session
        .batch_execute("RESET ROLE; REVOKE USAGE ON FOREIGN SERVER stub FROM key_none; SET ROLE key_none")
        .await?;
    session.refusal(call).await?.expect("42501", "permission denied", "")?;
    session.batch_execute("RESET ROLE; DROP OWNED BY key_own, key_none; DROP ROLE key_own, key_none").await?;
    let keys: Vec<_> =
        provider.requests().iter().map(|seen| seen.header("authorization").map(str::to_owned)).collect();
    let keys: Vec<_> = keys.iter().flatten().map(String::as_str).collect();
    ensure!(
        keys == ["Bearer sk-server", "Bearer sk-own", "Bearer sk-server", "Bearer sk-server"],
        "{keys:?}"
    );
    Ok(())
}

async fn keys_from_files_are_read_at_each_call() -> Result<()> {
    let server = shared().await?;
    let (session, provider) = with([Reply::chat("yes")]).await?;
    let file = server.folder().join("key");
    let set = format!(
        "DROP USER MAPPING FOR PUBLIC SERVER stub; CREATE USER MAPPING FOR PUBLIC SERVER stub OPTIONS (api_key_file '{}')",
        file.display()
    );
    session.batch_execute(&set).await?;
    let call = "SELECT rag.generate('hi', model => 'stub')";
    let refusal = session.refusal(call).await?;
    ensure!(refusal.message.contains("key") && !refusal.hint.is_empty(), "{refusal:?}");
    fs::write(&file, "sk-file\n")?;
    ragstone_tests::server::give_to_server(&file)?;
    session.execute(call, &[]).await?;
    ensure!(provider.requests()[0].header("authorization") == Some("Bearer sk-file"));
    session.batch_execute("ALTER USER MAPPING FOR PUBLIC SERVER stub OPTIONS (DROP api_key_file, ADD api_key_env 'NO_SUCH_VARIABLE')").await?;
    let refusal = session.refusal(call).await?;
    ensure!(refusal.message.contains("NO_SUCH_VARIABLE"), "{refusal:?}");
    Ok(())
}

async fn nobody_finds_a_key() -> Result<()> {
    let server = Server::start().await?;
    let session = server.session().await?;
    let provider =
        Provider::start([Reply::status(401).body(r#"{"error": {"message": "bad key sk-hidden-key"}}"#)])?;
    session
        .batch_execute(&format!(
            "SET client_min_messages = warning; SET log_min_messages = warning; SET log_statement = 'none'; SET log_min_error_statement = 'panic';
             SELECT rag.create_provider('stub', kind => 'openai', api_key => 'sk-hidden-key', base_url => '{}', model => 'big', options => '{NO_RETRIES}');
             SET log_min_messages = debug5;
             CREATE ROLE snoop LOGIN IN ROLE pg_read_all_data; GRANT USAGE ON FOREIGN SERVER stub TO snoop",
            provider.url()
        ))
        .await?;
    // One that cannot be made leaves no trace of its key either.
    session.batch_execute("SET log_min_messages = warning").await?;
    let refusal = session
        .refusal("SELECT rag.create_provider('stub', kind => 'openai', api_key => 'sk-hidden-key')")
        .await?;
    session.batch_execute("SET log_min_messages = debug5").await?;
    ensure!(!format!("{refusal:?}").contains("sk-hidden"), "{refusal:?}");
    let database: String = session.value("SELECT current_database()::text").await?;
    let snoop = server.connect_as("snoop", &database).await?;
    snoop.batch_execute("SET client_min_messages = debug5").await?;
    let mut told = format!("{:?}", snoop.refusal("SELECT rag.generate('hi', model => 'stub')").await?);
    for row in
        snoop.query("EXPLAIN (ANALYZE, VERBOSE) SELECT rag.try_generate('hi', model => 'stub')", &[]).await?
    {
        told.push_str(row.get(0));
    }
    for look in [
        "SELECT u::text FROM pg_user_mappings u",
        "SELECT p::text FROM rag.providers p",
        "SELECT c::text FROM rag.calls c",
    ] {
        for row in snoop.query(look, &[]).await? {
            told.push_str(row.get(0));
        }
    }
    told.push_str(&format!("{:?}", snoop.take_notices()));
    let dump = run(server.client("pg_dump")?.args(["-d", &database, "-s"]))?;
    ensure!(dump.contains("sk-hidden-key"), "a superuser's dump has lost the key");
    let by_snoop = server.client("pg_dump")?.args(["-U", "snoop", "-d", &database, "-s"]).output()?;
    ensure!(by_snoop.status.success(), "{}", String::from_utf8_lossy(&by_snoop.stderr));
    told.push_str(&String::from_utf8_lossy(&by_snoop.stdout));
    told.push_str(&String::from_utf8_lossy(&by_snoop.stderr));
    told.push_str(&server.log()?);
    ensure!(!told.contains("sk-hidden"), "the key is in what somebody else can see");
    Ok(())
}
