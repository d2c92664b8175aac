//! Ragstone's speed, side by side with programs that do the same without Ragstone, in one run.
//!
//! `cargo bench -p ragstone-benches --bench speed -- [--full] [agent] [autonomous] [cutting] [embed] [query] [sessions] [shares] [neighbours] [search] [million] [hidden] [memory] [providers] [log] [reports]`

mod agent;
mod autonomous;
mod cutting;
mod embed;
mod handwritten;
mod hidden;
mod log;
mod memory;
mod million;
mod neighbours;
mod parsing;
mod providers;
mod query;
mod reports;
mod search;
mod sessions;
mod shares;

use anyhow::Result;
use ragstone_benches::options::Options;
use ragstone_benches::program::{self, told};
use std::process::ExitCode;

fn main() -> ExitCode {
    program::run(run)
}

async fn run(options: &Options) -> Result<()> {
    if options.wants("autonomous") {
        told(autonomous::run(options).await)?;
    }
    if options.wants("cutting") {
        told(cutting::run(options))?;
    }
    if options.wants("embed") {
        told(embed::run(options).await)?;
    }
    if options.wants("query") {
        told(query::run(options).await)?;
    }
    if options.wants("sessions") {
        told(sessions::run(options).await)?;
    }
    if options.wants("shares") {
        told(shares::run(options).await)?;
    }
    if options.wants("neighbours") {
        told(neighbours::run(options).await)?;
    }
    if options.wants("search") {
        told(search::run(options).await)?;
    }
    if options.wants("million") {
        told(million::run(options).await)?;
    }
    if options.wants("hidden") {
        told(hidden::run(options).await)?;
    }
    if options.wants("memory") {
        told(memory::run().await)?;
    }
    if options.wants("log") {
        told(log::run(options).await)?;
    }
    if options.wants("providers") {
        told(providers::run(options).await)?;
    }
    if options.wants("parse_log") {
        told(parsing::run(options).await)?;
    }
    if options.wants("reports") {
        told(reports::run(options).await)?;
    }
    if options.wants("agent") {
        told(agent::run(options).await)?;
    }
    Ok(())
}
