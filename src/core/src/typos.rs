//! Words that are spelt much alike.

/// Words of so many letters may have two typos, shorter ones one.
const LONG_LETTERS: usize = 8;

/// A word that may be misspelt, in the forms in which it may be compared: as it was typed, and reduced to its stem.
#[derive(Debug, Clone)]
pub struct Misspelt {
    /// Each with its number of letters and the most typos.
    forms: Vec<(String, usize, usize)>,
    first: Option<char>,
}

impl Misspelt {
    /// A word as it was typed, in lower case, and its stems.
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

    /// How many typos make the word another one, if not too many: letters that are missing, added, wrong or in the wrong order. The
    /// first letter counts as right, so that only words with the same one need to be compared.
    pub fn distance(&self, other: &str) -> Option<usize> {
        let letters = other.chars().count();
        let near = self.forms.iter().filter(|(_, count, most)| count.abs_diff(letters) <= *most);
        let distances = near.map(|(form, _, most)| (strsim::osa_distance(form, other), *most));
        distances.filter(|(distance, most)| distance <= most).map(|(distance, _)| distance).min()
    }

    /// What other words begin with.
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
