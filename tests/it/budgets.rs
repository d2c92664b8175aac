//! Limits on the cost of calls: budgets hold, whatever happens to a transaction, an engine or a server.

use crate::accounting::{GENERATE, recorded, statuses, with_provider};
use anyhow::ensure;
use libtest_mimic::Trial;
use nix::sys::signal::Signal;
use ragstone_tests::Result;
use ragstone_tests::provider::{Gate, Part, Provider, Reply};
use ragstone_tests::server::{Server, run, shared};
use ragstone_tests::session::{Refusal, Session, refusal_in};
use ragstone_tests::wait;
use tokio::join;

pub fn tests() -> Vec<Trial> {
    ragstone_tests::tests![
        a_spent_budget_refuses_in_repeatable_read_too,
        a_new_budget_binds_transactions_that_are_open,
        two_sessions_cannot_overspend_together,
        a_budget_counts_the_calls_of_its_role_and_server,
        calls_and_budgets_are_those_of_a_role_and_not_of_its_name,
        slow_calls_of_one_role_leave_half_of_a_budget_to_others,
        budgets_that_limit_nothing_are_refused,
        budgets_of_unknown_names_are_refused,
        a_restore_brings_budgets_of_roles_that_are_not_there_yet,
        a_budget_outlives_the_engine,
        a_restore_carries_calls_and_budgets,
        a_standby_counts_what_it_cannot_write,
    ]
}

fn spent(refusal: &Refusal, message: &str) -> Result<()> {
    refusal.expect("53400", message, "rag.budgets")?;
    ensure!(refusal.detail.contains("The period ends at 2"), "{refusal:?}");
    Ok(())
}

async fn a_spent_budget_refuses_in_repeatable_read_too() -> Result<()> {
    wait::for_one_period().await?;
    let session = shared().await?.session().await?;
    let provider = Provider::start([Reply::chat("hello")])?;
    with_provider(&session, &provider).await?;
    session
        .batch_execute("INSERT INTO rag.budgets (server, period, max_cost) VALUES ('stub', 'month', 2.2)")
        .await?;
    session.batch_execute(&format!("BEGIN ISOLATION LEVEL REPEATABLE READ; {GENERATE}; {GENERATE}")).await?;
    let refusal = session.refusal(GENERATE).await?;
    spent(&refusal, "budget 1 of all roles for provider stub per month is spent: 2.00 of 2.20")?;
    session.batch_execute("ROLLBACK").await?;
    recorded(&session, 3).await?;
    ensure!(statuses(&session).await? == "answered, answered, failed 53400");
    let row = session.query_one("SELECT cost, cost_left, calls FROM rag.budget_state", &[]).await?;
    let (cost, left, calls): (f64, f64, i64) = (row.get(0), row.get(1), row.get(2));
    ensure!(cost == 2.0 && (left - 0.2).abs() < 1e-9 && calls == 2, "{cost} {left} {calls}");
    session.batch_execute("UPDATE rag.budgets SET max_cost = 10").await?;
    session.batch_execute(GENERATE).await?;
    ensure!(provider.requests().len() == 3);
    Ok(())
}

async fn a_new_budget_binds_transactions_that_are_open() -> Result<()> {
    wait::for_one_period().await?;
    let server = shared().await?;
    let session = server.session().await?;
    let provider = Provider::start([Reply::chat("hello")])?;
    with_provider(&session, &provider).await?;
    let admin = server.connect_beside(&session).await?;
    session.batch_execute(&format!("BEGIN ISOLATION LEVEL REPEATABLE READ; {GENERATE}")).await?;
    admin.batch_execute("INSERT INTO rag.budgets (period, max_calls) VALUES ('day', 2)").await?;
    session.batch_execute(GENERATE).await?;
    admin.batch_execute("UPDATE rag.budgets SET max_calls = 1").await?;
    spent(&session.refusal(GENERATE).await?, "of 1 calls")?;
    ensure!(provider.requests().len() == 2);
    Ok(())
}

/// An answer that is held back until the gate opens.
fn gated(gate: &Gate) -> Reply {
    Reply::stream([Part::Gate(gate.clone()), Part::piece("hello"), Part::end()])
}

async fn two_sessions_cannot_overspend_together() -> Result<()> {
    wait::for_one_period().await?;
    let server = shared().await?;
    let first = server.session().await?;
    let name: String = first.value("SELECT current_database()::text").await?;
    let second = server.connect(&name).await?;
    let gate = Gate::new();
    let provider = Provider::start([gated(&gate)])?;
    with_provider(&first, &provider).await?;
    first.batch_execute("INSERT INTO rag.budgets (period, max_calls) VALUES ('day', 1)").await?;
    let stream = "SELECT rag.stream('hi', 'stub/small')";
    let other = async {
        wait::until("the provider is asked", async || Ok((!provider.requests().is_empty()).then_some(())))
            .await?;
        let refusal = second.refusal(stream).await;
        gate.open();
        refusal
    };
    let (answer, refusal) = join!(first.value::<String>(stream), other);
    let refusal = refusal?;
    spent(&refusal, "budget 1 of all roles for all providers per day is spent: 0 of 1 calls")?;
    ensure!(
        refusal.detail.starts_with("The call may take up to 1 more, and calls in progress up to 1."),
        "{refusal:?}"
    );
    ensure!(answer? == "hello" && provider.requests().len() == 1);
    recorded(&first, 2).await
}

