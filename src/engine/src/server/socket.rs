//! The socket: one engine per folder, nobody else's clients.

use std::{
    fs::{self, File, OpenOptions},
    os::unix::fs::OpenOptionsExt,
    path::Path,
};

use ragstone_core::protocol::{lock_name, socket_name};
use rustix::{
    fs::{FlockOperation, Mode, flock},
    io::Errno,
};
use tokio::net::{UnixListener, UnixSocket, UnixStream};

use super::ServeError;

/// The lock, to be kept while serving, and the listening socket.
///
/// # Errors
/// Another engine holds the lock, or the folder cannot be written.
pub fn listen(directory: &Path) -> Result<(File, UnixListener), ServeError> {
    let failed = |reason: String| ServeError::Socket { directory: directory.display().to_string(), reason };
    let lock = OpenOptions::new()
        .create(true)
        .truncate(false)
        .write(true)
        .mode(0o600)
        .open(directory.join(lock_name()))
        .map_err(|error| failed(error.to_string()))?;
    match flock(&lock, FlockOperation::NonBlockingLockExclusive) {
        Ok(()) => {}
        Err(Errno::WOULDBLOCK) => return Err(ServeError::Held(directory.display().to_string())),
        Err(error) => return Err(failed(error.to_string())),
    }
    // Whatever is there was left by an engine that died: the lock says so.
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

/// Whether the client runs as the same user as this process (SO_PEERCRED).
pub fn is_same_user(stream: &UnixStream) -> bool {
    stream.peer_cred().is_ok_and(|peer| peer.uid() == rustix::process::geteuid().as_raw())
}

/// Clients that may wait to be accepted; the system cuts it to net.core.somaxconn.
const BACKLOG: u32 = 4096;
