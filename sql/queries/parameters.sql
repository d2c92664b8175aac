-- Parameters of the functions of a name ($1), function by function.
SELECT p.oid, a.name, a.type, pg_catalog.format_type(a.type, NULL), a.place <= p.pronargs - p.pronargdefaults
FROM pg_catalog.pg_proc p,
     ROWS FROM (unnest(p.proargtypes::oid[]), unnest(p.proargnames[1:p.pronargs])) WITH ORDINALITY a (type, name, place)
WHERE p.pronamespace = 'rag'::regnamespace AND p.prokind = 'f' AND p.proname = $1::name
ORDER BY p.oid, a.place
