//! A running engine, and a client that speaks its protocol directly.
#![allow(dead_code)]
#![allow(clippy::unwrap_used, clippy::panic)]

pub mod calls;

use std::{
    fs,
    io::{BufRead, BufReader, Read, Write},
    os::unix::net::UnixStream,
    path::{Path, PathBuf},
    process::{Child, Command, ExitStatus, Stdio},
    time::{Duration, Instant},
};

use ragstone_core::failure::Failure;
use ragstone_core::protocol::{
    Caller, Frame, Kind, Lane, PREFIX, PROTOCOL, Request, Response, Stats, Vectors, decode, encode,
    frame_length, socket_name,
};
use tempfile::TempDir;

pub const MODEL: &str = "tiny-model";
pub const CALLER: Caller = Caller { database: 5, role: 10 };

/// The ONNX Runtime library that the tests use.
pub fn onnxruntime() -> PathBuf {
    std::env::var_os("RAGSTONE_ONNXRUNTIME")
        .map(PathBuf::from)
        .unwrap_or_else(|| panic!("set RAGSTONE_ONNXRUNTIME to the path of libonnxruntime.so"))
}

/// A copy of the tiny model under `models`, which a test may damage.
pub fn install_tiny_model(models: &Path, name: &str) -> PathBuf {
    let source = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures").join(MODEL);
    let target = models.join(name);
    fs::create_dir_all(&target).unwrap();
    for file in ["manifest.json", "model.onnx", "tokenizer.json"] {
        fs::copy(source.join(file), target.join(file)).unwrap();
    }
    target
}

pub fn engine_command() -> Command {
    Command::new(env!("CARGO_BIN_EXE_ragstone-engine"))
}

/// An engine with its own folder, which ends with the test.
pub struct EngineProcess {
    pub folder: TempDir,
    process: Child,
}

impl EngineProcess {
    pub fn start() -> Self {
        Self::start_with(&[])
    }

    /// Starts an engine. Later arguments override the default ones.
    pub fn start_with(arguments: &[&str]) -> Self {
        Self::start_as(arguments, &[])
    }

    /// Starts an engine with these variables in its environment.
    pub fn start_in(variables: &[(&str, &str)]) -> Self {
        Self::start_as(&[], variables)
    }

    fn start_as(arguments: &[&str], variables: &[(&str, &str)]) -> Self {
        let folder = tempfile::tempdir().unwrap();
        install_tiny_model(folder.path(), MODEL);
        let mut command = Self::command(folder.path(), arguments);
        let process = command.envs(variables.iter().copied()).spawn().unwrap();
        let engine = Self { folder, process };
        engine.wait_until_it_listens();
        engine
    }

    pub fn spawn(folder: &Path, arguments: &[&str]) -> Child {
        Self::command(folder, arguments).spawn().unwrap()
    }

    fn command(folder: &Path, arguments: &[&str]) -> Command {
        let mut command = engine_command();
        command.arg("serve").arg("--socket-directory").arg(folder).arg("--models").arg(folder);
        if !arguments.contains(&"--onnxruntime") {
            command.arg("--onnxruntime").arg(onnxruntime());
        }
        if !arguments.contains(&"--runtime") {
            command.args(["--runtime", "onnxruntime"]);
        }
        for proxy in ["http_proxy", "HTTP_PROXY", "https_proxy", "HTTPS_PROXY", "all_proxy", "ALL_PROXY"] {
            command.env_remove(proxy);
        }
        command.args(arguments).stderr(Stdio::piped());
        command
    }

    fn wait_until_it_listens(&self) {
        wait_for("the socket", || UnixStream::connect(self.socket()).ok().map(drop));
    }

    pub fn socket(&self) -> PathBuf {
        self.folder.path().join(socket_name())
    }

    pub fn models(&self) -> &Path {
        self.folder.path()
    }

    pub fn connect(&self) -> Client {
        let mut client = Client::raw(&self.socket());
        match client.call(Request::Hello { protocol: PROTOCOL, version: "test".into() }) {
            Response::Hello { protocol: PROTOCOL, .. } => client,
            other => panic!("{other:?}"),
        }
    }

    pub fn pid(&self) -> i32 {
        i32::try_from(self.process.id()).unwrap()
    }

