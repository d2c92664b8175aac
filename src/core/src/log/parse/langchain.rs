//! What LangChain and LangGraph tell of themselves: the events of `astream_events` and of callbacks, of which two make a step,
//! and the runs of tracers, of which each is one (`langchain_core.runnables.schema`, `langsmith.schemas.RunBase`).

use super::compose::{Composer, Item, Span, fixed};
use super::fields::{amount, count, tokens_of};
use super::names::{Column, Names};
use super::row::{Draft, Format, Kind, Sink, Status};
use super::tape::{Sort, Tape};
use super::time::moment;
use std::collections::HashMap;

/// Steps that have begun, by their ids.
#[derive(Default)]
pub struct Spans<'c> {
    open: HashMap<&'c [u8], Open>,
    /// For those that never end.
    tape: Tape,
}

/// The beginning of a step, as places in the log.
#[derive(Debug, Default)]
struct Open {
    line: u32,
    whole: Span,
    run: Span,
    parent: Span,
    name: Span,
    started_us: Option<i64>,
    /// JSON.
    input: Span,
    /// How many pieces of the answer came.
    pieces: i64,
    /// Their texts, with escapes.
    texts: Vec<Span>,
}

/// What an event says of its step.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Phase {
    Start,
    Piece,
    End,
    Error,
    /// Something beside the step's beginning and end.
    Other,
}

/// The members of an event, as places of the tape.
#[derive(Debug, Default)]
struct Event {
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

impl<'c> Spans<'c> {
    /// Takes an event; gives a step where it ends one.
    #[allow(clippy::too_many_arguments, reason = "all of them belong to the one event")]
    pub fn event(
        &mut self,
        composer: &mut Composer<'c>,
        names: &Names,
        tape: &Tape,
        object: u32,
        name: u32,
        known: Draft,
        sink: &mut impl Sink,
    ) {
        let log = composer.log;
        let (sort, phase) = phase(tape.source(log, name));
        let keep = matches!(phase, Phase::End | Phase::Error | Phase::Other);
        let event = Event::read(composer, names, tape, object, keep);
        let key = event.id.map_or(&[][..], |id| tape.source(log, id));
        match phase {
            Phase::Start => {
                let mut open = self.begin(composer, tape, &event);
                open.line = known.line;
                open.whole = outer(tape, log, object);
                open.started_us = event.moment.or(known.started_us);
                composer.clear();
                // An id that was used before: what it stood for goes on without an end.
                if let Some(lost) = self.open.insert(key, open) {
                    self.unended(composer, lost, sink);
                }
            }
            Phase::Piece => {
                composer.clear();
                if let Some(open) = self.open.get_mut(key) {
                    open.pieces += 1;
                    open.texts.extend(event.piece.and_then(|piece| piece_text(tape, log, piece)));
                }
            }
            Phase::End | Phase::Error => {
                let open = self.open.remove(key).unwrap_or_default();
                let draft = self.ended(composer, tape, &event, sort, &open, known);
                draft.give(composer, tape, outer(tape, log, object), sink);
            }
            Phase::Other => {
                let draft = self.other(composer, tape, &event, name, known);
                draft.give(composer, tape, outer(tape, log, object), sink);
            }
        }
    }

    /// Gives what was begun and never ended, in the order of the log.
    pub fn finish(&mut self, composer: &mut Composer<'c>, sink: &mut impl Sink) {
        let mut open: Vec<Open> = self.open.drain().map(|(_, open)| open).collect();
        open.sort_unstable_by_key(|open| (open.line, open.whole.start()));
        for lost in open {
            self.unended(composer, lost, sink);
        }
    }

    fn begin(&self, composer: &mut Composer<'c>, tape: &Tape, event: &Event) -> Open {
        let log = composer.log;
        let place = |node: Option<u32>| node.map_or(Span::NONE, |node| inner(tape, node));
        Open {
            run: self.run_of(tape, log, event),
            parent: place(event.parent),
            name: place(event.name),
            input: event.input.map_or(Span::NONE, |input| outer(tape, log, input)),
            ..Open::default()
        }
    }

    /// The run that a step belongs to: that of the outermost step around it.
    fn run_of(&self, tape: &Tape, log: &[u8], event: &Event) -> Span {
        let around = event.parent.and_then(|parent| self.open.get(tape.source(log, parent)));
        match (event.root, around) {
            (Some(root), _) => inner(tape, root),
            (None, Some(around)) => around.run,
            (None, None) => event.parent.or(event.id).map_or(Span::NONE, |id| inner(tape, id)),
        }
    }

