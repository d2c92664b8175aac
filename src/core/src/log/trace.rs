//! A run as a tree for people: a line for each step under the step that it is a part of, how long it took, when in the run that
//! was, and what it was about.

use std::collections::{HashMap, HashSet};

/// Columns of the bar that shows when a step was.
const BAR: usize = 20;

/// Columns of a duration.
const DURATION: usize = 8;

/// The column of names is not wider.
const WIDEST_NAME: usize = 44;

/// Steps nested deeper than this are indented no further.
const DEEPEST: usize = 12;

/// What is run.
#[derive(Debug, Clone, Default)]
pub struct Run {
    /// Number.
    pub id: i64,
    /// What runs.
    pub agent: String,
    /// As the log has it.
    pub status: String,
    /// Microseconds since 1970.
    pub started_us: i64,
    /// Microseconds since 1970; none while it runs.
    pub finished_us: Option<i64>,
    /// What went wrong.
    pub error: Option<String>,
    /// Whether it was undone, and only its record is left.
    pub rolled_back: bool,
}

/// A step of it.
#[derive(Debug, Clone, Default)]
pub struct Step {
    /// Number.
    pub id: i64,
    /// The step that it is a part of.
    pub parent: Option<i64>,
    /// As the log has it.
    pub kind: String,
    /// Of the tool, the collection, the function.
    pub name: Option<String>,
    /// `server/model`.
    pub model: Option<String>,
    /// Tokens of the prompt.
    pub input_tokens: Option<i64>,
    /// Tokens of the answer.
    pub output_tokens: Option<i64>,
    /// In the currency of the prices.
    pub cost: Option<f64>,
    /// Microseconds since 1970.
    pub started_us: i64,
    /// Milliseconds.
    pub duration_ms: Option<f64>,
    /// As the log has it.
    pub status: String,
    /// What went wrong.
    pub error: Option<String>,
    /// JSON, or its beginning.
    pub input: Option<String>,
    /// JSON, or its beginning.
    pub output: Option<String>,
}

/// How it is drawn.
#[derive(Debug, Clone, Copy)]
pub struct Style {
    /// Columns of a line; at least 40.
    pub width: usize,
    /// With nothing but ASCII.
    pub ascii: bool,
}

/// The lines: the run, then its steps in the order that they are given in, each under its parent. A step whose parent is not among
/// them is one of the run's own.
pub fn lines(run: &Run, steps: &[Step], style: Style) -> Vec<String> {
    let style = Style { width: style.width.max(40), ..style };
    let tree = Tree::of(steps);
    let rows = tree.rows(style);
    let names = rows.iter().map(|row| row.label.chars().count()).max().unwrap_or(0).min(WIDEST_NAME);
    let scale = Scale::of(run, steps);
    let head = cut(&head(run, steps), style.width, style);
    let steps = rows.iter().map(|row| {
        let label = pad(&cut(&row.label, names, style), names);
        let duration = row.step.duration_ms.filter(|ms| ms.is_finite()).map(duration).unwrap_or_default();
        let line = format!(
            "{label} {duration:>DURATION$} {} {}",
            scale.bar(row.step, style),
            about(row.step, style)
        );
        cut(line.trim_end(), style.width, style)
    });
    std::iter::once(head).chain(steps).collect()
}

/// Steps by the step that they are a part of.
struct Tree<'a> {
    steps: &'a [Step],
    roots: Vec<&'a Step>,
    children: HashMap<i64, Vec<&'a Step>>,
}

struct Row<'a> {
    step: &'a Step,
    label: String,
}

impl<'a> Tree<'a> {
    fn of(steps: &'a [Step]) -> Self {
        let ids: HashSet<i64> = steps.iter().map(|step| step.id).collect();
        let mut tree = Self { steps, roots: Vec::new(), children: HashMap::new() };
        for step in steps {
            match step.parent.filter(|parent| ids.contains(parent)) {
                Some(parent) => tree.children.entry(parent).or_default().push(step),
                None => tree.roots.push(step),
            }
        }
        tree
    }

