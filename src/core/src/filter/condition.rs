//! A parsed filter.

use crate::filter::operand::Operand;

/// A condition on a row.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Condition {
    /// True if all of these are.
    All(Vec<Condition>),
    /// True if one of these is.
    Any(Vec<Condition>),
    /// True if the condition is not.
    Not(Box<Condition>),
    /// A check of one value.
    Test(Test),
}

/// A check of a column's value, or of a part of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Test {
    /// Position of the column among the columns, from 0.
    pub column: usize,
    /// The members that lead to a part of a JSON value; empty for the whole value.
    pub path: Vec<String>,
    /// What is checked.
    pub check: Check,
}

/// What is checked of a value. All checks are false of a row without the value.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Check {
    /// The value has a relation to another one.
    Compare(Relation, Operand),
    /// The value is equal to one of these.
    In(Vec<Operand>),
    /// The value matches a pattern of LIKE.
    Like {
        /// The pattern.
        pattern: String,
        /// True for ILIKE.
        ignores_case: bool,
    },
    /// There is a value.
    Exists,
    /// An array or JSON value contains this.
    Contains(Operand),
}

/// How a value relates to another one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Relation {
    /// `$eq`.
    Equal,
    /// `$lt`.
    Less,
    /// `$lte`.
    LessOrEqual,
    /// `$gt`.
    Greater,
    /// `$gte`.
    GreaterOrEqual,
}

impl Condition {
    /// True of all rows.
    pub fn is_empty(&self) -> bool {
        matches!(self, Self::All(conditions) if conditions.is_empty())
    }

    /// The conditions all of which must be true.
    pub fn conjuncts(self) -> Vec<Self> {
        match self {
            Self::All(conditions) => conditions.into_iter().flat_map(Self::conjuncts).collect(),
            other => vec![other],
        }
    }
}
