//! The SQL statements that read and write a collection's tables. All names in them are quoted, and they run
//! with a search path of pg_catalog only.

use crate::collections::catalog::collection::Collection;
use crate::collections::catalog::keys::KeyColumns;
use crate::collections::catalog::keys::key_column;
use ragstone_pg::encoding;
use ragstone_pg::error::Result;
use ragstone_pg::identifier::{literal, quoted};

/// Maximum size of content that is split into chunks, in bytes of the server's encoding. The rest of the
/// frame, 1 MiB, is for the other fields of the request.
pub const MAX_CONTENT_BYTES: usize = ragstone_core::protocol::MAX_FRAME - (1 << 20);

/// White space that the C collation does not know as such, and characters without width. A text of nothing else has no chunks.
const BLANK_CHARACTERS: &str =
    "\u{85}\u{a0}\u{1680}\u{2000}-\u{200b}\u{2028}\u{2029}\u{202f}\u{205f}\u{2060}\u{3000}\u{feff}";

/// A column of the source as text, by the output function of its type. A cast would run code of the type's owner with the rights of
/// the caller, and already where the statement is planned, since functions are inlined and computed in branches that are never taken.
pub fn text_of(column: &str) -> String {
    let column = of_source(column);
    format!("CASE WHEN {column} IS DISTINCT FROM NULL THEN pg_catalog.format('%s', {column}) END")
}

/// A column of the source as text in the form that users read: see `rag._text`.
fn shown_text_of(column: &str) -> String {
    format!("rag._text({})", of_source(column))
}

/// How closely rows are compared.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum CompareDepth {
    /// Only the existence of rows.
    Keys,
    /// Existence and content of rows.
    Content,
}

/// A column of the source, as `s.column`.
fn of_source(column: &str) -> String {
    format!("s.{}", quoted(column))
}

impl Collection {
    /// Pairs of key columns: the source's and the chunk table's.
    fn keys(&self) -> impl Iterator<Item = (String, String)> {
        self.key.iter().enumerate().map(|(place, name)| (of_source(name), format!("c.{}", key_column(place))))
    }

    /// The source's metadata columns as one jsonb object.
    pub fn metadata_expression(&self) -> String {
        json_object(&self.metadata)
    }

    /// The source's key columns as one jsonb object.
    pub fn key_expression(&self) -> String {
        json_object(&self.key)
    }

    /// The source's title as text.
    pub fn title_expression(&self) -> String {
        self.title.as_ref().map_or_else(|| "NULL::pg_catalog.text".into(), |title| shown_text_of(title))
    }

    /// The source's content as text, in the C collation, because nondeterministic collations do not support
    /// patterns.
    fn content_expression(&self) -> String {
        format!("({} COLLATE \"C\")", shown_text_of(&self.content))
    }

    /// The condition that a row of the source has content: a character that can be seen.
    fn has_content(&self) -> String {
        let more = if encoding::is_utf8() { BLANK_CHARACTERS } else { "" };
        format!("{} ~ '[^\\s{more}]'", self.content_expression())
    }

    /// The condition that a row of the source and a chunk have the same key, compared with the operators of the key's
    /// own types.
    fn same_key(&self, operators: &[String]) -> String {
        let pairs = self.keys().zip(operators);
        pairs
            .map(|((source, chunk), operator)| format!("{source} {operator} {chunk}"))
            .collect::<Vec<_>>()
            .join(" AND ")
    }

    /// Selects all rows with content: title, content, metadata, hash, whether the collection has the row, whether it is
    /// unchanged, the length of the content, the key if that length is over the limit, 0, and the key's columns.
    /// Content is null where it need not be split.
    pub fn select_rows(&self, operators: &[String], all: bool) -> Result<String> {
        let stale = if all { "true" } else { "c.row_hash IS DISTINCT FROM x.hash" };
        let chunks = format!("{} c ON {} AND c.seq = 1", self.chunks()?.name, self.same_key(operators));
        Ok(self.rows(stale, &format!("{} s", self.source()?.name), &chunks, "0::bigint"))
    }

