//! Draws a run as a tree: a line for each step below its parent step, with its duration, its time within the run, and its content.

mod format;
mod model;
mod timeline;
mod tree;

pub use model::{TraceRun, TraceStep, TraceStyle};

use format::{ascii, cut, duration, milliseconds, money, one_line, pad};
use timeline::Timeline;
use tree::Tree;

/// Width of the column for durations, characters.
const DURATION_WIDTH: usize = 8;

/// Maximum width of the column for names, characters.
const MAX_LABEL_WIDTH: usize = 44;

/// The lines of the tree: the run, then its steps in the given order, each below its parent. A step whose parent is not
/// among the steps is placed directly below the run.
pub fn lines(run: &TraceRun, steps: &[TraceStep], style: TraceStyle) -> Vec<String> {
    let style = TraceStyle { width: style.width.max(40), ..style };
    let tree = Tree::of(steps);
    let rows = tree.rows(style);
    let names = rows.iter().map(|row| row.label.chars().count()).max().unwrap_or(0).min(MAX_LABEL_WIDTH);
    let timeline = Timeline::of(run, steps);
    let head = cut(&head(run, steps), style.width, style);
    let steps = rows.iter().map(|row| {
        let label = pad(&cut(&row.label, names, style), names);
        let duration = row.step.duration_ms.filter(|ms| ms.is_finite()).map(duration).unwrap_or_default();
        let line = format!(
            "{label} {duration:>DURATION_WIDTH$} {} {}",
            timeline.bar(row.step, style),
            about(row.step, style)
        );
        cut(line.trim_end(), style.width, style)
    });
    std::iter::once(head).chain(steps).collect()
}

fn head(run: &TraceRun, steps: &[TraceStep]) -> String {
    let sum = |tokens: fn(&TraceStep) -> Option<i64>| steps.iter().filter_map(tokens).sum::<i64>();
    let (input, output) = (sum(|step| step.input_tokens), sum(|step| step.output_tokens));
    let cost: f64 = steps.iter().filter_map(|step| step.cost).sum();
    let mut parts = vec![format!("run {}", run.id), one_line(&run.agent), run.status.clone()];
    if run.rolled_back {
        parts.push("rolled back".to_owned());
    }
    match run.finished_us {
        Some(finished) => parts.push(duration(milliseconds(run.started_us, finished))),
        None => {
            let last = steps.iter().map(TraceStep::end_us).fold(run.started_us, i64::max);
            parts.push(format!("{} so far", duration(milliseconds(run.started_us, last))));
        }
    }
    parts.push(match steps.len() {
        1 => "1 step".to_owned(),
        steps => format!("{steps} steps"),
    });
    if input + output > 0 {
        parts.push(format!("{input}+{output} tokens"));
    }
    if cost > 0.0 {
        parts.push(format!("cost {}", money(cost)));
    }
    parts.extend(run.error.as_ref().map(|error| one_line(error)));
    parts.join(", ")
}

/// The content of a step: its status unless it succeeded, its usage, and its texts.
fn about(step: &TraceStep, style: TraceStyle) -> String {
    let mut parts = Vec::new();
    if step.status != "ok" {
        parts.push(step.status.to_uppercase());
    }
    if step.input_tokens.is_some() || step.output_tokens.is_some() {
        parts.push(format!("{}+{} tokens", step.input_tokens.unwrap_or(0), step.output_tokens.unwrap_or(0)));
    }
    if let Some(cost) = step.cost.filter(|cost| *cost > 0.0) {
        parts.push(format!("cost {}", money(cost)));
    }
    if let Some(error) = &step.error {
        parts.push(one_line(error));
    }
    let arrow = if style.ascii { " -> " } else { " → " };
    let texts: Vec<_> = match step.error {
        Some(_) => step.input.iter().map(|text| one_line(text)).collect(),
        None => [&step.input, &step.output].into_iter().flatten().map(|text| one_line(text)).collect(),
    };
    // The input must leave room for the output.
    let room = style.width / 3;
    parts.push(texts.iter().map(|text| cut(text, room, style)).collect::<Vec<_>>().join(arrow));
    parts.retain(|part| !part.is_empty());
    let about = parts.join("  ");
    if style.ascii { ascii(&about) } else { about }
}

#[cfg(test)]
mod tests {
    use super::*;

    const STYLE: TraceStyle = TraceStyle { width: 110, ascii: false };

