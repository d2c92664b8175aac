//! Integration tests: what a user sees over SQL, and what an administrator sees around the server.

mod cancel;
mod chaos;
mod collections;
mod documentation;
mod embed;
mod encodings;
mod engine;
mod kills;
mod memory;
mod misfits;
mod models;
mod queue;
mod rights;
mod sample;
mod standby;

use std::process::ExitCode;

fn main() -> ExitCode {
    let families = [
        embed::tests(),
        encodings::tests(),
        models::tests(),
        engine::tests(),
        misfits::tests(),
        collections::tests(),
        queue::tests(),
        rights::tests(),
        standby::tests(),
        documentation::tests(),
        cancel::tests(),
        memory::tests(),
        kills::tests(),
        chaos::tests(),
    ];
    ragstone_tests::harness::run(families.into_iter().flatten().collect())
}
