//! Text mode under random changes and random queries: it returns the same as scoring every chunk, with
//! operators, filters and row-level security, with merged and unmerged segments.

use crate::generate::with;
use anyhow::{Context, ensure};
use libtest_mimic::Trial;
use ragstone_tests::Result;
use ragstone_tests::chance::Chance;
use ragstone_tests::provider::Reply;
use ragstone_tests::session::Session;
use std::collections::{BTreeMap, HashMap, HashSet};

pub fn tests() -> Vec<Trial> {
    ragstone_tests::tests![random_searches_are_those_of_scoring_every_chunk]
}

/// Number of rows before the first change.
const ROWS: usize = 150;
/// Number of rounds in which rows change.
const CHANGES: usize = 6;
/// Number of queries after each round.
const QUERIES: usize = 15;
/// Number of different words.
const WORDS: usize = 40;

async fn random_searches_are_those_of_scoring_every_chunk() -> Result<()> {
    for seed in 1..=3 {
        let (session, _provider) = with([Reply::embeddings(8)]).await?;
        let mut world = World::make(&session, Chance::of(seed)).await?;
        world.run().await.with_context(|| format!("seed {seed}"))?;
    }
    Ok(())
}

/// A word: low numbers are frequent, and some words are prefixes of others.
fn word(number: usize) -> String {
    let (first, vowel) = (b"bdfgklmn"[number % 8], b"aeiou"[number / 8 % 5]);
    String::from_utf8_lossy(&[first, vowel, b'x']).into_owned()
}

struct Chunk {
    id: i32,
    kind: i32,
    words: Vec<String>,
}

struct World<'s> {
    session: &'s Session,
    chance: Chance,
    reader: String,
    /// The chunks in the index, including chunks deleted since the last merge.
    indexed: BTreeMap<i64, Chunk>,
    /// The numbers of the chunks that still exist.
    there: HashSet<i64>,
}

/// A query in its syntax, and its meaning.
#[derive(Debug, Default)]
struct Query {
    typed: Vec<String>,
    words: HashSet<String>,
    prefix: Option<String>,
    excluded: Option<String>,
    phrase: Option<[String; 2]>,
    either: Option<[String; 2]>,
}

