//! Temporary PostgreSQL servers.

use crate::Result;
pub use crate::folders::{copy_for_server, give_to_server, open_folder, run};
use crate::install::Installation;
use crate::process::Process;
use crate::session::Session;
use crate::template;
use crate::wait;
use anyhow::{Context, bail};
use nix::sys::signal::Signal;
use std::cell::RefCell;
use std::fmt::Write as _;
use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Mutex, PoisonError, mpsc};
use std::thread;
use std::time::Duration;
use tempfile::TempDir;

/// The port in the socket's name; no server listens on the network.
pub const PORT: u16 = 5432;

/// Settings of a server.
#[derive(Debug, Default, Clone)]
pub struct Options {
    settings: Vec<(String, String)>,
}

impl Options {
    /// A line for postgresql.conf; the value is quoted.
    #[must_use]
    pub fn set(mut self, name: &str, value: &str) -> Self {
        self.settings.push((name.to_owned(), format!("'{}'", value.replace('\'', "''"))));
        self
    }
}

/// A running PostgreSQL server in a folder of its own. Dropping it stops the server.
#[derive(Debug)]
pub struct Server {
    /// The installation that the server uses.
    pub install: Installation,
    folder: TempDir,
    process: Mutex<Option<Child>>,
    databases: AtomicU32,
    environment: Vec<(String, String)>,
}

impl Server {
    /// A new server with default settings.
    pub async fn start() -> Result<Self> {
        Self::start_with(Options::default()).await
    }

    /// A new server.
    pub async fn start_with(options: Options) -> Result<Self> {
        let server = Self::prepare(options)?;
        server.launch()?;
        server.wait_ready().await?;
        Ok(server)
    }

    /// A new server that is not started yet.
    pub fn prepare(options: Options) -> Result<Self> {
        let install = Installation::find()?;
        let folder = open_folder()?;
        copy_for_server(&template::data_directory(&install)?, &folder.path().join("data"))?;
        let server = Self::in_folder(install, folder);
        server.configure(&options)?;
        Ok(server)
    }

    /// A new server of another installation.
    pub async fn start_of(install: Installation, options: &Options) -> Result<Self> {
        let folder = template::make(&install, &[])?;
        let server = Self::in_folder(install, folder);
        server.configure(options)?;
        server.launch()?;
        server.wait_ready().await?;
        Ok(server)
    }

    /// A hot standby of `primary`, by streaming replication.
    pub async fn standby_of(primary: &Self) -> Result<Self> {
        let folder = open_folder()?;
        let mut backup = primary.client("pg_basebackup")?;
        backup.args(["--write-recovery-conf", "--checkpoint=fast", "--no-sync", "--pgdata"]);
        run(backup.arg(folder.path().join("data")))?;
        let server = Self::in_folder(primary.install.clone(), folder);
        server.launch()?;
        server.wait_ready().await?;
        Ok(server)
    }

    /// The result of `pg_upgrade` for a stopped server, with another installation. The new server is not
    /// started yet.
    pub fn upgraded_from(old: &Self, install: Installation) -> Result<Self> {
        // Since PostgreSQL 18 initdb enables checksums, and pg_upgrade requires the same setting in both
        // servers.
        let options: &[&str] = if install.major < 18 { &[] } else { &["--no-data-checksums"] };
        let folder = template::make(&install, options)?;
        let mut upgrade = install.command("pg_upgrade")?;
        // pg_upgrade writes scripts to its working directory.
        upgrade.current_dir(folder.path()).args(["--username", "postgres", "--old-bindir"]);
        upgrade.arg(&old.install.bin).arg("--new-bindir").arg(&install.bin);
        upgrade.arg("--old-datadir").arg(old.data()).arg("--new-datadir").arg(folder.path().join("data"));
        run(upgrade.arg("--socketdir").arg(folder.path())).with_context(|| restored_with(folder.path()))?;
        Ok(Self::in_folder(install, folder))
    }

    fn in_folder(install: Installation, folder: TempDir) -> Self {
        Self {
            install,
            folder,
            process: Mutex::new(None),
            databases: AtomicU32::new(0),
            environment: Vec::new(),
        }
    }

