//! Times and durations as logs write them.

use super::zone::{Offset, Zone, offset, two};

/// Microseconds since 1970 of a time in text form: the forms of [`clock_time`], or a number of seconds, milliseconds,
/// microseconds or nanoseconds.
pub fn moment(text: &[u8], zone: Zone<'_>) -> Option<i64> {
    match clock_time(text, zone) {
        Some((moment, [])) => moment,
        Some(_) => None,
        None => epoch(text),
    }
}

/// Microseconds since 1970 of a time at the beginning of a text, and the rest of the text. A time without a zone is read in
/// `zone`; one with an unknown zone is `None`. The forms are ISO 8601 with common deviations (a space for the `T`, a comma
/// before the fraction, slashes in the date, `+0200`, `+02`, no seconds, no separators at all), that of access logs
/// (`03/May/2026:12:00:04 +0000`) and RFC 2822.
pub fn clock_time<'t>(text: &'t [u8], zone: Zone<'_>) -> Option<(Option<i64>, &'t [u8])> {
    let (days, rest) = date(text)?;
    let (seconds, rest) = seconds_of_day(rest)?;
    let (fraction, rest) = fraction(rest);
    let local = (days * 86_400 + seconds) * 1_000_000 + fraction;
    let (offset, rest) = offset(rest)?;
    let moment = match offset {
        Offset::None => Some(zone.utc(local)),
        Offset::Seconds(seconds) => Some(local - seconds * 1_000_000),
        Offset::Unknown => None,
    };
    Some((moment, rest))
}

/// Days since 1970 of a date, and the rest of the text after the separator that follows the date.
fn date(text: &[u8]) -> Option<(i64, &[u8])> {
    match text {
        [
            y1,
            y2,
            y3,
            y4,
            dash1 @ (b'-' | b'/'),
            m1,
            m2,
            dash2,
            d1,
            d2,
            b'T' | b't' | b' ' | b'_',
            rest @ ..,
        ] if dash1 == dash2 => {
            let year = year(y1, y2, y3, y4)?;
            Some((days_since_1970(year, two(*m1, *m2)?, two(*d1, *d2)?)?, rest))
        }
        [y1, y2, y3, y4, m1, m2, d1, d2, b'T', rest @ ..] => {
            let year = year(y1, y2, y3, y4)?;
            Some((days_since_1970(year, two(*m1, *m2)?, two(*d1, *d2)?)?, rest))
        }
        _ => named_date(text),
    }
}

/// `03/May/2026:`, `03-May-2026 `, `Sun, 3 May 2026 `.
fn named_date(text: &[u8]) -> Option<(i64, &[u8])> {
    let text = match text {
        [b'A'..=b'Z', b'a'..=b'z', b'a'..=b'z', b',', b' ', rest @ ..] => rest,
        _ => text,
    };
    let (day, rest) = match text {
        [d1, d2 @ b'0'..=b'9', rest @ ..] => (two(*d1, *d2)?, rest),
        [day, rest @ ..] => (two(b'0', *day)?, rest),
        [] => return None,
    };
    let [before @ (b'/' | b'-' | b' '), m1, m2, m3, after, y1, y2, y3, y4, b' ' | b':', rest @ ..] = rest
    else {
        return None;
    };
    let month = MONTHS.iter().position(|month| *month == &[*m1, *m2, *m3])? as u8 + 1;
    let year = year(y1, y2, y3, y4)?;
    (before == after).then_some(())?;
    Some((days_since_1970(year, month, day)?, rest))
}

const MONTHS: [&[u8; 3]; 12] =
    [b"Jan", b"Feb", b"Mar", b"Apr", b"May", b"Jun", b"Jul", b"Aug", b"Sep", b"Oct", b"Nov", b"Dec"];

/// Seconds since midnight: `12:00:04`, `12:00`, `120004`.
fn seconds_of_day(text: &[u8]) -> Option<(i64, &[u8])> {
    let (hour, minute, second, rest) = match text {
        [h1, h2, b':', n1, n2, b':', s1, s2, rest @ ..] => {
            (two(*h1, *h2)?, two(*n1, *n2)?, two(*s1, *s2)?, rest)
        }
        [h1, h2, b':', n1, n2, rest @ ..] => (two(*h1, *h2)?, two(*n1, *n2)?, 0, rest),
        [h1, h2, n1, n2, s1, s2, rest @ ..] => (two(*h1, *h2)?, two(*n1, *n2)?, two(*s1, *s2)?, rest),
        _ => return None,
    };
    // The second 60 is a leap second.
    let is_valid = hour <= 23 && minute <= 59 && second <= 60;
    is_valid.then(|| (i64::from(hour) * 3600 + i64::from(minute) * 60 + i64::from(second), rest))
}

