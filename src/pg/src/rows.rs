//! The rows that a statement returned. Their memory is freed, and each value is read only as its actual type.

use crate::bytes::Jsonb;
use crate::error::{Error, Result, or_raise};
use crate::spi_scope::Scope;
use crate::text::{Utf8, utf8_from_datum, utf8_start_from_datum};
use crate::value::{Value, has_wrong_type, is_passed_by_value, varlena_bytes};
use pgrx::datum::FromDatum;
use pgrx::pg_sys;
use std::rc::Rc;

/// The types whose values are the bytes of a text.
const TEXT_TYPES: [pg_sys::Oid; 4] =
    [pg_sys::TEXTOID, pg_sys::VARCHAROID, pg_sys::BPCHAROID, pg_sys::JSONOID];

/// Rows that a statement gave. Their memory lives at most as long as the [`connect`](crate::spi::connect) in which it ran: to read them
/// later is an error, as it is after the subtransaction was rolled back in which it ran.
pub struct Rows {
    table: *mut pg_sys::SPITupleTable,
    scope: Rc<Scope>,
    /// The number of rows returned, or changed by a statement that returns none.
    pub count: usize,
}

impl Rows {
    /// The table, whose memory is there; null where a statement gives no rows.
    fn table(&self) -> *mut pg_sys::SPITupleTable {
        if !self.scope.has_rows() {
            or_raise(Err(Error::internal("rows are read after their connection has ended")))
        }
        self.table
    }

    /// The value in a row and column, both from 0, if it is not null.
    fn datum(&self, row: usize, column: usize) -> Option<pg_sys::Datum> {
        if row >= self.count || self.table().is_null() {
            return None;
        }
        let mut is_null = false;
        // SAFETY: the table has `count` rows; a column that does not exist is null.
        let datum = unsafe {
            let tuple = *(*self.table).vals.add(row);
            pg_sys::SPI_getbinval(tuple, (*self.table).tupdesc, column as i32 + 1, &mut is_null)
        };
        (!is_null).then_some(datum)
    }

    /// The value in a row and column, if it is not null. Raises 42804 if the column's type is not in `types`: the owner of
    /// a table may change the types of its columns at any time, and bytes must never be read as another type.
    fn datum_of(&self, row: usize, column: usize, types: &[pg_sys::Oid]) -> Option<pg_sys::Datum> {
        let datum = self.datum(row, column)?;
        if !types.contains(&self.type_oid(column)) {
            or_raise(Err(self.wrong_type(column, types[0])))
        }
        Some(datum)
    }

    /// The value of a column of type `oid` or of another type that is passed by value. Such a datum holds the value itself,
    /// and never an address that would be dereferenced or shown as a number. Raises 42804 for a type that is passed by reference.
    fn datum_by_value(&self, row: usize, column: usize, oid: pg_sys::Oid) -> Option<pg_sys::Datum> {
        let datum = self.datum(row, column)?;
        let found = self.type_oid(column);
        if found != oid && !is_passed_by_value(found) {
            or_raise(Err(self.wrong_type(column, oid)))
        }
        Some(datum)
    }

    fn wrong_type(&self, column: usize, expected: pg_sys::Oid) -> Error {
        // SAFETY: the table has the column, since a value was read from it; names are terminated, in the server's encoding.
        let name = unsafe {
            let name = pg_sys::SPI_fname((*self.table).tupdesc, column as i32 + 1);
            utf8_from_datum(pg_sys::Datum::from(pg_sys::cstring_to_text(name)))
        };
        has_wrong_type(&name, self.type_oid(column), expected).hint(
            "A column of a table that a collection uses may have been altered. Restore its former type.",
        )
    }

    /// True if the value in a row and column is null.
    pub fn is_null(&self, row: usize, column: usize) -> bool {
        self.datum(row, column).is_none()
    }

    /// A copy of a value of any type, which outlives the rows.
    pub fn value(&self, row: usize, column: usize) -> Option<Value> {
        // SAFETY: the datum has the column's type.
        self.datum(row, column).map(|datum| unsafe { Value::copy(self.type_oid(column), datum) })
    }

    /// The type of a column, numbered from 0.
    pub fn type_oid(&self, column: usize) -> pg_sys::Oid {
        if self.table().is_null() {
            return pg_sys::InvalidOid;
        }
        // SAFETY: the table is valid; a column that does not exist has type InvalidOid.
        unsafe { pg_sys::SPI_gettypeid((*self.table).tupdesc, column as i32 + 1) }
    }

    /// An `int8`.
    pub fn int8(&self, row: usize, column: usize) -> Option<i64> {
        self.datum_by_value(row, column, pg_sys::INT8OID).map(|datum| datum.value() as i64)
    }

    /// An `int2`.
    pub fn int2(&self, row: usize, column: usize) -> Option<i16> {
        self.datum_by_value(row, column, pg_sys::INT2OID).map(|datum| datum.value() as i16)
    }

    /// An `int4`.
    pub fn int4(&self, row: usize, column: usize) -> Option<i32> {
        self.datum_by_value(row, column, pg_sys::INT4OID).map(|datum| datum.value() as i32)
    }

