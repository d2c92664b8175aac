//! What is done with a text before it is read.

/// What is done with a text.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Rules {
    /// Text is in Unicode, so that its normal form can be written in the database's encoding.
    pub normalises: bool,
    /// Letters lose their accents, in scripts in which these are marks on a letter: Latin and Greek.
    pub folds_accents: bool,
    /// Compound tokens are found by their parts, too.
    pub splits_compounds: bool,
    /// The configuration has no words for scripts without spaces.
    pub makes_bigrams: bool,
}
