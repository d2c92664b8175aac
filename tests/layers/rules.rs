//! The rules of `layers.toml`.

use serde::Deserialize;
use std::collections::HashSet;

/// All of `layers.toml`.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Rules {
    /// From the bottom to the top.
    #[serde(rename = "layer")]
    pub layers: Vec<Layer>,
    pub long_file: Vec<Place>,
    pub long_function: Vec<Named>,
    pub type_name: Vec<Named>,
    #[serde(rename = "unsafe")]
    pub unsafe_code: Unsafe,
    pub sqlstate: Sqlstate,
}

/// A folder of code, or a file, and its allowed imports.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Layer {
    pub name: String,
    /// Its path, without a slash at the end. A file belongs to the layer with the longest path that contains
    /// it.
    pub path: OneOrMore,
    pub what: String,
    pub imports: Vec<String>,
}

/// The paths of a layer: usually one; several in a tree that has not been moved into layers yet.
#[derive(Deserialize)]
#[serde(untagged)]
pub enum OneOrMore {
    One(String),
    More(Vec<String>),
}

/// A file or folder to which a rule does not apply.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Place {
    pub path: String,
    pub reason: String,
}

/// A name, in a file or folder, to which a rule does not apply.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Named {
    pub path: String,
    pub name: String,
    pub reason: String,
}

/// The places that may contain unsafe code, and the files whose attributes refuse it everywhere else.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Unsafe {
    pub forbid: Vec<String>,
    pub deny: Vec<String>,
    pub places: Vec<Place>,
    /// Additional places for attributes such as `#[unsafe(no_mangle)]`.
    pub attributes: Vec<Place>,
}

/// The places that may name SQLSTATEs.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Sqlstate {
    /// The file with the constructors of errors.
    pub constructors: String,
    /// Files that compare the SQLSTATE of an error.
    pub compared: Vec<Place>,
}

impl OneOrMore {
    pub fn all(&self) -> &[String] {
        match self {
            OneOrMore::One(path) => std::slice::from_ref(path),
            OneOrMore::More(paths) => paths,
        }
    }
}

impl Rules {
    pub fn parse(text: &str) -> Rules {
        toml::from_str(text).unwrap_or_else(|error| panic!("layers.toml: {error}"))
    }

    /// Index of the layer to which a file belongs.
    pub fn layer_of(&self, file: &str) -> Option<usize> {
        let places = self.layers.iter().enumerate().flat_map(|(index, layer)| {
            layer.path.all().iter().filter(|path| is_in(file, path)).map(move |path| (path.len(), index))
        });
        places.max().map(|(_, index)| index)
    }

    pub fn index(&self, name: &str) -> Option<usize> {
        self.layers.iter().position(|layer| layer.name == name)
    }

    /// The faults of `layers.toml` itself. Imports lead downwards only, so it cannot allow a circle.
    pub fn faults(&self) -> Vec<String> {
        let mut faults = Vec::new();
        let mut names = HashSet::new();
        for (index, layer) in self.layers.iter().enumerate() {
            let name = &layer.name;
            if !names.insert(name) {
                faults.push(format!("layers.toml: {name} is there twice"));
            }
            for import in &layer.imports {
                match self.index(import) {
                    None => faults.push(format!("layers.toml: {name} imports {import}, which is no layer")),
                    Some(other) if other >= index => {
                        faults.push(format!("layers.toml: {name} imports {import}, which is not below it"));
                    }
                    Some(_) => {}
                }
            }
        }
        let places = [
            &self.long_file,
            &self.unsafe_code.places,
            &self.unsafe_code.attributes,
            &self.sqlstate.compared,
        ];
        let reasons = places.into_iter().flatten().map(|place| (&place.path, &place.reason));
        let named = [&self.long_function, &self.type_name].into_iter().flatten();
        for (path, reason) in reasons.chain(named.map(|named| (&named.name, &named.reason))) {
            if reason.trim().is_empty() {
                faults.push(format!("layers.toml: the exception for {path} gives no reason"));
            }
        }
        faults
    }
}

/// True for the file itself and for files below a folder.
pub fn is_in(file: &str, path: &str) -> bool {
    file.strip_prefix(path).is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
}
