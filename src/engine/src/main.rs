//! The command line of the engine.
#![deny(unsafe_code)]

use std::{path::PathBuf, process};

use clap::{Args, Parser, Subcommand};
use ragstone_engine::{
    failure::Error,
    parser::{child, control::ChildLimits, launcher},
    pull::{self, error::PullError},
    runtime::library::{Library, LibrarySettings, RuntimeChoice},
    server::{options::ServeOptions, serve},
    system,
};

/// Runs models for the PostgreSQL extension ragstone.
#[derive(Parser)]
#[command(name = "ragstone-engine", version)]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Serve clients on a socket. PostgreSQL starts this itself.
    Serve(ServeArgs),
    /// Download and install a model.
    Pull(PullArgs),
    /// Check the files and results of an installed model.
    Check(CheckArgs),
    /// Start parsers for an engine. The engine starts this itself.
    #[command(hide = true)]
    ParseLauncher,
    /// Parse the document of standard input. The launcher starts this itself.
    #[command(hide = true)]
    ParseChild(ParseChildArgs),
}

#[derive(Args)]
struct LibraryArgs {
    /// Path of libonnxruntime.so [default: beside this program].
    #[arg(long, value_name = "FILE")]
    onnxruntime: Option<PathBuf>,
    /// Folder of an ONNX Runtime built with OpenVINO [default: openvino beside this program].
    #[arg(long, value_name = "DIR")]
    openvino: Option<PathBuf>,
    /// Library that runs the model.
    #[arg(long, value_enum, default_value = "auto")]
    runtime: RuntimeChoice,
    /// Number of threads that run a model; 0 means one per processor.
    #[arg(long, default_value_t = 0)]
    threads: usize,
}

impl From<LibraryArgs> for LibrarySettings {
    fn from(args: LibraryArgs) -> Self {
        let threads = if args.threads == 0 { system::processors() } else { args.threads };
        let beside = |name: &str| system::executable_directory().join(name);
        Self {
            choice: args.runtime,
            onnxruntime: args.onnxruntime.unwrap_or_else(|| beside("libonnxruntime.so")),
            openvino: args.openvino.unwrap_or_else(|| beside("openvino")),
            threads,
        }
    }
}

#[derive(Args)]
struct ServeArgs {
    /// Folder of the socket and the lock file.
    #[arg(long, value_name = "DIR")]
    socket_directory: PathBuf,
    /// Folder of models, which has a folder for each model.
    #[arg(long, value_name = "DIR")]
    models: PathBuf,
    #[command(flatten)]
    library: LibraryArgs,
    /// Memory limit of this process, in MB.
    #[arg(long, default_value_t = 4096)]
    memory_mb: u64,
    /// Maximum number of texts that wait for one model.
    #[arg(long, default_value_t = 65536)]
    queue_limit: usize,
    /// Number of restarts of the engine.
    #[arg(long, default_value_t = 0)]
    restarts: u32,
}

#[derive(Args)]
struct PullArgs {
    /// NAME or OWNER/NAME on the hub, or the URL of a folder with a manifest.json.
    source: String,
    /// Folder of models [default: ragstone/models in the folder that pg_config --sharedir prints].
    #[arg(long, value_name = "DIR")]
    models: Option<PathBuf>,
    #[command(flatten)]
    library: LibraryArgs,
}

#[derive(Args)]
struct CheckArgs {
    /// Folder of the model.
    folder: PathBuf,
    #[command(flatten)]
    library: LibraryArgs,
}

#[derive(Args)]
struct ParseChildArgs {
    /// Memory limit, in MB.
    #[arg(long)]
    memory_mb: u32,
    /// Time limit, in milliseconds.
    #[arg(long)]
    timeout_ms: u32,
}

fn main() {
    system::prepare_environment();
    let code = match Cli::parse().command {
        Command::Serve(args) => run_serve(args),
        Command::Pull(args) => report(run_pull(args)),
        Command::ParseLauncher => launcher::run(),
        Command::ParseChild(ParseChildArgs { memory_mb, timeout_ms }) => {
            child::run(ChildLimits { memory_mb, timeout_ms })
        }
        Command::Check(args) => {
            let library = Library::new(args.library.into());
            report(pull::check(&args.folder, &library).map_err(|error| with_hint(&error)))
        }
    };
    system::exit_now(code)
}

fn run_serve(args: ServeArgs) -> i32 {
    let options = ServeOptions {
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

fn run_pull(args: PullArgs) -> Result<String, String> {
    let models = match args.models {
        Some(models) => models,
        None => shared_models().ok_or("cannot run pg_config; give the folder of models with --models")?,
    };
    let hub = std::env::var("HF_ENDPOINT").unwrap_or_else(|_| pull::hub::PUBLIC_HUB.into());
    let library = Library::new(args.library.into());
    match pull::pull(&args.source, &models, &hub, &library) {
        Ok(name) => Ok(format!("installed {name} in {}", models.join(&name).display())),
        Err(PullError::Model(error)) => Err(with_hint(&error)),
        Err(error) => Err(error.to_string()),
    }
}

/// The folder where the PostgreSQL of `pg_config` (or `$PG_CONFIG`) looks for models.
fn shared_models() -> Option<PathBuf> {
    let program = std::env::var_os("PG_CONFIG").unwrap_or_else(|| "pg_config".into());
    let output =
        process::Command::new(program).arg("--sharedir").output().ok().filter(|run| run.status.success())?;
    Some(PathBuf::from(String::from_utf8(output.stdout).ok()?.trim_end()).join("ragstone/models"))
}

fn with_hint(error: &Error) -> String {
    format!("{error}\nragstone-engine: hint: {}", error.hint())
        .trim_end_matches("\nragstone-engine: hint: ")
        .to_owned()
}

fn report(result: Result<String, String>) -> i32 {
    match result {
        Ok(line) => {
            println!("{}", system::printable(&line));
            0
        }
        Err(line) => {
            eprintln!("ragstone-engine: {}", system::printable(&line));
            1
        }
    }
}
