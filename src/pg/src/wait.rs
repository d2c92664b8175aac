//! The only module in which backends and background workers wait.

use pgrx::{check_for_interrupts, pg_sys};
use std::os::fd::RawFd;
use std::time::{Duration, Instant};

/// The event on a socket that ends a wait.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Interest {
    /// Readable.
    Read,
    /// Writable.
    Write,
    /// Readable or writable.
    ReadWrite,
}

/// Waits until the socket is ready, the latch is set or the deadline passes, and handles interrupts: a cancel of the
/// statement raises a PostgreSQL ERROR, which unwinds.
pub fn for_socket(socket: RawFd, interest: Interest, deadline: Instant) {
    let events = match interest {
        Interest::Read => pg_sys::WL_SOCKET_READABLE,
        Interest::Write => pg_sys::WL_SOCKET_WRITEABLE,
        Interest::ReadWrite => pg_sys::WL_SOCKET_READABLE | pg_sys::WL_SOCKET_WRITEABLE,
    };
    wait(Some(socket), events, deadline);
}

/// Waits until the latch is set or the timeout passes, and handles interrupts.
pub fn for_latch(timeout: Duration) {
    wait(None, 0, Instant::now() + timeout);
}

fn wait(socket: Option<RawFd>, events: u32, deadline: Instant) {
    let left = deadline.saturating_duration_since(Instant::now()).as_millis();
    let left = i64::try_from(left).unwrap_or(i64::MAX).clamp(0, i64::from(i32::MAX));
    let events = events | pg_sys::WL_LATCH_SET | pg_sys::WL_TIMEOUT | pg_sys::WL_EXIT_ON_PM_DEATH;
    // SAFETY: MyLatch is this process's own latch, and the socket stays open during the call.
    unsafe {
        let happened = pg_sys::WaitLatchOrSocket(
            pg_sys::MyLatch,
            events as i32,
            socket.unwrap_or(pg_sys::PGINVALID_SOCKET),
            left,
            pg_sys::PG_WAIT_EXTENSION,
        );
        if happened as u32 & pg_sys::WL_LATCH_SET != 0 {
            pg_sys::ResetLatch(pg_sys::MyLatch);
        }
    }
    check_for_interrupts!();
}

/// Handles interrupts without waiting; a termination or a cancel is raised here.
pub fn serve_interrupts() {
    check_for_interrupts!();
}
