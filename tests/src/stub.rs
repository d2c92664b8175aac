//! A stub that listens on the socket of the engine.

use crate::Result;
use crate::install::server_user;
use crate::server::Server;
use anyhow::{Context, ensure};
use nix::fcntl::{Flock, FlockArg};
use nix::sys::socket::{AddressFamily, Backlog, SockFlag, SockType, UnixAddr, bind, listen, socket};
use nix::unistd::{Gid, Uid};
use ragstone_core::protocol::{self, Frame, PREFIX, PROTOCOL, Request, Response, Vectors};
use std::fs::{self, File};
use std::io::{BufRead, BufReader, Read, Write};
use std::os::fd::{AsRawFd, OwnedFd};
use std::os::unix::fs::PermissionsExt;
use std::os::unix::net::{UnixListener, UnixStream};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

/// The behaviour of the stub towards its clients.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Manner {
    /// Responds to the first request like an engine with another protocol.
    OtherProtocol,
    /// Never accepts a connection, so that its backlog fills.
    Deaf,
    /// Responds to a request for embeddings after [`SLOW_SIGNS`] progress messages.
    Slow,
}

/// Number of progress messages that [`Manner::Slow`] sends before a response, one in each [`SLOW_INTERVAL`].
pub const SLOW_SIGNS: u32 = 60;

/// Time between two progress messages.
pub const SLOW_INTERVAL: Duration = Duration::from_millis(100);

/// A running stub.
#[derive(Debug)]
pub struct Stub {
    process: Child,
}

impl Stub {
    /// Starts `program` (the crate's own binary `ragstone-stub`) in place of `server`'s engine, as the
    /// server's user, and waits until it listens.
    pub fn start(server: &Server, program: &str, manner: Manner) -> Result<Self> {
        let mut command = Self::command(server, program)?;
        if let Some(user) = server_user()? {
            run_as(&mut command, user);
        }
        Self::spawn(command.arg(format!("{manner:?}")).arg(server.socket_directory()))
    }

    /// Starts `program` as another user than the server's, in a folder to which both may write, on a socket
    /// to which any user may connect.
    pub fn start_as(user: (Uid, Gid), server: &Server, program: &str, folder: &Path) -> Result<Self> {
        let mut command = Self::command(server, program)?;
        run_as(&mut command, user);
        let stub = Self::spawn(command.arg(format!("{:?}", Manner::Deaf)).arg(folder))?;
        fs::set_permissions(folder.join(protocol::socket_name()), fs::Permissions::from_mode(0o777))?;
        Ok(stub)
    }

    /// A copy of the program that every user can execute, wherever the build folder is.
    fn command(server: &Server, program: &str) -> Result<Command> {
        let copy = server.folder().join("ragstone-stub");
        fs::copy(program, &copy)?;
        fs::set_permissions(&copy, fs::Permissions::from_mode(0o755))?;
        let mut command = Command::new(&copy);
        command.current_dir("/");
        Ok(command)
    }

    fn spawn(command: &mut Command) -> Result<Self> {
        let mut process = command.stdout(Stdio::piped()).spawn()?;
        let mut line = String::new();
        BufReader::new(process.stdout.take().context("no output")?).read_line(&mut line)?;
        ensure!(line == "listening\n", "the stub said {line:?}");
        Ok(Self { process })
    }
}

fn run_as(command: &mut Command, (uid, gid): (Uid, Gid)) {
    command.uid(uid.as_raw()).gid(gid.as_raw());
}

impl Drop for Stub {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

/// The stub's main function; its arguments are the manner and the socket directory.
pub fn main() -> Result<()> {
    let mut arguments = std::env::args().skip(1);
    let manner = arguments.next().context("no manner given")?;
    let folder = PathBuf::from(arguments.next().context("no folder given")?);
    // While the stub holds the lock, an engine that the supervisor starts exits at once.
    let lock = File::options().create(true).append(true).open(folder.join(protocol::lock_name()))?;
    let _lock = Flock::lock(lock, FlockArg::LockExclusiveNonblock).map_err(|(_, error)| error)?;
    let listener = UnixListener::from(listen_at(&folder.join(protocol::socket_name()))?);
    println!("listening");
    if manner == format!("{:?}", Manner::OtherProtocol) {
        for client in listener.incoming() {
            // The stub continues if a client disconnects.
            let _ = answer_hello(&mut client?, PROTOCOL + 1);
        }
    }
    if manner == format!("{:?}", Manner::Slow) {
        for client in listener.incoming() {
            let client = client?;
            std::thread::spawn(move || answer_slowly(client));
        }
        return Ok(());
    }
    loop {
        std::thread::park();
    }
}

fn listen_at(path: &Path) -> Result<OwnedFd> {
    let _ = fs::remove_file(path);
    let descriptor = socket(AddressFamily::Unix, SockType::Stream, SockFlag::SOCK_CLOEXEC, None)?;
    bind(descriptor.as_raw_fd(), &UnixAddr::new(path)?)?;
    listen(&descriptor, Backlog::new(0)?)?;
    Ok(descriptor)
}

fn answer_hello(client: &mut UnixStream, protocol: u16) -> Result<()> {
    let frame = read(client)?;
    let hello = Response::Hello { protocol, version: "9.9.9".to_owned(), pid: std::process::id() };
    client.write_all(&protocol::encode(frame.id, hello)?)?;
    Ok(())
}

fn answer_slowly(mut client: UnixStream) -> Result<()> {
    answer_hello(&mut client, PROTOCOL)?;
    loop {
        let Frame { id, body } = read(&mut client)?;
        let Request::Embed { texts, .. } = body else { continue };
        for _ in 0..SLOW_SIGNS {
            client.write_all(&protocol::encode(id, Response::Working)?)?;
            std::thread::sleep(SLOW_INTERVAL);
        }
        let vectors = Vectors {
            dimensions: 1,
            values: vec![1.0; texts.len()],
            tokens: vec![1; texts.len()],
            unknown: 0,
            max_tokens: 1,
            fingerprint: "slow".to_owned(),
        };
        client.write_all(&protocol::encode(id, Response::Vectors(vectors))?)?;
    }
}

fn read(client: &mut UnixStream) -> Result<Frame<Request>> {
    let mut prefix = [0; PREFIX];
    client.read_exact(&mut prefix)?;
    let mut bytes = vec![0; protocol::frame_length(prefix)?];
    client.read_exact(&mut bytes)?;
    Ok(protocol::decode(&bytes)?)
}
