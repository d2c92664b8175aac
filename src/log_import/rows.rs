//! Returns steps as rows of `rag.parse_log`.

use pgrx::pg_sys::Datum;
use ragstone_core::log::parse::ParsedStep;
use ragstone_pg::clock;
use ragstone_pg::encoding;
use ragstone_pg::tuplestore::Tuplestore;

/// Number of columns of the function.
pub const COLUMNS: usize = 19;

/// The rows that one call of the function returns.
pub struct ParsedRows {
    store: Tuplestore<COLUMNS>,
    is_utf8: bool,
}

impl ParsedRows {
    /// An empty set of rows.
    pub fn new(store: Tuplestore<COLUMNS>) -> Self {
        Self { store, is_utf8: encoding::is_utf8() }
    }

    /// Adds the row of a step.
    pub fn add(&mut self, row: &ParsedStep<'_>) {
        let float = |value: Option<f64>| value.map(|value| Datum::from(value.to_bits()));
        let int = |value: Option<i64>| value.map(Datum::from);
        self.store.set(0, Some(Datum::from(row.line)));
        self.ascii(1, row.format.map(|format| format.name()));
        self.text(2, row.run);
        self.text(3, row.span);
        self.text(4, row.parent);
        self.ascii(5, Some(row.kind.name()));
        self.text(6, row.name);
        self.store.set(7, int(row.started_us.map(clock::to_postgres)));
        self.store.set(8, float(row.duration_ms));
        self.store.set_varlena(9, row.input);
        self.store.set_varlena(10, row.output);
        self.text(11, row.model);
        self.store.set(12, int(row.input_tokens));
        self.store.set(13, int(row.output_tokens));
        self.store.set(14, float(row.cost));
        self.ascii(15, Some(row.status.name()));
        self.text(16, row.error);
        self.store.set_varlena(17, row.attributes);
        self.text(18, row.raw);
        self.store.put();
    }

    #[inline]
    fn text(&mut self, column: usize, text: Option<&[u8]>) {
        match text {
            Some(text) if !self.is_utf8 && !text.is_ascii() => {
                let mut encoded = Vec::new();
                encoding::encode(text, &mut encoded);
                self.store.set_text(column, Some(&encoded));
            }
            text => self.store.set_text(column, text),
        }
    }

    #[inline]
    fn ascii(&mut self, column: usize, text: Option<&'static str>) {
        self.store.set_text(column, text.map(str::as_bytes));
    }
}
