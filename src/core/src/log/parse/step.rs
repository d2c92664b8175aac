//! A step as the parser hands it over.

use super::attributes::AttributeWriter;
use super::json_index::JsonIndex;
use super::jsonb_source::JsonbSource;
use super::text_span::{TextSpan, own_key};

/// How lines of a log are written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LogFormat {
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

impl LogFormat {
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
pub enum StepKind {
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
pub enum StepStatus {
    /// Well.
    Ok,
    /// With an error.
    Error,
    /// Not yet, as far as the log goes.
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

/// A step, or a line that was not understood. Texts are in UTF-8; `jsonb` is PostgreSQL's binary form with its header.
#[derive(Debug, Clone, Copy)]
pub struct ParsedStep<'a> {
    /// Where it begins, from 1.
    pub line: u32,
    /// How it was written; none where it was not understood.
    pub format: Option<LogFormat>,
    /// The log's own id of the run or trace.
    pub run: Option<&'a [u8]>,
    /// The log's own id of the step.
    pub span: Option<&'a [u8]>,
    /// The log's own id of the step that it is a part of.
    pub parent: Option<&'a [u8]>,
    /// What it is.
    pub kind: StepKind,
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
    pub status: StepStatus,
    /// What went wrong.
    pub error: Option<&'a [u8]>,
    /// All else that the log says, a `jsonb` object.
    pub attributes: Option<&'a [u8]>,
    /// The line, where it was not understood.
    pub raw: Option<&'a [u8]>,
}

/// Receives the steps.
pub trait Sink {
    /// A step.
    fn step(&mut self, step: &ParsedStep<'_>);

    /// Called at intervals of lines, also if these lines gave no steps.
    fn pause(&mut self) {}
}

/// A step that is being put together.
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
    /// Writes the `jsonb` columns, with the members that were collected as attributes, and hands the step over. A step whose
    /// values are too long for `jsonb` is handed over as unparsed text, `whole`.
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

/// Hands over a text that no format knows.
pub fn unknown(writer: &mut AttributeWriter<'_>, line: u32, raw: TextSpan, sink: &mut impl Sink) {
    writer.clear();
    writer.member(own_key("unparsed"), JsonbSource::True);
    StepDraft { line, raw, ..StepDraft::default() }.emit(writer, &JsonIndex::default(), raw, sink);
}
