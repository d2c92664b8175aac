//! Marks commands that Ragstone itself runs, so that the event trigger ignores them.

use std::cell::Cell;

thread_local! {
    /// True while such a command runs.
    static IS_OWN: Cell<bool> = const { Cell::new(false) };
}

/// True while a command of Ragstone itself runs.
pub fn is_under_way() -> bool {
    IS_OWN.get()
}

/// Runs `work`; the event trigger ignores its commands.
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