async fn a_budget_counts_the_calls_of_its_role_and_server() -> Result<()> {
    wait::for_one_period().await?;
    let server = Server::start().await?;
    let session = server.session().await?;
    let provider = Provider::start([Reply::chat("hello")])?;
    with_provider(&session, &provider).await?;
    session
        .batch_execute(
            "CREATE ROLE web; CREATE ROLE \"night job\"; GRANT USAGE ON FOREIGN SERVER stub TO web, \"night job\";
             GRANT \"night job\" TO web; SELECT rag.create_provider('elsewhere', kind => 'openai', api_key => 'k', base_url => 'http://127.0.0.1:1');
             INSERT INTO rag.budgets (role, server, period, max_tokens) VALUES ('night job', 'stub', 'hour', 22);
             INSERT INTO rag.budgets (role, server, period, max_calls) VALUES ('web', 'elsewhere', 'hour', 0);",
        )
        .await?;
    session.batch_execute(&format!("SET ROLE \"night job\"; {GENERATE}; {GENERATE}")).await?;
    let refusal = session.refusal(GENERATE).await?;
    spent(&refusal, "budget 1 of role \"night job\" for provider stub per hour is spent: 20 of 22 tokens")?;
    let row =
        session.query_one("SELECT tokens_left, calls_left, cost_left FROM rag.budget_state", &[]).await?;
    let left: (i64, Option<i64>, Option<f64>) = (row.get(0), row.get(1), row.get(2));
    ensure!(left.0 <= 22 && (left.1, left.2) == (None, None), "{left:?}");
    session.batch_execute(&format!("SET ROLE web; {GENERATE}; {GENERATE}; {GENERATE}; {GENERATE}")).await?;
    ensure!(session.value::<i64>("SELECT count(*) FROM rag.budget_state").await? == 0);
    session.batch_execute("RESET ROLE").await?;
    ensure!(session.value::<i64>("SELECT count(*) FROM rag.budget_state").await? == 2);
    recorded(&session, 7).await
}

/// Number of calls that the current role can see.
async fn shown(session: &Session) -> Result<i64> {
    session.value("SELECT count(*) FROM rag.calls").await
}

/// The budgets that the current role can see.
async fn budgets_shown(session: &Session) -> Result<Vec<i64>> {
    session.value("SELECT ARRAY(SELECT id FROM rag.budget_state ORDER BY id)").await
}

async fn calls_and_budgets_are_those_of_a_role_and_not_of_its_name() -> Result<()> {
    wait::for_one_period().await?;
    let server = Server::start().await?;
    let session = server.session().await?;
    let provider = Provider::start([Reply::chat("hello")])?;
    with_provider(&session, &provider).await?;
    session
        .batch_execute(&format!(
            "CREATE ROLE web; GRANT USAGE ON FOREIGN SERVER stub TO web; CREATE ROLE site;
             INSERT INTO rag.budgets (role, period, max_calls) VALUES ('web', 'month', 1), ('site', 'month', 0);
             DROP ROLE site; SET ROLE web; {GENERATE}"
        ))
        .await?;
    recorded(&session, 1).await?;
    spent(
        &session.refusal(GENERATE).await?,
        "budget 1 of role web for all providers per month is spent: 1 of 1 calls",
    )?;

    // After a rename, the role keeps its calls and its budget, and does not get the budget of the role that
    // had its new name before.
    session.batch_execute("RESET ROLE; ALTER ROLE web RENAME TO site; SET ROLE site").await?;
    recorded(&session, 2).await?;
    ensure!(budgets_shown(&session).await? == [1]);
    spent(&session.refusal(GENERATE).await?, "budget 1 of role web for all providers")?;
    session
        .batch_execute("RESET ROLE; UPDATE rag.budgets SET max_calls = 2 WHERE id = 1; SET ROLE site")
        .await?;
    session.batch_execute(GENERATE).await?;
    spent(&session.refusal(GENERATE).await?, "is spent: 2 of 2 calls")?;

    // Another role with the first name gets none of these, neither before nor after its first call; it has a
    // budget of its own.
    session
        .batch_execute("RESET ROLE; CREATE ROLE web; GRANT USAGE ON FOREIGN SERVER stub TO web; SET ROLE web")
        .await?;
    ensure!(shown(&session).await? == 0);
    ensure!(budgets_shown(&session).await?.is_empty());
    for _ in 0..2 {
        session.batch_execute(GENERATE).await?;
    }
    wait::until("its calls are recorded", async || Ok((shown(&session).await? == 2).then_some(()))).await?;
    session
        .batch_execute(
            "RESET ROLE; INSERT INTO rag.budgets (role, period, max_calls) VALUES ('web', 'month', 3);
             -- As an application does that writes all columns of what it has read.
             UPDATE rag.budgets SET role = role, max_calls = 2 WHERE id = 3; SET ROLE web",
        )
        .await?;
    ensure!(budgets_shown(&session).await? == [3]);
    spent(&session.refusal(GENERATE).await?, "is spent: 2 of 2 calls")?;

    // The same applies to a role that was dropped before its calls were written.
    session
        .batch_execute("RESET ROLE; DROP OWNED BY site; DROP ROLE site; CREATE ROLE site; SET ROLE site")
        .await?;
    ensure!(shown(&session).await? == 0);
    Ok(())
}

