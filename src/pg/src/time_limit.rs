//! Cancels work that takes too long, without ending the surrounding statement. `statement_timeout` cannot do this: it has
//! no effect if it is set inside a statement, and it ends the whole statement.
//!
//! PostgreSQL cancels running code in one way: by the flag that Ctrl-C sets. A limit sets this flag from a timeout that is
//! registered with PostgreSQL, and records that it did. All other cancels set it through SIGINT (a user's cancel,
//! `statement_timeout`). SIGINTs are counted while a limit is active, so that a cancel at the same time is not mistaken for
//! the limit. `lock_timeout` sends SIGINT as well, but is not a cancel: it ends work with its own error.

use crate::major_version::{LOCK_TIMEOUT, NEW_TIMEOUT, STATEMENT_TIMEOUT};
use pgrx::pg_sys::ffi::pg_guard_ffi_boundary;
use pgrx::{check_for_interrupts, pg_sys};
use std::cell::Cell;
use std::ffi::{c_int, c_void};
use std::mem::MaybeUninit;
use std::sync::Once;
use std::sync::atomic::{AtomicBool, AtomicU32, AtomicUsize, Ordering};
use std::time::{Duration, Instant};

unsafe extern "C-unwind" {
    fn RegisterTimeout(id: c_int, handler: extern "C" fn()) -> c_int;
    fn enable_timeout_after(id: c_int, milliseconds: c_int);
    fn disable_timeout(id: c_int, keep_indicator: bool);
    fn get_timeout_indicator(id: c_int, reset: bool) -> bool;
}

/// True once the active limit has expired.
static EXPIRED: AtomicBool = AtomicBool::new(false);

/// Number of SIGINTs received while limits were active.
static INTERRUPTS: AtomicU32 = AtomicU32::new(0);

/// PostgreSQL's SIGINT handler, while it is replaced.
static INTERRUPT_HANDLER: AtomicUsize = AtomicUsize::new(0);

thread_local! {
    /// When the active limit expires. Limits may be nested; the active one is the one that expires first.
    static NEAREST_END: Cell<Option<Instant>> = const { Cell::new(None) };
}

/// The cause of a cancel.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Canceller {
    /// There was none: an error with this SQLSTATE comes from the work itself.
    Nobody,
    /// The limit.
    Limit,
    /// The user, a setting or an outer limit, perhaps at the same time as the limit.
    Other,
}

/// Runs `work`, and cancels it (57014) if it takes longer than `limit`. `canceller` is set to the cause of a cancel, even
/// if `work` raised an error or caught the cancel.
pub fn within<T>(limit: Duration, canceller: &Cell<Canceller>, work: impl FnOnce() -> T) -> T {
    let _limit = ActiveLimit::start(limit, canceller);
    work()
}

/// The value of `statement_timeout`, which PostgreSQL itself enforces only for statements of clients; `None` if it is off.
pub fn statement_timeout() -> Option<Duration> {
    // SAFETY: a plain read of a setting.
    let milliseconds = unsafe { pg_sys::StatementTimeout };
    (milliseconds > 0).then(|| Duration::from_millis(milliseconds.unsigned_abs().into()))
}

/// Raises PostgreSQL's own error if `statement_timeout` expired at the same time as a limit.
pub fn serve_statement_timeout() {
    // SAFETY: a plain read.
    if unsafe { pg_guard_ffi_boundary(|| get_timeout_indicator(STATEMENT_TIMEOUT, false)) } {
        check_for_interrupts!();
    }
}

/// An active limit, which ends when it is dropped, also by an ERROR.
struct ActiveLimit<'a> {
    canceller: &'a Cell<Canceller>,
    /// The end of the enclosing limit.
    outer: Option<Instant>,
    /// True if this limit ends before the enclosing one.
    nearest: bool,
    interrupts: u32,
    /// The SIGINT handler before the outermost limit.
    handler: Option<libc::sigaction>,
}

impl<'a> ActiveLimit<'a> {
    fn start(limit: Duration, canceller: &'a Cell<Canceller>) -> Self {
        let end = Instant::now() + limit;
        let outer = NEAREST_END.get();
        let nearest = outer.is_none_or(|outer| end < outer);
        let handler = if outer.is_none() { count_interrupts() } else { None };
        let limit =
            Self { canceller, outer, nearest, interrupts: INTERRUPTS.load(Ordering::Relaxed), handler };
        if nearest {
            NEAREST_END.set(Some(end));
            set_timer(end);
        }
        limit
    }
}

