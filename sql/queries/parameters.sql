-- The parameters of functions ($1), function by function: name, type, default, and whether the parameter is VARIADIC.
-- The position of a default includes the columns of the result.
SELECT i.function, i.name, i.type, pg_catalog.format_type(i.type, NULL), i.place <= i.pronargs - i.pronargdefaults,
       pg_catalog.pg_get_function_arg_default(i.function, i.argument::int), i.variadic
FROM (
  SELECT p.oid AS function, p.pronargs, p.pronargdefaults, a.name, a.type, a.argument,
         row_number() OVER (PARTITION BY p.oid ORDER BY a.argument) AS place, coalesce(a.mode = 'v', false) AS variadic
  FROM pg_catalog.pg_proc p,
       ROWS FROM (unnest(coalesce(p.proallargtypes, p.proargtypes::oid[])), unnest(p.proargnames), unnest(p.proargmodes))
         WITH ORDINALITY a (type, name, mode, argument)
  WHERE p.oid = ANY ($1) AND coalesce(a.mode, 'i') IN ('i', 'b', 'v')
) i
ORDER BY i.function, i.place
