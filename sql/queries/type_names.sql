-- Names of types ($1) with their schemas, in the same order.
SELECT quote_ident(n.nspname) || '.' || quote_ident(t.typname)
FROM unnest($1) WITH ORDINALITY o (type, place)
JOIN pg_type t ON t.oid = o.type
JOIN pg_namespace n ON n.oid = t.typnamespace
ORDER BY o.place
