//! Pure code, in-process.

use criterion::{BatchSize, Criterion, Throughput, criterion_group, criterion_main};
use ragstone_core::analysis::{self, Rules};
use ragstone_core::chunk::{Cutter, Tokenize};
use ragstone_core::fusion::{Fusion, Scored, fuse};
use ragstone_core::log::parse::{self, ParseOptions, ParsedStep, Sink};
use ragstone_core::protocol::{
    Caller, ChunkOptions, Frame, Kind, Lane, PREFIX, Request, Response, Splitter, Vectors, decode, encode,
};
use ragstone_core::text_index::header::IndexCounts;
use ragstone_core::text_index::rank::TextIndex;
use ragstone_core::text_index::{Damage, IndexedChunk, Pages, build};
use std::collections::{BTreeMap, HashMap};
use std::convert::Infallible;
use std::hint::black_box;

const WORDS: &str = "the planner chooses an index scan when a table is large and the condition is selective";

fn fusion(criterion: &mut Criterion) {
    let ranking = |shift: i64| -> Vec<Scored> {
        (0..200).map(|n| ((n * 7 + shift) % 500, 1.0 / (n + 1) as f64)).collect()
    };
    let (vector, text) = (ranking(0), ranking(100));
    let mut group = criterion.benchmark_group("fuse two rankings of 200");
    group.bench_function("min-max", |b| {
        b.iter(|| fuse(&vector, &text, false, Fusion::MinMax { vector_weight: 0.3 }))
    });
    group.bench_function("reciprocal rank", |b| {
        b.iter(|| fuse(&vector, &text, false, Fusion::ReciprocalRank))
    });
    group.finish();
}

fn analysis(criterion: &mut Criterion) {
    let rules = Rules { normalises: true, folds_accents: false, splits_compounds: true, makes_bigrams: true };
    let prose = format!("{WORDS}. ").repeat(10);
    let code = "set max_wal_size=1,024 in /etc/postgresql/15/main/postgresql.conf, see getConfigValue(7) "
        .repeat(10);
    let mut group = criterion.benchmark_group("analyse");
    for (name, text) in [("prose", prose), ("names and paths", code)] {
        group.throughput(Throughput::Bytes(text.len() as u64));
        group.bench_function(name, |b| b.iter(|| analysis::analyse(black_box(&text), rules)));
    }
    group.finish();
}

/// Pages of a text index in memory.
#[derive(Default)]
struct Memory(HashMap<(i64, u32), Vec<u8>>);

impl Pages for &Memory {
    type Error = Damage;

    fn page(&mut self, segment: i64, page: u32) -> Result<Option<Vec<u8>>, Damage> {
        Ok(self.0.get(&(segment, page)).cloned())
    }
}

/// Chunks of 80 words; words with low numbers are frequent, as in a natural language.
fn indexed(words: &[Vec<u8>], chunks: i64) -> Vec<IndexedChunk<'_>> {
    let (mut state, mut made) = (1u64, Vec::new());
    for chunk in 0..chunks {
        let mut terms = BTreeMap::new();
        for _ in 0..80 {
            state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            let rank = (words.len() as f64).powf((state >> 33) as f64 / f64::from(1u32 << 31)) as usize;
            *terms.entry(words[rank.min(words.len() - 1)].as_slice()).or_insert(0) += 1;
        }
        let terms = terms.into_iter().map(|(term, frequency)| (term, frequency, 0)).collect();
        made.push(IndexedChunk { chunk, words: 60 + (state >> 40) as u32 % 40, terms });
    }
    made
}

fn write(pages: &mut Memory, segment: i64, chunks: Vec<IndexedChunk<'_>>) {
    let counts = IndexCounts { chunks: chunks.len() as i64, rows: 0 };
    let sink = |page: u32, bytes: &[u8]| -> Result<(), Damage> {
        pages.0.insert((segment, page), bytes.to_vec());
        Ok(())
    };
    build(chunks, counts, sink).expect("nothing fails in memory");
}

fn text_index(criterion: &mut Criterion) {
    let words: Vec<Vec<u8>> = (0..50_000).map(|number| format!("word{number}").into_bytes()).collect();
    let mut pages = Memory::default();
    write(&mut pages, 1, indexed(&words, 20_000));
    let mut group = criterion.benchmark_group("text index");
    for queried in [vec![5], vec![900, 40], vec![20_000, 7000, 900, 40, 12, 5]] {
        group.bench_function(format!("ten best of 20,000 chunks for {} words", queried.len()), |b| {
            b.iter(|| {
                let mut index = TextIndex::open(&pages, [1])?;
                let terms = index.terms(queried.iter().map(|number: &usize| words[*number].as_slice()))?;
                index.best(black_box(&terms), 10, None)
            })
        });
    }
    let few = indexed(&words, 128);
    group.bench_function("write 128 chunks", |b| {
        b.iter_batched(|| few.clone(), |few| write(&mut Memory::default(), 1, few), BatchSize::SmallInput);
    });
    group.finish();
}

