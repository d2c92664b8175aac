//! Values that cannot be added to reports, or are damaged in them, hold up nothing else.

use crate::reports::{until_exact, until_folded};
use anyhow::ensure;
use libtest_mimic::Trial;
use ragstone_tests::Result;
use ragstone_tests::server::shared;
use ragstone_tests::wait;

pub fn tests() -> Vec<Trial> {
    ragstone_tests::tests![a_group_that_cannot_be_added_holds_up_no_other, what_is_damaged_can_be_read_beside,]
}

async fn a_group_that_cannot_be_added_holds_up_no_other() -> Result<()> {
    wait::for_one_period().await?;
    let session = shared().await?.session().await?;
    let log = |agent: &str| {
        format!(
            "DO $$ DECLARE run bigint := rag.start_run('{agent}'); BEGIN
               PERFORM rag.log_step(run, 'tool', 'x', status => 'error', error => 'no room', duration_ms => 5);
               PERFORM rag.finish_run(run, status => 'failed', error => 'no room'); END $$"
        )
    };
    for agent in ["broken", "whole"] {
        session.batch_execute(&log(agent)).await?;
    }
    until_exact(&session).await?;
    // As a restore may bring it: adding one more overflows.
    session
        .batch_execute("UPDATE rag._error_day SET errors = 9223372036854775807 WHERE agent = 'broken'")
        .await?;
    let agents = ["broken", "whole", "other", "broken", "whole"];
    session.batch_execute(&format!("BEGIN; {}; COMMIT", agents.map(log).join("; "))).await?;
    until_folded(&session).await?;
    let reported =
        "SELECT string_agg(agent || ' ' || runs || ' ' || steps, ', ' ORDER BY agent) FROM rag.agent_daily";
    let reported: String = session.value(reported).await?;
    ensure!(reported == "broken 1 1, other 1 1, whole 3 3", "{reported}");
    let gaps: String = session
        .value("SELECT string_agg(concat_ws(' ', agent, kind, missing, sqlstate), ', ' ORDER BY kind) FROM rag.report_gaps")
        .await?;
    ensure!(gaps == "broken run 2 22003, broken step 2 22003", "{gaps}");
    Ok(())
}

async fn what_is_damaged_can_be_read_beside() -> Result<()> {
    wait::for_one_period().await?;
    let session = shared().await?.session().await?;
    let log = "DO $$ BEGIN PERFORM rag.finish_run(run) FROM (SELECT rag.start_run(agent) AS run FROM unnest('{broken,whole}'::text[]) agent
                 OFFSET 0) r; PERFORM rag.log_step(id, 'tool', 'x', duration_ms => 5, cost => 1) FROM rag.runs; END $$";
    session.batch_execute(log).await?;
    until_exact(&session).await?;
    session
        .batch_execute(
            "UPDATE rag._step_day SET durations = 'damaged', steps = 9223372036854775807, cost = 1.7e308 WHERE agent = 'broken';
             UPDATE rag._run_day SET durations = 'damaged', runs = 9223372036854775807 WHERE agent = 'broken';
             INSERT INTO rag._step_day SELECT day, owner, agent, kind, 'y', model, status, steps, input_tokens, output_tokens, cost,
                                              last_started, durations FROM rag._step_day WHERE agent = 'broken'",
        )
        .await?;
    session.batch_execute(log).await?;
    until_folded(&session).await?;
    for view in ["agent_daily", "tool_stats"] {
        let medians: Vec<Option<f64>> = session
            .value(&format!("SELECT array_agg(p50_ms ORDER BY agent, p50_ms) FROM rag.{view}"))
            .await?;
        ensure!(medians[0].is_none() && medians.last().is_some_and(Option::is_some), "{view}: {medians:?}");
    }
    session.batch_execute("SELECT count(v::text) FROM rag.run_summary v").await?;
    Ok(())
}
