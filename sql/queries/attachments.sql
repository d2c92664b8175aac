-- Objects on a table that this extension did not create and that would run as the table's next owner.
SELECT description FROM (
  SELECT format('trigger %I', tgname) AS description FROM pg_trigger WHERE tgrelid = $1 AND NOT tgisinternal
  UNION ALL
  SELECT format('rule %I', rulename) FROM pg_rewrite WHERE ev_class = $1
  UNION ALL
  SELECT format('policy %I', polname) FROM pg_policy WHERE polrelid = $1
  UNION ALL
  SELECT format('constraint %I', conname) FROM pg_constraint WHERE conrelid = $1 AND contype NOT IN ('p', 'u', 'n')
  UNION ALL
  SELECT format('default of column %s', adnum) FROM pg_attrdef WHERE adrelid = $1
  UNION ALL
  SELECT format('index %s', indexrelid::regclass) FROM pg_index
  WHERE indrelid = $1 AND (indexprs IS NOT NULL OR indpred IS NOT NULL)
  UNION ALL
  -- A domain's checks are its owner's code. The domain of a key may be the source's own, but its previous owner cannot be determined.
  SELECT format('column %I of domain %s', attname, atttypid::regtype) FROM pg_attribute JOIN pg_type t ON t.oid = atttypid
  WHERE attrelid = $1 AND attnum > 0 AND NOT attisdropped AND typtype = 'd'
  UNION ALL
  SELECT format('statistics object %I', stxname) FROM pg_statistic_ext WHERE stxrelid = $1
  UNION ALL
  SELECT format('child %s', inhrelid::regclass) FROM pg_inherits WHERE inhparent = $1 OR inhrelid = $1
) attached
ORDER BY description
LIMIT 1
