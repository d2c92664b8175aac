//! Where a document can be cut along its structure: at line breaks, or at the elements of Markdown.
//!
//! The rules are those of the crate `text-splitter`: a chunk ends at the highest level whose first section fits, after as
//! many sections of that level as fit.

use memchr::memchr2;
use pulldown_cmark::{Event, Options, Parser, Tag};

use crate::protocol::Splitter;

/// How strongly a place separates what is before and after it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum SplitLevel {
    /// So many line breaks in a row, in plain text.
    LineBreaks(usize),
    /// A line break inside a paragraph of Markdown.
    SoftBreak,
    /// Text, code, a link.
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
    /// Ascending by start; of those with the same start the longest is first.
    marks: Vec<Mark>,
    /// How many of `marks` are no longer needed.
    passed: usize,
    /// All marks that begin before this offset are known.
    read: usize,
}

impl<'a> Structure<'a> {
    /// Nothing has been read yet.
    pub fn new(document: &'a str, splitter: Splitter) -> Self {
        Self { document, splitter, marks: Vec::new(), passed: 0, read: 0 }
    }

    /// Appends where the sections of the best level that begin at `from` end, up to `limit`. None if the first section of
    /// each level is longer.
    pub fn boundaries(&mut self, from: usize, limit: usize, boundaries: &mut Vec<usize>) {
        while self.read <= limit && self.read < self.document.len() {
            match self.splitter {
                Splitter::Text => self.read_lines(),
                Splitter::Markdown => self.read_markdown(),
            }
        }
        let marks = &self.marks[self.passed..];
        let first = marks.partition_point(|mark| mark.start < from);
        let after = marks.partition_point(|mark| mark.start <= limit);
        let sections = Sections { document: self.document, marks: &marks[first..after], from };
        if let Some(level) = sections.best_level(limit) {
            boundaries.extend(sections.ends(level).take_while(|end| *end <= limit));
        }
    }

    /// Forgets what begins before `offset`, of which no one asks again.
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

    /// Reads a block as if the document ended with it, and the next one from the last element that is not inside another
    /// and may therefore be incomplete. An element longer than a block goes on as if it began anew.
    fn read_markdown(&mut self) {
        let begin = self.read;
        let block = markdown_block(&self.document[begin..]);
        let is_last = begin + block.len() == self.document.len();
        let mut options = Options::all();
        if begin > 0 {
            // Metadata are at the beginning of a document only.
            options.remove(Options::ENABLE_YAML_STYLE_METADATA_BLOCKS);
            options.remove(Options::ENABLE_PLUSES_DELIMITED_METADATA_BLOCKS);
        }
        let (mut depth, mut last) = (0_usize, 0);
        let known = self.marks.len();
        for (event, range) in Parser::new_ext(block, options).into_offset_iter() {
            if depth == 0 {
                last = range.start;
            }
            match event {
                Event::Start(_) => depth += 1,
                Event::End(_) => depth = depth.saturating_sub(1),
                _ => {}
            }
            if let Some(level) = markdown_level(&event) {
                self.marks.push(Mark { level, start: begin + range.start, end: begin + range.end });
            }
        }
        self.read = begin + if last > 0 && !is_last { last } else { block.len() };
        if !is_last {
            let read = self.read;
            self.marks.retain(|mark| mark.start < read);
        }
        self.marks[known..].sort_by(|a, b| a.start.cmp(&b.start).then(b.end.cmp(&a.end)));
    }
}

const TEXT_BLOCK_BYTES: usize = 64 << 10;

/// Bytes of Markdown that are parsed together: more than nearly all documents have, and few enough for a parser that needs
/// tens of bytes of memory for each byte of a table.
const MARKDOWN_BLOCK_BYTES: usize = 1 << 20;

fn markdown_block(rest: &str) -> &str {
    if rest.len() <= MARKDOWN_BLOCK_BYTES {
        return rest;
    }
    let block = &rest[..rest.floor_char_boundary(MARKDOWN_BLOCK_BYTES)];
    let end = block.rfind('\n').or_else(|| block.rfind(char::is_whitespace));
    // The character is of the block, and is one byte long or followed by another character.
    end.and_then(|end| block.get(..=end)).unwrap_or(block)
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

/// The sections of a document from an offset on.
#[derive(Clone, Copy)]
struct Sections<'a> {
    document: &'a str,
    /// Those that begin at `from` or after it.
    marks: &'a [Mark],
    from: usize,
}

impl<'a> Sections<'a> {
    /// The highest level whose first section, and that of each level below, ends at `limit` or before it.
    fn best_level(self, limit: usize) -> Option<SplitLevel> {
        let mut levels: Vec<SplitLevel> = self.marks.iter().map(|mark| mark.level).collect();
        levels.sort_unstable();
        levels.dedup();
        let mut first_ends: Vec<(SplitLevel, usize)> = Vec::with_capacity(levels.len());
        for level in levels {
            let end = self.ends(level).next().unwrap_or(usize::MAX);
            // A level that has longer sections than the next higher one is none to cut at.
            first_ends.pop_if(|(_, lower)| *lower >= end);
            first_ends.push((level, end));
        }
        first_ends.into_iter().take_while(|(_, end)| *end <= limit).last().map(|(level, _)| level)
    }

    /// Where the sections of a level end, those of higher levels included, in ascending order.
    fn ends(self, level: SplitLevel) -> impl Iterator<Item = usize> + 'a {
        let Self { document, marks, from } = self;
        let first = self.first_of(level);
        // An element that encloses the first one of the level would be a section with all that is in it.
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

    /// The first mark of a level; where it is the first of all, the shortest of those that begin with it.
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
