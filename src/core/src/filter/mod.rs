//! The filter language: conditions on the metadata columns of a collection, written in JSON.
//!
//! `{"price": {"$lt": 100}, "shop": {"$in": ["a", "b"]}, "$or": [{"stock": {"$gt": 0}}, {"preorder": true}]}`
//!
//! Each condition is true or false of a row. A comparison with a value that a row lacks is false; `$ne`, `$nin`
//! and `$not` are true of exactly the rows of which `$eq`, `$in` and the condition are not.

mod condition;
mod error;
mod operand;
mod column;
mod operators;
mod parse;
mod resolve;
#[cfg(test)]
mod tests;

pub use column::{ColumnKind, FilterColumn};
pub use condition::{Check, Condition, Relation, Test};
pub use error::{FilterError, FilterFault};
pub use operand::Operand;
pub use parse::{is_given, parse};
pub use resolve::resolve;
