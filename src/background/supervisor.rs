//! The supervisor: a background worker that starts the engine, watches it and starts it again.

use pgrx::bgworkers::{BackgroundWorker, SignalWakeFlags};
use pgrx::{check_for_interrupts, log, pg_guard, pg_sys};
use ragstone_client::processes::file_lock::FileLock;
use ragstone_client::processes::slots;
use ragstone_client::settings;
use ragstone_client::settings::paths;
use std::io;
use std::os::unix::process::CommandExt;
use std::path::PathBuf;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::time::{Duration, Instant};

/// The engine's exit code where another engine holds the lock.
const ALREADY_RUNNING: i32 = 75;

/// The engine's exit code where it cannot work as it is configured.
const MISCONFIGURED: i32 = 78;

/// Pauses before a restart double from the first to the last of these.
const BACKOFF: (Duration, Duration) = (Duration::from_millis(20), Duration::from_secs(5));

/// Linux numbers its signals from 1 to this.
const SIGNALS: libc::c_int = 64;

/// An engine that ran for this long counts as healthy, and the next pause is the shortest again. An engine that cannot start ends
/// within some ten milliseconds, and one that a request kills ends at most as often as that request is repeated. A serving engine
/// needs about 300 ms for its first answer on an idle machine: if each answer kills it, the pauses must not grow.
const HEALTHY: Duration = Duration::from_millis(150);

/// The worker's entry point.
#[pg_guard]
#[unsafe(no_mangle)]
pub extern "C-unwind" fn ragstone_supervisor_main(_argument: pg_sys::Datum) {
    BackgroundWorker::attach_signal_handlers(
        SignalWakeFlags::SIGHUP | SignalWakeFlags::SIGTERM | SignalWakeFlags::SIGCHLD,
    );
    match FileLock::take(&paths::supervisor_lock()) {
        Ok(Some(_lock)) => supervise(),
        Ok(None) => {}
        Err(error) => {
            log!("ragstone supervisor: could not lock \"{}\": {error}", paths::supervisor_lock().display());
        }
    }
}

fn supervise() {
    let mut restarts = 0;
    let mut pause = BACKOFF.0;
    loop {
        let settings = Settings::now();
        let started = Instant::now();
        let mut engine = match settings.start(restarts) {
            Ok(engine) => engine,
            Err(error) => {
                log!("ragstone supervisor: could not execute \"{}\": {error}", settings.program.display());
                return;
            }
        };
        match watch(&mut engine, &settings) {
            Ended::Stopped => return,
            Ended::Reconfigured => pause = BACKOFF.0,
            Ended::Left(status) if done(status) => return,
            Ended::Left(status) => {
                restarts += 1;
                log!("ragstone supervisor: engine (PID {}) ended: {status}", engine.id());
                if started.elapsed() > HEALTHY {
                    pause = BACKOFF.0;
                }
                if !rest(pause) {
                    return;
                }
                pause = (pause * 2).min(BACKOFF.1);
            }
        }
    }
}

/// How a watch over an engine ended.
enum Ended {
    /// The supervisor was terminated, and has stopped the engine.
    Stopped,
    /// The settings have changed, and the supervisor has stopped the engine.
    Reconfigured,
    /// The engine ended by itself.
    Left(ExitStatus),
}

fn watch(engine: &mut Child, settings: &Settings) -> Ended {
    loop {
        match engine.try_wait() {
            Ok(Some(status)) => return Ended::Left(status),
            Ok(None) => {}
            Err(error) => log!("ragstone supervisor: could not wait for the engine: {error}"),
        }
        let go_on = BackgroundWorker::wait_latch(Some(Duration::from_secs(1)));
        check_for_interrupts!();
        slots::tend();
        if !go_on {
            stop(engine);
            return Ended::Stopped;
        }
        if BackgroundWorker::sighup_received() {
            reload();
            if Settings::now() != *settings {
                stop(engine);
                return Ended::Reconfigured;
            }
        }
    }
}

/// Whether the engine's end means that no engine is wanted from this supervisor.
fn done(status: ExitStatus) -> bool {
    match status.code() {
        // It ended because its program had been replaced and it had no clients. The next caller starts the new program.
        Some(0 | ALREADY_RUNNING) => true,
        Some(MISCONFIGURED) => {
            log!(
                "ragstone supervisor: the engine cannot work as it is configured; the next caller will start it again"
            );
            true
        }
        _ => false,
    }
}

/// Waits before a restart; false if the supervisor is to go.
fn rest(pause: Duration) -> bool {
    let until = Instant::now() + pause;
    while let Some(left) = until.checked_duration_since(Instant::now()).filter(|left| !left.is_zero()) {
        if !BackgroundWorker::wait_latch(Some(left)) {
            return false;
        }
        check_for_interrupts!();
        if BackgroundWorker::sighup_received() {
            reload();
        }
    }
    true
}

fn reload() {
    // SAFETY: this is the main loop of a process, the place where the file may be read.
    unsafe { pg_sys::ProcessConfigFile(pg_sys::GucContext::PGC_SIGHUP) };
}

/// The engine holds no state worth a farewell: clients ask again, so it goes at once.
fn stop(engine: &mut Child) {
    let _ = engine.kill();
    let _ = engine.wait();
}

/// The engine's command line and priority, from the settings. The engine is restarted if they change.
#[derive(PartialEq)]
struct Settings {
    program: PathBuf,
    arguments: Vec<String>,
    nice: i32,
}

impl Settings {
    fn now() -> Self {
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
        let (parent, nice) = (std::process::id(), self.nice);
        // SAFETY: between fork and exec only system calls are made, which are safe in a process with one thread.
        unsafe { command.pre_exec(move || detach(parent, nice)) };
        command.spawn()
    }
}

/// Makes a process of its own out of the copy of a Postgres worker.
fn detach(parent: u32, nice: i32) -> io::Result<()> {
    // SAFETY: system calls with valid arguments. Descriptors are marked to be closed at exec instead of being closed,
    // since the standard library still needs one to report a failed exec.
    unsafe {
        let mut none: libc::sigset_t = std::mem::zeroed();
        libc::sigemptyset(&mut none);
        libc::sigprocmask(libc::SIG_SETMASK, &none, std::ptr::null_mut());
        // By system call, since the C library refuses the two signals that it keeps for itself. All zero is SIG_DFL.
        let default = [0_u64; 4];
        for signal in 1..=SIGNALS {
            libc::syscall(libc::SYS_rt_sigaction, signal, default.as_ptr(), 0_usize, size_of::<u64>());
        }
        libc::syscall(libc::SYS_close_range, 3, libc::c_uint::MAX, libc::CLOSE_RANGE_CLOEXEC);
        if libc::prctl(libc::PR_SET_PDEATHSIG, libc::SIGKILL) != 0 {
            return Err(io::Error::last_os_error());
        }
        // The parent may have died before the line above took effect.
        if libc::getppid() as u32 != parent {
            libc::_exit(0);
        }
        let mut files: libc::rlimit = std::mem::zeroed();
        if libc::getrlimit(libc::RLIMIT_NOFILE, &mut files) == 0 {
            files.rlim_cur = files.rlim_max;
            libc::setrlimit(libc::RLIMIT_NOFILE, &files);
        }
        if nice != 0 {
            libc::setpriority(libc::PRIO_PROCESS, 0, nice);
        }
    }
    Ok(())
}
