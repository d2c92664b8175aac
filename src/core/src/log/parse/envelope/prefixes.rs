//! Envelopes that are a prefix of each line: of Kubernetes' container runtimes (CRI), `kubectl logs --prefix`,
//! `docker compose logs`, Heroku, and the `data:` of server-sent events.

use super::super::time::clock_time;
use super::super::zone::Zone;
use super::opened::Letter;

/// Maximum length of the name of a container.
const MAX_NAME: usize = 128;

/// True if a line without another format has a prefix; `next` is the text after it.
pub fn is_prefixed(line: &[u8], next: &[u8]) -> bool {
    if let Some((bar, _)) = compose(line) {
        // The bars of all lines are below each other.
        return next.is_empty() || next.get(bar) == Some(&b'|');
    }
    read(line, Zone::default(), false).is_some()
}

/// The letter that a prefix is, and the text after it. `is_inner` says that the line was in another envelope.
pub fn read<'t>(line: &'t [u8], zone: Zone<'_>, is_inner: bool) -> Option<(Letter, &'t [u8])> {
    let of = |source: &[u8]| Letter { source: source.to_vec(), ..Letter::default() };
    match line.first()? {
        b'0'..=b'9' => stamped(line, zone, is_inner)
            .or_else(|| compose(line).map(|(bar, name)| (of(name), after_bar(line, bar)))),
        b'[' => {
            let end = line.iter().take(MAX_NAME).position(|byte| *byte == b']')?;
            let name = line[1..end].strip_prefix(b"pod/")?;
            Some((of(name), line.get(end + 1..)?.strip_prefix(b" ")?))
        }
        b'd' if line.starts_with(b"data: {") => Some((Letter::default(), &line[6..])),
        _ => compose(line).map(|(bar, name)| (of(name), after_bar(line, bar))),
    }
}

/// Prefixes that begin with a time: `2026-05-03T12:00:00.123456789Z stdout F line`, `2026-05-03T12:00:00.123456+00:00
/// app[web.1]: line`, and the times that `--timestamps` adds within a prefix.
fn stamped<'t>(line: &'t [u8], zone: Zone<'_>, is_inner: bool) -> Option<(Letter, &'t [u8])> {
    let (started_us, rest) = clock_time(line, zone)?;
    let rest = rest.strip_prefix(b" ")?;
    let letter = Letter { started_us, ..Letter::default() };
    if let [b's', b't', b'd', b'o' | b'e', _, _, b' ', flag @ (b'F' | b'P'), b' ', inner @ ..] = rest {
        return Some((Letter { is_part: *flag == b'P', ..letter }, inner));
    }
    if rest.starts_with(b"app[") || rest.starts_with(b"heroku[") {
        let end = memchr::memmem::find(rest, b"]: ").filter(|end| *end < MAX_NAME)?;
        let open = rest.iter().position(|byte| *byte == b'[')?;
        return Some((Letter { source: rest[open + 1..end].to_vec(), ..letter }, &rest[end + 3..]));
    }
    // Nanoseconds in UTC, as Docker and Kubernetes write them.
    let is_stamp = is_inner
        && line.len() - rest.len() >= NANOSECONDS
        && line[..line.len() - rest.len()].ends_with(b"Z ");
    is_stamp.then_some((letter, rest))
}

/// Length of a time to the nanosecond, at least, with the blank after it. Trailing zeros are left out.
const NANOSECONDS: usize = "2026-05-03T12:00:00.1234567Z ".len();

/// `web-1  | line`: the offset of the bar, and the name.
fn compose(line: &[u8]) -> Option<(usize, &[u8])> {
    let is_name = |byte: &u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_' | b'.');
    let end = line.iter().take(MAX_NAME).position(|byte| !is_name(byte)).filter(|end| *end > 0)?;
    let bar = end + line[end..].iter().take(MAX_NAME).position(|byte| *byte != b' ')?;
    let closes = line[bar] == b'|' && matches!(line.get(bar + 1), Some(b' ') | None) && bar > end;
    closes.then_some((bar, &line[..end]))
}

fn after_bar(line: &[u8], bar: usize) -> &[u8] {
    line.get(bar + 2..).unwrap_or_default()
}
