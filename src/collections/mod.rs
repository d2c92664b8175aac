//! Collections: the rows of a table are split into chunks, which are stored, each with its embedding and its
//! words, in tables beside the source.
//!
//! In the order of their layers: [`catalog`] has the definitions, [`queue`] the changed rows, [`indexing`]
//! turns rows into chunks, [`capture`] captures writers' changes, and [`lifecycle`] creates, refreshes,
//! migrates and drops collections.

pub mod capture;
pub mod catalog;
pub mod indexing;
pub mod lifecycle;
pub mod queue;