    /// As [`select_rows`](Self::select_rows) for the rows with these keys, with the position of the key
    /// instead of the 0, in the order of positions. The chunk table is looked up row by row.
    pub fn select_keyed(&self, keys: &KeyColumns) -> Result<String> {
        let from = format!("{} JOIN {} s ON {}", keys.rows(), self.source()?.name, keys.match_source(self));
        let chunks = format!(
            "LATERAL (SELECT c.chunk_id, c.row_hash FROM {} c WHERE {} AND c.seq = 1 OFFSET 0) c ON true",
            self.chunks()?.name,
            self.same_key(&keys.operators)
        );
        let rows = self.rows("c.row_hash IS DISTINCT FROM x.hash", &from, &chunks, "k.place");
        Ok(format!("{rows} ORDER BY k.place"))
    }

    /// Selects the positions of the keys whose rows still have the hash that the last argument gives for the
    /// same position.
    pub fn select_unchanged(&self, keys: &KeyColumns, lock: &str) -> Result<String> {
        Ok(format!(
            "SELECT k.place FROM {keys} JOIN {source} s ON {same} {hash}
             WHERE {has_content} AND x.hash = (${hashes}::bytea[])[k.place] {lock}",
            keys = keys.rows(),
            source = self.source()?.name,
            same = keys.match_source(self),
            hash = self.row_hash(),
            has_content = self.has_content(),
            hashes = keys.count() + 1,
        ))
    }

    /// Selects the keys, as text for the queue, of all rows whose current state the collection does not have.
    pub fn select_stale(&self, operators: &[String]) -> Result<String> {
        let keys: Vec<_> = self.key.iter().map(|name| text_of(name)).collect();
        Ok(format!(
            "SELECT ARRAY[{keys}] FROM {source} s {hash}
             LEFT JOIN {chunks} c ON {same_key} AND c.seq = 1
             WHERE {has_content} AND c.row_hash IS DISTINCT FROM x.hash",
            keys = keys.join(", "),
            source = self.source()?.name,
            hash = self.row_hash(),
            chunks = self.chunks()?.name,
            same_key = self.same_key(operators),
            has_content = self.has_content(),
        ))
    }

    /// Selects the keys, as text for the queue, of all rows that the collection has although they were
    /// deleted or no longer have content.
    pub fn select_emptied(&self, operators: &[String]) -> Result<String> {
        let keys: Vec<_> =
            (0..self.key.len()).map(|place| format!("format('%s', c.{})", key_column(place))).collect();
        Ok(format!(
            "SELECT ARRAY[{keys}] FROM {chunks} c
             WHERE c.seq = 1 AND NOT EXISTS (SELECT FROM {source} s WHERE {same_key} AND {has_content})",
            keys = keys.join(", "),
            source = self.source()?.name,
            chunks = self.chunks()?.name,
            same_key = self.same_key(operators),
            has_content = self.has_content(),
        ))
    }

    /// As [`select_stale`](Self::select_stale), for rows that the collection does not have at all. Only keys
    /// are compared.
    pub fn select_missing(&self, operators: &[String]) -> Result<String> {
        let keys: Vec<_> = self.key.iter().map(|name| text_of(name)).collect();
        Ok(format!(
            "SELECT ARRAY[{keys}] FROM {source} s
             WHERE {has_content} AND NOT EXISTS (SELECT FROM {chunks} c WHERE {same_key} AND c.seq = 1)",
            keys = keys.join(", "),
            source = self.source()?.name,
            chunks = self.chunks()?.name,
            same_key = self.same_key(operators),
            has_content = self.has_content(),
        ))
    }

    /// Selects whether the source has a row with content that meets a condition.
    pub fn select_exists(&self, condition: &str) -> Result<String> {
        let (source, has_content) = (&self.source()?.name, self.has_content());
        Ok(format!("SELECT EXISTS (SELECT FROM {source} s WHERE {condition} AND {has_content})"))
    }

    /// Selects a key that several rows with content have, in the form that users read.
    pub fn select_shared_key(&self) -> Result<String> {
        let keys: Vec<_> = self.key.iter().map(|name| of_source(name)).collect();
        let (source, has_content) = (&self.source()?.name, self.has_content());
        Ok(format!(
            "SELECT ({key})::text FROM {source} s WHERE {has_content} GROUP BY {keys} HAVING count(*) > 1 LIMIT 1",
            key = self.key_expression(),
            keys = keys.join(", "),
        ))
    }

    /// Selects the keys of all rows, as text for the queue, without reading other columns.
    pub fn select_keys(&self) -> Result<String> {
        let keys: Vec<_> = self.key.iter().map(|name| text_of(name)).collect();
        Ok(format!("SELECT ARRAY[{}] FROM {} s", keys.join(", "), self.source()?.name))
    }

