//! The source table of a collection: its kind, its owner, and the columns that identify its rows.

use crate::collections::catalog::collection::Collection;
use pgrx::pg_sys;
use ragstone_pg::error::{Error, Result};
use ragstone_pg::identifier::quoted;
use ragstone_pg::own_tables::not_owner;
use ragstone_pg::relation::lock_against_changes;
use ragstone_pg::spi::{Arg, run};

/// Maximum number of metadata columns: `jsonb_build_object` takes at most 100 arguments, two for each column.
const MAX_METADATA_COLUMNS: usize = 50;

/// A table whose rows are to be searched.
#[derive(Debug)]
pub struct SourceTable {
    /// OID in `pg_class`.
    pub oid: pg_sys::Oid,
    /// Its rows are read with this role's rights.
    pub owner: pg_sys::Oid,
    /// Name of its schema.
    pub schema: String,
    /// Its name, without the schema.
    pub name: String,
    kind: SourceKind,
    columns: Vec<Column>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum SourceKind {
    Table,
    MaterialisedView,
    Foreign,
}

/// A column of a source.
#[derive(Debug)]
pub struct Column {
    /// Name of the column.
    pub name: String,
    /// Its type with its collation, as in a column definition.
    pub definition: String,
    /// Attribute number.
    pub number: i16,
    is_text: bool,
}

impl SourceTable {
    /// Opens the table with this OID and locks it against changes of its definition. Raises an error if the
    /// table cannot be searched, or if the caller lacks its owner's rights.
    pub fn open(oid: pg_sys::Oid, action: &str) -> Result<Self> {
        lock_against_changes(oid);
        let rows = run(include_str!("../../../sql/queries/relation.sql"), &[Arg::new(oid)])?;
        let (Some(kind), Some(persistence), Some(owner)) = (rows.text(0, 0), rows.text(0, 1), rows.oid(0, 2))
        else {
            return Err(Error::undefined_table(format!("relation with OID {} does not exist", oid.to_u32())));
        };
        let (schema, name) = (rows.text(0, 3).unwrap_or_default(), rows.text(0, 4).unwrap_or_default());
        let kind = check_kind(&kind, &name)?;
        if persistence == "t" {
            return Err(Error::wrong_object_type(format!("table \"{name}\" is temporary"))
                .hint("Other sessions could not search it: use a permanent table."));
        }
        if rows.boolean(0, 5) != Some(true) {
            return Err(not_owner(action, &quoted(&name)));
        }
        Ok(Self { oid, owner, schema, name, kind, columns: columns(oid)? })
    }

    /// The column of this name.
    pub fn column(&self, name: &str) -> Result<&Column> {
        self.columns.iter().find(|column| column.name == name).ok_or_else(|| {
            Error::undefined_column(format!("column \"{name}\" of table \"{}\" does not exist", self.name))
        })
    }

    /// True for a foreign table, on which no trigger fires for changes that other servers make.
    pub fn is_foreign(&self) -> bool {
        self.kind == SourceKind::Foreign
    }

    /// Attribute numbers of a collection's columns: key, content, title (0: none), metadata.
    pub fn numbers(&self, collection: &Collection) -> Result<Vec<i16>> {
        let number = |name: &String| self.column(name).map(|column| column.number);
        let mut numbers: Vec<i16> = collection.key.iter().map(number).collect::<Result<_>>()?;
        numbers.push(number(&collection.content)?);
        numbers.push(collection.title.as_ref().map_or(Ok(0), number)?);
        for name in &collection.metadata {
            numbers.push(number(name)?);
        }
        Ok(numbers)
    }

    /// Checks that a column can be split into chunks.
    pub fn check_content(&self, name: &str) -> Result<()> {
        if self.column(name)?.is_text {
            return Ok(());
        }
        Err(Error::datatype_mismatch(format!(
            "content column \"{name}\" has type {}, not text",
            self.column(name)?.definition
        ))
        .hint("Use a column of a text type, or a generated column that makes text of it."))
    }

    /// Checks the columns that search can filter by.
    pub fn check_metadata(&self, names: &[String]) -> Result<()> {
        if names.len() > MAX_METADATA_COLUMNS {
            return Err(Error::too_many_arguments(format!(
                "{} metadata columns are more than {MAX_METADATA_COLUMNS}",
                names.len()
            ))
            .hint("Combine some of them in a jsonb column."));
        }
        names.iter().try_for_each(|name| self.column(name).map(|_| ()))
    }

