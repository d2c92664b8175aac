//! The set-up of the server for `cargo pgrx test`.

/// Does nothing: the tests need no set-up.
pub fn setup(_options: Vec<&str>) {}

/// Returns no settings: the tests need none.
#[must_use]
pub fn postgresql_conf_options() -> Vec<&'static str> {
    vec![]
}