impl<'s> World<'s> {
    async fn make(session: &'s Session, chance: Chance) -> Result<Self> {
        let reader: String = session.value("SELECT 'reader_of_' || current_database()").await?;
        session
            .batch_execute(&format!(
                "CREATE ROLE {reader}; CREATE TABLE t (id int PRIMARY KEY, kind int, body text); GRANT SELECT ON t TO {reader};
                 ALTER TABLE t ENABLE ROW LEVEL SECURITY; CREATE POLICY third ON t FOR SELECT USING (id % 3 = 0)"
            ))
            .await?;
        let world = Self { session, chance, reader, indexed: BTreeMap::new(), there: HashSet::new() };
        for id in 0..ROWS {
            world.insert(id).await?;
        }
        session
            .batch_execute(
                "SELECT rag.create_collection('c', 't', 'body', metadata => '{kind}', language => 'simple', sync => 'manual',
                                              model => 'stub/small', chunk_size => 250)",
            )
            .await?;
        Ok(world)
    }

    fn body(&self) -> String {
        let low = || self.chance.below(WORDS).min(self.chance.below(WORDS));
        let words: Vec<String> = (0..2 + self.chance.below(30)).map(|_| word(low())).collect();
        words.join(" ")
    }

    async fn insert(&self, id: usize) -> Result<()> {
        let insert = "INSERT INTO t VALUES ($1, $2, $3) ON CONFLICT (id) DO UPDATE SET kind = excluded.kind, body = excluded.body";
        let (id, kind, body) = (id as i32, self.chance.below(5) as i32, self.body());
        self.session.execute(insert, &[&id, &kind, &body]).await?;
        Ok(())
    }

    async fn run(&mut self) -> Result<()> {
        self.look().await?;
        let (mut were_merged, mut were_apart) = (false, false);
        for change in 0..CHANGES {
            self.change(change).await?;
            self.session.batch_execute("SELECT rag.refresh_collection('c')").await?;
            let segments: i64 = self.session.value("SELECT count(*) FROM c_terms WHERE page = 0").await?;
            if segments == 1 {
                self.indexed.clear();
            }
            were_merged |= segments == 1;
            were_apart |= segments > 1;
            self.look().await?;
            self.compare().await.with_context(|| format!("change {change}, {segments} segments"))?;
        }
        ensure!(were_merged && were_apart, "merged: {were_merged}, apart: {were_apart}");
        self.session.batch_execute("SELECT rag.refresh_collection('c', text => true)").await?;
        self.indexed.clear();
        self.look().await?;
        self.compare().await.context("built again")
    }

    /// Changes a few rows; a savepoint undoes some of the changes.
    async fn change(&self, number: usize) -> Result<()> {
        self.session.batch_execute("BEGIN").await?;
        for _ in 0..6 + self.chance.below(4) {
            let takes_back = self.chance.below(4) == 0;
            self.session.batch_execute("SAVEPOINT a").await?;
            match self.chance.below(3) {
                0 => {
                    let id = self.chance.below(ROWS) as i32;
                    self.session.execute("DELETE FROM t WHERE id = $1", &[&id]).await?;
                }
                1 => self.insert(self.chance.below(ROWS)).await?,
                _ => self.insert(ROWS + number * 10 + self.chance.below(10)).await?,
            }
            let end = if takes_back { "ROLLBACK TO a" } else { "RELEASE a" };
            self.session.batch_execute(end).await?;
        }
        self.session.batch_execute("COMMIT").await?;
        Ok(())
    }

    /// Reads the chunks.
    async fn look(&mut self) -> Result<()> {
        let sql = "SELECT chunk_id, key_1, (metadata->>'kind')::int, content FROM c_chunks";
        self.there.clear();
        for row in self.session.query(sql, &[]).await? {
            let words = row.get::<_, String>(3).split_whitespace().map(str::to_owned).collect();
            self.there.insert(row.get(0));
            self.indexed.insert(row.get(0), Chunk { id: row.get(1), kind: row.get(2), words });
        }
        Ok(())
    }

    fn query(&self) -> Query {
        let mut query = Query::default();
        let random = || word(self.chance.below(WORDS));
        for _ in 0..1 + self.chance.below(4) {
            let word = random();
            query.typed.push(word.clone());
            query.words.insert(word);
        }
        let two = || [random(), random()];
        match self.chance.below(6) {
            0 => {
                let word = random();
                query.typed.push(format!("-{word}"));
                query.excluded = Some(word);
            }
            1 => {
                let phrase = two();
                query.typed.push(format!("\"{} {}\"", phrase[0], phrase[1]));
                query.words.extend(phrase.clone());
                query.phrase = Some(phrase);
            }
            2 => {
                let either = two();
                query.typed.push(format!("{} OR {}", either[0], either[1]));
                query.words.extend(either.clone());
                query.either = Some(either);
            }
            3 => {
                let prefix = random()[..1].to_owned();
                query.typed.push(format!("{prefix}*"));
                query.prefix = Some(prefix);
            }
            _ => {}
        }
        query
    }

    async fn compare(&self) -> Result<()> {
        for _ in 0..QUERIES {
            let query = self.query();
            let k = *self.chance.pick(&[1, 5, 400]);
            let kind = (self.chance.below(3) == 0).then(|| self.chance.below(5) as i32);
            let is_reader = self.chance.below(3) == 0;
            if is_reader {
                self.session.batch_execute(&format!("SET ROLE {}", self.reader)).await?;
            }
            let sql = "SELECT chunk_id, score FROM rag.search('c', $1, $2, mode => 'text', syntax => 'web', typos => false,
                         filter => CASE WHEN $3::int IS NOT NULL THEN jsonb_build_object('kind', $3) END) ORDER BY rank";
            let rows = self.session.query(sql, &[&query.typed.join(" "), &k, &kind]).await;
            self.session.batch_execute("RESET ROLE").await?;
            let found: Vec<(i64, Option<f64>)> = rows?.iter().map(|row| (row.get(0), row.get(1))).collect();
            let expected = self.expected(&query, kind, is_reader);
            check(&found, &expected, k as usize)
                .with_context(|| format!("{query:?}, k {k}, kind {kind:?}, reader {is_reader}"))?;
        }
        Ok(())
    }

    /// The scores of all chunks that may be found.
    fn expected(&self, query: &Query, kind: Option<i32>, is_reader: bool) -> HashMap<i64, f64> {
        let total: usize = self.indexed.values().map(|chunk| chunk.words.len()).sum();
        let (chunks, average) = (self.indexed.len() as f64, total as f64 / self.indexed.len() as f64);
        let frequency = |chunk: &Chunk, fits: &dyn Fn(&str) -> bool| {
            chunk.words.iter().filter(|word| fits(word)).count() as f64
        };
        let mut scores: HashMap<i64, f64> = HashMap::new();
        let mut add = |fits: &dyn Fn(&str) -> bool| {
            let holders = self.indexed.values().filter(|chunk| frequency(chunk, fits) > 0.0).count() as f64;
            let idf = ((chunks - holders + 0.5) / (holders + 0.5)).ln_1p();
            for (number, chunk) in &self.indexed {
                let times = frequency(chunk, fits);
                if times > 0.0 {
                    let factor = 0.9 * (0.6 + 0.4 * chunk.words.len() as f64 / average);
                    *scores.entry(*number).or_default() += idf * times * 1.9 / (times + factor);
                }
            }
        };
        for wanted in &query.words {
            add(&|word| word == wanted);
        }
        if let Some(prefix) = &query.prefix {
            add(&|word| word.starts_with(prefix.as_str()));
        }
        scores.retain(|number, _| {
            let chunk = &self.indexed[number];
            let has = |word: &String| chunk.words.contains(word);
            self.there.contains(number)
                && kind.is_none_or(|kind| chunk.kind == kind)
                && (!is_reader || chunk.id % 3 == 0)
                && !query.excluded.as_ref().is_some_and(has)
                && query.phrase.as_ref().is_none_or(|phrase| chunk.words.windows(2).any(|two| two == phrase))
                && query.either.as_ref().is_none_or(|either| either.iter().any(has))
        });
        scores
    }
}

/// Checks that the chunks, found best first, are the best of the expected ones. Scores may be hidden.
fn check(found: &[(i64, Option<f64>)], expected: &HashMap<i64, f64>, k: usize) -> Result<()> {
    ensure!(found.len() == k.min(expected.len()), "{} of {} chunks are found", found.len(), expected.len());
    let mut last = f64::INFINITY;
    for (chunk, score) in found {
        let wanted = *expected.get(chunk).with_context(|| format!("chunk {chunk} is found"))?;
        ensure!(score.is_none_or(|score| (score - wanted).abs() < 1e-9), "{chunk}: {score:?} for {wanted}");
        ensure!(wanted < last + 1e-9, "chunk {chunk} of score {wanted} comes after {last}");
        last = wanted;
    }
    let numbers: HashSet<i64> = found.iter().map(|(chunk, _)| *chunk).collect();
    let better = expected.iter().find(|(chunk, score)| !numbers.contains(chunk) && **score > last + 1e-9);
    ensure!(better.is_none() || found.is_empty(), "{better:?} is better than {last}");
    Ok(())
}
