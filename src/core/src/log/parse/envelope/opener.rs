//! Opens the envelopes of a log, line by line.

use super::super::json_index::JsonIndex;
use super::super::zone::Zone;
use super::opened::{Letter, OpenedLog};
use super::prefixes;
use memchr::memchr;

/// Envelopes in envelopes that are opened, such as that of a runtime within that of a shipper.
pub const MAX_DEPTH: u32 = 4;

/// Opens the envelopes in a log whose first line has the number `line`. Lines without an envelope stay as they are.
pub fn open(log: &[u8], line: u32, zone: Zone<'_>) -> OpenedLog {
    let mut opener = Opener { zone, opened: OpenedLog::default() };
    let mut json = JsonIndex::default();
    let (mut at, mut line) = (0, line);
    while at < log.len() {
        let newline = memchr(b'\n', &log[at..]).map_or(log.len(), |length| at + length);
        let first = at + log[at..newline].iter().take_while(|byte| matches!(byte, b' ' | b'\t')).count();
        let document = (log.get(first) == Some(&b'{')).then(|| json.read(log, first).ok()).flatten();
        let end = match document {
            Some(after) => memchr(b'\n', &log[after..]).map_or(log.len(), |length| after + length),
            None => newline,
        };
        let letter = Letter { line, ..Letter::default() };
        let is_alone = document.is_some_and(|after| log[after..end].trim_ascii().is_empty());
        if !(is_alone && opener.object(&json, log, 0, &letter, 0)) {
            opener.text(&log[at..end], &letter, 0);
        }
        line += memchr::memchr_iter(b'\n', &log[at..end]).count() as u32 + 1;
        at = end + 1;
    }
    opener.opened.close();
    opener.opened
}

/// The opener of one log.
pub struct Opener<'z> {
    pub zone: Zone<'z>,
    pub opened: OpenedLog,
}

impl Opener<'_> {
    /// Opens a text of one line or several.
    pub fn text(&mut self, text: &[u8], letter: &Letter, depth: u32) {
        if depth < MAX_DEPTH
            && let Some((prefix, inner)) = prefixes::read(text, self.zone, depth > 0)
        {
            let letter = letter.with(prefix);
            return self.text(inner, &letter, depth + 1);
        }
        if depth > 0 && depth < MAX_DEPTH && text.first() == Some(&b'{') {
            let mut json = JsonIndex::default();
            let is_whole = json.read(text, 0).is_ok_and(|after| text[after..].trim_ascii().is_empty());
            if is_whole && self.object(&json, text, 0, letter, depth) {
                return;
            }
        }
        self.opened.add(text, letter);
    }
}
