//! Lower case. PostgreSQL's `lower` changes only ASCII letters if the database's locale is C.

/// A text in lower case.
pub fn lower_case(text: &str) -> String {
    // Unicode's lower case of this letter is an i with a second dot, which no query contains.
    text.replace('İ', "i").to_lowercase()
}

/// Converts letters outside ASCII to lower case. ASCII letters are left to the dictionaries, some of which distinguish capitals.
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
