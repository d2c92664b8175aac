//! Removes the escapes of JSON strings.

/// Appends the text of a JSON string without its escapes (RFC 8259, section 7). U+FFFD replaces an unpaired surrogate, an
/// invalid escape, and NUL, which PostgreSQL cannot store.
pub fn unescape(text: &[u8], out: &mut Vec<u8>) {
    let mut rest = text;
    while let Some(at) = rest.iter().position(|byte| *byte == b'\\') {
        out.extend_from_slice(&rest[..at]);
        let Some(escape) = rest.get(at + 1) else {
            rest = &[];
            break;
        };
        rest = &rest[at + 2..];
        match escape {
            b'n' => out.push(b'\n'),
            b't' => out.push(b'\t'),
            b'r' => out.push(b'\r'),
            b'b' => out.push(8),
            b'f' => out.push(12),
            b'u' => rest = unescape_unicode(rest, out),
            other => out.push(*other),
        }
    }
    out.extend_from_slice(rest);
}

/// Appends the character after `\u`, and returns the rest of the text.
fn unescape_unicode<'t>(text: &'t [u8], out: &mut Vec<u8>) -> &'t [u8] {
    let (character, rest) = match (unit(text), text.get(4..).and_then(|rest| rest.strip_prefix(b"\\u"))) {
        (Some(high @ 0xd800..0xdc00), Some(second)) if matches!(unit(second), Some(0xdc00..0xe000)) => {
            let low = unit(second).unwrap_or_default();
            (char::from_u32(0x10000 + ((high - 0xd800) << 10) + (low - 0xdc00)), &second[4..])
        }
        (Some(unit), _) => (char::from_u32(unit).filter(|character| *character != '\0'), &text[4..]),
        (None, _) => (None, text),
    };
    let mut buffer = [0; 4];
    let character = character.unwrap_or(char::REPLACEMENT_CHARACTER);
    out.extend_from_slice(character.encode_utf8(&mut buffer).as_bytes());
    rest
}

/// The UTF-16 code unit in four hexadecimal digits.
fn unit(text: &[u8]) -> Option<u32> {
    let digits = text.get(..4)?;
    digits.iter().try_fold(0, |sum, byte| char::from(*byte).to_digit(16).map(|digit| sum * 16 + digit))
}
