//! The files of the repository, and the crates and modules that they form.

use crate::source::{Declaration, Import, Source};
use serde::Deserialize;
use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::fs;
use std::path::Path;
use std::sync::Arc;

/// Folders whose files are read.
const FOLDERS: [&str; 6] = ["src", "tests", "benches", "examples", "setup", "sql"];

/// Rust files by their paths.
pub type Rust = BTreeMap<String, Arc<Source>>;

/// The texts of files, by their paths from the root of the repository.
#[derive(Default)]
pub struct Tree {
    pub files: BTreeMap<String, String>,
}

/// A package of the workspace.
pub struct Package {
    /// Its name in Rust code, such as `ragstone_core`.
    pub name: String,
    /// Its folder with a slash at the end; empty for the root.
    pub folder: String,
    /// The lint level that its manifest sets for `unsafe_code`.
    pub unsafe_lint: Option<String>,
}

#[derive(Deserialize)]
struct Manifest {
    package: Option<ManifestPackage>,
    lints: Option<toml::Table>,
}

#[derive(Deserialize)]
struct ManifestPackage {
    name: String,
}

/// A module of a crate. Modules for tests only are not included.
pub struct Module {
    pub package: usize,
    /// Path of the file that contains its code.
    pub file: String,
    pub parent: Option<usize>,
    pub children: HashMap<String, usize>,
    /// Names that are defined here; true for types.
    pub items: HashMap<String, bool>,
    pub imports: Vec<Import>,
    /// Path of the module within its file.
    pub within: Vec<String>,
}

/// All code of the workspace, without tests.
pub struct Workspace {
    pub packages: Vec<Package>,
    pub modules: Vec<Module>,
    /// Root modules of libraries by the names of their crates.
    pub libraries: HashMap<String, usize>,
    pub sources: Rust,
    /// Files that a `mod name;` declares, including those for tests.
    declared: BTreeSet<String>,
}

impl Tree {
    /// Reads all text files of [`FOLDERS`].
    pub fn read(root: &Path) -> Tree {
        let mut tree = Tree::default();
        tree.read_file(root, "Cargo.toml");
        FOLDERS.iter().for_each(|folder| tree.read_folder(root, folder));
        tree
    }

    fn read_folder(&mut self, root: &Path, folder: &str) {
        let Ok(entries) = fs::read_dir(root.join(folder)) else { return };
        for entry in entries.flatten() {
            let name = entry.file_name().to_string_lossy().into_owned();
            let is_generated =
                name.starts_with('.') || ["target", "node_modules", "__pycache__"].contains(&name.as_str());
            let path = format!("{folder}/{name}");
            match entry.file_type() {
                _ if is_generated => {}
                Ok(kind) if kind.is_dir() => self.read_folder(root, &path),
                Ok(kind) if kind.is_file() => self.read_file(root, &path),
                _ => {}
            }
        }
    }

    /// Reads a file, unless it is not text.
    fn read_file(&mut self, root: &Path, path: &str) {
        if let Ok(text) = fs::read_to_string(root.join(path))
            && !text.contains('\0')
        {
            self.files.insert(path.to_owned(), text);
        }
    }

    /// Packages with code under `src`, the deepest folder last.
    fn packages(&self) -> Vec<Package> {
        let manifests =
            self.files.iter().filter(|(path, _)| *path == "Cargo.toml" || path.starts_with("src/"));
        manifests
            .filter_map(|(path, text)| {
                let folder = path.strip_suffix("Cargo.toml")?;
                let manifest: Manifest =
                    toml::from_str(text).unwrap_or_else(|error| panic!("{path}: {error}"));
                let name = manifest.package?.name.replace('-', "_");
                let lint =
                    manifest.lints.as_ref().and_then(|lints| lints.get("rust")?.get("unsafe_code")?.as_str());
                Some(Package { name, folder: folder.to_owned(), unsafe_lint: lint.map(str::to_owned) })
            })
            .collect()
    }
}

impl Workspace {
    /// Collects the library and the program of each package, from their roots along `mod name;`.
    pub fn of(tree: &Tree, rust: &Rust) -> Workspace {
        let (modules, libraries, sources, declared) = Default::default();
        let mut workspace = Workspace { packages: tree.packages(), modules, libraries, sources, declared };
        for package in 0..workspace.packages.len() {
            let Package { name, folder, .. } = &workspace.packages[package];
            let (name, folder) = (name.clone(), folder.clone());
            for root in ["lib.rs", "main.rs"] {
                let file = format!("{folder}src/{root}");
                if rust.contains_key(&file) {
                    let directory = format!("{folder}src/");
                    let module = workspace.read(rust, package, &file, &directory, None);
                    if root == "lib.rs" {
                        workspace.libraries.insert(name.clone(), module);
                    }
                }
            }
        }
        workspace
    }

