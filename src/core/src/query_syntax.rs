//! The query syntax with operators, which resembles that of web search engines.
//!
//! | syntax | meaning |
//! |---|---|
//! | `word` | chunks that contain the word rank higher |
//! | `"some words"` | the text contains these words in sequence |
//! | `"some words"~5` | the text contains these words in any order, with at most 5 other words between them |
//! | `-word`, `-"some words"` | the text does not contain it |
//! | `begin*` | like `word`, for all words with this prefix |
//! | `word~` | like `word`, for all words that differ by a typo |
//! | `a OR b` | the text contains at least one of them |
//!
//! Every text is a valid query: anything that cannot be an operator is a word.

/// Maximum number of operators in a query. What follows is read as words.
pub const MAX_OPERATORS: usize = 64;

/// An item that a query searches for.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum QueryItem {
    /// A word.
    Word(String),
    /// All words with this prefix.
    Prefix(String),
    /// All words that differ from this one by a typo.
    Misspelt(String),
    /// Several words.
    Phrase(Phrase),
}

/// Words that occur together.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Phrase {
    /// The words as the user typed them.
    pub words: String,
    /// Maximum number of other words between them, which may then be in any order; `None` if they must be in sequence.
    pub distance: Option<u32>,
}

/// A parsed query.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct WebQuery {
    /// Items that make a text rank higher.
    pub wanted: Vec<QueryItem>,
    /// Lists of which a text must contain at least one item each.
    pub required: Vec<Vec<QueryItem>>,
    /// Items that a text must not contain.
    pub excluded: Vec<QueryItem>,
    /// True if something follows the first [`MAX_OPERATORS`] operators.
    pub is_cut: bool,
}

impl QueryItem {
    /// The words as the user typed them, without operators.
    pub fn words(&self) -> &str {
        match self {
            Self::Word(words) | Self::Prefix(words) | Self::Misspelt(words) => words,
            Self::Phrase(phrase) => &phrase.words,
        }
    }
}

impl WebQuery {
    /// Parses a query with operators.
    pub fn parse(text: &str) -> Self {
        let mut query = Self::default();
        let (mut rest, mut operators) = (text, 0);
        let mut alternatives: Vec<QueryItem> = Vec::new();
        let mut is_alternative = false;
        while let Some(token) = next_token(&mut rest, operators < MAX_OPERATORS) {
            query.is_cut = operators >= MAX_OPERATORS;
            match token {
                QueryToken::Or => {
                    is_alternative = !alternatives.is_empty();
                    operators += 1;
                }
                QueryToken::Excluded(item) => {
                    query.excluded.push(item);
                    is_alternative = false;
                    operators += 1;
                }
                QueryToken::Item(item) => {
                    operators += usize::from(!matches!(item, QueryItem::Word(_)));
                    if !std::mem::take(&mut is_alternative) {
                        query.end_alternatives(&mut alternatives);
                    }
                    alternatives.push(item);
                }
            }
        }
        query.end_alternatives(&mut alternatives);
        query
    }

    /// The words of the items that make a text rank higher, as one text without operators.
    pub fn plain(&self) -> String {
        let words: Vec<&str> = self.wanted.iter().map(QueryItem::words).collect();
        words.join(" ")
    }

    /// Like [`Self::plain`], but without prefixes.
    pub fn plain_without_prefixes(&self) -> String {
        let wanted = self.wanted.iter().filter(|item| !matches!(item, QueryItem::Prefix(_)));
        wanted.map(QueryItem::words).collect::<Vec<_>>().join(" ")
    }

    fn end_alternatives(&mut self, alternatives: &mut Vec<QueryItem>) {
        let alternatives = std::mem::take(alternatives);
        self.wanted.extend(alternatives.iter().cloned());
        if alternatives.len() > 1 || matches!(alternatives[..], [QueryItem::Phrase(_)]) {
            self.required.push(alternatives);
        }
    }
}

enum QueryToken {
    Or,
    Excluded(QueryItem),
    Item(QueryItem),
}

fn next_token(rest: &mut &str, may_be_operator: bool) -> Option<QueryToken> {
    *rest = rest.trim_start();
    if rest.is_empty() {
        return None;
    }
    if !may_be_operator {
        return Some(QueryToken::Item(QueryItem::Word(take_word(rest, &[]))));
    }
    if let Some(after) = rest.strip_prefix('-').filter(|after| begins_item(after)) {
        *rest = after;
        return Some(QueryToken::Excluded(take_item(rest)));
    }
    match take_item(rest) {
        QueryItem::Word(word) if word == "OR" => Some(QueryToken::Or),
        item => Some(QueryToken::Item(item)),
    }
}

/// True if the text after a minus can be excluded: `--` and a single minus are not operators.
fn begins_item(after: &str) -> bool {
    after.starts_with(|first: char| first.is_alphanumeric() || is_quote(first))
}

