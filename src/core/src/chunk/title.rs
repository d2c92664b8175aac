//! The title of a chunk: the headings that it stands under.

use crate::protocol::Chunk;

/// Separates the headings of a path.
const HEADING_SEPARATOR: &str = " > ";

/// The heading path of a chunk as one text; none where the chunk stands under no heading.
pub fn heading(chunk: &Chunk) -> Option<String> {
    (!chunk.headings.is_empty()).then(|| chunk.headings.join(HEADING_SEPARATOR))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn chunk(headings: &[&str]) -> Chunk {
        let headings = headings.iter().map(|&heading| heading.to_owned()).collect();
        Chunk { content: "x".into(), tokens: 1, start: 0, end: 1, headings }
    }

    #[test]
    fn headings_are_joined_from_the_outermost() {
        assert_eq!(heading(&chunk(&["Guide", "Backups"])).as_deref(), Some("Guide > Backups"));
        assert_eq!(heading(&chunk(&[])), None);
    }
}
