//! Evaluates what the operators of a query demand of each hit. The text index shows which words a chunk
//! contains; only its text shows whether it contains a phrase.

use crate::collections::indexing::passage::WordTerms;
use crate::search::expansion::{MAX_WORD_BYTES, expanded};
use crate::search::lookup::WordLookup;
use crate::search::within::Within;
use ragstone_core::analysis::{Rules, TextWords, has_no_spaces};
use ragstone_core::query_syntax::{Phrase, QueryItem, WebQuery};
use ragstone_core::text_index::ChunkSet;
use ragstone_pg::error::Result;
use ragstone_pg::wait::serve_interrupts;
use std::collections::{HashMap, HashSet};

/// Maximum number of words of a phrase that are looked up in the text index.
const MAX_PHRASE_WORDS: usize = 64;

/// The demands of a query on its hits.
pub struct Demands {
    /// The chunks that may be hits according to the text index; None stands for all.
    pub set: Option<ChunkSet>,
    /// The same set as chunk numbers, if they are needed.
    pub within: Option<Within>,
    /// The demands on the hits' texts.
    pub of_text: Option<TextDemands>,
}

/// The demands of a query on the text of a hit.
#[derive(Debug)]
pub struct TextDemands {
    rules: Rules,
    /// For each of these lists, one alternative must be met.
    required: Vec<Vec<Alternative>>,
    excluded: Vec<LiteralPhrase>,
}

#[derive(Debug)]
enum Alternative {
    Phrase(LiteralPhrase),
    /// The chunk must be one of these.
    Holds(HashSet<i64>),
}

/// Words that must occur in a text exactly as they are written.
#[derive(Debug)]
struct LiteralPhrase {
    words: TextWords,
    distance: Option<u32>,
}

impl TextDemands {
    /// True if a chunk with these texts (title, headings and content) meets the demands.
    pub fn are_met(&self, chunk: i64, texts: [&str; 3]) -> bool {
        let words = texts.map(|text| TextWords::of(text, self.rules));
        let has = |phrase: &LiteralPhrase| words.iter().any(|words| phrase.is_in(words));
        let is_met = |alternative: &Alternative| match alternative {
            Alternative::Phrase(phrase) => has(phrase),
            Alternative::Holds(chunks) => chunks.contains(&chunk),
        };
        self.required.iter().all(|alternatives| alternatives.iter().any(is_met))
            && !self.excluded.iter().any(has)
    }
}

impl LiteralPhrase {
    fn is_in(&self, words: &TextWords) -> bool {
        match self.distance {
            Some(distance) => words.contain_near(&self.words, distance),
            None => words.contain(&self.words),
        }
    }
}

impl Demands {
    /// The demands of a query without operators: none.
    pub fn none() -> Self {
        Self { set: None, within: None, of_text: None }
    }

    /// The demands of a query on the hits from a collection. `has_numbers` asks for chunk numbers, which only
    /// the vector ranking needs.
    pub fn find(lookup: &mut WordLookup, query: &WebQuery, has_numbers: bool) -> Result<Self> {
        if query.required.is_empty() && query.excluded.is_empty() {
            return Ok(Self::none());
        }
        DemandReader::new(lookup, query)?.read(query, has_numbers)
    }
}

/// The demand of one item of a query.
struct Known {
    /// The chunks that may meet it.
    set: Option<ChunkSet>,
    /// The words that their texts must also contain.
    phrase: Option<LiteralPhrase>,
}

/// Looks up the items of a query.
struct DemandReader<'q, 'l, 'c> {
    lookup: &'l mut WordLookup<'c>,
    rules: Rules,
    terms: HashMap<&'q str, WordTerms>,
}

impl<'q, 'l, 'c> DemandReader<'q, 'l, 'c> {
    fn new(lookup: &'l mut WordLookup<'c>, query: &'q WebQuery) -> Result<Self> {
        let items = query.required.iter().flatten().chain(&query.excluded);
        let items = items.filter(|item| matches!(item, QueryItem::Word(_) | QueryItem::Phrase(_)));
        let words = items.flat_map(|item| item.words().split_whitespace());
        let words: HashSet<&str> = words.filter(|word| word.len() <= MAX_WORD_BYTES).collect();
        let words: Vec<&str> = words.into_iter().collect();
        let terms = words.iter().copied().zip(lookup.analyse(&words)?).collect();
        let rules = lookup.rules(&query.plain())?;
        Ok(Self { lookup, rules, terms })
    }