impl Drop for ActiveLimit<'_> {
    fn drop(&mut self) {
        if self.nearest {
            stop_timer();
        }
        let over = EXPIRED.load(Ordering::Relaxed);
        let interrupted = INTERRUPTS.load(Ordering::Relaxed) != self.interrupts;
        self.canceller.set(match (over, interrupted) {
            (true, false) if self.nearest => Canceller::Limit,
            (false, false) => Canceller::Nobody,
            _ => Canceller::Other,
        });
        if self.nearest {
            EXPIRED.store(false, Ordering::Relaxed);
            if over && !interrupted {
                // The work may have ended before it noticed the cancel, which must not cancel later code.
                // SAFETY: a flag of this process, which signal handlers write.
                unsafe { (&raw mut pg_sys::QueryCancelPending).write_volatile(0) };
                // A SIGINT may have arrived since `interrupted` was read.
                if INTERRUPTS.load(Ordering::Relaxed) != self.interrupts {
                    cancel();
                }
            }
            NEAREST_END.set(self.outer);
            if let Some(outer) = self.outer {
                set_timer(outer);
            }
        }
        if let Some(handler) = &self.handler {
            // SAFETY: restores the former handler.
            unsafe { libc::sigaction(libc::SIGINT, handler, std::ptr::null_mut()) };
        }
    }
}

fn set_timer(end: Instant) {
    let left = end.saturating_duration_since(Instant::now()).as_micros().div_ceil(1000);
    let left = c_int::try_from(left).unwrap_or(c_int::MAX).max(1);
    // SAFETY: the timeout is registered.
    unsafe { pg_guard_ffi_boundary(|| enable_timeout_after(timeout(), left)) };
}

fn stop_timer() {
    // SAFETY: as above.
    unsafe { pg_guard_ffi_boundary(|| disable_timeout(timeout(), false)) };
}

/// The id of the timeout registered with Postgres, once per process.
pub fn timeout() -> c_int {
    static TIMEOUT: AtomicUsize = AtomicUsize::new(0);
    static REGISTERED: Once = Once::new();
    REGISTERED.call_once(|| {
        // SAFETY: handler and callback live as long as the process, as the library is never unloaded.
        unsafe {
            let id = pg_guard_ffi_boundary(|| RegisterTimeout(NEW_TIMEOUT, limit_expired));
            TIMEOUT.store(id as usize, Ordering::Relaxed);
            pg_sys::RegisterSubXactCallback(Some(subtransaction_ended), std::ptr::null_mut());
        }
    });
    TIMEOUT.load(Ordering::Relaxed) as c_int
}

/// Runs in PostgreSQL's SIGALRM handler, which has set the process's latch.
extern "C" fn limit_expired() {
    EXPIRED.store(true, Ordering::Relaxed);
    cancel();
}

fn cancel() {
    // SAFETY: flags of this process, which signal handlers may write at any time.
    unsafe {
        (&raw mut pg_sys::QueryCancelPending).write_volatile(1);
        (&raw mut pg_sys::InterruptPending).write_volatile(1);
    }
}

/// Cancels code that catches the cancel (`EXCEPTION WHEN query_canceled`) again as soon as it continues.
extern "C-unwind" fn subtransaction_ended(
    event: pg_sys::SubXactEvent::Type,
    _id: pg_sys::SubTransactionId,
    _parent: pg_sys::SubTransactionId,
    _argument: *mut c_void,
) {
    if event == pg_sys::SubXactEvent::SUBXACT_EVENT_ABORT_SUB && EXPIRED.load(Ordering::Relaxed) {
        cancel();
    }
}

/// Installs a handler that counts SIGINTs and calls PostgreSQL's handler; returns PostgreSQL's handler.
fn count_interrupts() -> Option<libc::sigaction> {
    let mut handler = MaybeUninit::<libc::sigaction>::uninit();
    // SAFETY: reads the current handler, and sets one with the same mask and flags that calls it.
    unsafe {
        if libc::sigaction(libc::SIGINT, std::ptr::null(), handler.as_mut_ptr()) != 0 {
            return None;
        }
        let handler = handler.assume_init();
        let is_function = handler.sa_flags & libc::SA_SIGINFO == 0
            && handler.sa_sigaction != libc::SIG_DFL
            && handler.sa_sigaction != libc::SIG_IGN;
        if !is_function {
            return None;
        }
        INTERRUPT_HANDLER.store(handler.sa_sigaction, Ordering::Relaxed);
        let ours = libc::sigaction { sa_sigaction: interrupted as *const () as usize, ..handler };
        (libc::sigaction(libc::SIGINT, &ours, std::ptr::null_mut()) == 0).then_some(handler)
    }
}

/// Handles SIGINT as Postgres would, and counts it.
extern "C" fn interrupted(signal: c_int) {
    // SAFETY: reads a flag, which is set before the signal is sent.
    if !unsafe { get_timeout_indicator(LOCK_TIMEOUT, false) } {
        INTERRUPTS.fetch_add(1, Ordering::Relaxed);
    }
    let handler = INTERRUPT_HANDLER.load(Ordering::Relaxed);
    // SAFETY: the former handler is a function of one argument; it was stored before this handler was set.
    unsafe {
        let handler = std::mem::transmute::<usize, extern "C" fn(c_int)>(handler);
        handler(signal);
    }
}
