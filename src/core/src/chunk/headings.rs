//! The headings of a Markdown document (CommonMark 0.31.2: ATX 4.2, setext 4.3; none inside fenced code 4.5).

/// The headings of a document in its order.
#[derive(Debug, Default)]
pub struct Outline {
    headings: Vec<Heading>,
    /// The headings that a heading at the end would stand under, outermost first.
    open: Vec<usize>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
struct Heading {
    offset: usize,
    level: usize,
    text: String,
    /// The heading that it stands under.
    parent: Option<usize>,
}

/// Bytes of a heading that its path shows: it is in each chunk below it, and a whole document may be one.
const MAX_HEADING_BYTES: usize = 1000;

impl Outline {
    /// Reads a document, and calls `check` now and then.
    ///
    /// # Errors
    /// What `check` returned.
    pub fn read<E>(document: &str, mut check: impl FnMut() -> Result<(), E>) -> Result<Self, E> {
        let mut reader = Reader::default();
        let mut offset = front_matter(document);
        for (number, line) in document[offset..].split_inclusive('\n').enumerate() {
            if number % LINES_PER_CHECK == 0 {
                check()?;
            }
            reader.read(offset, line);
            offset += line.len();
        }
        Ok(reader.outline)
    }

    /// The headings above `offset`, and the one that begins there, outermost first.
    pub fn path_at(&self, offset: usize) -> Vec<String> {
        let above = self.headings.partition_point(|heading| heading.offset <= offset);
        let mut path = Vec::new();
        let mut next = above.checked_sub(1);
        while let Some(heading) = next.and_then(|number| self.headings.get(number)) {
            path.push(heading.text.clone());
            next = heading.parent;
        }
        path.reverse();
        path
    }

    fn push(&mut self, offset: usize, level: usize, text: &str) {
        while self.open.pop_if(|open| self.headings[*open].level >= level).is_some() {}
        let parent = self.open.last().copied();
        self.open.push(self.headings.len());
        let text = head(text).to_owned();
        self.headings.push(Heading { offset, level, text, parent });
    }
}

const LINES_PER_CHECK: usize = 1000;

#[derive(Default)]
struct Reader {
    outline: Outline,
    /// The character and length of the fence that is open.
    fence: Option<(char, usize)>,
    /// Where the current paragraph begins, and its text, as much as a heading may have.
    paragraph: Option<(usize, String)>,
}

impl Reader {
    fn read(&mut self, offset: usize, line: &str) {
        let text = line.trim_end();
        let indent = text.len() - text.trim_start_matches(' ').len();
        let text = &text[indent..];
        let offset = offset + indent;
        if let Some((mark, length)) = self.fence {
            if indent < 4
                && fence_of(text).is_some_and(|(m, l, rest)| m == mark && l >= length && rest.is_empty())
            {
                self.fence = None;
            }
            return;
        }
        if text.is_empty() {
            self.paragraph = None;
        } else if indent >= 4 {
            self.continue_paragraph(offset, text, false);
        } else if let Some((mark, length, _)) = fence_of(text) {
            self.fence = Some((mark, length));
            self.paragraph = None;
        } else if let Some((level, text)) = atx(text) {
            self.outline.push(offset, level, text);
            self.paragraph = None;
        } else if let Some(level) = underline(text) {
            if let Some((offset, text)) = self.paragraph.take() {
                self.outline.push(offset, level, &text);
            }
        } else {
            self.continue_paragraph(offset, text, true);
        }
    }

