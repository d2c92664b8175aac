//! A very cheap model, for figures that do not depend on the meaning of vectors.

use crate::reference::write_seeded_model;
use anyhow::Result;
use ragstone_tests::install::DEFAULT_MODEL;
use ragstone_tests::server::{Server, copy_for_server, give_to_server};
use std::fs;
use std::path::PathBuf;

/// Its name.
pub const SEEDED: &str = "seeded";

/// Creates a models folder beside the server with the default model and the seeded model.
pub fn models_folder(server: &Server) -> Result<PathBuf> {
    let models = server.folder().join("models");
    fs::create_dir(&models)?;
    give_to_server(&models)?;
    let default = server.install.default_model();
    copy_for_server(&default, &models.join(DEFAULT_MODEL))?;
    let made = tempfile::tempdir()?;
    write_seeded_model(&default, &made.path().join(SEEDED))?;
    let target = models.join(SEEDED);
    fs::create_dir(&target)?;
    for entry in fs::read_dir(made.path().join(SEEDED))? {
        let entry = entry?;
        fs::copy(entry.path(), target.join(entry.file_name()))?;
    }
    Ok(models)
}
