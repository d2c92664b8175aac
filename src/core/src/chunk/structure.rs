//! Finds where a document can be split along its structure: at line breaks, or at the elements of Markdown.
//!
//! The rules are those of the crate `text-splitter`: a chunk ends at the highest level whose first section fits, after as
//! many sections of that level as fit.

use std::borrow::Cow;

use memchr::memchr2;
use pulldown_cmark::{CodeBlockKind, Event, Options, Parser, Tag};

use super::headings::Outline;
use crate::protocol::Splitter;

/// How strongly a place separates what is before and after it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum SplitLevel {
    /// This number of consecutive line breaks, in plain text.
    LineBreaks(usize),
    /// A line break inside a paragraph of Markdown.
    SoftBreak,
    /// Text, code or a link within a paragraph.
    Inline,
    /// A paragraph, an item of a list, a row of a table, a code block.
    Block,
    Rule,
    /// 6 for a heading of level 1, 1 for one of level 6.
    Heading(u8),
}

/// A separator or an element of a document.
#[derive(Debug, Clone, Copy)]
struct Mark {
    level: SplitLevel,
    start: usize,
    end: usize,
}

/// The structure of one document, as far as it has been read.
pub struct Structure<'a> {
    document: &'a str,
    splitter: Splitter,
    /// Sorted by start; of marks with the same start the longest is first.
    marks: Vec<Mark>,
    /// Number of leading `marks` that are no longer needed.
    passed: usize,
    /// All marks that begin before this offset are known.
    read: usize,
    outline: Outline,
    /// The lines that open the element which began before `read` and goes on there, if it is one that needs them.
    opening: &'a str,
}

impl<'a> Structure<'a> {
    /// Begins with nothing read.
    pub fn new(document: &'a str, splitter: Splitter) -> Self {
        let read = beginning(document);
        Self {
            document,
            splitter,
            marks: Vec::new(),
            passed: 0,
            read,
            outline: Outline::default(),
            opening: "",
        }
    }

    /// Reads the next block. False once there is none.
    pub fn read_more(&mut self) -> bool {
        if self.read >= self.document.len() {
            return false;
        }
        match self.splitter {
            Splitter::Text => self.read_lines(),
            Splitter::Markdown => self.read_markdown(),
        }
        true
    }

    /// The headings of what has been read; none of plain text.
    pub fn into_outline(self) -> Outline {
        self.outline
    }

    /// Appends the ends of the sections that begin at `from`, at the best level, up to `limit`. Appends nothing if the
    /// first section of each level is longer.
    pub fn boundaries(&mut self, from: usize, limit: usize, boundaries: &mut Vec<usize>) {
        while self.read <= limit && self.read_more() {}
        let marks = &self.marks[self.passed..];
        let first = marks.partition_point(|mark| mark.start < from);
        let after = marks.partition_point(|mark| mark.start <= limit);
        let sections = Sections { document: self.document, marks: &marks[first..after], from };
        if let Some(level) = sections.best_level(limit) {
            boundaries.extend(sections.ends(level).take_while(|end| *end <= limit));
        }
    }

    /// Forgets marks that begin before `offset`; the caller does not need them again.
    pub fn forget(&mut self, offset: usize) {
        self.passed += self.marks[self.passed..].partition_point(|mark| mark.start < offset);
        if self.passed > self.marks.len() / 2 {
            self.marks.drain(..self.passed);
            self.passed = 0;
        }
    }

    fn read_lines(&mut self) {
        let bytes = self.document.as_bytes();
        let stop = (self.read + TEXT_BLOCK_BYTES).min(bytes.len());
        while let Some(found) = memchr2(b'\n', b'\r', &bytes[self.read..stop]) {
            let start = self.read + found;
            let mut end = start;
            let mut breaks = 0;
            while let Some(byte @ (b'\n' | b'\r')) = bytes.get(end) {
                end += 1;
                breaks += usize::from(!(*byte == b'\r' && bytes.get(end) == Some(&b'\n')));
            }
            self.marks.push(Mark { level: SplitLevel::LineBreaks(breaks), start, end });
            self.read = end;
            if end >= stop {
                return;
            }
        }
        self.read = stop;
    }

