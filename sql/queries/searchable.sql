-- Whether the source of a collection ($1) exists, whether a role ($2) may read the columns that a search shows, the comment on it,
-- and its metadata columns.
SELECT r.oid IS NOT NULL,
       has_schema_privilege($2, r.relnamespace, 'USAGE') AND
         (SELECT bool_and(has_column_privilege($2, r.oid, a.attnum, 'SELECT'))
          FROM pg_catalog.pg_attribute a
          WHERE a.attrelid = r.oid AND a.attnum > 0 AND NOT a.attisdropped
            AND a.attname::text = ANY (c.key_columns || c.metadata_columns || c.content_column || c.title_column)),
       pg_catalog.obj_description(r.oid, 'pg_class'),
       m.name,
       a.atttypid
FROM rag.collection c
LEFT JOIN pg_catalog.pg_class r ON r.oid = c.source
LEFT JOIN unnest(c.metadata_columns) m (name) ON true
LEFT JOIN pg_catalog.pg_attribute a ON a.attrelid = r.oid AND a.attname = m.name::name AND NOT a.attisdropped
WHERE c.name = $1
