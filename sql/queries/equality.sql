-- An operator as it is written whatever the search path.
SELECT 'OPERATOR(' || quote_ident(n.nspname) || '.' || o.oprname || ')'
FROM pg_operator o
JOIN pg_namespace n ON n.oid = o.oprnamespace
WHERE o.oid = $1
