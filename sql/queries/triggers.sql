-- The triggers of a collection: table, its owner and name, the trigger's name and arguments.
SELECT c.oid, c.relowner, quote_ident(n.nspname) || '.' || quote_ident(c.relname), t.tgname::text, t.tgargs
FROM pg_trigger t
JOIN pg_class c ON c.oid = t.tgrelid
JOIN pg_namespace n ON n.oid = c.relnamespace
WHERE t.tgfoid = 'rag._capture()'::regprocedure AND NOT t.tgisinternal AND starts_with(t.tgname::text, $1)
