//! Pure code in-process.

use criterion::{BatchSize, Criterion, Throughput, criterion_group, criterion_main};
use ragstone_core::analysis::{self, Rules};
use ragstone_core::bm25;
use ragstone_core::chunk::{Cutter, Tokenize};
use ragstone_core::fusion::{Fusion, Scored, fuse};
use ragstone_core::log::parse::{self, ParsedStep, Sink};
use ragstone_core::protocol::{
    Caller, ChunkOptions, Frame, Kind, Lane, PREFIX, Request, Response, Splitter, Vectors, decode, encode,
};
use ragstone_core::threshold::{Bounds, QueryTerm};
use ragstone_core::tsvector::{ChunkTerms, Lexemes};
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
        b.iter(|| fuse(&vector, &text, Fusion::MinMax { vector_weight: 0.3 }))
    });
    group.bench_function("reciprocal rank", |b| b.iter(|| fuse(&vector, &text, Fusion::ReciprocalRank)));
    group.finish();
}

/// A tsvector of so many words as Postgres writes it: every word once, without positions.
fn tsvector(words: usize) -> Vec<u8> {
    let mut lexemes: Vec<String> = (0..words).map(|n| format!("word{n}")).collect();
    lexemes.sort();
    let mut bytes = (words as i32).to_ne_bytes().to_vec();
    let mut position = 0u32;
    for lexeme in &lexemes {
        // haspos: 1 bit, len: 11 bits, pos: 20 bits (ts_type.h, WordEntry).
        let entry = (lexeme.len() as u32) << 1 | position << 12;
        bytes.extend(entry.to_ne_bytes());
        position += lexeme.len() as u32;
    }
    lexemes.iter().for_each(|lexeme| bytes.extend(lexeme.as_bytes()));
    bytes
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

fn ranking(criterion: &mut Criterion) {
    let terms = ChunkTerms::new(&[tsvector(80)], []).expect("a well-formed tsvector");
    let stored = terms.encode(80.0).expect("a short tsvector");
    let names: Vec<String> = (0..6).map(|n| format!("word{}", n * 20)).collect();
    let query = bm25::encode_query(80.0, names.iter().map(|name| (name.as_bytes(), 4.2)));
    let mut group = criterion.benchmark_group("BM25");
    group.bench_function("score a chunk of 80 words for 6", |b| {
        b.iter(|| bm25::score(&Lexemes::new(black_box(&stored)).expect("well-formed"), 80, &query));
    });
    group.bench_function("encode a chunk of 80 words", |b| b.iter(|| terms.encode(black_box(80.0))));
    let terms = || -> Vec<QueryTerm> {
        let chunks = |n: u64| std::array::from_fn(|level| 1000 * n / 5u64.pow(level as u32));
        (1..=8u64)
            .map(|n| QueryTerm {
                lexeme: format!("word{n}").into_bytes(),
                idf: bm25::idf(1_000_000, 1249 * n),
                chunks: chunks(n),
            })
            .collect()
    };
    group.bench_function("bound 8 words in a million chunks", |b| {
        b.iter_batched(
            terms,
            |terms| Bounds::new(terms, 1_000_000, 80.0, 80.0).tsquery(20.0),
            BatchSize::SmallInput,
        );
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

/// Words for tokens.
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

/// Takes steps and looks at nothing of them.
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
            b.iter(|| parse::parse(black_box(log.as_bytes()), None, None, &mut Taken(0)));
        });
    }
    group.finish();
}

criterion_group!(benches, analysis, fusion, ranking, frames, chunking, parsing);
criterion_main!(benches);
