//! Integration tests: what a user sees over SQL, and what an administrator sees around the server.

mod accounting;
mod agent_jobs;
mod agent_limits;
mod agent_resumed;
mod agent_rights;
mod agents;
mod approval;
mod ask;
mod budgets;
mod cancel;
mod capture;
mod chaos;
mod chat;
mod collections;
mod definitions;
mod documentation;
mod embed;
mod encodings;
mod engine;
mod followed;
mod generate;
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
mod memory;
mod misfits;
mod models;
mod parsing;
mod pg_upgrade;
mod pgbouncer;
mod provider_failures;
mod queue;
mod remote_embeddings;
mod reports;
mod restore;
mod rights;
mod run_steps;
mod run_weeks;
mod runs;
mod runtimes;
mod sample;
mod savepoints;
mod sqlstates;
mod standby;
mod tool_limits;
mod tools;
mod unseen;
mod upgrade;
mod version;
mod worker;
mod writers;

use libtest_mimic::Trial;
use std::process::ExitCode;

fn main() -> ExitCode {
    let families = [
        accounting::tests(),
        budgets::tests(),
        embed::tests(),
        generate::tests(),
        provider_failures::tests(),
        keys::tests(),
        remote_embeddings::tests(),
        chat::tests(),
        encodings::tests(),
        models::tests(),
        runtimes::tests(),
        engine::tests(),
        misfits::tests(),
        limits::tests(),
        log_delivery::tests(),
        log_durability::tests(),
        collections::tests(),
        ask::tests(),
        capture::tests(),
        definitions::tests(),
        worker::tests(),
        queue::tests(),
        unseen::tests(),
        savepoints::tests(),
        sqlstates::tests(),
        pgbouncer::tests(),
        agents::tests(),
        agent_jobs::tests(),
        agent_limits::tests(),
        agent_resumed::tests(),
        agent_rights::tests(),
        approval::tests(),
        rights::tests(),
        tool_limits::tests(),
        tools::tests(),
        runs::tests(),
        run_steps::tests(),
        run_weeks::tests(),
        reports::tests(),
        standby::tests(),
        restore::tests(),
        parsing::tests(),
        pg_upgrade::tests(),
        version::tests(),
        upgrade::tests(),
        documentation::tests(),
        cancel::tests(),
        memory::tests(),
        kills::tests(),
        chaos::tests(),
    ];
    let tests = families.into_iter().chain(of_jobs()).flatten();
    ragstone_tests::harness::run(tests.collect())
}

fn of_jobs() -> [Vec<Trial>; 6] {
    [
        jobs::tests(),
        job_limits::tests(),
        job_pieces::tests(),
        job_rights::tests(),
        job_timeouts::tests(),
        job_workers::tests(),
    ]
}
