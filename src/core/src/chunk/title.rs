//! The title of a chunk: the headings above it.

use crate::protocol::Chunk;

/// Separates the headings of a path.
const HEADING_SEPARATOR: &str = " > ";

/// The heading path of a chunk as one text; `None` if no heading is above the chunk.
pub fn heading(chunk: &Chunk) -> Option<String> {
    (!chunk.headings.is_empty()).then(|| chunk.headings.join(HEADING_SEPARATOR))
}

/// The tokens of a text that may be too long: their number, and a beginning of the text that fits.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Measured {
    /// Tokens of the whole text.
    pub tokens: u32,
    /// The beginning of the text that fits.
    pub beginning: String,
}

/// The part of a heading path that fits into `room` tokens: the innermost headings, or the beginning of the innermost one.
/// `measured` knows the headings that may be too long; any other heading has at most as many tokens as bytes.
pub fn heading_within(headings: &[String], room: u32, measured: impl Fn(&str) -> Option<Measured>) -> String {
    let (mut kept, mut used): (Vec<String>, u32) = (Vec::new(), 0);
    for heading in headings.iter().rev() {
        let separator = u32::from(!kept.is_empty());
        let known = measured(heading);
        let tokens = known.as_ref().map_or(heading.len() as u32, |known| known.tokens);
        if used + separator + tokens > room {
            if kept.is_empty() {
                kept.extend(known.map(|known| known.beginning));
            }
            break;
        }
        used += separator + tokens;
        kept.push(heading.clone());
    }
    kept.reverse();
    kept.join(HEADING_SEPARATOR)
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

    #[test]
    fn the_innermost_headings_are_kept() {
        let measured = |heading: &str| {
            let words: Vec<_> = heading.split(' ').collect();
            let beginning = words[..words.len().min(2)].join(" ");
            Some(Measured { tokens: words.len() as u32, beginning })
        };
        let path = chunk(&["The whole guide", "Backups", "Of large databases"]).headings;
        for (room, expected) in [
            (9, "The whole guide > Backups > Of large databases"),
            (8, "Backups > Of large databases"),
            (5, "Backups > Of large databases"),
            (4, "Of large databases"),
            (2, "Of large"),
        ] {
            assert_eq!(heading_within(&path, room, measured), expected, "{room}");
        }
        assert_eq!(heading_within(&path, 27, |_| None), "Backups > Of large databases");
    }
}
