//! File locks, which ensure that a server has one supervisor, and each place of a database one worker. They are POSIX
//! record locks: child processes do not inherit them, the kernel releases them, and the holder can be queried without
//! taking the lock.
//!
//! A process loses its lock when it closes any descriptor of the file. No function here therefore opens a file whose lock
//! this process holds; the list of held files answers queries about them.

use crate::processes::own_files;
use crate::settings::paths;
use std::fs::{self, File, Metadata, OpenOptions};
use std::io;
use std::os::fd::AsRawFd;
use std::os::unix::fs::MetadataExt;
use std::path::Path;
use std::sync::{Mutex, MutexGuard, PoisonError};

/// The files whose locks this process holds.
static HELD: Mutex<Vec<FileId>> = Mutex::new(Vec::new());

/// Device and inode of a file. They identify an open file, regardless of the path that leads to it, and even if there is none.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct FileId(u64, u64);

/// A lock that is held while the value lives.
pub struct FileLock {
    id: FileId,
    _file: File,
}

impl FileLock {
    /// Takes the lock; `None` if any process holds it, including this one.
    pub fn take(path: &Path) -> io::Result<Option<Self>> {
        loop {
            if is_held_here(path) {
                return Ok(None);
            }
            let file = own_files::open(path)?;
            let mut lock = whole_file();
            // SAFETY: the descriptor is open and the structure lives through the call.
            if unsafe { libc::fcntl(file.as_raw_fd(), libc::F_SETLK, &raw mut lock) } != 0 {
                return match io::Error::last_os_error() {
                    error if matches!(error.raw_os_error(), Some(libc::EACCES | libc::EAGAIN)) => Ok(None),
                    error => Err(error),
                };
            }
            // A lock on a file that was removed meanwhile does not exclude other processes.
            let id = FileId::of(&file.metadata()?);
            if FileId::at(path) == Some(id) {
                held().push(id);
                return Ok(Some(Self { id, _file: file }));
            }
        }
    }

    /// Removes the file if no process holds the lock. A process that tries to take the lock at that moment may fail.
    pub fn remove_if_free(path: &Path) {
        if let Ok(Some(_lock)) = Self::take(path) {
            let _ = fs::remove_file(path);
        }
    }

    /// The id of the process that holds the lock.
    pub fn holder(path: &Path) -> Option<i32> {
        if is_held_here(path) {
            return i32::try_from(std::process::id()).ok();
        }
        let file = OpenOptions::new().write(true).open(path).ok()?;
        let mut lock = whole_file();
        // SAFETY: the descriptor is open and the structure lives through the call.
        let asked = unsafe { libc::fcntl(file.as_raw_fd(), libc::F_GETLK, &raw mut lock) };
        (asked == 0 && lock.l_type != libc::F_UNLCK as libc::c_short).then_some(lock.l_pid)
    }
}

impl Drop for FileLock {
    fn drop(&mut self) {
        held().retain(|id| *id != self.id);
    }
}

impl FileId {
    fn of(file: &Metadata) -> Self {
        Self(file.dev(), file.ino())
    }

    fn at(path: &Path) -> Option<Self> {
        path.metadata().ok().map(|file| Self::of(&file))
    }
}

fn held() -> MutexGuard<'static, Vec<FileId>> {
    HELD.lock().unwrap_or_else(PoisonError::into_inner)
}

fn is_held_here(path: &Path) -> bool {
    let held = held();
    !held.is_empty() && FileId::at(path).is_some_and(|id| held.contains(&id))
}

fn whole_file() -> libc::flock {
    // SAFETY: an all-zero flock is a valid value; zero start and length mean the whole file.
    let mut lock: libc::flock = unsafe { std::mem::zeroed() };
    lock.l_type = libc::F_WRLCK as libc::c_short;
    lock.l_whence = libc::SEEK_SET as libc::c_short;
    lock
}

/// The extension's files whose names begin with a prefix; returns the rest of each name.
pub fn files_with_prefix(prefix: &str) -> impl Iterator<Item = String> {
    let stem = paths::socket().with_extension(prefix);
    let start = stem.file_name().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default();
    let entries = fs::read_dir(paths::socket_directory()).into_iter().flatten().flatten();
    entries.filter_map(move |entry| {
        entry.file_name().to_string_lossy().strip_prefix(start.as_str()).map(str::to_owned)
    })
}
