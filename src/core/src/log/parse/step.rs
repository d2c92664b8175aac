//! A step as the parser passes it to the sink.

use super::attributes::AttributeWriter;
use super::json_index::JsonIndex;
use super::jsonb_source::JsonbSource;
use super::text_span::{TextSpan, own_key};

/// The formats of log lines.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LogFormat {
    /// One JSON object per line.
    Json,
    /// `key=value` pairs.
    Logfmt,
    /// Python's `logging`.
    Python,
    /// Events and runs of LangChain and LangGraph.
    LangChain,
    /// Spans and log records of OpenTelemetry.
    Otlp,
    /// Plain lines of servers, and errors of several lines in other languages than Python.
    Text,
}

impl LogFormat {
    /// All formats.
    pub const ALL: [Self; 6] =
        [Self::Json, Self::Logfmt, Self::Python, Self::LangChain, Self::Otlp, Self::Text];

    /// Its name in SQL.
    pub fn name(self) -> &'static str {
        match self {
            Self::Json => "json",
            Self::Logfmt => "logfmt",
            Self::Python => "python",
            Self::LangChain => "langchain",
            Self::Otlp => "otlp",
            Self::Text => "text",
        }
    }
}

/// The kind of a step.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum StepKind {
    /// A message.
    Message,
    /// A call to a model.
    Model,
    /// A call to a tool.
    Tool,
    /// A search.
    Retrieval,
    /// An error.
    Error,
    /// Anything else.
    Custom,
}

impl StepKind {
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

    /// The kind that a word names: Ragstone's own names, and those of other software.
    pub fn of(word: &[u8]) -> Option<Self> {
        Some(match word {
            b"message" => Self::Message,
            b"model" | b"llm" | b"chat_model" | b"LLM" | b"EMBEDDING" | b"embedding" | b"GENERATION"
            | b"generation" => Self::Model,
            b"tool" | b"TOOL" | b"function" => Self::Tool,
            b"retrieval" | b"retriever" | b"RETRIEVER" => Self::Retrieval,
            b"error" => Self::Error,
            b"custom" | b"chain" | b"prompt" | b"parser" | b"CHAIN" | b"AGENT" | b"agent" => Self::Custom,
            _ => return None,
        })
    }
}

/// The status of a step.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum StepStatus {
    /// It succeeded.
    Ok,
    /// It failed.
    Error,
    /// Its end is not in the log.
    Running,
    /// It was cancelled.
    Cancelled,
}

impl StepStatus {
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

/// A step, or a line that no format recognised. Texts are in UTF-8; `jsonb` is PostgreSQL's binary format with its header.
#[derive(Debug, Clone, Copy)]
pub struct ParsedStep<'a> {
    /// Number of the step's first line, from 1.
    pub line: u32,
    /// The format; `None` for a line that no format recognised.
    pub format: Option<LogFormat>,
    /// The log's own id of the run or trace.
    pub run: Option<&'a [u8]>,
    /// The log's own id of the step.
    pub span: Option<&'a [u8]>,
    /// The log's own id of the step that it is a part of.
    pub parent: Option<&'a [u8]>,
    /// Kind of the step.
    pub kind: StepKind,
    /// Name of the tool, the logger or the function.
    pub name: Option<&'a [u8]>,
    /// Start, microseconds since 1970.
    pub started_us: Option<i64>,
    /// Duration, milliseconds.
    pub duration_ms: Option<f64>,
    /// Input, `jsonb`.
    pub input: Option<&'a [u8]>,
    /// Output, `jsonb`.
    pub output: Option<&'a [u8]>,
    /// The model's name in the log.
    pub model: Option<&'a [u8]>,
    /// Tokens of the prompt.
    pub input_tokens: Option<i64>,
    /// Tokens of the answer.
    pub output_tokens: Option<i64>,
    /// Cost, in the log's own currency.
    pub cost: Option<f64>,
    /// Status of the step.
    pub status: StepStatus,
    /// Error message.
    pub error: Option<&'a [u8]>,
    /// All other fields, a `jsonb` object.
    pub attributes: Option<&'a [u8]>,
    /// The line, if no format recognised it.
    pub raw: Option<&'a [u8]>,
}

