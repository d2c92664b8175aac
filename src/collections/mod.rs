//! Collections: a table's rows cut into chunks, each with its embedding and its words, in tables beside it.
//!
//! From the bottom: [`catalog`] has the definitions, [`queue`] the changed rows, [`indexing`] makes chunks of rows,
//! [`capture`] sees what writers change, and [`lifecycle`] creates, refreshes, migrates and drops collections.

pub mod capture;
pub mod catalog;
pub mod indexing;
pub mod lifecycle;
pub mod queue;
