//! A collection's life: creating, refreshing, migrating, dropping, and what is done when nothing is queued.

pub mod create;
pub mod drop;
pub mod migration;
pub mod refresh;
pub mod settle;
pub mod wait;
