-- Owners, names and kinds of a collection's source, chunk table and terms table.
SELECT r.relowner,
       quote_ident(n.nspname) || '.' || quote_ident(r.relname),
       r.relkind::text
FROM (VALUES (1, $1), (2, $2), (3, $3)) t (place, relation)
LEFT JOIN pg_class r ON r.oid = t.relation
LEFT JOIN pg_namespace n ON n.oid = r.relnamespace
ORDER BY t.place
