//! Jobs: the guarantees for a submitter.

use anyhow::ensure;
use libtest_mimic::Trial;
use ragstone_tests::Result;
use ragstone_tests::server::{Options, Server};
use ragstone_tests::session::Session;
use ragstone_tests::wait;
use std::time::{Duration, Instant};

pub fn tests() -> Vec<Trial> {
    ragstone_tests::tests![
        a_job_gives_what_its_function_gives,
        a_job_begins_when_its_transaction_commits,
        its_own_uncommitted_job_is_not_waited_for,
        waiting_holds_no_snapshot,
        a_wait_ends_with_its_timeout_and_when_it_is_cancelled,
        the_same_key_is_the_same_job,
        the_second_of_two_with_one_key_waits_for_the_first,
        a_cancel_is_not_lost_while_a_job_asks,
        a_failed_job_raises_its_own_error,
        the_end_of_a_job_is_notified,
    ]
}

/// A server of its own (roles are cluster-wide) with the roles alice and bob, and the collection `notes`. Its
/// policy lets alice and bob see rows once the gate is open: their searches wait for it.
pub struct World {
    pub server: Server,
    pub database: String,
    pub admin: Session,
}

/// The arguments of alice's search.
pub const SEARCH: &str = r#"{"collection": "notes", "query": "harbour of a town", "k": 2}"#;

impl World {
    pub async fn new() -> Result<Self> {
        Self::with(Options::default()).await
    }

    pub async fn with(options: Options) -> Result<Self> {
        let server = Server::start_with(options).await?;
        let admin = server.session().await?;
        let database: String = admin.value("SELECT current_database()::text").await?;
        admin
            .batch_execute(
                "CREATE ROLE alice LOGIN; CREATE ROLE bob LOGIN;
                 CREATE SCHEMA app; GRANT USAGE ON SCHEMA app TO PUBLIC;
                 CREATE FUNCTION app.gate() RETURNS boolean LANGUAGE plpgsql AS $$
                   BEGIN
                     PERFORM pg_advisory_lock_shared(42); PERFORM pg_advisory_unlock_shared(42); RETURN true;
                   END $$;
                 CREATE TABLE app.notes (id int PRIMARY KEY, body text);
                 GRANT SELECT ON app.notes TO alice, bob;
                 INSERT INTO app.notes SELECT g, 'the harbour of town ' || g FROM generate_series(1, 5) g;
                 SELECT rag.create_collection('notes', 'app.notes', 'body', sync => 'manual');
                 ALTER TABLE app.notes ENABLE ROW LEVEL SECURITY;
                 CREATE POLICY gated ON app.notes USING (app.gate());",
            )
            .await?;
        Ok(Self { server, database, admin })
    }

    pub async fn session(&self, role: &str) -> Result<Session> {
        self.server.connect_as(role, &self.database).await
    }

    pub async fn close_gate(&self) -> Result<()> {
        self.admin.batch_execute("SELECT pg_advisory_lock(42)").await?;
        Ok(())
    }

    pub async fn open_gate(&self) -> Result<()> {
        self.admin.batch_execute("SELECT pg_advisory_unlock(42)").await?;
        Ok(())
    }

    /// Submits a job in a session of its own, as behind a pooler.
    pub async fn submit(&self, role: &str, kind: &str, args: &str) -> Result<i64> {
        submit(&self.session(role).await?, kind, args).await
    }

    /// Waits for the job's end in a session of its own.
    pub async fn ended(&self, role: &str, id: i64) -> Result<String> {
        ended(&self.session(role).await?, id).await
    }

    pub async fn status(&self, id: i64) -> Result<String> {
        self.admin.value_of("SELECT status FROM rag.jobs WHERE id = $1", &[&id]).await
    }

    pub async fn until_status(&self, id: i64, status: &str) -> Result<()> {
        wait::until(&format!("job {id} is {status}"), async || {
            Ok((self.status(id).await? == status).then_some(()))
        })
        .await
    }
}

pub async fn submit(session: &Session, kind: &str, args: &str) -> Result<i64> {
    session.value_of("SELECT rag.submit($1, $2::text::jsonb)", &[&kind, &args]).await
}

pub async fn ended(session: &Session, id: i64) -> Result<String> {
    session.batch_execute(&format!("CALL rag.wait_for_job({id}, '60s')")).await?;
    session.value_of("SELECT status FROM rag.jobs WHERE id = $1", &[&id]).await
}

