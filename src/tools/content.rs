//! What a model is shown of a result: JSON, up to so many rows and bytes.

use crate::tools::Observation;
use crate::tools::function::Returns;
use crate::tools::limits::Limits;
use ragstone_pg::cursor::Cursor;
use ragstone_pg::error::Result;

/// Rows that are fetched at once while they are shown: few, as each may be large.
const FEW: i64 = 16;

/// Rows that are fetched at once when they are only counted.
const MANY: i64 = 1_000;

/// What a statement gives whose one column is JSON.
pub fn read(cursor: &Cursor, returns: Returns, limits: Limits) -> Result<Observation> {
    match returns {
        Returns::Void => {
            while cursor.fetch(MANY)?.count > 0 {}
            Ok(Observation::of("done".to_owned(), 0, false))
        }
        Returns::Value => value(cursor, limits),
        Returns::Rows => rows(cursor, limits),
    }
}

fn value(cursor: &Cursor, limits: Limits) -> Result<Observation> {
    let most = limits.max_bytes as usize;
    let row = cursor.fetch(FEW)?;
    let Some((mut json, bytes)) = row.text_start(0, 0, most) else {
        return Ok(Observation::of("null".to_owned(), 1, false));
    };
    let truncated = bytes > most || json.len() > most;
    let shown = clip(&mut json, most);
    if truncated {
        json.push_str(&format!("\n(cut: the first {shown} of {bytes} bytes)"));
    }
    Ok(Observation::of(json, 1, truncated))
}

/// What writes runs to its end, so that a limit on what is shown is none on what is done.
fn rows(cursor: &Cursor, limits: Limits) -> Result<Observation> {
    let mut rows = Rows::new(limits);
    loop {
        let slice = cursor.fetch(if rows.full { MANY } else { FEW })?;
        if slice.count == 0 {
            let total = rows.seen;
            return Ok(rows.into_observation(Some(total)));
        }
        for row in 0..slice.count {
            rows.add(|most| slice.text_start(row, 0, most));
        }
        if rows.full && !limits.writes {
            return Ok(rows.into_observation(None));
        }
    }
}

/// An array of rows in the making.
struct Rows {
    json: String,
    seen: u64,
    shown: u64,
    most_rows: u64,
    most_bytes: usize,
    /// Whether no more are shown.
    full: bool,
    /// Bytes of a first row that is shown in part.
    part_of: Option<usize>,
}

impl Rows {
    fn new(limits: Limits) -> Self {
        Self {
            json: "[".to_owned(),
            seen: 0,
            shown: 0,
            most_rows: limits.max_rows as u64,
            most_bytes: limits.max_bytes as usize,
            full: false,
            part_of: None,
        }
    }

    fn add(&mut self, row: impl FnOnce(usize) -> Option<(String, usize)>) {
        self.seen += 1;
        self.full |= self.shown == self.most_rows;
        if self.full {
            return;
        }
        // A comma or the bracket at the end, too.
        let room = self.most_bytes.saturating_sub(self.json.len() + 2);
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

/// Cuts a text that is longer on a character's boundary; gives its length.
pub fn clip(text: &mut String, most: usize) -> usize {
    text.truncate(text.floor_char_boundary(most));
    text.len()
}
