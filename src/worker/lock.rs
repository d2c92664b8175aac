//! The lock by which a server has one supervisor. It is a POSIX record lock: a child does not inherit it, and who
//! only wants to know whether it is held need not take it.

use crate::pg::installation;
use std::fs::{File, OpenOptions};
use std::io;
use std::os::fd::AsRawFd;
use std::os::unix::fs::OpenOptionsExt;

/// Held as long as the value lives.
pub struct SupervisorLock {
    _file: File,
}

impl SupervisorLock {
    /// The lock, or nothing where another supervisor holds it.
    pub fn take() -> io::Result<Option<Self>> {
        let file = open()?;
        let mut lock = whole_file();
        // SAFETY: the descriptor is open and the structure lives through the call.
        match unsafe { libc::fcntl(file.as_raw_fd(), libc::F_SETLK, &raw mut lock) } {
            0 => Ok(Some(Self { _file: file })),
            _ => match io::Error::last_os_error() {
                error if matches!(error.raw_os_error(), Some(libc::EACCES | libc::EAGAIN)) => Ok(None),
                error => Err(error),
            },
        }
    }

    /// Whether a supervisor of another process lives.
    pub fn is_held() -> bool {
        let Ok(file) = open() else { return false };
        let mut lock = whole_file();
        // SAFETY: the descriptor is open and the structure lives through the call.
        let asked = unsafe { libc::fcntl(file.as_raw_fd(), libc::F_GETLK, &raw mut lock) };
        asked == 0 && lock.l_type != libc::F_UNLCK as libc::c_short
    }
}

fn open() -> io::Result<File> {
    OpenOptions::new()
        .write(true)
        .create(true)
        .truncate(false)
        .mode(0o600)
        .open(installation::supervisor_lock())
}

fn whole_file() -> libc::flock {
    // SAFETY: an all-zero flock is a valid value; zero start and length mean the whole file.
    let mut lock: libc::flock = unsafe { std::mem::zeroed() };
    lock.l_type = libc::F_WRLCK as libc::c_short;
    lock.l_whence = libc::SEEK_SET as libc::c_short;
    lock
}