    /// Selects the keys among these whose rows the collection lacks, has in another state, or has although
    /// they have no content.
    pub fn select_differing(&self, keys: &KeyColumns, depth: CompareDepth) -> Result<String> {
        let texts: Vec<_> = self.key.iter().map(|name| text_of(name)).collect();
        let (hash, differs) = match depth {
            CompareDepth::Keys => (String::new(), "c.chunk_id IS NULL"),
            CompareDepth::Content => (self.row_hash(), "c.row_hash IS DISTINCT FROM x.hash"),
        };
        Ok(format!(
            "SELECT ARRAY[{texts}] FROM {keys} JOIN {source} s ON {same} {hash}
             LEFT JOIN {chunks} c ON {same_key} AND c.seq = 1
             WHERE CASE WHEN {has_content} THEN {differs} ELSE c.chunk_id IS NOT NULL END",
            texts = texts.join(", "),
            keys = keys.rows(),
            source = self.source()?.name,
            same = keys.match_source(self),
            chunks = self.chunks()?.name,
            same_key = self.same_key(&keys.operators),
            has_content = self.has_content(),
        ))
    }

    /// The lateral subquery `x`: a row's title, content, metadata, length and hash.
    fn row_hash(&self) -> String {
        format!(
            "CROSS JOIN LATERAL (SELECT {title} AS title, {content} AS content, {metadata} AS metadata OFFSET 0) w
             CROSS JOIN LATERAL (
               SELECT w.title, w.content, w.metadata, octet_length(w.content) AS length,
                      sha256(convert_to(coalesce(octet_length(w.title), -1)::text || ':' || coalesce(w.title, '')
                                        || w.metadata::text || w.content, 'UTF8')) AS hash
               OFFSET 0) x",
            title = self.title_expression(),
            content = self.content_expression(),
            metadata = self.metadata_expression(),
        )
    }

    fn rows(&self, stale: &str, from: &str, chunks: &str, place: &str) -> String {
        let keys: Vec<_> = self.keys().map(|(source, _)| source).collect();
        format!(
            "SELECT x.title,
                    CASE WHEN {stale} AND x.length <= {MAX_CONTENT_BYTES} THEN x.content END,
                    x.metadata,
                    x.hash,
                    c.chunk_id IS NOT NULL,
                    c.row_hash IS NOT DISTINCT FROM x.hash,
                    x.length,
                    CASE WHEN {stale} AND x.length > {MAX_CONTENT_BYTES} THEN ({key})::text END,
                    {place},
                    {keys}
             FROM {from} {hash}
             LEFT JOIN {chunks}
             WHERE {has_content}",
            key = self.key_expression(),
            keys = keys.join(", "),
            hash = self.row_hash(),
            has_content = self.has_content(),
        )
    }

    /// Selects chunks whose row was deleted or no longer has content.
    pub fn select_orphans(&self, operators: &[String]) -> Result<String> {
        Ok(format!(
            "SELECT c.chunk_id FROM {chunks} c
             WHERE NOT EXISTS (SELECT FROM {source} s WHERE {same_key} AND {has_content})",
            chunks = self.chunks()?.name,
            source = self.source()?.name,
            same_key = self.same_key(operators),
            has_content = self.has_content(),
        ))
    }

    /// Selects all chunks in the order of their numbers: number, position in the row, heading, text,
    /// metadata, the row's title, and length in words.
    pub fn select_texts(&self, operators: &[String]) -> Result<String> {
        Ok(format!(
            "SELECT c.chunk_id, c.seq, c.heading, c.content, c.metadata, {title}, c.words FROM {chunks} c
             LEFT JOIN {source} s ON {same_key} ORDER BY c.chunk_id",
            title = self.title_expression(),
            chunks = self.chunks()?.name,
            source = self.source()?.name,
            same_key = self.same_key(operators),
        ))
    }

    /// Selects chunks whose row was deleted, without reading other columns than the key.
    pub fn select_gone(&self, operators: &[String]) -> Result<String> {
        Ok(format!(
            "SELECT c.chunk_id FROM {chunks} c WHERE NOT EXISTS (SELECT FROM {source} s WHERE {same_key})",
            chunks = self.chunks()?.name,
            source = self.source()?.name,
            same_key = self.same_key(operators),
        ))
    }

