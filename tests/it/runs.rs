//! The agent log: who can read it, and what it must not contain.

use anyhow::ensure;
use libtest_mimic::Trial;
use ragstone_tests::Result;
use ragstone_tests::server::{Server, shared};
use ragstone_tests::session::Session;

pub fn tests() -> Vec<Trial> {
    ragstone_tests::tests![
        no_role_sees_a_step_of_another,
        no_role_writes_into_a_run_of_another,
        a_current_run_of_another_role_is_said_once_and_nothing_is_logged,
        a_role_that_takes_over_a_name_takes_over_no_session,
        rules_of_redaction_reach_every_session,
        a_step_of_100_megabytes_is_kept_by_its_beginning,
        a_prepared_transaction_that_is_rolled_back_leaves_nothing_to_write_into,
    ]
}

/// A server of its own (roles are cluster-wide) with sessions of two roles; alice has a run.
struct World {
    _server: Server,
    admin: Session,
    alice: Session,
    bob: Session,
    run: i64,
}

impl World {
    async fn new() -> Result<Self> {
        let server = Server::start().await?;
        let admin = server.session().await?;
        admin
            .batch_execute(
                "CREATE ROLE alice LOGIN; CREATE ROLE bob LOGIN; GRANT CREATE ON SCHEMA public TO bob",
            )
            .await?;
        let database: String = admin.value("SELECT current_database()::text").await?;
        let alice = server.connect_as("alice", &database).await?;
        let bob = server.connect_as("bob", &database).await?;
        let run = alice.value("SELECT rag.start_run('alice''s', '{\"word\": \"xyzzy\"}')").await?;
        let log = "SELECT rag.log_step($1, 'tool', 'plugh', '{\"word\": \"xyzzy\"}', error => 'xyzzy')";
        alice.execute(log, &[&run]).await?;
        Ok(Self { _server: server, admin, alice, bob, run })
    }

    async fn steps(&self) -> Result<i64> {
        self.admin.value("SELECT count(*) FROM rag.steps").await
    }
}

async fn no_role_sees_a_step_of_another() -> Result<()> {
    let world = World::new().await?;
    let World { admin, alice, bob, .. } = &world;
    admin.batch_execute("ANALYZE").await?;
    bob.batch_execute(
        "CREATE FUNCTION peep(text) RETURNS boolean LANGUAGE plpgsql COST 0.0000001 AS $$
           BEGIN RAISE NOTICE 'saw %', $1; RETURN true; END $$",
    )
    .await?;
    for view in ["runs", "steps"] {
        let own: i64 = alice.value(&format!("SELECT count(*) FROM rag.{view}")).await?;
        let others: i64 =
            bob.value(&format!("SELECT count(*) FROM rag.{view} WHERE peep(input::text)")).await?;
        ensure!((own, others) == (1, 0), "{view}: {own} of one's own, {others} of others");
        // An expression that would fail for the other role's row is not evaluated for it.
        let casts = format!("SELECT count(*) FROM rag.{view} WHERE (input ->> 'word')::int > 0");
        ensure!(bob.value::<i64>(&casts).await? == 0);
        let explain = format!("EXPLAIN (ANALYZE, VERBOSE, COSTS) SELECT * FROM rag.{view} WHERE peep(error)");
        let plan = bob.query(&explain, &[]).await?;
        let plan = plan.iter().map(|row| row.get::<_, String>(0)).collect::<Vec<_>>().join("\n");
        ensure!(!plan.contains("xyzzy"), "{plan}");
        bob.refusal(&format!("SELECT * FROM rag._{view}")).await?.expect("42501", "permission denied", "")?;
        bob.refusal(&format!("SELECT * FROM rag._{view}_other")).await?.expect(
            "42501",
            "permission denied",
            "",
        )?;
    }
    let statistics: i64 = bob.value("SELECT count(*) FROM pg_stats WHERE schemaname = 'rag'").await?;
    ensure!(statistics == 0, "statistics of {statistics} columns are shown");
    ensure!(bob.take_notices().is_empty(), "a function of a reader's saw a row");
    // Members of rag_auditor can read everything, and write nothing.
    admin.batch_execute("GRANT rag_auditor TO bob").await?;
    ensure!(bob.value::<String>("SELECT input ->> 'word' FROM rag.steps").await? == "xyzzy");
    Ok(())
}

