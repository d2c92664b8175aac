//! The JSON documents of a log: the format of their objects, and where they end.

use super::attributes::AttributeWriter;
use super::envelope;
use super::field_names::FieldNames;
use super::fields::Fields;
use super::json_index::{JsonIndex, NodeKind};
use super::json_scan::JsonError;
use super::langchain::{self, OpenSteps};
use super::otlp;
use super::otlp_logs;
use super::step::unknown;
use super::step::{LogFormat, Sink, StepDraft};
use super::text_span::TextSpan;

/// The JSON reader of a log.
pub struct Documents<'c> {
    json: JsonIndex,
    /// Steps of LangChain for which only the beginning was seen.
    spans: OpenSteps<'c>,
    /// Bytes that may still be read twice: text that looks like a document of many lines, but is not one, is read again
    /// line by line.
    reread_budget: usize,
    /// Range of the document that was found last.
    whole: TextSpan,
    /// True while envelopes are not read but reported.
    pub reports_envelopes: bool,
    /// True if the last document was an envelope that was reported.
    pub is_envelope: bool,
}

/// The format in which an object is read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Shape {
    Fields,
    Event(u32),
    Envelope,
    Task(u32),
    Run,
    Export(u32),
    Logs(u32),
    Resource,
    Span,
    Console,
}

impl<'c> Documents<'c> {
    /// Creates the reader for a log of `length` bytes.
    pub fn new(length: usize) -> Self {
        let reread_budget = length.saturating_mul(4);
        Self {
            json: JsonIndex::default(),
            spans: OpenSteps::default(),
            reread_budget,
            whole: TextSpan::NONE,
            reports_envelopes: false,
            is_envelope: false,
        }
    }

    /// Reads the document at `start`, in a line that ends at `end` or over many lines. Returns its end if it is an object
    /// or an array of objects, and only a comma may follow it in its line.
    pub fn find(&mut self, log: &[u8], start: usize, end: usize) -> Option<usize> {
        let after = match self.json.read(&log[..end], start) {
            Ok(after) => after,
            Err(JsonError::Truncated) if self.reread_budget > 0 => match self.json.read(log, start) {
                Ok(after) => after,
                Err(_) => {
                    self.reread_budget =
                        self.reread_budget.saturating_sub(self.json.reach().saturating_sub(start));
                    return None;
                }
            },
            Err(_) => return None,
        };
        let mut rest = log[after..].iter().skip_while(|byte| matches!(byte, b' ' | b'\t' | b'\r' | b','));
        let alone = rest.next().is_none_or(|byte| *byte == b'\n');
        self.whole = TextSpan::log(start, after);
        (alone && self.is_of_objects()).then_some(after)
    }

    /// Reads a document that takes up the whole range of a line.
    pub fn find_in_line(&mut self, log: &[u8], start: usize, end: usize) -> bool {
        self.whole = TextSpan::log(start, end);
        self.json.read(&log[..end], start).is_ok_and(|after| log[after..end].trim_ascii().is_empty())
    }

    fn is_of_objects(&self) -> bool {
        let is_object = |index| self.json.node(index).kind == NodeKind::Object;
        is_object(0) || self.json.node(0).next > 1 && self.json.elements(0).all(is_object)
    }

    /// Passes the steps of the document that was found to `sink`.
    pub fn emit(
        &mut self,
        writer: &mut AttributeWriter<'c>,
        names: &FieldNames,
        format: Option<LogFormat>,
        known: StepDraft,
        sink: &mut impl Sink,
    ) {
        let json = std::mem::take(&mut self.json);
        if json.node(0).kind == NodeKind::Object {
            self.object(writer, names, &json, 0, format, known, self.whole, sink);
        } else {
            let (mut line, mut at) = (known.line, self.whole.start());
            for element in json.elements(0) {
                let node = json.node(element);
                let (start, end) = (node.start as usize, node.end as usize);
                line += memchr::memchr_iter(b'\n', &writer.log[at..start]).count() as u32;
                at = start;
                let known = StepDraft { line, ..known };
                self.object(writer, names, &json, element, format, known, TextSpan::log(start, end), sink);
            }
        }
        self.json = json;
    }

