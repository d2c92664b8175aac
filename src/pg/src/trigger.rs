//! The call of a trigger function: the event, the table, and the rows before and after.

use crate::encoding::server_cstring;
use crate::text::utf8_from_datum;
use crate::value::varlena_bytes;
use pgrx::pg_sys;

/// The event that fired a trigger.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Event {
    /// Rows were inserted.
    Insert,
    /// Rows were updated.
    Update,
    /// Rows were deleted.
    Delete,
    /// All rows were deleted.
    Truncate,
}

/// A call of a trigger function.
#[derive(Clone, Copy)]
pub struct TriggerCall {
    data: *mut pg_sys::TriggerData,
}

/// A row, valid until the next one is read.
#[derive(Clone, Copy)]
pub struct Row(*mut pg_sys::TupleTableSlot);

/// A column in the table's current definition.
#[derive(Debug, Clone, Copy)]
pub struct Column {
    number: i16,
    length: i16,
    by_value: bool,
    /// Its type.
    pub type_oid: pg_sys::Oid,
}

impl TriggerCall {
    /// The call, if the function was called as a trigger.
    ///
    /// # Safety
    /// `fcinfo` must belong to a call in progress.
    pub(crate) unsafe fn of(fcinfo: pg_sys::FunctionCallInfo) -> Option<Self> {
        // SAFETY: a trigger's context is a node with a tag that identifies it.
        unsafe {
            let context = (*fcinfo).context;
            let called = !context.is_null() && (*context).type_ == pg_sys::NodeTag::T_TriggerData;
            called.then(|| Self { data: context.cast() })
        }
    }

    /// The event.
    pub fn event(self) -> Event {
        match self.bits() & pg_sys::TRIGGER_EVENT_OPMASK {
            pg_sys::TRIGGER_EVENT_INSERT => Event::Insert,
            pg_sys::TRIGGER_EVENT_DELETE => Event::Delete,
            pg_sys::TRIGGER_EVENT_UPDATE => Event::Update,
            _ => Event::Truncate,
        }
    }

    /// True for a row-level trigger.
    pub fn is_for_row(self) -> bool {
        self.bits() & pg_sys::TRIGGER_EVENT_ROW != 0
    }

    fn bits(self) -> u32 {
        // SAFETY: the data live through the call.
        unsafe { (*self.data).tg_event }
    }

    /// In a row-level trigger: the row to be inserted, or the new version of a row.
    pub fn new_row(self) -> Option<Row> {
        // SAFETY: the slots live through the call.
        unsafe {
            match self.event() {
                Event::Insert => Some(Row((*self.data).tg_trigslot)),
                Event::Update => Some(Row((*self.data).tg_newslot)),
                _ => None,
            }
        }
    }

    /// In a row-level trigger: the old version of a row.
    pub fn old_row(self) -> Option<Row> {
        // SAFETY: the slots live through the call.
        let slot = || Row(unsafe { (*self.data).tg_trigslot });
        (self.event() != Event::Insert).then(slot)
    }

    /// In a BEFORE row-level trigger: the result that leaves the change as it is.
    pub fn unchanged(self) -> pg_sys::Datum {
        // SAFETY: the tuples live through the call.
        unsafe {
            let data = &*self.data;
            let update = self.event() == Event::Update;
            pg_sys::Datum::from(if update { data.tg_newtuple } else { data.tg_trigtuple })
        }
    }

    /// In a BEFORE row-level trigger: the result with another value in a column of type `name`, in the current memory context.
    pub fn with_name(self, column: Column, name: &pg_sys::NameData) -> pg_sys::Datum {
        let mut number = i32::from(column.number);
        let mut value = pg_sys::Datum::from(std::ptr::from_ref(name));
        let mut is_null = false;
        // SAFETY: tuple and column belong to the table, and the value is copied.
        unsafe {
            let descriptor = (*(*self.data).tg_relation).rd_att;
            let tuple: pg_sys::HeapTuple = self.unchanged().cast_mut_ptr();
            pg_sys::Datum::from(pg_sys::heap_modify_tuple_by_cols(
                tuple,
                descriptor,
                1,
                &mut number,
                &mut value,
                &mut is_null,
            ))
        }
    }

    /// The table.
    pub fn relation(self) -> pg_sys::Oid {
        // SAFETY: the table is open through the call.
        unsafe { (*(*self.data).tg_relation).rd_id }
    }

    /// The arguments with which the trigger was created.
    pub fn arguments(self) -> Vec<String> {
        // SAFETY: the trigger has this number of terminated arguments, in the server's encoding.
        unsafe {
            let trigger = (*self.data).tg_trigger;
            (0..usize::try_from((*trigger).tgnargs).unwrap_or_default())
                .map(|place| {
                    let argument = *(*trigger).tgargs.add(place);
                    utf8_from_datum(pg_sys::Datum::from(pg_sys::cstring_to_text(argument)))
                })
                .collect()
        }
    }

