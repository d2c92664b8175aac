//! The process that starts children. Its standard input is the engine's control socket.

use std::{
    fs::File,
    io::{self, Read, Write},
    os::{
        fd::{AsFd, OwnedFd},
        unix::process::CommandExt,
    },
    process::{Child, Command, Stdio},
    thread,
    time::{Duration, Instant},
};

use rustix::{
    event::{PollFd, PollFlags, Timespec, poll},
    io::Errno,
    net::{AddressFamily, SocketFlags, SocketType, socketpair},
    process::{Signal, set_parent_process_death_signal},
};

use super::{
    control::{self, ChildLimits},
    ending::Ending,
};

/// The program that this process runs, even if its file was replaced.
const THIS_PROGRAM: &str = "/proc/self/exe";

/// Starts the launcher, and returns the engine's end of its control socket. Call it before the engine enters its sandbox and
/// limits its memory.
///
/// # Errors
/// The system's message.
pub fn start() -> io::Result<OwnedFd> {
    let (own, other) = socketpair(AddressFamily::UNIX, SocketType::SEQPACKET, SocketFlags::CLOEXEC, None)?;
    // It ends with the engine, which therefore need not wait for it.
    program("parse-launcher").stdin(other).stdout(Stdio::null()).spawn()?;
    Ok(own)
}

fn program(subcommand: &str) -> Command {
    let mut command = Command::new(THIS_PROGRAM);
    // The environment of the server has nothing that a parser needs. Arenas for each thread would take address space.
    command.arg0("ragstone-engine").arg(subcommand).env_clear().env("MALLOC_ARENA_MAX", "1").current_dir("/");
    command
}

/// Starts children until the engine ends. Returns the exit code.
pub fn run() -> i32 {
    if set_parent_process_death_signal(Some(Signal::KILL)).is_err() {
        return 1;
    }
    loop {
        match control::receive(io::stdin().as_fd()) {
            Ok(Some((limits, socket))) => {
                // The thread that starts a child lives longer than the child, which dies with it.
                let serving =
                    thread::Builder::new().stack_size(64 << 10).spawn(move || serve(limits, socket));
                if let Err(error) = serving {
                    eprintln!("ragstone-engine: cannot start a thread: {error}");
                }
            }
            // The engine has ended, also if that was before this process asked to be told.
            Ok(None) => return 0,
            Err(error) => {
                eprintln!("ragstone-engine: the launcher of parsers cannot read: {error}");
                return 1;
            }
        }
    }
}

/// Runs a child that gets the socket, and tells the engine how it ended.
fn serve(limits: ChildLimits, socket: OwnedFd) {
    let ending = launch(limits, &socket).map_or_else(
        |error| {
            eprintln!("ragstone-engine: cannot start a parser: {error}");
            Ending::NotStarted
        },
        |child| watch(child, &socket, Duration::from_millis(limits.timeout_ms.into())),
    );
    // The engine may have closed the other end.
    let _ = File::from(socket).write_all(&[ending.to_byte()]);
}

fn launch(limits: ChildLimits, socket: &OwnedFd) -> io::Result<Child> {
    program("parse-child")
        .args(["--memory-mb", &limits.memory_mb.to_string(), "--timeout-ms", &limits.timeout_ms.to_string()])
        .stdin(socket.try_clone()?)
        .stdout(socket.try_clone()?)
        .stderr(Stdio::piped())
        .spawn()
}

/// Waits for the end of a child. Kills it at the time limit, and when the engine has closed its end of the socket.
fn watch(mut child: Child, socket: &OwnedFd, timeout: Duration) -> Ending {
    let deadline = Instant::now() + timeout;
    let mut words = LastWords::default();
    let mut stderr = child.stderr.take();
    let mut out_of_time = false;
    while let Some(pipe) = &mut stderr {
        let left = deadline.saturating_duration_since(Instant::now());
        let mut watched = [
            PollFd::new(pipe, PollFlags::IN),
            // Only that the other end is closed matters here, and that is always reported.
            PollFd::new(socket, PollFlags::empty()),
        ];
        let polled = poll(&mut watched, Timespec::try_from(left).ok().as_ref());
        let (has_words, is_abandoned) = (!watched[0].revents().is_empty(), !watched[1].revents().is_empty());
        out_of_time = left.is_zero();
        match polled {
            _ if out_of_time || is_abandoned => break,
            Err(Errno::INTR) => {}
            Err(_) => break,
            // The pipe is closed when the child has ended.
            Ok(_) if has_words && !words.read(pipe) => break,
            Ok(_) => {}
        }
    }
    // A child that has ended already keeps its status.
    let _ = child.kill();
    match child.wait() {
        _ if out_of_time => Ending::OutOfTime,
        Ok(status) => Ending::of(status, &words.0),
        Err(_) => Ending::Crashed,
    }
}

/// The beginning of what a child writes to standard error.
#[derive(Default)]
struct LastWords(Vec<u8>);

impl LastWords {
    /// Reads what there is. False at the end.
    fn read(&mut self, pipe: &mut impl Read) -> bool {
        let mut buffer = [0; 1024];
        match pipe.read(&mut buffer) {
            Ok(0) => false,
            Ok(length) => {
                // A flood of words leaves the last ones, which tell why it ended.
                self.0.extend_from_slice(&buffer[..length]);
                let surplus = self.0.len().saturating_sub(MAX_LAST_WORDS);
                self.0.drain(..surplus);
                true
            }
            Err(error) => error.kind() == io::ErrorKind::Interrupted,
        }
    }
}

const MAX_LAST_WORDS: usize = 4096;
