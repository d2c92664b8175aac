//! What a collection is: its row ([`collection`]), its [`source`], the [`keys`] of rows, its [`tables`] and the
//! [`statements`] that read and write them. [`table_checks`] refuses tables that are gone, altered or given away,
//! and [`source_columns`] columns that are. [`owner_change`]
//! follows the source to another owner, and [`visible`] says who may know of what.

pub mod collection;
pub mod keys;
pub mod owner_change;
pub mod relation;
pub mod source;
mod source_columns;
pub mod statements;
mod table_checks;
pub mod tables;
mod unaltered;
pub mod visible;
