//! The columns of a step, and where the fields of a log belong.

/// The column that a field belongs to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u8)]
pub enum Column {
    /// When the step began.
    Started,
    /// When the step ended.
    Ended,
    /// Duration of the step.
    Duration,
    /// Severity.
    Level,
    /// Message for readers.
    Message,
    /// Id of the run that the step belongs to.
    Run,
    /// The step's own id.
    Span,
    /// The id of the step that it is a part of.
    Parent,
    /// Kind of the step.
    Kind,
    /// Name of the step.
    Name,
    /// The tool that was called.
    Tool,
    /// Input of the step.
    Input,
    /// Output of the step.
    Output,
    /// The model that answered.
    Model,
    /// Tokens of the prompt.
    InputTokens,
    /// Tokens of the answer.
    OutputTokens,
    /// An object with both token counts.
    Usage,
    /// Cost of the step.
    Cost,
    /// Status of the step.
    Status,
    /// Error message.
    Error,
    /// Stack trace of the error.
    Trace,
    /// Further attributes.
    Attributes,
}

/// Number of columns.
pub const COLUMN_COUNT: usize = Column::Attributes as usize + 1;

/// Where a field belongs: its column, its rank (of two fields for one column the lower rank wins, and the other field becomes
/// an attribute), and the milliseconds of its unit.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct FieldPlace {
    /// The column.
    pub column: Column,
    /// Lower is better; 0 is that of names that the caller has mapped.
    pub rank: u8,
    /// Milliseconds per unit, for a duration.
    pub unit: f64,
}
