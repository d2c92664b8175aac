//! How collections follow their sources: what writers note, and the worker that does what they noted.
//!
//! In the order in which a change travels: [`capture`] sees it, [`queue`] keeps it, [`claim`] takes it up, [`batch`] and
//! [`write`] make chunks of it, [`failure`] says what happens to a row that cannot be indexed. [`worker`] is the loop
//! around them.

mod batch;
mod capture;
mod claim;
mod ddl;
mod failure;
mod follow;
mod keys;
pub mod leave;
mod mail;
pub mod migration;
pub mod queue;
mod progress;
mod reconcile;
mod settle;
pub mod triggers;
pub mod wait;
pub mod worker;
mod write;

pub use capture::capture;
pub use ddl::follow_ddl;
pub use failure::{Fault, fault, retry, set_error};
pub use follow::align;
pub use keys::KeyColumns;
pub use settle::is_installed;