fn year(y1: &u8, y2: &u8, y3: &u8, y4: &u8) -> Option<i64> {
    Some(i64::from(two(*y1, *y2)?) * 100 + i64::from(two(*y3, *y4)?))
}

fn days_since_1970(year: i64, month: u8, day: u8) -> Option<i64> {
    let is_valid = year >= 1 && (1..=12).contains(&month) && (1..=days_in(year, month)).contains(&day);
    is_valid.then(|| days(year, month.into(), day.into()))
}

/// Microseconds since 1970 of a number. Its size determines the unit: seconds up to the year 5138, then milliseconds,
/// microseconds, nanoseconds. Negative numbers are not times of a log.
pub fn epoch(text: &[u8]) -> Option<i64> {
    let (whole, fraction) = match text.iter().position(|byte| *byte == b'.') {
        Some(point) => (&text[..point], &text[point + 1..]),
        None => (text, Default::default()),
    };
    if whole.is_empty() || whole.len() > 19 || !all_digits(whole) || !all_digits(fraction) {
        return None;
    }
    let value = whole.iter().try_fold(0i64, |sum, byte| {
        sum.checked_mul(10).and_then(|sum| sum.checked_add(i64::from(byte - b'0')))
    })?;
    match value {
        0..100_000_000_000 => Some(value * 1_000_000 + decimals(fraction, 6)),
        100_000_000_000..100_000_000_000_000 => Some(value * 1000 + decimals(fraction, 3)),
        100_000_000_000_000..100_000_000_000_000_000 => Some(value),
        _ => Some(value / 1000),
    }
}

/// Milliseconds of a duration. A plain number is in `unit` (milliseconds per unit), which the field's name determines; a
/// text may have its own units: `12ms`, `1.5s`, `1m30.5s`, `0:00:01.25`.
pub fn duration(text: &[u8], unit: f64) -> Option<f64> {
    if let Some(value) = decimal(text) {
        return Some(value * unit);
    }
    if text.contains(&b':') {
        return clock(text);
    }
    let mut rest = text;
    let mut sum = 0.0;
    while !rest.is_empty() {
        let end = rest.iter().position(|byte| !matches!(byte, b'0'..=b'9' | b'.'))?;
        let value = decimal(&rest[..end])?;
        rest = rest[end..].trim_ascii_start();
        let end = rest.iter().position(|byte| matches!(byte, b'0'..=b'9' | b' ')).unwrap_or(rest.len());
        sum += value * unit_ms(&rest[..end])?;
        rest = rest[end..].trim_ascii_start();
    }
    (!text.is_empty()).then_some(sum)
}

/// A non-negative number without an exponent.
fn decimal(text: &[u8]) -> Option<f64> {
    let plain = text.iter().all(|byte| matches!(byte, b'0'..=b'9' | b'.'));
    let text = if plain { std::str::from_utf8(text).ok()? } else { return None };
    text.parse().ok()
}

/// Python's format of a timedelta: `H:MM:SS.ffffff`.
fn clock(text: &[u8]) -> Option<f64> {
    let mut seconds = 0.0;
    for part in text.split(|byte| *byte == b':') {
        seconds = seconds * 60.0 + decimal(part)?;
    }
    Some(seconds * 1000.0)
}

fn unit_ms(unit: &[u8]) -> Option<f64> {
    Some(match unit {
        b"ns" => 1e-6,
        // The micro sign, and the Greek letter.
        b"us" | b"\xc2\xb5s" | b"\xce\xbcs" => 1e-3,
        b"ms" | b"msec" => 1.0,
        b"s" | b"sec" | b"secs" | b"seconds" => 1000.0,
        b"m" | b"min" => 60_000.0,
        b"h" => 3_600_000.0,
        _ => return None,
    })
}

/// Microseconds of a fraction after a point or comma, and the rest of the text.
fn fraction(text: &[u8]) -> (i64, &[u8]) {
    let [b'.' | b',', rest @ ..] = text else { return (0, text) };
    let end = rest.iter().position(|byte| !byte.is_ascii_digit()).unwrap_or(rest.len());
    if end == 0 {
        return (0, text);
    }
    (decimals(&rest[..end], 6), &rest[end..])
}

/// Digits after a point as an integer of `places` digits; further digits are dropped.
fn decimals(digits: &[u8], places: usize) -> i64 {
    let mut value = 0;
    for place in 0..places {
        value = value * 10 + digits.get(place).map_or(0, |digit| i64::from(digit - b'0'));
    }
    value
}

fn all_digits(text: &[u8]) -> bool {
    text.iter().all(u8::is_ascii_digit)
}

