//! PgBouncer before a server, as applications with many connections have it.

use crate::Result;
use crate::harness::NotRun;
use crate::install::run_as_server_user;
use crate::process::Process;
use crate::server::{PORT, Server, give_to_server};
use crate::session::Session;
use crate::wait;
use anyhow::{Context, bail};
use nix::sys::signal::Signal;
use std::env;
use std::fs::{self, File};
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

/// The port in the pooler's socket's name.
pub const POOLED: u16 = 6432;

/// A PgBouncer that gives a connection to the server to whoever begins a transaction, and takes it back at its end. It ends when
/// it is dropped.
#[derive(Debug)]
pub struct PgBouncer {
    folder: PathBuf,
    process: Child,
}

impl PgBouncer {
    /// One with so many connections to each database for each role; these roles may connect. [`NotRun`] where there is no
    /// PgBouncer: the environment variable `RAGSTONE_PGBOUNCER` names the program, or it is where Debian puts it.
    pub async fn before(server: &Server, connections: u32, roles: &[&str]) -> Result<Self> {
        let program = program()?;
        let folder = server.folder().to_owned();
        let known: String = roles.iter().map(|role| format!("\"{role}\" \"\"\n")).collect();
        let users = written(&folder, "pgbouncer.users", &known)?;
        let config = format!(
            "[databases]\n* = host={folder} port={PORT}\n[pgbouncer]\npool_mode = transaction\nauth_type = trust\n\
             auth_file = {users}\nlisten_port = {POOLED}\nunix_socket_dir = {folder}\ndefault_pool_size = {connections}\n\
             ignore_startup_parameters = extra_float_digits\n",
            folder = folder.display(),
            users = users.display(),
        );
        let config = written(&folder, "pgbouncer.ini", &config)?;
        let log = File::create(folder.join("pgbouncer.log"))?;
        let mut command = Command::new(copied(&program, &folder)?);
        run_as_server_user(&mut command)?;
        // The libraries of a copy that was not installed are beside it.
        command.env("LD_LIBRARY_PATH", folder.join("pgbouncer")).arg(config);
        let process = command.stdin(Stdio::null()).stdout(log.try_clone()?).stderr(log).spawn()?;
        let mut bouncer = Self { folder, process };
        wait::until("PgBouncer answers", async || {
            if let Some(status) = bouncer.process.try_wait()? {
                bail!(
                    "it ended with {status}: {}",
                    fs::read_to_string(bouncer.folder.join("pgbouncer.log"))?
                );
            }
            Ok(UnixStream::connect(bouncer.folder.join(format!(".s.PGSQL.{POOLED}"))).ok().map(|_| ()))
        })
        .await?;
        Ok(bouncer)
    }

    /// A client's connection. Only statements that are sent whole, by `simple_query` or `batch_execute`, need a connection to the
    /// server for one transaction alone: others are prepared in one and executed in the next.
    pub async fn connect_as(&self, role: &str, database: &str) -> Result<Session> {
        Session::open_at(&self.folder, POOLED, role, database).await
    }
}

impl Drop for PgBouncer {
    fn drop(&mut self) {
        Process(self.process.id().cast_signed()).signal(Signal::SIGINT);
        let _ = self.process.wait();
    }
}

fn program() -> Result<PathBuf> {
    let named = env::var_os("RAGSTONE_PGBOUNCER").map(PathBuf::from);
    let program = named.unwrap_or_else(|| PathBuf::from("/usr/sbin/pgbouncer"));
    if program.exists() {
        return Ok(program);
    }
    Err(NotRun(
        "there is no PgBouncer, and RAGSTONE_PGBOUNCER names none: setup/pgbouncer.sh fetches one".into(),
    )
    .into())
}

/// It refuses to run as root, and nobody else may enter root's cache.
fn copied(program: &Path, folder: &Path) -> Result<PathBuf> {
    let to = folder.join("pgbouncer");
    fs::create_dir(&to)?;
    let from = program.parent().context("a program in no folder")?;
    for file in fs::read_dir(from)?.flatten() {
        let name = file.file_name();
        if name == "pgbouncer" || name.to_string_lossy().contains(".so") {
            fs::copy(file.path(), to.join(name))?;
        }
    }
    Ok(to.join("pgbouncer"))
}

fn written(folder: &Path, name: &str, text: &str) -> Result<PathBuf> {
    let path = folder.join(name);
    fs::write(&path, text)?;
    give_to_server(&path)?;
    Ok(path)
}
