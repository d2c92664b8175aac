//! The directories of the server's installation, as the server found them at its start.

use pgrx::pg_sys;
use std::ffi::CStr;
use std::path::PathBuf;

/// The directory of loadable libraries (`pg_config --pkglibdir`).
pub fn library_directory() -> PathBuf {
    // SAFETY: pkglib_path is a terminated buffer that the server fills at its start.
    let path = unsafe { CStr::from_ptr(&raw const pg_sys::pkglib_path as *const _) };
    PathBuf::from(path.to_string_lossy().into_owned())
}

/// The directory of data that do not depend on the architecture (`pg_config --sharedir`).
pub fn share_directory() -> PathBuf {
    let mut path = [0; pg_sys::MAXPGPATH as usize];
    // SAFETY: my_exec_path is filled at the server's start, and the buffer has the length that the function expects.
    let path = unsafe {
        pg_sys::get_share_path(&raw const pg_sys::my_exec_path as *const _, path.as_mut_ptr());
        CStr::from_ptr(path.as_ptr())
    };
    PathBuf::from(path.to_string_lossy().into_owned())
}
