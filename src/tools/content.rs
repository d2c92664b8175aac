//! The part of a tool's result that is shown to the model: JSON with a limited number of rows and bytes.

use crate::tools::function::Returns;
use crate::tools::limits::Limits;
use crate::tools::observation::{Observation, clip};
use ragstone_pg::cursor::Cursor;
use ragstone_pg::error::Result;

/// Number of rows per fetch while rows are shown. It is small, because each row may be large.
const SHOWN_ROWS_PER_FETCH: i64 = 16;

/// Number of rows per fetch while rows are only counted.
const COUNTED_ROWS_PER_FETCH: i64 = 1_000;

/// Reads the result of a statement with one column of type `json`.
pub fn read(cursor: &Cursor, returns: Returns, limits: Limits) -> Result<Observation> {
    match returns {
        Returns::Void => {
            while cursor.fetch(COUNTED_ROWS_PER_FETCH)?.count > 0 {}
            Ok(Observation::of("done".to_owned(), 0, false))
        }
        Returns::Value => value(cursor, limits),
        Returns::Rows => rows(cursor, limits),
    }
}

fn value(cursor: &Cursor, limits: Limits) -> Result<Observation> {
    let max_bytes = limits.max_bytes as usize;
    let row = cursor.fetch(SHOWN_ROWS_PER_FETCH)?;
    let Some((mut json, bytes)) = row.text_start(0, 0, max_bytes) else {
        return Ok(Observation::of("null".to_owned(), 1, false));
    };
    let truncated = bytes > max_bytes || json.len() > max_bytes;
    let shown = clip(&mut json, max_bytes);
    if truncated {
        json.push_str(&format!("\n(cut: the first {shown} of {bytes} bytes)"));
    }
    Ok(Observation::of(json, 1, truncated))
}

/// Reads the rows of a result. For a tool that writes, all rows are read, so that the limit of shown rows
/// does not limit the tool's effects.
fn rows(cursor: &Cursor, limits: Limits) -> Result<Observation> {
    let mut rows = JsonRows::new(limits);
    loop {
        let slice = cursor.fetch(if rows.full { COUNTED_ROWS_PER_FETCH } else { SHOWN_ROWS_PER_FETCH })?;
        if slice.count == 0 {
            let total = rows.seen;
            return Ok(rows.into_observation(Some(total)));
        }
        for row in 0..slice.count {
            rows.add(|max_bytes| slice.text_start(row, 0, max_bytes));
        }
        if rows.full && !limits.writes {
            return Ok(rows.into_observation(None));
        }
    }
}

/// A JSON array of rows that is being built.
struct JsonRows {
    json: String,
    seen: u64,
    shown: u64,
    max_rows: u64,
    max_bytes: usize,
    /// True if no further rows are shown.
    full: bool,
    /// Full size, in bytes, of the first row if it is cut.
    part_of: Option<usize>,
}

impl JsonRows {
    fn new(limits: Limits) -> Self {
        Self {
            json: "[".to_owned(),
            seen: 0,
            shown: 0,
            max_rows: limits.max_rows as u64,
            max_bytes: limits.max_bytes as usize,
            full: false,
            part_of: None,
        }
    }

    fn add(&mut self, row: impl FnOnce(usize) -> Option<(String, usize)>) {
        self.seen += 1;
        self.full |= self.shown == self.max_rows;
        if self.full {
            return;
        }
        // The comma and the closing bracket need room as well.
        let room = self.max_bytes.saturating_sub(self.json.len() + 2);
        let (mut json, bytes) = row(room).unwrap_or_else(|| ("null".to_owned(), 4));
        if bytes > room || json.len() > room {
            self.full = true;
            if self.shown == 0 {
                clip(&mut json, room);
                self.json.push_str(&json);
                self.part_of = Some(bytes);
            }
            return;
        }
        if self.shown > 0 {
            self.json.push(',');
        }
        self.json.push_str(&json);
        self.shown += 1;
    }

    fn into_observation(mut self, total: Option<u64>) -> Observation {
        let shown = self.shown;
        let note = match (self.part_of, total) {
            (None, _) if !self.full => String::new(),
            (Some(bytes), _) => format!("\n(cut: the first row alone has {bytes} bytes)"),
            (None, Some(total)) => format!("\n(cut: the first {shown} of {total} rows)"),
            (None, None) => format!("\n(cut: the first {shown} rows; there are more)"),
        };
        if self.part_of.is_none() {
            self.json.push(']');
        }
        self.json.push_str(&note);
        Observation::of(self.json, shown, self.full)
    }
}