    /// Sets an environment variable for a server that is not started yet.
    #[must_use]
    pub fn with_environment(mut self, name: &str, value: &str) -> Self {
        self.environment.push((name.to_owned(), value.to_owned()));
        self
    }

    /// Adds settings, which take effect at the next start or reload.
    pub fn configure(&self, options: &Options) -> Result<()> {
        let path = self.data().join("postgresql.conf");
        let mut text = fs::read_to_string(&path)?;
        for (name, value) in &options.settings {
            writeln!(text, "{name} = {value}")?;
        }
        fs::write(path, text)?;
        Ok(())
    }

    /// Starts the postmaster.
    pub fn launch(&self) -> Result<()> {
        let log = File::options().create(true).append(true).open(self.folder.path().join("log"))?;
        let child = self
            .install
            .command("postgres")?
            .arg("-D")
            .arg(self.data())
            .arg("-k")
            .arg(self.folder.path())
            .envs(self.environment.iter().cloned())
            .stdin(Stdio::null())
            .stdout(log.try_clone()?)
            .stderr(log)
            .spawn()?;
        *self.child() = Some(child);
        Ok(())
    }

    async fn wait_ready(&self) -> Result<()> {
        wait::until("the server answers", async || {
            if let Some(status) = self.child().as_mut().map(Child::try_wait).transpose()?.flatten() {
                bail!("the server ended with {status}");
            }
            Ok(self.connect("postgres").await.ok().map(|_| ()))
        })
        .await
    }

    /// Stops the server: SIGINT for a fast shutdown, SIGQUIT for an immediate one. Waits until it has ended.
    pub fn stop(&self, signal: Signal) -> Result<()> {
        let Some(mut child) = self.child().take() else {
            return Ok(());
        };
        let process = Process(child.id().cast_signed());
        process.signal(signal);
        let (end, ended) = mpsc::channel();
        let waiter = thread::spawn(move || end.send(child.wait()));
        let Ok(status) = ended.recv_timeout(Duration::from_secs(30)) else {
            process.signal(Signal::SIGKILL);
            let _ = waiter.join();
            bail!("the server did not stop within 30 s of {signal}");
        };
        status?;
        Ok(())
    }

    /// Kills the postmaster and waits until all processes that it had started have ended: a new postmaster
    /// refuses to start before.
    pub async fn crash(&self) -> Result<()> {
        self.stop(Signal::SIGKILL)?;
        let left = async || Ok(Process::all_of(&self.data()).is_empty().then_some(()));
        wait::until("the server's other processes end", left).await
    }

    /// Starts the server again after [`Server::stop`].
    pub async fn restart(&self) -> Result<()> {
        self.launch()?;
        self.wait_ready().await
    }

    /// Another session in the same database as this one.
    pub async fn connect_beside(&self, session: &Session) -> Result<Session> {
        self.connect(&session.value::<String>("SELECT current_database()::text").await?).await
    }

    /// A session as the superuser `postgres`.
    pub async fn connect(&self, database: &str) -> Result<Session> {
        self.connect_as("postgres", database).await
    }

    /// A session as `role`, which needs no password.
    pub async fn connect_as(&self, role: &str, database: &str) -> Result<Session> {
        Session::open(self.folder.path(), role, database).await
    }

    /// Creates a database with the extension in it, and returns its name.
    pub async fn database(&self) -> Result<String> {
        let name = self.empty_database("").await?;
        self.connect(&name).await?.batch_execute("CREATE EXTENSION ragstone CASCADE").await?;
        Ok(name)
    }

    /// Creates a database without the extension, with further `options` of CREATE DATABASE, and returns its name.
    pub async fn empty_database(&self, options: &str) -> Result<String> {
        let name = format!("t{}", self.databases.fetch_add(1, Ordering::Relaxed));
        let session = self.connect("postgres").await?;
        session.batch_execute(&format!("CREATE DATABASE {name} TEMPLATE template0 {options}")).await?;
        Ok(name)
    }

    /// Creates a database with the extension, and a superuser's session in it.
    pub async fn session(&self) -> Result<Session> {
        let database = self.database().await?;
        self.connect(&database).await
    }

    /// A client program (`psql`, `pg_dump`, …) of the installation, set up to connect to this server.
    pub fn client(&self, program: &str) -> Result<Command> {
        let mut command = self.install.command(program)?;
        command.env("PGHOST", self.folder.path()).env("PGPORT", PORT.to_string()).env("PGUSER", "postgres");
        Ok(command)
    }

