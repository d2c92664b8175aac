//! The headings of a Markdown document, as the parser reads them that also finds where the document can be cut.

use std::ops::Range;

use pulldown_cmark::{Event, Tag, TagEnd};

/// The headings of a document, in its order.
#[derive(Debug, Default)]
pub struct Outline {
    headings: Vec<Heading>,
    /// The heading whose text is being read.
    open: Option<Heading>,
}

#[derive(Debug)]
struct Heading {
    /// Where its line begins.
    offset: usize,
    level: usize,
    text: String,
    /// The heading above it.
    parent: Option<usize>,
}

/// Maximum bytes of a heading in its path: each chunk below it contains it, and a whole document may be one heading.
const MAX_HEADING_BYTES: usize = 1000;

impl Outline {
    /// Takes the next event, which is that of a range of the document. A heading inside a list, a quote or a footnote is over what
    /// follows there, and not over what follows it in the document.
    pub fn read(&mut self, document: &str, event: &Event<'_>, range: Range<usize>, is_outermost: bool) {
        if let Event::Start(Tag::Heading { level, .. }) = event {
            if is_outermost {
                let offset = document[..range.start].trim_end_matches(' ').len();
                self.open =
                    Some(Heading { offset, level: *level as usize, text: String::new(), parent: None });
            }
            return;
        }
        let Some(heading) = &mut self.open else { return };
        let text = match event {
            Event::End(TagEnd::Heading(_)) => {
                self.close();
                return;
            }
            Event::Text(text) | Event::Code(text) => text,
            Event::InlineMath(_) | Event::DisplayMath(_) => &document[range],
            Event::SoftBreak | Event::HardBreak => " ",
            _ => return,
        };
        if heading.text.len() < MAX_HEADING_BYTES {
            heading.text.push_str(head(text));
        }
    }

    fn close(&mut self) {
        let Some(mut heading) = self.open.take() else { return };
        heading.text.truncate(head(&heading.text).len());
        heading.text = heading.text.trim().to_owned();
        heading.parent = self.headings.len().checked_sub(1);
        while let Some(above) = heading.parent.and_then(|number| self.headings.get(number))
            && above.level >= heading.level
        {
            heading.parent = above.parent;
        }
        self.headings.push(heading);
    }

    /// Forgets the headings from `offset` on, which will be read again.
    pub fn forget_from(&mut self, offset: usize) {
        self.headings.truncate(self.headings.partition_point(|heading| heading.offset < offset));
    }

    /// The headings above `offset`, and the one that begins there, outermost first. Those without text are left out.
    pub fn path_at(&self, offset: usize) -> Vec<String> {
        let above = self.headings.partition_point(|heading| heading.offset <= offset);
        let mut path = Vec::new();
        let mut next = above.checked_sub(1);
        while let Some(heading) = next.and_then(|number| self.headings.get(number)) {
            path.extend(Some(heading.text.clone()).filter(|text| !text.is_empty()));
            next = heading.parent;
        }
        path.reverse();
        path
    }
}

/// As much of a text as a heading may have.
fn head(text: &str) -> &str {
    &text[..text.floor_char_boundary(MAX_HEADING_BYTES)]
}

#[cfg(test)]
mod tests {
    use super::{super::structure::Structure, *};
    use crate::protocol::Splitter;

    fn check(document: &str, at: &str, expected: &[&str]) {
        let offset = document.find(at).unwrap();
        let mut structure = Structure::new(document, Splitter::Markdown);
        while structure.read_more() {}
        let shown = &document[..document.floor_char_boundary(200)];
        assert_eq!(structure.into_outline().path_at(offset), expected, "{shown:?} at {at:?}");
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
        check("# A\n\n  ## B\nb", "  ## B", &["A", "B"]);
    }

    #[test]
    fn underlined_headings_count() {
        check("A long\ntitle\n=====\n\nB\n---\nb", "b", &["A long title", "B"]);
        check("# A\n\n---\nb", "b", &["A"]);
        check("# A\n- item\n---\nb", "b", &["A"]);
    }

    #[test]
    fn code_has_no_headings() {
        check("# A\n```sh\n# comment\n~~~\n```\nb", "b", &["A"]);
        check("# A\n~~~\n# comment\n```\n", "```", &["A"]);
        check("# G\n\n- ```sh\n  # install\n  ```\n\n## Next\nb", "b", &["G", "Next"]);
    }

    #[test]
    fn what_only_looks_like_a_heading_is_none() {
        check("# A\n#hashtag\n    # code\n####### seven\nend", "end", &["A"]);
        check("# C#\nb", "b", &["C#"]);
        check("# A\n\n1. x\n2. y\n---\nb", "b", &["A"]);
        check("# A\n\n<!--\n# Draft\n-->\n\nb", "b", &["A"]);
        check("# A\n\n<pre>\n# c\n</pre>\nb", "b", &["A"]);
        check("# A\n\n<details>\n\n</details>\n---\n\nb", "b", &["A"]);
        check("# A\n\n> # Q\n\nb", "b", &["A"]);
    }

    #[test]
    fn what_stands_before_a_document_hides_no_heading() {
        check("---\ntitle: x\n---\n# A\nb", "b", &["A"]);
        check("\u{feff}# A\nb", "b", &["A"]);
        check("\u{feff}---\ntitle: x\n---\n# A\nb", "b", &["A"]);
        check("+++\n# a comment\ntitle = 'x'\n+++\n# A\nb", "b", &["A"]);
        check("---\n\n# A\nb\n\n---\n", "b", &["A"]);
        check("---\nk: v\n---\n\nc\n\n---\n# A\nb\n\n---\n", "b", &["A"]);
    }

    #[test]
    fn a_heading_is_shown_as_text() {
        check("# *The* `rag.chunk` [call](x) &amp; \\*\nb", "b", &["The rag.chunk call & *"]);
        check("# Don't \"quote\" -- or... <a name=\"x\"></a>\nb", "b", &["Don't \"quote\" -- or..."]);
        check("# From $5 to $7 {#price}\nb", "b", &["From $5 to $7"]);
        check("# A\n## ![](logo.png)\nb", "b", &["A"]);
    }

    #[test]
    fn a_path_has_the_head_of_a_heading_as_long_as_a_document() {
        let long = "é".repeat(50_000);
        for document in [format!("# {long}\n\nb"), format!("{long}\n{long}\n===\n\nb")] {
            check(&document, "b", &["é".repeat(MAX_HEADING_BYTES / 2).as_str()]);
        }
    }

    #[test]
    fn what_is_longer_than_the_parser_reads_at_once_has_no_headings_inside() {
        for (begin, line, end) in [
            ("```sh", "# comment", "```"),
            ("~~~~", "```\n# comment", "~~~~"),
            ("<!-- a comment", "# Draft", "-->"),
            ("| x | y |\n|---|---|", "| 1 | # 2 |", "| 3 | 4 |\n---"),
        ] {
            let inside = format!("{line}\n").repeat((5 << 19) / line.len());
            check(&format!("# A\n\n{begin}\n{inside}{end}\n\nb"), "\nb", &["A"]);
            check(&format!("# A\n\n{begin}\n{inside}{end}\n\n# B\nb"), "\nb", &["B"]);
        }
    }
}
