//! One client's connection: reads its requests and dispatches them.

use std::{sync::Arc, time::Duration};

use ragstone_core::protocol::{
    Caller, FrameError, JobRun, MAX_FRAME, PREFIX, PROTOCOL, ParseTask, Request, Response, decode,
    frame_length,
};
use tokio::{
    io::{AsyncReadExt, BufReader},
    net::{UnixStream, unix::OwnedReadHalf},
};
use tokio_util::sync::CancellationToken;

use super::{
    chunk,
    embed::{self, EmbedRequest},
    engine::Engine,
    parse, socket, tokenizing,
};
use crate::{
    agent_log::MAX_POST_WAIT,
    failure::Error,
    outbox::Outbox,
    providers::{
        self,
        request::{CompletionRequest, EmbeddingRequest, RerankRequest},
    },
    scheduler::{fair_queue::Client, tokenizer_turns::WorkOrder},
};

/// Serves a client until it disconnects.
pub async fn serve(engine: Arc<Engine>, stream: UnixStream, number: u64) {
    if !socket::is_same_user(&stream) {
        eprintln!("ragstone-engine: refused a connection of another user");
        return;
    }
    let (read, write) = stream.into_split();
    let outbox = Arc::new(Outbox::new(write));
    let writer = tokio::spawn({
        let outbox = outbox.clone();
        async move { outbox.flush_forever().await }
    });
    engine.client_connected();
    let mut connection = ClientConnection {
        engine: engine.clone(),
        outbox: outbox.clone(),
        number,
        has_greeted: false,
        post_wait: MAX_POST_WAIT,
    };
    connection.read_requests(BufReader::with_capacity(READ_BUFFER_BYTES, read)).await;
    let had_requests = outbox.cancel_all();
    engine.client_disconnected(number, had_requests);
    writer.abort();
}

const READ_BUFFER_BYTES: usize = 16 << 10;

struct ClientConnection {
    engine: Arc<Engine>,
    outbox: Arc<Outbox>,
    number: u64,
    /// Whether the first request, hello, was accepted.
    has_greeted: bool,
    /// How long the next packet may wait for room in the agent log.
    post_wait: Duration,
}

impl ClientConnection {
    async fn read_requests(&mut self, mut stream: BufReader<OwnedReadHalf>) {
        let mut frame = Vec::new();
        loop {
            match read_frame(&mut stream, &mut frame).await {
                Ok(()) => {}
                Err(ReadError::Closed) => return,
                Err(ReadError::TooLong(id, actual)) => {
                    let error = Error::Frame { what: "a request", actual, limit: MAX_FRAME };
                    return self.send_last(id, error).await;
                }
            }
            let decoded = if frame.len() > MAX_INLINE_FRAME_BYTES {
                let frame = std::mem::take(&mut frame);
                // Checking tens of megabytes of UTF-8 here would delay the queries of all sessions.
                let decoding = tokio::task::spawn_blocking(move || decode::<Request>(&frame));
                decoding.await.map_err(|error| error.to_string())
            } else {
                Ok(decode::<Request>(&frame))
            };
            let (id, request) = match decoded.and_then(|frame| frame.map_err(|error| error.to_string())) {
                Ok(frame) => (frame.id, frame.body),
                // A message of another protocol version may not decode at all.
                Err(reason) => return self.send_last(0, Error::Protocol(reason)).await,
            };
            let dispatched = match request {
                Request::PostLog { database, packet } if self.has_greeted => {
                    // While there is no room, nothing more is read, so that the client's socket fills up.
                    self.engine.agent_log().post(database, packet, &mut self.post_wait).await;
                    Ok(())
                }
                request => self.dispatch(id, request),
            };
            if let Err(error) = dispatched {
                return self.send_last(id, error).await;
            }
        }
    }

