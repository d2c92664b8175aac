//! Texts to embed, and the comparison of embeddings.

use crate::Result;
use anyhow::ensure;
use pgvector::Vector;

const WORDS: &str = "the planner chooses an index scan when a table is large and the condition is selective because \
    reading every row from disk costs more than following a tree whose upper pages stay in memory while vacuum \
    removes dead tuples and the checkpointer writes dirty buffers so that recovery after a crash is short";

/// Distinct texts of about `words` words each; text `n` is always the same.
pub fn texts(count: usize, words: usize) -> Vec<String> {
    let vocabulary: Vec<&str> = WORDS.split_whitespace().collect();
    (0..count)
        .map(|number| {
            let body = (0..words)
                .map(|place| vocabulary[(number * 7 + place * (1 + number % 5)) % vocabulary.len()]);
            format!("passage {number}: {}", body.collect::<Vec<_>>().join(" "))
        })
        .collect()
}

/// Cosine of two embeddings.
pub fn cosine(a: &Vector, b: &Vector) -> f64 {
    let dot =
        |a: &[f32], b: &[f32]| -> f64 { a.iter().zip(b).map(|(x, y)| f64::from(*x) * f64::from(*y)).sum() };
    let (a, b) = (a.as_slice(), b.as_slice());
    dot(a, b) / (dot(a, a) * dot(b, b)).sqrt()
}

/// Fails unless both lists contain the same embeddings, apart from differences in the last digits that depend
/// on the shape of a batch.
pub fn same(actual: &[Vector], expected: &[Vector]) -> Result<()> {
    ensure!(actual.len() == expected.len(), "{} embeddings, expected {}", actual.len(), expected.len());
    for (number, (actual, expected)) in actual.iter().zip(expected).enumerate() {
        let cosine = cosine(actual, expected);
        ensure!(cosine > 0.9995, "embedding {number} differs: cosine {cosine}");
    }
    Ok(())
}