async fn no_role_writes_into_a_run_of_another() -> Result<()> {
    let world = World::new().await?;
    let (run, bob) = (world.run, &world.bob);
    world.admin.batch_execute("GRANT rag_auditor TO bob").await?;
    for statement in [
        "SELECT rag.log_step($1, 'tool')",
        "SELECT rag.log_steps($1, '[{\"kind\": \"tool\"}]')",
        "SELECT rag.finish_run($1)",
    ] {
        let refusal = bob.refusal_of(statement, &[&run]).await?;
        refusal.expect("42704", &format!("run {run} does not exist"), "rag.runs shows your runs")?;
        // The error is the same as for a run that does not exist.
        let nobodys = bob.refusal_of(statement, &[&(run + 1000)]).await?;
        ensure!(nobodys.message == format!("run {} does not exist", run + 1000), "{nobodys:?}");
    }
    for statement in [
        "INSERT INTO rag.steps (run_id) VALUES (1)",
        "UPDATE rag.runs SET status = 'done'",
        "DELETE FROM rag.steps",
        "SELECT nextval('rag._step_id')",
        "DELETE FROM rag.redactions",
        "INSERT INTO rag.redactions (name, pattern) VALUES ('all', '.+')",
    ] {
        bob.refusal(statement).await?.expect("42501", "permission denied", "")?;
    }
    ensure!(world.steps().await? == 1);
    // A session that was alice's no longer has her rights.
    world.alice.batch_execute("RESET SESSION AUTHORIZATION").await?;
    world.admin.batch_execute("GRANT bob TO alice").await?;
    world.alice.batch_execute("SET ROLE bob").await?;
    world.alice.refusal_of("SELECT rag.log_step($1, 'tool')", &[&run]).await?.expect(
        "42704",
        "does not exist",
        "",
    )?;
    world.alice.batch_execute("RESET ROLE").await?;
    world.alice.execute("SELECT rag.log_step($1, 'tool')", &[&run]).await?;
    Ok(())
}

async fn a_current_run_of_another_role_is_said_once_and_nothing_is_logged() -> Result<()> {
    let world = World::new().await?;
    world
        .admin
        .batch_execute(
            "CREATE TABLE notes (id int PRIMARY KEY, body text); GRANT SELECT ON notes TO bob;
             INSERT INTO notes VALUES (1, 'the harbour of the town');
             SELECT rag.create_collection('notes', 'notes', 'body', sync => 'manual')",
        )
        .await?;
    let bob = &world.bob;
    bob.batch_execute(&format!("SET rag.run = {}", world.run)).await?;
    for _ in 0..2 {
        let found: i64 = bob.value("SELECT count(*) FROM rag.search('notes', 'harbour')").await?;
        ensure!(found == 1, "{found} found");
    }
    let said = bob.take_notices();
    ensure!(said.len() == 1 && said[0].message.contains("steps are not logged"), "{said:?}");
    ensure!(world.steps().await? == 1, "something was logged");
    Ok(())
}

async fn a_role_that_takes_over_a_name_takes_over_no_session() -> Result<()> {
    let world = World::new().await?;
    world.admin.batch_execute("ALTER ROLE alice RENAME TO carol; ALTER ROLE bob RENAME TO alice").await?;
    let log = "SELECT rag.log_step($1, 'tool')";
    world.bob.refusal_of(log, &[&world.run]).await?.expect("42704", "does not exist", "")?;
    world.alice.execute(log, &[&world.run]).await?;
    Ok(())
}

