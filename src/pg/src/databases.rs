//! Databases and their processes.

use pgrx::pg_sys;

/// The databases that allow connections. It needs a transaction, but no connection to a database.
pub fn connectable() -> Vec<u32> {
    let mut found = Vec::new();
    // SAFETY: a scan of a shared catalogue, whose rows begin with the structure; everything that is opened is closed.
    unsafe {
        let catalogue = pg_sys::table_open(pg_sys::DatabaseRelationId, pg_sys::AccessShareLock as i32);
        let scan = pg_sys::table_beginscan_catalog(catalogue, 0, std::ptr::null_mut());
        loop {
            let tuple = pg_sys::heap_getnext(scan, pg_sys::ScanDirection::ForwardScanDirection);
            if tuple.is_null() {
                break;
            }
            let row = pg_sys::GETSTRUCT(tuple).cast::<pg_sys::FormData_pg_database>();
            if (*row).datallowconn {
                found.push((*row).oid.to_u32());
            }
        }
        pg_sys::table_endscan(scan);
        pg_sys::table_close(catalogue, pg_sys::AccessShareLock as i32);
    }
    found
}

/// Sets the latch of a server process, if it still exists.
pub fn set_latch(pid: i32) {
    // SAFETY: a look-up in the server's process table; setting a latch needlessly does no harm.
    unsafe {
        let process = pg_sys::BackendPidGetProc(pid);
        if !process.is_null() {
            pg_sys::SetLatch(&raw mut (*process).procLatch);
        }
    }
}

/// True if a process holds or waits for a lock on a database that conflicts with all sessions: to drop, rename or copy it.
pub fn is_wanted_exclusively(database: u32) -> bool {
    // SAFETY: an all-zero tag is a valid value.
    let mut tag: pg_sys::LOCKTAG = unsafe { std::mem::zeroed() };
    tag.locktag_field2 = pg_sys::DatabaseRelationId.to_u32();
    tag.locktag_field3 = database;
    tag.locktag_type = pg_sys::LockTagType::LOCKTAG_OBJECT as u8;
    tag.locktag_lockmethodid = pg_sys::DEFAULT_LOCKMETHOD as u8;
    let mut count = 0;
    // SAFETY: the tag lives through the call. The array belongs to the caller in every process except the startup process.
    // It is freed here, because background workers call this outside transactions, in a memory context that lives as long
    // as they do.
    unsafe {
        let conflicts = pg_sys::GetLockConflicts(&tag, pg_sys::RowExclusiveLock as i32, &mut count);
        pg_sys::pfree(conflicts.cast());
    }
    count > 0
}
