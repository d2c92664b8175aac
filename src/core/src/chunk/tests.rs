use std::{cell::Cell, convert::Infallible};

use super::*;

/// One token per word, as in a tokenizer without subwords; longer words have one token per six letters.
#[derive(Default)]
struct Words {
    counted_bytes: Cell<usize>,
}

impl Tokenize for Words {
    type Error = Infallible;

    fn starts(&self, text: &str, starts: &mut Vec<usize>) -> Result<(), Infallible> {
        self.counted_bytes.set(self.counted_bytes.get() + text.len());
        let mut letters = 0;
        for (offset, character) in text.char_indices() {
            if !character.is_alphanumeric() {
                letters = 0;
                continue;
            }
            if letters % 6 == 0 {
                starts.push(offset);
            }
            letters += 1;
        }
        Ok(())
    }

    fn count(&self, text: &str) -> Result<usize, Infallible> {
        let mut starts = Vec::new();
        self.starts(text, &mut starts)?;
        Ok(starts.len())
    }
}

fn cut(document: &str, splitter: Splitter, size: u32, overlap: u32) -> Vec<Chunk> {
    let cutter = Cutter::new(&ChunkOptions { splitter, size, overlap }).unwrap();
    let chunks = cutter.cut(document, &Words::default()).unwrap();
    let mut offsets: Vec<usize> = document.char_indices().map(|(offset, _)| offset).collect();
    offsets.push(document.len());
    let mut end = usize::from(document.starts_with('\u{feff}'));
    for chunk in &chunks {
        let there = &document[offsets[chunk.start as usize]..offsets[chunk.end as usize]];
        assert_eq!(chunk.content, there, "offsets are characters of the document");
        assert!(chunk.tokens <= size, "{chunk:?}");
        assert!(!chunk.content.trim().is_empty());
        let left_out = offsets[end].min(offsets[chunk.start as usize])..offsets[chunk.start as usize];
        assert_eq!(document[left_out].trim(), "", "before {chunk:?}");
        assert!(chunk.end as usize > end, "it adds nothing: {chunk:?}");
        end = chunk.end as usize;
    }
    assert_eq!(document[offsets[end]..].trim(), "", "after the last chunk");
    chunks
}

fn contents(chunks: &[Chunk]) -> Vec<&str> {
    chunks.iter().map(|chunk| chunk.content.as_str()).collect()
}

#[test]
fn sentences_stay_whole_where_they_fit() {
    let chunks = cut("One two three. Four five. Six seven eight nine.", Splitter::Text, 5, 0);
    assert_eq!(contents(&chunks), ["One two three. Four five.", "Six seven eight nine."]);
}

#[test]
fn offsets_of_a_text_of_many_bytes_are_characters() {
    let chunks = cut("Größe ist länger. Ключ и замок. 漢字 仮名.", Splitter::Text, 3, 0);
    assert_eq!(chunks.len(), 3);
    assert_eq!((chunks[1].start, chunks[1].content.as_str()), (18, "Ключ и замок."));
}

#[test]
fn nothing_comes_of_nothing() {
    for splitter in [Splitter::Text, Splitter::Markdown] {
        assert!(cut("", splitter, 4, 0).is_empty());
        assert!(cut(" \n\t\n ", splitter, 4, 0).is_empty());
    }
}

#[test]
fn a_huge_word_is_cut_inside() {
    let word = "x".repeat(10_000);
    let chunks = cut(&word, Splitter::Text, 10, 0);
    assert_eq!(contents(&chunks).concat(), word);
}

#[test]
fn chunks_repeat_as_much_as_asked() {
    let text = (0..40).map(|n| format!("w{n}")).collect::<Vec<_>>().join(" ");
    let chunks = cut(&text, Splitter::Text, 10, 4);
    for pair in chunks.windows(2) {
        assert!(pair[1].start < pair[0].end, "{pair:?}");
    }
    assert_eq!(chunks.last().unwrap().end as usize, text.chars().count());
}

#[test]
fn markdown_chunks_know_their_headings() {
    let document =
        "# Guide\n\nintro words here\n\n## Install\n\n```\n# not a heading\n```\n\nafter the code\n";
    let chunks = cut(document, Splitter::Markdown, 5, 0);
    let after = chunks.iter().find(|chunk| chunk.content.contains("after")).unwrap();
    assert_eq!(after.headings, ["Guide", "Install"]);
    assert_eq!(chunks[0].headings, ["Guide"]);
    assert!(cut(document, Splitter::Text, 5, 0).iter().all(|chunk| chunk.headings.is_empty()));
}

