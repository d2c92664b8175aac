//! Cursors: fetch the rows of a long SELECT in parts, over several [`connect`](crate::spi::connect)s of one transaction.

use crate::encoding::server_cstring;
use crate::error::{Error, Result};
use crate::rows::{Rows, rows};
use crate::spi::{Arg, plan};
use pgrx::pg_sys;
use std::ffi::{CStr, CString, c_char};

/// The cursor of a SELECT.
pub struct Cursor(CString);

impl Cursor {
    /// Opens a cursor for a SELECT with a snapshot taken now. It is closed with the transaction or by [`Self::close`].
    pub fn open(sql: &str, args: &[Arg]) -> Result<Self> {
        let text = server_cstring(sql)?;
        let mut types: Vec<_> = args.iter().map(|arg| arg.oid).collect();
        let mut datums: Vec<_> = args.iter().map(|arg| arg.datum.unwrap_or(pg_sys::Datum::null())).collect();
        let nulls: Vec<c_char> =
            args.iter().map(|arg| if arg.datum.is_some() { b' ' } else { b'n' } as c_char).collect();
        // SAFETY: all arrays have the same length; the portal's name is terminated and copied.
        unsafe {
            let portal = pg_sys::SPI_cursor_open_with_args(
                std::ptr::null(),
                text.as_ptr(),
                types.len() as i32,
                types.as_mut_ptr(),
                datums.as_mut_ptr(),
                nulls.as_ptr(),
                false,
                0,
            );
            Ok(Self(CStr::from_ptr((*portal).name).to_owned()))
        }
    }

    /// Opens a cursor with a kept plan. Functions that the SELECT calls may write.
    pub fn open_with_kept_plan(sql: &str, args: &[Arg]) -> Result<Self> {
        let plan = plan(sql, args)?;
        let mut datums: Vec<_> = args.iter().map(|arg| arg.datum.unwrap_or(pg_sys::Datum::null())).collect();
        let nulls: Vec<c_char> =
            args.iter().map(|arg| if arg.datum.is_some() { b' ' } else { b'n' } as c_char).collect();
        // SAFETY: the plan was prepared for as many arguments of these types; the portal's name is terminated and copied.
        unsafe {
            let portal =
                pg_sys::SPI_cursor_open(std::ptr::null(), plan, datums.as_mut_ptr(), nulls.as_ptr(), false);
            Ok(Self(CStr::from_ptr((*portal).name).to_owned()))
        }
    }

    /// Fetches the next rows; none at the end.
    pub fn fetch(&self, most: i64) -> Result<Rows> {
        // SAFETY: the name lives through the call; a failing fetch raises an ERROR.
        unsafe {
            pg_sys::SPI_tuptable = std::ptr::null_mut();
            pg_sys::SPI_cursor_fetch(self.portal()?, true, most as _);
        }
        rows(0)
    }

    /// Closes the cursor before the transaction ends.
    pub fn close(self) -> Result<()> {
        // SAFETY: the portal was just found.
        unsafe { pg_sys::SPI_cursor_close(self.portal()?) };
        Ok(())
    }

    fn portal(&self) -> Result<pg_sys::Portal> {
        // SAFETY: the name lives through the call.
        let portal = unsafe { pg_sys::SPI_cursor_find(self.0.as_ptr()) };
        if portal.is_null() { Err(Error::internal("the cursor no longer exists")) } else { Ok(portal) }
    }
}
