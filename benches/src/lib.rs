//! Shared code of the bench programs.

pub mod bare;
pub mod contest;
pub mod dictionaries;
pub mod options;
pub mod packages;
pub mod passages;
pub mod program;
pub mod reference;
pub mod report;
pub mod seeded;
pub mod timing;
pub mod world;

pub use reference::script as program_file;
