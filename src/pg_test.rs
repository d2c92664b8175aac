//! How `cargo pgrx test` sets up its server.

/// Nothing to do before the tests.
pub fn setup(_options: Vec<&str>) {}

/// Nothing of Ragstone's needs a setting of the server.
#[must_use]
pub fn postgresql_conf_options() -> Vec<&'static str> {
    vec![]
}
