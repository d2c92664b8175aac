//! The lines of a log out of their envelopes.

use super::super::jsonb_source::Encode;
use super::super::step::{LogFormat, ParsedStep, Sink, StepKind, StepStatus};
use crate::jsonb;
use std::collections::HashMap;

/// What an envelope says about the lines in it.
#[derive(Debug, Clone, Default)]
pub struct Letter {
    /// Number of its line in the log.
    pub line: u32,
    /// The time.
    pub started_us: Option<i64>,
    /// True if its severity is that of an error.
    pub is_error: bool,
    /// The container, service or stream.
    pub source: Vec<u8>,
    /// True if the next text of the source continues the line.
    pub is_part: bool,
}

impl Letter {
    /// The letter within an outer one.
    pub fn with(&self, inner: Self) -> Self {
        Self {
            line: self.line,
            started_us: inner.started_us.or(self.started_us),
            is_error: inner.is_error || self.is_error,
            source: if inner.source.is_empty() { self.source.clone() } else { inner.source },
            is_part: inner.is_part || self.is_part,
        }
    }
}

/// A line of an opened log.
#[derive(Debug, Clone, Copy)]
struct OpenedLine {
    line: u32,
    started_us: Option<i64>,
    is_error: bool,
    source: u32,
}

/// An opened log. The lines of each source follow each other, so that errors of several lines stay whole.
#[derive(Debug, Default)]
pub struct OpenedLog {
    /// Its text.
    pub text: Vec<u8>,
    lines: Vec<OpenedLine>,
    sources: Vec<Source>,
    /// Indexes into `sources` by name.
    indexes: HashMap<Vec<u8>, usize>,
}

#[derive(Debug, Default)]
struct Source {
    name: Vec<u8>,
    text: Vec<u8>,
    lines: Vec<OpenedLine>,
    is_open: bool,
}

impl OpenedLog {
    /// Adds the text of a letter to those of its source.
    pub fn add(&mut self, text: &[u8], letter: &Letter) {
        let index = match self.indexes.get(&letter.source) {
            Some(index) => *index,
            None => {
                self.sources.push(Source { name: letter.source.clone(), ..Source::default() });
                self.indexes.insert(letter.source.clone(), self.sources.len() - 1);
                self.sources.len() - 1
            }
        };
        let Letter { line, started_us, is_error, is_part, .. } = *letter;
        let source = &mut self.sources[index];
        let text = text.strip_suffix(b"\n").unwrap_or(text);
        for (number, part) in text.split(|byte| *byte == b'\n').enumerate() {
            if number > 0 {
                source.text.push(b'\n');
            }
            if number > 0 || !source.is_open {
                source.lines.push(OpenedLine { line, started_us, is_error, source: index as u32 });
            }
            source.text.extend_from_slice(part);
        }
        source.is_open = is_part;
        if !is_part {
            source.text.push(b'\n');
        }
    }

    /// Puts the sources one after the other.
    pub fn close(&mut self) {
        for source in &mut self.sources {
            self.text.append(&mut source.text);
            self.lines.append(&mut source.lines);
            if source.is_open {
                self.text.push(b'\n');
            }
        }
    }
}

/// Passes the steps of an opened log on as those of the log itself.
pub struct OpenedSink<'o, S> {
    log: &'o OpenedLog,
    encode: Option<Encode<'o>>,
    sink: &'o mut S,
}

impl<'o, S: Sink> OpenedSink<'o, S> {
    /// A sink before `sink`.
    pub fn new(log: &'o OpenedLog, encode: Option<Encode<'o>>, sink: &'o mut S) -> Self {
        Self { log, encode, sink }
    }
}

impl<S: Sink> Sink for OpenedSink<'_, S> {
    fn step(&mut self, step: &ParsedStep<'_>) {
        let mut step = *step;
        let Some(line) = self.log.lines.get((step.line as usize).wrapping_sub(1)) else {
            return self.sink.step(&step);
        };
        let source = self.log.sources.get(line.source as usize).map_or(&[][..], |source| &source.name);
        step.line = line.line;
        step.started_us = step.started_us.or(line.started_us);
        step.name = step.name.or((!source.is_empty()).then_some(source));
        let Some(raw) = step.raw.filter(|_| line.started_us.is_some() || !source.is_empty()) else {
            return self.sink.step(&step);
        };
        // A plain line is a message, since its envelope was understood.
        let mut text = Vec::new();
        match self.encode {
            Some(encode) if !raw.is_ascii() => encode(raw, &mut text),
            _ => text.extend_from_slice(raw),
        }
        let mut output = Vec::new();
        let written = jsonb::document(&mut output, |out| {
            let start = out.len();
            out.extend_from_slice(&text);
            jsonb::string_since(out, start)
        });
        if let Ok(begin) = written {
            (step.format, step.raw, step.attributes) = (Some(LogFormat::Text), None, None);
            if line.is_error {
                (step.kind, step.status, step.error) = (StepKind::Error, StepStatus::Error, Some(raw));
            } else {
                (step.kind, step.output) = (StepKind::Message, Some(&output[begin..]));
            }
        }
        self.sink.step(&step);
    }

    fn pause(&mut self) {
        self.sink.pause();
    }
}
