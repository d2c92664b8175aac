//! A step as a parser gives it.

use super::compose::{Composer, Item, Span};
use super::tape::Tape;

/// How lines of a log are written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Format {
    /// An object in each line.
    Json,
    /// `key=value` pairs.
    Logfmt,
    /// Python's `logging`.
    Python,
    /// Events and runs of LangChain and LangGraph.
    LangChain,
    /// Spans of OpenTelemetry.
    Otlp,
}

impl Format {
    /// All of them.
    pub const ALL: [Self; 5] = [Self::Json, Self::Logfmt, Self::Python, Self::LangChain, Self::Otlp];

    /// Its name in SQL.
    pub fn name(self) -> &'static str {
        match self {
            Self::Json => "json",
            Self::Logfmt => "logfmt",
            Self::Python => "python",
            Self::LangChain => "langchain",
            Self::Otlp => "otlp",
        }
    }
}

/// What a step is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// Something was said.
    Message,
    /// A model was called.
    Model,
    /// A tool was called.
    Tool,
    /// Something was searched.
    Retrieval,
    /// Something went wrong.
    Error,
    /// Anything else.
    Custom,
}

impl Kind {
    /// Its name in SQL.
    pub fn name(self) -> &'static str {
        match self {
            Self::Message => "message",
            Self::Model => "model",
            Self::Tool => "tool",
            Self::Retrieval => "retrieval",
            Self::Error => "error",
            Self::Custom => "custom",
        }
    }

    /// The kind that a word names: our own names, and those of others.
    pub fn of(word: &[u8]) -> Option<Self> {
        Some(match word {
            b"message" => Self::Message,
            b"model" | b"llm" | b"chat_model" | b"LLM" | b"EMBEDDING" | b"embedding" => Self::Model,
            b"tool" | b"TOOL" => Self::Tool,
            b"retrieval" | b"retriever" | b"RETRIEVER" => Self::Retrieval,
            b"error" => Self::Error,
            b"custom" | b"chain" | b"prompt" | b"parser" | b"CHAIN" | b"AGENT" | b"agent" => Self::Custom,
            _ => return None,
        })
    }
}

/// How a step ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Status {
    /// Well.
    Ok,
    /// With an error.
    Error,
    /// Not yet, as far as the log goes.
    Running,
    /// By somebody's will.
    Cancelled,
}

impl Status {
    /// Its name in SQL.
    pub fn name(self) -> &'static str {
        match self {
            Self::Ok => "ok",
            Self::Error => "error",
            Self::Running => "running",
            Self::Cancelled => "cancelled",
        }
    }

    /// The status that a word names.
    pub fn of(word: &[u8]) -> Option<Self> {
        Some(match word {
            b"ok" | b"OK" | b"success" | b"succeeded" | b"completed" | b"done" | b"UNSET" => Self::Ok,
            b"error" | b"ERROR" | b"failed" | b"failure" | b"fail" => Self::Error,
            b"running" | b"started" | b"pending" | b"in_progress" => Self::Running,
            b"cancelled" | b"canceled" => Self::Cancelled,
            _ => return None,
        })
    }
}

