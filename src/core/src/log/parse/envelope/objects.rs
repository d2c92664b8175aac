//! Envelopes that are JSON: of Docker, Filebeat, journald, CloudWatch, Google Cloud, Elasticsearch, Loki and Langfuse.

use super::super::field_names::{Level, level};
use super::super::json_index::{JsonIndex, NodeKind};
use super::super::time::{epoch, moment};
use super::super::unescape::unescape;
use super::opened::Letter;
use super::opener::{MAX_DEPTH, Opener};

/// The kinds of JSON envelopes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum EnvelopeKind {
    Docker(u32),
    Journald(u32),
    Filebeat(u32),
    Cloudwatch(u32),
    GoogleObject(u32),
    GoogleText(u32),
    Source(u32),
    Hits(u32),
    LokiLine(u32),
    LokiStreams(u32),
    Data(u32),
}

/// True for the names of members that hold the lines of envelopes.
pub fn is_named(name: &[u8]) -> bool {
    matches!(
        name,
        b"log"
            | b"line"
            | b"hits"
            | b"data"
            | b"events"
            | b"MESSAGE"
            | b"message"
            | b"_source"
            | b"logEvents"
            | b"jsonPayload"
            | b"textPayload"
    )
}

/// True if an object is an envelope.
pub fn is_envelope(json: &JsonIndex, log: &[u8], object: u32) -> bool {
    kind(json, log, object).is_some()
}

fn kind(json: &JsonIndex, log: &[u8], object: u32) -> Option<EnvelopeKind> {
    let get = |name: &str| json.get(log, object, name.as_bytes());
    let is_text = |value: u32| matches!(json.node(value).kind, NodeKind::Plain | NodeKind::Escaped);
    let is_object = |value: u32| json.node(value).kind == NodeKind::Object;
    for (key, value) in json.members(object) {
        let name = json.source(log, key);
        if !is_named(name) {
            continue;
        }
        let first = || json.elements(value).next().filter(|first| is_object(*first));
        let of_first = |name: &str| first().and_then(|first| json.get(log, first, name.as_bytes())).is_some();
        match name {
            b"log"
                if is_text(value)
                    && ["stream", "time", "kubernetes"].iter().any(|name| get(name).is_some()) =>
            {
                return Some(EnvelopeKind::Docker(value));
            }
            b"MESSAGE" if is_text(value) => return Some(EnvelopeKind::Journald(value)),
            b"message" if is_text(value) && is_of_filebeat(json, log, object) => {
                return Some(EnvelopeKind::Filebeat(value));
            }
            b"events" | b"logEvents" if of_first("message") && of_first("timestamp") => {
                return Some(EnvelopeKind::Cloudwatch(value));
            }
            b"jsonPayload" if is_object(value) => return Some(EnvelopeKind::GoogleObject(value)),
            b"textPayload" if is_text(value) => return Some(EnvelopeKind::GoogleText(value)),
            b"_source" if is_object(value) => return Some(EnvelopeKind::Source(value)),
            b"hits" if is_object(value) => {
                return json.get(log, value, b"hits").map(EnvelopeKind::Hits);
            }
            b"line" if is_text(value) && get("labels").is_some() => {
                return Some(EnvelopeKind::LokiLine(value));
            }
            b"data" if json.get(log, value, b"resultType").is_some() => {
                return json.get(log, value, b"result").map(EnvelopeKind::LokiStreams);
            }
            b"data" if of_first("traceId") && of_first("startTime") => {
                return Some(EnvelopeKind::Data(value));
            }
            _ => {}
        }
    }
    None
}

/// True for Filebeat's documents, if the message has not been parsed already.
fn is_of_filebeat(json: &JsonIndex, log: &[u8], object: u32) -> bool {
    let at = |path: &[&str]| path.iter().try_fold(object, |at, name| json.get(log, at, name.as_bytes()));
    let is_shipped = at(&["agent", "type"]).is_some_and(|kind| json.source(log, kind) == b"filebeat")
        || at(&["log", "file"]).is_some()
        || at(&["log", "offset"]).is_some();
    is_shipped && at(&["log", "level"]).is_none() && at(&["log.level"]).is_none() && at(&["level"]).is_none()
}

