//! What reports answer and what they cost, and the ends that callers give to runs and steps.

use crate::reports::until_exact;
use anyhow::{Context, ensure};
use libtest_mimic::Trial;
use ragstone_tests::Result;
use ragstone_tests::server::shared;

pub fn tests() -> Vec<Trial> {
    ragstone_tests::tests![
        other_roles_functions_do_not_see_run_summaries,
        days_are_told_apart_by_tool_model_and_error,
        errors_of_frameworks_are_told_apart,
        a_run_ends_when_the_caller_says,
        an_error_makes_a_step_and_a_run_fail,
        a_tree_is_logged_at_once,
    ]
}

async fn other_roles_functions_do_not_see_run_summaries() -> Result<()> {
    let session = shared().await?.session().await?;
    session
        .batch_execute("SELECT rag.finish_run(rag.start_run('secret_agent', current => false), status => 'failed', error => 'secret')")
        .await?;
    let role = "report_peeker";
    session
        .batch_execute(&format!(
            "DROP ROLE IF EXISTS {role}; CREATE ROLE {role}; GRANT CREATE ON SCHEMA public TO {role}; SET ROLE {role};
             CREATE FUNCTION public.peek(text) RETURNS boolean LANGUAGE plpgsql COST 0.0000001
             AS $$BEGIN RAISE NOTICE 'peeked %', $1; RETURN true; END$$"
        ))
        .await?;
    session.take_notices();
    for condition in ["peek(agent)", "peek(last_error)", "peek(steps::text || status)"] {
        let rows: i64 =
            session.value(&format!("SELECT count(*) FROM rag.run_summary WHERE {condition}")).await?;
        let peeked = session.take_notices();
        ensure!(
            rows == 0 && !peeked.iter().any(|notice| notice.message.starts_with("peeked")),
            "{condition}: {peeked:?}"
        );
    }
    session.batch_execute(&format!("RESET ROLE; DROP OWNED BY {role}; DROP ROLE {role}")).await?;
    Ok(())
}

async fn days_are_told_apart_by_tool_model_and_error() -> Result<()> {
    let session = shared().await?.session().await?;
    session
        .batch_execute(
            r#"SELECT rag.log_steps(rag.start_run('a', started => '2026-05-01 10:00+00'), '[
               {"kind": "tool", "name": "refund", "started": "2026-05-01 10:00+00", "duration_ms": 10, "error": "no order 7"},
               {"kind": "tool", "name": "refund", "started": "2026-05-02 10:00+00", "duration_ms": 20},
               {"kind": "tool", "name": "refund", "started": "2026-05-02 10:01+00", "status": "waiting"},
               {"kind": "retrieval", "name": "manual", "started": "2026-05-02 10:00+00", "duration_ms": 5},
               {"kind": "model", "name": "chat", "model": "m1", "started": "2026-05-02 10:00+00", "input_tokens": 41.0, "output_tokens": 2, "cost": 0.5},
               {"kind": "model", "name": "chat", "model": "m2", "started": "2026-05-02 10:00+00", "input_tokens": 3, "cost": 0.25}]')"#,
        )
        .await?;
    until_exact(&session).await?;
    let sql = "SELECT string_agg(concat_ws(' ', day, kind, name, model, steps, errors, input_tokens, output_tokens, cost, round(p95_ms)), E'\n' ORDER BY day, kind, model)
               FROM rag.step_daily WHERE agent = 'a'";
    let days: String = session.value(sql).await?;
    let expected = "2026-05-01 tool refund 1 1 0 0 0 10\n2026-05-02 model chat m1 1 0 41 2 0.5\n2026-05-02 model chat m2 1 0 3 0 0.25\n\
                    2026-05-02 retrieval manual 1 0 0 0 0 5\n2026-05-02 tool refund 1 0 0 0 0 20";
    ensure!(days == expected, "{days}");
    let sql = "SELECT string_agg(concat_ws(' ', day, kind, name, error, count), ',') FROM rag.error_daily WHERE agent = 'a'";
    let errors: String = session.value(sql).await?;
    ensure!(errors == "2026-05-01 tool refund no order # 1", "{errors}");
    Ok(())
}

async fn errors_of_frameworks_are_told_apart() -> Result<()> {
    let session = shared().await?.session().await?;
    let frames = "Traceback (most recent call last):\n  File \"a.py\", line 3, in f\n    g()\n";
    for error in [
        format!("{frames}ValueError: no passage\nDuring task with name 'agent' and id '1'"),
        format!(
            "{frames}psycopg.OperationalError: connection refused\nDuring task with name 'tools' and id '2'"
        ),
        format!("Exception in ASGI application\n{frames}ValueError: no passage"),
        "Client error '401 Unauthorized' for url 'http://a/1'".to_owned(),
        "Client error '429 Too Many Requests' for url 'http://a/2'".to_owned(),
        "Client error '429 Too Many Requests' for url 'http://a/3'".to_owned(),
    ] {
        session
            .execute(
                "SELECT rag.log_step(rag.start_run('a', current => false), 'tool', 'f', error => $1)",
                &[&error],
            )
            .await?;
    }
    until_exact(&session).await?;
    let groups: String = session
        .value("SELECT string_agg(count || ' ' || error, E'\n' ORDER BY error COLLATE \"C\") FROM rag.error_groups WHERE agent = 'a'")
        .await?;
    let expected = "1 Client error '401 …' for url '…'\n2 Client error '429 …' for url '…'\n2 ValueError: no passage\n1 psycopg.OperationalError: connection refused";
    ensure!(groups == expected, "{groups}");
    Ok(())
}

