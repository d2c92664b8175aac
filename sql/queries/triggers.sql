-- The triggers of a collection: table, its owner and name, the trigger's name and arguments. They are on the source, its partitions and
-- children, and on tables of the same owner that were such. Any role can make triggers of these names on tables of its own, which must
-- not be waited for.
WITH RECURSIVE tree AS (
  SELECT $2::oid AS relation
  UNION
  SELECT i.inhrelid FROM pg_inherits i JOIN tree t ON i.inhparent = t.relation
)
SELECT c.oid, c.relowner, quote_ident(n.nspname) || '.' || quote_ident(c.relname), t.tgname::text, t.tgargs
FROM pg_trigger t
JOIN pg_class c ON c.oid = t.tgrelid
JOIN pg_namespace n ON n.oid = c.relnamespace
WHERE t.tgfoid = 'rag._capture()'::regprocedure AND NOT t.tgisinternal AND starts_with(t.tgname::text, $1)
  AND (c.relowner = $3 OR c.oid IN (SELECT relation FROM tree))