    fn ended(
        &self,
        composer: &mut Composer<'c>,
        tape: &Tape,
        event: &Event,
        sort: &[u8],
        open: &Open,
        known: Draft,
    ) -> Draft {
        let log = composer.log;
        let ended = event.moment.or(known.started_us);
        let mut draft = Draft {
            line: if open.line > 0 { open.line } else { known.line },
            format: Some(Format::LangChain),
            kind: Some(Kind::of(sort).unwrap_or(Kind::Custom)),
            span: event.id.map_or(Span::NONE, |id| inner(tape, id)),
            parent: event.parent.map_or(open.parent, |parent| inner(tape, parent)),
            run: open.run.or(self.run_of(tape, log, event)),
            name: event.name.map_or(open.name, |name| composer.text(tape, name)),
            started_us: open.started_us.or(ended),
            status: Some(Status::Ok),
            ..Draft::default()
        };
        draft.duration_ms = between(open.started_us, ended);
        draft.input = event.input.map_or(Item::Source(open.input), Item::Node);
        draft.output = event.output.map_or(Item::Nothing, Item::Node);
        if let Some(error) = event.error {
            draft.status = Some(Status::Error);
            draft.error = error_text(composer, tape, error);
        }
        if draft.output == Item::Nothing {
            draft.output = Item::Text(pieces(composer, open));
        }
        if draft.kind == Some(Kind::Model) {
            usage(composer, tape, event.output, event.metadata, &mut draft);
        }
        if open.pieces > 0 {
            composer.member(fixed("pieces"), Item::Int(open.pieces));
        }
        draft
    }

    /// An event that is a step by itself, within the step whose id it has.
    fn other(
        &self,
        composer: &mut Composer<'c>,
        tape: &Tape,
        event: &Event,
        name: u32,
        known: Draft,
    ) -> Draft {
        composer.member(fixed("event"), Item::Node(name));
        Draft {
            format: Some(Format::LangChain),
            parent: event.id.map_or(Span::NONE, |id| inner(tape, id)),
            run: self.run_of(tape, composer.log, event),
            name: event.name.map_or(Span::NONE, |name| composer.text(tape, name)),
            started_us: event.moment.or(known.started_us),
            output: event.data.or(event.output).map_or(Item::Nothing, Item::Node),
            ..known
        }
    }

    /// Reads a beginning again, for all that it says.
    fn unended(&mut self, composer: &mut Composer<'c>, open: Open, sink: &mut impl Sink) {
        let log = composer.log;
        let mut tape = std::mem::take(&mut self.tape);
        composer.clear();
        if tape.read(&log[..open.whole.end()], open.whole.start()).is_ok() {
            let event = Event::read(composer, &Names::new(), &tape, 0, true);
            let name = tape.get(log, 0, b"event");
            let sort = name.map_or(&[][..], |name| phase(tape.source(log, name)).0);
            let known = Draft { line: open.line, ..Draft::default() };
            let mut draft = self.ended(composer, &tape, &event, sort, &open, known);
            (draft.status, draft.duration_ms) = (Some(Status::Running), None);
            draft.give(composer, &tape, open.whole, sink);
        }
        self.tape = tape;
    }
}

impl Event {
    /// Reads an event; what is no column becomes an attribute where `keep` says so.
    fn read(composer: &mut Composer<'_>, names: &Names, tape: &Tape, object: u32, keep: bool) -> Self {
        let log = composer.log;
        let mut event = Self::default();
        for (key, value) in tape.members(object) {
            if tape.node(value).sort == Sort::Null {
                continue;
            }
            match tape.source(log, key) {
                b"event" => continue,
                b"run_id" => event.id = Some(value),
                b"name" => event.name = Some(value),
                b"parent_run_id" => event.parent = Some(value),
                b"parent_ids" => {
                    event.root = tape.elements(value).next();
                    event.parent = tape.elements(value).last().or(event.parent);
                }
                b"data" => event.data(tape, log, value),
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
                    let is_time = names.find(name).is_some_and(|name| name.column == Column::Started);
                    let time = if is_time { moment(tape.source(log, value)) } else { None };
                    event.moment = event.moment.or(time);
                    if keep && time.is_none() && !is_empty(tape, value) {
                        let key = composer.text(tape, key);
                        composer.member(key, Item::Node(value));
                    }
                }
            }
        }
        event
    }

