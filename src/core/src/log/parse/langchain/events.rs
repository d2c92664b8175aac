//! Events of `astream_events` and of callbacks: one event begins a step, another one ends it
//! (`langchain_core.runnables.schema`).

use super::super::attributes::AttributeWriter;
use super::super::field_names::FieldNames;
use super::super::field_place::Column;
use super::super::json_index::{JsonIndex, NodeKind};
use super::super::jsonb_source::JsonbSource;
use super::super::step::{LogFormat, Sink, StepDraft, StepKind, StepStatus};
use super::super::text_span::{TextSpan, own_key};
use super::super::time::moment;
use super::answer::{error_text, piece_text, usage};
use super::nodes::{duration_between, inner, is_empty, outer};
use std::collections::HashMap;

/// Steps that have begun and not ended, by id.
#[derive(Default)]
pub struct OpenSteps<'c> {
    open: HashMap<&'c [u8], OpenStep>,
    /// Reused to read the beginnings of steps that never end.
    json: JsonIndex,
}

/// The beginning of a step, as places in the log.
#[derive(Debug, Default)]
struct OpenStep {
    line: u32,
    whole: TextSpan,
    run: TextSpan,
    parent: TextSpan,
    name: TextSpan,
    started_us: Option<i64>,
    /// Input, JSON.
    input: TextSpan,
    /// Number of pieces of the answer.
    pieces: i64,
    /// The texts of the pieces, with escapes.
    texts: Vec<TextSpan>,
}

/// The phase of its step that an event reports.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Phase {
    Start,
    Piece,
    End,
    Error,
    /// Any other event within the step.
    Other,
}

/// The members of an event, as nodes.
#[derive(Debug, Default)]
struct LangChainEvent {
    id: Option<u32>,
    name: Option<u32>,
    parent: Option<u32>,
    root: Option<u32>,
    moment: Option<i64>,
    metadata: Option<u32>,
    data: Option<u32>,
    input: Option<u32>,
    output: Option<u32>,
    error: Option<u32>,
    piece: Option<u32>,
}

impl<'c> OpenSteps<'c> {
    /// Reads an event. If the event ends a step, passes the step to `sink`.
    #[allow(clippy::too_many_arguments, reason = "all of them belong to the one event")]
    pub fn event(
        &mut self,
        writer: &mut AttributeWriter<'c>,
        names: &FieldNames,
        json: &JsonIndex,
        object: u32,
        name: u32,
        known: StepDraft,
        sink: &mut impl Sink,
    ) {
        let log = writer.log;
        let (component, phase) = phase(json.source(log, name));
        let keep = matches!(phase, Phase::End | Phase::Error | Phase::Other);
        let event = LangChainEvent::read(writer, names, json, object, keep);
        let key = event.id.map_or(&[][..], |id| json.source(log, id));
        match phase {
            Phase::Start => {
                let open = self.begin(writer, json, object, &event, known);
                writer.clear();
                // The id was used before: the earlier step never ended.
                if let Some(lost) = self.open.insert(key, open) {
                    self.unended(writer, names, lost, sink);
                }
            }
            Phase::Piece => {
                writer.clear();
                if !self.open.contains_key(key) {
                    // The log begins in the middle of the answer.
                    let open = self.begin(writer, json, object, &event, known);
                    self.open.insert(key, open);
                }
                if let Some(open) = self.open.get_mut(key) {
                    open.pieces += 1;
                    open.texts.extend(event.piece.and_then(|piece| piece_text(json, log, piece)));
                }
            }
            Phase::End | Phase::Error => {
                let open = self.open.remove(key).unwrap_or_default();
                let draft = self.ended(writer, json, &event, component, &open, known);
                draft.emit(writer, json, outer(json, log, object), sink);
            }
            Phase::Other => {
                let draft = self.other(writer, json, &event, name, known);
                draft.emit(writer, json, outer(json, log, object), sink);
            }
        }
    }

