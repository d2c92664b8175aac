//! Takes out of an answer the thoughts that a model writes before it.

/// The tags around thoughts.
const TAGS: [(&str, &str); 4] = [
    ("<think>", "</think>"),
    ("<thinking>", "</thinking>"),
    ("<thought>", "</thought>"),
    ("[THINK]", "[/THINK]"),
];

/// The tag that ends thoughts which no tag began: some chat templates write the first tag into the prompt.
const UNOPENED_END: &str = "</think>";

/// Takes the thoughts out of an answer that arrives in pieces.
#[derive(Debug)]
pub struct ThoughtFilter {
    state: State,
    held: String,
    /// Whether thoughts have been taken out.
    found: bool,
}

#[derive(Debug, Clone, Copy, PartialEq)]
enum State {
    /// Only white space and perhaps a part of a tag have arrived.
    Beginning,
    /// Within thoughts that end with this tag.
    Thinking(&'static str),
    /// Everything so far may be thoughts without a tag before them.
    Unopened,
    Answer,
}

impl ThoughtFilter {
    /// A filter. `unopened` means that the model's answers begin with thoughts that no tag opens: everything is then held
    /// back until the tag that ends them.
    pub fn new(unopened: bool) -> Self {
        let state = if unopened { State::Unopened } else { State::Beginning };
        Self { state, held: String::new(), found: false }
    }

    /// Adds a piece, and returns the text of the answer that is certain.
    pub fn push(&mut self, piece: &str) -> String {
        self.held.push_str(piece);
        loop {
            match self.state {
                State::Answer => return std::mem::take(&mut self.held),
                State::Thinking(tag) => {
                    let Some(end) = self.held.find(tag) else {
                        let kept = self.held.floor_char_boundary(self.held.len().saturating_sub(tag.len()));
                        self.held.drain(..kept);
                        return String::new();
                    };
                    self.end_thoughts(end + tag.len());
                }
                State::Unopened => match end_of_unopened(&self.held) {
                    Some(end) => self.end_thoughts(end),
                    None if opened(self.held.trim_start()).is_some() => self.state = State::Beginning,
                    None => return String::new(),
                },
                State::Beginning => {
                    let text = self.held.trim_start();
                    if let Some((open, close)) = opened(text) {
                        let start = self.held.len() - text.len() + open.len();
                        self.held.drain(..start);
                        self.state = State::Thinking(close);
                    } else if TAGS.iter().any(|(open, _)| open.starts_with(text)) {
                        return String::new();
                    } else {
                        self.trim_after_thoughts();
                        self.state = State::Answer;
                    }
                }
            }
        }
    }

    /// The rest of the answer, after its last piece.
    pub fn finish(mut self) -> String {
        match self.state {
            // Thoughts without an end: the answer was cut within them.
            State::Thinking(_) => String::new(),
            State::Beginning | State::Unopened | State::Answer => {
                self.trim_after_thoughts();
                self.held
            }
        }
    }

    /// Several thoughts may follow each other, so what comes next is a beginning again.
    fn end_thoughts(&mut self, end: usize) {
        self.held.drain(..end);
        self.found = true;
        self.state = State::Beginning;
    }

    fn trim_after_thoughts(&mut self) {
        if self.found {
            self.held.drain(..self.held.len() - self.held.trim_start().len());
        }
    }
}

/// A whole answer without its thoughts, and whether these began without a tag.
pub fn without_thoughts(answer: String) -> (String, bool) {
    if !TAGS.iter().any(|(_, close)| answer.contains(close)) && opened(answer.trim_start()).is_none() {
        return (answer, false);
    }
    let unopened = opened(answer.trim_start()).is_none() && end_of_unopened(&answer).is_some();
    let mut filter = ThoughtFilter::new(unopened);
    let mut rest = filter.push(&answer);
    rest.push_str(&filter.finish());
    (rest, unopened)
}

fn opened(text: &str) -> Option<(&'static str, &'static str)> {
    TAGS.into_iter().find(|(open, _)| text.starts_with(open))
}

/// Where thoughts end that no tag began. The tag stands at an end of a line: in other places, or after its counterpart, an
/// answer writes about it.
fn end_of_unopened(text: &str) -> Option<usize> {
    let start = text.find(UNOPENED_END)?;
    let (before, after) = (&text[..start], &text[start + UNOPENED_END.len()..]);
    let begins_line = before.trim_end_matches([' ', '\t']).ends_with('\n') || before.trim().is_empty();
    let ends_line = after.is_empty() || after.starts_with(['\n', '\r']);
    ((begins_line || ends_line) && !before.contains("<think>")).then_some(start + UNOPENED_END.len())
}

#[cfg(test)]
mod tests {
    use super::*;

    const CASES: [(&str, &str, bool); 13] = [
        ("Hello.", "Hello.", false),
        ("  Hello. ", "  Hello. ", false),
        ("<think>\nhm</think>\n\nHello.", "Hello.", false),
        ("\n<thinking>hm</thinking>Hello.", "Hello.", false),
        ("[THINK]hm[/THINK] Hello.", "Hello.", false),
        ("<think>a</think>\n<think>b</think>\nHello.", "Hello.", false),
        ("<think></think>Hello.", "Hello.", false),
        ("<think>cut in its thou", "", false),
        ("Okay. The passages say so.\n</think>\n\nHello.", "Hello.", true),
        ("so.</think>\nHello.", "Hello.", true),
        ("The tag </think> ends thoughts.", "The tag </think> ends thoughts.", false),
        (
            "Between <think> and\n</think>\nthere are thoughts.",
            "Between <think> and\n</think>\nthere are thoughts.",
            false,
        ),
        ("<thin", "<thin", false),
    ];

    #[test]
    fn thoughts_are_taken_out_of_whole_answers() {
        for (answer, expected, unopened) in CASES {
            assert_eq!(without_thoughts(answer.into()), (expected.into(), unopened), "{answer}");
        }
    }

    #[test]
    fn thoughts_are_taken_out_of_pieces_of_every_length() {
        for (answer, expected, unopened) in CASES {
            let letters: Vec<char> = answer.chars().collect();
            for length in 1..=letters.len() {
                let mut filter = ThoughtFilter::new(unopened);
                let pieces =
                    letters.chunks(length).map(|piece| filter.push(&piece.iter().collect::<String>()));
                let mut text: String = pieces.collect();
                text.push_str(&filter.finish());
                assert_eq!(text, expected, "{answer} in pieces of {length}");
            }
        }
    }

    #[test]
    fn an_answer_without_the_expected_end_of_thoughts_is_not_lost() {
        let mut filter = ThoughtFilter::new(true);
        assert_eq!(filter.push("Hello."), "");
        assert_eq!(filter.finish(), "Hello.");
    }

    #[test]
    fn pieces_of_an_answer_are_not_held_back() {
        let mut filter = ThoughtFilter::new(false);
        assert_eq!(
            (filter.push("<"), filter.push("b> "), filter.push("c")),
            ("".into(), "<b> ".into(), "c".into())
        );
    }
}
