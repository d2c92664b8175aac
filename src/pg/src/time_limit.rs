//! Work that is cancelled when it takes too long, while the statement around it goes on. `statement_timeout` can do neither:
//! set inside a statement it does nothing, and it ends the whole of it.
//!
//! Postgres knows one way to cancel what runs: the flag that Ctrl-C sets, too. So a limit of ours sets it from a timeout of
//! Postgres's own, and remembers that it did. Everybody else sets it through SIGINT (a user's cancel, `statement_timeout`,
//! `lock_timeout`), and those are counted while a limit is in force: who cancels at the same moment is not taken for the limit.

use crate::major_version::{NEW_TIMEOUT, STATEMENT_TIMEOUT};
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

/// Whether the limit in force is over.
static EXPIRED: AtomicBool = AtomicBool::new(false);

/// SIGINTs that came while limits were in force.
static INTERRUPTS: AtomicU32 = AtomicU32::new(0);

/// Postgres's own handler of SIGINT, while ours is in its place.
static INTERRUPT_HANDLER: AtomicUsize = AtomicUsize::new(0);

thread_local! {
    /// When the limit in force is over. Limits may be nested: the nearest of their ends is in force.
    static NEAREST_END: Cell<Option<Instant>> = const { Cell::new(None) };
}

/// Who has cancelled some work.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Canceller {
    /// Nobody: an error of this code is the work's own.
    Nobody,
    /// The limit.
    Limit,
    /// Whoever started the statement, a setting, or a limit around this one; perhaps the limit, too.
    Other,
}

/// Does `work`, which is cancelled (57014) when the time is over. `canceller` tells who cancelled it, also where the work
/// raised an error, or caught the cancel.
pub fn within<T>(limit: Duration, canceller: &Cell<Canceller>, work: impl FnOnce() -> T) -> T {
    let _limit = ActiveLimit::start(limit, canceller);
    work()
}

/// Raises what is due where `statement_timeout` was over at the same moment as a limit, in Postgres's words for it.
pub fn serve_statement_timeout() {
    // SAFETY: a plain read.
    if unsafe { pg_guard_ffi_boundary(|| get_timeout_indicator(STATEMENT_TIMEOUT, false)) } {
        check_for_interrupts!();
    }
}

/// A limit; it ends when this is dropped, on an ERROR too.
struct ActiveLimit<'a> {
    canceller: &'a Cell<Canceller>,
    /// The end of the limit around this one.
    outer: Option<Instant>,
    /// Whether this one ends before that.
    nearest: bool,
    interrupts: u32,
    /// What handled SIGINT before the outermost limit.
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
                // The work may have ended before it has noticed, and nobody else is to be cancelled.
                // SAFETY: a flag of this process, which signal handlers write.
                unsafe { (&raw mut pg_sys::QueryCancelPending).write_volatile(0) };
                // But for one that came between the two lines.
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
            // SAFETY: gives back what was there before.
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

/// The timeout of Postgres's that ours goes by, once for each process.
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

/// Runs in Postgres's handler of SIGALRM, which has set the process's latch.
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

/// Whoever catches the cancel (`EXCEPTION WHEN query_canceled`) is cancelled again as soon as he goes on.
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

/// Has SIGINTs counted before Postgres handles them; gives what handled them.
fn count_interrupts() -> Option<libc::sigaction> {
    let mut handler = MaybeUninit::<libc::sigaction>::uninit();
    // SAFETY: reads the handler in force, and sets one with the same mask and flags that calls it.
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
    INTERRUPTS.fetch_add(1, Ordering::Relaxed);
    let handler = INTERRUPT_HANDLER.load(Ordering::Relaxed);
    // SAFETY: the handler that was in force is a function of one argument; it was stored before this one was set.
    unsafe {
        let handler = std::mem::transmute::<usize, extern "C" fn(c_int)>(handler);
        handler(signal);
    }
}
