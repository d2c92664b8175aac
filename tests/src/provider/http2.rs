//! One client's connection with HTTP/2, which carries parallel requests.

use super::reply::{Answer, Kind, Part};
use super::{Seen, State};
use crate::Result;
use anyhow::bail;
use bytes::Bytes;
use h2::server::SendResponse;
use h2::{Reason, RecvStream, SendStream};
use http::{Request, Response};
use rustls::ServerConfig;
use serde_json::Value;
use std::future::{pending, poll_fn};
use std::net::{Shutdown, TcpStream};
use std::sync::Arc;
use std::time::Duration;
use tokio::runtime;
use tokio::time::sleep;
use tokio_rustls::TlsAcceptor;

/// Serves a client until it disconnects.
pub(super) fn serve(state: &Arc<State>, stream: TcpStream, tls: Arc<ServerConfig>, number: usize) {
    let Ok(socket) = stream.try_clone() else { return };
    if let Ok(runtime) = runtime::Builder::new_current_thread().enable_all().build() {
        // It is no fault of the provider if a client disconnects or does not trust the certificate.
        let _ = runtime.block_on(serve_all(state, stream, tls, number));
    }
    let _ = socket.shutdown(Shutdown::Both);
}

async fn serve_all(
    state: &Arc<State>,
    stream: TcpStream,
    tls: Arc<ServerConfig>,
    number: usize,
) -> Result<()> {
    stream.set_nonblocking(true)?;
    let stream = TlsAcceptor::from(tls).accept(tokio::net::TcpStream::from_std(stream)?).await?;
    let mut connection = h2::server::handshake(stream).await?;
    while let Some(request) = connection.accept().await {
        let (request, respond) = request?;
        tokio::spawn(serve_one(state.clone(), request, respond, number));
    }
    Ok(())
}

async fn serve_one(
    state: Arc<State>,
    request: Request<RecvStream>,
    respond: SendResponse<Bytes>,
    number: usize,
) {
    let Ok(seen) = read(request, number).await else { return };
    let (index, reply) = state.begin(&seen);
    let mut kind = reply.kind;
    while let Kind::By(decide) = kind {
        kind = decide(&seen).kind;
    }
    let outcome = match kind {
        Kind::Answer(reply) => answer(respond, &reply).await,
        Kind::HangUp | Kind::By(_) => Ok(()),
    };
    state.end(index, outcome.is_err());
}

async fn read(request: Request<RecvStream>, connection: usize) -> Result<Seen> {
    let (head, mut body) = request.into_parts();
    let mut bytes = Vec::new();
    while let Some(chunk) = body.data().await {
        let chunk = chunk?;
        body.flow_control().release_capacity(chunk.len())?;
        bytes.extend_from_slice(&chunk);
    }
    let text = |value: &[u8]| String::from_utf8_lossy(value).into_owned();
    Ok(Seen {
        method: head.method.to_string(),
        path: head.uri.path_and_query().map(ToString::to_string).unwrap_or_default(),
        headers: head
            .headers
            .iter()
            .map(|(name, value)| (name.to_string(), text(value.as_bytes())))
            .collect(),
        body: serde_json::from_slice(&bytes).unwrap_or_else(|_| Value::from(text(&bytes))),
        connection,
        abandoned: false,
    })
}

/// Sends a reply. An error means that the client has reset the stream, or has disconnected.
async fn answer(mut respond: SendResponse<Bytes>, answer: &Answer) -> Result<()> {
    if !answer.after.is_zero() {
        let reset = poll_fn(|context| respond.poll_reset(context));
        unless_reset(reset, sleep(answer.after.min(FOREVER))).await?;
    }
    let mut head = Response::builder().status(answer.status);
    for (name, value) in &answer.headers {
        head = head.header(name, value);
    }
    let mut stream = respond.send_response(head.body(())?, false)?;
    for part in &answer.parts {
        match part {
            Part::Bytes(bytes) => stream.send_data(Bytes::copy_from_slice(bytes), false)?,
            Part::Spaces(count) => send_spaces(&mut stream, *count).await?,
            Part::Gate(gate) => {
                let open = async {
                    while !gate.wait(Duration::ZERO) {
                        sleep(LOOK).await;
                    }
                };
                unless_reset(poll_fn(|context| stream.poll_reset(context)), open).await?;
            }
            Part::Stall => unless_reset(poll_fn(|context| stream.poll_reset(context)), pending()).await?,
            Part::Break => {
                // A reset drops data that is not sent yet.
                sleep(LOOK).await;
                stream.send_reset(Reason::INTERNAL_ERROR);
                return Ok(());
            }
        }
    }
    Ok(stream.send_data(Bytes::new(), true)?)
}

async fn send_spaces(stream: &mut SendStream<Bytes>, count: u64) -> Result<()> {
    let block = Bytes::from_static(&[b' '; 64 << 10]);
    let mut left = usize::try_from(count)?;
    while left > 0 {
        stream.reserve_capacity(left.min(block.len()));
        match poll_fn(|context| stream.poll_capacity(context)).await {
            Some(capacity) => {
                let now = capacity?.min(left).min(block.len());
                stream.send_data(block.slice(..now), false)?;
                left -= now;
            }
            None => bail!("the client has gone"),
        }
    }
    Ok(())
}

/// Waits for `work`, or fails if the client resets the stream.
async fn unless_reset(
    reset: impl Future<Output = std::result::Result<Reason, h2::Error>>,
    work: impl Future<Output = ()>,
) -> Result<()> {
    tokio::select! {
        reason = reset => bail!("reset: {}", reason?),
        () = work => Ok(()),
    }
}

/// Interval at which a gate is checked. Within this time, all data has been sent.
const LOOK: Duration = Duration::from_millis(3);

/// Longer than any test.
const FOREVER: Duration = Duration::from_secs(3600);