    pub fn kill(&mut self) {
        self.process.kill().unwrap();
        self.process.wait().unwrap();
    }

    /// Ends the engine, and returns what it has written to stderr.
    pub fn end(mut self) -> String {
        self.kill();
        let mut said = String::new();
        self.process.stderr.take().unwrap().read_to_string(&mut said).unwrap();
        said
    }

    /// The exit status; `None` while the engine runs.
    pub fn exit_status(&mut self) -> Option<ExitStatus> {
        self.process.try_wait().unwrap()
    }

    pub fn wait(&mut self) -> ExitStatus {
        self.process.wait().unwrap()
    }
}

impl Drop for EngineProcess {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

/// Polls a condition for up to a minute.
pub fn wait_for<T>(what: &str, mut poll: impl FnMut() -> Option<T>) -> T {
    let begin = Instant::now();
    loop {
        if let Some(found) = poll() {
            return found;
        }
        assert!(begin.elapsed() < Duration::from_secs(60), "waited in vain for {what}");
        std::thread::yield_now();
    }
}

/// Exit code and first line of what a process wrote to stderr.
pub fn wait_for_exit(mut process: Child) -> (i32, String) {
    let mut line = String::new();
    BufReader::new(process.stderr.take().unwrap()).read_line(&mut line).unwrap();
    (process.wait().unwrap().code().unwrap(), line.trim_end().to_owned())
}

pub struct Client {
    stream: UnixStream,
    next: u64,
}

impl Client {
    /// A connection that has not sent hello.
    pub fn raw(socket: &Path) -> Self {
        let stream = UnixStream::connect(socket).unwrap();
        stream.set_read_timeout(Some(Duration::from_secs(60))).unwrap();
        Self { stream, next: 1 }
    }

    /// Sends a request and returns its number.
    pub fn send(&mut self, request: Request) -> u64 {
        let id = self.next;
        self.next += 1;
        self.stream.write_all(&encode(id, request).unwrap()).unwrap();
        id
    }

    pub fn send_bytes(&mut self, bytes: &[u8]) {
        self.stream.write_all(bytes).unwrap();
    }

    /// Sends bytes. Returns false if the engine has closed the connection.
    pub fn sends(&mut self, bytes: &[u8]) -> bool {
        self.stream.write_all(bytes).is_ok()
    }

    /// The next frame that is not a sign of progress.
    pub fn receive(&mut self) -> Frame<Response> {
        loop {
            let frame = self.receive_any();
            if frame.body != Response::Working {
                return frame;
            }
        }
    }

    /// The next frame, including signs of progress.
    pub fn receive_any(&mut self) -> Frame<Response> {
        let mut prefix = [0; PREFIX];
        self.stream.read_exact(&mut prefix).unwrap();
        let mut body = vec![0; frame_length(prefix).unwrap()];
        self.stream.read_exact(&mut body).unwrap();
        decode(&body).unwrap()
    }

    pub fn call(&mut self, request: Request) -> Response {
        let id = self.send(request);
        let frame = self.receive();
        assert_eq!(frame.id, id);
        frame.body
    }

    pub fn is_closed_by_the_engine(&mut self) -> bool {
        matches!(self.stream.read(&mut [0; 1]), Ok(0) | Err(_))
    }

    pub fn embed(&mut self, texts: &[&str]) -> Vectors {
        match self.call(embed(texts)) {
            Response::Vectors(vectors) => vectors,
            other => panic!("{other:?}"),
        }
    }

    pub fn failure(&mut self, request: Request) -> Failure {
        match self.call(request) {
            Response::Failed(failure) => failure,
            other => panic!("{other:?}"),
        }
    }

    pub fn stats(&mut self) -> Stats {
        match self.call(Request::Stats) {
            Response::Stats(stats) => stats,
            other => panic!("{other:?}"),
        }
    }
}

pub fn embed(texts: &[&str]) -> Request {
    embed_with(MODEL, Kind::Document, texts)
}

pub fn embed_with(model: &str, kind: Kind, texts: &[&str]) -> Request {
    let texts = texts.iter().map(|text| (*text).to_owned()).collect();
    Request::Embed { model: model.into(), kind, lane: Lane::Bulk, caller: CALLER, texts }
}
