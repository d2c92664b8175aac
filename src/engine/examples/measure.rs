//! Times a running engine over its socket against the same work done in this process:
//! `measure SOCKET MODEL-FOLDER LIBRARY [FILE]`, LIBRARY being the file libonnxruntime.so, or OpenVINO's folder.
//!
//! Prints the latency of a short query, calls of the two alternating; the calls per second of sixteen sessions; and the
//! speed with which the lines of FILE become embeddings, one text each.

use std::{
    error::Error,
    io::{Read, Write},
    os::unix::net::UnixStream,
    path::Path,
    time::{Duration, Instant},
};

use ragstone_core::protocol::{
    Caller, Frame, Kind, Lane, PREFIX, PROTOCOL, Request, Response, decode, encode, frame_length,
};
use ragstone_engine::{
    model::{folder::ModelFolder, manifest::Manifest, text::TextEncoder},
    runtime::{
        embedder::Embedder,
        library::{Library, LibrarySettings, Resources, RuntimeChoice},
    },
    system,
};

type Result<T> = std::result::Result<T, Box<dyn Error + Send + Sync>>;

struct EngineClient {
    stream: UnixStream,
    model: String,
}

impl EngineClient {
    fn connect(socket: &str, model: &str) -> Result<Self> {
        let mut client = Self { stream: UnixStream::connect(socket)?, model: model.into() };
        client.call(Request::Hello { protocol: PROTOCOL, version: "measure".into() })?;
        Ok(client)
    }

    fn call(&mut self, request: Request) -> Result<Response> {
        self.stream.write_all(&encode(1, request)?)?;
        let mut prefix = [0; PREFIX];
        self.stream.read_exact(&mut prefix)?;
        let mut body = vec![0; frame_length(prefix)?];
        self.stream.read_exact(&mut body)?;
        let frame: Frame<Response> = decode(&body)?;
        match frame.body {
            Response::Failed(failure) => Err(format!("{failure:?}").into()),
            answer => Ok(answer),
        }
    }

    fn embed(&mut self, lane: Lane, texts: Vec<String>) -> Result<Vec<f32>> {
        let caller = Caller { database: 0, role: 0 };
        let request = Request::Embed { model: self.model.clone(), kind: Kind::Query, lane, caller, texts };
        match self.call(request)? {
            Response::Vectors(vectors) => Ok(vectors.values),
            other => Err(format!("{other:?}").into()),
        }
    }
}

/// The same model in this process.
struct InProcessModel {
    encoder: TextEncoder,
    embedder: Embedder,
}

impl InProcessModel {
    fn open(folder: &ModelFolder, library: &Path) -> Result<Self> {
        let choice = if library.is_dir() { RuntimeChoice::Openvino } else { RuntimeChoice::Onnxruntime };
        let (onnxruntime, openvino) = (library.to_owned(), library.to_owned());
        let library =
            Library::new(LibrarySettings { choice, onnxruntime, openvino, threads: system::processors() });
        let manifest: Manifest = folder.manifest()?;
        let encoder = TextEncoder::new(&folder.tokenizer(&manifest)?, manifest.max_tokens)?;
        let embedder =
            library.open(folder, &manifest, &encoder, Resources::without_limit(library.threads()))?;
        Ok(Self { encoder, embedder })
    }

    fn embed(&mut self, text: &str) -> Result<Vec<f32>> {
        Ok(self.embedder.embed(&[&self.encoder.encode(text)?])?)
    }
}

const QUERY: &str = "how do I take a base backup?";

fn timed<T>(work: impl FnOnce() -> Result<T>) -> Result<(T, Duration)> {
    let begin = Instant::now();
    Ok((work()?, begin.elapsed()))
}

fn compare_queries(client: &mut EngineClient, in_process: &mut InProcessModel) -> Result<()> {
    let (mut ours, mut theirs) = (Vec::new(), Vec::new());
    for _ in 0..2000 {
        ours.push(timed(|| client.embed(Lane::Query, vec![QUERY.into()]))?.1);
        theirs.push(timed(|| in_process.embed(QUERY))?.1);
    }
    for (name, times) in [("engine", &mut ours), ("in process", &mut theirs)] {
        times.sort();
        println!("query, {name}: p50 {:?} p95 {:?} least {:?}", times[1000], times[1900], times[0]);
    }
    Ok(())
}

fn count_calls(socket: &str, model: &str, sessions: usize) -> Result<()> {
    let calls = 4800 / sessions;
    let work = || -> Result<()> {
        let mut client = EngineClient::connect(socket, model)?;
        (0..calls).try_for_each(|_| client.embed(Lane::Query, vec![QUERY.into()]).map(drop))
    };
    let ((), time) = timed(|| {
        std::thread::scope(|scope| {
            let threads: Vec<_> = (0..sessions).map(|_| scope.spawn(work)).collect();
            threads
                .into_iter()
                .try_for_each(|thread| thread.join().unwrap_or(Err("a session panicked".into())))
        })
    })?;
    println!("{sessions} sessions: {:.0} calls/s", (calls * sessions) as f64 / time.as_secs_f64());
    Ok(())
}

fn compare_bulk(client: &mut EngineClient, in_process: &mut InProcessModel, file: &str) -> Result<()> {
    let mut texts: Vec<String> = std::fs::read_to_string(file)?.lines().map(str::to_owned).collect();
    texts.sort_by_key(String::len);
    for _ in 0..3 {
        let (_, ours) = timed(|| client.embed(Lane::Bulk, texts.clone()))?;
        let ((), theirs) = timed(|| texts.iter().try_for_each(|text| in_process.embed(text).map(drop)))?;
        let speed = |time: Duration| texts.len() as f64 / time.as_secs_f64();
        println!(
            "bulk: engine {:.1} texts/s, in process one by one {:.1} texts/s",
            speed(ours),
            speed(theirs)
        );
    }
    Ok(())
}

fn main() -> Result<()> {
    system::prepare_environment();
    let arguments: Vec<String> = std::env::args().collect();
    let [_, socket, folder, library, rest @ ..] = arguments.as_slice() else {
        return Err("measure SOCKET MODEL-FOLDER LIBRARY [FILE]".into());
    };
    let folder = ModelFolder::at(Path::new(folder))?;
    let mut client = EngineClient::connect(socket, folder.name())?;
    let (_, first) = timed(|| client.embed(Lane::Query, vec![QUERY.into()]))?;
    println!("first query, with loading: {first:?}");
    let mut in_process = InProcessModel::open(&folder, Path::new(library))?;
    compare_queries(&mut client, &mut in_process)?;
    [1, 2, 16].into_iter().try_for_each(|sessions| count_calls(socket, folder.name(), sessions))?;
    if let [file] = rest {
        compare_bulk(&mut client, &mut in_process, file)?;
    }
    println!("{:#?}", client.call(Request::Stats)?);
    Ok(())
}
