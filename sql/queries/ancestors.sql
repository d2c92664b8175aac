-- Whether a table is another one, or a partition or inheritance child of it.
WITH RECURSIVE ancestors AS (
  SELECT $1::oid AS relation
  UNION
  SELECT i.inhparent FROM pg_inherits i JOIN ancestors a ON i.inhrelid = a.relation
)
SELECT FROM ancestors WHERE relation = $2
