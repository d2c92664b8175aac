//! The PostgreSQL installation under test.

use crate::Result;
use crate::harness::NotRun;
use anyhow::{Context, ensure};
use nix::unistd::{Gid, Uid, User};
use std::os::unix::process::CommandExt;
use std::path::PathBuf;
use std::process::Command;

/// Name of the model that the set-up installs.
pub const DEFAULT_MODEL: &str = "all-MiniLM-L6-v2";

/// The paths of a PostgreSQL installation.
#[derive(Debug, Clone)]
pub struct Installation {
    /// Folder of the server's programs.
    pub bin: PathBuf,
    /// Folder of the server's loadable modules.
    pub library: PathBuf,
    /// Folder of extension scripts and of the models.
    pub share: PathBuf,
    /// Major version; 15 for PostgreSQL 15.20.
    pub major: u32,
}

impl Installation {
    /// The installation that the environment variable `PG_CONFIG` names, otherwise PostgreSQL 15 in Debian's
    /// location. Ragstone must be installed there.
    pub fn find() -> Result<Self> {
        let installation = Self::of(&pg_config())?;
        let module = installation.library.join("ragstone.so");
        ensure!(module.exists(), "{} is missing: run `make install` first", module.display());
        Ok(installation)
    }

    /// The installation of a newer major version, with Ragstone, that the environment variable
    /// `RAGSTONE_NEWER_PG_CONFIG` names; [`NotRun`] if it is not set.
    pub fn newer() -> Result<Self> {
        let name = "RAGSTONE_NEWER_PG_CONFIG";
        let pg_config =
            std::env::var(name).map_err(|_| NotRun(format!("{name} names no newer PostgreSQL")))?;
        Self::of(&pg_config)
    }

    /// The installation of a `pg_config`.
    pub fn of(pg_config: &str) -> Result<Self> {
        let ask = |option: &str| -> Result<String> {
            let output = Command::new(pg_config)
                .arg(option)
                .output()
                .with_context(|| format!("cannot run {pg_config}: set PG_CONFIG"))?;
            Ok(String::from_utf8(output.stdout)?.trim().to_owned())
        };
        let version = ask("--version")?;
        let number = version.split_whitespace().nth(1).unwrap_or_default();
        let digits: String = number.chars().take_while(char::is_ascii_digit).collect();
        Ok(Self {
            bin: ask("--bindir")?.into(),
            library: ask("--pkglibdir")?.into(),
            share: ask("--sharedir")?.into(),
            major: digits.parse().with_context(|| format!("no version in {version:?}"))?,
        })
    }

    /// Folder of the installed models.
    pub fn models(&self) -> PathBuf {
        self.share.join("ragstone/models")
    }

    /// Folder of the default model.
    pub fn default_model(&self) -> PathBuf {
        self.models().join(DEFAULT_MODEL)
    }

    /// A program of the server, to be run as a user that `initdb` and `postgres` accept.
    pub fn command(&self, program: &str) -> Result<Command> {
        let mut command = Command::new(self.bin.join(program));
        run_as_server_user(&mut command)?;
        command.env("LC_ALL", "C").env_remove("PGDATABASE").env_remove("PGOPTIONS");
        // With this variable a backend would resolve the symbols of a backtrace at each error, which would
        // add to the times that tests measure.
        command.env_remove("RUST_BACKTRACE");
        Ok(command)
    }
}

fn pg_config() -> String {
    let debian = "/usr/lib/postgresql/15/bin/pg_config";
    std::env::var("PG_CONFIG").unwrap_or_else(|_| debian.to_owned())
}

/// The user and group that run servers if the tests run as root, which PostgreSQL refuses: `postgres`, or the
/// user that `RAGSTONE_TEST_USER` names. None if the tests do not run as root.
pub fn server_user() -> Result<Option<(Uid, Gid)>> {
    if !Uid::effective().is_root() {
        return Ok(None);
    }
    let name = std::env::var("RAGSTONE_TEST_USER").unwrap_or_else(|_| "postgres".to_owned());
    let user =
        User::from_name(&name)?.with_context(|| format!("there is no user {name:?} to run servers as"))?;
    Ok(Some((user.uid, user.gid)))
}

/// A user that is neither root nor the servers' user, for tests of denied access. [`NotRun`] if the tests
/// cannot switch users.
pub fn stranger() -> Result<(Uid, Gid)> {
    let server = server_user()?.ok_or_else(|| NotRun("only root can act as another user".to_owned()))?;
    let user = User::from_name("nobody")?.filter(|user| user.uid != server.0);
    let user = user.ok_or_else(|| NotRun("there is no user \"nobody\"".to_owned()))?;
    Ok((user.uid, user.gid))
}

/// Makes `command` run as [`server_user`], in a folder that this user may enter.
pub fn run_as_server_user(command: &mut Command) -> Result<()> {
    command.current_dir("/");
    if let Some((uid, gid)) = server_user()? {
        command.uid(uid.as_raw()).gid(gid.as_raw());
    }
    Ok(())
}