    /// Reads a file and the modules that it declares, whose files are in `directory`.
    fn read(
        &mut self,
        rust: &Rust,
        package: usize,
        file: &str,
        directory: &str,
        parent: Option<usize>,
    ) -> usize {
        let source = Arc::clone(&rust[file]);
        let first = self.modules.len();
        self.add(package, file, parent, Vec::new(), &source);
        let mut by_path = HashMap::from([(Vec::new(), first)]);
        self.declared.insert(file.to_owned());
        for declaration in &source.modules {
            if declaration.for_tests {
                self.declare_for_tests(rust, file, directory, declaration);
                continue;
            }
            let parent = by_path[&declaration.module];
            let path = [&declaration.module[..], std::slice::from_ref(&declaration.name)].concat();
            let module = if declaration.inline {
                self.add(package, file, Some(parent), path.clone(), &source)
            } else {
                let (child, directory) = file_of(rust, file, directory, declaration);
                self.read(rust, package, &child, &directory, Some(parent))
            };
            self.modules[parent].children.insert(declaration.name.clone(), module);
            by_path.insert(path, module);
        }
        self.sources.insert(file.to_owned(), source);
        first
    }

    fn add(
        &mut self,
        package: usize,
        file: &str,
        parent: Option<usize>,
        within: Vec<String>,
        source: &Source,
    ) -> usize {
        let mut items = HashMap::new();
        for definition in source.definitions.iter().filter(|definition| definition.module == within) {
            // A type and a function may have the same name.
            *items.entry(definition.name.clone()).or_insert(false) |= definition.is_type;
        }
        let imports = source.imports.iter().filter(|import| import.module == within).cloned().collect();
        let children = HashMap::new();
        self.modules.push(Module {
            package,
            file: file.to_owned(),
            parent,
            children,
            items,
            imports,
            within,
        });
        self.modules.len() - 1
    }

    /// Records the files of a module for tests only.
    fn declare_for_tests(&mut self, rust: &Rust, from: &str, directory: &str, declaration: &Declaration) {
        if !declaration.inline {
            let (file, directory) = file_of(rust, from, directory, declaration);
            for declaration in &rust[&file].modules {
                self.declare_for_tests(rust, &file, &directory, declaration);
            }
            self.declared.insert(file);
        }
    }

    /// Files of the packages' libraries and programs that no `mod name;` declares, and which are therefore
    /// not compiled.
    pub fn undeclared(&self, rust: &Rust) -> Vec<String> {
        let is_missing = |file: &&String| {
            let packages = self.packages.iter().map(|package| &package.folder);
            let owner = packages.filter(|folder| file.starts_with(*folder)).max_by_key(|folder| folder.len());
            owner.is_some_and(|folder| file[folder.len()..].starts_with("src/"))
                && !self.declared.contains(*file)
        };
        rust.keys().filter(is_missing).map(|file| format!("{file}: no `mod` declares it")).collect()
    }

    /// The module of a file that has this path within the file.
    pub fn module(&self, file: &str, within: &[String]) -> Option<usize> {
        self.modules.iter().position(|module| module.file == file && module.within == within)
    }

    /// True if a module is `ancestor` or a descendant of it.
    pub fn is_below(&self, module: usize, ancestor: usize) -> bool {
        let mut at = Some(module);
        while let Some(module) = at {
            if module == ancestor {
                return true;
            }
            at = self.modules[module].parent;
        }
        false
    }
}

/// The file of `mod name;`, and the folder of the modules that it declares.
fn file_of(rust: &Rust, from: &str, directory: &str, declaration: &Declaration) -> (String, String) {
    let Declaration { module, name, line, .. } = declaration;
    let inline: String = module.iter().map(|part| format!("{part}/")).collect();
    let folder = format!("{directory}{inline}{name}");
    [format!("{folder}.rs"), format!("{folder}/mod.rs")]
        .into_iter()
        .find(|file| rust.contains_key(file))
        .map(|file| (file, format!("{folder}/")))
        .unwrap_or_else(|| panic!("{from}:{line}: there is neither {folder}.rs nor {folder}/mod.rs"))
}
