//! One client: its requests in, and who answers them.

use std::{sync::Arc, time::Duration};

use ragstone_core::protocol::{
    FrameError, MAX_FRAME, PREFIX, PROTOCOL, Request, Response, decode, frame_length,
};
use tokio::{
    io::{AsyncReadExt, BufReader},
    net::{UnixStream, unix::OwnedReadHalf},
};

use super::{chunk, embed, engine::Engine, outbox::Outbox, socket};
use crate::{failure::Error, log, providers};

/// Serves a client until it goes.
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
    engine.enter();
    let mut client = Client {
        engine: engine.clone(),
        outbox: outbox.clone(),
        number,
        greeted: false,
        patience: log::PATIENCE,
    };
    client.listen(BufReader::with_capacity(READ_BUFFER, read)).await;
    let had_requests = outbox.cancel_all();
    engine.leave(number, had_requests);
    writer.abort();
}

const READ_BUFFER: usize = 16 << 10;

struct Client {
    engine: Arc<Engine>,
    outbox: Arc<Outbox>,
    number: u64,
    greeted: bool,
    /// How much longer it may be kept waiting for room in a log.
    patience: Duration,
}

impl Client {
    async fn listen(&mut self, mut stream: BufReader<OwnedReadHalf>) {
        let mut frame = Vec::new();
        loop {
            match read_frame(&mut stream, &mut frame).await {
                Ok(()) => {}
                Err(ReadError::Gone) => return,
                Err(ReadError::TooLong(id, actual)) => {
                    let error = Error::Frame { what: "a request", actual, limit: MAX_FRAME };
                    return self.send_last(id, error).await;
                }
            }
            let decoded = if frame.len() > LARGE {
                let frame = std::mem::take(&mut frame);
                // Checking tens of megabytes of UTF-8 here would hold up everybody's queries.
                let decoding = tokio::task::spawn_blocking(move || decode::<Request>(&frame));
                decoding.await.map_err(|error| error.to_string())
            } else {
                Ok(decode::<Request>(&frame))
            };
            let (id, request) = match decoded.and_then(|frame| frame.map_err(|error| error.to_string())) {
                Ok(frame) => (frame.id, frame.body),
                // Another version's messages may read as nonsense; say so in this version's words.
                Err(reason) => return self.send_last(0, Error::Protocol(reason)).await,
            };
            let taken = match request {
                Request::PostLog { database, packet } if self.greeted => {
                    // Where there is no room nothing more is read, and the client finds his socket full.
                    self.engine.log().post(database, packet, &mut self.patience).await;
                    Ok(())
                }
                request => self.take(id, request),
            };
            if let Err(error) = taken {
                return self.send_last(id, error).await;
            }
        }
    }