    /// A column of the table.
    pub fn column(self, name: &str) -> Option<Column> {
        let name = server_cstring(name).ok()?;
        // SAFETY: look-ups by OID and by a terminated name; zero is not a column.
        unsafe {
            let number = pg_sys::get_attnum(self.relation(), name.as_ptr());
            if number <= 0 {
                return None;
            }
            let type_oid = pg_sys::get_atttype(self.relation(), number);
            let (mut length, mut by_value) = (0, false);
            pg_sys::get_typlenbyval(type_oid, &mut length, &mut by_value);
            Some(Column { number, length, by_value, type_oid })
        }
    }

    /// Calls `each` with the old and the new version of every row, if they exist. PostgreSQL fills both transition tables
    /// of an UPDATE row by row, so they have the same order.
    pub fn for_each(self, mut each: impl FnMut(Option<Row>, Option<Row>)) {
        // SAFETY: tables and slots live through the call; a table that the event lacks is null.
        unsafe {
            let data = &*self.data;
            if self.is_for_row() {
                let (first, second) = (Some(Row(data.tg_trigslot)), Some(Row(data.tg_newslot)));
                return match self.event() {
                    Event::Insert => each(None, first),
                    Event::Delete => each(first, None),
                    _ => each(first, second),
                };
            }
            let descriptor = (*data.tg_relation).rd_att;
            let old = Reader::of(data.tg_oldtable, descriptor);
            let new = Reader::of(data.tg_newtable, descriptor);
            loop {
                let (before, after) =
                    (old.as_ref().and_then(Reader::next), new.as_ref().and_then(Reader::next));
                if before.is_none() && after.is_none() {
                    return;
                }
                each(before, after);
            }
        }
    }
}

impl Row {
    /// A column's value, if it is not null.
    pub fn value(self, column: Column) -> Option<pg_sys::Datum> {
        let mut is_null = false;
        // SAFETY: the slot holds a row of the column's table.
        let datum = unsafe { pg_sys::slot_getattr(self.0, i32::from(column.number), &mut is_null) };
        (!is_null).then_some(datum)
    }

    /// A column's value in its type's text form, if it is not null.
    pub fn text(self, column: Column) -> Option<String> {
        let datum = self.value(column)?;
        let (mut function, mut is_varlena) = (pg_sys::InvalidOid, false);
        // SAFETY: the datum has the column's type; an output function returns a terminated string.
        unsafe {
            pg_sys::getTypeOutputInfo(column.type_oid, &mut function, &mut is_varlena);
            let text = pg_sys::OidOutputFunctionCall(function, datum);
            Some(utf8_from_datum(pg_sys::Datum::from(pg_sys::cstring_to_text(text))))
        }
    }

    /// True if a column has the same bytes in another row.
    pub fn same(self, other: Self, column: Column) -> bool {
        match (self.value(column), other.value(column)) {
            (None, None) => true,
            // SAFETY: both have the column's type.
            (Some(one), Some(two)) => unsafe { same(one, two, column) },
            _ => false,
        }
    }
}

unsafe fn same(one: pg_sys::Datum, two: pg_sys::Datum, column: Column) -> bool {
    if column.by_value {
        return one == two;
    }
    // SAFETY: as promised by the caller: a type of fixed length has that many bytes, other types are varlenas.
    unsafe {
        let (first, second) = (one.cast_mut_ptr::<u8>(), two.cast_mut_ptr::<u8>());
        let bytes = |pointer: *mut u8, length| std::slice::from_raw_parts(pointer, length);
        if let Ok(length) = usize::try_from(column.length) {
            return bytes(first, length) == bytes(second, length);
        }
        let stored = |pointer: *mut u8| bytes(pointer, pgrx::varsize_any(pointer.cast()));
        // A toasted value is usually the same in both rows, and its content need not be fetched then.
        stored(first) == stored(second) || varlena_bytes(one) == varlena_bytes(two)
    }
}

/// Reads a transition table from its beginning.
struct Reader {
    table: *mut pg_sys::Tuplestorestate,
    pointer: i32,
    slot: *mut pg_sys::TupleTableSlot,
}

impl Reader {
    unsafe fn of(table: *mut pg_sys::Tuplestorestate, descriptor: pg_sys::TupleDesc) -> Option<Self> {
        if table.is_null() {
            return None;
        }
        // SAFETY: the table lives through the trigger's call; other readers have their own read pointers.
        unsafe {
            let pointer = pg_sys::tuplestore_alloc_read_pointer(table, pg_sys::EXEC_FLAG_REWIND as i32);
            pg_sys::tuplestore_select_read_pointer(table, pointer);
            pg_sys::tuplestore_rescan(table);
            let slot = pg_sys::MakeSingleTupleTableSlot(descriptor, &raw const pg_sys::TTSOpsMinimalTuple);
            Some(Self { table, pointer, slot })
        }
    }

    fn next(&self) -> Option<Row> {
        // SAFETY: as above.
        unsafe {
            pg_sys::tuplestore_select_read_pointer(self.table, self.pointer);
            pg_sys::tuplestore_gettupleslot(self.table, true, false, self.slot).then_some(Row(self.slot))
        }
    }
}

impl Drop for Reader {
    fn drop(&mut self) {
        if !std::thread::panicking() {
            // SAFETY: created by `of`, dropped once. After an ERROR the trigger's memory is freed as a whole.
            unsafe { pg_sys::ExecDropSingleTupleTableSlot(self.slot) };
        }
    }
}
