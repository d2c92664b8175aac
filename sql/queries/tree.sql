-- A table with its partitions and children: OID, owner, name, kind.
WITH RECURSIVE tree AS (
  SELECT $1::oid AS relation
  UNION
  SELECT i.inhrelid FROM pg_inherits i JOIN tree t ON i.inhparent = t.relation
)
SELECT c.oid, c.relowner, quote_ident(n.nspname) || '.' || quote_ident(c.relname), c.relkind::text
FROM tree t
JOIN pg_class c ON c.oid = t.relation
JOIN pg_namespace n ON n.oid = c.relnamespace
WHERE c.relkind IN ('r', 'p')
ORDER BY c.oid
