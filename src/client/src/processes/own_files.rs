//! Files in the socket directory. Only the server's user may write there: another user could create symbolic links, through
//! which the server would read and write other files.

use crate::processes::system::own_user;
use crate::settings::paths;
use std::fs::{File, OpenOptions};
use std::io::{self, ErrorKind};
use std::os::unix::fs::{MetadataExt, OpenOptionsExt};
use std::path::Path;

/// Opens a file for writing, and creates it if it is missing. Its content is kept.
///
/// # Errors
/// The system's error; `PermissionDenied` if the folder fails [`check_directory`].
pub fn open(path: &Path) -> io::Result<File> {
    check_directory()?;
    options().create(true).truncate(false).open(path)
}

/// Creates an empty file.
///
/// # Errors
/// The system's error; `AlreadyExists` if the file exists; `PermissionDenied` if the folder fails [`check_directory`].
pub fn create_new(path: &Path) -> io::Result<File> {
    check_directory()?;
    options().create_new(true).open(path)
}

fn options() -> OpenOptions {
    let mut options = OpenOptions::new();
    options.write(true).mode(0o600).custom_flags(libc::O_NOFOLLOW);
    options
}

/// Checks that the socket directory belongs to the server's user, and that no other user may write in it.
///
/// # Errors
/// The system's error; `PermissionDenied` with a description of the problem.
pub fn check_directory() -> io::Result<()> {
    let found = paths::socket_directory().metadata()?;
    let wrong = if !found.is_dir() {
        "it is not a folder"
    } else if found.uid() != own_user() {
        "it belongs to another user than the server"
    } else if found.mode() & 0o022 != 0 {
        "other users may write in it"
    } else {
        return Ok(());
    };
    Err(io::Error::new(ErrorKind::PermissionDenied, wrong))
}
