//! The measures of the checks as numbers, to compare two states of the code and to update `layers.toml`.

use crate::checks::House;
use crate::circles::{circles, graph};
use crate::rules::Layer;
use std::collections::BTreeSet;

/// One line for each measure.
pub fn figures(house: &House) -> String {
    let files = circles(&house.file_graph());
    let between: BTreeSet<(usize, usize)> = house.between_layers().map(|(from, to, _)| (from, to)).collect();
    let upward = house.between_layers().filter(|(from, to, _)| to > from);
    let upward_uses = upward.count();
    let upward = between.iter().filter(|(from, to)| to > from).count();
    let folders = circles(&graph(house.arrows.all.iter().filter_map(|arrow| {
        let (from, to) = (folder(&arrow.from), folder(&arrow.to));
        (from != to).then_some((from, to))
    })));
    let all_folders: BTreeSet<&str> = house.workspace.sources.keys().map(|file| folder(file)).collect();
    let sql = house.tree.files.iter().filter(|(path, _)| path.starts_with("sql/") && path.ends_with(".sql"));
    let sql: usize = sql.map(|(_, text)| text.lines().count()).sum();
    let sizes = |components: &[Vec<String>]| {
        let largest = components.first().map_or(0, Vec::len);
        format!(
            "{}, together {}, largest {largest}",
            components.len(),
            components.iter().map(Vec::len).sum::<usize>()
        )
    };
    let of_code =
        |violations: Vec<String>| violations.iter().filter(|one| !one.starts_with("layers.toml")).count();
    [
        format!("files: {}, arrows between them: {}", house.workspace.sources.len(), house.arrows.all.len()),
        format!("circles of files: {}", sizes(&files)),
        format!("arrows between layers: {}, upward: {upward} (in {upward_uses} lines)", between.len()),
        format!("strongly connected folders: {} of {}", sizes(&folders), all_folders.len()),
        format!("files too long: {}", of_code(house.long_files())),
        format!("functions too long: {}", of_code(house.long_functions())),
        format!("unsafe outside its places: {}", of_code(house.unsafe_code())),
        format!("SQLSTATEs outside the constructors: {}", of_code(house.sqlstates())),
        format!("type names used more than once: {}", of_code(house.type_names())),
        format!("uses of Outcome: {}", house.outcomes().len()),
        format!("lines of SQL: {sql}"),
    ]
    .join("\n")
}

/// The imports of each layer, in the format of `layers.toml`.
pub fn imports(house: &House) -> String {
    let between: BTreeSet<(usize, usize)> = house.between_layers().map(|(from, to, _)| (from, to)).collect();
    let layers = &house.rules.layers;
    let describe = |(index, layer): (usize, &Layer)| {
        let imports =
            between.iter().filter(|(from, _)| *from == index).map(|(_, to)| layers[*to].name.as_str());
        format!("{} imports = {:?}", layer.name, imports.collect::<Vec<_>>())
    };
    layers.iter().enumerate().map(describe).collect::<Vec<_>>().join("\n")
}

/// The top folder of a file within its crate, or the file itself.
fn folder(file: &str) -> &str {
    let start = file.rfind("src/").map_or(0, |start| start + "src/".len());
    let length = file[start..].find('/').unwrap_or(file.len() - start);
    &file[..start + length]
}