    /// Answers a request, or passes it to the part that will answer it. An error ends the connection.
    fn dispatch(&mut self, id: u64, request: Request) -> Result<(), Error> {
        if !self.has_greeted {
            return self.greet(id, request);
        }
        match request {
            Request::Hello { .. } | Request::PostLog { .. } => {
                return Err(Error::Protocol("hello came twice".into()));
            }
            Request::Embed { model, kind, lane, caller, texts } => {
                let request = EmbedRequest { model, kind, lane, client: self.client(caller), texts };
                embed::start(&self.engine, &self.outbox, id, request);
            }
            Request::Chunk { model, caller, options, documents } => {
                let order = WorkOrder::of(self.client(caller), &documents);
                self.run_tokenizer(id, order, move |engine, cancellation| {
                    chunk::chunk(engine, &model, options, &documents, cancellation).map(Response::Chunks)
                });
            }
            Request::Count { model, caller, texts } => {
                let order = WorkOrder::of(self.client(caller), &texts);
                self.run_tokenizer(id, order, move |engine, cancellation| {
                    chunk::count(engine, &model, &texts, cancellation).map(Response::Counts)
                });
            }
            Request::Parse { caller, task } => self.parse(id, caller, *task),
            Request::Models => self.run_blocking(id, |engine, _| Ok(Response::Models(engine.models()))),
            Request::Describe { model } => self.run_blocking(id, move |engine, _| {
                let queue = engine.registry().queue(&model)?;
                queue.describe()?;
                Ok(Response::Models(vec![queue.report()]))
            }),
            Request::Stats => self.run_blocking(id, |engine, _| Ok(Response::Stats(engine.stats()))),
            Request::Complete { .. }
            | Request::EmbedBy { .. }
            | Request::RerankBy { .. }
            | Request::Check { .. } => self.call_provider(id, request),
            Request::TakeCalls { database, written } => self.take_calls(id, database, written),
            Request::CallsLeft { database } => {
                let unwritten = self.engine.calls().ledger().unwritten(database);
                self.outbox.send(id, Ok(Response::Counts(vec![unwritten])));
            }
            Request::TakeLog { database, written } => self.take_log(id, database, written),
            Request::LogState { database } => {
                let state = self.engine.agent_log().state(database);
                self.outbox.send(id, Ok(Response::LogState(state)));
            }
            Request::Report(progress) => self.engine.report(self.number, progress),
            Request::Reports => self.outbox.send(id, Ok(Response::Reports(self.engine.reports()))),
            Request::Cancel { request } => {
                if self.outbox.cancel(request) {
                    self.engine.remove_cancelled();
                }
            }
            Request::PostPiece { run, seq, piece } => self.engine.piece_streams().post(run, seq, piece),
            Request::EndPieces(run) => self.engine.piece_streams().end(run),
            Request::NextPieces { run, after, wait_ms } => self.next_pieces(id, run, after, wait_ms),
        }
        Ok(())
    }

    fn client(&self, caller: Caller) -> Client {
        Client { caller, connection: self.number }
    }

    fn greet(&mut self, id: u64, request: Request) -> Result<(), Error> {
        match request {
            Request::Hello { protocol: PROTOCOL, .. } => {
                self.has_greeted = true;
                let version = env!("CARGO_PKG_VERSION").to_owned();
                self.outbox
                    .send(id, Ok(Response::Hello { protocol: PROTOCOL, version, pid: std::process::id() }));
                Ok(())
            }
            Request::Hello { protocol, .. } => Err(Error::Version { expected: PROTOCOL, actual: protocol }),
            _ => Err(Error::Protocol("expected hello as the first request".into())),
        }
    }

    /// Starts the requests that concern providers; ignores others.
    fn call_provider(&self, id: u64, request: Request) {
        let (calls, outbox) = (self.engine.calls(), &self.outbox);
        match request {
            Request::Complete { target, prompt, account, stream } => {
                providers::complete(calls, outbox, id, CompletionRequest { target, prompt, account, stream });
            }
            Request::EmbedBy { target, model, dimensions, kind, texts, account } => {
                let request = EmbeddingRequest { target, model, dimensions, kind, texts, account };
                providers::embed(calls, outbox, id, request);
            }
            Request::RerankBy { target, model, query, documents, account } => {
                let request = RerankRequest { target, model, query, documents, account };
                providers::rerank(calls, outbox, id, request);
            }
            Request::Check { caller, schema, answer } => {
                providers::check_schema(calls, outbox, id, caller, schema, answer);
            }
            _ => {}
        }
    }

