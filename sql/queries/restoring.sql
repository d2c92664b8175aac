-- Collections that came with a restore which has not ended, of these tables or of what these are partitions of; all if null.
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
