-- Tools of these names ($1), or all of them, each with the function that has its signature now. Functions are looked up by name first,
-- because formatting the signatures of all functions takes a millisecond.
SELECT t.name, t.owner::text, t.function, p.oid, t.collection, t.description, t.timeout_ms, t.max_rows, t.max_bytes,
       t.writes, t.requires_approval
FROM rag._tool t
LEFT JOIN LATERAL (
  SELECT p.oid FROM pg_catalog.pg_proc p WHERE p.proname = t.function_name::name OFFSET 0
) p ON p.oid::regprocedure::text = t.function
WHERE $1 IS NULL OR t.name = ANY ($1)
ORDER BY t.name
