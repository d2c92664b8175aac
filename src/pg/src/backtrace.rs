//! Backtraces in errors.

/// The environment variables that make Rust capture a backtrace of each error.
const VARIABLES: [&str; 2] = ["RUST_BACKTRACE", "RUST_LIB_BACKTRACE"];

/// Disables backtraces in this process, regardless of the server's environment: pgrx would send each backtrace to the
/// client, with the paths at which the library was built. Call it when the library is loaded: Rust reads the environment at
/// the first error.
pub fn hide_from_clients() {
    for variable in VARIABLES {
        // SAFETY: a backend has one thread, so no other thread reads the environment meanwhile.
        unsafe { std::env::remove_var(variable) };
    }
}
