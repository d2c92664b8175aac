-- A function ($1): its kind, its result, and whether the current role may call it.
SELECT p.oid::regprocedure::text,
       p.proname::text,
       pg_catalog.format('%I.%I', n.nspname, p.proname),
       p.prokind::text,
       p.prorettype,
       pg_catalog.format_type(p.prorettype, NULL),
       t.typtype = 'p',
       coalesce(p.proargmodes && '{o,b,t}'::"char"[], false),
       p.proretset,
       p.proisstrict,
       n.nspname ~ '^pg_temp_',
       has_schema_privilege(n.oid, 'USAGE') AND has_function_privilege(p.oid, 'EXECUTE'),
       pg_catalog.obj_description(p.oid, 'pg_proc')
FROM pg_catalog.pg_proc p
JOIN pg_catalog.pg_namespace n ON n.oid = p.pronamespace
JOIN pg_catalog.pg_type t ON t.oid = p.prorettype
WHERE p.oid = $1