    /// Deletes chunks by number, and returns their positions in their rows.
    pub fn delete_chunks(&self) -> Result<String> {
        Ok(format!(
            "DELETE FROM {chunks} WHERE chunk_id = ANY ($1) RETURNING seq",
            chunks = self.chunks()?.name
        ))
    }

    /// Deletes the chunks of rows with these keys, each found by an index; with `gone`, only if the source
    /// has no row with the key. Returns their positions in the rows.
    pub fn delete_keyed(&self, keys: &KeyColumns, gone: bool) -> Result<String> {
        let gone = if gone {
            format!(
                "AND NOT EXISTS (SELECT FROM {source} s WHERE {same} AND {has_content})",
                source = self.source()?.name,
                same = keys.match_source(self),
                has_content = self.has_content(),
            )
        } else {
            String::new()
        };
        Ok(format!(
            "DELETE FROM {chunks} WHERE chunk_id = ANY (ARRAY(
               SELECT x.chunk_id FROM {keys}
               CROSS JOIN LATERAL (SELECT c.chunk_id FROM {chunks} c WHERE {same} OFFSET 0) x
               WHERE true {gone}))
             RETURNING seq",
            chunks = self.chunks()?.name,
            keys = keys.rows(),
            same = keys.match_chunk(),
        ))
    }

    /// Deletes the chunks of one row, and returns their positions in the row and their embeddings.
    pub fn delete_row(&self, operators: &[String]) -> Result<String> {
        let same: Vec<_> = operators
            .iter()
            .enumerate()
            .map(|(place, operator)| format!("{} {operator} ${}", key_column(place), place + 1))
            .collect();
        Ok(format!(
            "DELETE FROM {chunks} WHERE {same}
             RETURNING seq, content_hash, fingerprint, embedding::real[]",
            chunks = self.chunks()?.name,
            same = same.join(" AND "),
        ))
    }

    /// Stores chunks, and returns their numbers in the same order. The arguments are arrays with one value
    /// per chunk, except for the third, which holds all embeddings concatenated, and for the model's
    /// fingerprint. The key's columns come last, as arrays, or as single values if the chunks share their
    /// key.
    pub fn insert_chunks(&self, have_one_key: bool) -> Result<String> {
        let columns: Vec<_> = (0..self.key.len()).map(key_column).collect();
        let numbers: Vec<_> = (0..self.key.len()).map(|place| format!("${}", place + 12)).collect();
        let (values, arrays, names) = if have_one_key {
            (numbers.join(", "), String::new(), String::new())
        } else {
            let names = columns.join(", ");
            (names.clone(), format!(", {}", numbers.join(", ")), format!(", {names}"))
        };
        Ok(format!(
            "INSERT INTO {chunks} (seq, words, embedding, heading, content, metadata, row_hash, content_hash,
                                   fingerprint, start_at, end_at, {columns})
             SELECT seq, words, ($3)[(place - 1) * {dimensions} + 1 : place * {dimensions}]::{vector}.halfvec({dimensions}),
                    heading, content, metadata, row_hash, content_hash, $9, start_at, end_at, {values}
             FROM unnest($1, $2, $4, $5, $6, $7, $8, $10, $11{arrays}) WITH ORDINALITY
                  p (seq, words, heading, content, metadata, row_hash, content_hash, start_at, end_at{names}, place)
             ORDER BY place
             RETURNING chunk_id",
            chunks = self.chunks()?.name,
            columns = columns.join(", "),
            vector = self.vector_schema,
            dimensions = self.dimensions,
        ))
    }
}

/// A column of the source as `jsonb`. A column whose type is not one of PostgreSQL's own is converted to text
/// first, as in [`text_of`].
pub fn json_of(column: &str) -> String {
    let column = of_source(column);
    format!(
        "CASE WHEN rag._is_built_in({column}) THEN pg_catalog.to_jsonb({column})
              WHEN {column} IS NULL THEN NULL ELSE pg_catalog.to_jsonb(pg_catalog.format('%s', {column})) END"
    )
}

fn json_object(columns: &[String]) -> String {
    let pairs: Vec<_> = columns.iter().map(|name| format!("{}, {}", literal(name), json_of(name))).collect();
    if pairs.is_empty() {
        return "'{}'::pg_catalog.jsonb".into();
    }
    format!("pg_catalog.jsonb_build_object({})", pairs.join(", "))
}
