//! The names of log fields, by which a step's columns are found.

use super::field_map::FieldMap;
use super::field_place::{Column, FieldPlace};

/// A field name.
#[derive(Debug, Clone, Copy)]
pub struct FieldName {
    /// The name as logs write it.
    pub name: &'static str,
    /// Where it belongs.
    pub place: FieldPlace,
}

const fn name(name: &'static str, column: Column, rank: u8) -> FieldName {
    FieldName { name, place: FieldPlace { column, rank: rank + 1, unit: 1.0 } }
}

const fn duration(name: &'static str, rank: u8, unit: f64) -> FieldName {
    FieldName { name, place: FieldPlace { column: Column::Duration, rank: rank + 1, unit } }
}

/// All known names.
pub const NAMES: &[FieldName] = &[
    name("started", Column::Started, 0),
    name("started_at", Column::Started, 1),
    name("start_time", Column::Started, 2),
    name("ts", Column::Started, 3),
    name("time", Column::Started, 4),
    name("timestamp", Column::Started, 5),
    name("@timestamp", Column::Started, 6),
    name("@t", Column::Started, 7),
    name("t", Column::Started, 8),
    name("datetime", Column::Started, 9),
    name("date", Column::Started, 10),
    name("asctime", Column::Started, 11),
    name("created", Column::Started, 12),
    name("startTime", Column::Started, 13),
    name("ended", Column::Ended, 0),
    name("ended_at", Column::Ended, 1),
    name("end_time", Column::Ended, 2),
    name("finished", Column::Ended, 3),
    name("finished_at", Column::Ended, 4),
    name("endTime", Column::Ended, 5),
    duration("duration_ms", 0, 1.0),
    duration("elapsed_ms", 1, 1.0),
    duration("latency_ms", 2, 1.0),
    duration("took_ms", 3, 1.0),
    duration("dur_ms", 4, 1.0),
    duration("durationMs", 5, 1.0),
    duration("responseTime", 6, 1.0),
    duration("duration_s", 7, 1000.0),
    duration("duration_seconds", 8, 1000.0),
    duration("elapsed_s", 9, 1000.0),
    duration("latency_s", 10, 1000.0),
    duration("duration_us", 11, 1e-3),
    duration("duration_ns", 12, 1e-6),
    duration("duration", 13, 1.0),
    duration("elapsed", 14, 1.0),
    duration("latency", 15, 1.0),
    duration("took", 16, 1.0),
    duration("dur", 17, 1.0),
    duration("event.duration", 18, 1e-6),
    name("level", Column::Level, 0),
    name("severity", Column::Level, 1),
    name("levelname", Column::Level, 2),
    name("lvl", Column::Level, 3),
    name("log.level", Column::Level, 4),
    name("loglevel", Column::Level, 5),
    name("severity_text", Column::Level, 6),
    name("severityText", Column::Level, 7),
    name("@l", Column::Level, 8),
    name("msg", Column::Message, 0),
    name("message", Column::Message, 1),
    name("event", Column::Message, 2),
    name("text", Column::Message, 3),
    name("@m", Column::Message, 4),
    name("@mt", Column::Message, 5),
    name("statusMessage", Column::Message, 6),
    name("run", Column::Run, 0),
    name("run_id", Column::Run, 1),
    name("runId", Column::Run, 2),
    name("trace_id", Column::Run, 3),
    name("traceId", Column::Run, 4),
    name("traceID", Column::Run, 5),
    name("trace.id", Column::Run, 6),
    name("trace", Column::Run, 7),
    name("correlation_id", Column::Run, 8),
    name("request_id", Column::Run, 9),
    name("requestId", Column::Run, 10),
    name("span", Column::Span, 0),
    name("span_id", Column::Span, 1),
    name("spanId", Column::Span, 2),
    name("span.id", Column::Span, 3),
    name("step_id", Column::Span, 4),
    name("spanID", Column::Span, 5),
    name("transaction.id", Column::Span, 6),
    name("parent", Column::Parent, 0),
    name("parent_id", Column::Parent, 1),
    name("parent_span_id", Column::Parent, 2),
    name("parentSpanId", Column::Parent, 3),
    name("parent_run_id", Column::Parent, 4),
    name("parent.id", Column::Parent, 5),
    name("parentObservationId", Column::Parent, 6),
    name("parentRunId", Column::Parent, 7),
    name("kind", Column::Kind, 0),
    name("step_type", Column::Kind, 1),
    name("type", Column::Kind, 2),
    name("name", Column::Name, 0),
    name("logger", Column::Name, 1),
    name("logger_name", Column::Name, 2),
    name("component", Column::Name, 3),
    name("log.logger", Column::Name, 4),
    name("target", Column::Name, 5),
    name("tool", Column::Tool, 0),
    name("tool_name", Column::Tool, 1),
    name("toolName", Column::Tool, 2),
    name("input", Column::Input, 0),
    name("inputs", Column::Input, 1),
    name("arguments", Column::Input, 2),
    name("args", Column::Input, 3),
    name("prompt", Column::Input, 4),
    name("query", Column::Input, 5),
    name("output", Column::Output, 0),
    name("outputs", Column::Output, 1),
    name("result", Column::Output, 2),
    name("response", Column::Output, 3),
    name("answer", Column::Output, 4),
    name("completion", Column::Output, 5),
    name("model", Column::Model, 0),
    name("model_name", Column::Model, 1),
    name("gen_ai.request.model", Column::Model, 2),
    name("gen_ai.response.model", Column::Model, 3),
    name("input_tokens", Column::InputTokens, 0),
    name("prompt_tokens", Column::InputTokens, 1),
    name("tokens_in", Column::InputTokens, 2),
    name("gen_ai.usage.input_tokens", Column::InputTokens, 3),
    name("inputTokens", Column::InputTokens, 4),
    name("promptTokens", Column::InputTokens, 5),
    name("output_tokens", Column::OutputTokens, 0),
    name("completion_tokens", Column::OutputTokens, 1),
    name("tokens_out", Column::OutputTokens, 2),
    name("gen_ai.usage.output_tokens", Column::OutputTokens, 3),
    name("outputTokens", Column::OutputTokens, 4),
    name("completionTokens", Column::OutputTokens, 5),
    name("usage", Column::Usage, 0),
    name("usage_metadata", Column::Usage, 1),
    name("token_usage", Column::Usage, 2),
    name("cost", Column::Cost, 0),
    name("cost_usd", Column::Cost, 1),
    name("total_cost", Column::Cost, 2),
    name("totalCost", Column::Cost, 3),
    name("response_cost", Column::Cost, 4),
    name("status", Column::Status, 0),
    name("outcome", Column::Status, 1),
    name("event.outcome", Column::Status, 2),
    name("error", Column::Error, 0),
    name("err", Column::Error, 1),
    name("exception", Column::Error, 2),
    name("exc_info", Column::Error, 3),
    name("error.message", Column::Error, 4),
    name("@x", Column::Error, 5),
    name("stack", Column::Trace, 0),
    name("stack_trace", Column::Trace, 1),
    name("stacktrace", Column::Trace, 2),
    name("traceback", Column::Trace, 3),
    name("error.stack_trace", Column::Trace, 4),
    name("attributes", Column::Attributes, 0),
];

