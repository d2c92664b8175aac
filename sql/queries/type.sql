-- What a type ($1) is: its kind and name, a domain's base and checks, an enum's labels.
SELECT t.typtype::text,
       pg_catalog.format_type(t.oid, NULL),
       t.typbasetype,
       ARRAY(SELECT pg_catalog.pg_get_constraintdef(c.oid) FROM pg_catalog.pg_constraint c
             WHERE c.contypid = t.oid AND c.contype = 'c' ORDER BY c.conname),
       ARRAY(SELECT e.enumlabel::text FROM pg_catalog.pg_enum e WHERE e.enumtypid = t.oid ORDER BY e.enumsortorder)
FROM pg_catalog.pg_type t
WHERE t.oid = $1
