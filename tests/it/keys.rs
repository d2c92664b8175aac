//! Keys of providers: which key a call uses, and that no other role can read it.

use crate::accounting::recorded;
use crate::generate::{NO_RETRIES, with};
use anyhow::ensure;
use libtest_mimic::Trial;
use ragstone_tests::Result;
use ragstone_tests::provider::{Provider, Reply};
use ragstone_tests::server::{Options, Server, give_to_server, run, shared};
use ragstone_tests::session::Session;
use serde_json::json;
use std::fs;

pub fn tests() -> Vec<Trial> {
    ragstone_tests::tests![
        a_call_takes_the_callers_own_key_or_the_servers,
        keys_from_files_are_read_at_each_call,
        a_key_is_read_by_whose_it_is_and_by_no_one_else,
        an_address_is_named_by_a_servers_owner_and_with_usage_on_the_wrapper,
        files_and_variables_are_named_by_superusers_alone,
        no_role_finds_a_key,
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
    // A SECURITY DEFINER function calls the provider with its owner's rights.
    session.batch_execute("RESET ROLE; CREATE FUNCTION ask() RETURNS text LANGUAGE sql SECURITY DEFINER RETURN rag.generate('hi', model => 'stub'); SET ROLE key_none").await?;
    session.execute("SELECT ask()", &[]).await?;
    // The privilege is checked at each call, not once per session.
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
    let hint = "Write the key into a file that the user of the PostgreSQL server can read.";
    let unreadable = async |reason: &str| {
        let message =
            format!("provider \"stub\": cannot read the key from file \"{}\": {reason}", file.display());
        session.refusal(call).await?.expect("42501", &message, hint)
    };
    unreadable("No such file or directory (os error 2)").await?;
    fs::create_dir(&file)?;
    unreadable("expected a file").await?;
    fs::remove_dir(&file)?;
    fs::write(&file, vec![b'k'; (64 << 10) + 1])?;
    give_to_server(&file)?;
    unreadable("expected at most 65536 bytes").await?;
    fs::write(&file, "sk-file\n")?;
    session.execute(call, &[]).await?;
    ensure!(provider.requests()[0].header("authorization") == Some("Bearer sk-file"));
    session.batch_execute("ALTER USER MAPPING FOR PUBLIC SERVER stub OPTIONS (DROP api_key_file, ADD api_key_env 'NO_SUCH_VARIABLE')").await?;
    let refusal = session.refusal(call).await?;
    ensure!(refusal.message.contains("NO_SUCH_VARIABLE"), "{refusal:?}");
    Ok(())
}

/// The keys that a role can read through each of the views that show them.
async fn readable(session: &Session, role: &str) -> Result<Vec<String>> {
    session.batch_execute(&format!("SET ROLE {role}")).await?;
    let mut seen = Vec::new();
    for query in [
        "SELECT option FROM pg_user_mappings, unnest(umoptions) option ORDER BY 1",
        "SELECT option_name || '=' || option_value FROM information_schema.user_mapping_options
         WHERE option_value IS NOT NULL ORDER BY 1",
    ] {
        let rows = session.query(query, &[]).await?;
        seen.push(rows.iter().map(|row| row.get::<_, String>(0)).collect::<Vec<_>>().join(" "));
    }
    let refusal = session.refusal("SELECT * FROM pg_user_mapping").await;
    ensure!(role == "postgres" || refusal?.code == "42501", "{role} reads the catalogue itself");
    ensure!(seen[0] == seen[1], "{role}: {seen:?}");
    session.batch_execute("RESET ROLE").await?;
    Ok(seen.remove(0).split_whitespace().map(str::to_owned).collect())
}

async fn a_key_is_read_by_whose_it_is_and_by_no_one_else() -> Result<()> {
    let server = Server::start().await?;
    let session = server.session().await?;
    let provider = Provider::start([Reply::chat("yes")])?;
    session.batch_execute(ROLES).await?;
    provide_as(&session, "owner", "theirs", &provider).await?;
    session
        .batch_execute(
            "GRANT USAGE ON FOREIGN SERVER theirs TO alice, bob;
             CREATE USER MAPPING FOR alice SERVER theirs OPTIONS (api_key 'sk-alice')",
        )
        .await?;
    for (role, keys) in [
        ("alice", &["api_key=sk-alice"][..]),
        ("bob", &[]),
        ("stranger", &[]),
        // The server's owner owns the key of PUBLIC; it can have alice's key sent to any address, so that
        // reading the key gains it nothing.
        ("owner", &["api_key=sk-theirs"]),
        ("postgres", &["api_key=sk-alice", "api_key=sk-theirs"]),
    ] {
        let seen = readable(&session, role).await?;
        ensure!(seen == keys, "{role} reads {seen:?}");
    }
    // A user may alter the user's own mapping, and no other one.
    for (role, statement) in [
        ("bob", "ALTER USER MAPPING FOR PUBLIC SERVER theirs OPTIONS (SET api_key 'sk-mine')"),
        ("bob", "ALTER USER MAPPING FOR alice SERVER theirs OPTIONS (SET api_key 'sk-mine')"),
        ("bob", "DROP USER MAPPING FOR PUBLIC SERVER theirs"),
        ("stranger", "CREATE USER MAPPING FOR stranger SERVER theirs OPTIONS (api_key 'sk-mine')"),
    ] {
        session.batch_execute(&format!("SET ROLE {role}")).await?;
        ensure!(session.refusal(statement).await?.code == "42501", "{role}: {statement}");
    }
    session
        .batch_execute("SET ROLE bob; CREATE USER MAPPING FOR bob SERVER theirs OPTIONS (api_key 'sk-bob')")
        .await?;
    ensure!(readable(&session, "bob").await? == ["api_key=sk-bob"]);
    Ok(())
}

const ROLES: &str = "CREATE ROLE owner; CREATE ROLE alice; CREATE ROLE bob; CREATE ROLE stranger;
                     GRANT USAGE ON FOREIGN DATA WRAPPER rag TO owner";

/// A provider of that role, with the key `sk-theirs` for all users.
async fn provide_as(session: &Session, role: &str, name: &str, provider: &Provider) -> Result<()> {
    session.batch_execute(&format!("SET ROLE {role}")).await?;
    let create = "SELECT rag.create_provider($1, kind => 'openai', api_key => 'sk-theirs', base_url => $2, model => 'm')";
    session.execute(create, &[&name, &provider.url()]).await?;
    session.batch_execute("RESET ROLE").await?;
    Ok(())
}

async fn an_address_is_named_by_a_servers_owner_and_with_usage_on_the_wrapper() -> Result<()> {
    let server = Server::start().await?;
    let session = server.session().await?;
    let (provider, other) = (Provider::start([Reply::chat("yes")])?, Provider::start([Reply::chat("yes")])?);
    session.batch_execute(ROLES).await?;
    provide_as(&session, "owner", "theirs", &provider).await?;
    session
        .batch_execute(
            "GRANT USAGE ON FOREIGN SERVER theirs TO bob;
             CREATE USER MAPPING FOR alice SERVER theirs OPTIONS (api_key_file '/run/secrets/alice')",
        )
        .await?;
    session.batch_execute("SET ROLE bob").await?;
    let url = other.url();
    for statement in [
        format!("ALTER SERVER theirs OPTIONS (SET base_url '{url}')"),
        format!("CREATE SERVER mine FOREIGN DATA WRAPPER rag OPTIONS (protocol 'openai', base_url '{url}')"),
        format!("SELECT rag.create_provider('mine', kind => 'openai', api_key => 'k', base_url => '{url}')"),
        "ALTER SERVER theirs OWNER TO bob".to_owned(),
        "SELECT rag.create_provider('ollama')".to_owned(),
    ] {
        ensure!(session.refusal(&statement).await?.code == "42501", "{statement}");
    }
    // No option of a call redirects it.
    let call = "SELECT rag.generate('hi', model => 'theirs', options => $1::text::jsonb)";
    session
        .execute(call, &[&format!(r#"{{"base_url": "{url}", "api_base": "{url}", "url": "{url}"}}"#)])
        .await?;
    ensure!(other.connections() == 0 && provider.requests().len() == 1);
    // The owner of the server controls its keys: they are sent to the address that the owner sets.
    session
        .batch_execute(&format!("SET ROLE owner; ALTER SERVER theirs OPTIONS (SET base_url '{url}')"))
        .await?;
    session.batch_execute("SET ROLE bob; SELECT rag.generate('hi', model => 'theirs')").await?;
    ensure!(other.requests()[0].header("authorization") == Some("Bearer sk-theirs"));
    Ok(())
}

async fn files_and_variables_are_named_by_superusers_alone() -> Result<()> {
    let server = Server::start().await?;
    let session = server.session().await?;
    session.batch_execute(ROLES).await?;
    let provider = Provider::start([Reply::chat("yes")])?;
    provide_as(&session, "owner", "theirs", &provider).await?;
    session.batch_execute("GRANT USAGE ON FOREIGN SERVER theirs TO alice").await?;
    let denied = "permission denied to use option \"api_key_";
    // The check covers options that are given now and options that exist already.
    for (superuser, role, statement) in [
        (
            "",
            "owner",
            "ALTER USER MAPPING FOR PUBLIC SERVER theirs OPTIONS (DROP api_key, ADD api_key_env 'HOME')",
        ),
        ("", "alice", "CREATE USER MAPPING FOR alice SERVER theirs OPTIONS (api_key_file '/etc/passwd')"),
        (
            "CREATE USER MAPPING FOR alice SERVER theirs OPTIONS (api_key_file '/run/secrets/alice')",
            "alice",
            "ALTER USER MAPPING FOR alice SERVER theirs OPTIONS (ADD api_key 'sk-mine')",
        ),
        ("", "alice", "ALTER USER MAPPING FOR alice SERVER theirs OPTIONS (SET api_key_file '/etc/passwd')"),
        (
            "ALTER USER MAPPING FOR PUBLIC SERVER theirs OPTIONS (DROP api_key, ADD api_key_env 'HOME')",
            "owner",
            "ALTER USER MAPPING FOR PUBLIC SERVER theirs OPTIONS (SET api_key_env 'PATH')",
        ),
    ] {
        session.batch_execute(superuser).await?;
        session.batch_execute(&format!("SET ROLE {role}")).await?;
        session.refusal(statement).await?.expect("42501", denied, "Only superusers")?;
        session.batch_execute("RESET ROLE").await?;
    }
    // A role that removes the option sets a key of its own instead.
    session
        .batch_execute(
            "SET ROLE owner; ALTER USER MAPPING FOR PUBLIC SERVER theirs OPTIONS (DROP api_key_env, ADD api_key 'sk-new');
             SELECT rag.generate('hi', model => 'theirs')",
        )
        .await?;
    ensure!(provider.requests()[0].header("authorization") == Some("Bearer sk-new"));
    Ok(())
}

/// The errors that two roles get when the provider refuses their calls.
async fn calls_refused(server: &Server, database: &str) -> Result<String> {
    let mut told = String::new();
    for role in ["snoop", "alice"] {
        let caller = server.connect_as(role, database).await?;
        caller.batch_execute("SET client_min_messages = debug5").await?;
        for call in [
            "rag.generate('hi', model => 'stub')",
            "rag.stream('hi', model => 'stub')",
            "rag.embed('hi', 'stub/e')",
        ] {
            let refusal = caller.refusal(&format!("SELECT {call}")).await?;
            refusal.expect("38000", "status 401", "api_key")?;
            told.push_str(&format!("{refusal:?}"));
        }
        told.push_str(&format!("{:?}", caller.take_notices()));
    }
    Ok(told)
}

/// The data about providers and calls that a role with `pg_read_all_data` can read.
async fn seen_by_snoop(server: &Server, database: &str) -> Result<String> {
    let mut told = String::new();
    let snoop = server.connect_as("snoop", database).await?;
    for look in [
        "EXPLAIN (ANALYZE, VERBOSE) SELECT rag.generate('hi', model => 'stub', on_error => 'null')",
        "SELECT u::text FROM pg_user_mappings u",
        "SELECT p::text FROM rag.providers p",
        "SELECT c::text FROM rag.calls c",
        "SELECT c::text FROM rag._calls c",
        "SELECT a::text FROM pg_stat_activity a",
        "SELECT s::text FROM rag.status() s",
        "SELECT s::text FROM rag.stat_engine s",
    ] {
        for row in snoop.query(look, &[]).await? {
            told.push_str(row.get(0));
        }
    }
    Ok(told)
}

async fn no_role_finds_a_key() -> Result<()> {
    // A server that logs everything that it can log.
    let options = Options::default().set("log_statement", "all").set("log_min_duration_statement", "0");
    let server = Server::start_with(options.set("log_min_messages", "debug5")).await?;
    let session = server.session().await?;
    // A provider that repeats the key in every part of its response.
    let provider = Provider::start([Reply::by(|seen| {
        let key = seen.header("authorization").unwrap_or_default().replace("Bearer ", "");
        let error = json!({ "message": format!("bad key {key}"), "code": key, "type": key });
        Reply::status(401).body(json!({ "error": error }).to_string()).header("x-request-id", &key)
    })])?;
    // As the guide recommends. The settings end with the transaction, so its end must be a separate
    // statement.
    let guide = "BEGIN; SET LOCAL log_statement = 'none'; SET LOCAL log_min_duration_statement = -1;
                 SET LOCAL log_min_error_statement = 'panic'; SET LOCAL log_min_messages = 'warning';";
    session.batch_execute(guide).await?;
    session
        .batch_execute(&format!(
            "SELECT rag.create_provider('stub', kind => 'openai', api_key => 'sk-hidden-key', base_url => '{}', model => 'big', options => '{NO_RETRIES}');
             CREATE ROLE alice LOGIN; CREATE USER MAPPING FOR alice SERVER stub OPTIONS (api_key 'sk-hidden-alice');
             CREATE ROLE snoop LOGIN IN ROLE pg_read_all_data; GRANT USAGE ON FOREIGN SERVER stub TO snoop, alice",
            provider.url()
        ))
        .await?;
    session.batch_execute("COMMIT").await?;
    // A provider that cannot be created leaves no trace of its key either.
    session.batch_execute(guide).await?;
    let refusal = session
        .refusal("SELECT rag.create_provider('stub', kind => 'openai', api_key => 'sk-hidden-key')")
        .await?;
    session.batch_execute("ROLLBACK").await?;
    ensure!(!format!("{refusal:?}").contains("sk-hidden"), "{refusal:?}");
    let database: String = session.value("SELECT current_database()::text").await?;
    let mut told = calls_refused(&server, &database).await?;
    recorded(&session, 6).await?;
    told.push_str(&seen_by_snoop(&server, &database).await?);
    let dump = run(server.client("pg_dump")?.args(["-d", &database]))?;
    ensure!(dump.contains("sk-hidden-key"), "a superuser's dump has lost the key");
    let by_snoop = server.client("pg_dump")?.args(["-U", "snoop", "-d", &database]).output()?;
    ensure!(by_snoop.status.success(), "{}", String::from_utf8_lossy(&by_snoop.stderr));
    told.push_str(&String::from_utf8_lossy(&by_snoop.stdout));
    told.push_str(&String::from_utf8_lossy(&by_snoop.stderr));
    let log = server.log()?;
    ensure!(log.contains("rag.generate('hi', model => 'stub')"), "the server logs no statements");
    told.push_str(&log);
    let found = told.lines().find(|line| line.contains("sk-hidden"));
    ensure!(found.is_none(), "another role can see a key: {found:?}");
    Ok(())
}
