//! The PostgreSQL manual as the set-up converts it: one row per page.

use crate::Result;
use crate::harness::NotRun;
use anyhow::ensure;
use serde::Deserialize;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

/// A page of the manual.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
pub struct Page {
    /// Its heading.
    pub title: String,
    /// Name of its file.
    pub url: String,
    /// Its text.
    pub body: String,
}

/// Folder of the manual's HTML pages: `RAGSTONE_MANUAL_HTML`, or the location in Debian's package.
pub fn html_folder() -> PathBuf {
    let debian = || PathBuf::from("/usr/share/doc/postgresql-doc-15/html");
    std::env::var_os("RAGSTONE_MANUAL_HTML").map_or_else(debian, PathBuf::from)
}

/// All pages, as `setup/manual.py` converts them.
pub fn pages() -> Result<Vec<Page>> {
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("../setup/manual.py");
    let folder = html_folder();
    if !folder.is_dir() {
        return Err(NotRun(format!("there is no manual in {}", folder.display())).into());
    }
    let output = Command::new("python3").arg(&script).arg(folder).stderr(Stdio::inherit()).output()?;
    ensure!(output.status.success(), "{} ended with {}", script.display(), output.status);
    csv::Reader::from_reader(output.stdout.as_slice()).deserialize().map(|page| Ok(page?)).collect()
}
