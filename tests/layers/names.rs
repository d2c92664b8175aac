//! Resolves paths in the code, as far as this is possible without types: `use`, `pub use` and `*` are
//! followed.

use crate::tree::Workspace;
use std::collections::{BTreeMap, HashSet};

/// The meaning of a name.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Target {
    /// An item of another crate that a module of the workspace exports or imports.
    Outside,
    Module(usize),
    /// An item, and the member of it that is named, such as a variant or an associated function.
    Item {
        module: usize,
        name: String,
        member: Option<String>,
    },
}

/// Names that have been looked up already, so that circular imports end.
type Seen = HashSet<(usize, String)>;

/// Resolves paths in a workspace.
pub struct Names<'a> {
    workspace: &'a Workspace,
    /// Modules with an `impl` for a type that another module defines, by that type and the name of the
    /// function.
    impls: BTreeMap<(usize, String, String), usize>,
}

impl<'a> Names<'a> {
    pub fn of(workspace: &'a Workspace) -> Names<'a> {
        let mut names = Names { workspace, impls: BTreeMap::new() };
        let mut impls = BTreeMap::new();
        for (file, source) in &workspace.sources {
            for associated in &source.impls {
                let Some(module) = workspace.module(file, &associated.module) else { continue };
                for target in names.resolve(module, &associated.of) {
                    if let Target::Item { module: home, name, .. } = target {
                        impls.extend(
                            associated
                                .functions
                                .iter()
                                .map(|function| ((home, name.clone(), function.clone()), module)),
                        );
                    }
                }
            }
        }
        names.impls = impls;
        names
    }

    /// All possible meanings of a path in a module: a module, a type and a function may share a name.
    pub fn resolve(&self, from: usize, segments: &[String]) -> Vec<Target> {
        self.walk(from, segments, &mut Seen::new())
    }

    /// The possible meanings of a single name in a module, unless the module's own `use` defines it. A `pub
    /// use` does not count, because it need not be for the module itself.
    pub fn resolve_alone(&self, from: usize, name: &str) -> Vec<Target> {
        let mut imports = self.workspace.modules[from].imports.iter();
        let is_imported = imports.any(|import| !import.public && import.name.as_deref() == Some(name));
        if is_imported { Vec::new() } else { self.lookup(from, name, &mut Seen::new()) }
    }

    /// True if a path that begins with this name leads into a module of the workspace.
    pub fn begins_in_module(&self, from: usize, name: &str) -> bool {
        self.first(from, name, &mut Seen::new()).iter().any(|target| matches!(target, Target::Module(_)))
    }

    /// Path of a module's file.
    pub fn file(&self, module: usize) -> &'a str {
        &self.workspace.modules[module].file
    }

    /// The module that contains the code of a target.
    pub fn home(&self, target: &Target) -> Option<usize> {
        match target {
            Target::Outside | Target::Module(_) => None,
            Target::Item { module, name, member } => {
                let member = member.as_ref();
                let moved =
                    member.and_then(|member| self.impls.get(&(*module, name.clone(), member.clone())));
                Some(moved.copied().unwrap_or(*module))
            }
        }
    }

    fn walk(&self, from: usize, segments: &[String], seen: &mut Seen) -> Vec<Target> {
        let Some((first, rest)) = segments.split_first() else { return Vec::new() };
        let mut targets = self.first(from, first, seen);
        for name in rest {
            targets = self.next(&targets, name, seen);
        }
        targets
    }

    fn first(&self, from: usize, name: &str, seen: &mut Seen) -> Vec<Target> {
        let modules = &self.workspace.modules;
        match name {
            "self" => vec![Target::Module(from)],
            "super" => modules[from].parent.map(Target::Module).into_iter().collect(),
            "crate" => {
                let mut root = from;
                while let Some(parent) = modules[root].parent {
                    root = parent;
                }
                vec![Target::Module(root)]
            }
            _ => {
                let found = self.lookup(from, name, seen);
                match self.workspace.libraries.get(name) {
                    Some(library) if found.iter().all(|target| *target == Target::Outside) => {
                        vec![Target::Module(*library)]
                    }
                    _ => found,
                }
            }
        }
    }

    /// The meanings of a segment within the meanings of the preceding segments.
    fn next(&self, targets: &[Target], name: &str, seen: &mut Seen) -> Vec<Target> {
        let mut found = Vec::new();
        for target in targets {
            match target {
                Target::Module(module) if name == "super" => {
                    found.extend(self.workspace.modules[*module].parent.map(Target::Module));
                }
                Target::Module(module) => found.extend(self.lookup(*module, name, seen)),
                Target::Item { .. } | Target::Outside => {}
            }
        }
        if !found.is_empty() {
            return found;
        }
        // Only types have members; a function with the module's name has none.
        let members = targets.iter().filter_map(|target| match target {
            Target::Item { module, name: item, member: None } if self.is_type(*module, item) => {
                Some(Target::Item { module: *module, name: item.clone(), member: Some(name.to_owned()) })
            }
            Target::Item { member: Some(_), .. } | Target::Outside => Some(target.clone()),
            _ => None,
        });
        members.collect()
    }

    fn is_type(&self, module: usize, name: &str) -> bool {
        self.workspace.modules[module].items.get(name).copied().unwrap_or(false)
    }

    /// The meanings of a name in a module. Visibility is left to the compiler.
    fn lookup(&self, module: usize, name: &str, seen: &mut Seen) -> Vec<Target> {
        let here = &self.workspace.modules[module];
        let mut found: Vec<Target> =
            here.children.get(name).copied().map(Target::Module).into_iter().collect();
        if here.items.contains_key(name) {
            found.push(Target::Item { module, name: name.to_owned(), member: None });
        }
        if !seen.insert((module, name.to_owned())) {
            return found;
        }
        for import in here.imports.iter().filter(|import| import.name.as_deref() == Some(name)) {
            found.extend(self.imported(module, &import.segments, seen));
        }
        if found.is_empty() {
            for import in here.imports.iter().filter(|import| import.name.is_none()) {
                found.extend(self.by_glob(module, &import.segments, name, seen));
            }
        }
        found.sort();
        found.dedup();
        found
    }

    /// The meanings of the path of a `use`.
    fn imported(&self, module: usize, segments: &[String], seen: &mut Seen) -> Vec<Target> {
        let found = self.walk(module, segments, seen);
        if found.is_empty() { vec![Target::Outside] } else { found }
    }

    /// The meanings of a name by a `use segments::*` in a module.
    fn by_glob(&self, module: usize, segments: &[String], name: &str, seen: &mut Seen) -> Vec<Target> {
        let sources = self.imported(module, segments, seen);
        self.next(&sources, name, seen)
    }
}
