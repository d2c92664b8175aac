//! The two tables of a collection: their definitions, their indexes and their privileges. No role but the
//! owner has privileges on them.

use crate::collections::catalog::collection::{Collection, Sync, own_rows};
use crate::collections::catalog::keys::key_column;
use crate::collections::catalog::relation::Relation;
use crate::collections::catalog::source::SourceTable;
use pgrx::pg_sys;
use ragstone_pg::error::{Error, Result};
use ragstone_pg::identifier::{literal, quoted};
use ragstone_pg::spi::{Arg, connect, run, run_once};
use ragstone_pg::switch_user::as_owner;

/// Longest name of a table, in bytes (`NAMEDATALEN - 1`).
const MAX_NAME_BYTES: usize = 63;

/// What the comments of the tables of collections begin with.
const MARK: &str = "internal: part of collection ";

const CHUNKS_SUFFIX: &str = "_chunks";
const TERMS_SUFFIX: &str = "_terms";

/// Maximum number of dimensions of an embedding that is stored inline. Longer embeddings may not fit in a
/// page with the rest of their row.
const MAX_INLINE_DIMENSIONS: i32 = 2000;

/// Checks that the names of a collection's tables are not too long. `what` is the name for the error.
pub fn check_name(name: &str, what: &str) -> Result<()> {
    let longest = MAX_NAME_BYTES - CHUNKS_SUFFIX.len();
    if name.is_empty() || name.len() > longest {
        return Err(Error::invalid_name(format!(
            "{what} must have 1 to {longest} bytes, not {}",
            name.len()
        )));
    }
    Ok(())
}

/// What the names of a successor's tables begin with: no more of the collection's name than leaves room for the rest.
pub fn stem_beside(name: &str, number: i64) -> String {
    let number = format!("_{number}");
    let room = MAX_NAME_BYTES - CHUNKS_SUFFIX.len() - number.len();
    format!("{}{number}", &name[..name.floor_char_boundary(room)])
}

/// Creates the tables as the source's owner and in its schema, with names that begin with `stem`.
///
/// Vector ranking reads a chunk's vector and number. These columns come first, so that the rest of the row
/// need not be decoded. The row is stored without TOAST if it fits in a page, since a vector in a TOAST table
/// costs one more look-up for each candidate.
pub fn create(collection: &mut Collection, source: &SourceTable, stem: &str) -> Result<()> {
    let (chunks, terms) = (stem.to_owned() + CHUNKS_SUFFIX, stem.to_owned() + TERMS_SUFFIX);
    let qualified = |table: &str| format!("{}.{}", quoted(&source.schema), quoted(table));
    let names = [&chunks, &terms].map(|table| qualified(table));
    for name in &names {
        check_free(name, &names, &collection.name)?;
    }
    as_owner(source.owner, || {
        run_once(&chunk_table(collection, source, &qualified(&chunks))?)?;
        run_once(&format!(
            "ALTER TABLE {} ALTER COLUMN embedding SET STORAGE {}",
            qualified(&chunks),
            if collection.dimensions <= MAX_INLINE_DIMENSIONS { "PLAIN" } else { "EXTERNAL" },
        ))?;
        run_once(&terms_table(&qualified(&terms)))?;
        run_once(&format!("ALTER TABLE {} ALTER COLUMN data SET STORAGE PLAIN", qualified(&terms)))?;
        Ok::<_, Error>(())
    })?;
    collection.chunks = Some(created(&qualified(&chunks), source.owner)?);
    collection.terms = Some(created(&qualified(&terms), source.owner)?);
    revoke(collection.chunks()?, "TABLE")?;
    revoke(collection.terms()?, "TABLE")?;
    revoke(&sequence(collection.chunks()?)?, "SEQUENCE")
}