    fn read(mut self, query: &WebQuery, has_numbers: bool) -> Result<Demands> {
        let mut set: Option<ChunkSet> = None;
        let (mut required, mut excluded) = (Vec::new(), Vec::new());
        for alternatives in &query.required {
            let known = alternatives.iter().map(|item| self.known(item)).collect::<Result<Vec<_>>>()?;
            if known.iter().any(|known| known.set.is_none() && known.phrase.is_none()) {
                // One of the alternatives contains no word, so nothing is demanded.
                continue;
            }
            if let Some(union) = union(known.iter().map(|known| known.set.as_ref())) {
                intersect(&mut set, union);
            }
            if known.iter().any(|known| known.phrase.is_some()) {
                required.push(self.alternatives(known)?);
            }
        }
        let mut without: Option<ChunkSet> = None;
        for item in &query.excluded {
            match self.known(item)? {
                Known { phrase: Some(phrase), .. } => excluded.push(phrase),
                Known { set: Some(set), .. } => match &mut without {
                    Some(without) => without.unite(&set),
                    None => without = Some(set),
                },
                Known { .. } => {}
            }
        }
        let is_required = set.is_some();
        if let Some(without) = &without {
            set.get_or_insert_with(|| self.lookup.all()).subtract(without);
        }
        let within = match (&set, without) {
            (Some(_), Some(without)) if has_numbers && !is_required => Some(Within::Not(
                self.lookup.numbers(&without)?.into_iter().map(|(chunk, _)| chunk).collect(),
            )),
            (Some(set), _) if has_numbers => {
                Some(Within::Only(self.lookup.numbers(set)?.into_iter().collect()))
            }
            _ => None,
        };
        let of_text = (!required.is_empty() || !excluded.is_empty()).then_some(TextDemands {
            rules: self.rules,
            required,
            excluded,
        });
        Ok(Demands { set, within, of_text })
    }

    /// The alternatives of a demand on a text: phrases, and the chunks that have one of the other items.
    fn alternatives(&mut self, known: Vec<Known>) -> Result<Vec<Alternative>> {
        let others = known.iter().filter(|known| known.phrase.is_none());
        let holders = union(others.map(|known| known.set.as_ref()));
        let phrases = known.into_iter().filter_map(|known| known.phrase);
        let mut alternatives: Vec<Alternative> = phrases.map(Alternative::Phrase).collect();
        if let Some(holders) = holders {
            let numbers = self.lookup.numbers(&holders)?;
            alternatives.push(Alternative::Holds(numbers.into_iter().map(|(chunk, _)| chunk).collect()));
        }
        Ok(alternatives)
    }

    fn known(&mut self, item: &QueryItem) -> Result<Known> {
        match item {
            QueryItem::Phrase(phrase) => self.phrase(phrase),
            QueryItem::Word(word) => self.word(word),
            QueryItem::Prefix(_) | QueryItem::Misspelt(_) => {
                let terms = expanded(self.lookup, item)?.unwrap_or_default();
                Ok(Known { set: Some(self.lookup.holders(&terms)?), phrase: None })
            }
        }
    }

    /// A chunk contains a word if it has all lexemes that one of the text search configurations makes of it.
    /// A word that the index leaves out is searched for in the texts.
    fn word(&mut self, word: &str) -> Result<Known> {
        let terms = self.terms.get(word).cloned().unwrap_or_default();
        let mut found: Option<ChunkSet> = None;
        for terms in terms.whole.iter().filter(|_| !is_single(word)) {
            let mut set: Option<ChunkSet> = None;
            for lexeme in terms.lexemes() {
                let holders = self.holders_of(std::iter::once(lexeme))?;
                intersect(&mut set, holders);
            }
            match (&mut found, set) {
                (Some(found), Some(set)) => found.unite(&set),
                (None, set) => found = set,
                (Some(_), None) => {}
            }
        }
        let phrase =
            found.is_none().then(|| self.literal(word, None)).filter(|phrase| !phrase.words.is_empty());
        Ok(Known { set: found, phrase })
    }

    /// The demand of a phrase: the chunk must have each of the phrase's words in any of its forms, and the
    /// text must contain the phrase.
    fn phrase(&mut self, phrase: &Phrase) -> Result<Known> {
        let mut set: Option<ChunkSet> = None;
        let words: HashSet<&str> = phrase.words.split_whitespace().filter(|word| !is_single(word)).collect();
        for word in words.into_iter().take(MAX_PHRASE_WORDS) {
            let Some(terms) = self.terms.get(word).filter(|terms| !terms.is_empty()).cloned() else {
                continue;
            };
            let holders = self.holders_of(terms.lexemes())?;
            intersect(&mut set, holders);
        }
        let literal = self.literal(&phrase.words, phrase.distance);
        Ok(Known { set, phrase: (!literal.words.is_empty()).then_some(literal) })
    }

    fn holders_of<'w>(&mut self, lexemes: impl Iterator<Item = &'w [u8]>) -> Result<ChunkSet> {
        serve_interrupts();
        let terms = self.lookup.terms(lexemes)?;
        self.lookup.holders(&terms)
    }

    fn literal(&self, words: &str, distance: Option<u32>) -> LiteralPhrase {
        LiteralPhrase { words: TextWords::of(words, self.rules), distance }
    }
}

/// The union of the sets; None, which stands for all chunks, if one of them is None or there are no sets.
fn union<'s>(mut sets: impl Iterator<Item = Option<&'s ChunkSet>>) -> Option<ChunkSet> {
    let mut union = sets.next()??.clone();
    for set in sets {
        union.unite(set?);
    }
    Some(union)
}

/// Intersects a set with another one; None stands for all chunks.
fn intersect(set: &mut Option<ChunkSet>, other: ChunkSet) {
    match set {
        Some(set) => set.intersect(&other),
        None => *set = Some(other),
    }
}

/// True if a word contains a single character of a script without spaces. The index has such a character only
/// where no other one follows it.
fn is_single(word: &str) -> bool {
    word.split(|character| !has_no_spaces(character)).any(|run| run.chars().count() == 1)
}