    /// Reads a block as if the document ended with it. The next block begins at the last top-level element, which may be
    /// incomplete in this one. An element longer than a block is continued as if it began anew.
    fn read_markdown(&mut self) {
        let begin = self.read;
        let (block, options) = markdown_block(self.document, begin);
        let is_last = begin + block.len() == self.document.len();
        let opening = std::mem::take(&mut self.opening);
        let text =
            if opening.is_empty() { Cow::Borrowed(block) } else { Cow::Owned(format!("{opening}{block}")) };
        let place = |offset: usize| begin + offset.saturating_sub(opening.len());
        let (mut depth, mut last, mut lines) = (0_usize, begin, 0);
        let known = self.marks.len();
        for (event, range) in Parser::new_ext(&text, options).into_offset_iter() {
            let at = place(range.start)..place(range.end);
            if depth == 0 {
                last = at.start;
                lines = opening_lines(&event);
            }
            self.outline.read(self.document, &event, at.clone(), depth == 0);
            match event {
                Event::Start(_) => depth += 1,
                Event::End(_) => depth = depth.saturating_sub(1),
                _ => {}
            }
            if let Some(level) = markdown_level(&event).filter(|_| range.end > opening.len()) {
                self.marks.push(Mark { level, start: at.start, end: at.end });
            }
        }
        self.read = if last > begin && !is_last { last } else { begin + block.len() };
        if !is_last {
            let read = self.read;
            self.marks.retain(|mark| mark.start < read);
            self.outline.forget_from(read);
            if last == begin {
                self.opening = if opening.is_empty() { first_lines(block, lines) } else { opening };
            }
        }
        self.marks[known..].sort_by(|a, b| a.start.cmp(&b.start).then(b.end.cmp(&a.end)));
    }
}

/// Where the text of a document begins: after a byte order mark.
pub fn beginning(document: &str) -> usize {
    document.len() - document.trim_start_matches('\u{feff}').len()
}

const TEXT_BLOCK_BYTES: usize = 64 << 10;

/// Bytes of Markdown that are parsed together: longer than nearly all documents, and short enough for a parser that needs
/// tens of bytes of memory for each byte of a table.
const MARKDOWN_BLOCK_BYTES: usize = 1 << 20;

/// The longest lines that are read again with each block of the element that they open.
const MAX_OPENING_BYTES: usize = 4 << 10;

/// Everything but smart punctuation, for which each apostrophe would be a place to cut at and other text in headings.
const MARKDOWN: Options = Options::all().difference(Options::ENABLE_SMART_PUNCTUATION);

const METADATA: Options =
    Options::ENABLE_YAML_STYLE_METADATA_BLOCKS.union(Options::ENABLE_PLUSES_DELIMITED_METADATA_BLOCKS);

/// The block from `begin` on, and how it is read. Metadata, which the parser would take anywhere, are a block of their own at the
/// beginning of the document.
fn markdown_block(document: &str, begin: usize) -> (&str, Options) {
    let rest = &document[begin..];
    let block = head(rest);
    if begin == beginning(document) && (block.starts_with("---") || block.starts_with("+++")) {
        let first = Parser::new_ext(block, METADATA).into_offset_iter().next();
        if let Some((Event::Start(Tag::MetadataBlock(_)), range)) = first {
            return (&block[..range.end], MARKDOWN);
        }
    }
    (block, MARKDOWN.difference(METADATA))
}

/// As much as is parsed together, up to the end of a line if there is one.
fn head(rest: &str) -> &str {
    if rest.len() <= MARKDOWN_BLOCK_BYTES {
        return rest;
    }
    let block = &rest[..rest.floor_char_boundary(MARKDOWN_BLOCK_BYTES)];
    let end = block.rfind('\n').or_else(|| block.rfind(char::is_whitespace));
    // The character is in the block, and is one byte long or followed by another character.
    end.and_then(|end| block.get(..=end)).unwrap_or(block)
}

/// How many lines of an element tell the parser what the following ones are.
fn opening_lines(event: &Event<'_>) -> usize {
    match event {
        Event::Start(Tag::CodeBlock(CodeBlockKind::Fenced(_)) | Tag::HtmlBlock) => 1,
        Event::Start(Tag::Table(_)) => 2,
        _ => 0,
    }
}

