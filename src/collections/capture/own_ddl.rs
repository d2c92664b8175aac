//! Commands of Ragstone's own, which the event trigger does not follow.

use std::cell::Cell;

thread_local! {
    /// Whether commands are our own.
    static IS_OWN: Cell<bool> = const { Cell::new(false) };
}

/// Whether the command is one of Ragstone's own.
pub fn is_under_way() -> bool {
    IS_OWN.get()
}

/// Does `work`, of which no command is to be followed.
pub fn run_own<T>(work: impl FnOnce() -> T) -> T {
    let _before = RestoreFlag(IS_OWN.replace(true));
    work()
}

struct RestoreFlag(bool);

impl Drop for RestoreFlag {
    fn drop(&mut self) {
        IS_OWN.set(self.0);
    }
}
