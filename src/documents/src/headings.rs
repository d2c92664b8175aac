//! Headings in Markdown.

/// The first heading of a Markdown text, outside code blocks.
pub fn first(markdown: &str) -> Option<String> {
    let mut in_code = false;
    for line in markdown.lines() {
        if line.starts_with("```") {
            in_code = !in_code;
        } else if !in_code {
            let text = line.trim_start_matches('#');
            let level = line.len() - text.len();
            if (1..=6).contains(&level) && text.starts_with(' ') && !text.trim().is_empty() {
                return Some(text.trim().to_owned());
            }
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_heading_is_found_outside_code() {
        assert_eq!(first("text\n\n## A b\n# C").as_deref(), Some("A b"));
        assert_eq!(first("```\n# comment\n```\n### Real"), Some("Real".to_owned()));
        assert_eq!(first("#hashtag\n####### seven\n# \n"), None);
    }
}
