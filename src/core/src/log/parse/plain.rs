//! Lines of servers: access logs, klog and syslog.

use super::attributes::AttributeWriter;
use super::jsonb_source::JsonbSource;
use super::step::{LogFormat, StepDraft, StepKind, StepStatus};
use super::text_span::{TextSpan, own_key};
use super::time::{clock_time, moment};
use super::zone::Zone;

/// The parts of a line of a server, as ranges of the line.
#[derive(Debug, Default)]
pub struct PlainLine {
    started_us: Option<i64>,
    time: Option<(usize, usize)>,
    name: Option<(usize, usize)>,
    client: Option<(usize, usize)>,
    message: (usize, usize),
    /// Status of the answer.
    status: Option<(usize, usize)>,
    /// Length of the answer.
    length: Option<(usize, usize)>,
    is_error: bool,
}

impl PlainLine {
    /// Reads a line, if it is one of a known form.
    pub fn read(text: &[u8], zone: Zone<'_>) -> Option<Self> {
        access(text, zone).or_else(|| klog(text)).or_else(|| syslog(text, zone))
    }

    /// The line as a step; it begins at `start`.
    pub fn step(&self, writer: &mut AttributeWriter<'_>, start: usize, known: StepDraft) -> StepDraft {
        let at = |(from, to): (usize, usize)| TextSpan::log(start + from, start + to);
        for (key, place) in [("client", self.client), ("time", self.time)] {
            if let Some(place) = place {
                writer.member(own_key(key), JsonbSource::Text(at(place)));
            }
        }
        if let Some(status) = self.status {
            writer.member(own_key("http_status"), JsonbSource::Bare(at(status)));
            let length = self.length.map_or(JsonbSource::Nothing, |length| JsonbSource::Bare(at(length)));
            writer.member(own_key("bytes"), length);
        }
        let mut draft = StepDraft { format: Some(LogFormat::Text), kind: Some(StepKind::Message), ..known };
        draft.started_us = self.started_us.or(draft.started_us);
        draft.name = self.name.map_or(draft.name, at);
        if self.is_error {
            (draft.kind, draft.status) = (Some(StepKind::Error), Some(StepStatus::Error));
            draft.error = at(self.message);
        } else {
            draft.output = JsonbSource::Text(at(self.message));
        }
        draft
    }
}

/// The access logs of Apache, nginx, gunicorn, werkzeug and Django's runserver:
/// `127.0.0.1 - - [03/May/2026:12:00:04 +0000] "GET / HTTP/1.1" 200 12 …`, `[03/May/2026 12:00:04] "GET / HTTP/1.1" 200 12`.
fn access(text: &[u8], zone: Zone<'_>) -> Option<PlainLine> {
    let open = memchr::memchr(b'[', text).filter(|open| *open < MAX_CLIENT)?;
    let close = open + memchr::memchr(b']', &text[open..])?;
    let started_us = moment(&text[open + 1..close], zone)?;
    let request = close + 3;
    text[close..].starts_with(b"] \"").then_some(())?;
    let end = request + memchr::memchr(b'"', &text[request..])?;
    let mut answer = text.get(end + 2..)?.split(|byte| *byte == b' ');
    let (status, length) = (answer.next()?, answer.next());
    let is_status = status.len() == 3 && status.iter().all(u8::is_ascii_digit);
    let status_end = end + 2 + status.len();
    let client = text[..open].iter().position(|byte| *byte == b' ').filter(|length| *length > 0);
    is_status.then(|| PlainLine {
        started_us: Some(started_us),
        client: client.map(|length| (0, length)),
        // The status tells failed requests apart, so it belongs to the message.
        message: (request, status_end),
        status: Some((end + 2, status_end)),
        length: length.map(|length| (status_end + 1, status_end + 1 + length.len())),
        is_error: status[0] == b'5',
        ..PlainLine::default()
    })
}

/// Maximum length of what is before the time of an access log.
const MAX_CLIENT: usize = 200;

