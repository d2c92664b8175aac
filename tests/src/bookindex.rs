//! The manual's back-of-book index as a test collection: the authors of the index judged which pages are
//! relevant to an entry.

use crate::Result;
use crate::judged::{Collection, Document, Question};
use crate::manual;
use anyhow::{Context, ensure};
use std::collections::{BTreeMap, BTreeSet, HashSet};
use std::fs;
use std::path::Path;

/// The manual, with each index entry of two words or more as a question, and the pages to which it points as
/// the relevant documents.
pub fn load() -> Result<Collection> {
    let documents: Vec<Document> = manual::pages()?
        .into_iter()
        .map(|page| Document { id: page.url, title: page.title, text: page.body })
        .collect();
    let path = manual::html_folder().join("bookindex.html");
    let html = fs::read_to_string(&path).with_context(|| path.display().to_string())?;
    let questions = questions(&html, &documents.iter().map(|document| document.id.as_str()).collect());
    ensure!(!questions.is_empty(), "no entries in {}", path.display());
    Ok(Collection { documents, questions })
}

/// Entries with two words or more, including the words of their parent entries.
fn questions(html: &str, pages: &HashSet<&str>) -> Vec<Question> {
    let mut judged: BTreeMap<String, BTreeSet<String>> = BTreeMap::new();
    for entry in entries(html) {
        let known = entry.pages.into_iter().filter(|page| pages.contains(page.as_str()));
        if entry.words.split(' ').count() >= 2 {
            judged.entry(entry.words).or_default().extend(known);
        }
    }
    judged.retain(|_, pages| !pages.is_empty());
    judged
        .into_iter()
        .map(|(words, pages)| Question {
            id: words.clone(),
            text: words,
            grades: pages.into_iter().map(|page| (page, 1)).collect(),
        })
        .collect()
}

/// An entry: a `dt` element, below the entries of the enclosing lists.
#[derive(Debug, Default, PartialEq, Eq)]
struct Entry {
    words: String,
    pages: Vec<String>,
}

/// The state of a walk over the page's tags.
#[derive(Default)]
struct Walk {
    depth: usize,
    above: Vec<String>,
    term: Option<String>,
    in_link: bool,
    pages: Vec<String>,
    entries: Vec<Entry>,
}

fn entries(html: &str) -> Vec<Entry> {
    let mut walk = Walk::default();
    for piece in html.split('<').skip(1) {
        let (tag, text) = piece.split_once('>').unwrap_or((piece, ""));
        walk.tag(tag);
        walk.text(text);
    }
    walk.entries
}

impl Walk {
    fn tag(&mut self, tag: &str) {
        match tag.split_whitespace().next().unwrap_or_default() {
            "dl" => self.depth += 1,
            "/dl" => self.depth = self.depth.saturating_sub(1),
            "dt" => self.term = Some(String::new()),
            "/dt" => self.close_entry(),
            "a" => {
                self.in_link = true;
                self.pages.extend(page_of(tag).filter(|_| self.term.is_some()));
            }
            "/a" => self.in_link = false,
            _ => {}
        }
    }

    fn text(&mut self, text: &str) {
        if let (Some(term), false) = (&mut self.term, self.in_link) {
            term.push_str(text);
        }
    }

    fn close_entry(&mut self) {
        let Some(term) = self.term.take() else { return };
        self.above.truncate(self.depth.saturating_sub(1));
        self.above.push(plain(&term));
        let pages = std::mem::take(&mut self.pages);
        if !pages.is_empty() {
            self.entries.push(Entry { words: self.above.join(" "), pages });
        }
    }
}

/// The page to which an index link points, without the anchor.
fn page_of(tag: &str) -> Option<String> {
    if !tag.contains("class=\"indexterm\"") {
        return None;
    }
    let (_, rest) = tag.split_once("href=\"")?;
    let target = rest.split('"').next()?;
    let page = target.split('#').next()?;
    Some(Path::new(page).file_name()?.to_str()?.to_owned())
}

/// The words of an entry, without entities and without the commas between its links.
fn plain(term: &str) -> String {
    let term = term.replace("&lt;", "<").replace("&gt;", ">").replace("&quot;", "\"").replace("&amp;", "&");
    term.split(|c: char| c.is_whitespace() || c == ',')
        .filter(|word| !word.is_empty())
        .collect::<Vec<_>>()
        .join(" ")
}

#[cfg(test)]
mod tests {
    use super::*;

    const INDEX: &str = r##"<dl><dt id="x">aggregate function, <a class="indexterm" href="tutorial-agg.html">Aggregate</a>,
        <a class="indexterm" href="xaggr.html#PLACE">User-Defined</a></dt><dd><dl><dt>built-in,
        <a class="indexterm" href="functions-aggregate.html">Aggregate</a></dt></dl></dd>
        <dt>AIX</dt><dd><dl><dt>installation on, <a class="indexterm" href="notes.html">AIX</a></dt></dl></dd>
        <dt>abs, <a class="indexterm" href="functions-math.html">Mathematical</a></dt>
        <dt>B-Tree (see <a href="#y">index</a>)</dt></dl>"##;

    #[test]
    fn an_entry_stands_under_the_entries_around_it() {
        let entries = entries(INDEX);
        let words: Vec<_> = entries.iter().map(|entry| entry.words.as_str()).collect();
        assert_eq!(
            words,
            ["aggregate function", "aggregate function built-in", "AIX installation on", "abs"]
        );
        assert_eq!(entries[0].pages, ["tutorial-agg.html", "xaggr.html"]);
    }

    #[test]
    fn single_words_and_unknown_pages_are_no_questions() {
        let pages = HashSet::from(["xaggr.html", "functions-math.html", "notes.html"]);
        let questions = questions(INDEX, &pages);
        let texts: Vec<_> = questions.iter().map(|question| question.text.as_str()).collect();
        assert_eq!(texts, ["AIX installation on", "aggregate function"]);
        assert_eq!(questions[1].grades.len(), 1);
    }
}