    fn parse(&self, id: u64, caller: Caller, task: ParseTask) {
        parse::start(&self.engine, &self.outbox, id, self.client(caller), task);
    }

    fn take_calls(&self, id: u64, database: u32, written: u64) {
        self.outbox.open(id);
        // Calls may end long after the client has disconnected.
        let outbox = Arc::downgrade(&self.outbox);
        self.engine.calls().ledger().take(database, written, move |calls, lost| {
            if let Some(outbox) = outbox.upgrade() {
                outbox.answer(id, Ok(Response::Calls { calls, lost }));
            }
        });
    }

    fn take_log(&self, id: u64, database: u32, written: u64) {
        self.outbox.open(id);
        let outbox = Arc::downgrade(&self.outbox);
        self.engine.agent_log().take(database, written, move |upto, packets, lost| {
            if let Some(outbox) = outbox.upgrade() {
                outbox.answer(id, Ok(Response::Log { upto, packets, lost }));
            }
        });
    }

    fn next_pieces(&self, id: u64, run: JobRun, after: u32, wait_ms: u32) {
        let cancellation = self.outbox.open(id);
        let (streams, outbox) = (self.engine.piece_streams().clone(), self.outbox.clone());
        tokio::spawn(async move {
            let next = streams.next(run, after, Duration::from_millis(wait_ms.into()));
            if let Some(pieces) = cancellation.run_until_cancelled(next).await {
                outbox.answer(id, Ok(Response::Pieces(pieces)));
            }
        });
    }

    /// Answers with the result of `work`, which reads files or takes some time, from a blocking thread.
    fn run_blocking(
        &self,
        id: u64,
        work: impl FnOnce(&Engine, &CancellationToken) -> Result<Response, Error> + Send + 'static,
    ) {
        let (engine, outbox, cancellation) = (self.engine.clone(), self.outbox.clone(), self.outbox.open(id));
        tokio::task::spawn_blocking(move || outbox.answer(id, work(&engine, &cancellation)));
    }

    /// Answers with the result of `work`, which tokenises texts.
    fn run_tokenizer(
        &self,
        id: u64,
        order: WorkOrder,
        work: impl FnOnce(&Engine, &CancellationToken) -> Result<Response, Error> + Send + 'static,
    ) {
        tokenizing::start(&self.engine, &self.outbox, id, order, move |engine, outbox, cancellation| {
            outbox.answer(id, work(engine, &cancellation));
        });
    }

    async fn send_last(&self, id: u64, error: Error) {
        self.outbox.send(id, Err(error));
        self.outbox.flush().await;
    }
}

/// A larger frame is decoded in a blocking thread, and its buffer is not kept for the next one.
const MAX_INLINE_FRAME_BYTES: usize = 1 << 20;

enum ReadError {
    Closed,
    /// The number of the request, 0 if it is not readable, and its length.
    TooLong(u64, usize),
}

impl From<std::io::Error> for ReadError {
    fn from(_: std::io::Error) -> Self {
        Self::Closed
    }
}

async fn read_frame(stream: &mut BufReader<OwnedReadHalf>, frame: &mut Vec<u8>) -> Result<(), ReadError> {
    let mut prefix = [0; PREFIX];
    stream.read_exact(&mut prefix).await?;
    let length = match frame_length(prefix) {
        Ok(length) => length,
        Err(FrameError::TooLong(length)) => {
            let mut head = [0; 10];
            stream.read_exact(&mut head).await?;
            return Err(ReadError::TooLong(decode::<()>(&head).map_or(0, |frame| frame.id), length));
        }
        Err(FrameError::Malformed(_)) => return Err(ReadError::Closed),
    };
    frame.clear();
    // The buffer grows as bytes arrive, so that an announced length alone takes no memory.
    let read = stream.take(length as u64).read_to_end(frame).await?;
    if read < length { Err(ReadError::Closed) } else { Ok(()) }
}
