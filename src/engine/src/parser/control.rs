//! What the engine sends to the launcher: a socket, and the limits of the child that gets it.

use std::{
    io::{IoSlice, IoSliceMut},
    mem::MaybeUninit,
    os::fd::{AsFd, OwnedFd},
};

use rustix::{
    cmsg_space,
    io::Errno,
    net::{
        RecvAncillaryBuffer, RecvAncillaryMessage, RecvFlags, SendAncillaryBuffer, SendAncillaryMessage,
        SendFlags, recvmsg, sendmsg,
    },
};

/// The limits of a child.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ChildLimits {
    /// Memory for parsing, MB.
    pub memory_mb: u32,
    /// Time, milliseconds.
    pub timeout_ms: u32,
}

/// Bytes of a message.
const MESSAGE: usize = 8;

/// Sends a socket. Does not wait: [`Errno::AGAIN`] if the launcher has not received earlier ones yet.
pub fn send(control: impl AsFd, limits: ChildLimits, socket: &OwnedFd) -> Result<(), Errno> {
    let message = [limits.memory_mb.to_le_bytes(), limits.timeout_ms.to_le_bytes()].concat();
    let mut space = [MaybeUninit::uninit(); cmsg_space!(ScmRights(1))];
    let mut ancillary = SendAncillaryBuffer::new(&mut space);
    let sockets = [socket.as_fd()];
    ancillary.push(SendAncillaryMessage::ScmRights(&sockets));
    let flags = SendFlags::DONTWAIT | SendFlags::NOSIGNAL;
    sendmsg(control, &[IoSlice::new(&message)], &mut ancillary, flags).map(drop)
}

/// Waits for the next socket; `None` when the engine has ended.
pub fn receive(control: impl AsFd) -> Result<Option<(ChildLimits, OwnedFd)>, Errno> {
    let mut message = [0; MESSAGE];
    let mut space = [MaybeUninit::uninit(); cmsg_space!(ScmRights(1))];
    let mut ancillary = RecvAncillaryBuffer::new(&mut space);
    let received = loop {
        let mut buffers = [IoSliceMut::new(&mut message)];
        match recvmsg(&control, &mut buffers, &mut ancillary, RecvFlags::CMSG_CLOEXEC) {
            Err(Errno::INTR) => {}
            result => break result?,
        }
    };
    let socket = ancillary.drain().find_map(|message| match message {
        RecvAncillaryMessage::ScmRights(mut sockets) => sockets.next(),
        _ => None,
    });
    let number =
        |at: usize| u32::from_le_bytes([message[at], message[at + 1], message[at + 2], message[at + 3]]);
    Ok(socket
        .filter(|_| received.bytes == MESSAGE)
        .map(|socket| (ChildLimits { memory_mb: number(0), timeout_ms: number(4) }, socket)))
}
