//! Lower case. A database whose locale is C has none for letters outside ASCII.

/// A text in lower case.
pub fn lower_case(text: &str) -> String {
    // Its lower case in Unicode is an i with a second dot, by which nobody looks for it.
    text.replace('İ', "i").to_lowercase()
}

/// A text with letters outside ASCII in lower case. Those of ASCII are left to the dictionaries, some of which tell capitals apart.
pub fn lower_outside_ascii(text: String) -> String {
    if text.is_ascii() {
        return text;
    }
    let mut lower = String::with_capacity(text.len());
    let mut rest = text.chars();
    let mut is_after_letter = false;
    while let Some(character) = rest.next() {
        match character {
            _ if character.is_ascii() => lower.push(character),
            'İ' => lower.push('i'),
            'Σ' if is_after_letter && !rest.as_str().starts_with(char::is_alphabetic) => lower.push('ς'),
            _ => lower.extend(character.to_lowercase()),
        }
        is_after_letter = character.is_alphabetic();
    }
    lower
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn letters_outside_ascii_have_one_lower_case() {
        for text in ["ÉCOLE", "ОШИБКА", "ΟΔΟΣ ΣΟΦΙΑ", "Σ", "İZMİR", "ẞ Ⱥ ǅ", "数 É", "", "a"]
        {
            assert_eq!(lower_outside_ascii(text.to_owned()).to_ascii_lowercase(), lower_case(text));
        }
        assert_eq!(lower_outside_ascii("ABC ÉCOLE İs".to_owned()), "ABC éCOLE is");
        assert_eq!(lower_case("ΟΔΟΣ İS"), "οδος is");
    }
}
