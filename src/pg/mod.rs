//! What touches Postgres: errors, settings, text, vectors, rights, waiting, SQL.

pub mod activity;
pub mod attempt;
pub mod bytes;
pub mod catalogue;
pub mod clock;
pub mod cursor;
pub mod databases;
pub mod error;
pub mod guc;
pub mod identifier;
pub mod input;
pub mod installation;
pub mod procedure;
pub mod relation;
pub mod relcache;
pub mod role;
pub mod spi;
mod sql_type;
pub mod switch_user;
pub mod text;
pub mod transactions;
pub mod trigger;
pub mod value;
pub mod vector;
pub mod version;
pub mod wait;
pub mod windowapi;
