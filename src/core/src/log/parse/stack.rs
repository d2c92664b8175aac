//! Errors of several lines: tracebacks of Python and stacks of other languages.

/// First line of a traceback of Python.
const TRACEBACK: &[u8] = b"Traceback (most recent call last):";

/// Lines between the tracebacks of a chain.
const LINKS: [&[u8]; 2] = [
    b"During handling of the above exception, another exception occurred:",
    b"The above exception was the direct cause of the following exception:",
];

/// Lines after an exception that belong to it: notes of LangGraph and SQLAlchemy, causes of Java.
const NOTES: [&[u8]; 5] = [
    b"During task with name '",
    b"(Background on this error at: ",
    b"[SQL: ",
    b"[parameters: ",
    b"Caused by: ",
];

/// Where in an error the lines so far have ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum StackPlace {
    /// There is no error.
    #[default]
    None,
    /// In the frames of a traceback, before its exception.
    Frames,
    /// After the exception.
    Exception,
    /// In the stacks of Go.
    Go,
    /// In the trace of PHP.
    Php,
    /// After the first line of a panic of Rust, whose message is the next line.
    RustMessage,
    /// In the backtrace of Rust.
    Rust,
}

impl StackPlace {
    /// The place after the first line of an error that may belong to the record before it.
    pub fn of_record(text: &[u8], next: &[u8]) -> Self {
        if text.starts_with(TRACEBACK) {
            return Self::Frames;
        }
        let group = text.trim_ascii_start().strip_prefix(b"+ Exception Group ");
        if group.is_some_and(|rest| rest.starts_with(TRACEBACK)) {
            return Self::Exception;
        }
        let is_java = text.starts_with(b"Exception in thread \"");
        if is_frame(next) && (is_java || is_exception(text)) { Self::Exception } else { Self::None }
    }

    /// The place after the first line of an error that stands alone.
    pub fn alone(text: &[u8], next: &[u8]) -> Self {
        let begins = |word: &[u8]| text.starts_with(word);
        match text.first() {
            Some(b'p' | b'f') if begins(b"panic: ") || begins(b"fatal error: ") => Self::Go,
            Some(b't') if begins(b"thread '") && memchr::memmem::find(text, b"' panicked at ").is_some() => {
                if text.ends_with(b":") {
                    Self::RustMessage
                } else {
                    Self::Rust
                }
            }
            Some(b'P' | b'F')
                if begins(b"PHP Fatal error: ")
                    || begins(b"PHP Parse error: ")
                    || begins(b"Fatal error: ") =>
            {
                Self::Php
            }
            _ => Self::of_record(text, next),
        }
    }

    /// The place after another line, if the line belongs to the error. `next` is the text after it, and `is_record` says
    /// whether it begins a record.
    pub fn after(self, text: &[u8], next: &[u8], is_record: impl Fn() -> bool) -> Option<Self> {
        let begins = |word: &[u8]| text.starts_with(word);
        match self {
            Self::None => None,
            Self::Frames => is_exception(text).then_some(Self::Exception),
            Self::Exception => {
                let belongs = LINKS.iter().chain(&NOTES).any(|line| begins(line));
                // The fields of pydantic's errors: each is followed by what is wrong with it.
                (belongs || matches!(next, [b' ', b' ', ..]) && !is_record()).then_some(Self::Exception)
            }
            Self::Go => {
                let belongs = [b"goroutine ".as_slice(), b"[signal ", b"exit status ", b"created by "];
                (belongs.iter().any(|line| begins(line)) || next.first() == Some(&b'\t')).then_some(self)
            }
            Self::Php => (begins(b"Stack trace:") || matches!(text, [b'#', b'0'..=b'9', ..])).then_some(self),
            Self::RustMessage => Some(Self::Rust),
            Self::Rust => (begins(b"note: ") || begins(b"stack backtrace:")).then_some(self),
        }
    }
}

/// True for the first frame of Java, JavaScript and Ruby.
fn is_frame(line: &[u8]) -> bool {
    let text = line.trim_ascii_start();
    text.len() < line.len() && (text.starts_with(b"at ") || text.starts_with(b"from "))
}

/// True if a line names an exception, like the last line of a traceback: `ValueError: x`, `shop.Refused`.
fn is_exception(text: &[u8]) -> bool {
    let end = text.iter().position(|byte| *byte == b':').unwrap_or(text.len());
    let name = &text[..end];
    !name.is_empty()
        && name.iter().all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'.' | b'$'))
        && !name[0].is_ascii_digit()
}
