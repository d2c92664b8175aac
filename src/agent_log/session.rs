//! Runs that this session has begun, or has found to be the current role's. To look each step's run up would take longer than to
//! write the step.

use crate::agent_log::{send, tables, unknown};
use ragstone_pg::clock;
use ragstone_pg::error::Result;
use ragstone_pg::role::Role;
use ragstone_pg::spi::{Arg, connect, run as statement};
use ragstone_pg::transactions;
use std::cell::RefCell;
use std::collections::HashMap;
use std::rc::Rc;
use std::sync::Once;
use std::time::Duration;

/// Runs that a session remembers. Who goes through more of them looks some up again.
const MOST: usize = 1024;

/// So long a run is waited for that may be on its way into its table.
const ON_ITS_WAY: Duration = Duration::from_secs(5);

thread_local! {
    static KNOWN: RefCell<HashMap<i64, Known>> = RefCell::new(HashMap::new());
}

/// A run of the current role's.
#[derive(Clone)]
pub struct Known {
    /// Its number.
    pub id: i64,
    /// Whose it is.
    pub role: Role,
    /// What runs.
    pub agent: Rc<str>,
    /// When it began, microseconds since 1970.
    pub started_us: i64,
    /// The number of its last step, as far as this session knows.
    pub number: i32,
    /// Whether it stays where the transaction is rolled back, and may not be in its table yet.
    pub autonomous: bool,
    /// The transaction that it belongs to, where this session began it so.
    pub begun_in: Option<u64>,
}

/// Remembers a run.
pub fn remember(run: Known) {
    watch();
    KNOWN.with_borrow_mut(|known| {
        if known.len() >= MOST {
            known.clear();
        }
        known.insert(run.id, run);
    });
}

/// A run of the current role's.
///
/// # Errors
/// 42704 where there is no such run, or it is somebody else's.
pub fn find(id: i64) -> Result<Known> {
    counted(id, 0)
}

/// A run of the current role's, with the number of its next step.
///
/// # Errors
/// As [`find`].
pub fn next_step(id: i64) -> Result<Known> {
    counted(id, 1)
}

fn counted(id: i64, steps: i32) -> Result<Known> {
    let count = |known: &mut Known| {
        known.number = known.number.saturating_add(steps);
        known.clone()
    };
    let known =
        KNOWN.with_borrow_mut(|known| known.get_mut(&id).filter(|known| known.role.is_current()).map(count));
    if let Some(known) = known {
        return Ok(known);
    }
    let known = count(&mut look_up(id)?);
    remember(known.clone());
    Ok(known)
}

fn look_up(id: i64) -> Result<Known> {
    if let Some(known) = in_table(id)? {
        return Ok(known);
    }
    // Another session may have begun it just now, and it is on its way into the table.
    send::wait_for(ON_ITS_WAY, || in_table(id))?.ok_or_else(|| unknown(id))
}

fn in_table(id: i64) -> Result<Option<Known>> {
    let role = Role::current()?;
    connect(|| {
        tables::as_owner(|| {
            let rows = statement(
                include_str!("../../sql/queries/run.sql"),
                &[Arg::new(id), Arg::name(role.name())],
            )?;
            let (Some(agent), Some(started)) = (rows.text(0, 0), rows.int8(0, 1)) else {
                return Ok(None);
            };
            let started_us = clock::from_postgres(started).unwrap_or_default();
            let number = rows.int4(0, 2).unwrap_or_default();
            Ok(Some(Known {
                id,
                role,
                agent: agent.into(),
                started_us,
                number,
                autonomous: false,
                begun_in: None,
            }))
        })
    })
}

/// What a transaction wrote is gone with it; what it found may have been its own.
fn watch() {
    static REGISTERED: Once = Once::new();
    REGISTERED.call_once(|| {
        transactions::on_abort(|| KNOWN.with_borrow_mut(|known| known.retain(|_, run| run.autonomous)));
    });
}
