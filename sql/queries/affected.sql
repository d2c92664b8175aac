-- Collections whose source is one of these tables, or an ancestor (partitioned table or inheritance parent) of one.
WITH RECURSIVE ancestors AS (
  SELECT oid AS relation FROM pg_class WHERE oid = ANY (SELECT unnest($1)::oid)
  UNION
  SELECT i.inhparent FROM pg_inherits i JOIN ancestors a ON i.inhrelid = a.relation
)
SELECT c.id FROM rag.collection c JOIN ancestors a ON a.relation = c.source ORDER BY c.id
