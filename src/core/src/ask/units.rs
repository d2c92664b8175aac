//! The parts of a passage that can be quoted on their own: sentences, and whole code blocks, lists and tables, each with
//! the sentence that introduces it.
//!
//! Sentences end as Unicode Standard Annex 29 defines, except after abbreviations and within code.

use pulldown_cmark::{Event, Options, Parser, Tag};
use std::ops::Range;
use unicode_segmentation::UnicodeSegmentation;

/// Maximum length of a unit in bytes: about a screenful. Longer units are divided.
pub const MAX_UNIT_BYTES: usize = 700;

/// A unit with fewer words is a caption, or the rest of a sentence that was cut.
const MIN_UNIT_WORDS: usize = 3;

/// Abbreviations whose period does not end a sentence.
const ABBREVIATIONS: &[&str] = &[
    "al", "approx", "cf", "dr", "e.g", "ed", "eds", "eq", "fig", "figs", "i.e", "inc", "jr", "ltd", "mr",
    "mrs", "ms", "no", "nos", "p", "pp", "prof", "ref", "refs", "resp", "sec", "sr", "st", "viz", "vol",
    "vs",
];

/// A part of a passage, word for word.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Unit<'a> {
    /// The text, without surrounding white space.
    pub text: &'a str,
    /// Offset of the unit in the passage, bytes.
    pub start: usize,
    /// True if the unit contains a block, which stands in lines of its own.
    pub is_block: bool,
}

impl Unit<'_> {
    /// Offset of the unit's end in the passage, bytes.
    pub fn end(&self) -> usize {
        self.start + self.text.len()
    }
}

/// The units of a passage, in its order. Headings are not units.
pub fn units(passage: &str) -> Vec<Unit<'_>> {
    let mut found = Vec::new();
    for (kind, range) in blocks(passage) {
        match kind {
            BlockKind::Heading => {}
            BlockKind::Text => sentences(passage, range, &mut found),
            BlockKind::Whole | BlockKind::Parts(_) => add_block(passage, kind, range, &mut found),
        }
    }
    // A sentence that only introduces what follows is useless without it.
    found.retain(|unit| {
        unit.is_block || (!unit.text.ends_with(':') && unit.text.unicode_words().count() >= MIN_UNIT_WORDS)
    });
    found
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum BlockKind {
    Heading,
    Text,
    /// Code.
    Whole,
    /// A list or table, with its items or rows.
    Parts(Vec<Range<usize>>),
}

/// The outermost blocks of Markdown; in plain text, the paragraphs.
fn blocks(passage: &str) -> Vec<(BlockKind, Range<usize>)> {
    let mut blocks: Vec<(BlockKind, Range<usize>)> = Vec::new();
    let mut depth = 0_usize;
    for (event, range) in Parser::new_ext(passage, Options::ENABLE_TABLES).into_offset_iter() {
        match event {
            Event::Start(tag) => {
                depth += 1;
                if depth == 1 {
                    blocks.push((kind(&tag), range));
                } else if let (
                    2,
                    Tag::Item | Tag::TableHead | Tag::TableRow,
                    Some((BlockKind::Parts(parts), _)),
                ) = (depth, &tag, blocks.last_mut())
                {
                    parts.push(range);
                }
            }
            Event::End(_) => depth = depth.saturating_sub(1),
            _ => {}
        }
    }
    blocks
}

fn kind(tag: &Tag) -> BlockKind {
    match tag {
        Tag::Heading { .. } => BlockKind::Heading,
        Tag::CodeBlock(_) => BlockKind::Whole,
        Tag::List(_) | Tag::Table(_) => BlockKind::Parts(Vec::new()),
        _ => BlockKind::Text,
    }
}

