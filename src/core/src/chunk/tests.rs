use std::{cell::Cell, convert::Infallible};

use super::*;

/// A token per word, as a tokenizer without subwords has; words of more than six letters have one per six letters.
#[derive(Default)]
struct Words {
    counted_bytes: Cell<usize>,
}

impl Tokenize for Words {
    type Error = Infallible;

    fn starts(&self, text: &str, starts: &mut Vec<usize>) -> Result<(), Infallible> {
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
        self.counted_bytes.set(self.counted_bytes.get() + text.len());
        let mut starts = Vec::new();
        self.starts(text, &mut starts)?;
        Ok(starts.len())
    }
}

fn cut(document: &str, splitter: Splitter, size: u32, overlap: u32) -> Vec<Chunk> {
    let cutter = Cutter::new(&ChunkOptions { splitter, size, overlap }).unwrap();
    let chunks = cutter.cut(document, &Words::default()).unwrap();
    for chunk in &chunks {
        let there: String =
            document.chars().skip(chunk.start as usize).take((chunk.end - chunk.start) as usize).collect();
        assert_eq!(chunk.content, there, "offsets are characters of the document");
        assert!(chunk.tokens <= size, "{chunk:?}");
        assert!(!chunk.content.trim().is_empty());
    }
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
fn sizes_that_cannot_be_are_refused() {
    let error = |size, overlap| {
        Cutter::new(&ChunkOptions { splitter: Splitter::Text, size, overlap }).unwrap_err().to_string()
    };
    assert_eq!(error(0, 0), "chunk size: expected at least 1 token, actual 0");
    assert_eq!(error(8, 8), "chunk overlap: expected less than the chunk size of 8 tokens, actual 8");
}

#[test]
fn a_document_is_tokenised_a_bounded_number_of_times() {
    let text = "The quick brown fox jumps over the lazy dog. ".repeat(20_000);
    let words = Words::default();
    let options = ChunkOptions { splitter: Splitter::Text, size: 64, overlap: 8 };
    let chunks = Cutter::new(&options).unwrap().cut(&text, &words).unwrap();
    assert!(chunks.len() > 1000);
    assert!(
        words.counted_bytes.get() < 2 * text.len(),
        "{} bytes for {}",
        words.counted_bytes.get(),
        text.len()
    );
}
