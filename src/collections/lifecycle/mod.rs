//! The life of a collection: [`create`], [`refresh`], [`migration`], [`text_rebuild`], [`mod@drop`], [`wait`] until it is current,
//! and [`settle`] for what is done when its queue is empty.

pub mod alter_text;
pub mod create;
pub mod drop;
pub mod migration;
pub mod refresh;
pub mod settle;
pub mod text_options;
pub mod text_rebuild;
pub mod wait;
