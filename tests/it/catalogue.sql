-- Everything that the extension consists of, a line for each property that a user or pg_dump can see.
WITH members AS (
  SELECT classid, objid FROM pg_depend
  WHERE refclassid = 'pg_extension'::regclass AND deptype = 'e'
    AND refobjid = (SELECT oid FROM pg_extension WHERE extname = 'ragstone')
),
relations AS (
  SELECT c.* FROM pg_class c JOIN members ON classid = 'pg_class'::regclass AND objid = c.oid
),
owned AS (
  SELECT c.* FROM pg_class c JOIN pg_index i ON i.indexrelid = c.oid WHERE i.indrelid IN (SELECT oid FROM relations)
),
lines AS (
  SELECT format('member %s', pg_describe_object(classid, objid, 0)) AS line FROM members
  UNION ALL
  SELECT format('extension %s %s %s config %s', extversion, extrelocatable, extnamespace::regnamespace,
                (SELECT string_agg(format('%s (%s)', relation, condition), ', ' ORDER BY relation::text)
                 FROM unnest(extconfig::regclass[], extcondition) c (relation, condition)))
  FROM pg_extension WHERE extname = 'ragstone'
  UNION ALL
  SELECT format('function %s(%s) returns %s kind %s volatility %s parallel %s strict %s definer %s leakproof %s cost %s rows %s settings %s symbol %s %s rights %s owner %s comment %s',
                proname, pg_get_function_arguments(oid), pg_get_function_result(oid), prokind, provolatile, proparallel,
                proisstrict, prosecdef, proleakproof, procost, prorows, proconfig, probin, prosrc, proacl,
                proowner::regrole, obj_description(oid, 'pg_proc'))
  FROM pg_proc JOIN members ON classid = 'pg_proc'::regclass AND objid = oid
  UNION ALL
  SELECT format('relation %s kind %s persistence %s options %s rights %s owner %s row security %s comment %s',
                oid::regclass, relkind, relpersistence, reloptions, relacl, relowner::regrole, relrowsecurity,
                obj_description(oid, 'pg_class'))
  FROM (SELECT * FROM relations UNION ALL SELECT * FROM owned) r
  UNION ALL
  SELECT format('column %s.%s number %s %s not null %s default %s identity %s generated %s storage %s collation %s rights %s comment %s',
                r.oid::regclass, attname, attnum, format_type(atttypid, atttypmod), attnotnull,
                pg_get_expr(adbin, adrelid), attidentity, attgenerated, attstorage, attcollation::regcollation, attacl,
                col_description(r.oid, attnum))
  FROM relations r
  JOIN pg_attribute a ON attrelid = r.oid AND attnum > 0
  LEFT JOIN pg_attrdef d ON adrelid = attrelid AND adnum = attnum
  UNION ALL
  SELECT format('constraint %s of %s %s', conname, conrelid::regclass, pg_get_constraintdef(oid))
  FROM pg_constraint WHERE conrelid IN (SELECT oid FROM relations)
  UNION ALL
  SELECT format('index %s', pg_get_indexdef(oid)) FROM owned
  UNION ALL
  SELECT format('view %s as %s', oid::regclass, pg_get_viewdef(oid)) FROM relations WHERE relkind = 'v'
  UNION ALL
  SELECT format('sequence %s %s', seqrelid::regclass, to_jsonb(s) - 'seqrelid')
  FROM pg_sequence s WHERE seqrelid IN (SELECT oid FROM relations)
  UNION ALL
  SELECT format('event trigger %s on %s for %s enabled %s calls %s owner %s comment %s', evtname, evtevent, evttags, evtenabled,
                evtfoid::regprocedure, evtowner::regrole, obj_description(e.oid, 'pg_event_trigger'))
  FROM pg_event_trigger e JOIN members ON classid = 'pg_event_trigger'::regclass AND objid = e.oid
  UNION ALL
  SELECT format('initial rights %s %s %s', pg_describe_object(p.classoid, p.objoid, p.objsubid), privtype, initprivs)
  FROM pg_init_privs p JOIN members m ON m.classid = p.classoid AND m.objid = p.objoid
)
SELECT line FROM lines ORDER BY line COLLATE "C"
