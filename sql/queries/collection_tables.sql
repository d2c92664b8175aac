-- Owners, names and kinds of a collection's source, chunk table and terms table, and what is wrong with the last two.
SELECT r.relowner,
       quote_ident(n.nspname) || '.' || quote_ident(r.relname),
       r.relkind::text,
       a.sqlstate,
       a.message
FROM (VALUES (1, $2), (2, $3), (3, $4)) t (place, relation)
LEFT JOIN pg_class r ON r.oid = t.relation
LEFT JOIN pg_namespace n ON n.oid = r.relnamespace
LEFT JOIN LATERAL (SELECT sqlstate, message FROM rag._altered_tables WHERE collection = $1 LIMIT 1) a ON t.place = 1
ORDER BY t.place