    /// Depth first, without recursion: how deep a tree is, is up to who writes the log.
    fn rows(&self, style: Style) -> Vec<Row<'a>> {
        let mut rows = Vec::with_capacity(self.steps.len());
        let mut seen = HashSet::new();
        self.below(&self.roots, style, &mut seen, &mut rows);
        // Steps that are parts of each other are below no root.
        for step in self.steps {
            if !seen.contains(&step.id) {
                self.below(&[step], style, &mut seen, &mut rows);
            }
        }
        rows
    }

    fn below(&self, roots: &[&'a Step], style: Style, seen: &mut HashSet<i64>, rows: &mut Vec<Row<'a>>) {
        let mut stack = Vec::new();
        push(&mut stack, roots, "", 0);
        while let Some((step, indent, last, depth)) = stack.pop() {
            if !seen.insert(step.id) {
                continue;
            }
            let (branch, below) = match (style.ascii, last) {
                (false, false) => ("├─ ", "│  "),
                (false, true) => ("└─ ", "   "),
                (true, false) => ("|- ", "|  "),
                (true, true) => ("`- ", "   "),
            };
            rows.push(Row { step, label: format!("{indent}{branch}{}", label(step)) });
            if let Some(children) = self.children.get(&step.id) {
                let indent = if depth < DEEPEST { format!("{indent}{below}") } else { indent };
                push(&mut stack, children, &indent, depth + 1);
            }
        }
    }
}

/// A step, the indentation before it, whether it is the last there, and how deep it is.
type Due<'a> = (&'a Step, String, bool, usize);

fn push<'a>(stack: &mut Vec<Due<'a>>, steps: &[&'a Step], indent: &str, depth: usize) {
    for (place, step) in steps.iter().enumerate().rev() {
        stack.push((step, indent.to_owned(), place + 1 == steps.len(), depth));
    }
}

fn label(step: &Step) -> String {
    let what = match step.kind.as_str() {
        "model" => step.model.as_ref().or(step.name.as_ref()),
        _ => step.name.as_ref().or(step.model.as_ref()),
    };
    what.map_or_else(|| step.kind.clone(), |what| one_line(&format!("{} {what}", step.kind)))
}