/// Gives a collection's tables the names that those of a collection with this name have. A table that was dropped or
/// that lacks the collection's mark is left alone.
pub fn rename(collection: &Collection, new_name: &str) -> Result<()> {
    for (table, suffix) in [(&collection.chunks, CHUNKS_SUFFIX), (&collection.terms, TERMS_SUFFIX)] {
        let Some(table) = table.as_ref() else { continue };
        if !is_marked(collection, table)? {
            continue;
        }
        let name = new_name.to_owned() + suffix;
        let sql = "SELECT n.nspname::text FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace WHERE c.oid = $1";
        let schema = run(sql, &[Arg::new(table.oid)])?.text(0, 0).unwrap_or_default();
        let qualified = format!("{}.{}", quoted(&schema), quoted(&name));
        check_free(&qualified, std::slice::from_ref(&qualified), new_name)?;
        as_owner(table.owner, || {
            run_once(&format!("ALTER TABLE {} RENAME TO {}", table.name, quoted(&name)))
        })?;
    }
    Ok(())
}

/// Creates the indexes that find chunks by key and by hash.
pub fn create_key_indexes(collection: &Collection) -> Result<()> {
    let (chunks, terms) = (collection.chunks()?, collection.terms()?);
    let keys: Vec<_> = (0..collection.key.len()).map(key_column).collect();
    let table = &chunks.name;
    let statements = [
        format!("ALTER TABLE {table} ADD PRIMARY KEY (chunk_id)"),
        format!("CREATE UNIQUE INDEX ON {table} ({}, seq)", keys.join(", ")),
        format!("CREATE INDEX ON {table} (content_hash)"),
        format!("ALTER TABLE {} ADD PRIMARY KEY (segment, page)", terms.name),
        format!("CREATE INDEX ON {} (page, segment)", terms.name),
    ];
    for statement in statements {
        connect(|| as_owner(chunks.owner, || run_once(&statement).map(|_| ())))?;
    }
    Ok(())
}

/// Creates the indexes that search uses, after the tables are filled: this is several times faster than
/// updating them during the fill.
pub fn create_search_indexes(collection: &Collection) -> Result<()> {
    let chunks = collection.chunks()?;
    let vector = &collection.vector_schema;
    let table = &chunks.name;
    let mut statements = vec![
        format!("CREATE INDEX ON {table} USING hnsw (embedding {vector}.halfvec_cosine_ops)"),
        format!("ANALYZE {table}"),
    ];
    if !collection.metadata.is_empty() {
        // A pending list would slow down the searches after a refresh.
        statements.push(format!(
            "CREATE INDEX ON {table} USING gin (metadata jsonb_path_ops) WITH (fastupdate = off)"
        ));
    }
    for statement in statements {
        connect(|| as_owner(chunks.owner, || run_once(&statement).map(|_| ())))?;
    }
    Ok(())
}

/// Locks a collection's chunks against writes of workers and of writers to an immediate collection. The
/// second session waits, and then sees the changes of the first.
pub fn keep_others_from_writing(collection: &Collection) -> Result<()> {
    if collection.sync == Sync::Manual {
        return Ok(());
    }
    let chunks = collection.chunks()?;
    let lock = format!("LOCK TABLE {} IN SHARE ROW EXCLUSIVE MODE", chunks.name);
    as_owner(chunks.owner, || run_once(&lock)).map(|_| ())
}

fn chunk_table(collection: &Collection, source: &SourceTable, name: &str) -> Result<String> {
    let mut keys = String::new();
    for (place, key) in collection.key.iter().enumerate() {
        keys += &format!("{} {} NOT NULL, ", key_column(place), source.column(key)?.definition);
    }
    Ok(format!(
        "CREATE TABLE {name} (
           chunk_id bigint GENERATED ALWAYS AS IDENTITY,
           seq integer NOT NULL,
           words integer NOT NULL,
           embedding {vector}.halfvec({dimensions}) NOT NULL,
           {keys}
           start_at integer NOT NULL,
           end_at integer NOT NULL,
           heading text,
           content text NOT NULL,
           metadata jsonb NOT NULL,
           row_hash bytea NOT NULL,
           content_hash bytea NOT NULL,
           fingerprint text NOT NULL
         ) WITH (toast_tuple_target = 8160)",
        vector = collection.vector_schema,
        dimensions = collection.dimensions,
    ))
}

/// The statement that creates the terms table, which holds the pages of the text index's segments. A page is
/// at most as long as a row that fills a table page.
fn terms_table(name: &str) -> String {
    format!("CREATE TABLE {name} (segment bigint NOT NULL, page integer NOT NULL, data bytea NOT NULL)")
}

