-- Each collection's name, and owner and name of its chunk table and its terms table.
SELECT c.name,
       k.relowner,
       quote_ident(kn.nspname) || '.' || quote_ident(k.relname),
       t.relowner,
       quote_ident(tn.nspname) || '.' || quote_ident(t.relname)
FROM rag.collection c
JOIN pg_class k ON k.oid = c.chunk_table
JOIN pg_namespace kn ON kn.oid = k.relnamespace
JOIN pg_class t ON t.oid = c.terms_table
JOIN pg_namespace tn ON tn.oid = t.relnamespace
ORDER BY c.id
