//! The checks: each returns all violations of a rule, with their places.

use crate::arrows::{Arrow, Arrows};
use crate::circles::{Graph, circles, graph, shortest_way};
use crate::rules::{Named, Place, Rules, is_in};
use crate::source::{Function, Source};
use crate::tree::{Rust, Tree, Workspace};
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

pub const MAX_FILE_LINES: usize = 400;
pub const MAX_FUNCTION_LINES: usize = 60;

/// A repository, read and parsed.
pub struct House {
    pub tree: Tree,
    pub workspace: Workspace,
    pub arrows: Arrows,
    pub rules: Rules,
    /// All Rust files of `src`, `tests` and `benches`, tests included.
    pub rust: Rust,
}

impl House {
    pub fn of(tree: Tree, rules: Rules) -> House {
        let folders = ["src/", "tests/", "benches/"];
        let is_code =
            |path: &str| path.ends_with(".rs") && folders.iter().any(|folder| path.starts_with(folder));
        let files = tree.files.iter().filter(|(path, _)| is_code(path));
        let rust: Rust =
            files.map(|(path, text)| (path.clone(), Arc::new(Source::parse(path, text)))).collect();
        let workspace = Workspace::of(&tree, &rust);
        let arrows = Arrows::of(&workspace);
        House { workspace, arrows, rules, rust, tree }
    }

    /// Arrows between layers that `layers.toml` does not allow, entries that no code uses, and files that
    /// belong to no layer.
    pub fn layers(&self) -> Vec<String> {
        let mut violations = self.rules.faults();
        let mut used = BTreeSet::new();
        for (from, to, arrow) in self.between_layers() {
            let (below, above) = (&self.rules.layers[to].name, &self.rules.layers[from].name);
            if self.rules.layers[from].imports.contains(below) {
                used.insert((from, to));
            } else {
                let why = if to > from { "runs up" } else { "is not in layers.toml" };
                violations.push(format!("{arrow}: {above} → {below} {why}"));
            }
        }
        let mut inhabited = BTreeSet::new();
        for file in self.workspace.sources.keys() {
            match self.rules.layer_of(file) {
                Some(layer) => drop(inhabited.insert(layer)),
                None => violations.push(format!("{file}: no layer of layers.toml holds it")),
            }
        }
        for (index, layer) in self.rules.layers.iter().enumerate() {
            if !inhabited.contains(&index) {
                violations.push(format!("layers.toml: {} has no file", layer.name));
            }
            for import in &layer.imports {
                if self.rules.index(import).is_some_and(|other| !used.contains(&(index, other))) {
                    violations.push(format!("layers.toml: {} does not import {import}", layer.name));
                }
            }
        }
        violations
    }

    /// Arrows from one layer to another.
    pub fn between_layers(&self) -> impl Iterator<Item = (usize, usize, &Arrow)> {
        self.arrows.all.iter().filter_map(|arrow| {
            let (from, to) = (self.rules.layer_of(&arrow.from)?, self.rules.layer_of(&arrow.to)?);
            (from != to).then_some((from, to, arrow))
        })
    }

    pub fn file_graph(&self) -> Graph {
        graph(self.arrows.all.iter().map(|arrow| (arrow.from.as_str(), arrow.to.as_str())))
    }

    /// Circles of files, each with its shortest cycle.
    pub fn circles(&self) -> Vec<String> {
        let graph = self.file_graph();
        let describe = |component: &Vec<String>| {
            let way = shortest_way(&graph, component);
            let arrows = way.windows(2).filter_map(|step| {
                self.arrows.all.iter().find(|arrow| arrow.from == step[0] && arrow.to == step[1])
            });
            let arrows: String = arrows.map(|arrow| format!("\n    {arrow}")).collect();
            format!("a circle of {} files: {}{arrows}", component.len(), component.join(", "))
        };
        circles(&graph).iter().map(describe).collect()
    }

    /// Files over the limit of lines.
    pub fn long_files(&self) -> Vec<String> {
        let is_measured = |path: &str| match path.split('/').next() {
            Some("src" | "tests" | "benches") => path.ends_with(".rs"),
            Some("examples" | "setup" | "sql") => true,
            _ => false,
        };
        let files = self.tree.files.iter().filter(|(path, _)| is_measured(path));
        let long = files
            .map(|(path, text)| (path, text.lines().count()))
            .filter(|(_, lines)| *lines > MAX_FILE_LINES);
        let found = long.map(|(path, lines)| (path.clone(), format!("{path}: {lines} lines")));
        except(found.collect(), &self.rules.long_file, "is no longer too long")
    }

    /// Functions over the limit of lines.
    pub fn long_functions(&self) -> Vec<String> {
        let functions =
            self.rust.iter().flat_map(|(path, source)| source.functions.iter().map(move |one| (path, one)));
        let long = functions.filter(|(_, function)| function.lines > MAX_FUNCTION_LINES);
        let found = long.map(|(path, Function { name, line, lines })| {
            ((path.clone(), name.clone()), format!("{path}:{line}: `{name}` has {lines} lines"))
        });
        except_named(found.collect(), &self.rules.long_function, "is no longer too long")
    }

