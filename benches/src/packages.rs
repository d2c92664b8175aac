//! Files of Debian packages as data for benches.

use anyhow::Result;
use ragstone_tests::harness::NotRun;
use std::path::{Path, PathBuf};
use std::process::Command;

/// The cache folder, `RAGSTONE_CACHE`, as in the set-up scripts.
pub fn cache() -> PathBuf {
    let home = || PathBuf::from(std::env::var_os("HOME").unwrap_or_default()).join(".cache");
    let base = || std::env::var_os("XDG_CACHE_HOME").map_or_else(home, PathBuf::from).join("ragstone");
    std::env::var_os("RAGSTONE_CACHE").map_or_else(base, PathBuf::from)
}

/// The folder of a package's files below a folder of the cache; apt downloads the package, which is unpacked
/// without being installed.
pub fn unpacked(package: &str, kind: &str) -> Result<PathBuf> {
    let folder = cache().join(kind).join(package);
    if folder.is_dir() {
        return Ok(folder);
    }
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("package.sh");
    let status = Command::new(script).arg(package).arg(&folder).status()?;
    if !status.success() {
        return Err(NotRun(format!("the package {package} cannot be had")).into());
    }
    Ok(folder)
}