#[test]
fn punctuation_is_no_structure_of_markdown() {
    let line = "You don't see that he said \"it isn't so\" -- but they can't tell... or they won't.";
    for size in [3, 5, 8] {
        assert_eq!(
            contents(&cut(line, Splitter::Markdown, size, 0)),
            contents(&cut(line, Splitter::Text, size, 0)),
            "{size}"
        );
    }
}

#[test]
fn a_byte_order_mark_is_left_out() {
    for splitter in Splitter::ALL {
        let chunks = cut("\u{feff}# Title\n\nText.", splitter, 20, 0);
        assert_eq!(contents(&chunks), ["# Title\n\nText."]);
        assert_eq!(chunks[0].start, 1);
    }
    assert!(cut("\u{feff}", Splitter::Text, 4, 0).is_empty());
}

#[test]
fn sizes_that_cannot_be_are_refused() {
    let error = |size, overlap| {
        Cutter::new(&ChunkOptions { splitter: Splitter::Text, size, overlap }).unwrap_err().to_string()
    };
    assert_eq!(error(0, 0), "chunk size: expected at least 1 token, actual 0");
    assert_eq!(error(8, 8), "chunk overlap: expected less than the chunk size of 8 tokens, actual 8");
}

#[test]
fn chunks_are_where_they_say_when_they_had_to_be_made_shorter() {
    let document = "acomon_word_is_onlylooe_up_where_a_r_0_0.0";
    for splitter in Splitter::ALL {
        cut(document, splitter, 4, 2);
    }
    let mut state = 1_u64;
    for _ in 0..300 {
        let mut document = String::new();
        for _ in 0..120 {
            state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            document.push_str(
                [
                    "abcdefgh", "ab", "é", "_", ".", " ", " ", "\n", "\n\n", "# ", "- ", "漢字", "*", "|",
                    "`", "    ",
                ][(state >> 33) as usize % 16],
            );
        }
        for splitter in Splitter::ALL {
            for (size, overlap) in [(1, 0), (2, 1), (16, 8), (16, 15), (5, 0)] {
                cut(&document, splitter, size, overlap);
            }
        }
    }
}

/// One token per run without white space, like a word that the model does not know.
struct Unknown;

impl Tokenize for Unknown {
    type Error = Infallible;

    fn starts(&self, text: &str, starts: &mut Vec<usize>) -> Result<(), Infallible> {
        starts.extend(text.split_whitespace().map(|word| word.as_ptr() as usize - text.as_ptr() as usize));
        Ok(())
    }

    fn count(&self, text: &str) -> Result<usize, Infallible> {
        Ok(text.split_whitespace().count())
    }
}

#[test]
fn what_a_model_does_not_know_is_cut_by_characters() {
    let cutter = Cutter::new(&ChunkOptions { splitter: Splitter::Text, size: 16, overlap: 4 }).unwrap();
    for unknown in ["ประเทศไทยมีอากาศร้อนมากในฤดูร้อน", "😀", "0123456789abcdef", "ร้อน "]
    {
        let text = unknown.repeat(3000);
        let chunks = cutter.cut(&text, &Unknown).unwrap();
        // Its own beginning counts as no token where that is no letter.
        let most = if unknown.ends_with(' ') { 16 * 5 } else { 16 * 4 + 3 };
        assert!(chunks.iter().all(|chunk| chunk.content.chars().count() <= most), "{unknown}");
        assert!(chunks.len() < 2 * text.chars().count() / (most - 19), "{unknown}: {}", chunks.len());
        assert!(chunks.windows(2).all(|pair| pair[1].start <= pair[0].end + 1), "{unknown}");
    }
    let known = "ordinarily characteristic ".repeat(8);
    assert_eq!(cutter.cut(known.trim(), &Unknown).unwrap().len(), 1);
}

#[test]
fn a_long_text_is_counted_in_blocks() {
    let text = "one two three\n".repeat(20_000);
    assert_eq!(count(&text, &Unknown), Ok(60_000));
    assert_eq!(count("", &Unknown), Ok(0));
}

