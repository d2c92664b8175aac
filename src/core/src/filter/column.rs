//! The columns that a filter may name.

/// A column of a collection's metadata.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FilterColumn {
    /// Name of the column.
    pub name: String,
    /// What its values are.
    pub kind: ColumnKind,
    /// Name of its type, for messages.
    pub type_name: String,
}

/// What the values of a column are.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ColumnKind {
    /// Texts.
    Text,
    /// Values of another type that has an order.
    Ordered,
    /// Values that are compared as text, and only for equality.
    Unordered,
    /// Arrays.
    Array,
    /// JSON.
    Json,
}
