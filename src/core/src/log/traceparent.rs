//! The `traceparent` header of W3C's Trace Context, level 2, section 3.2: the application's span that a run is a part of.

/// Length of version 00, and minimum length of later versions.
const HEADER_LENGTH: usize = 55;

/// A span of an application.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TraceParent {
    /// The trace: 32 lower-case hexadecimal digits.
    pub trace_id: String,
    /// The span: 16 lower-case hexadecimal digits.
    pub parent_id: String,
    /// True if the application records the trace.
    pub sampled: bool,
}

/// Why a text is not a traceparent.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum TraceParentError {
    /// It has a wrong form.
    #[error(
        "traceparent must be like 00-<32 digits>-<16 digits>-<2 digits>, in lower-case hexadecimal, not \"{0}\""
    )]
    Malformed(String),
    /// Version ff, which the specification forbids.
    #[error("traceparent has version ff, which there is not")]
    Version,
    /// An identifier that is all zeros.
    #[error("traceparent has a {0} that is all zeros")]
    Zeros(&'static str),
}

impl TraceParent {
    /// Parses a header's value. For a later version, reads the parts of version 00 and ignores what follows them.
    ///
    /// # Errors
    /// [`TraceParentError`] if the specification requires that the header be ignored.
    pub fn parse(text: &str) -> Result<Self, TraceParentError> {
        let malformed = || TraceParentError::Malformed(text.chars().take(HEADER_LENGTH + 1).collect());
        let (head, more) = text.split_at_checked(HEADER_LENGTH).ok_or_else(malformed)?;
        let parts: Vec<&str> = head.split('-').collect();
        let &[version, trace_id, parent_id, flags] = parts.as_slice() else { return Err(malformed()) };
        let widths = [(version, 2), (trace_id, 32), (parent_id, 16), (flags, 2)];
        if !widths.iter().all(|(part, width)| part.len() == *width && is_hexadecimal(part)) {
            return Err(malformed());
        }
        match version {
            "ff" => return Err(TraceParentError::Version),
            "00" if !more.is_empty() => return Err(malformed()),
            _ if !more.is_empty() && !more.starts_with('-') => return Err(malformed()),
            _ => {}
        }
        for (name, id) in [("trace id", trace_id), ("parent id", parent_id)] {
            if id.bytes().all(|digit| digit == b'0') {
                return Err(TraceParentError::Zeros(name));
            }
        }
        let sampled = u8::from_str_radix(flags, 16).is_ok_and(|flags| flags & 1 == 1);
        Ok(Self { trace_id: trace_id.to_owned(), parent_id: parent_id.to_owned(), sampled })
    }
}

fn is_hexadecimal(text: &str) -> bool {
    text.bytes().all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f'))
}

#[cfg(test)]
mod tests {
    use super::*;

    const TRACE: &str = "4bf92f3577b34da6a3ce929d0e0e4736";
    const SPAN: &str = "00f067aa0ba902b7";

    fn parsed(text: &str) -> Result<(String, String, bool), TraceParentError> {
        TraceParent::parse(text).map(|it| (it.trace_id, it.parent_id, it.sampled))
    }

    #[test]
    fn the_example_of_the_specification_is_read() {
        let ids = |sampled| Ok((TRACE.to_owned(), SPAN.to_owned(), sampled));
        assert_eq!(parsed(&format!("00-{TRACE}-{SPAN}-01")), ids(true));
        assert_eq!(parsed(&format!("00-{TRACE}-{SPAN}-00")), ids(false));
        // Unknown flags are ignored.
        assert_eq!(parsed(&format!("00-{TRACE}-{SPAN}-03")), ids(true));
    }

    #[test]
    fn later_versions_are_read_as_far_as_they_are_known() {
        let ids = Ok((TRACE.to_owned(), SPAN.to_owned(), true));
        assert_eq!(parsed(&format!("01-{TRACE}-{SPAN}-01")), ids);
        assert_eq!(parsed(&format!("cc-{TRACE}-{SPAN}-01-what-the-future-will-be")), ids);
        assert!(matches!(
            parsed(&format!("cc-{TRACE}-{SPAN}-01.later")),
            Err(TraceParentError::Malformed(_))
        ));
        assert_eq!(parsed(&format!("ff-{TRACE}-{SPAN}-01")), Err(TraceParentError::Version));
    }

    #[test]
    fn identifiers_of_zeros_are_refused() {
        let zeros = "0".repeat(32);
        assert_eq!(parsed(&format!("00-{zeros}-{SPAN}-01")), Err(TraceParentError::Zeros("trace id")));
        let zeros = "0".repeat(16);
        assert_eq!(parsed(&format!("00-{TRACE}-{zeros}-01")), Err(TraceParentError::Zeros("parent id")));
    }

    #[test]
    fn anything_else_is_malformed() {
        let whole = format!("00-{TRACE}-{SPAN}-01");
        let mut texts: Vec<String> = (0..whole.len()).map(|length| whole[..length].to_owned()).collect();
        texts.extend([
            whole.to_uppercase(),
            format!("{whole}-"),
            format!("{whole} "),
            format!(" {whole}"),
            whole.replace('-', "_"),
            format!("0g-{TRACE}-{SPAN}-01"),
            format!("00-{SPAN}-{TRACE}-01"),
            "ä".repeat(40),
        ]);
        for text in texts {
            assert!(matches!(parsed(&text), Err(TraceParentError::Malformed(_))), "{text}");
        }
    }
}
