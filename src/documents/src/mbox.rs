//! Messages in one file (RFC 4155).

/// True if the bytes begin with the line that separates messages, and a header follows.
pub fn is_mbox(bytes: &[u8]) -> bool {
    let Some(rest) = bytes.strip_prefix(b"From ") else { return false };
    let Some(end) = rest.iter().position(|byte| *byte == b'\n') else { return false };
    let header = &rest[end + 1..];
    let name = header.iter().position(|byte| !byte.is_ascii_alphanumeric() && *byte != b'-');
    name.is_some_and(|length| length > 0 && header[length] == b':')
}

/// The messages, without the lines that separate them.
pub fn messages(bytes: &[u8]) -> Vec<&[u8]> {
    let mut starts = Vec::new();
    let mut line = 0;
    let mut after_blank = true;
    while line < bytes.len() {
        let end =
            bytes[line..].iter().position(|byte| *byte == b'\n').map_or(bytes.len(), |at| line + at + 1);
        if after_blank && bytes[line..].starts_with(b"From ") {
            starts.push((line, end));
        }
        after_blank = matches!(&bytes[line..end], b"\n" | b"\r\n");
        line = end;
    }
    let ends = starts.iter().skip(1).map(|(line, _)| *line).chain([bytes.len()]);
    starts.iter().zip(ends).map(|((_, body), end)| &bytes[*body..end]).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn messages_are_separated_by_lines_after_blank_lines() {
        let file =
            b"From a Mon\nSubject: 1\n\nFirst\nFrom here on, text\n\nFrom b Tue\nSubject: 2\n\nSecond\n";
        let found = messages(file);
        assert_eq!(found.len(), 2);
        assert_eq!(found[0], b"Subject: 1\n\nFirst\nFrom here on, text\n\n");
        assert_eq!(found[1], b"Subject: 2\n\nSecond\n");
        assert!(is_mbox(file));
        assert!(!is_mbox(b"From where I stand\nthis is a text: yes\n"));
        assert!(!is_mbox(b"From x"));
    }
}
