-- A table's kind and owner, and whether the caller has the rights of the owner.
SELECT c.relkind::text,
       c.relpersistence::text,
       c.relowner,
       n.nspname::text,
       c.relname::text,
       pg_has_role(c.relowner, 'USAGE')
FROM pg_class c
JOIN pg_namespace n ON n.oid = c.relnamespace
WHERE c.oid = $1
