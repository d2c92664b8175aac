//! Files in the socket directory. It must be the server's own: whoever could write there could have the server follow his symbolic
//! links, and read and write other files.

use crate::processes::system::own_user;
use crate::settings::paths;
use std::fs::{File, OpenOptions};
use std::io::{self, ErrorKind};
use std::os::unix::fs::{MetadataExt, OpenOptionsExt};
use std::path::Path;

/// Opens a file for writing, which is made if it is missing. What is in it stays.
///
/// # Errors
/// The system's, or `PermissionDenied` if the folder is not the server's own.
pub fn open(path: &Path) -> io::Result<File> {
    check_directory()?;
    options().create(true).truncate(false).open(path)
}

/// Makes an empty file.
///
/// # Errors
/// The system's, `AlreadyExists` if there is one, or `PermissionDenied` if the folder is not the server's own.
pub fn create_new(path: &Path) -> io::Result<File> {
    check_directory()?;
    options().create_new(true).open(path)
}

fn options() -> OpenOptions {
    let mut options = OpenOptions::new();
    options.write(true).mode(0o600).custom_flags(libc::O_NOFOLLOW);
    options
}

/// Whether the socket directory belongs to the server's user, and nobody else may write in it.
///
/// # Errors
/// The system's, or `PermissionDenied` with what is wrong.
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
