//! What touches Postgres: errors, settings, text, vectors, rights, waiting.

pub mod error;
pub mod guc;
pub mod installation;
pub mod switch_user;
pub mod text;
pub mod vector;
pub mod wait;
pub mod windowapi;
