//! Scans the bytes of JSON's tokens: white space, the ends of strings and of numbers.

/// Why bytes are not JSON.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum JsonError {
    /// They may be the beginning of a document.
    Truncated,
    /// They cannot be the beginning of a document.
    Malformed,
}

/// Offset of the next byte that is not white space.
#[inline]
pub fn skip_blank(bytes: &[u8], mut at: usize) -> usize {
    while let Some(b' ' | b'\n' | b'\r' | b'\t') = bytes.get(at) {
        at += 1;
    }
    at
}

/// Offset of the next quote, backslash or control character, or of the end.
#[inline]
pub fn special(bytes: &[u8], mut at: usize) -> usize {
    const ONES: u64 = 0x0101_0101_0101_0101;
    const HIGH_BITS: u64 = 0x8080_8080_8080_8080;
    // Eight bytes at once: in a difference that borrows, the lowest high bit marks the first byte that is searched for
    // (Anderson, "Bit Twiddling Hacks", determine if a word has a zero byte).
    while let Some(eight) = bytes.get(at..).and_then(<[u8]>::first_chunk::<8>) {
        let word = u64::from_le_bytes(*eight);
        let quote = word ^ (ONES * u64::from(b'"'));
        let backslash = word ^ (ONES * u64::from(b'\\'));
        let found = (quote.wrapping_sub(ONES) & !quote)
            | (backslash.wrapping_sub(ONES) & !backslash)
            | (word.wrapping_sub(ONES * 0x20) & !word);
        if found & HIGH_BITS != 0 {
            return at + ((found & HIGH_BITS).trailing_zeros() / 8) as usize;
        }
        at += 8;
    }
    while let Some(byte) = bytes.get(at) {
        if matches!(byte, b'"' | b'\\' | 0..0x20) {
            return at;
        }
        at += 1;
    }
    bytes.len()
}

/// The end of a number (RFC 8259, section 6).
#[inline]
pub fn number(bytes: &[u8], start: usize) -> Result<usize, JsonError> {
    let mut at = start + usize::from(bytes[start] == b'-');
    let whole = digits(bytes, at)?;
    if bytes[at] == b'0' && whole > at + 1 {
        return Err(JsonError::Malformed);
    }
    at = whole;
    if bytes.get(at) == Some(&b'.') {
        at = digits(bytes, at + 1)?;
    }
    if let Some(b'e' | b'E') = bytes.get(at) {
        at += 1 + usize::from(matches!(bytes.get(at + 1), Some(b'+' | b'-')));
        at = digits(bytes, at)?;
    }
    Ok(at)
}

/// The offset after at least one digit.
#[inline]
fn digits(bytes: &[u8], start: usize) -> Result<usize, JsonError> {
    let mut at = start;
    while let Some(b'0'..=b'9') = bytes.get(at) {
        at += 1;
    }
    match at > start {
        true => Ok(at),
        false if at == bytes.len() => Err(JsonError::Truncated),
        false => Err(JsonError::Malformed),
    }
}