async fn slow_calls_of_one_role_leave_half_of_a_budget_to_others() -> Result<()> {
    wait::for_one_period().await?;
    let server = Server::start().await?;
    let slow = server.session().await?;
    let other = server.connect_beside(&slow).await?;
    let gate = Gate::new();
    let provider =
        Provider::start([Reply::chat("one"), Reply::chat("two"), gated(&gate), Reply::chat("three")])?;
    with_provider(&slow, &provider).await?;
    slow.batch_execute(&format!(
        "CREATE ROLE hog; GRANT USAGE ON FOREIGN SERVER stub TO hog;
         INSERT INTO rag.budgets (period, max_tokens) VALUES ('month', 10000);
         {GENERATE}; SET ROLE hog; {GENERATE}"
    ))
    .await?;
    let large = "SELECT rag.generate('Hi', 'stub/small', max_tokens => 9000)";
    let refusal = slow.refusal(large).await?;
    refusal.expect("53400", "allows no more concurrent calls of this role", "max_tokens")?;
    let smaller = "SELECT rag.stream('Hi', 'stub/small', max_tokens => 4000)";
    let beside = async {
        let is_asked = async || Ok((provider.requests().len() == 3).then_some(()));
        wait::until("the provider is asked", is_asked).await?;
        let answer = other.batch_execute("SELECT rag.generate('Hi', 'stub/small', max_tokens => 4000)").await;
        gate.open();
        Result::Ok(answer?)
    };
    let (answer, answer_beside) = join!(slow.value::<String>(smaller), beside);
    answer?;
    answer_beside?;
    Ok(())
}

async fn budgets_that_limit_nothing_are_refused() -> Result<()> {
    let session = shared().await?.session().await?;
    let insert = "INSERT INTO rag.budgets (period, max_cost)";
    for values in ["('day', NULL)", "('week', 1)", "('day', -1)", "('day', 'NaN')"] {
        let refusal = session.refusal(&format!("{insert} VALUES {values}")).await?;
        ensure!(refusal.code == "23514", "{values}: {refusal:?}");
    }
    Ok(())
}

async fn budgets_of_unknown_names_are_refused() -> Result<()> {
    let session = shared().await?.session().await?;
    session
        .batch_execute(
            "CREATE EXTENSION postgres_fdw; CREATE SERVER stranger FOREIGN DATA WRAPPER postgres_fdw;
             INSERT INTO rag.budgets (period, max_calls) VALUES ('day', 1), ('day', 2)",
        )
        .await?;
    for (role, server, message) in [
        ("'no such role'", "NULL", "role \"no such role\" does not exist"),
        ("current_user", "'nowhere'", "provider \"nowhere\" does not exist"),
        ("NULL", "'stranger'", "provider \"stranger\" does not exist"),
    ] {
        for statement in [
            format!(
                "INSERT INTO rag.budgets (role, server, period, max_calls) VALUES ({role}, {server}, 'day', 1)"
            ),
            format!("UPDATE rag.budgets SET role = {role}, server = {server}"),
        ] {
            session.refusal(&statement).await?.expect("42704", message, "NULL")?;
        }
    }
    // A budget of a dropped role can still be changed and deleted.
    session
        .batch_execute(
            "DO $$ BEGIN EXECUTE format('CREATE ROLE %I', 'gone_of_' || current_database()); END $$;
             UPDATE rag.budgets SET role = 'gone_of_' || current_database();
             DO $$ BEGIN EXECUTE format('DROP ROLE %I', 'gone_of_' || current_database()); END $$;
             UPDATE rag.budgets SET max_calls = 7; DELETE FROM rag.budgets",
        )
        .await?;
    let notices = session.take_notices();
    ensure!(notices.is_empty(), "{notices:?}");
    Ok(())
}

