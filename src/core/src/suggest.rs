//! The name that a misspelt one was most likely meant to be, for the hints of errors.

/// Names at least so similar are taken for what was meant (Jaro-Winkler).
const MIN_SIMILARITY: f64 = 0.75;

/// The name that was most likely meant.
pub fn nearest<'a>(name: &str, known: &[&'a str]) -> Option<&'a str> {
    let similar = |candidate: &str| strsim::jaro_winkler(name, candidate);
    let best = known.iter().copied().max_by(|a, b| similar(a).total_cmp(&similar(b)))?;
    (similar(best) >= MIN_SIMILARITY).then_some(best)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_misspelt_name_is_recognised() {
        let known = ["protocol", "base_url", "timeout_ms"];
        assert_eq!(nearest("baseurl", &known), Some("base_url"));
        assert_eq!(nearest("time_out_ms", &known), Some("timeout_ms"));
        assert_eq!(nearest("zzz", &known), None);
    }
}