/// Marks both tables with the collection's number, which a dump includes and which no other collection ever
/// has. See [`is_marked`].
pub fn mark(collection: &Collection) -> Result<()> {
    let text = format!("{MARK}{} ({}), kept by ragstone", collection.id, collection.name);
    for table in [collection.chunks()?, collection.terms()?] {
        let statement = format!("COMMENT ON TABLE {} IS {}", table.name, literal(&text));
        as_owner(table.owner, || run_once(&statement))?;
    }
    Ok(())
}

/// True if the mark shows that the table was created for the collection. Only the mark can show this: after a
/// restore, a stored OID may be that of any table, even of one with the same columns, such as a copy of the
/// chunk table or a table of another collection.
pub fn is_marked(collection: &Collection, table: &Relation) -> Result<bool> {
    let sql = "SELECT EXISTS (SELECT FROM rag._unmarked_tables WHERE collection = $1 AND relation = $2)";
    let rows = own_rows(|| run(sql, &[Arg::new(collection.id), Arg::new(table.oid)]))?;
    Ok(rows.boolean(0, 0) == Some(false))
}

/// Checks that no relation has one of the names of a collection's tables.
fn check_free(name: &str, names: &[String], collection: &str) -> Result<()> {
    let taken = run("SELECT to_regclass($1)::oid", &[Arg::text(name)])?;
    let Some(relation) = taken.oid(0, 0) else { return Ok(()) };
    let hint = if is_left_over(relation)? {
        format!(
            "It is left over from a collection that no longer exists: drop {} if they exist, or choose another name.",
            names.join(" and ")
        )
    } else {
        "Choose another name for the collection, or drop that relation.".to_owned()
    };
    Err(Error::table_exists(format!("relation {name} already exists"))
        .detail(format!("Collection \"{collection}\" needs a table of this name."))
        .hint(hint))
}

/// Whether a relation was made for a collection that is not there any more.
fn is_left_over(relation: pg_sys::Oid) -> Result<bool> {
    let sql = "SELECT coalesce(starts_with(obj_description($1, 'pg_class'), $2), false)
                      AND NOT EXISTS (SELECT FROM rag.collection WHERE $1 IN (chunk_table, terms_table))";
    let rows = own_rows(|| run(sql, &[Arg::new(relation), Arg::text(MARK)]))?;
    Ok(rows.boolean(0, 0) == Some(true))
}

fn created(name: &str, owner: pg_sys::Oid) -> Result<Relation> {
    let rows = run("SELECT to_regclass($1)::oid", &[Arg::text(name)])?;
    let oid = rows.oid(0, 0).ok_or_else(|| Error::internal(format!("table {name} was not made")))?;
    Ok(Relation { oid, owner, name: name.to_owned() })
}

/// The sequence that generates the chunk numbers.
fn sequence(chunks: &Relation) -> Result<Relation> {
    let rows = run(
        "SELECT d.objid, quote_ident(n.nspname) || '.' || quote_ident(c.relname)
         FROM pg_depend d JOIN pg_class c ON c.oid = d.objid JOIN pg_namespace n ON n.oid = c.relnamespace
         WHERE d.refclassid = 'pg_class'::regclass AND d.refobjid = $1 AND d.deptype = 'i' AND c.relkind = 'S'",
        &[Arg::new(chunks.oid)],
    )?;
    let (Some(oid), Some(name)) = (rows.oid(0, 0), rows.text(0, 1)) else {
        return Err(Error::internal("the chunk table has no sequence"));
    };
    Ok(Relation { oid, owner: chunks.owner, name })
}

/// Revokes the privileges that default privileges have granted to other roles.
fn revoke(relation: &Relation, kind: &str) -> Result<()> {
    let grants = run(include_str!("../../../sql/queries/grants.sql"), &[Arg::new(relation.oid)])?;
    for row in 0..grants.count {
        let role = grants.text(row, 0).unwrap_or_default();
        as_owner(relation.owner, || {
            run_once(&format!("REVOKE ALL ON {kind} {} FROM {role}", relation.name))
        })?;
    }
    Ok(())
}
