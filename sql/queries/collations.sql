-- Columns of a table ($1) among these ($2) with another collation than the default: name, collation with its schema, and
-- whether it tells different texts apart.
SELECT a.attname::text, quote_ident(n.nspname) || '.' || quote_ident(c.collname), c.collisdeterministic
FROM pg_attribute a
JOIN pg_collation c ON c.oid = a.attcollation
JOIN pg_namespace n ON n.oid = c.collnamespace
WHERE a.attrelid = $1 AND a.attname = ANY ($2) AND NOT a.attisdropped AND c.collname <> 'default'
