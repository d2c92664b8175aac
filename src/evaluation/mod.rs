//! Measures searches on questions whose relevant rows are known. [`questions`] reads these, [`relevant_rows`] finds the
//! rows that they name, [`run`] searches and scores, and [`store`] keeps the results.

mod changes;
mod questions;
mod relevant_rows;
mod run;
mod store;

pub use run::{EvaluationRequest, MAX_EVALUATED_K, Variant, VariantScores, evaluate};
pub use store::delete_evaluation;