async fn rules_of_redaction_reach_every_session() -> Result<()> {
    let world = World::new().await?;
    let logged = async |name: &str| -> Result<String> {
        let log = "SELECT rag.log_step($1, 'custom', $2, input => to_jsonb('account 4711'::text))";
        world.alice.execute(log, &[&world.run, &name]).await?;
        world.admin.value_of("SELECT input #>> '{}' FROM rag.steps WHERE name = $1", &[&name]).await
    };
    ensure!(logged("before").await? == "account 4711");
    world
        .admin
        .batch_execute("INSERT INTO rag.redactions (name, pattern) VALUES ('account', 'account [0-9]+')")
        .await?;
    ensure!(logged("after").await? == "[redacted]");
    // A transaction with an old snapshot still redacts by the current rules.
    world.alice.batch_execute("BEGIN ISOLATION LEVEL REPEATABLE READ; SELECT 1").await?;
    world
        .admin
        .batch_execute("UPDATE rag.redactions SET replacement = '<account>' WHERE name = 'account'")
        .await?;
    let log = "SELECT rag.log_step($1, 'custom', 'older', input => to_jsonb('account 4711'::text))";
    world.alice.execute(log, &[&world.run]).await?;
    world.alice.batch_execute("COMMIT").await?;
    ensure!(logged("again").await? == "<account>");
    let card = "SELECT rag.log_step($1, 'custom', 'card', input => '{\"card\": 4111111111111111, \"amount\": 12.50}')";
    let cards = "INSERT INTO rag.redactions (name, pattern) VALUES ('card', '[0-9]{13,16}')";
    world.admin.batch_execute(cards).await?;
    world.alice.execute(card, &[&world.run]).await?;
    let input: String = world.admin.value("SELECT input::text FROM rag.steps WHERE name = 'card'").await?;
    ensure!(input == r#"{"card": "[redacted]", "amount": 12.50}"#, "{input}");
    world.admin.batch_execute("TRUNCATE rag.redactions").await?;
    ensure!(logged("without").await? == "account 4711");
    Ok(())
}

async fn a_step_of_100_megabytes_is_kept_by_its_beginning() -> Result<()> {
    let session = shared().await?.session().await?;
    let run: i64 = session.value("SELECT rag.start_run('large')").await?;
    let log = "SELECT rag.log_step($1, 'tool', 'large', to_jsonb(repeat('x', 100000000)), error => repeat('e', 1000))";
    session.execute(log, &[&run]).await?;
    let row = session
        .query_one(
            "SELECT (input -> 'truncated')::boolean, (input -> 'bytes')::bigint, length(input ->> 'head') FROM rag.steps
             WHERE name = 'large'",
            &[],
        )
        .await?;
    let kept: (bool, i64, i32) = (row.get(0), row.get(1), row.get(2));
    ensure!(kept == (true, 100_000_002, 1 << 20), "{kept:?}");
    // `jsonb` cannot contain NUL, so no NUL gets this far.
    let nul = session.refusal_of("SELECT rag.log_step($1, 'tool', input => '\"\\u0000\"')", &[&run]).await?;
    nul.expect("22P05", "unsupported Unicode escape sequence", "")
}

async fn a_prepared_transaction_that_is_rolled_back_leaves_nothing_to_write_into() -> Result<()> {
    let server =
        Server::start_with(ragstone_tests::server::Options::default().set("max_prepared_transactions", "2"))
            .await?;
    let session = server.session().await?;
    session.batch_execute("BEGIN").await?;
    let run: i64 = session.value("SELECT rag.start_run('prepared')").await?;
    session.batch_execute("PREPARE TRANSACTION 'run'").await?;
    session.batch_execute("ROLLBACK PREPARED 'run'").await?;
    let refusal = session.refusal_of("SELECT rag.log_step($1, 'tool')", &[&run]).await?;
    refusal.expect("42704", "does not exist", "")
}
