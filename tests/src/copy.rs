//! Copies many rows into a table.

use crate::Result;
use crate::session::Session;
use futures_util::SinkExt;

/// Number of bytes that are sent at once.
const PIECE: usize = 1 << 20;

/// Appends rows of text values to a table by COPY.
pub async fn copy_rows(
    session: &Session,
    table: &str,
    rows: impl Iterator<Item = Vec<String>>,
) -> Result<u64> {
    let mut copy = Box::pin(session.copy_in(&format!("COPY {table} FROM STDIN")).await?);
    let mut piece = String::with_capacity(PIECE + PIECE / 4);
    for row in rows {
        let values: Vec<String> = row.iter().map(|value| escaped(value)).collect();
        piece.push_str(&values.join("\t"));
        piece.push('\n');
        if piece.len() > PIECE {
            copy.send(bytes::Bytes::from(std::mem::take(&mut piece))).await?;
        }
    }
    copy.send(bytes::Bytes::from(piece)).await?;
    Ok(copy.as_mut().finish().await?)
}

/// A value in COPY's text format, without NUL, which a `text` value cannot contain.
fn escaped(text: &str) -> String {
    let text = text.replace('\0', "").replace('\\', "\\\\").replace('\t', "\\t");
    text.replace('\n', "\\n").replace('\r', "\\r")
}
