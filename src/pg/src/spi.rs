//! Runs SQL from inside a function: cached plans, read-only execution, rows whose memory is freed.
//!
//! pgrx's own `Spi` parses and plans a statement at every call, decides by itself whether the statement is read-only, and
//! keeps each result until the end. A search runs eight small statements, so planning would cost more than the search.

use crate::bytes::{Jsonb, JsonbRef};
use crate::clock;
use crate::encoding::server_cstring;
use crate::error::{Error, Result};
use crate::own_sqlstate::keep_sqlstate;
use crate::rows::{Rows, rows};
use crate::spi_scope::Entered;
use crate::text::utf8_datum;
use crate::value::{Value, varlena};
use pgrx::datum::IntoDatum;
use pgrx::{Spi, pg_sys};
use std::cell::{Cell, RefCell};
use std::collections::HashMap;
use std::ffi::c_char;

/// Maximum number of plans that a session keeps. Searching one collection needs about ten.
const MAX_KEPT_PLANS: usize = 256;

thread_local! {
    /// Kept plans by statement text and argument types. PostgreSQL itself replans a plan that is out of date.
    static PLANS: RefCell<HashMap<(String, Vec<pg_sys::Oid>), pg_sys::SPIPlanPtr>> = RefCell::new(HashMap::new());

    /// Number of statements in progress: a statement may call a function that runs another one.
    static RUNNING_STATEMENTS: Cell<usize> = const { Cell::new(0) };
}

/// An argument of a statement.
#[derive(Debug, Clone, Copy)]
pub struct Arg {
    pub(super) oid: pg_sys::Oid,
    pub(super) datum: Option<pg_sys::Datum>,
}

impl Arg {
    /// A value of a type that pgrx knows. The datum is created in the current memory context.
    pub fn new<T: IntoDatum>(value: T) -> Self {
        Self { oid: T::type_oid(), datum: value.into_datum() }
    }

    /// A value of a type that pgrx knows, or null.
    pub fn optional<T: IntoDatum>(value: Option<T>) -> Self {
        Self { oid: T::type_oid(), datum: value.and_then(IntoDatum::into_datum) }
    }

    /// A `text`.
    pub fn text(value: &str) -> Self {
        Self { oid: pg_sys::TEXTOID, datum: Some(utf8_datum(value)) }
    }

    /// A `text`, or null.
    pub fn optional_text(value: Option<&str>) -> Self {
        Self { oid: pg_sys::TEXTOID, datum: value.map(utf8_datum) }
    }

    /// A `jsonb`, or null.
    pub fn optional_jsonb(value: Option<&Jsonb>) -> Self {
        Self { oid: pg_sys::JSONBOID, datum: value.map(|value| varlena(&value.0)) }
    }

    /// A value of a varlena type, from its bytes without the header.
    pub fn varlena(oid: pg_sys::Oid, bytes: &[u8]) -> Self {
        Self { oid, datum: Some(varlena(bytes)) }
    }

    /// Like [`Self::varlena`], or null.
    pub fn varlena_or_null(oid: pg_sys::Oid, bytes: Option<&[u8]>) -> Self {
        Self { oid, datum: bytes.map(varlena) }
    }

    /// A `timestamptz`, from microseconds since 1970.
    pub fn timestamptz(microseconds: i64) -> Self {
        let datum = pg_sys::Datum::from(clock::to_postgres(microseconds));
        Self { oid: pg_sys::TIMESTAMPTZOID, datum: Some(datum) }
    }

    /// A `jsonb` argument, passed on without a copy.
    pub fn jsonb(value: JsonbRef<'_>) -> Self {
        Self { oid: pg_sys::JSONBOID, datum: Some(value.datum()) }
    }

    /// A `name`. Its bytes are read while the statement runs.
    pub fn name(name: &pg_sys::NameData) -> Self {
        Self { oid: pg_sys::NAMEOID, datum: Some(pg_sys::Datum::from(std::ptr::from_ref(name))) }
    }

    /// The value, if it is not null, of an argument whose type is passed as 64 bits.
    pub fn int8(&self) -> Option<i64> {
        self.datum.map(|datum| datum.value() as i64)
    }

    /// A null of a type.
    pub fn null(oid: pg_sys::Oid) -> Self {
        Self { oid, datum: None }
    }

    /// A value of a type known only at run time.
    pub fn value(value: &Value) -> Self {
        Self { oid: value.oid, datum: Some(value.datum()) }
    }
}

/// Runs `work`, in which statements may run, with a memory context of its own. Rows that `work` returns cannot be read.
pub fn connect<T>(work: impl FnOnce() -> T) -> T {
    keep_sqlstate(|| {
        Spi::connect(|_| {
            let _entered = Entered::connection();
            work()
        })
    })
}

