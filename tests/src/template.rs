//! A data directory that initdb creates once, and which is copied for each server.

use crate::Result;
use crate::install::Installation;
use crate::server::{open_folder, run};
use std::fmt::Write as _;
use std::fs;
use std::path::PathBuf;
use std::sync::{Mutex, PoisonError};
use tempfile::TempDir;

/// Settings of every test server.
const SETTINGS: &[(&str, &str)] = &[
    ("listen_addresses", "''"),
    ("shared_preload_libraries", "''"),
    ("fsync", "off"),
    ("shared_buffers", "64MB"),
    ("max_connections", "60"),
    ("log_line_prefix", "'%m [%p] '"),
];

static TEMPLATE: Mutex<Option<TempDir>> = Mutex::new(None);

/// The data directory to copy.
pub fn data_directory(install: &Installation) -> Result<PathBuf> {
    let mut slot = TEMPLATE.lock().unwrap_or_else(PoisonError::into_inner);
    if let Some(folder) = &*slot {
        return Ok(folder.path().join("data"));
    }
    Ok(slot.insert(make(install, &[])?).path().join("data"))
}

/// Removes the template.
pub fn remove() {
    TEMPLATE.lock().unwrap_or_else(PoisonError::into_inner).take();
}

/// Creates a new data directory with further options of initdb, as `data` in a new folder.
pub fn make(install: &Installation, options: &[&str]) -> Result<TempDir> {
    let folder = open_folder()?;
    let data = folder.path().join("data");
    let mut initdb = install.command("initdb")?;
    initdb.args([
        "--no-sync",
        "--auth=trust",
        "--username=postgres",
        "--encoding=UTF8",
        "--locale=C",
        "--pgdata",
    ]);
    run(initdb.arg(&data).args(options))?;
    let path = data.join("postgresql.conf");
    let mut text = fs::read_to_string(&path)?;
    for (name, value) in SETTINGS {
        writeln!(text, "{name} = {value}")?;
    }
    let zone = std::env::var("RAGSTONE_TEST_TIMEZONE").unwrap_or_else(|_| "UTC".to_owned());
    writeln!(text, "timezone = '{zone}'")?;
    fs::write(path, text)?;
    Ok(folder)
}
