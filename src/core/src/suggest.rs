//! Names in the hints of errors: the most likely name, and all valid names.

/// Minimum similarity of a misspelt name and a suggestion (Jaro-Winkler).
const MIN_SIMILARITY: f64 = 0.75;

/// The known name that the user most likely meant.
pub fn nearest<'a>(name: &str, known: &[&'a str]) -> Option<&'a str> {
    let similar = |candidate: &str| strsim::jaro_winkler(name, candidate);
    let best = known.iter().copied().max_by(|a, b| similar(a).total_cmp(&similar(b)))?;
    (similar(best) >= MIN_SIMILARITY).then_some(best)
}

/// The names as alternatives: `a, b or c`.
pub fn alternatives(names: &[impl AsRef<str>]) -> String {
    let names: Vec<&str> = names.iter().map(AsRef::as_ref).collect();
    match names.split_last() {
        Some((last, rest)) if !rest.is_empty() => format!("{} or {last}", rest.join(", ")),
        _ => names.concat(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_last_alternative_follows_an_or() {
        assert_eq!(alternatives(&["openai", "cohere", "tei"]), "openai, cohere or tei");
        assert_eq!(alternatives(&["'text'".to_owned(), "'markdown'".to_owned()]), "'text' or 'markdown'");
        assert_eq!(alternatives(&["text"]), "text");
        assert_eq!(alternatives(&[] as &[&str]), "");
    }

    #[test]
    fn a_misspelt_name_is_recognised() {
        let known = ["protocol", "base_url", "timeout_ms"];
        assert_eq!(nearest("baseurl", &known), Some("base_url"));
        assert_eq!(nearest("time_out_ms", &known), Some("timeout_ms"));
        assert_eq!(nearest("zzz", &known), None);
    }
}
