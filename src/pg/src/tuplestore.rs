//! Writes the rows of a set-returning function directly into the executor's tuple store.
//!
//! If a function returns its rows one by one, the executor copies each into a tuple store, after a call with two context
//! switches. Here the function fills the store itself; rows beyond `work_mem` go to a file.

use crate::error::{Error, Result};
use pgrx::pg_sys;

/// A tuple store of rows with `N` columns.
pub struct Tuplestore<const N: usize> {
    store: *mut pg_sys::Tuplestorestate,
    shape: pg_sys::TupleDesc,
    values: [pg_sys::Datum; N],
    nulls: [bool; N],
    /// The texts of the row, and the offset of each column's text. Offsets are used because the buffer moves when it grows.
    texts: Vec<u8>,
    places: Vec<(usize, usize)>,
}

impl<const N: usize> Tuplestore<N> {
    /// The result of a set-returning call.
    ///
    /// # Safety
    /// `fcinfo` must belong to a call in progress, of a function that returns TABLE.
    pub(crate) unsafe fn of(fcinfo: pg_sys::FunctionCallInfo) -> Result<Self> {
        // SAFETY: the executor sets resultinfo if it accepts a set; the node's tag shows whether it has.
        unsafe {
            let result = (*fcinfo).resultinfo.cast::<pg_sys::ReturnSetInfo>();
            let materialize = pg_sys::SetFunctionReturnMode::SFRM_Materialize as i32;
            let takes = !result.is_null()
                && (*result).type_ == pg_sys::NodeTag::T_ReturnSetInfo
                && (*result).allowedModes & materialize != 0;
            if !takes {
                return Err(Error::not_supported(
                    "set-valued function called in a context that cannot accept a set",
                ));
            }
            let before = pg_sys::CurrentMemoryContext;
            pg_sys::CurrentMemoryContext = (*(*result).econtext).ecxt_per_query_memory;
            let mut shape = std::ptr::null_mut();
            let class = pg_sys::get_call_result_type(fcinfo, std::ptr::null_mut(), &mut shape);
            let random =
                (*result).allowedModes & pg_sys::SetFunctionReturnMode::SFRM_Materialize_Random as i32;
            let store = pg_sys::tuplestore_begin_heap(random != 0, false, pg_sys::work_mem);
            pg_sys::CurrentMemoryContext = before;
            let fits = class == pg_sys::TypeFuncClass::TYPEFUNC_COMPOSITE && (*shape).natts as usize == N;
            if !fits {
                return Err(Error::internal("the function's columns are not those of the library"));
            }
            (*result).returnMode = pg_sys::SetFunctionReturnMode::SFRM_Materialize;
            (*result).setResult = store;
            (*result).setDesc = shape;
            Ok(Self {
                store,
                shape,
                values: [pg_sys::Datum::null(); N],
                nulls: [true; N],
                texts: Vec::new(),
                places: Vec::new(),
            })
        }
    }

    /// Sets a column's value, which is passed by value.
    #[inline]
    pub fn set(&mut self, column: usize, value: Option<pg_sys::Datum>) {
        if let Some(value) = value {
            self.values[column] = value;
            self.nulls[column] = false;
        }
    }

    /// Sets a column's text, in the server's encoding.
    #[inline]
    pub fn set_text(&mut self, column: usize, text: Option<&[u8]>) {
        let Some(text) = text else { return };
        self.align();
        self.places.push((column, self.texts.len()));
        self.texts.extend_from_slice(&ragstone_core::jsonb::varlena_header(text.len() + 4));
        self.texts.extend_from_slice(text);
    }

    /// Sets a column's varlena value, including its header. The value must stay in place until the row is put.
    #[inline]
    pub fn set_varlena(&mut self, column: usize, value: Option<&[u8]>) {
        self.set(column, value.map(|value| pg_sys::Datum::from(value.as_ptr())));
    }

    /// Puts the row into the store, and begins another one.
    pub fn put(&mut self) {
        for (column, place) in self.places.drain(..) {
            self.values[column] = pg_sys::Datum::from(self.texts[place..].as_ptr());
            self.nulls[column] = false;
        }
        // SAFETY: the store and its shape live as long as the query; the arrays have one value per column of the shape, and
        // each varlena has its header. Everything is copied.
        unsafe {
            pg_sys::tuplestore_putvalues(
                self.store,
                self.shape,
                self.values.as_mut_ptr(),
                self.nulls.as_mut_ptr(),
            );
        }
        self.texts.clear();
        self.nulls = [true; N];
    }

    /// Pads the buffer to a multiple of four bytes, the alignment of a varlena's header.
    fn align(&mut self) {
        let length = self.texts.len().next_multiple_of(4);
        self.texts.resize(length, 0);
    }
}
