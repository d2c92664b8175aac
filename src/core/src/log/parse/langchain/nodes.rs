//! The values of a document as ranges of the log, and the times in them.

use super::super::json_index::{JsonIndex, NodeKind};
use super::super::text_span::TextSpan;

/// Milliseconds from start to end, which are both in microseconds since 1970.
pub fn duration_between(start: Option<i64>, end: Option<i64>) -> Option<f64> {
    let (start, end) = start.zip(end)?;
    (end >= start).then(|| (end - start) as f64 / 1000.0)
}

/// True if a value is an empty object or array.
pub fn is_empty(json: &JsonIndex, value: u32) -> bool {
    let node = json.node(value);
    matches!(node.kind, NodeKind::Object | NodeKind::Array) && node.next == value + 1
}

/// The bytes of a value, without the quotes of a string.
pub fn inner(json: &JsonIndex, value: u32) -> TextSpan {
    let node = json.node(value);
    TextSpan::log(node.start as usize, node.end as usize)
}

/// The bytes of a value as JSON.
pub fn outer(json: &JsonIndex, log: &[u8], value: u32) -> TextSpan {
    let node = json.node(value);
    let (start, end) = (node.start as usize, node.end as usize);
    let quoted = matches!(node.kind, NodeKind::Plain | NodeKind::Escaped) && log.get(end) == Some(&b'"');
    if quoted { TextSpan::log(start - 1, end + 1) } else { TextSpan::log(start, end) }
}
