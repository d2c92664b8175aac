//! Integration tests: what a user sees over SQL, and what an administrator sees around the server.

mod cancel;
mod collections;
mod documentation;
mod embed;
mod encodings;
mod engine;
mod kills;
mod limits;
mod memory;
mod misfits;
mod models;
mod rights;
mod runtimes;
mod sample;
mod standby;
mod version;

use std::process::ExitCode;

fn main() -> ExitCode {
    let families = [
        embed::tests(),
        encodings::tests(),
        models::tests(),
        runtimes::tests(),
        engine::tests(),
        misfits::tests(),
        limits::tests(),
        collections::tests(),
        rights::tests(),
        standby::tests(),
        version::tests(),
        documentation::tests(),
        cancel::tests(),
        memory::tests(),
        kills::tests(),
    ];
    ragstone_tests::harness::run(families.into_iter().flatten().collect())
}
