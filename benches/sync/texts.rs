//! Rows for the benches, from the manual's prose.

use anyhow::{Context, Result};
use ragstone_tests::copy::copy_rows;
use ragstone_tests::manual;
use ragstone_tests::session::Session;

/// Texts of `length` bytes: pieces of the manual, repeated if there are not enough, and each with its number,
/// so that no two are equal.
pub fn pieces(count: usize, length: usize) -> Result<Vec<String>> {
    let prose: String = manual::pages()?.into_iter().flat_map(|page| [page.body, "\n".to_owned()]).collect();
    let prose: Vec<u8> = prose.bytes().filter(u8::is_ascii).collect();
    let pieces: Vec<&[u8]> = prose.chunks_exact(length).collect();
    (0..count)
        .map(|number| {
            let piece = pieces.get(number % pieces.len().max(1)).context("the manual is too short")?;
            let mut text = format!("{number} {}", String::from_utf8_lossy(piece));
            text.truncate(length);
            Ok(text)
        })
        .collect()
}

/// Creates a table of these texts with the columns `id`, `body`, and `hits`, which no collection uses.
pub async fn table(session: &Session, name: &str, texts: &[String]) -> Result<()> {
    let create =
        format!("CREATE TABLE {name} (id int PRIMARY KEY, body text NOT NULL, hits int NOT NULL DEFAULT 0)");
    session.batch_execute(&create).await?;
    let rows = texts.iter().enumerate().map(|(id, text)| vec![id.to_string(), text.clone(), "0".to_owned()]);
    copy_rows(session, name, rows).await?;
    session.batch_execute(&format!("VACUUM ANALYZE {name}")).await?;
    Ok(())
}

/// Waits until a collection is current.
pub async fn until_current(session: &Session, collection: &str) -> Result<()> {
    let current: bool = session.value_of("SELECT rag.wait_until_current($1)", &[&collection]).await?;
    anyhow::ensure!(current, "collection {collection} is not current");
    Ok(())
}