fn frames(criterion: &mut Criterion) {
    let texts = vec![WORDS.repeat(10); 128];
    let caller = Caller { database: 5, role: 10 };
    let request = Request::Embed { model: "m".into(), kind: Kind::Document, lane: Lane::Bulk, caller, texts };
    let vectors = Vectors {
        dimensions: 384,
        values: vec![0.05; 384 * 128],
        tokens: vec![170; 128],
        unknown: 0,
        max_tokens: 256,
        fingerprint: "0123456789abcdef".into(),
    };
    let answer = Response::Vectors(vectors);
    let sent = encode(1, &request).expect("a short frame");
    let answered = encode(1, &answer).expect("a short frame");
    let mut group = criterion.benchmark_group("frames of 128 passages");
    group.throughput(Throughput::Bytes(sent.len() as u64));
    group.bench_function("encode the request", |b| b.iter(|| encode(1, &request)));
    group.bench_function("decode the request", |b| {
        b.iter(|| -> Frame<Request> { decode(&sent[PREFIX..]).expect("well-formed") });
    });
    group.throughput(Throughput::Bytes(answered.len() as u64));
    group.bench_function("encode the vectors", |b| b.iter(|| encode(1, &answer)));
    group.bench_function("decode the vectors", |b| {
        b.iter(|| -> Frame<Response> { decode(&answered[PREFIX..]).expect("well-formed") });
    });
    group.finish();
}

/// A tokenizer that counts words.
struct ByWord;

impl Tokenize for ByWord {
    type Error = Infallible;

    fn starts(&self, text: &str, starts: &mut Vec<usize>) -> Result<(), Infallible> {
        let mut in_word = false;
        for (place, character) in text.char_indices() {
            let blank = character.is_whitespace();
            if !blank && !in_word {
                starts.push(place);
            }
            in_word = !blank;
        }
        Ok(())
    }

    fn count(&self, text: &str) -> Result<usize, Infallible> {
        Ok(text.split_whitespace().count())
    }
}

fn chunking(criterion: &mut Criterion) {
    let paragraph = format!("{}.\n\n", WORDS.repeat(6));
    let document: String = (0..200).map(|n| format!("## Section {n}\n\n{paragraph}")).collect();
    let mut group = criterion.benchmark_group("cut a document of 20,000 words");
    group.throughput(Throughput::Bytes(document.len() as u64));
    for (name, splitter) in [("text", Splitter::Text), ("markdown", Splitter::Markdown)] {
        let options = ChunkOptions { splitter, size: 256, overlap: 0 };
        let cutter = Cutter::new(&options).expect("valid options");
        group.bench_function(name, |b| b.iter(|| cutter.cut(&document, &ByWord)));
    }
    group.finish();
}

/// Counts parsed steps and ignores their contents.
struct Taken(u64);

impl Sink for Taken {
    fn step(&mut self, step: &ParsedStep<'_>) {
        self.0 += u64::from(black_box(step).line);
    }
}

fn parsing(criterion: &mut Criterion) {
    let logs = [
        ("Python logging", include_str!("../tests/fixtures/logs/python.log")),
        ("LangGraph events", include_str!("../tests/fixtures/logs/langgraph_events.jsonl")),
        ("OpenTelemetry spans", include_str!("../tests/fixtures/logs/otlp_spans.jsonl")),
        ("JSON lines", include_str!("../tests/fixtures/logs/json.jsonl")),
        ("logfmt", include_str!("../tests/fixtures/logs/logfmt.log")),
    ];
    let mut group = criterion.benchmark_group("parse a log");
    for (name, log) in logs {
        let log = log.repeat(100_000 / log.len() + 1);
        group.throughput(Throughput::Bytes(log.len() as u64));
        group.bench_function(name, |b| {
            b.iter(|| parse::parse(black_box(log.as_bytes()), ParseOptions::default(), &mut Taken(0)));
        });
    }
    group.finish();
}

criterion_group!(benches, analysis, fusion, text_index, frames, chunking, parsing);
criterion_main!(benches);
