//! The uses between files: which file uses which name of which other file.

use crate::names::{Names, Target};
use crate::tree::Workspace;
use std::collections::BTreeSet;

/// File `from` uses, at this line, `name`, which file `to` defines.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Arrow {
    pub from: String,
    pub to: String,
    pub line: usize,
    pub name: String,
}

/// All arrows between files, and paths into the workspace that could not be resolved.
#[derive(Default)]
pub struct Arrows {
    pub all: BTreeSet<Arrow>,
    pub unresolved: Vec<String>,
}

impl std::fmt::Display for Arrow {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Arrow { from, to, line, name } = self;
        write!(f, "{from}:{line} uses `{name}` of {to}")
    }
}

impl Arrows {
    /// Finds the arrows of all files. A facade's `pub use` of a lower module counts as no arrow: the file
    /// that uses the name has an arrow to the file that defines it. `mod name;` counts as none, either.
    pub fn of(workspace: &Workspace) -> Arrows {
        let names = Names::of(workspace);
        let mut arrows = Arrows::default();
        for (file, source) in &workspace.sources {
            let module = |within: &[String]| workspace.module(file, within);
            for import in &source.imports {
                let Some(from) = module(&import.module) else { continue };
                let targets = names.resolve(from, &import.segments);
                arrows.check(&names, from, &import.segments, import.line, &targets);
                let is_facade = |target: &&Target| {
                    import.public && names.home(target).is_some_and(|home| workspace.is_below(home, from))
                };
                let used: Vec<&Target> = targets.iter().filter(|target| !is_facade(target)).collect();
                arrows.add(&names, from, import.line, &used);
            }
            for mention in &source.mentions {
                let Some(from) = module(&mention.module) else { continue };
                let targets = match &mention.segments[..] {
                    [name] => names.resolve_alone(from, name),
                    segments => names.resolve(from, segments),
                };
                arrows.check(&names, from, &mention.segments, mention.line, &targets);
                arrows.add(&names, from, mention.line, &targets.iter().collect::<Vec<_>>());
            }
        }
        arrows
    }

    fn add(&mut self, names: &Names, from: usize, line: usize, targets: &[&Target]) {
        let from = names.file(from);
        for target in targets {
            let (Some(home), Target::Item { name, member, .. }) = (names.home(target), target) else {
                continue;
            };
            let to = names.file(home);
            if from != to {
                let name = member.iter().fold(name.clone(), |name, member| format!("{name}::{member}"));
                self.all.insert(Arrow { from: from.to_owned(), to: to.to_owned(), line, name });
            }
        }
    }

    /// Records a path into the workspace that cannot be resolved, because an arrow would be missing.
    fn check(&mut self, names: &Names, from: usize, segments: &[String], line: usize, found: &[Target]) {
        let is_ours = segments.len() > 1 && names.begins_in_module(from, &segments[0]);
        if is_ours && found.is_empty() {
            let file = names.file(from);
            self.unresolved.push(format!("{file}:{line}: `{}` is not found", segments.join("::")));
        }
    }
}
