//! Splitting documents of several lengths with the default model's tokenizer.

use anyhow::{Result, anyhow};
use ragstone_benches::options::Options;
use ragstone_benches::report;
use ragstone_core::chunk::{Cutter, Tokenize};
use ragstone_core::protocol::{ChunkOptions, Splitter};
use ragstone_tests::install::Installation;
use std::fs;
use tokenizers::Tokenizer;

/// Kinds of documents: name, splitter, beginning, and the repeated part.
const KINDS: [(&str, Splitter, &str, &str); 5] = [
    ("one-line JSON", Splitter::Text, "", r#"{"id":12345,"name":"some name","tags":["a","b"]},"#),
    (
        "a transcript without punctuation",
        Splitter::Text,
        "",
        "so i said to him that we would go there when the rain had stopped and he agreed ",
    ),
    (
        "a Markdown table",
        Splitter::Markdown,
        "| id | name | tags | day |\n|---|---|---|---|\n",
        "| 12345 | some name | red, green | 2026-01-31 |\n",
    ),
    ("a Markdown list", Splitter::Markdown, "", "- an item of a list with some words in it\n"),
    (
        "paragraphs",
        Splitter::Text,
        "",
        "The planner chooses an index scan. It does so when a table is large and the condition is selective.\n\n",
    ),
];

pub fn run(options: &Options) -> Result<()> {
    report::part("cutting, processor time for a megabyte");
    let path = Installation::find()?.default_model().join("tokenizer.json");
    let mut tokenizer = Tokenizer::from_file(path).map_err(|error| anyhow!("{error}"))?;
    tokenizer.with_padding(None).with_truncation(None).map_err(|error| anyhow!("{error}"))?;
    let sizes = options.size(vec![1024_usize, 8192, 65536], vec![64, 128]);
    measure("by the model's tokens", &ModelTokenizer(tokenizer), &sizes)?;
    measure("by six letters, no tokenizer", &SixLetters, &sizes)
}

fn measure<T: Tokenize<Error = anyhow::Error>>(title: &str, tokens: &T, sizes: &[usize]) -> Result<()> {
    report::note(title);
    for (kind, splitter, begin, repeated) in KINDS {
        let cutter = Cutter::new(&ChunkOptions { splitter, size: 256, overlap: 0 })?;
        let mut times = Vec::new();
        for kilobytes in sizes {
            let document = format!("{begin}{}", repeated.repeat((kilobytes << 10) / repeated.len()));
            let before = processor_seconds()?;
            cutter.cut(&document, tokens)?;
            let time = (processor_seconds()? - before) * 1e3 * 1024.0 / *kilobytes as f64;
            report::figure(&format!("{kind}, {kilobytes} kB"), time, "ms/MB");
            times.push(time);
        }
        if let [first, .., last] = times[..] {
            report::at_most(&format!("{kind}, the longest to the shortest"), last / first, 1.5, "times");
        }
    }
    Ok(())
}

/// Counts tokens as the engine does.
struct ModelTokenizer(Tokenizer);

impl Tokenize for ModelTokenizer {
    type Error = anyhow::Error;

    fn starts(&self, text: &str, starts: &mut Vec<usize>) -> Result<()> {
        let encoding = self.0.encode(text, false).map_err(|error| anyhow!("{error}"))?;
        starts.extend(encoding.get_offsets().iter().map(|(from, _)| *from));
        Ok(())
    }

    fn count(&self, text: &str) -> Result<usize> {
        Ok(self.0.encode_fast(text, false).map_err(|error| anyhow!("{error}"))?.len())
    }
}

/// A cheap tokenizer, which shows the time of the splitter alone.
struct SixLetters;

impl Tokenize for SixLetters {
    type Error = anyhow::Error;

    fn starts(&self, text: &str, starts: &mut Vec<usize>) -> Result<()> {
        let mut letters = 0;
        for (offset, character) in text.char_indices() {
            if !character.is_alphanumeric() {
                letters = 0;
                if !character.is_whitespace() {
                    starts.push(offset);
                }
                continue;
            }
            if letters % 6 == 0 {
                starts.push(offset);
            }
            letters += 1;
        }
        Ok(())
    }

    fn count(&self, text: &str) -> Result<usize> {
        let mut starts = Vec::new();
        self.starts(text, &mut starts)?;
        Ok(starts.len())
    }
}

/// Processor time of this thread, so that other work of the machine does not count.
fn processor_seconds() -> Result<f64> {
    let schedstat = fs::read_to_string("/proc/thread-self/schedstat")?;
    let nanoseconds: u64 = schedstat.split(' ').next().unwrap_or_default().parse()?;
    Ok(nanoseconds as f64 / 1e9)
}
