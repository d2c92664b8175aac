//! Times a running engine over its socket: `measure SOCKET MODEL [FILE]`.
//!
//! Prints the latency of one short query, from one session and from sixteen, and the speed of one bulk request of the
//! lines of FILE, one text each.

use std::{
    error::Error,
    io::{Read, Write},
    os::unix::net::UnixStream,
    time::{Duration, Instant},
};

use ragstone_core::protocol::{
    Frame, Kind, Lane, PREFIX, PROTOCOL, Request, Response, decode, encode, frame_length,
};

type Outcome<T> = Result<T, Box<dyn Error + Send + Sync>>;

struct Client(UnixStream);

impl Client {
    fn connect(socket: &str) -> Outcome<Self> {
        let mut client = Self(UnixStream::connect(socket)?);
        client.call(Request::Hello { protocol: PROTOCOL, version: "measure".into() })?;
        Ok(client)
    }

    fn call(&mut self, request: Request) -> Outcome<Response> {
        self.0.write_all(&encode(1, request)?)?;
        let mut prefix = [0; PREFIX];
        self.0.read_exact(&mut prefix)?;
        let mut body = vec![0; frame_length(prefix)?];
        self.0.read_exact(&mut body)?;
        let frame: Frame<Response> = decode(&body)?;
        match frame.body {
            Response::Failed(failure) => Err(format!("{failure:?}").into()),
            answer => Ok(answer),
        }
    }

    fn embed(&mut self, model: &str, lane: Lane, texts: Vec<String>) -> Outcome<usize> {
        let kind = if lane == Lane::Query { Kind::Query } else { Kind::Document };
        match self.call(Request::Embed { model: model.into(), kind, lane, texts })? {
            Response::Vectors(vectors) => Ok(vectors.values.len()),
            other => Err(format!("{other:?}").into()),
        }
    }
}

const QUERY: &str = "how do I take a base backup?";

fn queries(socket: &str, model: &str, count: usize) -> Outcome<Vec<Duration>> {
    let mut client = Client::connect(socket)?;
    let mut times = Vec::with_capacity(count);
    for _ in 0..count {
        let begin = Instant::now();
        client.embed(model, Lane::Query, vec![QUERY.into()])?;
        times.push(begin.elapsed());
    }
    times.sort();
    Ok(times)
}

fn main() -> Outcome<()> {
    let arguments: Vec<String> = std::env::args().collect();
    let [_, socket, model, rest @ ..] = arguments.as_slice() else {
        return Err("measure SOCKET MODEL [FILE]".into());
    };
    let begin = Instant::now();
    queries(socket, model, 1)?;
    println!("first query: {:?}", begin.elapsed());
    queries(socket, model, 200)?;
    let times = queries(socket, model, 2000)?;
    println!("one session: p50 {:?} p95 {:?}", times[1000], times[1900]);
    let begin = Instant::now();
    std::thread::scope(|scope| {
        let sessions: Vec<_> = (0..16).map(|_| scope.spawn(|| queries(socket, model, 300))).collect();
        sessions.into_iter().try_for_each(|session| match session.join() {
            Ok(times) => times.map(drop),
            Err(_) => Err("a session panicked".into()),
        })
    })?;
    println!("16 sessions: {:.0} calls/s", 4800.0 / begin.elapsed().as_secs_f64());
    let mut client = Client::connect(socket)?;
    if let [file] = rest {
        let texts: Vec<String> = std::fs::read_to_string(file)?.lines().map(str::to_owned).collect();
        let count = texts.len();
        for _ in 0..2 {
            let begin = Instant::now();
            client.embed(model, Lane::Bulk, texts.clone())?;
            let seconds = begin.elapsed().as_secs_f64();
            println!("bulk: {count} texts in {seconds:.2} s: {:.1} texts/s", count as f64 / seconds);
        }
    }
    println!("{:#?}", client.call(Request::Stats)?);
    Ok(())
}
