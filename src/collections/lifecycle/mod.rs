//! The life cycle of a collection: [`create`], [`refresh`], [`migration`], [`text_rebuild`], [`pause`], [`rename`] and
//! [`mod@drop`].
//! [`wait`] waits until a collection is current, and [`settle`] finishes a collection whose queue is empty.

pub mod alter_text;
pub mod create;
pub mod drop;
pub mod migration;
pub mod pause;
pub mod refresh;
pub mod rename;
pub mod settle;
pub mod text_options;
pub mod text_rebuild;
pub mod wait;
