//! The quality of search results, measured on collections whose relevant documents are known.

mod manual;
mod scifact;
mod searching;

use std::process::ExitCode;

fn main() -> ExitCode {
    ragstone_tests::harness::run(scifact::tests().into_iter().chain(manual::tests()).collect())
}
