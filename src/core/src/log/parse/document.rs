//! Objects in JSON: whose they are, and where they end.

use super::compose::{Composer, Span};
use super::fields::Fields;
use super::langchain::{self, Spans};
use super::names::Names;
use super::row::{Draft, Format, Sink};
use super::tape::{Fault, Sort, Tape};
use super::{otlp, unknown};

/// The JSON of a log.
pub struct Documents<'c> {
    tape: Tape,
    /// Steps of LangChain of which only the beginning was seen.
    spans: Spans<'c>,
    /// Bytes that may yet be read in vain: what looks like a document over many lines and is none is read again line by line.
    patience: usize,
    /// Where the document that was found last begins and ends.
    whole: Span,
}

/// How an object is to be read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Shape {
    Fields,
    Event(u32),
    Run,
    Export(u32),
    Resource,
    Span,
    Console,
}

impl<'c> Documents<'c> {
    /// For a log of so many bytes.
    pub fn new(length: usize) -> Self {
        let patience = length.saturating_mul(4);
        Self { tape: Tape::default(), spans: Spans::default(), patience, whole: Span::NONE }
    }

    /// Reads the document that begins at `start`, in a line that ends at `end` or over many lines; gives its end where it is an
    /// object, or an array of objects, and nothing but a comma follows it in its line.
    pub fn find(&mut self, log: &[u8], start: usize, end: usize) -> Option<usize> {
        let after = match self.tape.read(&log[..end], start) {
            Ok(after) => after,
            Err(Fault::Truncated) if self.patience > 0 => match self.tape.read(log, start) {
                Ok(after) => after,
                Err(_) => {
                    self.patience = self.patience.saturating_sub(self.tape.reach().saturating_sub(start));
                    return None;
                }
            },
            Err(_) => return None,
        };
        let mut rest = log[after..].iter().skip_while(|byte| matches!(byte, b' ' | b'\t' | b'\r' | b','));
        let alone = rest.next().is_none_or(|byte| *byte == b'\n');
        self.whole = Span::log(start, after);
        (alone && self.is_of_objects()).then_some(after)
    }

    /// Reads a document that is a whole part of a line.
    pub fn find_in_line(&mut self, log: &[u8], start: usize, end: usize) -> bool {
        self.whole = Span::log(start, end);
        self.tape.read(&log[..end], start).is_ok_and(|after| log[after..end].trim_ascii().is_empty())
    }

    fn is_of_objects(&self) -> bool {
        let is_object = |index| self.tape.node(index).sort == Sort::Object;
        is_object(0) || self.tape.node(0).next > 1 && self.tape.elements(0).all(is_object)
    }

    /// Gives the steps in the document that was found.
    pub fn give(
        &mut self,
        composer: &mut Composer<'c>,
        names: &Names,
        format: Option<Format>,
        known: Draft,
        sink: &mut impl Sink,
    ) {
        let tape = std::mem::take(&mut self.tape);
        if tape.node(0).sort == Sort::Object {
            self.object(composer, names, &tape, 0, format, known, self.whole, sink);
        } else {
            let (mut line, mut at) = (known.line, self.whole.start());
            for element in tape.elements(0) {
                let node = tape.node(element);
                let (start, end) = (node.start as usize, node.end as usize);
                line += memchr::memchr_iter(b'\n', &composer.log[at..start]).count() as u32;
                at = start;
                let known = Draft { line, ..known };
                self.object(composer, names, &tape, element, format, known, Span::log(start, end), sink);
            }
        }
        self.tape = tape;
    }

    /// Gives the steps that were begun and never ended.
    pub fn finish(&mut self, composer: &mut Composer<'c>, sink: &mut impl Sink) {
        self.spans.finish(composer, sink);
    }

    #[allow(clippy::too_many_arguments, reason = "all of them belong to the one object")]
    fn object(
        &mut self,
        composer: &mut Composer<'c>,
        names: &Names,
        tape: &Tape,
        object: u32,
        format: Option<Format>,
        known: Draft,
        whole: Span,
        sink: &mut impl Sink,
    ) {
        let shape =
            if format == Some(Format::Json) { Shape::Fields } else { shape(tape, composer.log, object) };
        let langchain = format.is_none_or(|only| only == Format::LangChain);
        let otlp = format.is_none_or(|only| only == Format::Otlp);
        match shape {
            Shape::Event(name) if langchain => {
                self.spans.event(composer, names, tape, object, name, known, sink)
            }
            Shape::Run if langchain => langchain::run(composer, tape, object, known, whole, sink),
            Shape::Export(resources) if otlp => otlp::export(composer, tape, resources, known, sink),
            Shape::Resource if otlp => otlp::resource(composer, tape, object, known, sink),
            Shape::Span if otlp => otlp::span(composer, tape, object, &otlp::Origin::default(), known, sink),
            Shape::Console if otlp => otlp::console(composer, tape, object, known, whole, sink),
            _ if format.is_none_or(|only| only == Format::Json) => {
                let mut fields = Fields::new(composer, tape);
                fields.object(names, object);
                let known = Draft { format: Some(Format::Json), ..known };
                fields.step(known).give(composer, tape, whole, sink);
            }
            _ => unknown(composer, known.line, whole, sink),
        }
    }
}

/// Whose object it is, by the names that only theirs have.
fn shape(tape: &Tape, log: &[u8], object: u32) -> Shape {
    for (key, value) in tape.members(object) {
        let name = tape.source(log, key);
        match name.len() {
            5 if name == b"event" && tape.source(log, value).starts_with(b"on_") => {
                return Shape::Event(value);
            }
            7 if name == b"context" && tape.get(log, value, b"trace_id").is_some() => return Shape::Console,
            8 if name == b"run_type" => return Shape::Run,
            10 if name == b"scopeSpans" => return Shape::Resource,
            13 | 14 if matches!(name, b"resourceSpans" | b"resource_spans") => return Shape::Export(value),
            17 if name == b"startTimeUnixNano" => return Shape::Span,
            _ => {}
        }
    }
    Shape::Fields
}
