//! PgBouncer in front of a server, as used by applications with many connections.

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

/// The port in the name of the pooler's socket.
pub const POOLED: u16 = 6432;

/// A PgBouncer in transaction mode: a client gets a server connection when it starts a transaction, and
/// returns it at the transaction's end. Dropping it ends the process.
#[derive(Debug)]
pub struct PgBouncer {
    folder: PathBuf,
    process: Child,
}

impl PgBouncer {
    /// Starts one with `connections` server connections for each database and role; `roles` may connect.
    /// [`NotRun`] if there is no PgBouncer: the environment variable `RAGSTONE_PGBOUNCER` names the program;
    /// otherwise Debian's location is used.
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

    /// A client connection. Only statements that are sent in one message, by `simple_query` or
    /// `batch_execute`, use the server connection of a single transaction: other statements are prepared in
    /// one transaction and executed in the next.
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

/// A copy of the program for another user: PgBouncer refuses to run as root, and other users cannot enter
/// root's cache.
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
