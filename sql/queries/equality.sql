-- An operator as SQL that is valid under any search path.
SELECT 'OPERATOR(' || quote_ident(n.nspname) || '.' || o.oprname || ')'
FROM pg_operator o
JOIN pg_namespace n ON n.oid = o.oprnamespace
WHERE o.oid = $1