/// Adds a code block, list or table: together with the sentence that introduces it if both fit into a unit; otherwise
/// alone, and in parts if it is too long.
fn add_block<'a>(passage: &'a str, kind: BlockKind, range: Range<usize>, found: &mut Vec<Unit<'a>>) {
    let range = with_indent(passage, range);
    let Some(block) = trimmed(passage, range, true) else { return };
    if let Some(intro) = found.last().filter(|intro| introduces(passage, intro, &block)).copied()
        && block.end() - intro.start <= MAX_UNIT_BYTES
    {
        found.pop();
        let text = &passage[intro.start..block.end()];
        found.push(Unit { text, start: intro.start, is_block: true });
        return;
    }
    match kind {
        BlockKind::Parts(parts) if block.text.len() > MAX_UNIT_BYTES || parts.len() == 1 => {
            for part in parts {
                add_part(passage, part, found);
            }
        }
        _ if block.text.len() > MAX_UNIT_BYTES => found.extend(lines(passage, &block)),
        _ => found.push(block),
    }
}

/// The block with the white space before it in its line.
fn with_indent(passage: &str, range: Range<usize>) -> Range<usize> {
    let before = &passage[..range.start];
    before.trim_end_matches([' ', '\t']).len()..range.end
}

fn introduces(passage: &str, intro: &Unit, block: &Unit) -> bool {
    let between = passage.get(intro.end()..block.start);
    intro.text.ends_with(':') && between.is_some_and(|between| between.trim().is_empty())
}

/// Adds an item or row as a unit, or its sentences if it is too long.
fn add_part<'a>(passage: &'a str, range: Range<usize>, found: &mut Vec<Unit<'a>>) {
    match trimmed(passage, range.clone(), false) {
        Some(part) if part.text.len() <= MAX_UNIT_BYTES => {
            found.push(Unit { is_block: part.text.contains('\n'), ..part })
        }
        Some(_) => sentences(passage, range, found),
        None => {}
    }
}

/// The first lines of a block that is too long, as many as fit into a unit.
fn lines<'a>(passage: &'a str, block: &Unit<'a>) -> Option<Unit<'a>> {
    let room = passage.floor_char_boundary(block.start + MAX_UNIT_BYTES);
    let last = passage[block.start..room].rfind('\n').map(|newline| block.start + newline)?;
    trimmed(passage, block.start..last, true)
}

/// Adds the sentences of a paragraph.
fn sentences<'a>(passage: &'a str, range: Range<usize>, found: &mut Vec<Unit<'a>>) {
    // By the standard a newline ends a sentence, but not within a paragraph. The copy has the same length in bytes.
    let line = passage[range.clone()].replace(['\n', '\r', '\t'], " ");
    let mut start = 0;
    for (offset, piece) in line.split_sentence_bound_indices() {
        let end = offset + piece.len();
        if end == line.len() || ends(&line[start..end]) {
            divide(passage, range.start + start..range.start + end, found);
            start = end;
        }
    }
}

/// True if a sentence ends here, where the standard allows an end.
fn ends(sentence: &str) -> bool {
    let text = sentence.trim_end();
    let has_space = text.len() < sentence.len();
    let Some(last) = text.chars().last() else { return false };
    // An open code span continues.
    if text.matches('`').count() % 2 == 1 {
        return false;
    }
    // Scripts without spaces have their own terminators; "a.b" is a name.
    if !has_space && last.is_ascii() {
        return false;
    }
    last != '.' || !is_abbreviation(text)
}

fn is_abbreviation(text: &str) -> bool {
    let word =
        text.rsplit(|c: char| c.is_whitespace() || ['(', '[', '"'].contains(&c)).next().unwrap_or_default();
    let word = word.trim_end_matches('.');
    let is_initial = word.chars().count() == 1 && word.chars().all(char::is_uppercase);
    is_initial || ABBREVIATIONS.contains(&word.to_lowercase().as_str())
}

/// Adds a sentence, or pieces of it, cut between words, if it is too long.
fn divide<'a>(passage: &'a str, range: Range<usize>, found: &mut Vec<Unit<'a>>) {
    let Some(mut rest) = trimmed(passage, range, false) else { return };
    while rest.text.len() > MAX_UNIT_BYTES {
        let room = rest.text.floor_char_boundary(MAX_UNIT_BYTES);
        let cut = rest.text[..room].rfind(char::is_whitespace).unwrap_or(room);
        let end = rest.end();
        found.extend(trimmed(passage, rest.start..rest.start + cut, false));
        let Some(next) = trimmed(passage, rest.start + cut..end, false) else { return };
        rest = next;
    }
    found.push(rest);
}