async fn a_restore_brings_budgets_of_roles_that_are_not_there_yet() -> Result<()> {
    let server = shared().await?;
    let session = server.session().await?;
    let (from, to): (String, _) =
        (session.value("SELECT current_database()::text").await?, server.empty_database("").await?);
    session
        .batch_execute(&format!(
            "CREATE ROLE gone_of_{from}; INSERT INTO rag.budgets (role, period, max_calls) VALUES ('gone_of_{from}', 'day', 1);
             DROP ROLE gone_of_{from}"
        ))
        .await?;
    let path = server.folder().join(format!("{from}.budgets"));
    run(server.client("pg_dump")?.args(["--format=custom", "--dbname", &from, "--file"]).arg(&path))?;
    run(server.client("pg_restore")?.args(["--exit-on-error", "--dbname", &to]).arg(&path))?;
    let restored: i64 = server.connect(&to).await?.value("SELECT count(*) FROM rag.budgets").await?;
    ensure!(restored == 1, "{restored} budgets");
    Ok(())
}

/// Calls the provider until the killed engine has a successor.
async fn again(session: &Session) -> Result<()> {
    wait::until("an engine calls the provider", async || match session.query(GENERATE, &[]).await {
        Ok(_) => Ok(Some(())),
        Err(error) if refusal_in(&error)?.code == "57P03" => Ok(None),
        Err(error) => Err(error.into()),
    })
    .await
}

async fn a_budget_outlives_the_engine() -> Result<()> {
    wait::for_one_period().await?;
    let server = Server::start().await?;
    let session = server.session().await?;
    let provider = Provider::start([Reply::chat("hello")])?;
    with_provider(&session, &provider).await?;
    session.batch_execute("INSERT INTO rag.budgets (period, max_calls) VALUES ('month', 2)").await?;
    session.batch_execute(GENERATE).await?;
    recorded(&session, 1).await?;
    for engine in server.engines() {
        engine.signal(Signal::SIGKILL);
        wait::until("the engine is gone", async || Ok((!engine.runs()).then_some(()))).await?;
    }
    again(&session).await?;
    recorded(&session, 2).await?;
    spent(&session.refusal(GENERATE).await?, "is spent: 2 of 2 calls")?;
    recorded(&session, 3).await?;
    ensure!(statuses(&session).await? == "answered, answered, failed 53400");
    Ok(())
}

async fn a_restore_carries_calls_and_budgets() -> Result<()> {
    wait::for_one_period().await?;
    let server = shared().await?;
    let session = server.session().await?;
    let provider = Provider::start([Reply::chat("hello")])?;
    with_provider(&session, &provider).await?;
    session
        .batch_execute("INSERT INTO rag.budgets (period, max_calls) VALUES ('month', 2), ('hour', 9)")
        .await?;
    session.batch_execute(GENERATE).await?;
    recorded(&session, 1).await?;
    let (from, to): (String, _) =
        (session.value("SELECT current_database()::text").await?, server.empty_database("").await?);
    let path = server.folder().join(format!("{from}.calls"));
    run(server.client("pg_dump")?.args(["--format=custom", "--dbname", &from, "--file"]).arg(&path))?;
    run(server.client("pg_restore")?.args(["--exit-on-error", "--dbname", &to]).arg(&path))?;
    let restored = server.connect(&to).await?;
    ensure!(statuses(&restored).await? == "answered");
    restored.batch_execute(GENERATE).await?;
    spent(
        &restored.refusal(GENERATE).await?,
        "budget 1 of all roles for all providers per month is spent: 2 of 2",
    )?;
    let next: i64 =
        restored.value("INSERT INTO rag.budgets (period, max_calls) VALUES ('day', 1) RETURNING id").await?;
    ensure!(next == 3);
    recorded(&restored, 3).await
}

async fn a_standby_counts_what_it_cannot_write() -> Result<()> {
    wait::for_one_period().await?;
    let primary = Server::start().await?;
    let session = primary.session().await?;
    let provider = Provider::start([Reply::chat("hello")])?;
    with_provider(&session, &provider).await?;
    session.batch_execute("INSERT INTO rag.budgets (period, max_calls) VALUES ('month', 2)").await?;
    session.batch_execute(&format!("BEGIN READ ONLY; {GENERATE}; COMMIT")).await?;
    recorded(&session, 1).await?;
    let name: String = session.value("SELECT current_database()::text").await?;
    let standby = Server::standby_of(&primary).await?;
    let reader = standby.connect(&name).await?;
    reader.batch_execute(GENERATE).await?;
    spent(&reader.refusal(GENERATE).await?, "is spent: 2 of 2 calls")?;
    ensure!(reader.value::<i64>("SELECT count(*) FROM rag.calls").await? == 1);
    Ok(())
}