/// Runs `work`, SELECTs that see everything committed until now, even in a REPEATABLE READ transaction.
pub fn with_latest_snapshot<T>(work: impl FnOnce() -> T) -> T {
    // SAFETY: the popped snapshot is the one that was pushed; an ERROR's own cleanup pops it as well.
    unsafe {
        pg_sys::PushActiveSnapshot(pg_sys::GetLatestSnapshot());
        let done = work();
        pg_sys::PopActiveSnapshot();
        done
    }
}

/// Runs a SELECT with a kept plan, under the snapshot of the calling statement. Works on a standby.
pub fn select(sql: &str, args: &[Arg]) -> Result<Rows> {
    run_kept(sql, args, true)
}

/// Runs a statement with a kept plan. It sees the transaction's own changes.
pub fn run(sql: &str, args: &[Arg]) -> Result<Rows> {
    run_kept(sql, args, false)
}

/// Checks a statement without running it; raises the errors that PostgreSQL finds.
pub fn check_statement(sql: &str, types: &[pg_sys::Oid]) -> Result<()> {
    let text = server_cstring(sql)?;
    let mut types = types.to_vec();
    // SAFETY: text and types live through the call; the plan lives as long as the connection.
    unsafe { pg_sys::SPI_prepare(text.as_ptr(), types.len() as i32, types.as_mut_ptr()) };
    Ok(())
}

/// Runs a statement whose plan is not kept, for example a DDL statement.
pub fn run_once(sql: &str) -> Result<Rows> {
    let text = server_cstring(sql)?;
    let _running = RunningStatement::start();
    // SAFETY: the text lives through the call; every ERROR unwinds.
    let status = unsafe {
        pg_sys::SPI_tuptable = std::ptr::null_mut();
        pg_sys::SPI_execute(text.as_ptr(), false, 0)
    };
    rows(status)
}

fn run_kept(sql: &str, args: &[Arg], read_only: bool) -> Result<Rows> {
    let plan = plan(sql, args)?;
    let mut datums: Vec<_> = args.iter().map(|arg| arg.datum.unwrap_or(pg_sys::Datum::null())).collect();
    let nulls: Vec<c_char> =
        args.iter().map(|arg| if arg.datum.is_some() { b' ' } else { b'n' } as c_char).collect();
    let _running = RunningStatement::start();
    // SAFETY: the plan was prepared for as many arguments of these types; every ERROR unwinds.
    let status = unsafe {
        pg_sys::SPI_tuptable = std::ptr::null_mut();
        pg_sys::SPI_execute_plan(plan, datums.as_mut_ptr(), nulls.as_ptr(), read_only, 0)
    };
    rows(status)
}

/// A kept, generic plan: the best plan for one query here is also the best for the others, and a custom plan would be made
/// again at each call.
pub(super) fn plan(sql: &str, args: &[Arg]) -> Result<pg_sys::SPIPlanPtr> {
    let key = (sql.to_owned(), args.iter().map(|arg| arg.oid).collect::<Vec<_>>());
    if let Some(plan) = PLANS.with_borrow(|plans| plans.get(&key).copied()) {
        return Ok(plan);
    }
    let text = server_cstring(sql)?;
    // SAFETY: text and types live through the call; a kept plan belongs to the session.
    let plan = unsafe {
        let plan = pg_sys::SPI_prepare_cursor(
            text.as_ptr(),
            key.1.len() as i32,
            key.1.clone().as_mut_ptr(),
            pg_sys::CURSOR_OPT_GENERIC_PLAN as i32,
        );
        if plan.is_null() || pg_sys::SPI_keepplan(plan) != 0 {
            let status = pg_sys::SPI_result;
            return Err(Error::internal(format!("SPI cannot prepare: status {status}")));
        }
        plan
    };
    let old = PLANS.with_borrow_mut(|plans| {
        let full = plans.len() >= MAX_KEPT_PLANS && RUNNING_STATEMENTS.get() == 0;
        let old = if full { std::mem::take(plans) } else { HashMap::new() };
        plans.insert(key, plan);
        old
    });
    for plan in old.into_values() {
        // SAFETY: each plan was kept once, and none is in progress.
        unsafe { pg_sys::SPI_freeplan(plan) };
    }
    Ok(plan)
}

/// Counts a statement as in progress until it is dropped, also by an ERROR.
struct RunningStatement;

impl RunningStatement {
    fn start() -> Self {
        RUNNING_STATEMENTS.set(RUNNING_STATEMENTS.get() + 1);
        Self
    }
}

impl Drop for RunningStatement {
    fn drop(&mut self) {
        RUNNING_STATEMENTS.set(RUNNING_STATEMENTS.get() - 1);
    }
}