/// klog of Kubernetes: `E0503 12:00:04.123456    1234 server.go:12] message`.
fn klog(text: &[u8]) -> Option<PlainLine> {
    let [level @ (b'I' | b'W' | b'E' | b'F'), month1, month2, day1, day2, b' ', hour1, hour2, b':', ..] =
        text
    else {
        return None;
    };
    [month1, month2, day1, day2, hour1, hour2].iter().all(|digit| digit.is_ascii_digit()).then_some(())?;
    let close = memchr::memmem::find(text, b"] ").filter(|close| *close < MAX_CLIENT)?;
    let time = 6 + text[6..].iter().position(|byte| *byte == b' ')?;
    let place = text[..close].iter().rposition(|byte| *byte == b' ')? + 1;
    let file = place + text[place..close].iter().position(|byte| *byte == b':')?;
    Some(PlainLine {
        time: Some((1, time)),
        name: Some((place, file)),
        message: (close + 2, text.len()),
        is_error: matches!(level, b'E' | b'F'),
        ..PlainLine::default()
    })
}

/// syslog: `<34>1 2026-05-03T12:00:04Z host app 123 - - message` of RFC 5424, and `May  3 12:00:04 host app[123]: message` of
/// RFC 3164, whose time has no year.
fn syslog(text: &[u8], zone: Zone<'_>) -> Option<PlainLine> {
    let (priority, begin) = priority(text);
    let is_error = priority.is_some_and(|priority| priority % 8 <= 3);
    let rest = &text[begin..];
    if rest.starts_with(b"1 ") && priority.is_some() {
        let (started_us, after) = clock_time(&rest[2..], zone)?;
        let mut words = Words { text, at: text.len() - after.len() };
        let (_host, app) = (words.next()?, words.next()?);
        let (_process, _id) = (words.next()?, words.next()?);
        let mut message = words.at + 1;
        message += if text.get(message) == Some(&b'[') {
            memchr::memmem::find(&text[message..], b"] ")? + 2
        } else {
            2
        };
        let message = (message.min(text.len()), text.len());
        return Some(PlainLine { started_us, name: Some(app), message, is_error, ..PlainLine::default() });
    }
    let is_time = matches!(rest, [b'A'..=b'S', b'a'..=b'z', b'a'..=b'z', b' ', b' ' | b'0'..=b'3', b'0'..=b'9', b' ', h, _, b':', _, _, b':', _, _, b' ', ..] if h.is_ascii_digit());
    is_time.then_some(())?;
    let mut words = Words { text, at: begin + 15 };
    let _host = words.next()?;
    let app = words.next()?;
    text[..app.1].ends_with(b":").then_some(())?;
    let name_end = text[app.0..app.1 - 1]
        .iter()
        .position(|byte| *byte == b'[')
        .map_or(app.1 - 1, |length| app.0 + length);
    Some(PlainLine {
        time: Some((begin, begin + 15)),
        name: Some((app.0, name_end)),
        message: ((app.1 + 1).min(text.len()), text.len()),
        is_error,
        ..PlainLine::default()
    })
}

/// The number in `<34>` and the offset after it.
fn priority(text: &[u8]) -> (Option<u16>, usize) {
    let end = text.iter().take(5).position(|byte| *byte == b'>').filter(|_| text[0] == b'<');
    let number = end.and_then(|end| std::str::from_utf8(&text[1..end]).ok()?.parse().ok());
    (number, if number.is_some() { end.map_or(0, |end| end + 1) } else { 0 })
}

struct Words<'t> {
    text: &'t [u8],
    at: usize,
}

impl Iterator for Words<'_> {
    type Item = (usize, usize);

    fn next(&mut self) -> Option<(usize, usize)> {
        let start = self.at + self.text.get(self.at..)?.iter().position(|byte| *byte != b' ')?;
        self.at = start
            + self.text[start..].iter().position(|byte| *byte == b' ').unwrap_or(self.text.len() - start);
        Some((start, self.at))
    }
}