/// The known names and those that the caller has mapped.
#[derive(Debug)]
pub struct FieldNames {
    /// A hash table; a name takes the first free place at or after its own.
    known: [Option<&'static FieldName>; TABLE_SIZE],
    mapped: FieldMap,
}

const TABLE_SIZE: usize = 512;

impl FieldNames {
    /// All known names, after those of a map.
    pub fn new(mapped: FieldMap) -> Self {
        let mut places = [None; TABLE_SIZE];
        for name in NAMES {
            let mut place = place(name.name.as_bytes());
            while places[place].is_some() {
                place = (place + 1) % TABLE_SIZE;
            }
            places[place] = Some(name);
        }
        Self { known: places, mapped }
    }

    /// Where a field of this name belongs.
    #[inline]
    pub fn find(&self, key: &[u8]) -> Option<FieldPlace> {
        if !self.mapped.is_empty()
            && let Some(place) = self.mapped.get(key)
        {
            return place;
        }
        let mut place = place(key);
        while let Some(name) = self.known[place] {
            if name.name.as_bytes() == key {
                return Some(name.place);
            }
            place = (place + 1) % TABLE_SIZE;
        }
        None
    }

    /// The names that the caller has mapped.
    pub fn mapped(&self) -> &FieldMap {
        &self.mapped
    }
}

/// The hash of a name, from its length and its first, middle and last bytes, which distinguish most names.
#[inline]
fn place(key: &[u8]) -> usize {
    let byte = |index: usize| key.get(index).map_or(0, |byte| usize::from(*byte));
    let length = key.len();
    let ends = byte(0) * 31
        + byte(length / 2) * 137
        + byte(length.wrapping_sub(1)) * 389
        + byte(length.wrapping_sub(3)) * 53;
    (ends + length * 1031) % TABLE_SIZE
}

/// Severity of a record.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Level {
    /// No error.
    Fine,
    /// An error.
    Error,
}

/// The level that a word names, in upper or lower case; `None` if it names none.
#[inline]
pub fn level(word: &[u8]) -> Option<Level> {
    let mut upper = [0; 9];
    let letters = upper.get_mut(..word.len())?;
    letters.copy_from_slice(word);
    letters.make_ascii_uppercase();
    match &*letters {
        b"INFO" | b"DEBUG" | b"WARNING" | b"WARN" | b"NOTICE" | b"TRACE" | b"SUCCESS" | b"INF" | b"DBG"
        | b"WRN" | b"NOTSET" | b"VERBOSE" | b"LOG" => Some(Level::Fine),
        b"ERROR" | b"CRITICAL" | b"FATAL" | b"EXCEPTION" | b"ERR" | b"PANIC" | b"ALERT" | b"EMERGENCY"
        | b"SEVERE" => Some(Level::Error),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_name_is_found_and_no_other() {
        let names = FieldNames::new(FieldMap::default());
        for name in NAMES {
            assert_eq!(names.find(name.name.as_bytes()), Some(name.place), "{}", name.name);
        }
        for name in ["", "x", "messages", "Level", "tsx", "@"] {
            assert!(names.find(name.as_bytes()).is_none(), "{name}");
        }
    }

    #[test]
    fn few_names_share_a_place() {
        let names = FieldNames::new(FieldMap::default());
        let moved = NAMES
            .iter()
            .filter(|name| names.known[place(name.name.as_bytes())].is_some_and(|at| at.name != name.name));
        assert!(moved.count() < NAMES.len() / 4);
    }

    #[test]
    fn levels_are_known_in_any_case() {
        assert_eq!(level(b"info"), Some(Level::Fine));
        assert_eq!(level(b"Error"), Some(Level::Error));
        assert_eq!(level(b"fatalistic"), None);
        assert_eq!(level(b""), None);
    }
}
