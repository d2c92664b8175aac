//! Integration tests: what a user sees through SQL, and what an administrator sees of the server.

mod accounting;
mod agent_jobs;
mod agent_limits;
mod agent_resumed;
mod agent_rights;
mod agents;
mod altered_tables;
mod approval;
mod arguments;
mod ask;
mod budgets;
mod cancel;
mod capture;
mod chaos;
mod chat;
mod collections;
mod comparisons;
mod coordinator;
mod counts;
mod cutting;
mod definitions;
mod documentation;
mod documents;
mod economy;
mod embed;
mod encodings;
mod engine;
mod evaluations;
mod fair_shares;
mod filter_cases;
mod filters;
mod followed;
mod fusion;
mod generate;
mod hidden_rows;
mod hold_ups;
mod hostile_calls;
mod hostile_install;
mod hostility;
mod job_limits;
mod job_pieces;
mod job_rights;
mod job_timeouts;
mod job_workers;
mod jobs;
mod keys;
mod kills;
mod limits;
mod log_delivery;
mod log_durability;
mod lost_columns;
mod lost_tables;
mod memory;
mod misfits;
mod models;
mod odd_sources;
mod one_trouble;
mod owners;
mod owners_code;
mod parsing;
mod pages;
mod partitions;
mod paused;
mod pg_upgrade;
mod pgbouncer;
mod portable;
mod provider_failures;
mod provider_state;
mod publications;
mod query_syntax;
mod queue;
mod remote_embeddings;
mod renamed;
mod report_gaps;
mod report_views;
mod reports;
mod restore;
mod restored_numbers;
mod rights;
mod row_keys;
mod run_steps;
mod run_weeks;
mod runs;
mod runtimes;
mod savepoints;
mod several_workers;
mod slow_models;
mod sqlstates;
mod standby;
mod states;
mod text_index;
mod text_index_failures;
mod text_options;
mod text_random;
mod tool_limits;
mod tools;
mod troubles;
mod unreadable;
mod unseen;
mod upgrade;
mod version;
mod waiting;
mod words;
mod worker;
mod worker_process;

use libtest_mimic::Trial;
use std::process::ExitCode;

fn main() -> ExitCode {
    let tests = that_take_longest()
        .chain(of_models_and_providers())
        .chain(of_collections())
        .chain(of_jobs_agents_and_the_server());
    ragstone_tests::harness::run(tests.collect())
}

/// Tests that take minutes. They start first, so that they do not run alone at the end.
fn that_take_longest() -> impl Iterator<Item = Trial> {
    [kills::tests(), chaos::tests(), troubles::tests()].into_iter().flatten()
}

/// Tests of the engine, of providers and of their logs.
fn of_models_and_providers() -> impl Iterator<Item = Trial> {
    [
        accounting::tests(),
        budgets::tests(),
        economy::tests(),
        embed::tests(),
        cutting::tests(),
        generate::tests(),
        provider_failures::tests(),
        provider_state::tests(),
        query_syntax::tests(),
        keys::tests(),
        remote_embeddings::tests(),
        chat::tests(),
        encodings::tests(),
        models::tests(),
        runtimes::tests(),
        engine::tests(),
        fair_shares::tests(),
        slow_models::tests(),
        misfits::tests(),
        odd_sources::tests(),
        limits::tests(),
        log_delivery::tests(),
        log_durability::tests(),
    ]
    .into_iter()
    .flatten()
}

/// Tests of collections and of the indexing.
fn of_collections() -> impl Iterator<Item = Trial> {
    [
        altered_tables::tests(),
        collections::tests(),
        comparisons::tests(),
        coordinator::tests(),
        ask::tests(),
        capture::tests(),
        fusion::tests(),
        pages::tests(),
        partitions::tests(),
        paused::tests(),
        renamed::tests(),
        definitions::tests(),
        words::tests(),
        text_index::tests(),
        text_index_failures::tests(),
        text_options::tests(),
        text_random::tests(),
        worker::tests(),
        worker_process::tests(),
        queue::tests(),
        one_trouble::tests(),
        hold_ups::tests(),
        several_workers::tests(),
        unreadable::tests(),
        unseen::tests(),
        publications::tests(),
        waiting::tests(),
    ]
    .into_iter()
    .flatten()
}

/// Tests of jobs, agents, their logs, and the server as a whole.
fn of_jobs_agents_and_the_server() -> impl Iterator<Item = Trial> {
    [
        jobs::tests(),
        job_limits::tests(),
        job_pieces::tests(),
        job_rights::tests(),
        job_timeouts::tests(),
        job_workers::tests(),
        savepoints::tests(),
        sqlstates::tests(),
        pgbouncer::tests(),
        portable::tests(),
        filters::tests(),
        filter_cases::tests(),
        counts::tests(),
        evaluations::tests(),
        agents::tests(),
        agent_jobs::tests(),
        agent_limits::tests(),
        agent_resumed::tests(),
        agent_rights::tests(),
        approval::tests(),
        rights::tests(),
        arguments::tests(),
        owners::tests(),
        owners_code::tests(),
        hidden_rows::tests(),
        hostile_calls::tests(),
        hostile_install::tests(),
        hostility::tests(),
        lost_columns::tests(),
        lost_tables::tests(),
        tool_limits::tests(),
        tools::tests(),
        runs::tests(),
        row_keys::tests(),
        run_steps::tests(),
        run_weeks::tests(),
        report_gaps::tests(),
        report_views::tests(),
        reports::tests(),
        standby::tests(),
        states::tests(),
        restore::tests(),
        restored_numbers::tests(),
        parsing::tests(),
        pg_upgrade::tests(),
        version::tests(),
        upgrade::tests(),
        documentation::tests(),
        documents::tests(),
        cancel::tests(),
        memory::tests(),
    ]
    .into_iter()
    .flatten()
}
