//! The table of layers in docs/ARCHITECTURE.md, generated from `layers.toml`.

use crate::rules::Rules;

const START: &str = "<!-- layers -->\n";
const END: &str = "<!-- /layers -->";

/// The table as Markdown, from the top layer to the bottom.
pub fn table(rules: &Rules) -> String {
    let mut table = "| folder | what is there | imports |\n|---|---|---|\n".to_owned();
    for layer in rules.layers.iter().rev() {
        let mut imports = layer.imports.clone();
        imports.sort_by_key(|import| std::cmp::Reverse(rules.index(import)));
        let imports = if imports.is_empty() { "nothing of ours".to_owned() } else { imports.join(", ") };
        let paths = layer.path.all().iter().map(|path| match path.ends_with(".rs") {
            true => format!("`{path}`"),
            false => format!("`{path}/`"),
        });
        let paths = paths.collect::<Vec<_>>().join(", ");
        table.push_str(&format!("| {paths} | {} | {imports} |\n", layer.what));
    }
    table
}

/// A document with this table between its markers; `None` if it has no markers.
pub fn with_table(document: &str, table: &str) -> Option<String> {
    let (before, rest) = document.split_once(START)?;
    let (_, after) = rest.split_once(END)?;
    Some(format!("{before}{START}\n{table}\n{END}{after}"))
}