    fn step(id: i64, parent: Option<i64>, kind: &str, name: &str, from_ms: i64, ms: f64) -> TraceStep {
        TraceStep {
            id,
            parent,
            kind: kind.to_owned(),
            name: Some(name.to_owned()),
            started_us: from_ms * 1000,
            duration_ms: Some(ms),
            status: "ok".to_owned(),
            ..TraceStep::default()
        }
    }

    fn run() -> TraceRun {
        TraceRun {
            id: 7,
            agent: "support".to_owned(),
            status: "done".to_owned(),
            finished_us: Some(2_000_000),
            ..TraceRun::default()
        }
    }

    fn steps() -> Vec<TraceStep> {
        let think = TraceStep {
            model: Some("openai/gpt-4o".to_owned()),
            input_tokens: Some(812),
            output_tokens: Some(12),
            cost: Some(0.0025),
            ..step(1, None, "model", "chat", 0, 1000.0)
        };
        let call = TraceStep {
            input: Some("{\"id\": 17}".to_owned()),
            output: Some("{\"status\":\n \"sent\"}".to_owned()),
            ..step(2, Some(1), "tool", "get_order", 1000, 12.0)
        };
        let failed = TraceStep {
            status: "error".to_owned(),
            error: Some("no such\tuser".to_owned()),
            ..step(4, None, "tool", "get_user", 1500, 500.0)
        };
        vec![think, call, step(3, Some(2), "retrieval", "manual", 1004, 4.0), failed]
    }

    #[test]
    fn steps_stand_under_their_parents() {
        let expected = "\
run 7, support, done, 2.00 s, 4 steps, 812+12 tokens, cost 0.0025
├─ model openai/gpt-4o      1.00 s ██████████·········· 812+12 tokens  cost 0.0025
│  └─ tool get_order       12.0 ms ··········█········· {\"id\": 17} → {\"status\": \"sent\"}
│     └─ retrieval manual  4.00 ms ··········█·········
└─ tool get_user            500 ms ···············█████ ERROR  no such user";
        assert_eq!(lines(&run(), &steps(), STYLE).join("\n"), expected);
    }

    #[test]
    fn ascii_is_nothing_but_ascii() {
        let mut steps = steps();
        steps[1].output = Some("\"grün\"".to_owned());
        let lines = lines(&run(), &steps, TraceStyle { ascii: true, ..STYLE });
        assert!(lines.iter().all(|line| line.is_ascii()), "{lines:#?}");
        assert_eq!(
            lines[2],
            "|  `- tool get_order       12.0 ms ..........=......... {\"id\": 17} -> \"gr?n\""
        );
    }

    #[test]
    fn no_line_is_longer_than_asked_for() {
        let mut steps = steps();
        steps[0].input = Some("x".repeat(10_000));
        steps[0].name = Some("y".repeat(10_000));
        steps[0].model = None;
        for width in [40, 60, 200] {
            for ascii in [false, true] {
                let lines = lines(&run(), &steps, TraceStyle { width, ascii });
                assert!(lines.iter().all(|line| line.chars().count() <= width), "{lines:#?}");
            }
        }
    }

    #[test]
    fn odd_parents_do_no_harm() {
        let circle = [step(1, Some(2), "tool", "a", 0, 1.0), step(2, Some(1), "tool", "b", 0, 1.0)];
        assert_eq!(lines(&run(), &circle, STYLE).len(), 3);
        let own = [step(1, Some(1), "tool", "a", 0, 1.0)];
        assert_eq!(lines(&run(), &own, STYLE).len(), 2);
        let gone = [step(1, Some(99), "tool", "a", 0, 1.0)];
        assert!(lines(&run(), &gone, STYLE)[1].starts_with("└─ tool a"));
        let deep: Vec<_> = (1..50_000).map(|id| step(id, Some(id - 1), "tool", "a", 0, 1.0)).rev().collect();
        assert_eq!(lines(&run(), &deep, STYLE).len(), 50_000);
    }

    #[test]
    fn a_clock_that_goes_back_draws_something() {
        let mut run = run();
        run.finished_us = Some(-5);
        let steps =
            [step(1, None, "tool", "a", -500, 1.0), step(2, None, "tool", "b", i64::MAX / 2000, f64::MAX)];
        assert_eq!(lines(&run, &steps, STYLE).len(), 3);
        run.finished_us = None;
        assert!(lines(&run, &[], STYLE)[0].contains("so far"));
    }
}
