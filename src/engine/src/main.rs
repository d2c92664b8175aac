//! The command line of the engine.

use std::path::PathBuf;

use clap::{Args, Parser, Subcommand};
use ragstone_engine::{
    runtime::library::{Choice, Settings},
    server::{Options, serve},
    system,
};

/// Runs models for PostgreSQL with the extension ragstone.
#[derive(Parser)]
#[command(name = "ragstone-engine", version)]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Serve clients on a socket; PostgreSQL starts this by itself.
    Serve(ServeArgs),
}

#[derive(Args)]
struct LibraryArgs {
    /// The library libonnxruntime.so.
    #[arg(long, value_name = "FILE", default_value = "libonnxruntime.so")]
    onnxruntime: PathBuf,
    /// The folder of OpenVINO's build of it.
    #[arg(long, value_name = "DIR", default_value = "openvino")]
    openvino: PathBuf,
    /// Which of them to use.
    #[arg(long, value_enum, default_value = "auto")]
    runtime: Choice,
    /// Threads of one run; 0 for all processors.
    #[arg(long, default_value_t = 0)]
    threads: usize,
}

impl From<LibraryArgs> for Settings {
    fn from(args: LibraryArgs) -> Self {
        let threads = if args.threads == 0 { system::processors() } else { args.threads };
        Self { choice: args.runtime, onnxruntime: args.onnxruntime, openvino: args.openvino, threads }
    }
}

#[derive(Args)]
struct ServeArgs {
    /// Folder of socket and lock.
    #[arg(long, value_name = "DIR")]
    socket_directory: PathBuf,
    /// Folder of model folders.
    #[arg(long, value_name = "DIR")]
    models: PathBuf,
    #[command(flatten)]
    library: LibraryArgs,
    /// Most memory of this process, MB.
    #[arg(long, default_value_t = 4096)]
    memory_mb: u64,
    /// Most texts that may wait for one model.
    #[arg(long, default_value_t = 65536)]
    queue_limit: usize,
    /// Times that an engine was started before.
    #[arg(long, default_value_t = 0)]
    restarts: u32,
}

fn main() {
    system::prepare_environment();
    let code = match Cli::parse().command {
        Command::Serve(args) => run_serve(args),
    };
    system::exit_now(code)
}

fn run_serve(args: ServeArgs) -> i32 {
    let options = Options {
        socket_directory: args.socket_directory,
        models: args.models,
        library: args.library.into(),
        memory_mb: args.memory_mb,
        queue_limit: args.queue_limit,
        restarts: args.restarts,
    };
    match serve(options) {
        Ok(()) => 0,
        Err(error) => {
            eprintln!("ragstone-engine: {error}");
            error.exit_code()
        }
    }
}
