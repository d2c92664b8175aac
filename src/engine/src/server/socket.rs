//! The socket: one engine per folder, and clients of the same system user only.

use std::{
    fs::{self, File, OpenOptions},
    os::unix::fs::{MetadataExt, OpenOptionsExt},
    path::Path,
};

use ragstone_core::protocol::{lock_name, socket_name};
use rustix::{
    fs::{FlockOperation, Mode, OFlags, flock},
    io::Errno,
};
use tokio::net::{UnixListener, UnixSocket, UnixStream};

/// Why an engine cannot begin to serve.
#[derive(Debug, thiserror::Error)]
pub enum ServeError {
    /// Another engine of this protocol version serves in this folder.
    #[error("another engine already serves in {0}")]
    AlreadyServed(String),
    /// The socket cannot be created.
    #[error("cannot listen in {directory}: {reason}")]
    Socket {
        /// The socket directory.
        directory: String,
        /// The system's message.
        reason: String,
    },
    /// A system call that does not concern the socket failed.
    #[error("cannot {0}")]
    System(String),
}

impl ServeError {
    /// The process's exit code (sysexits.h).
    pub fn exit_code(&self) -> i32 {
        match self {
            Self::AlreadyServed(_) => 75,
            Self::Socket { .. } | Self::System(_) => 78,
        }
    }
}

/// Locks the folder and opens the socket. The returned file holds the lock.
///
/// # Errors
/// Another engine holds the lock, or the folder cannot be written.
pub fn listen(directory: &Path) -> Result<(File, UnixListener), ServeError> {
    let failed = |reason: String| ServeError::Socket { directory: directory.display().to_string(), reason };
    check_owner(directory).map_err(failed)?;
    let lock = OpenOptions::new()
        .create(true)
        .truncate(false)
        .write(true)
        .mode(0o600)
        .custom_flags(OFlags::NOFOLLOW.bits().cast_signed())
        .open(directory.join(lock_name()))
        .map_err(|error| failed(error.to_string()))?;
    match flock(&lock, FlockOperation::NonBlockingLockExclusive) {
        Ok(()) => {}
        Err(Errno::WOULDBLOCK) => return Err(ServeError::AlreadyServed(directory.display().to_string())),
        Err(error) => return Err(failed(error.to_string())),
    }
    // An existing socket was left by an engine that died, since no other engine holds the lock.
    let path = directory.join(socket_name());
    match fs::remove_file(&path) {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => return Err(failed(error.to_string())),
        _ => {}
    }
    rustix::process::umask(Mode::from_raw_mode(0o177));
    let listener = UnixSocket::new_stream()
        .and_then(|socket| {
            socket.bind(&path)?;
            socket.listen(BACKLOG)
        })
        .map_err(|error| failed(error.to_string()))?;
    rustix::process::umask(Mode::from_raw_mode(0o077));
    Ok((lock, listener))
}

/// Checks that only this user can write in the folder: another user could put symbolic links or a socket there.
fn check_owner(directory: &Path) -> Result<(), String> {
    let found = directory.metadata().map_err(|error| error.to_string())?;
    if found.uid() != rustix::process::geteuid().as_raw() {
        return Err("it belongs to another user".to_owned());
    }
    if found.mode() & 0o022 != 0 {
        return Err("other users may write in it".to_owned());
    }
    Ok(())
}

/// Whether the client runs as the same user as this process (SO_PEERCRED).
pub fn is_same_user(stream: &UnixStream) -> bool {
    stream.peer_cred().is_ok_and(|peer| peer.uid() == rustix::process::geteuid().as_raw())
}

/// Connections that may wait to be accepted; the kernel's own limit is net.core.somaxconn.
const BACKLOG: u32 = 4096;
