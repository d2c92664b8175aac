//! The main function of a bench program that runs its parts once, without criterion.

use crate::options::Options;
use anyhow::Result;
use clap::Parser;
use std::process::ExitCode;

/// Runs `parts` with what the command line says, and removes what test servers were copied from.
pub fn run(parts: impl AsyncFnOnce(&Options) -> Result<()>) -> ExitCode {
    let options = Options::parse();
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    let outcome = runtime.map_err(Into::into).and_then(|runtime| runtime.block_on(parts(&options)));
    ragstone_tests::server::clean_up();
    match outcome {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("{error:#}");
            ExitCode::FAILURE
        }
    }
}