fn days_in(year: i64, month: u8) -> u8 {
    let leaps = year % 4 == 0 && (year % 100 != 0 || year % 400 == 0);
    match month {
        2 => 28 + u8::from(leaps),
        4 | 6 | 9 | 11 => 30,
        _ => 31,
    }
}

/// Days since 1970-01-01 (Hinnant, "chrono-Compatible Low-Level Date Algorithms", `days_from_civil`).
fn days(year: i64, month: i64, day: i64) -> i64 {
    let year = if month <= 2 { year - 1 } else { year };
    let era = year.div_euclid(400);
    let year_of_era = year - era * 400;
    let day_of_year = (153 * (month + if month > 2 { -3 } else { 9 }) + 2) / 5 + day - 1;
    era * 146_097 + year_of_era * 365 + year_of_era / 4 - year_of_era / 100 + day_of_year - 719_468
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(text: &str, expect: Option<i64>) {
        assert_eq!(moment(text.as_bytes(), Zone::default()), expect, "{text}");
    }

    #[test]
    fn moments_are_read_as_logs_write_them() {
        let noon = 1_777_809_600_000_000;
        for text in [
            "2026-05-03T12:00:00Z",
            "2026-05-03 12:00:00",
            "2026-05-03 12:00:00,000",
            "2026/05/03 12:00:00.000000",
            "2026-05-03T14:00:00+02:00",
            "2026-05-03T14:00:00.0+0200",
            "2026-05-03 12:00:00 UTC",
            "2026-05-03 14:00:00 CEST",
            "2026-05-03 04:00:00.000 PST",
            "2026-05-03 14:00:00+02",
            "2026-05-03 14:00:00.000+02",
            "2026-05-03T12:00Z",
            "2026-05-03 12:00",
            "2026-05-03 05:00:00 -07:00",
            "2026-05-03 17:30:00+05:30:00",
            "20260503T120000Z",
            "20260503T140000.000+0200",
            "03/May/2026:12:00:00 +0000",
            "03/May/2026 12:00:00",
            "03-May-2026 14:00:00 CEST",
            "Sun, 03 May 2026 12:00:00 GMT",
            "Sun, 3 May 2026 14:00:00 +0200",
            "1777809600",
            "1777809600.0",
            "1777809600000",
            "1777809600000000",
            "1777809600000000000",
        ] {
            check(text, Some(noon));
        }
        check("2026-05-03T12:00:00.1234567Z", Some(noon + 123_456));
        check("1777809600.25", Some(noon + 250_000));
        check("2000-02-29T00:00:00Z", Some(951_782_400_000_000));
        check("0001-01-01T00:00:00Z", Some(-62_135_596_800_000_000));
    }

    #[test]
    fn what_is_no_moment_is_none() {
        for text in [
            "",
            "-1",
            "noon",
            "2026-13-01T00:00:00Z",
            "2026-05-03",
            "2026-05-03T25:00:00",
            "99999999999999999999",
            "2026-05-03T12:00:00 tomorrow",
            "1e400",
            "2026-05-03T12:00:00+0x:00",
            "2026-02-29T00:00:00Z",
            "2026-05-03 12:00:00 IST",
            "2026-05-03 12:00:00 XYZ",
            "03/Mai/2026 12:00:00",
            "١٢",
        ] {
            check(text, None);
        }
    }

    #[test]
    fn a_time_without_a_zone_is_local() {
        let berlin = |local: i64| local - 7_200_000_000;
        let zone = Zone(Some(&berlin));
        for text in ["2026-05-03 14:00:00", "2026-05-03T12:00:00Z", "2026-05-03 13:00:00 WEST", "1777809600"]
        {
            assert_eq!(moment(text.as_bytes(), zone), Some(1_777_809_600_000_000), "{text}");
        }
    }

    #[test]
    fn durations_have_the_unit_of_their_name_or_of_their_text() {
        let close = |text: &str, unit, expect: Option<f64>| {
            let actual = duration(text.as_bytes(), unit);
            let same = match (actual, expect) {
                (Some(actual), Some(expect)) => (actual - expect).abs() < 1e-9,
                (actual, expect) => actual == expect,
            };
            assert!(same, "{text}: {actual:?}");
        };
        close("12", 1.0, Some(12.0));
        close("1.5", 1000.0, Some(1500.0));
        close("12ms", 1000.0, Some(12.0));
        close("1.5 s", 1.0, Some(1500.0));
        close("1m30.5s", 1.0, Some(90_500.0));
        close("350µs", 1.0, Some(0.35));
        close("0:00:01.25", 1.0, Some(1250.0));
        for text in ["", "-5", "fast", "12 parsecs", "ms", "1.2.3"] {
            close(text, 1.0, None);
        }
    }
}