/// The first lines of a block; nothing if they are too long.
fn first_lines(block: &str, lines: usize) -> &str {
    let length = block.split_inclusive('\n').take(lines).map(str::len).sum();
    if length <= MAX_OPENING_BYTES { &block[..length] } else { "" }
}

fn markdown_level(event: &Event<'_>) -> Option<SplitLevel> {
    match event {
        Event::Start(Tag::Heading { level, .. }) => Some(SplitLevel::Heading(7 - *level as u8)),
        Event::Start(
            Tag::Emphasis
            | Tag::Strong
            | Tag::Strikethrough
            | Tag::Link { .. }
            | Tag::Image { .. }
            | Tag::Subscript
            | Tag::Superscript
            | Tag::TableCell,
        )
        | Event::Text(_)
        | Event::HardBreak
        | Event::Code(_)
        | Event::InlineHtml(_)
        | Event::InlineMath(_)
        | Event::FootnoteReference(_)
        | Event::TaskListMarker(_) => Some(SplitLevel::Inline),
        Event::SoftBreak => Some(SplitLevel::SoftBreak),
        Event::Start(_) | Event::Html(_) | Event::DisplayMath(_) => Some(SplitLevel::Block),
        Event::Rule => Some(SplitLevel::Rule),
        Event::End(_) => None,
    }
}

/// The sections of a document from an offset to its end.
#[derive(Clone, Copy)]
struct Sections<'a> {
    document: &'a str,
    /// The marks that begin at `from` or later.
    marks: &'a [Mark],
    from: usize,
}

impl<'a> Sections<'a> {
    /// The highest level whose first section ends at or before `limit`, as does the first section of each level below.
    fn best_level(self, limit: usize) -> Option<SplitLevel> {
        let mut levels: Vec<SplitLevel> = self.marks.iter().map(|mark| mark.level).collect();
        levels.sort_unstable();
        levels.dedup();
        let mut first_ends: Vec<(SplitLevel, usize)> = Vec::with_capacity(levels.len());
        for level in levels {
            let end = self.ends(level).next().unwrap_or(usize::MAX);
            // A level whose first section is longer than that of the next higher level is not used.
            first_ends.pop_if(|(_, lower)| *lower >= end);
            first_ends.push((level, end));
        }
        first_ends.into_iter().take_while(|(_, end)| *end <= limit).last().map(|(level, _)| level)
    }

    /// The ends of the sections of a level, including those of higher levels, in ascending order.
    fn ends(self, level: SplitLevel) -> impl Iterator<Item = usize> + 'a {
        let Self { document, marks, from } = self;
        let first = self.first_of(level);
        // An element that encloses the first mark of the level would be a section with everything in it.
        let encloses_first = move |mark: &Mark| {
            first.is_some_and(|first| {
                (mark.level > level && mark.start <= first.start && first.start < mark.end)
                    || (mark.level == level && mark.start == first.start && mark.end > first.end)
            })
        };
        let mut at = from;
        let higher =
            marks.iter().filter(move |mark| mark.level >= level).skip_while(move |m| encloses_first(m));
        let ends = higher.flat_map(move |mark| {
            if mark.start < at {
                return [None, None];
            }
            let before = (mark.start > at).then_some(mark.start);
            match mark.level {
                SplitLevel::Heading(_) => {
                    at = mark.start;
                    [before, None]
                }
                SplitLevel::Block if document[at..mark.start].trim().is_empty() => {
                    at = mark.end;
                    [None, Some(mark.end)]
                }
                _ => {
                    at = mark.end;
                    [before, Some(mark.end)]
                }
            }
        });
        ends.flatten()
    }

    /// The first mark of a level. If it is the first mark of all, the shortest mark of the level with the same start.
    fn first_of(self, level: SplitLevel) -> Option<Mark> {
        let position = self.marks.iter().position(|mark| mark.level == level)?;
        let first = self.marks[position];
        if position > 0 {
            return Some(first);
        }
        let same = self.marks.iter().take_while(|mark| mark.level == level && mark.start == first.start);
        same.last().copied()
    }
}
