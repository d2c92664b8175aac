//! The supervisor: a background worker that starts the engine, watches it, restarts it, and serves the
//! requests for workers meanwhile.

use pgrx::bgworkers::{BackgroundWorker, SignalWakeFlags};
use pgrx::{check_for_interrupts, log};
use ragstone_client::processes::file_lock::FileLock;
use ragstone_client::processes::slots;
use ragstone_client::processes::system::spawn_detached;
use ragstone_client::processes::worker_process::background_worker_main;
use ragstone_client::settings;
use ragstone_client::settings::paths;
use ragstone_core::backoff::Backoff;
use ragstone_pg::guc::reload_configuration;
use std::io;
use std::path::PathBuf;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::time::{Duration, Instant};

/// The engine's exit code if another engine holds the lock.
const ALREADY_RUNNING: i32 = 75;

/// The engine's exit code if its configuration is invalid.
const MISCONFIGURED: i32 = 78;

/// Interval at which the supervisor checks the engine, the workers and the requests for workers.
const WATCH_INTERVAL: Duration = Duration::from_secs(1);

/// Pauses before a restart.
const RESTART_BACKOFF: Backoff = Backoff::new(Duration::from_millis(20), Duration::from_secs(5));

/// An engine that ran for this time counts as healthy, and the next pause is the shortest again. An engine
/// that cannot start ends within some ten milliseconds, and an engine that a request kills ends at most as
/// often as that request is repeated. A serving engine needs about 300 ms for its first response on an idle
/// machine: even if each response kills it, the pauses must not grow.
const MIN_HEALTHY_LIFETIME: Duration = Duration::from_millis(150);

background_worker_main!(ragstone_supervisor_main, run);

fn run(_argument: u64) {
    BackgroundWorker::attach_signal_handlers(
        SignalWakeFlags::SIGHUP | SignalWakeFlags::SIGTERM | SignalWakeFlags::SIGCHLD,
    );
    match FileLock::take(&paths::supervisor_lock()) {
        Ok(Some(lock)) => {
            let is_terminated = supervise();
            // A session that needs the engine from here on starts another supervisor.
            drop(lock);
            if !is_terminated {
                serve_until_another_does();
            }
        }
        Ok(None) => {}
        Err(error) => {
            log!("ragstone supervisor: could not lock \"{}\": {error}", paths::supervisor_lock().display());
        }
    }
}

/// Serves requests for workers until a worker runs that serves them, or until none are left.
fn serve_until_another_does() {
    while !slots::hand_over_requests() {
        if !BackgroundWorker::wait_latch(Some(WATCH_INTERVAL)) {
            return;
        }
        check_for_interrupts!();
    }
}

/// Runs the engine, and restarts it until it ends for good. Returns true if the supervisor was terminated.
fn supervise() -> bool {
    let mut restarts = 0;
    let mut backoff = RESTART_BACKOFF;
    loop {
        let command = EngineCommand::from_settings();
        let started = Instant::now();
        let mut engine = match command.start(restarts) {
            Ok(engine) => engine,
            Err(error) => {
                log!("ragstone supervisor: could not execute \"{}\": {error}", command.program.display());
                return false;
            }
        };
        match watch(&mut engine, &command) {
            EngineEnd::Stopped => return true,
            EngineEnd::Reconfigured => backoff.reset(),
            EngineEnd::Exited(status) if is_final(status) => return false,
            EngineEnd::Exited(status) => {
                restarts += 1;
                log!("ragstone supervisor: engine (PID {}) ended: {status}", engine.id());
                if started.elapsed() > MIN_HEALTHY_LIFETIME {
                    backoff.reset();
                }
                if !back_off(backoff.next_pause()) {
                    return true;
                }
            }
        }
    }
}

/// How the engine ended.
enum EngineEnd {
    /// The supervisor was terminated, and has stopped the engine.
    Stopped,
    /// The settings have changed, and the supervisor has stopped the engine.
    Reconfigured,
    /// The engine ended by itself.
    Exited(ExitStatus),
}

fn watch(engine: &mut Child, command: &EngineCommand) -> EngineEnd {
    loop {
        match engine.try_wait() {
            Ok(Some(status)) => return EngineEnd::Exited(status),
            Ok(None) => {}
            Err(error) => log!("ragstone supervisor: could not wait for the engine: {error}"),
        }
        let go_on = BackgroundWorker::wait_latch(Some(WATCH_INTERVAL));
        check_for_interrupts!();
        slots::end_unwanted();
        slots::serve_requests();
        if !go_on {
            stop(engine);
            return EngineEnd::Stopped;
        }
        if BackgroundWorker::sighup_received() {
            reload_configuration();
            if EngineCommand::from_settings() != *command {
                stop(engine);
                return EngineEnd::Reconfigured;
            }
        }
    }
}

/// True if the supervisor has to exit as well, instead of restarting the engine.
fn is_final(status: ExitStatus) -> bool {
    match status.code() {
        // The engine has ended because its program was replaced and it had no clients. The next caller starts
        // the new program.
        Some(0 | ALREADY_RUNNING) => true,
        Some(MISCONFIGURED) => {
            log!(
                "ragstone supervisor: the engine cannot run with its configuration; the next call will start it again"
            );
            true
        }
        _ => false,
    }
}

/// Waits before a restart. Returns false if the supervisor is terminated meanwhile.
fn back_off(pause: Duration) -> bool {
    let until = Instant::now() + pause;
    while let Some(left) = until.checked_duration_since(Instant::now()).filter(|left| !left.is_zero()) {
        if !BackgroundWorker::wait_latch(Some(left)) {
            return false;
        }
        check_for_interrupts!();
        if BackgroundWorker::sighup_received() {
            reload_configuration();
        }
    }
    true
}

/// Kills the engine. It has no state to save, and clients repeat their requests.
fn stop(engine: &mut Child) {
    let _ = engine.kill();
    let _ = engine.wait();
}

/// The engine's command line and priority, from the settings. The engine is restarted if they change.
#[derive(PartialEq)]
struct EngineCommand {
    program: PathBuf,
    arguments: Vec<String>,
    nice: i32,
}

impl EngineCommand {
    fn from_settings() -> Self {
        let words = [
            ("--socket-directory", paths::socket_directory().display().to_string()),
            ("--models", paths::models().display().to_string()),
            ("--onnxruntime", paths::onnxruntime().display().to_string()),
            ("--openvino", paths::openvino().display().to_string()),
            ("--runtime", settings::engine_runtime().to_owned()),
            ("--threads", settings::engine_threads().to_string()),
            ("--memory-mb", settings::engine_memory().to_string()),
            ("--queue-limit", settings::engine_queue_limit().to_string()),
        ];
        Self {
            program: paths::engine(),
            arguments: words.into_iter().flat_map(|(name, value)| [name.to_owned(), value]).collect(),
            nice: settings::engine_nice(),
        }
    }

    fn start(&self, restarts: u32) -> io::Result<Child> {
        let mut command = Command::new(&self.program);
        command.arg("serve").args(&self.arguments).arg("--restarts").arg(restarts.to_string());
        command.stdin(Stdio::null());
        spawn_detached(&mut command, self.nice)
    }
}
