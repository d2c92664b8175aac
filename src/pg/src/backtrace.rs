//! Backtraces in errors.

/// The variables of the environment by which Rust takes a backtrace of each error.
const VARIABLES: [&str; 2] = ["RUST_BACKTRACE", "RUST_LIB_BACKTRACE"];

/// Takes no backtraces in this process, whatever the server's environment says: pgrx would send each to the client, with the paths
/// at which the library was built. To be called when the library is loaded: Rust reads the environment at the first error.
pub fn hide_from_clients() {
    for variable in VARIABLES {
        // SAFETY: a backend has one thread, so no other one reads the environment meanwhile.
        unsafe { std::env::remove_var(variable) };
    }
}
