-- A collection by name or by number, with the names and owners of its tables as they are now.
SELECT c.id,
       c.name,
       c.source::oid,
       s.relowner,
       quote_ident(sn.nspname) || '.' || quote_ident(s.relname),
       c.chunk_table::oid,
       k.relowner,
       quote_ident(kn.nspname) || '.' || quote_ident(k.relname),
       c.terms_table::oid,
       t.relowner,
       quote_ident(tn.nspname) || '.' || quote_ident(t.relname),
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
       c.reference_words,
       c.source_rows,
       c.chunks,
       c.terms_folded,
       c.terms_appended,
       (SELECT quote_ident(n.nspname)
        FROM pg_extension e JOIN pg_namespace n ON n.oid = e.extnamespace
        WHERE e.extname = 'vector'),
       c.sync,
       c.filled,
       s.relkind::text,
       (SELECT n.numbers FROM rag._columns n WHERE n.collection = c.id),
       c.error,
       c.successor_of,
       c.predecessor_of,
       a.sqlstate,
       a.message
FROM rag.collection c
LEFT JOIN pg_class s ON s.oid = c.source
LEFT JOIN pg_namespace sn ON sn.oid = s.relnamespace
LEFT JOIN pg_class k ON k.oid = c.chunk_table
LEFT JOIN pg_namespace kn ON kn.oid = k.relnamespace
LEFT JOIN pg_class t ON t.oid = c.terms_table
LEFT JOIN pg_namespace tn ON tn.oid = t.relnamespace
LEFT JOIN LATERAL (SELECT sqlstate, message FROM rag._altered_tables WHERE collection = c.id LIMIT 1) a ON true
WHERE c.name = $1 OR c.id = $2