impl Opener<'_> {
    /// Opens an object, if it is an envelope, and returns whether it is.
    pub fn object(&mut self, json: &JsonIndex, log: &[u8], object: u32, letter: &Letter, depth: u32) -> bool {
        let Some(kind) = kind(json, log, object).filter(|_| depth < MAX_DEPTH) else { return false };
        let paths: &[&[&str]] = match kind {
            EnvelopeKind::Docker(_) => &[&["time"], &["@timestamp"]],
            EnvelopeKind::Journald(_) => &[&["__REALTIME_TIMESTAMP"]],
            EnvelopeKind::Filebeat(_) => &[&["@timestamp"]],
            _ => &[&["timestamp"], &["ts"]],
        };
        let find =
            |path: &[&str]| path.iter().try_fold(object, |at, name| json.get(log, at, name.as_bytes()));
        let started_us =
            paths.iter().find_map(|path| find(path)).and_then(|at| self.time(json.source(log, at)));
        let source = SOURCES.iter().find_map(|path| find(path)).map(|name| json.source(log, name).to_vec());
        let severe = find(&["severity"])
            .is_some_and(|word| level(json.source(log, word)) == Some(Level::Error))
            || find(&["PRIORITY"]).is_some_and(|number| matches!(json.source(log, number), [b'0'..=b'3']));
        let letter = letter.with(Letter {
            started_us,
            is_error: severe,
            source: source.unwrap_or_default(),
            ..Letter::default()
        });
        match kind {
            EnvelopeKind::Docker(text) => {
                let text = unescaped(json, log, text);
                let is_tagged = find(&["logtag"]).is_some_and(|tag| json.source(log, tag) == b"P");
                let is_part = is_tagged || text.len() >= DOCKER_PART && !text.ends_with(b"\n");
                self.text(
                    text.strip_suffix(b"\n").unwrap_or(&text),
                    &Letter { is_part, ..letter },
                    depth + 1,
                );
            }
            EnvelopeKind::Journald(text)
            | EnvelopeKind::Filebeat(text)
            | EnvelopeKind::GoogleText(text)
            | EnvelopeKind::LokiLine(text) => self.text(&unescaped(json, log, text), &letter, depth + 1),
            EnvelopeKind::GoogleObject(payload) => {
                let parts = ["severity", "timestamp"].map(|name| (name, find(&[name])));
                self.line(&spliced(json, log, &parts, payload), &letter);
            }
            EnvelopeKind::Source(source) => self.inner(json, log, source, &letter, depth),
            EnvelopeKind::Hits(hits) => {
                for hit in json.elements(hits) {
                    let source = json.get(log, hit, b"_source").unwrap_or(hit);
                    self.inner(json, log, source, &letter, depth);
                }
            }
            EnvelopeKind::Data(objects) => {
                for object in json.elements(objects) {
                    self.inner(json, log, object, &letter, depth);
                }
            }
            EnvelopeKind::Cloudwatch(events) => self.events(json, log, events, &letter, depth),
            EnvelopeKind::LokiStreams(streams) => self.streams(json, log, streams, &letter, depth),
        }
        true
    }

    /// Opens an object within an envelope, which may be one itself.
    fn inner(&mut self, json: &JsonIndex, log: &[u8], object: u32, letter: &Letter, depth: u32) {
        if !self.object(json, log, object, letter, depth + 1) {
            let node = json.node(object);
            self.line(&log[node.start as usize..node.end as usize], letter);
        }
    }

    fn events(&mut self, json: &JsonIndex, log: &[u8], events: u32, letter: &Letter, depth: u32) {
        for event in json.elements(events) {
            let Some(message) = json.get(log, event, b"message") else { continue };
            let time = json.get(log, event, b"timestamp").and_then(|time| self.time(json.source(log, time)));
            let stream = json.get(log, event, b"logStreamName").map(|name| json.source(log, name).to_vec());
            let source = stream.unwrap_or_default();
            let letter = letter.with(Letter { started_us: time, source, ..Letter::default() });
            self.text(&unescaped(json, log, message), &letter, depth + 1);
        }
    }

    /// The answer of Loki's query: `[{"stream": {…}, "values": [["nanoseconds", "line"], …]}, …]`.
    fn streams(&mut self, json: &JsonIndex, log: &[u8], streams: u32, letter: &Letter, depth: u32) {
        for stream in json.elements(streams) {
            let labels = json.get(log, stream, b"stream");
            let label = |name: &&str| json.get(log, labels?, name.as_bytes());
            let source = LABELS.iter().find_map(label).map(|name| json.source(log, name).to_vec());
            let values = json.get(log, stream, b"values");
            for value in values.into_iter().flat_map(|values| json.elements(values)) {
                let mut parts = json.elements(value);
                let (Some(time), Some(line)) = (parts.next(), parts.next()) else { continue };
                let started_us = epoch(json.source(log, time));
                let source = source.clone().unwrap_or_default();
                let letter = letter.with(Letter { started_us, source, ..Letter::default() });
                self.text(&unescaped(json, log, line), &letter, depth + 1);
            }
        }
    }

    /// Adds JSON as one line.
    fn line(&mut self, json: &[u8], letter: &Letter) {
        let line: Vec<u8> =
            json.iter().map(|byte| if matches!(byte, b'\n' | b'\r') { b' ' } else { *byte }).collect();
        self.opened.add(&line, letter);
    }

    fn time(&self, text: &[u8]) -> Option<i64> {
        moment(text, self.zone)
    }
}

/// Docker cuts lines into parts of this length; the last one ends with a line break. Shippers leave the line break out.
const DOCKER_PART: usize = 16 * 1024;

/// Where envelopes say which container, service or stream a line is of.
const SOURCES: [&[&str]; 11] = [
    &["kubernetes", "container_name"],
    &["kubernetes", "container", "name"],
    &["container", "name"],
    &["container_name"],
    &["service", "name"],
    &["SYSLOG_IDENTIFIER"],
    &["_SYSTEMD_UNIT"],
    &["logStream"],
    &["labels", "container"],
    &["labels", "app"],
    &["labels", "job"],
];

/// Labels of Loki for the same.
const LABELS: [&str; 5] = ["container", "app", "service_name", "job", "pod"];

/// The text of a string without escapes.
fn unescaped(json: &JsonIndex, log: &[u8], text: u32) -> Vec<u8> {
    let mut out = Vec::new();
    unescape(json.source(log, text), &mut out);
    out
}

/// An object with further members of its envelope.
fn spliced(json: &JsonIndex, log: &[u8], parts: &[(&str, Option<u32>)], object: u32) -> Vec<u8> {
    let mut out = b"{".to_vec();
    for (name, value) in parts {
        if let Some(value) = value.filter(|value| json.node(*value).kind == NodeKind::Plain) {
            out.extend_from_slice(format!("\"{name}\":\"").as_bytes());
            out.extend_from_slice(json.source(log, value));
            out.extend_from_slice(b"\",");
        }
    }
    let inner = &json.source(log, object)[1..];
    if inner.trim_ascii() == b"}" && out.ends_with(b",") {
        out.pop();
    }
    out.extend_from_slice(inner);
    out
}
