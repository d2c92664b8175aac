//! Time zones in logs: offsets, abbreviations, and the zone of times that have none.

/// Converts microseconds since 1970 of a local clock to those of UTC.
pub type LocalClock<'z> = &'z dyn Fn(i64) -> i64;

/// The zone of times without one; UTC by default.
#[derive(Clone, Copy, Default)]
pub struct Zone<'z>(pub Option<LocalClock<'z>>);

impl Zone<'_> {
    /// Microseconds since 1970 in UTC.
    pub fn utc(self, local: i64) -> i64 {
        self.0.map_or(local, |convert| convert(local))
    }
}

/// The zone that follows a time.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Offset {
    /// There is none.
    None,
    /// Seconds east of UTC.
    Seconds(i64),
    /// An abbreviation of several zones.
    Unknown,
}

/// The zone at the beginning of a text, and the rest of the text; `None` if it is malformed.
pub fn offset(text: &[u8]) -> Option<(Offset, &[u8])> {
    let after_blank = text.strip_prefix(b" ").unwrap_or_default();
    match text {
        [b'Z' | b'z', rest @ ..] => Some((Offset::Seconds(0), rest)),
        [b'+' | b'-', b'0'..=b'9', ..] => signed(text),
        _ => match after_blank {
            // gunicorn and Git put a space before the zone. Two digits after it may be any number.
            [b'+' | b'-', b'0'..=b'9', b'0'..=b'9']
            | [b'+' | b'-', b'0'..=b'9', b'0'..=b'9', b']', ..]
            | [b'+' | b'-', b'0'..=b'9', b'0'..=b'9', b':', b'0'..=b'9', ..]
            | [b'+' | b'-', b'0'..=b'9', b'0'..=b'9', b'0'..=b'9', b'0'..=b'9', ..] => signed(after_blank),
            [b'A'..=b'Z', b'A'..=b'Z', ..] => Some(named(text, after_blank)),
            _ => Some((Offset::None, text)),
        },
    }
}

/// The zone of an abbreviation after a blank.
fn named<'t>(text: &'t [u8], name: &'t [u8]) -> (Offset, &'t [u8]) {
    let end = name.iter().position(|byte| !byte.is_ascii_alphanumeric()).unwrap_or(name.len());
    // Levels, which are what most lines have here, end with other letters.
    let may_be = matches!(name[end - 1], b'T' | b'C' | b'K' | b'D');
    let known = ABBREVIATIONS.iter().find(|(known, _)| may_be && *known == &name[..end]);
    match known {
        Some((_, Some(minutes))) => (Offset::Seconds(i64::from(*minutes) * 60), &name[end..]),
        Some((_, None)) => (Offset::Unknown, &name[end..]),
        None => (Offset::None, text),
    }
}

/// `+02:00`, `+0200`, `+02`, `+00:53:28`.
fn signed(text: &[u8]) -> Option<(Offset, &[u8])> {
    let (sign, text) = text.split_first()?;
    let ([h1, h2], rest) = text.split_first_chunk::<2>()?;
    let mut seconds = i64::from(two(*h1, *h2)?) * 3600;
    let mut rest = rest;
    if let [b':', m1, m2, after @ ..] | [m1 @ b'0'..=b'9', m2, after @ ..] = rest {
        seconds += i64::from(two(*m1, *m2)?) * 60;
        rest = after;
        if let [b':', s1 @ b'0'..=b'9', s2 @ b'0'..=b'9', after @ ..] = rest {
            seconds += i64::from(two(*s1, *s2)?);
            rest = after;
        }
    }
    Some((Offset::Seconds(if *sign == b'-' { -seconds } else { seconds }), rest))
}

/// A number of two digits.
pub fn two(tens: u8, ones: u8) -> Option<u8> {
    let (tens, ones) = (tens.wrapping_sub(b'0'), ones.wrapping_sub(b'0'));
    (tens < 10 && ones < 10).then(|| tens * 10 + ones)
}

/// Minutes east of UTC, as PostgreSQL's default set of abbreviations has them; `None` for names of several zones that are
/// all in wide use.
const ABBREVIATIONS: [(&[u8], Option<i16>); 48] = [
    (b"UTC", Some(0)),
    (b"GMT", Some(0)),
    (b"CET", Some(60)),
    (b"CEST", Some(120)),
    (b"MET", Some(60)),
    (b"MEST", Some(120)),
    (b"WET", Some(0)),
    (b"WEST", Some(60)),
    (b"BST", Some(60)),
    (b"EET", Some(120)),
    (b"EEST", Some(180)),
    (b"MSK", Some(180)),
    (b"MSD", Some(240)),
    (b"EST", Some(-300)),
    (b"EDT", Some(-240)),
    (b"CST", Some(-360)),
    (b"CDT", Some(-300)),
    (b"MST", Some(-420)),
    (b"MDT", Some(-360)),
    (b"PST", Some(-480)),
    (b"PDT", Some(-420)),
    (b"AKST", Some(-540)),
    (b"AKDT", Some(-480)),
    (b"HST", Some(-600)),
    (b"AST", Some(-240)),
    (b"ADT", Some(-180)),
    (b"NST", Some(-210)),
    (b"NDT", Some(-150)),
    (b"BRT", Some(-180)),
    (b"BRST", Some(-120)),
    (b"ART", Some(-180)),
    (b"CLT", Some(-240)),
    (b"COT", Some(-300)),
    (b"SAST", Some(120)),
    (b"EAT", Some(180)),
    (b"PKT", Some(300)),
    (b"NPT", Some(345)),
    (b"SGT", Some(480)),
    (b"HKT", Some(480)),
    (b"JST", Some(540)),
    (b"KST", Some(540)),
    (b"AEST", Some(600)),
    (b"AEDT", Some(660)),
    (b"ACST", Some(570)),
    (b"ACDT", Some(630)),
    (b"NZST", Some(720)),
    (b"NZDT", Some(780)),
    // India, Israel and Ireland.
    (b"IST", None),
];
