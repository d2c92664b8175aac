//! Immediate collections: rows are indexed in the transaction that changes them.

use crate::collections::catalog::collection::Collection;
use crate::collections::catalog::keys::Key;
use crate::collections::indexing::batch::RowBatch;
use crate::collections::indexing::write;
use ragstone_pg::error::Result;
use ragstone_pg::spi::connect;

/// Indexes rows in the transaction that changed them.
pub fn index_now(collection: &Collection, keys: &[Key]) -> Result<()> {
    let mut rest: Vec<_> = keys.iter().map(|key| (key.clone(), Vec::new())).collect();
    rest.sort();
    rest.dedup();
    while !rest.is_empty() {
        let mut batch = RowBatch::new(collection.clone(), rest)?;
        let later = connect(|| batch.read())?;
        batch.cut()?;
        batch.analyse()?;
        batch.send()?;
        batch.receive()?;
        write::write(&mut batch)?;
        rest = later.into_iter().map(|item| (item.key, item.ids)).collect();
    }
    Ok(())
}