    fn continue_paragraph(&mut self, offset: usize, line: &str, may_begin: bool) {
        // Lists, quotes and tables are no headings, whatever stands below them.
        if line.starts_with(['>', '|']) || ["- ", "* ", "+ "].iter().any(|bullet| line.starts_with(bullet)) {
            self.paragraph = None;
            return;
        }
        match &mut self.paragraph {
            Some((_, text)) if text.len() < MAX_HEADING_BYTES => {
                text.push(' ');
                text.push_str(head(line));
            }
            Some(_) => {}
            None if may_begin => self.paragraph = Some((offset, head(line).to_owned())),
            None => {}
        }
    }
}

/// As much of a line as a heading may have.
fn head(line: &str) -> &str {
    &line[..line.floor_char_boundary(MAX_HEADING_BYTES)]
}

/// Level and text of `## text ##`.
fn atx(line: &str) -> Option<(usize, &str)> {
    let rest = line.trim_start_matches('#');
    let level = line.len() - rest.len();
    if !(1..=6).contains(&level) || !(rest.is_empty() || rest.starts_with([' ', '\t'])) {
        return None;
    }
    let rest = rest.trim();
    let open = rest.trim_end_matches('#');
    Some((level, if open.is_empty() || open.ends_with([' ', '\t']) { open.trim_end() } else { rest }))
}

/// The level of a setext underline.
fn underline(line: &str) -> Option<usize> {
    [('=', 1), ('-', 2)]
        .into_iter()
        .find(|(mark, _)| line.chars().all(|c| c == *mark))
        .map(|(_, level)| level)
}

/// Mark, length and info string of a code fence.
fn fence_of(line: &str) -> Option<(char, usize, &str)> {
    let mark = line.chars().next().filter(|mark| ['`', '~'].contains(mark))?;
    let rest = line.trim_start_matches(mark);
    let length = line.len() - rest.len();
    (length >= 3 && !(mark == '`' && rest.contains('`'))).then_some((mark, length, rest.trim()))
}

/// Bytes of a YAML head between two lines of `---`, whose last line would read as a setext heading.
fn front_matter(document: &str) -> usize {
    let mut lines = document.split_inclusive('\n');
    let Some(first) = lines.next().filter(|line| line.trim_end() == "---") else { return 0 };
    let mut length = first.len();
    for line in lines {
        length += line.len();
        if line.trim_end() == "---" {
            return length;
        }
    }
    0
}

#[cfg(test)]
mod tests {
    use std::convert::Infallible;

    use super::*;

    fn check(document: &str, at: &str, expected: &[&str]) {
        let offset = document.find(at).unwrap();
        let outline = Outline::read(document, || Ok::<(), Infallible>(())).unwrap();
        assert_eq!(outline.path_at(offset), expected, "{document:?} at {at:?}");
    }

    #[test]
    fn a_path_goes_from_the_outermost_heading() {
        let document = "intro\n# A\na\n## B ##\nb\n### C\nc\n## D\nd\n# E\ne\n";
        check(document, "intro", &[]);
        check(document, "b\n", &["A", "B"]);
        check(document, "c\n", &["A", "B", "C"]);
        check(document, "d\n", &["A", "D"]);
        check(document, "e\n", &["E"]);
    }

    #[test]
    fn a_chunk_that_begins_with_a_heading_stands_under_it() {
        check("# A\n## B\nb", "## B", &["A", "B"]);
    }

    #[test]
    fn underlined_headings_count() {
        check("A long\ntitle\n=====\n\nB\n---\nb", "b", &["A long title", "B"]);
        check("# A\n\n---\nb", "b", &["A"]);
        check("# A\n- item\n---\nb", "b", &["A"]);
    }

    #[test]
    fn fenced_code_has_no_headings() {
        check("# A\n```sh\n# comment\n~~~\n```\nb", "b", &["A"]);
        check("# A\n~~~\n# comment\n```\n", "```", &["A"]);
    }

    #[test]
    fn what_only_looks_like_a_heading_is_none() {
        check("# A\n#hashtag\n    # code\n####### seven\nend", "end", &["A"]);
        check("---\ntitle: x\n---\n# A\nb", "b", &["A"]);
        check("# C#\nb", "b", &["C#"]);
    }

    #[test]
    fn a_path_has_the_head_of_a_heading_as_long_as_a_document() {
        let long = "é".repeat(50_000);
        for document in [format!("# {long}\n\nb"), format!("{long}\n{long}\n===\n\nb")] {
            check(&document, "b", &["é".repeat(MAX_HEADING_BYTES / 2).as_str()]);
        }
    }
}
