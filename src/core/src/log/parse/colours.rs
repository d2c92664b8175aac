//! Removes the colours of terminals.

use memchr::memchr;
use std::borrow::Cow;

const ESCAPE: u8 = 0x1b;

/// The log without control sequences (ECMA-48: `ESC [`, parameters, a final byte from `@` to `~`).
pub fn without_colours(log: &[u8]) -> Cow<'_, [u8]> {
    let Some(first) = memchr(ESCAPE, log) else { return Cow::Borrowed(log) };
    let mut out = Vec::with_capacity(log.len());
    let (mut from, mut at) = (0, first);
    while at < log.len() {
        let parameters = log[at..].strip_prefix(&[ESCAPE, b'[']).unwrap_or_default();
        let length = parameters.iter().position(|byte| !matches!(byte, 0x20..=0x3f));
        let sequence =
            length.filter(|length| matches!(parameters[*length], 0x40..=0x7e)).map_or(1, |length| length + 3);
        // An escape alone stays, since it is no sequence.
        out.extend_from_slice(&log[from..if sequence > 1 { at } else { at + 1 }]);
        from = at + sequence;
        at = memchr(ESCAPE, &log[from..]).map_or(log.len(), |length| from + length);
    }
    out.extend_from_slice(&log[from..]);
    Cow::Owned(out)
}

#[cfg(test)]
mod tests {
    use super::without_colours;

    #[test]
    fn colours_are_removed_and_nothing_else() {
        for (log, expect) in [
            ("\x1b[1;36m(a)\x1b[0m b\x1b[0m\n", "(a) b\n"),
            ("no colours", "no colours"),
            ("\x1b alone \x1b", "\x1b alone \x1b"),
            ("\x1b[", "\x1b["),
            ("\x1b[31m\x1b[1mé\x1b[K", "é"),
        ] {
            assert_eq!(String::from_utf8_lossy(&without_colours(log.as_bytes())), expect, "{log:?}");
        }
    }
}
