//! The call of a trigger function: the event, the table, and the rows before and after.

use crate::encoding::server_cstring;
use crate::text::utf8_from_datum;
use crate::value::varlena_bytes;
use pgrx::pg_sys;

/// What happened to a table.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Event {
    /// Rows were added.
    Insert,
    /// Rows were changed.
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

/// A column as the table has it now.
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
    /// `fcinfo` must be the one of a call in progress.
    pub(crate) unsafe fn of(fcinfo: pg_sys::FunctionCallInfo) -> Option<Self> {
        // SAFETY: a trigger's context is a node whose tag says so.
        unsafe {
            let context = (*fcinfo).context;
            let called = !context.is_null() && (*context).type_ == pg_sys::NodeTag::T_TriggerData;
            called.then(|| Self { data: context.cast() })
        }
    }

    /// What happened.
    pub fn event(self) -> Event {
        match self.bits() & pg_sys::TRIGGER_EVENT_OPMASK {
            pg_sys::TRIGGER_EVENT_INSERT => Event::Insert,
            pg_sys::TRIGGER_EVENT_DELETE => Event::Delete,
            pg_sys::TRIGGER_EVENT_UPDATE => Event::Update,
            _ => Event::Truncate,
        }
    }

    /// Whether it is called once for each row.
    pub fn is_for_row(self) -> bool {
        self.bits() & pg_sys::TRIGGER_EVENT_ROW != 0
    }

    fn bits(self) -> u32 {
        // SAFETY: the data live through the call.
        unsafe { (*self.data).tg_event }
    }

    /// Of a row trigger: the row to be inserted, or the new version of a row.
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

    /// Of a row trigger: the former version of a row.
    pub fn old_row(self) -> Option<Row> {
        // SAFETY: the slots live through the call.
        let slot = || Row(unsafe { (*self.data).tg_trigslot });
        (self.event() != Event::Insert).then(slot)
    }

    /// Of a BEFORE row trigger: the result that leaves the change as it is.
    pub fn unchanged(self) -> pg_sys::Datum {
        // SAFETY: the tuples live through the call.
        unsafe {
            let data = &*self.data;
            let update = self.event() == Event::Update;
            pg_sys::Datum::from(if update { data.tg_newtuple } else { data.tg_trigtuple })
        }
    }

    /// Of a BEFORE row trigger: the result with another value in a column of type `name`. It lives in the memory context that is current.
    pub fn with_name(self, column: Column, name: &pg_sys::NameData) -> pg_sys::Datum {
        let mut number = i32::from(column.number);
        let mut value = pg_sys::Datum::from(std::ptr::from_ref(name));
        let mut is_null = false;
        // SAFETY: the tuple is of the table, as the column is, and the value is copied.
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

    /// The arguments that the trigger was created with.
    pub fn arguments(self) -> Vec<String> {
        // SAFETY: the trigger has as many terminated arguments as it says, in the server's encoding.
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
        // SAFETY: look-ups by OID and by a terminated name; zero is no column.
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

    /// Calls `each` with the old and the new version of every row, as far as they exist. Both transition tables of an UPDATE are
    /// filled row by row, so they have the same order.
    pub fn for_each(self, mut each: impl FnMut(Option<Row>, Option<Row>)) {
        // SAFETY: tables and slots live through the call; a table that the event has not is null.
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
        // SAFETY: the slot holds a row of the table that the column is of.
        let datum = unsafe { pg_sys::slot_getattr(self.0, i32::from(column.number), &mut is_null) };
        (!is_null).then_some(datum)
    }

    /// A column's value as its type writes it, if it is not null.
    pub fn text(self, column: Column) -> Option<String> {
        let datum = self.value(column)?;
        let (mut function, mut is_varlena) = (pg_sys::InvalidOid, false);
        // SAFETY: the datum is of the column's type; what an output function returns is a terminated string.
        unsafe {
            pg_sys::getTypeOutputInfo(column.type_oid, &mut function, &mut is_varlena);
            let text = pg_sys::OidOutputFunctionCall(function, datum);
            Some(utf8_from_datum(pg_sys::Datum::from(pg_sys::cstring_to_text(text))))
        }
    }

    /// Whether a column has the same bytes in another row.
    pub fn same(self, other: Self, column: Column) -> bool {
        match (self.value(column), other.value(column)) {
            (None, None) => true,
            // SAFETY: both are of the column's type.
            (Some(one), Some(two)) => unsafe { same(one, two, column) },
            _ => false,
        }
    }
}

unsafe fn same(one: pg_sys::Datum, two: pg_sys::Datum, column: Column) -> bool {
    if column.by_value {
        return one == two;
    }
    // SAFETY: as promised by the caller: a type of fixed length has as many bytes, others are varlenas.
    unsafe {
        let (first, second) = (one.cast_mut_ptr::<u8>(), two.cast_mut_ptr::<u8>());
        let bytes = |pointer: *mut u8, length| std::slice::from_raw_parts(pointer, length);
        if let Ok(length) = usize::try_from(column.length) {
            return bytes(first, length) == bytes(second, length);
        }
        let stored = |pointer: *mut u8| bytes(pointer, pgrx::varsize_any(pointer.cast()));
        // A toasted value is mostly the same one in both rows: then its content need not be fetched.
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
        // SAFETY: the table lives through the trigger's call; others may read it by pointers of their own.
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
            // SAFETY: made by `of`, dropped once. After an ERROR the trigger's memory goes as a whole.
            unsafe { pg_sys::ExecDropSingleTupleTableSlot(self.slot) };
        }
    }
}
