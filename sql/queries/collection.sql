-- A collection by name or by number.
SELECT c.id,
       c.name,
       c.source::oid,
       c.chunk_table::oid,
       c.terms_table::oid,
       c.key_columns,
       c.content_column,
       c.title_column,
       c.metadata_columns,
       c.model,
       c.fingerprint,
       c.dimensions,
       c.chunk_size,
       c.chunk_overlap,
       c.splitter,
       c.language,
       c.source_rows,
       c.chunks,
       (SELECT quote_ident(n.nspname)
        FROM pg_extension e JOIN pg_namespace n ON n.oid = e.extnamespace
        WHERE e.extname = 'vector'),
       c.sync,
       c.filled,
       n.column_numbers,
       n.owner,
       c.error,
       c.successor_of,
       c.predecessor_of,
       c.word_parts,
       c.ignore_accents,
       c.language_place,
       c.text_builds,
       w.sqlstate || ': ' || w.message,
       c.paused_at IS NOT NULL
FROM rag.collection c
LEFT JOIN rag._source n ON n.collection = c.id
LEFT JOIN rag._waiting w ON w.collection = c.id
WHERE c.name = $1 OR c.id = $2