fn head(run: &Run, steps: &[Step]) -> String {
    let sum = |tokens: fn(&Step) -> Option<i64>| steps.iter().filter_map(tokens).sum::<i64>();
    let (input, output) = (sum(|step| step.input_tokens), sum(|step| step.output_tokens));
    let cost: f64 = steps.iter().filter_map(|step| step.cost).sum();
    let mut parts = vec![format!("run {}", run.id), one_line(&run.agent), run.status.clone()];
    if run.rolled_back {
        parts.push("rolled back".to_owned());
    }
    match run.finished_us {
        Some(finished) => parts.push(duration(milliseconds(run.started_us, finished))),
        None => {
            let last = steps.iter().map(end).fold(run.started_us, i64::max);
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

/// What a step was about: its state where it is not well, what it took, and its texts.
fn about(step: &Step, style: Style) -> String {
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
    // What was given is not to take all the room there is for what came of it.
    let room = style.width / 3;
    parts.push(texts.iter().map(|text| cut(text, room, style)).collect::<Vec<_>>().join(arrow));
    parts.retain(|part| !part.is_empty());
    let about = parts.join("  ");
    if style.ascii { ascii(&about) } else { about }
}

/// From when to when a run and its steps were: these may have been logged with times of another clock.
#[derive(Clone, Copy)]
struct Scale {
    started_us: i64,
    length_ms: f64,
}

impl Scale {
    fn of(run: &Run, steps: &[Step]) -> Self {
        let begins = steps.iter().map(|step| step.started_us);
        let started_us = begins.fold(run.started_us, i64::min);
        let ends = run.finished_us.into_iter().chain(steps.iter().map(end));
        let end = ends.fold(started_us, i64::max);
        Self { started_us, length_ms: milliseconds(started_us, end) }
    }

    fn bar(&self, step: &Step, style: Style) -> String {
        let (full, empty) = if style.ascii { ('=', '.') } else { ('█', '·') };
        if self.length_ms <= 0.0 {
            return empty.to_string().repeat(BAR);
        }
        let column = |ms: f64| (ms / self.length_ms * BAR as f64).clamp(0.0, BAR as f64);
        let begin_ms = milliseconds(self.started_us, step.started_us);
        let from = (column(begin_ms).floor() as usize).min(BAR - 1);
        let to = (column(begin_ms + step.duration_ms.unwrap_or(0.0)).round() as usize).max(from + 1);
        (0..BAR).map(|at| if (from..to).contains(&at) { full } else { empty }).collect()
    }
}

fn end(step: &Step) -> i64 {
    step.started_us.saturating_add((step.duration_ms.unwrap_or(0.0).max(0.0) * 1000.0) as i64)
}

fn milliseconds(from_us: i64, to_us: i64) -> f64 {
    to_us.saturating_sub(from_us) as f64 / 1000.0
}

/// With three digits and the unit that fits.
pub fn duration(ms: f64) -> String {
    let (value, unit) = match ms.max(0.0) {
        ms if ms < 0.9995 => (ms * 1000.0, "us"),
        ms if ms < 999.5 => (ms, "ms"),
        ms if ms < 119_950.0 => (ms / 1000.0, "s"),
        ms if ms < 7_200_000.0 => (ms / 60_000.0, "min"),
        ms => (ms / 3_600_000.0, "h"),
    };
    let digits = if value < 9.995 {
        2
    } else if value < 99.95 {
        1
    } else {
        0
    };
    format!("{value:.digits$} {unit}")
}

fn money(cost: f64) -> String {
    let text = format!("{cost:.6}");
    text.trim_end_matches('0').trim_end_matches('.').to_owned()
}

fn one_line(text: &str) -> String {
    let clean: String = text.chars().map(|c| if c.is_control() { ' ' } else { c }).collect();
    clean.split_whitespace().collect::<Vec<_>>().join(" ")
}

fn ascii(text: &str) -> String {
    text.chars().map(|c| if c.is_ascii() { c } else { '?' }).collect()
}

fn cut(text: &str, width: usize, style: Style) -> String {
    let text = if style.ascii { ascii(text) } else { text.to_owned() };
    if text.chars().count() <= width {
        return text;
    }
    let mark = if style.ascii { "..." } else { "…" };
    let kept = width.saturating_sub(mark.chars().count());
    text.chars().take(kept).chain(mark.chars()).collect()
}

fn pad(text: &str, width: usize) -> String {
    let missing = width.saturating_sub(text.chars().count());
    format!("{text}{}", " ".repeat(missing))
}

#[cfg(test)]
mod tests {
    use super::*;

    const STYLE: Style = Style { width: 110, ascii: false };

    fn step(id: i64, parent: Option<i64>, kind: &str, name: &str, from_ms: i64, ms: f64) -> Step {
        Step {
            id,
            parent,
            kind: kind.to_owned(),
            name: Some(name.to_owned()),
            started_us: from_ms * 1000,
            duration_ms: Some(ms),
            status: "ok".to_owned(),
            ..Step::default()
        }
    }

    fn run() -> Run {
        Run {
            id: 7,
            agent: "support".to_owned(),
            status: "done".to_owned(),
            finished_us: Some(2_000_000),
            ..Run::default()
        }
    }

    fn steps() -> Vec<Step> {
        let think = Step {
            model: Some("openai/gpt-4o".to_owned()),
            input_tokens: Some(812),
            output_tokens: Some(12),
            cost: Some(0.0025),
            ..step(1, None, "model", "chat", 0, 1000.0)
        };
        let call = Step {
            input: Some("{\"id\": 17}".to_owned()),
            output: Some("{\"status\":\n \"sent\"}".to_owned()),
            ..step(2, Some(1), "tool", "get_order", 1000, 12.0)
        };
        let failed = Step {
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
        let lines = lines(&run(), &steps, Style { ascii: true, ..STYLE });
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
                let lines = lines(&run(), &steps, Style { width, ascii });
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

    #[test]
    fn durations_have_three_digits() {
        for (ms, expected) in [
            (0.0, "0.00 us"),
            (0.0123, "12.3 us"),
            (1.0, "1.00 ms"),
            (999.4, "999 ms"),
            (999.9, "1.00 s"),
            (61_000.0, "61.0 s"),
            (600_000.0, "10.0 min"),
            (90_000_000.0, "25.0 h"),
            (-3.0, "0.00 us"),
        ] {
            assert_eq!(duration(ms), expected, "{ms}");
        }
    }
}
