//! Large corpora: the entries of the dictionaries that Debian packages for dictd.
//!
//! A dictionary is a text file compressed by dictzip, which is compatible with gzip, with an index of
//! headword, offset and length; the numbers are in dictd's own base 64 (dictd(8), "Database Format").

use crate::packages::unpacked;
use anyhow::{Context, Result, ensure};
use flate2::read::MultiGzDecoder;
use std::collections::{BTreeMap, HashSet};
use std::fs::{self, File};
use std::hash::{DefaultHasher, Hash, Hasher};
use std::io::Read;
use std::path::{Path, PathBuf};

/// One entry, which is a row of the table that is searched.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Entry {
    /// Its headword.
    pub word: String,
    /// Name of its dictionary.
    pub dictionary: String,
    /// Its text.
    pub text: String,
}

/// Rows of a corpus, and queries for them.
#[derive(Debug)]
pub struct Corpus {
    /// Entries in a fixed pseudo-random order, so that the first rows are a sample of all.
    pub entries: Vec<Entry>,
    /// Beginnings of WordNet definitions, of two to eight words.
    pub queries: Vec<String>,
}

/// Packages that suffice for a small corpus.
const FEW: &[&str] = &["dict-foldoc", "dict-jargon", "dict-wn"];

/// English dictionaries, and bilingual dictionaries with English on one side, in the order in which they are
/// used: 1.4 million entries.
const MANY: &[&str] = &[
    "dict-foldoc",
    "dict-jargon",
    "dict-wn",
    "dict-gcide",
    "dict-vera",
    "dict-freedict-deu-eng",
    "dict-freedict-eng-deu",
    "dict-freedict-jpn-eng",
];

impl Corpus {
    /// Exactly `count` entries. Fetches the packages if they are missing.
    pub fn load(count: usize) -> Result<Self> {
        let packages = if count <= 100_000 { FEW } else { MANY };
        let mut entries = Vec::new();
        for package in packages {
            for index in indexes(&unpacked(package, "dictionaries")?)? {
                entries.extend(read(&index)?);
            }
        }
        ensure!(entries.len() >= count, "{} entries in {packages:?}, expected {count}", entries.len());
        let queries = queries(&entries);
        entries.sort_by_cached_key(|entry| hash(&(&entry.dictionary, &entry.word, &entry.text)));
        entries.truncate(count);
        Ok(Self { entries, queries })
    }
}

/// The index files under a folder, sorted.
fn indexes(folder: &Path) -> Result<Vec<PathBuf>> {
    let mut found = Vec::new();
    let mut folders = vec![folder.to_owned()];
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(folder)? {
            let path = entry?.path();
            if path.is_dir() {
                folders.push(path);
            } else if path.extension().is_some_and(|it| it == "index") {
                found.push(path);
            }
        }
    }
    found.sort();
    Ok(found)
}

/// The entries to which an index points, each once, even if several headwords point to it.
fn read(index: &Path) -> Result<Vec<Entry>> {
    let dictionary = index.file_stem().unwrap_or_default().to_string_lossy().into_owned();
    let mut text = Vec::new();
    let file = File::open(index.with_extension("dict.dz")).with_context(|| dictionary.clone())?;
    MultiGzDecoder::new(file).read_to_end(&mut text)?;
    let mut places = BTreeMap::new();
    for line in String::from_utf8_lossy(&fs::read(index)?).lines() {
        let mut fields = line.split('\t');
        let (Some(word), Some(offset), Some(length)) = (fields.next(), fields.next(), fields.next()) else {
            continue;
        };
        // Headwords that begin with 00 are the dictionary's own description.
        if !word.starts_with("00") {
            places.entry((number(offset)?, number(length)?)).or_insert_with(|| word.to_owned());
        }
    }
    let entries = places.into_iter().filter_map(|((offset, length), word)| {
        let text = String::from_utf8_lossy(text.get(offset..offset + length)?).trim().to_owned();
        (!text.is_empty()).then(|| Entry { word, dictionary: dictionary.clone(), text })
    });
    Ok(entries.collect())
}

fn number(digits: &str) -> Result<usize> {
    const DIGITS: &[u8] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    digits.bytes().try_fold(0, |sum, byte| {
        let digit =
            DIGITS.iter().position(|digit| *digit == byte).with_context(|| format!("no number: {digits}"))?;
        Ok(sum * 64 + digit)
    })
}

/// Queries in the words of definitions: the beginnings of 300 WordNet definitions, of two to eight words.
fn queries(entries: &[Entry]) -> Vec<String> {
    let mut seen = HashSet::new();
    let mut definitions: Vec<Vec<&str>> = entries
        .iter()
        .filter(|entry| entry.dictionary == "wn")
        .filter_map(|entry| entry.text.split_once(": "))
        .map(|(_, definition)| definition.split([';', '[', '"']).next().unwrap_or_default())
        .map(|definition| definition.split_whitespace().collect::<Vec<_>>())
        .filter(|words| words.len() >= 8 && seen.insert(words[..8].join(" ")))
        .collect();
    definitions.sort_by_cached_key(hash);
    definitions.iter().take(300).enumerate().map(|(n, words)| words[..2 + n % 7].join(" ")).collect()
}

/// The standard library's hash with its fixed keys, which gives the same order in every run.
fn hash(value: &impl Hash) -> u64 {
    let mut hasher = DefaultHasher::new();
    value.hash(&mut hasher);
    hasher.finish()
}

#[cfg(test)]
mod tests {
    use super::*;
    use flate2::Compression;
    use flate2::write::GzEncoder;
    use std::io::Write;

    #[test]
    fn numbers_are_in_the_base_64_of_dictd() {
        assert_eq!(number("A").unwrap(), 0);
        assert_eq!(number("BA").unwrap(), 64);
        assert_eq!(number("/").unwrap(), 63);
        assert!(number("!").is_err());
    }

    #[test]
    fn an_entry_with_two_headwords_is_read_once() {
        let folder = tempfile::tempdir().unwrap();
        let index = folder.path().join("d.index");
        fs::write(&index, "00info\tA\tB\nbat\tB\tE\nflying mouse\tB\tE\ncat\tF\tE\n").unwrap();
        let mut gzip =
            GzEncoder::new(File::create(folder.path().join("d.dict.dz")).unwrap(), Compression::fast());
        gzip.write_all(b"ibat\ncat\n").unwrap();
        gzip.finish().unwrap();
        let entries = read(&index).unwrap();
        let words: Vec<_> = entries.iter().map(|entry| (entry.word.as_str(), entry.text.as_str())).collect();
        assert_eq!(words, [("bat", "bat"), ("cat", "cat")]);
    }
}
