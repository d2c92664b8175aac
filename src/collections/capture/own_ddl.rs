//! Commands of Ragstone's own, which the event trigger does not follow.

use std::cell::Cell;

thread_local! {
    /// Whether commands are our own.
    static OWN: Cell<bool> = const { Cell::new(false) };
}

/// Whether the command is one of Ragstone's own.
pub fn is_under_way() -> bool {
    OWN.get()
}

/// Does `work`, of which no command is to be followed.
pub fn own<T>(work: impl FnOnce() -> T) -> T {
    let _before = Before(OWN.replace(true));
    work()
}

struct Before(bool);

impl Drop for Before {
    fn drop(&mut self) {
        OWN.set(self.0);
    }
}