    /// The data directory.
    pub fn data(&self) -> PathBuf {
        self.folder.path().join("data")
    }

    /// A folder for the test's own files.
    pub fn folder(&self) -> &Path {
        self.folder.path()
    }

    /// Folder of the engine's socket if `rag.socket_directory` is not set.
    pub fn socket_directory(&self) -> PathBuf {
        self.data().join("pg_stat_tmp")
    }

    /// The log of the server and its engine.
    pub fn log(&self) -> Result<String> {
        Ok(String::from_utf8_lossy(&fs::read(self.folder.path().join("log"))?).into_owned())
    }

    /// The engines that run for this server.
    pub fn engines(&self) -> Vec<Process> {
        Process::engines_of(&self.data())
    }

    /// The supervisors that run for this server.
    pub fn supervisors(&self) -> Vec<Process> {
        Process::supervisors_of(&self.data())
    }

    /// Waits until exactly one engine runs and responds, and returns it.
    pub async fn engine(&self, session: &Session) -> Result<Process> {
        wait::until("the engine answers", async || {
            let answers = session.execute("SELECT rag.embed('ready')", &[]).await.is_ok();
            let engines = self.engines();
            Ok((answers && engines.len() == 1).then(|| engines[0]))
        })
        .await
    }

    fn child(&self) -> std::sync::MutexGuard<'_, Option<Child>> {
        self.process.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        if let Err(error) = self.stop(Signal::SIGINT) {
            eprintln!("{error:#}: {:?}", Process::all_of(&self.data()));
        }
        if let Ok(log) = self.log() {
            LOGS.with_borrow_mut(|logs| logs.push(log));
        }
        if std::env::var_os("RAGSTONE_TEST_KEEP").is_some() {
            self.folder.disable_cleanup(true);
        }
    }
}

thread_local! {
    /// Logs of the servers that the running test has stopped.
    static LOGS: RefCell<Vec<String>> = const { RefCell::new(Vec::new()) };
}

pub(crate) fn forget_logs() {
    LOGS.with_borrow_mut(Vec::clear);
}

/// The ends of the logs of the running test's own servers.
pub(crate) fn logs() -> String {
    LOGS.with_borrow(|logs| {
        let tails = logs.iter().map(|log| {
            let lines: Vec<_> = log.lines().collect();
            format!("server log:\n{}", lines[lines.len().saturating_sub(40)..].join("\n"))
        });
        tails.collect::<Vec<_>>().join("\n\n")
    })
}

static SHARED: Mutex<Option<Arc<Server>>> = Mutex::new(None);

/// The server for tests that leave it intact.
pub async fn shared() -> Result<Arc<Server>> {
    let server = started_once()?;
    server.wait_ready().await?;
    Ok(server)
}

fn started_once() -> Result<Arc<Server>> {
    let mut slot = SHARED.lock().unwrap_or_else(PoisonError::into_inner);
    if let Some(server) = &*slot {
        return Ok(Arc::clone(server));
    }
    let server = Arc::new(Server::prepare(Options::default())?);
    server.launch()?;
    Ok(Arc::clone(slot.insert(server)))
}

/// Stops the shared server, if one was started, and removes the template of data directories.
pub fn clean_up() {
    SHARED.lock().unwrap_or_else(PoisonError::into_inner).take();
    template::remove();
}

/// The ends of the logs that `pg_upgrade` wrote while it restored databases.
fn restored_with(folder: &Path) -> String {
    let logs = fs::read_dir(folder.join("data/pg_upgrade_output.d")).into_iter().flatten().flatten();
    let logs = logs.flat_map(|entry| fs::read_dir(entry.path().join("log")).into_iter().flatten().flatten());
    let logs = logs.filter(|log| log.file_name().to_string_lossy().starts_with("pg_upgrade_dump"));
    let ends = logs.filter_map(|log| {
        let text = fs::read_to_string(log.path()).ok()?;
        let lines: Vec<_> = text.lines().collect();
        Some(lines[lines.len().saturating_sub(20)..].join("\n"))
    });
    ends.collect::<Vec<_>>().join("\n\n")
}
