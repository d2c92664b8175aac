//! Dates as documents write them.

use chrono::{DateTime, NaiveDate, NaiveDateTime};

/// Seconds since 1970 of a date in ISO 8601 or RFC 2822; without a time zone it is read as UTC.
pub fn seconds(text: &str) -> Option<i64> {
    let text = text.trim();
    let zoned = DateTime::parse_from_rfc3339(text).or_else(|_| DateTime::parse_from_rfc2822(text));
    let local = || NaiveDateTime::parse_from_str(text.get(..19)?, "%Y-%m-%dT%H:%M:%S").ok();
    let day = || NaiveDate::parse_from_str(text.get(..10)?, "%Y-%m-%d").ok()?.and_hms_opt(0, 0, 0);
    match zoned {
        Ok(time) => Some(time.timestamp()),
        Err(_) => local().or_else(day).map(|time| time.and_utc().timestamp()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn dates_are_read_in_the_forms_that_documents_use() {
        for (text, expected) in [
            ("2013-12-23T23:15:00Z", Some(1_387_840_500)),
            ("2013-12-24T00:15:00+01:00", Some(1_387_840_500)),
            ("2013-12-23T23:15:00", Some(1_387_840_500)),
            ("2013-12-23T23:15:00.123456", Some(1_387_840_500)),
            ("Mon, 23 Dec 2013 23:15:00 +0000", Some(1_387_840_500)),
            ("2013-12-23", Some(1_387_756_800)),
            ("yesterday", None),
            ("", None),
            ("2013-13-45", None),
            ("ééééééééééééé", None),
        ] {
            assert_eq!(seconds(text), expected, "{text}");
        }
    }
}
