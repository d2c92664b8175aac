-- Collections of a restore that has not ended, whose sources are these tables or their partitioned tables; all such collections if NULL.
WITH RECURSIVE ancestors AS (
  SELECT oid AS relation FROM pg_class WHERE oid = ANY (SELECT unnest($1)::oid)
  UNION
  SELECT i.inhparent FROM pg_inherits i JOIN ancestors a ON i.inhrelid = a.relation
)
SELECT c.id
FROM rag.collection c
WHERE c.sync <> 'manual'
  AND NOT EXISTS (SELECT FROM rag._source n WHERE n.collection = c.id)
  AND ($1 IS NULL OR EXISTS (SELECT FROM ancestors a WHERE a.relation IN (c.source, c.chunk_table, c.terms_table)))
ORDER BY c.id
