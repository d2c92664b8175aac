//! Values of a log as the tables hold them.

use ragstone_pg::bytes::Jsonb;

/// A text of the log.
pub fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

/// A `jsonb` value, given with its header, as JSON text.
pub fn json(bytes: &[u8]) -> Option<String> {
    bytes.get(4..).and_then(|bytes| Jsonb(bytes.to_vec()).to_json().ok())
}

/// True if the key is a trace id: 32 hexadecimal digits that are not all zero (W3C Trace Context).
pub fn is_trace_id(key: &str) -> bool {
    key.len() == 32
        && key.bytes().all(|byte| byte.is_ascii_hexdigit())
        && key.bytes().any(|byte| byte != b'0')
}