    /// Reads a task of LangGraph's stream mode `debug`: its beginning, or its result, which passes the step to `sink`. These
    /// streams do not name their run.
    #[allow(clippy::too_many_arguments, reason = "all of them belong to the one task")]
    pub fn task(
        &mut self,
        writer: &mut AttributeWriter<'c>,
        names: &FieldNames,
        json: &JsonIndex,
        object: u32,
        payload: u32,
        known: StepDraft,
        sink: &mut impl Sink,
    ) {
        let log = writer.log;
        let get = |name: &[u8]| json.get(log, payload, name).filter(|value| !is_empty(json, *value));
        let given = |name: &[u8]| get(name).filter(|value| json.node(*value).kind != NodeKind::Null);
        let time = json.get(log, object, b"timestamp");
        let event = LangChainEvent {
            id: given(b"id"),
            name: given(b"name"),
            moment: time.and_then(|time| moment(json.source(log, time), writer.zone)),
            input: given(b"input"),
            output: given(b"result"),
            error: given(b"error"),
            ..LangChainEvent::default()
        };
        let key = event.id.map_or(&[][..], |id| json.source(log, id));
        if json.get(log, payload, b"result").or(json.get(log, payload, b"error")).is_none() {
            let open = OpenStep { run: TextSpan::NONE, ..self.begin(writer, json, object, &event, known) };
            if let Some(lost) = self.open.insert(key, open) {
                self.unended(writer, names, lost, sink);
            }
            return;
        }
        let open = self.open.remove(key).unwrap_or_default();
        let mut draft = self.ended(writer, json, &event, b"chain", &open, known);
        draft.run = TextSpan::NONE;
        if let Some(interrupts) = get(b"interrupts") {
            writer.member(own_key("interrupts"), JsonbSource::Node(interrupts));
        }
        draft.emit(writer, json, outer(json, log, object), sink);
    }

    /// Passes the steps that began and never ended to `sink`, in the order of the log.
    pub fn finish(&mut self, writer: &mut AttributeWriter<'c>, names: &FieldNames, sink: &mut impl Sink) {
        let mut open: Vec<OpenStep> = self.open.drain().map(|(_, open)| open).collect();
        open.sort_unstable_by_key(|open| (open.line, open.whole.start()));
        for lost in open {
            self.unended(writer, names, lost, sink);
        }
    }

    fn begin(
        &self,
        writer: &AttributeWriter<'c>,
        json: &JsonIndex,
        object: u32,
        event: &LangChainEvent,
        known: StepDraft,
    ) -> OpenStep {
        let log = writer.log;
        let place = |node: Option<u32>| node.map_or(TextSpan::NONE, |node| inner(json, node));
        OpenStep {
            line: known.line,
            whole: outer(json, log, object),
            started_us: event.moment.or(known.started_us),
            run: self.run_of(json, log, event),
            parent: place(event.parent),
            name: place(event.name),
            input: event.input.map_or(TextSpan::NONE, |input| outer(json, log, input)),
            ..OpenStep::default()
        }
    }

    /// The run of a step: that of the outermost enclosing step.
    fn run_of(&self, json: &JsonIndex, log: &[u8], event: &LangChainEvent) -> TextSpan {
        let around = event.parent.and_then(|parent| self.open.get(json.source(log, parent)));
        match (event.root, around) {
            (Some(root), _) => inner(json, root),
            (None, Some(around)) => around.run,
            (None, None) => event.parent.or(event.id).map_or(TextSpan::NONE, |id| inner(json, id)),
        }
    }

    fn ended(
        &self,
        writer: &mut AttributeWriter<'c>,
        json: &JsonIndex,
        event: &LangChainEvent,
        component: &[u8],
        open: &OpenStep,
        known: StepDraft,
    ) -> StepDraft {
        let log = writer.log;
        let ended = event.moment.or(known.started_us);
        let mut draft = StepDraft {
            line: if open.line > 0 { open.line } else { known.line },
            format: Some(LogFormat::LangChain),
            kind: Some(StepKind::of(component).unwrap_or(StepKind::Custom)),
            span: event.id.map_or(TextSpan::NONE, |id| inner(json, id)),
            parent: event.parent.map_or(open.parent, |parent| inner(json, parent)),
            run: open.run.or(self.run_of(json, log, event)),
            name: event.name.map_or(open.name, |name| writer.text(json, name)),
            started_us: open.started_us.or(ended),
            status: Some(StepStatus::Ok),
            ..StepDraft::default()
        };
        draft.duration_ms = duration_between(open.started_us, ended);
        draft.input = event.input.map_or(JsonbSource::Raw(open.input), JsonbSource::Node);
        draft.output = event.output.map_or(JsonbSource::Nothing, JsonbSource::Node);
        if let Some(error) = event.error {
            draft.status = Some(StepStatus::Error);
            draft.error = error_text(writer, json, error);
        }
        if draft.output == JsonbSource::Nothing {
            draft.output = JsonbSource::Text(pieces(writer, open));
        }
        if draft.kind == Some(StepKind::Model) {
            usage(writer, json, event.output, event.metadata, &mut draft);
        }
        if open.pieces > 0 {
            writer.member(own_key("pieces"), JsonbSource::Int(open.pieces));
        }
        draft
    }

