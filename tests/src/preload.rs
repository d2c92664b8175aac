//! Servers with a preloaded library from `tests/fixtures`, which replaces calls of the C library.

use crate::Result;
use crate::folders::{give_to_server, run};
use crate::server::{Options, Server};
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

/// Starts a server with `fixtures/NAME.c` preloaded. The environment variable `variable` holds the path of a
/// file for the library, which is returned: the file is empty, and the server's user may write to it.
pub async fn start(name: &str, variable: &str, options: Options) -> Result<(Server, PathBuf)> {
    let server = Server::prepare(options)?;
    let (library, file) = (server.folder().join(format!("{name}.so")), server.folder().join(name));
    let source = Path::new(env!("CARGO_MANIFEST_DIR")).join(format!("fixtures/{name}.c"));
    run(Command::new("cc").args(["-shared", "-fPIC", "-o"]).arg(&library).arg(source).arg("-ldl"))?;
    fs::write(&file, "")?;
    give_to_server(&library)?;
    give_to_server(&file)?;
    let server = server
        .with_environment("LD_PRELOAD", &library.display().to_string())
        .with_environment(variable, &file.display().to_string());
    server.restart().await?;
    Ok((server, file))
}
