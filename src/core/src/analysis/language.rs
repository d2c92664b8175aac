//! Maps language codes to text search configurations.

/// ISO 639-1 codes and the configurations that PostgreSQL ships for these languages
/// (`src/backend/snowball/snowball_create.pl`).
const CONFIGURATIONS: [(&str, &str); 32] = [
    ("ar", "arabic"),
    ("ca", "catalan"),
    ("da", "danish"),
    ("de", "german"),
    ("el", "greek"),
    ("en", "english"),
    ("es", "spanish"),
    ("et", "estonian"),
    ("eu", "basque"),
    ("fi", "finnish"),
    ("fr", "french"),
    ("ga", "irish"),
    ("hi", "hindi"),
    ("hu", "hungarian"),
    ("hy", "armenian"),
    ("id", "indonesian"),
    ("it", "italian"),
    ("lt", "lithuanian"),
    ("nb", "norwegian"),
    ("ne", "nepali"),
    ("nl", "dutch"),
    ("nn", "norwegian"),
    ("no", "norwegian"),
    ("pt", "portuguese"),
    ("ro", "romanian"),
    ("ru", "russian"),
    ("sr", "serbian"),
    ("sv", "swedish"),
    ("ta", "tamil"),
    ("tr", "turkish"),
    ("yi", "yiddish"),
    ("zxx", "simple"),
];

/// The configuration for a language code with or without a region: `de`, `de-AT`, `de_AT`, `de_AT.UTF-8`.
pub fn configuration_of(code: &str) -> Option<&'static str> {
    let language = code.split(['-', '_', '.']).next().unwrap_or_default().to_ascii_lowercase();
    let place = CONFIGURATIONS.binary_search_by_key(&language.as_str(), |(code, _)| code).ok()?;
    Some(CONFIGURATIONS[place].1)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn codes_with_and_without_a_region_are_known() {
        for code in ["de", "DE", "de-AT", "de_CH", "de_DE.UTF-8"] {
            assert_eq!(configuration_of(code), Some("german"), "{code}");
        }
        assert_eq!(configuration_of("pt-BR"), Some("portuguese"));
        assert!(["", "-", "xx", "ja", "german"].map(configuration_of).iter().all(Option::is_none));
        assert!(CONFIGURATIONS.is_sorted());
    }
}