    /// A `float8`.
    pub fn float8(&self, row: usize, column: usize) -> Option<f64> {
        self.datum_by_value(row, column, pg_sys::FLOAT8OID).map(|datum| f64::from_bits(datum.value() as u64))
    }

    /// A `boolean`.
    pub fn boolean(&self, row: usize, column: usize) -> Option<bool> {
        self.datum_by_value(row, column, pg_sys::BOOLOID).map(|datum| datum.value() as u8 != 0)
    }

    /// An `oid`, or a `reg*` type.
    pub fn oid(&self, row: usize, column: usize) -> Option<pg_sys::Oid> {
        self.datum_by_value(row, column, pg_sys::OIDOID).map(|datum| pg_sys::Oid::from(datum.value() as u32))
    }

    /// A `text`.
    pub fn text(&self, row: usize, column: usize) -> Option<String> {
        // SAFETY: the column is text.
        self.datum_of(row, column, &TEXT_TYPES).map(|datum| unsafe { utf8_from_datum(datum) })
    }

    /// A `name`.
    pub fn name(&self, row: usize, column: usize) -> Option<pg_sys::NameData> {
        // SAFETY: the column is a name, which has a fixed length.
        self.datum_of(row, column, &[pg_sys::NAMEOID]).map(|datum| unsafe { *datum.cast_mut_ptr() })
    }

    /// The beginning of a `text`, at most `most` bytes in the server's encoding, and the length of the whole text.
    pub fn text_start(&self, row: usize, column: usize, most: usize) -> Option<(String, usize)> {
        let datum = self.datum_of(row, column, &TEXT_TYPES)?;
        // SAFETY: the column is text.
        Some(unsafe { utf8_start_from_datum(datum, most) })
    }

    /// A `bytea`.
    pub fn bytea(&self, row: usize, column: usize) -> Option<Vec<u8>> {
        self.varlena(row, column, pg_sys::BYTEAOID)
    }

    /// A `jsonb`.
    pub fn jsonb(&self, row: usize, column: usize) -> Option<Jsonb> {
        self.varlena(row, column, pg_sys::JSONBOID).map(Jsonb)
    }

    /// A `tsvector`, without its header.
    pub fn tsvector(&self, row: usize, column: usize) -> Option<Vec<u8>> {
        self.varlena(row, column, pg_sys::TSVECTOROID)
    }

    fn varlena(&self, row: usize, column: usize, oid: pg_sys::Oid) -> Option<Vec<u8>> {
        // SAFETY: callers pass varlena types, and the column has that type.
        self.datum_of(row, column, &[oid]).map(|datum| unsafe { varlena_bytes(datum) })
    }

    /// A `text[]`, without its nulls.
    pub fn texts(&self, row: usize, column: usize) -> Option<Vec<String>> {
        Some(self.optional_texts(row, column)?.into_iter().flatten().collect())
    }

    /// A `text[]`.
    pub fn optional_texts(&self, row: usize, column: usize) -> Option<Vec<Option<String>>> {
        let datum = self.datum_of(row, column, &[pg_sys::TEXTARRAYOID])?;
        // SAFETY: the column is text[].
        let texts = unsafe { <Vec<Option<Utf8>> as FromDatum>::from_datum(datum, false) }?;
        Some(texts.into_iter().map(|text| text.map(|text| text.0)).collect())
    }

    /// A `smallint[]` without nulls.
    pub fn int2s(&self, row: usize, column: usize) -> Option<Vec<i16>> {
        let datum = self.datum_of(row, column, &[pg_sys::INT2ARRAYOID])?;
        // SAFETY: the column is smallint[].
        unsafe { <Vec<i16> as FromDatum>::from_datum(datum, false) }
    }

    /// A `float4[]` without nulls.
    pub fn float4s(&self, row: usize, column: usize) -> Option<Vec<f32>> {
        let datum = self.datum_of(row, column, &[pg_sys::FLOAT4ARRAYOID])?;
        // SAFETY: the column is real[].
        unsafe { <Vec<f32> as FromDatum>::from_datum(datum, false) }
    }
}

impl Drop for Rows {
    fn drop(&mut self) {
        // While an ERROR unwinds, SPI's own clean-up frees the rows, and may have done so already. Otherwise only the connection that they
        // belong to can free them before it ends.
        let is_there = self.scope.has_rows() && self.scope.is_of_current_connection();
        if !self.table.is_null() && is_there && !std::thread::panicking() {
            // SAFETY: the table is freed once, by the connection that it belongs to, which is open.
            unsafe { pg_sys::SPI_freetuptable(self.table) };
        }
    }
}

/// The rows of the last SPI statement, from its status.
pub(super) fn rows(status: i32) -> Result<Rows> {
    if status < 0 {
        return Err(Error::internal(format!("SPI status {status}")));
    }
    let scope = Scope::current().ok_or_else(|| Error::internal("a statement ran outside of a connection"))?;
    // SAFETY: SPI sets both for each statement.
    unsafe { Ok(Rows { table: pg_sys::SPI_tuptable, scope, count: pg_sys::SPI_processed as usize }) }
}
