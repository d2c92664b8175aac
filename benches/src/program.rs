//! Shared code of bench programs with several parts.

use crate::options::Options;
use crate::report;
use anyhow::Result;
use clap::Parser;
use ragstone_tests::harness::NotRun;
use std::process::ExitCode;

/// A program's main function: runs the parts that the command line names.
pub fn run(parts: impl AsyncFnOnce(&Options) -> Result<()>) -> ExitCode {
    let options = Options::parse();
    if !options.full {
        report::note(
            "Quick run over little data: the figures show that the benches work. Use --full for real ones.",
        );
    }
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

/// Prints the reason if a part cannot run here, and lets the other parts continue.
pub fn told(outcome: Result<()>) -> Result<()> {
    match outcome.as_ref().err().and_then(|error| error.downcast_ref::<NotRun>()) {
        Some(reason) => {
            report::note(&reason.to_string());
            Ok(())
        }
        None => outcome,
    }
}
