//! Finds words with similar spelling.

/// Words with at least this many letters may have two typos, shorter words one.
const LONG_LETTERS: usize = 8;

/// A word that may be misspelt, in the forms that are compared: as the user typed it, and reduced to its stems.
#[derive(Debug, Clone)]
pub struct Misspelt {
    /// Each form with its number of letters and its maximum number of typos.
    forms: Vec<(String, usize, usize)>,
    first: Option<char>,
}

impl Misspelt {
    /// Takes the word as the user typed it, in lower case, and its stems.
    pub fn new(word: String, stems: impl IntoIterator<Item = String>) -> Self {
        let first = word.chars().next();
        let mut forms = vec![word];
        forms.extend(stems);
        forms.sort_unstable();
        forms.dedup();
        let counted = |form: String| {
            let letters = form.chars().count();
            (form, letters, if letters < LONG_LETTERS { 1 } else { 2 })
        };
        Self { forms: forms.into_iter().map(counted).collect(), first }
    }

    /// The number of typos between the word and another one, or `None` if there are too many. A typo is a letter that is
    /// missing, added, wrong or transposed. The first letter counts as right, so that only words with the same one need to
    /// be compared.
    pub fn distance(&self, other: &str) -> Option<usize> {
        let letters = other.chars().count();
        let near = self.forms.iter().filter(|(_, count, most)| count.abs_diff(letters) <= *most);
        let distances = near.map(|(form, _, most)| (strsim::osa_distance(form, other), *most));
        distances.filter(|(distance, most)| distance <= most).map(|(distance, _)| distance).min()
    }

    /// The first letter of all words that may be similar.
    pub fn first_letter(&self) -> Option<char> {
        self.first
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn long_words_may_have_two_typos() {
        let short = Misspelt::new("vacum".into(), []);
        assert_eq!(
            ["vacum", "vacuum", "vacmu", "vaccuum", "vat"].map(|other| short.distance(other)),
            [Some(0), Some(1), Some(1), None, None]
        );
        let long = Misspelt::new("replikatoin".into(), ["replikatoin".into()]);
        assert_eq!(["replication", "replicas"].map(|other| long.distance(other)), [Some(2), None]);
        assert_eq!(long.first_letter(), Some('r'));
    }

    #[test]
    fn a_stem_is_compared_as_well() {
        let word = Misspelt::new("conections".into(), ["conect".into()]);
        assert_eq!(word.distance("connect"), Some(1));
    }
}
