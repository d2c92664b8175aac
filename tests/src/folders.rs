//! Folders for servers, and running programs to completion.

use crate::Result;
use crate::install::{run_as_server_user, server_user};
use anyhow::{Context, ensure};
use nix::sys::statvfs::{FsFlags, statvfs};
use std::fs;
use std::os::unix::fs::{PermissionsExt, chown};
use std::path::Path;
use std::process::Command;
use tempfile::TempDir;

/// The folder for servers' files, if it has enough room. It is in memory, because the hundreds of databases
/// of the tests have hundreds of thousands of files, which some file systems need minutes to remove.
const MEMORY_FOLDER: &str = "/dev/shm";

/// Room that all servers together may need, in bytes.
const MEMORY_FOLDER_MIN_BYTES: u64 = 8 << 30;

fn has_room(folder: &Path) -> bool {
    statvfs(folder).is_ok_and(|status| {
        status.blocks_available() * status.fragment_size() >= MEMORY_FOLDER_MIN_BYTES
            && !status.flags().contains(FsFlags::ST_NOEXEC)
    })
}

/// A new folder that the server's user owns. Its path is short, because socket paths are limited to 107
/// bytes. It is in `TMPDIR` if that is set.
pub fn open_folder() -> Result<TempDir> {
    let memory = Path::new(MEMORY_FOLDER);
    let is_chosen = std::env::var_os("TMPDIR").is_some();
    let parent = if !is_chosen && has_room(memory) { memory.to_owned() } else { std::env::temp_dir() };
    let folder = tempfile::Builder::new().prefix("rag").rand_bytes(5).tempdir_in(parent)?;
    fs::set_permissions(folder.path(), fs::Permissions::from_mode(0o755))?;
    give_to_server(folder.path())?;
    Ok(folder)
}

/// Changes the owner of a file or folder to the server's user.
pub fn give_to_server(path: &Path) -> Result<()> {
    if let Some((uid, gid)) = server_user()? {
        chown(path, Some(uid.as_raw()), Some(gid.as_raw()))?;
    }
    Ok(())
}

/// Copies a folder; the copy belongs to the server's user.
pub fn copy_for_server(from: &Path, to: &Path) -> Result<()> {
    let mut copy = Command::new("cp");
    run_as_server_user(&mut copy)?;
    run(copy.args(["--recursive", "--preserve=mode", "--no-target-directory"]).arg(from).arg(to))?;
    Ok(())
}

/// Runs a program to completion and returns its output; an error if the program fails.
pub fn run(command: &mut Command) -> Result<String> {
    let output = command.output().with_context(|| format!("cannot run {:?}", command.get_program()))?;
    let said = String::from_utf8_lossy(&[output.stdout, output.stderr].concat()).into_owned();
    ensure!(output.status.success(), "{:?} ended with {}: {said}", command.get_program(), output.status);
    Ok(said)
}
