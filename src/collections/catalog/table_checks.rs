//! Checks of a collection's tables in their current state: they are locked, checked, and refused if they were
//! dropped, altered or given to another owner.

use crate::collections::catalog::collection::{Collection, TableUse, own_rows};
use crate::collections::catalog::relation::Relation;
use crate::collections::catalog::unaltered::Knowledge;
use ragstone_pg::error::{Error, Result};
use ragstone_pg::relation::{lock_against_changes, lock_for_writing};
use ragstone_pg::rows::Rows;
use ragstone_pg::spi::{Arg, select, with_latest_snapshot};

impl Collection {
    /// The source. Raises an error if it was dropped, or if its owner is not the role that the collection
    /// works for.
    pub fn source(&self) -> Result<&Relation> {
        let source = self.source_of_any_owner()?;
        self.check_not_given_away(source)?;
        Ok(source)
    }

    /// The source. Raises an error if it was dropped. The caller must not act with its owner's rights.
    pub fn source_of_any_owner(&self) -> Result<&Relation> {
        self.source.as_ref().ok_or_else(|| self.gone("source"))
    }

    /// The chunk table. Raises an error if it was dropped or altered.
    pub fn chunks(&self) -> Result<&Relation> {
        self.own_table(self.chunks.as_ref(), "chunk table")
    }

    /// The terms table. Raises an error if it was dropped or altered.
    pub fn terms(&self) -> Result<&Relation> {
        self.own_table(self.terms.as_ref(), "terms table")
    }

    fn own_table<'a>(&self, table: Option<&'a Relation>, kind: &str) -> Result<&'a Relation> {
        self.check_not_altered()?;
        let table = table.ok_or_else(|| self.gone(kind))?;
        self.check_not_given_away(table)?;
        Ok(table)
    }

    /// True if the source's owner is not the role that the collection works for, so that the collection waits
    /// for the new owner to accept it.
    pub fn is_given_away(&self) -> bool {
        self.source.as_ref().is_some_and(|source| self.check_not_given_away(source).is_err())
    }

    /// Raises an error if the table has a new owner: objects that its former owner has attached to it must
    /// not run with the new owner's rights.
    fn check_not_given_away(&self, table: &Relation) -> Result<()> {
        if self.accepted_owner.is_none_or(|owner| owner == table.owner) {
            return Ok(());
        }
        Err(Error::wrong_state(format!("the owner of table {} has changed", table.name))
            .hint(format!("Its new owner must call rag.refresh_collection('{}').", self.name)))
    }

    /// Locks the definitions of the collection's tables until the transaction ends, and reads them again.
    /// Names that were read in another transaction, or before the lock was taken, may refer to other tables
    /// by now.
    ///
    /// # Errors
    /// 55P03 at `lock_timeout`.
    pub fn lock_tables(&mut self, table_use: TableUse) -> Result<()> {
        if let Some(source) = self.source.as_ref().filter(|_| table_use != TableUse::Indexing) {
            lock_against_changes(source.oid);
        }
        for own in [&self.chunks, &self.terms].into_iter().flatten() {
            match table_use {
                TableUse::Reading | TableUse::Indexing => lock_against_changes(own.oid),
                TableUse::Writing => lock_for_writing(own.oid),
            }
        }
        if table_use == TableUse::Writing {
            self.read_options()?;
        }
        self.read_tables()
    }

    pub(super) fn read_tables(&mut self) -> Result<()> {
        let oid = |relation: &Option<Relation>| Arg::optional(relation.as_ref().map(|relation| relation.oid));
        let arguments = [oid(&self.source), oid(&self.chunks), oid(&self.terms)];
        let rows = latest_rows(include_str!("../../../sql/queries/collection_tables.sql"), &arguments)?;
        for (row, relation) in [&mut self.source, &mut self.chunks, &mut self.terms].into_iter().enumerate() {
            *relation = relation.take().and_then(|Relation { oid, .. }| {
                Some(Relation { oid, owner: rows.oid(row, 0)?, name: rows.text(row, 1)? })
            });
        }
        self.source_kind = rows.text(0, 2);
        self.read_alterations()
    }

    fn read_alterations(&mut self) -> Result<()> {
        let own: Vec<_> = [&self.chunks, &self.terms].into_iter().flatten().map(|own| own.oid).collect();
        let known = Knowledge::of(self.id, &own);
        if known.is_enough {
            self.altered = None;
            return Ok(());
        }
        let statement = "SELECT sqlstate, message FROM rag._altered_tables WHERE collection = $1 LIMIT 1";
        let rows = latest_rows(statement, &[Arg::new(self.id)])?;
        self.altered = rows.text(0, 0).zip(rows.text(0, 1));
        if self.altered.is_none() {
            known.add(&own);
        }
        Ok(())
    }

    fn check_not_altered(&self) -> Result<()> {
        let Some((sqlstate, message)) = &self.altered else { return Ok(()) };
        Err(Error::of_code(sqlstate, message)
            .hint("Undo that, or drop the collection with rag.drop_collection and create it again."))
    }

    /// True if the source was dropped, also after [`Collection::get`] has found it.
    pub(super) fn is_source_dropped(&self) -> Result<bool> {
        let Some(source) = &self.source else { return Ok(true) };
        Ok(latest_rows("SELECT FROM pg_class WHERE oid = $1", &[Arg::new(source.oid)])?.count == 0)
    }

    pub(super) fn gone(&self, table: &str) -> Error {
        Error::undefined_table(format!("the {table} of collection \"{}\" no longer exists", self.name))
            .hint("Drop the collection with rag.drop_collection and create it again.")
    }
}

/// Reads the latest committed rows of the extension's own tables and of the catalogue.
fn latest_rows(statement: &str, arguments: &[Arg]) -> Result<Rows> {
    own_rows(|| with_latest_snapshot(|| select(statement, arguments)))
}