async fn a_job_gives_what_its_function_gives() -> Result<()> {
    let world = World::new().await?;
    let same = [
        (
            "alice",
            "search",
            SEARCH,
            "SELECT jsonb_agg(to_jsonb(r)) FROM rag.search('notes', 'harbour of a town', k => 2) r",
        ),
        ("bob", "embed", r#"{"input": "a text"}"#, "SELECT to_jsonb(rag.embed('a text'))"),
        (
            "bob",
            "embed",
            r#"{"input": ["one", null, "two"], "kind": "query"}"#,
            "SELECT to_jsonb(rag.embed(ARRAY['one', NULL, 'two'], kind => 'query'))",
        ),
        ("bob", "embed", r#"{"input": null}"#, "SELECT 'null'::jsonb"),
        (
            "postgres",
            "refresh",
            r#"{"name": "notes"}"#,
            "SELECT to_jsonb(r) FROM rag.refresh_collection('notes') r",
        ),
    ];
    for (role, kind, args, sql) in same {
        let id = world.submit(role, kind, args).await?;
        let status = world.ended(role, id).await?;
        ensure!(status == "done", "{kind}: {status}");
        let session = world.session(role).await?;
        let equal: bool = session.value(&format!("SELECT rag.job_result({id}) = ({sql})")).await?;
        let result: Option<String> = session.value(&format!("SELECT rag.job_result({id})::text")).await?;
        ensure!(equal, "{kind} {args}: {result:?}");
        let row = session
            .query_one("SELECT submitter::text, kind, attempts, started_at < finished_at FROM rag.jobs WHERE id = $1", &[&id])
            .await?;
        ensure!(
            row.get::<_, String>(0) == role && row.get::<_, String>(1) == kind && row.get::<_, i32>(2) == 1
        );
        ensure!(row.get::<_, bool>(3));
        // Nothing was streamed, so the result is the only piece.
        let last = session.query_one(&format!("SELECT * FROM rag.job_pieces({id})"), &[]).await?;
        ensure!(
            last.get::<_, i32>("seq") == 1_000_001 && last.get::<_, String>("status") == "done",
            "{last:?}"
        );
        let none = session.query_one(&format!("SELECT * FROM rag.job_pieces({id}, 1000001)"), &[]).await?;
        ensure!(none.get::<_, Option<i32>>("seq").is_none() && none.get::<_, String>("status") == "done");
    }
    Ok(())
}

async fn a_job_begins_when_its_transaction_commits() -> Result<()> {
    let world = World::new().await?;
    let alice = world.session("alice").await?;
    alice.batch_execute("BEGIN").await?;
    let lost = submit(&alice, "search", SEARCH).await?;
    alice.batch_execute("ROLLBACK").await?;
    alice.refusal(&format!("SELECT rag.job_result({lost})")).await?.expect(
        "42704",
        "does not exist",
        "rag.jobs",
    )?;
    alice.batch_execute("BEGIN").await?;
    let id = submit(&alice, "search", SEARCH).await?;
    // Other roles cannot see it.
    let stranger = world.session("alice").await?;
    stranger.refusal(&format!("SELECT * FROM rag.job_pieces({id})")).await?.expect(
        "42704",
        "does not exist",
        "",
    )?;
    ensure!(alice.value::<String>("SELECT status FROM rag.jobs").await? == "queued");
    alice.batch_execute("COMMIT").await?;
    ensure!(ended(&stranger, id).await? == "done");
    Ok(())
}

async fn its_own_uncommitted_job_is_not_waited_for() -> Result<()> {
    let world = World::new().await?;
    let alice = world.session("alice").await?;
    for call in ["SELECT * FROM rag.job_pieces({id}, 0, 60000)", "SELECT rag.job_result({id})"] {
        alice.batch_execute("BEGIN; SAVEPOINT s").await?;
        let id = submit(&alice, "search", SEARCH).await?;
        let refusal = alice.refusal(&call.replace("{id}", &id.to_string())).await?;
        refusal.expect("55000", "by the current transaction", "COMMIT first")?;
        alice.batch_execute("ROLLBACK").await?;
    }
    alice
        .refusal(&format!(
            "DO $$ DECLARE job bigint := rag.submit('search', '{SEARCH}'); BEGIN CALL rag.wait_for_job(job); END $$"
        ))
        .await?
        .expect("55000", "would commit what the transaction has written", "COMMIT first")?;
    alice.batch_execute("BEGIN").await?;
    alice.refusal("CALL rag.wait_for_job(1)").await?.expect(
        "25001",
        "cannot run inside a transaction block",
        "rag.job_pieces",
    )?;
    alice.batch_execute("ROLLBACK").await?;
    // A procedure that commits in between may wait.
    alice
        .batch_execute(&format!(
            "DO $$ DECLARE job bigint := rag.submit('search', '{SEARCH}'); BEGIN
               COMMIT;
               CALL rag.wait_for_job(job, '60s');
               ASSERT rag.job_result(job) IS NOT NULL;
             END $$"
        ))
        .await?;
    Ok(())
}

async fn waiting_holds_no_snapshot() -> Result<()> {
    let world = World::new().await?;
    world.close_gate().await?;
    let id = world.submit("alice", "search", SEARCH).await?;
    for isolation in ["read committed", "repeatable read"] {
        let alice = world.session("alice").await?;
        alice.batch_execute(&format!("SET default_transaction_isolation = '{isolation}'")).await?;
        let backend = alice.backend().await?;
        let (mut looks, mut seen) = (0, Vec::new());
        let call = format!("CALL rag.wait_for_job({id}, '2s')");
        let waiting = alice.refusal(&call);
        let looking = async {
            let watching = format!(
                "SELECT backend_xmin::text || ' ' || coalesce(backend_xid::text, '') FROM pg_stat_activity
                 WHERE pid = {} AND state = 'active' AND query LIKE 'CALL%' AND clock_timestamp() - query_start > '50ms'",
                backend.0
            );
            let start = Instant::now();
            while start.elapsed() < Duration::from_millis(1500) {
                for row in world.admin.query(&watching, &[]).await? {
                    looks += 1;
                    seen.extend(row.get::<_, Option<String>>(0));
                }
                tokio::task::yield_now().await;
            }
            anyhow::Ok(())
        };
        let (refusal, looked) = tokio::join!(waiting, looking);
        looked?;
        refusal?.expect("57014", "did not end within the timeout, and is running", "rag.cancel_job")?;
        // It reads the table once a second, with a short-lived snapshot.
        ensure!(looks > 20 && seen.len() * 10 < looks, "{} of {looks} looks saw a snapshot", seen.len());
    }
    world.open_gate().await?;
    ensure!(world.ended("alice", id).await? == "done");
    Ok(())
}

async fn a_wait_ends_with_its_timeout_and_when_it_is_cancelled() -> Result<()> {
    let world = World::new().await?;
    world.close_gate().await?;
    let id = world.submit("alice", "search", SEARCH).await?;
    let alice = world.session("alice").await?;
    let start = Instant::now();
    alice.refusal(&format!("CALL rag.wait_for_job({id}, '300ms')")).await?.expect(
        "57014",
        "did not end within the timeout",
        "",
    )?;
    let row = alice.query_one(&format!("SELECT * FROM rag.job_pieces({id}, 0, 300)"), &[]).await?;
    ensure!(row.get::<_, Option<String>>("piece").is_none() && row.get::<_, String>("status") != "done");
    ensure!(start.elapsed() > Duration::from_millis(600));
    ensure!(alice.value::<Option<String>>(&format!("SELECT rag.job_result({id})::text")).await?.is_none());
    alice.batch_execute("SET statement_timeout = '200ms'").await?;
    alice.refusal(&format!("CALL rag.wait_for_job({id})")).await?.expect("57014", "statement timeout", "")?;
    alice.refusal(&format!("SELECT rag.job_pieces({id}, 0, 60000)")).await?.expect(
        "57014",
        "statement timeout",
        "",
    )?;
    world.open_gate().await?;
    ensure!(world.ended("alice", id).await? == "done");
    Ok(())
}

pub const KEYED: &str = "SELECT rag.submit('embed', '{\"input\": \"a text\"}', 'key')";

async fn the_same_key_is_the_same_job() -> Result<()> {
    let world = World::new().await?;
    let (alice, bob) = (world.session("alice").await?, world.session("bob").await?);
    let first: i64 = alice.value(KEYED).await?;
    ensure!(alice.value::<i64>(KEYED).await? == first);
    ensure!(bob.value::<i64>(KEYED).await? != first, "a key is its submitter's own");
    ensure!(ended(&alice, first).await? == "done");
    ensure!(alice.value::<i64>(KEYED).await? == first, "a job that was done is not done again");
    for other in [
        "SELECT rag.submit('embed', '{\"input\": \"another\"}', 'key')",
        "SELECT rag.submit('search', '{\"collection\": \"notes\", \"query\": \"x\"}', 'key')",
    ] {
        alice.refusal(other).await?.expect(
            "22023",
            "idempotency key \"key\" belongs to job",
            "another key",
        )?;
    }
    ensure!(alice.value::<i64>("SELECT count(*) FROM rag.jobs").await? == 1);
    Ok(())
}

async fn the_second_of_two_with_one_key_waits_for_the_first() -> Result<()> {
    let world = World::new().await?;
    for end in ["COMMIT", "ROLLBACK"] {
        let (one, two) = (world.session("alice").await?, world.session("alice").await?);
        let sql = KEYED.replace("'key'", &format!("'{end}'"));
        one.batch_execute("BEGIN").await?;
        let first: i64 = one.value(&sql).await?;
        let second = two.value::<i64>(&sql);
        let commits = async {
            wait::until("the second waits", async || {
                let waiting: i64 = world
                    .admin
                    .value("SELECT count(*) FROM pg_locks WHERE NOT granted AND locktype = 'transactionid'")
                    .await?;
                Ok((waiting == 1).then_some(()))
            })
            .await?;
            one.batch_execute(end).await?;
            anyhow::Ok(())
        };
        let (second, committed) = tokio::join!(second, commits);
        committed?;
        ensure!((second? == first) == (end == "COMMIT"), "{end}");
    }
    Ok(())
}

async fn a_cancel_is_not_lost_while_a_job_asks() -> Result<()> {
    let world = World::new().await?;
    // This gate catches the error that ends the job's transaction so that the model can be called; the cancel
    // comes after it.
    let gate = "CREATE OR REPLACE FUNCTION app.gate() RETURNS boolean LANGUAGE plpgsql AS $$
                  BEGIN
                    PERFORM rag.embed('what the gate asks');
                    RETURN true;
                  EXCEPTION WHEN internal_error THEN
                    PERFORM pg_advisory_lock_shared(42); PERFORM pg_advisory_unlock_shared(42);
                    RETURN true;
                  END $$";
    world.admin.batch_execute(gate).await?;
    world.close_gate().await?;
    let id = world.submit("alice", "search", SEARCH).await?;
    wait::until("the job waits at the gate", async || {
        let waiting = "SELECT EXISTS (SELECT FROM pg_locks WHERE locktype = 'advisory' AND NOT granted)";
        Ok(world.admin.value::<bool>(waiting).await?.then_some(()))
    })
    .await?;
    ensure!(world.session("alice").await?.value::<bool>(&format!("SELECT rag.cancel_job({id})")).await?);
    world.until_status(id, "cancelled").await?;
    world.open_gate().await
}

async fn a_failed_job_raises_its_own_error() -> Result<()> {
    let world = World::new().await?;
    let alice = world.session("alice").await?;
    let direct = alice.refusal("SELECT * FROM rag.search('nowhere', 'x')").await?;
    let id = submit(&alice, "search", r#"{"collection": "nowhere", "query": "x"}"#).await?;
    ensure!(ended(&alice, id).await? == "failed");
    let of_job = alice.refusal(&format!("SELECT rag.job_result({id})")).await?;
    ensure!(of_job == direct, "{of_job:?} is not {direct:?}");
    let last = alice.query_one(&format!("SELECT * FROM rag.job_pieces({id})"), &[]).await?;
    ensure!(last.get::<_, String>("status") == "failed" && last.get::<_, Option<i32>>("seq").is_none());
    let row = alice.query_one("SELECT sqlstate, message FROM rag.jobs WHERE id = $1", &[&id]).await?;
    ensure!((row.get(0), row.get(1)) == (direct.code, direct.message));
    Ok(())
}

async fn the_end_of_a_job_is_notified() -> Result<()> {
    let world = World::new().await?;
    let script = world.server.folder().join("notified.sql");
    std::fs::write(
        &script,
        format!(
            "LISTEN rag_job;\nSELECT rag.submit('search', '{SEARCH}') AS id \\gset\nCALL rag.wait_for_job(:id);\nSELECT 1;\n"
        ),
    )?;
    let output = world
        .server
        .client("psql")?
        .args(["-Xqt", "-U", "alice", "-d", &world.database, "-f"])
        .arg(&script)
        .output()?;
    let said = String::from_utf8_lossy(&output.stdout).into_owned();
    ensure!(said.contains("Asynchronous notification \"rag_job\" with payload"), "{said}");
    Ok(())
}
