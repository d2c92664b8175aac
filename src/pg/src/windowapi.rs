//! The functions of PostgreSQL's `windowapi.h` that Ragstone calls and pgrx does not bind.

use crate::major_version::WINDOW_SEEK_CURRENT;
use crate::text::utf8_from_datum;
use pgrx::pg_sys::ffi::pg_guard_ffi_boundary;
use pgrx::{PgMemoryContexts, pg_sys};
use std::any::Any;
use std::ffi::c_void;
use std::marker::PhantomData;

/// A window function's view of its partition.
#[repr(C)]
pub struct WindowObjectData {
    _private: [u8; 0],
}

unsafe extern "C-unwind" {
    fn WinGetPartitionLocalMemory(window: *mut WindowObjectData, size: usize) -> *mut c_void;
    fn WinGetCurrentPosition(window: *mut WindowObjectData) -> i64;
    fn WinSetMarkPosition(window: *mut WindowObjectData, position: i64);
    fn WinGetFuncArgCurrent(
        window: *mut WindowObjectData,
        argument: i32,
        is_null: *mut bool,
    ) -> pg_sys::Datum;
    fn WinGetFuncArgInPartition(
        window: *mut WindowObjectData,
        argument: i32,
        offset: i32,
        seek: i32,
        set_mark: bool,
        is_null: *mut bool,
        is_out: *mut bool,
    ) -> pg_sys::Datum;
}

/// A row's text argument, relative to the current row.
pub enum Argument {
    /// The partition has no such row.
    Outside,
    /// The argument's value, if it is not null.
    Inside(Option<String>),
}

/// What a call site keeps in a partition.
#[derive(Default)]
struct State(Option<Box<dyn Any>>);

/// The partition in which a window function was called, as long as the call lasts.
#[derive(Clone, Copy)]
pub struct Partition<'call>(*mut WindowObjectData, PhantomData<&'call ()>);

impl Partition<'_> {
    /// The partition of this call, unless the function was called without OVER.
    ///
    /// # Safety
    /// `fcinfo` must be the one of a call in progress that lasts as long as the partition.
    pub(crate) unsafe fn of(fcinfo: pg_sys::FunctionCallInfo) -> Option<Self> {
        // SAFETY: with OVER, the executor passes a WindowObject node as the call's context.
        let context = unsafe { (*fcinfo).context };
        (!context.is_null()).then_some(Self(context.cast(), PhantomData))
    }

    /// Takes what the call site keeps in this partition: what was put there by an earlier row, or the default.
    pub fn take_state<T: Any + Default>(self) -> T {
        let kept = self.with_state(|state| state.0.take());
        kept.and_then(|kept| kept.downcast().ok()).map_or_else(T::default, |kept| *kept)
    }

    /// Keeps something for the call site's next row. It is dropped with the partition's memory.
    pub fn put_state<T: Any>(self, value: T) {
        self.with_state(|state| state.0 = Some(Box::new(value)));
    }

    /// `work` must not use the partition.
    fn with_state<T>(self, work: impl FnOnce(&mut State) -> T) -> T {
        // SAFETY: the window object is valid during the call. The memory is zeroed at first and keeps what is written here
        // as long as the partition lives; the context that holds it drops the value when it is reset. Nothing else refers to the value.
        unsafe {
            let place: *mut *mut State =
                pg_guard_ffi_boundary(|| WinGetPartitionLocalMemory(self.0, size_of::<*mut State>())).cast();
            if (*place).is_null() {
                let context = pg_sys::GetMemoryChunkContext(place.cast());
                *place = PgMemoryContexts::For(context).leak_and_drop_on_delete(State::default());
            }
            work(&mut **place)
        }
    }

    /// Number of the current row in its partition, from 0.
    pub fn position(self) -> i64 {
        // SAFETY: as above.
        unsafe { pg_guard_ffi_boundary(|| WinGetCurrentPosition(self.0)) }
    }

    /// Promises not to read rows before `position` again.
    pub fn forget_before(self, position: i64) {
        // SAFETY: as above.
        unsafe { pg_guard_ffi_boundary(|| WinSetMarkPosition(self.0, position)) };
    }

    /// A text argument of the current row.
    pub fn current(self, argument: i32) -> Option<String> {
        let mut is_null = false;
        // SAFETY: as above; the function declares the argument as text.
        unsafe {
            let datum = pg_guard_ffi_boundary(|| WinGetFuncArgCurrent(self.0, argument, &mut is_null));
            (!is_null).then(|| utf8_from_datum(datum))
        }
    }

    /// A text argument of the row `offset` rows after the current one.
    pub fn ahead(self, argument: i32, offset: i32) -> Argument {
        let (mut is_null, mut is_out) = (false, false);
        // SAFETY: as above; the datum is valid until the next call and is copied at once.
        unsafe {
            let datum = pg_guard_ffi_boundary(|| {
                WinGetFuncArgInPartition(
                    self.0,
                    argument,
                    offset,
                    WINDOW_SEEK_CURRENT,
                    false,
                    &mut is_null,
                    &mut is_out,
                )
            });
            match is_out {
                true => Argument::Outside,
                false => Argument::Inside((!is_null).then(|| utf8_from_datum(datum))),
            }
        }
    }
}
