//! Why a filter is not valid.

use crate::filter::column::FilterColumn;
use crate::suggest::nearest;

/// All operators, for messages.
pub const OPERATORS: [&str; 16] = [
    "$eq",
    "$ne",
    "$lt",
    "$lte",
    "$gt",
    "$gte",
    "$between",
    "$in",
    "$nin",
    "$like",
    "$ilike",
    "$exists",
    "$contains",
    "$and",
    "$or",
    "$not",
];

/// Why a filter is not valid.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FilterError {
    /// The kind of fault.
    pub fault: FilterFault,
    /// What is wrong: lower case, no period.
    pub message: String,
    /// What to do instead.
    pub hint: String,
}

/// The kind of fault of a filter.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum FilterFault {
    /// It names a column that there is not.
    UnknownColumn,
    /// An operator or a value is not valid.
    Invalid,
    /// It has too many conditions, or they are nested too deeply.
    TooLarge,
}

impl FilterError {
    /// An operator or a value is not valid.
    pub(super) fn invalid(message: impl Into<String>, hint: impl Into<String>) -> Self {
        Self { fault: FilterFault::Invalid, message: message.into(), hint: hint.into() }
    }

    /// The filter is nested deeper than is read.
    pub(super) fn too_deep() -> Self {
        Self {
            fault: FilterFault::TooLarge,
            message: "filter is nested too deeply".into(),
            hint: "Write the conditions side by side.".into(),
        }
    }

    /// The filter has too many conditions.
    pub(super) fn too_many(limit: usize) -> Self {
        Self {
            fault: FilterFault::TooLarge,
            message: format!("filter has more than {limit} conditions"),
            hint: "Use $in for many values of one column.".into(),
        }
    }

    /// No column has this name.
    pub(super) fn unknown_column(name: &str, columns: &[FilterColumn]) -> Self {
        let known: Vec<&str> = columns.iter().map(|column| column.name.as_str()).collect();
        let perhaps =
            nearest(name, &known).map(|near| format!("Perhaps you meant \"{near}\". ")).unwrap_or_default();
        Self {
            fault: FilterFault::UnknownColumn,
            message: format!("column \"{name}\" of the filter is not among the metadata"),
            hint: format!("{perhaps}The columns are {}.", known.join(", ")),
        }
    }

    /// A path leads into a column that has no parts.
    pub(super) fn no_parts(path: &str, column: &FilterColumn) -> Self {
        Self {
            fault: FilterFault::UnknownColumn,
            message: format!(
                "column \"{}\" has type {}, so \"{path}\" of the filter is no part of it",
                column.name, column.type_name
            ),
            hint: "Only columns of type jsonb and json have parts.".into(),
        }
    }

    /// A part of a path has no name.
    pub(super) fn empty_path(path: &str) -> Self {
        Self::invalid(
            format!("path \"{path}\" of the filter has an empty part"),
            "Write the names of the parts with one point between them, as in \"attributes.color\".",
        )
    }

    /// No operator has this name.
    pub(super) fn unknown_operator(name: &str) -> Self {
        let with_sign = format!("${}", name.trim_start_matches('$'));
        let perhaps = nearest(&with_sign, &OPERATORS)
            .map(|near| format!("Perhaps you meant {near}. "))
            .unwrap_or_default();
        Self::invalid(
            format!("unknown operator \"{name}\" in the filter"),
            format!("{perhaps}The operators are {}.", OPERATORS.join(" ")),
        )
    }
}