async fn a_run_ends_when_the_caller_says() -> Result<()> {
    let session = shared().await?.session().await?;
    for durability in ["transaction", "autonomous"] {
        session.batch_execute(&format!("SET rag.log_durability = {durability}")).await?;
        let run: i64 =
            session.value("SELECT rag.start_run('late', started => '2026-05-03 12:00+00')").await?;
        session
            .batch_execute(&format!("SELECT rag.finish_run({run}, finished => '2026-05-03 12:00:02+00')"))
            .await?;
        ragstone_tests::wait::until("the run has its end", async || {
            let took: Option<f64> = session
                .value(&format!("SELECT max(duration_ms) FROM rag.run_summary WHERE id = {run}"))
                .await?;
            Ok((took == Some(2000.0)).then_some(()))
        })
        .await?;
        let refusal = session
            .refusal(&format!("SELECT rag.finish_run({run}, finished => '2026-05-03 11:00+00')"))
            .await?;
        refusal.expect("22023", &format!("finished is before the beginning of run {run}"), "rag.runs")?;
        let refusal =
            session.refusal(&format!("SELECT rag.finish_run({run}, finished => 'infinity')")).await?;
        refusal.expect("22023", "finished must be finite", "")?;
    }
    Ok(())
}

async fn an_error_makes_a_step_and_a_run_fail() -> Result<()> {
    let session = shared().await?.session().await?;
    let run: i64 = session.value("SELECT rag.start_run('a')").await?;
    session
        .batch_execute(&format!(
            r#"SELECT rag.log_step({run}, 'tool', 'f', error => 'boom'), rag.log_step({run}, 'tool', 'g'),
                      rag.log_step({run}, 'tool', 'h', error => 'late', status => 'cancelled'),
                      rag.log_steps({run}, '[{{"kind": "tool", "name": "i", "error": "boom"}}]');
               SELECT rag.finish_run({run}, error => 'boom')"#
        ))
        .await?;
    let states: String = session
        .value("SELECT string_agg(name || ' ' || status, ',' ORDER BY number) || ' ' || (SELECT status FROM rag.runs) FROM rag.steps")
        .await?;
    ensure!(states == "f error,g ok,h cancelled,i error failed", "{states}");
    Ok(())
}

async fn a_tree_is_logged_at_once() -> Result<()> {
    let session = shared().await?.session().await?;
    let run: i64 = session.value("SELECT rag.start_run('a')").await?;
    let steps = r#"[{"kind": "tool", "name": "leaf", "parent_key": "b"}, {"kind": "model", "name": "top", "key": "a"},
                    {"kind": "custom", "name": "middle", "key": "b", "parent_key": "a"}]"#;
    session.execute("SELECT rag.log_steps($1, $2::text::jsonb)", &[&run, &steps]).await?;
    let tree: String = session
        .value("SELECT string_agg(concat_ws(' < ', s.name, p.name), ',' ORDER BY s.number) FROM rag.steps s LEFT JOIN rag.steps p ON p.id = s.parent_id")
        .await?;
    ensure!(tree == "leaf < middle,top,middle < top", "{tree}");
    for (steps, message) in [
        (r#"[{"kind": "tool", "parent_key": "x"}]"#, "step 1: no step has the key \"x\""),
        (
            r#"[{"kind": "tool", "key": "x"}, {"kind": "tool", "key": "x"}]"#,
            "step 2: two steps have the key \"x\"",
        ),
        (r#"[{"kind": "tool", "key": "x", "parent_key": "x"}]"#, "step 1: a step is no part of itself"),
        (
            r#"[{"kind": "tool", "parent_key": "x", "parent": 1}]"#,
            "step 1: a step has either parent or parent_key",
        ),
        (r#"[{"kind": "tool", "input_tokens": 1.5}]"#, "step 1: expected an integer, not 1.5"),
    ] {
        let refusal = session.refusal(&format!("SELECT rag.log_steps({run}, '{steps}')")).await?;
        refusal.expect("22023", message, "").with_context(|| steps.to_owned())?;
    }
    ensure!(session.value::<i64>("SELECT count(*) FROM rag.steps").await? == 3);
    Ok(())
}