    /// The columns that identify a row: the columns that the caller names, otherwise the primary key's,
    /// otherwise those of the only unique index.
    pub fn key(&self, named: Option<Vec<String>>) -> Result<Vec<String>> {
        let indexes = unique_indexes(self.oid)?;
        let Some(named) = named else {
            return self.key_of(indexes);
        };
        named.iter().try_for_each(|name| self.column(name).map(|_| ()))?;
        let same = |index: &UniqueIndex| {
            index.columns.len() == named.len() && named.iter().all(|name| index.columns.contains(name))
        };
        // A foreign table has no indexes. If its key is not unique, indexing its chunks finds that.
        if named.is_empty() || (self.kind != SourceKind::Foreign && !indexes.iter().any(same)) {
            return Err(Error::invalid_column_reference(format!(
                "no unique index of table \"{}\" is on exactly the key columns ({})",
                self.name,
                named.join(", ")
            ))
            .hint("Create a unique index on the key columns."));
        }
        Ok(named)
    }

    /// True if a unique index guarantees that no two rows have the same values in these columns.
    pub fn is_unique(&self, key: &[String]) -> Result<bool> {
        let is_whole = |index: UniqueIndex| index.columns.iter().all(|column| key.contains(column));
        Ok(!self.has_children()? && unique_indexes(self.oid)?.into_iter().any(is_whole))
    }

    /// True if tables inherit from this one: its unique indexes do not cover their rows. Unique indexes of a
    /// partitioned table do cover its partitions.
    fn has_children(&self) -> Result<bool> {
        let sql = "SELECT FROM pg_inherits i JOIN pg_class c ON c.oid = i.inhparent WHERE c.oid = $1 AND c.relkind = 'r' LIMIT 1";
        Ok(run(sql, &[Arg::new(self.oid)])?.count > 0)
    }

    fn key_of(&self, indexes: Vec<UniqueIndex>) -> Result<Vec<String>> {
        // Columns of a materialised view are never NOT NULL. A NULL in its key is found when the row's chunk
        // is stored.
        let nullable = self.kind == SourceKind::MaterialisedView;
        let mut usable = indexes.into_iter().filter(|index| index.not_null || nullable);
        match (usable.next(), usable.next()) {
            (Some(first), second) if first.primary || second.is_none() => Ok(first.columns),
            (None, _) => {
                Err(Error::invalid_table_definition(format!("table \"{}\" has no primary key", self.name))
                    .hint("Add one, or create a unique index and name its columns with key => '{...}'."))
            }
            _ => Err(Error::ambiguous_column(format!(
                "table \"{}\" has no primary key and several unique indexes",
                self.name
            ))
            .hint("Name the columns of one of them with key => '{...}'.")),
        }
    }
}

fn check_kind(kind: &str, name: &str) -> Result<SourceKind> {
    let wrong = |what: &str| Error::wrong_object_type(format!("\"{name}\" is {what}"));
    match kind {
        "r" | "p" => Ok(SourceKind::Table),
        "m" => Ok(SourceKind::MaterialisedView),
        "f" => Ok(SourceKind::Foreign),
        "v" => {
            Err(wrong("a view").hint("Use the table behind it, or a materialized view: a view has no keys."))
        }
        _ => Err(wrong("not a table").hint("Use a table, a partitioned table or a materialized view.")),
    }
}

struct UniqueIndex {
    primary: bool,
    not_null: bool,
    columns: Vec<String>,
}

fn unique_indexes(oid: pg_sys::Oid) -> Result<Vec<UniqueIndex>> {
    let rows = run(include_str!("../../../sql/queries/unique_indexes.sql"), &[Arg::new(oid)])?;
    Ok((0..rows.count)
        .map(|row| UniqueIndex {
            primary: rows.boolean(row, 0).unwrap_or(false),
            not_null: rows.boolean(row, 1).unwrap_or(false),
            columns: rows.texts(row, 2).unwrap_or_default(),
        })
        .collect())
}

fn columns(oid: pg_sys::Oid) -> Result<Vec<Column>> {
    let rows = run(include_str!("../../../sql/queries/columns.sql"), &[Arg::new(oid)])?;
    Ok((0..rows.count)
        .map(|row| {
            let collation = rows.text(row, 3).map(|name| format!(" COLLATE {name}")).unwrap_or_default();
            Column {
                name: rows.text(row, 0).unwrap_or_default(),
                definition: rows.text(row, 1).unwrap_or_default() + &collation,
                number: rows.int2(row, 4).unwrap_or(0),
                is_text: rows.text(row, 2).as_deref() == Some("S"),
            }
        })
        .collect())
}

/// The error for a key that several rows have.
pub fn shared_key() -> Error {
    Error::unique_violation("several rows of the source have this key")
        .hint("Give each row a unique key, and create a unique index on the key columns.")
}
