//! Questions to collections that contain the answer, and to collections that do not.

use crate::Result;
use crate::judged::Question;
use crate::searching::Loaded;
use std::time::Instant;

/// Questions that the documentation of a database does not answer: about other software and about other
/// subjects.
pub const ELSEWHERE: &[&str] = &[
    "How do I bake sourdough bread without a mixer?",
    "Who won the football world championship in 1954?",
    "What is the boiling point of tungsten?",
    "Which vaccines does a newborn need in the first year?",
    "How do I change the front tyre of a bicycle?",
    "What did Kant mean by the categorical imperative?",
    "How long does it take to fly from Madrid to Lima?",
    "Which herbs go well with roast lamb?",
    "What are the symptoms of vitamin D deficiency?",
    "How do I tune a violin?",
    "When did the Roman Empire fall in the west?",
    "Why do leaves change their colour in autumn?",
    "How do I center a div with CSS flexbox?",
    "What is the difference between let and const in JavaScript?",
    "How do I roll back a Kubernetes deployment?",
    "How do I merge two branches in git without a commit?",
    "Which keyboard shortcut opens the terminal in Visual Studio Code?",
    "How do I make a pivot table in a spreadsheet?",
    "What is a React hook and when should I use one?",
    "How do I train a convolutional network in PyTorch?",
    "How does photosynthesis turn light into sugar?",
    "What is the capital of Mongolia?",
    "How do I apply for a passport for my child?",
    "Which mortgage is best for a first house?",
    "How much tax do I pay on a second job?",
    "What happens in the last act of Hamlet?",
    "How do whales sleep without drowning?",
    "Why is the sky blue at noon and red in the evening?",
    "Which muscles does a deadlift train?",
    "How do I remove red wine from a carpet?",
    "What is the offside rule?",
    "How do I prune an apple tree in winter?",
    "What causes an earthquake?",
    "How many moons does Jupiter have?",
    "How do I ask for directions in Portuguese?",
    "What is the half-life of carbon 14?",
    "How do I fold a paper crane?",
    "Which wood is best for a cutting board?",
    "How is champagne made?",
    "What does a central bank do when inflation rises?",
    "How do I treat a sprained ankle?",
    "When should I see a doctor about a cough?",
    "Which documents do I need to rent a flat?",
    "How do I write a cover letter?",
    "What is the plot of Don Quixote?",
    "How does a heat pump work?",
    "How do I connect a printer to the wireless network?",
    "How do I block a caller on my telephone?",
    "Which camera lens is good for portraits?",
    "How do I learn to juggle three balls?",
    "What is the lift coefficient of a swept wing at supersonic speed?",
    "Does aspirin lower the risk of a second stroke?",
    "Which gene is mutated in cystic fibrosis?",
    "How do bees find their way back to the hive?",
    "How do I set up a tent in strong wind?",
    "What is the average rainfall in Bergen in November?",
    "Who painted the ceiling of the Sistine Chapel?",
    "How do I knit a scarf with a cable pattern?",
    "Which visa do I need to work in Japan?",
    "How do I descale a coffee machine?",
];

/// Thresholds of similarity that are compared.
pub const THRESHOLDS: [f64; 7] = [0.25, 0.3, 0.35, 0.4, 0.45, 0.5, 0.55];

/// Similarity of the best passage to each question; 0 if nothing was found. The threshold is so high that no
/// model is called.
pub async fn similarities(loaded: &Loaded, questions: &[String]) -> Result<Vec<f64>> {
    let sql = "SELECT similarity FROM rag.ask($1, $2, min_similarity => 1)";
    let statement = loaded.session().prepare(sql).await?;
    let mut similarities = Vec::with_capacity(questions.len());
    for question in questions {
        let row = loaded.session().query_one(&statement, &[&loaded.name, question]).await?;
        similarities.push(row.get::<_, Option<f64>>(0).unwrap_or(0.0));
    }
    Ok(similarities)
}

/// Share of the similarities that reach a threshold.
pub fn passing(similarities: &[f64], least: f64) -> f64 {
    let passing = similarities.iter().filter(|similarity| **similarity >= least).count();
    passing as f64 / similarities.len().max(1) as f64
}

/// Probability that a question of the first list is more similar than one of the second: the area under the receiver
/// operating characteristic (Hanley and McNeil 1982).
pub fn area(answerable: &[f64], elsewhere: &[f64]) -> f64 {
    let wins: f64 = (answerable.iter())
        .flat_map(|one| {
            elsewhere.iter().map(move |other| f64::from(one > other) + 0.5 * f64::from(one == other))
        })
        .sum();
    wins / (answerable.len() * elsewhere.len()).max(1) as f64
}

/// The answers of `local/extractive`, as shares of the questions.
#[derive(Debug, Clone, Copy, PartialEq, Default)]
pub struct Extracted {
    /// Share with an answer.
    pub answered: f64,
    /// Share whose first citation is a relevant document.
    pub first_right: f64,
    /// Share with a relevant document among the citations.
    pub any_right: f64,
    /// Median duration of a call, in milliseconds.
    pub p50_ms: f64,
    /// Mean number of citations of an answer.
    pub citations: f64,
}

/// Asks all questions.
pub async fn extract(loaded: &Loaded, questions: &[Question]) -> Result<Extracted> {
    let sql = "SELECT ARRAY(SELECT c #>> '{source_key,id}' FROM jsonb_array_elements(citations) c), answered
               FROM rag.ask($1, $2, model => 'local/extractive')";
    let statement = loaded.session().prepare(sql).await?;
    let mut sum = Extracted::default();
    let mut times = Vec::with_capacity(questions.len());
    for question in questions {
        let start = Instant::now();
        let row = loaded.session().query_one(&statement, &[&loaded.name, &question.text]).await?;
        times.push(start.elapsed().as_secs_f64() * 1000.0);
        let cited: Vec<String> = row.get(0);
        let right = |key: &String| question.grades.get(key).is_some_and(|grade| *grade > 0);
        sum.answered += f64::from(row.get::<_, bool>(1));
        sum.first_right += f64::from(cited.first().is_some_and(right));
        sum.any_right += f64::from(cited.iter().any(right));
        sum.citations += cited.len() as f64;
    }
    times.sort_by(f64::total_cmp);
    let count = questions.len().max(1) as f64;
    Ok(Extracted {
        answered: sum.answered / count,
        first_right: sum.first_right / count,
        any_right: sum.any_right / count,
        p50_ms: times.get(times.len() / 2).copied().unwrap_or_default(),
        citations: sum.citations / sum.answered.max(1.0),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_area_is_one_where_all_are_told_apart() {
        assert_eq!(area(&[0.9, 0.8], &[0.1, 0.2]), 1.0);
        assert_eq!(area(&[0.5], &[0.5]), 0.5);
        assert_eq!(passing(&[0.1, 0.4, 0.5, 0.6], 0.4), 0.75);
    }
}