    fn data(&mut self, tape: &Tape, log: &[u8], data: u32) {
        self.data = Some(data);
        for (key, value) in tape.members(data) {
            if tape.node(value).sort == Sort::Null {
                continue;
            }
            match tape.source(log, key) {
                b"input" => self.input = Some(value),
                b"output" => self.output = Some(value),
                b"error" => self.error = Some(value),
                b"chunk" => self.piece = Some(value),
                _ => {}
            }
        }
    }
}

/// A run of a tracer, and the runs within it.
pub fn run(
    composer: &mut Composer<'_>,
    tape: &Tape,
    object: u32,
    known: Draft,
    whole: Span,
    sink: &mut impl Sink,
) {
    let log = composer.log;
    let mut draft = Draft { format: Some(Format::LangChain), kind: Some(Kind::Custom), ..known };
    let (mut ended, mut children, mut output, mut extra, mut order) = (None, None, None, None, None);
    for (key, value) in tape.members(object) {
        if tape.node(value).sort == Sort::Null {
            continue;
        }
        match tape.source(log, key) {
            b"id" => draft.span = inner(tape, value),
            b"parent_run_id" => draft.parent = inner(tape, value),
            b"trace_id" => draft.run = inner(tape, value),
            b"name" => draft.name = composer.text(tape, value),
            b"start_time" => draft.started_us = moment(tape.source(log, value)),
            b"end_time" => ended = moment(tape.source(log, value)),
            b"inputs" => draft.input = Item::Node(value),
            b"outputs" => {
                output = Some(value);
                draft.output = Item::Node(value);
            }
            b"error" => draft.error = error_text(composer, tape, value),
            b"child_runs" => children = Some(value),
            b"prompt_tokens" => draft.input_tokens = count(tape.source(log, value)),
            b"completion_tokens" => draft.output_tokens = count(tape.source(log, value)),
            b"total_cost" => draft.cost = amount(tape.source(log, value)),
            name => {
                match name {
                    b"run_type" => draft.kind = Kind::of(tape.source(log, value)).or(draft.kind),
                    b"extra" => extra = Some(value),
                    b"dotted_order" => order = Some(value),
                    _ => {}
                }
                if !is_empty(tape, value) {
                    let key = composer.text(tape, key);
                    composer.member(key, Item::Node(value));
                }
            }
        }
    }
    draft.run = draft.run.or(order.map_or(Span::NONE, |order| root_of(log, inner(tape, order))));
    draft.run = draft.run.or(known.run).or(draft.parent).or(draft.span);
    draft.duration_ms = between(draft.started_us, ended);
    draft.status = Some(match (draft.error.is_some(), ended) {
        (true, _) => Status::Error,
        (false, None) => Status::Running,
        (false, Some(_)) => Status::Ok,
    });
    if draft.kind == Some(Kind::Model) {
        let metadata = extra.and_then(|extra| tape.get(log, extra, b"metadata"));
        usage(composer, tape, output, metadata, &mut draft);
    } else if draft.kind == Some(Kind::Custom) {
        // Sums over the runs within: counted there.
        (draft.input_tokens, draft.output_tokens, draft.cost) = (None, None, None);
    }
    let of_run = Draft { run: draft.run, ..known };
    draft.give(composer, tape, whole, sink);
    for child in children.into_iter().flat_map(|children| tape.elements(children)) {
        run(composer, tape, child, of_run, outer(tape, log, child), sink);
    }
}

/// The first id of `20260503T093000125000Z<id>.20260503T…Z<id>`.
fn root_of(log: &[u8], order: Span) -> Span {
    let text = &log[order.start()..order.end()];
    let end = text.iter().position(|byte| *byte == b'.').unwrap_or(text.len());
    match text[..end].iter().position(|byte| *byte == b'Z') {
        Some(zone) if zone + 1 < end => Span::log(order.start() + zone + 1, order.start() + end),
        _ => Span::NONE,
    }
}

