//! Logs that others have written as SQL sees them: `rag.parse_log`.

use crate::parsing::{self, COLUMNS, Content, Table};
use crate::pg::bytes::argument_bytes;
use crate::pg::error::or_raise;
use crate::pg::text::Utf8;
use crate::pg::tuplestore::Tuplestore;
use crate::pg::version;
use pgrx::{extension_sql_file, pg_guard, pg_sys};

/// The version of the calling convention of a function that sql/parse_log.sql makes: pgrx cannot make ones that fill the
/// executor's store of rows.
macro_rules! declared {
    ($name:ident) => {
        #[doc = "For Postgres."]
        #[unsafe(no_mangle)]
        pub extern "C" fn $name() -> &'static pg_sys::Pg_finfo_record {
            static VERSION_1: pg_sys::Pg_finfo_record = pg_sys::Pg_finfo_record { api_version: 1 };
            &VERSION_1
        }
    };
}

declared!(pg_finfo_ragstone_parse_log);
declared!(pg_finfo_ragstone_parse_log_bytes);

/// `rag.parse_log(text, text)`.
///
/// # Safety
/// To be called by Postgres only.
#[pg_guard]
#[unsafe(no_mangle)]
pub unsafe extern "C-unwind" fn ragstone_parse_log(fcinfo: pg_sys::FunctionCallInfo) -> pg_sys::Datum {
    // SAFETY: this is the call's own fcinfo.
    unsafe { rows(fcinfo, |bytes| Content::of_text(bytes)) }
}

/// `rag.parse_log(bytea, text)`.
///
/// # Safety
/// To be called by Postgres only.
#[pg_guard]
#[unsafe(no_mangle)]
pub unsafe extern "C-unwind" fn ragstone_parse_log_bytes(fcinfo: pg_sys::FunctionCallInfo) -> pg_sys::Datum {
    // SAFETY: this is the call's own fcinfo.
    unsafe { rows(fcinfo, |bytes| Content::of_bytes(bytes)) }
}

/// # Safety
/// `fcinfo` must be the one of a call in progress of a function that is declared as those above.
unsafe fn rows(fcinfo: pg_sys::FunctionCallInfo, content: fn(&[u8]) -> Content<'_>) -> pg_sys::Datum {
    version::check();
    // SAFETY: as promised by the caller: a varlena, a text, and a set of rows.
    let (bytes, format, store) = unsafe {
        let store: Tuplestore<COLUMNS> = or_raise(Tuplestore::of(fcinfo));
        (argument_bytes(fcinfo, 0), pgrx::fcinfo::pg_getarg::<Utf8>(fcinfo, 1), store)
    };
    let format = or_raise(parsing::format_named(format));
    if let Some(bytes) = bytes {
        let mut table = Table::new(store);
        parsing::parse(&content(bytes), format, |row| table.add(row));
    }
    pg_sys::Datum::null()
}

extension_sql_file!("../../sql/parse_log.sql", name = "parse_log", requires = ["runs"]);