    /// Unsafe code outside the allowed places, and crates whose attributes do not refuse it.
    pub fn unsafe_code(&self) -> Vec<String> {
        let places = &self.rules.unsafe_code;
        let sites = |lines: fn(&Source) -> &[usize]| -> Vec<(String, String)> {
            let files = self.rust.iter().filter(|(path, _)| path.starts_with("src/"));
            let sites = files.flat_map(|(path, source)| lines(source).iter().map(move |line| (path, line)));
            sites.map(|(path, line)| (path.clone(), format!("{path}:{line}: unsafe"))).collect()
        };
        let mut violations =
            except(sites(|source| &source.unsafe_code), &places.places, "has no unsafe code");
        let is_safe =
            |(path, _): &(String, String)| !places.places.iter().any(|place| is_in(path, &place.path));
        let attributes = sites(|source| &source.unsafe_attributes).into_iter().filter(is_safe).collect();
        violations.extend(except(attributes, &places.attributes, "has no unsafe attribute"));
        let roots = [("forbid", &places.forbid), ("deny", &places.deny)];
        for (level, root) in
            roots.into_iter().flat_map(|(level, roots)| roots.iter().map(move |root| (level, root)))
        {
            if self.unsafe_lint(root).as_deref() != Some(level) {
                violations.push(format!("{root}: #![{level}(unsafe_code)] is missing"));
            }
        }
        violations
    }

    /// The lint level for unsafe code that a crate's root, or the manifest beside it, sets.
    fn unsafe_lint(&self, root: &str) -> Option<String> {
        let own = self.rust.get(root)?.unsafe_lint.clone();
        let manifest = || {
            let folder = root.strip_suffix("src/lib.rs").or(root.strip_suffix("src/main.rs"))?;
            self.workspace.packages.iter().find(|package| package.folder == folder)?.unsafe_lint.clone()
        };
        own.or_else(manifest)
    }

    /// SQLSTATEs outside the file of constructors.
    pub fn sqlstates(&self) -> Vec<String> {
        let rules = &self.rules.sqlstate;
        let files = self.workspace.sources.iter().filter(|(path, _)| **path != rules.constructors);
        let uses = files.flat_map(|(path, source)| source.sqlstates.iter().map(move |one| (path, one)));
        let found = uses.map(|(path, (line, name))| (path.clone(), format!("{path}:{line}: {name}")));
        let mut violations = except(found.collect(), &rules.compared, "compares no SQLSTATE");
        if !self.tree.files.contains_key(&rules.constructors) {
            violations.push(format!("layers.toml: {} is not there", rules.constructors));
        }
        violations
    }

    /// Types of a package that share a name with another one. An exception excludes the types of a file or
    /// folder.
    pub fn type_names(&self) -> Vec<String> {
        let mut types: BTreeMap<(usize, &str), BTreeSet<(&str, usize)>> = BTreeMap::new();
        for module in &self.workspace.modules {
            let source = &self.workspace.sources[&module.file];
            for definition in
                source.definitions.iter().filter(|one| one.is_type && one.module == module.within)
            {
                let key = (module.package, definition.name.as_str());
                types.entry(key).or_default().insert((&module.file, definition.line));
            }
        }
        types.retain(|_, places| places.len() > 1);
        let mut needless: Vec<&Named> = self.rules.type_name.iter().collect();
        let mut violations = Vec::new();
        for ((_, name), places) in types {
            let is_excepted = |file: &str, one: &Named| one.name == name && is_in(file, &one.path);
            needless.retain(|one| !places.iter().any(|(file, _)| is_excepted(file, one)));
            let left = places
                .iter()
                .filter(|(file, _)| !self.rules.type_name.iter().any(|one| is_excepted(file, one)));
            let left: Vec<String> = left.map(|(file, line)| format!("{file}:{line}")).collect();
            if left.len() > 1 {
                violations.push(format!("`{name}` is {} types: {}", left.len(), left.join(", ")));
            }
        }
        let needless = needless
            .iter()
            .map(|one| format!("layers.toml: `{}` of {} is one type only", one.name, one.path));
        violations.extend(needless);
        violations
    }

    /// Uses of `Outcome`, which was a third kind of `Result`.
    pub fn outcomes(&self) -> Vec<String> {
        let uses =
            self.rust.iter().flat_map(|(path, source)| source.outcomes.iter().map(move |line| (path, line)));
        uses.map(|(path, line)| format!("{path}:{line}: `Outcome` is `Result`")).collect()
    }
}

/// The findings outside the excepted places, and the exceptions that nothing needs.
fn except(found: Vec<(String, String)>, places: &[Place], unused: &str) -> Vec<String> {
    let unneeded = places.iter().filter(|place| !found.iter().any(|(path, _)| is_in(path, &place.path)));
    let unneeded: Vec<String> =
        unneeded.map(|place| format!("layers.toml: {} {unused}", place.path)).collect();
    let left = found.into_iter().filter(|(path, _)| !places.iter().any(|place| is_in(path, &place.path)));
    left.map(|(_, text)| text).chain(unneeded).collect()
}

/// As `except`, for findings with a place and a name.
fn except_named(found: Vec<((String, String), String)>, exceptions: &[Named], unused: &str) -> Vec<String> {
    let is_it = |key: &(String, String), named: &Named| (&key.0, &key.1) == (&named.path, &named.name);
    let unneeded = exceptions.iter().filter(|named| !found.iter().any(|(key, _)| is_it(key, named)));
    let unneeded = unneeded.map(|named| format!("layers.toml: `{}` of {} {unused}", named.name, named.path));
    let unneeded: Vec<String> = unneeded.collect();
    let left = found.into_iter().filter(|(key, _)| !exceptions.iter().any(|named| is_it(key, named)));
    left.map(|(_, text)| text).chain(unneeded).collect()
}
