//! Measures searches on questions whose relevant rows are known. [`questions`] reads these, [`relevant_rows`] finds the
//! rows that they name, [`run`] searches and scores ([`scored`]), and
//! [`store`] keeps the results.

mod changes;
mod questions;
mod relevant_rows;
mod run;
mod scored;
mod store;

pub use run::evaluate;
pub use scored::{EvaluationRequest, MAX_EVALUATED_K, Variant, VariantScores};
pub use store::delete_evaluation;