/// Receives the steps.
pub trait Sink {
    /// A step.
    fn step(&mut self, step: &ParsedStep<'_>);

    /// Called at intervals of lines, even if these lines contained no steps.
    fn pause(&mut self) {}
}

/// A step under construction.
#[derive(Debug, Clone, Copy, Default)]
pub struct StepDraft {
    /// As in [`ParsedStep`].
    pub line: u32,
    /// As in [`ParsedStep`].
    pub format: Option<LogFormat>,
    /// As in [`ParsedStep`].
    pub run: TextSpan,
    /// As in [`ParsedStep`].
    pub span: TextSpan,
    /// As in [`ParsedStep`].
    pub parent: TextSpan,
    /// As in [`ParsedStep`].
    pub kind: Option<StepKind>,
    /// As in [`ParsedStep`].
    pub name: TextSpan,
    /// As in [`ParsedStep`].
    pub started_us: Option<i64>,
    /// As in [`ParsedStep`].
    pub duration_ms: Option<f64>,
    /// As in [`ParsedStep`].
    pub input: JsonbSource,
    /// As in [`ParsedStep`].
    pub output: JsonbSource,
    /// As in [`ParsedStep`].
    pub model: TextSpan,
    /// As in [`ParsedStep`].
    pub input_tokens: Option<i64>,
    /// As in [`ParsedStep`].
    pub output_tokens: Option<i64>,
    /// As in [`ParsedStep`].
    pub cost: Option<f64>,
    /// As in [`ParsedStep`].
    pub status: Option<StepStatus>,
    /// As in [`ParsedStep`].
    pub error: TextSpan,
    /// As in [`ParsedStep`].
    pub raw: TextSpan,
}

impl StepDraft {
    /// Writes the `jsonb` columns, with the collected members as attributes, and passes the step to `sink`. If a value is
    /// too long for `jsonb`, passes `whole` as unparsed text instead.
    pub fn emit(
        &self,
        writer: &mut AttributeWriter<'_>,
        json: &JsonIndex,
        whole: TextSpan,
        sink: &mut impl Sink,
    ) {
        let attributes = writer.document(json, JsonbSource::Members);
        let input = writer.document(json, self.input);
        let output = writer.document(json, self.output);
        let (Ok(attributes), Ok(input), Ok(output)) = (attributes, input, output) else {
            writer.clear();
            let draft = Self { line: self.line, raw: whole, ..Self::default() };
            sink.step(&draft.step(writer, [None; 3]));
            return;
        };
        sink.step(&self.step(writer, [attributes, input, output]));
        writer.clear();
    }

    fn step<'a>(
        &self,
        writer: &'a AttributeWriter<'_>,
        places: [Option<(usize, usize)>; 3],
    ) -> ParsedStep<'a> {
        let [attributes, input, output] = places.map(|place| place.map(|place| writer.written(place)));
        ParsedStep {
            line: self.line,
            format: self.format,
            run: writer.shown(self.run),
            span: writer.shown(self.span),
            parent: writer.shown(self.parent),
            kind: self.kind.unwrap_or(StepKind::Custom),
            name: writer.shown(self.name),
            started_us: self.started_us,
            duration_ms: self.duration_ms,
            input,
            output,
            model: writer.shown(self.model),
            input_tokens: self.input_tokens,
            output_tokens: self.output_tokens,
            cost: self.cost,
            status: self.status.unwrap_or(StepStatus::Ok),
            error: writer.shown(self.error),
            attributes,
            raw: writer.shown(self.raw),
        }
    }
}

/// Passes text that no format recognises to `sink`.
pub fn unknown(writer: &mut AttributeWriter<'_>, line: u32, raw: TextSpan, sink: &mut impl Sink) {
    writer.clear();
    writer.member(own_key("unparsed"), JsonbSource::True);
    StepDraft { line, raw, ..StepDraft::default() }.emit(writer, &JsonIndex::default(), raw, sink);
}
