//! Draws a run for its owner in psql.

use crate::agent_log::run_not_found;
use ragstone_core::log::trace::{self, TraceRun, TraceStep, TraceStyle};
use ragstone_pg::error::{Error, Result};
use ragstone_pg::own_tables::with_safe_search_path;
use ragstone_pg::rows::Rows;
use ragstone_pg::spi::{Arg, connect, select};
use ragstone_pg::{clock, encoding};

/// Accepted widths of a line, in columns.
const ACCEPTED_WIDTHS: std::ops::RangeInclusive<i32> = 40..=1000;

/// The lines of a run that the current role may see, in ASCII if `ascii` is set or the database's encoding
/// has no line-drawing characters.
pub fn trace(run: i64, width: i32, ascii: bool) -> Result<Vec<String>> {
    if !ACCEPTED_WIDTHS.contains(&width) {
        let (least, most) = (ACCEPTED_WIDTHS.start(), ACCEPTED_WIDTHS.end());
        return Err(Error::bad_argument(format!("width must be {least} to {most}, but is {width}")));
    }
    let has_lines = encoding::is_utf8();
    let style = TraceStyle { width: width as usize, ascii: ascii || !has_lines };
    connect(|| {
        let found = with_safe_search_path(|| {
            select(
                "SELECT agent, status, started, finished, error, rolled_back FROM rag.runs WHERE id = $1",
                &[Arg::new(run)],
            )
        })?;
        if found.count == 0 {
            return Err(run_not_found(run));
        }
        let steps =
            with_safe_search_path(|| select(include_str!("../../sql/queries/trace.sql"), &[Arg::new(run)]))?;
        let steps: Vec<TraceStep> = (0..steps.count).map(|row| read_step(&steps, row)).collect();
        Ok(trace::lines(&read_run(&found, run), &steps, style))
    })
}

fn read_run(rows: &Rows, id: i64) -> TraceRun {
    TraceRun {
        id,
        agent: rows.text(0, 0).unwrap_or_default(),
        status: rows.text(0, 1).unwrap_or_default(),
        started_us: moment(rows, 0, 2).unwrap_or_default(),
        finished_us: moment(rows, 0, 3),
        error: rows.text(0, 4),
        rolled_back: rows.boolean(0, 5).unwrap_or(false),
    }
}

fn read_step(rows: &Rows, row: usize) -> TraceStep {
    TraceStep {
        id: rows.int8(row, 0).unwrap_or_default(),
        parent: rows.int8(row, 1),
        kind: rows.text(row, 2).unwrap_or_default(),
        name: rows.text(row, 3),
        model: rows.text(row, 4),
        input_tokens: rows.int8(row, 5),
        output_tokens: rows.int8(row, 6),
        cost: rows.float8(row, 7),
        started_us: moment(rows, row, 8).unwrap_or_default(),
        duration_ms: rows.float8(row, 9),
        status: rows.text(row, 10).unwrap_or_default(),
        error: rows.text(row, 11),
        input: rows.text(row, 12),
        output: rows.text(row, 13),
    }
}

/// Microseconds since 1970.
fn moment(rows: &Rows, row: usize, column: usize) -> Option<i64> {
    clock::from_postgres(rows.int8(row, column)?)
}
