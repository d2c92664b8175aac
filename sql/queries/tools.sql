-- Tools of these names ($1), or all of them, each with the function that its signature stands for now.
SELECT t.name, t.owner::text, t.function, p.oid, t.collection, t.description, t.timeout_ms, t.max_rows, t.max_bytes,
       t.writes, t.requires_approval
FROM rag._tool t
LEFT JOIN pg_catalog.pg_proc p ON p.proname = t.function_name::name AND p.oid::regprocedure::text = t.function
WHERE $1 IS NULL OR t.name = ANY ($1)
ORDER BY t.name