fn take_item(rest: &mut &str) -> QueryItem {
    if let Some(inside) = rest.strip_prefix(is_quote) {
        let (words, after) = inside.split_once(is_quote).unwrap_or((inside, ""));
        *rest = after;
        return QueryItem::Phrase(Phrase { words: words.to_owned(), distance: take_distance(rest) });
    }
    let word = take_word(rest, &QUOTES);
    let operand =
        |operator| word.strip_suffix(operator).filter(|operand| operand.contains(char::is_alphanumeric));
    if let Some(prefix) = operand('*') {
        QueryItem::Prefix(prefix.to_owned())
    } else if let Some(misspelt) = operand('~') {
        QueryItem::Misspelt(misspelt.to_owned())
    } else {
        QueryItem::Word(word)
    }
}

/// Takes everything up to the next space or one of these characters.
fn take_word(rest: &mut &str, ends: &[char]) -> String {
    let is_end = |character: char| character.is_whitespace() || ends.contains(&character);
    let (word, after) = rest.split_at(rest.find(is_end).unwrap_or(rest.len()));
    *rest = after;
    word.to_owned()
}

fn take_distance(rest: &mut &str) -> Option<u32> {
    let after = rest.strip_prefix('~')?;
    let (digits, after) =
        after.split_at(after.find(|next: char| !next.is_ascii_digit()).unwrap_or(after.len()));
    let distance = digits.parse().ok()?;
    *rest = after;
    Some(distance)
}

/// Quotation marks that keyboards, phones and word processors write.
const QUOTES: [char; 6] = ['"', '“', '”', '„', '«', '»'];

fn is_quote(character: char) -> bool {
    QUOTES.contains(&character)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn word(word: &str) -> QueryItem {
        QueryItem::Word(word.to_owned())
    }

    fn phrase(words: &str, distance: Option<u32>) -> QueryItem {
        QueryItem::Phrase(Phrase { words: words.to_owned(), distance })
    }

    #[test]
    fn each_operator_is_read() {
        let query =
            WebQuery::parse(r#"backup "point in time"  -tape -"old server" archiv* recvery~ "wal file"~3"#);
        let phrases = [phrase("point in time", None), phrase("wal file", Some(3))];
        let wanted = vec![
            word("backup"),
            phrases[0].clone(),
            QueryItem::Prefix("archiv".into()),
            QueryItem::Misspelt("recvery".into()),
            phrases[1].clone(),
        ];
        assert_eq!(query.wanted, wanted);
        assert_eq!(query.required, phrases.map(|phrase| vec![phrase]));
        assert_eq!(query.excluded, [word("tape"), phrase("old server", None)]);
        assert_eq!(query.plain(), "backup point in time archiv recvery wal file");
        assert_eq!(query.plain_without_prefixes(), "backup point in time recvery wal file");
    }

    #[test]
    fn alternatives_are_required_together() {
        let query = WebQuery::parse(r#"copy dump OR "base backup" OR snap* -cloud server"#);
        let alternatives = vec![word("dump"), phrase("base backup", None), QueryItem::Prefix("snap".into())];
        assert_eq!(query.required, [alternatives]);
        assert_eq!(query.wanted.len(), 5);
        assert_eq!(query.excluded, [word("cloud")]);
    }

    #[test]
    fn what_is_no_operator_is_a_word() {
        for text in
            ["a - b", "--force", "*", "~", "**", "or", "5 * 3", "-", "x-ray", "OR", "C:\\x -", "a OR", "OR a"]
        {
            let query = WebQuery::parse(text);
            assert!(query.required.is_empty() && query.excluded.is_empty(), "{text}: {query:?}");
            assert!(query.wanted.iter().all(|item| matches!(item, QueryItem::Word(_))), "{text}: {query:?}");
        }
        assert_eq!(WebQuery::parse("a OR -b").excluded, [word("b")]);
        assert_eq!(WebQuery::parse("\"not closed").required, [[phrase("not closed", None)]]);
        assert_eq!(WebQuery::parse("“as phones type”").required, [[phrase("as phones type", None)]]);
        assert_eq!(WebQuery::parse("size\"of it\"").wanted, [word("size"), phrase("of it", None)]);
        assert_eq!(WebQuery::parse("\"a b\"~99999999999").required, [[phrase("a b", None)]]);
        assert_eq!(WebQuery::parse("  "), WebQuery::default());
    }

    #[test]
    fn a_query_of_many_operators_ends_in_words() {
        let query = WebQuery::parse(&"-a ".repeat(100_000));
        assert_eq!((query.excluded.len(), query.is_cut), (MAX_OPERATORS, true));
        assert_eq!(query.wanted.len(), 100_000 - MAX_OPERATORS);
    }
}