    /// Answers a request, or sends it to where it will be answered. An error ends the connection.
    fn take(&mut self, id: u64, request: Request) -> Result<(), Error> {
        if !self.greeted {
            return self.greet(id, request);
        }
        match request {
            Request::Hello { .. } | Request::PostLog { .. } => {
                return Err(Error::Protocol("hello came twice".into()));
            }
            Request::Embed { model, kind, lane, texts } => {
                embed::start(&self.engine, &self.outbox, id, embed::Wanted { model, kind, lane, texts });
            }
            Request::Chunk { model, options, documents } => {
                let (engine, outbox, gone) = (self.engine.clone(), self.outbox.clone(), self.outbox.open(id));
                tokio::task::spawn_blocking(move || {
                    let answer = chunk::chunk(&engine, &model, options, &documents, &gone);
                    outbox.answer(id, answer.map(Response::Chunks));
                });
            }
            Request::Complete { target, prompt, account, stream } => {
                providers::complete(
                    &self.engine,
                    &self.outbox,
                    id,
                    providers::Asked { target, prompt, account, stream },
                );
            }
            Request::EmbedBy { target, model, dimensions, kind, texts, account } => {
                let texts = providers::Texts { model, dimensions, kind, texts };
                providers::embed(&self.engine, &self.outbox, id, target, texts, account);
            }
            Request::RerankBy { target, model, query, documents, account } => {
                let pairs = providers::Pairs { model, query, documents };
                providers::rerank(&self.engine, &self.outbox, id, target, pairs, account);
            }
            Request::Count { model, texts } => {
                let (engine, outbox, gone) = (self.engine.clone(), self.outbox.clone(), self.outbox.open(id));
                tokio::task::spawn_blocking(move || {
                    let answer = chunk::count(&engine, &model, &texts, &gone);
                    outbox.answer(id, answer.map(Response::Counts));
                });
            }
            Request::TakeCalls { database, written } => {
                self.outbox.open(id);
                let outbox = self.outbox.clone();
                self.engine.ledger().take(database, written, move |calls, lost| {
                    outbox.answer(id, Ok(Response::Calls { calls, lost }));
                });
            }
            Request::CallsLeft { database } => {
                let left = self.engine.ledger().left(database);
                self.outbox.send(id, Ok(Response::Counts(vec![left])));
            }
            Request::TakeLog { database, written } => {
                self.outbox.open(id);
                let outbox = self.outbox.clone();
                self.engine.log().take(database, written, move |upto, packets, lost| {
                    outbox.answer(id, Ok(Response::Log { upto, packets, lost }));
                });
            }
            Request::LogState { database } => {
                let state = self.engine.log().state(database);
                self.outbox.send(id, Ok(Response::LogState(state)));
            }
            Request::Models => self.answer_later(id, |engine| Ok(Response::Models(engine.models()))),
            Request::Describe { model } => self.answer_later(id, move |engine| {
                let station = engine.registry().station(&model)?;
                station.describe()?;
                Ok(Response::Models(vec![station.report()]))
            }),
            Request::Stats => self.answer_later(id, |engine| Ok(Response::Stats(engine.stats()))),
            Request::Report(progress) => self.engine.report(self.number, progress),
            Request::Reports => self.outbox.send(id, Ok(Response::Reports(self.engine.reports()))),
            Request::Cancel { request } => {
                if self.outbox.cancel(request) {
                    self.engine.sweep();
                }
            }
            Request::PostPiece { run, seq, piece } => self.engine.mailboxes().post(run, seq, piece),
            Request::EndPieces(run) => self.engine.mailboxes().end(run),
            Request::NextPieces { run, after, wait_ms } => {
                self.outbox.open(id);
                let (mailboxes, outbox) = (self.engine.mailboxes().clone(), self.outbox.clone());
                tokio::spawn(async move {
                    let pieces = mailboxes.next(run, after, Duration::from_millis(wait_ms.into())).await;
                    outbox.answer(id, Ok(Response::Pieces(pieces)));
                });
            }
            Request::Check { schema, answer } => providers::check(&self.outbox, id, schema, answer),
        }
        Ok(())
    }

    fn greet(&mut self, id: u64, request: Request) -> Result<(), Error> {
        match request {
            Request::Hello { protocol: PROTOCOL, .. } => {
                self.greeted = true;
                let version = env!("CARGO_PKG_VERSION").to_owned();
                self.outbox
                    .send(id, Ok(Response::Hello { protocol: PROTOCOL, version, pid: std::process::id() }));
                Ok(())
            }
            Request::Hello { protocol, .. } => Err(Error::Version { expected: PROTOCOL, actual: protocol }),
            _ => Err(Error::Protocol("expected hello as the first request".into())),
        }
    }

    /// For what reads files: not in the thread that serves the sockets.
    fn answer_later(&self, id: u64, work: impl FnOnce(&Engine) -> Result<Response, Error> + Send + 'static) {
        let (engine, outbox) = (self.engine.clone(), self.outbox.clone());
        outbox.open(id);
        tokio::task::spawn_blocking(move || outbox.answer(id, work(&engine)));
    }

    async fn send_last(&self, id: u64, error: Error) {
        self.outbox.send(id, Err(error));
        self.outbox.flush().await;
    }
}

/// A frame above this size is decoded elsewhere, and its buffer is not kept for the next one.
const LARGE: usize = 1 << 20;

enum ReadError {
    Gone,
    /// The number of the request, 0 if it cannot be told, and its length.
    TooLong(u64, usize),
}

impl From<std::io::Error> for ReadError {
    fn from(_: std::io::Error) -> Self {
        Self::Gone
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
        Err(FrameError::Malformed(_)) => return Err(ReadError::Gone),
    };
    frame.clear();
    // Grows as bytes come, so that an announced length alone takes no memory.
    let read = stream.take(length as u64).read_to_end(frame).await?;
    if read < length { Err(ReadError::Gone) } else { Ok(()) }
}
