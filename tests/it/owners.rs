//! Conversations, runs and tools belong to a role, not to the role's name.

use anyhow::ensure;
use libtest_mimic::Trial;
use ragstone_tests::Result;
use ragstone_tests::server::shared;
use ragstone_tests::session::Session;
use ragstone_tests::wait;

pub fn tests() -> Vec<Trial> {
    ragstone_tests::tests![
        a_role_has_nothing_of_one_that_had_its_name,
        a_role_keeps_what_it_has_made_under_another_name,
        after_a_restore_a_role_has_what_is_under_its_name,
        after_a_restore_a_renamed_role_has_what_it_had,
        a_role_whose_name_looks_like_an_owner_has_nothing_of_it,
        owners_of_a_transaction_that_was_rolled_back_are_found_again,
        an_autonomous_run_has_its_owner_whatever_becomes_of_the_transaction,
    ]
}

/// Numbers of conversations, runs, steps and roll-ups that a role can see.
const SHOWN: &str = "SELECT ARRAY[(SELECT count(*) FROM rag.sessions), (SELECT count(*) FROM rag.runs),
                                  (SELECT count(*) FROM rag.steps), (SELECT count(*) FROM rag.run_summary)]";

/// A conversation and a run with a step. Returns their numbers.
const MAKE: &str = "WITH run AS MATERIALIZED (SELECT rag.start_run('clerk') AS id)
                    SELECT rag.create_session(), id, rag.log_step(id, kind => 'message', name => 'note') FROM run";

async fn make(session: &Session) -> Result<(i64, i64)> {
    let made = session.query_one(MAKE, &[]).await?;
    Ok((made.get(0), made.get(1)))
}

/// Fails unless a role can see `expected` of each.
async fn is_shown(session: &Session, expected: i64) -> Result<()> {
    let shown: Vec<i64> = session.value(SHOWN).await?;
    ensure!(shown == [expected; 4], "{shown:?} instead of {expected} of each");
    Ok(())
}

/// A role name that only this test's database uses.
async fn name(session: &Session, what: &str) -> Result<String> {
    session.value(&format!("SELECT '{what}_of_' || current_database()")).await
}

/// Drops a role, and creates another one with the same name.
async fn make_anew(session: &Session, role: &str) -> Result<()> {
    let anew =
        format!("RESET ROLE; DROP OWNED BY {role}; DROP ROLE {role}; CREATE ROLE {role}; SET ROLE {role}");
    session.batch_execute(&anew).await?;
    Ok(())
}

async fn a_role_has_nothing_of_one_that_had_its_name() -> Result<()> {
    let session = shared().await?.session().await?;
    let role = name(&session, "clerk").await?;
    session
        .batch_execute(&format!(
            "CREATE FUNCTION noon() RETURNS text LANGUAGE sql AS $$ SELECT '12:00' $$; COMMENT ON FUNCTION noon IS 'tells the time';
             CREATE ROLE {role}; SET ROLE {role}"
        ))
        .await?;
    let (conversation, run) = make(&session).await?;
    session
        .batch_execute("SELECT rag.set_persona('terse', 'Be brief.'); SELECT rag.create_tool('noon()')")
        .await?;
    is_shown(&session, 1).await?;

    make_anew(&session, &role).await?;
    is_shown(&session, 0).await?;
    for (statement, sqlstate) in [
        (format!("SELECT rag.delete_session({conversation})"), "42704"),
        (format!("SELECT rag.log_step({run}, kind => 'message', name => 'note')"), "42704"),
        (format!("SELECT rag.finish_run({run})"), "42704"),
        ("SELECT rag.set_persona('terse', 'Say all.')".into(), "42501"),
        ("SELECT rag.drop_tool('noon')".into(), "42501"),
        ("SELECT rag.create_tool('noon()', replace => true)".into(), "42501"),
    ] {
        session.refusal(&statement).await?.expect(sqlstate, "", "")?;
    }
    make(&session).await?;
    is_shown(&session, 1).await?;
    let owner: String = session.value("SELECT owner::text FROM rag.runs").await?;
    let expected: String = session
        .value("SELECT format('#%s %s', oid, rolname) FROM pg_roles WHERE rolname = current_user")
        .await?;
    ensure!(owner == expected, "{owner} instead of {expected}");
    session.batch_execute("RESET ROLE").await?;
    is_shown(&session, 2).await?;
    Ok(())
}

async fn a_role_keeps_what_it_has_made_under_another_name() -> Result<()> {
    let session = shared().await?.session().await?;
    let (before, after) = (name(&session, "miss").await?, name(&session, "mrs").await?);
    session.batch_execute(&format!("CREATE ROLE {before}; SET ROLE {before}")).await?;
    make(&session).await?;
    session
        .batch_execute(&format!("RESET ROLE; ALTER ROLE {before} RENAME TO {after}; SET ROLE {after}"))
        .await?;
    is_shown(&session, 1).await?;
    make(&session).await?;
    session.batch_execute(&format!("RESET ROLE; CREATE ROLE {before}; SET ROLE {before}")).await?;
    is_shown(&session, 0).await?;
    make(&session).await?;
    is_shown(&session, 1).await?;
    session.batch_execute(&format!("RESET ROLE; SET ROLE {after}")).await?;
    is_shown(&session, 2).await?;
    Ok(())
}