    /// A step from an event that neither begins nor ends one. Its parent is the step with its id.
    fn other(
        &self,
        writer: &mut AttributeWriter<'c>,
        json: &JsonIndex,
        event: &LangChainEvent,
        name: u32,
        known: StepDraft,
    ) -> StepDraft {
        writer.member(own_key("event"), JsonbSource::Node(name));
        StepDraft {
            format: Some(LogFormat::LangChain),
            parent: event.id.map_or(TextSpan::NONE, |id| inner(json, id)),
            run: self.run_of(json, writer.log, event),
            name: event.name.map_or(TextSpan::NONE, |name| writer.text(json, name)),
            started_us: event.moment.or(known.started_us),
            output: event.data.or(event.output).map_or(JsonbSource::Nothing, JsonbSource::Node),
            ..known
        }
    }

    /// Reads the beginning of a step again, with all of its fields.
    fn unended(
        &mut self,
        writer: &mut AttributeWriter<'c>,
        names: &FieldNames,
        open: OpenStep,
        sink: &mut impl Sink,
    ) {
        let log = writer.log;
        let mut json = std::mem::take(&mut self.json);
        writer.clear();
        if json.read(&log[..open.whole.end()], open.whole.start()).is_ok() {
            let event = LangChainEvent::read(writer, names, &json, 0, true);
            let name = json.get(log, 0, b"event");
            let component = name.map_or(&[][..], |name| phase(json.source(log, name)).0);
            let known = StepDraft { line: open.line, ..StepDraft::default() };
            let mut draft = self.ended(writer, &json, &event, component, &open, known);
            (draft.status, draft.duration_ms) = (Some(StepStatus::Running), None);
            draft.emit(writer, &json, open.whole, sink);
        }
        self.json = json;
    }
}

impl LangChainEvent {
    /// Reads an event. With `keep`, members without a column become attributes.
    fn read(
        writer: &mut AttributeWriter<'_>,
        names: &FieldNames,
        json: &JsonIndex,
        object: u32,
        keep: bool,
    ) -> Self {
        let log = writer.log;
        let mut event = Self::default();
        for (key, value) in json.members(object) {
            if json.node(value).kind == NodeKind::Null {
                continue;
            }
            match json.source(log, key) {
                b"event" => continue,
                b"run_id" => event.id = Some(value),
                b"name" => event.name = Some(value),
                b"parent_run_id" => event.parent = Some(value),
                b"parent_ids" => {
                    event.root = json.elements(value).next();
                    event.parent = json.elements(value).last().or(event.parent);
                }
                b"data" => event.data(json, log, value),
                b"inputs" | b"input" | b"input_str" | b"prompts" | b"messages" | b"query" => {
                    event.input = Some(value)
                }
                b"outputs" | b"output" | b"response" | b"documents" | b"finish" => event.output = Some(value),
                b"error" => event.error = Some(value),
                b"token" | b"chunk" => event.piece = Some(value),
                name => {
                    if name == b"metadata" {
                        event.metadata = Some(value);
                    }
                    let is_time = names.find(name).is_some_and(|place| place.column == Column::Started);
                    let time = if is_time { moment(json.source(log, value), writer.zone) } else { None };
                    event.moment = event.moment.or(time);
                    if keep && time.is_none() && !is_empty(json, value) {
                        let key = writer.text(json, key);
                        writer.member(key, JsonbSource::Node(value));
                    }
                }
            }
        }
        event
    }

    fn data(&mut self, json: &JsonIndex, log: &[u8], data: u32) {
        self.data = Some(data);
        for (key, value) in json.members(data) {
            if json.node(value).kind == NodeKind::Null {
                continue;
            }
            match json.source(log, key) {
                b"input" => self.input = Some(value),
                b"output" => self.output = Some(value),
                b"error" => self.error = Some(value),
                b"chunk" => self.piece = Some(value),
                _ => {}
            }
        }
    }
}

/// Splits a name such as `on_chat_model_start` into the component and the phase.
fn phase(event: &[u8]) -> (&[u8], Phase) {
    let name = event.strip_prefix(b"on_").unwrap_or(event);
    if name == b"llm_new_token" {
        return (b"llm", Phase::Piece);
    }
    let ends =
        [("_start", Phase::Start), ("_stream", Phase::Piece), ("_end", Phase::End), ("_error", Phase::Error)];
    for (end, phase) in ends {
        if let Some(component) = name.strip_suffix(end.as_bytes()) {
            return (component, phase);
        }
    }
    (name, Phase::Other)
}

/// The text of the pieces, for an answer without an end.
fn pieces(writer: &mut AttributeWriter<'_>, open: &OpenStep) -> TextSpan {
    if open.texts.is_empty() {
        return TextSpan::NONE;
    }
    let parts: Vec<TextSpan> =
        open.texts.iter().map(|text| writer.unescaped(text.start(), text.end())).collect();
    writer.joined(parts, b"")
}
