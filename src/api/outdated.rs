//! What SQL objects of older versions call, by the C symbols of their time. A function whose arguments or columns change
//! gets a symbol of its own, so that the old one is never called with what it does not expect: between `make install` and
//! ALTER EXTENSION UPDATE it says what to do.

use crate::collection;
use crate::pg::error::{Error, or_raise};
use crate::pg::version;
use pgrx::{pg_extern, pg_sys};

/// `rag.create_collection` of 0.1.0, without `sync`.
#[pg_extern(sql = false)]
fn create_collection(_fcinfo: pg_sys::FunctionCallInfo) {
    refuse();
}

/// `rag._reports` of 0.1.0, without `rate`.
#[pg_extern(sql = false)]
fn _reports(_fcinfo: pg_sys::FunctionCallInfo) {
    refuse();
}

/// For the step script from 0.1.0 to 0.2.0, which declares it and drops it again.
#[pg_extern(sql = false)]
fn upgrade_collections_0_2() {
    or_raise(collection::upgrade_to_0_2());
}

fn refuse() {
    version::check();
    or_raise(Err(Error::internal("a function of another version was called")))
}
