//! The rules for rewriting a text before it is parsed.

/// How a text is rewritten.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Rules {
    /// Normalise: text is in Unicode, so that the database's encoding has its normal form.
    pub normalises: bool,
    /// Remove accents, in scripts in which an accent is a mark on a letter: Latin and Greek.
    pub folds_accents: bool,
    /// Index compound tokens by their parts, too.
    pub splits_compounds: bool,
    /// Make bigrams: the configuration finds no words in scripts without spaces.
    pub makes_bigrams: bool,
}
