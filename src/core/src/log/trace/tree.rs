//! Arranges steps below their parent steps.

use std::collections::{HashMap, HashSet};

use super::format::one_line;
use super::model::{TraceStep, TraceStyle};

/// Deeper steps are not indented any further.
const MAX_INDENT_DEPTH: usize = 12;

/// Steps by parent step.
pub struct Tree<'a> {
    steps: &'a [TraceStep],
    roots: Vec<&'a TraceStep>,
    children: HashMap<i64, Vec<&'a TraceStep>>,
}

/// A step with its branch and name.
pub struct TreeLine<'a> {
    pub step: &'a TraceStep,
    pub label: String,
}

impl<'a> Tree<'a> {
    pub fn of(steps: &'a [TraceStep]) -> Self {
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

    /// Lists the steps depth first, without recursion: the application that writes the log determines the depth of the tree.
    pub fn rows(&self, style: TraceStyle) -> Vec<TreeLine<'a>> {
        let mut rows = Vec::with_capacity(self.steps.len());
        let mut seen = HashSet::new();
        self.below(&self.roots, style, &mut seen, &mut rows);
        // Steps in a cycle of parents are not below a root.
        for step in self.steps {
            if !seen.contains(&step.id) {
                self.below(&[step], style, &mut seen, &mut rows);
            }
        }
        rows
    }

    fn below(
        &self,
        roots: &[&'a TraceStep],
        style: TraceStyle,
        seen: &mut HashSet<i64>,
        rows: &mut Vec<TreeLine<'a>>,
    ) {
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
            rows.push(TreeLine { step, label: format!("{indent}{branch}{}", label(step)) });
            if let Some(children) = self.children.get(&step.id) {
                let indent = if depth < MAX_INDENT_DEPTH { format!("{indent}{below}") } else { indent };
                push(&mut stack, children, &indent, depth + 1);
            }
        }
    }
}

/// A step, the indentation before it, whether it is the last of its siblings, and its depth.
type PendingStep<'a> = (&'a TraceStep, String, bool, usize);

fn push<'a>(stack: &mut Vec<PendingStep<'a>>, steps: &[&'a TraceStep], indent: &str, depth: usize) {
    for (place, step) in steps.iter().enumerate().rev() {
        stack.push((step, indent.to_owned(), place + 1 == steps.len(), depth));
    }
}

fn label(step: &TraceStep) -> String {
    let what = match step.kind.as_str() {
        "model" => step.model.as_ref().or(step.name.as_ref()),
        _ => step.name.as_ref().or(step.model.as_ref()),
    };
    what.map_or_else(|| step.kind.clone(), |what| one_line(&format!("{} {what}", step.kind)))
}