/// A step, or a line that was not understood. Texts are in UTF-8; `jsonb` is PostgreSQL's binary form with its header.
#[derive(Debug, Clone, Copy)]
pub struct Row<'a> {
    /// Where it begins, from 1.
    pub line: u32,
    /// How it was written; none where it was not understood.
    pub format: Option<Format>,
    /// The log's own id of the run or trace.
    pub run: Option<&'a [u8]>,
    /// The log's own id of the step.
    pub span: Option<&'a [u8]>,
    /// The log's own id of the step that it is a part of.
    pub parent: Option<&'a [u8]>,
    /// What it is.
    pub kind: Kind,
    /// Of the tool, the logger, the function.
    pub name: Option<&'a [u8]>,
    /// Microseconds since 1970.
    pub started_us: Option<i64>,
    /// Milliseconds.
    pub duration_ms: Option<f64>,
    /// What went in, `jsonb`.
    pub input: Option<&'a [u8]>,
    /// What came out, `jsonb`.
    pub output: Option<&'a [u8]>,
    /// The model, as the log calls it.
    pub model: Option<&'a [u8]>,
    /// Tokens of the prompt.
    pub input_tokens: Option<i64>,
    /// Tokens of the answer.
    pub output_tokens: Option<i64>,
    /// In the log's own currency.
    pub cost: Option<f64>,
    /// How it ended.
    pub status: Status,
    /// What went wrong.
    pub error: Option<&'a [u8]>,
    /// All else that the log says, a `jsonb` object.
    pub attributes: Option<&'a [u8]>,
    /// The line, where it was not understood.
    pub raw: Option<&'a [u8]>,
}

/// Who takes the steps.
pub trait Sink {
    /// A step.
    fn row(&mut self, row: &Row<'_>);

    /// Called every so many lines, also where they give no steps.
    fn pause(&mut self) {}
}

/// A step that is being put together.
#[derive(Debug, Clone, Copy, Default)]
pub struct Draft {
    /// See [`Row`].
    pub line: u32,
    /// See [`Row`].
    pub format: Option<Format>,
    /// See [`Row`].
    pub run: Span,
    /// See [`Row`].
    pub span: Span,
    /// See [`Row`].
    pub parent: Span,
    /// See [`Row`].
    pub kind: Option<Kind>,
    /// See [`Row`].
    pub name: Span,
    /// See [`Row`].
    pub started_us: Option<i64>,
    /// See [`Row`].
    pub duration_ms: Option<f64>,
    /// See [`Row`].
    pub input: Item,
    /// See [`Row`].
    pub output: Item,
    /// See [`Row`].
    pub model: Span,
    /// See [`Row`].
    pub input_tokens: Option<i64>,
    /// See [`Row`].
    pub output_tokens: Option<i64>,
    /// See [`Row`].
    pub cost: Option<f64>,
    /// See [`Row`].
    pub status: Option<Status>,
    /// See [`Row`].
    pub error: Span,
    /// See [`Row`].
    pub raw: Span,
}

impl Draft {
    /// Writes the `jsonb` columns, with the members that were collected as attributes, and hands the step over. One whose
    /// values are too long for `jsonb` goes without them, as `whole` alone.
    pub fn give(&self, composer: &mut Composer<'_>, tape: &Tape, whole: Span, sink: &mut impl Sink) {
        let attributes = composer.document(tape, Item::Members);
        let input = composer.document(tape, self.input);
        let output = composer.document(tape, self.output);
        let (Ok(attributes), Ok(input), Ok(output)) = (attributes, input, output) else {
            composer.clear();
            let draft = Self { line: self.line, raw: whole, ..Self::default() };
            sink.row(&draft.row(composer, [None; 3]));
            return;
        };
        sink.row(&self.row(composer, [attributes, input, output]));
        composer.clear();
    }

    fn row<'a>(&self, composer: &'a Composer<'_>, places: [Option<(usize, usize)>; 3]) -> Row<'a> {
        let [attributes, input, output] = places.map(|place| place.map(|place| composer.written(place)));
        Row {
            line: self.line,
            format: self.format,
            run: composer.shown(self.run),
            span: composer.shown(self.span),
            parent: composer.shown(self.parent),
            kind: self.kind.unwrap_or(Kind::Custom),
            name: composer.shown(self.name),
            started_us: self.started_us,
            duration_ms: self.duration_ms,
            input,
            output,
            model: composer.shown(self.model),
            input_tokens: self.input_tokens,
            output_tokens: self.output_tokens,
            cost: self.cost,
            status: self.status.unwrap_or(Status::Ok),
            error: composer.shown(self.error),
            attributes,
            raw: composer.shown(self.raw),
        }
    }
}