/// `on_chat_model_start`: what it is about, and what happened.
fn phase(event: &[u8]) -> (&[u8], Phase) {
    let name = event.strip_prefix(b"on_").unwrap_or(event);
    if name == b"llm_new_token" {
        return (b"llm", Phase::Piece);
    }
    let ends =
        [("_start", Phase::Start), ("_stream", Phase::Piece), ("_end", Phase::End), ("_error", Phase::Error)];
    for (end, phase) in ends {
        if let Some(sort) = name.strip_suffix(end.as_bytes()) {
            return (sort, phase);
        }
    }
    (name, Phase::Other)
}

/// Tokens and model of a model's answer.
fn usage(
    composer: &mut Composer<'_>,
    tape: &Tape,
    output: Option<u32>,
    metadata: Option<u32>,
    draft: &mut Draft,
) {
    let log = composer.log;
    let model = metadata.and_then(|metadata| tape.get(log, metadata, b"ls_model_name"));
    let mut model = model.filter(|model| tape.node(*model).sort == Sort::Plain);
    if let Some(output) = output {
        let message = answer(tape, log, output);
        let told = message.and_then(|message| tape.get(log, message, b"response_metadata"));
        let llm = tape.get(log, output, b"llm_output");
        let usage = message.and_then(|message| tape.get(log, message, b"usage_metadata"));
        let usage = usage.filter(|usage| tape.node(*usage).sort == Sort::Object);
        let of = |holder: Option<u32>| holder.and_then(|holder| tape.get(log, holder, b"token_usage"));
        if let Some(usage) = usage.or(of(told)).or(of(llm)) {
            let (input, output) = tokens_of(tape, log, usage);
            draft.input_tokens = draft.input_tokens.or(input);
            draft.output_tokens = draft.output_tokens.or(output);
        }
        let named = |holder: Option<u32>| holder.and_then(|holder| tape.get(log, holder, b"model_name"));
        model = model.or(named(told)).or(named(llm));
    }
    draft.model = model.map_or(draft.model, |model| composer.text(tape, model));
}

/// The message in a model's output, whichever way it was serialised.
fn answer(tape: &Tape, log: &[u8], output: u32) -> Option<u32> {
    let mut message = output;
    if let Some(generations) = tape.get(log, output, b"generations") {
        let first = tape.elements(generations).next()?;
        let first = tape.elements(first).next().unwrap_or(first);
        message = tape.get(log, first, b"message")?;
    }
    Some(tape.get(log, message, b"kwargs").unwrap_or(message))
}

fn piece_text(tape: &Tape, log: &[u8], piece: u32) -> Option<Span> {
    let message = tape.get(log, piece, b"kwargs").unwrap_or(piece);
    let text = tape.get(log, message, b"content").unwrap_or(message);
    matches!(tape.node(text).sort, Sort::Plain | Sort::Escaped).then(|| inner(tape, text))
}

/// The pieces of an answer that has no other end.
fn pieces(composer: &mut Composer<'_>, open: &Open) -> Span {
    if open.texts.is_empty() {
        return Span::NONE;
    }
    let parts: Vec<Span> =
        open.texts.iter().map(|text| composer.unescaped(text.start(), text.end())).collect();
    composer.joined(parts, b"")
}

/// What an error says: a text, or an exception as LangChain serialises it.
fn error_text(composer: &mut Composer<'_>, tape: &Tape, error: u32) -> Span {
    let log = composer.log;
    let said = [b"repr".as_slice(), b"message"].into_iter().find_map(|key| tape.get(log, error, key));
    composer.text(tape, said.unwrap_or(error))
}

fn between(start: Option<i64>, end: Option<i64>) -> Option<f64> {
    let (start, end) = start.zip(end)?;
    (end >= start).then(|| (end - start) as f64 / 1000.0)
}

fn is_empty(tape: &Tape, value: u32) -> bool {
    let node = tape.node(value);
    matches!(node.sort, Sort::Object | Sort::Array) && node.next == value + 1
}

/// The bytes of a value, without the quotes of a string.
fn inner(tape: &Tape, value: u32) -> Span {
    let node = tape.node(value);
    Span::log(node.start as usize, node.end as usize)
}

/// The bytes of a value as JSON.
fn outer(tape: &Tape, log: &[u8], value: u32) -> Span {
    let node = tape.node(value);
    let (start, end) = (node.start as usize, node.end as usize);
    let quoted = matches!(node.sort, Sort::Plain | Sort::Escaped) && log.get(end) == Some(&b'"');
    if quoted { Span::log(start - 1, end + 1) } else { Span::log(start, end) }
}