    /// Passes the steps that began and never ended to `sink`.
    pub fn finish(&mut self, writer: &mut AttributeWriter<'c>, names: &FieldNames, sink: &mut impl Sink) {
        self.spans.finish(writer, names, sink);
    }

    #[allow(clippy::too_many_arguments, reason = "all of them belong to the one object")]
    fn object(
        &mut self,
        writer: &mut AttributeWriter<'c>,
        names: &FieldNames,
        json: &JsonIndex,
        object: u32,
        format: Option<LogFormat>,
        known: StepDraft,
        whole: TextSpan,
        sink: &mut impl Sink,
    ) {
        let shape =
            if format == Some(LogFormat::Json) { Shape::Fields } else { shape(json, writer.log, object) };
        let langchain = format.is_none_or(|only| only == LogFormat::LangChain);
        let otlp = format.is_none_or(|only| only == LogFormat::Otlp);
        match shape {
            Shape::Event(name) if langchain => {
                self.spans.event(writer, names, json, object, name, known, sink)
            }
            Shape::Envelope if self.reports_envelopes && object == 0 => self.is_envelope = true,
            Shape::Task(payload) if langchain => {
                self.spans.task(writer, names, json, object, payload, known, sink)
            }
            Shape::Run if langchain => langchain::run(writer, json, object, known, whole, sink),
            Shape::Export(resources) if otlp => otlp::export(writer, json, resources, known, sink),
            Shape::Logs(resources) if otlp => otlp_logs::export(writer, json, resources, known, sink),
            Shape::Resource if otlp => otlp::resource(writer, json, object, known, sink),
            Shape::Span if otlp => otlp::span(writer, json, object, &otlp::Origin::default(), known, sink),
            Shape::Console if otlp => otlp::console(writer, json, object, known, whole, sink),
            _ if format.is_none_or(|only| only == LogFormat::Json) => {
                let mut fields = Fields::new(writer, json);
                fields.object(names, object);
                fields.paths(names, object);
                let known = StepDraft { format: Some(LogFormat::Json), ..known };
                fields.step(known).emit(writer, json, whole, sink);
            }
            _ => unknown(writer, known.line, whole, sink),
        }
    }
}

/// The format of an object, recognised by members that only this format has together.
fn shape(json: &JsonIndex, log: &[u8], object: u32) -> Shape {
    let has = |name: &[u8]| json.get(log, object, name).is_some();
    for (key, value) in json.members(object) {
        let name = json.source(log, key);
        match name.len() {
            // Structlog's message is an "event" as well, but it has no id of a run of LangChain.
            5 if name == b"event"
                && json.source(log, value).starts_with(b"on_")
                && has(b"run_id")
                && !has(b"level") =>
            {
                return Shape::Event(value);
            }
            3 | 4 | 6 | 7 | 9 | 11
                if envelope::is_named(name) && envelope::is_envelope(json, log, object) =>
            {
                return Shape::Envelope;
            }
            7 if name == b"context" && json.get(log, value, b"trace_id").is_some() && has(b"start_time") => {
                return Shape::Console;
            }
            7 if name == b"payload"
                && json
                    .get(log, object, b"type")
                    .is_some_and(|kind| json.source(log, kind).starts_with(b"task"))
                && json.get(log, value, b"id").is_some() =>
            {
                return Shape::Task(value);
            }
            8 if name == b"run_type" && has(b"id") && (has(b"start_time") || has(b"inputs")) => {
                return Shape::Run;
            }
            10 | 11 if matches!(name, b"scopeSpans" | b"scope_spans") => return Shape::Resource,
            12 | 13 if matches!(name, b"resourceLogs" | b"resource_logs") => return Shape::Logs(value),
            13 | 14 if matches!(name, b"resourceSpans" | b"resource_spans") => return Shape::Export(value),
            17 | 20 if matches!(name, b"startTimeUnixNano" | b"start_time_unix_nano") => return Shape::Span,
            _ => {}
        }
    }
    Shape::Fields
}
