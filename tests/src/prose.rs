//! The SQL in the documentation.

/// A fenced block of SQL.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Block {
    /// Line of the file, from 1.
    pub line: usize,
    /// The text after `sql` on the opening fence: `no-run` marks a block that is not executed.
    pub tag: String,
    /// Its text.
    pub sql: String,
}

/// The blocks of Markdown that open with ` ```sql `.
pub fn sql_blocks(markdown: &str) -> Vec<Block> {
    let mut blocks = Vec::new();
    let mut open: Option<Block> = None;
    for (index, line) in markdown.lines().enumerate() {
        let fence = line.trim_start().strip_prefix("```");
        match (&mut open, fence) {
            (Some(_), Some(_)) => blocks.extend(open.take()),
            (Some(block), None) => {
                block.sql.push_str(line);
                block.sql.push('\n');
            }
            (None, Some(info)) => {
                let (language, tag) = info.trim().split_once(' ').unwrap_or((info.trim(), ""));
                let block = Block { line: index + 1, tag: tag.trim().to_owned(), sql: String::new() };
                open = Some(if language == "sql" { block } else { Block { line: 0, ..block } });
            }
            (None, None) => {}
        }
    }
    blocks.retain(|block| block.line > 0);
    blocks
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_sql_blocks_are_taken() {
        let blocks = sql_blocks("a\n```sql\nSELECT 1;\n```\n```sh\nls\n```\n```sql no-run\nSELECT 2;\n```\n");
        assert_eq!(blocks.len(), 2);
        assert_eq!((blocks[0].line, blocks[0].sql.as_str()), (2, "SELECT 1;\n"));
        assert_eq!(blocks[1].tag, "no-run");
    }
}
