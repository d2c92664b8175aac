//! Paths of source files that a document names in backquotes, such as `search/rows.rs`.

/// The named paths that do not exist. A path may begin at the root, at `src/`, or at the `src/` of the crate
/// that its first folder names.
pub fn missing(document: &str, exists: impl Fn(&str) -> bool) -> Vec<String> {
    let quoted = document.split('`').skip(1).step_by(2);
    let paths = quoted.filter(|text| {
        text.contains('/') && text.ends_with(".rs") && !text.contains(|c: char| c.is_whitespace() || c == '*')
    });
    let found = |path: &&str| {
        let (first, rest) = path.split_once('/').unwrap_or((path, ""));
        exists(path) || exists(&format!("src/{path}")) || exists(&format!("src/{first}/src/{rest}"))
    };
    paths.filter(|path| !found(path)).map(str::to_owned).collect()
}

#[cfg(test)]
mod tests {
    #[test]
    fn a_path_that_is_not_there_is_found() {
        let there = ["src/search/rows.rs", "src/pg/src/wait.rs", "src/api"];
        let text = "`search/rows.rs`, `pg/wait.rs`, `src/api`, `worker/gone.rs`, `a sentence of/gone.rs` and `rag.search`";
        assert_eq!(super::missing(text, |path| there.contains(&path)), ["worker/gone.rs"]);
    }
}