fn trimmed(passage: &str, range: Range<usize>, is_block: bool) -> Option<Unit<'_>> {
    let text = passage.get(range.clone())?;
    // The indentation of a block's first line belongs to the block.
    let front = if is_block { text.trim_start_matches(['\n', '\r']) } else { text.trim_start() };
    let start = range.start + text.len() - front.len();
    let text = front.trim_end();
    (!text.is_empty()).then_some(Unit { text, start, is_block })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(passage: &str, expected: &[&str]) {
        let units = units(passage);
        for unit in &units {
            assert_eq!(&passage[unit.start..unit.end()], unit.text);
        }
        let texts: Vec<_> = units.iter().map(|unit| unit.text).collect();
        assert_eq!(texts, expected, "{passage:?}");
    }

    #[test]
    fn sentences_end_where_they_end() {
        check(
            "One is here. Two is there! Is this three?  Yes, it is.",
            &["One is here.", "Two is there!", "Is this three?", "Yes, it is."],
        );
        check(
            "A sentence over\ntwo lines. Another one here.",
            &["A sentence over\ntwo lines.", "Another one here."],
        );
        check("これは文です。次の文もここにあります。", &["これは文です。", "次の文もここにあります。"]);
    }

    #[test]
    fn abbreviations_numbers_and_names_end_no_sentence() {
        check(
            "Use a tool, e.g. Barman does it. See J. Smith for more.",
            &["Use a tool, e.g. Barman does it.", "See J. Smith for more."],
        );
        check(
            "Version 15.2 has pg_catalog.pg_class. It is new here.",
            &["Version 15.2 has pg_catalog.pg_class.", "It is new here."],
        );
        check(
            "Run `SELECT 1. FROM X. Y` at once. Then stop it.",
            &["Run `SELECT 1. FROM X. Y` at once.", "Then stop it."],
        );
    }

    #[test]
    fn headings_and_fragments_are_no_units() {
        check("## A heading that is long\n\nThe text is here.\n\nSee also", &["The text is here."]);
    }

    #[test]
    fn code_belongs_to_the_sentence_that_introduces_it() {
        check(
            "First of all. To do it, run this:\n\n```sh\npg_dump db\n```\n\nThat is it all.",
            &["First of all.", "To do it, run this:\n\n```sh\npg_dump db\n```", "That is it all."],
        );
        check(
            "Nothing introduces this.\n\n    code here\n    more",
            &["Nothing introduces this.", "    code here\n    more"],
        );
    }

    #[test]
    fn short_lists_are_whole_and_long_ones_in_items() {
        check(
            "Do these things:\n\n1. Stop it.\n2. Start it.",
            &["Do these things:\n\n1. Stop it.\n2. Start it."],
        );
        let item = format!("- {}", "word ".repeat(60).trim());
        check(&format!("{item}\n{item}\n{item}"), &[&item, &item, &item]);
        check(&format!("All of these are:\n\n{item}\n{item}\n{item}"), &[&item, &item, &item]);
    }

    #[test]
    fn what_is_too_long_is_divided() {
        let long = "word ".repeat(400);
        let units = units(&long);
        assert_eq!(units.len(), 3);
        assert!(units.iter().all(|unit| unit.text.len() <= MAX_UNIT_BYTES && !unit.text.ends_with("wor")));
        let code = format!("```\n{}```", "a line of code\n".repeat(100));
        let units = super::units(&code);
        assert!(units.len() == 1 && units[0].text.len() <= MAX_UNIT_BYTES && units[0].text.ends_with("code"));
    }

    #[test]
    fn any_text_gives_units_of_its_own() {
        for text in [
            "",
            "\n\n",
            "`",
            "- ",
            "> a quote of it\n> goes on. And ends.",
            "| a | b |\n|---|---|\n| c d | e f |",
            "é".repeat(2000).as_str(),
        ] {
            for unit in units(text) {
                assert_eq!(&text[unit.start..unit.end()], unit.text);
            }
        }
    }
}