/// Long documents with few places to split at: name, splitter, beginning, and the text that repeats.
const LONG: [(&str, Splitter, &str, &str); 8] = [
    ("one-line JSON", Splitter::Text, "", r#"{"id":12345,"name":"some name","tags":["a","b"]},"#),
    (
        "a transcript without punctuation",
        Splitter::Text,
        "",
        "so we went there when the rain had stopped and he ",
    ),
    ("a table", Splitter::Markdown, "| id | name |\n|---|---|\n", "| 12345 | some name, and another |\n"),
    ("a list", Splitter::Markdown, "", "- an item of a list with some words\n"),
    ("paragraphs", Splitter::Text, "", "The planner chooses. It does so when a table is large.\n\n"),
    ("paragraphs of Markdown", Splitter::Markdown, "", "The planner chooses. It does so at once.\n\n"),
    ("headings of the lowest level", Splitter::Markdown, "", "###### Six\n\nWords.\n\n"),
    ("a block of code", Splitter::Markdown, "```\n", "let words = here();\n"),
];

fn long_document(begin: &str, unit: &str, bytes: usize) -> String {
    format!("{begin}{}", unit.repeat(bytes / unit.len()))
}

#[test]
fn work_for_a_byte_does_not_depend_on_the_length_of_the_document() {
    let work = |document: &str, splitter| {
        let words = Words::default();
        let mut pieces = PieceReader::new(document, splitter, 64, 8, &words);
        while pieces.next().unwrap().is_some() {}
        let bytes = document.len() as f64;
        (words.counted_bytes.get() as f64 / bytes, pieces.searched_bytes as f64 / bytes)
    };
    for (name, splitter, begin, unit) in LONG {
        let short = work(&long_document(begin, unit, 64 << 10), splitter);
        let long = work(&long_document(begin, unit, 1500 << 10), splitter);
        assert!(long.0 < 1.05 * short.0 && long.0 < 4.0, "{name}, tokenised bytes: {short:?}, {long:?}");
        assert!(long.1 < 1.05 * short.1 && long.1 < 4.0, "{name}, searched bytes: {short:?}, {long:?}");
    }
}

#[test]
fn lines_stay_whole_in_what_is_longer_than_a_block() {
    for (name, splitter, begin, unit) in LONG.into_iter().filter(|(_, _, _, unit)| unit.ends_with('\n')) {
        let unit = unit.trim_end();
        let lines: Vec<&str> = begin.lines().chain(unit.lines()).collect();
        for chunk in cut(&long_document(begin, &format!("{unit}\n\n"), 1500 << 10), splitter, 64, 0) {
            assert!(
                chunk.content.lines().all(|line| line.is_empty() || lines.contains(&line)),
                "{name}: {:?}",
                chunk.content
            );
        }
    }
}

#[test]
fn a_long_document_is_cut_as_its_parts_are() {
    let part = "## Part\n\nSome words stand here.\n\n- one\n- two\n\n```\n# no heading\n```\n\n---\n\n";
    let few = cut(&part.repeat(100), Splitter::Markdown, 12, 0);
    let many = cut(&part.repeat(20_000), Splitter::Markdown, 12, 0);
    assert_eq!(few.len() % 100, 0);
    assert_eq!(many.len(), few.len() * 200);
    for (n, chunk) in many.iter().enumerate() {
        assert_eq!(chunk.content, few[n % few.len()].content);
        assert_eq!(chunk.headings, ["Part"]);
    }
}

/// Fails at the given check.
struct Impatient(Cell<usize>, Words);

impl Tokenize for Impatient {
    type Error = &'static str;

    fn starts(&self, text: &str, starts: &mut Vec<usize>) -> Result<(), &'static str> {
        self.1.starts(text, starts).map_err(|never| match never {})
    }

    fn count(&self, text: &str) -> Result<usize, &'static str> {
        self.1.count(text).map_err(|never| match never {})
    }

    fn check(&self) -> Result<(), &'static str> {
        let left = self.0.get().checked_sub(1).ok_or("cancelled")?;
        self.0.set(left);
        Ok(())
    }
}

#[test]
fn a_cut_ends_at_any_step() {
    for (name, splitter, begin, unit) in LONG {
        let document = long_document(begin, unit, 1 << 20);
        let cutter = Cutter::new(&ChunkOptions { splitter, size: 64, overlap: 0 }).unwrap();
        for checks in [0, 1, 100] {
            let impatient = Impatient(Cell::new(checks), Words::default());
            assert_eq!(cutter.cut(&document, &impatient), Err("cancelled"), "{name}");
            let counted = impatient.1.counted_bytes.get();
            assert!(counted < 200 << 10, "{name}: {counted} bytes were counted in {checks} steps");
        }
    }
}

#[test]
fn a_document_is_tokenised_a_bounded_number_of_times() {
    let text = "The quick brown fox jumps over the lazy dog. ".repeat(20_000);
    let words = Words::default();
    let options = ChunkOptions { splitter: Splitter::Text, size: 64, overlap: 8 };
    let chunks = Cutter::new(&options).unwrap().cut(&text, &words).unwrap();
    assert!(chunks.len() > 1000);
    assert!(
        words.counted_bytes.get() < 3 * text.len(),
        "{} bytes for {}",
        words.counted_bytes.get(),
        text.len()
    );
}
