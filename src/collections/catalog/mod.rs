//! What a collection is: its row, its source, its keys, its tables, and the statements about them.

pub mod collection;
pub mod keys;
pub mod owner_change;
pub mod source;
pub mod statements;
pub mod tables;
