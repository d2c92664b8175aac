//! The cost of collections that follow their sources, compared with the same work without them.
//!
//! `cargo bench -p ragstone-benches --bench sync -- [--full] [fill] [latency] [insert] [unwatched] [backlog] [beside] [stages] [memory] [large]`

mod backlog;
mod beside;
mod fill;
mod insert;
mod large;
mod latency;
mod memory;
mod stages;
mod texts;
mod unwatched;

use anyhow::Result;
use ragstone_benches::options::Options;
use ragstone_benches::program::{self, told};
use std::process::ExitCode;

fn main() -> ExitCode {
    program::run(run)
}

async fn run(options: &Options) -> Result<()> {
    if options.wants("fill") {
        told(fill::run(options).await)?;
    }
    if options.wants("latency") {
        told(latency::run(options).await)?;
    }
    if options.wants("insert") {
        told(insert::run(options).await)?;
    }
    if options.wants("unwatched") {
        told(unwatched::run(options).await)?;
    }
    if options.wants("backlog") {
        told(backlog::run(options).await)?;
    }
    if options.wants("beside") {
        told(beside::run(options).await)?;
    }
    if options.wants("stages") {
        told(stages::run(options).await)?;
    }
    if options.wants("memory") {
        told(memory::run(options).await)?;
    }
    if options.wants("large") {
        told(large::run(options).await)?;
    }
    Ok(())
}