async fn after_a_restore_a_role_has_what_is_under_its_name() -> Result<()> {
    let session = shared().await?.session().await?;
    let role = name(&session, "guest").await?;
    session.batch_execute(&format!("CREATE ROLE {role}; SET ROLE {role}")).await?;
    make(&session).await?;
    // As after a restore of another server's dump.
    session.batch_execute("RESET ROLE; UPDATE rag._owner SET server = gen_random_uuid()").await?;
    make_anew(&session, &role).await?;
    is_shown(&session, 1).await?;
    make(&session).await?;
    is_shown(&session, 2).await?;
    make_anew(&session, &role).await?;
    is_shown(&session, 0).await?;
    Ok(())
}

async fn owners_of_a_transaction_that_was_rolled_back_are_found_again() -> Result<()> {
    let session = shared().await?.session().await?;
    let role = name(&session, "waverer").await?;
    session.batch_execute(&format!("CREATE ROLE {role}; SET ROLE {role}")).await?;
    session.batch_execute("BEGIN").await?;
    make(&session).await?;
    make(&session).await?;
    session.batch_execute("ROLLBACK").await?;
    make(&session).await?;
    make_anew(&session, &role).await?;
    is_shown(&session, 0).await?;
    Ok(())
}

async fn after_a_restore_a_renamed_role_has_what_it_had() -> Result<()> {
    let session = shared().await?.session().await?;
    let (before, after) = (name(&session, "maid").await?, name(&session, "wife").await?);
    session.batch_execute(&format!("CREATE ROLE {before}; SET ROLE {before}")).await?;
    make(&session).await?;
    session
        .batch_execute(&format!("RESET ROLE; ALTER ROLE {before} RENAME TO {after}; SET ROLE {after}"))
        .await?;
    make(&session).await?;
    session
        .batch_execute(&format!(
            "RESET ROLE; CREATE ROLE {before}; UPDATE rag._owner SET server = gen_random_uuid(); SET ROLE {before}"
        ))
        .await?;
    is_shown(&session, 0).await?;
    make(&session).await?;
    is_shown(&session, 1).await?;
    session.batch_execute(&format!("RESET ROLE; SET ROLE {after}")).await?;
    is_shown(&session, 2).await?;
    make(&session).await?;
    // As after a restore of another server's dump: each of the two roles sees its own rows.
    session
        .batch_execute(&format!(
            "RESET ROLE; UPDATE rag._owner SET server = gen_random_uuid(); SET ROLE {before}"
        ))
        .await?;
    is_shown(&session, 1).await?;
    session.batch_execute(&format!("RESET ROLE; SET ROLE {after}")).await?;
    is_shown(&session, 3).await?;
    Ok(())
}

async fn a_role_whose_name_looks_like_an_owner_has_nothing_of_it() -> Result<()> {
    let session = shared().await?.session().await?;
    let role = name(&session, "forger").await?;
    session.batch_execute(&format!("CREATE ROLE {role}; SET ROLE {role}")).await?;
    make(&session).await?;
    make_anew(&session, &role).await?;
    let forged: String = session
        .value(
            "SELECT quote_ident(format('#%s %s', oid, rolname)) FROM pg_roles WHERE rolname = current_user",
        )
        .await?;
    session.batch_execute(&format!("RESET ROLE; CREATE ROLE {forged}; SET ROLE {forged}")).await?;
    make(&session).await?;
    session.batch_execute(&format!("RESET ROLE; SET ROLE {role}")).await?;
    make(&session).await?;
    is_shown(&session, 1).await?;
    session.batch_execute(&format!("RESET ROLE; SET ROLE {forged}")).await?;
    is_shown(&session, 1).await?;
    Ok(())
}

async fn an_autonomous_run_has_its_owner_whatever_becomes_of_the_transaction() -> Result<()> {
    let session = shared().await?.session().await?;
    let role = name(&session, "quitter").await?;
    session
        .batch_execute(&format!("CREATE ROLE {role}; SET ROLE {role}; SET rag.log_durability = 'autonomous'"))
        .await?;
    session.batch_execute("BEGIN").await?;
    session.batch_execute("SELECT rag.start_run('clerk')").await?;
    session.batch_execute("ROLLBACK").await?;
    let runs = "SELECT count(*) FROM rag.runs";
    wait::until("the run is there", async || Ok((session.value::<i64>(runs).await? == 1).then_some(())))
        .await?;
    make_anew(&session, &role).await?;
    ensure!(session.value::<i64>(runs).await? == 0);
    Ok(())
}
