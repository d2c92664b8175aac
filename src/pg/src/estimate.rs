//! The planner's estimates for a statement.

use crate::error::{Error, Result};
use crate::spi::run_once;

/// The planner's estimates for a statement.
#[derive(Debug, Clone, Copy)]
pub struct Estimate {
    /// Number of rows.
    pub rows: f64,
    /// Total cost, in the planner's units: 1 is a sequential page read.
    pub cost: f64,
}

impl Estimate {
    /// Plans a SELECT as the current role, with the row-level security policies that apply to it.
    pub fn of(select: &str) -> Result<Self> {
        let rows = run_once(&format!("EXPLAIN (FORMAT JSON) {select}"))?;
        let plan = rows.text(0, 0).and_then(|plan| serde_json::from_str::<serde_json::Value>(&plan).ok());
        let number = |name: &str| plan.as_ref()?.pointer(&format!("/0/Plan/{name}"))?.as_f64();
        match (number("Plan Rows"), number("Total Cost")) {
            (Some(rows), Some(cost)) => Ok(Self { rows, cost }),
            _ => Err(Error::internal("a plan has no number of rows or no cost")),
        }
    }
}
