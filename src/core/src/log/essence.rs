//! What an error of several lines says: the exception of a traceback, without frames and notes.

use std::borrow::Cow;

/// First line of a Python traceback.
const TRACEBACK: &str = "Traceback (most recent call last)";

/// Lines that frameworks add to every exception: LangGraph's note names the task, pydantic's the page of its version,
/// SQLAlchemy's that of the error.
const NOTES: [&str; 3] = [
    "During task with name '",
    "For further information visit https://errors.pydantic.dev/",
    "(Background on this error at: ",
];

/// The text that tells failures apart. Of a Python traceback it is the first line after the last frame, wherever the
/// traceback begins; frames of other languages and notes of frameworks are left out.
pub fn essence(text: &str) -> Cow<'_, str> {
    let text = text.trim();
    if !text.contains('\n') {
        return Cow::Borrowed(text);
    }
    if let Some(exception) = text.rfind(TRACEBACK).and_then(|at| exception(&text[at..])) {
        return Cow::Borrowed(exception);
    }
    let mut said = String::with_capacity(text.len());
    for line in text.lines().take_while(|line| !line.starts_with("goroutine ")) {
        let is_note = NOTES.iter().any(|note| line.trim_start().starts_with(note));
        if !is_note && !is_frame(line) {
            said.push_str(line);
            said.push('\n');
        }
    }
    if said.trim().is_empty() { Cow::Borrowed(text) } else { Cow::Owned(said) }
}

/// The first line after the frames of a traceback. Those of an exception group have a margin.
fn exception(traceback: &str) -> Option<&str> {
    let after = |line: &&str| !line.trim().is_empty() && !line.starts_with([' ', '\t']);
    let line = traceback.lines().skip(1).map(without_margin).find(after)?;
    Some(line.trim_end())
}

fn without_margin(line: &str) -> &str {
    let margin = line.trim_start();
    match margin.strip_prefix('|') {
        Some(rest) => rest.strip_prefix(' ').unwrap_or(rest),
        None => line,
    }
}

/// A frame of JavaScript, Java, PHP or Ruby.
fn is_frame(line: &str) -> bool {
    let text = line.trim_start();
    let is_indented = text.len() < line.len();
    let is_numbered =
        text.strip_prefix('#').is_some_and(|rest| rest.starts_with(|digit: char| digit.is_ascii_digit()));
    is_indented && ["at ", "from ", "... "].iter().any(|begin| text.starts_with(begin)) || is_numbered
}

#[cfg(test)]
mod tests {
    use super::essence;

    const FRAME: &str = "  File \"a.py\", line 3, in f\n    g()\n    ~^^\n";

    #[test]
    fn a_traceback_is_its_exception() {
        for (before, after) in [
            ("", ""),
            ("", "\nDuring task with name 'agent' and id '1'"),
            ("Exception in ASGI application\n", ""),
            ("ERROR: x\n", "\nDuring task with name 'tools' and id '2'\n"),
        ] {
            let text =
                format!("{before}Traceback (most recent call last):\n{FRAME}ValueError: no passage{after}");
            assert_eq!(essence(&text), "ValueError: no passage", "{text}");
        }
        let chained = format!(
            "Traceback (most recent call last):\n{FRAME}KeyError: 'a'\n\nThe above exception was the direct cause of the following exception:\n\nTraceback (most recent call last):\n{FRAME}shop.Refused: late\n"
        );
        assert_eq!(essence(&chained), "shop.Refused: late");
        let model = format!(
            "Traceback (most recent call last):\n{FRAME}pydantic_core._pydantic_core.ValidationError: 1 validation error for Order\nqty\n  Input should be a valid integer\n    For further information visit https://errors.pydantic.dev/2.11/v/int"
        );
        assert_eq!(
            essence(&model),
            "pydantic_core._pydantic_core.ValidationError: 1 validation error for Order"
        );
        let group = "  + Exception Group Traceback (most recent call last):\n  |   File \"a.py\", line 3\n  | ExceptionGroup: two (2 sub-exceptions)\n";
        assert_eq!(essence(group), "ExceptionGroup: two (2 sub-exceptions)");
    }

    #[test]
    fn notes_and_frames_are_left_out() {
        assert_eq!(essence("ValueError: x\nDuring task with name 'a' and id '1'").trim(), "ValueError: x");
        assert_eq!(essence("Error: boom\n    at f (a.js:1:2)\n    at g (b.js:3:4)").trim(), "Error: boom");
        assert_eq!(essence("panic: boom\n\ngoroutine 1 [running]:\nmain.f()").trim(), "panic: boom");
    }
}
